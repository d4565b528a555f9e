"""How large the planner takes tables and parts of them to be: from totals, from lists that were left, from ANALYZE.

What it is for: the choice between keys and lists, which costs no more after ANALYZE than before it.
"""

import itertools

import psycopg2
import pytest
import test_join_requests as joins
import tpmtest

RECORDS = 7000
DATABASES = itertools.count(1)


@pytest.fixture(scope="module")
def large():
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
    yield sandbox
    sandbox.stop()


def connect(cluster, sandbox, **options):
    """A session in a database of its own, which knows nothing of the sandbox's tables."""
    name = f"plan_sizes_{next(DATABASES)}"
    cluster.sql(f"CREATE DATABASE {name}")
    connection = cluster.connect(name)
    tpmtest.setup_server(connection, sandbox, schema="tpm", trust="exact", options=options)
    tpmtest.rows(connection, "SET search_path = tpm, public; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 0")
    return connection


@pytest.fixture
def session(cluster, large):
    connection = connect(cluster, large)
    yield connection
    connection.close()


@pytest.fixture
def without_totals(session):
    """The same where no list tells how long it is."""
    tpmtest.rows(session, "ALTER FOREIGN TABLE third_parties OPTIONS (SET total_pointer '/none')")
    return session


def expected_rows(session, query):
    """The planner's number of rows of the whole statement."""
    return tpmtest.rows(session, f"EXPLAIN (FORMAT JSON) {query}")[0][0][0]["Plan"]["Plan Rows"]


def matching(sandbox, **attributes):
    return sum(all(item["attributes"][name] == value for name, value in attributes.items())
               for item in sandbox.dump("third_parties"))


def about(number, total=RECORDS):
    """PostgreSQL's estimate where so many rows have the same value: one in 200 is reckoned to be NULL."""
    return pytest.approx(0.995 * total / round(total / number), abs=1)


# ----- parts of a table -----

UNKNOWN = 5000
ANOTHER = "SELECT id FROM third_parties WHERE country = 'nowhere'"


@pytest.mark.parametrize("query", ["SELECT id FROM third_parties WHERE country = 'TR'",
                                   "SELECT count(*) FROM third_parties WHERE country = 'TR'",
                                   "SELECT id FROM third_parties WHERE country = 'TR' LIMIT 1"])
def test_total_of_a_filter(session, large, query):
    """One page tells what a filter leaves, and is believed of other values of that column, not of other columns."""
    tpmtest.rows(session, "SELECT count(*) FROM third_parties")
    assert expected_rows(session, ANOTHER) == RECORDS / 10
    tpmtest.rows(session, query)
    assert expected_rows(session, ANOTHER) == about(matching(large, country="TR"))
    assert expected_rows(session, ANOTHER.replace("country", "risk_rating")) == RECORDS / 10


def test_average_of_values(session, large):
    """Of a list of values, and of several filters, each value counts the same."""
    tpmtest.rows(session, "SELECT count(*) FROM third_parties")
    tpmtest.rows(session, "SELECT id FROM third_parties WHERE country IN ('TR', 'PL', 'nowhere')")
    tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = 'NG'")
    assert expected_rows(session, ANOTHER) == about(sum(matching(large, country=c) for c in ("TR", "PL", "NG")) / 4)


def test_filter_of_two_columns_tells_of_neither(session):
    tpmtest.rows(session, "SELECT count(*) FROM third_parties")
    tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = 'DE' AND status = 'Active'")
    assert expected_rows(session, ANOTHER) == RECORDS / 10


def test_filtered_list_without_a_total(without_totals, large):
    """Read to its end it tells as much; left early, that there are no fewer rows."""
    wanted = "SELECT id FROM third_parties WHERE country = 'DE'"
    tpmtest.rows(without_totals, wanted + " LIMIT 250")
    left = expected_rows(without_totals, ANOTHER)
    assert left == about(300, UNKNOWN)
    tpmtest.rows(without_totals, wanted + " LIMIT 50")
    assert expected_rows(without_totals, ANOTHER) == left
    tpmtest.rows(without_totals, wanted)
    assert expected_rows(without_totals, ANOTHER) == about((300 + matching(large, country="DE")) / 2, UNKNOWN)


def test_total_that_ignores_the_filter(session, large):
    """Such a total is no number of what matches: only the rows that have come are."""
    large.settings(total="whole")
    try:
        for total in (UNKNOWN, RECORDS):
            tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = 'DE' LIMIT 150")
            assert expected_rows(session, ANOTHER) == about(200, total)
            tpmtest.rows(session, "SELECT count(*) FROM third_parties")
    finally:
        large.settings(total="matching")


def test_kept_over_a_restart(large):
    cluster = tpmtest.Cluster().start()
    session = connect(cluster, large)
    database = session.info.dbname
    tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = 'TR' LIMIT 1")
    known = expected_rows(session, ANOTHER)
    session.close()
    cluster.restart()
    session = cluster.connect(database)
    tpmtest.rows(session, "SET search_path = tpm")
    assert expected_rows(session, ANOTHER) == known != UNKNOWN / 10
    session.close()
    cluster.destroy()


# ----- a whole table -----

def test_list_that_was_left(without_totals):
    """More rows than are reckoned with where nothing is known have been seen: there are no fewer."""
    whole = "SELECT * FROM third_parties"
    assert expected_rows(without_totals, whole) == UNKNOWN
    tpmtest.rows(without_totals, "SELECT id FROM third_parties LIMIT 6000")
    assert 6000 <= expected_rows(without_totals, whole) < RECORDS
    tpmtest.rows(without_totals, "SELECT id FROM third_parties LIMIT 5500")
    assert 6000 <= expected_rows(without_totals, whole) < RECORDS
    tpmtest.rows(without_totals, "SELECT id FROM third_parties")
    assert expected_rows(without_totals, whole) == RECORDS


def test_total_of_a_part(session, large):
    """The whole is no smaller than what one filter leaves of it."""
    tpmtest.rows(session, "SELECT id FROM third_parties WHERE status = 'Active' LIMIT 1")
    assert expected_rows(session, "SELECT * FROM third_parties") == matching(large, status="Active") > UNKNOWN


def test_analyze_of_the_first_pages(without_totals):
    """The rows of five pages are not all that there are."""
    tpmtest.rows(without_totals, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD analyze_pages '5'); ANALYZE third_parties")
    assert expected_rows(without_totals, "SELECT * FROM third_parties") == UNKNOWN
    tpmtest.rows(without_totals, "SELECT id FROM third_parties")
    assert expected_rows(without_totals, "SELECT * FROM third_parties") == RECORDS


# ----- columns -----

@pytest.fixture
def keys(session):
    tpmtest.rows(session, "CREATE TABLE keys AS SELECT i::text AS key FROM generate_series(1, 20) i; ANALYZE keys")


def test_an_id_is_one_row_of_a_join(session, keys):
    """Without ANALYZE PostgreSQL would expect 25 rows for each key."""
    assert expected_rows(session, "SELECT 1 FROM keys k JOIN third_parties t ON t.id = k.key") == 20
    assert expected_rows(session, "SELECT id FROM third_parties GROUP BY id") == UNKNOWN


def test_what_keys_have_brought_contradicts_analyze(session, large):
    """ANALYZE of pages that are unlike the rest: here it is told that each country is one row's."""
    tpmtest.rows(session, "ALTER FOREIGN TABLE third_parties ALTER country SET (n_distinct = -1)")
    tpmtest.rows(session, "ANALYZE third_parties (country); PREPARE by_country (text) AS SELECT id FROM third_parties WHERE country = $1;"
                          " SET plan_cache_mode = force_generic_plan")
    assert expected_rows(session, "EXECUTE by_country ('')") == 1
    values = [value for value, in tpmtest.rows(session, "SELECT DISTINCT country FROM third_parties WHERE country > '' LIMIT 12")]
    for value in values[:9]:
        tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = %s LIMIT 1", (value,))
    tpmtest.rows(session, "DEALLOCATE by_country; PREPARE by_country (text) AS SELECT id FROM third_parties WHERE country = $1")
    assert expected_rows(session, "EXECUTE by_country ('')") == 1
    for value in values[9:]:
        tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = %s LIMIT 1", (value,))
    tpmtest.rows(session, "DEALLOCATE by_country; PREPARE by_country (text) AS SELECT id FROM third_parties WHERE country = $1")
    mean = sum(matching(large, country=value) for value in values) / len(values)
    assert expected_rows(session, "EXECUTE by_country ('')") == pytest.approx(mean, rel=0.05)


def test_common_values_are_for_those_who_may_read(session):
    """A statistic that was corrected has ANALYZE's common values: they are shown to nobody else's operator."""
    tpmtest.rows(session, """
        ALTER FOREIGN TABLE third_parties ALTER country SET (n_distinct = -1);
        ANALYZE third_parties (country);
        CREATE FUNCTION public.told(text, text) RETURNS boolean LANGUAGE plpgsql AS
            $$ BEGIN RAISE NOTICE 'told %', $1; RETURN $1 = $2; END $$;
        CREATE OPERATOR public.=== (FUNCTION = told, LEFTARG = text, RIGHTARG = text, RESTRICT = eqsel);
        CREATE ROLE nosy;
        GRANT USAGE ON SCHEMA tpm, public TO nosy""")
    for value, in tpmtest.rows(session, "SELECT DISTINCT country FROM third_parties WHERE country > ''"):
        tpmtest.rows(session, "SELECT id FROM third_parties WHERE country = %s LIMIT 1", (value,))
    tpmtest.notices(session)
    query = "EXPLAIN SELECT 1 FROM third_parties WHERE country === 'DE'"
    tpmtest.rows(session, query)
    assert "told DE" in tpmtest.notices(session)
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            tpmtest.rows(session, "SET ROLE nosy; " + query)
        assert "told" not in tpmtest.notices(session)
    finally:
        tpmtest.rows(session, "RESET ROLE; DROP OWNED BY nosy; DROP ROLE nosy")


# ----- the choice -----

def test_jit_is_for_work_of_the_cpu(session):
    """A list of 700 requests costs 700,000; what is done with its rows costs little."""
    tpmtest.rows(session, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '10'); SET jit = on")
    if tpmtest.rows(session, "SELECT pg_jit_available()") == [(False,)]:
        pytest.skip("without JIT: it is not in this build of PostgreSQL")
    tpmtest.rows(session, "SELECT count(*) FROM third_parties")

    def is_compiled(table):
        return any(line.startswith("JIT") for line, in tpmtest.rows(
            session, f"EXPLAIN SELECT country, max(name || 'x') FROM {table} GROUP BY 1"))

    assert not is_compiled("third_parties")
    tpmtest.rows(session, "SET jit_above_cost = 100")
    assert is_compiled("third_parties")


V, T, C = "keys v", "third_parties t", "cases c"


@pytest.mark.parametrize("lookahead, first, second, third, by_key", [
    ("on", V, T, C, 2), ("on", V, C, T, 2), ("on", C, T, V, 1), ("on", T, C, V, 1),
    ("off", V, T, C, 2), ("off", V, C, T, 2)])
def test_each_of_three_tables_gives_the_others_keys(session, keys, lookahead, first, second, third, by_key):
    """Whichever are joined first, each scan but the first is by a key that those before it give."""
    tpmtest.rows(session, f"SET enable_hashjoin = off; SET enable_mergejoin = off; SET join_collapse_limit = 1;"
                          f" SET tpm_fdw.enable_lookahead = {lookahead}")
    plan = [line for line, in tpmtest.rows(session, "EXPLAIN (COSTS OFF) SELECT 1"
                                                    f" FROM ({first} CROSS JOIN {second}) CROSS JOIN {third}"
                                                    " WHERE c.third_party_id = t.id AND t.id = v.key")]
    remote = [line for line in plan if "Remote:" in line]
    assert len(remote) == 2
    assert sum("$" in line for line in remote) == by_key, "\n".join(plan)


QUESTIONS = [question for question in joins.QUESTIONS if question.name != "LATERAL top 1"]


@pytest.mark.long
@pytest.mark.parametrize("pages", [0, 1, 5, 50])
def test_analyze_makes_no_join_dearer(cluster, pages):
    """The request table once more: our own tables are analyzed, those of the API to so many pages."""
    sandbox = tpmtest.Sandbox("--records", str(joins.PARTIES), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--today", "2026-06-15").start()
    session = connect(cluster, sandbox, **({"analyze_pages": pages} if pages else {}))
    for count in (200, 5000):
        joins.create_vendors(session, count, joins.PARTIES)
        tpmtest.rows(session, f"ANALYZE vendors_{count}")
    if pages:
        tpmtest.rows(session, "ANALYZE third_parties; ANALYZE cases")
    dear = []
    for question in QUESTIONS:
        for count in (200, 5000):
            sandbox.reset()
            joins.answers(session, "tpm", question, f"vendors_{count}")
            if sandbox.request_count() > question.least[count] + 1:
                dear.append((question.name, count, sandbox.request_count()))
            # what was undone has left rows behind that the planner would count
            tpmtest.rows(session, f"VACUUM vendors_{count}")
    session.close()
    sandbox.stop()
    assert dear == []
