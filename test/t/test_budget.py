"""The budget of the hour: what is remembered, what holds everybody back, what is refused."""

import struct
import time
from email.utils import formatdate

import crowd
import psycopg2
import pytest
import tpmtest

ONE = "SELECT email FROM tpm.users WHERE id = '1'"
OFF = "SET tpm_fdw.cache_ttl = 0"


def failure(connection, statement):
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(connection, statement)
    return caught.value


@pytest.fixture
def own():
    """A cluster of this test's own, and a sandbox."""
    cluster = tpmtest.Cluster().start()
    sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    db = cluster.connect()
    # above 10,000 an hour the log rounds
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"rate_limit_per_hour": 9000})
    db.close()
    yield cluster, sandbox
    cluster.destroy()
    sandbox.stop()


def used(cluster):
    return cluster.sql("SELECT coalesce(sum(used_last_hour), 0) FROM tpm_fdw_rate_limits")[0][0]


def ask(cluster, times):
    db = cluster.connect()
    tpmtest.rows(db, OFF)
    for _ in range(times):
        tpmtest.rows(db, ONE)
    pid = db.get_backend_pid()
    return db, pid


# ----- restarts -----


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
def test_restart(own, how):
    """What was used stays used, whichever way the server goes down."""
    cluster, sandbox = own
    db, pid = ask(cluster, 17)
    if how == "kill":
        cluster.kill9(pid)
        # it goes on answering until the postmaster has noticed
        tpmtest.wait_until(lambda: "reinitializing" in cluster.log() and answers(cluster), message="the server's recovery")
    else:
        cluster.restart(how)
    db.close()
    assert abs(used(cluster) - sandbox.request_count()) <= 1
    ask(cluster, 3)[0].close()
    assert abs(used(cluster) - sandbox.request_count()) <= 1


def answers(cluster):
    try:
        return cluster.sql("SELECT 1")
    except psycopg2.OperationalError:
        return False


BLOCK, STAMP = 512, struct.Struct("<QqqII")


def after_a_boot(path, seconds):
    """Rewrites the file as if the machine had booted since and its clock had been moved by so many seconds."""
    data = bytearray(path.read_bytes())
    header = struct.Struct("<8s40sI")
    magic, _, _ = header.unpack_from(data)
    boot = b"another boot".ljust(40, b"\0")
    header.pack_into(data, 0, magic, boot, tpmtest.crc32c(data[:8] + boot))
    changed = 0
    for at in range(BLOCK, len(data) - STAMP.size + 1, 8):
        ident, mono, wall, count, crc = STAMP.unpack_from(data, at)
        if ident and count and crc == tpmtest.crc32c(bytes(data[at:at + STAMP.size - 4])):
            body = struct.pack("<QqqI", ident, mono, wall - seconds * 1000000, count)
            data[at:at + STAMP.size] = body + struct.pack("<I", tpmtest.crc32c(body))
            changed += 1
    path.write_bytes(data)
    return changed


@pytest.mark.parametrize("seconds, remembered", [(0, True), (600, True), (-7200, True), (7200, False)])
def test_clock(own, seconds, remembered):
    """A clock set back keeps the requests for an hour at most; one set forward by hours may forget them."""
    cluster, sandbox = own
    ask(cluster, 12)[0].close()
    before = used(cluster)
    cluster.stop()
    assert after_a_boot(cluster.datadir / "pg_stat" / "tpm_fdw.budget", seconds) >= 12
    cluster.start()
    assert used(cluster) == (before if remembered else 0)
    # and nobody is locked out
    ask(cluster, 1)[0].close()


# ----- Retry-After -----


@pytest.mark.parametrize("value", ["999999999", "-1", formatdate(0, usegmt=True), "soon", "1e9", ""])
def test_retry_after(own, value):
    """No lock-out: at most an hour is believed, and an administrator can end that."""
    cluster, sandbox = own
    sandbox.fault("retry_after", count=1, match="GET /v1/users", value=value)
    db = cluster.connect()
    tpmtest.rows(db, OFF)
    if value == "999999999":
        error = failure(db, ONE)
        assert error.pgcode == "53400"
        paused, = tpmtest.rows(db, "SELECT paused_until - now() BETWEEN '55 min' AND '60 min' FROM tpm_fdw_rate_limits"
                                   " WHERE paused_until IS NOT NULL")[0]
        assert paused
        assert failure(db, ONE).pgcode == "53400"
        assert sandbox.request_count() == 1
        tpmtest.rows(db, "SELECT tpm_fdw_reset_rate_limits('tpm')")
    assert len(tpmtest.rows(db, ONE)) == 1
    assert sandbox.request_count() == 2


def test_retry_after_holds_everybody(own):
    """A 429 with Retry-After (seconds, and a date): nobody sends before it is over."""
    cluster, sandbox = own
    for form in (lambda: "2", lambda: formatdate(time.time() + 3, usegmt=True)):
        value = form()
        before = len(sandbox.api_requests())
        sandbox.fault("retry_after", count=1, match="GET /v1/users", value=value)
        sessions = crowd.Crowd(cluster, "postgres", [crowd.asking(ONE)] * 8, OFF).begin().join()
        assert sessions.errors == []
        log = sandbox.api_requests()[before:]
        refused = next(entry["time"] for entry in log if entry["status"] == 429)
        later = [entry["time"] for entry in log if entry["time"] > refused + 0.3]
        assert later
        assert min(later) >= refused + 1.9


# ----- another client -----


@pytest.mark.parametrize("told", ["a time", "nothing"])
def test_quota_used_up_behind_our_back(told):
    """Sessions pause together, none hammers, work resumes by itself; without a time one asks for all, ever more rarely."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.hour": "20s"}).start()
    sandbox = tpmtest.Sandbox("--records", "50", "--rate-per-second", "0", "--rate-per-hour", "60",
                              "--hour-seconds", "20", "--rate-window", "fixed",
                              *(["--retry-after"] if told == "a time" else [])).start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_per_hour": "60"})
    token = sandbox.token()
    began = time.monotonic()
    while sandbox.request("GET", "/users", token) != 429:
        assert time.monotonic() - began < 15
    before = len(sandbox.api_requests())
    sessions = crowd.Crowd(cluster, "postgres", [crowd.asking(ONE)] * 10,
                           OFF + "; SET tpm_fdw.max_wait = '60s'; SET tpm_fdw.leave_free = 0").begin().join()
    assert sessions.errors == []
    log = sandbox.api_requests()[before:]
    refused = [entry for entry in log if entry["status"] == 429]
    # those that were under way together when the first answer came
    first = min(entry["time"] for entry in refused)
    assert len([entry for entry in refused if entry["time"] < first + 0.15]) <= 10
    later = [entry["time"] - first for entry in refused if entry["time"] >= first + 0.15]
    assert later == [] if told == "a time" else len(later) <= 8
    assert len([entry for entry in log if entry["status"] == 200]) == 10
    cluster.destroy()
    sandbox.stop()


# ----- refusals -----


def test_too_many_pages_with_a_total(tpm, sandbox):
    """Known from the first page's total: one request."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '1')")
    error = failure(tpm, "SELECT count(*) FROM third_parties WHERE name LIKE '%a%'")
    assert error.pgcode == "53400"
    assert "300" in str(error) and "200" in str(error)
    assert sandbox.request_count() == 1
    assert failure(tpm, "SELECT name FROM third_parties").pgcode == "53400"
    assert sandbox.request_count() == 1, "refused although the size was known"
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE status = 'Inactive'")) < 200


def test_too_many_pages_of_a_list_read_before(tpm, sandbox):
    """Without a total a complete reading tells the size: refused before the first request."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (SET total_pointer '/none')")
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties LIMIT 150")) == 150
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE country = 'DE'")) < 200
    tpmtest.rows(tpm, "SET tpm_fdw.max_requests = 3")
    assert len(tpmtest.rows(tpm, "SELECT name FROM third_parties")) == 300
    tpmtest.rows(tpm, "SET tpm_fdw.max_requests = 2")
    sandbox.reset()
    error = failure(tpm, "SELECT name FROM third_parties")
    assert error.pgcode == "53400" and "needs 3 requests" in str(error)
    assert sandbox.request_count() == 0
    assert len(tpmtest.rows(tpm, "SELECT name FROM third_parties LIMIT 120")) == 120


@pytest.mark.parametrize("most", range(1, 10))
def test_max_requests_of_pages_side_by_side(tpm, sandbox, most):
    """Requests that are under way count, too; the list may stop early, so nothing is known before."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD pagination 'number', ADD page_size '30')")
    tpmtest.rows(tpm, f"SET tpm_fdw.max_requests = {most}; SET enable_sort = off")
    sandbox.reset()
    sandbox.settings(pagination="number", latency_ms=5)
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE city = 'nowhere' ORDER BY id DESC LIMIT 2")
    assert caught.value.pgcode == "53400" and sandbox.request_count() == most


def test_too_many_pages_without_a_total(tpm, sandbox):
    """Not known: stopped at the 200th request."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '1', SET total_pointer '/none')"
                      if tpmtest.rows(tpm, "SELECT true FROM pg_foreign_table, unnest(ftoptions) o WHERE o LIKE"
                                           " 'total_pointer=%' AND ftrelid = 'third_parties'::regclass")
                 else "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '1', ADD total_pointer '/none')")
    error = failure(tpm, "SELECT count(*) FROM third_parties WHERE name LIKE '%a%'")
    assert error.pgcode == "53400"
    assert "max_requests" in str(error)
    assert sandbox.request_count() <= 200


@pytest.mark.parametrize("total", [True, False])
def test_count_of_1000_pages(db, cluster, total):
    """count(*) over 1,000 pages, all settings as they come: one request where the API counts, else refused in time."""
    sandbox = tpmtest.Sandbox("--records", "1000", "--rate-per-second", "0", "--rate-per-hour", "0",
                              *([] if total else ["--no-total"])).start()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"page_size": 1})
    if total:
        assert tpmtest.rows(db, "SELECT count(*) FROM tpm.third_parties") == [(1000,)]
        assert sandbox.request_count() == 1
    else:
        error = failure(db, "SELECT count(*) FROM tpm.third_parties")
        assert error.pgcode == "53400"
        assert "200" in error.diag.message_primary + error.diag.message_detail
        assert "max_requests" in str(error)
        assert sandbox.request_count() <= 200
    sandbox.stop()


def test_early_stop_is_not_refused(tpm, sandbox):
    """LIMIT, EXISTS, a semi join and a cursor need not read what would be too much."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '1')")
    tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE name LIKE '%a%' LIMIT 3")
    tpmtest.rows(tpm, "SELECT EXISTS (SELECT FROM third_parties WHERE name LIKE '%a%')")
    for word in ("EXISTS", "NOT EXISTS"):
        tpmtest.rows(tpm, f"SELECT x FROM (VALUES ('a'), ('b')) v(x) WHERE {word} (SELECT FROM third_parties WHERE name <> x)")
    tpmtest.rows(tpm, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM third_parties WHERE name LIKE '%a%'")
    tpmtest.rows(tpm, "FETCH 2 FROM c")
    tpmtest.rows(tpm, "COMMIT")
    assert sandbox.request_count() < 30


def limited(db, sandbox, per_hour):
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"rate_limit_per_hour": per_hour,
                                                                           "page_size": 20})
    tpmtest.rows(db, OFF)


def test_leave_free(db, sandbox, cluster):
    """A long statement leaves the last 10 %; short ones may use it."""
    limited(db, sandbox, 20)
    tpmtest.rows(db, "SET tpm_fdw.max_wait = 0")
    # 15 pages, 18 may be used
    assert len(tpmtest.rows(db, "SELECT id FROM tpm.third_parties WHERE name <> ''")) == 300
    error = failure(db, "SELECT id FROM tpm.third_parties WHERE name <> ''")
    assert error.pgcode == "53400"
    count = sandbox.request_count()
    assert count <= 16
    for _ in range(20 - count):
        assert len(tpmtest.rows(db, ONE)) == 1
    error = failure(db, ONE)
    assert error.pgcode == "53400"
    assert "20 of 20" in error.diag.message_detail
    assert sandbox.request_count() == 20


def test_refused_before_the_rest_is_spent(db, sandbox):
    """A scan whose pages are known is refused after its first, not when the hour is gone."""
    limited(db, sandbox, 14)
    tpmtest.rows(db, "SET tpm_fdw.max_wait = '1s'; SET tpm_fdw.leave_free = 0")
    error = failure(db, "SELECT id FROM tpm.third_parties WHERE name <> ''")
    assert error.pgcode == "53400"
    assert "Needed: 14" in error.diag.message_detail
    assert sandbox.request_count() == 1


def test_rate_limit_share(own):
    """The part of every limit that this instance may use."""
    cluster, sandbox = own
    cluster.sql("ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '20')")
    cluster.configure(tpm_fdw__rate_limit_share="50%")
    cluster.reload()
    db = cluster.connect()
    tpmtest.wait_until(lambda: tpmtest.rows(db, "SHOW tpm_fdw.rate_limit_share")[0][0].startswith("50"))
    tpmtest.rows(db, OFF + "; SET tpm_fdw.max_wait = 0; SET tpm_fdw.leave_free = 0")
    for _ in range(10):
        tpmtest.rows(db, ONE)
    assert failure(db, ONE).pgcode == "53400"
    assert sandbox.request_count() == 10


def test_records_are_reused():
    """With every record in use once, a table with limits of its own gets two of them, not one for both."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.max_budgets": 2}).start()
    sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_group": "a"})
    tpmtest.rows(db, OFF + "; " + ONE)
    tpmtest.rows(db, "ALTER SERVER tpm OPTIONS (SET rate_limit_group 'b')")
    tpmtest.rows(db, ONE)
    tpmtest.rows(db, "ALTER SERVER tpm OPTIONS (SET rate_limit_group 'c')")
    assert failure(db, ONE).pgcode == "53400"
    tpmtest.rows(db, "SELECT tpm_fdw_reset_rate_limits()")
    tpmtest.rows(db, "ALTER FOREIGN TABLE tpm.users OPTIONS (ADD rate_limit_per_minute '30')")
    tpmtest.rows(db, "SELECT id FROM tpm.users WHERE id = '1'")
    assert tpmtest.rows(db, "SELECT scope, used_last_hour FROM tpm_fdw_rate_limits ORDER BY scope") \
        == [("endpoint", 1), ("group", 1)]
    sandbox.stop()
    cluster.destroy()


def test_limit_lowered_while_sessions_wait(own):
    """A lower limit counts from now on, also for those who wait already."""
    cluster, sandbox = own
    cluster.sql("ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '2')")
    sessions = crowd.Crowd(cluster, "postgres", [crowd.asking(ONE)] * 8, OFF + "; SET tpm_fdw.max_wait = -1").begin()
    tpmtest.wait_until(lambda: cluster.sql("SELECT waiting FROM tpm_fdw_rate_limits WHERE waiting > 3"))
    cluster.sql("ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '1')")
    sessions.join()
    assert sessions.errors == []
    times = [entry["time"] for entry in sandbox.api_requests()]
    assert len(times) == 8
    assert times[-1] - times[0] > 3.4


# ----- the switch -----


def test_enabled_off(own):
    """No request leaves under 32 busy sessions; cached answers stay readable; 'read' lets reads pass."""
    cluster, sandbox = own
    db = cluster.connect()
    assert len(tpmtest.rows(db, "SELECT name FROM tpm.third_parties")) == 300
    ends = []
    sessions = crowd.Crowd(cluster, "postgres", [switched_off(ends)] * 32, OFF).begin()
    tpmtest.wait_until(lambda: sandbox.request_count() > 100)
    cluster.configure(tpm_fdw__enabled="off")
    cluster.reload()
    sessions.join()
    assert {error for error in sessions.results} == {"55000"}
    count = sandbox.request_count()
    assert failure(db, "SELECT email FROM tpm.users").pgcode == "55000"
    assert len(tpmtest.rows(db, "SELECT name FROM tpm.third_parties")) == 300
    assert sandbox.request_count() == count
    cluster.configure(tpm_fdw__enabled="read")
    cluster.reload()
    tpmtest.wait_until(lambda: tpmtest.rows(db, "SHOW tpm_fdw.enabled") == [("read",)])
    assert len(tpmtest.rows(db, ONE)) == 1
    assert failure(db, "UPDATE tpm.third_parties SET name = 'x' WHERE id = '1'").pgcode == "55000"
    assert [entry for entry in sandbox.api_requests() if entry["method"] != "GET"] == []


def test_enabled_off_reaches_those_at_work(own):
    """A statement that is being answered, and those that wait in the line, end too; no token is asked for either."""
    cluster, sandbox = own
    cluster.sql("ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '3')")
    cluster.sql("ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD page_size '1')")
    long = "SELECT count(name) FROM tpm.third_parties"
    sessions = crowd.Crowd(cluster, "postgres", [crowd.asking(long)] * 4,
                           OFF + "; SET tpm_fdw.max_wait = -1; SET tpm_fdw.max_requests = 0").begin()
    tpmtest.wait_until(lambda: sandbox.request_count() > 8)
    db = cluster.connect()
    cluster.configure(tpm_fdw__enabled="off")
    cluster.reload()
    sessions.join(30)
    assert [error.pgcode for error in sessions.errors] == ["55000"] * 4
    assert sandbox.request_count() < 100
    sandbox.revoke()
    tpmtest.rows(db, "SELECT tpm_fdw_reset_tokens()")
    count = len(sandbox.requests())
    assert failure(db, OFF + ";" + ONE).pgcode == "55000"
    assert len(sandbox.requests()) == count
    cluster.configure(tpm_fdw__enabled="on")
    cluster.reload()
    tpmtest.wait_until(lambda: tpmtest.rows(db, "SHOW tpm_fdw.enabled") == [("on",)])
    assert len(tpmtest.rows(db, ONE)) == 1


def switched_off(ends):
    def ask_on(member, connection):
        while True:
            try:
                tpmtest.rows(connection, ONE)
            except psycopg2.Error as error:
                return error.pgcode
    return ask_on
