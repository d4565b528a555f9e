"""Two hours of an organisation, at a minute an hour: a dashboard, a load and an analyst on one budget."""

import time

import crowd
import pace
import psycopg2
import pytest
import tpmtest

pytestmark = [pytest.mark.long, pytest.mark.patient]

HOUR = 60
PER_HOUR, PER_SECOND = 600, 60


def page_size(sandbox, resource, pages):
    """So that the list has that many pages; what is left over does not matter."""
    return max(1, len(sandbox.dump(resource)) // pages)


def every(seconds, until, act):
    """A member that acts again and again; what went wrong."""
    def member(member, connection):
        errors, done, due = [], 0, time.monotonic()
        while time.monotonic() < until():
            try:
                act(connection, done)
            except psycopg2.Error as error:
                errors.append((round(time.monotonic() - until() + 2 * HOUR, 1), error.pgcode, str(error)))
            done += 1
            due += seconds
            time.sleep(max(0, due - time.monotonic()))
        return done, errors
    return member


def test_two_hours():
    """Every view of the dashboard and every question of the analyst is answered, and the load is done."""
    cluster = tpmtest.Cluster(**{"tpm_fdw.hour": f"{HOUR}s", "tpm_fdw.request_log_size": "10000"}).start()
    sandbox = tpmtest.Sandbox("--records", "500", "--rate-per-second", str(PER_SECOND), "--rate-per-hour", str(PER_HOUR),
                              "--hour-seconds", str(HOUR), "--rate-window", "both").start()
    db = cluster.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact",
                         options={"rate_limit_per_second": PER_SECOND, "rate_limit_per_hour": PER_HOUR})
    for resource, pages in (("third_parties", 50), ("cases", 80)):
        tpmtest.rows(db, f"ALTER FOREIGN TABLE tpm.{resource} OPTIONS (ADD page_size"
                         f" '{page_size(sandbox, resource, pages)}')")
    lookups = ["users", "regions", "departments", "case_close_codes"]
    began = []

    def look(connection, turn):
        rows = tpmtest.rows(connection, "SELECT status, count(*) FROM tpm.third_parties GROUP BY 1")
        assert sum(count for _, count in rows) >= 500
        tpmtest.rows(connection, "SELECT stage, count(name) FROM tpm.cases GROUP BY 1")
        for lookup in lookups:
            tpmtest.rows(connection, f"SELECT count(id) FROM tpm.{lookup} WHERE id <> ''")

    def ask(connection, turn):
        rows = tpmtest.rows(connection, "SELECT name FROM tpm.third_parties WHERE id = %s", (str(turn + 1),))
        assert len(rows) == 1

    def load(connection, turn):
        if turn == 0:
            tpmtest.rows(connection, "INSERT INTO tpm.notes (body, third_party_id)"
                                     " SELECT 'loaded ' || i, '1' FROM generate_series(1, 300) i")

    settings = {"dashboard": "", "analyst": "SET tpm_fdw.cache_ttl = 0",
                "load": "SET tpm_fdw.max_writes = 0; SET tpm_fdw.max_wait = -1; SET tpm_fdw.leave_free = '60%'"}

    def end():
        return began[0] + 2 * HOUR

    crowds = {name: crowd.Crowd(cluster, "postgres", [every(seconds, end, act)], settings[name])
              for name, seconds, act in (("dashboard", HOUR / 60, look), ("analyst", HOUR / 12, ask),
                                         ("load", HOUR, load))}
    began.append(time.monotonic())
    for each in crowds.values():
        each.begin()
    for name, each in crowds.items():
        each.join(3 * HOUR)
        assert each.errors == []
        (done, errors), = each.results
        print(f"{name}: {done} turns, {len(errors)} errors {errors[:3]}")
        assert errors == []
        assert done >= {"dashboard": 60, "analyst": 23, "load": 1}[name]
    log = sandbox.api_requests()
    pace.judge("two hours", db, sandbox, PER_SECOND, PER_HOUR, HOUR)
    assert len([entry for entry in log if entry["method"] == "POST" and entry["status"] == 201]) == 300
    cluster.destroy()
    sandbox.stop()
