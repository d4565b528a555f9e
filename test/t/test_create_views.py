"""tpm_fdw_create_views(): views through which others read with the owner's credential."""

import psycopg2
import pytest
import tpmtest
from tpmtest import notices, rows


def create(connection, schema="tpm", into="seen"):
    ((count,),) = rows(connection, "SELECT tpm_fdw_create_views(%s, %s)", (schema, into))
    return count


@pytest.fixture
def seen(tpm):
    rows(tpm, "CREATE SCHEMA seen")
    return tpm


def names(connection, schema):
    return [name for name, in rows(
        connection, "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('v', 'f')"
        " ORDER BY relname", (schema,))]


def test_one_for_each_table(seen, sandbox):
    assert create(seen) == len(names(seen, "tpm")) > 20
    assert names(seen, "seen") == names(seen, "tpm")
    assert sandbox.requests() == []
    same = """SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)
                FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
    assert rows(seen, same, ("seen.cases",)) == rows(seen, same, ("tpm.cases",))
    assert rows(seen, "SELECT obj_description('seen.cases'::regclass, 'pg_class')") == rows(
        seen, "SELECT obj_description('tpm.cases'::regclass, 'pg_class')") != [(None,)]
    assert rows(seen, "SELECT count(*) FROM seen.regions") == [(8,)]


def test_others_read_with_the_owners_credential(seen, sandbox, cluster):
    cluster.sql("DROP ROLE IF EXISTS looker")
    cluster.sql("CREATE ROLE looker LOGIN")
    create(seen)
    rows(seen, "GRANT USAGE ON SCHEMA seen TO looker")
    rows(seen, "GRANT SELECT ON ALL TABLES IN SCHEMA seen TO looker")
    other = cluster.connect(seen.info.dbname, "looker")
    try:
        assert len(rows(other, "SELECT * FROM seen.departments")) == 10
        with pytest.raises(psycopg2.Error) as caught:
            rows(other, "SELECT * FROM tpm.departments")
        assert caught.value.pgcode == "42501"
    finally:
        other.close()
        rows(seen, "DROP OWNED BY looker")
        cluster.sql("DROP ROLE looker")


def test_taken_names(seen):
    rows(seen, "CREATE TABLE seen.cases (x int)")
    rows(seen, "CREATE TYPE seen.users AS (x int)")
    rows(seen, "CREATE TABLE seen.other (x int)")
    notices(seen)
    total = len(names(seen, "tpm"))
    assert create(seen) == total - 2
    text = notices(seen)
    assert text.count("WARNING") == 2 and "seen.cases" in text and "seen.users" in text and "taken" in text
    # a second time there is nothing left to create
    assert create(seen) == 0
    assert notices(seen).count("WARNING") == total


def test_only_ours(seen):
    rows(seen, "CREATE TABLE tpm.local (x int)")
    rows(seen, "CREATE FOREIGN DATA WRAPPER nothing")
    rows(seen, "CREATE SERVER alien FOREIGN DATA WRAPPER nothing")
    rows(seen, "CREATE FOREIGN TABLE tpm.alien (x int) SERVER alien")
    create(seen)
    assert not {"local", "alien"} & set(names(seen, "seen"))


def test_hostile_names(seen, sandbox):
    schema, table, column = 'a"; DROP TABLE b; --', "x'\"); SELECT 1; --", 'c" FROM nowhere; --'
    quoted = ['"' + name.replace('"', '""') + '"' for name in (schema, table, column)]
    rows(seen, f"CREATE SCHEMA {quoted[0]}")
    rows(seen, f"CREATE FOREIGN TABLE {quoted[0]}.{quoted[1]} (id text, gone text, {quoted[2]} text OPTIONS (attribute 'name'))"
               " SERVER tpm OPTIONS (resource '/regions')")
    rows(seen, f"ALTER FOREIGN TABLE {quoted[0]}.{quoted[1]} DROP COLUMN gone")
    rows(seen, f"COMMENT ON COLUMN {quoted[0]}.{quoted[1]}.{quoted[2]} IS 'its name'")
    assert create(seen, schema) == 1
    assert names(seen, "seen") == [table]
    assert len(rows(seen, f"SELECT {quoted[2]} FROM seen.{quoted[1]}")) == 8
    assert rows(seen, f"SELECT col_description('seen.{quoted[1].replace(chr(39), chr(39) * 2)}'::regclass, 2)") == [("its name",)]


def test_any_search_path(seen):
    # functions, operators and tables of the same names in front of PostgreSQL's own
    rows(seen, "CREATE SCHEMA evil")
    rows(seen, "CREATE TABLE evil.third_parties (x int)")
    rows(seen, "CREATE VIEW evil.pg_class AS SELECT 1 AS relname")
    rows(seen, "SET search_path = evil, pg_catalog")
    ((count,),) = rows(seen, "SELECT public.tpm_fdw_create_views('tpm', 'seen')")
    assert count > 20
    assert "tpm.third_parties" in rows(seen, "SELECT pg_get_viewdef('seen.third_parties'::regclass)")[0][0]


def test_rights_are_the_callers(seen, cluster):
    cluster.sql("DROP ROLE IF EXISTS maker")
    cluster.sql("CREATE ROLE maker LOGIN")
    other = cluster.connect(seen.info.dbname, "maker")
    try:
        for grant, part in ((None, "schema tpm"), ("GRANT USAGE ON SCHEMA tpm TO maker", "schema seen")):
            if grant:
                rows(seen, grant)
            with pytest.raises(psycopg2.Error) as caught:
                create(other)
            assert caught.value.pgcode == "42501" and part in caught.value.diag.message_primary
        rows(seen, "GRANT USAGE, CREATE ON SCHEMA seen TO maker")
        rows(seen, "GRANT SELECT ON tpm.cases TO maker")
        assert create(other) == 1
        assert "may not read" in notices(other)
        assert rows(seen, "SELECT relname, relowner::regrole::text FROM pg_class WHERE relnamespace = 'seen'::regnamespace"
                          " AND relkind = 'v'") == [("cases", "maker")]
    finally:
        other.close()
        rows(seen, "DROP OWNED BY maker")
        cluster.sql("DROP ROLE maker")


def test_wrong_schemas(seen):
    for schema, into, code in (("tpm", "tpm", "22023"), ("nowhere", "seen", "3F000"), ("tpm", "nowhere", "3F000")):
        with pytest.raises(psycopg2.Error) as caught:
            create(seen, schema, into)
        assert caught.value.pgcode == code
    rows(seen, "CREATE SCHEMA bare")
    assert create(seen, "bare") == 0


def test_atomic(seen):
    seen.autocommit = False
    create(seen)
    seen.rollback()
    seen.autocommit = True
    assert names(seen, "seen") == []
    tpmtest.rows(seen, "SELECT tpm_fdw_create_views('tpm', 'seen')")
    assert names(seen, "seen")
