"""What a body is at first sight: told of anything that a network can bring, and never by an error."""

import time

import psycopg2
import pytest
import tpmtest
import unit

ONE = "json object document data 1"
CASES = {
    # one resource
    r'{"data":{"type":"t","id":"1"}}': f"{ONE} t 1",
    r'{"data":{"type":"t","id":7}}': f"{ONE} t 7",
    r'{"data":{"type":"t","id":null}}': f"{ONE} t -",
    r'{"data":{"type":7,"id":"1"}}': f"{ONE} - 1",
    r'{"data":{}}': f"{ONE} - -",
    '\ufeff { "data" : { "id" : "1" , "type" \n:\t"t" } , "jsonapi" : {} } ': f"{ONE} t 1",
    r'{"data":{"attributes":{"id":"no","type":"no"},"id":"1","type":"t","relationships":{"a":{"data":{"id":"x"}}}}}':
        f"{ONE} t 1",
    r'{"data":{"type":"t","id":"1"},"included":[{"type":"u","id":"2"}],"meta":{"data":[1]}}':
        "json object document data meta 1 t 1",
    # spelt otherwise
    r'{"d\u0061ta":{"t\u0079pe":"gr\u00fcn \ud83d\ude00","i\u0064":"a\"\\\/b"}}': f'{ONE} grün 😀 a"\\/b',
    r'{"\\":{"data":1},"a\\":1,"x\"data":2,"data\\":3,"data":{"\"id":"no","id\"":"no","id":"1","type":"t"}}':
        f"{ONE} t 1",
    r'{"dat":1,"dataa":2,"Data":3,"":4}': "json object 0 - -",
    # lists
    r'{"data":[]}': "json object document data list 0 - -",
    r'{"data":[{"type":"t","id":"1"}]}': "json object document data list 1 t 1",
    r'{"data":[{"type":"t","id":"1"},{"type":"t","id":"2"}]}': "json object document data list 2 - -",
    # none
    r'{"data":null}': "json object document data 0 - -",
    r'{"meta":{}}': "json object meta 0 - -",
    r'{}': "json object 0 - -",
    # errors, and what says that there are none
    r'{"errors":[{"title":"no"}]}': "json object errors 0 - -",
    r'{"errors":["no"]}': "json object errors 0 - -",
    r'{"errors":[[]]}': "json object errors 0 - -",
    r'{"errors":{"title":"no"}}': "json object errors 0 - -",
    r'{"errors":"no"}': "json object errors 0 - -",
    r'{"errors":1}': "json object errors 0 - -",
    r'{"errors":true,"data":{"type":"t","id":"1"}}': "json object document data errors 1 t 1",
    **{'{"data":null,"errors":%s}' % empty: "json object document data 0 - -"
       for empty in ("null", "false", '""', "[]", "{}")},
    r'{"data":{"errors":[1],"type":"t","id":"1"}}': f"{ONE} t 1",
    # no documents
    r'{"data":null,"data":{"type":"t","id":"1"}}': "json object data 1 - -",
    r'{"data":1}': "json object data 0 - -",
    r'{"data":"x"}': "json object data 0 - -",
    r'{"data":[{"type":"t","id":"1"},[]]}': "json object data list 1 - -",
    r'{"data":[1,{"type":"t","id":"1"}]}': "json object data list 1 - -",
    r'{"data":[null]}': "json object data list 0 - -",
    r'[{"data":{"type":"t","id":"1"}}]': "json 0 - -",
    r'"data"': "json 0 - -",
    r'17': "json 0 - -",
    # no JSON
    "": "no-text 0 - -",
    "<html><body>Sign in</body></html>": "0 - -",
    r'{"data":{"type":"t","id":"1"}': "0 - -",
    r'{"data":{"type":"t","id":"1"}} x': "0 - -",
    r'{"data":{"type":"t","id":"\x"}}': "0 - -",
    # what no text can hold
    r'{"data":{"type":"t","id":"a\u0000b"}}': "json object document no-text data 1 t -",
    r'{"data":{"type":"\ud800","id":"1"}}': "json object document no-text data 1 - 1",
    r'{"data":{"type":"t","id":"1","attributes":{"x\u0000":1}}}': "json object document no-text data 1 t 1",
    b'{"data":{"type":"t","id":"1","attributes":{"x":"\xff\x00"}}}': "json object document no-text data 1 t 1",
    # nested as deeply as is allowed, and more
    '{"data":{"id":"1","a":' + "[" * 510 + "]" * 510 + "}}": f"{ONE} - 1",
    '{"data":{"id":"1","a":' + "[" * 511 + "]" * 511 + "}}": "0 - -",
    '{"data":{"id":"1","a":"' + "[{" * 2000 + '"}}': f"{ONE} - 1",
    "[" * 1000000: "0 - -",
}


# what jsonb is asked to read, or not; each in UTF-8
FITS = ["{}", "[]", "1", '"x"', "null", "true", " {} ", "", " ", "x", "{", '{"a":1}x', '{"a":1,}', "[1,]", "'x'", "01",
        "1.", "-", "1e", "nul", "\\", '"\\', '"\t"', '"ü"',
        r'"\u0000"', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\u00fc"', r'"\u20ac"', r'"\u0041\n\""',
        r'"\x"', r'{"\u0000":1}', r'{"\u20ac":1}', r'{"a":["\\u0000"]}',
        "1e8000", "1e400000", "1e-8000", "1e-20000", "1e99999999999999999999", "7" * 8000, "7" * 140000,
        "0." + "7" * 8000,
        "[" * 512 + "]" * 512, '"' + "[" * 2000 + '"']


@pytest.fixture(scope="module")
def module(cluster):
    return unit.build(cluster.base, "test/t/shape.c", ["document/document_shape.c", "base/text.c"])


@pytest.fixture(scope="module")
def shape(module):
    """A function of two: a body, and a connection."""
    def function(body, db, name="shape", returns="text"):
        with db.cursor() as cursor:
            cursor.execute(f"CREATE OR REPLACE FUNCTION {name}(bytea) RETURNS {returns}"
                           f" LANGUAGE c STRICT AS '{module}'")
            cursor.execute(f"SELECT {name}(%s)", (psycopg2.Binary(body if isinstance(body, bytes) else body.encode()),))
            return cursor.fetchone()[0]

    return function


@pytest.fixture(scope="module", params=["UTF8", "LATIN1", "SQL_ASCII"])
def encoded(cluster, request):
    """A connection to a database of each encoding, which talks UTF-8."""
    cluster.sql(f"CREATE DATABASE shape_{request.param} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
    connection = cluster.connect(f"shape_{request.param}".lower())
    connection.autocommit = True
    if request.param != "SQL_ASCII":
        connection.set_client_encoding("UTF8")
    yield connection
    connection.close()
    cluster.sql(f"DROP DATABASE shape_{request.param}")


@pytest.mark.parametrize("body", CASES, ids=lambda body: repr(body)[:60])
def test_shape(db, shape, body):
    assert shape(body, db) == CASES[body]


def test_ids_that_the_database_cannot_hold(encoded, shape):
    """What its encoding lacks is no id; what it has, spelt or not, is one."""
    encoding = tpmtest.rows(encoded, "SHOW server_encoding")[0][0]
    shape("{}", encoded)
    for body, latin1, others in ((r'{"data":{"type":"grün","id":"\u00fc?"}}', "grün ü?", "grün ü?"),
                                 ('{"data":{"type":"t","id":"日本"}}', "t -", "t 日本"),
                                 (r'{"data":{"type":"\u20ac","id":"1"}}', "- 1", "€ 1")):
        (found,), = tpmtest.rows(encoded, "SELECT convert_to(shape(%s), getdatabaseencoding())",
                                 (psycopg2.Binary(body.encode()),))
        expected = latin1.encode("latin1") if encoding == "LATIN1" else others.encode()
        assert bytes(found) == ONE.encode() + b" " + expected


def test_what_jsonb_can_hold(encoded, shape):
    """jsonb takes what fits, and of the rest only numbers that nobody looks at; no question ends in an error."""
    for text in FITS:
        fits = shape(text, encoded, "fits_jsonb", "boolean")
        try:
            tpmtest.rows(encoded, "SELECT convert_from(%s, getdatabaseencoding())::jsonb IS NULL",
                         (psycopg2.Binary(text.encode()),))
            taken = True
        except (psycopg2.DataError, psycopg2.NotSupportedError):
            taken = False
        assert taken == fits or (taken and len(text) > 1000), text[:40]


def test_small_objects(encoded, shape):
    """An answer's words are read in every encoding, whatever is written in them, and never end in an error."""
    euro = b"?" if tpmtest.rows(encoded, "SHOW server_encoding") == [("LATIN1",)] else "€".encode()
    shape("{}", encoded, "json_object_of", "jsonb")
    for text, words in ((r'{"a":"\u20ac"}', euro), ('{"a":"€"}', euro), (r'{"a":"\n"}', b"\n")):
        (found,), = tpmtest.rows(encoded, "SELECT convert_to(json_object_of(%s)->>'a', getdatabaseencoding())",
                                 (psycopg2.Binary(text.encode()),))
        assert bytes(found) == words
    for text in (r'{"a":"\u0000"}', b'{"a":"\xff"}', '{"a":1e400000}', "[1]", "x"):
        assert shape(text, encoded, "json_object_of", "jsonb") is None


def test_time_is_linear(db, shape):
    """Four times the bytes take no more than some four times as long, whatever they are."""
    def took(body):
        best = 60.0
        for _ in range(3):
            began = time.monotonic()
            shape(body, db)
            best = min(best, time.monotonic() - began)
        return best

    for unit_of in ('{"type":"t","id":"1"},', '{"' + r'\"' * 1000 + '":1},', '"' + r'\u0061' * 100 + '",', "[],"):
        times = 1000000 // len(unit_of)
        small, large = (took('{"data":[' + unit_of * (times * n) + "{}]}") for n in (1, 4))
        assert large < small * 12 + 0.1, unit_of[:20]
