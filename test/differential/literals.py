"""Values for conditions: real ones from the data, near misses, and traps.

A value that is in the data is needed to get rows at all; a trap is a value for which the
API's idea of equality and SQL's differ, or which a query string cannot carry unharmed.
"""

TEXT_TRAPS = [
    "", " ", "null", "NULL", "Null", "true", ",", "a,b", "Active,Inactive", "Active, Inactive",
    " Active", "Active ", "active", "ACTIVE", "Activ", "Active\u00a0", "%", "%25", "_", "a%b",
    "[x]", "filter[status]", "&status=Active", "#", "?", "/", "..", "a+b", "a b", "a=b", "\\",
    "\\\\", "'", "''", '"', "O'Neil & Sons", "{}", "{a,b}", "-1", "0", "00", "1", "01", "1.0",
    "Müller", "Mu\u0308ller", "ß", "SS", "İ", "日本", "株式会社", "Газ", "شركة", "😀", "\u200b",
    "\t", "\n", "x" * 300, "é" * 2500,
]

NUMBER_TRAPS = [
    "0", "-0", "1", "1.0", "40", "40.0", "40.00", "4e1", "0.1", "-1", "99999999999", "1e100",
    "'NaN'::numeric", "2147483647", "2147483648::bigint", "40::float8", "40.0::numeric",
    "40::smallint", "40::real",
]

DATE_TRAPS = [
    "date '0001-01-01'", "date '9999-12-31'", "date 'infinity'", "date '-infinity'",
    "date '2024-02-29'", "current_date", "(current_date + 60)", "(current_date - 30)",
]

TIME_TRAPS = [
    "timestamptz 'infinity'", "timestamptz '-infinity'", "timestamptz '0001-01-01 00:00:00+00 BC'",
    "timestamptz '2024-01-01'", "timestamptz '2024-03-31 02:30:00+01'", "now()",
    "(now() - interval '1 day')", "(now() - interval '30 days')", "(now() - interval '1 year')",
    "(current_date - 30)", "(localtimestamp - interval '90 days')",
    "(SELECT max(seen) FROM common.watermark)", "(SELECT min(seen) FROM common.watermark)",
]


def quote(text):
    """`text` as an SQL literal under any standard_conforming_strings."""
    if "\\" in text:
        return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"


def real_text(rng, column):
    """The plain text of a value of `column`, or of a trap where it holds none."""
    return rng.choice(column.values) if column.values else rng.choice(TEXT_TRAPS)


def text_value(rng, column):
    """An SQL literal to compare a text column with."""
    dice = rng.random()
    if dice < 0.70 and column.values:
        return quote(rng.choice(column.values))
    if dice < 0.85 and column.values:
        value = rng.choice(column.values)
        changes = [value.upper(), value.lower(), value + " ", " " + value, value[:-1],
                   value + ",", value + "%", value + ",null"]
        return quote(rng.choice(changes))
    return quote(rng.choice(TEXT_TRAPS))


def number_value(rng, column):
    """An SQL literal to compare a numeric column with, in one of its spellings."""
    if rng.random() < 0.75 and column.values:
        value = rng.choice(column.values)
        spellings = [value, value, value, f"{value}::numeric", f"({value})"]
        spellings.append(value + "0" if "." in value else value + ".0")
        spelling = rng.choice(spellings)
    else:
        spelling = rng.choice(NUMBER_TRAPS)
    return f"({spelling})" if spelling.startswith("-") else spelling


def date_value(rng, column):
    """An SQL expression to compare a date column with."""
    dice = rng.random()
    if dice < 0.7 and column.values:
        value = rng.choice(column.values)
        return rng.choice([f"'{value}'", f"date '{value}'", f"(date '{value}' + 1)",
                           f"timestamptz '{value} 00:00:00+00'", f"timestamp '{value} 12:00:00'"])
    return rng.choice(DATE_TRAPS)


def time_value(rng, column):
    """An SQL expression to compare a timestamptz column with, a microsecond off at times."""
    dice = rng.random()
    if dice < 0.75 and column.values:
        value = rng.choice(column.values)
        return rng.choice([
            f"'{value}'",
            f"'{value}'",
            f"timestamptz '{value}'",
            f"(timestamptz '{value}' + interval '1 microsecond')",
            f"(timestamptz '{value}' - interval '1 microsecond')",
            f"(timestamptz '{value}' AT TIME ZONE 'Asia/Kolkata')",
            f"(timestamptz '{value}')::timestamp",
            f"(timestamptz '{value}')::date",
        ])
    return rng.choice(TIME_TRAPS)


def value(rng, column):
    """An SQL expression to compare `column` with, by its family."""
    family = column.family
    if family == "text":
        return text_value(rng, column)
    if family == "number":
        return number_value(rng, column)
    if family == "date":
        return date_value(rng, column)
    if family == "timestamptz":
        return time_value(rng, column)
    if family == "boolean":
        return rng.choice(["true", "false"])
    raise ValueError(family)


def array_value(rng, column):
    """An SQL array of values for = ANY, with NULLs and repetitions, sometimes empty."""
    size = rng.choice([0, 1, 1, 2, 3, 5, 12])
    elements = [value(rng, column) for _ in range(size)]
    if rng.random() < 0.25:
        elements.insert(rng.randrange(len(elements) + 1), "NULL")
    cast = {"number": "numeric", "date": "date", "timestamptz": "timestamptz",
            "text": rng.choice(["text", "text", "varchar"]), "boolean": "boolean"}[column.family]
    if cast in ("date", "timestamptz"):
        elements = [e if e == "NULL" else f"({e})::{cast}" for e in elements]
    return f"ARRAY[{', '.join(elements)}]::{cast}[]"
