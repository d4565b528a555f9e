"""Local copies are made, taken over, guarded, changed and dropped; nothing is sent for any of it."""

import psycopg2
import pytest
import tpmtest
from tpmtest import notices, rows

COPY = "tpm_copy.third_parties"


@pytest.fixture(name="db")
def made(db, sandbox):
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    notices(db)
    sandbox.reset()
    yield db
    assert sandbox.request_count() == 0


def value(connection, statement, parameters=None):
    """Of a statement with one row of one column."""
    (found,), = rows(connection, statement, parameters)
    return found


def create(connection, source="tpm.third_parties", target=COPY, **options):
    """A copy; its name."""
    given = "".join(f", {name} => %({name})s" for name in options)
    return value(connection, f"SELECT tpm_fdw_create_copy(%(source)s, %(target)s{given})::text",
                 {"source": source, "target": target, **options})


def refused(connection, statement, code, *words):
    """The error has the code, and all the words."""
    with pytest.raises(psycopg2.Error) as error:
        rows(connection, statement)
    assert error.value.pgcode == code, str(error.value)
    for word in words:
        assert word in str(error.value)


def columns(connection, relation):
    return rows(connection, "SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)"
                            " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                (relation,))


def test_new_table_is_like_its_source(db):
    rows(db, "COMMENT ON FOREIGN TABLE tpm.third_parties IS 'those whom we buy from'")
    assert create(db) == COPY
    source, copy = columns(db, "tpm.third_parties"), columns(db, COPY)
    assert [(name, kind, comment) for name, kind, _, comment in copy[:-1]] == \
        [(name, kind, comment) for name, kind, _, comment in source]
    assert copy[-1][:2] == ("_changed_at", "timestamp with time zone")
    assert [name for name, _, notnull, _ in copy if notnull] == ["id"]
    assert value(db, f"SELECT obj_description('{COPY}'::regclass)") == "those whom we buy from"
    assert value(db, f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = '{COPY}'::regclass") == \
        "PRIMARY KEY (id)"
    assert rows(db, "SELECT copy::text, state, rows, problem, source::text, phase, every, behind FROM tpm_fdw_copies") == \
        [(COPY, "new", 0, None, "tpm.third_parties", "new", value(db, "SELECT interval '15 min'"), None)]


def test_target_by_default(db):
    assert value(db, "SELECT tpm_fdw_create_copy('tpm.cases')::text") == "tpm_copy.cases"
    assert 'schema "tpm_copy" is created' in notices(db)


def test_price_is_said(db):
    rows(db, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '600')")
    create(db, target="a.unknown")
    said = notices(db)
    assert "not known yet" in said and "300 requests an hour" in said
    rows(db, "UPDATE pg_class SET reltuples = 100000 WHERE oid = 'tpm.third_parties'::regclass")
    create(db, target="a.known")
    assert "about 1000 pages, so 1000 requests, and 3.3 hours" in notices(db)


def test_names_that_need_quotes(db):
    rows(db, 'CREATE SCHEMA "Odd.Schema"')
    rows(db, "ALTER FOREIGN TABLE tpm.cases OPTIONS (ADD resource '/cases')")
    rows(db, 'ALTER FOREIGN TABLE tpm.cases RENAME TO "A ""case"", of.mine"')
    rows(db, 'ALTER FOREIGN TABLE tpm."A ""case"", of.mine" RENAME COLUMN created_at TO "Cre,ated"')
    name = create(db, 'tpm."A ""case"", of.mine"', '"Odd.Schema"."My ""copy"""')
    assert name == '"Odd.Schema"."My ""copy"""'
    refused(db, f"INSERT INTO {name} (id) VALUES ('1')", "55000", name)
    rows(db, "SELECT tpm_fdw_alter_copy(%s, deletions => 'mark')", (name,))
    rows(db, f"SELECT tpm_fdw_drop_copy('{name}', drop_table => true)")
    assert rows(db, "SELECT copy FROM tpm_fdw_copies") == []


@pytest.mark.parametrize("change, words", [
    ("DROP COLUMN name", ['It has no column "name" of type text.']),
    ("ALTER COLUMN risk_score TYPE text", ['Column "risk_score" is of type text, and not']),
    ("DROP CONSTRAINT third_parties_pkey", ['no unique index on "id" alone']),
    ("DROP CONSTRAINT third_parties_pkey, ADD UNIQUE (id) DEFERRABLE", ['no unique index on "id" alone']),
    ("DROP CONSTRAINT third_parties_pkey, ADD UNIQUE (id, name)", ['no unique index on "id" alone']),
    ("ADD COLUMN mine int NOT NULL", ['Column "mine" is NOT NULL, has no default']),
    ("SET UNLOGGED", ["temporary or unlogged"]),
    ("FORCE ROW LEVEL SECURITY", ["row level security"]),
])
def test_table_that_does_not_fit(db, change, words):
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}')")
    rows(db, f"ALTER TABLE {COPY} {change}")
    refused(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')", "42P16", COPY, *words)
    assert rows(db, "SELECT copy FROM tpm_fdw_copies") == []


@pytest.mark.parametrize("statement", ["CREATE VIEW v.t AS SELECT 1 AS id", "CREATE FOREIGN TABLE v.t (id text) SERVER tpm",
                                       "CREATE TABLE v.t (id text) PARTITION BY LIST (id)"])
def test_what_is_no_ordinary_table(db, statement):
    rows(db, "CREATE SCHEMA v")
    rows(db, statement)
    refused(db, "SELECT tpm_fdw_create_copy('tpm.third_parties', 'v.t')", "42P16", "It is not an ordinary table.")


def test_table_that_fits_is_taken(db):
    """With rows and columns of its owner's; in another order, with another unique index, without our column."""
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}')")
    rows(db, f"ALTER TABLE {COPY} DROP COLUMN _changed_at, DROP COLUMN name")
    rows(db, f"ALTER TABLE {COPY} ADD COLUMN name text, ADD COLUMN note text, ADD COLUMN made int DEFAULT 1 NOT NULL")
    rows(db, f"ALTER TABLE {COPY} DROP CONSTRAINT third_parties_pkey")
    rows(db, f"CREATE UNIQUE INDEX ON {COPY} (id) INCLUDE (name)")
    rows(db, f"INSERT INTO {COPY} (id) VALUES ('x')")
    assert create(db, deletions="mark") == COPY
    assert {name for name, *_ in columns(db, COPY)} >= {"_changed_at", "_deleted_at", "note", "made"}
    assert rows(db, "SELECT state, rows FROM tpm_fdw_copies") == [("new", 1)]
    refused(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')", "42P07", "is a local copy of tpm.third_parties",
            "tpm_fdw_alter_copy()")


@pytest.mark.parametrize("options, words", [
    ("resource '/third_parties/{name}/cases'", "needs a value of column"),
    ("resource '/third_parties', required_filters 'name'", "not read without a condition"),
    ("resource '/third_parties', ops 'create'", "ops"),
])
def test_source_that_cannot_be_copied(db, options, words):
    rows(db, f"CREATE FOREIGN TABLE tpm.odd (id text, name text OPTIONS (filter 'name')) SERVER tpm OPTIONS ({options})")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.odd')", "42809", "foreign table tpm.odd cannot be copied", words)


def test_source_without_id_or_with_our_names(db):
    rows(db, "CREATE FOREIGN TABLE tpm.no_id (name text) SERVER tpm OPTIONS (resource '/third_parties')")
    rows(db, "CREATE FOREIGN TABLE tpm.ours (id text, _changed_at text) SERVER tpm OPTIONS (resource '/third_parties')")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.no_id')", "42809", "no column that holds the id")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.ours')", "42809", 'has a column "_changed_at" of its own')
    refused(db, "SELECT tpm_fdw_create_copy('pg_class')", "42809", "is not a foreign table of tpm_fdw")


def test_collations(db, icu):
    """Another one than the foreign table's is good, unless it takes different ids for the same."""
    rows(db, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}')")
    rows(db, f'ALTER TABLE {COPY} ALTER COLUMN name TYPE text COLLATE loose, ALTER COLUMN id TYPE text COLLATE "und-x-icu"')
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}')")
    rows(db, f"ALTER TABLE {COPY} ALTER COLUMN id TYPE text COLLATE loose")
    refused(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')", "42P16", "takes different ids for the same")
    rows(db, "ALTER FOREIGN TABLE tpm.cases ALTER COLUMN id TYPE text COLLATE loose")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.cases')", "42809", "takes different ids for the same")


def test_columns_that_are_too_many(db):
    named = ", ".join(f"c{i} int" for i in range(1598))
    rows(db, f"CREATE FOREIGN TABLE tpm.wide (id text, {named}, gone int) SERVER tpm OPTIONS (resource '/third_parties')")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.wide')", "42809", "It has 1600 columns")
    rows(db, "ALTER FOREIGN TABLE tpm.wide DROP COLUMN gone, DROP COLUMN c7")
    assert create(db, "tpm.wide", "tpm_copy.wide") == "tpm_copy.wide"
    assert len(columns(db, "tpm_copy.wide")) == 1599


def test_generated_and_dropped_columns(db):
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties DROP COLUMN city")
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ADD COLUMN upper_name text GENERATED ALWAYS AS (upper(name)) STORED")
    create(db)
    names = [name for name, *_ in columns(db, COPY)]
    assert "upper_name" in names and "city" not in names
    assert value(db, f"SELECT attgenerated FROM pg_attribute WHERE attrelid = '{COPY}'::regclass AND attname = 'upper_name'") == ""


def test_cursor(db):
    create(db, target="a.usual")
    assert "no cursor" not in notices(db)
    create(db, "tpm.users", "a.users")
    assert "tpm.users has no cursor: each run of its copy reads it whole" in notices(db)
    rows(db, "ALTER FOREIGN TABLE tpm.cases ALTER COLUMN updated_at DROP NOT NULL")
    create(db, "tpm.cases", "a.cases")
    assert 'Column "updated_at" is not NOT NULL.' in notices(db)
    refused(db, "SELECT tpm_fdw_create_copy('tpm.third_parties', 'a.x', cursor_column => 'name')", "22023", "timestamptz or date")
    refused(db, "SELECT tpm_fdw_create_copy('tpm.cases', 'a.x', cursor_column => 'nope')", "22023", 'no column "nope"')
    create(db, target="a.grows", cursor_column="created_at")


@pytest.mark.parametrize("options", ["every => '0'", "every => '-1 s'", "lookback => '-1 s'", "reconcile => '-1 s'",
                                     "sweep => '-1 day'", "deletions => 'drop'", "unlisted => 'mark'"])
def test_values_that_are_not_good(db, options):
    refused(db, f"SELECT tpm_fdw_create_copy('tpm.cases', 'a.x', {options})", "22023", options.split(" ", maxsplit=1)[0])


def test_all_of_a_schema(db):
    rows(db, "CREATE FOREIGN TABLE tpm.no_id (name text) SERVER tpm OPTIONS (resource '/third_parties')")
    made = value(db, "SELECT tpm_fdw_create_copies('tpm', 'everything')")
    assert made == value(db, "SELECT count(*) FROM tpm_fdw_copies") == value(
        db, "SELECT count(*) - 1 FROM pg_foreign_table") > 20
    said = notices(db)
    assert said.count("WARNING") == 1 and "table tpm.no_id is not copied" in said and "no column that holds the id" in said
    assert value(db, "SELECT tpm_fdw_create_copies('tpm', 'everything')") == 0
    assert value(db, "SELECT count(*) FROM tpm_fdw_copies") == made


# ----- the guard -----


WRITES = [f"INSERT INTO {COPY} (id) VALUES ('n')", f"DELETE FROM {COPY}", f"TRUNCATE {COPY}", f"UPDATE {COPY} SET name = 'x'",
          f"UPDATE {COPY} SET note = 'x', _changed_at = now()", f"INSERT INTO {COPY} (id) VALUES ('o') ON CONFLICT (id) DO UPDATE SET note = ''",
          f"MERGE INTO {COPY} t USING (SELECT 'o' AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE",
          f"COPY {COPY} (id) FROM PROGRAM 'echo n'"]


@pytest.mark.parametrize("write", WRITES)
def test_guard(db, write):
    create(db)
    rows(db, f"ALTER TABLE {COPY} ADD COLUMN note text")
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    rows(db, f"INSERT INTO {COPY} (id) VALUES ('o')")
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => false)")
    refused(db, write, "55000", "tpm.third_parties", "paused => true")
    assert rows(db, f"SELECT id, note FROM {COPY}") == [("o", None)]
    rows(db, f"UPDATE {COPY} SET note = 'mine' WHERE id = 'o'")
    assert value(db, f"SELECT note FROM {COPY}") == "mine"
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    assert value(db, "SELECT state FROM tpm_fdw_copies") == "paused"
    rows(db, write)


def test_type_of_a_column_can_be_mended(db):
    """PostgreSQL refuses that of a column which a trigger names."""
    create(db)
    rows(db, f"ALTER TABLE {COPY} ALTER COLUMN risk_score TYPE text")


def test_guard_that_does_not_work_is_told(db):
    create(db)
    rows(db, f"ALTER TABLE {COPY} DISABLE TRIGGER tpm_fdw_copy_guard")
    state, problem = rows(db, "SELECT state, problem FROM tpm_fdw_copies")[0]
    assert state == "failed" and "tpm_fdw_copy_guard" in problem
    rows(db, f"ALTER TABLE {COPY} ENABLE TRIGGER tpm_fdw_copy_guard")
    assert value(db, "SELECT state FROM tpm_fdw_copies") == "new"
    rows(db, f"DROP TRIGGER tpm_fdw_copy_guard ON {COPY}")
    assert value(db, "SELECT state FROM tpm_fdw_copies") == "failed"
    create(db)
    assert rows(db, "SELECT state FROM tpm_fdw_copies") == [("new",)]


# ----- renamed, gone, changed -----


def test_rename_is_followed(db):
    create(db)
    rows(db, "ALTER TABLE tpm_copy.third_parties RENAME TO suppliers")
    rows(db, "ALTER SCHEMA tpm_copy RENAME TO bi")
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties RENAME TO parties")
    assert rows(db, "SELECT copy::text, state, source::text FROM tpm_fdw_copies") == [("bi.suppliers", "new", "tpm.parties")]
    refused(db, "DELETE FROM bi.suppliers", "55000", "bi.suppliers")


def test_state_of_a_table_that_is_gone(db):
    create(db)
    rows(db, f"DROP TABLE {COPY}")
    assert rows(db, "SELECT copy FROM tpm_fdw_copies") == []
    rows(db, f"CREATE TABLE {COPY} (id text)")
    assert rows(db, "SELECT copy FROM tpm_fdw_copies") == []
    rows(db, f"INSERT INTO {COPY} VALUES ('anybody''s')")
    create(db, "tpm.cases", "tpm_copy.cases")
    assert rows(db, "SELECT copy FROM tpm_fdw_copy_state") == [("tpm_copy.cases",)]


def test_source_that_is_gone(db):
    create(db)
    rows(db, "DROP FOREIGN TABLE tpm.third_parties")
    state, problem, source = rows(db, "SELECT state, problem, source FROM tpm_fdw_copies")[0]
    assert (state, source) == ("failed", None) and "tpm.third_parties" in problem
    refused(db, f"SELECT tpm_fdw_alter_copy('{COPY}', source => 'tpm.cases')", "42P16", "cannot be the copy of tpm.cases")
    rows(db, "IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties) FROM SERVER tpm INTO tpm")
    assert value(db, "SELECT state FROM tpm_fdw_copies") == "new"


def test_alter_changes_what_is_given(db):
    create(db, lookback="1 min", reconcile="1 day")
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', every => '1 hour', unlisted => 'remove')")
    assert rows(db, "SELECT lookback::text, every::text, every_given, reconcile::text, sweep, deletions, unlisted_option, paused,"
                    " cursor_column FROM tpm_fdw_copy_state") == \
        [("00:01:00", "01:00:00", True, "1 day", None, "remove", "remove", False, "updated_at")]
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', reconcile => '0', cursor_column => '')")
    assert rows(db, "SELECT reconcile, cursor_column, lookback::text FROM tpm_fdw_copy_state") == [(None, None, "00:01:00")]
    refused(db, "SELECT tpm_fdw_alter_copy('pg_class', paused => true)", "42809", "is not a local copy")


def test_marked_rows_go_when_they_are_no_longer_kept(db):
    create(db, deletions="mark")
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    rows(db, f"INSERT INTO {COPY} (id, _deleted_at) VALUES ('gone', now()), ('here', NULL)")
    rows(db, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => false, deletions => 'remove')")
    assert rows(db, f"SELECT id FROM {COPY}") == [("here",)]
    assert value(db, "SELECT sweep_planned FROM tpm_fdw_copy_state")


def test_expected_end(db):
    """As many pages as are left, at what copies may send; nothing where the source's options do not fit together."""
    rows(db, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '600')")
    create(db)
    rows(db, "UPDATE tpm_fdw_copy_state SET phase = 'filling', pages_done = 400, pages_expected = 1000")
    assert rows(db, "SELECT state, extract(epoch FROM expected_end - now())::int / 60 FROM tpm_fdw_copies") == [("filling", 120)]
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties DROP COLUMN id")
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD resource '/{gone}/x')")
    assert rows(db, "SELECT state, expected_end FROM tpm_fdw_copies") == [("filling", None)]


def test_drop(db):
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}')")
    rows(db, f"INSERT INTO {COPY} (id) VALUES ('mine')")
    create(db)
    rows(db, f"SELECT tpm_fdw_drop_copy('{COPY}', true)")
    assert value(db, f"SELECT to_regclass('{COPY}')") is None
    assert value(db, "SELECT count(*) FROM tpm_fdw_copy_state") == 0


# ----- whose it is -----


def test_plain_role(db, cluster):
    rows(db, "CREATE ROLE plain_copier LOGIN")
    rows(db, "CREATE ROLE copy_onlooker LOGIN")
    try:
        rows(db, "CREATE SCHEMA theirs AUTHORIZATION plain_copier")
        rows(db, "GRANT USAGE ON SCHEMA tpm TO plain_copier")
        create(db)
        other = cluster.connect(db.info.dbname, "plain_copier")
        refused(other, "SELECT tpm_fdw_create_copy('tpm.cases', 'theirs.cases')", "42501", "permission denied")
        rows(db, "GRANT SELECT ON tpm.cases TO plain_copier")
        assert create(other, "tpm.cases", "theirs.cases") == "theirs.cases"
        refused(other, "SELECT * FROM tpm_fdw_copy_state", "42501")
        refused(other, "SELECT * FROM tpm_fdw_copy_ids", "42501")
        rows(db, "GRANT USAGE ON SCHEMA tpm_copy TO plain_copier")
        refused(other, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)", "42501", "must be owner")
        refused(other, f"SELECT tpm_fdw_drop_copy('{COPY}')", "42501", "must be owner")
        refused(other, f"SELECT tpm_fdw_create_copy('tpm.cases', '{COPY}')", "42501", "must be owner")
        refused(other, "DELETE FROM theirs.cases", "55000")
        rows(db, "ALTER TABLE theirs.cases DISABLE TRIGGER tpm_fdw_copy_guard")
        seen = "SELECT copy::text, problem IS NULL FROM tpm_fdw_copies WHERE state = 'failed'"
        for user, hidden in (("plain_copier", False), ("copy_onlooker", True), ("postgres", False)):
            assert rows(cluster.connect(db.info.dbname, user), seen) == [("theirs.cases", hidden)]
        rows(db, "GRANT pg_read_all_stats TO copy_onlooker")
        assert rows(cluster.connect(db.info.dbname, "copy_onlooker"), seen) == [("theirs.cases", False)]
    finally:
        rows(db, "DROP OWNED BY plain_copier CASCADE")
        rows(db, "DROP ROLE plain_copier, copy_onlooker")


def test_read_only_transaction(db):
    refused(db, "BEGIN READ ONLY; SELECT tpm_fdw_create_copy('tpm.cases')", "25006")
    rows(db, "ROLLBACK")
