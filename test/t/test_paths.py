"""Every path once, in few statements: for what makes each of them slow (test/assert/run discard, valgrind)."""

import io

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

TABLES = """
CREATE FOREIGN TABLE people (id text OPTIONS (filter 'id', filter_match 'exact', sortable 'true') NOT NULL, name text,
    country text OPTIONS (filter 'country', filter_match 'exact'), city text,
    internal_id text OPTIONS (natural_key 'true', filter 'internal_id'), tags jsonb OPTIONS (pointer '/attributes'),
    region_id text OPTIONS (relationship 'region'),
    created_at timestamptz OPTIONS (sortable 'true', read_only 'true') NOT NULL)
    SERVER tpm OPTIONS (resource '/third_parties', total_pointer '/meta/total_count', page_size '20');
CREATE FOREIGN TABLE files (id text OPTIONS (filter 'id', filter_match 'exact'), name text,
    third_party_id text OPTIONS (relationship 'third_party'))
    SERVER tpm OPTIONS (resource '/cases', pagination 'number', page_size '20');
"""

READS = (
    "SELECT * FROM people", "SELECT id, name FROM people WHERE country = 'US' AND name LIKE '%a%'",
    "SELECT name FROM people WHERE id IN ('1', '2', NULL)", "SELECT count(*) FROM people WHERE country = 'US'",
    "SELECT id FROM people ORDER BY created_at DESC LIMIT 3", "SELECT max(id) FROM people WHERE created_at > '2024-01-01'",
    "SELECT f.id, p.name FROM files f JOIN people p ON p.id = f.third_party_id WHERE f.id < '3'",
    "SELECT id FROM files WHERE EXISTS (SELECT FROM people WHERE people.id = files.third_party_id) LIMIT 2",
    "SELECT tpm_fdw_get('tpm', '/users?page%5Bsize%5D=1') IS NOT NULL", "SELECT count(*) FROM tpm_fdw_check('tpm')",
    "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT name FROM people WHERE country = 'US'",
    "EXPLAIN UPDATE people SET city = 'x' WHERE id = '1'", "ANALYZE files",
)


@pytest.fixture(scope="module")
def sandbox():
    sandbox = tpmtest.Sandbox("--records", "60", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def session(cluster, sandbox):
    """A session with two tables of many options, and no more."""
    cluster.sql("CREATE DATABASE paths")
    db = cluster.connect("paths")
    tpmtest.setup_server(db, sandbox, options={"max_retries": 1, "request_timeout": f"{int(5 * tpmtest.SLACK)}s"})
    rows(db, TABLES)
    yield db
    db.close()


def failure(connection, statement):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement)
    return caught.value.pgcode


@pytest.mark.parametrize("ttl", ["0", "1h"])
def test_read(session, sandbox, ttl):
    """Scans, keys, counts, orders, joins: the same rows from the API and from the cache."""
    rows(session, f"SET tpm_fdw.cache_ttl = '{ttl}'")
    for statement in READS:
        first, second = rows(session, statement), rows(session, statement)
        assert statement.startswith("EXPLAIN") or sorted(map(str, first)) == sorted(map(str, second)), statement
    assert len(rows(session, READS[0])) == len(sandbox.dump("third_parties"))
    rows(session, "PREPARE one(text) AS SELECT name FROM people WHERE id = $1")
    for _ in range(7):
        assert len(rows(session, "EXECUTE one('1')")) == 1
    rows(session, "DEALLOCATE one; BEGIN; DECLARE c CURSOR FOR SELECT id FROM people")
    assert len(rows(session, "FETCH 25 FROM c")) == 25
    rows(session, "SAVEPOINT s")
    assert failure(session, "SELECT 1/0 FROM people") == "22012"
    rows(session, "ROLLBACK TO s")
    assert len(rows(session, "FETCH 10 FROM c")) == 10
    rows(session, "COMMIT")


def test_write(session, sandbox):
    """INSERT, batches, COPY, UPDATE, RETURNING, what is refused, and an abort after a write."""
    rows(session, "SET tpm_fdw.cache_ttl = 0")
    assert rows(session, "INSERT INTO people (internal_id, name, country) VALUES ('P-1', 'x', 'US') RETURNING name") == [("x",)]
    rows(session, "INSERT INTO people (internal_id, name, country) SELECT 'Q-' || g, 'x', 'US' FROM generate_series(1, 5) g")
    with session.cursor() as cursor:
        cursor.copy_expert("COPY people (internal_id, name, country) FROM STDIN", io.StringIO("R-1\tx\tUS\nR-2\ty\tUS\n"))
    assert len(rows(session, "UPDATE people SET city = 'here' WHERE name = 'x' RETURNING id, city")) == 7
    assert failure(session, "INSERT INTO people (name, country) VALUES ('x', 'nowhere')") == "22023"
    rows(session, "INSERT INTO people (internal_id, name, country) VALUES ('P-1', 'x', 'US') ON CONFLICT DO NOTHING")
    rows(session, "BEGIN; UPDATE people SET city = 'there' WHERE id = '1'; ROLLBACK")
    rows(session, "SET tpm_fdw.dry_run = on; UPDATE people SET city = 'x' WHERE id = '1'; RESET tpm_fdw.dry_run")
    assert len(rows(session, "SELECT * FROM tpm_fdw_writes WHERE database = 'paths'")) >= 15


@pytest.mark.parametrize("fault", ["garbage", "truncate", "drop", "expire_token", "status:503", "loop_next", "drop_after_write"])
def test_fault(session, sandbox, fault):
    """What goes wrong on the way, once; and the session goes on."""
    rows(session, "SET tpm_fdw.cache_ttl = 0")
    for number, statement in enumerate(("SELECT * FROM people", f"INSERT INTO people (internal_id, name, country)"
                                        f" VALUES ('{fault}', 'x', 'US')", "UPDATE people SET city = 'x' WHERE id = '2'")):
        sandbox.reset()
        sandbox.fault(fault, count=1, match=("GET /v1/third_parties?", "POST /v1", "PUT /v1")[number])
        try:
            rows(session, statement)
        except psycopg2.Error as error:
            assert error.pgcode.startswith("HV00"), error
    sandbox.reset()
    assert rows(session, "SELECT count(*) FROM people WHERE id = '1'") == [(1,)]


def test_cancel(session, sandbox):
    """A statement that is ended while it waits leaves the session as it was."""
    rows(session, "SET tpm_fdw.cache_ttl = 0")
    sandbox.fault("stall", match="GET /v1/third_parties")
    rows(session, "SET statement_timeout = '500ms'")
    assert failure(session, "SELECT * FROM people") == "57014"
    rows(session, "RESET statement_timeout")
    sandbox.reset()
    assert len(rows(session, "SELECT id FROM files WHERE id = '1'")) == 1


def test_views_and_import(session):
    """What is shown of it all, and tables that describe themselves."""
    for view in ("rate_limits", "tokens", "cache", "requests", "progress", "stats", "writes"):
        rows(session, f"SELECT * FROM tpm_fdw_{view}")
    rows(session, "CREATE SCHEMA made; CREATE SCHEMA shown")
    rows(session, "IMPORT FOREIGN SCHEMA tpm LIMIT TO (users) FROM SERVER tpm INTO made")
    rows(session, "IMPORT FOREIGN SCHEMA sample LIMIT TO (cases) FROM SERVER tpm INTO made OPTIONS (resources '/cases')")
    rows(session, "SELECT tpm_fdw_create_views('made', 'shown')")
    assert len(rows(session, "SELECT * FROM shown.users")) > 0
    rows(session, "SELECT count(*) FROM tpm_fdw_check('tpm', 'made')")
    rows(session, "SELECT tpm_fdw_reset_cache(), tpm_fdw_reset_tokens(), tpm_fdw_reset_rate_limits(), tpm_fdw_reset_stats()")
