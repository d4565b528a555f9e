"""tpm_fdw.cache_stale: an older answer, with a WARNING, where there is no newer one."""

import psycopg2
import pytest
import tpmtest

LIST = "GET /v1/third_parties"
QUERY = "SELECT id, name, status, fetched FROM third_parties ORDER BY id"


@pytest.fixture
def kept(tpm, sandbox):
    """A table that is in the cache and no longer fresh; what it held."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (SET max_retries '0')" if has_option(tpm, "max_retries")
                 else "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties ADD COLUMN fetched timestamptz OPTIONS (fetched_at 'true')")
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = '1h'")
    rows = tpmtest.rows(tpm, QUERY)
    assert len(rows) == 300
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 1")
    tpmtest.wait_until(lambda: tpmtest.rows(tpm, "SELECT clock_timestamp() > fetched + '1100 ms'::interval"
                                                 " FROM tpm_fdw_cache")[0][0])
    return rows


def has_option(db, name):
    return tpmtest.rows(db, "SELECT true FROM pg_foreign_server, unnest(srvoptions) o WHERE o LIKE %s", (f"{name}=%",))


def failure(connection, statement):
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(connection, statement)
    return caught.value


@pytest.mark.parametrize("fault, code", [("status:500", "HV00L"), ("reset", "HV00N"), ("html_502", "HV00L")])
def test_older_answer(tpm, sandbox, kept, fault, code):
    """Off: the error. On: the answer, its true fetched_at, a WARNING."""
    sandbox.fault(fault, match=LIST)
    error = failure(tpm, QUERY)
    assert error.pgcode == code
    assert "tpm_fdw.cache_stale" in error.diag.message_hint
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    tpm.notices.clear()
    assert tpmtest.rows(tpm, QUERY) == kept
    assert len([notice for notice in tpm.notices if notice.startswith("WARNING:  an answer of ")]) == 1
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = 1")
    assert failure(tpm, QUERY).pgcode == code


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_any_page(tpm, sandbox, kept, skip):
    """Rows of two readings are not mixed: whichever page fails, all rows are older ones."""
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    sandbox.edit("third_parties", "1", name="Newer")
    sandbox.fault("status:500", match=LIST, skip=skip)
    assert tpmtest.rows(tpm, QUERY) == kept


def test_newer_is_better(tpm, sandbox, kept):
    """As long as the API answers, its answer is the one."""
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    sandbox.edit("third_parties", "1", name="Newer")
    before = sandbox.request_count()
    assert tpmtest.rows(tpm, "SELECT name FROM third_parties WHERE name = 'Newer'") == [("Newer",)]
    assert len(tpmtest.rows(tpm, QUERY)) == 300
    assert sandbox.request_count() == before + 1 + 3
    assert tpm.notices == [] or "WARNING" not in "".join(tpm.notices)


@pytest.mark.parametrize("query", [
    "SELECT count(*) FROM third_parties",
    "SELECT count(*) FROM third_parties WHERE status = 'Active'",
    "SELECT id FROM third_parties ORDER BY updated_at DESC, id LIMIT 7",
    "SELECT id FROM third_parties ORDER BY id DESC LIMIT 7",
    "SELECT id FROM third_parties WHERE id IN ('3', '5', '7') ORDER BY id",
    "SELECT name FROM third_parties WHERE id = '9'",
    "SELECT count(*) FROM third_parties a JOIN third_parties b USING (id) WHERE a.status = 'Active'",
    "SELECT max(updated_at) FROM third_parties WHERE updated_at > '2020-01-01'"])
def test_any_question(tpm, sandbox, kept, query):
    """Filters, orders, counts and joins are answered by the older list as they were by the API."""
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 0")
    expected = tpmtest.rows(tpm, query)
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 1; SET tpm_fdw.cache_stale = '1h'")
    sandbox.fault("status:500", match=LIST)
    assert tpmtest.rows(tpm, query) == expected


def test_budget_spent(tpm, sandbox, kept):
    """53400 names the cached answer; with cache_stale it is given, with its true fetched_at and a WARNING."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '3')")
    tpmtest.rows(tpm, "SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_wait = 0; SET tpm_fdw.cache_ttl = '1h'")
    # an altered server's answers are new ones
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_rate_limits('tpm')")
    answer = tpmtest.rows(tpm, QUERY)
    tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 1")
    tpmtest.wait_until(lambda: tpmtest.rows(tpm, "SELECT clock_timestamp() > max(fetched) + '1100 ms'::interval"
                                                 " FROM tpm_fdw_cache")[0][0])
    error = failure(tpm, QUERY)
    assert error.pgcode == "53400"
    assert "tpm_fdw.cache_stale" in error.diag.message_hint
    count = sandbox.request_count()
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    tpm.notices.clear()
    assert tpmtest.rows(tpm, QUERY) == answer
    assert all(row[3] == answer[0][3] or abs((row[3] - answer[0][3]).total_seconds()) < 5 for row in answer)
    assert any(notice.startswith("WARNING:  an answer of ") for notice in tpm.notices)
    assert sandbox.request_count() == count


def test_not_for_writes(tpm, sandbox, kept):
    """A scan that feeds a write gets no older answer."""
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    sandbox.fault("status:500", match=LIST)
    assert failure(tpm, "UPDATE third_parties SET name = name || '!' WHERE id IN ('1', '2')").pgcode == "HV00L"


def test_not_after_a_write(tpm, sandbox, kept):
    """What was written since makes an answer wrong, not only old."""
    tpmtest.rows(tpm, "UPDATE third_parties SET name = 'Written' WHERE id = '1'")
    tpmtest.rows(tpm, "SET tpm_fdw.cache_stale = '1h'")
    sandbox.fault("status:500", match=LIST)
    assert failure(tpm, QUERY).pgcode == "HV00L"
