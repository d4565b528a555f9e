"""Running a query on both sides and comparing what came back.

Both sides run in one transaction, so that now() is one moment, and every value is
compared as the text that PostgreSQL sent, so that no driver smooths a difference away.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg2
import psycopg2.extensions

from query import GATHER, MULTISET, ORDERED, RANKED, STATUS, render

# What a foreign side may answer instead of rows, anywhere: the documented refusals.
REFUSALS = {"53400"}

# The connection went away: no SQLSTATE of the server says so.
CONNECTION_LOST = "connection lost"

_BUILT_IN_TYPES = (
    16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1000, 1005, 1007, 1009, 1014, 1015, 1016, 1021,
    1022, 1082, 1083, 1114, 1115, 1182, 1184, 1185, 1186, 3802, 3807,
)


def _plain_number(text, cursor):
    """A numeric without trailing zeros: GROUP BY may show 40 or 40.0 for equal values."""
    if text is None or "." not in text:
        return text
    return text.rstrip("0").rstrip(".")


def _plain_numbers(text, cursor):
    """The same for an array of numerics."""
    if text is None:
        return text
    return "{" + ",".join(_plain_number(part, cursor) for part in text[1:-1].split(",")) + "}"


def raw_values(connection):
    """Make `connection` return every value as the server's own text."""
    raw = psycopg2.extensions.new_type(_BUILT_IN_TYPES, "raw", lambda text, cursor: text)
    number = psycopg2.extensions.new_type((1700,), "number", _plain_number)
    psycopg2.extensions.register_type(raw, connection)
    numbers = psycopg2.extensions.new_type((1231,), "numbers", _plain_numbers)
    psycopg2.extensions.register_type(number, connection)
    psycopg2.extensions.register_type(numbers, connection)


@dataclass
class Answer:
    """What one side said to one step."""

    rows: list = None
    tag: str = None
    superset: list = None


@dataclass
class Side:
    """What one side said to a whole query: answers up to the first error, if any."""

    answers: list = field(default_factory=list)
    error: str = None
    message: str = ""
    warnings: list = field(default_factory=list)

    def failed(self, error):
        """Note the error that ended this side's run."""
        self.error = error.pgcode or CONNECTION_LOST
        self.message = str(error).strip()


@dataclass
class Difference:
    """Why a query counts as failed, with both sides' rows where there are any."""

    reason: str
    step: str = ""
    foreign: list = None
    local: list = None


@dataclass
class Policy:
    """What the foreign side may do besides being right, in the dimension at hand."""

    errors: frozenset = frozenset(REFUSALS)
    # A wrong answer is tolerated only under a WARNING that matches this.
    warning: str = None
    # Any other WARNING that the local side does not give is a difference.
    silent: bool = True


def compare_rows(step, foreign, local):
    """None, or the reason why two answers to `step` differ."""
    if step.compare == STATUS:
        return None if foreign.tag == local.tag else "the command tags differ"
    if step.compare == ORDERED:
        return None if foreign.rows == local.rows else "the rows or their order differ"
    if step.compare == MULTISET:
        return None if Counter(foreign.rows) == Counter(local.rows) else "the rows differ"
    if len(foreign.rows) != len(local.rows):
        return "the number of rows differs"
    if Counter(foreign.rows) - Counter(local.superset):
        return "a row that the query without its LIMIT does not have"
    if step.compare == RANKED and [r[0] for r in foreign.rows] != [r[0] for r in local.rows]:
        return "the order of the first column differs"
    return None


def compare_sides(query, foreign, local, policy):
    """None, or the Difference between two runs of `query`, judged by `policy`."""
    difference = _first_difference(query, foreign, local, policy)
    if difference and policy.warning:
        if any(re.search(policy.warning, text) for text in foreign.warnings):
            return None
    if difference is None and policy.silent:
        extra = [text for text in foreign.warnings if text not in local.warnings]
        if extra:
            return Difference("a WARNING that the local side did not give: " + extra[0])
    return difference


def _first_difference(query, foreign, local, policy):
    if foreign.error == CONNECTION_LOST:
        return Difference(f"the connection was lost: {foreign.message}")
    gathered = ([], [])
    steps = [s for s in query.steps if not s.action]
    for step, mine, truth in zip(steps, foreign.answers, local.answers):
        if step.compare == GATHER:
            gathered[0].extend(mine.rows)
            gathered[1].extend(truth.rows)
            continue
        reason = compare_rows(step, mine, truth)
        if reason:
            return Difference(reason, step.sql, mine.rows, truth.rows)
    if foreign.error and foreign.error in policy.errors:
        return None
    same_place = len(foreign.answers) == len(local.answers)
    if foreign.error != local.error or not same_place:
        return Difference(f"errors differ: foreign {foreign.error or 'none'} "
                          f"({foreign.message}), local {local.error or 'none'} ({local.message})")
    if not foreign.error and Counter(gathered[0]) != Counter(gathered[1]):
        return Difference("the rows fetched in all differ", "all FETCHes", *gathered)
    return None


class Session:
    """One connection that runs queries on both sides."""

    def __init__(self, dsn, settings):
        self.dsn = dsn
        self.settings = settings
        self.connection = None
        self.connect()

    def connect(self, patience=60):
        """Open the connection; after a crash the server needs a while to come back."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self.connection = psycopg2.connect(self.dsn)
                break
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.connection.autocommit = True
        raw_values(self.connection)
        with self.connection.cursor() as cursor:
            for name, value in self.settings.items():
                cursor.execute(f"SET {name} = %s", (value,))

    def close(self):
        self.connection.close()

    def fetch(self, sql):
        """Rows of a statement outside any comparison."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def run(self, query, foreign_schema, local_schema, actions):
        """Both sides' answers. `actions` maps the names of cache actions to functions."""
        sides = {"foreign": Side(), "local": Side()}
        schemas = {"foreign": foreign_schema, "local": local_schema}
        try:
            with self.connection.cursor() as cursor:
                self._run_phases(cursor, query, sides, schemas, actions)
        except psycopg2.Error as error:
            sides["foreign"].failed(error)
        if self.connection.closed:
            sides["foreign"].error = CONNECTION_LOST
            self.connect()
        else:
            self._clean_up()
        return sides["foreign"], sides["local"]

    def _run_phases(self, cursor, query, sides, schemas, actions):
        """Both sides inside one transaction, then what outlives its COMMIT."""
        cursor.execute("BEGIN")
        for name, value in query.settings.items():
            cursor.execute(f"SET LOCAL {name} = %s", (value,))
        for name, side in sides.items():
            cursor.execute("SAVEPOINT side")
            self._run_side(cursor, query, False, name, schemas[name], side, actions)
            if side.error and not self.connection.closed:
                cursor.execute("ROLLBACK TO side")
        if not any(step.held for step in query.steps):
            return
        del self.connection.notices[:]
        cursor.execute("COMMIT")
        # cursors that are held are read to their end here; ordinary tables have nothing to say
        sides["foreign"].warnings += [n.strip() for n in self.connection.notices if n.startswith("WARNING")]
        for name, side in sides.items():
            self._run_side(cursor, query, True, name, schemas[name], side, actions)

    def _clean_up(self):
        """Leave nothing of a query behind: transaction, cursors, prepared statements."""
        with self.connection.cursor() as cursor:
            for statement in ("ROLLBACK", "CLOSE ALL", "DEALLOCATE ALL"):
                cursor.execute(statement)
        del self.connection.notices[:]

    def _run_side(self, cursor, query, held, name, schema, side, actions):
        """Run the steps of one phase on one side, up to the first error."""
        del self.connection.notices[:]
        try:
            for step in query.steps:
                if side.error or step.held != held:
                    continue
                if step.action:
                    if name == "foreign":
                        actions[step.action](cursor, query)
                    continue
                cursor.execute(render(step.sql, schema, name))
                answer = Answer(tag=cursor.statusmessage)
                if cursor.description:
                    answer.rows = cursor.fetchall()
                if step.superset and name == "local":
                    cursor.execute(render(step.superset, schema, name))
                    answer.superset = cursor.fetchall()
                side.answers.append(answer)
        except psycopg2.Error as error:
            side.failed(error)
        side.warnings += [n.strip() for n in self.connection.notices if n.startswith("WARNING")]
