"""Joins by key, as people write them: the same rows with the look-ahead and without, for no more requests.

Owns the shapes (any statement in which a scan by key stands beside rows that bring the keys), the tables of keys,
and the judge. An outer row is always (k, key, c), k is unique; an answer always has three columns.
"""

from dataclasses import dataclass, field

import compare
import conditions
import generator
import psycopg2
from environment import Target
from query import GATHER, MULTISET, ORDERED, STATUS, SUBSET, Query, Step, render
from runner import Actions

SETTING = "tpm_fdw.enable_lookahead"
NODE = "Key Lookahead"

# A dimension of so many queries has the node in some plan, or what it shows is worth nothing.
ENOUGH = 20
# and as cheap as all of them together should be
MANY = 200

# Joins other than by key are cheap with tables so small, so each is switched off half of the time.
SWITCHES = ["enable_hashjoin", "enable_hashjoin", "enable_mergejoin", "enable_material", "enable_memoize", "enable_sort"]

KEYS = 120

# A table of keys for each side, since statements change it: NULLs, repetitions, what the API does not have, what
# cannot be sent as one of a list; numbers and padded texts that are equal and spelt otherwise.
CREATE_KEYS = """
CREATE TABLE common.keys_{side} AS
SELECT k, k % 5 AS c, ''::text AS note,
       CASE WHEN k % 17 = 0 THEN NULL WHEN k % 13 = 0 THEN 'none ' || k WHEN k % 29 = 0 THEN '1,2' WHEN k % 31 = 0 THEN ''
            WHEN k % 7 = 0 THEN '5' WHEN k % 37 = 0 THEN '5 ' ELSE (k * 37 % 310)::text END AS party,
       CASE WHEN k % 19 = 0 THEN NULL ELSE '3P-' || lpad((k * 41 % 310)::text, 6, '0') END AS profile,
       CASE WHEN k % 11 = 0 THEN NULL WHEN k % 23 = 0 THEN '' ELSE 'V-' || (10000 + k * 43 % 310) END AS own,
       CASE WHEN k % 12 = 0 THEN NULL ELSE (1 + k % 40)::text END AS there,
       CASE WHEN k % 14 = 0 THEN NULL ELSE (k % 47)::text END AS person,
       CASE WHEN k % 8 = 0 THEN NULL ELSE (k % 10)::text END AS region,
       CASE WHEN k % 21 = 0 THEN NULL
            ELSE ((k * 37 % 310)::text || (ARRAY['', '.0', '.00', '.5', '.50'])[k % 5 + 1])::numeric END AS number,
       (k * 53 % 310)::text::char(8) AS padded, (k * 59 % 310)::text::varchar(10) AS short, (k * 61 % 310)::bigint AS big
FROM generate_series(1, {keys}) k;
ALTER TABLE common.keys_{side} ADD PRIMARY KEY (k);
CREATE INDEX ON common.keys_{side} (party)"""

# Third parties under ids of other types, and a list whose path has the key. Ids of a trusting import have the
# collation "C", these tables have not, and neither may their copies.
TYPED = {"numbered": "numeric", "padded": "char(8)", "short": "varchar(10)", "big": "bigint"}
BELOW = ", ".join(f'{name} COLLATE "default" AS {name}'
                  for name in ("id", "case_number", "stage", "third_party_id", "region_id"))


@dataclass
class Link:
    """What a scan is asked by: table, column, a text column to show, expressions over the table of keys."""

    table: str
    column: str
    shown: str
    keys: list
    unique: bool = False
    # another table that has such a key itself: (table, column)
    outer: tuple = None


LINKS = [
    Link("third_parties", "id", "name", ["party", "party", "big::text", "short", "padded", "number::text", "trim(party)"],
         True, ("cases", "third_party_id")),
    Link("third_parties", "profile_number", "name", ["profile"], True),
    Link("third_parties", "internal_id", "city", ["own"]),
    Link("third_parties", "owner_id", "name", ["person"], outer=("cases", "requester_id")),
    Link("third_parties", "region_id", "name", ["region"]),
    Link("cases", "third_party_id", "case_number", ["party", "big::text"], outer=("engagements", "third_party_id")),
    Link("cases", "requester_id", "stage", ["person"], outer=("third_parties", "owner_id")),
    Link("cases", "id", "stage", ["party"], True),
    Link("engagements", "third_party_id", "name", ["party"], outer=("cases", "third_party_id")),
    Link("questionnaires", "third_party_id", "form_name", ["party", "short"]),
    Link("notes", "third_party_id", "subject", ["party"]),
    Link("users", "id", "email", ["person"], True, ("third_parties", "owner_id")),
    Link("regions", "id", "name", ["region"], True, ("cases", "region_id")),
    Link("parties", "id", "name", ["party"], outer=("cases", "third_party_id")),
    Link("numbered", "id", "name", ["number", "big", "k", "party"], True),
    Link("padded", "id", "name", ["padded", "short", "party"], True),
    Link("short", "id", "name", ["short", "party", "padded"], True),
    Link("big", "id", "name", ["big", "k", "number"], True),
    Link("cases_below", "third_party_id", "stage", ["there"]),
    Link("(SELECT id, name, owner_id FROM @S@.third_parties UNION ALL SELECT id, name, owner_id FROM @S@.engagements)",
         "owner_id", "name", ["person"]),
    Link("(SELECT id, name, status FROM @S@.third_parties WHERE status = 'Active')", "id", "name", ["party"], True),
]
WEIGHTS = [6, 3, 2, 3, 1, 6, 2, 1, 2, 2, 2, 2, 1, 2, 2, 1, 1, 1, 1, 1, 1]

# What a column is compared with may be of another type than the column; PostgreSQL has no such operator.
CASTS = {("numbered", "party"): "number", ("big", "number"): "number"}


@dataclass
class Join(Query):
    """A query that says which scans it has, whether all of them are read to their end, what EXPLAIN is asked.

    `turned` are those of the tables that bring keys, should the planner ask them by key instead.
    `ways` are the states of the setting that it is run with, one after the other.
    """

    links: list = field(default_factory=list)
    turned: list = field(default_factory=list)
    whole: bool = True
    main: str = ""
    ways: list = field(default_factory=list)


class Drawn:
    """What one query is made of: inner tables and rows that bring keys."""

    def __init__(self, rng, model):
        self.rng = rng
        self.model = model
        self.links = []
        # of tables that bring keys: the planner may ask them by key as well
        self.turned = []
        self.whole = True

    def choice(self, *options):
        return self.rng.choice(options)

    def link(self, **wanted):
        """A way to ask for a key, all of whose attributes are as `wanted`."""
        fit = [(link, weight) for link, weight in zip(LINKS, WEIGHTS)
               if all(getattr(link, name) == value for name, value in wanted.items())]
        return self.rng.choices([f[0] for f in fit], [f[1] for f in fit])[0]

    def stops(self):
        """Not every row of every scan is asked for."""
        self.whole = False

    def source(self, link, alias="f"):
        """The item of FROM, counted as one scan."""
        self.links.append(link)
        name = link.table if link.table.startswith("(") else f"@S@.{link.table}"
        return f"{name} {alias}"

    def key(self, link):
        name = self.rng.choice(link.keys)
        return CASTS.get((link.table, name), name)

    def rows(self, link):
        """Rows (k, key, c) that bring keys for `link`."""
        key, keys = self.key(link), "common.keys_@N@"
        made = [f"(SELECT k, {key} AS key, c FROM {keys})"] * 6 + [
            f"(SELECT k, {key} AS key, c FROM {keys} WHERE c = {self.rng.randint(0, 4)})",
            f"(SELECT k, {key} AS key, c FROM {keys} WHERE k <= {self.rng.randint(0, 30)})",
            f"(SELECT k, {key} AS key, c FROM {keys} ORDER BY 2, 1 LIMIT {self.rng.randint(1, 90)})",
            f"(SELECT k, {key} AS key, c FROM {keys} ORDER BY k LIMIT {self.rng.randint(1, 90)})",
            f"(SELECT max(k) AS k, {key} AS key, min(c) AS c FROM {keys} GROUP BY 2)",
            f"(SELECT DISTINCT ON ({key}) k, {key} AS key, c FROM {keys} ORDER BY {key}, k)",
            f"(SELECT a.k, b.key, a.c FROM {keys} a LEFT JOIN (SELECT k, {key} AS key FROM {keys}) b"
            f" ON b.k = a.k + {self.rng.randint(0, 80)})",
            f"(SELECT k, {key} AS key, c FROM {keys} WHERE k < 50 UNION ALL"
            f" SELECT k, {key}, c + 1 FROM {keys} WHERE k >= {self.rng.randint(50, 90)})",
            f"(SELECT k, {key} AS key, c FROM {keys} WHERE random() >= 0)",
            f"(SELECT k, {key} AS key, (random() * 0)::int AS c FROM {keys})",
            f"(SELECT k, {key} AS key, c, row_number() OVER (ORDER BY k) AS n FROM {keys} OFFSET 0)",
        ]
        if link.outer:
            table, column = link.outer
            made += [f"(SELECT id::int AS k, {column} AS key, length(id) AS c FROM @S@.{table}"
                     f"{self.choice('', '', ' ORDER BY id LIMIT 40')})"] * 3
        rows = self.rng.choice(made)
        if link.outer and rows is made[-1]:
            self.turned.append(Link(table, column, "id", []))
        return rows

    def on(self, link, alias="f", outer="o"):
        """What joins them: the key, and at times something more."""
        column, key = f"{alias}.{link.column}", f"{outer}.key"
        shown = f"{alias}.{link.shown}"
        same = f"{column} = {key}"
        dice = self.rng.random()
        if dice < 0.55:
            return same
        if dice < 0.7 and not link.table.startswith("(") and link.table in {t.name for t in self.model.tables}:
            return f"{same} AND ({conditions.condition(self.rng, alias, self.model.table(link.table), 1)})"
        return f"{same} AND " + self.choice(
            f"{shown} <> 'Draft'", f"length({shown}) > {self.rng.randint(3, 16)}", f"length({alias}.id::text) > {outer}.c",
            f"{alias}.id::text {self.choice('<', '>=', '<>')} {outer}.key::text", f"{outer}.c < {self.rng.randint(0, 5)}",
            f"{alias}.id::text IN ('1', '5', '7', '37', '111', '259') IS {self.choice('TRUE', 'NOT TRUE')}",
            f"{shown} = (SELECT {shown})", f"{outer}.k % 3 = length({shown}) % 3")

    def filter(self, nullable=False):
        """Conditions on the rows that are joined."""
        made = ["true", "true", f"o.c < {self.rng.randint(0, 5)}", f"o.k % {self.rng.randint(2, 9)} = 0", "o.key IS NOT NULL"]
        return self.rng.choice(made + ["f.id IS NULL", "coalesce(length(f.id::text), 0) % 2 = 0"] if nullable else made)

    def sub_select(self, link, columns=2):
        """A sub-select that belongs to an outer row: (id, shown), or one value."""
        self.stops()
        source, on, shown = self.source(link), self.on(link), f"f.{link.shown}"
        tail = self.choice("LIMIT 1", "LIMIT 1", f"LIMIT {self.rng.randint(2, 4)}", "OFFSET 0", "LIMIT 0", "")
        order = "ORDER BY 1, 2" if columns == 2 else "ORDER BY 1"
        if tail == "" or (link.unique and self.rng.random() < 0.3):
            order = ""
        if columns == 2:
            if order == "" and tail.startswith("LIMIT") and not link.unique:
                order = "ORDER BY 1, 2"
            return self.choice(
                f"SELECT f.id::text AS id, {shown} AS shown FROM {source} WHERE {on} {order} {tail}",
                f"SELECT f.id::text AS id, {shown} AS shown FROM {source} WHERE {on} ORDER BY f.id {self.choice('', 'DESC')}, 2 {tail}",
                f"SELECT max(f.id::text) AS id, min({shown}) AS shown FROM {source} WHERE {on}",
                f"SELECT count(*)::text AS id, NULL::text AS shown FROM {source} WHERE {on}",
                f"SELECT f.id::text AS id, p.k::text AS shown FROM {source} JOIN common.keys_@N@ p ON p.c = o.c AND p.k % 7 = 2"
                f" WHERE {on} ORDER BY 1, 2 LIMIT {self.rng.randint(1, 3)}",
                f"SELECT y.id, y.shown FROM (SELECT k FROM common.keys_@N@ p WHERE p.k = o.k OFFSET 0) p, LATERAL"
                f" (SELECT f.id::text AS id, {shown} AS shown FROM {source} WHERE {on} ORDER BY 1, 2 LIMIT 1) y",
                f"SELECT f.id::text AS id, {shown} AS shown FROM {source} WHERE {on} UNION ALL"
                f" SELECT f.id::text, {shown} FROM {self.source(link)} WHERE {self.on(link)} ORDER BY 1, 2 LIMIT 2")
        return self.choice(
            f"SELECT string_agg(f.id::text, ',' ORDER BY f.id::text) FROM {source} WHERE {on}",
            f"SELECT count(*)::text FROM {source} WHERE {on}", f"SELECT count(*)::text FROM {source} WHERE {on}",
            f"SELECT max({shown}) FROM {source} WHERE {on}",
            f"SELECT f.id::text FROM {source} WHERE {on} ORDER BY f.id LIMIT 1",
            f"SELECT {shown} || f.id::text FROM {source} WHERE {on} ORDER BY 1 DESC LIMIT 1",
            f"SELECT count(*)::text FROM {source} JOIN common.keys_@N@ p ON p.k = length(f.id::text) WHERE {on}",
            f"SELECT f.id::text || (SELECT count(*) FROM @S@.users g WHERE g.id = f.id::text OR g.id = o.k::text) FROM {source}"
            f" WHERE {on} ORDER BY f.id LIMIT 1",
            f"SELECT EXISTS (SELECT FROM {source} WHERE {on})::text")


# ----- shapes: the statement, without order and limit -----

def joined(d):
    """One table, every kind of join."""
    link, kind = d.link(), d.choice("JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
    on = f"f.{link.column} = o.key" if kind == "FULL JOIN" else d.on(link)
    return (f"SELECT o.k, f.id::text, f.{link.shown} FROM {d.rows(link)} o {kind} {d.source(link)} ON {on}"
            f" WHERE {d.filter(True)}")


def chained(d):
    """Two scans by key, the second below the first or beside it."""
    first = d.link()
    second = d.choice(first, first, *[link for link in LINKS if "party" in link.keys])
    key = "o.key" if second is first else "o.k::text"
    if first.table in ("cases", "engagements", "questionnaires", "notes") and first.column == "third_party_id":
        second, key = LINKS[0], "f.third_party_id"
    elif first is LINKS[0]:
        second, key = d.choice((LINKS[11], "f.owner_id"), (LINKS[5], "f.id"))
    elif second.table in TYPED and second is not first:
        second = LINKS[0]
    return (f"SELECT o.k, f.id::text, g.id::text FROM {d.rows(first)} o {d.choice('JOIN', 'LEFT JOIN')} {d.source(first)}"
            f" ON {d.on(first)} {d.choice('JOIN', 'LEFT JOIN')} {d.source(second, 'g')} ON g.{second.column} = {key}"
            f" WHERE {d.filter()}")


def semi(d):
    """EXISTS, IN and their negations, in WHERE and under OR."""
    link = d.link()
    d.stops()
    rows, source, on = d.rows(link), d.source(link), d.on(link)
    inner = f"SELECT f.{link.column} FROM {source} WHERE length(f.{link.shown}) > {d.rng.randint(0, 14)}"
    test = d.choice(f"EXISTS (SELECT FROM {source} WHERE {on})", f"NOT EXISTS (SELECT FROM {source} WHERE {on})",
                    f"EXISTS (SELECT FROM {source} WHERE {on} LIMIT 1)",
                    f"o.key IN ({inner})", f"o.key NOT IN ({inner} AND f.{link.column} IS NOT NULL)",
                    f"(o.c = 1 OR EXISTS (SELECT FROM {source} WHERE {on}))", f"o.key = ANY (ARRAY({inner}))",
                    f"(EXISTS (SELECT FROM {source} WHERE {on})) IS {d.choice('TRUE', 'DISTINCT FROM true')}")
    return f"SELECT o.k, o.key::text, o.c FROM {rows} o WHERE {test} AND {d.filter()}"


def unique_outer(d):
    """Rows of the foreign table whose keys are among ours."""
    link = d.link()
    return (f"SELECT f.id::text, f.{link.shown}, 0 FROM {d.source(link)} WHERE f.{link.column} IN"
            f" (SELECT o.key FROM {d.rows(link)} o WHERE {d.choice('true', 'o.c = 1', 'o.k < 40', 'o.key IS NOT NULL')})")


def lateral(d):
    """The first rows for each of ours, and what else a LATERAL sub-select may hold."""
    link = d.link()
    rows = d.rows(link)
    return (f"SELECT o.k, x.id, x.shown FROM {rows} o {d.choice('JOIN', 'LEFT JOIN')} LATERAL ({d.sub_select(link)}) x"
            f" ON {d.choice('true', 'true', 'length(x.id) > 1', 'o.c < 3')} WHERE {d.choice('true', 'o.c < 3', 'x.id IS NULL')}")


def lateral_inside(d):
    """A join inside the sub-select, whose parameter is not at its top."""
    link = d.link()
    d.stops()
    return (f"SELECT o.k, x.shown, x.n FROM {d.rows(link)} o {d.choice('JOIN', 'LEFT JOIN')} LATERAL (SELECT f.{link.shown} AS shown,"
            f" (SELECT count(*) FROM common.keys_@N@ p WHERE p.k < length(f.id::text) * 9 AND p.c = o.c) AS n"
            f" FROM {d.source(link)} WHERE {d.on(link)} {d.choice('', 'ORDER BY f.id, 1 LIMIT 1', 'ORDER BY 1')}) x"
            f" ON {d.choice('true', f'x.n > {d.rng.randint(0, 4)}')}")


def select_list(d):
    """Sub-selects where they are projected, sorted by, grouped by, and looked at or not."""
    link = d.link()
    rows, one = d.rows(link), d.sub_select(link, 1)
    two = d.sub_select(link, 1)
    return d.choice(
        f"SELECT o.k, ({one}), o.c FROM {rows} o WHERE {d.filter()}",
        f"SELECT o.k, ({one}), o.c FROM {rows} o WHERE {d.filter()}",
        f"SELECT o.k, coalesce(({one}), '-'), ({two}) FROM {rows} o",
        f"SELECT o.k, CASE WHEN o.c < {d.rng.randint(0, 4)} THEN ({one}) END, o.c FROM {rows} o"
        f" JOIN common.keys_@N@ p ON p.k = o.k + {d.rng.randint(0, 9)}",
        f"SELECT q.k, q.n, q.c FROM (SELECT o.k, ({one}) AS n, o.c FROM {rows} o OFFSET 0) q JOIN @S@.users g ON g.id = q.k::text",
        f"SELECT o.k, o.c, row_number() OVER (ORDER BY ({one}), o.k) FROM {rows} o",
        f"SELECT ({one}) AS x, count(*), min(o.k) FROM {rows} o GROUP BY 1",
        f"SELECT DISTINCT ({one}) AS x, o.c, ({two}) AS y FROM {rows} o",
        f"SELECT o.k, ({one}) AS x, o.c FROM {rows} o ORDER BY ({two}), o.k",
        f"SELECT o.k, ({one}) AS x, o.c FROM {rows} o WHERE ({two}) IS NOT NULL",
        f"SELECT o.c, max(({one})), count(*) FROM {rows} o GROUP BY o.c HAVING max(({two})) IS NOT NULL",
        f"SELECT w.k, (SELECT string_agg(coalesce(({one}), '?'), ',' ORDER BY o.k) FROM {rows} o WHERE o.c = w.c"
        f" AND o.k < w.k + {d.rng.randint(0, 20)}), w.c FROM common.keys_@N@ w WHERE w.k % {d.rng.randint(30, 60)} = 0")


def grouped(d):
    """An aggregate over a join."""
    link = d.link()
    return (f"SELECT o.c, count(f.id), sum(o.k) FROM {d.rows(link)} o {d.choice('JOIN', 'LEFT JOIN', 'LEFT JOIN')} {d.source(link)}"
            f" ON {d.on(link)} GROUP BY o.c")


def beside(d):
    """A join, another join of the same keys, and a sub-select over them."""
    link = d.link()
    d.stops()
    return (f"SELECT o.k, f.{link.shown}, p.k FROM {d.rows(link)} o JOIN {d.source(link)} ON {d.on(link)}"
            f" {d.choice('JOIN', 'LEFT JOIN')} common.keys_@N@ p ON p.k = length(f.id::text) + o.c AND p.c {d.choice('<', '=', '>')} o.c"
            f" WHERE NOT EXISTS (SELECT FROM common.keys_@N@ z WHERE z.c = p.c AND z.k % 7 = o.c AND z.k > o.k + {d.rng.randint(0, 90)})")


def several_keys(d):
    """Two columns at once, and a constant beside the key."""
    link, column, more = d.choice(
        (LINKS[5], "party", ["f.requester_id = o.person", "f.stage = 'Draft'", "f.region_id IN ('1', '2', '3')"]),
        (LINKS[0], "party", ["f.owner_id = o.person", "f.status = 'Active'", "f.profile_number = o.profile"]),
        (LINKS[3], "person", ["f.id = o.party", "f.region_id = o.region", "f.status = 'Active'"]))
    on = f"f.{link.column} = o.{column} AND {d.choice(*more)}"
    return (f"SELECT o.k, f.id, f.{link.shown} FROM common.keys_@N@ o {d.choice('JOIN', 'LEFT JOIN')} {d.source(link)} ON {on}"
            f" WHERE o.c < {d.rng.randint(1, 5)}")


SHAPES = [(joined, 8), (chained, 4), (semi, 5), (unique_outer, 3), (lateral, 5), (lateral_inside, 2), (select_list, 8),
          (grouped, 2), (beside, 2), (several_keys, 2)]


# ----- what is done with it -----

def _plain(d, sql):
    return [Step(sql, MULTISET)]


def _ordered(d, sql):
    """All columns are sorted by: nothing is left to chance."""
    limit = d.choice("", f" LIMIT {d.rng.randint(1, 30)}")
    if limit:
        d.stops()
    return [Step(f"SELECT * FROM ({sql}) q(x, y, z) ORDER BY 1, 2, 3{limit}", ORDERED)]


def _limited(d, sql):
    d.stops()
    return [Step(f"SELECT * FROM ({sql}) q(x, y, z) LIMIT {d.choice(0, 1, 2, 5, 20, 50)}{d.choice('', '', ' OFFSET 3')}", SUBSET,
                 superset=sql)]


def _prefix(d, sql):
    """Sorted by the first column, as what is already sorted by it may be."""
    d.stops()
    return [Step(f"SELECT x FROM ({sql}) q(x, y, z) ORDER BY x LIMIT {d.rng.randint(1, 60)}", ORDERED)]


def _in_pieces(d, sql):
    d.stops()
    fetches = [f"FETCH {d.rng.randint(1, 9)} FROM c@N@" for _ in range(d.rng.randint(1, 5))]
    steps = [Step(f"DECLARE c@N@ {d.choice('', 'NO SCROLL', 'SCROLL')} CURSOR FOR {sql}", STATUS)]
    return steps + [Step(fetch, GATHER) for fetch in fetches + ["FETCH ALL FROM c@N@"]] + [Step("CLOSE c@N@", STATUS)]


def _there_and_back(d, sql):
    """A cursor that goes both ways over a total order."""
    d.stops()
    moves = ["FETCH 7", "FETCH BACKWARD 3", "FETCH 20", "FETCH ABSOLUTE 4", "FETCH PRIOR", "FETCH LAST", "FETCH FIRST"]
    return [Step(f"DECLARE c@N@ SCROLL CURSOR FOR SELECT * FROM ({sql}) q(x, y, z) ORDER BY 1, 2, 3", STATUS)] + [
        Step(f"{move} FROM c@N@", ORDERED) for move in d.rng.sample(moves, 4)]


def _prepared(d, sql):
    """Seven executions: custom plans, then perhaps a generic one."""
    text = f"SELECT * FROM ({sql}) q(x, y, z) WHERE $1 > 0 OR x::text <> $1::text"
    return [Step(f"PREPARE p@N@(int) AS {text}", STATUS)] + [
        Step(f"EXECUTE p@N@({d.rng.randint(0, 5)})", MULTISET) for _ in range(7)]


def _with(d, sql):
    inner = f"WITH w AS {d.choice('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}(SELECT * FROM ({sql}) q(x, y, z))"
    d.stops()
    return [Step(f"{inner} " + d.choice("SELECT * FROM w", "SELECT count(*), count(y), count(z) FROM w",
                                        "SELECT a.x, count(*) FROM w a JOIN w b ON a.x = b.x GROUP BY 1",
                                        "SELECT x, y, z FROM w WHERE x = (SELECT min(x) FROM w)"), MULTISET)]


def _counted(d, sql):
    return [Step(f"SELECT count(*), count(DISTINCT x), count(y) FROM ({sql}) q(x, y, z)", MULTISET)]


FINISHES = [(_plain, 8), (_ordered, 5), (_limited, 3), (_prefix, 2), (_in_pieces, 2), (_there_and_back, 1), (_prepared, 2),
            (_with, 2), (_counted, 2)]


# ----- statements that write to the table of keys, or lock its rows -----

def _locking(d):
    d.stops()
    link = d.link()
    key = d.key(link)
    sub = d.choice("", f", (SELECT max(f.{link.shown}) FROM {d.source(link)} WHERE f.{link.column} = o.{key})")
    if sub:
        sql = f"SELECT o.k{sub} FROM common.keys_@N@ o WHERE o.c < 3 ORDER BY o.k{d.choice('', ' LIMIT 5')} FOR UPDATE"
        return [Step(sql, ORDERED)], sql
    sql = (f"SELECT o.k, f.id::text FROM common.keys_@N@ o {d.choice('JOIN', 'LEFT JOIN')} {d.source(link)}"
           f" ON f.{link.column} = o.{key} WHERE o.c < 3 ORDER BY 1, 2{d.choice('', ' LIMIT 5')} FOR {d.choice('UPDATE', 'SHARE')} OF o")
    return [Step(sql, ORDERED)], sql


def _written(d):
    link = d.link(unique=True)
    key, source = d.key(link), d.source(link)
    d.stops()
    # what several third parties under one key would write is anybody's guess, so keys are unique
    same, keys = f"f.{link.column} = o.{key}", "common.keys_@N@ o"
    sql = d.choice(
        f"UPDATE {keys} SET note = f.{link.shown} FROM {source} WHERE {same} AND o.c < {d.rng.randint(1, 5)}",
        f"UPDATE {keys} SET note = (SELECT f.{link.shown} FROM {source} WHERE {same}), c = c + 1 WHERE o.c < 3",
        f"UPDATE {keys} SET (note, c) = (SELECT max(f.{link.shown}), count(*) FROM {source} WHERE {same})",
        f"UPDATE {keys} SET note = x.shown FROM common.keys_@N@ p LEFT JOIN LATERAL (SELECT f.{link.shown} AS shown FROM {source}"
        f" WHERE f.{link.column} = p.{key} ORDER BY 1 LIMIT 1) x ON true WHERE p.k = o.k AND p.c = 2",
        f"DELETE FROM {keys} USING {source} WHERE {same} AND length(f.{link.shown}) % 2 = 0",
        f"DELETE FROM {keys} WHERE NOT EXISTS (SELECT FROM {source} WHERE {same})",
        f"MERGE INTO {keys} USING {source} ON {same} WHEN MATCHED AND o.c < 4 THEN UPDATE SET note = f.{link.shown}",
        f"INSERT INTO common.keys_@N@ (k, note) SELECT 1000 + o.k, f.{link.shown} FROM {keys} LEFT JOIN {source} ON {same}")
    return [Step(sql, STATUS), Step("SELECT k, c, note FROM common.keys_@N@", MULTISET)], sql


def _numbered(d):
    """nextval is called once for each row that is returned, whatever is read ahead."""
    d.stops()
    link = d.link(unique=True)
    sql = (f"SELECT o.k, nextval('common.numbers_@N@') FROM common.keys_@N@ o {d.choice('JOIN', 'LEFT JOIN')} {d.source(link)}"
           f" ON f.{link.column} = o.{d.key(link)} ORDER BY o.k LIMIT {d.rng.randint(1, 20)}")
    return [Step("SELECT setval('common.numbers_@N@', 1)", MULTISET), Step(sql, ORDERED),
            Step("SELECT last_value FROM common.numbers_@N@", MULTISET)], sql


STATEMENTS = [(_locking, 3), (_written, 5), (_numbered, 2)]


def drawn(rng, weighted):
    return rng.choices([item for item, _ in weighted], [weight for _, weight in weighted])[0]


def any_join(rng, model):
    """One of the shapes, finished one way or another, or a statement that writes."""
    d = Drawn(rng, model)
    if rng.random() < 0.12:
        maker = drawn(rng, STATEMENTS)
        steps, main = maker(d)
        name = maker.__name__.strip("_")
    else:
        shape, end = drawn(rng, SHAPES), drawn(rng, FINISHES)
        main = shape(d)
        steps = end(d, main)
        name = shape.__name__ + end.__name__
        if steps[0].sql.startswith(("SELECT", "WITH", "DECLARE")):
            main = steps[0].sql
    settings = {name: "off" for name in SWITCHES if rng.random() < 0.5}
    if rng.random() < 0.3:
        settings.update([rng.choice(generator.KNOBS)])
    if rng.random() < 0.2:
        settings["plan_cache_mode"] = "force_generic_plan"
    # half of them without it as well, in either order
    ways = rng.choice([["on"], ["on"], ["on", "off"], ["off", "on"]])
    return Join(name, steps, settings, d.links, d.turned, d.whole, main, ways)


# ----- the judge -----

class LookTarget(Target):
    """Foreign tables with typed ids besides, and how a dimension has fared."""

    def __init__(self, env, target, page_size):
        super().__init__(target.foreign, target.local, target.model, target.sandbox, target.about)
        self.env = env
        self.page_size = page_size
        self.plans = self.with_node = self.spent = self.spent_without = self.more = 0
        self.pages = {}
        self._create_tables()

    def _create_tables(self):
        env, model = self.env, {t.name: {c.name for c in t.columns} for t in self.model.tables}
        assert {"case_number", "stage"} <= model["cases"]
        if not env.execute("SELECT to_regclass('common.keys_foreign')")[0][0]:
            for side in ("foreign", "local"):
                env.execute(CREATE_KEYS.format(side=side, keys=KEYS))
                env.execute(f"ANALYZE common.keys_{side}")
                env.execute(f"CREATE SEQUENCE common.numbers_{side}")
        if env.execute(f"SELECT to_regclass('{self.foreign}.numbered')")[0][0]:
            return
        server, options = env.execute(
            f"""SELECT srvname, (SELECT string_agg(format('%I %L', option_name, option_value), ', ')
                                 FROM pg_attribute, pg_options_to_table(attfdwoptions)
                                 WHERE attrelid = ftrelid AND attname = 'id')
                FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver
                WHERE ftrelid = '{self.foreign}.third_parties'::regclass""")[0]
        for name, kind in TYPED.items():
            env.execute(f"CREATE FOREIGN TABLE {self.foreign}.{name} (id {kind} OPTIONS ({options}), name text)"
                        f" SERVER {server} OPTIONS (resource '/third_parties')")
            plain = 'COLLATE "default"' if "char" in kind else ""
            env.execute(f"CREATE OR REPLACE VIEW {self.local}.{name} AS SELECT id::{kind} {plain} AS id, name"
                        f" FROM {self.local}.third_parties")
        env.execute(f"""CREATE FOREIGN TABLE {self.foreign}.cases_below (id text, case_number text, stage text,
            third_party_id text OPTIONS (relationship 'third_party'), region_id text OPTIONS (relationship 'region'))
            SERVER {server} OPTIONS (resource '/third_parties/{{third_party_id}}/cases')""")
        env.execute(f"CREATE OR REPLACE VIEW {self.local}.cases_below AS SELECT {BELOW} FROM {self.local}.cases")

    def pages_of(self, link):
        """The most pages that one batch of keys may have."""
        if (link.table, link.column) not in self.pages:
            source = link.table if link.table.startswith("(") else f"@S@.{link.table}"
            self.pages[link.table, link.column] = int(self.env.execute(render(
                f"SELECT ceil(sum(n) / {self.page_size}) FROM (SELECT count(*) AS n FROM {source} f GROUP BY f.{link.column}"
                f" ORDER BY 1 DESC LIMIT {self.page_size}) largest", self.local, "local"))[0][0])
        return self.pages[link.table, link.column]

    def pages_in_all(self, link):
        """The pages of a list without conditions."""
        name = (link.table, "all")
        if name not in self.pages:
            source = link.table if link.table.startswith("(") else f"@S@.{link.table}"
            self.pages[name] = int(self.env.execute(render(
                f"SELECT ceil(count(*) / {self.page_size}::numeric) FROM {source} f", self.local, "local"))[0][0])
        return self.pages[name]

    def summary(self):
        return (f"{self.with_node} of {self.plans} plans with {NODE}, {self.spent} requests with it on,"
                f" {self.spent_without} with it off; {self.more} queries sent more with it")

    def complaints(self):
        if self.plans >= ENOUGH and not self.with_node:
            return [f"no plan had a {NODE}"]
        if self.plans >= MANY and self.spent > self.spent_without:
            return [f"{self.spent} requests with the node, {self.spent_without} without"]
        return []


class Judge:
    """Runs a query with the look-ahead, or without it as well."""

    def __init__(self, target, session, mode):
        self.target = target
        self.session = session
        self.mode = mode
        self.actions = Actions(target).table()
        if mode == "warm":
            for name in TYPED:
                session.fetch(f"SELECT * FROM {target.foreign}.{name}")
        self.known = bool(session.fetch(f"SELECT 1 FROM pg_settings WHERE name = '{SETTING}'"))

    def __call__(self, query):
        target = self.target
        plan = self.plan(query, "on")
        target.plans += 1
        target.with_node += any(NODE in line for line in plan)
        # a list below a resource is refused where a plan has no key for it, and is never all in the cache
        below = any(link.table == "cases_below" for link in query.links)
        asked, refused = {}, {}
        for way in ("off", "on") if below else query.ways:
            asked[way], refused[way], difference = self.run(query, way, below)
            if difference:
                difference.reason = f"look-ahead {way}: {difference.reason}"
                return difference
        if len(set(refused.values())) > 1:
            return compare.Difference(f"refused: {refused}")
        if self.mode == "warm":
            return None if below or not asked["on"] else compare.Difference(f"{asked['on']} requests on a warm cache")
        # the same plan either way: what differs was learnt, or kept, between the two runs
        if not any(NODE in line for line in plan) and not any(step.sql.startswith("DECLARE") for step in query.steps):
            return None
        # what is counted by two values is no key: that it costs nothing where another scan has bought its list is chance
        if "off" not in asked or (self.mode == "cold" and " OR g.id = " in query.main):
            return None
        target.spent += asked["on"]
        target.spent_without += asked["off"]
        allowed = self.allowed(query, asked["off"], plan)
        if asked["on"] > allowed:
            # what is learnt of a table once is not the look-ahead's to pay, and may change either plan
            again = {way: self.run(query, way, below)[0] for way in ("off", "on")}
            allowed = self.allowed(query, again["off"], self.plan(query, "on"))
            if again["on"] > allowed:
                return compare.Difference(f"{again['on']} requests with look-ahead, {again['off']} without, {allowed} allowed")
        target.more += asked["on"] > asked["off"]
        return None

    def allowed(self, query, without, plan):
        """How many requests may be sent with the look-ahead.

        As many as without it, where the plan is the same but for the node; where not all rows are wanted, a batch more.
        Where even so a whole list is paid for, either way may have bought it after whatever lookups came first: twice the
        list, and the rest of the lookup that was under way (a key that no filter can say reads the list of the other
        conditions), since it is left between two lookups.
        Another plan was chosen for what was known of the tables, which may be little: each list, without conditions, may
        cost twice, and a page more, in each of the scans that a guess has led to; and so where the cache is used, since
        what has been asked for until a list is bought is counted over statements. All of a dimension's queries together
        may not cost more than without it (complaints).
        """
        nodes = [line.strip(" ->") for line in plan if NODE not in line and "Keys a Request" not in line]
        # of a cursor another plan is made than of the statement alone
        cursor = any(step.sql.startswith("DECLARE") for step in query.steps)
        same = self.mode == "off" and not cursor and nodes == [line.strip(" ->") for line in self.plan(query, "off")]
        batches = 0 if query.whole else sum(self.target.pages_of(link) for link in query.links + query.turned)
        runs = sum(step.sql.startswith("EXECUTE") for step in query.steps) or 1
        lists = sum(2 * self.target.pages_in_all(link) for link in query.links)
        if same:
            bought = 3 * lists // 2 if without > lists // 2 else 0
            return max(without, bought * runs) + batches * runs
        return 2 * (max(2 * without, lists * runs) + (batches + len(query.links)) * runs)

    def run(self, query, way, below):
        """(requests, error or None, None or a Difference) of the query with the look-ahead on or off."""
        if self.mode == "cold":
            self.session.fetch("SELECT tpm_fdw_reset_cache()")
        before = self.target.requests()
        writes = query.main.startswith(("UPDATE", "DELETE", "MERGE", "INSERT"))
        query = Query(query.shape, query.steps, self.settings(query, way))
        foreign, local = self.session.run(query, self.target.foreign, self.target.local, self.actions)
        if writes:
            # what is rolled back makes the table larger, and the planner would believe it
            self.session.fetch("VACUUM common.keys_foreign, common.keys_local")
        policy = compare.Policy(errors=frozenset(compare.REFUSALS | ({"HV002"} if below else set())))
        return self.target.requests() - before, foreign.error, compare.compare_sides(query, foreign, local, policy)

    def plan(self, query, way):
        """The lines of EXPLAIN; none where it cannot be planned, which running it tells."""
        with self.session.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                for name, value in self.settings(query, way).items():
                    cursor.execute(f"SET LOCAL {name} = %s", (value,))
                cursor.execute("EXPLAIN (COSTS OFF) " + render(query.main, self.target.foreign, "foreign"))
                return [line for line, in cursor.fetchall()]
            except psycopg2.Error:
                return []
            finally:
                cursor.execute("ROLLBACK")

    def settings(self, query, way):
        return {**query.settings, **({SETTING: way} if self.known else {})}


def look(flavour, page_size):
    """For Dimension.open: tables of that flavour, pages of that size."""
    return lambda env: LookTarget(env, env.target(flavour, server={"page_size": str(page_size)}), page_size)


def judge(mode):
    """For Dimension.judge; `mode` says what the cache is like before each run."""
    return lambda target, session: Judge(target, session, mode)
