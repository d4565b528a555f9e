"""What reading by and by costs: pages of a portal, handshakes, compression, HTTP/2."""

import socket
import struct

import gateway as gateways
import pytest
import tpmtest
from tpmtest import rows

PAGE = 100


@pytest.fixture(scope="module", params=["links", "number", "offset"])
def large(request):
    sandbox = tpmtest.Sandbox("--records", "5000", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--pagination", request.param).start()
    sandbox.style = request.param
    yield sandbox
    sandbox.stop()


def paging(style):
    """Options of a server that computes the addresses of pages, where the API lets it."""
    options = {"pagination": style}
    if style == "offset":
        options["page_parameters"] = "page[limit],page[offset]"
    return options


@pytest.fixture(scope="module")
def database(cluster, large):
    name = f"paging_{large.style}"
    cluster.sql(f"CREATE DATABASE {name}")
    connection = cluster.connect(name)
    tpmtest.setup_server(connection, large, schema="tpm", trust="exact", options=paging(large.style))
    rows(connection, f"ALTER DATABASE {name} SET search_path = tpm, public")
    rows(connection, f"ALTER DATABASE {name} SET tpm_fdw.max_requests = 0")
    connection.close()
    return name


@pytest.fixture(params=["cache off", "cache cold"])
def cold(request, cluster, database, large):
    """Settings for a session that finds nothing kept."""
    cluster.sql("SELECT tpm_fdw_reset_cache()", dbname=database)
    large.reset()
    return "SET tpm_fdw.cache_ttl = 0" if request.param == "cache off" else "RESET tpm_fdw.cache_ttl"


class Portal:
    """The extended protocol by hand: libpq always asks for all rows of a portal."""

    def __init__(self, cluster, database):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{cluster.base}/.s.PGSQL.{cluster.port}")
        self.stream = self.socket.makefile("rb")
        startup = struct.pack("!I", 196608) + b"user\0postgres\0database\0" + database.encode() + b"\0\0"
        self.socket.sendall(struct.pack("!I", len(startup) + 4) + startup)
        self.until(b"Z")

    def send(self, *messages):
        self.socket.sendall(b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in messages))

    def until(self, *last):
        """Messages up to the first of these kinds, as {kind: how many}."""
        seen = {}
        kind = None
        while kind not in last:
            kind = self.stream.read(1)
            body = self.stream.read(struct.unpack("!I", self.stream.read(4))[0] - 4)
            if kind == b"E":
                raise RuntimeError(body.replace(b"\0", b" ").decode())
            seen[kind] = seen.get(kind, 0) + 1
        return seen

    def query(self, text):
        self.send((b"Q", text.encode() + b"\0"))
        return self.until(b"Z")

    def open(self, query):
        """Parse and bind the unnamed statement and portal."""
        self.send((b"P", b"\0" + query.encode() + b"\0\0\0"), (b"B", b"\0\0" + struct.pack("!HHH", 0, 0, 0)))

    def execute(self, most):
        """(rows, whether there may be more); Flush, since Sync would end the portal."""
        self.send((b"E", b"\0" + struct.pack("!I", most)), (b"H", b""))
        seen = self.until(b"s", b"C")
        return seen.get(b"D", 0), b"s" in seen

    def close(self):
        self.send((b"S", b""))
        self.until(b"Z")
        self.send((b"X", b""))
        self.stream.close()
        self.socket.close()


def test_portal_with_max_rows(cluster, database, large, cold):
    portal = Portal(cluster, database)
    portal.query(cold)
    portal.open("SELECT * FROM third_parties")
    assert portal.execute(200) == (200, True)
    assert large.request_count() == 2
    assert portal.execute(1) == (1, True)
    assert large.request_count() <= 4
    assert portal.execute(0) == (4799, False)
    assert large.request_count() == 5000 // PAGE
    portal.close()


def test_portal_that_is_left_has_cost_its_pages(cluster, database, large, cold):
    """Closing asks for nothing, and the next statement on the connection finds no page of it."""
    portal = Portal(cluster, database)
    portal.query(cold)
    portal.open("SELECT * FROM third_parties")
    assert portal.execute(200) == (200, True)
    portal.close()
    assert large.request_count() == 2


def test_fetch_and_limit(cluster, database, large, cold):
    connection = cluster.connect(database, autocommit=False)
    rows(connection, cold)
    rows(connection, "DECLARE few CURSOR FOR SELECT name FROM third_parties")
    assert len(rows(connection, "FETCH 50 FROM few")) == 50
    assert large.request_count() == 1
    assert len(rows(connection, "FETCH 51 FROM few")) == 51
    assert large.request_count() == 2
    rows(connection, "CLOSE few")
    connection.rollback()
    rows(connection, cold)
    rows(connection, "SELECT tpm_fdw_reset_cache()")
    large.reset()
    assert len(rows(connection, "SELECT * FROM third_parties LIMIT 1")) == 1
    assert large.request_count() == 1
    connection.close()


# ----- connections -----

@pytest.fixture(scope="module")
def behind():
    sandbox = tpmtest.Sandbox("--records", "2000", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--pagination", "number", "--latency-ms", "20").start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(params=["HTTP/1.1", "HTTP/2.0"])
def protocol(request):
    return request.param


@pytest.fixture
def gateway(behind, protocol):
    behind.reset(data=True)
    made = gateways.Gateway(behind, protocol == "HTTP/2.0")
    yield made
    made.stop()


@pytest.fixture
def through(db, gateway):
    """A connection to a database whose tables are read through the gateway."""
    tpmtest.setup_server(db, gateway, schema="tpm", trust="exact",
                         options={"ca_file": gateway.certificate, "pagination": "number"})
    rows(db, "SET search_path = tpm; SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.max_writes = 0")
    return db


def test_one_handshake(through, gateway, protocol):
    """The token and ten statements, on one connection."""
    for number in range(10):
        assert len(rows(through, f"SELECT name FROM third_parties WHERE id = '{number + 1}'")) == 1
    seen = gateway.requests(11)
    assert {entry.connection for entry in seen} == {seen[0].connection}
    assert {entry.protocol for entry in seen} == {protocol}


def test_handshakes_of_pages_side_by_side(through, gateway, protocol):
    """HTTP/2: the pages share the one connection. Before it, each more is a session resumed, not a handshake."""
    assert rows(through, "SELECT count(name) FROM third_parties") == [(2000,)]
    seen = gateway.requests(21)
    first_of_connection = [entry for entry in seen if entry.number == 1]
    if protocol == "HTTP/2.0":
        assert len(first_of_connection) == 1
    else:
        assert 1 < len(first_of_connection) <= 4
    assert sum(not entry.resumed for entry in first_of_connection) == 1


def test_compression(through, gateway, behind):
    """A page comes compressed where that is offered."""
    rows(through, "SELECT * FROM third_parties LIMIT 90")
    page = gateway.requests(2)[-1]
    assert page.encoding == "gzip"
    behind.settings(gzip=False)
    rows(through, "SELECT * FROM third_parties LIMIT 90")
    plain = gateway.requests(1)[-1]
    assert plain.encoding == "-"
    assert plain.bytes > 3 * page.bytes
