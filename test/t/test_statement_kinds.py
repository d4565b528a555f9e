"""Every kind of statement that PostgreSQL's own tests of postgres_fdw write with, where it applies here.

statement_kinds.sql holds one a line, in their order: what it gives (a command tag or an
SQLSTATE; "A, from 18 B" where PostgreSQL says it otherwise), "::", and the statement.
None may end the session.
"""

from pathlib import Path

import psycopg2
import tpmtest

KINDS = [line for line in Path(__file__).with_name("statement_kinds.sql").read_text(encoding="utf-8").splitlines()
         if not line.startswith("--")]

SET_UP = """
SET search_path = tpm, public;
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% % %', TG_WHEN, TG_LEVEL, TG_OP;
    RETURN CASE WHEN TG_LEVEL = 'ROW' THEN NEW END;
END $$;
CREATE TABLE loc (id text, name text, country text);
INSERT INTO loc VALUES ('1', 'one', 'DE'), ('2', 'two', 'FR'), ('3', 'three', 'US');
CREATE TABLE pt (id text, name text, country text, internal_id text) PARTITION BY LIST (country);
CREATE FOREIGN TABLE pt_f PARTITION OF pt FOR VALUES IN ('DE', 'FR') SERVER tpm OPTIONS (resource '/third_parties');
ALTER FOREIGN TABLE pt_f ALTER internal_id OPTIONS (ADD natural_key 'true', ADD filter 'internal_id');
CREATE TABLE pt_l PARTITION OF pt DEFAULT;
CREATE TABLE par (id text, name text);
CREATE FOREIGN TABLE chi () INHERITS (par) SERVER tpm OPTIONS (resource '/users');
"""


def outcome(connection, statement):
    """The command tag, or the SQLSTATE."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.statusmessage
    except psycopg2.Error as error:
        if not connection.closed and connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            tpmtest.rows(connection, "ROLLBACK")
        return error.pgcode or str(error)


def test_every_kind(cluster):
    """One session, one after the other: all give what they should."""
    sandbox = tpmtest.Sandbox("--records", "40", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    cluster.sql("CREATE DATABASE kinds")
    db = cluster.connect("kinds")
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    tpmtest.rows(db, SET_UP)
    wrong = []
    for line in KINDS:
        expected, statement = line.split(" :: ", 1)
        before, _, since = expected.partition(", from 18 ")
        expected = since if since and db.server_version >= 180000 else before
        got = outcome(db, statement)
        if got != expected:
            wrong.append((statement, expected, got))
    assert wrong == []
    assert len(KINDS) > 100
    db.close()
    sandbox.stop()
