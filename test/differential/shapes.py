"""Queries on one table at a time: selections, aggregates, windows, set operations."""

import conditions
import literals
from query import (
    ORDERED, RANKED, Query, Step, by_position, finish, from_item, limit, pick_table, projection,
    sort_keys, unique, where,
)


def select(rng, model):
    """Columns of some rows."""
    table = pick_table(rng, model)
    out = projection(rng, "a", table)
    sql = f"SELECT {', '.join(out)} FROM {from_item(table, 'a')}{where(rng, 'a', table, 3)}"
    return finish(rng, "select", sql, sort_keys(rng, "a", table), unique("a", table))


def whole_row(rng, model):
    """The row as a value, and no column at all."""
    table = pick_table(rng, model)
    out = rng.choice(["a.*", "a", "a::text", "a IS NULL, a.id", "1", "NULL::text"])
    sql = f"SELECT {out} FROM {from_item(table, 'a')}{where(rng, 'a', table)}"
    return finish(rng, "whole_row", sql, [], unique("a", table))


def by_id(rng, model):
    """What applications ask: one resource, or a few, by id or by relationship."""
    table = pick_table(rng, model)
    names = [c for c in table.columns if c.name == "id" or c.name.endswith("_id")]
    column = rng.choice([table.column("id")] + names)
    name = f'a."{column.name}"'
    value = literals.text_value(rng, column)
    condition = rng.choice([
        f"{name} = {value}",
        f"{value} = {name}",
        f"{name} IN ({conditions.in_list(rng, column)})",
        f"{name} = ANY({literals.array_value(rng, column)})",
        f"{name} = ANY(ARRAY(SELECT key FROM common.probe WHERE n <= {rng.randint(0, 30)}))",
        f"{name} = (SELECT key FROM common.probe WHERE n = {rng.randint(1, 40)})",
        f"{name} = {value} AND {conditions.condition(rng, 'a', table, 1)}",
        f"{name} = {value} OR {conditions.condition(rng, 'a', table, 0)}",
    ])
    out = projection(rng, "a", table)
    sql = f"SELECT {', '.join(out)} FROM {from_item(table, 'a')} WHERE {condition}"
    return finish(rng, "by_id", sql, [], unique("a", table))


def top(rng, model):
    """The newest, the oldest, the riskiest: an order with ties, and a limit."""
    table = pick_table(rng, model)
    column = rng.choice(table.of_family("timestamptz", "date", "number") or table.orderable)
    others = ", ".join(projection(rng, "a", table) + unique("a", table))
    key = f'a."{column.name}"'
    sql = f"SELECT {key}, {others} FROM {from_item(table, 'a')}{where(rng, 'a', table)}"
    word = rng.choice(["", " DESC", " DESC", " DESC NULLS LAST", " NULLS FIRST"])
    step = Step(f"{sql} ORDER BY {key}{word}{limit(rng)}", RANKED, superset=sql)
    return Query("top", [step])


def distinct(rng, model):
    """DISTINCT and DISTINCT ON."""
    table = pick_table(rng, model)
    if rng.random() < 0.3:
        key = f'a."{rng.choice(table.orderable).name}"'
        order = ", ".join([key] + sort_keys(rng, "a", table, 1) + unique("a", table))
        sql = (f"SELECT DISTINCT ON ({key}) {key}, a.id FROM {from_item(table, 'a')}"
               f"{where(rng, 'a', table)} ORDER BY {order}")
        return Query("distinct", [Step(sql, ORDERED)])
    out = projection(rng, "a", table, table.orderable)[:3]
    sql = f"SELECT DISTINCT {', '.join(out)} FROM {from_item(table, 'a')}{where(rng, 'a', table)}"
    return finish(rng, "distinct", sql, [], by_position(len(out)))


def aggregates(rng, alias, table):
    """Some aggregates whose value does not depend on the order of the rows."""
    # Arrays are left out: array_agg refuses some of them depending on their lengths.
    scalars = [c for c in table.orderable if c.family != "array"]
    column = f'{alias}."{rng.choice(scalars).name}"'
    ident = f'{alias}."id"'
    pool = [
        "count(*)", "count(*)", "count(1)", f"count({column})", f"count(DISTINCT {column})",
        f"min({ident})", f"max({ident})",
        f"string_agg({ident}, ',' ORDER BY {ident})",
        f"array_agg(DISTINCT {column} ORDER BY {column})",
        f"count(*) FILTER (WHERE {conditions.condition(rng, alias, table, 1)})",
        f"bool_or({conditions.condition(rng, alias, table, 0)})",
    ]
    for number in table.of_family("number"):
        name = f'{alias}."{number.name}"'
        pool += [f"sum({name})", f"round(avg({name}), 3)", f"max({name})",
                 f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {name})"]
    for time in table.of_family("timestamptz", "date"):
        name = f'{alias}."{time.name}"'
        pool += [f"min({name})", f"max({name})"]
    return rng.sample(pool, rng.randint(1, 4))


def grouped(rng, model):
    """GROUP BY with HAVING, and grouping sets."""
    table = pick_table(rng, model)
    keys = []
    for column in rng.sample(table.orderable, min(rng.randint(1, 2), len(table.orderable))):
        name = f'a."{column.name}"'
        if column.family == "timestamptz":
            name = f"date_trunc('{rng.choice(['day', 'month', 'quarter', 'year'])}', {name})"
        keys.append(name)
    grouping = rng.choice([", ".join(keys)] * 4 + [f"ROLLUP ({', '.join(keys)})"])
    sql = (f"SELECT {', '.join(keys + aggregates(rng, 'a', table))} FROM {from_item(table, 'a')}"
           f"{where(rng, 'a', table)} GROUP BY {grouping}")
    if rng.random() < 0.3:
        sql += f" HAVING count(*) {rng.choice(['>', '=', '<='])} {rng.randint(1, 20)}"
    if "ROLLUP" in grouping:
        return Query("grouped", [Step(sql)])
    return finish(rng, "grouped", sql, [], by_position(len(keys)))


def aggregate(rng, model):
    """Aggregates over everything that a condition leaves."""
    table = pick_table(rng, model)
    sql = (f"SELECT {', '.join(aggregates(rng, 'a', table))} FROM {from_item(table, 'a')}"
           f"{where(rng, 'a', table)}")
    return Query("aggregate", [Step(sql)])


def counted(rng, model):
    """count(*) in all its guises: this is what a plan may answer from a total."""
    table = pick_table(rng, model)
    column = rng.choice(table.columns).name
    what = rng.choice(["count(*)", "count(*)", "count(1)", 'count(a."id")', f'count(a."{column}")',
                       "count(*) > 0", "count(*), count(*) + 1"])
    source = from_item(table, "a") + where(rng, "a", table, rng.choice([0, 0, 1, 2]))
    sql = f"SELECT {what} FROM {source}"
    if rng.random() < 0.3:
        other = pick_table(rng, model)
        both = (f"SELECT a.id FROM {source} UNION ALL "
                f"SELECT b.id FROM {from_item(other, 'b')}{where(rng, 'b', other, 1)}")
        sql = f"SELECT count(*), count(DISTINCT id) FROM ({both}) u"
    elif rng.random() < 0.2:
        sql += f" HAVING count(*) > {rng.randint(0, 50)}"
    elif rng.random() < 0.2:
        sql = f"SELECT ({sql.replace(what, 'count(*)')}) AS n, now() > '2020-01-01'"
    return Query("counted", [Step(sql)])


def extremes(rng, model):
    """min and max, which the planner may turn into ordered scans with a limit."""
    table = pick_table(rng, model)
    columns = table.of_family("timestamptz", "number", "date", "text")
    name = f'a."{rng.choice(columns).name}"'
    what = rng.choice([f"max({name})", f"min({name})", f"min({name}), max({name})"])
    sql = f"SELECT {what} FROM {from_item(table, 'a')}{where(rng, 'a', table)}"
    return Query("extremes", [Step(sql)])


def window(rng, model):
    """Window functions under a total order."""
    table = pick_table(rng, model)
    part = f'a."{rng.choice(table.orderable).name}"'
    order = ", ".join(sort_keys(rng, "a", table, 1) + unique("a", table))
    function = rng.choice([
        f"row_number() OVER (PARTITION BY {part} ORDER BY {order})",
        f"lag(a.id) OVER (ORDER BY {order})",
        f"first_value(a.id) OVER (PARTITION BY {part} ORDER BY {order})",
        f"count(*) OVER (PARTITION BY {part})",
        "count(*) OVER ()",
        f"ntile(4) OVER (ORDER BY {order})",
        f"count({part}) OVER (ORDER BY {order} ROWS 2 PRECEDING)",
    ])
    sql = f"SELECT a.id, {part}, {function} FROM {from_item(table, 'a')}{where(rng, 'a', table)}"
    return finish(rng, "window", sql, [], unique("a", table))


def set_operation(rng, model):
    """UNION ALL and its kin over two tables."""
    sides = []
    for alias in ("a", "b"):
        table = pick_table(rng, model)
        text = rng.choice(table.of_family("text")).name
        sides.append(f'SELECT {alias}.id, {alias}."{text}" FROM {from_item(table, alias)}'
                     f"{where(rng, alias, table)}")
    word = rng.choice(["UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL"])
    sql = f"{sides[0]} {word} {sides[1]}"
    return finish(rng, "set_operation", sql, [], by_position(2))


def ordered_union(rng, model):
    """UNION ALL of the same columns under one order: a MergeAppend if the scans are ordered."""
    first = pick_table(rng, model)
    names = [n for n in ("updated_at", "created_at") if n in {c.name for c in first.columns}]
    name = rng.choice(names or ["id"])
    tables = [first] + [t for t in model.tables if name in {c.name for c in t.columns}]
    second = rng.choice(tables)
    parts = [f'SELECT {alias}."{name}" AS k, {alias}.id FROM {from_item(table, alias)}'
             f"{where(rng, alias, table, 1)}"
             for alias, table in (("a", first), ("b", second))]
    order = rng.choice(["k, id", "k DESC, id", "k DESC NULLS LAST, id DESC"])
    sql = f"SELECT * FROM ({' UNION ALL '.join(parts)}) u ORDER BY {order}{limit(rng)}"
    return Query("ordered_union", [Step(sql, ORDERED)])


def common_table(rng, model):
    """WITH, folded in or materialized, used once or twice."""
    table = pick_table(rng, model)
    word = rng.choice(["", "MATERIALIZED ", "NOT MATERIALIZED "])
    text = rng.choice(table.of_family("text")).name
    inner = f'SELECT a.id, a."{text}" AS t FROM {from_item(table, "a")}{where(rng, "a", table)}'
    outer = rng.choice([
        "SELECT * FROM x WHERE t IS NOT NULL",
        "SELECT t, count(*) FROM x GROUP BY t",
        "SELECT p.id, q.t FROM x p JOIN x q ON p.id = q.id",
        "SELECT (SELECT count(*) FROM x), (SELECT max(t) FROM x)",
        "SELECT id FROM x WHERE t = (SELECT min(t) FROM x)",
    ])
    return Query("common_table", [Step(f"WITH x AS {word}({inner}) {outer}")])


SHAPES = [
    (select, 10), (by_id, 5), (top, 5), (whole_row, 2), (distinct, 2), (grouped, 4),
    (aggregate, 4), (counted, 4), (extremes, 2), (window, 2), (set_operation, 2),
    (ordered_union, 2), (common_table, 2),
]
