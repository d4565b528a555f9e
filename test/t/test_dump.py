"""pg_dump and back: into the same version, and from PostgreSQL 15 into every version that there is."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import tpmtest
from tpmtest import rows

QUERY = "SELECT id, name FROM tpm.third_parties ORDER BY id"

# what pg_dump of PostgreSQL 15 has made of SETUP; @...@ stand for what differs from run to run
OF_15 = Path(__file__).with_name("dump_of_15.sql")

# of everything that an option, a column or a privilege may be, one
SETUP = """
CREATE EXTENSION tpm_fdw;
CREATE SERVER inline FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'http://127.0.0.1:@PORT@/v1',
    token_url '/oauth/token', rate_limit_per_second '1000', rate_limit_per_hour '100000', page_size '90',
    headers E'X-One: a ''quoted'' one\\nX-Two: C:\\\\two', cache_ttl '10min', request_timeout '20s');
CREATE SERVER filed FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'http://127.0.0.1:@PORT@/v1',
    token_url '/oauth/token', rate_limit_per_second '1000', rate_limit_per_hour '100000');
CREATE USER MAPPING FOR postgres SERVER inline OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret');
CREATE USER MAPPING FOR postgres SERVER filed OPTIONS (client_id 'sandbox', client_secret_file '@SECRET@');
CREATE SCHEMA tpm;
CREATE SCHEMA readers;
IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties, users) FROM SERVER inline INTO tpm
    OPTIONS (trust 'exact', fetched_at 'true');
IMPORT FOREIGN SCHEMA tpm LIMIT TO (cases) FROM SERVER filed INTO tpm;
SELECT tpm_fdw_create_views('tpm', 'readers');
CREATE FOREIGN TABLE tpm.by_hand (id text NOT NULL, title text OPTIONS (attribute 'name', filter 'name'),
    state text OPTIONS (attribute 'status', filter 'status', filter_values 'Active=Active,a\\,b=c') DEFAULT 'x',
    region text OPTIONS (relationship 'region'), whole jsonb OPTIONS (pointer '/attributes'),
    CHECK (title <> '')) SERVER filed OPTIONS (resource '/third_parties', type 'third_parties', cache_ttl '0');
CREATE TABLE tpm.places (id text, name text, country text) PARTITION BY LIST (country);
CREATE FOREIGN TABLE tpm.places_us PARTITION OF tpm.places FOR VALUES IN ('US') SERVER inline
    OPTIONS (resource '/third_parties', query 'filter[country]=US');
COMMENT ON FOREIGN TABLE tpm.by_hand IS 'made by hand';
GRANT USAGE ON FOREIGN SERVER filed TO pg_monitor;
GRANT SELECT ON tpm.by_hand TO pg_monitor;
CREATE MATERIALIZED VIEW readers.active AS SELECT state, count(*) FROM tpm.by_hand GROUP BY state;
"""

# what such a database is: catalogs that say the same in every version
CATALOGS = (
    "SELECT srvname, srvoptions, srvacl::text FROM pg_foreign_server ORDER BY 1",
    "SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1",
    "SELECT c.oid::regclass::text, s.srvname, t.ftoptions, obj_description(c.oid, 'pg_class'), c.relacl::text"
    " FROM pg_foreign_table t JOIN pg_class c ON c.oid = t.ftrelid JOIN pg_foreign_server s ON s.oid = t.ftserver"
    " ORDER BY 1",
    "SELECT attrelid::regclass::text, attname, attfdwoptions, attnotnull, format_type(atttypid, atttypmod),"
    " col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
    " WHERE c.relnamespace IN ('tpm'::regnamespace, 'readers'::regnamespace) AND attnum > 0 ORDER BY 1, attnum",
    "SELECT extname, extversion FROM pg_extension ORDER BY 1",
    "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits ORDER BY 1",
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' ORDER BY 1, 2",
)


def program(cluster, name, *arguments, **more):
    return subprocess.run([tpmtest.bindir() / name, "-h", cluster.base, "-p", str(cluster.port), "-U", "postgres", *arguments],
                          text=True, capture_output=True, check=True, cwd="/", **tpmtest.as_cluster_user(), **more)


def secret_file(cluster, name):
    path = cluster.base / name
    path.write_text("sandbox-secret", encoding="utf-8")
    path.chmod(0o600)
    if os.geteuid() == 0:
        user = tpmtest.cluster_user()
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def restore(cluster, name, dump):
    """A new database made of a dump, in which nothing went wrong."""
    cluster.sql(f"CREATE DATABASE {name}")
    assert program(cluster, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, input=dump).stderr == ""
    return cluster.connect(name)


@pytest.mark.parametrize("where", ["inline", "file"])
def test_dump_and_restore(db, cluster, sandbox, where):
    """What was set comes back; a secret is in the dump only if it was given inline."""
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    if where == "file":
        rows(db, "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (DROP client_secret,"
                 f" ADD client_secret_file '{secret_file(cluster, 'secret-' + db.info.dbname)}')")
    rows(db, "CREATE SCHEMA readers; SELECT tpm_fdw_create_views('tpm', 'readers')")
    expected = rows(db, QUERY)
    dump = program(cluster, "pg_dump", db.info.dbname).stdout
    assert ("sandbox-secret" in dump) == (where == "inline")
    again = restore(cluster, db.info.dbname + "_restored", dump)
    assert rows(again, QUERY) == expected
    assert rows(again, "SELECT count(*) FROM readers.third_parties") == [(300,)]
    twice = program(cluster, "pg_dump", again.info.dbname).stdout
    assert twice.count("CREATE FOREIGN TABLE") == dump.count("CREATE FOREIGN TABLE")
    again.close()


def test_data_is_not_dumped(tpm, cluster, sandbox):
    """pg_dump asks the API for nothing, unless told to."""
    program(cluster, "pg_dump", tpm.info.dbname)
    assert sandbox.request_count() == 0
    text = program(cluster, "pg_dump", "--include-foreign-data=tpm", "--data-only", "-t", "tpm.users", tpm.info.dbname).stdout
    assert text.count("\n") > len(sandbox.dump("users"))


@pytest.fixture
def original(cluster, sandbox):
    """A database as SETUP makes it, and what its dump has instead of @...@."""
    name = f"original{tpmtest.free_port()}"
    places = {"@PORT@": str(sandbox.port), "@SECRET@": str(secret_file(cluster, f"secret-{name}"))}
    cluster.sql(f"CREATE DATABASE {name}")
    connection = cluster.connect(name)
    text = SETUP
    for place, value in places.items():
        text = text.replace(place, value)
    rows(connection, text)
    yield connection, places
    connection.close()


def catalog(connection, query):
    """Rows of a catalog; pg_dump brings options into an order of its own."""
    return [[sorted(value) if isinstance(value, list) else value for value in row] for row in rows(connection, query)]


def settled(dump, places):
    """A dump without what differs from run to run."""
    for place, value in places.items():
        dump = dump.replace(value, place)
    return re.sub(r"^(\\(un)?restrict .*|-- Dumped .*)\n", "", dump, flags=re.M)


def test_restore_from_15(original, cluster, sandbox):
    """A dump of PostgreSQL 15 is restored here: the same servers, mappings, tables, views and rows."""
    source, places = original
    if rows(source, "SHOW server_version_num")[0][0].startswith("15"):
        dump = settled(program(cluster, "pg_dump", source.info.dbname).stdout, places)
        if os.environ.get("TPM_NEW_DUMP"):
            OF_15.write_text(dump, encoding="utf-8")
        assert dump == OF_15.read_text(encoding="utf-8"), "TPM_NEW_DUMP=1 writes it anew"
    dump = OF_15.read_text(encoding="utf-8")
    for place, value in places.items():
        dump = dump.replace(place, value)
    restored = restore(cluster, source.info.dbname + "_restored", dump)
    for query in CATALOGS:
        assert catalog(restored, query) == catalog(source, query)
    for table in "tpm.third_parties", "tpm.cases", "tpm.by_hand", "tpm.places", "readers.users", "readers.active":
        query = f"SELECT (to_jsonb(t) - 'fetched_at')::text FROM {table} AS t ORDER BY 1"
        assert rows(restored, query) == rows(source, query) != [], table
    restored.close()
