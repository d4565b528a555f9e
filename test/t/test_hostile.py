"""A server that means harm: memory and time stay bounded, the error is clear, the token stays home."""

import gzip
import json
import socket
import threading
import time
import zlib

import hostile
import names
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

QUERY = "SELECT id, name FROM things"
MB = 1 << 20

# what a statement may take beyond what the session had: body (64 MB at most, doubled as it
# grows), and as much again for the rows
MEMORY = 300 * MB * tpmtest.SLACK


@pytest.fixture(scope="module")
def servers():
    """The API, and another origin that looks who comes."""
    api, elsewhere = hostile.Hostile(), hostile.Hostile()
    yield api, elsewhere
    api.close()
    elsewhere.close()


@pytest.fixture
def api(servers):
    servers[0].reset()
    return servers[0]


@pytest.fixture
def elsewhere(servers):
    """Nobody but us has come here when the test ends."""
    servers[1].reset()
    yield servers[1]
    assert servers[1].connections == 0, [(r.method, r.target, r.headers) for r in servers[1].requests]


@pytest.fixture
def things(db, api):
    """A table with a column of each kind, on the API."""
    options = {"base_url": api.base_url, "token_url": "/oauth/token", "max_retries": 1, "request_timeout": "20s",
               "cache_ttl": 0, "total_pointer": "/meta/total", **tpmtest.GENEROUS}
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'c', client_secret 'the-secret')",
            "CREATE FOREIGN TABLE things (id text, name text, n bigint, x numeric, f float8, j jsonb, tags text[],"
            " at timestamptz, owner_id text OPTIONS (relationship 'owner'), owner_ids text[] OPTIONS (relationship"
            " 'owners'), owner_name text OPTIONS (included 'owner/name')) SERVER tpm",
            "SET client_min_messages = error"):
        rows(db, statement)
    return db


def failure(connection, statement=QUERY):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement)
    error = caught.value
    assert hostile.TOKEN not in str(error) and "the-secret" not in str(error)
    return error


def alter(db, **options):
    rows(db, "ALTER SERVER tpm OPTIONS (" + ", ".join(f"SET {name} '{value}'" for name, value in options.items()) + ")")


def anonymous(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


class Measured:
    """How long a block takes, and the most memory that the session has in it."""

    def __init__(self, db):
        self.pid = db.info.backend_pid

    def __enter__(self):
        self.before = self.most = anonymous(self.pid)
        self.running = True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        self.started = time.monotonic()
        return self

    def _watch(self):
        while self.running:
            self.most = max(self.most, anonymous(self.pid))
            time.sleep(0.002)

    def __exit__(self, *unused):
        self.seconds = time.monotonic() - self.started
        self.running = False
        self.thread.join()
        self.grown = self.most - self.before


def goes_on(db, api):
    """The session's next statement works."""
    api.reset()
    api.answers["/v1/things"] = hostile.document([hostile.resource(1, name="good")])
    assert rows(db, QUERY) == [("1", "good")]


# ----- where the token goes -----

LEADS = ["{elsewhere}/v1/things?page=2", "//{host}/v1/things", "file:///etc/passwd", "http://169.254.169.254/latest",
         "http://[::1]:{port}/v1", "ftp://{host}/v1", "http://api.example@{host}/v1/things", "http:\\\\{host}\\v1",
         "\\\\{host}/v1", "http:/{host}/v1", "HTTP://{host}/v1/things", "gopher://{host}/_GET", "{elsewhere}\t/v1",
         "http://{host}\r\nHost: evil/v1", "javascript:alert(1)", "http://", "http://:80/", "http://[/", "\u0000x",
         "{own}@{host}/v1/things", "{own}.{host}/v1/things", "{own}:80/v1/things", "http://localhost:{ownport}/v1",
         "https://127.0.0.1:{ownport}/v1"]


def led(lead, api, elsewhere):
    return lead.format(elsewhere=elsewhere.origin, host=f"127.0.0.1:{elsewhere.port}", port=elsewhere.port,
                       own=api.origin, ownport=api.port)


@pytest.mark.parametrize("lead", LEADS)
def test_links_to_elsewhere(things, api, elsewhere, lead):
    """links.next to anywhere else is an error, with our rows' origin unharmed."""
    api.answers["/v1/things"] = hostile.document([hostile.resource(1, name="a")],
                                                 links={"next": led(lead, api, elsewhere)})
    error = failure(things)
    assert error.pgcode == "HV00M"
    assert len(api.paths()) == 1
    goes_on(things, api)


@pytest.mark.parametrize("lead", [lead for lead in LEADS if not set(lead) & set("\r\t\u0000")])
@pytest.mark.parametrize("path", ["/v1/things", "/oauth/token"])
def test_redirects(things, api, elsewhere, lead, path):
    """A redirect is not followed, wherever it leads, with 301 or with 307, by the API or for a token."""
    for status in (301, 307):
        api.answers[path] = hostile.head(status, 0, Location=led(lead, api, elsewhere))
        rows(things, "SELECT tpm_fdw_reset_tokens()")
        assert failure(things).pgcode == ("HV00M" if path == "/v1/things" else "28000")
    goes_on(things, api)


def test_relative_links_stay(things, api, elsewhere):
    """What looks like another place and is none: a path is a path."""
    api.answers["/v1/things"] = hostile.document([hostile.resource(1, name="a")],
                                                 links={"next": f"/v1/x/..//{elsewhere.port}/../../http:/y?z=//e"})
    api.answers["/v1//"] = api.answers["/v1/http:/"] = hostile.document([hostile.resource(2, name="b")])
    assert rows(things, QUERY) == [("1", "a"), ("2", "b")]
    assert len(api.paths()) == 2


def test_rebase_stays(things, api, elsewhere):
    rows(things, "ALTER SERVER tpm OPTIONS (ADD links_origin 'rebase')")
    api.answers["/v1/things"] = hostile.document([hostile.resource(1, name="a")],
                                                 links={"next": f"{elsewhere.origin}/v1/more"})
    api.answers["/v1/more"] = hostile.document([hostile.resource(2, name="b")])
    assert rows(things, QUERY) == [("1", "a"), ("2", "b")]


@pytest.fixture(scope="module")
def misled():
    """A cluster whose resolver says that every name is this machine."""
    resolver = names.Resolver()

    def serve():
        while True:
            try:
                question, sender = resolver.socket.recvfrom(4096)
            except OSError:
                return
            # the question again, and an A record of 127.0.0.1 (RFC 1035, 4.1)
            end = question.index(b"\0", 12) + 5
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01"
            found = question[end - 4:end - 2] == b"\x00\x01"
            resolver.socket.sendto(question[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if found else b"\x00\x00") +
                                   bytes(4) + question[12:end] + (answer if found else b""), sender)

    threading.Thread(target=serve, daemon=True).start()
    cluster = names.Cluster(resolver).start()
    yield cluster
    cluster.destroy()
    resolver.close()


@pytest.mark.parametrize("host", ["public.example", "127.0.0.1", "[::1]", "0.0.0.0", "169.254.169.254"])
def test_no_way_inside(misled, elsewhere, host):
    """A server of an ordinary owner reaches nothing on this machine, whatever name leads here."""
    db = misled.connect()
    rows(db, "DROP OWNED BY plain; DROP ROLE plain" if rows(db, "SELECT 1 FROM pg_roles WHERE rolname = 'plain'")
         else "SELECT 1")
    for statement in ("CREATE EXTENSION IF NOT EXISTS tpm_fdw", "CREATE ROLE plain",
                      "GRANT USAGE ON FOREIGN DATA WRAPPER tpm_fdw TO plain", "GRANT CREATE ON SCHEMA public TO plain",
                      "SET ROLE plain"):
        rows(db, statement)
    create = (f"CREATE SERVER inside FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'https://{host}:"
              f"{elsewhere.port}/v1', auth 'none', max_retries '0', ip_family 'any', cache_ttl '0')")
    if host in ("127.0.0.1", "[::1]"):
        assert failure(db, create).pgcode == "42501"
    else:
        rows(db, create)
        rows(db, "CREATE FOREIGN TABLE public.inside (id text) SERVER inside")
        error = failure(db, "SELECT * FROM public.inside")
        assert error.pgcode == "HV00N" and "superuser" in error.diag.message_detail
    db.close()


# ----- bodies -----


def test_endless_body(things, api, elsewhere):
    """No more than max_response_size is taken, with or without a length."""
    for answer in (hostile.chunked(hostile.endless(b" " * 65536)),
                   [hostile.head(200, 1 << 40), *[b" " * MB] * 200],
                   hostile.chunked(hostile.endless(b'{"data":[' + b"[" * 65536))):
        api.answers["/v1/things"] = lambda request, answer=answer: answer
        with Measured(things) as measured:
            assert failure(things).pgcode == "HV00M"
        assert measured.grown < MEMORY and measured.seconds < 15 * tpmtest.SLACK
    goes_on(things, api)


def test_drip(things, api, elsewhere):
    """A byte a second: request_timeout is for the whole answer."""
    alter(things, request_timeout="2s", max_retries="0")

    def drip(request):
        yield hostile.head(200, 1000)
        while True:
            yield b" "
            time.sleep(1)

    api.answers["/v1/things"] = drip
    with Measured(things) as measured:
        assert failure(things).pgcode == "HV00N"
    assert 1.5 < measured.seconds < 5 * tpmtest.SLACK
    goes_on(things, api)


def bomb(packer, packed=200):
    """Compressed blanks of 100 MB, several times."""
    start = packer.compress(b'{"data":[') + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * (100 * MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield start
    for _ in range(packed):
        yield block


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression_bomb(things, api, elsewhere, encoding):
    """20 GB in a few MB: the limit holds for what comes out."""
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    parts = list(bomb(packer))
    api.answers["/v1/things"] = lambda request: hostile.chunked(parts, Content_Encoding=encoding)
    with Measured(things) as measured:
        assert failure(things).pgcode == "HV00M"
    assert measured.grown < MEMORY and measured.seconds < 10 * tpmtest.SLACK
    goes_on(things, api)


def test_bomb_in_a_bomb(things, api, elsewhere):
    """Compressed over and over."""
    body = b'{"data":[' + b" " * (80 * MB)
    for _ in range(3):
        body = gzip.compress(body)
    api.answers["/v1/things"] = hostile.answer(body, Content_Encoding="gzip, gzip, gzip")
    with Measured(things) as measured:
        assert failure(things).pgcode == "HV00M"
    assert measured.grown < MEMORY and measured.seconds < 10 * tpmtest.SLACK
    api.answers["/v1/things"] = hostile.answer(body, Content_Encoding=", ".join(["gzip"] * 2000))
    assert failure(things).pgcode in ("HV00M", "HV00N")
    goes_on(things, api)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "nonsense"])
def test_encoding_that_is_none(things, api, elsewhere, encoding):
    """Encodings that nobody asked for, and one that lies."""
    api.answers["/v1/things"] = hostile.answer(b'{"data":[]}', Content_Encoding=encoding)
    assert failure(things).pgcode in ("HV00M", "HV00N")
    goes_on(things, api)


# ----- headers -----

HEADERS = {
    "many": lambda: [b"HTTP/1.1 200 OK\r\n", *(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(20000))],
    "one": lambda: [b"HTTP/1.1 200 OK\r\nX: ", *[b"y" * MB] * 50],
    "status line": lambda: [b"HTTP/1.1 200 ", *[b"y" * MB] * 50],
    "1xx": lambda: hostile.endless(b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n\r\n"),
    "trailers": lambda: [hostile.head(Transfer_Encoding="chunked"), b"1\r\n{\r\n0\r\n",
                         *(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(20000))],
    "cookies": lambda: [b"HTTP/1.1 200 OK\r\n", *(b"Set-Cookie: a%d=%s\r\n" % (i, b"y" * 1000) for i in range(20000))],
    "HTTP/0.9": lambda: [b'{"data":[]}'],
    "HTTP/3.7": lambda: [b'HTTP/3.7 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "HTTP/1.2": lambda: [b'HTTP/1.2 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "HTTP/2.1": lambda: [b'HTTP/2.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "HTTP/3": lambda: [b'HTTP/3 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "HTTP/10.1": lambda: [b'HTTP/10.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "HTTP of no version": lambda: [b'HTTP/ 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "a status of four digits": lambda: [b'HTTP/1.1 2000 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}'],
    "1xx of another version": lambda: [b'HTTP/3.7 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n'
                                       b'{"data":[]}'],
    "no status": lambda: [b"HTTP/1.1 \r\n\r\n{}"],
    "two lengths": lambda: [b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Length: 99\r\n\r\n{"data":[]}'],
    "negative length": lambda: [b'HTTP/1.1 200 OK\r\nContent-Length: -11\r\n\r\n{"data":[]}'],
    "chunk of no size": lambda: [hostile.head(Transfer_Encoding="chunked"), b"ffffffffffffffffffff\r\n{"],
    "chunk extension": lambda: [hostile.head(Transfer_Encoding="chunked"), b"1;x=", *[b"y" * MB] * 50],
    "NUL in a header": lambda: [b"HTTP/1.1 200 OK\r\nETag: \"a\0b\"\r\nContent-Length: 11\r\n\r\n{\"data\":{}}"],
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers(things, api, elsewhere, kind):
    """Headers of megabytes, and what is no HTTP."""
    alter(things, request_timeout="3s", max_retries="0")
    api.answers["/v1/things"] = lambda request: HEADERS[kind]()
    with Measured(things) as measured:
        assert failure(things).pgcode in ("HV00M", "HV00N")
    assert measured.grown < 20 * MB * tpmtest.SLACK and measured.seconds < 8 * tpmtest.SLACK
    goes_on(things, api)


# ----- documents -----


def padded(inside, around=b'{"data":[{"type":"things","id":"1","attributes":{"name":"a","j":%s}}]}'):
    return around.replace(b"%s", inside)


def many(text, count=1000000):
    return ",".join(text % i for i in range(count)).encode()


ROW = b'{"data":[{"type":"things","id":"1","attributes":{%s}}]}'
DEPTH = 1000000

# what a document holds, and what is right: rows, or the SQLSTATEs that are clear
DOCUMENTS = {
    "deep arrays": (padded(b"[" * DEPTH + b"]" * DEPTH), {"HV00M", "54001"}),
    "deep objects": (padded(b'{"a":' * DEPTH + b"1" + b"}" * DEPTH), {"HV00M", "54001"}),
    "deep at once": (b"[" * DEPTH, {"HV00M", "54001"}),
    "deep and skipped": (b'{"x":' + b"[" * DEPTH + b"]" * DEPTH + b',"data":[]}', {"HV00M", "54001"}),
    "deep and allowed": (padded(b"[" * 400 + b"]" * 400), 1),
    "many members": (padded(b"{" + many('"%d":1') + b"}"), 1),
    "many attributes": (ROW.replace(b"%s", b'"name":"a",' + many('"m%d":1')), 1),
    "many members outside": (b'{"meta":{' + many('"%d":1') + b'},"data":[]}', 0),
    "many members of nothing": (b'{"meta":{' + many('"%.0s":""') + b'},"data":[]}', 0),
    "many resources": (b'{"data":[' + many('{"id":"%d"}') + b"]}", 1000000),
    "many empty resources": (b'{"data":[' + many('{%.0s}') + b"]}", {"HV00M"}),
    "many same resources": (b'{"data":[' + many('{"id":"1"%.0s}') + b"]}", 1),
    "many numbers": (b'{"data":[],"x":[' + many("%.0f", 3000000) + b"]}", 0),
    "many ids": (b'{"data":[{"type":"things","id":"1","relationships":{"owners":{"data":['
                 + many('{"type":"o","id":"%d"}', 300000) + b"]}}}]}", 1),
    "many included": (b'{"data":[' + many('{"id":"%d","relationships":{"owner":{"data":{"type":"o","id":"x"}}}}', 30000)
                      + b'],"included":[' + many('{"type":"o","id":"%d","attributes":{"name":"b"}}', 30000) + b"]}",
                      30000),
    "long string": (ROW.replace(b"%s", b'"name":"' + b"x" * (30 * MB) + b'"'), 1),
    "long name": (ROW.replace(b"%s", b'"' + b"x" * (30 * MB) + b'":1'), 1),
    "long id": (b'{"data":[{"type":"things","id":"' + b"x" * (10 * MB) + b'"}]}', 1),
    "a NUL": (b'{"data":[]}\0', {"22021", "HV00M"}),
    "invalid UTF-8": (ROW.replace(b"%s", b'"name":"\xff\xfe"'), {"22021"}),
    "overlong UTF-8": (ROW.replace(b"%s", b'"name":"\xc0\xaf"'), {"22021"}),
    "half a character": (ROW.replace(b"%s", b'"name":"\xe2\x82"'), {"22021"}),
    "a surrogate in UTF-8": (ROW.replace(b"%s", b'"name":"\xed\xa0\x80"'), {"22021"}),
    "an escaped NUL": (ROW.replace(b"%s", b'"name":"a\\u0000b"'), {"HV00M"}),
    "an escaped NUL nobody reads": (ROW.replace(b"%s", b'"other":"a\\u0000b","name":"a"'), {"HV00M"}),
    "a high surrogate": (ROW.replace(b"%s", b'"name":"\\ud800x"'), {"HV00M"}),
    "a low surrogate": (ROW.replace(b"%s", b'"name":"\\udc00"'), {"HV00M"}),
    "two high surrogates": (ROW.replace(b"%s", b'"name":"\\ud800\\ud800"'), {"HV00M"}),
    "half an escape": (ROW.replace(b"%s", b'"name":"\\u12"'), {"HV00M"}),
    "an escape at the end": (b'{"data":[],"x":"\\', {"HV00M"}),
    "a byte order mark": (b'\xef\xbb\xbf{"data":[]}', {0}),
    "two byte order marks": (b'\xef\xbb\xbf\xef\xbb\xbf{"data":[]}', {"HV00M"}),
    "UTF-16": ('{"data":[]}'.encode("utf-16"), {"22021", "HV00M"}),
    "a huge integer": (ROW.replace(b"%s", b'"n":123456789012345678901234567890'), {"22003"}),
    "a huge exponent": (ROW.replace(b"%s", b'"n":1e100000000'), {"22003"}),
    "an exponent of digits": (ROW.replace(b"%s", b'"n":1e' + b"9" * 100000), {"22003", "22P02"}),
    "a huge numeric": (ROW.replace(b"%s", b'"x":1e200000'), {"22003"}),
    "a numeric of digits": (ROW.replace(b"%s", b'"x":' + b"9" * 200000), {"22003"}),
    "a tiny numeric": (ROW.replace(b"%s", b'"x":1e-100000'), {"22003"}),
    "a huge float": (ROW.replace(b"%s", b'"f":1e400'), {"22003"}),
    "a huge number in jsonb": (ROW.replace(b"%s", b'"j":{"a":1e200000}'), {"22003"}),
    "NaN": (ROW.replace(b"%s", b'"f":NaN'), {"HV00M"}),
    "the end of time": (ROW.replace(b"%s", b'"at":"infinity"'), {"22007", 1}),
    "a huge total": (b'{"data":[],"meta":{"total":99999999999999999999999}}', 0),
    "a huge total and a page": (b'{"data":[{"id":"1"}],"meta":{"total":9223372036854775807},"links":{"next":"/v1/x"}}',
                                {1, "53400"}),
    "a negative total": (b'{"data":[{"id":"1"}],"meta":{"total":-1}}', 1),
    "data twice": (b'{"data":[{"type":"things","id":"1"}],"data":[{"type":"things","id":"2"}]}', {"HV00M"}),
    "id twice": (b'{"data":[{"type":"things","id":"1","id":"2"}]}', 1),
    "a name twice": (ROW.replace(b"%s", b'"name":"a","name":"b"'), 1),
    "attributes twice": (b'{"data":[{"type":"things","id":"1","attributes":{"name":"a"},"attributes":{"n":1}}]}', 1),
    "next twice": (b'{"data":[{"id":"1"}],"links":{"next":"/v1/things?x","next":null}}', 1),
    "an array in data": (b'{"data":[[{"type":"things","id":"1"}]]}', {"HV00M"}),
    "a number in data": (b'{"data":[1]}', {"HV00M"}),
    "an object as an id": (b'{"data":[{"type":"things","id":{"a":1}}]}', {1, "HV00M"}),
    "nothing": (b"", {"HV00M"}),
    "blanks": (b" " * MB, {"HV00M"}),
    "two documents": (b'{"data":[]}{"data":[]}', {"HV00M"}),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents(things, api, elsewhere, kind):
    """Rows or a clear error, in bounded memory and time, whether few columns are read or all."""
    body, right = DOCUMENTS[kind]
    right = right if isinstance(right, set) else {right}
    api.answers["/v1/things"] = hostile.answer(body)
    for columns in ("id", "*"):
        with Measured(things) as measured:
            try:
                came = rows(things, f"SELECT count(t) FROM (SELECT {columns} FROM things OFFSET 0) AS t")[0][0]
            except psycopg2.Error as error:
                came = error.pgcode
                assert hostile.TOKEN not in str(error) and len(str(error)) < 4000
        if columns == "*":
            assert came in right, (came, measured.seconds)
        else:
            assert came in right | {1, 0}, (came, measured.seconds)
        assert measured.grown < MEMORY + 3 * len(body), measured.grown // MB
        assert measured.seconds < 10 * tpmtest.SLACK, measured.seconds
    goes_on(things, api)


def test_last_member_counts(things, api, elsewhere):
    """Duplicate names (RFC 8259, section 4): the last value, as jsonb has it."""
    api.answers["/v1/things"] = hostile.answer(ROW.replace(b"%s", b'"name":"a","n":1,"name":"b","n":null'))
    assert rows(things, "SELECT name, n FROM things") == [("b", None)]


REPLACED = {
    b"a\\u0000b": "a\ufffdb", b"\\ud800x": "\ufffdx", b"\\udc00": "\ufffd", b"\\ud800\\ud800": "\ufffd\ufffd",
    b"\\ud83d\\ude00": "\U0001f600", b"\\\\u0000": "\\u0000", b"\xff": "\ufffd", b"a\0b": "a\ufffdb",
    b"\xed\xa0\x80": "\ufffd\ufffd\ufffd", b"\xe2\x82": "\ufffd\ufffd", b"\\ud800\\u0041": "\ufffdA",
}


@pytest.mark.parametrize("text", REPLACED)
def test_replaced_characters(things, api, elsewhere, text):
    """invalid_characters 'replace': U+FFFD, in text as in jsonb, and nothing else changes."""
    rows(things, "ALTER SERVER tpm OPTIONS (ADD invalid_characters 'replace')")
    api.answers["/v1/things"] = hostile.answer(ROW.replace(b"%s", b'"name":"%s","j":["%s"]' % (text, text)))
    assert rows(things, "SELECT name, j->>0 FROM things") == [(REPLACED[text],) * 2]


# ----- errors that are documents, tokens -----

ERRORS = {
    "deep": b'{"errors":' + b"[" * DEPTH,
    "many": b'{"errors":[' + many('{"title":"%d"}', 10000) + b"]}",
    "huge number": b'{"errors":[{"title":"no","status":1e200000}]}',
    "invalid": b'{"errors":[{"title":"\xff"}]}',
    "NUL": b'{"errors":[{"title":"a\\u0000b","detail":"\\ud800"}]}',
    "large": b'{"errors":[{"title":"' + b"x" * (20 * MB) + b'"}]}',
    "words": b"x" * (20 * MB),
    "string": b'{"errors":"no"}',
    "objects": b'{"errors":{"title":"no"}}',
    "pointer": b'{"errors":[{"title":"no","source":{"pointer":"/data/attributes/' + b"~1" * 10000 + b'"}}]}',
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors(things, api, elsewhere, kind):
    """An error that means harm is the error of its status."""
    api.answers["/v1/things"] = hostile.answer(ERRORS[kind], 422)
    with Measured(things) as measured:
        error = failure(things)
        assert failure(things, "INSERT INTO things (name) VALUES ('a')").pgcode == "22023"
    assert error.pgcode == "22023"
    assert len(str(error)) < 300000
    assert measured.grown < MEMORY and measured.seconds < 5 * tpmtest.SLACK
    goes_on(things, api)


TOKENS = {
    "a megabyte": (hostile.token("x" * MB), "HV00M"),
    "endless": (lambda request: hostile.chunked(hostile.endless(b" " * 65536)), "HV00M"),
    "a bomb": (lambda request: hostile.chunked(bomb(zlib.compressobj(9, wbits=31)), Content_Encoding="gzip"), "HV00M"),
    "too long": (hostile.token("x" * 20000), "28000"),
    "with a line": (hostile.token("abc\r\nX-Evil: 1"), "28000"),
    "with a blank": (hostile.token("abc def"), "28000"),
    "with a NUL": (hostile.token("abc\0def"), "28000"),
    "of letters": (hostile.token("tok\u00e9n"), "28000"),
    "empty": (hostile.token(""), "28000"),
    "with a number": (hostile.answer(b'{"access_token":"x","expires_in":1e200000}'), "28000"),
    "deep": (hostile.answer(b'{"access_token":' + b"[" * 30000), "28000"),
    "an array": (hostile.answer(b'[{"access_token":"x"}]'), "28000"),
    "another kind": (hostile.token(token_type="mac"), "28000"),
    "nothing": (hostile.answer(b""), "28000"),
    "an error of a megabyte": (hostile.answer(b'{"error":"' + b"x" * 60000 + b'"}', 400), "28000"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens(things, api, elsewhere, kind):
    """A token that is none: a clear error, and nothing of it arrives anywhere."""
    api.answers["/oauth/token"], sqlstate = TOKENS[kind]
    alter(things, max_retries="0")
    rows(things, "SELECT tpm_fdw_reset_tokens()")
    with Measured(things) as measured:
        error = failure(things)
    assert error.pgcode == sqlstate, error
    assert "no access token" in error.diag.message_primary
    assert len(str(error)) < 4000
    assert api.paths() == []
    assert measured.grown < 20 * MB * tpmtest.SLACK and measured.seconds < 5 * tpmtest.SLACK
    rows(things, "SELECT tpm_fdw_reset_tokens()")
    goes_on(things, api)


LIFETIMES = ["1e308", "-1", "0", '"NaN"', '"x"', "null", '"3600"', "[1]", "true", "9" * 300]


@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_lifetimes(things, api, elsewhere, lifetime):
    """expires_in that is no number of seconds: the token serves once at least."""
    api.answers["/oauth/token"] = hostile.answer(
        f'{{"access_token":"{hostile.TOKEN}","token_type":"bearer","expires_in":{lifetime}}}')
    api.answers["/v1/things"] = hostile.document([hostile.resource(1, name="a")])
    rows(things, "SELECT tpm_fdw_reset_tokens()")
    with Measured(things) as measured:
        assert rows(things, QUERY) == [("1", "a")]
    assert measured.seconds < 5 * tpmtest.SLACK
    assert len(api.requests) <= 4


PAUSES = ["999999999999999999999", "-1", "1e999", "nan", "0x7fffffff", "", "x" * 10000, "Sun, 99 Foo 9999 99:99:99 GMT",
          "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "5; 6", "١"]


@pytest.mark.parametrize("pause", PAUSES)
def test_retry_after(things, api, elsewhere, pause):
    """A Retry-After of any kind holds nobody longer than max_wait, and the DBA can clear it."""
    alter(things, max_retries="0")
    rows(things, "SET tpm_fdw.max_wait = '1s'")
    api.answers["/v1/things"] = [hostile.head(429, 0).replace(b"Content-Type", f"Retry-After: {pause}\r\nContent-Type"
                                                              .encode(), 1)]
    with Measured(things) as measured:
        assert failure(things).pgcode == "53400"
    assert measured.seconds < 5 * tpmtest.SLACK
    rows(things, "SELECT tpm_fdw_reset_rate_limits()")
    goes_on(things, api)


def test_cancel_of_a_large_resource(things, api, elsewhere, cluster):
    """One resource of 60 MB of tiny values: a cancel is heard while it is read."""
    body = ROW.replace(b"%s", b'"name":"a","other":[' + b"1," * (20 * MB) + b"1]")
    api.answers["/v1/things"] = hostile.answer(body)
    rows(things, QUERY)
    with Measured(things) as whole:
        rows(things, QUERY)
    rows(things, f"SET statement_timeout = {int(whole.seconds * 700)}")
    with Measured(things) as part:
        assert failure(things).pgcode == "57014"
    assert part.seconds < whole.seconds * 0.7 + 0.2 * tpmtest.SLACK


def test_errors_in_a_write(things, api, elsewhere):
    """What a POST or a PUT is answered with is as hostile; what was written is still told."""
    for body, wanted in (
            (b"[" * DEPTH, "08007"), (b"\xff" * 100, "08007"), (b"{}", "08007"), (b'{"data":[]}', "08007"),
            (b'{"data":{"type":"things","id":"1","attributes":{"n":1e400000}}}', "22003"),
            (b'{"data":{"type":"things","id":"' + b"9" * 100000 + b'"}}', [("9" * 100000,)])):
        api.answers["/v1/things"] = hostile.answer(body, 201)
        with Measured(things) as measured:
            try:
                came = rows(things, "INSERT INTO things (name) VALUES ('a') RETURNING id")
            except psycopg2.Error as error:
                came = error.pgcode
        assert came == wanted, (body[:80], came)
        assert measured.grown < MEMORY and measured.seconds < 5 * tpmtest.SLACK
        # a 201 that can be read to its end as JSON was a deed, whatever a column makes of it
        outcome = "unknown" if wanted == "08007" else "sent"
        assert rows(things, "SELECT outcome FROM tpm_fdw_writes ORDER BY number DESC LIMIT 1") == [(outcome,)]
    goes_on(things, api)


def test_socket_is_ours():
    """The hostile server listens on loopback only."""
    server = hostile.Hostile()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /v1/things HTTP/1.1\r\n\r\n")
        assert json.loads(client.recv(1000).partition(b"\r\n\r\n")[2]) == {"data": []}
    server.close()
