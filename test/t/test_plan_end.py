"""Is a plan read to its end, once a scan is begun? What a scan says at its first row, for each shape of plan.

A "yes" is compared with what was asked: the last page of the list. A "no" is no promise, so nothing can contradict it.
"""

import io
import re
import urllib.parse

import pytest
import tpmtest

YES, NO = True, False


@pytest.fixture(scope="module")
def session(cluster, shared_sandbox):
    cluster.sql("CREATE DATABASE plan_end")
    connection = cluster.connect("plan_end")
    tpmtest.setup_server(connection, shared_sandbox, schema="tpm", trust="exact", options={"page_size": "50"})
    for statement in ("SET tpm_fdw.cache_ttl = 0", "SET search_path = tpm, public",
                      # nothing but the settings of a case decides how it is joined
                      "SET enable_hashjoin = off", "SET enable_mergejoin = off", "SET enable_memoize = off",
                      "SET enable_material = off", "SET enable_nestloop = off",
                      "SET tpm_fdw.enable_lookahead = off",
                      "CREATE TABLE public.keys AS SELECT i::text AS key, i AS n, (i % 3)::text AS third FROM generate_series(1, 20) i",
                      "CREATE TABLE public.kept (id text, name text)",
                      "CREATE INDEX ON public.keys (key)",
                      "CREATE VIEW public.t AS SELECT id, name, status FROM third_parties",
                      "ANALYZE keys"):
        tpmtest.rows(connection, statement)
    yield connection
    connection.close()


@pytest.fixture
def judged(session, shared_sandbox):
    """([what scans said], how many lists were asked for their last page) of a run."""
    def run(statements):
        shared_sandbox.reset()
        tpmtest.rows(session, "SET client_min_messages = debug2")
        tpmtest.notices(session)
        try:
            statements()
        finally:
            said = tpmtest.notices(session)
            tpmtest.rows(session, "RESET client_min_messages")
        ends = sum("number]=6" in urllib.parse.unquote(entry["query"]) for entry in shared_sandbox.api_requests())
        return [answer == "reads it to its end" for answer in
                re.findall(r"foreign table \S+: the plan (reads it to its end|may stop early)", said)], ends
    return run


# a node that the plan has to have, for the shape to be what its query is meant for; the settings of that; the query;
# what its scans say
SHAPES = [
    # rows that are handed on
    ("Foreign Scan", [], "SELECT id FROM t", [YES]),
    ("Limit", [], "SELECT id FROM t LIMIT 3", [NO]),
    ("Limit", [], "SELECT id FROM t OFFSET 3", [YES]),
    ("Limit", [], "SELECT id FROM t ORDER BY id FETCH FIRST 3 ROWS WITH TIES", [NO]),
    ("Append", [], "SELECT id FROM t UNION ALL SELECT name FROM t", [YES, YES]),
    ("Append", [], "SELECT id FROM t UNION ALL SELECT name FROM t LIMIT 3", [NO]),
    ("ProjectSet", [], "SELECT generate_series(1, 2), id FROM t", [YES]),
    ("Result", [], "SELECT id FROM t WHERE now() > '2000-01-01'", [YES]),
    ("Subquery Scan", [], "SELECT s.id FROM (SELECT id, random() AS r FROM t OFFSET 0) s WHERE r < 2", [YES]),
    ("LockRows", ["enable_nestloop"], "SELECT t.id FROM t JOIN keys k ON k.key <> t.name FOR UPDATE OF k", [YES]),
    ("LockRows", ["enable_nestloop"], "SELECT t.id FROM t JOIN keys k ON k.key <> t.name LIMIT 1 FOR UPDATE OF k", [NO]),
    ("Materialize", ["enable_nestloop", "enable_material"],
     "SELECT k.key, t.id FROM keys k, third_parties t WHERE t.name > k.key", [YES]),
    # rows that are taken before the first one is given
    ("Sort", [], "SELECT id FROM t ORDER BY name || id LIMIT 3", [YES]),
    ("Incremental Sort", [], "SELECT id FROM t ORDER BY id, name || 'x' LIMIT 3", [NO]),
    ("Merge Append", [], "(SELECT id FROM t ORDER BY id) UNION ALL (SELECT id FROM t ORDER BY id) ORDER BY id", [YES, YES]),
    ("Merge Append", [], "SELECT id FROM (SELECT id FROM t UNION ALL SELECT id FROM t) u ORDER BY id LIMIT 3", [NO, NO]),
    ("Aggregate", [], "SELECT max(name || 'x') FROM t LIMIT 1", [YES]),
    ("HashAggregate", ["!enable_sort"], "SELECT left(name, 1), count(*) FROM t GROUP BY 1 LIMIT 1", [YES]),
    ("GroupAggregate", ["!enable_hashagg"], "SELECT id, count(*) FROM t GROUP BY id LIMIT 1", [NO]),
    ("GroupAggregate", ["!enable_hashagg"], "SELECT id, count(*) FROM t GROUP BY id", [YES]),
    ("MixedAggregate", [], "SELECT id, status, count(*) FROM t GROUP BY GROUPING SETS ((), id, status) LIMIT 1", [NO]),
    ("Group", ["!enable_hashagg"], "SELECT id FROM t GROUP BY id LIMIT 1", [NO]),
    ("Unique", ["!enable_hashagg"], "SELECT DISTINCT id FROM t LIMIT 1", [NO]),
    ("Unique", ["!enable_hashagg"], "SELECT DISTINCT id FROM t", [YES]),
    ("HashSetOp", ["!enable_sort"], "SELECT id FROM t EXCEPT SELECT key FROM keys LIMIT 1", [YES]),
    ("SetOp", ["!enable_hashagg", "!enable_sort"], "SELECT id FROM t EXCEPT SELECT key FROM keys", [YES]),
    ("Insert", [], "INSERT INTO kept SELECT id, name FROM t", [YES]),
    ("Insert", [], "WITH w AS (INSERT INTO kept SELECT id, name FROM t RETURNING id) SELECT * FROM w LIMIT 1", [YES]),
    ("Insert", [], "WITH w AS (INSERT INTO kept SELECT id, name FROM t) SELECT 1", [YES]),
    # windows
    ("WindowAgg", [], "SELECT id, count(*) OVER () FROM t LIMIT 1", [YES]),
    ("WindowAgg", [], "SELECT id, row_number() OVER () FROM t LIMIT 1", [NO]),
    ("WindowAgg", [], "SELECT id, row_number() OVER () FROM t", [YES]),
    ("WindowAgg", [], "SELECT id, count(*) OVER (ROWS UNBOUNDED PRECEDING) FROM t LIMIT 1", [NO]),
    ("WindowAgg", [], "SELECT id, count(*) OVER (ORDER BY id) FROM t LIMIT 1", [NO]),
    ("WindowAgg", [], "SELECT id, count(*) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) FROM t LIMIT 1",
     [YES]),
    ("WindowAgg", [], "SELECT id, count(*) OVER (PARTITION BY id) FROM t LIMIT 1", [NO]),
    ("Run Condition", [], "SELECT * FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM t) w WHERE n < 3", [NO]),
    # joins
    ("Hash", ["enable_hashjoin"], "SELECT a.id FROM t a JOIN t b ON a.name = b.name LIMIT 1", [NO, YES]),
    ("Hash Join", ["enable_hashjoin"], "SELECT k.n FROM t JOIN keys k ON k.n = length(t.name)", [YES]),
    ("Hash Join", ["enable_hashjoin"], "SELECT k.n FROM t JOIN keys k ON k.n = length(t.name) LIMIT 1", [NO]),
    ("Merge Join", ["enable_mergejoin"], "SELECT t.id FROM t JOIN keys k ON k.key = t.id", [NO]),
    ("Nested Loop", ["enable_nestloop"], "SELECT t.id FROM t JOIN keys k ON k.key <> t.name", [YES]),
    ("Nested Loop", ["enable_nestloop"], "SELECT k.key, c.id FROM keys k JOIN cases c ON c.third_party_id = k.key", [YES]),
    ("Key Lookahead", ["enable_nestloop", "tpm_fdw.enable_lookahead"],
     "SELECT k.name, c.id FROM t k JOIN cases c ON c.third_party_id = k.id", [YES, YES]),
    ("Key Lookahead", ["enable_nestloop", "tpm_fdw.enable_lookahead"],
     "SELECT k.name, c.id FROM t k JOIN cases c ON c.third_party_id = k.id LIMIT 1", [NO, NO]),
    ("Nested Loop", ["enable_nestloop"], "SELECT k.key, c.id FROM keys k JOIN cases c ON c.third_party_id = k.key LIMIT 1",
     [NO]),
    ("Nested Loop Left Join", ["enable_nestloop"],
     "SELECT k.key, c.id FROM keys k LEFT JOIN cases c ON c.third_party_id = k.key", [YES]),
    ("Nested Loop Semi Join", ["enable_nestloop"],
     "SELECT key FROM keys WHERE EXISTS (SELECT 1 FROM cases c WHERE c.third_party_id = keys.key)", [NO]),
    ("Nested Loop Anti Join", ["enable_nestloop"],
     "SELECT key FROM keys WHERE NOT EXISTS (SELECT 1 FROM cases c WHERE c.third_party_id = keys.key)", [NO]),
    ("Memoize", ["enable_nestloop", "enable_memoize"],
     "SELECT k.third, c.id FROM keys k JOIN cases c ON c.third_party_id = k.third", [YES]),
    ("Nested Loop", ["enable_nestloop"], "SELECT k.key, c.id FROM keys k,"
     " LATERAL (SELECT id FROM cases c WHERE c.third_party_id = k.key ORDER BY id LIMIT 1) c", [NO]),
    # CTEs
    ("CTE Scan", [], "WITH w AS MATERIALIZED (SELECT id FROM t) SELECT * FROM w", [YES]),
    ("CTE Scan", [], "WITH w AS MATERIALIZED (SELECT id FROM t) SELECT * FROM w LIMIT 1", [NO]),
    ("CTE Scan", [], "WITH w AS MATERIALIZED (SELECT id FROM t) (SELECT id FROM w LIMIT 1) UNION ALL SELECT id FROM w", [YES]),
    ("CTE Scan", [], "WITH w AS MATERIALIZED (SELECT id FROM t) SELECT (SELECT id FROM w LIMIT 1), (SELECT max(id) FROM w)",
     [YES]),
    ("Recursive Union", [], "WITH RECURSIVE r AS (SELECT id, 1 AS n FROM t UNION ALL SELECT id, n + 1 FROM r WHERE n < 2)"
     " SELECT * FROM r", [YES]),
    ("Recursive Union", [], "WITH RECURSIVE r AS (SELECT id, 1 AS n FROM t UNION ALL SELECT id, n + 1 FROM r WHERE n < 2)"
     " SELECT * FROM r LIMIT 1", [NO]),
    ("WorkTable Scan", ["enable_nestloop"], "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT r.n + 1 FROM r"
     " WHERE r.n < 2 AND (SELECT count(*) FROM t WHERE name > '') > 0) SELECT * FROM r", [YES]),
    # subqueries
    ("InitPlan", [], "SELECT (SELECT max(name || 'x') FROM t) LIMIT 1", [YES]),
    ("InitPlan", [], "SELECT ARRAY(SELECT id FROM t) LIMIT 1", [YES]),
    ("InitPlan", [], "SELECT EXISTS (SELECT 1 FROM t)", [NO]),
    ("InitPlan", [], "SELECT * FROM unnest(ARRAY(SELECT id FROM t)) LIMIT 1", [YES]),
    ("SubPlan", [], "SELECT (SELECT string_agg(id, ',') FROM cases c WHERE c.third_party_id = k.key) FROM keys k LIMIT 1", [YES]),
    ("SubPlan", [], "SELECT EXISTS (SELECT 1 FROM cases c WHERE c.third_party_id = k.key AND c.name > k.key) FROM keys k LIMIT 1",
     [NO]),
    ("hashed SubPlan", [], "SELECT key FROM keys WHERE key NOT IN (SELECT id FROM t) LIMIT 1", [YES]),
    ("SubPlan", [], "SELECT key FROM keys k WHERE key = ANY (SELECT name FROM t WHERE name > k.key) OR n < 0", [NO]),
    ("SubPlan", [], "SELECT key FROM keys WHERE key > ALL (SELECT name FROM t)", [NO]),
    ("Function Scan", ["enable_nestloop"], "SELECT f FROM keys k, unnest(ARRAY(SELECT id FROM cases c"
     " WHERE c.third_party_id = k.key)) f", [YES]),
    ("Values Scan", ["enable_nestloop"], "SELECT v.* FROM keys k, LATERAL (VALUES ((SELECT string_agg(id, ',') FROM cases c"
     " WHERE c.third_party_id = k.key)), ('x')) v", [YES]),
    ("Index Cond", ["enable_nestloop", "!enable_seqscan"], "SELECT b.key FROM keys a JOIN keys b ON b.key ="
     " (SELECT string_agg(third_party_id, ',') FROM cases c WHERE c.third_party_id = a.key)", [YES]),
    ("Hash Cond", ["enable_hashjoin"], "SELECT b.key FROM keys a JOIN keys b ON b.key ="
     " (SELECT string_agg(third_party_id, ',') FROM cases c WHERE c.third_party_id = a.key)", [YES]),
    ("Join Filter", ["enable_nestloop"], "SELECT b.key FROM keys a JOIN keys b ON a.n + b.n ="
     " (SELECT count(*) FROM cases c WHERE c.third_party_id = a.key AND c.name > b.key)", [YES]),
    ("Update", [], "UPDATE kept SET name = (SELECT string_agg(id, ',') FROM cases c WHERE c.third_party_id = kept.id)", [YES]),
    ("Insert", [], "INSERT INTO kept VALUES ('1') RETURNING (SELECT string_agg(id, ',') FROM cases c WHERE c.third_party_id = kept.id)", [YES]),
]


@pytest.mark.parametrize("node, settings, query, expected", SHAPES)
def test_shape(session, judged, node, settings, query, expected):
    """Each shape of plan, and where it says yes, the last page of the list that a scan without a key reads."""
    tpmtest.rows(session, "BEGIN")
    try:
        tpmtest.rows(session, "INSERT INTO kept VALUES ('3')")
        for setting in settings:
            tpmtest.rows(session, f"SET LOCAL {setting.lstrip('!')} = {'off' if setting.startswith('!') else 'on'}")
        plan = "\n".join(row[0] for row in tpmtest.rows(session, f"EXPLAIN (COSTS OFF) {query}"))
        assert node in plan, plan
        said, ends = judged(lambda: tpmtest.rows(session, query))
    finally:
        tpmtest.rows(session, "ROLLBACK")
    assert said == expected, plan
    if YES in expected and "cases" not in query:
        assert ends >= expected.count(YES), plan


# what is run; what its scans say
RUNS = [
    # so many rows are asked for
    (["DECLARE c CURSOR FOR SELECT id FROM t", "FETCH 3 FROM c"], [NO]),
    (["DECLARE c CURSOR FOR SELECT id FROM t", "FETCH 3 FROM c", "FETCH ALL FROM c"], [NO]),
    (["DECLARE c CURSOR FOR SELECT id FROM t ORDER BY name || id", "FETCH 3 FROM c"], [YES]),
    (["DO $$ DECLARE x text; BEGIN SELECT id INTO x FROM t; END $$"], [NO]),
    (["DO $$ DECLARE x text; BEGIN FOR x IN SELECT id FROM t LOOP EXIT; END LOOP; END $$"], [NO]),
    (["SELECT first_of_t()"], [NO]),
    # all are
    (["DECLARE c CURSOR FOR SELECT id FROM t", "FETCH ALL FROM c"], [YES]),
    (["DO $$ BEGIN PERFORM id FROM t; END $$"], [YES]),
    (["EXPLAIN ANALYZE SELECT id FROM t"], [YES]),
    (["COPY (SELECT id FROM t) TO STDOUT"], [YES]),
    (["SELECT count(*) FROM t"], [YES]),
    (["PREPARE p AS SELECT id FROM t WHERE name <> $1", "SET LOCAL plan_cache_mode = force_generic_plan",
      "EXECUTE p ('')", "EXECUTE p ('')", "DEALLOCATE p"], [YES, YES]),
    # a scan says so once, however often it is begun
    (["SET LOCAL enable_nestloop = on", "SET LOCAL enable_seqscan = on",
      "SELECT k.key, c.id FROM keys k JOIN cases c ON c.third_party_id = k.key"], [YES]),
]


@pytest.mark.parametrize("statements, expected", RUNS)
def test_run(session, judged, statements, expected):
    """What is asked of a plan counts as well as the plan."""
    def run():
        for statement in statements:
            if statement.startswith("COPY"):
                with session.cursor() as cursor:
                    cursor.copy_expert(statement, io.StringIO())
            else:
                tpmtest.rows(session, statement)

    tpmtest.rows(session, "BEGIN")
    try:
        tpmtest.rows(session, "CREATE FUNCTION first_of_t() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT id FROM t'")
        said, _ = judged(run)
    finally:
        tpmtest.rows(session, "ROLLBACK")
    assert said == expected


def test_many_readers_of_readers(session, judged):
    """A chain of CTEs, each read twice by the next: 2^30 ways lead to the scan, and none reads it to its end."""
    chain = ", ".join(f"w{i} AS MATERIALIZED ((SELECT id FROM w{i - 1} LIMIT 1) UNION ALL (SELECT id FROM w{i - 1} LIMIT 1)"
                      " LIMIT 1)" for i in range(1, 31))
    query = f"WITH w0 AS MATERIALIZED (SELECT id FROM t), {chain} SELECT * FROM w30"
    assert judged(lambda: tpmtest.rows(session, query))[0] == [NO]
