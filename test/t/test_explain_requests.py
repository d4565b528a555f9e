"""What EXPLAIN says that a statement will cost: all loops of a scan together, and nothing where the cache has the answer."""

import json
import re

import pytest
from tpmtest import rows


@pytest.fixture
def wide(tpm):
    """Pages of 10 rows, so that a list costs 60 requests; a table of 29 keys, and nothing seen ahead."""
    for statement in ("ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '5')",
                      "CREATE TABLE keys AS SELECT i::text AS key, i AS number FROM generate_series(1, 29) i",
                      "ANALYZE keys", "SET tpm_fdw.max_requests = 0", "SELECT id FROM third_parties",
                      "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off"):
        rows(tpm, statement)
    return tpm


def expected(connection, query):
    """The words behind "Requests:", of each scan."""
    plan = "\n".join(row[0] for row in rows(connection, f"EXPLAIN {query}"))
    return re.findall(r"^ *Requests: (.*)$", plan, re.M)


LOOKUPS = "SELECT k.key, t.name FROM keys k JOIN third_parties t ON t.id = k.key"
SUBQUERY = "SELECT key, (SELECT name FROM third_parties t WHERE t.id = k.key) FROM keys k"
LATERAL = "SELECT * FROM keys k, LATERAL (SELECT name FROM third_parties t WHERE t.id = k.key OFFSET 0) t"


@pytest.mark.parametrize("query", [LOOKUPS, SUBQUERY, LATERAL,
                                   "SELECT key FROM keys k WHERE (SELECT name FROM third_parties t WHERE t.id = k.key) > ''"])
def test_loops_are_counted(wide, sandbox, query):
    """One request a loop: the number is the total."""
    rows(wide, "SET tpm_fdw.enable_lookahead = off")
    assert expected(wide, query) == ["~29 (29 loops)"]
    before = sandbox.request_count()
    assert len(rows(wide, query)) == 29
    assert sandbox.request_count() == before + 29


@pytest.mark.parametrize("query", [LOOKUPS, SUBQUERY, LATERAL])
def test_keys_seen_ahead(wide, sandbox, query):
    """Where a look-ahead node shows the keys the total is that of their lists, not of the rows."""
    rows(wide, "SELECT tpm_fdw_reset_cache()")
    words = expected(wide, query)
    before = sandbox.request_count()
    assert len(rows(wide, query)) == 29
    assert words == [f"~{sandbox.request_count() - before}"] == ["~6"]


def test_loops_within_loops(wide):
    """What gives the scan other values multiplies; what only begins it again with the same ones does not."""
    rows(wide, "SET tpm_fdw.enable_lookahead = off")
    assert expected(wide, "SELECT (SELECT name FROM third_parties t WHERE t.id = a.key || b.key) FROM keys a, keys b") == ["~841 (841 loops)"]
    assert expected(wide, "SELECT FROM keys a CROSS JOIN third_parties t WHERE t.status = 'Active' OR a.number > 3") == ["~60"]


def test_as_members(wide):
    rows(wide, "SET tpm_fdw.enable_lookahead = off")
    plan = rows(wide, f"EXPLAIN (FORMAT JSON) {LOOKUPS}")[0][0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    scan = next(node for node in plan[0]["Plan"]["Plans"] if node["Node Type"] == "Foreign Scan")
    assert (scan["Requests"], scan["Expected Loops"]) == (29, 29)
    rows(wide, "SET tpm_fdw.cache_ttl = '1h'")
    rows(wide, "SELECT FROM third_parties")
    plan = rows(wide, "EXPLAIN (FORMAT JSON) SELECT name FROM third_parties")[0][0]
    scan = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    assert scan["Requests"] == 0 and 0 <= scan["Cached Age"] < 60


CACHED = re.compile(r"0 \(cached, age (\d+) s\)")


@pytest.fixture
def kept(wide):
    rows(wide, "SET tpm_fdw.cache_ttl = '1h'")
    return wide


@pytest.mark.parametrize("ask, query", [
    ("SELECT id FROM third_parties", "SELECT name FROM third_parties"),
    ("SELECT id FROM third_parties", "SELECT name FROM third_parties WHERE status = 'Active' AND name > 'B'"),
    ("SELECT id FROM third_parties", "SELECT count(*) FROM third_parties WHERE status = 'Active'"),
    ("SELECT id FROM third_parties", "SELECT name FROM third_parties WHERE updated_at > now() - interval '1 day'"),
    ("SELECT id FROM third_parties", "SELECT name FROM third_parties ORDER BY updated_at DESC LIMIT 3"),
    ("SELECT id FROM third_parties", "SELECT name FROM third_parties WHERE id IN ('3', '5')"),
    ("SELECT id FROM third_parties WHERE status = 'Active'", "SELECT name FROM third_parties WHERE status = 'Active' AND name > 'B'"),
    ("SELECT name FROM third_parties WHERE id = '7'", "SELECT name FROM third_parties WHERE id = '7'"),
    ("SELECT count(*) FROM third_parties WHERE status = 'Active'", "SELECT count(*) FROM third_parties WHERE status = 'Active'")])
def test_what_is_kept_costs_nothing(kept, sandbox, ask, query):
    """It says so, is right, and leaves no trace."""
    assert not any(CACHED.fullmatch(words) for words in expected(kept, query))
    rows(kept, ask)
    trace = "SELECT conditions, hits, fetched FROM tpm_fdw_cache ORDER BY conditions"
    before, state = sandbox.request_count(), rows(kept, trace)
    words, = expected(kept, query)
    assert int(CACHED.fullmatch(words)[1]) < 60
    assert rows(kept, trace) == state
    rows(kept, query)
    assert sandbox.request_count() == before


@pytest.mark.parametrize("query", [
    "SELECT name FROM third_parties", "SELECT name FROM third_parties WHERE status = 'Inactive'",
    "SELECT count(*) FROM third_parties WHERE status = 'Inactive'", "SELECT name FROM third_parties WHERE id = '8'",
    "SELECT name FROM third_parties WHERE status = (SELECT 'Active')"])
def test_what_another_list_holds_is_not(kept, query):
    """A part does not answer what it is no answer to, nor a value that is not known yet."""
    rows(kept, "SELECT id FROM third_parties WHERE status = 'Active'")
    rows(kept, "SELECT count(*) FROM third_parties WHERE status = 'Active'")
    words, = expected(kept, query)
    assert words.startswith("~")


def test_under_the_rules_of_the_scan(kept, sandbox):
    """Old, written to, not to be used, of another credential, without one: what it costs then."""
    query = "SELECT name FROM third_parties"
    rows(kept, query)
    assert CACHED.fullmatch(expected(kept, query)[0])
    rows(kept, "SET tpm_fdw.cache_ttl = 0")
    assert expected(kept, query) == ["~60"]
    rows(kept, "SET tpm_fdw.cache_ttl = '1h'")
    rows(kept, "UPDATE third_parties SET name = 'Another' WHERE id = '1'")
    assert expected(kept, query) == ["~60"]
    rows(kept, query)
    assert CACHED.fullmatch(expected(kept, query)[0])
    rows(kept, "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger; GRANT USAGE ON SCHEMA tpm TO stranger;"
               " GRANT SELECT ON ALL TABLES IN SCHEMA tpm TO stranger; SET ROLE stranger")
    assert expected(kept, query) == ["~60"]
    rows(kept, "RESET ROLE")
    rows(kept, "CREATE USER MAPPING FOR stranger SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret')")
    rows(kept, "SET ROLE stranger")
    assert CACHED.fullmatch(expected(kept, query)[0])
    rows(kept, "RESET ROLE; ALTER USER MAPPING FOR stranger SERVER tpm OPTIONS (SET client_secret 'another'); SET ROLE stranger")
    assert expected(kept, query) == ["~60"]
    rows(kept, "RESET ROLE; DROP OWNED BY stranger; DROP ROLE stranger")


def test_hidden_rows(kept, sandbox):
    """A list that lacks what a condition has found does not answer conditions, here neither."""
    query = "SELECT name FROM third_parties WHERE status = 'Active'"
    sandbox.fault("hide_inactive", match="GET /v1/third_parties")
    rows(kept, "SELECT id FROM third_parties")
    assert CACHED.fullmatch(expected(kept, query)[0])
    rows(kept, "SET tpm_fdw.cache_ttl = 0")
    sandbox.reset()
    rows(kept, "SELECT name FROM third_parties WHERE status = 'Inactive'")
    rows(kept, "SET tpm_fdw.cache_ttl = '1h'")
    assert expected(kept, query)[0].startswith("~")


def test_no_row_can_match(kept):
    assert expected(kept, "SELECT name FROM third_parties WHERE id = ANY ('{}')") == ["0"]


def test_many_requests(kept):
    """All of them must be kept; the age is the oldest's."""
    query = "SELECT name FROM third_parties WHERE id IN ('3', '5')"
    rows(kept, "ALTER FOREIGN TABLE third_parties ALTER id OPTIONS (DROP filter)")
    rows(kept, "SELECT name FROM third_parties WHERE id = '3'")
    assert expected(kept, query) == ["~2"]
    rows(kept, "SELECT name FROM third_parties WHERE id = '5'")
    assert CACHED.fullmatch(expected(kept, query)[0])


def test_lookups_in_what_is_kept(kept):
    rows(kept, "SELECT id FROM third_parties")
    words = expected(kept, LOOKUPS)
    assert CACHED.fullmatch(words[0])


def test_prepared(kept):
    """Values of a custom plan are known, those of a generic one are not."""
    rows(kept, "PREPARE active(text) AS SELECT name FROM third_parties WHERE status = $1")
    rows(kept, "EXECUTE active('Active')")
    assert CACHED.fullmatch(expected(kept, "EXECUTE active('Active')")[0])
    assert expected(kept, "EXECUTE active('Inactive')")[0].startswith("~")
    rows(kept, "SET plan_cache_mode = force_generic_plan")
    assert expected(kept, "EXECUTE active('Active')")[0].startswith("~")


def test_nothing_is_sent(kept, sandbox):
    before = sandbox.request_count()
    for query in (LOOKUPS, SUBQUERY, "SELECT count(*) FROM third_parties WHERE status = 'Active'"):
        expected(kept, query)
    assert sandbox.request_count() == before


def test_without_a_mapping_nothing_breaks(kept):
    rows(kept, "SELECT name FROM third_parties")
    rows(kept, "BEGIN; DROP USER MAPPING FOR CURRENT_USER SERVER tpm")
    assert expected(kept, "SELECT name FROM third_parties") == ["~60"]
    rows(kept, "ROLLBACK")
