"""An ordered list that begins with NULLs nobody wants: the pages that hold nothing else are passed over."""

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

RECORDS = 1000
# of links whose numbers tell which page is which
STYLES = {"links": "number"}


@pytest.fixture(scope="module", params=["number", "offset", "links"])
def paged(cluster, request):
    """(a session, its sandbox): 50 pages, the API puts NULLs first where it sorts downwards; and a local copy."""
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--pagination", STYLES.get(request.param, request.param)).start()
    name = f"null_run_{request.param}"
    cluster.sql(f"CREATE DATABASE {name}")
    db = cluster.connect(name)
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options={"pagination": request.param, "max_retries": 1})
    for statement in ("SET search_path = tpm, public", "SET tpm_fdw.max_requests = 0",
                      "CREATE TABLE local AS SELECT id, name, status, next_renewal_on AS due FROM third_parties",
                      "SET tpm_fdw.cache_ttl = 0", "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '20')"):
        rows(db, statement)
    yield db, sandbox
    db.close()
    sandbox.stop()
    cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def session(paged):
    db, sandbox = paged
    sandbox.reset()
    rows(db, "DELETE FROM pg_statistic WHERE starelid = 'third_parties'::regclass")
    yield db, sandbox
    rows(db, "ALTER FOREIGN TABLE third_parties OPTIONS (SET page_size '20')")


QUERY = "SELECT id, next_renewal_on FROM third_parties WHERE next_renewal_on IS NOT NULL ORDER BY next_renewal_on DESC, id"
LOCAL = "SELECT id, due FROM local WHERE due IS NOT NULL ORDER BY due DESC, id"


def nulls(db):
    return rows(db, "SELECT count(*) FROM local WHERE due IS NULL")[0][0]


def test_first_rows(session):
    """50 pages are searched in 7 steps, with statistics in 2 or so; either way many fewer than pages of NULLs."""
    db, sandbox = session
    expected = rows(db, f"{LOCAL} LIMIT 10")
    assert nulls(db) // 20 > 8
    assert rows(db, f"{QUERY} LIMIT 10") == expected
    assert sandbox.request_count() <= 1 + 6
    rows(db, "ANALYZE third_parties (next_renewal_on)")
    sandbox.reset()
    assert rows(db, f"{QUERY} LIMIT 10") == expected
    assert sandbox.request_count() <= 4


def test_exact_statistics(session):
    """Where they tell the page, that is the second request and the last."""
    db, sandbox = session
    rows(db, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD analyze_pages '100')")
    rows(db, "ANALYZE third_parties (next_renewal_on)")
    rows(db, "ALTER FOREIGN TABLE third_parties OPTIONS (DROP analyze_pages)")
    sandbox.reset()
    assert rows(db, f"{QUERY} LIMIT 3") == rows(db, f"{LOCAL} LIMIT 3")
    assert sandbox.request_count() <= 3


@pytest.mark.parametrize("page_size, analyzed", [
    pytest.param(page_size, analyzed, marks=() if (page_size, analyzed) in ((7, True), (19, False), (999, False), (1000, True))
                 else pytest.mark.long)
    for page_size in (1, 2, 7, 19, 23, 50, 100, 500, 999, 1000) for analyzed in (False, True)])
def test_all_rows(session, page_size, analyzed):
    """To the end, wherever the pages meet: every row once, no word of missing ones, no page more than it takes."""
    db, sandbox = session
    rows(db, f"ALTER FOREIGN TABLE third_parties OPTIONS (SET page_size '{page_size}')")
    if analyzed:
        rows(db, "ANALYZE third_parties (next_renewal_on)")
    sandbox.reset()
    db.notices.clear()
    assert rows(db, f"{QUERY} LIMIT 5000") == rows(db, LOCAL)
    assert db.notices == []
    pages = -(-RECORDS // page_size)
    left = -(-(RECORDS - nulls(db) + page_size) // page_size)
    assert sandbox.request_count() <= min(pages + 12, left + 14)


@pytest.mark.parametrize("condition", ["status = 'Active'", "name > 'M'", "next_renewal_on > '2027-01-01'", "status = 'none'"])
def test_with_other_conditions(session, condition):
    db, _ = session
    found = rows(db, QUERY.replace("ORDER BY", f"AND {condition} ORDER BY") + " LIMIT 40")
    assert found == rows(db, LOCAL.replace("ORDER BY", f"AND {condition.replace('next_renewal_on', 'due')} ORDER BY") + " LIMIT 40")


def test_nulls_that_are_wanted(session):
    """Without the condition NULLs are rows like others."""
    db, _ = session
    query = "SELECT id, next_renewal_on FROM third_parties ORDER BY next_renewal_on DESC, id LIMIT 300"
    assert rows(db, query) == rows(db, "SELECT id, due FROM local ORDER BY due DESC, id LIMIT 300")


def test_no_list_is_learnt_to_hide(session):
    """A list whose first pages were not read does not lack what is on them."""
    db, sandbox = session
    rows(db, "SET tpm_fdw.cache_ttl = '1h'")
    rows(db, "SELECT tpm_fdw_reset_cache()")
    without = rows(db, "SELECT id FROM local WHERE due IS NULL LIMIT 1")[0][0]
    rows(db, f"SELECT name FROM third_parties WHERE id = '{without}'")
    db.notices.clear()
    rows(db, f"{QUERY} LIMIT 5000")
    rows(db, "SELECT id FROM third_parties")
    sandbox.reset()
    rows(db, "SELECT id FROM third_parties WHERE status = 'Active'")
    assert sandbox.request_count() == 0 and db.notices == []
    rows(db, "SET tpm_fdw.cache_ttl = 0")


@pytest.mark.parametrize("fault", ["status:500", "reset"])
def test_errors_on_the_way(session, fault):
    """One that passes is asked again, one that stays is the statement's."""
    db, sandbox = session
    expected = rows(db, f"{LOCAL} LIMIT 10")
    sandbox.fault(fault, match="GET /v1/third_parties", count=1, skip=2)
    assert rows(db, f"{QUERY} LIMIT 10") == expected
    sandbox.fault(fault, match="GET /v1/third_parties", skip=2)
    with pytest.raises(psycopg2.Error):
        rows(db, f"{QUERY} LIMIT 10")


def test_out_of_order(session):
    """A page that is looked at is verified like every other."""
    db, sandbox = session
    sandbox.fault("unsorted", match="GET /v1/third_parties", skip=1)
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, f"{QUERY} LIMIT 10")
    assert caught.value.pgcode == "HV00M"


def test_nothing_but_nulls(session):
    db, sandbox = session
    for (number,) in rows(db, "SELECT id FROM local WHERE due IS NOT NULL"):
        sandbox.edit("third_parties", number, next_renewal_on=None)
    sandbox.reset()
    db.notices.clear()
    assert rows(db, f"{QUERY} LIMIT 10") == []
    assert sandbox.request_count() <= 8 and db.notices == []
    sandbox.edit("third_parties", "77", next_renewal_on="2030-01-01")
    assert [row[0] for row in rows(db, f"{QUERY} LIMIT 10")] == ["77"]
    sandbox.reset(data=True)
