"""Where a look-ahead node stands in a plan, where it is not offered, and that rows are the same with it and without.

What its window saves in requests is test_lookahead.py's.
"""

import psycopg2.errors
import pytest
import tpmtest


@pytest.fixture(scope="module")
def large():
    sandbox = tpmtest.Sandbox("--records", "1000", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def session(cluster, large):
    cluster.sql("CREATE DATABASE lookahead_plans")
    connection = cluster.connect("lookahead_plans")
    tpmtest.setup_server(connection, large, schema="tpm", trust="exact")
    for statement in ("SET tpm_fdw.max_requests = 0",
                      "SET search_path = tpm, public",
                      # every third key is nobody's, every fifth is NULL
                      "CREATE TABLE public.vendors AS SELECT i AS number, 'vendor ' || i AS name,"
                      " CASE WHEN i % 5 > 0 THEN CASE WHEN i % 3 > 0 THEN '' ELSE '-' END || (i * 7) END AS key"
                      " FROM generate_series(1, 120) i",
                      "CREATE UNIQUE INDEX ON vendors (number)",
                      "ANALYZE vendors",
                      "CREATE SEQUENCE public.calls"):
        tpmtest.rows(connection, statement)
    yield connection
    connection.close()


@pytest.fixture(autouse=True)
def as_before(session):
    yield
    tpmtest.rows(session, "RESET tpm_fdw.enable_lookahead")


def nodes(session, query):
    """The plan's nodes, without what is told of each; nothing is kept, since what is needs no requests."""
    tpmtest.rows(session, "SELECT tpm_fdw_reset_cache()")
    plan = [line for line, in tpmtest.rows(session, f"EXPLAIN (COSTS OFF) {query}")]
    return [line.replace("->", "").strip() for line in plan[:1] + [line for line in plan if "->" in line]]


def looks_ahead(session, query):
    return "Custom Scan (Key Lookahead)" in nodes(session, query)


def test_what_is_kept_is_joined_by_hash(session):
    """A list that the cache has in full costs no request: 300,000 lookups in it would cost more than one hash join."""
    query = "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key"
    assert looks_ahead(session, query)
    tpmtest.rows(session, "SELECT * FROM third_parties")
    plan = "\n".join(line for line, in tpmtest.rows(session, f"EXPLAIN (COSTS OFF) {query}"))
    assert "Hash Join" in plan and "Key Lookahead" not in plan
    tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 0")
    plan = "\n".join(line for line, in tpmtest.rows(session, f"EXPLAIN (COSTS OFF) {query}"))
    tpmtest.rows(session, "RESET tpm_fdw.cache_ttl")
    assert "Key Lookahead" in plan
    assert looks_ahead(session, query)


def both_ways(session, query, ordered=False):
    """Rows, the same with the node and without."""
    answers = []
    for setting in ("on", "off"):
        tpmtest.rows(session, f"SET tpm_fdw.enable_lookahead = {setting}")
        rows = tpmtest.rows(session, query)
        answers.append(rows if ordered else sorted(rows, key=str))
        assert looks_ahead(session, query) is (setting == "on")
    assert answers[0] == answers[1]
    return answers[0]


NODE = "Custom Scan (Key Lookahead)"
VENDORS = "Seq Scan on vendors v"
PARTIES = "Foreign Scan on third_parties t"

# query, nodes of its plan, number of rows
PLANS = [
    ("SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key",
     ["Nested Loop", NODE, VENDORS, PARTIES], 64),
    ("SELECT v.number, t.name FROM vendors v LEFT JOIN third_parties t ON t.id = v.key",
     ["Nested Loop Left Join", NODE, VENDORS, PARTIES], 120),
    ("SELECT v.number FROM vendors v WHERE EXISTS (SELECT FROM third_parties t WHERE t.id = v.key AND length(t.name) > v.number)",
     ["Nested Loop Semi Join", NODE, VENDORS, PARTIES], 10),
    ("SELECT v.number FROM vendors v WHERE NOT EXISTS (SELECT FROM third_parties t WHERE t.id = v.key)",
     ["Nested Loop Anti Join", NODE, VENDORS, PARTIES], 56),
    ("SELECT t.name FROM third_parties t WHERE t.id IN (SELECT key FROM vendors v)",
     ["Nested Loop", NODE, "HashAggregate", VENDORS, PARTIES], 64),
    # a number is no text, but its text is built in
    ("SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.number::text",
     ["Nested Loop", NODE, VENDORS, PARTIES], 120),
    ("SELECT v.name, t.name, p.name FROM vendors v JOIN third_parties t ON t.id = v.key JOIN third_parties p"
     " ON p.id = v.number::text",
     ["Nested Loop", NODE, "Nested Loop", NODE, VENDORS, PARTIES, "Foreign Scan on third_parties p"], 64),
]


@pytest.mark.parametrize("query, expected, count", PLANS)
def test_offered(session, query, expected, count):
    assert nodes(session, query) == expected
    rows = both_ways(session, query)
    assert len(rows) == count


OWN = "(SELECT t.name FROM third_parties t WHERE t.id = v.key)"
CASES = "(SELECT count(*) FROM cases c WHERE c.third_party_id = v.key)"

# queries with a subquery that is run once for each row, and the beginning of their plans
SUBQUERIES = [
    ("SELECT v.number, c.id FROM vendors v, LATERAL (SELECT c.id FROM cases c WHERE c.third_party_id = v.key ORDER BY c.id LIMIT 1) c",
     ["Nested Loop", NODE, VENDORS]),
    ("SELECT v.number, c.n FROM vendors v LEFT JOIN LATERAL (SELECT count(*) AS n FROM cases c WHERE c.third_party_id = v.key) c ON true",
     ["Nested Loop Left Join", NODE, VENDORS]),
    # the parameter goes on into a subquery of the subquery
    ("SELECT v.number, c.id FROM vendors v, LATERAL (SELECT c.id FROM (SELECT * FROM cases c WHERE c.third_party_id = v.key"
     " ORDER BY c.id LIMIT 3) c ORDER BY c.id DESC LIMIT 1) c", ["Nested Loop", NODE, VENDORS]),
    (f"SELECT v.number, {OWN} FROM vendors v", [NODE, VENDORS]),
    (f"SELECT v.number, coalesce({OWN}, 'none') || v.name FROM vendors v", [NODE, VENDORS]),
    (f"SELECT v.number, {CASES} FROM vendors v", [NODE, VENDORS]),
    # two of them, each with a key of its own
    (f"SELECT v.number, {OWN}, (SELECT t.status FROM third_parties t WHERE t.id = v.number::text) FROM vendors v", [NODE, VENDORS]),
    ("SELECT v.number, EXISTS (SELECT FROM third_parties t WHERE t.id = v.key) FROM vendors v", [NODE, VENDORS]),
    (f"SELECT v.number FROM vendors v ORDER BY {OWN}, v.number", ["Sort", NODE, VENDORS]),
    (f"SELECT {CASES} AS n, count(*) FROM vendors v GROUP BY 1", ["GroupAggregate", "Sort", NODE, VENDORS]),
    (f"SELECT v.number, row_number() OVER (ORDER BY {CASES}, v.number) FROM vendors v", ["WindowAgg", "Sort", NODE, VENDORS]),
    (f"SELECT v.number, {OWN} FROM vendors v FOR UPDATE", ["LockRows", NODE, VENDORS]),
    (f"SELECT v.key, {CASES} FROM (SELECT DISTINCT key FROM vendors v) v", [NODE, "HashAggregate", "Seq Scan on vendors v_1"]),
]


@pytest.mark.parametrize("query, beginning", SUBQUERIES)
def test_subqueries(session, query, beginning):
    assert nodes(session, query)[:len(beginning)] == beginning
    assert both_ways(session, query)


def test_update_from_a_subquery(session):
    statement = f"UPDATE vendors v SET name = {OWN} WHERE v.number < 20 RETURNING v.number, v.name"
    assert nodes(session, statement)[:3] == ["Update on vendors v", NODE, VENDORS]
    answers = []
    for setting in ("on", "off"):
        tpmtest.rows(session, f"SET tpm_fdw.enable_lookahead = {setting}; BEGIN")
        answers.append(sorted(tpmtest.rows(session, statement)))
        tpmtest.rows(session, "ROLLBACK")
    assert answers[0] == answers[1] and len(answers[0]) == 19


def test_sort_below_a_limit(session):
    """It is told its bound through the node; where the bound is not known, there is no node."""
    query = f"SELECT v.number, {OWN} FROM vendors v ORDER BY v.name LIMIT {{}}"
    plan = [line for line, in tpmtest.rows(session, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) " + query.format(5))]
    assert any("top-N heapsort" in line for line in plan) and any(NODE in line for line in plan)
    assert len(both_ways(session, query.format(5), ordered=True)) == 5
    assert not looks_ahead(session, query.format("(SELECT 5)"))
    assert both_ways(session, query.format(5) + " OFFSET 3", ordered=True)[0][0] == 101


def test_first_rows_of_a_subquery(session, large):
    """What the node computes above the rows is no reason not to read them ahead."""
    tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 0")
    large.reset()
    assert len(tpmtest.rows(session, f"SELECT v.number, {OWN} FROM vendors v LIMIT 4")) == 4
    tpmtest.rows(session, "RESET tpm_fdw.cache_ttl")
    assert large.request_count() == 1


def test_subquery_in_a_condition(session):
    """As PostgreSQL has it: the rows that pass are not known before the subquery was run."""
    query = f"SELECT v.number FROM vendors v WHERE {CASES} > 0"
    assert not looks_ahead(session, query)


def test_partitions(session, large):
    """One node shows each partition of an API its keys; those that are here are read as ever."""
    columns = "(status text OPTIONS (filter 'status', filter_match 'exact'), id text OPTIONS (filter 'id'), name text)"
    tpmtest.rows(session, f"""
        CREATE TABLE public.parts (status text, id text, name text) PARTITION BY LIST (status);
        CREATE FOREIGN TABLE public.parts_active {columns} SERVER tpm OPTIONS (resource '/third_parties', query 'filter[status]=Active');
        CREATE FOREIGN TABLE public.parts_inactive {columns} SERVER tpm OPTIONS (resource '/third_parties', query 'filter[status]=Inactive');
        ALTER TABLE parts ATTACH PARTITION parts_active FOR VALUES IN ('Active');
        ALTER TABLE parts ATTACH PARTITION parts_inactive FOR VALUES IN ('Inactive');
        CREATE TABLE public.parts_here PARTITION OF parts FOR VALUES IN ('here');
        INSERT INTO parts SELECT 'here', i::text, 'here ' || i FROM generate_series(1, 1000) i;
        CREATE INDEX ON parts_here (id);
        ANALYZE parts_here""")
    query = "SELECT v.number, t.name FROM vendors v JOIN parts t ON t.id = v.key"
    assert nodes(session, query) == ["Nested Loop", NODE, VENDORS, "Append", "Foreign Scan on parts_active t_1",
                                     "Foreign Scan on parts_inactive t_2", "Index Scan using parts_here_id_idx on parts_here t_3"]
    assert len(both_ways(session, query)) == 128
    large.reset()
    tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.enable_lookahead = on")
    assert len(tpmtest.rows(session, query)) == 128
    tpmtest.rows(session, "RESET tpm_fdw.cache_ttl")
    assert large.request_count() == 2


def test_explain_tells_how_far_it_looks(session):
    query = "EXPLAIN (COSTS OFF) SELECT FROM vendors v JOIN third_parties t ON t.id = v.key"
    assert "Keys a Request: 100" in [line.strip() for line, in tpmtest.rows(session, query)]


def test_order_is_kept(session):
    """The rows come as those of the index, without a Sort."""
    query = "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key ORDER BY v.number LIMIT 30"
    tpmtest.rows(session, "SET enable_seqscan = off")
    assert nodes(session, query) == ["Limit", "Nested Loop", NODE, "Index Scan using vendors_number_idx on vendors v", PARTIES]
    rows = both_ways(session, query, ordered=True)
    tpmtest.rows(session, "RESET enable_seqscan")
    assert len(rows) == 30 and rows == sorted(rows)


NOT_OFFERED = {
    "a function with an effect in the target":
        "SELECT v.number, t.name FROM (SELECT *, nextval('calls') AS call FROM vendors OFFSET 0) v"
        " JOIN third_parties t ON t.id = v.key LIMIT 1",
    "a function with an effect in a condition":
        "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key AND nextval('calls') + v.number > 0 LIMIT 1",
    "a function with an effect in a subquery's condition":
        "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key WHERE v.number ="
        " (SELECT max(i) FROM generate_series(1, 3) i WHERE i + v.number > 0 AND nextval('calls') > 0) LIMIT 1",
    "a function with an effect in a WITH query":
        "WITH v AS MATERIALIZED (SELECT *, nextval('calls') FROM vendors)"
        " SELECT v.number, t.name FROM v JOIN third_parties t ON t.id = v.key LIMIT 1",
    "rows that are locked":
        "SELECT v.number, t.name FROM (SELECT * FROM vendors FOR UPDATE) v JOIN third_parties t ON t.id = v.key LIMIT 1",
    "a key that is computed": "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = (100 / v.number)::text LIMIT 1",
    "a key under a function": "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = lower(v.key) LIMIT 1",
}


@pytest.mark.parametrize("what", NOT_OFFERED)
def test_not_offered(session, what):
    query = NOT_OFFERED[what]
    assert not looks_ahead(session, query)
    assert len(tpmtest.rows(session, query)) <= 1


def test_locks_above_the_node(session, cluster):
    """FOR UPDATE of the whole query locks what it gives, not what was read ahead."""
    query = "SELECT v.number, t.name FROM vendors v JOIN third_parties t ON t.id = v.key LIMIT 1 FOR UPDATE OF v SKIP LOCKED"
    assert nodes(session, query) == ["Limit", "LockRows", "Nested Loop", NODE, VENDORS, PARTIES]
    tpmtest.rows(session, "BEGIN")
    locked = tpmtest.rows(session, query)
    other = cluster.connect("lookahead_plans")
    free = tpmtest.rows(other, "SELECT number FROM vendors FOR UPDATE SKIP LOCKED")
    other.close()
    tpmtest.rows(session, "ROLLBACK")
    assert len(locked) == 1 and len(free) == 119


def test_plans_are_kept(session):
    """A prepared plan finds its window anew each time it is run, and two at a time find their own."""
    tpmtest.rows(session, "SET plan_cache_mode = force_generic_plan")
    tpmtest.rows(session, "PREPARE named(int) AS SELECT v.number, t.name FROM vendors v JOIN third_parties t"
                          " ON t.id = v.key WHERE v.number > $1 ORDER BY v.number")
    assert looks_ahead(session, "EXECUTE named(0)")
    whole = tpmtest.rows(session, "EXECUTE named(0)")
    assert tpmtest.rows(session, "EXECUTE named(100)") == [row for row in whole if row[0] > 100]
    tpmtest.rows(session, "BEGIN")
    for name in ("one", "two"):
        tpmtest.rows(session, f"DECLARE {name} CURSOR FOR SELECT v.number, t.name FROM vendors v JOIN third_parties t"
                              " ON t.id = v.key ORDER BY v.number")
    fetched = [row for _ in range(40) for name in ("one", "two") for row in tpmtest.rows(session, f"FETCH 2 FROM {name}")]
    tpmtest.rows(session, "COMMIT; DEALLOCATE named; RESET plan_cache_mode")
    assert sorted(fetched) == sorted(whole + whole)


def test_rescanned(session):
    """Inside a subquery that is begun again for each row, with other parameters and with the same."""
    query = ("SELECT i, (SELECT count(*) FROM vendors v JOIN third_parties t ON t.id = v.key WHERE v.number <= i) FROM"
             " generate_series(10, 40, 10) i")
    assert both_ways(session, query) == [(10, 5), (20, 11), (30, 16), (40, 21)]


def test_rows_that_were_changed_meanwhile(session, cluster):
    """EvalPlanQual runs the plan again for a row, and finds a window of its own, or none."""
    query = ("UPDATE vendors v SET name = t.name FROM third_parties t WHERE t.id = v.key AND v.number < 5"
             " RETURNING v.number, t.id")
    other, watcher = (cluster.connect("lookahead_plans", autocommit=auto) for auto in (False, True))
    for setting in ("on", "off"):
        tpmtest.rows(session, f"SET tpm_fdw.enable_lookahead = {setting}")
        assert looks_ahead(session, query) is (setting == "on")
        tpmtest.rows(other, "UPDATE vendors SET key = CASE number WHEN 1 THEN '14' ELSE key END WHERE number < 3")
        thread, changed = tpmtest.in_thread(lambda: tpmtest.rows(session, query))
        tpmtest.wait_until(lambda: tpmtest.rows(watcher, "SELECT 1 FROM pg_locks WHERE NOT granted"),
                           message="a lock that is waited for")
        other.commit()
        thread.join()
        # what is compared with the changed row is the row that was read for it before
        assert sorted(changed[0]) == [(2, "14"), (4, "28")]
        tpmtest.rows(watcher, "UPDATE vendors SET key = '7' WHERE number = 1")
    other.close()
    watcher.close()


def test_nothing_fails_ahead(session):
    """Where the plan may stop early, a row that raises an error is read when it is needed; the node tells only then."""
    query = ("SELECT v.number, t.name FROM (SELECT number, key, 100 / (7 - number) AS quotient FROM vendors ORDER BY number OFFSET 0) v"
             " LEFT JOIN third_parties t ON t.id = v.key AND v.quotient <> 0 FETCH FIRST (SELECT {}) ROWS ONLY")
    tpmtest.rows(session, "SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
    try:
        assert [number for number, _ in both_ways(session, query.format(6))] == [1, 2, 3, 4, 5, 6]
        for setting in ("on", "off"):
            tpmtest.rows(session, f"SET tpm_fdw.enable_lookahead = {setting}")
            with pytest.raises(psycopg2.errors.DivisionByZero):
                tpmtest.rows(session, query.format(7))
    finally:
        tpmtest.rows(session, "RESET enable_seqscan; RESET enable_sort; RESET enable_hashjoin; RESET enable_mergejoin")
