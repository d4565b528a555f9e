"""Questions asked in rows, and what a tight budget, an API that is away and sessions that die do to them.

In a row the cache keeps what it may, as it does for people. Each question is asked under a weather of its own: in peace;
with few requests allowed; after a session that asked the same and was ended in the middle of it, so that the lists that
it left are continued; and last, when all that is kept is old, of an API that does not answer. What comes must be right or
refused. All parts of a table's list that a row asks for, and the list, may cost twice the list.
"""

import random
import re
import threading
import time
from collections import Counter

import compare
import generator
import model as models
import psycopg2
from environment import PAGE_SIZE, Target
from query import render
from runner import Actions

# queries of a row, and how many of them come when everything is old
STAY, STALE = 40, 12
# so many questions, and each weather must have told
ENOUGH = 2 * STAY
# how often the pages of a table's list may be paid for while it is kept
MOST = 2
# requests that are under way when a session ends; where pages are computed so many at a time, and the last one asked again
LOST = {"links": 1, "number": 4 + 1}
# what ends a session in the middle of a read: the error that it gets, and what the sandbox does from some request on
ENDS = {"error": ("HV00L", "status:503"), "connection": ("HV00N", "reset"), "timeout": ("57014", "stall"),
        "terminated": ("57P01", "stall"), "limit": ("53400", None)}
CALM, OLD = {}, {"tpm_fdw.cache_ttl": "1", "tpm_fdw.cache_stale": "1d"}
AWAY = compare.Policy(errors=frozenset({"HV00L", "53400"}), silent=False)
MATCH = "GET /v1/"


def any_query(rng, model):
    """A random query, and the weather that it is asked in."""
    while True:
        query = generator.any_query(rng, model)
        # how much is asked of a cache that is emptied meanwhile nobody promises
        if not any(step.action for step in query.steps):
            break
    query.weather = rng.choices(["calm", "limit", *ENDS], [6, 3] + [1] * len(ENDS))[0]
    query.at = rng.choice([1, 1, 2, 3, 5, 8, 13])
    query.shape += f", {query.weather} {query.at}"
    return query


class SparingTarget(Target):
    """Tables of a sandbox that nobody else asks, whose sizes are known, and what a row has cost so far."""

    def __init__(self, env, target, pagination):
        # two tables of one resource would count apart
        tables = [table for table in target.model.tables if table.name != "parties"]
        super().__init__(target.foreign, target.local, models.Model(tables, target.model.keys), target.sandbox, target.about)
        self.env = env
        self.pagination = pagination
        self.at = None
        self.earlier = 0
        self.outcomes = Counter()
        self.pages = {table.name: max(1, -(-table.rows // int(PAGE_SIZE))) for table in tables}
        for table in tables:
            env.execute(f"SELECT * FROM {self.foreign}.{table.name}")
        self.begin_row()

    def begin_row(self):
        self.env.execute("SELECT tpm_fdw_reset_cache(), tpm_fdw_reset_rate_limits()")
        self.asked()
        self.spent, self.allowed = Counter(), {name: MOST * pages for name, pages in self.pages.items()}
        self.answered = time.monotonic()

    def begins(self, index):
        return index - index % STAY

    def prepare(self, seed, index):
        if self.begins(index) != self.at:
            self.at = self.begins(index)
            self.begin_row()
        self.old = index % STAY >= STAY - STALE

    def asked(self):
        """Requests for each table since the last time."""
        found = Counter(re.match(r"/v1/(\w+)", entry["path"])[1] for entry in self.sandbox.api_requests() if entry["status"] == 200)
        self.earlier += self.sandbox.request_count()
        self.sandbox.reset()
        return found

    def requests(self):
        return self.earlier + super().requests()

    def summary(self):
        return ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))

    def complaints(self):
        asked = sum(self.outcomes.values())
        return [f"nothing was ever {name}" for name in ("right", "refused", "interrupted", "left to others", "stale")
                if asked >= ENOUGH and not self.outcomes[name]]


class Judge:
    """Asks a query in its weather and compares what it says and costs."""

    def __init__(self, target, session):
        self.target = target
        self.session = session
        self.actions = Actions(target).table()

    def __call__(self, query):
        if self.target.old:
            return self.ask_old(query)
        if query.weather in ENDS:
            self.interrupt(query)
        return self.ask(query)

    def run(self, query, settings, policy=compare.Policy()):
        """(the foreign side, None or a Difference) under further settings."""
        query.settings = {**query.settings, **settings}
        foreign, local = self.session.run(query, self.target.foreign, self.target.local, self.actions)
        return foreign, compare.compare_sides(query, foreign, local, policy)

    def ask(self, query):
        """In peace, or with few requests allowed."""
        limited = query.weather == "limit"
        foreign, difference = self.run(query, {"tpm_fdw.max_requests": str(query.at)} if limited else CALM)
        if difference is None and foreign.error in compare.REFUSALS and not limited:
            difference = compare.Difference(f"refused without a limit: {foreign.message}")
        self.target.outcomes["refused" if foreign.error in compare.REFUSALS else "right"] += 1
        return difference or self.too_many(query, limited)

    def too_many(self, query, limited):
        """None, or which table's list has cost more than it may."""
        target, asked = self.target, self.target.asked()
        target.answered = time.monotonic()
        statements = sum(not step.sql.startswith(("PREPARE", "DECLARE", "CLOSE", "DEALLOCATE")) for step in query.steps)
        if limited:
            # nothing is bought that exceeds the limit, so nothing else bounds what is asked under one
            if sum(asked.values()) > query.at * statements:
                return compare.Difference(f"{dict(asked)} requests where max_requests is {query.at}")
            return None
        target.spent += asked
        for name in asked:
            if target.spent[name] > target.allowed[name]:
                return compare.Difference(f"{target.spent[name]} requests in this row for {name}, which has {target.pages[name]}"
                                          f" pages: {target.allowed[name]} are allowed, {asked[name]} came now")
        return None

    def interrupt(self, query):
        """Somebody asks the same and is ended after some requests."""
        target = self.target
        code, fault = ENDS[query.weather]
        settings = {**self.session.settings, **query.settings}
        if fault is None:
            settings["tpm_fdw.max_requests"] = str(query.at)
        else:
            target.sandbox.fault(fault, match=MATCH, skip=query.at)
        if query.weather == "timeout":
            settings["statement_timeout"] = "60ms"
        victim = psycopg2.connect(self.session.dsn)
        victim.autocommit = True
        killer = threading.Timer(0.06, self.terminate, [victim.info.backend_pid])
        ended = None
        try:
            with victim.cursor() as cursor:
                for name, value in settings.items():
                    cursor.execute(f"SET {name} = %s", (value,))
                if query.weather == "terminated":
                    killer.start()
                cursor.execute("BEGIN")
                for step in query.steps:
                    cursor.execute(render(step.sql, target.foreign, "foreign"))
        except psycopg2.Error as error:
            ended = error.pgcode or "57P01"
        killer.cancel()
        victim.close()
        target.outcomes["interrupted"] += ended == code
        target.outcomes["left to others"] += bool(self.session.fetch(
            "SELECT 1 FROM tpm_fdw_cache WHERE NOT complete AND requests > 0 LIMIT 1"))
        asked = target.asked()
        if fault is None:
            # under a limit nothing is bought that exceeds it
            return
        target.spent += asked
        if ended == code:
            for name in asked:
                target.allowed[name] += LOST[target.pagination]

    def terminate(self, pid):
        self.target.env.cluster.sql("SELECT pg_terminate_backend(%s)", (pid,))

    def ask_old(self, query):
        """All that is kept is old, and the API is away, or has said that it is asked too often."""
        target = self.target
        time.sleep(max(0, target.answered + 1.1 - time.monotonic()))
        target.sandbox.fault(*random.Random(query.shape).choice([("status:503",), ("retry_after",)]), match=MATCH, value=60)
        foreign, difference = self.run(query, {**OLD, "tpm_fdw.max_wait": "0"}, AWAY)
        target.asked()
        self.session.fetch("SELECT tpm_fdw_reset_rate_limits()")
        warned = any("an answer of " in warning for warning in foreign.warnings)
        target.outcomes["refused" if foreign.error else "stale" if warned else "right"] += 1
        return difference


def spare(flavour, pagination):
    """For Dimension.open: tables of that flavour over a sandbox of their own."""
    way = ["--pagination", pagination] if pagination != "links" else []
    return lambda env: SparingTarget(env, env.private(flavour, *way, records=300, server={"max_retries": "0", "pagination": pagination}),
                                     pagination)
