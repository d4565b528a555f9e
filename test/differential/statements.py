"""Queries that outlive one statement: prepared plans and cursors."""

import conditions
import literals
from query import (
    GATHER, MULTISET, ORDERED, STATUS, Query, Step, from_item, pick_table, projection, sort_keys,
    unique,
)

PARAMETER_TYPES = {"text": "text", "number": "numeric", "date": "date",
                   "timestamptz": "timestamptz", "boolean": "boolean"}


def _parameter_value(rng, column, array):
    """An argument of EXECUTE: no sub-query may stand there."""
    while True:
        value = literals.array_value(rng, column) if array else literals.value(rng, column)
        if "SELECT" not in value:
            break
    return "NULL" if rng.random() < 0.1 else value


def _parameters(rng, table):
    """(condition text, [(column, type, array?)]) with the placeholders $1, $2, ..."""
    parts, parameters = [], []
    for _ in range(rng.randint(1, 3)):
        column = conditions.interesting_column(rng, table)
        if column.family not in PARAMETER_TYPES:
            column = table.column("id")
        name = f'a."{column.name}"'
        number = len(parameters) + 1
        type_name = PARAMETER_TYPES[column.family]
        if rng.random() < 0.3:
            parts.append(f"{name} = ANY(${number})")
            parameters.append((column, type_name + "[]", True))
        elif rng.random() < 0.15:
            parts.append(f"(${number} IS NULL OR {name} = ${number})")
            parameters.append((column, type_name, False))
        else:
            operator = rng.choice(["=", "=", "=", "<>", "<", ">=", "IS DISTINCT FROM"])
            parts.append(f"{name} {operator} ${number}")
            parameters.append((column, type_name, False))
    if rng.random() < 0.4:
        parts.append(f"({conditions.condition(rng, 'a', table, 1)})")
    return rng.choice([" AND ", " AND ", " OR "]).join(parts), parameters


def _prepare(rng, model):
    """The PREPARE, how its answers compare, and a function that makes an EXECUTE."""
    table = pick_table(rng, model)
    condition, parameters = _parameters(rng, table)
    source = f"{from_item(table, 'a')} WHERE {condition}"
    order = ", ".join(sort_keys(rng, "a", table) + unique("a", table))
    text, compare = rng.choice([
        (f"SELECT {', '.join(projection(rng, 'a', table))} FROM {source}", MULTISET),
        (f"SELECT a.id FROM {source} ORDER BY {order} LIMIT {rng.choice([1, 5, 25])}", ORDERED),
        (f"SELECT a.id FROM {source} ORDER BY {order}", ORDERED),
        (f"SELECT count(*) FROM {source}", MULTISET),
        (f"SELECT p.n, a.id FROM common.probe p LEFT JOIN (SELECT * FROM {source}) a"
         " ON a.id = p.key", MULTISET),
    ])
    types = ", ".join(p[1] for p in parameters)

    def execute():
        values = [_parameter_value(rng, column, array) for column, _, array in parameters]
        return Step(f"EXECUTE p@N@({', '.join(values)})", compare)

    return Step(f"PREPARE p@N@({types}) AS {text}", STATUS), execute


def plan_mode(rng):
    """Custom plans, generic ones, or PostgreSQL's own choice (generic from the sixth on)."""
    return {"plan_cache_mode": rng.choice(["auto", "force_custom_plan", "force_generic_plan"])}


def prepared(rng, model):
    """One plan, several executions."""
    prepare, execute = _prepare(rng, model)
    settings = plan_mode(rng)
    count = 7 if settings["plan_cache_mode"] == "auto" else rng.randint(1, 3)
    return Query("prepared", [prepare] + [execute() for _ in range(count)], settings)


def filled_between(rng, model):
    """Planned while nothing is cached, executed before and after the cache is filled."""
    prepare, execute = _prepare(rng, model)
    steps = [Step(action="reset"), prepare]
    if rng.random() < 0.5:
        steps.append(execute())
    steps += [Step(action="fill"), execute(), execute()]
    return Query("filled_between", steps, plan_mode(rng))


def emptied_between(rng, model):
    """Planned while everything is cached, executed before and after the cache is emptied."""
    prepare, execute = _prepare(rng, model)
    steps = [Step(action="fill"), prepare]
    if rng.random() < 0.5:
        steps.append(execute())
    steps += [Step(action="reset"), execute(), execute()]
    return Query("emptied_between", steps, plan_mode(rng))


FORWARD = ["FETCH 1 FROM", "FETCH 5 FROM", "FETCH 30 FROM", "FETCH NEXT FROM", "FETCH FORWARD 20 FROM"]
ANYWHERE = FORWARD + [
    "FETCH BACKWARD 3 FROM", "FETCH PRIOR FROM", "FETCH LAST FROM", "FETCH FIRST FROM",
    "FETCH ABSOLUTE 4 FROM", "FETCH ABSOLUTE -2 FROM", "FETCH RELATIVE 2 FROM",
    "FETCH BACKWARD ALL FROM",
]
MOVES = ["MOVE 1 FROM", "MOVE 25 FROM", "MOVE FORWARD 3 FROM"]


def cursor(rng, model):
    """FETCH and MOVE, forwards or both ways, inside a transaction or beyond it."""
    table = pick_table(rng, model)
    out = ", ".join(projection(rng, "a", table))
    source = (f"SELECT {out} FROM {from_item(table, 'a')} "
              f"WHERE {conditions.condition(rng, 'a', table, 1)}")
    hold = rng.random() < 0.3
    word = "CURSOR WITH HOLD" if hold else "CURSOR"
    if rng.random() < 0.3:
        steps = [Step(f"DECLARE c@N@ NO SCROLL {word} FOR {source}", STATUS)]
        fetches = [rng.choice(FORWARD) for _ in range(rng.randint(1, 3))] + ["FETCH ALL FROM"]
        steps += [Step(f"{fetch} c@N@", GATHER, held=hold) for fetch in fetches]
        return Query("cursor", steps)
    order = ", ".join(sort_keys(rng, "a", table) + unique("a", table))
    scroll = rng.random() < 0.5
    scroll_word = "SCROLL" if scroll else rng.choice(["NO SCROLL", ""])
    steps = [Step(f"DECLARE c@N@ {scroll_word} {word} FOR {source} ORDER BY {order}", STATUS)]
    for _ in range(rng.randint(2, 6)):
        if rng.random() < 0.2:
            steps.append(Step(f"{rng.choice(MOVES)} c@N@", STATUS, held=hold))
        else:
            fetch = rng.choice(ANYWHERE if scroll else FORWARD)
            steps.append(Step(f"{fetch} c@N@", ORDERED, held=hold))
    if rng.random() < 0.5:
        steps.append(Step("FETCH ALL FROM c@N@", ORDERED, held=hold))
    steps.append(Step("CLOSE c@N@", STATUS, held=hold))
    return Query("cursor", steps)


SHAPES = [(prepared, 6), (cursor, 5)]
