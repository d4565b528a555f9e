"""OpenAPI documents written by hand, and what comes of them."""

import itertools
import json
import os
import textwrap
from pathlib import Path

import tpmtest
from tpmtest import rows

SCHEMAS = itertools.count(1)

COLUMNS = """
SELECT relname, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attcollation, attfdwoptions
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
 WHERE relkind = 'f' AND attnum > 0 AND relnamespace = %s::regnamespace
"""
TABLES = """
SELECT relname, ftoptions FROM pg_foreign_table JOIN pg_class c ON c.oid = ftrelid
 WHERE relnamespace = %s::regnamespace
"""


class Importer:
    """Imports documents from files; what came of it."""

    def __init__(self, cluster, db):
        self.cluster, self.db = cluster, db
        self.schema = None
        rows(db, "CREATE SERVER s FOREIGN DATA WRAPPER tpm_fdw"
                 " OPTIONS (base_url 'https://api.example.com/v1', token_url '/token')")

    def file(self, text):
        """The path of a file that the server can read."""
        path = self.cluster.base / f"document{next(SCHEMAS)}"
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        os.chmod(path, 0o644)
        return path

    def __call__(self, document, what="openapi", **options):
        """The schema that it was imported into."""
        schema = self.schema = f"d{next(SCHEMAS)}"
        if not isinstance(document, Path):
            document = self.file(document if isinstance(document, (str, bytes)) else json.dumps(document))
        rows(self.db, f"CREATE SCHEMA {schema}")
        del self.db.notices[:]
        listed = tpmtest.option_list({"document": document, **options})
        rows(self.db, f"IMPORT FOREIGN SCHEMA {what} FROM SERVER s INTO {schema} OPTIONS ({listed})")
        return schema

    def warnings(self):
        return [text for text in self.db.notices if text.startswith("WARNING")]

    def tables(self, schema):
        """{table: {option: value}}"""
        return {name: pairs(options) for name, options in rows(self.db, TABLES, (schema,))}

    def columns(self, schema, table):
        """{column: (type, {option: value})}, in order"""
        found = [row for row in rows(self.db, COLUMNS + " ORDER BY attnum", (schema,)) if row[0] == table]
        return {row[2]: (row[3], pairs(row[6])) for row in found}

    def comment(self, schema, table, column=None):
        if column is None:
            return rows(self.db, "SELECT obj_description(%s::regclass)", (f"{schema}.{table}",))[0][0]
        return rows(self.db, "SELECT col_description(attrelid, attnum) FROM pg_attribute"
                             " WHERE attrelid = %s::regclass AND attname = %s", (f"{schema}.{table}", column))[0][0]


def pairs(options):
    return dict(option.split("=", 1) for option in options or [])


def resource(attributes, relationships=None, **more):
    """The schema of a resource object."""
    properties = {"id": {"type": "string"}, "type": {"type": "string"},
                  "attributes": {"type": "object", "properties": attributes}}
    if relationships:
        properties["relationships"] = {"type": "object", "properties": relationships}
    return {"type": "object", "properties": properties, **more}


def answer(schema):
    return {"200": {"description": "", "content": {"application/vnd.api+json": {"schema": schema}}}}


def listing(schema, parameters=(), **more):
    """A path item that lists such resources."""
    document = {"type": "object", "properties": {"data": {"type": "array", "items": schema}, **more}}
    return {"get": {"parameters": list(parameters), "responses": answer(document)}}


def openapi(paths, **components):
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, "components": components}


def query(name, schema, **more):
    return {"name": name, "in": "query", "schema": schema, **more}
