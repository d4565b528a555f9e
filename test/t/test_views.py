"""The views over shared state: columns, rights, what they say; and life without preloading, on a standby, behind a pooler."""

import os
import shutil
import subprocess
import threading

import crowd
import psycopg2
import pytest
import tpmtest

VIEWS = {
    "tpm_fdw_rate_limits": "server name, scope text, limit_per_second integer, limit_per_hour integer,"
                           " used_last_second integer, used_last_hour integer, waiting integer,"
                           " next_slot timestamp with time zone, paused_until timestamp with time zone,"
                           " last_429 timestamp with time zone",
    "tpm_fdw_tokens": "server name, role name, client_id text, obtained timestamp with time zone,"
                      " expires timestamp with time zone, refreshes bigint, last_error text",
    "tpm_fdw_cache": "server name, database name, relation text, conditions text, complete boolean, rows bigint,"
                     " bytes bigint, requests integer, fetched timestamp with time zone,"
                     " expires timestamp with time zone, hits bigint, rent bigint",
    "tpm_fdw_requests": "at timestamp with time zone, pid integer, role name, application_name text, server name,"
                        " database name, relation text, method text, path text, status integer, error text,"
                        " ms double precision, waited_ms double precision, bytes_in bigint, bytes_out bigint,"
                        " attempt integer",
    "tpm_fdw_progress": "pid integer, role name, database name, relation text, operation text, requests_done bigint,"
                        " requests_expected bigint, rows_done bigint, started timestamp with time zone,"
                        " expected_end timestamp with time zone, waiting_for text",
    "tpm_fdw_stats": "server name, role name, method text, requests bigint, cache_hits bigint, rows bigint,"
                     " bytes_in bigint, retries bigint, status_429 bigint, errors bigint, ms double precision,"
                     " waited_ms double precision, since timestamp with time zone",
    "tpm_fdw_writes": "number bigint, intended timestamp with time zone, done timestamp with time zone, server name,"
                      " relation text, method text, path text, id text, columns text[], old jsonb, new jsonb,"
                      " status integer, outcome text, request_id text, role name, session_role name,"
                      " application_name text, client_addr inet, database name, transaction_id bigint, query_id bigint,"
                      " sendings integer, evidence text",
}
RESETS = ["tpm_fdw_reset_cache()", "tpm_fdw_reset_tokens()", "tpm_fdw_reset_rate_limits()", "tpm_fdw_reset_stats()"]


@pytest.mark.parametrize("view", VIEWS)
def test_columns(db, view):
    """Names and types as the reference has them, in its order."""
    found = tpmtest.rows(db, "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
                             f" FROM pg_attribute WHERE attrelid = '{view}'::regclass AND attnum > 0")
    assert found == [(VIEWS[view],)]


def test_every_object_is_described(db):
    """Each function and view of the extension has a comment."""
    missing = tpmtest.rows(db, "SELECT pg_describe_object(classid, objid, 0) FROM pg_depend"
                               " WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid ="
                               " (SELECT oid FROM pg_extension WHERE extname = 'tpm_fdw')"
                               " AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass)"
                               " AND obj_description(objid, classid::regclass::name) IS NULL")
    assert missing == []


@pytest.fixture
def roles(tpm):
    """Two roles that read, one that may read all statistics, one without any right."""
    for role in ("reader", "neighbour", "monitor", "nobody_here"):
        tpmtest.rows(tpm, f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")
    tpmtest.rows(tpm, "GRANT pg_read_all_stats TO monitor")
    for role in ("reader", "neighbour"):
        tpmtest.rows(tpm, f"GRANT USAGE ON FOREIGN SERVER tpm TO {role}; GRANT USAGE ON SCHEMA tpm TO {role};"
                          f" GRANT ALL ON ALL TABLES IN SCHEMA tpm TO {role}")
        tpmtest.rows(tpm, f"CREATE USER MAPPING FOR {role} SERVER tpm"
                          " OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret')")
    yield tpm
    for role in ("reader", "neighbour", "monitor", "nobody_here"):
        tpmtest.rows(tpm, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def seen(cluster, db, role, view):
    return cluster.sql(f"SELECT * FROM {view}", dbname=db.info.dbname, user=role)


def test_rights(roles, sandbox, cluster):
    """One's own rows; all for pg_read_all_stats; totals of a server for those with USAGE; resets for nobody."""
    tpmtest.rows(roles, "SELECT tpm_fdw_reset_stats()")
    name = roles.info.dbname
    cluster.sql("SELECT email FROM tpm.users WHERE id = '1'", dbname=name, user="reader")
    cluster.sql("UPDATE tpm.third_parties SET name = 'By reader' WHERE id = '1'", dbname=name, user="reader")
    for view in ("tpm_fdw_requests", "tpm_fdw_stats", "tpm_fdw_tokens", "tpm_fdw_writes"):
        assert len(seen(cluster, roles, "reader", view)) > 0, view
        assert len(seen(cluster, roles, "nobody_here", view)) == 0, view
        assert len(seen(cluster, roles, "monitor", view)) > 0, view
    for view in ("tpm_fdw_requests", "tpm_fdw_stats", "tpm_fdw_writes"):
        assert len(seen(cluster, roles, "neighbour", view)) == 0, view
    assert len(seen(cluster, roles, "neighbour", "tpm_fdw_rate_limits")) > 0
    assert len(seen(cluster, roles, "nobody_here", "tpm_fdw_rate_limits")) == 0
    for reset in RESETS:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cluster.sql(f"SELECT {reset}", dbname=name, user="reader")
    # the journal's values are business data, not statistics
    values = "SELECT new IS NOT NULL FROM tpm_fdw_writes ORDER BY number DESC LIMIT 1"
    assert cluster.sql(values, dbname=name, user="reader") == [(True,)]
    assert cluster.sql(values, dbname=name, user="monitor") == [(False,)]
    assert tpmtest.rows(roles, values) == [(True,)]


def test_requests_and_stats(tpm, sandbox):
    """Each request a row, with its costs; totals that agree with it and can be begun anew."""
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_stats(); SET application_name = 'auditor'")
    tpmtest.rows(tpm, "SELECT email FROM users")
    sandbox.fault("status:503", count=1, match="GET /v1/regions")
    tpmtest.rows(tpm, "SELECT name FROM regions")
    rows = tpmtest.rows(tpm, "SELECT method, path, relation, application_name, status, attempt, ms > 0, bytes_in > 0"
                             " FROM tpm_fdw_requests WHERE application_name = 'auditor' AND database = current_database()"
                             " ORDER BY at")
    assert [row[:1] + row[2:6] for row in rows] == [("GET", "tpm.users", "auditor", 200, 1),
                                                  ("GET", "tpm.regions", "auditor", 503, 1),
                                                  ("GET", "tpm.regions", "auditor", 200, 2)]
    assert all(row[1].startswith("/v1/") and row[6] and row[7] for row in rows)
    totals = tpmtest.rows(tpm, "SELECT requests, retries, status_429, errors, rows FROM tpm_fdw_stats"
                               " WHERE role = current_user AND method = 'GET' AND server = 'tpm'")
    users, regions = len(sandbox.dump("users")), len(sandbox.dump("regions"))
    assert totals == [(3, 1, 0, 1, users + regions)]
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_stats()")
    assert tpmtest.rows(tpm, "SELECT coalesce(sum(requests), 0) FROM tpm_fdw_stats") == [(0,)]


def test_progress(tpm, sandbox, cluster):
    """A statement at work: what it has done, what it waits for; gone when it ends, also by an error."""
    sandbox.fault("hold", match="GET /v1/third_parties", count=1, skip=1)
    reader = crowd.Crowd(cluster, tpm.info.dbname, [crowd.asking("SELECT count(name) FROM tpm.third_parties")],
                         "SET tpm_fdw.cache_ttl = 0").begin()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    row, = tpmtest.rows(tpm, "SELECT role, database = current_database(), relation, operation, requests_done,"
                             " requests_expected, rows_done, started < now(), waiting_for FROM tpm_fdw_progress")
    assert row == ("postgres", True, "tpm.third_parties", "scan", 1, 3, 100, True, "answer")
    tpmtest.rows(tpm, f"SELECT pg_cancel_backend({reader.members[0].pid})")
    reader.join()
    sandbox.release()
    assert [error.pgcode for error in reader.errors] == ["57014"]
    assert tpmtest.rows(tpm, "SELECT * FROM tpm_fdw_progress") == []


# ----- without shared state -----


def test_not_preloaded(sandbox):
    """Everything that sends nothing works; the first request says what to add."""
    cluster = tpmtest.Cluster(shared_preload_libraries="").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    assert "Remote: GET /third_parties" in str(tpmtest.rows(db, "EXPLAIN SELECT * FROM tpm.third_parties"))
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(db, "ALTER SERVER tpm OPTIONS (ADD pagesize '10')")
    assert "page_size" in caught.value.diag.message_hint
    for statement in ["SELECT * FROM tpm.third_parties"] + [f"SELECT * FROM {view}" for view in VIEWS] + [
            "INSERT INTO tpm.third_parties (name) VALUES ('x')", "SELECT tpm_fdw_reset_cache()"]:
        with pytest.raises(psycopg2.Error) as caught:
            tpmtest.rows(db, statement)
        assert caught.value.pgcode == "55000", statement
        assert "shared_preload_libraries = 'tpm_fdw'" in caught.value.diag.message_hint
    assert tpmtest.rows(db, "SHOW tpm_fdw.max_wait") == [("30s",)]
    with pytest.raises(psycopg2.Error):
        tpmtest.rows(db, "SET tpm_fdw.max_wiat = 0")
    cluster.destroy()


def test_standby(sandbox):
    """A streaming standby: SELECT, cache, views and limits; INSERT is refused by PostgreSQL."""
    primary = tpmtest.Cluster(wal_level="replica", max_wal_senders="3", hot_standby="on").start()
    db = primary.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"rate_limit_per_hour": 5})
    standby = primary.standby().start()
    tpmtest.wait_until(lambda: standby.sql("SELECT count(*) FROM pg_foreign_server") == [(1,)])
    other = standby.connect()
    assert tpmtest.rows(other, "SELECT pg_is_in_recovery()") == [(True,)]
    assert len(tpmtest.rows(other, "SELECT name FROM tpm.third_parties")) == 300
    before = sandbox.request_count()
    assert len(tpmtest.rows(other, "SELECT name FROM tpm.third_parties WHERE status <> ''")) == 300
    assert sandbox.request_count() == before
    assert tpmtest.rows(other, "SELECT used_last_hour FROM tpm_fdw_rate_limits") == [(3,)]
    assert tpmtest.rows(other, "SELECT count(*) FROM tpm_fdw_cache") == [(1,)]
    tpmtest.rows(other, "SET tpm_fdw.max_wait = 0; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.leave_free = 0")
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(other, "SELECT name FROM tpm.third_parties")
    assert caught.value.pgcode == "53400"
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        tpmtest.rows(other, "INSERT INTO tpm.third_parties (name) VALUES ('x')")
    standby.destroy()
    primary.destroy()


def pgbouncer(cluster, port):
    """A pooler in transaction mode with four servers."""
    where = cluster.base / "bouncer"
    where.mkdir()
    (where / "users").write_text('"postgres" ""\n"second" ""\n', encoding="utf-8")
    (where / "ini").write_text(
        f"[databases]\n* = host={cluster.base} port={cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {where}/users\npool_mode = transaction\n"
        f"default_pool_size = 4\nmax_client_conn = 100\nserver_reset_query =\nlogfile = {where}/log\n"
        "ignore_startup_parameters = extra_float_digits\n", encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(where, "postgres", "postgres")
    text = (where / "ini").read_text(encoding="utf-8").replace("auth_type = any", "auth_type = trust")
    (where / "ini").write_text(text, encoding="utf-8")
    return subprocess.Popen(["pgbouncer", "-q", where / "ini"], cwd="/", **tpmtest.as_cluster_user())


def test_pgbouncer():
    """20 clients over 4 servers in transaction mode: right rows, and neither setting, role nor token leaks to another."""
    cluster = tpmtest.Cluster().start()
    db = cluster.connect()
    sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--client", "second:second-secret").start()
    # who asked for what is seen where nobody is answered from a list
    tpmtest.setup_server(db, sandbox, options={"cache_ttl": "0"}, schema="tpm", trust="exact")
    tpmtest.rows(db, "CREATE ROLE second; GRANT USAGE ON FOREIGN SERVER tpm TO second; GRANT USAGE ON SCHEMA tpm TO second;"
                     " GRANT SELECT ON ALL TABLES IN SCHEMA tpm TO second; CREATE USER MAPPING FOR second SERVER tpm"
                     " OPTIONS (client_id 'second', client_secret 'second-secret')")
    port = tpmtest.free_port()
    process = pgbouncer(cluster, port)
    tokens = sandbox.state()["tokens_issued"]
    dsn = f"host=127.0.0.1 port={port} dbname=postgres user=postgres"
    tpmtest.wait_until(lambda: reachable(dsn), message="pgbouncer")
    failed = []

    def client(number):
        connection = psycopg2.connect(dsn)
        for turn in range(10):
            with connection.cursor() as cursor:
                if number % 2:
                    cursor.execute("SET LOCAL tpm_fdw.max_requests = 1; SET LOCAL ROLE second")
                cursor.execute("SHOW tpm_fdw.max_requests")
                if cursor.fetchone() != ("1" if number % 2 else "200",):
                    failed.append(("setting", number, turn))
                # even clients ask for odd ids, the others for even ones
                wanted = str(1 + number % 2 + 2 * ((number // 2 + turn) % 100))
                cursor.execute("SELECT name FROM tpm.third_parties WHERE id = %s", (wanted,))
                if len(cursor.fetchall()) != 1:
                    failed.append(("rows", number, turn))
            connection.commit()
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sandbox.state()["tokens_issued"] == tokens + 2
    asked = {(entry["client"], int(entry["path"].rpartition("/")[2]) % 2) for entry in sandbox.api_requests()}
    assert asked == {("sandbox", 1), ("second", 0)}
    assert cluster.sql("SELECT count(*) <= 5 FROM pg_stat_activity WHERE backend_type = 'client backend'"
                       " AND client_addr IS NULL AND pid <> pg_backend_pid()") == [(True,)]
    process.terminate()
    process.wait()
    sandbox.stop()
    cluster.destroy()


def reachable(dsn):
    try:
        psycopg2.connect(dsn).close()
        return True
    except psycopg2.OperationalError:
        return False
