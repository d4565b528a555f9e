"""A query as data: its steps, how their answers are compared, and pieces all shapes share.

In every text `@S@` stands for the schema, foreign or local, and `@N@` for a suffix that
keeps names (of prepared statements, of cursors) of the two sides apart.
"""

from dataclasses import dataclass, field

import conditions

# How the answers of the two sides to a step are compared.
ORDERED = "ordered"      # the same rows in the same order: only under a total order
MULTISET = "multiset"    # the same rows in any order
SUBSET = "subset"        # as many rows, each one of `superset`: a LIMIT without a total order
RANKED = "ranked"        # SUBSET, and the first output column in the same order
GATHER = "gather"        # rows of all such steps together, as a multiset: a cursor's fetches
STATUS = "status"        # the command tag, for what returns no rows


@dataclass
class Step:
    """One statement and how its answer is compared.

    `superset` is the statement without its LIMIT. `held` puts the step after the COMMIT.
    `action` names something done to the foreign side instead of a statement: 'fill' or
    'reset' of the cache.
    """

    sql: str = ""
    compare: str = MULTISET
    superset: str = None
    held: bool = False
    action: str = None


@dataclass
class Query:
    """One comparison: the shape it was made by, its steps, the settings it runs under."""

    shape: str
    steps: list
    settings: dict = field(default_factory=dict)

    def text(self, schema, side):
        """All statements of the query for one side, for people to read and replay."""
        lines = []
        for step in self.steps:
            if step.action:
                lines.append(f"-- the cache: {step.action}")
            else:
                lines.append(render(step.sql, schema, side) + ";")
        return "\n".join(lines)


def render(sql, schema, side):
    """The statement for one side."""
    return sql.replace("@S@", schema).replace("@N@", side)


# Tables that people query most; others weigh 1.
WEIGHTS = {"third_parties": 8, "cases": 8, "engagements": 4, "parties": 3, "questionnaires": 3,
           "users": 2, "screening_hits": 2, "gifts": 2}


def pick_table(rng, model):
    """A table of the model, large ones less often than their weight says."""
    tables = model.tables
    weights = [WEIGHTS.get(t.name, 1) / (1 + t.rows / 1000) for t in tables]
    return rng.choices(tables, weights)[0]


def from_item(table, alias):
    return f"@S@.{table.name} {alias}"


def unique(alias, table):
    """The columns that tell every row of `table` from every other."""
    names = ["kind", "id"] if table.name == "parties" else ["id"]
    return [f'{alias}."{name}"' for name in names]


def projection(rng, alias, table, columns=None):
    """Some columns of `table`, in any order, at times an expression over one."""
    columns = list(columns or table.columns)
    chosen = rng.sample(columns, rng.randint(1, min(6, len(columns))))
    out = [f'{alias}."{c.name}"' for c in chosen]
    texts = [c for c in chosen if c.family == "text"]
    if texts and rng.random() < 0.15:
        out.append(f'length({alias}."{texts[0].name}")')
    return out


def where(rng, alias, table, depth=2, always=False):
    """A WHERE clause, or nothing now and then."""
    if not always and rng.random() < 0.1:
        return ""
    return f" WHERE {conditions.condition(rng, alias, table, depth)}"


def direction(rng):
    """What follows a sort key."""
    return rng.choice(["", "", "", " ASC", " DESC", " DESC", " NULLS FIRST", " DESC NULLS LAST"])


def sort_keys(rng, alias, table, most=2):
    """Some sort keys; times and ids, which an API can sort by, come up more often."""
    columns = table.orderable
    usual = [c for c in columns if c.name in ("updated_at", "created_at", "id", "risk_score")]
    keys = []
    for _ in range(rng.randint(0, most)):
        pool = usual if usual and rng.random() < 0.6 else columns
        keys.append(f'{alias}."{rng.choice(pool).name}"{direction(rng)}')
    return keys


def limit(rng):
    """A LIMIT in one of its spellings."""
    number = rng.choice([0, 1, 1, 2, 5, 10, 19, 20, 21, 40, 45, 1000])
    offset = rng.choice(["", "", f" OFFSET {rng.choice([0, 1, 7, 20, 50, 400])}"])
    return rng.choice([
        f" LIMIT {number}{offset}",
        f" LIMIT {number}{offset}",
        f"{offset} FETCH FIRST {number} ROWS ONLY",
        f" LIMIT (SELECT {number}){offset}",
        f" LIMIT NULL{offset}",
    ])


def finish(rng, shape, sql, keys, total):
    """The query `sql` with or without order and limit, compared as strictly as that allows.

    `keys` are sort keys of interest, `total` those that make the order total.
    """
    dice = rng.random()
    if dice < 0.35:
        return Query(shape, [Step(sql, MULTISET)])
    if dice < 0.45:
        return Query(shape, [Step(sql + limit(rng), SUBSET, superset=sql)])
    tail = [key if rng.random() < 0.7 else key + " DESC" for key in total]
    ordered = f"{sql} ORDER BY {', '.join(keys + tail)}"
    if rng.random() < 0.6:
        ordered += limit(rng)
    return Query(shape, [Step(ordered, ORDERED)])


def by_position(count):
    """Sort keys that name every output column."""
    return [str(position + 1) for position in range(count)]
