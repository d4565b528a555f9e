"""Loads and changes while gateways fail, connections break, deeds come late and lists lag, all at random.

Vendors are loaded three times over as a user would: what failed is repeated for what is not
there. Each must be there once, a statement without error has created as many as it says, and
the journal says of each request that acted `sent`, or `unknown`, of which an error told. One
row is changed three times: the API ends with the last values, or an error says so.

A few seeds here, the rest in `make soak`. SEED=... begins with that one, SEEDS=1 ends with it, and
SOAK=1 has it as large as `make soak` does.
"""

import io
import itertools
import os
import queue
import random
import threading
import time
from collections import Counter

import psycopg2
import psycopg2.extras
import pytest

import storms
import tpmtest
from tpmtest import rows

SOAK = os.environ.get("SOAK") == "1"
FIRST = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10 ** 9) if SOAK else 1))
LOADS, VENDORS = (50, 1000) if SOAK else (2, 100)
CHANGES = 200 if SOAK else 20
SEEDS = int(os.environ.get("SEEDS") or max(LOADS, CHANGES))
# they mostly wait
WORKERS = 24 if SOAK else 8
NUMBERS = itertools.count(1)

# Milliseconds that rows 36 to 38 of the table of outcomes wait, and how late a deed may be, and how
# long a list may lag behind it: together less than that.
SETTLE = int(1000 * tpmtest.SLACK)
LATE, LAG = 0.45 * SETTLE, 0.3 * SETTLE
# Between loads, in seconds after the last deed: the API's times tell whose row it is from two
# seconds on, and Date is whole seconds.
GAP = 3.1

TABLE = """
CREATE FOREIGN TABLE {name} (id text, internal_id text OPTIONS (natural_key 'true', filter 'internal_id'),
  name text, country text, city text, approval_reason text,
  created_at timestamptz OPTIONS (read_only 'true'{created_at}))
SERVER tpm OPTIONS (resource '/third_parties'{options})"""
TABLES = {"dated": {"created_at": ", created_at 'true'", "options": ""},
          "looking": {"created_at": "", "options": ", insert_check 'look'"}}

EVIDENCE = {"sent": {"answer", "found: absent before", "found: created after sending", "read back"},
            "refused": {"found: created before sending", "conflict", "not sent", "answer", None}}


class Worker:
    """A sandbox, a database and two sessions."""

    def __init__(self, cluster, number):
        self.name = f"loads{number}"
        self.seen = Counter()
        self.sandbox = tpmtest.Sandbox("--records", "30", "--rate-per-second", "0", "--rate-per-hour", "0").start()
        cluster.sql(f"CREATE DATABASE {self.name}")
        self.sessions = [cluster.connect(self.name) for _ in range(2)]
        self.monitor = cluster.connect(self.name)
        tpmtest.setup_server(self.monitor, self.sandbox, options={"request_timeout": "20s", "max_retries": 5})
        rows(self.monitor, f"CREATE TABLE vendors (key text PRIMARY KEY, name text, country text, city text);"
                           f"ALTER DATABASE {self.name} SET tpm_fdw.settle = {SETTLE};"
                           f"ALTER DATABASE {self.name} SET tpm_fdw.cache_ttl = 0;"
                           f"ALTER DATABASE {self.name} SET tpm_fdw.max_writes = 0;"
                           f"ALTER DATABASE {self.name} SET tpm_fdw.max_requests = 0;"
                           f"ALTER DATABASE {self.name} SET tpm_fdw.leave_free = 0")
        for session in self.sessions:
            session.close()
        self.sessions = [cluster.connect(self.name) for _ in range(2)]

    def fresh(self, retries):
        """Nothing is left of what was tried before."""
        self.sandbox.reset(data=True)
        rows(self.monitor, f"ALTER SERVER tpm OPTIONS (SET max_retries '{retries}');"
                           "DROP SCHEMA IF EXISTS tried CASCADE; CREATE SCHEMA tried;"
                           "SELECT tpm_fdw_reset_rate_limits()")
        for session in (self.monitor, *self.sessions):
            rows(session, "SET search_path = tried, public")

    def close(self):
        for session in (self.monitor, *self.sessions):
            session.close()
        self.sandbox.stop()


def in_all(cluster, jobs, run):
    """What is wrong with each job that is not right: run(worker, job) says what. And all outcomes, counted."""
    waiting, wrong, failures, seen = queue.Queue(), [], [], Counter()
    for job in jobs:
        waiting.put(job)

    def work(number):
        worker, job = Worker(cluster, number), None
        try:
            while not failures:
                job = waiting.get_nowait()
                # who gives up early leaves more that is unknown
                worker.fresh((5, 1, 0)[job[0] % 3])
                wrong.extend(f"SEED={job[0]} {job}: {complaint}" for complaint in run(worker, job))
        except queue.Empty:
            pass
        except Exception as error:  # noqa: BLE001  # reported by the test
            failures.append((job, error))
            raise
        finally:
            seen.update(worker.seen)
            worker.close()

    threads = [threading.Thread(target=work, args=(next(NUMBERS),)) for _ in range(min(WORKERS, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for complaint in wrong:
        print(complaint)
    print(dict(seen))
    assert failures == []
    return wrong, seen


class Statement:
    """One statement of a user: what it was about, what it said."""

    def __init__(self, name, keys):
        self.name, self.keys = name, keys
        self.created, self.code, self.text = 0, None, ""
        self.journal = []

    def run(self, session, sql, data=None):
        """Executes, and keeps what is said."""
        rows(session, f"SET application_name = '{self.name}'")
        del session.notices[:]
        try:
            with session.cursor() as cursor:
                if data is None:
                    cursor.execute(sql)
                else:
                    cursor.copy_expert(sql, io.StringIO(data))
                self.created = cursor.rowcount
        except psycopg2.Error as error:
            self.code, self.text = error.pgcode, str(error)
            # what comes after the error of a COPY is seen with the next command
            rows(session, "SELECT 1")
        self.text += "".join(session.notices)
        return self

    def wrong(self, sent):
        """What its words and its part of the journal contradict; `sent`: by request id, what the API has had."""
        told, acted = [], 0
        for write in self.journal:
            sending = sent.get(write["request_id"], storms.Sending(""))
            acted += sending.acted
            about = f"{self.name} {write['what']}: {write['outcome']}, {write['evidence']}, {sending.acted} acted"
            if (write["sendings"] or 0) != sending.came:
                told.append(f"{about}, sent {sending.came} times, the journal says {write['sendings']}")
            if sending.acted > 1 or write["outcome"] not in ("sent", "refused", "unknown"):
                told.append(about)
            elif sending.acted != (write["outcome"] == "sent") and write["outcome"] != "unknown":
                told.append(about)
            elif write["evidence"] not in EVIDENCE.get(write["outcome"], {write["evidence"]}):
                told.append(about)
            if write["outcome"] == "unknown" and (self.code != "08007" or write["what"] not in self.text):
                told.append(f"{about}: not said: {self.code} {self.text}")
        if self.code == "08007" and "unknown" not in {write["outcome"] for write in self.journal}:
            told.append(f"{self.name}: nothing is unknown: {self.text}")
        if self.code is None and acted != self.created:
            told.append(f"{self.name}: says {self.created} and did {acted}")
        return told


def take_journal(worker, statements, what):
    """Gives each statement its lines of the journal, `what` of a row being an SQL expression."""
    mine = {statement.name: statement for statement in statements}
    for line in rows(worker.monitor, f"SELECT application_name, {what}, outcome, evidence, sendings, request_id"
                                     " FROM tpm_fdw_writes WHERE database = current_database()"
                                     " AND application_name = ANY(%s)", (list(mine),)):
        names = ("what", "outcome", "evidence", "sendings", "request_id")
        mine[line[0]].journal.append(dict(zip(names, line[1:])))
        worker.seen[line[2:4]] += 1


# ----- loads -----


class Load:
    """Vendors loaded three times over into one kind of table."""

    def __init__(self, worker, job):
        self.worker, (self.seed, self.kind, self.count) = worker, job
        self.rng = random.Random(f"load {self.seed} {self.kind}")
        self.statements = []
        # where each INSERT looks first, not even the API's own promise is needed
        self.unique = self.kind == "dated" or self.rng.random() < 0.5
        worker.sandbox.settings(clock_skew=self.rng.choice([0, 0, -5000, 7200]), unique=self.unique)
        rows(worker.monitor, "CREATE SCHEMA IF NOT EXISTS tried; TRUNCATE vendors;"
             + TABLE.format(name="target", **TABLES[self.kind]))
        self.keys = [f"{self.seed}-{number:05}" for number in range(self.count)]
        vendor = [(key, f"{self.rng.choice(['Ähre', 'A, B', 'null', 'x'])} {key}", self.rng.choice(["DE", "US"]),
                   self.rng.choice([None, "", "Bonn"])) for key in self.keys]
        with worker.monitor.cursor() as cursor:
            psycopg2.extras.execute_values(cursor, "INSERT INTO vendors VALUES %s", vendor)
        # each load brings some that are new; of these somebody else has created a few meanwhile
        self.theirs = set()

    def there(self):
        """The keys that a user finds."""
        storms.settled(self.worker.sandbox)
        while True:
            try:
                return {key for key, in rows(self.worker.sessions[0], "SELECT internal_id FROM target")}
            except (psycopg2.errors.FdwUnableToCreateExecution, psycopg2.errors.FdwUnableToEstablishConnection):
                # a read that failed is asked again
                continue

    def statement(self, keys, again):
        """One statement about these vendors, in one of the ways that there are."""
        way = self.rng.choice(["insert", "insert", "insert", "copy"] if not again else ["insert"])
        if len(keys) <= 30 and self.rng.random() < 0.25:
            # one request at a time
            way = "returning"
        statement = Statement(f"{self.seed}-{self.kind}-{len(self.statements)}", keys)
        self.statements.append(statement)
        session = self.worker.sessions[0]
        listed = ", ".join(map(tpmtest.quote, keys))
        if way == "copy":
            data = rows(self.worker.monitor, f"SELECT * FROM vendors WHERE key IN ({listed})")
            text = "".join("\t".join("\\N" if value is None else value for value in line) + "\n" for line in data)
            return statement.run(session, "COPY target (internal_id, name, country, city) FROM STDIN", text)
        return statement.run(session, "INSERT INTO target (internal_id, name, country, city)"
                                      f" SELECT * FROM vendors WHERE key IN ({listed}) ORDER BY key"
                                      + (" ON CONFLICT DO NOTHING" if again else "")
                                      + (" RETURNING id" if way == "returning" else ""))

    def load(self, keys, again):
        """All of these, in statements of several sizes; what fails is repeated for what is not there."""
        at = 0
        while at < len(keys):
            size = self.rng.choice([1, 1, 2, 7, 30, len(keys) // 4])
            wanted, at = keys[at:at + size], at + size
            for _ in range(50):
                if self.statement(wanted, again).code is None:
                    break
                present = self.there()
                wanted = [key for key in wanted if key not in present]
                if not wanted:
                    break

    def rest(self):
        """Until late deeds are done, and what is there was created long enough ago."""
        storms.settled(self.worker.sandbox)
        since = time.monotonic()
        tpmtest.wait_until(lambda: time.monotonic() - since > GAP, message="the next load")

    def run(self):
        sandbox = self.worker.sandbox
        strength = self.rng.choice([0.05, 0.1, 0.2] if SOAK else [0.1, 0.2, 0.4])
        storms.begin(sandbox, storms.weather(self.seed, "POST /v1/", strength, LATE)
                     + storms.lag(self.seed, "POST /v1/", 0.3, LAG) + storms.reads(self.seed, 0.04))
        first, rest = self.keys[:-self.count // 10], self.keys[-self.count // 10:]
        self.load(first, False)
        self.theirs = set(rest[:len(rest) // 4])
        for key in self.theirs:
            sandbox.create("third_parties", internal_id=key, name="theirs", country="FR")
        self.rest()
        self.load(self.keys[:-self.count // 20], True)
        self.rest()
        self.load(self.keys, True)
        storms.settled(sandbox)
        return self.wrong()

    def wrong(self):
        """What is not as it should be."""
        take_journal(self.worker, self.statements, "new->>'internal_id'")
        entries = storms.sendings(self.worker.sandbox.requests())
        told = [one for statement in self.statements for one in statement.wrong(entries)]
        for statement in self.statements:
            # a look before the first sending is like any read: it may fail, and nothing has been sent
            first = statement.text.split("\n")[0]
            read = statement.code in ("HV00L", "HV00N") and "GET /v1/" in first
            # and where the look after a 409 fails, there is no more to say than that
            conflict = statement.code == "HV00L" and "409" in first
            if statement.code not in (None, "08007") and not read and not conflict:
                told.append(f"{statement.name}: {statement.code} {statement.text}")
        held, by_whom = {}, {}
        for item in self.worker.sandbox.dump("third_parties"):
            held.setdefault(item["attributes"]["internal_id"], []).append(item["attributes"]["name"])
        for statement in self.statements:
            for write in statement.journal:
                by_whom.setdefault(write["what"], []).append(write["outcome"])
        for key in self.keys:
            if len(held.get(key, [])) != 1:
                told.append(f"{key} is there {len(held.get(key, []))} times: {by_whom.get(key)}")
            said = [outcome for outcome in by_whom.get(key, []) if outcome != "refused"]
            if key in self.theirs and "sent" in said or said.count("sent") > 1:
                told.append(f"{key} has these outcomes: {by_whom[key]}")
            if key not in self.theirs and not said:
                told.append(f"{key} is there, and the journal does not say by whom: {by_whom.get(key)}")
            if key in self.theirs and held.get(key) != ["theirs"]:
                told.append(f"{key} is no longer theirs: {held.get(key)}")
        return told


@pytest.mark.long
def test_loads(cluster):
    print(f"seed {FIRST}")
    jobs = [(seed, kind, VENDORS) for seed in range(FIRST, FIRST + min(LOADS, SEEDS)) for kind in TABLES]
    wrong, seen = in_all(cluster, jobs, lambda worker, job: Load(worker, job).run())
    assert wrong == []
    # all that can be found out was to be found out
    for outcome in (("sent", "answer"), ("sent", "found: absent before"), ("refused", "found: created before sending")):
        assert seen[outcome], outcome
    assert any(outcome == "unknown" for outcome, _ in seen)


# ----- changes -----


class Changes:
    """One row is changed three times."""

    SETS = ("city", "approval_reason", "name")

    def __init__(self, worker, job):
        self.worker, (self.seed,) = worker, job
        self.rng = random.Random(f"change {self.seed}")
        self.etags = self.rng.random() < 0.5
        self.method = self.rng.choice(["PUT", "PATCH"])
        self.body = "changed" if self.method == "PATCH" else "full"
        self.sessions = self.rng.choice([1, 2])
        self.statements = []
        worker.sandbox.settings(etags=self.etags, clock_skew=self.rng.choice([0, 7200]))
        options = f", update_method '{self.method}', update_body '{self.body}'"
        rows(worker.monitor, TABLE.format(name="target", created_at="", options=options))
        self.number = str(self.rng.randint(1, 30))

    def change(self, turn):
        """One UPDATE, of the city and perhaps more."""
        sets = ["city"] + self.rng.sample(self.SETS[1:], self.rng.randint(0, 2))
        statement = Statement(f"{self.seed}-change-{turn}", {name: f"{name} {self.seed} {turn}" for name in sets})
        listed = ", ".join(f"{name} = {tpmtest.quote(value)}" for name, value in statement.keys.items())
        self.statements.append(statement)
        session = self.worker.sessions[turn % self.sessions]
        statement.run(session, f"UPDATE target SET {listed} WHERE id = '{self.number}'")

    def run(self):
        sandbox = self.worker.sandbox
        before, = [item for item in sandbox.dump("third_parties") if item["id"] == self.number]
        match = f"{self.method} /v1/"
        make = self.rng.choice([storms.lateness, storms.lateness, storms.weather])
        storms.begin(sandbox, make(self.seed, match, self.rng.choice([0.4, 0.7]), LATE) + storms.reads(self.seed, 0.02))
        for turn in range(3):
            self.change(turn)
        storms.settled(sandbox)
        after, = [item for item in sandbox.dump("third_parties") if item["id"] == self.number]
        return self.wrong(before["attributes"], after["attributes"])

    def wrong(self, before, after):
        """What is not as it should be."""
        take_journal(self.worker, self.statements, "id")
        entries = storms.sendings(self.worker.sandbox.requests())
        told = [one for statement in self.statements for one in statement.wrong(entries)]
        for statement in self.statements:
            outcomes = [write["outcome"] for write in statement.journal]
            if statement.code is None and outcomes != ["sent"]:
                told.append(f"{statement.name}: success, and the journal says {outcomes}")
            if statement.code not in (None, "08007", "40001", "HV00L", "HV00N"):
                told.append(f"{statement.name}: {statement.code} {statement.text}")
        for name in self.SETS:
            possible = [before[name]]
            for statement in self.statements:
                if name in statement.keys:
                    if statement.code is None:
                        possible = [statement.keys[name]]
                    elif statement.code == "08007":
                        possible.append(statement.keys[name])
            if after[name] not in possible:
                told.append(f"{name} is {after[name]!r}, and should be one of {possible}:"
                            f" {[(one.code, one.text) for one in self.statements]}")
        kept = set(before) - {*self.SETS, "updated_at"}
        told += [f"{name} is {after[name]!r}, and was {before[name]!r}" for name in kept if after[name] != before[name]]
        about = f"etags {self.etags}, {self.method}, {self.sessions} sessions, row {self.number}"
        return [f"{about}: {one}" for one in told]


def test_changes(cluster):
    print(f"seed {FIRST}")
    jobs = [(seed,) for seed in range(FIRST, FIRST + min(CHANGES, SEEDS))]
    wrong, seen = in_all(cluster, jobs, lambda worker, job: Changes(worker, job).run())
    assert wrong == []
    assert seen["sent", "answer"] and seen["sent", "read back"] and any(outcome == "unknown" for outcome, _ in seen)


# ----- a look before the first sending that fails -----


def looking(db, sandbox, kind):
    """One of the tables, of a server that repeats nothing."""
    tpmtest.setup_server(db, sandbox, options={"max_retries": 0})
    rows(db, "SET tpm_fdw.settle = 200; SET tpm_fdw.max_writes = 0; SET tpm_fdw.cache_ttl = 0;"
             + TABLE.format(name="target", **TABLES[kind]))


def insert(number):
    return ("INSERT INTO target (internal_id, name, country) "
            f"SELECT 'look-' || g, 'x', 'DE' FROM generate_series(1, {number}) g")


@pytest.mark.parametrize("number", [1, 8, 150])
def test_no_row_without_the_look_that_is_asked_for(db, sandbox, number):
    """insert_check 'look': where the look fails nothing is sent, not even where somebody would skip what exists."""
    looking(db, sandbox, "looking")
    sandbox.fault("status:502", match="GET /v1/third_parties?")
    for back in ("", " ON CONFLICT DO NOTHING"):
        with pytest.raises(psycopg2.errors.FdwUnableToCreateExecution, match="GET /v1/third_parties"):
            rows(db, insert(number) + back)
    assert sandbox.state()["created"] == {} and not [e for e in sandbox.api_requests() if e["method"] == "POST"]
    assert rows(db, "SELECT count(*) FROM tpm_fdw_writes WHERE database = current_database()") == [(0,)]


def test_a_doubt_goes_before_a_look_that_fails(db, sandbox):
    """The look for the next rows fails while one is in doubt: what is unknown is what has to be said."""
    looking(db, sandbox, "looking")
    sandbox.fault("status:502", match="POST /v1/", count=1, skip=50)
    # the third: after that for the first rows and one for the row in doubt, before its second
    sandbox.fault("status:502", match="GET /v1/third_parties?", skip=2)
    with pytest.raises(psycopg2.errors.TransactionResolutionUnknown):
        rows(db, insert(150))
    outcomes = rows(db, "SELECT outcome, count(*) FROM tpm_fdw_writes WHERE database = current_database() GROUP BY 1")
    assert dict(outcomes)["unknown"] == 1 and set(dict(outcomes)) == {"sent", "unknown"}


def test_a_look_that_nobody_asks_for_may_fail(db, sandbox):
    """Several rows are looked for where that costs little; without it they are as good."""
    looking(db, sandbox, "dated")
    sandbox.fault("status:502", match="GET /v1/third_parties?", count=1)
    rows(db, insert(40))
    assert sandbox.state()["created"] == {"third_parties": 40} and sandbox.state()["struck"] == {"status": 1}
