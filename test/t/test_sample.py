"""IMPORT FOREIGN SCHEMA sample: tables from what real pages show, whatever they show."""

import http.server
import json
import re
import threading
import time

import processes
import psycopg2
import pytest
import tpmtest
from tpmtest import notices, rows

COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, array_to_string(attfdwoptions, ' | ')
      FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""


def sample(connection, resources, limit="", **options):
    given = tpmtest.option_list({"resources": resources, **options})
    rows(connection, f"IMPORT FOREIGN SCHEMA sample {limit} FROM SERVER tpm INTO s OPTIONS ({given})")
    return notices(connection)


def columns(connection, table):
    return {name: (kind, options) for name, kind, _, options in rows(connection, COLUMNS, (table,))}


def options_of(connection, table):
    ((options,),) = rows(connection, "SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = %s::regclass", (table,))
    return dict(option.split("=", 1) for option in options or [])


def tables(connection):
    return [name for name, in rows(
        connection, "SELECT relname FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind = 'f' ORDER BY 1")]


def everything(connection, table):
    """{id: row as a dictionary}, with all members asked for: the sandbox refuses to be asked for odd ones by name"""
    rows(connection, f"ALTER FOREIGN TABLE {table} ADD COLUMN IF NOT EXISTS all_of_it jsonb OPTIONS (pointer '/attributes')")
    return {row["id"]: row for row, in rows(connection, f"SELECT to_jsonb(t) FROM {table} t")}


def gets(sandbox):
    return [entry["path"] for entry in sandbox.api_requests()]


# ----- against the catalogue -----


def test_the_catalogues_types(api, sandbox):
    """Every attribute with a value on the page has the catalogue's type, in every resource."""
    rows(api, "CREATE SCHEMA tpm")
    rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm")
    resources = [name for name, in rows(
        api, "SELECT relname FROM pg_class WHERE relnamespace = 'tpm'::regnamespace AND relkind = 'f' ORDER BY 1")]
    assert len(resources) > 20
    text = sample(api, ",".join("/" + name for name in resources))
    assert f"the import sends {len(resources)} requests" in text
    assert len(gets(sandbox)) == len(resources)
    assert tables(api) == resources
    compared = 0
    for name in resources:
        known, found = columns(api, f"tpm.{name}"), columns(api, f"s.{name}")
        page = sandbox.dump(name)[:100]
        assert set(found) == set(known), name
        assert not any(notnull for _, _, notnull, _ in rows(api, COLUMNS, (f"s.{name}",))), name
        for column, (kind, options) in known.items():
            if any(item["attributes"].get(column) not in (None, "") for item in page):
                # the API does not say how large its integers may become
                assert found[column][0] == {"integer": "bigint"}.get(kind, kind), (name, column)
                compared += 1
            relationship = re.search(r"relationship=(\w+)", options or "")
            if relationship:
                assert found[column] == (kind, f"relationship={relationship.group(1)}"), (name, column)
        assert options_of(api, f"s.{name}").get("total_pointer") == "/meta/total_count", name
    assert compared > 100
    # in the order of the documents
    assert list(columns(api, "s.cases"))[:4] == ["id", "case_number", "name", "stage"]


def test_the_same_rows(api, sandbox):
    rows(api, "CREATE SCHEMA tpm")
    rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO tpm")
    sample(api, "/cases,/users,/custom_field_definitions")
    for table, names in (("cases", "id, name, open, budget_amount, due_on, closed_at, custom_fields, third_party_id"),
                         ("users", "id, email, active, regions"), ("custom_field_definitions", "id, term, options")):
        query = f"SELECT {names} FROM %s.{table} ORDER BY id"
        assert rows(api, query % "s") == rows(api, query % "tpm") != []
    assert rows(api, "SELECT count(*) FROM s.cases") == [(len(sandbox.dump("cases")),)]


# ----- what it costs -----


def test_tells_before_it_asks(api, sandbox):
    text = sample(api, "/third_parties, /cases", sample_pages="2")
    assert "NOTICE" in text and "the import sends 4 requests" in text and "Resources: 2" in text
    assert gets(sandbox) == ["/v1/third_parties"] * 2 + ["/v1/cases"] * 2


def test_pages_show_more(api, sandbox):
    # the 150th is on the second page only
    sandbox.edit("third_parties", 150, rare="x")
    sample(api, "/third_parties")
    assert "rare" not in columns(api, "s.third_parties")
    rows(api, "DROP FOREIGN TABLE s.third_parties")
    sample(api, "/third_parties", sample_pages="2")
    assert columns(api, "s.third_parties")["rare"] == ("text", None)


def test_limit_to_and_except(api, sandbox):
    sample(api, "/regions,/departments,/users", limit="LIMIT TO (users)")
    assert tables(api) == ["users"] and gets(sandbox) == ["/v1/users"]
    sandbox.reset()
    sample(api, "/regions,/departments,/users", limit="EXCEPT (users, regions)")
    assert tables(api) == ["departments", "users"] and gets(sandbox) == ["/v1/departments"]
    sandbox.reset()
    sample(api, "/regions", limit="LIMIT TO (nothing)")
    assert gets(sandbox) == []


def test_refused_when_the_budget_does_not_allow_it(api, sandbox):
    rows(api, "SET tpm_fdw.max_requests = 3")
    with pytest.raises(psycopg2.Error) as caught:
        sample(api, "/regions,/cases", sample_pages="2")
    assert caught.value.pgcode == "53400"
    assert gets(sandbox) == []


def test_fetched_at(api, sandbox):
    sandbox.edit("regions", 1, fetched_at="x")
    text = sample(api, "/regions,/departments", fetched_at="true")
    assert columns(api, "s.departments")["fetched_at"] == ("timestamp with time zone", "fetched_at=true")
    assert columns(api, "s.regions")["fetched_at_2"] == ("timestamp with time zone", "fetched_at=true")
    assert "fetched_at_2" in text
    first = everything(api, "s.regions")["1"]
    assert first["fetched_at"] == "x" and first["fetched_at_2"]


# ----- options -----


@pytest.mark.parametrize("options,code,words", [
    ({}, "HV00J", "resources"), ({"resources": "regions"}, "22023", "/"), ({"resources": "/a//b"}, "22023", "segments"),
    ({"resources": ""}, "22023", "resource"), ({"resources": "/regions,"}, "22023", "resource"),
    ({"resources": "/../x"}, "22023", ".."), ({"resources": "/regions?x=1"}, "22023", "?"),
    ({"resources": "/regions", "sample_pages": "0"}, "22023", "from 1"),
    ({"resources": "/regions", "sample_pages": "many"}, "22023", "from 1"),
    ({"resources": "/regions", "custom_fields": "rows"}, "22023", "columns"),
    ({"resources": "/regions", "trust": "exact"}, "HV00D", "resources"),
    ({"resorces": "/regions"}, "HV00D", "resources"),
])
def test_options(api, sandbox, options, code, words):
    listed = f" OPTIONS ({tpmtest.option_list(options)})" if options else ""
    with pytest.raises(psycopg2.Error) as caught:
        rows(api, "IMPORT FOREIGN SCHEMA sample FROM SERVER tpm INTO s" + listed)
    assert caught.value.pgcode == code, caught.value
    assert words in str(caught.value)
    assert sandbox.requests() == []


def test_the_catalogue_takes_no_resources(api):
    with pytest.raises(psycopg2.Error) as caught:
        rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO s OPTIONS (resources '/regions')")
    assert caught.value.pgcode == "HV00D"


# ----- resources that cannot be read -----


@pytest.mark.parametrize("fault,parameters,words", [
    ("status:403", {"detail": "not for you"}, ["status 403", "not for you"]),
    ("status:404", {}, ["status 404"]),
    ("status:500", {"detail": "broken"}, ["status 500", "broken"]),
    ("status:400", {"detail": "filter wanted"}, ["status 400", "filter wanted"]),
    ("html_200", {}, ["not JSON"]),
    ("garbage", {}, ["not JSON"]),
    ("no_data", {}, ["not a JSON:API document", "data"]),
    ("redirect", {}, ["redirected"]),
    ("reset", {}, ["no answer"]),
])
def test_skipped_with_the_reason(api, sandbox, fault, parameters, words):
    rows(api, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sandbox.fault(fault, match="GET /v1/departments", **parameters)
    text = sample(api, "/regions,/departments,/users")
    assert tables(api) == ["regions", "users"]
    assert 'WARNING:  resource "/departments" is skipped' in text
    for word in words:
        assert word in text


def test_skipped_without_a_value(api, sandbox):
    text = sample(api, "/third_parties/{third_party_id}/notes,/third_parties/7/notes")
    assert "is skipped" in text and "value" in text
    assert "the import sends 1 request to" in text
    assert tables(api) == ["notes"]
    assert options_of(api, "s.notes")["resource"] == "/third_parties/7/notes"


def test_no_way_to_the_api_is_an_error(api, sandbox):
    rows(api, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sandbox.fault("reset")
    with pytest.raises(psycopg2.Error) as caught:
        sample(api, "/regions,/departments")
    assert caught.value.pgcode == "HV00N"
    sandbox.reset()
    rows(api, "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (SET client_secret 'wrong')")
    with pytest.raises(psycopg2.Error) as caught:
        sample(api, "/regions,/departments")
    assert caught.value.pgcode == "28000"
    assert tables(api) == []


def test_empty_list(api, sandbox):
    empty = next(item["id"] for item in sandbox.dump("third_parties")
                 if item["id"] not in {(note["relationships"]["third_party"]["data"] or {}).get("id")
                                       for note in sandbox.dump("notes")})
    text = sample(api, f"/third_parties/{empty}/notes")
    assert "imported without members" in text
    assert list(columns(api, "s.notes")) == ["id"]


# ----- how pages go -----


STYLES = [
    ("links", {"pagination": "number"}), ("links_absolute", {"pagination": "number"}),
    ("number", {"pagination": "number"}), ("number_base64", {"pagination": "number_base64"}),
    ("offset", {"pagination": "offset", "page_size": "50"}), ("cursor", {}),
]


@pytest.mark.parametrize("style,expected", STYLES)
def test_paging_styles(api, sandbox, style, expected):
    sandbox.settings(pagination=style)
    sample(api, "/third_parties,/regions")
    found = options_of(api, "s.third_parties")
    assert {name: value for name, value in found.items() if name != "total_pointer"} == expected
    assert found["total_pointer"] == "/meta/total_count"
    # what was found is right: all rows come, and pages side by side where they can be computed
    assert len(rows(api, "SELECT id FROM s.third_parties")) == 300
    assert len(rows(api, "SELECT id FROM s.regions")) == 8
    assert rows(api, "SELECT count(*) FROM s.third_parties") == [(300,)]


def test_other_page_sizes(api, sandbox):
    sandbox.settings(page_max=20)
    sample(api, "/third_parties")
    assert options_of(api, "s.third_parties")["page_size"] == "20"
    assert len(rows(api, "SELECT id FROM s.third_parties")) == 300


def test_pages_too_large(api, sandbox):
    sandbox.fault("status:413", count=2)
    sample(api, "/third_parties")
    assert options_of(api, "s.third_parties")["page_size"] == "25"


def test_without_a_total(api, sandbox):
    sandbox.settings(no_total=True)
    sample(api, "/third_parties,/regions")
    assert "total_pointer" not in options_of(api, "s.third_parties")
    assert "total_pointer" not in options_of(api, "s.regions")


def test_what_the_server_says_is_not_repeated(api, sandbox):
    rows(api, "ALTER SERVER tpm OPTIONS (ADD pagination 'number', ADD total_pointer '/meta/total_count')")
    sample(api, "/third_parties")
    assert options_of(api, "s.third_parties") == {}


# ----- types -----


MIXED = [
    ((1, 2), "bigint"), ((1, 2.5), "numeric"), ((2.0, None), "numeric"), ((10**18 - 1, 0), "bigint"), ((10**25, 0), "numeric"),
    ((True, None), "boolean"), ((True, "yes"), "text"), ((1, "2"), "text"), (("1", "2"), "text"), ((True, 1), "text"),
    (("2024-02-29", ""), "date"), (("2023-02-29",), "text"), (("2024-13-01",), "text"), (("0000-00-00",), "text"),
    (("2024-01-01T10:00:00Z", None), "timestamp with time zone"), (("2024-01-01T10:00:00.123+02:00",), "timestamp with time zone"),
    (("2024-01-01 10:00",), "timestamp with time zone"), (("2024-01-01T25:00:00Z",), "text"), (("2024-01-01T10:00:00 CET",), "text"),
    (("2024-01-01", "2024-01-01T10:00:00Z"), "text"), (("2024-01-01", "soon"), "text"),
    (("9f0a1c52-0000-4000-8000-00000000000a", ""), "uuid"), (("9F0A1C52-0000-4000-8000-00000000000A",), "text"),
    ((["a", "b"], []), "text[]"), (([], []), "jsonb"), (([1, 2],), "jsonb"), ((["a"], ""), "jsonb"), (({"a": 1}, None), "jsonb"),
    (({"a": 1}, "x"), "jsonb"), ((None, None), "text"), (("", ""), "text"), (("", 5), "bigint"), (("007",), "text"),
]


def test_types(api, sandbox):
    for number, (values, _) in enumerate(MIXED):
        for at, value in enumerate(values):
            sandbox.edit("regions", at + 1, **{f"m{number}": value})
    sample(api, "/regions")
    found = columns(api, "s.regions")
    assert {n: (MIXED[n][0], found[f"m{n}"][0]) for n in range(len(MIXED))} == dict(enumerate(MIXED))
    # and every one of these columns can read what was there
    assert len(everything(api, "s.regions")) == 8


def test_relationships_of_several_types(api, sandbox):
    sandbox.edit("regions", 1)
    sample(api, "/notes,/users")
    assert columns(api, "s.notes")["author_id"] == ("text", "relationship=author")
    assert columns(api, "s.users")["regions"] == ("text[]", "relationship=regions")
    assert "author_type" not in columns(api, "s.notes")


# ----- names -----


def test_names(api, sandbox):
    long = "a_very_long_name_" * 6
    odd = {
        "firstName": ("firstname", "attribute=firstName"), "first-name": ("first_name", "attribute=first-name"),
        "first.name": ("first_name_2", "attribute=first.name"), "FIRSTNAME": ("firstname_2", "attribute=FIRSTNAME"),
        'say "hi"': ("say__hi_", 'attribute=say "hi"'), "it's": ("it_s", "attribute=it's"), "order": ("order", None),
        "select": ("select", None), "id": ("id_2", "attribute=id"), "ctid": ("ctid_2", "attribute=ctid"),
        "xmin": ("xmin_2", "attribute=xmin"), "größe": ("größe", None), "a/b": ("a_b", "pointer=/attributes/a~1b"),
        "": ("column", "pointer=/attributes/"), "3d": ("3d", None), "x~y": ("x_y", "attribute=x~y"),
        long: (long[:63], f"attribute={long}"), long + "z": (long[:61] + "_2", f"attribute={long}z"),
        "region_id": ("region_id", None), "é" * 40: ("é" * 31, "attribute=" + "é" * 40),
        "'); DROP SCHEMA s; --": ("____drop_schema_s____", "attribute='); DROP SCHEMA s; --"),
    }
    for name in odd:
        sandbox.edit("regions", 1, **{name: f"<{name}>"})
    text = sample(api, "/regions")
    found = columns(api, "s.regions")
    values = everything(api, "s.regions")["1"]
    for name, (column, options) in odd.items():
        assert found.get(column) == ("text", options), (name, found)
        assert values[column] == f"<{name}>", name
    # a change of spelling needs no words; everything else does
    for name in ("first.name", "FIRSTNAME", 'say "hi"', "it's", "order", "select", "id", "ctid", "3d", "x~y"):
        assert f'column "{name}"' in text, name
    for name in ("firstName", "first-name", "größe"):
        assert f'column "{name}"' not in text, name
    assert text.count("63 bytes") >= 2


def test_names_that_no_option_holds(api, sandbox):
    sandbox.edit("regions", 1, **{"a\nb": 1, "x" * 5000: 2, "y" * 900: 3})
    text = sample(api, "/regions")
    assert text.count("is left out") == 2 and "control character" in text and "1000 bytes" in text
    assert set(columns(api, "s.regions")) == {"id", "name", "active", "y" * 63}
    assert everything(api, "s.regions")["1"]["y" * 63] == 3


def test_too_many_columns(api, sandbox):
    sandbox.edit("regions", 1, **{f"m{n}": n for n in range(3000)})
    text = sample(api, "/regions", fetched_at="true")
    assert "more columns than can be imported" in text
    assert len(columns(api, "s.regions")) == 1501
    assert columns(api, "s.regions")["fetched_at"][1] == "fetched_at=true"
    assert len(rows(api, "SELECT * FROM s.regions")) == 8


def test_a_taken_relationship_name(api, sandbox):
    sandbox.edit("cases", 1, region_id="mine")
    text = sample(api, "/cases")
    found = columns(api, "s.cases")
    assert found["region_id"] == ("text", None)
    assert found["region_id_2"] == ("text", "relationship=region")
    assert "region_id_2" in text


def test_table_names(api, sandbox):
    text = sample(api, "/regions,/third_parties/7/regions,/regions")
    assert "is imported as" in text
    assert "regions" in tables(api) and "regions_3" in tables(api)
    assert options_of(api, "s.regions_3")["resource"] == "/regions"
    assert len(rows(api, "SELECT * FROM s.regions_3")) == 8


def test_hostile_answers(api, sandbox):
    sandbox.edit("regions", 1, deep=eval("[" * 90 + "]" * 90), big="x" * 300000)
    sandbox.edit("departments", 1, nul="a\0b")
    text = sample(api, "/regions,/departments")
    assert tables(api) == ["regions"] and '"/departments" is skipped' in text
    assert columns(api, "s.regions")["deep"] == ("jsonb", None)


def test_needs_the_mapping(api, sandbox, cluster):
    cluster.sql("DROP ROLE IF EXISTS importer")
    cluster.sql("CREATE ROLE importer LOGIN")
    rows(api, "GRANT ALL ON SCHEMA s TO importer")
    rows(api, "GRANT USAGE ON FOREIGN SERVER tpm TO importer")
    other = cluster.connect(api.info.dbname, "importer")
    try:
        with pytest.raises(psycopg2.Error) as caught:
            sample(other, "/regions")
        assert "user mapping" in str(caught.value)
        assert sandbox.requests() == []
    finally:
        other.close()
        rows(api, "DROP OWNED BY importer")
        cluster.sql("DROP ROLE importer")


# ----- other dialects: a server that answers what a test tells it to -----


class Scripted:
    """Answers each path with the documents given for it, the last one for ever."""

    def __init__(self):
        self.documents = {}
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append(self.path)
                path = self.path.split("?")[0].removeprefix("/api")
                status, body = outer.documents.get(path, (404, "{}"))
                if callable(body):
                    status, body = body(self.path)
                body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def say(self, path, body, status=200):
        self.documents[path] = (status, body)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def scripted(db):
    server = Scripted()
    options = {"base_url": server.url, "auth": "none", "max_retries": "0", **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE SCHEMA s")
    rows(db, "SET tpm_fdw.cache_ttl = 0")
    yield db, server
    server.stop()


def items(n, kind="things", **attributes):
    return [{"id": str(i), "type": kind, "attributes": {"name": f"n{i}", **attributes}} for i in range(1, n + 1)]


# links.next, links.last, meta, rows; the options that must come of it
DIALECTS = [
    # Laravel: plain names, number of the page, a total beside the number of pages
    ("/api/things?page=2&per_page=15", None, {"total": 40, "current_page": 1, "last_page": 3, "per_page": 15}, 15,
     {"page_size": "15", "pagination": "number", "page_parameters": "per_page,page", "total_pointer": "/meta/total"}),
    ("?page[number]=2&page[size]=10", "?page[number]=4&page[size]=10", {"page": {"total": 4, "current": 1}}, 10,
     {"page_size": "10", "pagination": "number"}),
    ("?page[number]=2&page[size]=10", "?page[number]=4&page[size]=10", {"page": {"total": 31}}, 10,
     {"page_size": "10", "pagination": "number", "total_pointer": "/meta/page/total"}),
    ("?page%5Boffset%5D=10&page%5Blimit%5D=10", None, {"record-count": 31}, 10,
     {"page_size": "10", "pagination": "offset", "total_pointer": "/meta/record-count"}),
    ("?limit=10&start=10", None, {"res~a/b": {"totalCount": 12}, "total_amount": 900, "accounts": 90}, 10,
     {"page_size": "10", "pagination": "offset", "page_parameters": "limit,start",
      "total_pointer": "/meta/res~0a~1b/totalCount"}),
    ("?page[size]=100&page[number]=Mg%3D%3D", None, {}, 100, {"pagination": "number_base64"}),
    # a cursor, several things that move, pages counted from 0, and one that may be an offset, a link that loses what was asked
    ("?page[size]=100&page[after]=abc", None, {"total_count": 500}, 100, {"total_pointer": "/meta/total_count"}),
    ("?page[size]=100&page[number]=2&snapshot=77", None, {}, 100, {}),
    ("?page[size]=100&page[number]=1", None, {}, 100, {"pagination": "number", "first_page": "0"}),
    ("?page[size]=1&page[number]=1", None, {}, 1, {"page_size": "1"}),
    # what was asked for comes back beside the API's own (fortune)
    ("?page[size]=100&page[offset]=50&page[limit]=50", None, {}, 50, {"page_size": "50", "pagination": "offset"}),
    ("?page[limit]=50&page[size]=100&page[offset]=50", None, {}, 50, {"page_size": "50", "pagination": "offset"}),
    # two rows a page: by its name only
    ("?page[size]=2&page[offset]=2", None, {}, 2, {"page_size": "2", "pagination": "offset", "page_parameters": "page[size],page[offset]"}),
    ("?page[size]=2&page[number]=2", None, {}, 2, {"page_size": "2", "pagination": "number"}),
    # totals that cannot be: of pages, less than the rows, beyond the last page, a count of this page
    ("?page[size]=100&page[number]=2", None, {"total_pages": 900, "total_count": 50, "count": 100}, 100, {"pagination": "number"}),
    ("?page[size]=100&page[number]=2", "?page[size]=100&page[number]=3", {"total": 5000}, 100, {"pagination": "number"}),
    # sums, and names that only sound like it
    ("?page[size]=100&page[number]=2", None, {"total_amount": 900, "accounts": 900, "discount": 900}, 100,
     {"pagination": "number"}),
    (None, None, {"total_count": 7}, 6, {}),
    (None, None, {"total_count": 6, "count": 6}, 6, {"total_pointer": "/meta/total_count"}),
    (None, None, {"count": 6}, 6, {}),
    (None, None, {"total_count": "6"}, 6, {}),
]


@pytest.mark.parametrize("as_object", [False, True])
@pytest.mark.parametrize("following,last,meta,n,expected", DIALECTS)
def test_dialects(scripted, following, last, meta, n, expected, as_object):
    db, server = scripted
    links = {"next": following, "last": last}
    if as_object:
        links = {name: {"href": link} if link else None for name, link in links.items()}
    server.say("/things", {"data": items(n), "links": links, "meta": meta})
    sample(db, "/things")
    assert options_of(db, "s.things") == expected
    assert len(server.seen) == 1


def test_a_next_page_elsewhere_is_not_asked_for(scripted):
    db, server = scripted
    server.say("/things", {"data": items(3), "links": {"next": "http://127.0.0.1:9/api/things?page[number]=2"}})
    sample(db, "/things", sample_pages="5")
    assert tables(db) == ["things"] and len(server.seen) == 1


def test_shapes(scripted):
    db, server = scripted
    data = [
        {"id": 1, "type": "gadgets", "attributes": {"b": 1, "a": "x"}, "relationships": {
            "owner": {"data": {"type": "people", "id": "1"}}, "home": {"links": {"related": "/x"}},
            "tags": {"data": []}, "boss": {"data": None}}},
        {"id": 2, "type": "gadgets", "attributes": {"c": True}, "relationships": {
            "owner": {"data": {"type": "teams", "id": "1"}}, "late": {"data": [{"type": "x", "id": "1"}]}}},
        {"id": 3, "type": "gadgets"}, {"id": 4, "type": "gadgets", "attributes": None, "relationships": []},
    ]
    server.say("/things", {"data": data})
    sample(db, "/things")
    assert list(columns(db, "s.things").items()) == [
        ("id", ("text", None)), ("b", ("bigint", None)), ("a", ("text", None)), ("c", ("boolean", None)),
        ("owner_id", ("text", "relationship=owner")), ("owner_type", ("text", "pointer=/relationships/owner/data/type")),
        ("home_id", ("text", "relationship=home")), ("tags", ("text[]", "relationship=tags")),
        ("boss_id", ("text", "relationship=boss")), ("late", ("text[]", "relationship=late"))]
    assert options_of(db, "s.things") == {"type": "gadgets"}
    assert rows(db, "SELECT id, b, owner_id, owner_type, tags, late FROM s.things ORDER BY id")[:2] == [
        ("1", 1, "1", "people", [], None), ("2", None, "1", "teams", None, ["1"])]


def test_resources_of_several_types(scripted):
    db, server = scripted
    server.say("/feed", {"data": [*items(1, "posts"), *items(1, "photos")]})
    server.say("/things", {"data": items(2)})
    text = sample(db, "/feed,/things")
    assert 'resource "/feed" is skipped: its resources are of several types' in text and '"posts", "photos"' in text
    assert tables(db) == ["things"]


@pytest.mark.parametrize("following", [None, "?cursor=abc", "?page=2"])
def test_an_api_that_takes_no_page_size(scripted, following):
    """A strict one refuses the parameter, whatever its name."""
    db, server = scripted

    def answer(path):
        if "size" in path or "limit" in path:
            return 400, '{"errors": [{"status": "400", "title": "unknown parameter"}]}'
        later = "?" in path
        return 200, {"data": [dict(item, id=f"{later}{item['id']}") for item in items(2)],
                     "links": {"next": None if later else following}}

    server.say("/things", answer)
    sample(db, "/things")
    found = options_of(db, "s.things")
    assert found == {"page_parameters": ",page[number]"}
    assert len(rows(db, "SELECT id FROM s.things")) == (4 if following else 2)
    assert rows(db, "SELECT ok, detail FROM tpm_fdw_check('tpm', 's') WHERE step LIKE '%page size'") == [
        (True, "2; no size is asked for")]


def test_pages_without_links(scripted):
    """More rows than came, and no way to them: said, unless the server's options count pages."""
    db, server = scripted
    server.say("/things", {"data": items(100), "meta": {"total_count": 250}})
    assert "gives 100 of 250 rows, and no link to the next page" in sample(db, "/things")
    assert options_of(db, "s.things") == {}
    rows(db, "ALTER SERVER tpm OPTIONS (ADD pagination 'number'); DROP FOREIGN TABLE s.things")
    assert "WARNING" not in sample(db, "/things")
    assert options_of(db, "s.things") == {"total_pointer": "/meta/total_count"}


def test_one_resource(scripted):
    db, server = scripted
    server.say("/settings", {"data": {"id": "1", "type": "settings", "attributes": {"limit": 5}}})
    sample(db, "/settings")
    assert columns(db, "s.settings")["limit"] == ("bigint", None)
    assert rows(db, 'SELECT id, "limit" FROM s.settings') == [("1", 5)]


@pytest.mark.parametrize("body,words", [
    ('{"data": [1]}', "no resource object"), ('{"data": "x"}', "data"), ("[]", "no JSON object"), ("17", "no JSON object"),
    ('{"data": [' + "[" * 20000 + "]" * 20000 + "]}", ""), ("", "not JSON"), (b'{"data": [{"id": "\xff"}]}', "UTF-8"),
    ('{"data": [{"id": "1", "type": "x", "attributes": {"a\\u0000b": 1}}]}', "not JSON"),
    ('{"errors": [{"title": "no"}]}', "holds errors\nDETAIL:  no"), ('{"data": [{"id": "1", "attributes": {"n": 1e999999}}]}', ""),
])
def test_what_is_no_document(scripted, body, words):
    db, server = scripted
    server.say("/bad", body)
    server.say("/things", {"data": items(2)})
    text = sample(db, "/bad,/things")
    assert 'resource "/bad" is skipped' in text and words in text
    assert tables(db) == ["things"]


def test_odd_types_and_names(scripted):
    db, server = scripted
    server.say("/a", {"data": [{"id": "1", "type": "x\ny", "attributes": {}}]})
    server.say("/b", {"data": items(1), "links": {"next": "?page[number]=2&per%0Apage=1"}})
    server.say("/c", {"data": [{"id": "1", "type": "x" * 5000, "relationships": {"": {"data": None}, "a/b": {"data": None}}}]})
    server.say("/d", {"data": items(1, "d"), "links": {"next": "?page[number]=2&%FFper=1"}})
    sample(db, "/a,/b,/c,/d")
    assert options_of(db, "s.d") == {"page_size": "1"}
    assert [options_of(db, f"s.{name}") for name in "abc"] == [{}, {"type": "things", "page_size": "1"}, {}]
    assert columns(db, "s.c") == {"id": ("text", None), "a_b_id": ("text", "relationship=a/b")}


def test_what_a_sample_does_not_tell(scripted):
    """Said once, with where it can be found out."""
    db, server = scripted
    server.say("/things", {"data": [{"id": "1", "type": "things", "attributes": {"n": 1}}]})
    text = sample(db, "/things")
    assert text.count("a sample does not tell everything") == 1 and "tpm_fdw_check" in text


def test_relationships_without_linkage(scripted):
    """Links only on every resource: told, by name; one null is linkage."""
    db, server = scripted
    bare = {"links": {"related": "/x"}}
    server.say("/things", {"data": [{"id": str(n), "type": "things", "attributes": {"n": n}, "relationships": {
        "author": bare, "editor": {"data": None} if n else bare, "parts": {"meta": {"count": 3}}}} for n in range(3)]})
    text = sample(db, "/things")
    assert 'does not tell what its relationships lead to: "author", "parts"' in text and "None of 3 resources" in text
    assert "option include" in text


def test_ten_megabytes_of_names(scripted):
    """Ten megabytes of names, no two alike, of which a table has room for some."""
    db, server = scripted
    data = [{"id": str(r), "type": "things", "attributes": {f"member_{r}_{n}": n for n in range(3000)},
             "relationships": {f"r_{r}_{n}": {"data": None} for n in range(300)}} for r in range(130)]
    body = json.dumps({"data": data})
    assert len(body) > 10_000_000
    server.say("/things", body)
    began = time.monotonic()
    sample(db, "/things")
    assert time.monotonic() - began < 20
    assert len(columns(db, "s.things")) == 1500


def test_a_million_resources(scripted):
    db, server = scripted
    first = {"id": "0", "type": "things", "attributes": {f"m{n}": n for n in range(1900)}}
    owners = [{"type": f"t{n}", "id": "1"} for n in range(100_000)]
    second = {"id": "1", "type": "things", "relationships": {"owners": {"data": owners}}}
    server.say("/things", '{"data": [%s, %s%s]}' % (json.dumps(first), json.dumps(second),
                                                    ', {"attributes": {}, "id": "x"}' * 1_000_000))
    began = time.monotonic()
    sample(db, "/things")
    assert time.monotonic() - began < 30
    assert columns(db, "s.things")["m1000"] == ("bigint", None)


def test_custom_fields_of_thousands(scripted):
    db, server = scripted
    fields = [{"id": str(n), "term": f"Field {n}", "value": [n]} for n in range(4000)]
    server.say("/things", {"data": items(1, custom_fields=fields)})
    text = sample(db, "/things", custom_fields="columns")
    assert "more columns than can be imported" in text
    assert len(columns(db, "s.things")) == 1500


def test_cancelled(api, sandbox, cluster):
    sandbox.fault("hold", match="GET /v1/regions")
    ((pid,),) = rows(api, "SELECT pg_backend_pid()")
    caught = []

    def work():
        try:
            sample(api, "/departments,/regions")
        except psycopg2.Error as error:
            caught.append(error.pgcode)

    thread = threading.Thread(target=work)
    thread.start()
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    cluster.sql("SELECT pg_cancel_backend(%s)", (pid,))
    thread.join(5)
    assert caught == ["57014"]
    sandbox.reset()
    assert tables(api) == []
    sample(api, "/regions")
    assert tables(api) == ["regions"]


def test_failures_leave_nothing_open(api, sandbox):
    rows(api, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sample(api, "/users")
    ((pid,),) = rows(api, "SELECT pg_backend_pid()")

    def memory():
        return int(rows(api, "SELECT sum(used_bytes) FROM pg_backend_memory_contexts")[0][0])

    sandbox.fault("reset", match="GET /v1/regions")
    sandbox.fault("status:500", match="GET /v1/departments")
    sandbox.fault("garbage", match="GET /v1/forms")
    once = "/cases,/regions,/departments,/forms"
    for _ in range(2):
        sample(api, once)
        rows(api, "DROP FOREIGN TABLE s.cases")
    files, used = processes.open_files(pid), memory()
    for _ in range(10):
        sample(api, once)
        rows(api, "DROP FOREIGN TABLE s.cases")
    assert len(processes.open_files(pid)) <= len(files) + 1, processes.open_files(pid)
    assert memory() < used * 1.2 + 200_000
    assert rows(api, "SELECT sum(waiting) FROM tpm_fdw_rate_limits") == [(0,)]


def test_another_encoding(cluster, sandbox):
    """Names and values in LATIN1; what it has no letters for is skipped, and a path is sent as UTF-8."""
    cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    db = cluster.connect("latin")
    try:
        tpmtest.setup_server(db, sandbox)
        rows(db, "CREATE SCHEMA s")
        sandbox.edit("regions", 1, **{"größe": "mäßig"})
        sandbox.edit("departments", 1, name="東京")
        text = sample(db, "/regions,/departments")
        assert tables(db) == ["regions"] and '"/departments" is skipped' in text
        assert columns(db, "s.regions")["größe"] == ("text", None)
        assert everything(db, "s.regions")["1"]["größe"] == "mäßig"
        sandbox.create("third_parties", name="Müller", country="DE")
        ((answer,),) = rows(db, "SELECT tpm_fdw_get('tpm', '/third_parties?filter[name]=Müller&fields[third_parties]=name')")
        assert [item["attributes"]["name"] for item in answer["data"]] == ["Müller"]
    finally:
        db.close()
        cluster.sql("DROP DATABASE latin")
