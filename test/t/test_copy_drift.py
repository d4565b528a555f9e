"""The foreign table of a copy, or the API behind it, changes: what the copy takes, and what stops it."""

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

COPY = "tpm_copy.third_parties"
SAME = """SELECT count(*) FROM (SELECT id, name, {column} FROM tpm.third_parties EXCEPT
          SELECT id, name, {column} FROM tpm_copy.third_parties) d"""


@pytest.fixture(name="db")
def filled(db, sandbox):
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"cache_ttl": "0"})
    rows(db, f"SELECT tpm_fdw_create_copy('tpm.third_parties', '{COPY}')")
    sync(db)
    assert state(db)[:2] == ("current", None)
    return db


def sync(db, whole=False):
    rows(db, f"CALL tpm_fdw_sync('{COPY}', whole => {whole})")


def state(db):
    return rows(db, "SELECT state, problem, rows FROM tpm_fdw_copies")[0]


def test_column_that_is_new(db):
    """Added with what its rows hold, by the run that meets it."""
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ADD COLUMN again text OPTIONS (attribute 'name')")
    sync(db)
    assert state(db) == ("current", None, 300)
    assert rows(db, SAME.format(column="again")) == [(0,)]
    with pytest.raises(psycopg2.Error, match="is a local copy"):
        rows(db, f"UPDATE {COPY} SET again = 'x'")


def test_column_that_is_new_while_the_table_is_in_use(db, cluster):
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ADD COLUMN again text OPTIONS (attribute 'name')")
    reader = cluster.connect(db.info.dbname, autocommit=False)
    rows(reader, f"SELECT count(*) FROM {COPY}")
    sync(db)
    assert "not added to local copy" in tpmtest.notices(db)
    assert state(db) == ("current", None, 300)
    reader.close()
    sync(db)
    assert rows(db, SAME.format(column="again")) == [(0,)]


def test_column_that_is_dropped_stays(db):
    before = rows(db, f"SELECT id, city FROM {COPY} ORDER BY id")
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties DROP COLUMN city")
    sync(db, whole=True)
    assert rows(db, f"SELECT id, city FROM {COPY} ORDER BY id") == before
    rows(db, f"UPDATE {COPY} SET city = 'mine'")


def test_type_that_changed(db):
    """The HINT is the statement that mends it."""
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN risk_score TYPE text")
    with pytest.raises(psycopg2.Error) as error:
        sync(db)
    assert error.value.pgcode == "42804"
    shown, problem, _ = state(db)
    assert shown == "failed" and "risk_score" in problem
    rows(db, error.value.diag.message_hint)
    sync(db)
    assert state(db) == ("current", None, 300)
    assert rows(db, SAME.format(column="risk_score")) == [(0,)]


def test_member_that_vanished(db):
    """Nothing of the page is written."""
    before = rows(db, f"SELECT * FROM {COPY} ORDER BY id")
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (ADD attribute 'renamed')")
    with pytest.raises(psycopg2.Error, match='no resource has the member of column "name"'):
        sync(db, whole=True)
    assert rows(db, f"SELECT * FROM {COPY} ORDER BY id") == before
    assert state(db)[0] == "failed"
    rows(db, "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (DROP attribute)")
    sync(db, whole=True)
    assert state(db) == ("current", None, 300)


@pytest.mark.parametrize("change, mend", [
    (f"ALTER TABLE {COPY} SET UNLOGGED", f"ALTER TABLE {COPY} SET LOGGED"),
    (f"ALTER TABLE {COPY} FORCE ROW LEVEL SECURITY", f"ALTER TABLE {COPY} NO FORCE ROW LEVEL SECURITY"),
    (f"ALTER TABLE {COPY} DROP CONSTRAINT third_parties_pkey", f"ALTER TABLE {COPY} ADD PRIMARY KEY (id)"),
    (f"ALTER TABLE {COPY} DISABLE TRIGGER tpm_fdw_copy_guard", f"ALTER TABLE {COPY} ENABLE TRIGGER tpm_fdw_copy_guard"),
    ("ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN updated_at DROP NOT NULL",
     "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN updated_at SET NOT NULL"),
    ("ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD required_filters 'status')",
     "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (DROP required_filters)"),
])
def test_what_a_copy_cannot_do_without(db, sandbox, change, mend):
    rows(db, change)
    sandbox.reset()
    with pytest.raises(psycopg2.Error):
        sync(db)
    assert sandbox.request_count() == 0
    assert state(db)[0] == "failed"
    rows(db, mend)
    sync(db)
    assert state(db)[:2] == ("current", None)
