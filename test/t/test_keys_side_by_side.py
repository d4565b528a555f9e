"""Lists of keys side by side: 2,000 keys are 20 lists, of which up to fetch_concurrency are under way.

2,000 third parties and more, 100 a page, the cache off. How many are under way is what the sandbox says of each request: when it
came, and how long its answer took.
"""

import time

import psycopg2
import pytest
import tpmtest

LATENCY = 0.2
KEYS = 2000
JOIN = "SELECT v.n, t.name FROM vendors v JOIN third_parties t ON t.id = v.party"


@pytest.fixture(scope="module")
def slow():
    sandbox = tpmtest.Sandbox("--records", "6000", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--latency-ms", str(int(1000 * LATENCY))).start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def session(db, slow):
    tpmtest.setup_server(db, slow, schema="tpm", trust="exact")
    tpmtest.rows(db, f"""SET tpm_fdw.cache_ttl = 0; SET search_path = tpm, public; SET tpm_fdw.max_requests = 0;
        CREATE TABLE public.vendors AS SELECT n, (1 + n * 23 % 6000)::text AS party FROM generate_series(1, {KEYS}) n;
        ANALYZE vendors; SELECT count(*) FROM users""")
    slow.reset()
    yield db
    slow.reset()


def lists(sandbox):
    """When each of the requests came that are for keys, in seconds."""
    return [request["time"] for request in sandbox.requests() if request["path"].startswith("/v1/third_parties")]


def most_at_once(sandbox):
    """The most requests that were under way at a time: one after the other, they are a latency apart."""
    times = lists(sandbox)
    return max(sum(first <= other < first + 0.9 * LATENCY for other in times) for first in times)


def test_latency_is_waited_for_together(session, slow):
    """The first list alone, then four at a time: six latencies where one after the other takes twenty, for the same requests."""
    names = {item["id"]: item["attributes"]["name"] for item in slow.dump("third_parties")}
    expected = [(n, names[str(1 + n * 23 % 6000)]) for n in range(1, KEYS + 1)]
    before = time.monotonic()
    rows = tpmtest.rows(session, JOIN)
    seconds = time.monotonic() - before
    # the order of vendors, too
    assert rows == expected
    assert (slow.request_count(), most_at_once(slow)) == (20, 4)
    assert seconds < 0.6 * 20 * LATENCY * max(1, tpmtest.SLACK)


def test_one_at_a_time(session, slow):
    tpmtest.rows(session, "ALTER SERVER tpm OPTIONS (ADD fetch_concurrency '1')")
    assert len(tpmtest.rows(session, f"{JOIN} WHERE n <= 500")) == 500
    assert (slow.request_count(), most_at_once(slow)) == (5, 1)


@pytest.mark.parametrize("statement, requests", [
    (f"{JOIN} LIMIT 250", 4),
    ("SELECT n FROM vendors v WHERE n <= 300 AND EXISTS (SELECT FROM third_parties t WHERE t.id = v.party)", 3),
    ("SELECT n, CASE WHEN n % 100 < 50 THEN (SELECT name FROM third_parties t WHERE t.id = v.party) END FROM vendors v WHERE n <= 300", 3)])
def test_where_not_all_may_be_wanted(session, slow, statement, requests):
    """What leaves before its turn could be in vain: the plan may stop, or a row may not ask."""
    tpmtest.rows(session, statement)
    assert slow.request_count() <= requests
    assert most_at_once(slow) == 1


def test_requests_that_are_allowed(session, slow):
    """max_requests holds for what is under way: the error is that of the list which is one too many."""
    tpmtest.rows(session, "SET tpm_fdw.max_requests = 7")
    with pytest.raises(psycopg2.Error) as error:
        tpmtest.rows(session, JOIN)
    assert error.value.pgcode == "53400"
    assert slow.request_count() == 7
    slow.reset()
    assert len(tpmtest.rows(session, f"{JOIN} WHERE n <= 700")) == 700
    assert slow.request_count() == 7


def test_requests_a_second(session, slow):
    """Side by side within the budget: no second has more than it allows."""
    tpmtest.rows(session, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '10')")
    assert len(tpmtest.rows(session, JOIN)) == KEYS
    times = lists(slow)
    assert len(times) == 20
    assert max(sum(first <= other < first + 0.95 for other in times) for first in times) <= 10


def test_what_is_under_way_ends_with_the_statement(session, slow):
    """A statement that is cancelled, or fails in the midst of its lists, leaves a session that goes on."""
    slow.fault("status:403", skip=6)
    with pytest.raises(psycopg2.Error) as error:
        tpmtest.rows(session, JOIN)
    assert error.value.pgcode == "42501"
    slow.reset()
    tpmtest.rows(session, f"SET statement_timeout = {int(2500 * LATENCY)}")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        tpmtest.rows(session, JOIN)
    tpmtest.rows(session, "RESET statement_timeout")
    slow.reset()
    assert len(tpmtest.rows(session, JOIN)) == KEYS
    assert slow.request_count() == 20


def test_kept_lists(session, slow):
    """With the cache on each list is kept, and sent for once."""
    tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 600")
    for requests in (20, 20):
        assert len(tpmtest.rows(session, JOIN)) == KEYS
        assert slow.request_count() == requests
    assert most_at_once(slow) == 4


def test_rows_and_keys_as_they_happen_to_come(tpm, sandbox):
    """Keys that come again, NULLs, none such, and any number of rows for each; what is kept is not asked for again."""
    tpmtest.rows(tpm, """
        CREATE TABLE public.mine AS SELECT k, CASE WHEN k % 11 = 0 THEN NULL WHEN k % 7 = 0 THEN 'none' || k
            ELSE (1 + k * 31 % 300)::text END AS party FROM generate_series(1, 900) k;
        ANALYZE mine; ALTER SERVER tpm OPTIONS (ADD page_size '20')""")
    statement = "SELECT m.k, c.id FROM mine m LEFT JOIN cases c ON c.third_party_id = m.party"
    assert "Key Lookahead" in str(tpmtest.rows(tpm, f"EXPLAIN {statement}"))
    given, asked = [], []
    for concurrency in (4, 1):
        tpmtest.rows(tpm, f"ALTER SERVER tpm OPTIONS ({'SET' if asked else 'ADD'} fetch_concurrency '{concurrency}')")
        sandbox.reset()
        given.append(sorted(tpmtest.rows(tpm, statement), key=str))
        asked.append(sandbox.request_count())
    assert given[0] == given[1]
    assert asked[0] <= asked[1]


def below(session, count):
    """A table of cases whose path has the third party, and one of third parties by their path alone; keys are `parties`."""
    tpmtest.rows(session, f"""
        CREATE FOREIGN TABLE cases_below (id text, stage text, third_party_id text)
            SERVER tpm OPTIONS (resource '/third_parties/{{third_party_id}}/cases');
        CREATE FOREIGN TABLE alone (id text, name text) SERVER tpm OPTIONS (resource '/third_parties');
        CREATE TABLE public.parties AS SELECT n, (1 + n * 23 % 300)::text AS party FROM generate_series(1, {count}) n;
        ANALYZE parties""")


SINGLY = ["SELECT p.n, c.id FROM parties p LEFT JOIN cases_below c ON c.third_party_id = p.party",
          "SELECT p.n, t.name FROM parties p JOIN alone t ON t.id = p.party"]


@pytest.mark.parametrize("statement", SINGLY)
def test_keys_that_are_a_request_each(session, slow, statement):
    """Without a filter that takes lists, keys are asked for singly, and four at a time."""
    below(session, 21)
    plan = str(tpmtest.rows(session, f"EXPLAIN {statement}"))
    assert "Keys a Request: 1'" in plan and "GET /third_parties/$0" in plan
    given = []
    for concurrency in (4, 1):
        tpmtest.rows(session, f"ALTER SERVER tpm OPTIONS ({'SET' if given else 'ADD'} fetch_concurrency '{concurrency}')")
        slow.reset()
        given.append(tpmtest.rows(session, statement))
        assert (slow.request_count(), most_at_once(slow)) == (21, concurrency)
    assert given[0] == given[1]


@pytest.mark.parametrize("statement", [SINGLY[0] + " LIMIT 3", SINGLY[1] + " LIMIT 3",
                                       "SELECT n FROM parties p WHERE EXISTS (SELECT FROM cases_below c WHERE c.third_party_id = p.party)",
                                       "SELECT n, CASE WHEN n < 4 THEN (SELECT name FROM alone t WHERE t.id = p.party) END FROM parties p"])
def test_keys_that_may_not_be_wanted(session, slow, statement):
    below(session, 6)
    tpmtest.rows(session, statement)
    assert slow.request_count() <= 6
    assert most_at_once(slow) == 1
