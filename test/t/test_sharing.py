"""One fetch for many: sessions that ask the same thing at the same time, and what ends a kept answer."""

import threading

import crowd
import psycopg2
import pytest
import tpmtest

LIST = "GET /v1/third_parties"
ALL = "SELECT id, name, status FROM tpm.third_parties ORDER BY id"


@pytest.fixture
def shared(db, sandbox):
    """The sandbox's tables with the cache on."""
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    return db


def lists(sandbox, path="/v1/third_parties"):
    """Requests of a list since the last reset."""
    return [entry for entry in sandbox.api_requests() if entry["method"] == "GET" and entry["path"] == path]


def token_requests(sandbox):
    return [entry for entry in sandbox.requests() if entry["path"] == "/oauth/token"]


def waiting(db):
    return tpmtest.rows(db, "SELECT count(DISTINCT pid) FROM tpm_fdw_progress WHERE waiting_for IS NOT NULL")[0][0]


# ----- one fetch for many -----


def test_cold_query_of_many(shared, sandbox, cluster):
    """32 sessions, all seen waiting before the first answer: one token, the pages of one scan, all rows for all."""
    tpmtest.rows(shared, "SELECT tpm_fdw_reset_tokens()")
    sandbox.fault("latency", ms=500)
    sandbox.fault("latency", ms=500, match="POST /oauth/token")
    sessions = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)] * 32).begin()
    tpmtest.wait_until(lambda: waiting(shared) == 32, message="32 sessions waiting")
    assert [entry for entry in lists(sandbox) if entry["status"] == 200] == []
    sessions.join()
    assert sessions.errors == []
    assert len(token_requests(sandbox)) == 1
    assert len(lists(sandbox)) == 3
    assert all(result == sessions.results[0] and len(result) == 300 for result in sessions.results)


def joined(a, b):
    return f"SELECT count(*), count(DISTINCT {a}.id) FROM tpm.{a}, tpm.{b} WHERE {a}.id < {b}.id"


def test_joins_of_each_other(shared, sandbox, cluster):
    """X JOIN Y and Y JOIN X, cold, at the same moment, both lists open at once: no circle, each page once."""
    settings = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET work_mem = '64kB'"
    expected = None
    for _ in range(50):
        tpmtest.rows(shared, "SELECT tpm_fdw_reset_cache()")
        sandbox.reset()
        sessions = crowd.Crowd(cluster, shared.info.dbname,
                               [crowd.asking(joined("third_parties", "cases")),
                                crowd.asking(joined("cases", "third_parties"))], settings).begin().join(30)
        assert sessions.errors == []
        expected = expected or sessions.results
        assert sessions.results == expected
        assert len(lists(sandbox)) == 3
        assert len(lists(sandbox, "/v1/cases")) == pages_of(sandbox, "cases") > 1
    tpmtest.rows(shared, "RESET ALL")


def pages_of(sandbox, resource, size=100):
    return -(-len(sandbox.dump(resource)) // size)


def longest_pause(db):
    """How long no request was under way between the first and the last, in seconds: everybody waited, for nothing."""
    # the view has the requests of the whole cluster, those of other tests too
    return tpmtest.rows(db, "SELECT max(extract(epoch FROM at - ended))::float8 FROM (SELECT at,"
                            " max(at + ms * interval '1 ms') OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND"
                            " 1 PRECEDING) AS ended FROM tpm_fdw_requests WHERE database = current_database()) r")[0][0]


def test_no_wait_longer_than_a_request(shared, sandbox, cluster):
    """The same with answers that take 200 ms: whoever waits waits for one that is under way."""
    sandbox.fault("latency", ms=200)
    settings = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off"
    sessions = crowd.Crowd(cluster, shared.info.dbname,
                           [crowd.asking(joined("third_parties", "cases")),
                            crowd.asking(joined("cases", "third_parties"))], settings).begin().join(30)
    assert sessions.errors == []
    assert longest_pause(shared) < 0.4
    assert tpmtest.rows(shared, "SELECT max(waited_ms) < 400 FROM tpm_fdw_requests"
                                " WHERE database = current_database()") == [(True,)]


# reads the first page and a half of one list, and then the other, before it goes on
LOOP = """DO $$ DECLARE at int := 0; i record; n bigint; BEGIN
FOR i IN SELECT id FROM tpm.{0} LOOP
    at := at + 1;
    IF at = {2} THEN SELECT count(name) INTO n FROM tpm.{1}; END IF;
END LOOP; END $$"""


def test_pages_ahead_make_no_circle(shared, sandbox, cluster):
    """Each has asked for a page ahead that the other needs: who is not back for it soon has lost it."""
    for table in ("third_parties", "cases"):
        tpmtest.rows(shared, f"ALTER FOREIGN TABLE tpm.{table} OPTIONS (ADD page_size '20')")
    sandbox.fault("latency", ms=200)
    sessions = crowd.Crowd(cluster, shared.info.dbname,
                           [crowd.asking(LOOP.format("third_parties", "cases", 50)),
                            crowd.asking(LOOP.format("cases", "third_parties", 50))]).begin().join(60)
    assert sessions.errors == []
    assert longest_pause(shared) < 1
    for path, resource in (("/v1/third_parties", "third_parties"), ("/v1/cases", "cases")):
        assert len(lists(sandbox, path)) <= pages_of(sandbox, resource, 20) + 1


def test_page_ahead_of_one_who_rests(shared, sandbox, cluster):
    """Who has asked for a page ahead and does something else for long holds up nobody, with its page or its token."""
    tpmtest.rows(shared, "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD page_size '20')")
    sandbox.fault("hold", match=LIST, count=1, skip=1)
    resting = "FOR i IN SELECT id FROM tpm.third_parties LOOP at := at + 1; " \
              "IF at = 30 THEN PERFORM pg_sleep(600); END IF; END LOOP;"
    first = crowd.Crowd(cluster, shared.info.dbname,
                        [crowd.asking(f"DO $$ DECLARE at int := 0; i record; BEGIN {resting} END $$")]).begin()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    # the request for the third page, which is begun before its turn, is the one that asks for a token
    tpmtest.rows(shared, "SELECT tpm_fdw_reset_tokens()")
    sandbox.release()
    tpmtest.wait_until(lambda: tpmtest.rows(shared, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                                                    f" AND pid = {first.members[0].pid}"))
    others = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)] * 4).begin().join(30)
    assert others.errors == []
    assert all(len(result) == 300 for result in others.results)
    assert len(lists(sandbox)) <= pages_of(sandbox, "third_parties", 20) + 1
    tpmtest.rows(shared, f"SELECT pg_cancel_backend({first.members[0].pid})")
    first.join(30)


def test_idle_cursor(shared, sandbox, cluster):
    """A cursor that fetched one row and idles in its transaction holds up nobody."""
    tpmtest.rows(shared, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM tpm.third_parties")
    assert len(tpmtest.rows(shared, "FETCH 1 FROM c")) == 1
    sessions = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)] * 10).begin().join(30)
    assert sessions.errors == []
    assert all(len(result) == 300 for result in sessions.results)
    assert len(lists(sandbox)) <= 4
    assert len(tpmtest.rows(shared, "FETCH ALL FROM c")) == 299
    tpmtest.rows(shared, "COMMIT")


def test_terminated_in_flight(shared, sandbox, cluster):
    """Whoever's request is in flight dies: another takes it up; all others get the full answer."""
    sandbox.fault("hold", match=LIST, count=1)
    first = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)]).begin()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    others = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)] * 8).begin()
    tpmtest.wait_until(lambda: waiting(shared) == 9)
    tpmtest.rows(shared, f"SELECT pg_terminate_backend({first.members[0].pid})")
    others.join(30)
    first.join(30)
    assert len(first.errors) == 1
    assert others.errors == []
    assert all(len(result) == 300 for result in others.results)
    assert len(lists(sandbox)) <= 4
    sandbox.release()


def test_killed_in_flight(sandbox):
    """The same where the server crashes with it: nothing is left behind."""
    cluster = tpmtest.Cluster().start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    sandbox.fault("hold", match=LIST, count=1)
    session = crowd.Crowd(cluster, "postgres", [crowd.asking(ALL)]).begin()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    cluster.kill9(session.members[0].pid)
    session.join(30)
    sandbox.release()
    tpmtest.wait_until(lambda: "reinitializing" in cluster.log() and up(cluster))
    assert len(cluster.sql(ALL)) == 300
    cluster.destroy()


def up(cluster):
    try:
        return cluster.sql("SELECT 1")
    except psycopg2.OperationalError:
        return False


def test_whole_table_for_all_filters(shared, sandbox, cluster):
    """12 filters on a cold table with cache_scope 'table': the pages of one scan."""
    tpmtest.rows(shared, "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD cache_scope 'table')")
    sandbox.fault("latency", ms=100, match=LIST)
    countries = [row["attributes"]["country"] for row in sandbox.dump("third_parties")]
    asked = sorted(set(countries), key=countries.count)[-12:]
    queries = [f"SELECT count(*) FROM tpm.third_parties WHERE country = '{country}'" for country in asked]
    sessions = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(query) for query in queries]).begin().join(30)
    assert sessions.errors == []
    assert sessions.results == [[(countries.count(country),)] for country in asked]
    assert len(lists(sandbox)) == 3


# ----- what a kept answer is good for -----


def test_zero_requests_after_select_star(shared, sandbox):
    """Any filter, order, range, count, aggregate or join within its age, also for statements prepared before."""
    prepared = {
        "a": "SELECT count(*) FROM tpm.third_parties WHERE status = 'Active'",
        "b": "SELECT id FROM tpm.third_parties ORDER BY updated_at DESC, id LIMIT 10",
        "c": "SELECT count(*) FROM tpm.third_parties WHERE updated_at > '2026-01-01'",
        "d": "SELECT sum(annual_spend), max(name) FROM tpm.third_parties WHERE country IN ('DE', 'FR')",
        "e": "SELECT count(*) FROM tpm.third_parties a JOIN tpm.third_parties b ON a.parent_id = b.id",
        "f": "SELECT name FROM tpm.third_parties WHERE id = '7'",
    }
    columns = {name for name, in tpmtest.rows(
        shared, "SELECT attname FROM pg_attribute WHERE attrelid = 'tpm.third_parties'::regclass")}
    prepared = {name: query.replace("annual_spend", "length(name)") if "annual_spend" not in columns else query
                for name, query in prepared.items()}
    if "parent_id" not in columns:
        prepared["e"] = prepared["e"].replace("a.parent_id = b.id", "a.id = b.id")
    for name, query in prepared.items():
        tpmtest.rows(shared, f"PREPARE {name} AS {query}")
    tpmtest.rows(shared, "SELECT * FROM tpm.third_parties")
    before = sandbox.request_count()
    warm = [tpmtest.rows(shared, f"EXECUTE {name}") for name in prepared]
    warm += [tpmtest.rows(shared, query) for query in prepared.values()]
    assert sandbox.request_count() == before
    tpmtest.rows(shared, "SET tpm_fdw.cache_ttl = 0")
    assert warm == 2 * [tpmtest.rows(shared, query) for query in prepared.values()]


def test_never_another_question_s_answer(shared, sandbox):
    """A LIMIT, a filter, a column set: what was kept of one question answers no other wrongly."""
    everything = {row["id"]: row["attributes"] for row in sandbox.dump("third_parties")}
    active = sorted(ident for ident, row in everything.items() if row["status"] == "Active")
    for _ in range(2):
        assert len(tpmtest.rows(shared, "SELECT id FROM tpm.third_parties WHERE status = 'Active' LIMIT 3")) == 3
        assert len(tpmtest.rows(shared, "SELECT id FROM tpm.third_parties LIMIT 7")) == 7
        assert tpmtest.rows(shared, "SELECT count(*) FROM tpm.third_parties WHERE status = 'Inactive'") == [
            (len(everything) - len(active),)]
        assert tpmtest.rows(shared, "SELECT id FROM tpm.third_parties WHERE status = 'Active' ORDER BY id") == [
            (ident,) for ident in active]
        assert {name for name, in tpmtest.rows(shared, "SELECT name FROM tpm.third_parties WHERE status = 'Active'")} == {
            everything[ident]["name"] for ident in active}


def test_cache_ttl_zero_bypasses(shared, sandbox):
    """Neither read nor stored."""
    tpmtest.rows(shared, "SET tpm_fdw.cache_ttl = 0")
    tpmtest.rows(shared, ALL)
    assert tpmtest.rows(shared, "SELECT * FROM tpm_fdw_cache") == []
    tpmtest.rows(shared, "RESET tpm_fdw.cache_ttl")
    tpmtest.rows(shared, ALL)
    tpmtest.rows(shared, "SET tpm_fdw.cache_ttl = 0")
    before = sandbox.request_count()
    tpmtest.rows(shared, ALL)
    assert sandbox.request_count() == before + 3


# ----- what ends it -----


def test_write_overtakes_a_fetch(shared, sandbox, cluster):
    """A POST between the first and the last page of another session's fetch: nothing old is served afterwards."""
    sandbox.fault("hold", match=LIST, count=1, skip=1)
    reader = crowd.Crowd(cluster, shared.info.dbname, [crowd.asking(ALL)]).begin()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    tpmtest.rows(shared, "INSERT INTO tpm.third_parties (name, country, internal_id)"
                         " VALUES ('Overtaker', 'DE', 'over-1')")
    sandbox.release()
    reader.join(30)
    assert reader.errors == []
    found = tpmtest.rows(shared, "SELECT count(*) FROM tpm.third_parties WHERE name LIKE 'Overt%'")
    assert found == [(1,)]


def test_write_through_another_table(shared, sandbox):
    """Another table over the same resource, in another schema and database."""
    assert len(tpmtest.rows(shared, ALL)) == 300
    tpmtest.rows(shared, "CREATE FOREIGN TABLE vendors (id text, name text, country text, internal_id text)"
                         " SERVER tpm OPTIONS (resource '/third_parties')")
    tpmtest.rows(shared, "INSERT INTO vendors (name, country, internal_id) VALUES ('Sideways', 'DE', 'side-1')")
    assert len(tpmtest.rows(shared, ALL)) == 301


def test_write_through_another_server(shared, sandbox):
    """Where base_url ends and the resource begins does not matter: it is the same resource."""
    assert len(tpmtest.rows(shared, ALL)) == 300
    tpmtest.setup_server(shared, sandbox, server="above", options={"base_url": sandbox.base_url[:-len("/v1")]})
    tpmtest.rows(shared, "CREATE FOREIGN TABLE vendors (id text, name text, country text, internal_id text)"
                         " SERVER above OPTIONS (resource '/v1/third_parties')")
    tpmtest.rows(shared, "INSERT INTO vendors (name, country, internal_id) VALUES ('From above', 'DE', 'above-1')")
    assert len(tpmtest.rows(shared, ALL)) == 301


ALTERATIONS = [
    "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD query 'filter[status]=Active')",
    "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (ADD attribute 'country')",
    "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN status TYPE varchar(40)",
    "ALTER SERVER tpm OPTIONS (ADD timezone 'Asia/Tokyo')",
    "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (SET client_secret 'another-secret')",
    "SELECT tpm_fdw_reset_cache()",
    "SELECT tpm_fdw_reset_cache('tpm')",
]


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_dropped_by(shared, sandbox, alteration):
    """ALTER of table, server or user mapping, and the reset: the API is asked again."""
    tpmtest.rows(shared, ALL)
    before = sandbox.request_count()
    tpmtest.rows(shared, ALL)
    assert sandbox.request_count() == before
    tpmtest.rows(shared, alteration)
    tokens = len(token_requests(sandbox))
    if "secret" in alteration:
        with pytest.raises(psycopg2.Error) as caught:
            tpmtest.rows(shared, ALL)
        assert caught.value.pgcode == "28000"
        assert len(token_requests(sandbox)) > tokens
    else:
        tpmtest.rows(shared, ALL)
        assert sandbox.request_count() > before


# ----- whose rows, and how they were read -----


def test_date_style_and_zone(shared, sandbox, cluster):
    """Rows read by a session with one DateStyle and TimeZone are right for one with others."""
    tpmtest.rows(shared, "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'")
    query = "SELECT extract(epoch FROM created_at)::bigint FROM tpm.third_parties ORDER BY id"
    here = tpmtest.rows(shared, query)
    other = cluster.connect(shared.info.dbname)
    tpmtest.rows(other, "SET DateStyle = 'SQL, MDY'; SET TimeZone = 'America/New_York'")
    before = sandbox.request_count()
    assert tpmtest.rows(other, query) == here
    assert sandbox.request_count() == before
    tpmtest.rows(other, "SET tpm_fdw.cache_ttl = 0")
    assert tpmtest.rows(other, query) == here
    other.close()


def test_cloned_database(shared, sandbox, cluster):
    """Same OIDs, other database: its own rows."""
    name = shared.info.dbname
    tpmtest.rows(shared, ALL)
    shared.close()
    cluster.sql(f"CREATE DATABASE {name}_clone TEMPLATE {name}")
    clone = cluster.connect(f"{name}_clone")
    tpmtest.rows(clone, "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (ADD attribute 'country')")
    countries = {row["attributes"]["country"] for row in sandbox.dump("third_parties")}
    assert {name for _, name, _ in tpmtest.rows(clone, ALL)} == countries
    # the view does not name another database's relation by this one's catalog
    assert tpmtest.rows(clone, "SELECT count(*) FROM tpm_fdw_cache WHERE database <> current_database()"
                               " AND relation IS NOT NULL") == [(0,)]
    clone.close()


def test_enumeration_grows(shared, sandbox):
    """A type whose reading depends on the catalog: right after ALTER TYPE ADD VALUE."""
    statuses = sorted({row["attributes"]["status"] for row in sandbox.dump("third_parties")})
    labels = ", ".join(tpmtest.quote(status) for status in statuses)
    tpmtest.rows(shared, f"CREATE TYPE standing AS ENUM ({labels})")
    tpmtest.rows(shared, "CREATE FOREIGN TABLE enumerated (id text, status standing) SERVER tpm"
                         " OPTIONS (resource '/third_parties')")
    first = tpmtest.rows(shared, "SELECT status, count(*) FROM enumerated GROUP BY 1 ORDER BY 1")
    assert tpmtest.rows(shared, "SELECT * FROM tpm_fdw_cache WHERE relation LIKE '%enumerated%'") == []
    tpmtest.rows(shared, f"ALTER TYPE standing ADD VALUE 'Zero' BEFORE {tpmtest.quote(statuses[0])}")
    sandbox.edit("third_parties", 1, status="Zero")
    second = tpmtest.rows(shared, "SELECT status, count(*) FROM enumerated GROUP BY 1 ORDER BY 1")
    assert second[0] == ("Zero", 1)
    assert sum(count for _, count in first) == sum(count for _, count in second) == 300


def test_column_dropped_and_added(shared, sandbox):
    """A column of another type in the place of one that was dropped, between fill and hit."""
    tpmtest.rows(shared, "CREATE FOREIGN TABLE changing (id text, name text, country text) SERVER tpm"
                         " OPTIONS (resource '/third_parties')")
    tpmtest.rows(shared, "SELECT * FROM changing")
    tpmtest.rows(shared, "ALTER FOREIGN TABLE changing DROP COLUMN name")
    tpmtest.rows(shared, "ALTER FOREIGN TABLE changing ADD COLUMN created_at timestamptz")
    rows = tpmtest.rows(shared, "SELECT id, country, created_at IS NOT NULL FROM changing ORDER BY id")
    expected = sorted((row["id"], row["attributes"]["country"], True) for row in sandbox.dump("third_parties"))
    assert rows == expected


@pytest.fixture
def two_roles(shared, sandbox):
    """Roles with the credential of the server's owner, and one with another."""
    for role, client in (("same", "sandbox:sandbox-secret"), ("other", "second:second-secret")):
        client_id, secret = client.split(":")
        tpmtest.rows(shared, f"DROP ROLE IF EXISTS {role}")
        tpmtest.rows(shared, f"CREATE ROLE {role} LOGIN")
        tpmtest.rows(shared, f"GRANT USAGE ON FOREIGN SERVER tpm TO {role}; GRANT USAGE ON SCHEMA tpm TO {role};"
                             f" GRANT SELECT ON ALL TABLES IN SCHEMA tpm TO {role}")
        tpmtest.rows(shared, f"CREATE USER MAPPING FOR {role} SERVER tpm OPTIONS (client_id '{client_id}',"
                             f" client_secret '{secret}')")
    yield shared
    tpmtest.rows(shared, "RESET ROLE")
    for role in ("same", "other"):
        tpmtest.rows(shared, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_credentials_share_nothing(two_roles, cluster):
    """Two roles with one credential share rows; another credential has its own."""
    sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--client", "second:second-secret").start()
    tpmtest.rows(two_roles, f"ALTER SERVER tpm OPTIONS (SET base_url '{sandbox.base_url}')")
    tpmtest.rows(two_roles, ALL)
    for role, requests in (("same", 0), ("other", 3), ("other", 0)):
        session = cluster.connect(two_roles.info.dbname, role)
        before = sandbox.request_count()
        assert len(tpmtest.rows(session, ALL)) == 300
        assert sandbox.request_count() == before + requests
        session.close()
    tpmtest.rows(two_roles, "REVOKE SELECT ON tpm.third_parties FROM same")
    session = cluster.connect(two_roles.info.dbname, "same")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        tpmtest.rows(session, ALL)
    session.close()
    sandbox.stop()


# ----- bounds -----


def anonymous_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def test_small_cache(sandbox):
    """1,000 different filters with 1 MB: no query fails, bytes stay below, memory flat."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.cache_size": "1MB"}).start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    tpmtest.rows(db, "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN name OPTIONS (ADD filter_match 'exact')"
                 if not tpmtest.rows(db, "SELECT true FROM pg_attribute, unnest(attfdwoptions) o WHERE attname = 'name'"
                                         " AND attrelid = 'tpm.third_parties'::regclass AND o LIKE 'filter_match=%'")
                 else "SELECT 1")
    pid = db.get_backend_pid()
    level = None
    for number in range(1000):
        rows = tpmtest.rows(db, f"SELECT id, name FROM tpm.third_parties WHERE id IN ('{number}', '{number + 1}',"
                                f" '{number + 2}')")
        assert len(rows) == sum(1 for n in (number, number + 1, number + 2) if 1 <= n <= 300)
        if number % 100 == 0:
            total = tpmtest.rows(db, "SELECT coalesce(sum(bytes), 0) FROM tpm_fdw_cache")[0][0]
            assert total <= 1024 * 1024
            level = level or (anonymous_kb(pid) if number >= 100 else None)
    assert tpmtest.rows(db, "SELECT count(*) FROM tpm.third_parties WHERE name <> ''") == [(300,)]
    assert len(tpmtest.rows(db, "SELECT * FROM tpm.cases")) == len(sandbox.dump("cases"))
    assert anonymous_kb(pid) - level < 2048
    cluster.destroy()


def mixed_load(db):
    """Lists of every length and with conditions of every length, which leave chunks of every size behind."""
    for n in (*range(1, 40), *range(40, 240, 20)):
        ids = ", ".join(f"'{number}'" for number in range(n, 2 * n))
        tpmtest.rows(db, f"SELECT * FROM tpm.third_parties WHERE id IN ({ids})")
        tpmtest.rows(db, f"SELECT * FROM tpm.third_parties WHERE name = '{'x' * n * n}'")


def test_least_cache(sandbox):
    """The least cache keeps lists whatever came before; less is refused when PostgreSQL starts, and 0 is none."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.cache_size": "1MB"}).start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    for _ in range(3):
        mixed_load(db)
        for table in ("third_parties", "cases"):
            tpmtest.rows(db, f"SELECT * FROM tpm.{table}")
            before = sandbox.request_count()
            tpmtest.rows(db, f"SELECT * FROM tpm.{table}")
            assert sandbox.request_count() == before
    assert tpmtest.rows(db, "SELECT sum(bytes) <= 1048576 FROM tpm_fdw_cache") == [(True,)]
    cluster.destroy()


@pytest.mark.parametrize("size, now", [("1023kB", "256MB"), ("600kB", "256MB"), ("0", "0"), ("1MB", "1MB")])
def test_less_than_the_least_cache(size, now):
    cluster = tpmtest.Cluster(**{"tpm_fdw.cache_size": size}).start()
    assert tpmtest.rows(cluster.connect(), "SHOW tpm_fdw.cache_size") == [(now,)]
    assert ("The least cache is 1024 kB; 0 is none." in cluster.log()) == (now == "256MB")
    cluster.destroy()


def test_small_dev_shm(sandbox):
    """A /dev/shm of 4 MB, as containers have it, and the default cache: no query fails."""
    cluster = tpmtest.Cluster()
    cluster.start_in("mount -t tmpfs -o size=4m tmpfs /dev/shm")
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    assert len(tpmtest.rows(db, "SELECT * FROM tpm.third_parties")) == 300
    for number in range(50):
        tpmtest.rows(db, f"SELECT name FROM tpm.third_parties WHERE id = '{number}'")
    before = sandbox.request_count()
    assert len(tpmtest.rows(db, "SELECT * FROM tpm.third_parties")) == 300
    assert sandbox.request_count() == before
    with open(f"/proc/{db.get_backend_pid()}/maps", encoding="ascii") as maps:
        assert sum(1 for line in maps if "/dev/shm/" in line) <= 3
    cluster.destroy()


def test_together_and_apart(shared, sandbox, cluster):
    """Sessions that come and go while a list grows: right rows for each."""
    sandbox.fault("latency", ms=30, match=LIST)
    failed = []

    def come_and_go():
        for query, rows in ((ALL, 300), ("SELECT id FROM tpm.third_parties LIMIT 5", 5),
                            ("SELECT id FROM tpm.third_parties WHERE id = '3'", 1)):
            connection = cluster.connect(shared.info.dbname)
            if len(tpmtest.rows(connection, query)) != rows:
                failed.append(query)
            connection.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
