"""Five kinds of dump of a database with local copies, and what each brings back."""

import subprocess

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

COPY = "tpm_copy.third_parties"
SAME = f"SELECT count(*) FROM (SELECT id, name, updated_at FROM tpm.third_parties EXCEPT SELECT id, name, updated_at FROM {COPY}) d"
STATE = "SELECT copy::text, state, problem, rows, source::text FROM tpm_fdw_copies ORDER BY copy::text"
CURRENT = [(COPY, "current", None, 300, "tpm.third_parties")]


@pytest.fixture(name="db")
def filled(db, sandbox):
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"cache_ttl": "0"})
    rows(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')")
    rows(db, f"CALL tpm_fdw_sync('{COPY}')")
    assert rows(db, STATE) == CURRENT
    return db


def run(cluster, name, *arguments, check=True, **more):
    """A program of PostgreSQL's on the cluster; what it printed."""
    return subprocess.run([tpmtest.bindir() / name, "-h", cluster.base, "-p", str(cluster.port), "-U", "postgres", *arguments],
                          capture_output=True, check=check, cwd="/", **tpmtest.as_cluster_user(), **more)


def new_database(cluster, name):
    cluster.sql(f"CREATE DATABASE {name}")
    return cluster.connect(name)


def restore(cluster, name, dump, check=True):
    """By psql, into a database that is there."""
    arguments = ["-X", "-q", "-d", name] + (["-v", "ON_ERROR_STOP=1"] if check else [])
    done = run(cluster, "psql", *arguments, input=dump, check=check)
    assert not (check and done.stderr)
    return done.stderr.decode()


def dump_of(cluster, db, *arguments):
    return run(cluster, "pg_dump", *arguments, db.info.dbname).stdout


def cost_of_sync(db, sandbox):
    sandbox.reset()
    rows(db, f"CALL tpm_fdw_sync('{COPY}')")
    return sandbox.request_count()


def assert_guarded(db):
    with pytest.raises(psycopg2.Error, match="is a local copy of tpm.third_parties"):
        rows(db, f"DELETE FROM {COPY}")


@pytest.mark.parametrize("kind", ["plain", "custom", "directory"])
def test_whole_database(db, cluster, sandbox, tmp_path, kind):
    """The copy goes on where it was, under other OIDs; one that was renamed before, too."""
    rows(db, "ALTER TABLE tpm_copy.third_parties RENAME TO renamed")
    rows(db, "ALTER TABLE tpm_copy.renamed RENAME TO third_parties")
    again = new_database(cluster, db.info.dbname + "_again")
    # so that no OID is the same
    rows(again, "CREATE TABLE other (id text)")
    if kind == "plain":
        restore(cluster, again.info.dbname, dump_of(cluster, db))
    else:
        tmp_path.chmod(0o777)
        run(cluster, "pg_dump", "-F", kind[0], "-f", str(tmp_path / "dump"), db.info.dbname)
        run(cluster, "pg_restore", "--exit-on-error", "-d", again.info.dbname, str(tmp_path / "dump"))
    assert rows(again, STATE) == CURRENT
    assert_guarded(again)
    assert cost_of_sync(again, sandbox) <= 2
    assert rows(again, STATE) == CURRENT and rows(again, SAME) == [(0,)]
    again.close()


def test_renamed_and_not_yet_noticed(db, cluster, sandbox):
    rows(db, "ALTER SCHEMA tpm_copy RENAME TO bi")
    again = new_database(cluster, db.info.dbname + "_again")
    restore(cluster, again.info.dbname, dump_of(cluster, db))
    assert rows(again, "SELECT copy::text, state FROM tpm_fdw_copies") == [("bi.third_parties", "current")]
    sandbox.reset()
    rows(again, "CALL tpm_fdw_sync('bi.third_parties')")
    assert sandbox.request_count() <= 2
    again.close()


@pytest.mark.parametrize("triggers", [True, False])
def test_data_only(db, cluster, sandbox, triggers):
    """With --disable-triggers all is there; without it the guard refuses the rows, and the copy is filled anew."""
    again = new_database(cluster, db.info.dbname + "_again")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "--schema-only"))
    assert rows(again, STATE) == []
    arguments = ["--disable-triggers"] if triggers else []
    said = restore(cluster, again.info.dbname, dump_of(cluster, db, "--data-only", *arguments), check=triggers)
    assert ("is a local copy" in said or "was a local copy" in said) == (not triggers)
    assert rows(again, f"SELECT count(*) FROM {COPY}") == [(300 if triggers else 0,)]
    cost = cost_of_sync(again, sandbox)
    assert cost <= 2 if triggers else cost >= 3
    assert rows(again, STATE) == CURRENT and rows(again, SAME) == [(0,)]
    again.close()


def test_data_only_where_the_copy_was_made_again(db, cluster, sandbox):
    """Paused, it takes the rows; the state that came with them is of another copy, and goes."""
    again = new_database(cluster, db.info.dbname + "_again")
    tpmtest.setup_server(again, sandbox, schema="tpm", trust="exact", options={"cache_ttl": "0"})
    rows(again, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}', paused => true)")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "--data-only"))
    assert rows(again, "SELECT copy::text, state FROM tpm_fdw_copies") == [(COPY, "paused")]
    rows(again, f"UPDATE {COPY} SET name = 'nobody''s' WHERE id IN (SELECT id FROM {COPY} LIMIT 3)")
    rows(again, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => false)")
    rows(again, f"CALL tpm_fdw_sync('{COPY}')")
    assert rows(again, STATE) == CURRENT and rows(again, SAME) == [(0,)]
    assert rows(again, "SELECT count(*) FROM tpm_fdw_copy_state") == [(1,)]
    again.close()


def test_without_the_rows(db, cluster, sandbox):
    """--exclude-table-data: the state says 300 rows, the table has none."""
    again = new_database(cluster, db.info.dbname + "_again")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "--exclude-table-data=tpm_copy.*"))
    assert cost_of_sync(again, sandbox) >= 3
    assert rows(again, STATE) == CURRENT and rows(again, SAME) == [(0,)]
    again.close()


def test_without_the_schema(db, cluster):
    """-N: the state has no table and is removed by the next run; a table of that name is nobody's copy."""
    again = new_database(cluster, db.info.dbname + "_again")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "-N", "tpm_copy"))
    assert rows(again, STATE) == []
    rows(again, "CALL tpm_fdw_sync()")
    assert rows(again, "SELECT count(*) FROM tpm_fdw_copy_state") == [(0,)]
    again.close()


def test_an_ordinary_table_in_its_place_is_not_written(db, cluster, sandbox):
    again = new_database(cluster, db.info.dbname + "_again")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "-N", "tpm_copy"))
    rows(again, f"CREATE SCHEMA tpm_copy; CREATE TABLE {COPY} (id text PRIMARY KEY)")
    sandbox.reset()
    rows(again, "CALL tpm_fdw_sync()")
    assert sandbox.request_count() == 0
    assert rows(again, f"SELECT count(*) FROM {COPY}") == [(0,)]
    rows(again, f"DROP TABLE {COPY}")
    rows(again, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')")
    rows(again, f"CALL tpm_fdw_sync('{COPY}')")
    assert rows(again, STATE) == CURRENT
    again.close()


def test_the_schema_alone(db, cluster):
    """A guard without a state: nobody writes to the table until it is a copy again."""
    again = new_database(cluster, db.info.dbname + "_again")
    rows(again, "CREATE EXTENSION tpm_fdw")
    restore(cluster, again.info.dbname, dump_of(cluster, db, "-n", "tpm_copy"))
    with pytest.raises(psycopg2.Error, match="was a local copy") as error:
        rows(again, f"DELETE FROM {COPY}")
    assert "tpm_fdw_create_copy" in error.value.diag.message_hint
    rows(again, f"DROP TRIGGER tpm_fdw_copy_guard ON {COPY}; DELETE FROM {COPY}")
    again.close()


def test_extension_dropped_and_made_again(db, sandbox):
    """The table is an ordinary one then, and is taken over with its rows."""
    with pytest.raises(psycopg2.Error, match="depend"):
        rows(db, "DROP EXTENSION tpm_fdw")
    rows(db, "DROP EXTENSION tpm_fdw CASCADE")
    rows(db, f"UPDATE {COPY} SET name = 'nobody''s' WHERE id IN (SELECT id FROM {COPY} ORDER BY id LIMIT 7)")
    rows(db, "DROP SCHEMA tpm")
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"cache_ttl": "0"})
    rows(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')")
    assert rows(db, "SELECT state, rows FROM tpm_fdw_copies") == [("new", 300)]
    rows(db, f"CALL tpm_fdw_sync('{COPY}')")
    assert rows(db, STATE) == CURRENT and rows(db, SAME) == [(0,)]
    assert rows(db, "SELECT inserted, updated FROM tpm_fdw_copies") == [(0, 7)]


def test_table_restored_beside_its_successor(db, cluster, sandbox):
    """Dropped and brought back from a dump of it alone: the guard tells that it is the one."""
    dump = dump_of(cluster, db, "-t", COPY)
    rows(db, f"DROP TABLE {COPY}")
    restore(cluster, db.info.dbname, dump)
    assert rows(db, STATE) == CURRENT
    assert cost_of_sync(db, sandbox) <= 2
    assert rows(db, SAME) == [(0,)]
