"""The life of an extension: updates, other schemas, encodings, scarce resources, sudden ends."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import crowd
import psycopg2
import pytest
import tpmtest

QUERY = "SELECT id, name FROM tpm.third_parties ORDER BY id"


def failure(connection, statement):
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(connection, statement)
    return caught.value


# ----- the extension itself -----


def test_other_schema(db, sandbox):
    """CREATE EXTENSION in another schema, and a move to a third."""
    tpmtest.rows(db, "DROP EXTENSION tpm_fdw; CREATE SCHEMA ext; CREATE EXTENSION tpm_fdw SCHEMA ext")
    tpmtest.setup_server(db, sandbox, schema="tpm")
    assert len(tpmtest.rows(db, QUERY)) == 300
    assert len(tpmtest.rows(db, "SELECT * FROM ext.tpm_fdw_requests LIMIT 1")) == 1
    tpmtest.rows(db, "CREATE SCHEMA third; ALTER EXTENSION tpm_fdw SET SCHEMA third")
    assert len(tpmtest.rows(db, QUERY)) == 300
    tpmtest.rows(db, "CREATE SCHEMA readers; SELECT third.tpm_fdw_create_views('tpm', 'readers')")
    tpmtest.rows(db, "SELECT third.tpm_fdw_reset_cache()")


SCRIPTS = sorted(path.stem.split("--")[1] for path in (tpmtest.ROOT / "sql" / "extension").glob("tpm_fdw--*.sql")
                 if path.stem.count("--") == 1)

# functions and views of the extension with everything that a script says about them
MEMBERS = """
    SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text, obj_description(p.oid, 'pg_proc')
    FROM   pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE  d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tpm_fdw')
    UNION ALL
    SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.relacl::text, obj_description(c.oid, 'pg_class')
    FROM   pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    WHERE  d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tpm_fdw')
    ORDER  BY 1"""


@pytest.mark.parametrize("version", SCRIPTS)
def test_update(db, version):
    """From every version that can be installed, ALTER EXTENSION UPDATE leads to what CREATE EXTENSION makes."""
    fresh = tpmtest.rows(db, MEMBERS)
    assert len(fresh) > 20 and all(comment for *_, comment in fresh), "a function or view without a comment"
    tpmtest.rows(db, f"DROP EXTENSION tpm_fdw; CREATE EXTENSION tpm_fdw VERSION '{version}'")
    tpmtest.rows(db, "ALTER EXTENSION tpm_fdw UPDATE")
    assert tpmtest.rows(db, MEMBERS) == fresh


def test_update_to_another_version(sandbox):
    """An upgrade script of a version to come, under a session with a plan, an open cursor and a cached list."""
    cluster = tpmtest.Cluster()
    installed = tpmtest.sharedir() / "extension"
    scripts = cluster.base / "extension"
    shutil.copytree(installed, scripts)
    version = re.search(r"default_version = '(.+)'", (scripts / "tpm_fdw.control").read_text("utf-8"))[1]
    (scripts / f"tpm_fdw--{version}--{version}.next.sql").write_text(
        "CREATE FUNCTION tpm_fdw_next() RETURNS text LANGUAGE sql RETURN 'next';\n"
        "ALTER VIEW tpm_fdw_stats RENAME TO tpm_fdw_counts;\n", "utf-8")
    cluster.start_in(f"mount --bind {scripts} {installed}")
    db, other = cluster.connect(), cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm")
    tpmtest.rows(other, f"PREPARE ask AS {QUERY}")
    assert len(tpmtest.rows(other, "EXECUTE ask")) == 300
    tpmtest.rows(other, f"BEGIN; DECLARE c CURSOR FOR {QUERY}; FETCH 5 FROM c")
    tpmtest.rows(db, f"ALTER EXTENSION tpm_fdw UPDATE TO '{version}.next'")
    assert len(tpmtest.rows(other, "FETCH ALL FROM c")) == 295
    tpmtest.rows(other, "COMMIT")
    before = sandbox.request_count()
    assert len(tpmtest.rows(other, "EXECUTE ask")) == 300
    assert sandbox.request_count() == before
    assert tpmtest.rows(other, "SELECT tpm_fdw_next(), count(*) > 0 FROM tpm_fdw_counts") == [("next", True)]
    assert tpmtest.rows(db, "SELECT extversion FROM pg_extension WHERE extname = 'tpm_fdw'") == [(version + ".next",)]
    cluster.destroy()


def test_drop_with_live_sessions(tpm, cluster, sandbox):
    """DROP EXTENSION while others use it: it waits for their transactions, and they go on without it."""
    other = cluster.connect(tpm.info.dbname)
    other.autocommit = False
    assert len(tpmtest.rows(other, QUERY)) == 300
    tpmtest.rows(tpm, "SET lock_timeout = '200ms'")
    assert failure(tpm, "DROP EXTENSION tpm_fdw CASCADE").pgcode == "55P03"
    other.commit()
    tpmtest.rows(tpm, "SET client_min_messages = warning; SET search_path = public; DROP EXTENSION tpm_fdw CASCADE")
    assert failure(other, QUERY).pgcode == "42P01"
    other.rollback()
    assert tpmtest.rows(other, "SELECT 1") == [(1,)]
    tpmtest.rows(tpm, "CREATE EXTENSION tpm_fdw")
    tpmtest.setup_server(tpm, sandbox, schema="again")
    assert len(tpmtest.rows(tpm, "SELECT * FROM again.users")) == len(sandbox.dump("users"))


def test_alter_under_running_queries(tpm, cluster, sandbox):
    """ALTER SERVER, ALTER and DROP of a mapping while sessions read: right rows, or a clear error."""
    sandbox.fault("latency", ms=20, match="GET /v1/third_parties")

    def ask(member, connection):
        answers = set()
        for _ in range(15):
            answers.add(len(tpmtest.rows(connection, QUERY)))
        return answers

    sessions = crowd.Crowd(cluster, tpm.info.dbname, [ask] * 8, "SET tpm_fdw.cache_ttl = 0").begin()
    for turn in range(20):
        size = 20 + turn
        had = turn > 0
        tpmtest.rows(tpm, f"ALTER SERVER tpm OPTIONS ({'SET' if had else 'ADD'} page_size '{size}')")
        tpmtest.rows(tpm, f"ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS ({'SET' if had else 'ADD'} headers"
                          f" 'X-Turn: {turn}')")
    sessions.join(90)
    assert sessions.errors == []
    assert set.union(*sessions.results) == {300}


# ----- encodings -----


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
def test_encodings(cluster, sandbox, encoding):
    """What the database can hold is converted; what it cannot is a clear error, or replaced."""
    name = f"in_{encoding.lower()}"
    cluster.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    db = cluster.connect(name)
    db.set_client_encoding("UTF8" if encoding != "SQL_ASCII" else "SQL_ASCII")
    tpmtest.setup_server(db, sandbox, schema="tpm")
    sandbox.edit("third_parties", 1, name="Müller & Söhne")
    query = "SELECT encode(convert_to(name, 'UTF8'), 'hex') FROM tpm.third_parties WHERE id = '1'"
    if encoding == "SQL_ASCII":
        query = "SELECT encode(name::bytea, 'hex') FROM tpm.third_parties WHERE id = '1'"
    assert tpmtest.rows(db, query) == [("Müller & Söhne".encode().hex(),)]
    sandbox.edit("third_parties", 1, name="株式会社")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    if encoding == "SQL_ASCII":
        assert tpmtest.rows(db, query) == [("株式会社".encode().hex(),)]
    else:
        error = failure(db, query)
        assert error.pgcode == "22P05"
        tpmtest.rows(db, "ALTER SERVER tpm OPTIONS (ADD invalid_characters 'replace')")
        assert len(tpmtest.rows(db, query)) == 1
    db.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252"])
def test_values_in_urls(cluster, sandbox, encoding):
    """What a URL asks for is UTF-8, whatever the database's encoding is: a filter finds the row that it names."""
    name = f"asks_{encoding.lower()}"
    cluster.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    db = cluster.connect(name)
    db.set_client_encoding("UTF8")
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    sandbox.edit("third_parties", 1, name="Müller")
    sandbox.edit("third_parties", 2, name="Söhne")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")

    def asks(condition):
        sandbox.reset()
        found = tpmtest.rows(db, f"SELECT id FROM tpm.third_parties WHERE {condition} ORDER BY id")
        return [row[0] for row in found], sandbox.requests()[-1]["query"]

    ids, query = asks("name = 'Müller'")
    assert ids == ["1"] and "filter%5Bname%5D=M%C3%BCller" in query
    ids, query = asks("name IN ('Müller', 'Söhne')")
    assert ids == ["1", "2"] and "M%C3%BCller,S%C3%B6hne" in query
    # its blank may be trimmed on the other side: it stays here
    plan = tpmtest.rows(db, "EXPLAIN (COSTS OFF) SELECT id FROM tpm.third_parties WHERE name = '\N{NO-BREAK SPACE}Ende'")
    assert any("Local: " in line for line, in plan)
    assert asks("id = 'Müller'")[0] == []
    assert sandbox.requests()[-1]["path"].endswith("/third_parties/M%C3%BCller")
    db.close()


# ----- scarce resources -----


def test_temp_file_limit(tpm):
    """Exceeded while spilling: 53400 of PostgreSQL's own, and the session goes on."""
    tpmtest.rows(tpm, "SET work_mem = '64kB'; SET enable_hashjoin = off; SET enable_mergejoin = off;"
                      " SET enable_material = off; SET temp_file_limit = '64kB'")
    error = failure(tpm, "SELECT a.*, b.* FROM third_parties a, third_parties b ORDER BY b.name, a.name")
    assert error.pgcode == "53400"
    assert "temp_file_limit" in str(error)
    tpmtest.rows(tpm, "RESET temp_file_limit")
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties")) == 300


def test_full_temporary_tablespace(sandbox):
    """A full tmpfs where temporary files go: 53100, and the session goes on."""
    cluster = tpmtest.Cluster()
    where = cluster.base / "tmp"
    where.mkdir()
    cluster.start_in(f"mount -t tmpfs -o size=256k,mode=700,uid={tpmtest.cluster_user().pw_uid} tmpfs {where}")
    db = cluster.connect()
    tpmtest.rows(db, f"CREATE TABLESPACE small LOCATION '{where}'")
    tpmtest.rows(db, "SET temp_tablespaces = 'small'; SET work_mem = '64kB'; SET enable_material = off")
    tpmtest.setup_server(db, sandbox, schema="tpm")
    error = failure(db, "SELECT a.*, b.* FROM tpm.third_parties a, tpm.third_parties b ORDER BY b.name, a.name")
    assert error.pgcode == "53100"
    assert len(tpmtest.rows(db, QUERY)) == 300
    cluster.destroy()


@pytest.mark.bare
def test_little_address_space(sandbox):
    """Out of memory is an error of one statement."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.cache_size": "4MB", "shared_buffers": "4MB"}).start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm")
    assert len(tpmtest.rows(db, QUERY)) == 300
    # the page has 60 MB; what a backend has without it depends on the libraries that PostgreSQL was built with
    status = Path(f"/proc/{db.info.backend_pid}/status").read_text(encoding="utf-8")
    limit = (int(re.search(r"VmSize:\s+(\d+) kB", status)[1]) + 40960) * 1024
    subprocess.run(["prlimit", f"--pid={db.info.backend_pid}", f"--as={limit}"], check=True, **tpmtest.as_cluster_user())
    sandbox.fault("big_page", match="GET /v1/third_parties")
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    error = failure(db, QUERY)
    assert error.pgcode == "53200", error
    sandbox.reset()
    assert len(tpmtest.rows(db, QUERY)) == 300
    cluster.destroy()


# ----- sudden ends -----


@pytest.mark.parametrize("waits", ["answer", "budget"])
def test_postmaster_dies(sandbox, waits):
    """A backend that waits ends when the postmaster is gone."""
    cluster = tpmtest.Cluster().start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_per_hour": 1} if waits == "budget" else {})
    if waits == "budget":
        tpmtest.rows(db, "SELECT email FROM tpm.users WHERE id = '1'")
    else:
        sandbox.fault("stall", match="GET /v1/third_parties")
    session = crowd.Crowd(cluster, "postgres", [crowd.asking(QUERY)],
                          "SET tpm_fdw.max_wait = -1; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.leave_free = 0").begin()
    pid = session.members[0].pid
    tpmtest.wait_until(lambda: tpmtest.rows(db, f"SELECT 1 FROM tpm_fdw_progress WHERE waiting_for = '{waits}'"))
    with open(cluster.datadir / "postmaster.pid", encoding="ascii") as file:
        os.kill(int(file.readline()), signal.SIGKILL)
    tpmtest.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), message="the backend's end")
    session.join()
    assert len(session.errors) == 1
    cluster.running = False
    cluster.destroy()
