"""A count that the API answers is kept as a list is: for as long, for whom, until a write, and in place of an error."""

import psycopg2
import pytest
import tpmtest
from tpmtest import rows

LIST = "GET /v1/third_parties"
ACTIVE = "SELECT count(*) FROM third_parties WHERE status = 'Active'"
ALL = "SELECT count(*) FROM third_parties"


@pytest.fixture
def kept(tpm):
    rows(tpm, "SET tpm_fdw.cache_ttl = '1h'")
    return tpm


def asked(sandbox, connection, statement):
    """(the answer, requests that it cost)"""
    before = sandbox.request_count()
    answer = rows(connection, statement)
    return answer, sandbox.request_count() - before


def grow_old(connection):
    """What is kept now is no longer fresh."""
    rows(connection, "SET tpm_fdw.cache_ttl = 1")
    tpmtest.wait_until(lambda: rows(connection, "SELECT clock_timestamp() > max(fetched) + '1100 ms'::interval"
                                                " FROM tpm_fdw_cache")[0][0])


def analyzed(connection, query):
    return "\n".join(row[0] for row in rows(connection, f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query}"))


@pytest.mark.parametrize("query", [
    ALL, ACTIVE, "SELECT count(*) FROM third_parties WHERE status IN ('Active', 'Inactive') AND country = 'DE'",
    "SELECT count(id), count(*) FROM third_parties WHERE status = 'Active'"])
def test_again_costs_nothing(kept, sandbox, query):
    """The same count sends nothing, in any session, and says so."""
    answer, requests = asked(sandbox, kept, query)
    assert requests >= 1
    assert asked(sandbox, kept, query) == (answer, 0)
    assert "Cache: hit" in analyzed(kept, query)
    other = psycopg2.connect(kept.dsn)
    other.autocommit = True
    try:
        rows(other, "SET search_path = tpm; SET tpm_fdw.cache_ttl = '1h'")
        assert asked(sandbox, other, query) == (answer, 0)
    finally:
        other.close()


def test_is_no_list(kept, sandbox):
    """The rows of what was counted are not there, a list of no rows neither; the view shows the count as one."""
    answer, _ = asked(sandbox, kept, ACTIVE)
    found, requests = asked(sandbox, kept, "SELECT id FROM third_parties WHERE status = 'Active'")
    assert requests >= 1 and len(found) == answer[0][0] > 0
    assert rows(kept, "SELECT complete, rows, requests FROM tpm_fdw_cache"
                      " WHERE conditions LIKE 'count(*) %status%Active%'") == [(True, 0, 2)]
    # the list answers from now on, a part of it too
    assert asked(sandbox, kept, ACTIVE) == (answer, 0)


@pytest.mark.parametrize("list_query", ["SELECT id FROM third_parties", "SELECT id FROM third_parties WHERE status = 'Active'"])
def test_a_list_at_hand_counts(kept, sandbox, list_query):
    rows(kept, list_query)
    _, requests = asked(sandbox, kept, ACTIVE)
    assert requests == 0


def test_each_condition_and_credential_its_own(kept, sandbox):
    """Other values, another credential, a scan that may not use the cache: asked."""
    asked(sandbox, kept, ACTIVE)
    assert asked(sandbox, kept, ACTIVE.replace("Active", "Inactive"))[1] == 1
    rows(kept, "SET tpm_fdw.cache_ttl = 0")
    assert asked(sandbox, kept, ACTIVE)[1] == 1
    rows(kept, "SET tpm_fdw.cache_ttl = '1h'")
    assert asked(sandbox, kept, ACTIVE)[1] == 0
    rows(kept, "ALTER SERVER tpm OPTIONS (ADD scope 'another')")
    assert asked(sandbox, kept, ACTIVE)[1] >= 1


def test_old_or_written(kept, sandbox):
    """After its time, and after a write of the resource, it is asked for anew."""
    answer, _ = asked(sandbox, kept, ALL)
    rows(kept, "INSERT INTO third_parties (name, country) VALUES ('One more', 'DE')")
    more, requests = asked(sandbox, kept, ALL)
    assert requests == 1 and more[0][0] == answer[0][0] + 1
    grow_old(kept)
    assert asked(sandbox, kept, ALL) == (more, 1)


def test_instead_of_an_error(kept, sandbox):
    """No answer: the error names the count that is kept; with cache_stale it is given, with a WARNING."""
    rows(kept, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    answer, _ = asked(sandbox, kept, ACTIVE)
    grow_old(kept)
    sandbox.fault("status:500", match=LIST)
    with pytest.raises(psycopg2.Error) as caught:
        rows(kept, ACTIVE)
    assert "tpm_fdw.cache_stale" in caught.value.diag.message_hint
    rows(kept, "SET tpm_fdw.cache_stale = '1h'")
    kept.notices.clear()
    assert rows(kept, ACTIVE) == answer
    assert [notice for notice in kept.notices if notice.startswith("WARNING:  an answer of ")]
    # what nobody has counted is not known
    with pytest.raises(psycopg2.Error):
        rows(kept, ACTIVE.replace("Active", "Inactive"))


def test_budget_spent(kept, sandbox):
    """With the budget gone an older count costs no request."""
    rows(kept, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '3')")
    rows(kept, "SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_wait = 0")
    rows(kept, "SELECT tpm_fdw_reset_rate_limits('tpm')")
    answer, _ = asked(sandbox, kept, ALL)
    grow_old(kept)
    for _ in range(2):
        rows(kept, ALL.replace("third_parties", "cases"))
        grow_old(kept)
    with pytest.raises(psycopg2.Error) as caught:
        rows(kept, ALL)
    assert caught.value.pgcode == "53400" and "tpm_fdw.cache_stale" in caught.value.diag.message_hint
    rows(kept, "SET tpm_fdw.cache_stale = '1h'")
    assert asked(sandbox, kept, ALL) == (answer, 0)


def test_the_newest_stands_in(kept, sandbox):
    """Of an older count and an older list the newer one answers."""
    rows(kept, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    answer, _ = asked(sandbox, kept, ALL)
    grow_old(kept)
    rows(kept, "SET tpm_fdw.cache_ttl = '1h'")
    sandbox.create("third_parties", name="Later")
    assert len(rows(kept, "SELECT id FROM third_parties")) == answer[0][0] + 1
    grow_old(kept)
    rows(kept, "SET tpm_fdw.cache_stale = '1h'")
    sandbox.fault("status:500", match=LIST)
    assert rows(kept, ALL) == [(answer[0][0] + 1,)]


def test_filter_that_lies(kept, sandbox):
    """A count that was kept is not given once its filter was seen to bring what does not match."""
    asked(sandbox, kept, ACTIVE)
    sandbox.fault("ignore_filter", match=LIST)
    true = sum(1 for (status,) in rows(kept, "SELECT status FROM third_parties WHERE status IN ('Active', 'Inactive')")
               if status == "Active")
    rows(kept, "SELECT tpm_fdw_reset_cache('tpm')")
    assert asked(sandbox, kept, ACTIVE)[0] == [(true,)]


def test_without_a_total(kept, sandbox):
    """Where the API tells none the rows are counted, and their list is what is kept."""
    rows(kept, "ALTER FOREIGN TABLE third_parties OPTIONS (SET total_pointer '/meta/nothing')")
    answer, _ = asked(sandbox, kept, ALL)
    assert asked(sandbox, kept, ALL) == (answer, 0)
    assert rows(kept, "SELECT count(*) FROM tpm_fdw_cache WHERE conditions LIKE 'count%'") == [(0,)]


def test_many_ask_at_once(kept, sandbox):
    """Sessions that count the same at the same time cost one request."""
    others = [psycopg2.connect(kept.dsn) for _ in range(4)]
    for other in others:
        other.autocommit = True
        rows(other, "SET search_path = tpm; SET tpm_fdw.cache_ttl = '1h'")
    sandbox.fault("latency", match=LIST)
    before = sandbox.request_count()
    running = [tpmtest.in_thread(lambda other=other: rows(other, ALL)) for other in others]
    for thread, _ in running:
        thread.join()
    assert len({str(result[0]) for _, result in running}) == 1
    assert sandbox.request_count() == before + 1
    for other in others:
        other.close()
