"""What reading by and by costs: pages of a portal, handshakes, compression, HTTP/2."""

import base64
import json
import socket
import struct
import subprocess
import urllib.request

import nginx
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

PROXY = """
	log_format counted '$connection $connection_requests $server_protocol $ssl_session_reused '
		'$request_method $sent_http_content_encoding $body_bytes_sent';
	proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
	upstream sandbox {{{{ server 127.0.0.1:{upstream}; keepalive 8; }}}}
	server {{{{
		listen 127.0.0.1:{{port}} ssl{http2};
		access_log {{home}}/access.log counted;
		ssl_certificate {{home}}/cert.pem; ssl_certificate_key {{home}}/key.pem;
		ssl_session_cache shared:tls:1m;
		location / {{{{ proxy_pass http://sandbox; }}}}
	}}}}
"""


class Gateway:
    """https in front of a sandbox, which writes down what each request came in on."""

    def __init__(self, sandbox, http2):
        home = nginx.make_home()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", home / "key.pem", "-out", home / "cert.pem"], check=True, capture_output=True)
        for file in ("key.pem", "cert.pem"):
            (home / file).chmod(0o644)
        self.log = home / "access.log"
        self.server = nginx.Nginx(PROXY.format(upstream=sandbox.port, http2=" http2" if http2 else ""), home)
        self.base_url = f"https://127.0.0.1:{self.server.port}/v1"
        self.certificate = home / "cert.pem"
        self.seen = 0

    def requests(self, expected):
        """(connection, number on it, protocol, session reused, method, encoding, bytes) of the requests since the last call."""
        def logged():
            lines = self.log.read_text().splitlines()[self.seen:]
            return lines if len(lines) >= expected else None

        lines = tpmtest.wait_until(logged, message=f"{expected} requests")
        self.seen += len(lines)
        assert len(lines) == expected, lines
        return [line.split() for line in lines]


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
    gateway = Gateway(behind, protocol == "HTTP/2.0")
    yield gateway
    gateway.server.stop()


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
    assert {entry[0] for entry in seen} == {seen[0][0]}
    assert {entry[2] for entry in seen} == {protocol}


def test_handshakes_of_pages_side_by_side(through, gateway, protocol):
    """HTTP/2: the pages share the one connection. Before it, each more is a session resumed, not a handshake."""
    assert rows(through, "SELECT count(name) FROM third_parties") == [(2000,)]
    seen = gateway.requests(21)
    first_of_connection = [entry for entry in seen if entry[1] == "1"]
    if protocol == "HTTP/2.0":
        assert len(first_of_connection) == 1
    else:
        assert 1 < len(first_of_connection) <= 4
    assert sum(entry[3] == "." for entry in first_of_connection) == 1


def token_of(sandbox):
    """A token, as another program would get it."""
    basic = base64.b64encode(b"sandbox:sandbox-secret").decode()
    request = urllib.request.Request(sandbox.url + "/oauth/token", b"grant_type=client_credentials",
                                     {"Authorization": "Basic " + basic})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["access_token"]


def test_handshakes_of_writes_that_start_together(db, behind, gateway, protocol):
    """Nothing has been sent on this connection before the first rows leave, four at a time."""
    options = {"base_url": gateway.base_url, "auth": "bearer", "ca_file": gateway.certificate, **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (token '{token_of(behind)}')")
    rows(db, "CREATE SCHEMA tpm; IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm; SET search_path = tpm")
    rows(db, "INSERT INTO third_parties (name, country) SELECT 'Together ' || i, 'DE' FROM generate_series(1, 8) i")
    connections = {entry[0] for entry in gateway.requests(8)}
    assert len(connections) == (1 if protocol == "HTTP/2.0" else 4)


def test_compression(through, gateway, behind):
    """A page comes compressed where that is offered."""
    rows(through, "SELECT * FROM third_parties LIMIT 90")
    page = gateway.requests(2)[-1]
    assert page[5] == "gzip"
    behind.settings(gzip=False)
    rows(through, "SELECT * FROM third_parties LIMIT 90")
    plain = gateway.requests(1)[-1]
    assert plain[5] == "-"
    assert int(plain[6]) > 3 * int(page[6])
