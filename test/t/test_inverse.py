"""What is sent and written is the inverse of what is read.

The API here holds more than it prints, as many do: it compares and sorts moments by microseconds and prints
seconds, seven digits or offsets, and it compares texts by their bytes. Whatever a condition is, it must find the rows
that it finds when all of them are read first.
"""

import datetime
import itertools
import json
import random
import urllib.parse
import uuid

import dialect
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

SEED = random.randrange(1 << 32)
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe"]
# around what clocks do in these zones, and the ends of a year
CHANGES = ["2026-03-29T01:00:00", "2026-10-25T01:00:00", "2026-03-08T05:30:00", "2026-11-01T04:30:00",
           "2026-04-04T15:00:00", "2026-10-03T15:30:00", "2025-12-31T23:59:59"]
UTC = datetime.timezone.utc
NUMBERS = itertools.count(1)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


class Held:
    """A value as the API has it, and the text that it prints."""

    def __init__(self, value, printed, raw=None):
        self.value = value
        self.raw = raw if raw is not None else json.dumps(printed).encode()


class Strict:
    """A JSON:API server that filters, sorts and finds by what it holds, and knows no resource by two names."""

    def __init__(self):
        self.lists = {}
        self.server = dialect.Dialect(self.answer)
        self.base_url = self.server.base_url

    def gets(self):
        """What was asked for since the last time."""
        seen = [(path.removeprefix("/api"), dict(parameters)) for method, path, parameters, *_ in self.server.seen
                if method == "GET"]
        self.server.seen.clear()
        return seen

    @staticmethod
    def bytes_of(kind, resource):
        attributes = b", ".join(json.dumps(name).encode() + b": " + held.raw
                                for name, held in resource.items() if name != "id")
        return (b'{"type": "' + kind.encode() + b'", "id": ' + json.dumps(resource["id"]).encode()
                + b', "attributes": {' + attributes + b"}}")

    @staticmethod
    def parsed(held, text):
        """A parameter in the terms of what is held; a form that strict APIs refuse is refused."""
        if isinstance(held, int):
            if len(text) == 10 and text[4] == "-":
                text += "T00:00:00Z"
            if text[4:5] != "-":
                return int(text)
            return int((datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) - EPOCH)
                       / datetime.timedelta(microseconds=1))
        return text.encode()

    def matches(self, resource, parameter, text):
        name, _, how = parameter.removeprefix("filter[").removesuffix("]").partition("][")
        if name == "id":
            return resource["id"] in text.split(",")
        held = resource[name].value
        if how == "like":
            return held is not None and text.encode() in held
        if how == "":
            return held in [self.parsed(held, one) for one in text.split(",")] if held is not None else text == "null"
        bound = self.parsed(held, text)
        return held is not None and {"ge": held >= bound, "gt": held > bound, "le": held <= bound, "lt": held < bound}[how]

    def answer(self, method, path, parameters, body):
        _, _, kind, *identifier = map(urllib.parse.unquote, path.split("/"))
        resources = self.lists[kind]
        if method == "POST":
            resources.append({"id": "new", **{name: Held(None, value) for name, value in body["data"]["attributes"].items()}})
            return 201, b'{"data": ' + self.bytes_of(kind, resources[-1]) + b"}"
        if identifier:
            found = [resource for resource in resources if resource["id"] == identifier[0]]
            if not found:
                return 404, {"errors": [{"status": "404", "title": "Not found"}]}
            for name, value in (body or {"data": {}})["data"].get("attributes", {}).items():
                found[0][name] = Held(None, value)
            return 200, b'{"data": ' + self.bytes_of(kind, found[0]) + b"}"
        try:
            for parameter, text in parameters:
                if parameter.startswith("filter"):
                    resources = [resource for resource in resources if self.matches(resource, parameter, text)]
        except ValueError:
            return 400, {"errors": [{"status": "400", "title": f"{parameters} is no filter of ours"}]}
        for parameter, text in parameters:
            if parameter == "sort":
                for name in reversed(text.split(",")):
                    key = name.lstrip("-")
                    resources = sorted(resources, key=lambda one, key=key: one[key] if key == "id" else one[key].value,
                                       reverse=name[0] == "-")
        return 200, b'{"data": [' + b", ".join(self.bytes_of(kind, one) for one in resources) + b'], "links": {}}'


@pytest.fixture(scope="module")
def api():
    """One server for all tests of this file; each names lists of its own."""
    strict = Strict()
    yield strict
    strict.server.close()


@pytest.fixture
def chance():
    print(f"SEED = {SEED}")
    return random.Random(SEED)


def server(db, api, **options):
    """A server of its options; what it is called."""
    name = f"s{next(NUMBERS)}"
    options = {"base_url": api.base_url, "auth": "none", "cache_ttl": "0", "missing_attribute": "null",
               "update_body": "changed", "rate_limit_per_second": "none", "rate_limit_per_hour": "none", **options}
    rows(db, "CREATE EXTENSION IF NOT EXISTS tpm_fdw; SET tpm_fdw.max_requests = 0; SET tpm_fdw.max_writes = 0")
    rows(db, f"CREATE SERVER {name} FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    return name


BOUNDS = "filter_ge 'filter[v][ge]', filter_gt 'filter[v][gt]', filter_le 'filter[v][le]', filter_lt 'filter[v][lt]'"
INCLUSIVE = "filter_ge 'filter[v][ge]', filter_le 'filter[v][le]'"


def differences(db, table, conditions):
    """Conditions whose rows depend on whether they are sent."""
    wrong = []
    for condition in conditions:
        sent, local = (sorted(rows(db, f"SELECT id::text FROM {source} WHERE {condition}"))
                       for source in (table, f"(SELECT * FROM {table} OFFSET 0) q"))
        if sent != local:
            wrong.append((condition, sent, local))
    return wrong


def is_pushed(db, table, condition):
    return any("filter" in line for (line,) in rows(db, f"EXPLAIN SELECT id FROM {table} WHERE {condition}"))


# ----- moments -----

def moment(chance):
    base = datetime.datetime.fromisoformat(chance.choice(CHANGES)).replace(tzinfo=UTC)
    return base + datetime.timedelta(microseconds=chance.randrange(-11000000000, 11000000000)) * chance.choice([1, 1, 15])


def offset_of(chance, at):
    return at.astimezone(datetime.timezone(datetime.timedelta(minutes=chance.choice([-720, -210, 0, 60, 345, 630, 840]))))


PRINTED = {
    "seconds": lambda chance, at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "microseconds": lambda chance, at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "ticks": lambda chance, at: at.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{chance.randrange(10)}Z",
    "nanoseconds": lambda chance, at: at.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{chance.randrange(1000):03}+00:00",
    "offsets": lambda chance, at: offset_of(chance, at).isoformat(timespec="seconds"),
    "offsets with fractions": lambda chance, at: offset_of(chance, at).isoformat(timespec="milliseconds"),
}


@pytest.mark.parametrize("printed", PRINTED)
def test_moments(db, api, chance, printed):
    """Every operator on every type of times, in every zone."""
    held = [moment(chance) for _ in range(40)]
    api.lists["moments"] = [{"id": str(number), "v": Held((at - EPOCH) // datetime.timedelta(microseconds=1),
                                                          PRINTED[printed](chance, at))}
                            for number, at in enumerate(held)]
    for zone in ZONES:
        name = server(db, api, timezone=zone)
        for kind in ("timestamptz", "timestamptz(0)", "timestamptz(3)", "timestamp", "timestamp(0)", "timestamp(2)", "date"):
            bounds = chance.choice([BOUNDS, INCLUSIVE])
            rows(db, f"DROP FOREIGN TABLE IF EXISTS m; CREATE FOREIGN TABLE m (id text, v {kind} OPTIONS (filter 'v', {bounds}))"
                     f" SERVER {name} OPTIONS (resource '/moments')")
            base = kind.partition("(")[0]
            values = [f"{base} '{value}'" for (value,) in rows(db, "SELECT v::text FROM m ORDER BY id")]
            conditions = [f"v {operator} {chance.choice(values)}" for operator in ("=", "=", "<", "<=", ">", ">=") for _ in (1, 2)]
            conditions += [f"v BETWEEN {value} AND {value}" for value in chance.sample(values, 3)]
            conditions += [f"v IN ({', '.join(chance.sample(values, 3))})", f"v = {values[0]} OR v = {values[1]}",
                           f"v > {values[2]} AND v < (SELECT max(v) FROM m)", f"v = (SELECT {values[3]})"]
            if base != "date":
                conditions += [f"v {chance.choice(['<', '<=', '>', '>=', '='])} {value}::date" for value in values[:2]]
                conditions += [f"v >= {values[4]} + interval '1 microsecond'", f"v < {values[5]} - interval '0.4 s'"]
            assert differences(db, "m", conditions) == [], (zone, kind)
            assert is_pushed(db, "m", f"v >= {values[0]}") and is_pushed(db, "m", f"v = {values[0]}")
            assert not is_pushed(db, "m", f"v IN ({values[0]}, {values[1]})")


def test_between_keeps_the_last_day(db, api):
    """A date over moments, of an API that reads a day as its midnight."""
    texts = ["2026-01-31T00:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", "2026-01-01T00:30:00+14:00"]
    at = [datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in texts]
    api.lists["days"] = [{"id": str(number), "v": Held((when - EPOCH) // datetime.timedelta(microseconds=1), text)}
                         for number, (when, text) in enumerate(zip(at, texts))]
    rows(db, f"CREATE FOREIGN TABLE d (id text, v date OPTIONS (filter 'v', {INCLUSIVE})) SERVER {server(db, api)}"
             " OPTIONS (resource '/days')")
    api.gets()
    assert rows(db, "SELECT id FROM d WHERE v BETWEEN '2026-01-01' AND '2026-01-31' ORDER BY id") == [("0",), ("1",), ("3",)]
    assert rows(db, "SELECT id FROM d WHERE v = '2026-01-01'") == [("3",)]
    sent = [parameters for _, parameters in api.gets()]
    assert [(one["filter[v][ge]"], one["filter[v][le]"]) for one in sent] == [("2025-12-31", "2026-02-02"), ("2025-12-31", "2026-01-03")]


def test_bound_without_a_fraction(db, api):
    """Some servers refuse one; and none is sent that a year cannot hold."""
    api.lists["plain"] = [{"id": "1", "v": Held(0, "1970-01-01T00:00:00Z")}]
    rows(db, f"CREATE FOREIGN TABLE p (id text, v timestamptz OPTIONS (filter 'v', {BOUNDS})) SERVER {server(db, api)}"
             " OPTIONS (resource '/plain')")
    for condition, sent in (("v > '1970-01-01 00:00:00.5Z'", {"filter[v][gt]": "1969-12-31T23:59:59Z"}),
                            ("v <= '1970-01-01 00:00:00.000001Z'", {"filter[v][le]": "1970-01-01T00:00:02Z"}),
                            ("v < '1960-01-01 00:00:00.3Z'", {"filter[v][lt]": "1960-01-01T00:00:02Z"}),
                            ("v < '9999-12-31 23:59:59Z'", {}), ("v > '0001-01-01 00:00:00Z'", {}),
                            ("v < 'infinity'", {}), ("v = '-infinity'", {})):
        api.gets()
        rows(db, f"SELECT id FROM p WHERE {condition}")
        assert [{name: value for name, value in parameters.items() if name.startswith("filter")}
                for _, parameters in api.gets()] == [sent], condition


def test_required_day(db, api):
    """Where the API lists nothing without it, its day is the one that was asked for."""
    api.lists["daily"] = [{"id": "1", "v": Held(0, "1970-01-01")}]
    rows(db, f"CREATE FOREIGN TABLE r (id text, v date OPTIONS (filter 'v')) SERVER {server(db, api)}"
             " OPTIONS (resource '/daily', required_filters 'v')")
    api.gets()
    assert rows(db, "SELECT id FROM r WHERE v = '1970-01-01'") == [("1",)]
    assert api.gets()[0][1]["filter[v]"] == "1970-01-01"


@pytest.mark.parametrize("kind", ["date", "timestamptz", "timestamptz(0)", "timestamp"])
def test_check_knows_what_was_sent(db, api, kind):
    """A bound that includes more than the value is obeyed all the same, and one that is not obeyed is told."""
    at = [datetime.datetime(2026, 1, 1, 12, tzinfo=UTC) + datetime.timedelta(days=day, microseconds=600000) for day in range(20)]
    api.lists["checked"] = [{"id": str(number), "v": Held((one - EPOCH) // datetime.timedelta(microseconds=1),
                                                          one.strftime("%Y-%m-%dT%H:%M:%SZ"))} for number, one in enumerate(at)]
    name = server(db, api, timezone="Europe/Berlin")
    rows(db, f"CREATE SCHEMA k; CREATE FOREIGN TABLE k.c (id text, v {kind} OPTIONS (filter 'v', {INCLUSIVE})) SERVER {name}"
             " OPTIONS (resource '/checked')")
    told = dict(rows(db, f"SELECT step, detail FROM tpm_fdw_check('{name}', 'k') WHERE step LIKE '%filter v%='"))
    assert len(told) == 1 and all(detail.startswith("obeyed") for detail in told.values()), told
    rows(db, "ALTER FOREIGN TABLE k.c ALTER v OPTIONS (SET filter_ge 'since')")
    told = dict(rows(db, f"SELECT step, detail FROM tpm_fdw_check('{name}', 'k') WHERE step LIKE '%filter v%='"))
    assert len(told) == 1 and all(detail.startswith("not obeyed") for detail in told.values()), told


def test_order_of_wall_clocks(db, api):
    """Pushed where clocks never change only; else a later moment may read as an earlier time."""
    texts = ["2026-10-25T00:30:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z"]
    api.lists["clocks"] = [{"id": str(number), "v": Held((datetime.datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC) - EPOCH)
                                                         // datetime.timedelta(microseconds=1), text)}
                           for number, text in enumerate(texts)]
    for zone, right in (("UTC", "012"), ("Etc/GMT-2", "012"), ("Europe/Berlin", "201")):
        rows(db, f"DROP FOREIGN TABLE IF EXISTS c; CREATE FOREIGN TABLE c (id text OPTIONS (sortable 'true'), v timestamp OPTIONS (sortable 'true') NOT NULL)"
                 f" SERVER {server(db, api, timezone=zone)} OPTIONS (resource '/clocks')")
        api.gets()
        assert "".join(one for (one,) in rows(db, "SELECT id FROM c ORDER BY v")) == right
        assert ("v" in api.gets()[0][1].get("sort", "").split(",")) == (zone != "Europe/Berlin")


# ----- texts -----

def raw_text(chance, known):
    """What stands in the body, and what the API means by it."""
    text = "".join(chance.choice(["a", "B", " ", "é", "€", "\\u0000", "\\ud800", "\xff", "?", "\ufffd", "[", "{"])
                   for _ in range(chance.randrange(1, 5)))
    raw = b'"' + b"".join(b"\xff" if one == "\xff" else one.encode() for one in text) + b'"'
    held = known.setdefault(raw, raw[1:-1])
    return Held(held, None, raw)


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_texts(cluster, api, chance, encoding):
    """What PostgreSQL's text cannot hold, what varchar(n) cuts, and what is no text at all."""
    known = {}
    held = [raw_text(chance, known) for _ in range(40)]
    held += [Held(text.encode(), text) for text in ("ab", "ab ", "ab  ", "abc", "abc  ", "a", " a", "?", "null", "")]
    held += [Held(json.dumps(value).encode(), value) for value in ({"a": 1}, ["x", 2], {}, [])]
    api.lists["texts"] = [{"id": str(number), "v": one} for number, one in enumerate(held)]
    name = f"inverse_{encoding.lower()}"
    cluster.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    db = cluster.connect(name)
    db.set_client_encoding("UTF8" if encoding != "SQL_ASCII" else "SQL_ASCII")
    called = server(db, api, invalid_characters="replace")
    for kind in ("text", "varchar", "varchar(3)", "char(3)", "name"):
        rows(db, f"DROP FOREIGN TABLE IF EXISTS t; CREATE FOREIGN TABLE t (id text, v {kind} OPTIONS (filter 'v',"
                 f" filter_operators '=,in,null', filter_like 'filter[v][like]')) SERVER {called} OPTIONS (resource '/texts')")
        conditions = []
        # longer than three characters, and more than blanks: an error of the type, whatever is asked
        api.lists["texts"] = [{"id": str(number), "v": one} for number, one in enumerate(held)
                              if kind != "varchar(3)" and kind != "char(3)" or one.raw.startswith(b'"ab')]
        for (value,) in rows(db, "SELECT DISTINCT encode(convert_to(v::text, 'SQL_ASCII'), 'hex') FROM t WHERE v IS NOT NULL"):
            value = f"convert_from('\\x{value}', getdatabaseencoding())"
            conditions += [f"v = {value}", f"v IN ('ab', {value})", f"v = (SELECT {value})"]
            if kind == "text":
                conditions.append(f"v LIKE '%' || {value} || '%' AND left(v, 1) NOT IN ('[', '{{')")
        assert differences(db, "t", conditions + ["v IS NULL", "v = 'ab'", "v = 'abc'", "v IN ('a', 'abc')"]) == [], kind
    assert is_pushed(db, "t", "v = 'ab'") is False
    db.close()
    cluster.sql(f"DROP DATABASE {name}")


@pytest.mark.parametrize("kind, value, pushed", [
    ("text", "ab", True), ("text", "a\ufffdb", False), ("text", "[1]", False), ("text", "a?", True),
    ("varchar(3)", "ab", True), ("varchar(3)", "abc", False), ("varchar", "abc", True)])
def test_texts_that_could_be_others(db, api, kind, value, pushed):
    rows(db, f"CREATE FOREIGN TABLE o (id text, v {kind} OPTIONS (filter 'v')) SERVER"
             f" {server(db, api, invalid_characters='replace')} OPTIONS (resource '/texts')")
    assert is_pushed(db, "o", f"v = '{value}'") == is_pushed(db, "o", f"v IN ('b', '{value}')") == pushed


def test_uuids(db, api, chance):
    """Printed in capitals by an API that compares texts."""
    texts = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(20)]
    texts = [text.upper() if number % 2 else text for number, text in enumerate(texts)]
    api.lists["uuids"] = [{"id": str(number), "v": Held(text.encode(), text)} for number, text in enumerate(texts)]
    for options in ("filter 'v'", "filter 'v', filter_operators '='"):
        rows(db, f"DROP FOREIGN TABLE IF EXISTS u; CREATE FOREIGN TABLE u (id text, v uuid OPTIONS ({options})) SERVER {server(db, api)}"
                 " OPTIONS (resource '/uuids')")
        assert differences(db, "u", [f"v = '{text}'" for text in texts] + [f"v IN ('{texts[0]}', '{texts[1]}')"]) == []
        assert is_pushed(db, "u", f"v = '{texts[0]}'") == (options == "filter 'v'")


# ----- ids -----

IDS = {"uuid": ["0b1e5a30-6a5f-4a1c-8e5f-0c5b1f8b7a01", "0B1E5A30-6A5F-4A1C-8E5F-0C5B1F8B7A02",
                "{0b1e5a30-6a5f-4a1c-8e5f-0c5b1f8b7a03}", "0b1e5a306a5f4a1c8e5f0c5b1f8b7a04"],
       "int": ["1", "0012", "013", "14"], "bigint": ["5", "0006", "7", "8"], "smallint": ["01", "2", "3", "0004"],
       "numeric": ["1.0", "2", "003", "4.50"]}
ABSENT = {"uuid": "0b1e5a30-6a5f-4a1c-8e5f-0c5b1f8b7aff", "int": "99", "bigint": "99", "smallint": "99", "numeric": "99"}


@pytest.mark.parametrize("options", ["", "filter 'id'", "filter 'id', filter_operators '='", "sortable 'true'"])
@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("ttl", ["0", "1h"])
def test_ids(db, api, kind, options, ttl):
    """Found under whichever spelling, by =, IN and a join; the list is read once at most."""
    api.lists["ids"] = [{"id": text, "name": Held(text.encode(), text)} for text in IDS[kind]]
    name = server(db, api, cache_ttl=ttl)
    column = f"id {kind}" + (f" OPTIONS ({options})" if options else "")
    rows(db, f"CREATE FOREIGN TABLE i ({column}, name text) SERVER {name} OPTIONS (resource '/ids')")
    rows(db, f"CREATE TABLE keys AS SELECT unnest(%s::text[])::{kind} AS key", (IDS[kind] + [ABSENT[kind]],))
    rows(db, "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off")
    texts = [f"'{text}'" for text in IDS[kind]]
    conditions = [f"id = {text}" for text in texts] + [
        f"id IN ({', '.join(texts)})", f"id IN ({texts[0]}, '{ABSENT[kind]}')", f"id = '{ABSENT[kind]}'",
        f"id = {texts[1]} AND name = 'nobody'", f"id IN ({texts[1]}, {texts[2]}) AND name IS NOT NULL"]
    assert differences(db, "i", conditions) == []
    for text in texts:
        api.gets()
        assert rows(db, f"SELECT name FROM i WHERE id = {text} ORDER BY id LIMIT 1") == [(text[1:-1],)]
        assert len(api.gets()) <= 2
    api.gets()
    found = rows(db, "SELECT name FROM keys, LATERAL (SELECT name FROM i WHERE id = key OFFSET 0) i ORDER BY name")
    assert [one for (one,) in found] == sorted(IDS[kind])
    assert len([path for path, _ in api.gets() if path == "/ids"]) <= 1 or "filter" in options
    assert rows(db, f"SELECT count(*) FROM i WHERE id IN ({', '.join(texts)})") == [(4,)]
    for text in texts:
        rows(db, f"UPDATE i SET name = name || '!' WHERE id = {text}")
    assert [json.loads(one["name"].raw) for one in api.lists["ids"]] == [text + "!" for text in IDS[kind]]


def test_canonical_id_is_one_request(db, api):
    api.lists["one"] = [{"id": "7", "name": Held(b"seven", "seven")}]
    rows(db, f"CREATE FOREIGN TABLE o (id int, name text) SERVER {server(db, api)} OPTIONS (resource '/one');"
             f"CREATE FOREIGN TABLE t (id text, name text) SERVER {server(db, api)} OPTIONS (resource '/one')")
    api.gets()
    assert rows(db, "SELECT name FROM o WHERE id = 7") == [("seven",)]
    assert [path for path, _ in api.gets()] == ["/one/7"]
    assert rows(db, "SELECT name FROM t WHERE id = '8'") == []
    assert [path for path, _ in api.gets()] == ["/one/8"]


def test_id_that_no_list_shows(db, api):
    """Where the list needs a filter of its own, an id that is not found is an error, not no row."""
    api.lists["guarded"] = [{"id": "0012", "name": Held(b"x", "x"), "kind": Held(b"k", "k")}]
    rows(db, f"CREATE FOREIGN TABLE g (id int, name text, kind text OPTIONS (filter 'kind')) SERVER {server(db, api)}"
             " OPTIONS (resource '/guarded', required_filters 'kind')")
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, "SELECT name FROM g WHERE id = 12 AND kind = 'k'")
    assert caught.value.pgcode == "HV002"
    assert rows(db, "SELECT id FROM g WHERE kind = 'k'") == [(12,)]


# ----- written and read -----

WRITTEN = {
    "timestamptz": "2026-07-01 12:34:56.789+00", "timestamptz(0)": "2026-01-01 00:00:00+00", "date": "2026-03-29",
    "timestamp": "2026-07-01 12:34:56.789", "timestamp(3)": "2026-01-01 23:30:00.5", "time": "23:59:59.5", "timetz": "10:00:00+05:30",
    "interval": "1 mon 2 days 03:04:05.6", "timestamp[]": '{"2026-07-01 01:00:00",NULL,"2026-12-01 02:30:00"}',
    "timestamptz[]": '{"2026-07-01 01:00:00+00"}', "text": "a?b\t", "varchar(3)": "abc", "char(5)": "abc  ", "boolean": "true",
    "smallint": "-7", "bigint": "9223372036854775807", "numeric": "-12.5", "numeric(10,3)": "1.250", "float8": "0.1",
    "uuid": "0b1e5a30-6a5f-4a1c-8e5f-0c5b1f8b7a01", "text[]": '{a,"b,c",NULL}', "int[]": "{1,2}", "jsonb": '{"a": [1, null]}',
    "bytea": "\\x00ff", "inet": "10.0.0.1", "tstzrange": '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")', "wall": "2026-08-01 10:00:00"}


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_written_is_read(db, api, zone):
    """A value of every type, written as INSERT and UPDATE do, in every zone."""
    rows(db, "CREATE DOMAIN wall AS timestamp; SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601'")
    name = server(db, api, timezone=zone)
    for kind, value in WRITTEN.items():
        api.lists["written"] = [{"id": "1", "v": Held(None, None), "w": Held(None, None)}]
        rows(db, f"DROP FOREIGN TABLE IF EXISTS w; CREATE FOREIGN TABLE w (id text, v {kind}) SERVER {name} OPTIONS (resource '/written')")
        rows(db, f"SET datestyle = 'ISO'; INSERT INTO w (v) VALUES ('{value}'); UPDATE w SET v = '{value}' WHERE id = '1'")
        found = rows(db, f"SELECT v::text = ('{value}'::{kind})::text FROM w")
        assert found == [(True,), (True,)], (kind, [one["v"].raw for one in api.lists["written"]])


@pytest.mark.parametrize("zone, wall, sent", [
    ("UTC", "2026-07-01 12:00:00", "2026-07-01T12:00:00Z"), ("Europe/Berlin", "2026-07-01 12:00:00", "2026-07-01T10:00:00Z"),
    ("Europe/Berlin", "2026-01-01 12:00:00", "2026-01-01T11:00:00Z"), ("Asia/Kolkata", "2026-01-01 00:00:00", "2025-12-31T18:30:00Z"),
    ("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T01:30:00Z")])
def test_wall_clock_is_written_as_its_moment(db, api, zone, wall, sent):
    api.lists["walls"] = []
    rows(db, f"CREATE FOREIGN TABLE w (id text, v timestamp) SERVER {server(db, api, timezone=zone)} OPTIONS (resource '/walls')")
    assert rows(db, f"INSERT INTO w (v) VALUES ('{wall}') RETURNING v::text") == [(wall,)]
    assert json.loads(api.lists["walls"][0]["v"].raw) == sent


@pytest.mark.parametrize("text, wall", [
    ("2026-07-01T10:00:00Z", "2026-07-01 12:00:00"), ("2026-07-01T10:00:00+05:00", "2026-07-01 07:00:00"),
    ("2026-07-01T10:00:00", "2026-07-01 10:00:00"), ("2026-07-01 10:00", "2026-07-01 10:00:00"), ("2026-07-01", "2026-07-01 00:00:00"),
    ("2026-07-01T10:00:00.1234567Z", "2026-07-01 12:00:00.123457"), ("2026-03-29T02:30:00", "2026-03-29 02:30:00"),
    ("2026-03-29T02:30:00.0000001+01:00", "2026-03-29 03:30:00"), ("Wed, 01 Jul 2026 10:00:00 GMT", "2026-07-01 12:00:00")])
def test_wall_clock_is_read(db, api, text, wall):
    """What has a zone shows on the clocks of the option's; what has none is what they show."""
    api.lists["read"] = [{"id": "1", "v": Held(None, text), "a": Held(None, [text, None])}]
    rows(db, f"CREATE FOREIGN TABLE w (id text, v timestamp, a timestamp[]) SERVER {server(db, api, timezone='Europe/Berlin')}"
             " OPTIONS (resource '/read')")
    assert rows(db, "SELECT v::text, a[1]::text, a[2]::text FROM w") == [(wall, wall, None)]
