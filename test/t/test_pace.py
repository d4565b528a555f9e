"""The pace of many sessions: never faster than the API allows, hardly slower, and fair."""

import multiprocessing
import os
import time

import crowd
import pytest
import tpmtest

pytestmark = [pytest.mark.long, pytest.mark.timed]

SESSIONS = 32
SECONDS = 60
QUERY = "SELECT email FROM tpm.users WHERE id = '1'"


def burn():
    while True:
        pass


@pytest.fixture
def busy():
    """Two busy loops for each core."""
    loops = [multiprocessing.Process(target=burn, daemon=True) for _ in range(2 * os.cpu_count())]
    for loop in loops:
        loop.start()
    yield
    for loop in loops:
        loop.kill()


@pytest.fixture
def idle():
    return


def strict(*arguments):
    """A sandbox that counts arrivals in fixed and in sliding windows."""
    return tpmtest.Sandbox("--records", "50", "--rate-per-second", "6", "--rate-per-hour", "6000",
                           "--rate-window", "both", *arguments).start()


def arrivals(sandbox):
    log = sandbox.api_requests()
    assert [entry["status"] for entry in log if entry["status"] != 200] == []
    return [entry["time"] for entry in log]


def judge(name, times):
    span = times[-1] - times[0]
    used = (len(times) - 1) / span / 6
    print(f"{name}: {len(times)} requests in {span:.1f} s, {100 * used:.1f} % of 6/s")
    assert used >= 0.95


@pytest.mark.parametrize("machine", ["idle", "busy"])
def test_pace(db, cluster, machine, request):
    """32 sessions in a loop: no 429, 95 % of the rate, most and fewest differ by at most 3."""
    sandbox = strict()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_per_second": 6, "rate_limit_per_hour": 6000})
    request.getfixturevalue(machine)
    began = []
    ask = crowd.asking_until(QUERY, lambda: began[0] + SECONDS)
    sessions = crowd.Crowd(cluster, db.info.dbname, [ask] * SESSIONS,
                           "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_wait = -1")
    began.append(time.monotonic())
    sessions.begin().join(SECONDS + 30)
    assert sessions.errors == []
    judge(machine, arrivals(sandbox))
    counts = sessions.results
    print(f"{machine}: a session had between {min(counts)} and {max(counts)} answers")
    assert max(counts) - min(counts) <= 3
    sandbox.stop()


def test_pace_far_away(db, cluster):
    """The same at 300 ms latency, each request on a fresh connection of a fresh backend."""
    sandbox = strict("--latency-ms", "300")
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_per_second": 6, "rate_limit_per_hour": 6000})
    began = []
    ask = crowd.asking_until(QUERY, lambda: began[0] + SECONDS, fresh=True)
    sessions = crowd.Crowd(cluster, db.info.dbname, [ask] * SESSIONS,
                           "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_wait = -1")
    began.append(time.monotonic())
    sessions.begin().join(SECONDS + 30)
    assert sessions.errors == []
    judge("far away", arrivals(sandbox))
    counts = sessions.results
    print(f"far away: a session had between {min(counts)} and {max(counts)} answers")
    assert max(counts) - min(counts) <= 3
    sandbox.stop()
