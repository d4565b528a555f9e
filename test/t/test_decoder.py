"""Bodies as they may be spelled: what a column reads is what PostgreSQL's own jsonb reads at that place."""

import http.server
import threading

import processes
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

COLUMNS = [("id", "text", "r->>'id'"), ("name", "text", "a->>'name'"), ("number", "numeric", "(a->>'number')::numeric"),
           ("whole", "bigint", "(a->>'whole')::bigint"), ("flag", "boolean", "(a->>'flag')::boolean"),
           ("at", "timestamptz", "(a->>'at')::timestamptz"), ("deep", "text", "a->'object'->>'name'"),
           ("object", "jsonb", "a->'object'"), ("all_of_it", "jsonb", "a"), ("odd", "text", "a->>'o\"d\\d'")]

RESOURCES = {
    "plain": r'{"type":"odd","id":"1","attributes":{"name":"plain","number":1.5,"whole":7,"flag":true}}',
    "white space": '{ "type" : "odd" ,\n\t"id"\n:\n"2" , "attributes" :\r\n{ "name" \t:\t "spaced" , "whole" : 12\n,'
                   ' "flag"\n:false } }',
    "escaped values": r'{"type":"odd","id":"3","attributes":{"name":"a \"quoted\" \\ back\/slash\\","object":'
                      r'{"name":"\\","more":"\""}}}',
    "escaped pairs": r'{"type":"odd","id":"4","attributes":{"name":"gr\u00fcn \ud83d\ude00 \t tab","whole":-1}}',
    "escaped names": r'{"type":"odd","\u0069d":"5","attributes":{"n\u0061me":"by another spelling","wh\u006fle":5}}',
    "names that end alike": r'{"type":"odd","id":"6","attributes":{"full_name":"no","x\"name":"no","x\\name":"no",'
                            r'"\\":"no","\"":"no","":"no","name":"yes"}}',
    "a name in need of escapes": r'{"type":"odd","id":"7","attributes":{"o\"d\\d":"found","od":"no","name":"n"}}',
    "the same name twice": r'{"type":"odd","id":"8","attributes":{"name":"first","name":"second"}}',
    "names where others are": r'{"type":"odd","id":"9","attributes":{"object":{"name":"deep","object":{"name":"deeper"}},'
                              r'"other":{"name":"elsewhere"},"list":["name",{"name":"in a list"}],"name":"here"}}',
    "no values": r'{"type":"odd","id":"10","attributes":{"name":"","number":null,"whole":null,"object":{}}}',
    "type after attributes": r'{"attributes":{"name":"late"},"id":"11","type":"odd"}',
    "multibyte": '{"type":"odd","id":"12","attributes":{"name":"日本語 ä","object":{"ключ":"значение"}}}',
    "times": r'{"type":"odd","id":"13","attributes":{"at":"2026-03-29T01:30:00.123456+02:00","name":"t"}}',
    "a time of another kind": r'{"type":"odd","id":"14","attributes":{"at":"2026-03-29 01:30\u003a00+00","name":"t"}}',
}
NUMBERS = ["0", "-0", "0.0", "-0.0", "1", "-71.50", "100", "1.10", "0.00", "0.0001", "12345678.90", "1e3", "1.5E-7",
           "123456789012345", "1234567890123456", "12345678901234567", "0.123456789012345", "0.12345678901234567",
           "99999999999999999999999999.999", "10000", "9999.9999", "-0.5", "100000000.00000001"]


def document(resources):
    return ('{"data":[' + ",".join(resources) + '],"links":{"next":null}}').encode()


class Served(http.server.BaseHTTPRequestHandler):
    """Answers every path with the document of that name."""

    protocol_version = "HTTP/1.1"
    documents = {}

    def do_GET(self):
        body = self.documents[self.path.split("?")[0].lstrip("/")]
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.api+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(db, api):
    """The rows of a document as the foreign table reads them: ask(resources, columns)."""
    options = {"base_url": api, "auth": "none", "missing_attribute": "null", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER odd FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER odd")
    rows(db, """CREATE FOREIGN TABLE odd (id text, name text, number numeric, whole bigint, flag boolean,
                    at timestamptz, deep text OPTIONS (attribute 'object/name'), object jsonb,
                    all_of_it jsonb OPTIONS (pointer '/attributes'), odd text OPTIONS (attribute 'o"d\\d'))
                SERVER odd""")

    def asked(resources, columns="*"):
        Served.documents["odd"] = document(resources)
        rows(db, "SELECT tpm_fdw_reset_cache()")
        return rows(db, f"SELECT {columns} FROM odd")
    return asked


def reference(db, resources):
    taken = ", ".join(expression for _, _, expression in COLUMNS)
    return rows(db, f"SELECT {taken} FROM jsonb_array_elements(%s::jsonb -> 'data') AS r, LATERAL"
                    " (SELECT r -> 'attributes' AS a) AS attributes", (document(resources).decode(),))


@pytest.mark.parametrize("name", RESOURCES)
def test_spelling(ask, db, name):
    """Alone, and among others, in which members come in another order."""
    assert ask([RESOURCES[name]]) == reference(db, [RESOURCES[name]])


@pytest.mark.parametrize("ttl", ["0", "-1"])
def test_all_together(ask, db, ttl):
    rows(db, f"SET tpm_fdw.cache_ttl = {ttl}")
    everything = list(RESOURCES.values()) + list(reversed([resource.replace('"id":"', '"id":"9')
                                                           for resource in RESOURCES.values()]))
    expected = {row[0]: row for row in reference(db, everything)}
    assert {row[0]: row for row in ask(everything)} == expected


def test_numbers(ask, db):
    """Digits behind the point included."""
    resources = [f'{{"type":"odd","id":"{n}","attributes":{{"number":{spelling}}}}}' for n, spelling in enumerate(NUMBERS)]
    quoted = [f'{{"type":"odd","id":"{n}","attributes":{{"number":"{spelling}"}}}}' for n, spelling in enumerate(NUMBERS)]
    expected = rows(db, "SELECT array_agg(n::numeric::text ORDER BY at) FROM unnest(%s) WITH ORDINALITY u(n, at)",
                    (NUMBERS,))[0][0]
    for spelled in (resources, quoted):
        assert [row[0] for row in ask(spelled, "number::text")] == expected


@pytest.mark.parametrize("escape", [r"\u0000", r"\ud800", r"\ude00 alone"])
def test_what_text_cannot_hold(ask, db, escape):
    """An error that says what, whether or not a column reads it: what is read must not decide what is right."""
    resource = f'{{"type":"odd","id":"1","attributes":{{"name":"{escape}","whole":1}}}}'
    for ttl, column in ((-1, "name"), (0, "name"), (0, "whole")):
        rows(db, f"SET tpm_fdw.cache_ttl = {ttl}")
        with pytest.raises(psycopg2.Error) as error:
            ask([resource], column)
        assert error.value.pgcode == "HV00M"
        assert error.value.diag.message_detail
    rows(db, "ALTER SERVER odd OPTIONS (ADD invalid_characters 'replace')")
    assert ask([resource], "whole") == [(1,)]
    assert "\ufffd" in ask([resource], "name")[0][0]


@pytest.mark.parametrize("broken", [
    '{"type":"odd","id":"1","attributes":{"name":"\\q"}}', '{"type":"odd","id":"1","attributes":{"other":"\\u00g0"}}',
    '{"type":"odd","id":"1","attributes":{"name":"a\nb"}}', '{"type":"odd","id":"1","attributes":{"whole":01}}',
    '{"type":"odd","id":"1","attributes":{"whole":1', '{"type":"odd","id":"1","attributes":{"name":"open}}',
    '{"type":"odd","id":"1",attributes:{}}', '{"type":"odd","id":"1","attributes":{"name" "x"}}'])
def test_broken(ask, broken):
    with pytest.raises(psycopg2.Error) as error:
        ask([broken])
    assert error.value.pgcode == "HV00M"


@pytest.mark.parametrize("member", [r'"\u0061":1', r'"a":1', r'"a":"\u0061"'], ids=["names", "numbers", "values"])
def test_memory_of_members_that_nobody_reads(ask, db, member):
    """A hundred bytes for each member of a body would be a gigabyte for a body within its limit."""
    rows(db, "SET tpm_fdw.cache_ttl = 0")
    assert len(ask([RESOURCES["plain"]])) == 1
    body = document([RESOURCES["plain"]])[:-1] + ("," + ",".join([member] * 1000000) + "}").encode()
    Served.documents["odd"] = body
    with processes.watched(db.get_backend_pid()) as seen:
        assert len(rows(db, "SELECT name FROM odd")) == 1
    assert max(seen) - seen[0] < 3 * len(body) * tpmtest.SLACK


def test_value_in_the_error(ask):
    """The value that does not fit, and no more of the body than that."""
    with pytest.raises(psycopg2.Error) as error:
        ask(['{"type":"odd","id":"77","attributes":{"whole":"seven","name":"beyond"}}'], "whole")
    assert error.value.pgcode == "22P02"
    assert 'value "seven" of column "whole" of resource "77"' in error.value.diag.context
    assert "beyond" not in error.value.diag.context
