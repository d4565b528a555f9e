"""Requests per query, for the table of the planner's tests (test/t/test_planner.py)."""

import sys
from pathlib import Path

import tpmtest
from report import Result

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "t"))

import test_planner  # noqa: E402


def run(setting):
    sandbox = tpmtest.Sandbox("--records", "5000", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--today", "2026-06-15").start()
    setting.cluster.sql("CREATE DATABASE requests")
    session = setting.cluster.connect("requests")
    tpmtest.setup_server(session, sandbox, schema="tpm", trust="exact")
    tpmtest.rows(session, "SET tpm_fdw.cache_ttl = 0; SET search_path = tpm, public;"
                          "CREATE TABLE public.keys50 AS SELECT (i % 5 + 1)::text AS key FROM generate_series(1, 50) i;"
                          "ANALYZE keys50")
    for query, expected, most in test_planner.COSTS:
        sandbox.reset()
        assert len(tpmtest.rows(session, query)) == expected, query
        yield Result(f"requests: {query}", "", sandbox.request_count(), "planner's tests allow", most, most=1.0,
                     recorded=True)
    session.close()
    sandbox.stop()
