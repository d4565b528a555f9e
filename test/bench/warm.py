"""Warm reads of 100,000 third parties: of one session against a heap table, and of 32 sessions side by side.

Seven typed columns, count and sum over them; no parallel workers, jit off.
"""

import os
import threading
import time

import measure
import tpmtest
from report import Result

RECORDS = 100000
QUERY = """SELECT count(*), sum(length(id)), sum(length(name)), sum(length(status)), sum(risk_score),
                  sum(unreviewed_hits), max(created_at), min(next_renewal_on) FROM {}.third_parties"""
MOST_OF_HEAP = 3.0
SESSIONS = 32
LEAST_OF_CORES = 0.7


def prepare(setting):
    """The sandbox's tables in a database of their own, warm, and the same in heap tables."""
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--no-gzip").start()
    setting.cluster.sql("CREATE DATABASE warm")
    session = setting.cluster.connect("warm")
    tpmtest.setup_server(session, sandbox, schema="tpm")
    for statement in ("CREATE SCHEMA heap", "CREATE TABLE heap.third_parties AS SELECT * FROM tpm.third_parties",
                      "VACUUM ANALYZE heap.third_parties"):
        tpmtest.rows(session, statement)
    assert tpmtest.rows(session, QUERY.format("tpm")) == tpmtest.rows(session, QUERY.format("heap"))
    sandbox.reset()
    return sandbox, session


def rows_a_second(sessions, schema, repeat):
    """What all of them read together, from a common start to the last one's end."""
    barrier = threading.Barrier(len(sessions) + 1)

    def read(session):
        barrier.wait()
        for _ in range(repeat):
            tpmtest.rows(session, QUERY.format(schema))

    readers = [threading.Thread(target=read, args=(session,)) for session in sessions]
    for reader in readers:
        reader.start()
    barrier.wait()
    started = time.perf_counter()
    for reader in readers:
        reader.join()
    return len(sessions) * repeat * RECORDS / (time.perf_counter() - started)


def side_by_side(setting):
    sessions = [setting.cluster.connect("warm") for _ in range(SESSIONS)]
    best = {}
    for schema in ("tpm", "heap"):
        for session in sessions:
            tpmtest.rows(session, QUERY.format(schema))
    for _ in range(3):
        for schema in ("tpm", "heap"):
            # as many reads by one as by all, so that both last
            for readers, repeat in ((sessions[:1], 16), (sessions, 2)):
                rate = rows_a_second(readers, schema, repeat) / 1e6
                best[schema, len(readers)] = max(rate, best.get((schema, len(readers)), rate))
    for session in sessions:
        session.close()
    return best


def run(setting):
    sandbox, session = prepare(setting)
    best = measure.interleaved({schema: lambda schema=schema: measure.statement(session, QUERY.format(schema))
                                for schema in ("tpm", "heap")})
    yield Result(f"warm scan of {RECORDS:,} rows: time", "ms", best["tpm"][0] * 1000, "heap table: time",
                 best["heap"][0] * 1000, most=MOST_OF_HEAP)
    rates = side_by_side(setting)
    cores = len(os.sched_getaffinity(0))
    yield Result(f"{SESSIONS} warm sessions together", "Mrow/s", rates["tpm", SESSIONS],
                 f"{cores} cores x one session", cores * rates["tpm", 1], least=LEAST_OF_CORES)
    yield Result(f"{SESSIONS} warm sessions together, to heap", "Mrow/s", rates["tpm", SESSIONS],
                 f"{SESSIONS} sessions on the heap table", rates["heap", SESSIONS])
    assert sandbox.request_count() == 0
    session.close()
    sandbox.stop()
