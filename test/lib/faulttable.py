"""Faults against operations: what is run, what is right, what is left behind.

Owns the operations and the judgement of one cell; which outcome a fault may have is the
test's. A Worker has a sandbox, a database and sessions of its own, so that workers can wait
side by side.
"""

import datetime as dt
import io
import re

import processes
import psycopg2
import tpmtest
from tpmtest import rows

POSITIONS = {"first": 0, "middle": 1, "last": 2}
PAGES = 5
PAGE_SIZE = 20
REGIONS = ("1", "2", "3")

# where a fault strikes; every operation sends several such requests
TARGETS = {"scan": "GET /v1/cases?", "keyed": "GET /v1/cases/", "count": "GET /v1/cases?", "insert": "POST /v1/",
           "update": "PUT /v1/", "reread": "GET /v1/third_parties/", "copy": "POST /v1/", "token": "POST /oauth/token"}
WRITES = ("insert", "update", "reread", "copy")


class Cell:
    """One fault at one place in one operation: what came of it."""

    def __init__(self, outcome, struck, wrong):
        self.outcome = outcome
        self.struck = struck
        self.wrong = wrong


class Worker:
    """A sandbox, a database, a session that is tried and one that looks."""

    def __init__(self, cluster, number):
        self.name = f"faults{number}"
        self.sandbox = tpmtest.Sandbox("--records", "250", "--rate-per-second", "0", "--rate-per-hour", "0").start()
        cluster.sql(f"CREATE DATABASE {self.name}")
        self.session = cluster.connect(self.name)
        self.monitor = cluster.connect(self.name)
        tpmtest.setup_server(self.session, self.sandbox, server=self.name, schema="tpm", trust="exact",
                             options={"page_size": PAGE_SIZE, "max_retries": 1, "request_timeout": "20s",
                                      "max_response_size": "2MB"})
        for statement in ("SET search_path = tpm, public", "SET tpm_fdw.cache_ttl = 0",
                          "SET tpm_fdw.max_wait = '2500ms'", "SET client_min_messages = error",
                          f"SET tpm_fdw.settle = {int(1000 * tpmtest.SLACK)}", "SET timezone = 'UTC'"):
            rows(self.session, statement)
        cases = self.sandbox.dump("cases")
        assert (PAGES - 1) * PAGE_SIZE < len(cases) <= PAGES * PAGE_SIZE, len(cases)
        self.cases = sorted((case["id"], case["attributes"]["name"]) for case in cases)
        self.created = {case["id"]: dt.datetime.fromisoformat(case["attributes"]["created_at"]) for case in cases}
        self.counts = [sum((case["relationships"]["region"]["data"] or {}).get("id") == region for case in cases)
                       for region in REGIONS]
        self.keys = 0
        for operation in TARGETS:
            assert self.run(operation) == [], operation
        self.pid = self.session.get_backend_pid()
        self.before = self.left()

    def close(self):
        self.session.close()
        self.monitor.close()
        self.sandbox.stop()

    # ----- the operations; each returns what is wrong with its answer -----

    def run(self, operation):
        self.keys += 1
        self.key = f"{self.name}-{self.keys}"
        return getattr(self, "_" + operation)()

    def _scan(self):
        got = rows(self.session, "SELECT id, name, created_at FROM cases")
        wanted = sorted((number, name, self.created[number]) for number, name in self.cases)
        return [] if sorted(got, key=lambda row: row[0]) == wanted else [f"{len(got)} rows for {len(wanted)}"]

    _token = _scan

    def _keyed(self):
        wanted = [self.cases[at] for at in (0, len(self.cases) // 2, -1)]
        columns = ", ".join(f"(SELECT name FROM cases WHERE id = '{number}')" for number, _ in wanted)
        (got,) = rows(self.session, f"SELECT {columns}")
        return [] if list(got) == [name for _, name in wanted] else [f"{got}"]

    def _count(self):
        columns = ", ".join(f"(SELECT count(*) FROM cases WHERE region_id = '{region}')" for region in REGIONS)
        (got,) = rows(self.session, f"SELECT {columns}")
        return [] if list(got) == self.counts else [f"{got} for {self.counts}"]

    def _insert(self):
        got = rows(self.session, "INSERT INTO third_parties (internal_id, name, country) SELECT %s || g, 'x', 'US' "
                                 "FROM generate_series(1, 3) g RETURNING internal_id", (self.key + "-",))
        return [] if len(set(got)) == 3 else [f"returned {got}"]

    def _copy(self):
        data = "".join(f"{self.key}-{number}\tx\tUS\n" for number in (1, 2, 3))
        with self.session.cursor() as cursor:
            cursor.copy_expert("COPY third_parties (internal_id, name, country) FROM STDIN", io.StringIO(data))
            return [] if cursor.rowcount == 3 else [f"copied {cursor.rowcount}"]

    def _update(self):
        with self.session.cursor() as cursor:
            cursor.execute("UPDATE third_parties SET city = %s WHERE id IN ('1', '2', '3')", (self.key,))
            return [] if cursor.rowcount == 3 else [f"updated {cursor.rowcount}"]

    # the same, struck where a row is read by id before it is sent
    _reread = _update

    # ----- one cell -----

    def cell(self, operation, position, order, lasting):
        """A fault at a place of an operation, once or from there on."""
        self.sandbox.reset()
        skip = POSITIONS[position]
        if operation == "scan":
            skip *= (PAGES - 1) // 2
        if operation == "token":
            # a 401 at that page makes the scan ask for a token there
            self.sandbox.fault("expire_token", match="GET /v1/cases?", count=1, skip=skip * ((PAGES - 1) // 2))
            skip = 0
        self.sandbox.post("/_sandbox/faults", {"match": TARGETS[operation], **order, "skip": skip,
                                               "count": 0 if lasting else 1})
        try:
            wrong = self.run(operation)
            outcome = "right" if wrong == [] else "wrong"
        except psycopg2.Error as error:
            wrong = clarity(error)
            outcome = error.pgcode or "lost"
        struck = self.sandbox.state()["struck"].get(order["fault"].partition(":")[0], 0)
        self.sandbox.release()
        if operation in WRITES:
            tpmtest.wait_until(lambda: self.sandbox.state()["late"] == 0)
            deeds = self.deeds(operation, outcome)
        else:
            deeds = []
        self.sandbox.reset()
        return Cell(outcome, struck, ([] if outcome == "wrong" else wrong) + deeds + self.aftermath())

    def deeds(self, operation, outcome):
        """A write is done once, and whatever was done is known to the journal."""
        if operation in ("update", "reread"):
            done = [item["id"] for item in self.sandbox.dump("third_parties")
                    if item["attributes"]["city"] == self.key]
            journal = rows(self.monitor, "SELECT id, outcome FROM tpm_fdw_writes WHERE new->>'city' = %s", (self.key,))
        else:
            done = [item["attributes"]["internal_id"] for item in self.sandbox.dump("third_parties")
                    if (item["attributes"]["internal_id"] or "").startswith(self.key + "-")]
            journal = rows(self.monitor, "SELECT new->>'internal_id', outcome FROM tpm_fdw_writes "
                                         "WHERE new->>'internal_id' LIKE %s", (self.key + "-%",))
        wrong = []
        if len(done) != len(set(done)):
            wrong.append(f"doubled: {done}")
        if outcome == "right" and len(done) != 3:
            wrong.append(f"only {done} done")
        said = dict(journal)
        for key in done:
            if said.get(key) not in ("sent", "unknown"):
                wrong.append(f"{key} was done, the journal says {said.get(key)}")
        for key, says in said.items():
            if says == "in flight" or (says == "sent" and key not in done):
                wrong.append(f"{key} was not done, the journal says {says}")
        return wrong

    def aftermath(self):
        """What is wrong with the session afterwards."""
        wrong = []
        after = self.left()
        for name, value in after.items():
            if value != self.before[name]:
                wrong.append(f"{name}: {value}, before {self.before[name]}")
        rows(self.monitor, "SELECT tpm_fdw_reset_rate_limits()")
        try:
            wrong += self._keyed()
        except psycopg2.Error as error:
            wrong.append(f"the next statement failed: {error}")
        return wrong

    def left(self):
        """What a statement could leave behind."""
        files = processes.open_files(self.session.get_backend_pid())
        others = [name for name in files if not name.startswith("socket:")]
        sockets = len(files) - len(others)
        (waiting,), = rows(self.monitor, "SELECT coalesce(sum(waiting), 0) FROM tpm_fdw_rate_limits WHERE server = %s",
                           (self.name,))
        progress = rows(self.monitor, "SELECT * FROM tpm_fdw_progress WHERE database = %s", (self.name,))
        locks = rows(self.monitor, "SELECT * FROM pg_locks WHERE pid = %s", (self.session.get_backend_pid(),))
        contexts = rows(self.session, "SELECT name, level, count(*) FROM pg_backend_memory_contexts "
                                      "WHERE name ILIKE '%tpm%' GROUP BY 1, 2 ORDER BY 1, 2")
        # a pooled connection may have been closed, and others kept for later
        return {"waiting": waiting, "progress": progress, "locks": locks, "contexts": contexts,
                "files": others, "many sockets": sockets > 12}

    def memory(self):
        """Bytes in all memory contexts of the session, but for caches of the catalogs."""
        # a context names its parent before 18, the way to it since
        inside = ("path @> (SELECT path FROM c WHERE name = 'CacheMemoryContext')"
                  if self.session.server_version >= 180000 else "parent IS NOT DISTINCT FROM 'CacheMemoryContext'")
        return rows(self.session, "WITH c AS MATERIALIZED (SELECT * FROM pg_backend_memory_contexts) "
                                  f"SELECT sum(total_bytes) FROM c WHERE NOT {inside} "
                                  "AND name NOT IN ('CacheMemoryContext', 'CachedPlanSource', 'CachedPlan')")[0][0]


def clarity(error):
    """What a user would miss in the error."""
    wrong = []
    text = error.diag.message_primary or ""
    if not re.search(r"/v1/|server \"|foreign table", text + (error.diag.context or "")):
        wrong.append(f"it does not say what failed: {text}")
    if error.pgcode is None or error.pgcode in ("XX000", "XX001"):
        wrong.append(f"internal error: {text}")
    return wrong
