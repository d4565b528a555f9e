"""Queries on several tables: joins of every kind, LATERAL, EXISTS, sub-queries."""

import conditions
from query import Query, Step, by_position, finish, from_item, projection, unique, where


def _key(rng, model):
    """A foreign key: the referencing table, its column, the referenced table."""
    known = [k for k in model.keys if model.table(k[0]).rows * model.table(k[2]).rows < 3_000_000]
    weights = [4 if k[0] in ("third_parties", "cases", "engagements") else 1 for k in known]
    name, column, referenced = rng.choices(known, weights)[0]
    return model.table(name), column, model.table(referenced)


def _conditions(rng, pairs):
    """A WHERE clause over some of the (alias, table) pairs."""
    parts = [f"({conditions.condition(rng, alias, table, 1)})"
             for alias, table in pairs if rng.random() < 0.6]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def two_tables(rng, model):
    """Inner, left, right and full joins along a relationship, in either order."""
    child, column, parent = _key(rng, model)
    kind = rng.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    link = f'a."{column}" = b.id'
    if kind != "FULL JOIN" and rng.random() < 0.3:
        alias, table = rng.choice([("a", child), ("b", parent)])
        link += f" AND ({conditions.condition(rng, alias, table, 1)})"
    pair = [from_item(child, "a"), from_item(parent, "b")]
    if rng.random() < 0.5:
        pair.reverse()
    out = projection(rng, "a", child)[:3] + projection(rng, "b", parent)[:3]
    sql = (f"SELECT {', '.join(out)} FROM {pair[0]} {kind} {pair[1]} ON {link}"
           f"{_conditions(rng, [('a', child), ('b', parent)])}")
    return finish(rng, "two_tables", sql, [], unique("a", child) + unique("b", parent))


def three_tables(rng, model):
    """A chain or a star of three tables."""
    child, column, parent = _key(rng, model)
    others = [k for k in model.keys_of(child.name) if k[1] != column]
    if not others:
        return two_tables(rng, model)
    _, second, third_name = rng.choice(others)
    third = model.table(third_name)
    kinds = [rng.choice(["JOIN", "LEFT JOIN"]) for _ in range(2)]
    out = ["a.id"] + projection(rng, "b", parent)[:2] + projection(rng, "c", third)[:2]
    sql = (f"SELECT {', '.join(out)} FROM {from_item(child, 'a')} "
           f'{kinds[0]} {from_item(parent, "b")} ON a."{column}" = b.id '
           f'{kinds[1]} {from_item(third, "c")} ON c.id = a."{second}"'
           f"{_conditions(rng, [('a', child), ('b', parent), ('c', third)])}")
    total = unique("a", child) + unique("b", parent) + unique("c", third)
    return finish(rng, "three_tables", sql, [], total)


def siblings(rng, model):
    """Two scans of one table, joined on an attribute or on the id."""
    child, column, _ = _key(rng, model)
    name = rng.choice([column, "id", "id"])
    link = f'a."{name}" = b."{name}"' + rng.choice(["", " AND a.id <= b.id", " AND a.id <> b.id"])
    pairs = [("a", child), ("b", child)]
    restrict = " AND ".join(f"({conditions.condition(rng, alias, table, 1)})"
                            for alias, table in pairs)
    sql = (f"SELECT a.id, b.id FROM {from_item(child, 'a')} JOIN {from_item(child, 'b')} ON {link}"
           f" WHERE {restrict}")
    return finish(rng, "siblings", sql, [], ["1", "2"])


def semi(rng, model):
    """EXISTS, IN, and their negations, NOT IN with its NULLs included."""
    child, column, parent = _key(rng, model)
    alias, table = rng.choice([("a", child), ("b", parent)])
    inner_alias, inner = ("b", parent) if alias == "a" else ("a", child)
    link = f'a."{column}" = b.id'
    outer_key, inner_key = (f'a."{column}"', "b.id") if alias == "a" else ("b.id", f'a."{column}"')
    inside = conditions.condition(rng, inner_alias, inner, 1)
    inner_from = from_item(inner, inner_alias)
    test = rng.choice([
        f"EXISTS (SELECT FROM {inner_from} WHERE {link} AND ({inside}))",
        f"NOT EXISTS (SELECT 1 FROM {inner_from} WHERE {link} AND ({inside}))",
        f"{outer_key} IN (SELECT {inner_key} FROM {inner_from} WHERE {inside})",
        f"{outer_key} NOT IN (SELECT {inner_key} FROM {inner_from} WHERE {inside})",
        f"{outer_key} = ANY(ARRAY(SELECT {inner_key} FROM {inner_from} WHERE {inside}))",
        f"EXISTS (SELECT FROM {inner_from} WHERE {inside})",
    ])
    out = projection(rng, alias, table)
    more = f" AND ({conditions.condition(rng, alias, table, 1)})" if rng.random() < 0.5 else ""
    sql = f"SELECT {', '.join(out)} FROM {from_item(table, alias)} WHERE {test}{more}"
    return finish(rng, "semi", sql, [], unique(alias, table))


def with_local(rng, model):
    """A foreign table and an ordinary one that both sides share."""
    child, column, _ = _key(rng, model)
    name = rng.choice([column, "id"])
    kind = rng.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    pair = [from_item(child, "a"), "common.probe p"]
    if rng.random() < 0.5:
        pair.reverse()
    out = projection(rng, "a", child)[:3] + ["p.n", "p.key"]
    sql = f'SELECT {", ".join(out)} FROM {pair[0]} {kind} {pair[1]} ON a."{name}" = p.key'
    parts = [f"p.n <= {rng.choice([0, 1, 3, 10, 40])}"] if rng.random() < 0.5 else []
    if rng.random() < 0.5:
        parts.append(f"({conditions.condition(rng, 'a', child, 1)})")
    if parts:
        sql += " WHERE " + " AND ".join(parts)
    return finish(rng, "with_local", sql, [], unique("a", child) + ["p.n"])


def lateral(rng, model):
    """For each of a few rows, the first rows of another table that belong to it."""
    child, column, parent = _key(rng, model)
    order = rng.choice(["a.id", "a.id DESC"])
    if child.column("id") and child.of_family("timestamptz"):
        order = f'a."{child.of_family("timestamptz")[0].name}" DESC, a.id'
    inside = conditions.condition(rng, "a", child, 1) if rng.random() < 0.5 else "true"
    count = rng.choice([1, 2, 5])
    kind = rng.choice(["JOIN", "LEFT JOIN"])
    if rng.random() < 0.5:
        outer, key, total = "(SELECT * FROM common.probe WHERE n <= 6) o", "o.key", ["o.n"]
    else:
        ids = ", ".join(f"'{v}'" for v in rng.sample(parent.column("id").values[:50], 3)
                        if "'" not in v) if parent.rows > 3 else "'1'"
        outer = f"(SELECT * FROM {from_item(parent, 'b')} WHERE b.id IN ({ids})) o"
        key, total = "o.id", ["o.id"]
        times, theirs = child.of_family("timestamptz"), parent.of_family("timestamptz")
        if times and theirs and rng.random() < 0.6:
            # a bound that changes with each outer row ends the list elsewhere each time
            inside += (f' AND a."{rng.choice(times).name}" {rng.choice(["<", "<=", ">", ">="])}'
                       f' o."{rng.choice(theirs).name}"')
            if rng.random() < 0.5:
                column, key = "id", f'ANY(ARRAY[{", ".join(repr(str(n)) for n in range(1, 60))}])'
    sub = (f'SELECT a.* FROM {from_item(child, "a")} WHERE a."{column}" = {key} AND ({inside})'
           f" ORDER BY {order} LIMIT {count}")
    sql = f"SELECT {total[0]}, s.* FROM {outer} {kind} LATERAL ({sub}) s ON true"
    return finish(rng, "lateral", sql, [], total + ["s.id"])


def scalar(rng, model):
    """Sub-queries in the select list of a few rows, and as values of a condition."""
    child, column, parent = _key(rng, model)
    inside = conditions.condition(rng, "a", child, 1) if rng.random() < 0.5 else "true"
    if rng.random() < 0.5:
        sub = rng.choice([
            f'SELECT count(*) FROM {from_item(child, "a")} WHERE a."{column}" = b.id AND ({inside})',
            f'SELECT max(a.id) FROM {from_item(child, "a")} WHERE a."{column}" = b.id',
            f'SELECT a.id FROM {from_item(child, "a")} WHERE a."{column}" = b.id'
            " ORDER BY a.id LIMIT 1",
        ])
        few = f"SELECT * FROM {from_item(parent, 'x')} ORDER BY x.id LIMIT {rng.randint(1, 5)}"
        sql = f"SELECT b.id, ({sub}) FROM ({few}) b"
        return Query("scalar", [Step(sql)])
    sql = (f"SELECT b.id FROM {from_item(parent, 'b')} WHERE b.id "
           f'{rng.choice(["=", ">", "<="])} (SELECT {rng.choice(["max", "min"])}(a."{column}") '
           f"FROM {from_item(child, 'a')} WHERE {inside})")
    return finish(rng, "scalar", sql, [], ["b.id"])


def derived(rng, model):
    """A grouped sub-query joined to what it counts."""
    child, column, parent = _key(rng, model)
    sub = (f'SELECT a."{column}" AS k, count(*) AS n, min(a.id) AS low FROM {from_item(child, "a")}'
           f'{where(rng, "a", child)} GROUP BY a."{column}"')
    kind = rng.choice(["JOIN", "LEFT JOIN", "FULL JOIN"])
    sql = f"SELECT b.id, g.k, g.n, g.low FROM {from_item(parent, 'b')} {kind} ({sub}) g ON g.k = b.id"
    return finish(rng, "derived", sql, [], by_position(4))


SHAPES = [
    (two_tables, 6), (three_tables, 2), (siblings, 2), (semi, 5), (with_local, 4), (lateral, 3),
    (scalar, 2), (derived, 2),
]
