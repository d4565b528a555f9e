"""Own writes: what INSERT and UPDATE of a foreign table are answered is in its copy as soon as they are committed."""

import io

import psycopg2
import pytest
import tpmtest
from tpmtest import notices, quote, rows

INSERT = "INSERT INTO tpm.third_parties (name, internal_id, country) VALUES ('{0}', '{0}', 'DE')"
IN_COPY = "SELECT name FROM tpm_copy.third_parties WHERE internal_id LIKE 'own%' ORDER BY internal_id"


@pytest.fixture
def copied(tpm):
    """The copy of the third parties, filled."""
    rows(tpm, "SELECT tpm_fdw_create_copy('tpm.third_parties')")
    rows(tpm, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    rows(tpm, "SET search_path = public")
    notices(tpm)
    return tpm


def writes(sandbox):
    return [entry for entry in sandbox.api_requests() if entry["method"] != "GET"]


def differences(connection):
    """Rows in which copy and API are not the same; read without the cache."""
    columns = [name for name, in rows(
        connection, "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'tpm.third_parties'::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum")]
    names = ", ".join(columns)
    return rows(connection, f"(SELECT {names} FROM tpm.third_parties EXCEPT SELECT {names} FROM tpm_copy.third_parties)"
                            f" UNION ALL (SELECT {names} FROM tpm_copy.third_parties EXCEPT SELECT {names} FROM tpm.third_parties)")


def test_insert_and_update(copied, sandbox):
    before = len(sandbox.api_requests())
    rows(copied, INSERT.format("own-1"))
    rows(copied, "INSERT INTO tpm.third_parties (name, internal_id, country) SELECT 'n' || i, 'own-2-' || i, 'DE' FROM generate_series(1, 20) i")
    assert len(rows(copied, IN_COPY)) == 21
    # the answers and no request more: one POST a row, and a look for 20 keys
    assert [entry["method"] for entry in sandbox.api_requests()[before:]].count("GET") <= 1
    rows(copied, "UPDATE tpm.third_parties SET city = 'Own' WHERE internal_id = 'own-1'")
    assert rows(copied, "SELECT city FROM tpm_copy.third_parties WHERE internal_id = 'own-1'") == [("Own",)]
    assert differences(copied) == []
    assert rows(copied, "SELECT rows, inserted - 300, updated FROM tpm_fdw_copies") == [(321, 21, 1)]
    assert notices(copied) == ""


def test_returning_and_the_moment(copied):
    (stated,), = rows(copied, "SELECT clock_timestamp()")
    rows(copied, INSERT.format("own-1") + " RETURNING id")
    (changed, now), = rows(copied, "SELECT _changed_at, clock_timestamp() FROM tpm_copy.third_parties WHERE internal_id = 'own-1'")
    assert stated < changed < now


def test_nothing_before_the_commit(copied, cluster):
    other = cluster.connect(copied.info.dbname)
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    assert rows(copied, IN_COPY) == rows(other, IN_COPY) == []
    rows(copied, "COMMIT")
    assert rows(other, IN_COPY) == [("own-1",)]
    other.close()


def test_a_savepoint_unsends_nothing(copied, sandbox):
    """The API has the row, so the copy has it."""
    rows(copied, "BEGIN")
    rows(copied, "SAVEPOINT s")
    rows(copied, INSERT.format("own-1"))
    rows(copied, "ROLLBACK TO s")
    rows(copied, INSERT.format("own-2"))
    rows(copied, "COMMIT")
    assert rows(copied, IN_COPY) == [("own-1",), ("own-2",)]
    assert differences(copied) == []


def test_one_row_of_a_statement_fails(copied, sandbox):
    """What was written beside it is there, once an exception block has taken the error."""
    rows(copied, """DO $$ BEGIN
        INSERT INTO tpm.third_parties (name, internal_id, country) VALUES ('own-1', 'own-1', 'DE'), ('own-2', 'own-2', NULL);
    EXCEPTION WHEN OTHERS THEN NULL; END $$""")
    assert differences(copied) == []


def test_rollback_is_the_next_runs_work(copied):
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    rows(copied, "ROLLBACK")
    assert rows(copied, IN_COPY) == []
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert rows(copied, IN_COPY) == [("own-1",)]


def test_the_same_row_several_times(copied):
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    for city in ("One", "Two", "Three"):
        rows(copied, f"UPDATE tpm.third_parties SET city = '{city}' WHERE internal_id = 'own-1'")
    rows(copied, "COMMIT")
    assert rows(copied, "SELECT city FROM tpm_copy.third_parties WHERE internal_id = 'own-1'") == [("Three",)]


def test_what_a_later_run_saw_stays(copied, sandbox, cluster):
    """An answer that left before the run began does not overwrite what the run has read."""
    other = cluster.connect(copied.info.dbname)
    rows(copied, "BEGIN")
    rows(copied, "UPDATE tpm.third_parties SET city = 'Mine' WHERE id = '7'")
    rows(copied, INSERT.format("own-gone"))
    number = max(int(row["id"]) for row in sandbox.dump("third_parties"))
    sandbox.edit("third_parties", 7, city="Theirs")
    sandbox.delete("third_parties", number)
    rows(other, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert rows(other, "SELECT city FROM tpm_copy.third_parties WHERE id = '7'") == [("Theirs",)]
    rows(copied, "COMMIT")
    assert rows(other, "SELECT city FROM tpm_copy.third_parties WHERE id = '7'") == [("Theirs",)]
    assert rows(other, IN_COPY) == []
    other.close()


LOCKS = {
    "row": "UPDATE tpm_copy.third_parties SET note = 'mine' WHERE id = '7'",
    "table": "LOCK TABLE tpm_copy.third_parties IN ACCESS EXCLUSIVE MODE",
}


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_is_waited_for_a_second(copied, cluster, sandbox, kind):
    other = cluster.connect(copied.info.dbname)
    rows(copied, "ALTER TABLE tpm_copy.third_parties ADD note text")
    rows(other, "BEGIN")
    rows(other, LOCKS[kind])
    before = len(writes(sandbox))
    (took,), = rows(copied, "WITH a AS (SELECT clock_timestamp() AS at) SELECT extract(epoch FROM a.at)::float8 FROM a")
    rows(copied, "UPDATE tpm.third_parties SET city = 'Mine' WHERE id = '7'")
    (until,), = rows(copied, "SELECT extract(epoch FROM clock_timestamp())::float8")
    assert 0.9 < until - took < 0.9 + 3 * tpmtest.SLACK
    text = notices(copied)
    assert "WARNING" in text and "what was written to tpm.third_parties is not in its copy tpm_copy.third_parties yet" in text
    assert "lock timeout" in text and "CALL tpm_fdw_sync" in text
    rows(other, "ROLLBACK")
    other.close()
    assert len(writes(sandbox)) == before + 1
    assert rows(copied, "SHOW lock_timeout") == [("0",)]
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert rows(copied, "SELECT city FROM tpm_copy.third_parties WHERE id = '7'") == [("Mine",)]


def test_a_constraint_refuses(copied, sandbox):
    rows(copied, "ALTER TABLE tpm_copy.third_parties ADD CHECK (city IS DISTINCT FROM 'Mine')")
    rows(copied, "UPDATE tpm.third_parties SET city = 'Mine' WHERE id = '7'")
    assert "violates check constraint" in notices(copied)
    assert next(row for row in sandbox.dump("third_parties") if row["id"] == "7")["attributes"]["city"] == "Mine"
    assert rows(copied, "SELECT current_user") == [("postgres",)]


def test_a_deferred_constraint_is_checked(copied):
    """At the commit nobody else would: its triggers have run by then."""
    rows(copied, "CREATE TABLE public.cities (city text PRIMARY KEY)")
    rows(copied, "INSERT INTO public.cities SELECT DISTINCT city FROM tpm_copy.third_parties WHERE city IS NOT NULL")
    rows(copied, "ALTER TABLE tpm_copy.third_parties ADD FOREIGN KEY (city) REFERENCES public.cities DEFERRABLE INITIALLY DEFERRED")
    rows(copied, "UPDATE tpm.third_parties SET city = 'Nowhere' WHERE id = '7'")
    assert "violates foreign key constraint" in notices(copied)
    assert rows(copied, "SELECT count(*) FROM tpm_copy.third_parties t LEFT JOIN public.cities c USING (city)"
                        " WHERE c.city IS NULL AND t.city IS NOT NULL") == [(0,)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_conflict_is_no_error(copied, cluster, sandbox, level):
    other = cluster.connect(copied.info.dbname)
    rows(copied, f"BEGIN ISOLATION LEVEL {level}")
    rows(copied, "SELECT count(*) FROM tpm_copy.third_parties")
    sandbox.edit("third_parties", 7, city="Theirs")
    rows(other, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    rows(copied, "UPDATE tpm.third_parties SET city = 'Mine' WHERE id = '7'")
    rows(copied, "COMMIT")
    assert "is not in its copy" in notices(copied)
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert rows(copied, "SELECT city FROM tpm_copy.third_parties WHERE id = '7'") == [("Mine",)]
    other.close()


def test_repeatable_read_without_a_conflict(copied):
    rows(copied, "BEGIN ISOLATION LEVEL REPEATABLE READ")
    rows(copied, INSERT.format("own-1"))
    rows(copied, "COMMIT")
    assert rows(copied, IN_COPY) == [("own-1",)]
    assert notices(copied) == ""


def test_who_writes_needs_no_right_on_the_copy(copied, cluster):
    """It is written as its owner, by its owner's triggers' rules, and the writer is himself again."""
    rows(copied, "CREATE ROLE own_writer LOGIN")
    try:
        rows(copied, "GRANT USAGE ON SCHEMA tpm TO own_writer; GRANT SELECT, INSERT ON tpm.third_parties TO own_writer;"
                     " GRANT USAGE ON FOREIGN SERVER tpm TO own_writer;"
                     " CREATE USER MAPPING FOR own_writer SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret')")
        rows(copied, "CREATE TABLE public.seen (who text)")
        rows(copied, "CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$"
                     " BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NULL; END $$")
        rows(copied, "CREATE TRIGGER see AFTER INSERT ON tpm_copy.third_parties EXECUTE FUNCTION public.see()")
        writer = cluster.connect(copied.info.dbname, "own_writer")
        rows(writer, INSERT.format("own-1"))
        assert notices(writer) == ""
        assert rows(writer, "SELECT current_user::text") == [("own_writer",)]
        writer.close()
        assert rows(copied, IN_COPY) == [("own-1",)]
        assert rows(copied, "SELECT DISTINCT who FROM public.seen") == [("postgres",)]
    finally:
        rows(copied, "DROP OWNED BY own_writer; DROP ROLE own_writer")


def test_copies_that_are_not_written(copied, sandbox):
    rows(copied, "SELECT tpm_fdw_alter_copy('tpm_copy.third_parties', paused => true)")
    rows(copied, INSERT.format("own-1"))
    assert rows(copied, IN_COPY) == []
    rows(copied, "SELECT tpm_fdw_alter_copy('tpm_copy.third_parties', paused => false)")
    rows(copied, "ALTER TABLE tpm_copy.third_parties DISABLE TRIGGER tpm_fdw_copy_guard")
    rows(copied, INSERT.format("own-2"))
    assert rows(copied, IN_COPY) == []
    rows(copied, "DROP TABLE tpm_copy.third_parties")
    rows(copied, INSERT.format("own-3"))
    assert notices(copied) == ""
    assert len(writes(sandbox)) == 3


def test_dropped_in_the_same_transaction(copied):
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    rows(copied, "SELECT tpm_fdw_drop_copy('tpm_copy.third_parties', drop_table => true)")
    rows(copied, "COMMIT")
    assert rows(copied, "SELECT count(*) FROM tpm_fdw_copies") == [(0,)]


def test_several_copies(copied):
    rows(copied, "SELECT tpm_fdw_create_copy('tpm.third_parties', 'public.another')")
    rows(copied, "SELECT tpm_fdw_create_copy('tpm.notes')")
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    rows(copied, "INSERT INTO tpm.notes (body, third_party_id) VALUES ('own', '1')")
    rows(copied, "COMMIT")
    assert rows(copied, IN_COPY) == rows(copied, "SELECT name FROM public.another") == [("own-1",)]
    assert rows(copied, "SELECT body FROM tpm_copy.notes") == [("own",)]


def test_copy_of_many_rows(copied):
    """Whatever does not fit into work_mem waits on disk, and is in the copy once."""
    rows(copied, "SET work_mem = '64kB'; SET tpm_fdw.max_writes = 0")
    text = "".join(f"own-{i:04}\town-{i:04}\tDE\n" for i in range(1500))
    rows(copied, "BEGIN")
    rows(copied, "SAVEPOINT s")
    with copied.cursor() as cursor:
        cursor.copy_expert("COPY tpm.third_parties (name, internal_id, country) FROM STDIN", io.StringIO(text))
    rows(copied, "ROLLBACK TO s")
    rows(copied, "COMMIT")
    assert rows(copied, "SELECT count(*), count(DISTINCT internal_id) FROM tpm_copy.third_parties"
                        " WHERE internal_id LIKE 'own-%'") == [(1500, 1500)]
    assert "leak" not in notices(copied)
    assert rows(copied, "SELECT count(*) FROM pg_ls_tmpdir()") == [(0,)]


def test_no_place_on_disk(copied):
    rows(copied, "SET work_mem = '64kB'; SET tpm_fdw.max_writes = 0; SET temp_file_limit = 0")
    rows(copied, "INSERT INTO tpm.third_parties (name, internal_id, country) SELECT 'own-' || i, 'own-' || i, 'DE' FROM generate_series(1, 400) i")
    rows(copied, "RESET temp_file_limit")
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert len(rows(copied, IN_COPY)) == 400


def test_an_answer_that_was_lost(copied, sandbox):
    """The row was found by its key, not answered: nothing is written, and the next run reads it."""
    sandbox.fault("drop_after_write", count=1)
    rows(copied, INSERT.format("own-1"))
    assert rows(copied, IN_COPY) == []
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    assert rows(copied, IN_COPY) == [("own-1",)]


def test_no_cursor_plans_a_sweep(tpm, cluster):
    rows(tpm, "SELECT tpm_fdw_create_copy('tpm.notes', cursor_column => NULL)")
    rows(tpm, "CALL tpm_fdw_sync('tpm_copy.notes')")
    planned = "SELECT sweep_planned FROM tpm_fdw_copy_state"
    assert rows(tpm, planned) == [(False,)]
    rows(tpm, "ALTER TABLE tpm_copy.notes ADD CHECK (body <> 'own')")
    rows(tpm, "INSERT INTO tpm.notes (body, third_party_id) VALUES ('own', '1')")
    assert "is not in its copy" in notices(tpm)
    assert rows(tpm, planned) == [(True,)]


# autovacuum has locks as well
OWN_LOCKS = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()"


def test_a_table_without_copies(tpm, sandbox):
    before = rows(tpm, OWN_LOCKS)
    rows(tpm, "BEGIN")
    rows(tpm, INSERT.format("own-1"))
    assert rows(tpm, "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text LIKE '%copy%'"
                     " AND mode <> 'AccessShareLock'") == [(0,)]
    rows(tpm, "COMMIT")
    assert rows(tpm, OWN_LOCKS) == before


def test_prepare_transaction_is_refused(copied):
    rows(copied, "BEGIN")
    rows(copied, INSERT.format("own-1"))
    with pytest.raises(psycopg2.Error) as caught:
        rows(copied, f"PREPARE TRANSACTION {quote('own')}")
    assert "cannot prepare" in str(caught.value)
