"""Writes of its own: local copy and API are changed by the same statements, then compared.

After each statement three readings must agree: what the statement said on both sides, what
the sandbox then holds against what PostgreSQL made of the local copy, and what the foreign
table then reads against both. What only the server decides (ids of new rows, times, numbers)
is taken over from the sandbox before the last of these.

Where answers are lost, deeds come late and lists lag, a statement may instead say that an
outcome is unknown. Then the journal says which, and of all other writes what came of them:
that, and no more, must be what the API holds.
"""

import io
import zlib
from collections import Counter

import conditions
import localcopy
import psycopg2
import storms
from compare import Difference, raw_values
from query import MULTISET, STATUS, Query, Step, render

# Tables that statements change, and the columns that they set: (column, expressions).
SETTABLE = {
    "third_parties": {
        "name": ["a.name || '!'", "'Ö, ' || a.id", "upper(a.name)", "'null'", "'  x '"],
        "city": ["'Zürich'", "NULL", "a.country", "''", "coalesce(a.city, '') || ','"],
        "approval_status": ["'Pending'", "'Approved'", "'Denied'"],
        "status": ["'Active'", "'Inactive'", "a.status"],
        "approval_reason": ["'because ' || a.approval_status", "NULL", "repeat('ü\"\\', 20)"],
        "country": ["'DE'", "'US'", "a.country"],
        "next_renewal_on": ["date '2027-02-28'", "NULL", "a.next_renewal_on + 1"],
        "owner_id": ["NULL", "a.owner_id", "(SELECT min(id) FROM @S@.users)"],
        "contact_name": ["'A, B'", "NULL", "a.contact_name"],
    },
    "engagements": {
        "name": ["a.name || '?'", "'E ' || a.id"],
        "city": ["'Oslo'", "NULL"],
        "status": ["'Active'", "'Inactive'"],
        "approval_status": ["'Pending'", "'Approved'"],
        "region_id": ["NULL", "(SELECT max(id) FROM @S@.regions)"],
    },
}

# What the server alone decides, beside read_only columns: linkage that mirrors other resources.
UNSTABLE = {"id", "updated_at", "created_at", "approval_status_changed_at"}

# What the waits of a doubtful write rest on, how late a deed may be, how long a list may lag: together less.
SETTLE, LATE, LAG = 400, 160, 80
# The part of all writes that meets a fault.
STRENGTH = 0.05


def assignments(rng, table):
    """A SET list, and the columns in it."""
    columns = SETTABLE[table.name]
    chosen = rng.sample(sorted(columns), rng.randint(1, min(3, len(columns))))
    return ", ".join(f'"{name}" = {rng.choice(columns[name])}' for name in chosen), chosen


def returning(rng, chosen):
    """What comes back, or nothing."""
    if rng.random() < 0.4:
        return "", STATUS
    out = ["a.id"] + [f'a."{name}"' for name in chosen] + (["a.name || ''"] if rng.random() < 0.3 else [])
    return f" RETURNING {', '.join(out)}", MULTISET


def few(rng, alias, table):
    """A condition that few rows meet, most of the time."""
    inner = conditions.condition(rng, "b", table, 1)
    dice = rng.random()
    if dice < 0.4:
        return f'{alias}.id IN (SELECT b.id FROM @S@.{table.name} b WHERE {inner} ORDER BY b.id LIMIT {rng.randint(1, 30)})'
    if dice < 0.7:
        return f"{conditions.condition(rng, alias, table, 1)} AND {alias}.id LIKE '%{rng.randint(0, 9)}'"
    return conditions.condition(rng, alias, table, 2)


def update(rng, table):
    sets, chosen = assignments(rng, table)
    back, how = returning(rng, chosen)
    return Query("update", [Step(f"UPDATE @S@.{table.name} a SET {sets} WHERE {few(rng, 'a', table)}{back}", how)])


def update_of_its_condition(rng, table):
    column = rng.choice(["status", "approval_status"])
    old, new = rng.sample(["Active", "Inactive"] if column == "status" else ["Pending", "Approved", "Denied"], 2)
    return Query("update_of_its_condition",
                 [Step(f"UPDATE @S@.{table.name} SET {column} = '{new}' WHERE {column} = '{old}'", STATUS)])


def update_from(rng, table):
    sets, _ = assignments(rng, table)
    sets = sets.replace("a.", "a.")
    return Query("update_from", [Step(
        f"UPDATE @S@.{table.name} a SET {sets} FROM common.probe p, generate_series(1, 3) g"
        f" WHERE p.key = a.id AND p.n % 3 = {rng.randint(0, 2)}", STATUS)])


def update_in_a_query(rng, table):
    sets, chosen = assignments(rng, table)
    return Query("update_in_a_query", [Step(
        f"WITH u AS (UPDATE @S@.{table.name} a SET {sets} WHERE {few(rng, 'a', table)}"
        f' RETURNING a.id, a."{chosen[0]}" AS v) SELECT count(*), count(DISTINCT id), max(v::text) FROM u', MULTISET)])


def update_in_a_loop(rng, table):
    column = rng.choice(sorted(SETTABLE[table.name]))
    value = rng.choice(SETTABLE[table.name][column]).replace("'", "''")
    condition = few(rng, "a", table)
    return Query("update_in_a_loop", [Step(
        f"DO $do$ DECLARE r record; BEGIN FOR r IN SELECT a.id FROM @S@.{table.name} a WHERE {condition} LOOP"
        f" EXECUTE 'UPDATE @S@.{table.name} a SET {column} = {value} WHERE a.id = $1' USING r.id;"
        f" END LOOP; END $do$", STATUS)])


def key(rng):
    return f"k-{rng.randrange(10 ** 12)}"


def insert(rng, table):
    rows = ", ".join(f"('{key(rng)}', 'New {rng.randint(1, 999)}, {rng.choice(['Ltd.', 'ÅB', 'null'])}',"
                     f" '{rng.choice(['DE', 'US', 'FR'])}', {rng.choice(['NULL', chr(39) + 'Bonn' + chr(39), chr(39) * 2])})"
                     for _ in range(rng.randint(1, 7)))
    back = " RETURNING internal_id, name, country, city" if rng.random() < 0.5 else ""
    return Query("insert", [Step(f"INSERT INTO @S@.third_parties (internal_id, name, country, city) VALUES {rows}{back}",
                                 MULTISET if back else STATUS)])


def insert_select(rng, table):
    prefix = key(rng)
    return Query("insert_select", [Step(
        f"INSERT INTO @S@.third_parties (internal_id, name, country, owner_id)"
        f" SELECT '{prefix}-' || b.id, b.name, coalesce(b.country, 'DE'), b.owner_id FROM @S@.third_parties b"
        f" WHERE {conditions.condition(rng, 'b', table, 1)} ORDER BY b.id LIMIT {rng.randint(1, 20)}", STATUS)])


def insert_or_nothing(rng, table):
    taken = rng.choice([value for value in table.column("internal_id").values] or ["none"]).replace("'", "''")
    fresh = key(rng)
    return Query("insert_or_nothing", [Step(
        f"INSERT INTO @S@.third_parties (internal_id, name, country) VALUES ('{fresh}', 'A', 'DE'),"
        f" ('{taken}', 'B', 'DE'), ('{fresh}', 'C', 'DE') ON CONFLICT DO NOTHING", STATUS)])


STATEMENTS = [(update, 6), (update_of_its_condition, 1), (update_from, 2), (update_in_a_query, 2),
              (update_in_a_loop, 2), (insert, 2), (insert_select, 2), (insert_or_nothing, 1)]


def any_write(rng, model):
    """A random statement that writes, and settings that may only change its plan."""
    makers = [maker for maker, _ in STATEMENTS]
    maker = rng.choices(makers, [weight for _, weight in STATEMENTS])[0]
    name = "third_parties" if maker.__name__.startswith("insert") or rng.random() < 0.7 else "engagements"
    query = maker(rng, model.table(name))
    query.table = name
    if rng.random() < 0.3:
        query.settings = {rng.choice(["enable_hashjoin", "enable_nestloop", "enable_material"]): "off"}
    return query


def any_lost_write(rng, model):
    """The same, but of two rows with one key it is all one which is created: the first may have to be sent again."""
    query = any_write(rng, model)
    if query.shape == "insert_or_nothing":
        query.steps[0].sql = query.steps[0].sql.replace("'C', 'DE'", "'A', 'DE'")
    return query


class Judge:
    """Runs a statement on both sides and compares all that can be compared."""

    def __init__(self, target, session, stormy=False):
        self.target = target
        self.stormy = stormy
        self.session = session
        self.url = target.sandbox.url
        self.read_only = {}
        self.types = localcopy.foreign_columns(session.connection.cursor(), target.foreign)

    def _volatile(self, table):
        if table not in self.read_only:
            self.read_only[table] = UNSTABLE | {name for name, in self.session.fetch(
                f"SELECT attname FROM pg_attribute, pg_options_to_table(attfdwoptions) WHERE attrelid ="
                f" '{self.target.foreign}.{table}'::regclass AND option_name = 'read_only' AND option_value = 'true'")}
        return self.read_only[table]

    def _one(self, schema, side, query):
        del self.session.connection.notices[:]
        with self.session.connection.cursor() as cursor:
            try:
                cursor.execute(render(query.steps[0].sql, schema, side))
            except psycopg2.Error as error:
                return error.pgcode, str(error).strip()
            rows = Counter(cursor.fetchall()) if cursor.description else None
            return cursor.statusmessage, rows

    def __call__(self, query):
        """None, or the Difference."""
        cursor = self.session.connection.cursor()
        for name, value in query.settings.items():
            cursor.execute(f"SET {name} = %s", (value,))
        number = self._begin_storm(cursor, query) if self.stormy else 0
        foreign = self._one(self.target.foreign, "foreign", query)
        said = self._end_storm(cursor, query, foreign, number) if self.stormy else None
        if foreign[0] == "08007":
            for name in query.settings:
                cursor.execute(f"RESET {name}")
            return said or self._held(cursor, query) or self._read(query)
        local = self._one(self.target.local, "local", query)
        for name in query.settings:
            cursor.execute(f"RESET {name}")
        held = self._held(cursor, query)
        return self._said(query, foreign, local) or said or held or self._read(query)

    def _begin_storm(self, cursor, query):
        """What the statement sends meets faults; the journal's last number before it."""
        self.target.sandbox.reset_faults()
        seed = zlib.crc32(query.text("@S@", "").encode())
        # a plain conflict is looked at once: one with a row that lists do not show yet is but a refusal
        orders = [] if query.shape == "insert_or_nothing" else storms.lag(seed, "POST /v1/", 0.3, LAG)
        for method in storms.METHODS:
            orders += storms.weather(seed, f"{method} /v1/", STRENGTH, LATE)
        storms.begin(self.target.sandbox, orders)
        cursor.execute("SELECT coalesce(max(number), 0) FROM tpm_fdw_writes")
        return int(cursor.fetchone()[0])

    def _end_storm(self, cursor, query, foreign, number):
        """None, or how statement and journal disagree. After 08007 the copy gets what was sent, and of
        what is unknown that which is there.
        """
        storms.settled(self.target.sandbox)
        cursor.execute("SELECT number, method, id, columns, new::text, outcome FROM tpm_fdw_writes"
                       " WHERE number > %s AND database = current_database() ORDER BY number", (number,))
        journal = cursor.fetchall()
        outcomes = {write[-1] for write in journal}
        if "in flight" in outcomes or (foreign[0] == "08007") != ("unknown" in outcomes):
            return Difference(f"the journal says {sorted(outcomes)} of a statement that says {foreign}",
                              query.steps[0].sql)
        if foreign[0] == "08007":
            self._hold(cursor, query.table)
            self._take(cursor, query.table, number)
        return None

    def _take(self, cursor, table, number):
        """The copy gets all writes since that number of the journal which were sent, and of the unknown
        ones those that are there.
        """
        local = f"{self.target.local}.{table}"
        cursor.execute("SELECT method, id, new::text, outcome = 'sent', c.names, c.values FROM tpm_fdw_writes,"
                       " LATERAL (SELECT string_agg(format('%%I', name), ', ') AS names,"
                       " string_agg(format('r.%%I', name), ', ') AS values FROM unnest(columns) AS name) AS c"
                       " WHERE number > %s AND database = current_database() AND outcome IN ('sent', 'unknown')"
                       " ORDER BY number", (number,))
        for method, resource, new, certain, names, values in cursor.fetchall():
            if method == "POST":
                cursor.execute(f"INSERT INTO {local} SELECT (jsonb_populate_record(NULL::{local}, %s::jsonb - 'id')).*"
                               " WHERE %s OR %s::jsonb->>'internal_id' IN (SELECT internal_id FROM truth)",
                               (new, certain, new))
                continue
            made = f"SELECT {values} FROM jsonb_populate_record(t, %s) AS r"
            held = f"SELECT {values} FROM truth AS r WHERE r.id = t.id"
            cursor.execute(f"UPDATE {local} AS t SET ({names}) = ({made}) WHERE id = %s"
                           f" AND (%s OR NOT EXISTS ({made} EXCEPT {held}))", (new, resource, certain, new))

    def _said(self, query, foreign, local):
        """The two sides' answers to the statement itself."""
        if isinstance(foreign[1], str) or isinstance(local[1], str):
            return Difference(f"errors: foreign {foreign}, local {local}", query.steps[0].sql)
        if foreign[0] != local[0]:
            return Difference(f"the command tags differ: foreign {foreign[0]}, local {local[0]}", query.steps[0].sql)
        if foreign[1] != local[1]:
            return Difference("what RETURNING says differs", query.steps[0].sql,
                              list(foreign[1].elements()), list(local[1].elements()))
        return None

    def _hold(self, cursor, table):
        """What the sandbox holds, as the table truth."""
        columns = self.types[table]
        truth = [tuple(localcopy.sql_value(column, type_name, resource) for column, type_name in columns)
                 for resource in localcopy.dump(self.url, table)]
        cursor.execute(f"DROP TABLE IF EXISTS truth; CREATE TEMP TABLE truth (LIKE {self.target.local}.{table})")
        lines = ["\t".join(localcopy.copy_field(value) for value in row) + "\n" for row in truth]
        cursor.copy_expert("COPY truth FROM STDIN", io.StringIO("".join(lines)))

    def _held(self, cursor, query):
        """The sandbox against the local copy, which then takes over what the server decided."""
        table, local = query.table, self.target.local
        columns = self.types[table]
        self._hold(cursor, table)
        stable = [f'"{name}"' for name, _ in columns if name not in self._volatile(table)]
        new = f"SELECT internal_id, name, country FROM {{}} WHERE id {{}} (SELECT id FROM {local}.{table} WHERE id IS NOT NULL)"
        # rows that were there: every column; new ones: those that the statement named
        pairs = [(f"SELECT id, {', '.join(stable)} FROM {local}.{table} WHERE id IS NOT NULL",
                  f"SELECT id, {', '.join(stable)} FROM truth WHERE id IN (SELECT id FROM {local}.{table})")]
        if table == "third_parties":
            pairs.append((f"SELECT internal_id, name, country FROM {local}.{table} WHERE id IS NULL",
                          new.format("truth", "NOT IN")))
        difference = None
        for mine, theirs in pairs:
            cursor.execute(mine)
            made = Counter(cursor.fetchall())
            cursor.execute(theirs)
            held = Counter(cursor.fetchall())
            if made != held:
                difference = Difference("what the API holds differs", query.steps[0].sql,
                                        list(held.elements()), list(made.elements()))
                break
        cursor.execute(f"TRUNCATE {local}.{table}; INSERT INTO {local}.{table} SELECT * FROM truth; DROP TABLE truth")
        return difference

    def _read(self, query):
        """What the foreign table reads now against the copy."""
        sides = [Counter(self.session.fetch(f"SELECT * FROM {schema}.{query.table}"))
                 for schema in (self.target.foreign, self.target.local)]
        if sides[0] != sides[1]:
            return Difference("what is read after the write differs", query.steps[0].sql,
                              list(sides[0].elements()), list(sides[1].elements()))
        return None


def prepare(target, session, stormy=False):
    """A copy that refuses what the API refuses."""
    raw_values(session.connection)
    with session.connection.cursor() as cursor:
        cursor.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS key ON {target.local}.third_parties (internal_id)"
                       " WHERE internal_id <> ''")
        for table in SETTABLE:
            cursor.execute(f"SELECT attname FROM pg_attribute WHERE attrelid = '{target.local}.{table}'::regclass"
                           " AND attnotnull AND attnum > 0")
            for name, in cursor.fetchall():
                cursor.execute(f'ALTER TABLE {target.local}.{table} ALTER COLUMN "{name}" DROP NOT NULL')
    return Judge(target, session, stormy)


def prepare_losing(target, session):
    """The same, and answers are lost, deeds come late, lists lag."""
    return prepare(target, session, True)
