"""1,000 vendors by INSERT ... SELECT and 1,000 by COPY at 6 a second, with faults at random positions:
exactly 1,000 each, none twice, never faster than allowed, and hardly longer than the requests need."""

import io
import random
import threading
import time

import pace
import pytest
import tpmtest

pytestmark = [pytest.mark.long, pytest.mark.patient]

ROWS = 1000
SEED = 20


def faults(sandbox, seed):
    """What strikes, each at a position of its own."""
    chance = random.Random(seed)
    kinds = [("drop_after_write", {"warm": True}), ("drop_after_write", {}), ("reset", {}), ("status:503", {}),
             ("status:503", {"retry_after": 1}), ("late_write", {"ms": 1500, "close": True, "from": "arrival"}),
             ("lagging_list", {"ms": 2000}), ("write_status:502", {})]
    places = chance.sample(range(5, ROWS - 50), 2 * len(kinds))
    for place, (kind, more) in zip(places, kinds * 2):
        sandbox.fault(kind, count=1, match="POST /v1", skip=place, **more)


def select(db):
    tpmtest.rows(db, f"CREATE TEMP TABLE src AS SELECT 'W-' || g AS internal_id, 'n' || g AS name"
                     f" FROM generate_series(1, {ROWS}) g")
    tpmtest.rows(db, "INSERT INTO tpm.third_parties (internal_id, name, country) SELECT internal_id, name, 'US' FROM src")


def copy(db):
    text = "".join(f"W-{number}\tn\tUS\n" for number in range(1, ROWS + 1))
    with db.cursor() as cursor:
        cursor.copy_expert("COPY tpm.third_parties (internal_id, name, country) FROM STDIN", io.StringIO(text))


def load(name, way, seed, failed):
    """One load in a cluster of its own; what is wrong with it."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.request_log_size": "10000"}).start()
    sandbox = tpmtest.Sandbox("--records", "50", "--rate-per-second", "6", "--rate-per-hour", "0",
                              "--rate-window", "both", "--latency-ms", "100").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"rate_limit_per_second": 6, "rate_limit_per_hour": 9000})
    tpmtest.rows(db, "SET tpm_fdw.max_writes = 0; SET tpm_fdw.max_requests = 0; SET tpm_fdw.max_wait = -1;"
                     " SET tpm_fdw.leave_free = 0")
    faults(sandbox, seed)
    began = time.monotonic()
    try:
        way(db)
    except Exception as error:  # noqa: BLE001, told below
        failed.append((name, str(error)))
    took = time.monotonic() - began
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    requests = sandbox.request_count()
    keys = [row["attributes"]["internal_id"] or "" for row in sandbox.dump("third_parties")]
    keys = [key for key in keys if key.startswith("W-")]
    print(f"{name}: {took:.1f} s for {requests} requests, {took / (requests / 6):.3f} of the least, seed {seed}")
    if len(keys) != ROWS or len(set(keys)) != ROWS or took > 1.1 * requests / 6:
        failed.append((name, len(keys), len(set(keys)), took, requests))
    try:
        pace.judge(name, db, sandbox, 6)
    except AssertionError as error:
        failed.append((name, str(error)))
    cluster.destroy()
    sandbox.stop()


def test_pace_of_writes():
    """Both ways beside each other, each with an API of its own."""
    failed = []
    loads = [threading.Thread(target=load, args=(name, way, SEED + turn, failed))
             for turn, (name, way) in enumerate((("select", select), ("copy", copy)))]
    for each in loads:
        each.start()
    for each in loads:
        each.join(600)
        assert not each.is_alive()
    assert failed == []
