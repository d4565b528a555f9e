"""Each write leaves on a connection of its own, with the TLS session of those before; reads keep theirs."""

from pathlib import Path

import gateway as gateways
import names
import pytest
import tpmtest
from hostile import Hostile, answer, document, resource
from tpmtest import rows

INSERT = "INSERT INTO third_parties (name, country) SELECT 'Alone ' || i, 'DE' FROM generate_series(1, {}) i"


@pytest.fixture(scope="module")
def behind():
    sandbox = tpmtest.Sandbox("--records", "500", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--pagination", "number", "--latency-ms", "20").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def make(db, behind):
    """Gateways before the sandbox, each with a server and a schema of its name."""
    behind.reset(data=True)
    made = []

    def one(name, http2, lanes=4, **how):
        gateway = gateways.Gateway(behind, http2, **how)
        made.append(gateway)
        tpmtest.setup_server(db, gateway, server=name, schema=name, trust="exact",
                             options={"ca_file": gateway.certificate, "pagination": "number", "fetch_concurrency": lanes})
        return gateway

    rows(db, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_writes = 0")
    yield one
    for gateway in made:
        gateway.stop()


def kinds(seen):
    """(reads, writes) of the requests."""
    return [entry for entry in seen if entry.method == "GET"], [entry for entry in seen if entry.method != "GET"]


def read_three(db):
    """One after the other, for which one connection is enough."""
    for number in range(1, 4):
        assert len(rows(db, f"SELECT name FROM third_parties WHERE id = '{number}'")) == 1


@pytest.mark.parametrize("tls", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_writes_alone_and_reads_together(db, make, http2, tls):
    """
    A write is the first and last on its connection, and no handshake is a whole one; reads need no new connection.

    OpenSSL uses a ticket of TLS 1.3 once, so that there what starts before the next one has come has a whole handshake
    (which takes no longer, with 1.3); one by one, none has.
    """
    gateway = make("tpm", http2, tls=tls, lanes=4 if tls == "TLSv1.2" else 1)
    rows(db, "SET search_path = tpm, public")
    read_three(db)
    before = gateway.requests(1 + 3)
    assert {(entry.connection, entry.tls) for entry in before} == {(before[0].connection, tls)}

    rows(db, INSERT.format(8))
    for number in range(1, 4):
        rows(db, f"UPDATE third_parties SET city = 'Alone' WHERE id = '{number}'")
    reads, writes = kinds(gateway.requests(8 + 3 * 3))
    assert len({entry.connection for entry in writes}) == len(writes) == 11
    assert {(entry.number, entry.protocol, entry.resumed) for entry in writes} == {(1, "HTTP/1.1", True)}

    read_three(db)
    reads += gateway.requests(3)
    assert {(entry.connection, entry.protocol) for entry in reads} == {(before[0].connection, "HTTP/2.0" if http2 else "HTTP/1.1")}


def test_connections_of_others_are_kept(db, make):
    """More writes than the pool holds connections push none out of it."""
    here, there = make("here", False), make("there", False)
    rows(db, "SET search_path = here")
    read_three(db)
    before = here.requests(1 + 3)
    rows(db, "SET search_path = there; " + INSERT.format(20))
    assert len({entry.connection for entry in there.requests(1 + 20)}) == 1 + 20
    rows(db, "SET search_path = here")
    read_three(db)
    assert {entry.connection for entry in before + here.requests(3)} == {before[0].connection}


def test_names_are_looked_up_once(behind):
    """A connection of its own is no reason to ask for the name again."""
    resolver = names.Loopback()
    cluster = names.Cluster(resolver).start()
    try:
        db = cluster.connect()
        tpmtest.setup_server(db, behind, schema="tpm",
                             options={"base_url": f"http://api.example:{behind.port}/v1", "allow_http": "true"})
        rows(db, "SET search_path = tpm, public")
        for _ in range(5):
            rows(db, INSERT.format(2))
        assert len(resolver.asked) == 1
    finally:
        cluster.destroy()
        resolver.close()


def bytes_read(pid):
    """By read(2) and its like, which is how files are read and sockets are not."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def test_certificates_are_read_once(db, make):
    """Those of a distribution take 25 ms to parse: not each write's."""
    gateway = make("tpm", False)
    with gateway.certificate.open("a") as file:
        file.write("# as long as a distribution's\n" * 10000)
    rows(db, "SET search_path = tpm, public; " + INSERT.format(1))
    before = bytes_read(db.get_backend_pid())
    rows(db, INSERT.format(20))
    assert bytes_read(db.get_backend_pid()) - before < gateway.certificate.stat().st_size


def test_goaway(db, make):
    """A server that ends its HTTP/2 connections by GOAWAY after three requests: nothing is in doubt."""
    make("tpm", True, more="keepalive_requests 3;")
    rows(db, "SET search_path = tpm, public")
    assert rows(db, "SELECT count(name) FROM third_parties") == [(500,)]
    rows(db, INSERT.format(40))
    rows(db, "UPDATE third_parties SET city = 'Gone' WHERE name LIKE 'Alone %'")
    assert rows(db, "SELECT count(*), count(DISTINCT name) FROM third_parties WHERE name LIKE 'Alone %' AND city = 'Gone'") == [
        (40, 40)]
    journal = "SELECT method, outcome, sendings, count(*)::int FROM tpm_fdw_writes WHERE database = current_database()"
    assert rows(db, journal + " GROUP BY 1, 2, 3 ORDER BY 1") == [("POST", "sent", 1, 40), ("PUT", "sent", 1, 40)]


def test_a_server_that_hangs_up(db):
    """
    One that closes a kept connection as soon as another request comes on it, as an idle limit does at the wrong moment:
    reads are repeated, no write is in doubt.
    """
    server = HangsUp()
    server.answers = {"/": document([resource(1, name="one")]),
                      "/v1/things": lambda request: answer(b'{"data": {"type": "things", "id": "2", "attributes": {}}}', 201)
                      if request.method == "POST" else document([resource(1, name="one")])}
    options = tpmtest.option_list({"base_url": server.base_url, "auth": "none", "cache_ttl": "0", **tpmtest.GENEROUS})
    rows(db, f"CREATE SERVER things FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({options});"
             " CREATE USER MAPPING FOR CURRENT_USER SERVER things;"
             " CREATE FOREIGN TABLE things (id text, name text) SERVER things")
    for number in range(3):
        assert rows(db, "SELECT name FROM things") == [("one",)]
        rows(db, f"INSERT INTO things (name) VALUES ('{number}')")
    assert [request.method for request in server.requests].count("POST") == 3
    assert rows(db, "SELECT DISTINCT outcome, sendings FROM tpm_fdw_writes WHERE database = current_database()") == [("sent", 1)]
    server.close()


class HangsUp(Hostile):
    """It reads a second request of a connection, and answers none."""

    def _serve(self, peer):
        request, received = self._read(peer, b"")
        if request is None:
            return
        self.requests.append(request)
        with peer:
            for part in self._answer(request):
                peer.sendall(part)
            self._read(peer, received)
