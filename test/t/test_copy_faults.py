"""Every fault of the sandbox at a page of every kind of run of a copy.

Whatever an answer says: the copy holds no row that the API did not give, nothing that lives is
deleted, the state says what happened, whoever called is who he was, and the next run mends it. One
drawn place for each fault and kind of run here, all places, once and lasting, with SOAK=1.
"""

import os
import queue
import random
import sys
import threading
from pathlib import Path

import copying
import psycopg2
import pytest
import tpmtest
from copying import Api, Copy
from tpmtest import rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox"))

import faults as sandbox_faults  # noqa: E402

pytestmark = pytest.mark.long

SOAK = os.environ.get("SOAK") == "1"
WORKERS = 4
KINDS = ("filling", "incremental", "reconcile", "sweep")
PLACES = {"first": 0, "middle": 0.5, "last": 1}
RECORDS, PAGE = 130, 20

# faults that last until somebody's patience ends
SLOW = ("stall", "hold", "slow_drip")
PARAMETERS = {
    "latency": {"ms": 100}, "huge": {"mb": 3}, "big_page": {"mb": 3}, "gzip_bomb": {"mb": 10}, "retry_after": {"value": 1},
    "rename_attribute": {"attribute": "name", "to": "title"}, "page_cap": {"value": 7},
}
FAULTS = [kind for kind in sandbox_faults.KINDS
          if kind not in sandbox_faults.OF_WRITES and kind not in ("status", "write_status")]
FAULTS += ["status:404", "status:410", "status:413", "status:422", "status:429", "status:500", "status:503"]

# what a run waits for as long as it lasts: nobody waits for it
PATIENT = ("status:429", "retry_after")

# after these an answer is a good one that does not tell all: nobody can know it at once
MISLEADING = ("hide_inactive", "empty_list", "drift", "rename_attribute")

# a member is gone: no page of at least PAGE rows is written, unless nothing is known yet; what a smaller
# page has lost, no cursor tells
MEMBERS = ("drift", "rename_attribute")


class Cell:
    """One fault at one place of one run: what is wrong with what came of it."""

    def __init__(self, worker, fault, kind, place, lasting):
        self.worker, self.copy, self.sandbox = worker, worker.copy, worker.sandbox
        self.fault, self.kind, self.lasting = fault, kind, lasting
        self.skip = round(PLACES[place] * (worker.lengths[kind] - 1))
        self.name = f"{fault} from request {self.skip + 1} of {kind}, {'lasting' if lasting else 'once'}"
        self.wrong = []
        self.outcome = None

    def strike(self):
        """The fault is in force."""
        order = {"fault": self.fault, "match": "GET /v1/third_parties", **PARAMETERS.get(self.fault, {})}
        if self.fault == "token_error":
            # a 401 at that page makes the run ask for a token there
            self.sandbox.fault("expire_token", match=order["match"], count=1, skip=self.skip)
            order = {"fault": self.fault}
        else:
            order["skip"] = self.skip
        self.sandbox.post("/_sandbox/faults", {**order, "count": 0 if self.lasting else 1})

    def run(self):
        """All of it; what is wrong."""
        worker, copy = self.worker, self.copy
        worker.begin(self.kind, self.fault in MEMBERS)
        given = set(copy.wanted().values())
        gone = worker.change()
        given |= set(copy.wanted().values())
        before = copy.ids()
        self.strike()
        copy.due("incremental" if self.kind == "filling" else self.kind)
        error = copy.call()
        struck = self.sandbox.state()["struck"].get(self.fault.partition(":")[0], 0)
        self.outcome = f"{'struck' if struck else 'missed'}, {error.pgcode if error else 'right'}"
        self.sandbox.release()
        self.sandbox.reset()
        self.judge(error, copy.held(), given, before, gone)
        self.mend()
        return [f"{self.name}: {each}" for each in self.wrong]

    def judge(self, error, held, given, before, gone):
        """What holds after whatever has happened."""
        strange = [row for row in held.values() if row not in given]
        if self.fault in MEMBERS and (self.kind == "filling" or len(strange) < PAGE):
            strange = []
        if strange:
            self.wrong.append(f"rows that nobody gave: {strange[:3]}")
        if before - set(held) - gone:
            self.wrong.append(f"living rows are gone: {sorted(before - set(held) - gone)}")
        state, problem = self.copy.says("state", "problem")
        if error is None:
            if problem is not None or state != "current":
                self.wrong.append(f"no error, and the state says {state}, {problem}")
            if self.fault not in MISLEADING:
                wanted = self.copy.wanted()
                if self.kind == "incremental":
                    held = {number: row for number, row in held.items() if number not in gone}
                self.wrong += [f"no error, and {each}" for each in copying.differences(held, wanted)]
        else:
            if error.pgcode is None or error.pgcode.startswith("XX"):
                self.wrong.append(f"{error.pgcode}: {error}")
            said = (error.diag.message_primary or "").removeprefix(f"local copy {self.copy.name}: ")
            if state != "failed" or not problem or said not in problem:
                self.wrong.append(f"{said}, and the state says {state}, {problem}")
        self.wrong += self.worker.left()

    def mend(self):
        """The next run does it, and one of the other kinds finds nothing more that is wrong."""
        for kind in (None, *(("sweep",) if self.fault in MEMBERS else ()), "incremental", "reconcile"):
            error = self.copy.call() if kind is None else (self.copy.due(kind), self.copy.call())[1]
            if error:
                self.wrong.append(f"not mended: {error.pgcode} {error}")
        self.wrong += [f"not mended: {each}" for each in copying.differs(self.copy)]
        state, problem, unlisted = self.copy.says("state", "problem", "unlisted")
        if (state, problem, unlisted) != ("current", None, 0):
            self.wrong.append(f"not mended: {state}, {problem}, {unlisted} unlisted")


class Worker:
    """A sandbox, a database, a copy that belongs to a role without rights, and a superuser who calls for its runs."""

    def __init__(self, cluster, number):
        self.rng = random.Random(number)
        self.sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
        name, keeper = f"copyfaults{number}", f"keeper{number}"
        cluster.sql(f"CREATE DATABASE {name}")
        cluster.sql(f"DROP ROLE IF EXISTS {keeper}")
        cluster.sql(f"CREATE ROLE {keeper} LOGIN")
        self.session, self.monitor = cluster.connect(name), cluster.connect(name)
        tpmtest.setup_server(self.monitor, self.sandbox, options={
            "max_retries": 1, "request_timeout": "20s", "max_response_size": "2MB"})
        rows(self.monitor, f"CREATE USER MAPPING FOR {keeper} SERVER tpm OPTIONS"
                           " (client_id 'sandbox', client_secret 'sandbox-secret');"
                           f"GRANT USAGE ON FOREIGN SERVER tpm TO {keeper};"
                           f"CREATE SCHEMA s AUTHORIZATION {keeper}; CREATE SCHEMA s_copy AUTHORIZATION {keeper}")
        self.owner = cluster.connect(name, keeper)
        api = Api("plain")
        api.create(self.owner, "s", "things", PAGE)
        self.copy = Copy(self.session, self.monitor, self.sandbox, api)
        for connection in (self.session, self.monitor, self.owner):
            rows(connection, "SET client_min_messages = error")
        rows(self.session, "SET search_path = s, public; SET statement_timeout = '60s'")
        self.made = False
        self.lengths = {}
        for kind in KINDS:
            self.begin(kind)
            self.change()
            self.sandbox.reset()
            self.copy.run("incremental" if kind == "filling" else kind)
            self.lengths[kind] = self.sandbox.request_count()
            assert copying.differs(self.copy) == [] or kind == "incremental", kind

    def begin(self, kind, anew=False):
        """A copy as it is before such a run: equal to the API, or empty; anew: it knows of no member that was gone."""
        if kind == "filling" or not self.made or anew:
            if self.made:
                rows(self.owner, "SELECT tpm_fdw_drop_copy(%s, drop_table => true)", (self.copy.name,))
            rows(self.owner, "SELECT tpm_fdw_create_copy(%s, %s, lookback => '1 s')", (self.copy.source, self.copy.name))
            self.made = True
        if kind != "filling":
            self.copy.run("incremental")

    def change(self):
        """Others edit, create and delete; the ids that are gone."""
        living = [item["id"] for item in self.sandbox.dump("third_parties")]
        gone = set(self.rng.sample(living, 5))
        self.sandbox.delete("third_parties", *gone)
        edited = self.rng.sample(sorted(set(living) - gone), 2 * PAGE + 3)
        self.sandbox.edit_all("third_parties", edited, city=f"city {self.rng.random()}")
        for number in range(5):
            self.sandbox.create("third_parties", name=f"new {number}", status=self.rng.choice(("Active", "Inactive")))
        return gone

    def left(self):
        """What a run must not leave behind."""
        wrong = []
        (who,) = rows(self.session, "SELECT current_user, session_user, current_setting('search_path')")
        if who != ("postgres", "postgres", "s, public"):
            wrong.append(f"the session is {who}")
        locks = rows(self.monitor, "SELECT locktype, mode FROM pg_locks WHERE pid = %s AND locktype <> 'virtualxid'",
                     (self.session.get_backend_pid(),))
        if locks:
            wrong.append(f"locks are left: {locks}")
        return wrong

    def patience(self, fault):
        """How long a request may take."""
        wanted = f"{int(1000 * tpmtest.SLACK)}ms" if fault in SLOW else "20s"
        rows(self.monitor, f"ALTER SERVER tpm OPTIONS (SET request_timeout '{wanted}')")

    def close(self):
        for connection in (self.session, self.monitor, self.owner):
            connection.close()
        self.sandbox.stop()


def cells_of(fault):
    """(kind, place, lasting) of what is tried of a fault."""
    if SOAK:
        return [(kind, place, lasting) for kind in KINDS for place in PLACES for lasting in (False, True)
                if not (lasting and fault in PATIENT)]
    rng = random.Random(fault)
    return [(kind, rng.choice(list(PLACES)), rng.random() < 0.7 and fault not in PATIENT) for kind in KINDS]


def work(cluster, number, faults, wrong, outcomes):
    """One thread: all cells of a fault, then those of the next."""
    worker = Worker(cluster, number)
    fault = None
    try:
        while True:
            fault = faults.get_nowait()
            worker.patience(fault)
            found = []
            for kind, place, lasting in cells_of(fault):
                cell = Cell(worker, fault, kind, place, lasting)
                try:
                    found += cell.run()
                finally:
                    outcomes.append(f"{cell.name}: {cell.outcome}")
            wrong[fault] = found
    except queue.Empty:
        pass
    except Exception as error:  # noqa: BLE001  # reported by the test
        wrong[fault] = [repr(error)]
        raise
    finally:
        worker.close()


@pytest.fixture(scope="module")
def tried(cluster):
    """{fault: what is wrong}"""
    faults, wrong, outcomes = queue.Queue(), {}, []
    slow = SLOW + ("retry_after", "status:429", "status:503", "html_502")
    for fault in sorted(FAULTS, key=lambda name: name not in slow):
        faults.put(fault)
    threads = [threading.Thread(target=work, args=(cluster, number, faults, wrong, outcomes)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(outcomes + [each for found in wrong.values() for each in found]))
    return wrong


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(tried, fault):
    assert tried.get(fault, ["not tried"]) == []


@pytest.fixture(scope="module")
def worker(cluster):
    worker = Worker(cluster, WORKERS)
    yield worker
    worker.close()


@pytest.mark.parametrize("how", ["cancel", "terminate"])
@pytest.mark.parametrize("kind", KINDS)
def test_ended_in_page_three(worker, cluster, kind, how):
    """Whoever called is himself again, nothing is locked, and the next run goes on."""
    worker.begin(kind)
    worker.change()
    worker.sandbox.fault("hold", match="GET /v1/third_parties", skip=min(2, worker.lengths[kind] - 1))
    worker.copy.due("incremental" if kind == "filling" else kind)
    thread, result = tpmtest.in_thread(worker.copy.call)
    tpmtest.wait_until(lambda: worker.sandbox.state()["held"])
    rows(worker.monitor, f"SELECT pg_{how}_backend(%s)", (worker.session.get_backend_pid(),))
    thread.join(20)
    assert not thread.is_alive() and isinstance(result[0], psycopg2.Error)
    # a session that is gone may not have heard why; that nothing crashed, the other one knows
    assert result[0].pgcode in (("57014",) if how == "cancel" else ("57P01", None))
    worker.sandbox.release()
    worker.sandbox.reset()
    if how == "terminate":
        worker.session.close()
        worker.session = worker.copy.session = cluster.connect(worker.monitor.info.dbname)
        rows(worker.session, "SET search_path = s, public")
    assert worker.left() == []
    for again in (None, "incremental", "reconcile"):
        worker.copy.run(again)
    assert copying.differs(worker.copy) == []
    assert worker.left() == []
