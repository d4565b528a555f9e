"""Long work shows itself: tpm_fdw_progress with an estimated end, and a NOTICE before it begins.

The tables have 300 third parties, 10 a page: 30 requests, each of a latency that the test sets.
"""

import re
import threading
import time

import psycopg2
import pytest
import tpmtest

pytestmark = pytest.mark.timed

ROWS = 300
PAGES = 30

# what a request has really taken, on a machine that may be busy
MEAN = "SELECT avg(ms) / 1000 FROM tpm_fdw_requests WHERE pid = %s AND at >= to_timestamp(%s)"

READ = ("SELECT operation, requests_done, requests_expected, rows_done, waiting_for,"
        " extract(epoch FROM expected_end - clock_timestamp())::float8, extract(epoch FROM started)::float8"
        " FROM tpm_fdw_progress WHERE pid = %s")


@pytest.fixture
def slow(tpm, sandbox):
    """Pages of ten rows, each after so many milliseconds."""
    def slowed(milliseconds, **options):
        for name, value in {"page_size": "10", **options}.items():
            verb = "SET" if name in tpmtest.GENEROUS else "ADD"
            tpmtest.rows(tpm, f"ALTER SERVER tpm OPTIONS ({verb} {name} {tpmtest.quote(value)})")
        tpmtest.rows(tpm, "SELECT tpm_fdw_reset_rate_limits()")
        tpm.notices.clear()
        sandbox.fault("latency", ms=milliseconds)
        tpmtest.rows(tpm, "SET tpm_fdw.max_requests = 0")
        return tpm
    return slowed


class Running:
    """A statement in a thread of its own, looked at from another session."""

    def __init__(self, cluster, connection, statement):
        self.connection = connection
        self.watcher = cluster.connect(connection.info.dbname)
        self.pid = connection.info.backend_pid
        self.error = None
        self.ended = None
        self.thread = threading.Thread(target=self._run, args=(statement,))
        self.thread.start()

    def _run(self, statement):
        try:
            tpmtest.rows(self.connection, statement)
        except psycopg2.Error as error:
            self.error = error
        self.ended = time.time()

    def look(self):
        """One row of the view as names, or None."""
        names = ("operation", "done", "expected", "rows", "waiting", "left", "started")
        found = tpmtest.rows(self.watcher, READ, (self.pid,))
        return dict(zip(names, found[0])) if found else None

    def each(self, row):
        """The mean of its requests, in seconds."""
        return tpmtest.rows(self.watcher, MEAN, (self.pid, row["started"]))[0][0]

    def wait_for(self, condition):
        def seen():
            row = self.look()
            assert row or not self.ended, f"it ended too early: {self.error}"
            return row if row and condition(row) else None
        return tpmtest.wait_until(seen, 30, "the progress looked for")

    def end(self, cancel=False):
        if cancel:
            self.connection.cancel()
        self.thread.join(60)
        self.watcher.close()
        if cancel:
            assert isinstance(self.error, psycopg2.errors.QueryCanceled)
        else:
            assert self.error is None


@pytest.mark.parametrize("cache", ("0", "1h"))
def test_estimate_from_latency(cluster, slow, cache):
    connection = slow(100)
    tpmtest.rows(connection, f"SET tpm_fdw.cache_ttl = '{cache}'")
    running = Running(cluster, connection, "SELECT name FROM third_parties")
    row = running.wait_for(lambda row: row["done"] >= 5)
    promised = time.time() + row["left"]
    assert row["operation"] == "scan" and row["expected"] == PAGES
    assert row["waiting"] == "answer" and row["rows"] == row["done"] * 10
    assert row["left"] == pytest.approx((PAGES - row["done"]) * running.each(row), rel=0.25)
    running.end()
    assert running.ended == pytest.approx(promised, abs=0.5 * (running.ended - row["started"]))


def test_estimate_from_the_budget(cluster, slow):
    """Answers come at once, slots ten a second."""
    running = Running(cluster, slow(0, rate_limit_per_second="10"), "SELECT name FROM third_parties")
    row = running.wait_for(lambda row: row["done"] >= 12 and row["waiting"] == "budget")
    promised = time.time() + row["left"]
    assert row["expected"] == PAGES
    assert 0 < row["left"] <= 3.5
    running.end()
    assert running.ended == pytest.approx(promised, abs=1.2)


def test_estimate_of_pages_side_by_side(cluster, slow):
    """Four requests under way at a time take a quarter of the time."""
    running = Running(cluster, slow(200, pagination="number"), "SELECT name FROM third_parties")
    row = running.wait_for(lambda row: row["done"] >= 6)
    assert row["left"] < (PAGES - row["done"]) * running.each(row) * 0.6
    running.end()


@pytest.mark.parametrize("lists", (1, 4))
def test_estimate_of_a_join(cluster, slow, lists):
    """A join asks for as many lists of keys as the planner expects; what has come of them is counted as for a list.

    Four of them under way at a time take a quarter of the time."""
    connection = slow(100, fetch_concurrency=str(lists))
    tpmtest.rows(connection, "CREATE TABLE public.mine AS SELECT (1 + k * 7 % 300)::text AS party FROM generate_series(1, 120) k;"
                             "ANALYZE mine; SET tpm_fdw.cache_ttl = 0; SELECT count(*) FROM third_parties")
    running = Running(cluster, connection, "SELECT t.name FROM mine m JOIN third_parties t ON t.id = m.party")
    row = running.wait_for(lambda row: row["done"] >= 4)
    assert row["operation"] == "scan" and row["expected"] == 12 and row["rows"] == row["done"] * 10
    if lists == 1:
        assert row["left"] == pytest.approx((12 - row["done"]) * running.each(row), rel=0.3)
    else:
        assert row["left"] < (12 - row["done"]) * running.each(row) * 0.6
    running.end()


def test_end_is_not_known_of_a_cursor(cluster, slow):
    """Nobody knows how many rows a client will take."""
    connection = slow(50)
    connection.autocommit = False
    with connection.cursor("part") as cursor:
        cursor.execute("SELECT name FROM third_parties")
        cursor.fetchmany(15)
        row = cluster.connect(connection.info.dbname)
        (found,) = tpmtest.rows(row, READ, (connection.info.backend_pid,))
        row.close()
    assert found[1:4] == (2, None, 20) and found[4] is None and found[5] is None
    connection.rollback()


def test_progress_of_analyze(cluster, slow):
    running = Running(cluster, slow(100), "ANALYZE third_parties (name)")
    row = running.wait_for(lambda row: row["done"] >= 3)
    assert row["operation"] == "analyze" and row["expected"] == 10
    assert row["left"] == pytest.approx((10 - row["done"]) * running.each(row), abs=0.25)
    running.end()
    assert cluster.sql("SELECT count(*) FROM tpm_fdw_progress", dbname=running.connection.info.dbname) == [(0,)]


def test_progress_of_a_load(cluster, slow, sandbox):
    """40 rows, four side by side, 100 ms each: a second in all."""
    running = Running(cluster, slow(100), "INSERT INTO third_parties (internal_id, name, country)"
                      " SELECT 'L-' || i, 'Load', 'US' FROM generate_series(1, 40) i")
    row = running.wait_for(lambda row: row["done"] >= 8)
    assert row["operation"] == "insert" and row["expected"] == 40
    assert row["left"] == pytest.approx((40 - row["done"]) * running.each(row) / 4, abs=0.4)
    running.end()
    assert sandbox.state()["created"] == {"third_parties": 40}


def test_notice_before_a_long_read(cluster, slow):
    """Said after the first page, when the total is known: 29 pages of 2.5 s."""
    connection = slow(2500)
    running = Running(cluster, connection, "SELECT name FROM third_parties")
    row = running.wait_for(lambda row: row["expected"])
    running.end(cancel=True)
    (notice,) = connection.notices
    assert row["done"] == 1 and row["left"] > 65
    minutes, seconds, answer = map(int, re.match(r"NOTICE:  foreign table tpm.third_parties: 29 more requests will take about"
                                                 r" (\d+) min (\d+) s\nDETAIL:  An answer takes (\d+) ms", notice).groups())
    assert answer >= 2500 and 60 * minutes + seconds == pytest.approx(29 * answer / 1000, abs=1.1)
    assert "up to 1 requests" in notice and "1000000 an hour" in notice
    assert "tpm_fdw_progress" in notice


def test_notice_names_the_budget_before_a_load(cluster, slow):
    connection = slow(0, rate_limit_per_minute="20")
    tpmtest.rows(connection, "SET tpm_fdw.max_wait = -1")
    running = Running(cluster, connection, "INSERT INTO third_parties (internal_id, name, country)"
                      " SELECT 'B-' || i, 'Load', 'US' FROM generate_series(1, 60) i")
    running.wait_for(lambda row: row["waiting"] == "budget")
    running.end(cancel=True)
    assert "60 more requests will take about 2 min" in connection.notices[0]
    assert "20 a minute" in connection.notices[0]


@pytest.mark.parametrize("statement", ["SELECT name FROM third_parties", "SELECT name FROM third_parties LIMIT 20",
                                       "SELECT count(*) FROM third_parties"])
def test_short_work_says_nothing(slow, statement):
    connection = slow(1)
    tpmtest.rows(connection, statement)
    assert connection.notices == []


def test_ids_beyond_max_requests_are_refused_at_once(slow, sandbox):
    """Several requests are known before the first is sent."""
    connection = slow(0)
    tpmtest.rows(connection, "SET tpm_fdw.max_requests = 5")
    sandbox.reset()
    with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
        tpmtest.rows(connection, "SELECT name FROM third_parties WHERE id = ANY("
                     "ARRAY(SELECT i::text FROM generate_series(1, 2000) i))")
    assert sandbox.request_count() == 0


def test_a_run_of_a_copy(cluster, slow):
    """It is shown with its pages and their end, which the budget tells: ten slots a second."""
    connection = slow(0, rate_limit_per_second="10")
    tpmtest.rows(connection, "SELECT tpm_fdw_create_copy('tpm.third_parties')")
    running = Running(cluster, connection, "CALL tpm_fdw_sync('tpm_copy.third_parties')")
    row = running.wait_for(lambda row: row["done"] >= 12 and row["waiting"] == "budget")
    promised = time.time() + row["left"]
    assert row["operation"] == "sync" and row["expected"] == PAGES
    assert row["rows"] >= (row["done"] - 2) * 10
    assert 0 < row["left"] <= 3.5
    running.end()
    assert running.ended == pytest.approx(promised, abs=1.2)
