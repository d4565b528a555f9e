"""CALL tpm_fdw_sync(): who a run is and when, what it holds while it waits, what an error, a cancel or another run does to it."""

import time

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

COPY = "s_copy.things"
PAGE = 20


def table(db, name="things", page_size=PAGE, sortable=True, **options):
    """A foreign table over the sandbox's 300 third parties, in 15 pages."""
    options = {"resource": "/third_parties", "page_size": page_size, "pagination": "number",
               "total_pointer": "/meta/total_count", **options}
    order = "OPTIONS (sortable 'true')" if sortable else ""
    rows(db, f"""CREATE FOREIGN TABLE s.{name} (id text {order} COLLATE "C" NOT NULL, name text, city text,
                 updated_at timestamptz {order} NOT NULL) SERVER tpm OPTIONS ({tpmtest.option_list(options)})""")


def make(db, name="things", **options):
    named = "".join(f", {option} => %s" for option in options)
    rows(db, f"SELECT tpm_fdw_create_copy(%s, %s{named})", (f"s.{name}", f"s_copy.{name}", *options.values()))
    tpmtest.notices(db)


@pytest.fixture
def copy(api):
    """A session, a foreign table and its copy, not filled."""
    table(api)
    make(api)
    return api


def says(db, *columns, copy=COPY):
    (row,) = rows(db, f"SELECT {', '.join(columns)} FROM tpm_fdw_copies WHERE copy = %s::regclass", (copy,))
    return row[0] if len(columns) == 1 else row


def sync(db, name=COPY, **arguments):
    named = "".join(f", {argument} => %s" for argument in arguments)
    rows(db, f"CALL tpm_fdw_sync(%s{named})", (name, *arguments.values()))


def failed(db, statement="CALL tpm_fdw_sync(%s)", parameters=(COPY,)):
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, statement, parameters if "%s" in statement else None)
    return caught.value


def sent(sandbox):
    return len([entry for entry in sandbox.api_requests() if entry["status"] != 401])


def another(cluster, db):
    return cluster.connect(db.info.dbname)


def is_equal(db, sandbox, copy=COPY):
    wanted = {item["id"]: item["attributes"]["name"] for item in sandbox.dump("third_parties")}
    return dict(rows(db, f"SELECT id, name FROM {copy}")) == wanted


# ----- where it may be called -----

def test_not_in_a_transaction_block(cluster, copy, sandbox):
    for statement in ("BEGIN; CALL tpm_fdw_sync()", "SELECT 1; CALL tpm_fdw_sync()"):
        session = another(cluster, copy)
        error = failed(session, statement)
        assert error.pgcode == "25001" and "autocommit" in error.diag.message_hint
        session.close()
    session = cluster.connect(copy.info.dbname, autocommit=False)
    assert failed(session).pgcode == "25001"
    session.close()
    rows(copy, "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL tpm_fdw_sync(); END $$")
    assert failed(copy, "SELECT f()").pgcode == "25001"
    assert sandbox.requests() == []


def test_from_do_and_from_a_procedure(copy, sandbox):
    rows(copy, f"DO $$ BEGIN CALL tpm_fdw_sync('{COPY}'); END $$")
    assert is_equal(copy, sandbox)
    rows(copy, f"CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN CALL tpm_fdw_sync('{COPY}'); COMMIT; END $$")
    rows(copy, "CALL p()")
    assert says(copy, "state", "rows") == ("current", 300)


def test_not_read_only(copy, sandbox):
    rows(copy, "SET default_transaction_read_only = on")
    assert failed(copy).pgcode == "25006"
    assert sandbox.requests() == []


def test_isolation_of_the_session_does_not_matter(copy, sandbox):
    rows(copy, "SET default_transaction_isolation = 'serializable'")
    sync(copy)
    assert is_equal(copy, sandbox)


def test_limits_of_statements_do_not_apply(copy, sandbox):
    rows(copy, "SET tpm_fdw.max_requests = 1")
    rows(copy, "SET tpm_fdw.max_wait = 0")
    sync(copy)
    assert is_equal(copy, sandbox) and says(copy, "requests", "requests_last_run") == (15, 15)


# ----- filling -----

def test_filling_reads_each_page_once(copy, sandbox):
    rows(copy, "CALL tpm_fdw_sync()")
    assert is_equal(copy, sandbox) and sent(sandbox) == 15
    state = says(copy, "state", "phase", "problem", "rows", "inserted", "updated", "deleted", "pages_done", "pages_expected")
    assert state == ("current", "idle", None, 300, 300, 0, 0, 15, 15)
    # what is not due sends nothing
    rows(copy, "CALL tpm_fdw_sync()")
    assert sent(sandbox) == 15


@pytest.mark.parametrize("style", ["links", "links_absolute", "number", "number_base64", "offset"])
@pytest.mark.parametrize("total", [True, False])
def test_filling_goes_on_where_it_was(cluster, api, sandbox, style, total):
    sandbox.settings(pagination=style)
    if not total:
        sandbox.settings(no_total=True)
    table(api, pagination=style.split("_abs")[0], **({} if total else {"total_pointer": "/meta/nothing"}))
    make(api, sweep="100 years")
    for page in (1, 6, 5):
        sandbox.fault("status:403", skip=page, count=1, match="GET /v1/third_parties")
        assert failed(api).pgcode == "42501"
        assert says(api, "state", "phase") == ("failed", "filling")
    sync(api)
    assert is_equal(api, sandbox)
    assert sent(sandbox) <= 15 + 3 * 2 + (0 if total else 15)


def test_a_link_that_is_refused_begins_the_list_anew(api, sandbox):
    sandbox.settings(pagination="cursor")
    table(api, pagination="links")
    make(api)
    sandbox.fault("status:403", skip=8, count=1, match="GET /v1/third_parties")
    failed(api)
    assert says(api, "rows", "pages_done") == (8 * PAGE, 8)
    sandbox.reset()
    sandbox.settings(pagination="cursor")
    sync(api)
    assert is_equal(api, sandbox) and says(api, "inserted", "updated") == (300, 0)


def test_rows_that_moved_past_a_page_are_read(copy, sandbox):
    """Deleted in front of where the filling is: the rows behind them move to a page that was read."""
    sandbox.fault("hold")
    thread, result = tpmtest.in_thread(lambda: sync(copy))
    ids = sorted(item["id"] for item in sandbox.dump("third_parties"))
    for page in range(15):
        tpmtest.wait_until(lambda: sandbox.state()["held"] or not thread.is_alive())
        if page == 6:
            sandbox.delete("third_parties", *ids[:25])
        sandbox.release()
    while thread.is_alive():
        sandbox.release()
        time.sleep(0.01)
    assert result == [None], result
    living = {item["id"] for item in sandbox.dump("third_parties")}
    assert living <= {number for number, in rows(copy, f"SELECT id FROM {COPY}")}


def test_on_resuming_in_the_order_of_ids_it_goes_back_far_enough(copy, sandbox):
    """As many came at the end as went in front: no total tells."""
    sandbox.fault("status:403", skip=8, count=1, match="GET /v1/third_parties")
    failed(copy)
    sandbox.reset()
    ids = sorted(item["id"] for item in sandbox.dump("third_parties"))
    sandbox.delete("third_parties", *ids[:25])
    for number in range(25):
        sandbox.create("third_parties", name=f"new {number}", country="DE")
    # a seventh of it has gone
    sync(copy, accept_deletions=True)
    living = {item["id"] for item in sandbox.dump("third_parties")}
    assert living <= {number for number, in rows(copy, f"SELECT id FROM {COPY}")}


def test_smaller_pages_where_the_api_wants_them(copy, sandbox):
    sandbox.fault("status:413", count=1, skip=3, match="GET /v1/third_parties")
    sync(copy)
    assert is_equal(copy, sandbox)


def test_capped_pages(copy, sandbox):
    sandbox.fault("page_cap", value=7)
    sync(copy)
    assert is_equal(copy, sandbox) and sent(sandbox) == 43


def test_a_total_that_the_list_does_not_reach_is_no_success(api, sandbox):
    sandbox.settings(total="whole")
    table(api, query="filter[status]=Active")
    make(api)
    sync(api)
    assert "announces 300 rows" in tpmtest.notices(api)
    problem, success, count = says(api, "problem", "last_success", "rows")
    assert "announces 300 rows" in problem and success is None
    assert count == len([item for item in sandbox.dump("third_parties") if item["attributes"]["status"] == "Active"])
    rows(api, "ALTER FOREIGN TABLE s.things OPTIONS (SET total_pointer '/meta/nothing')")
    sync(api, whole=True)
    assert says(api, "problem") is None and says(api, "last_success")


# ----- what has changed -----

def ids_by_cursor(sandbox):
    return [item["id"] for item in sorted(sandbox.dump("third_parties"), key=lambda item: item["attributes"]["updated_at"])]


@pytest.mark.parametrize("changed", [0, 1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE, 100])
def test_what_has_changed_costs_its_pages(copy, sandbox, changed):
    sync(copy)
    # a while ago, so that lookback leaves nothing of it in the window
    before = sent(sandbox)
    sync(copy)
    assert sent(sandbox) == before + 1
    before += 1
    sandbox.edit_all("third_parties", ids_by_cursor(sandbox)[:changed], name="Edited")
    sync(copy)
    assert is_equal(copy, sandbox)
    assert sent(sandbox) - before <= -(-changed // PAGE) + 1
    assert says(copy, "updated") == changed


def test_a_quiet_bulk_edit_is_not_read_for_ever(copy, sandbox):
    """Only by runs whose predecessor began within lookback of seeing it first."""
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', lookback => '1 second')")
    sync(copy)
    sandbox.edit_all("third_parties", ids_by_cursor(sandbox)[:100], name="Edited")
    sync(copy)
    time.sleep(2.5)
    # the watermark that this one finds is that of the run that has seen the edit
    sync(copy)
    before = sent(sandbox)
    sync(copy)
    assert sent(sandbox) == before + 1 and is_equal(copy, sandbox)


@pytest.mark.parametrize("skew", [0, 3600, -3600])
def test_the_watermark_is_the_least_of_what_is_known(copy, sandbox, skew):
    """The greatest cursor and the time since it was seen, and the API's own clock."""
    sandbox.edit("third_parties", "1", name="Edited")
    sandbox.settings(date_skew=skew)
    sync(copy)
    first, greatest = rows(copy, f"SELECT watermark, (SELECT max(updated_at) FROM {COPY}) FROM tpm_fdw_copies")[0]
    time.sleep(2.1)
    sync(copy)
    ((passed,),) = rows(copy, "SELECT watermark - %s FROM tpm_fdw_copies", (first,))
    assert first <= greatest and passed.total_seconds() > 1
    ahead = (first - greatest).total_seconds()
    assert -2 < ahead <= 0 if skew >= 0 else -3602 < ahead < -3598


def test_without_a_date_it_is_the_greatest_cursor(copy, sandbox):
    sandbox.edit("third_parties", "1", name="Edited")
    sandbox.settings(no_date=True)
    sync(copy)
    time.sleep(0.5)
    sync(copy)
    assert rows(copy, f"SELECT watermark = (SELECT max(updated_at) FROM {COPY}) FROM tpm_fdw_copies") == [(True,)]


def test_nothing_moves_the_watermark_before_the_window_is_read(copy, sandbox):
    sync(copy)
    watermark = says(copy, "watermark")
    sandbox.edit_all("third_parties", ids_by_cursor(sandbox)[:100], name="Edited")
    sandbox.fault("status:403", skip=3, count=1, match="GET /v1/third_parties")
    failed(copy)
    assert says(copy, "watermark") == watermark
    before = sent(sandbox)
    sync(copy)
    assert is_equal(copy, sandbox) and sent(sandbox) - before <= 6 - 3 + 2


# ----- identity -----

@pytest.fixture
def others(cluster, api):
    """A copy of somebody else's, with triggers of hers, and a superuser who calls."""
    role = f"owner_{api.info.dbname}"
    rows(api, f"CREATE ROLE {role} LOGIN")
    table(api)
    make(api, name="things")
    rows(api, f"""GRANT USAGE ON FOREIGN SERVER tpm TO {role};
        CREATE USER MAPPING FOR {role} SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret');
        GRANT USAGE, CREATE ON SCHEMA s, s_copy TO {role};
        ALTER FOREIGN TABLE s.things OWNER TO {role}; ALTER TABLE s_copy.things OWNER TO {role}""")
    yield role
    rows(api, f"DROP OWNED BY {role}; DROP ROLE {role}")


SEEN = """
    CREATE TABLE s_copy.seen (who name, path text);
    ALTER TABLE s_copy.seen OWNER TO {role};
    CREATE FUNCTION s_copy.see() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO s_copy.seen VALUES (current_user, current_setting(''search_path'')); RETURN NEW; END';
    ALTER FUNCTION s_copy.see() OWNER TO {role};
"""


def test_rows_are_written_as_the_owner(api, others, sandbox):
    rows(api, SEEN.format(role=others))
    rows(api, "CREATE TRIGGER see AFTER INSERT ON s_copy.things FOR EACH STATEMENT EXECUTE FUNCTION s_copy.see()")
    sync(api)
    assert rows(api, "SELECT DISTINCT * FROM s_copy.seen") == [(others, "pg_catalog, pg_temp")]
    assert rows(api, "SELECT current_user, current_setting('search_path')") == [("postgres", '"$user", public')]
    assert is_equal(api, sandbox)


def test_what_is_deferred_is_done_by_the_owner(api, others):
    rows(api, SEEN.format(role=others))
    rows(api, """CREATE CONSTRAINT TRIGGER see AFTER INSERT ON s_copy.things DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION s_copy.see()""")
    sync(api)
    assert rows(api, "SELECT DISTINCT who, count(*) FROM s_copy.seen GROUP BY who") == [(others, 300)]


def test_the_owner_cannot_leave_work_to_the_caller(api, others):
    rows(api, f"""CREATE FUNCTION s_copy.defer() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END';
        ALTER FUNCTION s_copy.defer() OWNER TO {others}""")
    rows(api, SEEN.format(role=others))
    rows(api, """CREATE TRIGGER a BEFORE INSERT ON s_copy.things FOR EACH ROW EXECUTE FUNCTION s_copy.defer();
                 CREATE CONSTRAINT TRIGGER see AFTER INSERT ON s_copy.things DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION s_copy.see()""")
    assert "deferred trigger" in failed(api).diag.message_primary
    assert rows(api, "SELECT * FROM s_copy.seen") == []


def test_after_an_error_the_session_is_the_callers(api, others, sandbox):
    rows(api, "CREATE UNIQUE INDEX one_city ON s_copy.things (city)")
    error = failed(api)
    assert error.pgcode == "23505" and "one_city" in str(error)
    assert rows(api, "SELECT current_user, current_setting('search_path')") == [("postgres", '"$user", public')]
    assert rows(api, "CREATE TABLE public.mine (); SELECT relowner::regrole::text FROM pg_class WHERE relname = 'mine'") == [("postgres",)]
    state, problem = says(api, "state", "problem")
    assert state == "failed" and "one_city" in problem
    rows(api, "DROP INDEX s_copy.one_city")
    sync(api)
    assert is_equal(api, sandbox) and says(api, "state", "problem") == ("current", None)


def test_after_a_cancel_the_session_is_the_callers(cluster, api, others, sandbox):
    sandbox.fault("hold", skip=2, match="GET /v1/third_parties")
    monitor = another(cluster, api)
    thread, result = tpmtest.in_thread(lambda: sync(api))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    rows(monitor, f"SELECT pg_cancel_backend({api.info.backend_pid})")
    thread.join()
    assert result[0].pgcode == "57014"
    assert rows(api, "SELECT current_user") == [("postgres",)]
    assert says(api, "state", "phase", "pages_done") == ("filling", "filling", 2)
    assert rows(monitor, "SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND mode = 'ExclusiveLock'") == [(0,)]
    sandbox.reset()
    sync(api)
    assert is_equal(api, sandbox) and sent(sandbox) == 14
    monitor.close()


def test_the_owners_mapping_is_used(api, others, sandbox):
    rows(api, f"ALTER USER MAPPING FOR {others} SERVER tpm OPTIONS (SET client_secret 'wrong')")
    assert failed(api).pgcode == "28000"
    rows(api, f"DROP USER MAPPING FOR {others} SERVER tpm")
    sandbox.reset()
    failed(api)
    assert sandbox.requests() == []


# ----- what it holds while it waits -----

def test_no_snapshot_and_no_lock_while_it_waits(cluster, copy, sandbox):
    monitor = another(cluster, copy)
    sandbox.fault("hold", match="GET /v1/third_parties")
    for call in (lambda: sync(copy), lambda: rows(copy, f"DO $$ BEGIN CALL tpm_fdw_sync('{COPY}', whole => true); END $$")):
        thread, result = tpmtest.in_thread(call)
        for _ in range(3):
            tpmtest.wait_until(lambda: sandbox.state()["held"])
            assert rows(monitor, "SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE pid = %s",
                        (copy.info.backend_pid,)) == [(None, None)]
            assert rows(monitor, "SELECT relation::regclass FROM pg_locks WHERE pid = %s AND locktype = 'relation'",
                        (copy.info.backend_pid,)) == []
            # it would wait for a lock on the copy, and fail then
            rows(monitor, f"SET lock_timeout = '1s'; BEGIN; LOCK TABLE {COPY} IN ACCESS EXCLUSIVE MODE; COMMIT")
            sandbox.release()
        while thread.is_alive():
            sandbox.release()
            time.sleep(0.01)
        assert not isinstance(result[0], Exception), result
    monitor.close()


def test_a_copy_that_is_dropped_meanwhile_ends_the_run(cluster, copy, sandbox):
    monitor = another(cluster, copy)
    sandbox.fault("hold", skip=3, match="GET /v1/third_parties")
    thread, result = tpmtest.in_thread(lambda: rows(copy, "CALL tpm_fdw_sync()"))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    rows(monitor, f"DROP TABLE {COPY}")
    sandbox.release()
    thread.join()
    assert isinstance(result[0], (type(None), list)), result
    assert rows(copy, "SELECT * FROM tpm_fdw_copies") == [] and sent(sandbox) == 4
    monitor.close()


# ----- one run a copy -----

def test_a_run_in_progress_is_waited_for(cluster, copy, sandbox):
    second = another(cluster, copy)
    sandbox.fault("hold", skip=3, count=1, match="GET /v1/third_parties")
    thread, first = tpmtest.in_thread(lambda: sync(copy))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    waiting, result = tpmtest.in_thread(lambda: rows(second, "CALL tpm_fdw_sync()"))
    monitor = another(cluster, copy)
    tpmtest.wait_until(lambda: rows(monitor, "SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s",
                                    (second.info.backend_pid,)))
    assert rows(monitor, "SELECT backend_xmin FROM pg_stat_activity WHERE pid = %s", (second.info.backend_pid,)) == [(None,)]
    sandbox.release()
    thread.join()
    waiting.join()
    assert isinstance(result[0], (type(None), list)) and first == [None]
    # it was done when its turn came
    assert sent(sandbox) == 15 and is_equal(copy, sandbox)
    second.close()
    monitor.close()


def test_statement_timeout_gives_the_lock_back(cluster, copy, sandbox):
    sandbox.fault("hold", skip=3, match="GET /v1/third_parties")
    rows(copy, "SET statement_timeout = '700ms'")
    assert failed(copy).pgcode == "57014"
    sandbox.reset()
    second = another(cluster, copy)
    rows(second, "SET lock_timeout = '1s'")
    sync(second)
    assert is_equal(second, sandbox)
    second.close()


# ----- privileges -----

def test_who_may(cluster, copy, sandbox):
    role = f"nobody_{copy.info.dbname}"
    rows(copy, f"CREATE ROLE {role} LOGIN")
    stranger = cluster.connect(copy.info.dbname, user=role)
    rows(copy, f"GRANT USAGE ON SCHEMA s_copy TO {role}")
    rows(stranger, "CALL tpm_fdw_sync()")
    assert "left out" in tpmtest.notices(stranger)
    assert failed(stranger).pgcode == "42501"
    assert sandbox.requests() == []
    if copy.info.server_version >= 170000:
        rows(copy, f"GRANT MAINTAIN ON {COPY} TO {role}")
        sync(stranger)
        assert is_equal(copy, sandbox)
    stranger.close()
    rows(copy, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_what_is_no_copy(copy):
    error = failed(copy, "CALL tpm_fdw_sync('pg_class')")
    assert error.pgcode == "42809" and "tpm_fdw_create_copy" in error.diag.message_hint
    error = failed(copy, "CALL tpm_fdw_sync('s.things')")
    assert error.pgcode == "42809" and COPY in error.diag.message_hint and "s.things" in error.diag.message_primary
    assert failed(copy, "CALL tpm_fdw_sync(1::regclass)").pgcode == "42P01"


def test_paused(copy, sandbox):
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    rows(copy, "CALL tpm_fdw_sync()")
    assert failed(copy).pgcode == "55000"
    assert sandbox.requests() == []


def test_without_a_guard_nothing_is_written(copy, sandbox):
    rows(copy, f"ALTER TABLE {COPY} DISABLE TRIGGER ALL")
    error = failed(copy)
    assert error.pgcode == "55000" and "guard" in error.diag.message_primary
    assert sandbox.requests() == [] and rows(copy, f"SELECT count(*) FROM {COPY}") == [(0,)]


# ----- errors -----

def test_one_that_fails_does_not_keep_others(api, sandbox):
    table(api)
    table(api, "others")
    table(api, "bad", resource="/nothing_here")
    for name in ("things", "bad", "others"):
        make(api, name)
    rows(api, "CALL tpm_fdw_sync()")
    assert "local copy s_copy.bad: " in tpmtest.notices(api)
    assert is_equal(api, sandbox) and is_equal(api, sandbox, "s_copy.others")
    assert says(api, "state", copy="s_copy.bad") == "failed"


def test_who_raises_what_a_cancel_does_cancels_nothing(api, sandbox):
    """A trigger of one owner's keeps no other copy from its run."""
    table(api)
    table(api, "others")
    for name in ("things", "others"):
        make(api, name)
    rows(api, f"""CREATE FUNCTION s_copy.cancel() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION USING ERRCODE = ''query_canceled'', MESSAGE = ''not by anybody''; END';
        CREATE TRIGGER cancel AFTER INSERT ON {COPY} FOR EACH STATEMENT EXECUTE FUNCTION s_copy.cancel()""")
    rows(api, "CALL tpm_fdw_sync()")
    assert "not by anybody" in tpmtest.notices(api) and "not by anybody" in says(api, "problem")
    assert is_equal(api, sandbox, "s_copy.others")


@pytest.mark.parametrize("fault", ["html_200", "errors_only", "status:403", "garbage", "no_data"])
def test_a_fault_is_told_and_mended_by_the_next_run(copy, sandbox, fault):
    sandbox.fault(fault, skip=5, count=6, match="GET /v1/third_parties")
    failed(copy)
    assert says(copy, "state", "rows") == ("failed", 100) and says(copy, "problem")
    sandbox.reset()
    sync(copy)
    assert is_equal(copy, sandbox) and says(copy, "state", "problem") == ("current", None)


def test_older_than(copy, sandbox):
    sync(copy)
    before = sent(sandbox)
    sync(copy, older_than="1 hour")
    assert sent(sandbox) == before
    sync(copy, older_than="0")
    assert sent(sandbox) > before


# ----- apply -----

def test_rows_that_are_equal_are_not_written(copy, sandbox):
    sync(copy)
    before = rows(copy, f"SELECT id, _changed_at, xmin::text FROM {COPY} ORDER BY id")
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    (number,) = rows(copy, f"UPDATE {COPY} SET city = 'elsewhere' WHERE id = (SELECT min(id) FROM {COPY}) RETURNING id")[0]
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => false)")
    sync(copy, whole=True)
    after = rows(copy, f"SELECT id, _changed_at, xmin::text FROM {COPY} ORDER BY id")
    assert [a[0] for a, b in zip(after, before) if a != b] == [number] and is_equal(copy, sandbox)


def test_what_came_later_stays(api, sandbox):
    copy = api
    table(api)
    make(api, cursor_column=None)
    sync(copy)
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)")
    sandbox.fault("hold", count=1, match="GET /v1/third_parties")
    numbers = [number for number, in rows(copy, f"SELECT id FROM {COPY} ORDER BY id LIMIT 3")]
    # written by an answer of a moment ago, of an hour ago, and by none: in the future
    for number, moment in zip(numbers, ("clock_timestamp() + interval '2 s'", "now() - interval '1 hour'", "now() + interval '1 day'")):
        rows(copy, f"UPDATE {COPY} SET name = 'other', _changed_at = {moment} WHERE id = '{number}'")
    rows(copy, f"SELECT tpm_fdw_alter_copy('{COPY}', paused => false)")
    thread, result = tpmtest.in_thread(lambda: sync(copy, whole=True))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    time.sleep(2.5)
    sandbox.release()
    thread.join()
    assert result == [None]
    held = dict(rows(copy, f"SELECT id, name FROM {COPY} WHERE id = ANY(%s)", (numbers,)))
    assert [held[number] == "other" for number in numbers] == [True, False, False]


def test_a_foreign_key_that_refuses_is_named(copy, sandbox):
    rows(copy, f"""CREATE TABLE s_copy.cities (city text PRIMARY KEY);
        ALTER TABLE {COPY} ADD CONSTRAINT known FOREIGN KEY (city) REFERENCES s_copy.cities DEFERRABLE INITIALLY DEFERRED""")
    error = failed(copy)
    assert error.pgcode == "23503" and "known" in str(error) and "known" in says(copy, "problem")
    assert rows(copy, f"SELECT count(*) FROM {COPY}") == [(0,)]


def test_columns_of_the_owners_are_left_alone(copy, sandbox):
    rows(copy, f"ALTER TABLE {COPY} ADD note text DEFAULT 'new'")
    sync(copy)
    rows(copy, f"UPDATE {COPY} SET note = 'mine'")
    sandbox.edit("third_parties", rows(copy, f"SELECT min(id) FROM {COPY}")[0][0], name="Edited")
    sync(copy)
    assert rows(copy, f"SELECT DISTINCT note FROM {COPY}") == [("mine",)] and is_equal(copy, sandbox)


def test_a_type_that_is_another_one_stops_it(copy, sandbox):
    rows(copy, f"ALTER TABLE {COPY} ALTER city TYPE varchar(200)")
    assert "ALTER TABLE" in failed(copy).diag.message_hint
    assert sandbox.requests() == []


# ----- whose owner, table or session is hostile: nobody else's rights, no crash, no silence -----

WITNESS = """
    CREATE TABLE s_copy.seen (who name);
    ALTER TABLE s_copy.seen OWNER TO {role};
    CREATE FUNCTION s_copy.see() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO s_copy.seen VALUES (current_user); RETURN OLD; END';
    ALTER FUNCTION s_copy.see() OWNER TO {role};
    CREATE FUNCTION s_copy.see_now(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN RAISE NOTICE ''witness %'', current_user; RETURN true; END';
    ALTER FUNCTION s_copy.see_now(int) OWNER TO {role};
"""


def test_marked_rows_are_removed_as_the_owner(api, others, sandbox):
    rows(api, WITNESS.format(role=others))
    rows(api, f"SELECT tpm_fdw_alter_copy('{COPY}', deletions => 'mark', reconcile => '1 microsecond')")
    sync(api)
    sandbox.delete("third_parties", 7)
    sync(api)
    assert rows(api, f"SELECT count(*) FROM {COPY} WHERE _deleted_at IS NOT NULL") == [(1,)]
    rows(api, f"CREATE TRIGGER see BEFORE DELETE ON {COPY} FOR EACH ROW EXECUTE FUNCTION s_copy.see()")
    rows(api, f"SELECT tpm_fdw_alter_copy('{COPY}', deletions => 'remove')")
    assert rows(api, "SELECT DISTINCT who FROM s_copy.seen") == [(others,)]


def test_an_index_of_a_table_that_is_taken_runs_nothing(api, others):
    rows(api, WITNESS.format(role=others))
    rows(api, f"""SELECT tpm_fdw_drop_copy('{COPY}');
        ALTER TABLE {COPY} DROP CONSTRAINT things_pkey;
        CREATE UNIQUE INDEX sly ON {COPY} (id) WHERE s_copy.see_now(1)""")
    tpmtest.notices(api)
    error = failed(api, f"SELECT tpm_fdw_create_copy('s.things', '{COPY}')")
    assert "unique index" in str(error)
    assert "witness" not in tpmtest.notices(api)


def test_a_run_evaluates_indexes_as_the_owner(api, others):
    rows(api, WITNESS.format(role=others))
    rows(api, f"CREATE INDEX sly ON {COPY} (name) WHERE s_copy.see_now(1); ALTER TABLE {COPY} ADD CHECK (s_copy.see_now(2))")
    tpmtest.notices(api)
    sync(api)
    rows(api, f"SELECT tpm_fdw_alter_copy('{COPY}', reconcile => '1 microsecond', sweep => '1 microsecond')")
    sync(api)
    said = tpmtest.notices(api)
    assert "witness postgres" not in said, said


def test_a_child_by_inheritance_is_no_copy(api):
    table(api)
    rows(api, "CREATE SCHEMA s_copy"); rows(api, "CREATE TABLE s_copy.parent (name text)")
    rows(api, """CREATE TABLE s_copy.child (id text COLLATE "C" PRIMARY KEY, city text, updated_at timestamptz) INHERITS (s_copy.parent)""")
    assert "inheritance" in str(failed(api, "SELECT tpm_fdw_create_copy('s.things', 's_copy.child')"))


MEANWHILE = {
    "paused": f"SELECT tpm_fdw_alter_copy('{COPY}', paused => true)",
    "dropped copy": f"SELECT tpm_fdw_drop_copy('{COPY}')",
    "dropped table": f"DROP TABLE {COPY}",
    "dropped source": "DROP FOREIGN TABLE s.things",
    "re-owned": f"ALTER TABLE {COPY} OWNER TO pg_monitor",
    "dropped extension": "DROP EXTENSION tpm_fdw CASCADE",
    "guard disabled": f"ALTER TABLE {COPY} DISABLE TRIGGER USER",
    "revoked": "REVOKE SELECT ON s.things FROM $ROLE",
}


@pytest.mark.parametrize("kind", MEANWHILE)
def test_a_run_that_lost_its_copy_says_so(cluster, api, others, sandbox, kind):
    statement = MEANWHILE[kind].replace("$ROLE", others)
    if kind == "revoked":
        rows(api, f"ALTER FOREIGN TABLE s.things OWNER TO postgres; GRANT SELECT ON s.things TO {others}")
    sandbox.fault("hold", skip=2, match="GET /v1/third_parties")
    monitor = another(cluster, api)
    thread, result = tpmtest.in_thread(lambda: sync(api))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    assert rows(monitor, "SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE pid = %s",
                (api.info.backend_pid,)) == [(None, None)]
    assert rows(monitor, "SELECT locktype FROM pg_locks WHERE pid = %s ORDER BY 1",
                (api.info.backend_pid,)) == [("object",), ("virtualxid",)]
    rows(monitor, statement)
    sandbox.reset()
    thread.join()
    assert isinstance(result[0], psycopg2.Error)
    assert rows(api, "SELECT current_user") == [("postgres",)]
    assert rows(monitor, "SELECT locktype, mode FROM pg_locks WHERE pid = %s AND locktype = 'object'", (api.info.backend_pid,)) == []


@pytest.mark.parametrize("level", ("serializable", "repeatable read"))
def test_isolation_of_the_session_is_no_matter(cluster, api, sandbox, level):
    table(api)
    make(api)
    session = another(cluster, api)
    rows(session, f"SET default_transaction_isolation = '{level}'")
    rows(api, f"SET default_transaction_isolation = '{level}'")
    sandbox.fault("hold", skip=2, match="GET /v1/third_parties")
    thread, result = tpmtest.in_thread(lambda: sync(api))
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    second, other = tpmtest.in_thread(lambda: sync(session))
    time.sleep(0.5)
    sandbox.reset()
    thread.join()
    second.join()
    assert result == [None] and other == [None], (result, other)
    assert is_equal(api, sandbox)
    session.close()


def test_prepare_transaction_after_an_own_write(api):
    """It is refused, and leaves nothing behind that the next transaction would meet."""
    rows(api, "IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties) FROM SERVER tpm INTO s")
    rows(api, "SELECT tpm_fdw_create_copy('s.third_parties')")
    rows(api, "CALL tpm_fdw_sync()")
    insert = "INSERT INTO s.third_parties (name, internal_id, country) VALUES ('{0}', '{0}', 'DE')"
    for number in range(3):
        rows(api, "BEGIN")
        rows(api, insert.format(f"own{number}"))
        with pytest.raises(psycopg2.Error):
            rows(api, f"PREPARE TRANSACTION 'p{number}'")
        rows(api, "ROLLBACK")
        rows(api, insert.format(f"after{number}"))
    written = "SELECT count(*) FROM s_copy.third_parties WHERE internal_id LIKE ANY ('{own%,after%}')"
    assert rows(api, written) == [(3,)]
    rows(api, "CALL tpm_fdw_sync('s_copy.third_parties')")
    assert rows(api, written) == [(6,)]


def test_a_locked_table_is_waited_for_with_nothing_in_hand(cluster, api, sandbox):
    """Whoever has locked the table may change its copy as well; nobody else waits, and vacuum does not."""
    table(api)
    make(api)
    sync(api)
    monitor, writer = another(cluster, api), another(cluster, api)
    waits = "SELECT backend_xmin FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
    rows(monitor, f"BEGIN; LOCK TABLE {COPY} IN ACCESS EXCLUSIVE MODE")
    thread, result = tpmtest.in_thread(lambda: sync(api))
    tpmtest.wait_until(lambda: rows(writer, waits, (api.info.backend_pid,)))
    assert rows(writer, waits, (api.info.backend_pid,)) == [(None,)]
    rows(monitor, f"SELECT tpm_fdw_alter_copy('{COPY}', every => '1 hour')")
    rows(monitor, "COMMIT")
    thread.join()
    assert result == [None] and is_equal(api, sandbox)
    monitor.close()
    writer.close()
