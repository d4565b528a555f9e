"""Every wait ends at once: pg_cancel_backend, statement_timeout and pg_terminate_backend.

20 tries for each kind of wait and each signal. The time runs on the client's side, from just
before the signal is sent (or the moment when the statement's time is up) to the session's error.
"""

import os
import select
import socket
import time

import names
import psycopg2
import pytest
import tpmtest

pytestmark = [pytest.mark.long, pytest.mark.timed]

TRIES = 20
WITHIN_MS, TRIES_WITHIN = 100, 19
ALL_WITHIN_MS = 500
TIMEOUT_MS = 200
GOOD = "SELECT id FROM good.users WHERE id = '1'"
CODES = {"cancel": "57014", "timeout": "57014", "terminate": "57P01"}


class Session:
    """A session that does other things while its statement runs."""

    def __init__(self, cluster):
        self.connection = psycopg2.connect(cluster.dsn(), async_=True)
        self.pid = None
        assert self.wait() is None
        self.pid = self.connection.get_backend_pid()
        self.cursor = self.connection.cursor()

    def wait(self, timeout=30):
        """Until the statement ends; its error, if any."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                state = self.connection.poll()
            except psycopg2.Error as error:
                return error
            if state == psycopg2.extensions.POLL_OK:
                return None
            fd = [self.connection.fileno()]
            reading = state == psycopg2.extensions.POLL_READ
            ready = select.select(fd if reading else [], [] if reading else fd, [], deadline - time.monotonic())
            assert any(ready), "the statement did not end"

    def send(self, statement):
        self.cursor.execute(statement)

    def run(self, statement):
        self.send(statement)
        error = self.wait()
        if error:
            raise error
        return self.cursor.fetchall() if self.cursor.description else []

    def ended(self):
        """Whether the statement has ended already."""
        return bool(select.select([self.connection.fileno()], [], [], 0)[0])


def listen(backlog):
    """A socket that nobody accepts from."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    listener.setblocking(False)
    return listener


def poll(condition, message):
    """As wait_until, a millisecond at a time."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.001)


class Place:
    """A kind of wait: its statement, and how to know that a session is there."""

    def __init__(self, stage, statement):
        self.stage = stage
        self.statement = statement

    def prepare(self):
        """Before each try."""

    def reached(self, session, attempt):
        """Returns when the session waits here."""

    def timeout_ms(self, attempt):
        """A statement_timeout that ends while the session waits here."""
        return TIMEOUT_MS


class Stalled(Place):
    """Known by the requests that the sandbox has read."""

    def prepare(self):
        self.before = len(self.stage.sandbox.requests())

    def reached(self, session, attempt):
        poll(lambda: len(self.stage.sandbox.requests()) > self.before, "no request")


class Waiting(Place):
    """Known by tpm_fdw_progress."""

    def __init__(self, stage, statement, reason):
        super().__init__(stage, statement)
        self.reason = reason

    def reached(self, session, attempt):
        query = "SELECT 1 FROM tpm_fdw_progress WHERE pid = %s AND waiting_for = %s"
        poll(lambda: tpmtest.rows(self.stage.monitor, query, (session.pid, self.reason)), f"no wait for {self.reason}")


class Resolving(Place):
    """Known by the questions that arrive at the resolver."""

    def prepare(self):
        self._drain()

    def _drain(self):
        try:
            while self.stage.resolver.socket.recv(4096):
                pass
        except BlockingIOError:
            return

    def reached(self, session, attempt):
        assert select.select([self.stage.resolver.socket], [], [], 15)[0], "nobody asks the resolver"


class Connecting(Place):
    """Known by a socket of the backend in state SYN_SENT."""

    def _sent(self):
        port = f":{self.stage.full.getsockname()[1]:04X}"
        with open("/proc/net/tcp", encoding="ascii") as table:
            fields = [line.split() for line in table]
        return {line[9] for line in fields if line[2].endswith(port) and line[3] == "02"}

    def prepare(self):
        self.before = self._sent()

    def reached(self, session, attempt):
        poll(lambda: self._sent() - self.before, "no SYN")


class Handshaking(Place):
    """Known by the first bytes of the handshake, which nobody answers."""

    def prepare(self):
        self.peer = None

    def _hello(self):
        if not select.select([self.stage.silent], [], [], 0)[0]:
            return False
        self.peer, _ = self.stage.silent.accept()
        return self.peer.recv(1, socket.MSG_WAITALL)

    def reached(self, session, attempt):
        poll(self._hello, "no handshake")


class Decoding(Place):
    """Known by the answer's line in tpm_fdw_requests; the tries are spread over the decoding."""

    def __init__(self, stage, statement):
        super().__init__(stage, statement)
        self.measure()

    def measure(self):
        """How long the answer takes to arrive, and then to be decoded, on this machine now."""
        # the first one pays for the token, and for the page that the sandbox makes
        self._timing()
        timings = [self._timing() for _ in range(3)]
        self.received = max(received for received, _ in timings)
        self.decoding = min(total - received for received, total in timings)
        assert self.decoding > 0.02

    def _answers(self):
        return tpmtest.rows(self.stage.monitor, "SELECT count(*) FROM tpm_fdw_requests")[0][0]

    def _timing(self):
        session = Session(self.stage.cluster)
        self.prepare()
        start = time.monotonic()
        session.send(self.statement)
        self._received()
        received = time.monotonic() - start
        assert session.wait() is None
        session.connection.close()
        return received, time.monotonic() - start

    def _received(self):
        poll(lambda: self._answers() > self.before, "no answer")

    def prepare(self):
        self.before = self._answers()

    def reached(self, session, attempt):
        self._received()
        time.sleep(self.decoding * 0.8 * attempt / TRIES)

    def timeout_ms(self, attempt):
        return int(1000 * (self.received + self.decoding * 0.8 * attempt / TRIES))


class Stage:
    """All that the waits need: a cluster, a sandbox, sockets."""

    def __init__(self):
        self.resolver = names.Resolver()
        self.resolver.socket.setblocking(False)
        self.silent = listen(128)
        self.full = listen(0)
        self.fill = socket.create_connection(self.full.getsockname())
        self.sandbox = tpmtest.Sandbox("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0",
                                       "--no-gzip").start()
        self.cluster = names.Cluster(self.resolver).start()
        self.monitor = self.cluster.connect()
        self._set_up()

    def _set_up(self):
        tpmtest.rows(self.monitor, "CREATE EXTENSION tpm_fdw")
        tpmtest.rows(self.monitor, "ALTER DATABASE postgres SET tpm_fdw.max_wait = -1")
        self._server("good", {"cache_ttl": 0})
        self._server("limited", {"cache_ttl": 0, "rate_limit_per_hour": 1, "rate_limit_group": "limited"})
        self._server("untrusted", {"cache_ttl": 0, "token_parameters": "stall=1"})
        self._server("cached", {"cache_ttl": "1h"})
        for name, url, options in (
                ("unresolved", "http://silent.example/v1", {"ip_family": "any", "allow_http": "true"}),
                ("unreached", f"http://127.0.0.1:{self.full.getsockname()[1]}/v1", {}),
                ("unshaken", f"https://127.0.0.1:{self.silent.getsockname()[1]}/v1", {})):
            self._server(name, {"base_url": url, "auth": "none", "cache_ttl": 0, **options}, auth=False)
        for match in ("GET /v1/cases", "GET /v1/regions"):
            self.sandbox.fault("stall", match=match)
        self.sandbox.fault("big_page", match="GET /v1/third_parties")
        self.sandbox.fault("status:503", match="GET /v1/engagements", retry_after=59)
        tpmtest.rows(self.monitor, "SELECT id FROM limited.users WHERE id = '1'")

    def _server(self, name, options, auth=True):
        options = {"base_url": self.sandbox.base_url, **({"token_url": "/oauth/token"} if auth else {}), **options}
        mapping = "client_id 'sandbox', client_secret 'sandbox-secret'" if auth else ""
        for statement in (
                f"CREATE SERVER {name} FOREIGN DATA WRAPPER tpm_fdw OPTIONS"
                f" ({tpmtest.option_list({**tpmtest.GENEROUS, **options})})",
                f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name}" + (f" OPTIONS ({mapping})" if mapping else ""),
                f"CREATE SCHEMA {name}",
                f"IMPORT FOREIGN SCHEMA tpm FROM SERVER {name} INTO {name}"):
            tpmtest.rows(self.monitor, statement)

    def close(self):
        self.monitor.close()
        self.cluster.destroy()
        self.sandbox.stop()
        for each in (self.resolver, self.silent, self.full, self.fill):
            each.close()


@pytest.fixture(scope="module")
def stage():
    stage = Stage()
    yield stage
    stage.close()


def anothers_page(stage):
    """A wait for the page that another session has asked for and never gets."""
    holder = Session(stage.cluster)
    before = len(stage.sandbox.requests())
    holder.send("SELECT count(name) FROM cached.regions")
    poll(lambda: len(stage.sandbox.requests()) > before, "the page was not asked for")
    place = Waiting(stage, "SELECT count(name) FROM cached.regions", "page")
    place.holder = holder
    return place


def token(stage):
    """A wait for a token endpoint that never answers."""
    stage.sandbox.fault("stall", match="POST /oauth/token")
    stage.sandbox.revoke()
    return Stalled(stage, "SELECT count(email) FROM untrusted.users")


PLACES = {
    "answer": lambda stage: Stalled(stage, "SELECT count(name) FROM good.cases"),
    "resolver": lambda stage: Resolving(stage, "SELECT count(email) FROM unresolved.users"),
    "connect": lambda stage: Connecting(stage, "SELECT count(email) FROM unreached.users"),
    "handshake": lambda stage: Handshaking(stage, "SELECT count(email) FROM unshaken.users"),
    "decoding": lambda stage: Decoding(stage, "SELECT name FROM good.third_parties LIMIT 100"),
    "budget": lambda stage: Waiting(stage, "SELECT count(email) FROM limited.users", "budget"),
    "retry": lambda stage: Waiting(stage, "SELECT count(name) FROM good.engagements", "retry"),
    "page": anothers_page,
}


@pytest.fixture(scope="module", params=PLACES)
def place(request, stage):
    return PLACES[request.param](stage)


def signal(stage, function, session, place, attempt):
    """Sends the statement and, when it waits, the signal; the moment of the signal."""
    session.send(place.statement)
    place.reached(session, attempt)
    assert not session.ended(), "the statement ended before the signal"
    sent = time.monotonic()
    tpmtest.rows(stage.monitor, f"SELECT {function}({session.pid})")
    return sent


def cancelled(stage, session, place, attempt):
    sent = signal(stage, "pg_cancel_backend", session, place, attempt)
    return session.wait(), time.monotonic() - sent


def timed_out(stage, session, place, attempt):
    session.run(f"SET statement_timeout = {place.timeout_ms(attempt)}")
    sent = time.monotonic()
    session.send(place.statement)
    if not isinstance(place, Decoding):
        place.reached(session, attempt)
        assert not session.ended(), "the time was up before the session waited"
    error = session.wait()
    took = time.monotonic() - sent - place.timeout_ms(attempt) / 1000
    session.run("SET statement_timeout = 0")
    return error, took


def terminated(stage, session, place, attempt):
    sent = signal(stage, "pg_terminate_backend", session, place, attempt)
    return session.wait(), time.monotonic() - sent


SIGNALS = {"cancel": cancelled, "timeout": timed_out, "terminate": terminated}


def sqlstate(error):
    """Of the session's error; libpq loses that of a FATAL when the end of the connection comes along."""
    if error and error.pgcode is None and str(error).startswith("FATAL:  terminating connection due to administrator"):
        return "57P01"
    return error.pgcode if error else None


def judge(name, kind, errors, times):
    """The bounds, and the SQLSTATEs."""
    times = sorted(round(took * 1000, 1) for took in times)
    print(f"{name}: median {times[len(times) // 2]} ms, 19 of 20 within {times[TRIES_WITHIN - 1]}, all {times[-1]}")
    assert {sqlstate(error) for error in errors} == {CODES[kind]}
    assert times[0] > -2, "the error came before the signal"
    assert times[TRIES_WITHIN - 1] <= WITHIN_MS
    assert times[-1] <= ALL_WITHIN_MS


@pytest.mark.parametrize("kind", ["cancel", "timeout"])
def test_session_goes_on(stage, place, kind, request):
    """Cancel and time-out end the wait with 57014; the session's next query works."""
    session = Session(stage.cluster)
    errors, times = [], []
    spare = TRIES // 2 if isinstance(place, Decoding) else 0
    while len(times) < TRIES:
        place.prepare()
        error, took = SIGNALS[kind](stage, session, place, len(times))
        assert session.run(GOOD) == [("1",)]
        if error is None and spare > 0:
            # the statement was faster than those that told how long it takes
            spare -= 1
            place.measure()
            continue
        errors.append(error)
        times.append(took)
    session.connection.close()
    judge(request.node.name, kind, errors, times)


def test_session_ends(stage, place, request):
    """pg_terminate_backend ends the wait, and the process, which leaves nothing behind."""
    errors, times = [], []
    for attempt in range(TRIES):
        session = Session(stage.cluster)
        place.prepare()
        error, took = terminated(stage, session, place, attempt)
        errors.append(error)
        times.append(took)
        poll(lambda: not os.path.exists(f"/proc/{session.pid}"), "the process is still there")  # noqa: B023
        session.connection.close()
    judge(request.node.name, "terminate", errors, times)
    assert tpmtest.rows(stage.monitor, "SELECT waiting FROM tpm_fdw_rate_limits WHERE waiting > 0") == []


@pytest.mark.parametrize("kind", ["cancel"])
def test_token(stage, kind):
    """The same for a token endpoint that never answers, once."""
    place = token(stage)
    session = Session(stage.cluster)
    place.prepare()
    error, took = SIGNALS[kind](stage, session, place, 0)
    assert error.pgcode == "57014"
    assert took * 1000 <= ALL_WITHIN_MS
