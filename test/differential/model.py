"""The tables as the query generator sees them: columns, values really stored, keys.

The model is read from the local copy, not from the foreign tables: a generator that
asked the product which values exist would never ask for those that the product loses.
"""

from dataclasses import dataclass, field

# Relationships whose table is not simply the plural of their name.
RELATIONSHIP_TABLES = {
    "owner": "users",
    "requester": "users",
    "investigator": "users",
    "author": "users",
    "uploaded_by": "users",
    "adjudicated_by": "users",
    "approver": "users",
    "associated_third_party": "third_parties",
}

# How type names of PostgreSQL fall into the families that share their operators.
FAMILIES = {
    "text": "text",
    "boolean": "boolean",
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
    "date": "date",
    "timestamp with time zone": "timestamptz",
    "text[]": "array",
    "jsonb": "jsonb",
}


def plural(name):
    """The table name for a singular relationship name."""
    if name in RELATIONSHIP_TABLES:
        return RELATIONSHIP_TABLES[name]
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name + "s"


@dataclass
class Column:
    """One column and the distinct values that it holds, as text, in a fixed order."""

    name: str
    type: str
    values: list = field(default_factory=list)

    @property
    def family(self):
        return FAMILIES[self.type]


@dataclass
class Table:
    """One table: name without schema, columns, number of rows."""

    name: str
    columns: list
    rows: int = 0

    def column(self, name):
        return next(c for c in self.columns if c.name == name)

    def of_family(self, *families):
        return [c for c in self.columns if c.family in families]

    @property
    def orderable(self):
        """Columns that ORDER BY, DISTINCT and GROUP BY may name."""
        return [c for c in self.columns if c.family != "jsonb"]


@dataclass
class Model:
    """All tables of one local copy, and the keys between them."""

    tables: list
    # (table, column, referenced table)
    keys: list
    # an attribute that answers have no longer
    drifted: str = None

    def table(self, name):
        return next(t for t in self.tables if t.name == name)

    def keys_of(self, name):
        return [k for k in self.keys if k[0] == name]


def read_model(cursor, schema, names, values_kept=60):
    """Read the model of the tables `names` from the local copy in `schema`.

    Of each column at most `values_kept` values are kept, spread over the whole range,
    so that a pool holds the first and the last value as well as common ones.
    """
    tables = []
    for name in sorted(names):
        cursor.execute(
            """SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
               WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
               ORDER BY attnum""",
            (f"{schema}.{name}",),
        )
        columns = [Column(n, t) for n, t in cursor.fetchall()]
        for column in columns:
            cursor.execute(
                f'SELECT DISTINCT "{column.name}"::text COLLATE "C" FROM {schema}.{name} '
                f'WHERE "{column.name}" IS NOT NULL ORDER BY 1'
            )
            values = [row[0] for row in cursor.fetchall()]
            step = max(1, len(values) // values_kept)
            column.values = values[::step]
        cursor.execute(f"SELECT count(*) FROM {schema}.{name}")
        tables.append(Table(name, columns, int(cursor.fetchone()[0])))
    known = {t.name for t in tables}
    keys = [
        (t.name, c.name, plural(c.name[:-3]))
        for t in tables
        for c in t.columns
        if c.name.endswith("_id") and c.type == "text" and plural(c.name[:-3]) in known
    ]
    return Model(tables, keys)
