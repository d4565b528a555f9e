"""Lists of keys that the API sorts by the key: a key costs the pages up to it where the plan may stop.

300 third parties, 10 a page, of 30 names with 10 rows each; the API sorts by name, so that a page holds the rows of one
name. The cache is off where nothing else is said.
"""

import random
from urllib.parse import parse_qs

import psycopg2
import pytest
import tpmtest
from tpmtest import truth

NAMES = 30
PLAN = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off; SET enable_material = off"


@pytest.fixture
def keys(tpm, sandbox):
    """The tables as tpm, what they hold as truth, and public.mine: each name once, in no order, its place among them as p."""
    for number in range(1, 301):
        sandbox.edit("third_parties", number, name=f"n{number % NAMES:02d}")
    tpmtest.rows(tpm, f"""{PLAN}; SET tpm_fdw.max_requests = 0;
        ALTER FOREIGN TABLE third_parties ALTER COLUMN name OPTIONS (ADD sortable 'true');
        CREATE SCHEMA truth;
        CREATE TABLE truth.third_parties AS SELECT * FROM tpm.third_parties;
        CREATE TABLE public.mine AS SELECT n * 7 % {NAMES} AS p, 'n' || lpad((n * 7 % {NAMES})::text, 2, '0') AS name
            FROM generate_series(0, {NAMES - 1}) n;
        ALTER SERVER tpm OPTIONS (ADD page_size '10');
        ANALYZE mine""")
    return tpm


def asked(db, sandbox, statement):
    """(rows, requests) of a statement."""
    sandbox.reset()
    return tpmtest.rows(db, statement), sandbox.request_count()


def statement_from(first, where="true", join="JOIN"):
    """All third parties of ten names, beginning with the name at this place."""
    return (f"SELECT m.name, t.id FROM (SELECT * FROM mine WHERE p < 10 ORDER BY p <> {first}, p OFFSET 0) m"
            f" {join} third_parties t ON t.name = m.name AND {where}")


def sorts(sandbox):
    """The orders in which lists of names were asked for."""
    return {parse_qs(request["query"])["sort"][0] for request in sandbox.requests() if "filter" in request["query"]}


@pytest.mark.parametrize("first", [0, 3, 8, 9])
def test_pages_up_to_the_key(keys, sandbox, first):
    """The ten rows of the first key, and five of the next one, which is smaller: the pages up to the first, and one that is beyond it."""
    rows, requests = asked(keys, sandbox, statement_from(first) + " LIMIT 15")
    assert [name for name, _ in rows] == [f"n{first:02d}"] * 10 + [f"n{first == 0:02d}"] * 5
    assert set(rows) <= set(truth(keys, statement_from(first)))
    assert sorts(sandbox) == {"name,id"}
    assert requests == min(first + 2, 10)


def test_absent_key(keys, sandbox):
    """A key without a row is known to have none once its place is passed."""
    tpmtest.rows(keys, "UPDATE mine SET name = 'n03x' WHERE p = 3")
    rows, requests = asked(keys, sandbox, statement_from(3, join="LEFT JOIN") + " LIMIT 11")
    assert (rows[0], len(rows), requests) == (("n03x", None), 11, 4)


def test_key_of_many_pages_is_left(keys, sandbox):
    """One key has the rows of nearly all pages: the keys behind it are asked for by themselves."""
    for number in range(1, 301):
        sandbox.edit("third_parties", number, name="n01" if number > 9 else f"n{number:02d}")
    rows, requests = asked(keys, sandbox, statement_from(8) + " LIMIT 10")
    assert (rows[0], len(rows), requests) == (("n08", "8"), 10, 2)


@pytest.mark.parametrize("limit", ["", " LIMIT 15", " LIMIT 60"])
@pytest.mark.parametrize("first", [0, 7])
def test_an_api_that_does_not_sort(keys, sandbox, first, limit):
    """What it sends shows that within a page, and no key counts as passed."""
    sandbox.fault("unsorted", match="GET /v1/third_parties")
    rows = tpmtest.rows(keys, statement_from(first) + limit)
    expected = truth(keys, statement_from(first))
    assert set(rows) <= set(expected)
    assert len(rows) == min(len(expected), int(limit.split()[-1]) if limit else 100)
    whole = [row for row in expected if row[0] == f"n{first:02d}"]
    assert set(rows[:10]) == set(whole)


def test_an_order_that_breaks_behind_an_answer(keys, sandbox):
    """A further page brings rows of a key that was answered: an error, as under ORDER BY, and no wrong answer."""
    keys.autocommit = False
    tpmtest.rows(keys, f"DECLARE c CURSOR FOR {statement_from(0)} LIMIT 60")
    sandbox.reset()
    assert {name for name, _ in tpmtest.rows(keys, "FETCH 15 FROM c")} == {"n00", "n01"}
    assert sandbox.request_count() == 2
    for number in range(1, 301):
        if 5 <= number % NAMES < 10:
            sandbox.edit("third_parties", number, name="n00")
    with pytest.raises(psycopg2.Error) as error:
        tpmtest.rows(keys, "FETCH ALL FROM c")
    assert error.value.pgcode == "HV00M"
    assert error.value.diag.message_detail == 'A row is out of place by column "name".'
    keys.rollback()
    keys.autocommit = True


def test_an_order_that_has_been_broken_before(keys, sandbox):
    """The row that breaks the order need not be the one of a key that was answered: that may come later."""
    tpmtest.rows(keys, "ALTER SERVER tpm OPTIONS (ADD fetch_concurrency '1')")
    keys.autocommit = False
    tpmtest.rows(keys, "DECLARE c CURSOR FOR SELECT m.name, t.id FROM (SELECT * FROM mine WHERE p < 10"
                       " ORDER BY p <> 5, p <> 0, p < 7, p OFFSET 0) m"
                       " JOIN third_parties t ON t.name = m.name LIMIT 90")
    sandbox.reset()
    assert {name for name, _ in tpmtest.rows(keys, "FETCH 23 FROM c")} == {"n05", "n00", "n07"}

    def rename(names, to, without=()):
        for number in range(1, 301):
            if number % NAMES in names and number not in without:
                sandbox.edit("third_parties", number, name=to)

    # the next page holds rows of n03, and one of n07 behind them
    rename((4, 5, 6, 7, 8), "n03", without=(278,))
    rename((9,), "n07")
    assert [name for name, _ in tpmtest.rows(keys, "FETCH 8 FROM c")] == ["n07"] * 8
    rename(range(12, 30), "n00")
    with pytest.raises(psycopg2.Error) as error:
        tpmtest.rows(keys, "FETCH ALL FROM c")
    assert error.value.diag.message_detail == 'A row is out of place by column "name".'
    assert sandbox.request_count() == 10
    keys.rollback()
    keys.autocommit = True


def test_first_rows_are_found_in_the_own_order(keys, sandbox):
    """One row of each key is all that is wanted: that comes sooner where the rows of all keys are mixed."""
    for statement in ("SELECT m.name FROM mine m WHERE p < 10 AND EXISTS (SELECT FROM third_parties t WHERE t.name = m.name)",
                      "SELECT m.name, t.name FROM mine m, LATERAL (SELECT name FROM third_parties t WHERE t.name = m.name LIMIT 1) t"):
        rows, _ = asked(keys, sandbox, statement)
        assert sorted(rows) == sorted(truth(keys, statement))
        assert sorts(sandbox) == {"id"}


def test_read_to_the_end(keys, sandbox):
    """Whoever takes all rows asks in the table's own order, as others do."""
    rows, requests = asked(keys, sandbox, statement_from(4))
    assert sorted(rows) == sorted(truth(keys, statement_from(4)))
    assert requests == 10
    assert sorts(sandbox) == {"id"}


def test_not_without_a_unique_column_behind(keys, sandbox):
    """An API that takes one key may put equal rows in another order on each page."""
    tpmtest.rows(keys, "ALTER SERVER tpm OPTIONS (ADD sort_keys 'one')")
    rows, _ = asked(keys, sandbox, statement_from(4) + " LIMIT 15")
    assert len(rows) == 15
    assert sorts(sandbox) == {"id"}


def test_kept_lists(keys, sandbox):
    """With the cache on, a list that was read to its end is kept, and answers in whatever order it was asked for."""
    tpmtest.rows(keys, "SET tpm_fdw.cache_ttl = 600")
    statement = statement_from(9) + " LIMIT 100"
    for other, cost in ((statement, 10), (statement, 0), (statement_from(2) + " LIMIT 15", 0)):
        rows, requests = asked(keys, sandbox, other)
        assert (set(rows) <= set(truth(keys, statement)), requests) == (True, cost)
    tpmtest.rows(keys, "SELECT tpm_fdw_reset_cache()")
    # the same list, in the own order
    assert asked(keys, sandbox, statement_from(1))[1] == 10
    rows, requests = asked(keys, sandbox, statement)
    assert (sorted(rows), requests) == (sorted(truth(keys, statement)), 0)


@pytest.mark.parametrize("cache_ttl", [0, 600])
@pytest.mark.parametrize("seed", range(3))
def test_at_random(keys, sandbox, seed, cache_ttl):
    """Keys that come again, are NULL or not there, as many rows of each as it happens to have; LIMIT, cursors in pieces."""
    rng = random.Random(seed)
    for number in range(1, 301):
        sandbox.edit("third_parties", number, name=f"n{int(rng.paretovariate(0.7)) % NAMES:02d}")
    tpmtest.rows(keys, f"""SET tpm_fdw.cache_ttl = {cache_ttl}; DROP TABLE truth.third_parties, mine;
        CREATE TABLE truth.third_parties AS SELECT * FROM tpm.third_parties; SELECT tpm_fdw_reset_cache();
        CREATE TABLE public.mine (k int, name text)""")
    for k in range(60):
        name = rng.choice([None, "none", *[f"n{rng.randrange(NAMES):02d}"] * 8])
        tpmtest.rows(keys, "INSERT INTO mine VALUES (%s, %s)", (k, name))
    tpmtest.rows(keys, "ANALYZE mine")
    for _ in range(10):
        where, join = rng.choice(["true", "t.status = 'Active'", "t.id > m.k::text"]), rng.choice(["JOIN", "LEFT JOIN"])
        statement = (f"SELECT m.k, t.id FROM (SELECT * FROM mine WHERE k >= {rng.randrange(50)} ORDER BY k OFFSET 0) m"
                     f" {join} third_parties t ON t.name = m.name AND {where} ORDER BY m.k")
        expected = truth(keys, statement)
        wanted = rng.randint(1, len(expected) + 2)
        if rng.random() < 0.5:
            given = tpmtest.rows(keys, f"{statement} LIMIT {wanted}")
        else:
            keys.autocommit = False
            tpmtest.rows(keys, f"DECLARE c CURSOR FOR {statement}")
            given = [row for _ in range(wanted) for row in tpmtest.rows(keys, f"FETCH {rng.choice([1, 3, 20])} FROM c")]
            keys.rollback()
            keys.autocommit = True
        assert len(set(given)) == len(given) >= min(wanted, len(expected)), statement
        # all rows of each row of mine but the last
        assert [row[0] for row in given] == sorted(row[0] for row in expected)[:len(given)], statement
        last = given[-1][0] if given else 0
        assert {row for row in given if row[0] < last} == {row for row in expected if row[0] < last}, statement
        assert set(given) <= set(expected), statement


def test_keys_looked_for_by_themselves_are_forgotten(keys):
    """60,000 keys that no request can be made of: what is noted of them stays within work_mem."""
    tpmtest.rows(keys, "SET tpm_fdw.enable_lookahead = off; SET work_mem = '64kB'")
    keys.autocommit = False
    tpmtest.rows(keys, "DECLARE c CURSOR FOR SELECT n, t.id FROM generate_series(1, 60000) n LEFT JOIN third_parties t"
                       " ON t.id = n::text AND t.id = ANY (ARRAY[(-n)::text])")
    tpmtest.rows(keys, "MOVE 59990 IN c")
    (bytes_of_keys,), = tpmtest.rows(keys, "SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'tpm_fdw keys'")
    assert 0 < bytes_of_keys < 300 * 1024
    keys.rollback()
    keys.autocommit = True
