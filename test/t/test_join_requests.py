"""What joins of one's own table with the API cost in requests: the least possible, or one more.

5,000 third parties, 100 a page, imported with trust 'exact', cache off, nothing analyzed. A page holds 100
rows and a list of keys 100 keys, so the least is a matter of counting: `keys` says what of our table has to be asked
for. No list that the conditions leave is shorter, as each question says. test/bench/joins.py asks the same of 100,000.
"""

import io
from dataclasses import dataclass

import pytest
import tpmtest

PAGE = 100
PARTIES = 5000

# How many of so many vendors are in each group; the groups have no vendor in common.
GROUPS = {"five": {200: 5, 5000: 5, 50000: 5}, "both": {200: 20, 5000: 490, 50000: 4900},
          "open": {200: 8, 5000: 200, 50000: 2000}, "last": {200: 8, 5000: 200, 50000: 2300},
          "in": {200: 14, 5000: 350, 50000: 3500}}


@dataclass
class Question:
    """A statement, and how the least number of requests comes about."""

    name: str
    sql: str
    # the least for 200, 5,000 and 50,000 vendors
    least: dict
    why: str


def least(small, middle, large):
    return {200: small, 5000: middle, 50000: large}


QUESTIONS = [
    Question("inner join by id", "SELECT v.n, t.name FROM {v} v JOIN third_parties t ON t.id = v.party", least(2, 50, 500),
             "every vendor is a key of its own; of 5,000 keys the whole list is as many pages"),
    Question("inner join by natural key", "SELECT v.n, t.name FROM {v} v JOIN third_parties t ON t.profile_number = v.profile",
             least(2, 50, 500), "as by id"),
    Question("left join of the active ones",
             "SELECT v.n, t.name FROM {v} v LEFT JOIN third_parties t ON t.id = v.party WHERE v.status = 'active'",
             least(2, 40, 400), "four of five vendors are active"),
    Question("filters on both sides", "SELECT v.n, t.name FROM {v} v JOIN third_parties t ON t.id = v.party"
             " WHERE v.grp = 'both' AND t.approval_status = 'Approved'", least(1, 5, 49),
             "20, 490, 4,900 vendors; 70 of 100 third parties are approved, a list of many more pages"),
    Question("EXISTS an open case", "SELECT v.n FROM {v} v WHERE v.grp = 'open'"
             " AND EXISTS (SELECT FROM cases c WHERE c.third_party_id = v.party AND c.open)", least(1, 2, 20),
             "8, 200, 2,000 vendors, of whose cases a page holds those of 100; four of five cases are open, 16 pages of 5,000"),
    Question("NOT EXISTS", "SELECT v.n FROM {v} v WHERE NOT EXISTS (SELECT FROM third_parties t WHERE t.id = v.party)",
             least(2, 50, 500), "every vendor is a key of its own, and all are there"),
    Question("LATERAL top 1", "SELECT v.n, c.id FROM {v} v, LATERAL (SELECT id FROM cases c WHERE c.third_party_id = v.party"
             " ORDER BY c.updated_at DESC, c.id LIMIT 1) c WHERE v.grp = 'last'", least(1, 2, 23),
             "8, 200, 2,300 vendors, of whose cases a page holds those of 100"),
    Question("UPDATE local FROM foreign", "UPDATE {v} v SET note = t.name FROM third_parties t WHERE t.id = v.party"
             " AND v.grp = 'both' RETURNING v.n, v.note", least(1, 5, 49), "20, 490, 4,900 vendors"),
    Question("three-way with cases", "SELECT v.n, t.name, c.id FROM {v} v JOIN third_parties t ON t.id = v.party"
             " JOIN cases c ON c.third_party_id = t.id WHERE v.grp = 'both' AND t.risk_rating = 'Medium'", least(2, 7, 69),
             "20, 490, 4,900 vendors, of which about 37 of 100 are rated so: the cases of 8, 180, 1,800"),
    Question("IN (SELECT ..)", "SELECT t.id, t.name FROM third_parties t WHERE t.id IN (SELECT party FROM {v} WHERE grp = 'in')",
             least(1, 4, 35), "14, 350, 3,500 vendors"),
    Question("five vendors", "SELECT v.n, t.name FROM {v} v JOIN third_parties t ON t.id = v.party WHERE v.grp = 'five'",
             least(1, 1, 1), "five keys"),
]


def create_vendors(session, count, parties):
    """public.vendors_COUNT: as many vendors, each another third party, in an order that no list has; not analyzed.

    23 has no divisor in common with the number of third parties.
    """
    bounds, first = [], 0
    for name, sizes in GROUPS.items():
        bounds.append(f"WHEN n > {first} AND n <= {first + sizes[count]} THEN '{name}'")
        first += sizes[count]
    tpmtest.rows(session, f"""
        CREATE TABLE public.vendors_{count} (n int, party text, profile text, status text, grp text, note text)
            WITH (autovacuum_enabled = off);
        INSERT INTO public.vendors_{count}
            SELECT n, party::text, '3P-' || lpad(party::text, 6, '0'), CASE n % 5 WHEN 0 THEN 'blocked' ELSE 'active' END,
                   CASE {' '.join(bounds)} ELSE 'other' END
            FROM (SELECT n, 1 + n * 23 % {parties} AS party FROM generate_series(1, {count}) n) v""")


def create_truth(session, sandbox):
    """What the questions read of the sandbox's data, in tables of schema truth: no request of ours has told the sizes."""
    columns = {"third_parties": ["name", "profile_number", "approval_status", "risk_rating"], "cases": ["open", "updated_at"]}
    tpmtest.rows(session, """
        CREATE SCHEMA truth;
        CREATE TABLE truth.third_parties (id text, third_party_id text, name text, profile_number text,
                                          approval_status text, risk_rating text);
        CREATE TABLE truth.cases (id text, third_party_id text, open boolean, updated_at timestamptz)""")
    for table, names in columns.items():
        lines = io.StringIO()
        for item in sandbox.dump(table):
            owner = item["relationships"].get("third_party", {}).get("data")
            values = [item["id"], owner and owner["id"], *(item["attributes"][name] for name in names)]
            lines.write("\t".join("\\N" if value is None else str(value).replace("\\", "\\\\") for value in values) + "\n")
        lines.seek(0)
        with session.cursor() as cursor:
            cursor.copy_expert(f"COPY truth.{table} FROM STDIN", lines)
        tpmtest.rows(session, f"ANALYZE truth.{table}")


def answers(session, schema, question, vendors):
    """The rows of a question, sorted, asked of tpm or of truth; what it changes is undone."""
    tpmtest.rows(session, f"BEGIN; SET LOCAL search_path = {schema}, public")
    try:
        return sorted(tpmtest.rows(session, question.sql.format(v=vendors)))
    finally:
        tpmtest.rows(session, "ROLLBACK")


@pytest.fixture(scope="module")
def large():
    sandbox = tpmtest.Sandbox("--records", str(PARTIES), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--today", "2026-06-15").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def session(cluster, large):
    cluster.sql("CREATE DATABASE join_requests")
    connection = cluster.connect("join_requests")
    tpmtest.setup_server(connection, large, schema="tpm", trust="exact")
    create_truth(connection, large)
    tpmtest.rows(connection, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_requests = 0")
    for count in (200, 5000):
        create_vendors(connection, count, PARTIES)
    yield connection
    connection.close()


@pytest.mark.long
@pytest.mark.parametrize("count", [200, 5000])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_requests(session, large, question, count):
    large.reset()
    rows = answers(session, "tpm", question, f"vendors_{count}")
    asked = large.request_count()
    assert rows == answers(session, "truth", question, f"vendors_{count}")
    assert asked <= question.least[count] + 1, question.why


def test_the_least_is_what_is_counted(session):
    """The keys of each group, in lists of 100, are the figures of the questions; so the data is as they say."""
    def lists(condition, count):
        return -(-tpmtest.rows(session, f"SELECT count(DISTINCT party) FROM vendors_{count} v WHERE {condition}")[0][0] // PAGE)

    rated = ("v.grp = 'both' AND EXISTS (SELECT FROM truth.third_parties t WHERE t.id = v.party AND t.risk_rating = 'Medium')")
    conditions = {"inner join by id": ["true"], "inner join by natural key": ["true"],
                  "left join of the active ones": ["v.status = 'active'"], "filters on both sides": ["v.grp = 'both'"],
                  "EXISTS an open case": ["v.grp = 'open'"], "NOT EXISTS": ["true"], "LATERAL top 1": ["v.grp = 'last'"],
                  "UPDATE local FROM foreign": ["v.grp = 'both'"], "three-way with cases": ["v.grp = 'both'", rated],
                  "IN (SELECT ..)": ["v.grp = 'in'"], "five vendors": ["v.grp = 'five'"]}
    for question in QUESTIONS:
        for count in (200, 5000):
            counted = sum(lists(condition, count) for condition in conditions[question.name])
            assert counted == question.least[count], (question.name, count)
    for rest in ("truth.third_parties WHERE approval_status = 'Approved'", "truth.cases WHERE open"):
        assert tpmtest.rows(session, f"SELECT count(*) FROM {rest}")[0][0] > 10 * PAGE
