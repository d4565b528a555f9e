"""What query tools send costs what the table says (test/clients/shapes.py), the first time and the second."""

import subprocess
import sys

import psycopg2
import pytest
import tpmtest

sys.path.insert(0, str(tpmtest.ROOT / "test" / "clients"))

import shapes  # noqa: E402

RECORDS = 1000
DATABASE = "bi"

def views(owner, source, target):
    """The views of a schema for the role bi."""
    tpmtest.rows(owner, f"CREATE SCHEMA {target}; GRANT USAGE ON SCHEMA {target} TO bi")
    for (table,) in tpmtest.rows(owner, f"SELECT relname FROM pg_class WHERE relkind = 'f'"
                                 f" AND relnamespace = '{source}'::regnamespace ORDER BY 1"):
        tpmtest.rows(owner, f'CREATE VIEW {target}."{table}" AS SELECT * FROM {source}."{table}"')
    tpmtest.rows(owner, f"GRANT SELECT ON ALL TABLES IN SCHEMA {target} TO bi")


@pytest.fixture(scope="module")
def large():
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--today", "2026-06-15").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def bi(cluster, large):
    """A database whose owner has both imports, and a session of the role bi."""
    cluster.sql(f"CREATE DATABASE {DATABASE}")
    cluster.sql("CREATE ROLE bi LOGIN")
    cluster.sql(shapes.ROLE)
    owner = cluster.connect(DATABASE)
    tpmtest.setup_server(owner, large, schema="api_exact", trust="exact")
    tpmtest.rows(owner, "CREATE SCHEMA api_plain; IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO api_plain")
    views(owner, "api_exact", "exact")
    views(owner, "api_plain", "plain")
    owner.close()
    yield cluster
    cluster.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    cluster.sql("DROP ROLE bi")


def cost(cluster, sandbox, shape, schema):
    """Requests of the first and the second time, in sessions of their own."""
    cluster.sql("SELECT tpm_fdw_reset_cache()", dbname=DATABASE)
    counts = []
    for _ in range(2):
        sandbox.reset()
        connection = cluster.connect(DATABASE, "bi")
        for statement in shape.statements:
            tpmtest.rows(connection, statement.replace("{s}", schema))
        connection.close()
        counts.append(sandbox.request_count())
    return tuple(counts)


@pytest.mark.parametrize("schema", ("exact", "plain"))
@pytest.mark.parametrize("shape", shapes.SHAPES, ids=lambda shape: f"{shape.tool}: {shape.what}")
def test_cost(bi, large, shape, schema):
    assert cost(bi, large, shape, schema) == getattr(shape, schema)


def test_table_in_the_documentation():
    printed = subprocess.run([sys.executable, shapes.__file__], capture_output=True, text=True, check=True).stdout
    assert (tpmtest.ROOT / "docs" / "bi-tools.md").read_text(encoding="utf-8") == printed


# ----- the role -----

HOUR = 60
USABLE = 42


@pytest.fixture
def short_hour(bi, large):
    """60 requests an hour, none used yet."""
    owner = bi.connect(DATABASE)
    tpmtest.rows(owner, f"ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '{HOUR}')")
    tpmtest.rows(owner, "SELECT tpm_fdw_reset_cache(), tpm_fdw_reset_rate_limits()")
    large.reset()
    yield owner
    tpmtest.rows(owner, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '100000')")
    tpmtest.rows(owner, "SELECT tpm_fdw_reset_cache(), tpm_fdw_reset_rate_limits()")
    owner.close()


def scan_everything(cluster, schema, *settings):
    """A first connection with every scan switched on; (statements answered, statements refused)."""
    connection = cluster.connect(DATABASE, "bi")
    for setting in settings:
        tpmtest.rows(connection, setting)
    columns = {}
    for table, column in tpmtest.rows(connection, "SELECT table_name, column_name FROM information_schema.columns"
                                      f" WHERE table_schema = '{schema}' ORDER BY 1, ordinal_position"):
        columns.setdefault(table, []).append(column)
    answered = refused = 0
    for table, names in columns.items():
        whole = f'{schema}."{table}"'
        statements = [f"SELECT * FROM {whole} LIMIT 10000", f"SELECT count(*) FROM {whole}"]
        statements += [f'SELECT "{name}"::text FROM {whole} GROUP BY 1 ORDER BY 1 LIMIT 1000' for name in names]
        for statement in statements:
            try:
                tpmtest.rows(connection, statement)
                answered += 1
            except psycopg2.Error as error:
                # a table that needs a parent's id, or the budget
                assert error.pgcode in ("HV002", "53400"), error
                refused += error.pgcode == "53400"
    connection.close()
    return answered, refused


def used(owner):
    return tpmtest.rows(owner, "SELECT used_last_hour FROM tpm_fdw_rate_limits WHERE scope = 'credential'")[0][0]


@pytest.mark.parametrize("schema", ("exact", "plain"))
def test_role_leaves_the_last_third(bi, large, short_hour, schema):
    answered, refused = scan_everything(bi, schema)
    assert answered > 0 and refused > 0, "the hour must be too short for everything, or nothing is shown"
    assert large.request_count() <= USABLE and used(short_hour) <= USABLE
    # those who are left something for: a lookup, and a statement of ten requests
    before = large.request_count()
    assert len(tpmtest.rows(short_hour, "SELECT name FROM api_exact.third_parties WHERE id = '5'")) == 1
    tpmtest.rows(short_hour, "SET tpm_fdw.cache_ttl = 0")
    assert len(tpmtest.rows(short_hour, "SELECT id FROM api_exact.third_parties WHERE name <> ''")) == RECORDS
    assert large.request_count() - before >= 10


def test_what_was_fetched_serves_the_next_connection(bi, large, short_hour):
    """Refused for want of requests, not for want of an answer that is there."""
    scan_everything(bi, "exact")
    before = large.request_count()
    kept = tpmtest.rows(short_hour, "SELECT relation FROM tpm_fdw_cache WHERE complete AND conditions NOT LIKE '%?%'")
    assert kept
    reader = bi.connect(DATABASE, "bi")
    for (relation,) in kept:
        assert tpmtest.rows(reader, f"SELECT * FROM exact.{relation.split('.')[-1]}")
    reader.close()
    assert large.request_count() == before


def test_without_the_role_it_does_not(bi, large, short_hour):
    """The settings are what does it."""
    scan_everything(bi, "exact", "SET tpm_fdw.small_statement = 10")
    assert large.request_count() > USABLE
