"""Joins of one's own table with the API, with the look-ahead and without: what either does besides giving rows.

Shown on 300 third parties, 100 a page, cache off; the planner has no other join than a nested loop here.
"""

import re

import processes
import psycopg2
import pytest
import tpmtest
from tpmtest import truth

NODE = "Key Lookahead"
MB = 1024 * 1024
BY_ID = "third_parties t ON t.id = m.party"


@pytest.fixture
def joins(tpm):
    """The tables of the API as tpm, what they hold as truth, and public.mine: 250 rows, each another third party."""
    tpmtest.rows(tpm, """
        SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off; SET enable_material = off;
        SET tpm_fdw.max_requests = 0;
        CREATE SCHEMA truth;
        CREATE TABLE truth.third_parties AS SELECT * FROM tpm.third_parties;
        CREATE TABLE truth.cases AS SELECT * FROM tpm.cases;
        CREATE TABLE public.mine AS
            SELECT k, (1 + k * 37 % 300)::text AS party, k % 5 AS c, NULL::text AS note FROM generate_series(1, 250) k;
        ALTER TABLE mine ADD PRIMARY KEY (k);
        CREATE SEQUENCE public.numbers;
        ANALYZE mine""")
    return tpm


@pytest.fixture
def asked(joins, sandbox):
    """(rows, requests) of a statement."""
    def ask(statement):
        sandbox.reset()
        return tpmtest.rows(joins, statement), sandbox.request_count()
    return ask


def plan(db, statement, options="COSTS OFF"):
    return "\n".join(line for line, in tpmtest.rows(db, f"EXPLAIN ({options}) {statement}"))


def lookahead(db, state):
    tpmtest.rows(db, f"SET tpm_fdw.enable_lookahead = {state}")


def both_ways(db, function):
    """What a function gives with the look-ahead on, after what it gives with it off."""
    given = []
    for state in ("on", "off"):
        lookahead(db, state)
        given.append(function())
    lookahead(db, "on")
    return given


# ----- requests -----

def test_setting(joins):
    """Off means that there is no such node in any plan made from then on."""
    statement = f"SELECT m.k, t.name FROM mine m JOIN {BY_ID}"
    assert both_ways(joins, lambda: NODE in plan(joins, statement)) == [True, False]
    tpmtest.rows(joins, f"PREPARE kept AS {statement}; SET plan_cache_mode = force_generic_plan")
    expected = sorted(truth(joins, statement))
    on, off = both_ways(joins, lambda: sorted(tpmtest.rows(joins, "EXECUTE kept")))
    assert on == off == expected


def test_limit_asks_for_its_first_batch(asked):
    rows, requests = asked(f"SELECT m.k, t.name FROM mine m JOIN {BY_ID} LIMIT 20")
    assert (len(rows), requests) == (20, 1)


def test_cursor_of_ten_rows(joins, sandbox):
    joins.autocommit = False
    tpmtest.rows(joins, f"DECLARE c CURSOR FOR SELECT m.k, t.name FROM mine m JOIN {BY_ID}")
    sandbox.reset()
    assert len(tpmtest.rows(joins, "FETCH 10 FROM c")) == 10
    assert sandbox.request_count() == 1
    assert len(tpmtest.rows(joins, "FETCH ALL FROM c")) == 240
    # no more than twice the list
    assert sandbox.request_count() <= 6
    joins.rollback()
    joins.autocommit = True


COUNTS = ["SELECT m.k, (SELECT count(*) FROM cases c WHERE c.third_party_id = m.party) FROM mine m",
          "SELECT m.k, (SELECT count(*) FROM cases c WHERE c.third_party_id = m.party AND c.open) FROM mine m",
          "SELECT m.k, (SELECT count(*) FROM cases c WHERE c.third_party_id = m.party) > 0 FROM mine m ORDER BY 2, 1",
          "SELECT m.k, n FROM mine m, LATERAL (SELECT count(*) AS n FROM cases c WHERE c.third_party_id = m.party) c",
          "SELECT m.k, EXISTS (SELECT FROM cases c WHERE c.third_party_id = m.party) FROM mine m"]


@pytest.mark.parametrize("statement", COUNTS)
def test_counts(joins, asked, statement):
    """250 keys in lists of 100, whatever is done with the number of their rows; one more, once, tells what a total is worth."""
    rows, requests = asked(statement)
    assert sorted(rows) == sorted(truth(joins, statement))
    assert requests <= 4


@pytest.mark.parametrize("what", ["count(*)", "count(c.id)", "max(c.id)"])
def test_a_key_asked_for_before_the_list_was(joins, what):
    """Each key comes twice, and more keys than the list has pages: what was known of a key is what the list says."""
    tpmtest.rows(joins, "ALTER SERVER tpm OPTIONS (ADD page_size '10')")
    # so that it is known how long the list is
    tpmtest.rows(joins, "SELECT id FROM cases")
    statement = (f"SELECT m.n, m.party, (SELECT {what} FROM cases c WHERE c.third_party_id = m.party) FROM"
                 " (SELECT n, party FROM generate_series(1, 2) n, mine WHERE k <= 30 ORDER BY n, k) m")
    on, off = both_ways(joins, lambda: sorted(tpmtest.rows(joins, statement), key=str))
    assert on == off == sorted(truth(joins, statement), key=str)


def test_counts_of_many_rows_are_totals(joins, asked):
    """Once the rows of the keys would be more pages than there are keys, each new key is a total, and known ones are known."""
    tpmtest.rows(joins, "ALTER SERVER tpm OPTIONS (ADD page_size '20');"
                        "CREATE TABLE public.states AS SELECT k, (ARRAY['Active', 'Inactive', 'x', NULL, 'y', 'z', NULL, 'Active',"
                        " 'Inactive', NULL, 'u', 'x', NULL])[k] AS state FROM generate_series(1, 13) k; ANALYZE states;"
                        "SELECT count(*) FROM third_parties WHERE status = 'Active'")
    statement = "SELECT k, (SELECT count(*) FROM third_parties t WHERE t.status = s.state) FROM states s"
    rows, requests = asked(statement)
    assert sorted(rows) == sorted(truth(joins, statement))
    # six states, and the page that has shown it
    assert requests <= 7


def test_key_that_cannot_be_sent_beside_one_that_can(joins, asked):
    """The other filter says which rows are wanted: the list is not bought."""
    tpmtest.rows(joins, "CREATE TABLE public.two AS SELECT * FROM (VALUES ('1', '2'), ('2,3', '5')) v(party, person); ANALYZE two;"
                        "ALTER SERVER tpm OPTIONS (ADD page_size '10')")
    statement = ("SELECT w.party, c.id FROM two w LEFT JOIN cases c ON c.third_party_id = w.party AND c.requester_id = w.person")
    rows, requests = asked(statement)
    assert sorted(rows, key=str) == sorted(truth(joins, statement), key=str)
    assert requests == 2


def test_one_key_with_ten_thousand_rows(cluster):
    """Among 100 keys that are sought by EXISTS: its pages are not read for the others' sake."""
    sandbox = tpmtest.Sandbox("--records", "12500", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    cluster.sql("CREATE DATABASE many")
    db = cluster.connect("many")
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact")
    tpmtest.rows(db, """SET tpm_fdw.cache_ttl = 0; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
        CREATE TABLE states AS SELECT k, CASE k WHEN 40 THEN 'Active' ELSE 'none ' || k END AS state
        FROM generate_series(1, 100) k; ANALYZE states""")
    statement = "SELECT k FROM states s WHERE EXISTS (SELECT FROM tpm.third_parties t WHERE t.status = s.state)"
    sandbox.reset()
    assert tpmtest.rows(db, statement) == [(40,)]
    # each key for itself, and one batch
    assert sandbox.request_count() <= 101
    db.close()
    sandbox.stop()


def test_two_servers(joins, sandbox, asked):
    """The same API under two servers: each is asked for its own keys, below one loop or two."""
    tpmtest.setup_server(joins, sandbox, server="second", schema="second", trust="exact")
    tpmtest.rows(joins, "CREATE VIEW tpm.both AS SELECT id, name FROM tpm.third_parties UNION ALL"
                        " SELECT id, name FROM second.third_parties;"
                        "CREATE VIEW truth.both AS SELECT id, name FROM truth.third_parties UNION ALL"
                        " SELECT id, name FROM truth.third_parties")
    statement = "SELECT m.k, b.name FROM mine m JOIN both b ON b.id = m.party WHERE m.k <= 20".replace("both", "\"both\"")
    on, off = both_ways(joins, lambda: sorted(tpmtest.rows(joins, statement)))
    assert on == off == sorted(truth(joins, statement))
    statement = "SELECT m.k, t.name, s.name FROM mine m JOIN third_parties t ON t.id = m.party JOIN {} s ON s.id = m.party"
    rows, requests = asked(statement.format("second.third_parties"))
    assert sorted(rows) == sorted(truth(joins, statement.format("third_parties")))
    assert requests <= 6
    asked_of = {(entry["path"], entry["client"]) for entry in sandbox.api_requests()}
    assert asked_of == {("/v1/third_parties", "sandbox")}


# ----- what reading ahead must not do -----

def locked(db, other, statement):
    """The rows of mine that a statement leaves locked."""
    db.autocommit = False
    try:
        tpmtest.rows(db, statement)
        free = tpmtest.rows(other, "SELECT k FROM mine FOR UPDATE SKIP LOCKED")
        return sorted({k for k, in tpmtest.rows(other, "SELECT k FROM mine")} - {k for k, in free})
    finally:
        db.rollback()
        db.autocommit = True


LOCKING = [
    f"SELECT t.name FROM (SELECT * FROM mine ORDER BY k FOR UPDATE) m LEFT JOIN {BY_ID} LIMIT 1",
    f"SELECT t.name FROM mine m LEFT JOIN {BY_ID} ORDER BY m.k LIMIT 1 FOR UPDATE OF m",
    f"SELECT t.name FROM mine m LEFT JOIN {BY_ID} LIMIT 1 FOR UPDATE OF m",
    "SELECT k, (SELECT name FROM third_parties t WHERE t.id = m.party) FROM mine m ORDER BY k LIMIT 1 FOR UPDATE",
    "SELECT x.k, (SELECT name FROM third_parties t WHERE t.id = x.party) FROM (SELECT * FROM mine ORDER BY k FOR UPDATE) x LIMIT 1",
    "SELECT m.k, c.id FROM (SELECT * FROM mine ORDER BY k FOR SHARE) m LEFT JOIN LATERAL (SELECT id FROM cases c"
    " WHERE c.third_party_id = m.party ORDER BY id LIMIT 1) c ON true LIMIT 1"]


@pytest.mark.parametrize("statement", LOCKING)
def test_rows_locked(joins, cluster, statement):
    other = cluster.connect(joins.info.dbname)
    on, off = both_ways(joins, lambda: locked(joins, other, statement))
    other.close()
    assert on == off and len(off) == 1


CALLING = [
    f"SELECT m.n, t.name FROM (SELECT nextval('numbers') AS n, party FROM mine) m JOIN {BY_ID} LIMIT 1",
    f"SELECT m.k, t.name FROM (SELECT * FROM mine WHERE nextval('numbers') > 0) m JOIN {BY_ID} LIMIT 1",
    f"SELECT m.k, t.name FROM (SELECT * FROM mine WHERE k > 0 OFFSET 0) m JOIN {BY_ID} WHERE nextval('numbers') > 0 LIMIT 1",
    "SELECT nextval('numbers'), (SELECT name FROM third_parties t WHERE t.id = m.party) FROM mine m LIMIT 1",
    "SELECT m.n, (SELECT name FROM third_parties t WHERE t.id = m.party) FROM"
    " (SELECT party, nextval('numbers') AS n FROM mine OFFSET 0) m LIMIT 1",
    f"SELECT m.k FROM (SELECT DISTINCT ON (k) k, party, nextval('numbers') FROM mine ORDER BY k) m LEFT JOIN {BY_ID} LIMIT 1"]


@pytest.mark.parametrize("statement", CALLING)
def test_calls_of_volatile_functions(joins, statement):
    def calls():
        tpmtest.rows(joins, "SELECT setval('numbers', 1000)")
        tpmtest.rows(joins, statement)
        return tpmtest.rows(joins, "SELECT last_value FROM numbers")

    on, off = both_ways(joins, calls)
    assert on == off


# a join that has to begin with our rows, and gives none for a third party that is not there
THERE = "LEFT JOIN third_parties t ON t.id = m.party WHERE coalesce(t.name, '') <> ''"
FAILING = [
    f"SELECT m.d, t.name FROM (SELECT party, 100 / (%s - k) AS d FROM mine ORDER BY k) m {THERE} LIMIT 5",
    f"SELECT m.k, t.name FROM (SELECT * FROM mine WHERE 100 / (%s - k) <> 999 ORDER BY k) m {THERE} LIMIT 5",
    "SELECT m.d, (SELECT name FROM third_parties t WHERE t.id = m.party) FROM"
    " (SELECT party, 100 / (%s - k) AS d FROM mine WHERE k > 1 ORDER BY k) m LIMIT 5",
    f"SELECT count(x.d) FROM (SELECT m.d FROM (SELECT party, 100 / (%s - k) AS d FROM mine ORDER BY k) m {THERE} LIMIT 5) x",
    f"SELECT EXISTS (SELECT FROM (SELECT party, 100 / (%s - k) AS d FROM mine ORDER BY k) m {THERE} AND d < 999)",
    # a function that is called for each row
    "SELECT m.k, g, t.name FROM (SELECT * FROM mine ORDER BY k OFFSET 0) m"
    f" CROSS JOIN LATERAL generate_series(1, 1 + 0 / (%s - m.k)) g {THERE} LIMIT 5"]


@pytest.mark.parametrize("at", [2, 7, pytest.param(8, marks=pytest.mark.long), pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("statement", FAILING)
def test_errors_of_rows_that_are_not_reached(joins, statement, at):
    """The fifth third party that is there is that of row 6, the first that of row 2: what fails later does not fail."""
    # no row is looked at but in the order of k
    tpmtest.rows(joins, "UPDATE mine SET party = 'none' WHERE k = 1; SET enable_sort = off; SET enable_seqscan = off;"
                        "SET join_collapse_limit = 1; SET enable_bitmapscan = off; ANALYZE mine")

    def outcome():
        try:
            return tpmtest.rows(joins, statement % at)
        except psycopg2.Error as error:
            return error.pgcode

    on, off = both_ways(joins, outcome)
    assert on == off
    assert (off == "22012") == (at == 2)


def test_sort_below_a_limit_stays_small(joins):
    """A Sort is told how many rows are wanted, through the node."""
    statement = ("SELECT m.k, (SELECT t.name FROM third_parties t WHERE t.id = m.party) FROM mine m ORDER BY m.c, m.k LIMIT 5")
    analyzed = plan(joins, statement, "ANALYZE, COSTS OFF")
    assert "top-N heapsort" in analyzed
    assert tpmtest.rows(joins, statement) == truth(joins, statement)


# ----- keys -----

def test_keys_that_are_equal_and_spelt_otherwise(cluster, db):
    """Numbers, floats and padded texts: rows are found by the value, whatever text was sent."""
    sandbox = tpmtest.Sandbox("--records", "12", "--rate-per-second", "0", "--rate-per-hour", "0").start()
    values = ["1.5", "1.50", "0", "-0", "0.0", "7", "7.0", None, "1e1", "10", "007", "12"]
    for number, value in enumerate(values, 1):
        sandbox.edit("third_parties", number, internal_id=value)
    tpmtest.setup_server(db, sandbox)
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0; SET enable_hashjoin = off; SET enable_mergejoin = off; CREATE SCHEMA truth")
    kinds = {"numeric": ["1.5", "1.50", "1.500", "0", "-0", "0.00", "7", "7.00", None, "10.0", "13", "13.0"],
             "float8": ["1.5", "0", "-0", "7", "NaN", "Infinity", None, "10", "1e1"],
             "char(6)": ["1.5", "1.5  ", "0 ", "0", "7", None, "", "zz", "zz ", "007"],
             "varchar": ["1.5", "1.50", "0", " 0", "0 ", "7", None, "", "zz"]}
    for number, (kind, keys) in enumerate(kinds.items()):
        for column in ("id", "internal_id"):
            name = f"{column}_{number}"
            tpmtest.rows(db, f"""CREATE FOREIGN TABLE public.{name} (id text, k {kind} OPTIONS (attribute 'internal_id',
                filter 'internal_id'), name text) SERVER tpm OPTIONS (resource '/third_parties')""" if column != "id" else
                f"CREATE FOREIGN TABLE public.{name} (k {kind} OPTIONS (pointer '/id', filter 'id'), name text) SERVER tpm"
                " OPTIONS (resource '/third_parties')")
            tpmtest.rows(db, f"CREATE TABLE truth.{name} AS SELECT * FROM public.{name}")
        tpmtest.rows(db, f"CREATE TABLE keys_{number} (n serial, k {kind})")
        with db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO keys_{number} (k) VALUES (%s)", [(key,) for key in keys])
        for name in (f"id_{number}", f"internal_id_{number}"):
            for statement in (f"SELECT m.n, f.name FROM keys_{number} m JOIN {{}}.{name} f ON f.k = m.k",
                              f"SELECT m.n, f.name FROM keys_{number} m LEFT JOIN {{}}.{name} f ON f.k = m.k",
                              f"SELECT m.n FROM keys_{number} m WHERE NOT EXISTS (SELECT FROM {{}}.{name} f WHERE f.k = m.k)"):
                right = sorted(tpmtest.rows(db, statement.format("truth")), key=str)
                for rows in both_ways(db, lambda s=statement: sorted(tpmtest.rows(db, s.format("public")), key=str)):
                    assert rows == right, (kind, statement)
    sandbox.stop()


# ----- two sessions, and one that is interrupted -----

FOLLOWED = [
    "SELECT m.k, m.c, f.name FROM mine m JOIN third_parties f ON f.id = m.party WHERE k < 8 ORDER BY k FOR UPDATE OF m",
    "SELECT m.k, m.c, f.name FROM mine m LEFT JOIN third_parties f ON f.id = m.party WHERE k < 8 ORDER BY k FOR UPDATE OF m",
    "UPDATE mine m SET c = m.c + 1000 FROM third_parties f WHERE f.id = m.party AND k < 8 RETURNING m.k, m.c, f.name",
    "SELECT k, c, (SELECT name FROM third_parties f WHERE f.id = m.party) FROM mine m WHERE k < 8 ORDER BY k FOR UPDATE",
    "UPDATE mine m SET c = c + 1000 + length((SELECT name FROM third_parties f WHERE f.id = m.party)) WHERE k < 8"
    " RETURNING k, c, party",
    "SELECT m.k, m.c, x.name FROM mine m LEFT JOIN LATERAL (SELECT name FROM third_parties f WHERE f.id = m.party"
    " ORDER BY 1 LIMIT 1) x ON true WHERE k < 8 ORDER BY k FOR UPDATE OF m",
    "UPDATE mine m SET c = m.c + length(x.name) FROM mine p LEFT JOIN LATERAL (SELECT name FROM third_parties f"
    " WHERE f.id = p.party ORDER BY 1 LIMIT 1) x ON true WHERE p.k = m.k AND m.k < 8 RETURNING m.k, m.c, x.name",
    "DELETE FROM mine m USING third_parties f WHERE f.id = m.party AND k < 8 RETURNING m.k, m.c, f.name"]


@pytest.mark.parametrize("statement", FOLLOWED)
def test_a_row_that_changes_meanwhile(joins, cluster, statement):
    """EvalPlanQual: what is done with the row's new version, as on an ordinary table."""
    changer, monitor = cluster.connect(joins.info.dbname, autocommit=False), cluster.connect(joins.info.dbname)

    def follow(change):
        joins.autocommit = False
        tpmtest.rows(changer, f"UPDATE mine SET {change} WHERE k = 5")
        thread, result = tpmtest.in_thread(lambda: sorted(tpmtest.rows(joins, statement), key=str))
        tpmtest.wait_until(lambda: tpmtest.rows(monitor, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                                         " AND pid = %s", (joins.get_backend_pid(),)))
        changer.commit()
        thread.join()
        joins.rollback()
        joins.autocommit = True
        tpmtest.rows(joins, "UPDATE mine SET k = 5, c = 0, party = '186' WHERE k IN (5, 5000)")
        return result[0]

    for change in ("c = c + 100", "party = '11'", "party = 'none'", "party = NULL", "k = 5000"):
        on, off = both_ways(joins, lambda how=change: follow(how))
        tpmtest.rows(joins, "SET search_path = truth, public")
        right = follow(change)
        tpmtest.rows(joins, "SET search_path = tpm, public")
        assert on == off == right, change
        assert isinstance(right, list)
    changer.close()
    monitor.close()


def test_cancelled_in_a_batch(joins, sandbox, cluster):
    """The session goes on as if nothing had been asked for."""
    statement = f"SELECT m.k, t.name FROM mine m JOIN {BY_ID}"
    for skip in (0, 1):
        sandbox.reset()
        sandbox.fault("hold", count=1, skip=skip, match="GET /v1/third_parties")
        thread, result = tpmtest.in_thread(lambda: tpmtest.rows(joins, statement))
        tpmtest.wait_until(lambda: sandbox.state()["held"])
        cluster.sql("SELECT pg_cancel_backend(%s)", (joins.get_backend_pid(),))
        thread.join()
        assert result[0].pgcode == "57014"
        sandbox.reset()
        assert sorted(tpmtest.rows(joins, statement)) == sorted(truth(joins, statement))


def test_an_error_in_a_batch(joins, sandbox):
    """It is the statement's, and a savepoint undoes it."""
    statement = f"SELECT m.k, t.name FROM mine m JOIN {BY_ID}"
    joins.autocommit = False
    tpmtest.rows(joins, "SAVEPOINT before")
    sandbox.fault("status:403", count=1, skip=1, match="GET /v1/third_parties")
    with pytest.raises(psycopg2.Error):
        tpmtest.rows(joins, statement)
    tpmtest.rows(joins, "ROLLBACK TO before")
    assert len(tpmtest.rows(joins, statement)) == 250
    joins.rollback()
    joins.autocommit = True


# ----- plans that are kept, and statements inside statements -----

CHANGES = ["ALTER SERVER tpm OPTIONS (ADD page_size '30')", "ALTER FOREIGN TABLE third_parties ALTER name OPTIONS (ADD attribute 'name')",
           "ALTER FOREIGN TABLE third_parties DROP COLUMN city", "ALTER TABLE mine ALTER party TYPE varchar(20)",
           "ALTER TABLE mine DROP COLUMN c", "ALTER FOREIGN TABLE third_parties ALTER id OPTIONS (DROP filter)",
           "SET tpm_fdw.enable_lookahead = off"]


def test_plans_that_are_kept(joins):
    statement = f"SELECT m.k, t.name FROM mine m JOIN {BY_ID} WHERE m.k > "
    right = sorted(truth(joins, statement + "100"))
    tpmtest.rows(joins, f"SET plan_cache_mode = force_generic_plan; PREPARE kept(int) AS {statement} $1")
    for change in ["SELECT 1", *CHANGES]:
        tpmtest.rows(joins, change)
        for _ in range(2):
            assert sorted(tpmtest.rows(joins, "EXECUTE kept(100)")) == right, change


def test_the_same_plan_inside_itself(joins):
    """A function whose plan is kept, and runs while it runs: each looks into its own rows."""
    tpmtest.rows(joins, """
        CREATE FUNCTION public.names(lowest int, deep int) RETURNS text LANGUAGE plpgsql AS $$
        DECLARE one record; made text := '';
        BEGIN
            FOR one IN SELECT m.k, t.name FROM mine m LEFT JOIN third_parties t ON t.id = m.party
                       WHERE m.k BETWEEN lowest AND lowest + 3 ORDER BY m.k LOOP
                made := made || one.k || coalesce(one.name, '-');
                IF deep > 0 THEN
                    made := made || '(' || names(lowest + one.k % 7, deep - 1) || ')';
                END IF;
            END LOOP;
            RETURN made;
        END $$""")
    for statement in ("SELECT names(20, 2)", "SELECT k, names(k, 1) FROM mine WHERE k % 60 = 0",
                      f"SELECT m.k, names(m.k, 0), t.name FROM mine m JOIN {BY_ID} WHERE m.k < 12"):
        right = truth(joins, statement)
        tpmtest.rows(joins, "DISCARD PLANS")
        assert tpmtest.rows(joins, statement) == right
        tpmtest.rows(joins, "DISCARD PLANS")


def test_with_jit(joins):
    """Requests are what a plan costs, and they do not make it worth compiling wrongly."""
    statement = f"SELECT m.c, count(t.name), min(t.name) FROM mine m LEFT JOIN {BY_ID} GROUP BY 1 ORDER BY 1"
    right = truth(joins, statement)
    tpmtest.rows(joins, "SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0")
    assert tpmtest.rows(joins, statement) == right


# ----- memory -----

@pytest.mark.long
@pytest.mark.parametrize("listed", [True, False])
def test_memory(cluster, listed):
    """100,000 keys with work_mem 1 MB: little more than 1,000 need, whether a list may answer them or not."""
    sandbox = tpmtest.Sandbox("--records", "12500", "--rate-per-second", "0", "--rate-per-hour", "0", "--no-gzip").start()
    name = f"memory_{listed}".lower()
    cluster.sql(f"CREATE DATABASE {name}")
    db = cluster.connect(name)
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact",
                         options={"rate_limit_per_second": "none", "rate_limit_per_hour": "none"})
    tpmtest.rows(db, """CREATE TABLE keys AS SELECT k, (k * 7919 % 200000)::text AS party FROM generate_series(1, 100000) k;
                        ANALYZE keys""")
    if not listed:
        tpmtest.rows(db, "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD required_filters 'id')")
    peaks = {}
    for most in (1000, 100000):
        session = cluster.connect(name)
        tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 0; SET work_mem = '1MB';"
                              "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off")
        with processes.watched(session.get_backend_pid()) as seen:
            rows = tpmtest.rows(session, "SELECT count(*), count(t.name), count(t.city) FROM keys m LEFT JOIN"
                                         f" tpm.third_parties t ON t.id = m.party WHERE m.k <= {most}")
        peaks[most] = max(seen)
        assert rows[0][0] == most
        session.close()
    print({most: peak // 1024 for most, peak in peaks.items()})
    assert peaks[100000] - peaks[1000] < 6 * MB * tpmtest.SLACK
    db.close()
    sandbox.stop()


def test_explain(joins):
    """What is said of a join: how many keys a request holds, and what became of them."""
    statement = f"SELECT m.k, t.name FROM mine m LEFT JOIN {BY_ID}"
    shown = plan(joins, statement)
    assert re.search(r"Custom Scan \(Key Lookahead\)", shown) and "Keys a Request: 100" in shown
    analyzed = plan(joins, statement, "ANALYZE, COSTS OFF")
    assert re.search(r"Keys: 250\b", analyzed) and re.search(r"Found: 250\b", analyzed)
    assert re.search(r"Requests Sent: 3\b", analyzed)


def test_count_of_a_key_that_was_asked_for_before_the_list(joins):
    """What was bought is rows, not the number of them: a key that had been looked for by itself is counted among them."""
    statement = ("SELECT m.k, (SELECT count(*) FROM third_parties WHERE id = m.party) FROM"
                 " (SELECT k, party FROM mine UNION ALL SELECT k, party FROM mine) m")
    rows = both_ways(joins, lambda: sorted(tpmtest.rows(joins, statement)))
    assert rows == [sorted(truth(joins, statement))] * 2
