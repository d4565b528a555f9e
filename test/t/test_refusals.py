"""Refuse before you spend: what cannot be finished costs at most one request, what may stop early is let through."""

import itertools
from urllib.parse import parse_qs, urlsplit

import hostile
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

RECORDS = 25000
PAGES = RECORDS // 100
DATABASES = itertools.count(1)

# the caps, each too small for the list and large enough for some pages of it
CAPS = {
    "max_requests": "SET tpm_fdw.max_requests = 20",
    "max_wait": "SET tpm_fdw.max_requests = 0; SET tpm_fdw.max_wait = '1s'; SET tpm_fdw.leave_free = 0",
    "leave_free": "SET tpm_fdw.max_requests = 0; SET tpm_fdw.max_wait = '1s'; SET tpm_fdw.leave_free = '50%'"}
HOUR = {"max_requests": 100000, "max_wait": PAGES - 10, "leave_free": 2 * PAGES - 10}

READS_ALL = {
    "aggregate": "SELECT avg(length(name)) FROM third_parties LIMIT 1000",
    "filtered aggregate": "SELECT max(length(name)) FROM third_parties WHERE name LIKE '%a%' LIMIT 10",
    "group": "SELECT status, count(*) FROM third_parties GROUP BY status LIMIT 1000",
    "sorted group": "SELECT date_trunc('month', created_at) m, count(*) FROM third_parties GROUP BY 1 ORDER BY 2 DESC LIMIT 10",
    "having": "SELECT country, count(*) n FROM third_parties GROUP BY 1 HAVING count(*) > 1 LIMIT 5",
    "sort": "SELECT name FROM third_parties ORDER BY length(name), name LIMIT 10",
    "sort after a filter here": "SELECT id, name FROM third_parties WHERE name LIKE '%a%' ORDER BY length(name) DESC LIMIT 1",
    "distinct": "SELECT DISTINCT status FROM third_parties LIMIT 1000",
    "window": "SELECT name, sum(length(name)) OVER () FROM third_parties LIMIT 10",
    "hashed IN": "SELECT n FROM generate_series(1, 3) n WHERE n::text NOT IN (SELECT id FROM third_parties) LIMIT 1",
    "hash join": "SELECT count(*) FROM generate_series(1, 3) n LEFT JOIN third_parties t ON length(t.name) = n LIMIT 1000",
    "union": "SELECT name FROM third_parties UNION SELECT 'another' LIMIT 10",
    "materialized CTE": "WITH c AS MATERIALIZED (SELECT status FROM third_parties) SELECT status, count(*) FROM c GROUP BY 1 LIMIT 9",
    "subquery of the select list": "SELECT (SELECT string_agg(left(name, 1), '') FROM third_parties) LIMIT 1",
    "table": "CREATE TABLE copied AS SELECT name FROM third_parties",
    "insert": "INSERT INTO here SELECT id FROM third_parties",
    "everything": "SELECT name FROM third_parties"}

MAY_STOP = {
    "limit": ("SELECT name FROM third_parties LIMIT 10", 10, 1),
    "limit after a filter here": ("SELECT name FROM third_parties WHERE name LIKE '%a%' LIMIT 10", 10, 2),
    "newest": ("SELECT id FROM third_parties ORDER BY updated_at DESC, id LIMIT 10", 10, 2),
    "limit below an aggregate": ("SELECT count(*) FROM (SELECT name FROM third_parties LIMIT 150) x LIMIT 1", 1, 2),
    "exists": ("SELECT EXISTS (SELECT FROM third_parties WHERE name LIKE '%a%')", 1, 1),
    "semi join": ("SELECT n FROM generate_series(1, 2) n WHERE EXISTS (SELECT FROM third_parties WHERE length(name) > n)", 2, 2),
    "count": ("SELECT count(*) FROM third_parties LIMIT 1", 1, 1),
    "by id": ("SELECT name FROM third_parties WHERE id IN ('5', '7') LIMIT 1000", 2, 2)}


@pytest.fixture(scope="module")
def large():
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def connect(cluster, large):
    """Makes sessions in databases of their own, which know nothing of the sandbox's tables."""
    opened = []

    def make(per_hour=100000, **options):
        name = f"refusals_{next(DATABASES)}"
        cluster.sql(f"CREATE DATABASE {name}")
        connection = cluster.connect(name)
        opened.append(connection)
        tpmtest.setup_server(connection, large, schema="tpm", trust="exact",
                             options={"rate_limit_per_hour": per_hour, **options})
        rows(connection, "SET search_path = tpm, public; CREATE TABLE public.here (id text)")
        # the budget is that of all databases
        rows(connection, "SELECT tpm_fdw_reset_rate_limits(), tpm_fdw_reset_cache()")
        large.reset()
        return connection
    yield make
    for connection in opened:
        connection.close()


def refused(connection, query, code="53400"):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, query)
    assert caught.value.pgcode == code, caught.value
    return caught.value


@pytest.mark.parametrize("cap", CAPS)
def test_what_needs_all_pages(connect, large, cap):
    """Each after one request, together as well: it has told the size."""
    session = connect(HOUR[cap])
    rows(session, CAPS[cap])
    for kind, query in READS_ALL.items():
        refused(session, query)
        assert large.request_count() <= 1, kind


@pytest.mark.parametrize("kind", READS_ALL)
def test_size_unknown(connect, large, kind):
    """One request, of which the page is not lost on whoever comes next."""
    session = connect()
    rows(session, CAPS["max_requests"])
    error = refused(session, READS_ALL[kind])
    assert large.request_count() == 1
    assert f"needs {PAGES} requests" in str(error) and "tpm_fdw.max_requests" in str(error)


@pytest.mark.parametrize("query", [READS_ALL["group"], "SELECT max(name) FROM third_parties WHERE status = 'Active' LIMIT 10"])
def test_the_page_stays(connect, large, query):
    """What a refused read has got is not asked for again, once the list may be read."""
    session = connect()
    rows(session, CAPS["max_requests"])
    needed = str(refused(session, query)).split("needs ")[1].split()[0]
    assert large.request_count() == 1
    refused(session, query)
    assert large.request_count() == 1
    rows(session, "SET tpm_fdw.max_requests = 0")
    rows(session, query)
    # how large the table is nobody knows: that is one more, for a part of it
    assert int(needed) <= large.request_count() <= int(needed) + ("WHERE" in query)


@pytest.mark.parametrize("cached", [False, True])
def test_what_may_stop(connect, large, cached):
    session = connect()
    rows(session, CAPS["max_requests"] + ("" if cached else "; SET tpm_fdw.cache_ttl = 0"))
    for kind, (query, n, most) in MAY_STOP.items():
        before = large.request_count()
        assert len(rows(session, query)) == n, kind
        assert large.request_count() - before <= most, kind
    before = large.request_count()
    rows(session, "BEGIN; DECLARE c CURSOR FOR SELECT name FROM third_parties")
    assert len(rows(session, "FETCH 150 FROM c")) == 150
    rows(session, "COMMIT")
    rows(session, "DO $$ DECLARE r record; BEGIN FOR r IN SELECT name FROM third_parties LOOP EXIT; END LOOP; END $$")
    rows(session, "DO $$ DECLARE r record; BEGIN SELECT name INTO r FROM third_parties; END $$")
    assert large.request_count() - before <= 4



# ----- sizes that no total tells -----

UNTOLD = "ALTER FOREIGN TABLE third_parties OPTIONS (SET total_pointer '/none')"
FILTERED = "SELECT max(name) FROM third_parties WHERE status = 'Active' LIMIT 10"


@pytest.fixture
def without_totals(connect):
    session = connect()
    rows(session, UNTOLD)
    rows(session, CAPS["max_requests"])
    return session


@pytest.mark.parametrize("query", [READS_ALL["group"], FILTERED])
def test_no_total(without_totals, large, query):
    """The first one stops at max_requests, once; what may be sent by then decides what the next one needs."""
    assert "needs more than 20 requests" in str(refused(without_totals, query))
    assert large.request_count() == 20
    rows(without_totals, "SELECT tpm_fdw_reset_cache()")
    assert "needs 21 requests" in str(refused(without_totals, query))
    assert large.request_count() == 20
    rows(without_totals, "SET tpm_fdw.max_requests = 30")
    assert "needs more than 30 requests" in str(refused(without_totals, query))
    assert large.request_count() == 50
    rows(without_totals, "SELECT tpm_fdw_reset_cache()")
    assert "needs 31 requests" in str(refused(without_totals, query))
    assert large.request_count() == 50


def test_read_before(without_totals, large):
    """Read to its end it tells how long it is: neither more is refused than has to be, nor less."""
    few = "SELECT count(*) FROM third_parties WHERE country = 'FR' AND name LIKE '%a%' LIMIT 5"
    rows(without_totals, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 0")
    rows(without_totals, few)
    pages = large.request_count()
    assert pages > 3
    rows(without_totals, f"SET tpm_fdw.max_requests = {pages - 1}")
    refused(without_totals, few)
    assert large.request_count() == pages
    rows(without_totals, f"SET tpm_fdw.max_requests = {pages}")
    rows(without_totals, few)
    assert large.request_count() == 2 * pages


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_read_that_was_left(connect, large, how):
    """Whatever ends it, what has come tells how long it is at the least."""
    session = connect()
    rows(session, UNTOLD + "; ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    large.fault("status:500" if how == "failed" else "stall", match="GET /v1/third_parties", skip=25)
    if how == "cancelled":
        rows(session, "SET statement_timeout = '2s'")
    refused(session, FILTERED, "HV00L" if how == "failed" else "57014")
    large.reset()
    rows(session, "SELECT tpm_fdw_reset_cache(); RESET statement_timeout; " + CAPS["max_requests"])
    refused(session, FILTERED)
    assert large.request_count() == 0


def test_pages_of_another_size(connect, large):
    """An API that gives less than it is asked for: its pages count, in refusals as in plans."""
    session = connect(page_size=500)
    rows(session, "SELECT count(*) FROM third_parties; SELECT id FROM third_parties LIMIT 1; SELECT tpm_fdw_reset_cache()")
    large.reset()
    rows(session, f"SET tpm_fdw.max_requests = {PAGES - 1}")
    assert f"needs {PAGES} requests" in str(refused(session, READS_ALL["group"]))
    assert large.request_count() == 0
    plan = "\n".join(line for line, in rows(session, "EXPLAIN " + READS_ALL["group"]))
    assert f"Requests: ~{PAGES}" in plan


# ----- several lists -----

TWO = {
    "union all": "SELECT name FROM {0} UNION ALL SELECT name FROM {1}",
    "join": "SELECT count(*) FROM {0} a FULL JOIN {1} b ON length(a.name) = length(b.name) LIMIT 10",
    "select list": "SELECT (SELECT max(name) FROM {0}), (SELECT max(name) FROM {1}) LIMIT 1",
    "CTE": "WITH a AS MATERIALIZED (SELECT max(name) m FROM {0}), b AS MATERIALIZED (SELECT max(name) m FROM {1})"
           " SELECT * FROM a, b LIMIT 1"}


def with_twins(connect, large):
    """A session with two tables of one list, whose size it knows and which it may read once."""
    session = connect()
    rows(session, "CREATE FOREIGN TABLE twins (id text, name text) SERVER tpm OPTIONS"
                  " (resource '/third_parties', total_pointer '/meta/total_count')")
    rows(session, "SELECT id FROM third_parties LIMIT 1; SELECT id FROM twins LIMIT 1;"
                  " SELECT tpm_fdw_reset_cache()")
    large.reset()
    rows(session, f"SET tpm_fdw.max_requests = {PAGES + 10}")
    return session


@pytest.mark.parametrize("kind", TWO)
def test_two_lists_of_a_statement(connect, large, kind):
    """Each fits, both do not: none is begun. The list of one table is read once where the cache keeps it."""
    session = with_twins(connect, large)
    query = TWO[kind].format("third_parties", "twins")
    assert f"needs {2 * PAGES} requests" in str(refused(session, query))
    assert large.request_count() == 0
    if kind == "union all":
        assert len(rows(session, TWO[kind].format("twins", "twins"))) == 2 * RECORDS
        assert large.request_count() == PAGES


def test_many_requests_of_one_scan(connect, large):
    """Ids that are asked for one by one, with and without the cache, which may have some of them."""
    session = connect()
    rows(session, "CREATE FOREIGN TABLE single (id text, name text) SERVER tpm OPTIONS (resource '/third_parties')")
    rows(session, "SET tpm_fdw.max_requests = 6")
    query = "SELECT max(name) FROM single WHERE id IN ({}) LIMIT 10"
    wanted = [f"'{n}'" for n in range(1, 10)]
    for ttl in ("0", "-1"):
        rows(session, f"SET tpm_fdw.cache_ttl = {ttl}")
        refused(session, query.format(", ".join(wanted)))
    assert large.request_count() == 0
    rows(session, query.format(", ".join(wanted[:4])))
    # one asks how large the table is, which no total tells: the next statement may look one page further
    assert large.request_count() == 5
    rows(session, query.format(", ".join(wanted)))
    assert 10 <= large.request_count() <= 11


# ----- an older answer -----

@pytest.mark.parametrize("total", [True, False])
def test_stale(connect, large, total):
    """With one at hand nothing is burnt: no request where the size is known, else the one that tells it."""
    session = connect()
    if not total:
        rows(session, UNTOLD)
    rows(session, "SET tpm_fdw.max_requests = 0; SET tpm_fdw.cache_ttl = '1h'")
    assert rows(session, "SELECT count(name) FROM third_parties") == [(RECORDS,)]
    answers = {kind: rows(session, READS_ALL[kind]) for kind in ("group", "distinct", "hashed IN", "everything")}
    large.reset()
    rows(session, "SET tpm_fdw.cache_ttl = 1; SET tpm_fdw.cache_stale = '1h'; " + CAPS["max_requests"])
    tpmtest.wait_until(lambda: rows(session, "SELECT clock_timestamp() > max(fetched) + '1100 ms'::interval"
                                             " FROM tpm_fdw_cache")[0][0])
    for kind, answer in answers.items():
        session.notices.clear()
        assert sorted(rows(session, READS_ALL[kind])) == sorted(answer), kind
        assert any("an answer of" in notice for notice in session.notices), kind
        assert large.request_count() == 0
    # a condition of which nobody knows what it leaves: its total tells
    if total:
        assert rows(session, FILTERED) == rows(session, "SELECT max(name) FROM third_parties WHERE status = 'Active'")
        assert large.request_count() <= 2


# ----- after a restart -----

def test_restart(large):
    """The first query knows sizes, lengths and members."""
    cluster = tpmtest.Cluster().start()
    cluster.sql("CREATE DATABASE restarted")
    session = cluster.connect("restarted")
    tpmtest.setup_server(session, large, schema="tpm", trust="exact", options={"rate_limit_per_hour": 100000})
    rows(session, "CREATE FOREIGN TABLE untold (id text, name text, status text OPTIONS (filter 'status'))"
                  " SERVER tpm OPTIONS (resource '/third_parties')")
    large.reset()
    rows(session, CAPS["max_requests"])
    queries = ["SELECT max(name) FROM tpm.third_parties LIMIT 10", "SELECT max(name) FROM untold LIMIT 10",
               "SELECT max(name) FROM untold WHERE status = 'Active' LIMIT 10"]
    for query in queries:
        refused(session, query)
    estimates = rows(session, "EXPLAIN " + queries[0])
    session.close()
    cluster.restart()
    large.reset()
    session = cluster.connect("restarted")
    rows(session, CAPS["max_requests"])
    for query in queries:
        refused(session, query)
    assert rows(session, "EXPLAIN " + queries[0]) == estimates
    assert large.request_count() == 0
    session.close()
    cluster.destroy()


# ----- lists that are left at a bound -----

# pages that may have been asked for when the bound comes
AHEAD = 3
BY_MONTH = ("SELECT date_trunc('month', updated_at), count(*) FROM third_parties WHERE updated_at >= '{}' GROUP BY 1"
            " ORDER BY 2 DESC LIMIT 1000")


@pytest.fixture(scope="module")
def times(large):
    """When each was changed, the newest first."""
    return sorted((item["attributes"]["updated_at"] for item in large.dump("third_parties")), reverse=True)


@pytest.mark.parametrize("options", [{}, {"pagination": "number"}], ids=["links", "number"])
def test_bound_out_of_reach(connect, large, times, options):
    """A look at the first page that cannot be had any more tells; what is within reach is read."""
    session = connect(**options)
    far, near, here = (times[n] for n in (5000, 1000, 50))
    rows(session, CAPS["max_requests"] + "; SET tpm_fdw.cache_ttl = 0")
    for since in ("2000-01-01", far):
        large.reset()
        refused(session, BY_MONTH.format(since))
        assert large.request_count() == 2
        refused(session, BY_MONTH.format(since))
        assert large.request_count() == 2, "it is known"
    for since, pages in ((near, 12 + AHEAD), (here, 1)):
        large.reset()
        shown = rows(session, BY_MONTH.format(since))
        assert large.request_count() <= pages
        assert sum(n for _, n in shown) == sum(time >= since for time in times)
    # with more of it allowed, what was out of reach is not any more
    rows(session, "SET tpm_fdw.max_requests = 60")
    large.reset()
    assert sum(n for _, n in rows(session, BY_MONTH.format(far))) > 5000
    assert large.request_count() <= 52 + AHEAD


def test_bound_that_no_page_tells(connect, large, times):
    """Where pages have no numbers, the first one stops at max_requests, and the next knows."""
    session = connect(page_parameters="page[size],page[unknown]")
    far, here = times[5000], times[50]
    rows(session, CAPS["max_requests"])
    refused(session, BY_MONTH.format(far))
    assert large.request_count() == 20
    refused(session, BY_MONTH.format(far))
    assert large.request_count() == 20
    assert sum(n for _, n in rows(session, BY_MONTH.format(here))) == 51
    assert large.request_count() == 21


def test_bound_and_an_older_answer(connect, large, times):
    """An older list at hand tells how far it is, and answers."""
    session = connect()
    far = times[5000]
    rows(session, "SET tpm_fdw.max_requests = 0; SET tpm_fdw.cache_ttl = '1h'")
    rows(session, "SELECT count(name) FROM third_parties")
    answer = rows(session, BY_MONTH.format(far))
    large.reset()
    rows(session, "SET tpm_fdw.cache_ttl = 1; SET tpm_fdw.cache_stale = '1h'; " + CAPS["max_requests"])
    tpmtest.wait_until(lambda: rows(session, "SELECT clock_timestamp() > max(fetched) + '1100 ms'::interval"
                                             " FROM tpm_fdw_cache")[0][0])
    assert sorted(rows(session, BY_MONTH.format(far))) == sorted(answer)
    assert large.request_count() == 0


NOT_BEGUN = [
    "SELECT count(name) FROM third_parties t WHERE length(name) >= 0 OR id IN (SELECT id FROM twins)",
    "SELECT count(id) FROM (SELECT id FROM third_parties UNION ALL SELECT id FROM twins WHERE current_setting('here.both', true) = 'on') x",
]


@pytest.mark.parametrize("query", NOT_BEGUN)
def test_what_may_never_be_read(connect, large, query):
    """A subquery that no row asks for, and what a condition switches off, refuse nothing."""
    session = with_twins(connect, large)
    assert rows(session, query)[0][0] == RECORDS
    assert large.request_count() == PAGES


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("condition", ["true", "kind = 'a'"])
def test_what_another_credential_has_found(db, total, condition):
    """A list that is long for one may be short for another, who is shown less."""
    server = hostile.Hostile()
    shown = {"Bearer much": 300, "Bearer little": 15}

    def things(request):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        first, n = 10 * (int(asked.get("page[number]", 1)) - 1), shown[request.headers["authorization"]]
        numbers = range(first + 1, min(first + 10, n) + 1)
        return hostile.document([hostile.resource(number, kind="a") for number in numbers],
                                links={"next": f"/v1/things?page[number]={first // 10 + 2}" if first + 10 < n else None},
                                **({"meta": {"total": n}} if total else {}))

    server.answers["/v1/things"] = things
    options = {"base_url": server.base_url, "auth": "bearer", "page_size": 10, "pagination": "number",
               "total_pointer": "/meta/total", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, """CREATE ROLE refused_little; GRANT pg_read_all_data TO refused_little;
        CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (token 'much');
        CREATE USER MAPPING FOR refused_little SERVER tpm OPTIONS (token 'little');
        CREATE FOREIGN TABLE things (id text, kind text OPTIONS (filter 'kind'))
            SERVER tpm OPTIONS (resource '/things', type 'things');
        CREATE FOREIGN TABLE twins (id text) SERVER tpm OPTIONS (resource '/things', type 'things')""")
    query = f"SELECT count(id) FROM things WHERE {condition} LIMIT 10"
    try:
        assert rows(db, query) == [(300,)]
        rows(db, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 20")
        server.requests.clear()
        refused(db, query)
        assert len(server.paths()) == (total and condition != "true")
        server.requests.clear()
        assert rows(db, f"SET ROLE refused_little; {query}") == [(15,)]
        assert len(server.paths()) == 2
        # nor of two lists together
        rows(db, "RESET ROLE; SET tpm_fdw.max_requests = 200; SELECT id FROM things; SELECT id FROM twins; SET tpm_fdw.max_requests = 20")
        assert len(rows(db, "SET ROLE refused_little; SELECT id FROM things UNION ALL SELECT id FROM twins")) == 30
    finally:
        rows(db, "RESET ROLE; DROP SERVER tpm CASCADE; DROP OWNED BY refused_little; DROP ROLE refused_little")
        server.close()
