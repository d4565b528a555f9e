"""Scans by key against a list that the cache has in full: hashed once a statement, each lookup takes its rows from there."""

import json

import hostile
import processes
import pytest
import tpmtest
from test_hidden_rows import Archive
from tpmtest import rows

RECORDS = 300
PLANS = ["SET enable_hashjoin = off", "SET enable_mergejoin = off", "SET enable_memoize = off", "SET enable_material = off"]
# with the look-ahead, enough keys for several batches
NODES = pytest.mark.parametrize("node", ["off", "on"])
KEYS = "SELECT i::text AS id FROM generate_series(1, 350) i"


@pytest.fixture
def keyed(tpm):
    """A table of keys, some of which there are no rows of; joins are nested loops; the cache is on."""
    rows(tpm, f"CREATE TABLE keys AS {KEYS}; ANALYZE keys; SET tpm_fdw.cache_ttl = '1h'")
    nested_loops(tpm)
    return tpm


def nested_loops(db):
    for setting in PLANS:
        rows(db, setting)


def whole(db, table="third_parties"):
    """The whole list is in the cache; a copy of it, as a table to compare with."""
    rows(db, f"CREATE TABLE public.copy_of_{table} AS SELECT * FROM {table}")
    return rows(db, f"SELECT * FROM {table} ORDER BY id")


def read(db, query):
    """The answer, and how many rows scans have looked at for it."""
    before = looked_at(db)
    answer = rows(db, query)
    return answer, looked_at(db) - before


def looked_at(db):
    return rows(db, "SELECT coalesce(sum(s.rows), 0)::int FROM tpm_fdw_stats s")[0][0]


def hits(db):
    return rows(db, "SELECT coalesce(sum(hits), 0)::int FROM tpm_fdw_cache")[0][0]


def once(db, sandbox, query, table="third_parties", n=RECORDS, keys=350):
    """
    The query sends nothing, looks at the list once and at a row for each key, and answers as a copy of it does. The list
    is opened for the first key, to be hashed, and to see that it hides nothing.
    """
    sent = sandbox.request_count()
    opened = hits(db)
    answer, looked = read(db, query)
    assert sandbox.request_count() == sent
    assert looked <= n + 2 * keys
    assert hits(db) - opened <= 3
    assert sorted(answer, key=str) == sorted(rows(db, query.replace(f" {table} ", f" copy_of_{table} ")), key=str)
    assert answer


@NODES
@pytest.mark.parametrize("query", [
    "SELECT k.id, t.name FROM keys k LEFT JOIN third_parties t ON t.id = k.id",
    "SELECT k.id FROM keys k WHERE EXISTS (SELECT FROM third_parties t WHERE t.id = k.id AND t.status = 'Active')",
    "SELECT k.id FROM keys k WHERE NOT EXISTS (SELECT FROM third_parties t WHERE t.id = k.id OFFSET 0)",
    "SELECT k.id, (SELECT t.name FROM third_parties t WHERE t.id = k.id) FROM keys k",
    "SELECT k.id, (SELECT count(*) FROM third_parties t WHERE t.id = k.id) FROM keys k",
    "SELECT k.id, (SELECT count(*) FROM third_parties t WHERE t.id = k.id AND t.status = 'Active') FROM keys k",
    # a condition that is tested here
    "SELECT k.id, t.name FROM keys k JOIN third_parties t ON t.id = k.id AND length(t.name) % 2 = 0",
    # keys that come more than once, and none
    "SELECT k.id, t.name FROM (SELECT id FROM keys UNION ALL SELECT NULLIF(id, '7') FROM keys) k"
    " LEFT JOIN third_parties t ON t.id = k.id",
])
def test_the_list_is_read_once(keyed, sandbox, node, query):
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    whole(keyed)
    once(keyed, sandbox, query, keys=700)


@NODES
def test_several_rows_of_a_key(keyed, sandbox, node):
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    n = len(whole(keyed, "cases"))
    once(keyed, sandbox, "SELECT k.id, c.id FROM keys k JOIN cases c ON c.third_party_id = k.id", "cases", n)


@NODES
def test_order(keyed, sandbox, node):
    """Rows of a key come in the order of the plan, not in that of the list."""
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    n = len(whole(keyed, "cases"))
    rows(keyed, "SET enable_sort = off")
    query = """SELECT k.id, c.n, c.updated_at FROM keys k, LATERAL (SELECT row_number() OVER () n, c.updated_at FROM
               (SELECT c.updated_at FROM cases c WHERE c.third_party_id = k.id ORDER BY updated_at DESC LIMIT 3) c) c"""
    plan = "\n".join(line for line, in rows(keyed, f"EXPLAIN (COSTS OFF) {query}"))
    assert "Sort" not in plan and "sort=-updated_at" in plan
    once(keyed, sandbox, query, "cases", n)
    assert len({number for _, number, _ in rows(keyed, query)}) > 1


@NODES
def test_the_list_of_other_conditions(keyed, sandbox, node):
    """What holds for all keys alike was asked for as a list: that one answers, too."""
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    n = len(rows(keyed, "SELECT name FROM third_parties WHERE status = 'Active'"))
    assert 0 < n < RECORDS
    query = "SELECT k.id, t.name FROM keys k JOIN third_parties t ON t.id = k.id AND t.status = 'Active'"
    if node == "off":
        # the first key is asked for by itself
        rows(keyed, "SELECT name FROM third_parties WHERE id = '1' AND status = 'Active'")
    sent = sandbox.request_count()
    answer, looked = read(keyed, query)
    assert sandbox.request_count() - sent <= 1 and looked <= 2 * n + 100
    whole(keyed)
    assert sorted(answer) == sorted(rows(keyed, query.replace("third_parties", "copy_of_third_parties")))


def test_conditions_that_change(keyed, sandbox):
    """A list of one status does not answer for another one; the whole list does."""
    query = """SELECT s.status, x.n FROM (VALUES ('Active'), ('Inactive'), ('Active')) s(status), LATERAL (
               SELECT count(t.id) AS n FROM keys k LEFT JOIN third_parties t ON t.id = k.id AND t.status = s.status OFFSET 0) x"""
    for status in ("Active", "Inactive"):
        rows(keyed, f"SELECT name FROM third_parties WHERE status = '{status}'")
    rows(keyed, "SET tpm_fdw.enable_lookahead = off")
    sent = sandbox.request_count()
    answer = rows(keyed, query)
    assert sandbox.request_count() - sent <= 2
    whole(keyed)
    assert sorted(answer) == sorted(rows(keyed, query.replace("third_parties", "copy_of_third_parties")))
    once(keyed, sandbox, query, keys=3 * 350)


@NODES
@pytest.mark.parametrize("table", ["CREATE FOREIGN TABLE things (id text OPTIONS (filter 'id'), name text)"
                                   " SERVER tpm OPTIONS (resource '/third_parties', type 'third_parties', cache_scope 'table')",
                                   # 0012 and 12 are one key: what is not there under its own text is looked for in the list
                                   "CREATE FOREIGN TABLE things (id integer OPTIONS (filter 'id'), name text)"
                                   " SERVER tpm OPTIONS (resource '/third_parties', type 'third_parties')"])
def test_where_the_whole_list_is_read_anyway(keyed, sandbox, node, table):
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    rows(keyed, table)
    whole(keyed, "things")
    cast = "::integer" if "integer" in table else ""
    once(keyed, sandbox, f"SELECT k.id, t.name FROM (SELECT id{cast} FROM keys ORDER BY id DESC) k LEFT JOIN things t ON t.id = k.id",
         "things")


def test_a_single_lookup_hashes_nothing(keyed):
    """It reads the list, as any scan does."""
    whole(keyed)
    assert read(keyed, "SELECT (SELECT name FROM third_parties t WHERE t.id = k.id) FROM keys k WHERE k.id = '2'")[1] == RECORDS


# ----- when a list comes in between -----


@NODES
def test_an_answer_stays_when_a_list_arrives(keyed, cluster, sandbox, node):
    """To the end of the statement a key has one answer; keys of which nothing was known are those of the list."""
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    before = {row[0]: row[1] for row in rows(keyed, "SELECT id, name FROM third_parties") if row[0] in ("1", "2", "3")}
    rows(keyed, "SELECT tpm_fdw_reset_cache()")
    rows(keyed, "BEGIN; DECLARE c CURSOR FOR SELECT id, (SELECT name FROM third_parties t WHERE t.id = k.id)"
                " FROM unnest(ARRAY['1', '2', '1', '299', '3', '2', '299', '1']) k(id)")
    assert rows(keyed, "FETCH 2 FROM c") == [("1", before["1"]), ("2", before["2"])]
    for number in (1, 2, 3, 299):
        sandbox.edit("third_parties", number, name="New")
    other = cluster.connect(keyed.info.dbname)
    assert rows(other, "SET tpm_fdw.cache_ttl = '1h'; SELECT count(*) FILTER (WHERE name = 'New') FROM tpm.third_parties") == [(4,)]
    other.close()
    sent = sandbox.request_count()
    rest = rows(keyed, "FETCH ALL FROM c")
    rows(keyed, "COMMIT")
    known = {**before, "299": "New", "3": "New"}
    if node == "on":
        # they were asked for together
        known = dict(rest)
        assert known["1"] == before["1"] and known["2"] == before["2"]
    else:
        assert sandbox.request_count() == sent
    assert rest == [(key, known[key]) for key in ("1", "299", "3", "2", "299", "1")]
    assert rows(keyed, "SELECT id FROM third_parties WHERE name = 'New' ORDER BY id") == [("1",), ("2",), ("299",), ("3",)]


def test_the_other_order(keyed, cluster, sandbox):
    """The list was there first: what changes later, or is thrown away, changes no key of the statement."""
    names = {row[0]: row[1] for row in rows(keyed, "SELECT id, name FROM third_parties")}
    rows(keyed, "SET tpm_fdw.enable_lookahead = off")
    rows(keyed, "BEGIN; DECLARE c CURSOR FOR SELECT id, (SELECT name FROM third_parties t WHERE t.id = k.id)"
                " FROM unnest(ARRAY['1', '2', '3', '1', '2']) k(id)")
    assert rows(keyed, "FETCH 2 FROM c") == [("1", names["1"]), ("2", names["2"])]
    for number in (1, 2, 3):
        sandbox.edit("third_parties", number, name="New")
    cluster.sql("SELECT tpm_fdw_reset_cache()", dbname=keyed.info.dbname)
    sent = sandbox.request_count()
    assert rows(keyed, "FETCH ALL FROM c") == [(key, names[key]) for key in ("3", "1", "2")]
    assert sandbox.request_count() == sent
    rows(keyed, "COMMIT")


def test_what_the_statement_creates_is_not_seen(keyed, cluster, sandbox):
    """Not though a list that has it arrives while the statement runs: one that writes does not look into the cache."""
    rows(keyed, "SET tpm_fdw.enable_lookahead = off; CREATE TABLE made (name text);"
                "INSERT INTO made VALUES ('One'), ('Two'), ('Three')")
    other = cluster.connect(keyed.info.dbname)
    rows(other, "SET tpm_fdw.cache_ttl = '1h'; SELECT pg_advisory_lock(7)")
    thread, result = tpmtest.in_thread(lambda: rows(keyed, """
        WITH x AS (INSERT INTO third_parties (internal_id, name, country) SELECT name, name, 'DE' FROM made RETURNING id),
             y AS MATERIALIZED (SELECT id, pg_advisory_xact_lock(7) FROM x ORDER BY id)
        SELECT (SELECT t.id FROM third_parties t WHERE t.id = y.id), (SELECT t.id FROM third_parties t WHERE t.id = '300') FROM y"""))
    tpmtest.wait_until(lambda: rows(other, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    assert rows(other, "SELECT count(name) FROM tpm.third_parties") == [(RECORDS + 3,)]
    rows(other, "SELECT pg_advisory_unlock(7)")
    thread.join()
    other.close()
    assert result[0] == [(None, "300")] * 3


# ----- where it does not answer -----


@pytest.fixture
def server():
    made = hostile.Hostile()
    yield made
    made.close()


class Shy(Archive):
    """Only who asks for ids is shown what is archived."""

    def shows(self, values):
        return "id" in values


@pytest.mark.parametrize("condition", ["true", "t.kind = '2'"])
def test_a_list_that_hides_rows(db, server, condition):
    """Neither the whole list nor one with conditions answers for keys, once something has contradicted it."""
    server.reset()
    server.answers["/v1/things"] = Shy()
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": "1h", "page_size": 10, **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, """CREATE FOREIGN TABLE things (id text OPTIONS (filter 'id') COLLATE "C" NOT NULL, state text,
                kind text OPTIONS (filter 'kind')) SERVER tpm OPTIONS (resource '/things', type 'things')""")
    nested_loops(db)
    rows(db, "SET tpm_fdw.enable_lookahead = off; SET tpm_fdw.cache_ttl = 0; SELECT id FROM things WHERE id = '17';"
             "SET tpm_fdw.cache_ttl = '1h'")
    rows(db, f"SELECT id, state FROM things t WHERE {condition}; SELECT id, state FROM things")
    assert rows(db, f"SELECT k, (SELECT t.state FROM things t WHERE t.id = k AND {condition})"
                    " FROM unnest(ARRAY['2', '7', '17', '99']) k") == [
        ("2", "kept"), ("7", "kept"), ("17", "archived"), ("99", None)]


def test_memory(cluster, db):
    """A list whose index would be larger than a hash may be is scanned for each key."""
    sandbox = tpmtest.Sandbox("--records", "5000", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    rows(db, "SET search_path = tpm, public; SET tpm_fdw.cache_ttl = '1h'; SET tpm_fdw.enable_lookahead = off")
    nested_loops(db)
    whole(db)
    query = "SELECT k.id, t.name FROM (VALUES ('1'), ('5000'), ('2500'), ('5001')) k(id) LEFT JOIN third_parties t ON t.id = k.id"
    rows(db, "SET work_mem = '64kB'; SET hash_mem_multiplier = 1")
    small, looked = read(db, query)
    assert looked >= 3 * 5000
    rows(db, "SET hash_mem_multiplier = 1.25")
    large, looked = read(db, query)
    assert looked <= 5000 + 10
    assert sorted(small) == sorted(large) == sorted(rows(db, query.replace("third_parties", "copy_of_third_parties")))
    sandbox.stop()


COMPUTED = ["lower(upper(k.id))", "(k.id::int + 0)::text", "k.id || ''", "nullif(k.id, '7')"]


@NODES
@pytest.mark.parametrize("key", COMPUTED)
def test_keys_that_are_computed(keyed, sandbox, key, node):
    """No node looks ahead for them, since computing may fail; a list at hand is hashed for them as well."""
    whole(keyed)
    rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
    query = f"SELECT k.id, t.name FROM keys k LEFT JOIN third_parties t ON t.id = {key}"
    if key.startswith("nullif"):
        sent = sandbox.request_count()
        answer, looked = read(keyed, query)
        assert sandbox.request_count() == sent and looked <= RECORDS + 2 * 350
        assert sorted(answer, key=str) == sorted(rows(keyed, query.replace("third_parties", "copy_of_third_parties")), key=str)
    else:
        once(keyed, sandbox, query)


@pytest.mark.long
def test_rescans_leave_nothing_behind(keyed):
    """60,000 lookups, of which what holds for all keys has another value each time, take no more memory than 2,000."""
    rows(keyed, "ALTER SERVER tpm OPTIONS (ADD page_size '10')")
    whole(keyed)
    rows(keyed, "SET tpm_fdw.enable_lookahead = off; CREATE TABLE public.w AS SELECT i, repeat('x', 300) || (i % 7) AS s"
                " FROM generate_series(1, 60000) i; ANALYZE w")
    peaks = []
    for most in (2000, 60000):
        with processes.watched(keyed.get_backend_pid()) as seen:
            rows(keyed, "SELECT max(n) FROM (SELECT (SELECT count(c.id) FROM (SELECT id FROM keys WHERE id IN ('1', '2') OFFSET 0) m"
                        f" JOIN third_parties c ON c.id = m.id AND c.status = w.s) n FROM w WHERE i <= {most} OFFSET 0) z")
        peaks.append(max(seen))
    assert peaks[1] - peaks[0] < 3 * 1024 * 1024 * tpmtest.SLACK


def test_without_the_cache(keyed, sandbox):
    """What may not come from the cache does not, though it has the list."""
    whole(keyed)
    rows(keyed, "SET tpm_fdw.enable_lookahead = off; SET tpm_fdw.cache_ttl = 0")
    sent = sandbox.request_count()
    rows(keyed, "SELECT t.name FROM (VALUES ('1'), ('2'), ('3')) k(id) JOIN third_parties t ON t.id = k.id")
    assert sandbox.request_count() - sent == 3


def test_equality_is_that_of_the_clause(keyed, sandbox):
    """Keys of another type, and keys that are equal under other spellings."""
    rows(keyed, "CREATE FOREIGN TABLE things (id bigint OPTIONS (filter 'id'), name text)"
                " SERVER tpm OPTIONS (resource '/third_parties', type 'third_parties', cache_scope 'table')")
    whole(keyed, "things")
    rows(keyed, "SET tpm_fdw.enable_lookahead = off; CREATE TABLE n AS SELECT i::int2 AS small, i::int4 AS id FROM generate_series(290, 310) i")
    for key in ("small", "id"):
        once(keyed, sandbox, f"SELECT n.id, t.name FROM n LEFT JOIN things t ON t.id = n.{key}", "things")


def test_explain(keyed, sandbox):
    """Each key counts once, found or not."""
    whole(keyed)
    query = """SELECT (SELECT t.name FROM third_parties t WHERE t.id = k.id) FROM
               (SELECT id FROM keys UNION ALL SELECT id FROM keys) k"""
    for node in ("off", "on"):
        rows(keyed, f"SET tpm_fdw.enable_lookahead = {node}")
        plan = json.dumps(rows(keyed, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"))
        assert '"Keys": 350' in plan and f'"Found": {RECORDS}' in plan and '"Requests Sent": 0' in plan
