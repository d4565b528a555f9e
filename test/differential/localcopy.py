"""The truth that foreign tables are compared with: ordinary tables filled by Python.

Nothing here asks the product how a document becomes a row. The mapping is a second,
independent reading of api.md 3.4, straight from the sandbox's own dump of its data.
"""

import io
import json
import urllib.request
from decimal import Decimal


class MappingError(Exception):
    """The imported columns and the served documents do not fit each other."""


def dump(sandbox_url, resource):
    """All resource objects of `resource`, as the sandbox stores them.

    Numbers keep their spelling (40.0 is not 40), because numeric keeps it too.
    """
    with urllib.request.urlopen(f"{sandbox_url}/_sandbox/dump/{resource}", timeout=60) as answer:
        text = answer.read().decode("utf-8")
    return [json.loads(line, parse_float=Decimal) for line in text.split("\n") if line]


def foreign_columns(cursor, schema):
    """{table: [(column, type)]} of the foreign tables in `schema`."""
    cursor.execute(
        """SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'f'
             AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY c.relname, a.attnum""",
        (schema,),
    )
    tables = {}
    for table, column, type_name in cursor.fetchall():
        tables.setdefault(table, []).append((column, type_name))
    return tables


def _linkage_ids(linkage):
    """The id of a to-one linkage, the ids of a to-many one, None for an empty to-one."""
    if linkage is None:
        return None
    if isinstance(linkage, list):
        return [str(entry["id"]) for entry in linkage]
    return str(linkage["id"])


def _member(column, type_name, resource):
    """(found, value): what the resource object says about one column (api.md 3.4)."""
    attributes = resource.get("attributes") or {}
    relationships = resource.get("relationships") or {}
    if column == "id":
        return True, str(resource["id"])
    if column in attributes:
        return True, attributes[column]
    if column == "attributes" and type_name == "jsonb":
        return True, attributes
    if type_name == "text[]":
        stem = column[:-4] if column.endswith("_ids") else column
        names = [stem, stem + "s", stem[:-1] + "ies"]
    elif column.endswith("_id"):
        names = [column[:-3]]
    elif column.endswith("_type") and column[:-5] in relationships:
        linkage = relationships[column[:-5]].get("data")
        return True, linkage["type"] if linkage else None
    else:
        names = []
    for name in names:
        if name in relationships:
            return True, _linkage_ids(relationships[name].get("data"))
    return False, None


def _as_json(value):
    """JSON text that keeps the spelling of numbers, for a jsonb column."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_as_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_json, value)) + "]"
    return json.dumps(value)


def _array(values):
    """An array literal of text elements."""
    quoted = ['"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return "{" + ",".join(quoted) + "}"


def _sql_text(value, type_name):
    """The text form of a JSON value for a column of `type_name`; None is NULL."""
    if value is None:
        return None
    if type_name == "jsonb":
        return _as_json(value)
    if type_name == "text[]":
        return _array(value)
    if value == "" and type_name != "text":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return _as_json(value)
    return str(value)


def copy_field(text):
    """One field of COPY's text format."""
    if text is None:
        return "\\N"
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return text


def sql_value(column, type_name, resource):
    """The text form of one column of a resource object; None is NULL."""
    return _sql_text(_member(column, type_name, resource)[1], type_name)


def fill_local(cursor, sandbox_url, schema, table, columns):
    """Fill an empty table; the columns whose member is on no resource, as texts."""
    found = set()
    lines = []
    resources = dump(sandbox_url, table)
    for resource in resources:
        fields = []
        for column, type_name in columns:
            present, value = _member(column, type_name, resource)
            if present:
                found.add(column)
            fields.append(copy_field(_sql_text(value, type_name)))
        lines.append("\t".join(fields) + "\n")
    cursor.copy_expert(f"COPY {schema}.{table} FROM STDIN", io.StringIO("".join(lines)))
    cursor.execute(f"ANALYZE {schema}.{table}")
    return [f"{table}.{column}" for column, _ in columns if column not in found] if resources else []


def create_local(cursor, sandbox_url, foreign_schema, schema):
    """Create `schema` as the local copy of every foreign table in `foreign_schema`.

    A column whose member is on no resource would read NULL on both sides and so never
    differ; it is an error instead. Returns the names of the tables.
    """
    cursor.execute(f"CREATE SCHEMA {schema}")
    cursor.execute("SET LOCAL timezone = 'UTC'")
    tables = foreign_columns(cursor, foreign_schema)
    unmapped = []
    for table, columns in tables.items():
        cursor.execute(f"CREATE TABLE {schema}.{table} (LIKE {foreign_schema}.{table})")
        unmapped += fill_local(cursor, sandbox_url, schema, table, columns)
    if unmapped:
        raise MappingError("columns without a member in the sandbox's data: " + ", ".join(unmapped))
    return sorted(tables)
