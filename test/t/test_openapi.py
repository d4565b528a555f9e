"""IMPORT FOREIGN SCHEMA openapi: an API's own description becomes tables that fit it."""

import itertools
import json
import os
import textwrap
import time
from pathlib import Path

import psycopg2
import pytest
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


# the sandbox's own document


def described(db, schema):
    """({table: options}, {(table, column): all that is said of it}) of a schema."""
    tables = {name: options for name, options in rows(db, TABLES, (schema,))}
    columns = {(row[0], row[2]): row[1:] for row in rows(db, COLUMNS, (schema,))}
    return tables, columns


@pytest.mark.parametrize("document", ["openapi.json", "/openapi.json", "/v1/openapi.json", "{base}/openapi.json"])
def test_sandbox_document_gives_the_tables_of_the_catalogue(db, sandbox, document):
    tpmtest.setup_server(db, sandbox, schema="known")
    rows(db, "CREATE SCHEMA told")
    document = document.format(base=sandbox.base_url)
    rows(db, f"IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO told OPTIONS (document '{document}')")
    assert described(db, "told") == described(db, "known")
    assert len(described(db, "told")[0]) == 28
    assert [r["status"] for r in sandbox.api_requests()] == [200]


def without(options, *names):
    return [option for option in options or [] if option.split("=")[0] not in names] or None


def test_sandbox_document_trusted_gives_those_of_the_trusted_catalogue(db, sandbox):
    """Which texts a filter compares exactly, and where NULLs are sorted, OpenAPI cannot say."""
    tpmtest.setup_server(db, sandbox, schema="known", trust="exact")
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO told OPTIONS (document 'openapi.json', trust 'exact')")

    def comparable(schema):
        tables, columns = described(db, schema)
        return tables, {key: (*row[:-1], without(row[-1], "filter_match", "sort_nulls"))
                        for key, row in columns.items()}

    assert comparable("told") == comparable("known")
    told, known = described(db, "told")[1], described(db, "known")[1]
    for key, row in told.items():
        if "filter_match=exact" in (row[-1] or []) and key not in {("screening_hits", "adjudication")}:
            assert "filter_match=exact" in known[key][-1], key


def test_tables_of_the_sandbox_document_work(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (cases, third_parties) FROM SERVER tpm INTO told"
             " OPTIONS (document 'openapi.json', fetched_at 'true')")
    assert set(described(db, "told")[0]) == {"cases", "third_parties"}
    wanted = sum(item["attributes"]["open"] for item in sandbox.dump("cases"))
    sandbox.reset()
    assert rows(db, "SELECT count(*) FROM told.cases WHERE open AND fetched_at IS NOT NULL") == [(wanted,)]
    assert all("Only%20Open" in r["query"] for r in sandbox.api_requests())
    [(number,)] = rows(db, "INSERT INTO told.third_parties (name, country) VALUES ('New', 'DE') RETURNING id")
    rows(db, "UPDATE told.third_parties SET city = 'Bonn' WHERE id = %s", (number,))
    assert rows(db, "SELECT name, city FROM told.third_parties WHERE id = %s", (number,)) == [("New", "Bonn")]


def test_comments_come_from_the_document(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (cases, gifts) FROM SERVER tpm INTO told"
             " OPTIONS (document 'openapi.json')")
    assert rows(db, "SELECT obj_description('told.cases'::regclass)") == [("Due diligence on a third party",)]
    [(comment,)] = rows(db, "SELECT col_description(attrelid, attnum) FROM pg_attribute"
                            " WHERE attrelid = 'told.gifts'::regclass AND attname = 'direction'")
    assert comment == "The direction; one of: given, received"
