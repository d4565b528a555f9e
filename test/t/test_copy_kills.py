"""A filling that is killed again and again goes on where it was, at the cost of a page or two each time.

20,000 rows in 200 pages, an hour that takes a minute, 60 requests a second on both sides. The
backend is killed, cancelled and terminated at random pages and the cluster restarted; whoever calls
again goes on. SOAK=1: 100,000 rows, twenty interruptions and two restarts. SEED=... repeats one.
"""

import os
import random
import time

import copying
import psycopg2
import pytest
import tpmtest
from copying import Api, Copy
from tpmtest import rows

pytestmark = pytest.mark.long

SOAK = os.environ.get("SOAK") == "1"
SEED = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10 ** 9) if SOAK else 1))
RECORDS, INTERRUPTIONS, RESTARTS = (100_000, 20, 2) if SOAK else (20_000, 5, 1)
PAGE, PER_SECOND, PER_HOUR = 100, 60, 600
PAGES = RECORDS // PAGE

# after these, what was committed in the last second may be gone: commits of pages are asynchronous
HARD = ("kill -9", "restart")


class Filling:
    """The cluster, the sandbox and one copy that is being filled."""

    def __init__(self):
        self.cluster = tpmtest.Cluster(**{"tpm_fdw.hour": "60s"}).start()
        self.sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", str(PER_SECOND), "--rate-per-hour",
                                       str(PER_HOUR), "--hour-seconds", "60").start()
        self.api = Api("plain")
        monitor = self.cluster.connect()
        tpmtest.setup_server(monitor, self.sandbox, options={"rate_limit_per_second": PER_SECOND,
                                                             "rate_limit_per_hour": PER_HOUR})
        rows(monitor, "CREATE SCHEMA s; CREATE SCHEMA s_copy")
        self.api.create(monitor, "s", "things", PAGE)
        self.copy_of(monitor).create()
        monitor.close()
        # how many pages the interruptions so far may have cost
        self.allowed = 0

    def copy_of(self, monitor, session=None):
        return Copy(session, monitor, self.sandbox, self.api)

    def close(self):
        self.cluster.destroy()
        self.sandbox.stop()

    def connected(self):
        """A session, as soon as the server takes one."""
        def attempt():
            try:
                return self.cluster.connect()
            except psycopg2.OperationalError:
                return None
        return tpmtest.wait_until(attempt, 60, "the server")

    def interrupted(self, how, at):
        """A call that is ended that way once `at` requests have been sent; whether it had not ended by itself."""
        session = self.connected()
        pid = session.get_backend_pid()
        thread, result = tpmtest.in_thread(lambda: self.copy_of(session, session).call())
        while thread.is_alive() and self.sandbox.request_count() < at:
            time.sleep(0.01)
        if not thread.is_alive():
            assert result == [None], result
            session.close()
            return False
        now = time.time()
        if how == "kill -9":
            self.cluster.kill9(pid)
        elif how == "restart":
            self.cluster.restart("immediate")
        else:
            self.cluster.sql(f"SELECT pg_{how}_backend({pid})")
        thread.join(60)
        assert not thread.is_alive() and isinstance(result[0], psycopg2.Error), (how, result)
        if how == "cancel":
            assert result[0].pgcode == "57014", result[0]
        self.allowed += 2
        if how in HARD:
            self.allowed += sum(now - 1 <= entry["time"] for entry in self.sandbox.api_requests())
        session.close()
        return True

    def progress(self):
        """(phase, rows) as the view has them, and what the API was asked so far."""
        session = self.connected()
        try:
            return (*self.copy_of(session).says("state", "rows"), self.sandbox.request_count())
        finally:
            session.close()


@pytest.fixture(scope="module")
def filling():
    filling = Filling()
    yield filling
    filling.close()


def test_killed_at_random_pages(filling):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    ends = ["kill -9", "cancel", "terminate"] * INTERRUPTIONS
    # on a busy machine each comes some pages later than it was meant to
    pages = sorted(rng.sample(range(2, PAGES - PAGES // 4), INTERRUPTIONS + RESTARTS))
    interruptions = ends[:INTERRUPTIONS] + ["restart"] * RESTARTS
    rng.shuffle(interruptions)
    # what an interruption costs is sent in addition, so no filling is over before the last of them
    for how, at, before in zip(interruptions, pages, [0, *pages]):
        assert filling.interrupted(how, filling.sandbox.request_count() + at - before), (how, at)
        print(how, at, filling.progress())
    session = filling.connected()
    copy = filling.copy_of(session, session)
    error = copy.call()
    assert error is None, error
    assert copying.differs(copy) == []
    assert copy.says("state", "problem", "rows") == ("current", None, RECORDS)
    sent = filling.sandbox.request_count()
    print(f"{sent} requests for {PAGES} pages, {filling.allowed} allowed for interruptions")
    assert sent <= PAGES + filling.allowed + 14
    # and nobody was asked too fast
    assert [entry for entry in filling.sandbox.api_requests() if entry["status"] == 429] == []
    session.close()
