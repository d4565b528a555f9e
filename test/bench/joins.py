"""Joins of one's own table with 100,000 third parties: requests against the least possible, CPU against a hash join.

The questions are those of test/t/test_join_requests.py, for 200, 5,000 and 50,000 vendors, nothing analyzed, cache off.
"""

import math
import sys
from pathlib import Path

import measure
import tpmtest
from report import Result

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "t"))

import test_join_requests as requests  # noqa: E402

RECORDS = 100000
VENDORS = (200, 5000, 50000)
OUTER = 300000
LOOKAHEAD = "SET tpm_fdw.enable_lookahead = {}"
# the whole list is in the cache; which join is left to the planner, or not
WARM = "SET tpm_fdw.cache_ttl = '1h'; RESET enable_hashjoin; RESET enable_nestloop; RESET enable_mergejoin"
LOOPED = f"{WARM}; SET enable_hashjoin = off; SET enable_mergejoin = off"
HASHED = f"{WARM}; SET enable_nestloop = off; SET enable_mergejoin = off"
MOST_OF_HASH_JOIN = 3.0
MOST_OF_PLAIN = 1.2


def prepare(setting):
    """The sandbox, and a session of a database of its own that has our tables and the truth."""
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0", "--no-gzip",
                              "--today", "2026-06-15").start()
    setting.cluster.sql("CREATE DATABASE joins")
    session = setting.cluster.connect("joins")
    tpmtest.setup_server(session, sandbox, schema="tpm", trust="exact",
                         options={"rate_limit_per_second": "none", "rate_limit_per_hour": "none"})
    requests.create_truth(session, sandbox)
    for count in VENDORS:
        requests.create_vendors(session, count, RECORDS)
    return sandbox, session


def asked(session, sandbox, question, count, state):
    """Requests of a question; its answer must be right."""
    tpmtest.rows(session, f"SET tpm_fdw.cache_ttl = 0; {LOOKAHEAD.format(state)}")
    sandbox.reset()
    rows = requests.answers(session, "tpm", question, f"vendors_{count}")
    sent = sandbox.request_count()
    assert rows == requests.answers(session, "truth", question, f"vendors_{count}"), question.name
    return sent


def of_requests(session, sandbox):
    """Least, ours, and ours without look-ahead."""
    for question in requests.QUESTIONS:
        for count in VENDORS:
            least = question.least[count]
            ours = asked(session, sandbox, question, count, "on")
            case = f"requests: {question.name}, {count:,} of our rows"
            most = math.ceil((least + 1) / least * 1000) / 1000
            yield Result(case, "", ours, "the least possible", least, most=most, recorded=True)
            # of 50,000 it would take minutes to say what 5,000 say
            if count <= 5000:
                without = asked(session, sandbox, question, count, "off")
                yield Result(f"{case}, without look-ahead", "", without, "with it", ours)


def of_cpu(session):
    """What the backend computes where the list is in the cache."""
    tpmtest.rows(session, f"{WARM}; SET tpm_fdw.enable_lookahead = on; SET search_path = tpm, public;"
                          f"CREATE TABLE public.outer_rows WITH (autovacuum_enabled = off) AS"
                          f" SELECT n, (1 + n * 23 % {RECORDS})::text AS party FROM generate_series(1, {OUTER}) n;"
                          " ANALYZE outer_rows; ANALYZE vendors_200")
    tpmtest.rows(session, "SELECT * FROM third_parties")

    def of(preparation, state, query):
        def run():
            tpmtest.rows(session, f"{preparation}; {LOOKAHEAD.format(state)}")
            return measure.statement(session, query)
        return run

    few = "SELECT count(t.name) FROM vendors_200 v JOIN third_parties t ON t.id = v.party"
    many = "SELECT count(t.name) FROM outer_rows v JOIN third_parties t ON t.id = v.party"
    best = measure.interleaved({"looped": of(LOOPED, "on", few), "plain loop": of(LOOPED, "off", few),
                                "hashed": of(HASHED, "on", few)}, 3)
    milliseconds = {name: figures[1] * 1000 for name, figures in best.items()}
    case = f"200 keys against {RECORDS:,} cached rows, nested loop"
    yield Result(f"{case}: CPU", "ms", milliseconds["looped"], "hash join: CPU", milliseconds["hashed"], most=MOST_OF_HASH_JOIN)
    yield Result(f"{case}, without look-ahead: CPU", "ms", milliseconds["plain loop"], "hash join: CPU", milliseconds["hashed"],
                 most=MOST_OF_HASH_JOIN)
    best = measure.interleaved({"with": of(WARM, "on", many), "without": of(WARM, "off", many)}, 3)
    yield Result(f"{OUTER:,} rows joined with a cached list: CPU", "ms", best["with"][1] * 1000,
                 "without look-ahead: CPU", best["without"][1] * 1000, most=MOST_OF_PLAIN)


def run(setting):
    sandbox, session = prepare(setting)
    yield from of_requests(session, sandbox)
    yield from of_cpu(session)
    session.close()
    sandbox.stop()
