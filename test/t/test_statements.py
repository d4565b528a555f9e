"""Statements that are planned once and run often, cursors, loops, and several at a time.

The numbers are those of the complaints about other wrappers in anchors.md; each was a wrong
answer or a crash somewhere.
"""

import threading

import processes
import psycopg2
import pytest
import tpmtest


@pytest.fixture
def parties(sandbox):
    """Every third party as the sandbox stores it."""
    return sandbox.dump("third_parties")


def ids(session, query, *parameters):
    return sorted(row[0] for row in tpmtest.rows(session, query, *parameters))


def wanted(parties, condition):
    return sorted(item["id"] for item in parties if condition(item["attributes"]))


@pytest.mark.parametrize("mode", ["auto", "force_custom_plan", "force_generic_plan"])
def test_ten_executions(tpm, parties, mode):
    """12: right at the first, the sixth (generic plan) and the tenth."""
    tpmtest.rows(tpm, f"SET plan_cache_mode = {mode}")
    tpmtest.rows(tpm, "PREPARE by_country(text) AS SELECT id FROM third_parties WHERE country = $1")
    for country in ("DE", "US", "FR", "GB", None, "DE", "CN", "zz", "JP", "US"):
        assert ids(tpm, "EXECUTE by_country(%s)", (country,)) == wanted(parties, lambda a: a["country"] == country
                                                                          and country is not None)


def test_generic_plan_of_an_array(tpm, parties):
    tpmtest.rows(tpm, "SET plan_cache_mode = force_generic_plan")
    tpmtest.rows(tpm, "PREPARE listed(text[]) AS SELECT id FROM third_parties WHERE country = ANY($1)")
    assert ids(tpm, "EXECUTE listed(%s)", (["DE", None, "US"],)) == wanted(parties, lambda a: a["country"] in ("DE", "US"))
    assert ids(tpm, "EXECUTE listed('{}')") == ids(tpm, "EXECUTE listed(NULL)") == ids(tpm, "EXECUTE listed('{NULL}')") == []


def test_plan_after_alter(tpm, parties, sandbox):
    """A kept plan follows new options of server, table and column."""
    tpmtest.rows(tpm, "PREPARE active AS SELECT id FROM third_parties WHERE status = 'Active'")
    for _ in range(6):
        expected = ids(tpm, "EXECUTE active")
    for change in ("ALTER SERVER tpm OPTIONS (ADD page_size '30')",
                   "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '40')",
                   "ALTER FOREIGN TABLE third_parties ALTER COLUMN status OPTIONS (DROP filter_match)",
                   "ALTER FOREIGN TABLE third_parties ALTER COLUMN status OPTIONS (DROP filter)"):
        tpmtest.rows(tpm, change)
        sandbox.reset()
        assert ids(tpm, "EXECUTE active") == expected
    assert "filter" not in sandbox.api_requests()[0]["query"]
    assert "page%5Bsize%5D=40" in sandbox.api_requests()[0]["query"]


def test_null_in_lists(tpm, parties):
    """14: NULL is no value of an IN list, and makes NOT IN unknown."""
    assert ids(tpm, "SELECT id FROM third_parties WHERE country IN ('DE', NULL)") == wanted(
        parties, lambda a: a["country"] == "DE")
    assert ids(tpm, "SELECT id FROM third_parties WHERE country NOT IN ('DE', NULL)") == []
    assert ids(tpm, "SELECT id FROM third_parties WHERE country <> ALL(ARRAY['DE', 'US'])") == wanted(
        parties, lambda a: a["country"] not in ("DE", "US"))


def test_limit_over_a_local_condition(tpm, parties):
    """9, 7: a limit never cuts before conditions that stay local, cached or not."""
    cities = [item for item in parties if item["attributes"]["city"] == "Berlin"]
    for ttl in ("0", "60s"):
        tpmtest.rows(tpm, f"SET tpm_fdw.cache_ttl = '{ttl}'")
        found = tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE city = 'Berlin' LIMIT 7")
        assert len(found) == min(7, len(cities))
        assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE status = 'Active' LIMIT 3")) == 3
        assert ids(tpm, "SELECT id FROM third_parties WHERE city = 'Berlin'") == sorted(item["id"] for item in cities)


def test_condition_column_not_selected(tpm, parties):
    """10: what a condition reads need not be in the output."""
    assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties WHERE city = 'Paris' AND postal_code IS NULL")[0][0] == \
        len(wanted(parties, lambda a: a["city"] == "Paris" and a["postal_code"] is None))


@pytest.mark.parametrize("setting", ["enable_hashjoin", "enable_mergejoin", "enable_nestloop"])
@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_joins(tpm, sandbox, setting, kind):
    """11, 13: each kind of join by each method."""
    for other in ("enable_hashjoin", "enable_mergejoin", "enable_nestloop"):
        tpmtest.rows(tpm, f"SET {other} = {'on' if other == setting else 'off'}")
    query = f"SELECT c.id, t.name FROM {{0}}cases c {kind} {{0}}third_parties t ON t.id = c.third_party_id"
    tpmtest.rows(tpm, "CREATE TABLE public.lc AS SELECT id, third_party_id FROM cases;"
                      "CREATE TABLE public.lt AS SELECT id, name FROM third_parties")
    local = query.replace("{0}cases", "lc").replace("{0}third_parties", "lt")
    key = lambda row: tuple(map(str, row))
    assert sorted(tpmtest.rows(tpm, query.format("")), key=key) == sorted(tpmtest.rows(tpm, local), key=key)


def test_self_join_and_union(tpm, parties):
    """5: the same table twice in one statement."""
    assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties a JOIN third_parties b USING (id)") == [(len(parties),)]
    assert tpmtest.rows(tpm, "SELECT count(*) FROM (SELECT id FROM third_parties UNION SELECT id FROM third_parties) u"
                        ) == [(len(parties),)]


def test_429_is_never_an_empty_answer(tpm, sandbox, parties):
    """15: a rate limit's answer is repeated, not read as no data."""
    sandbox.fault("retry_after", count=2, value=1)
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE status = 'Active'")) == len(
        wanted(parties, lambda a: a["status"] == "Active"))


def test_a_page_that_fails_fails_the_query(tpm, sandbox):
    """16: never a part of the rows."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_retries '1')")
    sandbox.fault("status:500", skip=1)
    with pytest.raises(psycopg2.Error) as error:
        tpmtest.rows(tpm, "SELECT name FROM third_parties")
    assert error.value.pgcode == "HV00L"


def cursor_rows(session, *commands):
    found = []
    for command in commands:
        found += tpmtest.rows(session, command)
    return found


def test_cursors(tpm, parties):
    """FETCH, MOVE, SCROLL and WITH HOLD."""
    everything = tpmtest.rows(tpm, "SELECT id FROM third_parties ORDER BY id")
    tpmtest.rows(tpm, "BEGIN")
    tpmtest.rows(tpm, "DECLARE plain CURSOR FOR SELECT id FROM third_parties ORDER BY id")
    assert cursor_rows(tpm, "FETCH 3 FROM plain", "MOVE 10 FROM plain", "FETCH 2 FROM plain") == (
        everything[:3] + everything[13:15])
    tpmtest.rows(tpm, "DECLARE back SCROLL CURSOR FOR SELECT id FROM third_parties ORDER BY id")
    assert cursor_rows(tpm, "FETCH LAST FROM back", "FETCH FIRST FROM back", "FETCH ABSOLUTE 5 FROM back",
                       "FETCH PRIOR FROM back") == [everything[-1], everything[0], everything[4], everything[3]]
    tpmtest.rows(tpm, "DECLARE held CURSOR WITH HOLD FOR SELECT id FROM third_parties ORDER BY id")
    tpmtest.rows(tpm, "FETCH 1 FROM held")
    tpmtest.rows(tpm, "COMMIT")
    assert cursor_rows(tpm, "FETCH ALL FROM held") == everything[1:]
    tpmtest.rows(tpm, "CLOSE held")


def test_cursor_that_spilled_inside_a_savepoint(tpm):
    """What a cursor keeps outlives the savepoint in which it grew."""
    tpmtest.rows(tpm, "SET work_mem = '64kB'; SET enable_hashjoin = off; SET enable_mergejoin = off;"
                      "SET enable_memoize = off; SET enable_material = off")
    query = ("SELECT a.id, b.id FROM (VALUES ('1'), ('2'), ('3')) v(x) CROSS JOIN regions a"
             " CROSS JOIN LATERAL (SELECT id FROM third_parties OFFSET 0) b")
    whole = tpmtest.rows(tpm, query)
    tpmtest.rows(tpm, f"BEGIN; DECLARE c CURSOR FOR {query}")
    found = tpmtest.rows(tpm, "FETCH 10 FROM c")
    tpmtest.rows(tpm, "SAVEPOINT s")
    found += tpmtest.rows(tpm, "FETCH 1000 FROM c")
    tpmtest.rows(tpm, "ROLLBACK TO s")
    found += tpmtest.rows(tpm, "FETCH ALL FROM c")
    tpmtest.rows(tpm, "COMMIT")
    assert sorted(found) == sorted(whole)


def test_plpgsql_loop_and_sql_function(tpm, parties):
    tpmtest.rows(tpm, """
        CREATE FUNCTION loop_over(OUT n int) LANGUAGE plpgsql AS $$
        DECLARE c text; k int;
        BEGIN
            n := 0;
            FOREACH c IN ARRAY ARRAY['DE', 'US', 'FR', 'GB', 'CN', 'JP', 'DE'] LOOP
                SELECT count(name) INTO k FROM tpm.third_parties WHERE country = c;
                n := n + k;
            END LOOP;
        END $$;
        CREATE FUNCTION of_country(text) RETURNS SETOF text LANGUAGE sql AS
            'SELECT id FROM tpm.third_parties WHERE country = $1'""")
    of = lambda code: len(wanted(parties, lambda a: a["country"] == code))
    assert tpmtest.rows(tpm, "SELECT loop_over()") == [(sum(map(of, ["DE", "US", "FR", "GB", "CN", "JP", "DE"])),)]
    assert ids(tpm, "SELECT of_country('IN')") == wanted(parties, lambda a: a["country"] == "IN")


def test_partitions(tpm, parties):
    """A parent over two foreign tables and a local one, joined row by row."""
    tpmtest.rows(tpm, """
        CREATE TABLE public.every (kind text, id text, name text) PARTITION BY LIST (kind);
        CREATE FOREIGN TABLE public.every_t PARTITION OF public.every FOR VALUES IN ('t') SERVER tpm
            OPTIONS (resource '/third_parties', type 'third_parties');
        ALTER FOREIGN TABLE public.every_t ALTER kind OPTIONS (ADD pointer '/none');
        CREATE TABLE public.every_l PARTITION OF public.every FOR VALUES IN ('l');
        INSERT INTO public.every VALUES ('l', '1', 'local')""")
    assert tpmtest.rows(tpm, "SELECT count(id) FROM public.every") == [(len(parties) + 1,)]
    assert tpmtest.rows(tpm, "SELECT kind, name FROM public.every WHERE kind = 'l'") == [("l", "local")]
    tpmtest.rows(tpm, "CREATE TABLE public.wanted AS SELECT unnest('{1,1,7,9}'::text[]) AS id")
    right = ["1", "1", "1", "1", "7", "9"]
    for off in ("hashjoin", "mergejoin", "nestloop", "partitionwise_join"):
        tpmtest.rows(tpm, f"SET enable_{off} = off")
        assert ids(tpm, "SELECT e.id FROM public.wanted w JOIN public.every e ON e.id = w.id") == right
        assert ids(tpm, "SELECT e.id FROM public.wanted w LEFT JOIN public.every e ON e.id = w.id") == right
        tpmtest.rows(tpm, f"RESET enable_{off}")


def test_two_statements_of_which_one_is_cancelled(tpm, cluster, sandbox):
    """A cursor goes on after another statement of its session was cancelled."""
    everything = tpmtest.rows(tpm, "SELECT id FROM third_parties ORDER BY id")
    tpmtest.rows(tpm, "BEGIN; DECLARE c CURSOR FOR SELECT id FROM third_parties")
    found = tpmtest.rows(tpm, "FETCH 5 FROM c")
    tpmtest.rows(tpm, "SAVEPOINT s")
    sandbox.fault("stall", match="GET /v1/cases")
    pid = tpm.info.backend_pid
    waits = "SELECT 1 FROM tpm_fdw_progress WHERE pid = %s AND relation LIKE '%%cases' AND waiting_for IS NOT NULL"
    killer = threading.Thread(target=lambda: (
        tpmtest.wait_until(lambda: cluster.sql(waits, (pid,), dbname=tpm.info.dbname)),
        cluster.sql("SELECT pg_cancel_backend(%s)", (pid,))))
    killer.start()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        tpmtest.rows(tpm, "SELECT count(name) FROM cases")
    killer.join()
    tpmtest.rows(tpm, "ROLLBACK TO s")
    found += tpmtest.rows(tpm, "FETCH ALL FROM c")
    tpmtest.rows(tpm, "COMMIT")
    assert sorted(found) == sorted(everything)


def test_no_leaks(tpm):
    """Descriptors and memory are level after many statements."""
    def context_bytes():
        return tpmtest.rows(tpm, "SELECT sum(total_bytes) FROM pg_backend_memory_contexts")[0][0]
    def work(times):
        for _ in range(times):
            tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE status = 'Active' LIMIT 5")
            with pytest.raises(psycopg2.Error):
                tpmtest.rows(tpm, "SELECT 1 / (length(id) - length(id)) FROM third_parties")
    work(5)
    files, memory = processes.open_files(tpm.info.backend_pid), context_bytes()
    work(100)
    assert len(processes.open_files(tpm.info.backend_pid)) == len(files)
    assert context_bytes() < memory + 64 * 1024
    assert tpmtest.rows(tpm, "SELECT count(*) FROM tpm_fdw_progress") == [(0,)]
