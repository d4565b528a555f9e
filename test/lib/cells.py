"""One write, one planned course of events: what the user saw, what the journal says, what is there.

Owns the ways of writing, the set-up they need, and the judgement that needs no expectation: the
journal, the server and the SQL result agree, or the journal says `unknown`. Which of the outcomes
that agree is the right one is the test's.
"""

import collections
import itertools
import threading

import acting
import psycopg2
import tpmtest
from tpmtest import rows

SETTLE_MS = 200
MOST_RETRIES = 2
PATIENCE_MS = 700

# how a row is written: the table, and the kind of resource behind it
WAYS = {"keyed": "things", "stamped": "things", "plain": "notes",       # POST
        "put": "things", "loose": "loose", "patch": "loose"}            # PUT with ETags, without; PATCH
CREATES = ("keyed", "stamped", "plain", "looked", "blind")
HAS_KEY = ("keyed", "stamped")

COLUMNS = "id text, code text OPTIONS ({key}), name text, size numeric, extra jsonb"
TABLES = {
    "keyed": ("natural_key 'true'", "", "things", ""),
    "stamped": ("natural_key 'true'", ", created_at timestamptz OPTIONS (created_at 'true')", "things", ""),
    "looked": ("natural_key 'true'", "", "things", ", insert_check 'look'"),
    # nobody can ask for one of its keys: the column has no filter
    "blind": ("natural_key 'true'", "", "things", ""),
    "plain": ("", "", "notes", ""),
    "put": ("", "", "things", ""),
    "loose": ("", "", "loose", ""),
    "patch": ("", "", "loose", ", update_method 'PATCH', update_body 'changed'"),
}

KEYS = itertools.count(1)

Journal = collections.namedtuple("Journal", "outcome status sendings evidence id request_id method")
JOURNAL = f"SELECT {', '.join(Journal._fields)} FROM tpm_fdw_writes WHERE new->>'name' = %s ORDER BY number"


class Stage:
    """A stub, a database with tables for it, a session that writes."""

    def __init__(self, cluster, name, skew=0, settle=SETTLE_MS, dbname=None):
        self.cluster, self.name, self.settle = cluster, name, settle
        self.dbname = dbname or name
        self.settings = {"tpm_fdw.settle": f"{settle}ms"}
        self.schemas = []
        self.stub = acting.Acting(skew)
        if not cluster.sql("SELECT 1 FROM pg_database WHERE datname = %s", (self.dbname,)):
            cluster.sql(f"CREATE DATABASE {self.dbname}")
        self.db = self.connect()
        self.server("calm", request_timeout="20s")
        # what the time is at the API is known from its answers
        rows(self.db, "SELECT count(*) FROM calm.keyed")

    def server(self, schema, **options):
        """A server, named like its schema, with all tables."""
        tpmtest.setup_server(self.db, self.stub, server=f"{self.name}_{schema}", options={
            "token_url": self.stub.origin + "/oauth/token", "max_retries": MOST_RETRIES,
            "max_response_size": "1MB", "cache_ttl": 0, **options})
        self.schemas.append(schema)
        rows(self.db, f"CREATE SCHEMA {schema}")
        for table, (key, column, resource, more) in TABLES.items():
            told = ", ".join(filter(None, (key, "" if table == "blind" else "filter 'code'")))
            rows(self.db, f"CREATE FOREIGN TABLE {schema}.{table} ({COLUMNS.format(key=told)}{column}) "
                          f"SERVER {self.name}_{schema} OPTIONS (resource '/{resource}'{more})")

    def connect(self):
        connection = self.cluster.connect(self.dbname)
        for name, value in self.settings.items():
            rows(connection, f"SET {name} = '{value}'")
        return connection

    def close(self):
        """Leaves the database as it was."""
        self.stub.close()
        if self.cluster.running:
            for schema in self.schemas:
                rows(self.db, f"SET client_min_messages = error; DROP SCHEMA {schema} CASCADE;"
                              f" DROP SERVER {self.name}_{schema} CASCADE")
        self.db.close()

    def alter(self, what):
        """Options of the server `calm`."""
        rows(self.db, f"ALTER SERVER {self.name}_calm OPTIONS ({what})")

    def key(self):
        """A name that nothing else has, code of a new row and value of a change."""
        return f"{self.name}-{next(KEYS)}"

    def journal(self, key):
        """What the journal says of the writes that set this name."""
        return [Journal(*row) for row in rows(self.db, JOURNAL, (key,))]


class Cell:
    """A way of writing, with what is planned for its sendings."""

    def __init__(self, stage, way, steps=(), schema="calm", more="", thing=None):
        self.stage, self.stub, self.way, self.schema, self.more = stage, stage.stub, way, schema, more
        self.db = stage.db
        self.key = stage.key()
        self.thing = thing
        self.code = self.count = self.error = self.returned = None
        if way not in CREATES and thing is None:
            self.thing = self.stub.add(WAYS[way], ago=3600, code=self.key, name="before", size=1)
        self.address = self.thing.id if self.thing else self.key
        if steps:
            self.stub.plan(self.address, *steps)

    def statement(self):
        if self.way in CREATES:
            return (f"INSERT INTO {self.schema}.{self.way} (code, name, size, extra)"
                    f" VALUES (%s, %s, 1.50, '{{\"b\": [1], \"a\": 2}}') {self.more}", (self.key, self.key))
        return f"UPDATE {self.schema}.{self.way} SET name = %s WHERE id = %s {self.more}", (self.key, self.thing.id)

    def run(self):
        """Writes; afterwards everything is known that there is to know."""
        self.execute()
        return self.conclude()

    def execute(self):
        """Writes."""
        tpmtest.notices(self.db)
        try:
            with self.db.cursor() as cursor:
                cursor.execute(*self.statement())
                self.count = cursor.rowcount
                self.returned = cursor.fetchall() if cursor.description else None
        except psycopg2.Error as error:
            self.code, self.error = error.pgcode or "lost", error
        self.notices = tpmtest.notices(self.db)

    def conclude(self):
        """Nothing is late any more; asks the server and the journal."""
        self.stub.end(self.address)
        self.sendings = self.stub.sendings(self.address)
        self.journal = self.stage.journal(self.key)
        rows(self.stage.db, "SELECT tpm_fdw_reset_rate_limits()")
        return self

    def begin(self):
        """Writes in a session of its own, beside whoever asks; ended() waits for it."""
        self.db = self.stage.connect()
        self.pid = self.db.get_backend_pid()
        self.thread = threading.Thread(target=self.execute)
        self.thread.start()
        return self

    def ended(self):
        self.thread.join(60 * tpmtest.SLACK)
        assert not self.thread.is_alive(), "the statement did not end"
        self.db.close()
        return self.conclude()

    def looks(self):
        """How many since the first sending."""
        sendings = self.stub.sendings(self.address)
        return sum(at > sendings[0].arrived for at, _ in self.stub.looks(self.address)) if sendings else 0

    def entry(self):
        """outcome, sendings, evidence of the one row of the journal."""
        (entry,) = self.journal
        return entry.outcome, entry.sendings, entry.evidence

    # ----- what is there -----

    def created(self):
        """Resources that our own sendings made."""
        ids = {write.request_id for write in self.sendings}
        return [thing for thing in self.stub.with_code(self.key) if thing.by in ids]

    def is_there(self):
        """Whether what was asked for is there, by us, once."""
        if self.way in CREATES:
            return len(self.created()) == 1
        return self.thing.attributes["name"] == self.key

    # ----- the judgement that needs no expectation -----

    def contradictions(self):
        """Where the journal, the server and the SQL result do not agree."""
        wrong = [f"the server blames: {what}" for what in self.stub.wrong]
        del self.stub.wrong[:]
        if len(self.journal) != 1:
            return wrong + [f"{len(self.journal)} rows of the journal"]
        (entry,) = self.journal
        there = self.is_there()
        if entry.outcome == "sent" and not there:
            wrong.append("sent, and it is not there, or twice")
        if entry.outcome == "refused" and there:
            wrong.append("refused, and it is there")
        if self.way in CREATES and len(self.created()) > 1 and entry.outcome != "unknown":
            wrong.append(f"{len(self.created())} were created")
        if (self.code == "08007") != (entry.outcome == "unknown"):
            wrong.append(f"{self.code or 'success'}, and the journal says {entry.outcome}")
        if self.code is None and entry.outcome != ("sent" if self.count == 1 else "refused"):
            wrong.append(f"{self.count} rows, and the journal says {entry.outcome}")
        if entry.outcome == "in flight":
            wrong.append("in flight for ever")
        return wrong + self._wire(entry)

    def _wire(self, entry):
        """What went over the wire is what the journal says of it."""
        wrong = []
        if entry.sendings != len(self.sendings):
            wrong.append(f"{len(self.sendings)} sendings, {entry.sendings} in the journal")
        if {write.request_id for write in self.sendings} - {entry.request_id}:
            wrong.append("another request id than the journal's")
        if {write.method for write in self.sendings} - {entry.method}:
            wrong.append("another method than the journal's")
        if self.way in CREATES and entry.outcome == "sent" and entry.id not in (
                None, *(thing.id for thing in self.created())):
            wrong.append(f"id {entry.id} in the journal")
        if self.way not in CREATES and entry.id != self.thing.id:
            wrong.append(f"id {entry.id} in the journal")
        return wrong


def side_by_side(cluster, name, orders, judge, workers=10, skew=0):
    """Runs (label, way, schema, make_steps) on stages of their own; judge(label, cell) adds to what is wrong."""
    waiting = collections.deque(orders)
    expected = len(waiting)
    results, failures, lock = {}, [], threading.Lock()

    def work(number):
        try:
            stage = Stage(cluster, f"{name}{number}", skew)
            stage.server("hasty", request_timeout=f"{int(PATIENCE_MS * tpmtest.SLACK)}ms")
            while failures == []:
                try:
                    label, way, schema, steps = waiting.popleft()
                except IndexError:
                    break
                result = judge(label, Cell(stage, way, steps(), schema).run())
                with lock:
                    results[label] = result
            stage.close()
        except Exception as error:  # noqa: BLE001  # reported by the test
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and len(results) == expected
    return results
