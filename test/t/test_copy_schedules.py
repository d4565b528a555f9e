"""Random schedules: others edit, create and delete while runs of a copy go on request by request.

Writers' clocks differ, changes are seen late, many rows change at one moment and then rest, rows
before the one being read go away, lists hide some, pages are shorter than asked, totals lag. At no
step may a living row be gone from the copy, and when the others rest, one incremental run and one
reconcile later the copy is what the API has, row by row.

A seed is a schedule. SEED=... begins with that one, SEEDS=1 ends with it, SOAK=1 has a thousand.
"""

import datetime as dt
import os
import queue
import random
import threading
import time
from collections import Counter

import copying
import psycopg2
import pytest
import tpmtest
from copying import Api, Copy
from tpmtest import rows

pytestmark = pytest.mark.long

SOAK = os.environ.get("SOAK") == "1"
FIRST = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10 ** 9) if SOAK else 1))
SEEDS = int(os.environ.get("SEEDS") or (1000 if SOAK else 40))
WORKERS = 4

RECORDS = 50
# seconds; the clocks of two writers and the time until a change is seen are together no more than that
LOOKBACK = 0.5 * tpmtest.SLACK
CLOCK, UNSEEN = LOOKBACK * 0.3, LOOKBACK * 0.3
LAG = 300

UNTRUSTED = "OPTIONS (filter 'id', filter_match 'exact')"
LINKED = {"pagination": "links", "total_pointer": "/meta/total_count"}
APIS = [
    Api("plain"),
    Api("numbers", sandbox={"id_order": "numbers"}),
    Api("one key", sandbox={"sort_keys": "one", "ties": "moving"}, table={"pagination": "number", "sort_keys": "one",
                                                                         "total_pointer": "/meta/total_count"}),
    Api("without total", sandbox={"no_total": True}, table={"pagination": "number"}),
    Api("links", table=LINKED),
    Api("links as listed", table=LINKED, id_options=UNTRUSTED),
    Api("bare", sandbox={"no_total": True, "pagination": "cursor"}, table={"pagination": "links"}, id_options=UNTRUSTED),
    Api("no cursor", cursor=None),
    Api("no cursor, as listed", cursor=None, table=LINKED, id_options=UNTRUSTED),
    Api("range", resource="audit_events", cursor="occurred_at", columns=("event", "reference"), id_options="",
        cursor_options="OPTIONS (sortable 'true', filter_ge 'filter[date][start]', filter_le 'filter[date][end]',"
                       " filter_operators '>=,<=')"),
]


class World:
    """The others: what they do is drawn, and remembered."""

    def __init__(self, sandbox, rng, api, hidden, page_size):
        self.sandbox, self.rng, self.api, self.hidden, self.page_size = sandbox, rng, api, hidden, page_size
        self.kind = api.resource
        self.living = [item["id"] for item in sandbox.dump(self.kind)]
        self.deleted = set()
        self.clocks = [rng.uniform(-CLOCK, CLOCK) for _ in range(2)]
        self.made = 0
        self.trace = []

    def now(self):
        """What one of the writers takes the time for, of a change that is seen only now."""
        late = self.rng.choice((0, 0, self.rng.random() * UNSEEN))
        return copying.stamp(dt.datetime.now(dt.timezone.utc)
                             + dt.timedelta(seconds=self.rng.choice(self.clocks) / 2 - late))

    def some(self, most, all_of_them=False):
        """Ids of living resources."""
        return self.rng.sample(self.living, min(len(self.living), most if all_of_them else self.rng.randint(1, most)))

    def edit(self, most=3, all_of_them=False):
        if self.api.cursor != "updated_at" and self.api.cursor is not None:
            return self.create()
        attributes = {"city": f"city {self.made}"}
        if self.hidden:
            attributes["status"] = self.rng.choice(("Active", "Active", "Inactive"))
        numbers = self.some(most, all_of_them)
        self.sandbox.edit_all(self.kind, numbers, updated_at=self.now(), **attributes)
        return f"edit {numbers}"

    def edit_many(self):
        """A bulk edit: all have one time. A page full of them moves another page to where the next one was."""
        return self.edit(self.rng.choice((40, self.page_size)), all_of_them=True)

    def create(self):
        now = self.now()
        times = {"occurred_at": now} if self.kind == "audit_events" else {"created_at": now, "updated_at": now, "status": "Active"}
        named = {"event": f"new {self.made}"} if self.kind == "audit_events" else {"name": f"new {self.made}"}
        number = self.sandbox.create(self.kind, **times, **named)
        self.living.append(number)
        return f"create {number}"

    def delete(self, numbers=None):
        if len(self.living) < 20:
            return "nothing"
        numbers = numbers or self.some(2)
        self.sandbox.delete(self.kind, *numbers, status=self.rng.choice((404, 410)))
        self.deleted.update(numbers)
        self.living = [number for number in self.living if number not in self.deleted]
        return f"delete {numbers}"

    def delete_in_front(self):
        """Those that lists begin with, in one of the orders that a run may read them in."""
        cursor = self.api.cursor or "updated_at"
        items = sorted(self.sandbox.dump(self.kind), key=self.rng.choice([
            lambda item: item["id"], lambda item: int(item["id"]),
            lambda item: [-ord(c) for c in item["attributes"][cursor]]]))
        return self.delete([item["id"] for item in items[:self.rng.randint(1, 4)]])

    def wait(self):
        time.sleep(self.rng.random() * LOOKBACK / 2)
        return "wait"

    def act(self, chance=0.5):
        """Something happens, or not."""
        if self.rng.random() > chance:
            return
        self.made += 1
        doing = self.rng.choices((self.edit, self.edit_many, self.create, self.delete, self.delete_in_front, self.wait),
                                 (6, 1, 3, 2, 2, 1))[0]
        self.trace.append(doing())


class Schedule:
    """One schedule on one worker's sandbox and sessions."""

    def __init__(self, worker, seed):
        self.rng = random.Random(seed)
        self.worker, self.sandbox = worker, worker.sandbox
        self.api = self.rng.choice(APIS)
        self.hidden = self.lags = False
        self.copy = self.world = None
        self.wrong = []
        self.before = set()
        self.seen = worker.seen

    def prepare(self):
        rng, api = self.rng, self.api
        self.sandbox.reset(data=True)
        settings = {**api.sandbox, **rng.choice(({}, {"date_skew": 3600}, {"no_date": True}))}
        if "no_total" not in api.sandbox and rng.random() < 0.3:
            settings["total_lag_ms"] = LAG
        self.sandbox.settings(**settings)
        self.lags = "total_lag_ms" in settings
        cap = rng.choice((3, 4)) if rng.random() < 0.2 else 0
        if cap:
            self.sandbox.fault("page_cap", value=cap)
        self.hidden = api.resource == "third_parties" and rng.random() < 0.3
        if self.hidden:
            self.sandbox.fault("hide_inactive")
        self.sandbox.fault("hold", match="GET /v1/")
        options = {"deletions": rng.choice(("remove", "remove", "mark", "keep")),
                   "unlisted": rng.choice(("keep", "keep", "remove")), "lookback": f"{LOOKBACK} s"}
        self.worker.fresh()
        page_size = rng.choice((5, 6, 10))
        api.create(self.worker.monitor, "s", "things", page_size)
        self.copy = Copy(self.worker.session, self.worker.monitor, self.sandbox, api, **options)
        self.copy.create()
        self.world = World(self.sandbox, rng, api, self.hidden, page_size)
        self.world.trace.append(f"{api.name}, {options}, hidden {self.hidden}, "
                                f"pages of {page_size}, at most {cap}, {settings}")

    def watch(self):
        """No living row is gone."""
        now = self.copy.ids()
        gone = self.before - now - self.world.deleted
        self.before = now
        if gone and not (self.hidden and self.copy.options["unlisted"] == "remove"):
            self.wrong.append(f"living rows are gone: {sorted(gone)}")

    def step(self, cancelled):
        """Between two requests of a run."""
        self.world.trace.append("request")
        self.watch()
        self.world.act()
        if self.rng.random() < cancelled:
            self.world.trace.append("cancel")
            rows(self.worker.monitor, "SELECT pg_cancel_backend(%s)", (self.copy.session.get_backend_pid(),))

    def run_once(self, kind, cancelled=0.01):
        """One run while the others go on; totals do not lag from one to the next."""
        if self.lags:
            time.sleep(LAG / 1000)
        self.world.trace.append(f"run {kind}")
        error = self.copy.stepwise(kind, lambda: self.step(cancelled), accept_deletions=True)
        self.watch()
        if error is not None:
            self.note(error)
        return error

    def note(self, error):
        """A run may end early because the list moved too much; it says so, and the session lives."""
        code = error.pgcode or "lost"
        self.world.trace.append(f"error {code}: {error}")
        self.seen[code] += 1
        if code == "lost" or code.startswith("XX"):
            self.wrong.append(f"{code}: {error}")

    def run(self):
        """All of it; what is wrong."""
        self.prepare()
        for _ in range(5):
            if self.run_once(None, 0.05) is None:
                break
        for _ in range(self.rng.randint(2, 5)):
            for _ in range(self.rng.randint(0, 4)):
                self.world.act()
            self.run_once(self.rng.choices(("incremental", "reconcile", "sweep"), (4, 2, 1))[0])
        time.sleep(LAG / 1000)
        # a list without a cursor is as it is now once it has been read from its beginning
        begun = self.api.cursor is None and self.copy.says("phase") in ("filling", "sweep")
        runs = ("incremental", "reconcile") if self.api.cursor else ("sweep",) * (1 + begun)
        # who cannot be asked for several by id is asked for as many as his list has pages
        more = ("reconcile",) * 5 if not self.api.id_options else ()
        for kind in runs + more:
            self.world.trace.append(f"at rest, run {kind}")
            error = self.copy.stepwise(kind, lambda: self.world.trace.append("request"), accept_deletions=True)
            self.watch()
            if error is not None:
                self.wrong.append(f"{kind} at rest: {error.pgcode} {error}")
        self.compare()
        return self.wrong

    def compare(self):
        """The copy is what the API has: what lists hide may be there or not, and as it was."""
        held, wanted = self.copy.held(), self.copy.wanted()
        if self.copy.options["deletions"] == "keep":
            held = {number: row for number, row in held.items() if number not in self.world.deleted}
        if self.hidden:
            hidden = {number for number, row in wanted.items() if row[2] == "Inactive"}
            if "keep" in (self.copy.options["unlisted"], self.copy.options["deletions"]):
                held = {number: row for number, row in held.items() if number not in hidden}
            wanted = {number: row for number, row in wanted.items() if number not in hidden}
        self.wrong += copying.differences(held, wanted)
        problem = self.copy.says("problem")
        if problem:
            self.wrong.append(f"the state says: {problem}")


class Worker:
    """A sandbox, a database and two sessions."""

    def __init__(self, cluster, number):
        self.seen = Counter()
        self.sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
        name = f"schedules{number}"
        cluster.sql(f"CREATE DATABASE {name}")
        self.session, self.monitor = cluster.connect(name), cluster.connect(name)
        tpmtest.setup_server(self.monitor, self.sandbox)
        for connection in (self.session, self.monitor):
            rows(connection, "SET client_min_messages = error")

    def fresh(self):
        """Nothing is left of what was tried before."""
        rows(self.monitor, "DROP SCHEMA IF EXISTS s, s_copy CASCADE; CREATE SCHEMA s; CREATE SCHEMA s_copy")

    def close(self):
        self.session.close()
        self.monitor.close()
        self.sandbox.stop()


def work(cluster, number, seeds, failures, seen):
    """One thread: schedules until there are none left, or one has failed."""
    worker = Worker(cluster, number)
    try:
        while len(failures) < 3:
            seed = seeds.get_nowait()
            schedule = Schedule(worker, seed)
            try:
                wrong = schedule.run()
            except psycopg2.Error as error:
                wrong = [f"{error.pgcode}: {error}"]
            seen[schedule.api.name] += 1
            if wrong:
                failures.append(f"SEED={seed} SEEDS=1: {wrong}\n  " + "\n  ".join(map(str, schedule.world.trace[-400:])))
    except queue.Empty:
        pass
    except Exception as error:  # noqa: BLE001  # reported by the test
        failures.append(f"SEED={seed}: {error!r}")
        raise
    finally:
        seen.update(worker.seen)
        worker.close()


def test_schedules(cluster):
    print(f"seed {FIRST}")
    seeds, failures, seen = queue.Queue(), [], Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        seeds.put(seed)
    threads = [threading.Thread(target=work, args=(cluster, number, seeds, failures, seen))
               for number in range(min(WORKERS, SEEDS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(dict(seen))
    assert failures == [], "\n".join(failures)
