"""Lookups by key never cost more than twice the list: it is read as a whole once they have cost as much."""

import json

import hostile
import pytest
import tpmtest
from test_key_index import Shy, nested_loops
from tpmtest import rows

# what is counted is the same on every version, and waits
pytestmark = pytest.mark.long

# 300 records in pages of 30
PAGES = 10
KEYS = "SELECT i::text AS id FROM generate_series(290, 310) i UNION ALL SELECT i::text FROM generate_series(1, 80) i"
NAMES = "SELECT k.id, (SELECT t.name FROM third_parties t WHERE t.id = k.id) FROM keys k"
COUNTS = "SELECT k.id, (SELECT count(*) FROM third_parties t WHERE t.id = k.id) FROM keys k"
JOIN = "SELECT k.id, t.name FROM keys k LEFT JOIN third_parties t ON t.id = k.id"
CACHES = pytest.mark.parametrize("ttl", ["1h", "0"])


@pytest.fixture
def keyed(tpm, sandbox):
    """Keys that are asked for one by one; how many pages the list has was seen once, and the cache has none of them."""
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '30'); CREATE SCHEMA truth; CREATE TABLE truth.keys AS " + KEYS)
    rows(tpm, "CREATE TABLE truth.third_parties AS SELECT * FROM third_parties; SET search_path = tpm, truth")
    nested_loops(tpm)
    rows(tpm, "SET tpm_fdw.enable_lookahead = off; SET tpm_fdw.cache_ttl = '1h'")
    return tpm


def forget(db):
    rows(db, "SELECT public.tpm_fdw_reset_cache()")


def asked(db, sandbox, query):
    """How many requests a query sends; its rows are right."""
    sandbox.reset()
    answer = rows(db, query)
    sent = sandbox.request_count()
    rows(db, "SET search_path = truth")
    assert sorted(answer, key=str) == sorted(rows(db, query), key=str)
    rows(db, "SET search_path = tpm, truth")
    return sent


@CACHES
@pytest.mark.parametrize("query", [NAMES, COUNTS, JOIN])
def test_twice_the_list(keyed, sandbox, ttl, query):
    """101 keys, each a request, of a list of 10 pages."""
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'")
    assert asked(keyed, sandbox, query) == 2 * PAGES
    assert asked(keyed, sandbox, query) == (0 if ttl == "1h" else 2 * PAGES)


@CACHES
def test_fewer_keys(keyed, sandbox, ttl):
    """As many as the list has pages cost a request each; where what was spent is remembered, one more buys it."""
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'")
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1 OR k.id = '10'") == PAGES
    assert asked(keyed, sandbox, f"{NAMES} WHERE k.id = '11'") == (PAGES if ttl == "1h" else 1)


@CACHES
def test_explain(keyed, sandbox, ttl):
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'")
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
    assert "Whole List" not in json.dumps(rows(keyed, f"{explain}{NAMES} WHERE length(k.id) = 1"))
    bought = json.dumps(rows(keyed, explain + NAMES))
    assert '"Whole List": "yes"' in bought and '"Keys": 101' in bought and '"Found": 91' in bought


def test_the_size_is_not_known(tpm, sandbox):
    """Its first page tells, and costs one request more."""
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '30'); SET tpm_fdw.cache_ttl = '1h'; SET tpm_fdw.enable_lookahead = off")
    sandbox.reset()
    rows(tpm, "SELECT (SELECT t.name FROM third_parties t WHERE t.id = k::text) FROM generate_series(1, 25) k")
    assert sandbox.request_count() in (2 * PAGES, 2 * PAGES + 1)


def test_all_sessions_count_together(keyed, cluster, sandbox):
    """Whoever asks for parts of it: by id, by filter, or for their number."""
    other = cluster.connect(keyed.info.dbname)
    rows(other, "SET tpm_fdw.cache_ttl = '1h'; SET search_path = tpm")
    sandbox.reset()
    for number in range(1, 6):
        rows(other, f"SELECT name FROM third_parties WHERE id = '{number}'")
    rows(other, "SELECT count(*) FROM third_parties WHERE country = 'nowhere'; SELECT name FROM third_parties WHERE country = 'nowhere'")
    other.close()
    spent = sandbox.request_count()
    assert spent == 7
    assert asked(keyed, sandbox, f"{NAMES} WHERE k.id > '2'") == 2 * PAGES - spent


def test_who_may_not_use_the_cache_counts_alone(keyed, sandbox):
    rows(keyed, "SET tpm_fdw.cache_ttl = 0")
    for _ in range(2):
        assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9
    rows(keyed, "SET tpm_fdw.cache_ttl = '1h'")
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9


def test_what_was_spent_is_forgotten(keyed, sandbox):
    """After the time for which the list would be kept."""
    rows(keyed, "SET tpm_fdw.cache_ttl = 1")
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9
    rows(keyed, "SELECT pg_sleep(1.2)")
    assert asked(keyed, sandbox, f"{NAMES} WHERE k.id IN ('10', '11')") == 2


def test_sessions_that_keep_lists_for_different_times(keyed, sandbox):
    """They take turns, and what was spent is forgotten all the same."""
    rows(keyed, "SET tpm_fdw.cache_ttl = 1")
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9
    for turn in range(5):
        rows(keyed, f"SET tpm_fdw.cache_ttl = {2 - turn % 2}; SELECT pg_sleep(0.4)")
        rows(keyed, f"SELECT t.name FROM third_parties t WHERE id = '{40 + turn}'")
    rows(keyed, "SET tpm_fdw.cache_ttl = 1")
    assert asked(keyed, sandbox, f"{NAMES} WHERE k.id IN ('10', '11')") == 2


def test_a_list_that_is_there_is_paid(keyed, sandbox):
    """When it is gone, whoever comes next does not buy it at once."""
    assert asked(keyed, sandbox, NAMES) == 2 * PAGES
    forget(keyed)
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9
    rows(keyed, "SELECT * FROM third_parties")
    forget(keyed)
    assert asked(keyed, sandbox, f"{NAMES} WHERE length(k.id) = 1") == 9


def test_lists_of_keys(keyed, sandbox):
    """
    What a batch costs is known from its first page on: 5 requests have been sent, and it would take 10. Read to its end,
    it would bring the next lookup to buy the list, which had cost more than twice as much then.
    """
    rows(keyed, "CREATE TABLE truth.countries AS SELECT DISTINCT country FROM third_parties; SET tpm_fdw.enable_lookahead = on")
    forget(keyed)
    for number in range(5):
        rows(keyed, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    assert asked(keyed, sandbox, "SELECT k.country, t.id FROM countries k LEFT JOIN third_parties t ON t.country = k.country") == 1 + PAGES
    assert asked(keyed, sandbox, NAMES) == 0


# ----- where it is not bought -----


@CACHES
def test_max_requests(keyed, sandbox, ttl):
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'; SET tpm_fdw.max_requests = {PAGES + 9}")
    assert asked(keyed, sandbox, f"{NAMES} WHERE k.id < '2'") == rows(keyed, "SELECT count(*) FROM keys WHERE id < '2'")[0][0] > PAGES
    forget(keyed)


@CACHES
@pytest.mark.parametrize("known", [False, True])
def test_a_list_that_hides_rows(db, ttl, known):
    """Bought once in vain, if nothing was known of that; each key keeps its own answer."""
    server = hostile.Hostile()
    api = server.answers["/v1/things"] = Shy()
    options = {"base_url": server.base_url, "auth": "none", "page_size": 10, "total_pointer": "/meta/total", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, """CREATE FOREIGN TABLE things (id text OPTIONS (filter 'id') COLLATE "C" NOT NULL, state text,
                kind text OPTIONS (filter 'kind')) SERVER tpm OPTIONS (resource '/things', type 'things')""")
    nested_loops(db)
    rows(db, "SET tpm_fdw.enable_lookahead = off; SET tpm_fdw.cache_ttl = 0; SELECT id, state FROM things")
    if known:
        rows(db, "SELECT id FROM things WHERE id = '17'; SELECT id, state FROM things")
    rows(db, f"SET tpm_fdw.cache_ttl = '{ttl}'")
    for first, bought in ((1, 0 if known else 4), (2, 0)):
        server.requests.clear()
        tpmtest.notices(db)
        answer = rows(db, "SELECT k, (SELECT t.state FROM things t WHERE t.id = k::text) FROM unnest(ARRAY[17, 3, 40]"
                          f" || ARRAY(SELECT generate_series(100 * {first}, 100 * {first} + 9))) k")
        assert answer[:3] == [(17, "archived"), (3, "archived"), (40, "archived")] and {state for _, state in answer[3:]} == {None}
        fresh = 13 if first == 1 or ttl == "0" else 10
        assert len(server.paths()) == fresh + bought
        assert "answered from the copy" not in tpmtest.notices(db)
    assert api.archived
    server.close()


def test_a_list_that_the_cache_has_no_room_for():
    """What could not be kept would be bought again and again."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.cache_size": "1MB"}).start()
    sandbox = tpmtest.Sandbox("--records", "2000", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    rows(db, "SET search_path = tpm; SET tpm_fdw.enable_lookahead = off; SET tpm_fdw.cache_ttl = 0; SELECT * FROM third_parties")
    rows(db, "SET tpm_fdw.cache_ttl = '1h'")
    sandbox.reset()
    rows(db, "SELECT (SELECT t FROM third_parties t WHERE t.id = k::text) FROM generate_series(1, 30) k")
    assert sandbox.request_count() == 30
    # of what is not there nobody knows its size: one trial
    for first, bought in ((3001, 20), (4001, 0)):
        sandbox.reset()
        rows(db, f"SELECT (SELECT t FROM third_parties t WHERE t.id = k::text) FROM generate_series({first}, {first + 29}) k")
        assert sandbox.request_count() == 30 + bought
    db.close()
    sandbox.stop()
    cluster.destroy()


def test_memory(keyed, sandbox):
    """Rows that the scan keeps itself, and that no hash may hold, go to a file."""
    rows(keyed, "SET tpm_fdw.cache_ttl = 0; SET work_mem = '64kB'; SET hash_mem_multiplier = 1")
    assert asked(keyed, sandbox, "SELECT k.id, (SELECT t::text FROM third_parties t WHERE t.id = k.id) FROM keys k") == 2 * PAGES


def test_a_list_that_was_read_is_not_bought(keyed, sandbox):
    """An id may be there under another spelling, so the list was read; the scan has kept it, and no hash can hold it."""
    rows(keyed, "ALTER FOREIGN TABLE third_parties ALTER id TYPE integer; SET tpm_fdw.cache_ttl = 0; SELECT * FROM third_parties;"
                "SET work_mem = '64kB'; SET hash_mem_multiplier = 1; CREATE TABLE truth.numbers AS SELECT i, CASE i WHEN 10 THEN 9999"
                " ELSE i END AS id FROM generate_series(1, 12) i ORDER BY i; ALTER TABLE truth.third_parties ALTER id TYPE integer USING id::integer")
    assert asked(keyed, sandbox, "SELECT k.id, (SELECT t::text FROM third_parties t WHERE t.id = k.id) FROM numbers k") == 2 * PAGES


@CACHES
@pytest.mark.parametrize("memory", ["4MB", "64kB"])
def test_totals_before_and_rows_after(keyed, sandbox, ttl, memory):
    """A key that was counted by a total has the same number of rows when the list has been bought meanwhile."""
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'; SET work_mem = '{memory}'; SET hash_mem_multiplier = 1")
    rows(keyed, "CREATE TABLE truth.countries AS SELECT country FROM truth.third_parties, generate_series(1, 2) i"
                " GROUP BY i, country ORDER BY i, country")
    query = "SELECT k.country, (SELECT count(*) FROM third_parties t WHERE t.country = k.country) FROM countries k"
    assert asked(keyed, sandbox, query) <= 2 * PAGES + 1


@CACHES
def test_keys_that_cannot_be_sent(keyed, sandbox, ttl):
    """The list is read for the first, and answers for the others."""
    rows(keyed, f"SET tpm_fdw.cache_ttl = '{ttl}'; CREATE TABLE truth.odd AS SELECT * FROM unnest(ARRAY['1,2', '', '5 ', ' 7']) id")
    assert asked(keyed, sandbox, "SELECT k.id, (SELECT t.name FROM third_parties t WHERE t.country = k.id) FROM odd k") == PAGES


def test_rows_that_the_cache_had_are_not_bought_again(tpm, sandbox):
    """A count has left the first page of a list of keys in the cache: rows of it are returned before the second page
    tells that the whole list is due."""
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '20'); CREATE SCHEMA truth; CREATE TABLE truth.third_parties AS"
              " SELECT * FROM third_parties; CREATE TABLE truth.keys AS SELECT (i % 10)::text AS id FROM generate_series(1, 60) i;"
              " SET search_path = tpm, truth")
    query = ("SELECT (SELECT count(*) FROM third_parties t WHERE t.region_id = k.id), (SELECT string_agg(t.id, ',' ORDER BY t.id)"
             " FROM third_parties t WHERE t.region_id = k.id AND t.name <> 'Draft') FROM keys k")
    for name in "hashjoin", "material", "sort":
        rows(tpm, f"SET enable_{name} = off")
    for lookahead in "off", "on":
        rows(tpm, f"SET tpm_fdw.cache_ttl = '1h'; SET tpm_fdw.enable_lookahead = {lookahead}")
        forget(tpm)
        answer = rows(tpm, query)
        rows(tpm, "SET search_path = truth")
        assert answer == rows(tpm, query)
        rows(tpm, "SET search_path = tpm, truth")
