"""Tokens: one request per credential, renewed ahead of expiry by one, after a revocation exactly one renewal."""

import json

import crowd
import psycopg2
import pytest
import tpmtest

ONE = "SELECT email FROM tpm.users WHERE id = '1'"
OFF = "SET tpm_fdw.cache_ttl = 0"


@pytest.fixture
def own(db, request):
    """A sandbox of this test's own, with a token lifetime if the test has one."""
    lifetime = getattr(request, "param", 3600)
    sandbox = tpmtest.Sandbox("--records", "50", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--token-lifetime", str(lifetime)).start()
    tpmtest.setup_server(db, sandbox, schema="tpm")
    yield sandbox
    sandbox.stop()


def issued(sandbox):
    return sandbox.state()["tokens_issued"]


def test_one_for_all(db, cluster, own):
    """32 backends at the same moment: one token request."""
    own.fault("latency", ms=500, match="POST /oauth/token")
    sessions = crowd.Crowd(cluster, db.info.dbname, [crowd.asking(ONE)] * 32, OFF).begin()
    tpmtest.wait_until(lambda: tpmtest.rows(db, "SELECT count(*) FROM tpm_fdw_progress WHERE waiting_for = 'token'")
                       == [(32,)], message="32 sessions waiting for a token")
    sessions.join()
    assert sessions.errors == []
    assert issued(own) == 1


def test_revoked(db, cluster, own):
    """Busy sessions, a token revoked: exactly one renewal in the whole cluster."""
    tpmtest.rows(db, ONE)
    assert issued(own) == 1
    own.fault("latency", ms=100, match="GET /v1/users")
    sessions = crowd.Crowd(cluster, db.info.dbname, [asking_times(20)] * 16, OFF).begin()
    tpmtest.wait_until(lambda: own.request_count() > 40)
    own.revoke()
    sessions.join()
    assert sessions.errors == []
    assert issued(own) == 2


def asking_times(times):
    def ask(member, connection):
        for _ in range(times):
            tpmtest.rows(connection, ONE)
    return ask


@pytest.mark.parametrize("own", [6], indirect=True)
def test_renewed_ahead(db, cluster, own):
    """Before it expires one renews it while the others go on: nobody ever sees a 401, nobody waits for the renewal."""
    tpmtest.rows(db, ONE)
    own.fault("latency", ms=1000, match="POST /oauth/token")
    stop = []
    sessions = crowd.Crowd(cluster, db.info.dbname, [asking_while(stop)] * 8, OFF).begin()
    tpmtest.wait_until(lambda: issued(own) >= 4, timeout=30)
    stop.append(True)
    sessions.join()
    assert sessions.errors == []
    assert [entry for entry in own.api_requests() if entry["status"] == 401] == []
    tokens = [entry["time"] for entry in own.requests() if entry["path"] == "/oauth/token"]
    # each about once a lifetime
    assert min(b - a for a, b in zip(tokens, tokens[1:])) > 2
    waits = tpmtest.rows(db, "SELECT max(waited_ms) FROM tpm_fdw_requests"
                             " WHERE database = current_database()")[0][0]
    assert waits < 900


def asking_while(stop):
    def ask(member, connection):
        while not stop:
            tpmtest.rows(connection, ONE)
            tpmtest.rows(connection, "SELECT pg_sleep(0.05)")
    return ask


@pytest.mark.parametrize("own", [0], indirect=True)
def test_lifetime_unsaid(db, own):
    """A token that says no lifetime serves until it is refused."""
    for _ in range(3):
        tpmtest.rows(db, OFF + ";" + ONE)
    assert issued(own) == 1
    assert tpmtest.rows(db, "SELECT expires FROM tpm_fdw_tokens WHERE server = 'tpm'") == [(None,)]
    own.revoke()
    assert len(tpmtest.rows(db, ONE)) == 1
    assert issued(own) == 2


def test_view(db, own):
    """What the view says, and that no token is in it."""
    tpmtest.rows(db, ONE)
    row, = tpmtest.rows(db, "SELECT server, role, client_id, expires - obtained BETWEEN '59 min' AND '61 min', refreshes,"
                            " last_error FROM tpm_fdw_tokens WHERE server = 'tpm'")
    assert row == ("tpm", "postgres", "sandbox", True, 0, None)
    columns = [name for name, in tpmtest.rows(db, "SELECT attname FROM pg_attribute WHERE attnum > 0 AND"
                                                  " attrelid = 'tpm_fdw_tokens'::regclass ORDER BY attnum")]
    assert columns == ["server", "role", "client_id", "obtained", "expires", "refreshes", "last_error"]


def test_last_error(db, own):
    """A refusal is remembered in words, and a right secret works at once."""
    tpmtest.rows(db, "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (SET client_secret 'wrong')")
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(db, ONE)
    assert caught.value.pgcode == "28000"
    errors = tpmtest.rows(db, "SELECT last_error FROM tpm_fdw_tokens WHERE last_error IS NOT NULL AND server = 'tpm'")
    assert len(errors) == 1 and "invalid_client" in errors[0][0]
    tpmtest.rows(db, "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (SET client_secret 'sandbox-secret')")
    assert len(tpmtest.rows(db, ONE)) == 1


def test_rotated_secret(db, own):
    """A new secret of the same client: a new token, the same budget; the old secret is no good any more."""
    tpmtest.rows(db, OFF + ";" + ONE)
    used = "SELECT used_last_hour FROM tpm_fdw_rate_limits WHERE server = 'tpm'"
    before = tpmtest.rows(db, used)
    own.post("/_sandbox/secrets", {"sandbox": "rotated-secret"})
    own.revoke()
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(db, ONE)
    assert caught.value.pgcode == "28000"
    tpmtest.rows(db, "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (SET client_secret 'rotated-secret')")
    tpmtest.rows(db, ONE)
    assert issued(own) == 2
    after = tpmtest.rows(db, used)
    assert len(after) == 1
    assert after[0][0] > before[0][0]


def test_never_on_disk(cluster, db, own):
    """No file of the cluster's directory holds the token."""
    tpmtest.rows(db, ONE)
    tpmtest.rows(db, "CHECKPOINT")
    secrets = json.loads(own.get("/_sandbox/tokens"))
    assert secrets
    for path in cluster.datadir.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret.encode() in data for secret in secrets), path


def test_reset(db, own):
    """tpm_fdw_reset_tokens() makes the next request ask for a new one; not for PUBLIC."""
    tpmtest.rows(db, OFF + ";" + ONE)
    tpmtest.rows(db, "SELECT tpm_fdw_reset_tokens('tpm')")
    assert tpmtest.rows(db, "SELECT * FROM tpm_fdw_tokens WHERE server = 'tpm'") == []
    tpmtest.rows(db, ONE)
    assert issued(own) == 2
