"""Random conditions on one table: every spelling of a comparison that SQL users write.

None can fail for one row and not for another: PostgreSQL may check conditions in
any order, so an error that depends on the row would be a difference of nobody's making.
"""

import literals

COMPARISONS = ["=", "=", "=", "<>", "<", "<=", ">", ">="]
COMMUTED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

CONSTANT = [
    "true", "false", "NULL::boolean", "1 = 1", "1 = 0",
    "current_setting('server_version_num')::int > 0",
    "current_setting('application_name') = 'nobody'",
]


def like_pattern(rng, column):
    """A LIKE pattern around a value that is in the data, its own wildcards quoted."""
    text = literals.real_text(rng, column)
    start = rng.randrange(len(text)) if text else 0
    part = text[start:start + rng.randint(1, 6)]
    for wildcard in "\\%_":
        part = part.replace(wildcard, "\\" + wildcard)
    form = rng.choice(["{}%", "%{}%", "%{}", "{}", "_{}%", "{}_"])
    return literals.quote(form.format(part))


def in_list(rng, column):
    """The inside of IN (...), with NULLs and repetitions."""
    values = [literals.value(rng, column) for _ in range(rng.choice([1, 2, 2, 3, 4, 8, 25]))]
    if rng.random() < 0.3:
        values.append(rng.choice(values))
    if rng.random() < 0.25:
        values.insert(rng.randrange(len(values) + 1), "NULL")
    return ", ".join(values)


def _comparison(rng, name, column):
    """Column and value with an operator, in either order."""
    operator = rng.choice(COMPARISONS)
    operand = literals.value(rng, column)
    if rng.random() < 0.3:
        return f"{operand} {COMMUTED[operator]} {name}"
    return f"{name} {operator} {operand}"


def _between(rng, name, column):
    low, high = literals.value(rng, column), literals.value(rng, column)
    word = rng.choice(["BETWEEN", "BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN"])
    return f"{name} {word} {low} AND {high}"


def _half_open(rng, name, column):
    """The range that reports ask for: from a value on, up to another."""
    low, high = literals.value(rng, column), literals.value(rng, column)
    return f"{name} >= {low} AND {name} < {high}"


def _in(rng, name, column):
    return f"{name} {rng.choice(['IN', 'IN', 'NOT IN'])} ({in_list(rng, column)})"


def _any(rng, name, column):
    array = literals.array_value(rng, column)
    return f"{name} {rng.choice(['= ANY', '= ANY', '<> ALL', '<> ANY', '= ALL'])}({array})"


def _null_test(rng, name, column):
    return f"{name} IS {rng.choice(['', 'NOT '])}NULL"


def _null_comparison(rng, name, column):
    return f"{name} {rng.choice(['=', '<>'])} NULL"


def _distinct(rng, name, column):
    operand = rng.choice([literals.value(rng, column), "NULL"])
    return f"{name} IS {rng.choice(['', 'NOT '])}DISTINCT FROM {operand}"


def _or_of_equals(rng, name, column):
    parts = [f"{name} = {literals.value(rng, column)}" for _ in range(rng.randint(2, 4))]
    return "(" + " OR ".join(parts) + ")"


def _sub_select(rng, name, column):
    """A value known only at run time."""
    operand = literals.value(rng, column)
    if column.family in ("text", "date", "timestamptz"):
        operand = f"({operand})::{column.family}"
    return f"{name} {rng.choice(['=', '=', '<', '>='])} (SELECT {operand})"


ANY_FAMILY = [
    _comparison, _comparison, _comparison, _comparison, _between, _half_open, _in, _in, _any,
    _any, _null_test, _null_comparison, _distinct, _or_of_equals, _sub_select,
]


def _like(rng, name, column):
    operator = rng.choice(["LIKE", "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"])
    return f"{name} {operator} {like_pattern(rng, column)}"


def _text_cast(rng, name, column):
    operand = literals.value(rng, column)
    plain = literals.quote(literals.real_text(rng, column))
    return rng.choice([
        f"{name}::varchar = {operand}",
        f"{name}::varchar(5) = {operand}",
        f"{name} = {operand}::varchar",
        f"{name} = {operand}::name",
        f"{name} = {plain}::char(12)",
        f"{name}::bpchar = {plain}::char(12)",
        f"{name}::text = {operand}",
        f"{name}::text IN ({operand}, {plain})",
        f"({name})::varchar IN ({operand}, {plain})",
        f'{name} = {operand} COLLATE "C"',
        f'{name} < {operand} COLLATE "C"',
    ])


def _text_function(rng, name, column):
    operand = literals.value(rng, column)
    return rng.choice([
        f"lower({name}) = lower({operand})",
        f"coalesce({name}, '') = {operand}",
        f"{name} || '' = {operand}",
        f"length({name}) > {rng.randint(0, 30)}",
        f"starts_with({name}, {operand})",
        f"{name} ^@ {operand}",
        f"position({operand} in {name}) > 0",
        f"nullif({name}, {operand}) IS NULL",
        f"trim({name}) = {operand}",
        f"md5({name}) < '8'",
    ])


def _number(rng, name, column):
    operand = literals.value(rng, column)
    return rng.choice([
        f"{name} + 1 > {operand}",
        f"-{name} < {operand}",
        f"{name}::text = {literals.quote(literals.real_text(rng, column))}",
        f"{name}::float8 = {operand}",
        f"{name}::numeric >= {operand}",
        f"coalesce({name}, 0) = {operand}",
        f"abs({name}) <= {operand}",
    ])


def _time(rng, name, column):
    operand = literals.value(rng, column)
    return rng.choice([
        f"date_trunc('month', {name}) = date_trunc('month', ({operand})::timestamptz)",
        f"extract(year FROM {name}) = {rng.randint(2019, 2027)}",
        f"{name}::date = ({operand})::date",
        f"{name} + interval '1 day' > {operand}",
        f"{name} > now() - interval '{rng.choice([1, 7, 30, 90, 365, 1000])} days'",
        f"now() - interval '{rng.choice([30, 90, 365])} days' >= {name}",
        f"{name} >= current_date - {rng.choice([1, 30, 400])}",
        f"{name} < localtimestamp - interval '{rng.choice([1, 10, 24])} months'",
        f"{name} > (SELECT max(seen) FROM common.watermark)",
        f"{name} >= (SELECT min(seen) FROM common.watermark) AND {name} < now()",
    ])


def _other_type(rng, name, column):
    """A bound that is no timestamptz, and one that none can be."""
    value = rng.choice(["date '2026-01-15'", "date '2025-03-30'", "timestamp '2025-10-26 02:30:00.25'", "current_date - 200",
                        "date '300000-01-01'", "date '4000-01-01 BC'", "date 'infinity'", "timestamp '-infinity'"])
    operator = rng.choice(["<", "<=", ">", ">="])
    value = rng.choice([value, f"(SELECT {value})"])
    return rng.choice([f"{name} {operator} {value}", f"{value} {operator} {name}"])


def _equalities(rng, name, column):
    """Two on one column, which exclude each other or not."""
    value = literals.value(rng, column)
    return rng.choice([f"{name} IN ({value}, {in_list(rng, column)})", f"({name} = {value} OR {name} = {literals.value(rng, column)})",
                       f"{name} = {value}"]) + f" AND {name} IN ({in_list(rng, column)}, {rng.choice([value, 'NULL'])})"


def _boolean(rng, name, column):
    return rng.choice([
        name, f"NOT {name}", f"{name} IS TRUE", f"{name} IS NOT TRUE", f"{name} IS FALSE",
        f"{name} IS NOT FALSE", f"{name} IS UNKNOWN", f"{name} IS NOT UNKNOWN",
        f"{name} = true", f"false = {name}", f"{name} <> true", f"{name} = NULL",
        f"{name} IN (true, NULL)", f"{name} IS DISTINCT FROM false", f"coalesce({name}, false)",
        f"{name} = 'yes'", f"{name}::text = 'true'", f"{name} > false", f"{name} >= (1 = 1)",
    ])


def _array(rng, name, column):
    lists = column.values or ["{}"]
    sample = literals.quote(rng.choice(lists))
    element = literals.quote(rng.choice(lists).strip("{}").split(",")[0].strip('"'))
    return rng.choice([
        f"{element} = ANY({name})",
        f"{element} <> ALL({name})",
        f"{name} @> ARRAY[{element}]",
        f"{name} && ARRAY[{element}, 'none']",
        f"{name} <@ {sample}::text[]",
        f"{name} = {sample}::text[]",
        f"{name} = '{{}}'",
        f"cardinality({name}) > {rng.randint(0, 3)}",
        f"{name}[1] = {element}",
        f"{name} IS {rng.choice(['', 'NOT '])}NULL",
    ])


def _jsonb(rng, name, column):
    return rng.choice([
        f"{name} IS {rng.choice(['', 'NOT '])}NULL",
        f"{name} @> '[]'",
        f"{name} = '[]'",
        f"{name} @> '[{{\"term\": \"Annual spend\"}}]'",
        f"{name}->0->>'term' = 'Annual spend'",
        f"{name}->0->'value'->>0 > '5'",
        f"jsonb_typeof({name}) = 'array'",
        f"{name} @? '$[*] ? (@.term like_regex \"^A\")'",
        f"length({name}::text) > {rng.randint(0, 200)}",
    ])


OF_FAMILY = {
    "text": ANY_FAMILY + [_equalities, _like, _like, _text_cast, _text_cast, _text_function],
    "number": ANY_FAMILY + [_number, _number],
    "date": ANY_FAMILY,
    "timestamptz": ANY_FAMILY + [_other_type] * 2 + [_time] * 5,
    "boolean": [_boolean] * 5 + [_in, _any],
    "array": [_array],
    "jsonb": [_jsonb],
}


def on_column(rng, alias, column):
    """One condition on one column."""
    return rng.choice(OF_FAMILY[column.family])(rng, f'{alias}."{column.name}"', column)


def interesting_column(rng, table):
    """A column of `table`; those that an API can filter or sort by come up more often."""
    preferred = [c for c in table.columns
                 if c.name in ("id", "status", "approval_status", "stage", "country", "open",
                               "risk_rating", "updated_at", "created_at", "name", "scope")
                 or c.name.endswith("_id")]
    if preferred and rng.random() < 0.6:
        return rng.choice(preferred)
    return rng.choice(table.columns)


def _two_columns(rng, alias, table):
    """A condition between two columns, or on a row value, of one table."""
    texts = table.of_family("text")
    first, second = rng.choice(texts), rng.choice(texts)
    a, b = f'{alias}."{first.name}"', f'{alias}."{second.name}"'
    return rng.choice([
        f"{a} = {b}",
        f"{a} IS DISTINCT FROM {b}",
        f"{a} < {b}",
        f"({a}, {b}) = ({literals.value(rng, first)}, {literals.value(rng, second)})",
        f"({a}, {b}) IN (({literals.value(rng, first)}, {literals.value(rng, second)}), ('1', '2'))",
        f"coalesce({a}, {b}) = {literals.value(rng, first)}",
        f"CASE WHEN {a} IS NULL THEN {b} = {literals.value(rng, second)} ELSE true END",
    ])


def condition(rng, alias, table, depth=2):
    """A nest of AND, OR and NOT, at most `depth` deep."""
    dice = rng.random()
    if depth == 0 or dice < 0.45:
        kind = rng.random()
        if kind < 0.04:
            return rng.choice(CONSTANT)
        if kind < 0.12:
            return _two_columns(rng, alias, table)
        return on_column(rng, alias, interesting_column(rng, table))
    if dice < 0.55:
        return f"NOT ({condition(rng, alias, table, depth - 1)})"
    word = " AND " if dice < 0.82 else " OR "
    parts = [f"({condition(rng, alias, table, depth - 1)})" for _ in range(rng.choice([2, 2, 3]))]
    return word.join(parts)
