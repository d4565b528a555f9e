"""Parts of a table's list never cost more than the list: in any time for which it is kept, at most twice its pages."""

import json
import random
import threading
from urllib.parse import parse_qsl, urlsplit

import hostile
import psycopg2
import pytest
import tpmtest
from test_key_index import Shy
from tpmtest import rows

# 300 records in pages of 30
PAGES = 10
SEEDS = (1, 2, 3)

PARTS = [
    "SELECT name FROM third_parties WHERE id = '{n}'",
    "SELECT name FROM third_parties WHERE id IN ('{n}', '{m}', 'none')",
    "SELECT count(*) FROM third_parties",
    "SELECT count(*) FROM third_parties WHERE status = '{status}'",
    "SELECT status, count(*) FROM third_parties WHERE status IN ('{status}', 'Active') GROUP BY 1 ORDER BY 1",
    "SELECT id, country FROM third_parties WHERE status = '{status}' ORDER BY id COLLATE \"C\"",
    "SELECT id FROM third_parties WHERE country = '{country}' ORDER BY id COLLATE \"C\" LIMIT 3",
    "SELECT id, updated_at FROM third_parties ORDER BY updated_at DESC, id LIMIT {n}",
    "SELECT id FROM third_parties WHERE updated_at >= '2026-01-01' AND status = '{status}' ORDER BY updated_at DESC, id LIMIT 5",
    "SELECT count(*), min(id COLLATE \"C\") FROM third_parties WHERE country IN ('{country}', 'Germany')",
    "SELECT EXISTS (SELECT FROM third_parties WHERE country = '{country}' AND status = '{status}')",
]


def draw(random_numbers, values):
    """A question for a part of the list."""
    return random_numbers.choice(PARTS).format(n=random_numbers.randint(1, 300), m=random_numbers.randint(1, 330),
                                               **{name: random_numbers.choice(known) for name, known in values.items()})


@pytest.fixture
def parts(tpm, sandbox):
    """Pages of 30, kept for an hour; of the size of the list nothing is known."""
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '30'); CREATE SCHEMA truth; SET tpm_fdw.cache_ttl = 0")
    rows(tpm, "CREATE TABLE truth.third_parties AS SELECT * FROM third_parties")
    # what was learnt is forgotten with the options
    rows(tpm, "ALTER SERVER tpm OPTIONS (SET page_size '31'); ALTER SERVER tpm OPTIONS (SET page_size '30');"
              " ALTER SERVER tpm OPTIONS (ADD fetch_concurrency '1'); SET search_path = tpm, truth; SET tpm_fdw.cache_ttl = '1h'")
    rows(tpm, "SELECT public.tpm_fdw_reset_cache()")
    sandbox.reset()
    return tpm


@pytest.fixture
def values(parts):
    truth = {name: [value for value, in rows(parts, f"SELECT DISTINCT {name} FROM truth.third_parties WHERE {name} IS NOT NULL")]
             for name in ("status", "country")}
    truth["country"].append("nowhere")
    return truth


def know_size(db, sandbox):
    rows(db, "SET tpm_fdw.cache_ttl = 0; SELECT count(*) FROM third_parties; SET tpm_fdw.cache_ttl = '1h'")
    sandbox.reset()


def rent(db):
    return rows(db, "SELECT coalesce(sum(rent), 0)::int FROM public.tpm_fdw_cache WHERE relation = 'tpm.third_parties'")[0][0]


def is_bought(db):
    """Is the whole list there?"""
    return rows(db, "SELECT count(*) FROM public.tpm_fdw_cache WHERE complete AND conditions = '/third_parties' AND rows = 300") == [(1,)]


def same_as_truth(db, query):
    answer = rows(db, query)
    rows(db, "SET search_path = truth")
    right = rows(db, query)
    rows(db, "SET search_path = tpm, truth")
    assert answer == right, query


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_mix(parts, values, sandbox, seed, known):
    """Whatever is asked for, and in whichever order: no more than the list once more, and one request to learn its size."""
    print(f"seed {seed}")
    random_numbers = random.Random(seed)
    if known:
        know_size(parts, sandbox)
    for _ in range(40):
        same_as_truth(parts, draw(random_numbers, values))
        assert rent(parts) <= PAGES
    assert sandbox.request_count() <= 2 * PAGES + (not known)
    assert is_bought(parts)
    bought = sandbox.request_count()
    same_as_truth(parts, "SELECT count(*) FROM third_parties WHERE name LIKE 'A%'")
    assert sandbox.request_count() == bought


@pytest.mark.parametrize("seed", SEEDS)
def test_two_sessions(parts, values, cluster, sandbox, seed):
    """They count together, and buy it once; what is in flight when one of them does may come on top."""
    print(f"seed {seed}")
    know_size(parts, sandbox)
    sandbox.fault("latency", ms=20)
    failures = []

    def ask(number):
        random_numbers = random.Random(10 * seed + number)
        db = cluster.connect(parts.info.dbname)
        rows(db, "SET search_path = tpm; SET tpm_fdw.cache_ttl = '1h'")
        try:
            for _ in range(25):
                rows(db, draw(random_numbers, values))
        except Exception as failure:
            failures.append(failure)
        db.close()

    sessions = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert failures == []
    assert sandbox.request_count() <= 2 * PAGES + 1
    assert is_bought(parts)


CHARTS = [
    "SELECT count(*) FROM third_parties LIMIT 1000",
    "SELECT status, count(*) FROM third_parties GROUP BY status ORDER BY count(*) DESC, status LIMIT 1000",
    "SELECT country, count(*) FROM third_parties GROUP BY country ORDER BY count(*) DESC, country LIMIT 1000",
    "SELECT date_trunc('month', updated_at), count(*) FROM third_parties WHERE updated_at >= '2025-06-01' AND updated_at < '2026-06-01'"
    " GROUP BY 1 ORDER BY 1 LIMIT 1000",
    "SELECT id, name, created_at FROM third_parties ORDER BY created_at DESC, id LIMIT 10",
    "SELECT id, name, updated_at FROM third_parties WHERE status = 'Active' AND updated_at >= '2026-03-01' ORDER BY updated_at DESC, id LIMIT 1000",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_six_charts(parts, sandbox, seed):
    """Cold, in any order; all of them again, and another filter then, for nothing."""
    print(f"seed {seed}")
    charts = random.Random(seed).sample(CHARTS, len(CHARTS))
    for chart in charts:
        same_as_truth(parts, chart)
    assert sandbox.request_count() <= 2 * PAGES + 1
    sandbox.reset()
    for chart in charts:
        same_as_truth(parts, chart)
    same_as_truth(parts, "SELECT count(*) FROM third_parties WHERE country = 'Germany' AND status = 'Active' LIMIT 1000")
    assert sandbox.request_count() == 0


# ----- where the list takes over -----


def test_rows_that_were_returned(parts, sandbox):
    """A list in order is left for the whole one between two of its pages: no row is missing, or there twice."""
    know_size(parts, sandbox)
    for number in range(PAGES - 3):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    same_as_truth(parts, "SELECT id, updated_at FROM third_parties ORDER BY updated_at DESC, id LIMIT 200")
    assert sandbox.request_count() == 2 * PAGES and is_bought(parts)


def test_ids_that_were_found(parts, sandbox):
    """So are several ids, some of which have been asked for already."""
    know_size(parts, sandbox)
    for number in range(PAGES - 3):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    rows(parts, "ALTER FOREIGN TABLE third_parties ALTER id OPTIONS (DROP filter)")
    know_size(parts, sandbox)
    for number in range(PAGES - 3):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    cursor = parts.cursor()
    cursor.execute("BEGIN; DECLARE c CURSOR FOR SELECT id FROM third_parties WHERE id IN ('20', '21', '22', '23', '24', '25')")
    found = []
    for _ in range(7):
        cursor.execute("FETCH 1 FROM c")
        found += [id for id, in cursor.fetchall()]
    cursor.execute("COMMIT")
    assert sorted(found) == ["20", "21", "22", "23", "24", "25"]
    assert sandbox.request_count() == 2 * PAGES and is_bought(parts)


def test_explain(parts, sandbox):
    know_size(parts, sandbox)
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT name FROM third_parties WHERE id = '{}'"
    for number in range(PAGES):
        assert "Whole List" not in json.dumps(rows(parts, explain.format(number + 1)))
    assert rent(parts) == PAGES
    assert '"Whole List": "yes"' in json.dumps(rows(parts, explain.format(290)))
    assert rent(parts) == 0


def test_the_rest_of_a_list(parts, sandbox):
    """What a list costs is known from its first page on."""
    know_size(parts, sandbox)
    for number in range(2):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    same_as_truth(parts, "SELECT count(*), max(name) FROM third_parties WHERE status IN ('Active', 'Inactive')")
    assert sandbox.request_count() == 3 + PAGES and is_bought(parts)


def test_a_list_that_others_have_completed(parts, cluster, sandbox):
    """Whoever is reading a part when the whole list is there asks for no further page of it."""
    know_size(parts, sandbox)
    cursor = parts.cursor()
    cursor.execute("BEGIN; DECLARE c CURSOR FOR SELECT id FROM third_parties WHERE updated_at >= '1990-01-01' ORDER BY id; FETCH 20 FROM c")
    found = [id for id, in cursor.fetchall()]
    other = cluster.connect(parts.info.dbname)
    rows(other, "SET search_path = tpm; SET tpm_fdw.cache_ttl = '1h'; SELECT * FROM third_parties")
    other.close()
    sent = sandbox.request_count()
    cursor.execute("FETCH ALL FROM c")
    found += [id for id, in cursor.fetchall()]
    cursor.execute("COMMIT")
    assert sandbox.request_count() == sent
    assert found == [id for id, in rows(parts, "SELECT id FROM truth.third_parties ORDER BY id")]


def test_sessions_that_keep_lists_for_different_times(parts, cluster, sandbox):
    """Each looks back as far as it would keep the list: neither forgets too early, nor is kept from forgetting."""
    know_size(parts, sandbox)
    other = cluster.connect(parts.info.dbname)
    rows(other, "SET search_path = tpm; SET tpm_fdw.cache_ttl = 1")
    for number in range(PAGES - 1):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    rows(other, "SELECT name FROM third_parties WHERE id = '100'; SELECT pg_sleep(1.2)")
    for number in range(2):
        rows(other, f"SELECT name FROM third_parties WHERE id = '{number + 101}'")
    other.close()
    assert sandbox.request_count() == PAGES + 2
    rows(parts, "SELECT name FROM third_parties WHERE id = '200'")
    assert sandbox.request_count() == 2 * PAGES + 2 and is_bought(parts)


@pytest.mark.parametrize("before", [5, 100])
@pytest.mark.parametrize("pagination", ["number", "links"])
def test_the_first_rows_again_and_again(parts, sandbox, pagination, before):
    """A list that is left is asked for its first rows: to go on with it, and to learn that it still stands, costs requests."""
    rows(parts, f"ALTER SERVER tpm OPTIONS (ADD pagination '{pagination}')")
    know_size(parts, sandbox)
    rows(parts, f"SELECT name FROM third_parties LIMIT {before}")
    for _ in range(3 * PAGES):
        assert len(rows(parts, "SELECT name FROM third_parties LIMIT 5")) == 5
    assert sandbox.request_count() <= 2 * PAGES + 1


@pytest.mark.parametrize("ttl", ["1h", "0"])
def test_keys_side_by_side(parts, sandbox, ttl):
    """What leaves before its turn counts as well."""
    rows(parts, """CREATE FOREIGN TABLE tpm.alone (id text, name text) SERVER tpm OPTIONS (resource '/third_parties');
        CREATE TABLE truth.alone AS SELECT id, name FROM truth.third_parties;
        CREATE TABLE truth.parties AS SELECT n, (1 + n * 23 % 300)::text AS party FROM generate_series(1, 200) n; ANALYZE parties;
        ALTER SERVER tpm OPTIONS (SET fetch_concurrency '4'); SET tpm_fdw.cache_ttl = 0; SELECT count(*) FROM alone""")
    rows(parts, f"SET enable_hashjoin = off; SET enable_mergejoin = off; SET tpm_fdw.cache_ttl = '{ttl}'")
    sandbox.reset()
    # nobody expects so many keys
    same_as_truth(parts, "SELECT p.n, t.name FROM parties p JOIN alone t ON t.id = p.party WHERE n % 1 = 0 AND n % 2 IN (0, 1)")
    assert sandbox.request_count() == 2 * PAGES


# ----- where it is not -----


@pytest.mark.parametrize("setting", [
    f"SET tpm_fdw.max_requests = {PAGES - 1}",
    "SET tpm_fdw.cache_ttl = 0",
    "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '20')",
    "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '20'); SET tpm_fdw.max_wait = -1",
    "ALTER FOREIGN TABLE third_parties OPTIONS (ADD required_filters 'id')",
])
def test_it_is_not_bought(parts, sandbox, setting):
    """Where it may not be read, or not be kept, each part is asked for."""
    rows(parts, f"{setting}; SET statement_timeout = '20s'")
    if "required" not in setting:
        know_size(parts, sandbox)
        rows(parts, f"SELECT public.tpm_fdw_reset_rate_limits(); {setting}")
    for number in range(PAGES + 3):
        same_as_truth(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    assert sandbox.request_count() == PAGES + 3
    assert rent(parts) == (0 if "ttl" in setting else PAGES + 3)


@pytest.mark.parametrize("known, pages", [(False, 0), (True, 4)])
def test_the_list_has_no_answer(parts, sandbox, known, pages):
    """An API that lists nothing without a filter, or no page far behind: parts are answered as before, and it is tried once."""
    if known:
        know_size(parts, sandbox)
    sandbox.fault("status:400", match="GET /v1/third_parties?sort", skip=pages)
    for number in range(PAGES + 5):
        same_as_truth(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    for city in ("Berlin", "nowhere"):
        same_as_truth(parts, f"SELECT count(*), min(id COLLATE \"C\") FROM third_parties WHERE city = '{city}' AND status = 'Active'")
    assert sum("filter" not in request["query"] and request["path"] == "/v1/third_parties" for request in sandbox.requests()) == pages + 1


@pytest.mark.parametrize("query", ["SELECT name FROM third_parties WHERE id = '{}'",
                                   "SELECT (SELECT name FROM third_parties t WHERE t.id = k) FROM unnest(ARRAY['{}', 'none']) k"])
def test_the_list_has_a_row_that_cannot_be_read(parts, sandbox, query):
    """Whoever buys it meets the error; nobody after him, while parts without that row are to be had."""
    know_size(parts, sandbox)
    rows(parts, "SET tpm_fdw.enable_lookahead = off")
    sandbox.fault("date_nonsense", match="GET /v1/third_parties?sort", skip=3)
    failed = []
    for number in range(3 * PAGES):
        try:
            same_as_truth(parts, query.format(number + 1))
        except psycopg2.Error as error:
            failed.append(error.pgcode)
    assert failed == ["22008"]


@pytest.mark.parametrize("ttl", ["1h", "0"])
def test_the_list_has_no_answer_for_lookups(parts, sandbox, ttl):
    know_size(parts, sandbox)
    rows(parts, f"SET tpm_fdw.cache_ttl = '{ttl}'; SET tpm_fdw.enable_lookahead = off")
    sandbox.fault("status:400", match="GET /v1/third_parties?sort", skip=4)
    same_as_truth(parts, "SELECT k, (SELECT name FROM third_parties t WHERE t.id = k::text) FROM generate_series(1, 25) k")
    assert sandbox.request_count() <= 25 + 5


def test_one_request_is_allowed(parts, sandbox):
    """What it costs to learn what a list costs is not asked of whoever may not spend it."""
    rows(parts, "SET tpm_fdw.max_requests = 1")
    for number in range(4):
        same_as_truth(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    assert sandbox.request_count() == 4


def test_too_large_for_the_limit(parts, sandbox):
    """A list that turns out to cost too much costs that one request, once, and no statement fails for it."""
    rows(parts, f"SET tpm_fdw.max_requests = {PAGES - 1}")
    for number in range(PAGES + 3):
        same_as_truth(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    assert sandbox.request_count() == PAGES + 4


def test_what_does_not_count(parts, sandbox):
    """What writes read, ANALYZE and checks."""
    know_size(parts, sandbox)
    for number in range(1, 13):
        rows(parts, f"UPDATE third_parties SET city = 'Bonn' WHERE id = '{number}'")
    rows(parts, "ANALYZE third_parties")
    rows(parts, "CREATE SCHEMA one; ALTER FOREIGN TABLE third_parties SET SCHEMA one; SELECT * FROM public.tpm_fdw_check('tpm', 'one')")
    rows(parts, "ALTER FOREIGN TABLE one.third_parties SET SCHEMA tpm")
    assert sandbox.request_count() > 2 * PAGES
    assert rent(parts) == 0


@pytest.mark.parametrize("known", [False, True])
def test_a_list_that_hides_rows(db, known):
    """Bought once in vain, if nothing was known of that; conditions keep their own answers."""
    server = hostile.Hostile()
    server.answers["/v1/things"] = Shy()
    options = {"base_url": server.base_url, "auth": "none", "page_size": 10, "total_pointer": "/meta/total", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, """CREATE FOREIGN TABLE things (id text OPTIONS (filter 'id') COLLATE "C" NOT NULL, state text,
                kind text OPTIONS (filter 'kind')) SERVER tpm OPTIONS (resource '/things', type 'things')""")
    rows(db, "SET tpm_fdw.cache_ttl = 0; SELECT id, state FROM things")
    if known:
        rows(db, "SELECT id FROM things WHERE id = '17'; SELECT id, state FROM things")
    rows(db, "SET tpm_fdw.cache_ttl = '1h'")
    server.requests.clear()
    for id in (17, 3, 40, *range(100, 110)):
        assert rows(db, f"SELECT state FROM things WHERE id = '{id}'") == [("archived",)] * (id < 100)
    assert len(server.paths()) == 13 + (0 if known else 4)
    server.close()


@pytest.mark.parametrize("known", [False, True])
def test_who_may_read_parts_only(db, known):
    """Refused once, the whole list is not asked for again, and the part that was to be had is given."""
    server = hostile.Hostile()
    refused = []

    def answer(request):
        asked = dict(parse_qsl(urlsplit(request.target).query))
        if "filter[kind]" not in asked and refused:
            return hostile.answer("{}", 403)
        first = (int(asked.get("page[number]", 1)) - 1) * 10
        return hostile.document([hostile.resource(number, kind=asked.get("filter[kind]", "a")) for number in range(first, min(first + 10, 130))])

    server.answers["/v1/things"] = answer
    options = {"base_url": server.base_url, "auth": "none", "page_size": 10, "pagination": "number", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, """CREATE FOREIGN TABLE things (id bigint NOT NULL, kind text OPTIONS (filter 'kind'))
                SERVER tpm OPTIONS (resource '/things', type 'things')""")
    if known:
        rows(db, "SET tpm_fdw.cache_ttl = 0; SELECT id FROM things")
    rows(db, "SET tpm_fdw.cache_ttl = '1h'")
    server.requests.clear()
    refused.append(True)
    for kind in "abc":
        assert len(rows(db, f"SELECT id FROM things WHERE kind = '{kind}'")) == 130
    assert len([path for path in server.paths() if "filter" not in path]) == 1
    server.close()


def test_a_list_bought_for_named_members_has_all(parts, sandbox):
    """Where one copy of the table answers all conditions, the first rows of an order are its own, named by what they show."""
    rows(parts, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD cache_scope 'table')")
    know_size(parts, sandbox)
    query = "SELECT id, updated_at FROM third_parties ORDER BY updated_at DESC, id LIMIT 3"
    for _ in range(2 * PAGES):
        same_as_truth(parts, query)
    assert is_bought(parts)
    same_as_truth(parts, "SELECT * FROM third_parties ORDER BY id COLLATE \"C\"")
    assert sandbox.request_count() <= 2 * PAGES


ORDERED = "SELECT id, updated_at, status FROM third_parties WHERE {} ORDER BY updated_at DESC"


def begin_with_forty(parts, sandbox, query):
    """All rows as they were; the first of a cursor, so many that the next page is one too many beside what was spent."""
    know_size(parts, sandbox)
    for number in range(PAGES - 2):
        rows(parts, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")
    whole = rows(parts, query.replace("third_parties", "truth.third_parties"))
    rows(parts, f"BEGIN; DECLARE c CURSOR FOR {query}")
    assert rows(parts, "FETCH 40 FROM c") == whole[:40]
    return whole


def test_order_of_a_list_that_has_changed(parts, sandbox):
    """What belongs before rows that were returned is not shown behind them; the statement can be repeated for nothing."""
    query = ORDERED.format("status <> ''")
    whole = begin_with_forty(parts, sandbox, query)
    late = whole[200][0]
    sandbox.edit("third_parties", late, updated_at="2027-01-01T00:00:00Z")
    with pytest.raises(psycopg2.errors.FdwUnableToCreateReply, match="changed while it was read in an order"):
        rows(parts, "FETCH ALL FROM c")
    rows(parts, "ROLLBACK")
    sent = sandbox.request_count()
    assert [row[0] for row in rows(parts, query)] == [late] + [row[0] for row in whole if row[0] != late]
    assert sandbox.request_count() == sent and is_bought(parts)


def test_rows_in_front_that_nobody_wants(parts, sandbox):
    """A row that the conditions do not pass may stand anywhere."""
    whole = begin_with_forty(parts, sandbox, ORDERED.format("status IS DISTINCT FROM 'of nobody'"))
    late = whole[200]
    sandbox.edit("third_parties", late[0], updated_at="2027-01-01T00:00:00Z", status="of nobody")
    assert rows(parts, "FETCH ALL FROM c") == [row for row in whole[40:] if row != late]
    rows(parts, "COMMIT")
    assert is_bought(parts)
