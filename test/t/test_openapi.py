"""IMPORT FOREIGN SCHEMA openapi: an API's own description becomes tables that fit it."""

import json
import os
import time
from pathlib import Path

import psycopg2
import pytest
import tpmtest
from documents import COLUMNS, SCHEMAS, TABLES, listing, openapi, pairs, query, resource
from tpmtest import rows

# the sandbox's own document


def described(db, schema):
    """({table: options}, {(table, column): all that is said of it}) of a schema."""
    tables = {name: options for name, options in rows(db, TABLES, (schema,))}
    columns = {(row[0], row[2]): row[1:] for row in rows(db, COLUMNS, (schema,))}
    return tables, columns


@pytest.mark.parametrize("document", ["openapi.json", "/openapi.json", "/v1/openapi.json", "{base}/openapi.json"])
def test_sandbox_document_gives_the_tables_of_the_catalogue(db, sandbox, document):
    tpmtest.setup_server(db, sandbox, schema="known")
    rows(db, "CREATE SCHEMA told")
    document = document.format(base=sandbox.base_url)
    rows(db, f"IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO told OPTIONS (document '{document}')")
    assert described(db, "told") == described(db, "known")
    assert len(described(db, "told")[0]) == 28
    assert [r["status"] for r in sandbox.api_requests()] == [200]


def without(options, *names):
    return [option for option in options or [] if option.split("=")[0] not in names] or None


def test_sandbox_document_trusted_gives_those_of_the_trusted_catalogue(db, sandbox):
    """Which texts a filter compares exactly, and where NULLs are sorted, OpenAPI cannot say."""
    tpmtest.setup_server(db, sandbox, schema="known", trust="exact")
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO told OPTIONS (document 'openapi.json', trust 'exact')")

    def comparable(schema):
        tables, columns = described(db, schema)
        return tables, {key: (*row[:-1], without(row[-1], "filter_match", "sort_nulls"))
                        for key, row in columns.items()}

    assert comparable("told") == comparable("known")
    told, known = described(db, "told")[1], described(db, "known")[1]
    for key, row in told.items():
        if "filter_match=exact" in (row[-1] or []) and key not in {("screening_hits", "adjudication")}:
            assert "filter_match=exact" in known[key][-1], key


def test_tables_of_the_sandbox_document_work(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (cases, third_parties) FROM SERVER tpm INTO told"
             " OPTIONS (document 'openapi.json', fetched_at 'true')")
    assert set(described(db, "told")[0]) == {"cases", "third_parties"}
    wanted = sum(item["attributes"]["open"] for item in sandbox.dump("cases"))
    sandbox.reset()
    assert rows(db, "SELECT count(*) FROM told.cases WHERE open AND fetched_at IS NOT NULL") == [(wanted,)]
    assert all("Only%20Open" in r["query"] for r in sandbox.api_requests())
    [(number,)] = rows(db, "INSERT INTO told.third_parties (name, country) VALUES ('New', 'DE') RETURNING id")
    rows(db, "UPDATE told.third_parties SET city = 'Bonn' WHERE id = %s", (number,))
    assert rows(db, "SELECT name, city FROM told.third_parties WHERE id = %s", (number,)) == [("New", "Bonn")]


@pytest.mark.parametrize("style, wanted", [
    ("number_base64", {}), ("offset", {"page_parameters": "page[limit],page[offset]"}),
    ("cursor", {}), ("links_absolute", {})])
def test_every_page_style_is_read_to_the_end(db, sandbox, style, wanted):
    sandbox.settings(pagination=style, page_max=40)
    tpmtest.setup_server(db, sandbox)
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (third_parties) FROM SERVER tpm INTO told"
             " OPTIONS (document 'openapi.json')")
    assert pairs(described(db, "told")[0]["third_parties"]) == {"page_size": "40", **wanted}
    assert rows(db, "SELECT count(DISTINCT id), count(name) FROM told.third_parties") == [(300, 300)]
    assert len(sandbox.api_requests()) == 1 + 8


@pytest.mark.parametrize("parameter, wanted", [
    ({"type": "integer", "default": 0}, {"first_page": "0"}),
    ({"type": "integer", "minimum": 0}, {"first_page": "0"}),
    ({"allOf": [{"type": "integer"}, {"minimum": 0}]}, {"first_page": "0"}),
    ({"type": "integer", "minimum": 0, "default": 1}, {}),
    ({"type": "integer", "minimum": 1}, {}),
    ({"type": "integer"}, {}),
    ({"type": "string", "format": "byte", "default": "MA=="}, {"first_page": "0", "pagination": "number_base64"}),
    ({"type": "string", "format": "byte", "default": "MQ=="}, {"pagination": "number_base64"})])
@pytest.mark.parametrize("name", ["page[number]", "page"])
def test_number_of_the_first_page(load, parameter, wanted, name):
    schema = load(openapi({"/things": listing(resource({"name": {"type": "string"}}), [
        query(name, parameter), query("page[size]", {"type": "integer"})])}))
    options = load.tables(schema)["things"]
    assert {n: options[n] for n in ("pagination", "first_page") if n in options} == {"pagination": "number", **wanted}


def test_first_page_of_what_is_no_number(load):
    """Links lead on, or offsets count rows: no page has a number."""
    schema = load(openapi({
        "/linked": listing(resource({"name": {"type": "string"}}), [query("page[number]", {"type": "integer", "default": 0})],
                           links={"type": "object", "properties": {"next": {"type": "string"}}}),
        "/rows": listing(resource({"name": {"type": "string"}}), [query("page[offset]", {"type": "integer", "default": 0})])}))
    assert all("first_page" not in options for options in load.tables(schema).values())


def test_comments_come_from_the_document(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    rows(db, "CREATE SCHEMA told")
    rows(db, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (cases, gifts) FROM SERVER tpm INTO told"
             " OPTIONS (document 'openapi.json')")
    assert rows(db, "SELECT obj_description('told.cases'::regclass)") == [("Due diligence on a third party",)]
    [(comment,)] = rows(db, "SELECT col_description(attrelid, attnum) FROM pg_attribute"
                            " WHERE attrelid = 'told.gifts'::regclass AND attname = 'direction'")
    assert comment == "The direction; one of: given, received"


# documents written by hand


SWAGGER = """
    swagger: "2.0"
    info: {title: Small, version: 1}
    basePath: /v1
    parameters:
      size: {name: 'page[limit]', in: query, type: integer, maximum: 250}
    paths:
      /orgs/{org_id}/widgets/:
        parameters:
          - {name: org_id, in: path, required: true, type: integer, description: The organisation}
        get:
          summary: Widgets of an organisation
          parameters:
            - $ref: '#/parameters/size'
            - {name: 'page[offset]', in: query, type: integer}
            - {name: 'filter[color]', in: query, type: array, items: {type: string}}
            - {name: 'filter[sold]', in: query, type: boolean}
            - {name: 'filter[made][gte]', in: query, type: string, required: true}
            - {name: 'filter[made][before]', in: query, type: string}
            - {name: 'filter[weight]', in: query, type: number}
          responses:
            200: {description: ok, schema: {$ref: '#/definitions/WidgetList'}}
        post:
          parameters:
            - in: body
              name: body
              schema: {$ref: '#/definitions/NewWidget'}
          responses:
            201: {description: made}
      /orgs/{org_id}/widgets/{widget_id}:
        patch:
          parameters:
            - in: body
              name: body
              schema: {$ref: '#/definitions/NewWidget'}
          responses:
            200: {description: changed}
      /orgs/{org_id}/widgets/{id}/parts:
        get:
          responses:
            200: {description: ok, schema: {$ref: '#/definitions/PartList'}}
      /ping:
        get:
          responses:
            200: {description: ok, schema: {type: object, properties: {pong: {type: boolean}}}}
      /things/{id}:
        get:
          responses:
            200: {description: ok}
    definitions:
      Base: &base
        type: object
        properties:
          made: {type: string, format: date-time}
          price: {type: number, description: "what it\\n  costs"}
      WidgetList:
        type: object
        properties:
          data: {type: array, items: {$ref: '#/definitions/Widget'}}
      Widget:
        properties:
          id: {type: string}
          type: {type: string, enum: [gadgets]}
          attributes:
            allOf:
              - $ref: '#/definitions/Base'
              - type: object
                properties:
                  color: {type: string, enum: [red, green]}
                  sold: {type: boolean}
                  count: {type: integer}
                  small: {type: integer, format: int32}
                  weight: {type: number, format: double}
                  tags: {type: array, items: {type: string}}
                  sizes: {type: array, items: {type: integer}}
                  more: {type: object}
                  serial: {type: string, format: uuid}
                  day: {type: string, format: date}
                  secret: {type: string, writeOnly: true}
          relationships:
            properties:
              owner: {properties: {data: {properties: {type: {enum: [users]}, id: {type: string}}}}}
              parts: {properties: {data: {type: array, items: {type: object}}}}
              target: {properties: {data: {properties: {type: {enum: [a, b]}, id: {type: string}}}}}
      NewWidget:
        properties:
          data:
            properties:
              attributes:
                properties:
                  <<: {color: {type: string}, count: {type: integer}}
                  sold: {type: boolean}
              relationships:
                properties: {owner: {type: object}}
      PartList:
        properties:
          data: {type: array, items: {properties: {id: {}, type: {}, attributes: *base}}}
"""


def test_swagger_2_in_yaml(load):
    schema = load(SWAGGER)
    assert load.tables(schema) == {
        "widgets": {"resource": "/orgs/{org_id}/widgets/", "type": "gadgets", "required_filters": "made",
                    "page_size": "250", "pagination": "offset", "fields_format": "", "update_method": "PATCH"},
        "parts": {"resource": "/orgs/{org_id}/widgets/{widget_id}/parts", "ops": "read"},
    }
    read_only = {"read_only": "true"}
    assert list(load.columns(schema, "widgets").items()) == [
        ("id", ("text", {})),
        ("made", ("timestamp with time zone", {"filter_ge": "filter[made][gte]", "filter_lt": "filter[made][before]",
                                               **read_only})),
        ("price", ("numeric", read_only)),
        ("color", ("text", {"filter": "color"})),
        ("sold", ("boolean", {"filter": "sold", "filter_operators": "="})),
        ("count", ("bigint", {})),
        ("small", ("integer", read_only)),
        ("weight", ("double precision", read_only)),
        ("tags", ("text[]", read_only)),
        ("sizes", ("jsonb", read_only)),
        ("more", ("jsonb", read_only)),
        ("serial", ("uuid", read_only)),
        ("day", ("date", read_only)),
        ("owner_id", ("text", {"relationship": "owner"})),
        ("parts", ("text[]", {"relationship": "parts", **read_only})),
        ("target_id", ("text", {"relationship": "target", **read_only})),
        ("target_type", ("text", {"pointer": "/relationships/target/data/type", **read_only})),
        ("org_id", ("bigint", {})),
    ]
    assert list(load.columns(schema, "parts")) == ["id", "made", "price", "org_id", "widget_id"]
    assert load.comment(schema, "widgets") == "Widgets of an organisation"
    assert load.comment(schema, "widgets", "price") == "what it costs"
    assert load.comment(schema, "widgets", "color") == "one of: red, green"
    assert load.comment(schema, "widgets", "org_id") == "The organisation"
    skipped = load.warnings()
    assert len(skipped) == 3
    assert '"/things/{id}"' in skipped[0] and "no list" in skipped[0]
    assert '"/ping"' in skipped[1] and "no JSON:API" in skipped[1]
    assert '"secret"' in skipped[2] and "never read" in skipped[2]


def test_openapi_3_in_json(load):
    text = {"type": "string"}
    comma = {"style": "form", "explode": False}
    things = resource({
        "status": {"oneOf": [{"const": "A"}, {"const": "B"}, {"type": "null"}]},
        "state": {"$ref": "#/components/schemas/state~1of%20it"},
        "amount": {"anyOf": [{"type": "integer"}, {"type": "number"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "when": {"type": ["string", "null"], "format": "date-time"},
        "anything": {},
        "mixed": {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]},
        "a/b~c": text, "active": {"type": "boolean"}, "dueDate": text, "some-thing": text,
    })
    schema = load(openapi({
        "/things": listing(things, [
            query("filter[status]", {"enum": ["B", "C"]}),
            query("filter[state]", {"type": "array", "items": {"enum": ["x", "y", "z"]}}, **comma),
            query("filter[dueDate][]", {"type": "array", "items": text}),
            query("filter[active]", {"enum": ["yes", "no"]}),
            query("sort", {"type": "array", "items": {"enum": ["when", "-when", "amount", "dueDate", "-dueDate"]}}),
            query("page", {"type": "object", "properties": {"number": {"type": "integer"}, "size": {"maximum": 20}}},
                  style="deepObject"),
        ], links={"type": "object", "properties": {"next": text}}),
        "/flat": listing(resource({"name": text, "remark": text, "made": {"type": "string", "format": "date"}}), [
            query("name", text, description="several names, comma separated"), query("page", {"type": "integer"}),
            query("per_page", {"type": "integer"}), query("tenant", text, required=True),
            query("remark", text, description="must hold no comma")]),
    }, schemas={"state/of it": {"enum": ["x", "y"]}}))
    assert load.tables(schema) == {
        "things": {"ops": "read", "page_size": "20", "fields_format": "", "list_format": "repeat"},
        "flat": {"ops": "read", "pagination": "number", "page_parameters": "per_page,page", "fields_format": "",
                 "filter_format": "%s"},
    }
    assert load.columns(schema, "things") == {
        "id": ("text", {}),
        "status": ("text", {"filter": "status", "filter_operators": "=", "filter_values": "B=B"}),
        "state": ("text", {"filter": "state"}),
        "amount": ("numeric", {}),
        "either": ("text", {}),
        "when": ("timestamp with time zone", {"sortable": "true"}),
        "anything": ("jsonb", {}),
        "mixed": ("text", {}),
        "a_b_c": ("text", {"pointer": "/attributes/a~1b~0c", "read_only": "true"}),
        "active": ("boolean", {}),
        "duedate": ("text", {"attribute": "dueDate", "filter": "dueDate"}),
        "some_thing": ("text", {"attribute": "some-thing"}),
    }
    assert load.columns(schema, "flat")["name"] == ("text", {"filter": "name"})
    assert load.columns(schema, "flat")["remark"] == ("text", {"filter": "remark", "filter_operators": "="})
    assert [text for text in load.warnings() if "cannot be read without" in text and '"tenant"' in text]


def test_base_url_may_end_within_the_paths_of_the_document(load, db):
    document = openapi({"/orgs/{org}/cases": listing(resource({"name": {"type": "string"}})),
                        "/regions": listing(resource({"name": {"type": "string"}}))})
    document["servers"] = [{"url": "https://api.example.com/v1"}]
    path = load.file(json.dumps(document))
    assert load.tables(load(path)) == {"cases": {"resource": "/orgs/{org}/cases", "ops": "read"},
                                       "regions": {"ops": "read", "cache_scope": "table", "cache_ttl": "1h"}}
    rows(db, "ALTER SERVER s OPTIONS (SET base_url 'https://api.example.com/v1/orgs/7')")
    assert set(load.tables(load(path))) == {"cases"}
    assert "does not lie below base_url" in load.warnings()[0]


def test_paths_that_end_alike_are_told_apart(load):
    notes = listing(resource({"text": {"type": "string"}}))
    schema = load(openapi({"/cases/{id}/notes": notes, "/notes": notes, "/users/:user_id/notes": notes,
                           "/cases/{id}/notes/": notes}))
    assert {name: options.get("resource") for name, options in load.tables(schema).items()} == {
        "notes": None, "cases_notes": "/cases/{case_id}/notes", "users_notes": "/users/{user_id}/notes"}
    assert load.warnings() == []


def test_only_what_is_imported_is_complained_of(load, db):
    path = load.file(SWAGGER)
    load(path, "openapi EXCEPT (ping, things, widgets)")
    assert load.warnings() == []
    load(path, "openapi LIMIT TO (ping)")
    assert len(load.warnings()) == 1


# names


def test_names_that_sql_cannot_take_as_they_are(load):
    names = ["order", "Name", "name", "nAMe", 'quo"te', "", "id", "ctid", "x" * 100, "x" * 80, "ünï", "due date",
             "fetched_at", "new\nline", "y" * 2000]
    schema = load(openapi({"/select": listing(resource({name: {"type": "string"} for name in names},
                                                        {"": {}, "new\n": {}, "x" * 2000: {}}))}), fetched_at="true")
    columns = load.columns(schema, "select")
    mapped = [options.get("attribute") or options.get("pointer") or name for name, (_, options) in columns.items()]
    for name in names[:-2]:
        assert (name or "/attributes/") in mapped
    assert len(columns) == len(names) - 2 + 2
    assert {"order", "name", "name_2", "name_3", "quo_te", "id_2", "ctid_2", "x" * 63, "fetched_at_2"} <= set(columns)
    text = "\n".join(load.warnings())
    for part in ("order", "name_2", "quo_te", "ctid_2", "x" * 61 + "_2", "fetched_at_2", "new", "yyyy", '"select"'):
        assert part in text, part


def test_more_columns_than_a_table_can_have(load):
    schema = load(openapi({"/wide": listing(resource({f"a{i}": {"type": "string"} for i in range(5000)}))}))
    assert 1000 < len(load.columns(schema, "wide")) < 1600
    assert len(load.warnings()) == 1


# hostile documents


LOOPS = {
    "a": {"$ref": "#/components/schemas/b"}, "b": {"$ref": "#/components/schemas/a"},
    "self": {"allOf": [{"$ref": "#/components/schemas/self"}, {"$ref": "#/components/schemas/self"}]},
    "laughs": {"allOf": [{"$ref": "#/components/schemas/more"}] * 9},
    "more": {"oneOf": [{"$ref": "#/components/schemas/laughs"}] * 9},
    "list": {"type": "array", "items": {"$ref": "#/components/schemas/list"}},
    "tree": {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/tree"}}},
}


def test_references_that_go_round_end(load):
    good = listing(resource({"name": {"type": "string"}, "tree": {"$ref": "#/components/schemas/tree"}}))
    paths = {f"/{name}": listing(resource({"x": {"$ref": f"#/components/schemas/{name}"}})) for name in LOOPS}
    paths["/outside"] = listing({"$ref": "other.json#/a"})
    paths["/nowhere"] = listing({"$ref": "#/components/schemas/none"})
    paths["/round"] = {"$ref": "#/paths/~1round"}
    began = time.monotonic()
    schema = load(openapi({**paths, "/good": good}, schemas=LOOPS))
    assert time.monotonic() - began < 10
    assert {"good", "tree"} <= set(load.tables(schema))
    assert load.columns(schema, "good")["tree"] == ("jsonb", {})
    text = "\n".join(load.warnings())
    for path in ("/a", "/self", "/laughs", "/list", "/outside", "/nowhere"):
        assert f'skipping "{path}"' in text, path
    assert "leaves the document" in text and "leads nowhere" in text


def test_many_resources_of_many_steps_end(load):
    paths = {f"/laughs{i}": listing({"$ref": "#/components/schemas/laughs"}) for i in range(2000)}
    began = time.monotonic()
    try:
        load(openapi(paths, schemas=LOOPS))
        assert len(load.warnings()) <= 51
    except psycopg2.errors.ProgramLimitExceeded:
        pass
    assert time.monotonic() - began < 30 * tpmtest.SLACK


def test_ten_megabytes_of_enumerations(load, cluster):
    words = [f"value {i:08d}" for i in range(600_000)]
    document = openapi({f"/e{i}": listing(resource({"e": {"$ref": "#/components/schemas/e"}, "f": {"type": "string"}}),
                                          [query("filter[e]", {"$ref": "#/components/schemas/e"}),
                                           query("filter[f]", {"enum": ["x" * 3000]})])
                        for i in range(50)}, schemas={"e": {"enum": words}})
    path = load.file(json.dumps(document))
    assert path.stat().st_size > 10 << 20
    began = time.monotonic()
    schema = load(path)
    assert time.monotonic() - began < 20 * tpmtest.SLACK
    assert len(load.tables(schema)) == 50
    assert load.columns(schema, "e0") == {"id": ("text", {}), "e": ("text", {"filter": "e", "filter_operators": "="}),
                                          "f": ("text", {})}
    status = Path(f"/proc/{load.db.info.backend_pid}/status").read_text(encoding="ascii")
    kilobytes = int(next(line for line in status.split("\n") if line.startswith("VmHWM")).split()[1])
    assert kilobytes < 400 << 10


@pytest.mark.parametrize("text", [
    '{"openapi": "3.0.0", "paths": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}",
    '{"openapi": "3.0.0", "paths": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "openapi: 3.0.0\npaths: " + "[" * 10_000 + "]" * 10_000,
    "openapi: 3.0.0\npaths:\n" + "\n".join(" " * i + "a:" for i in range(1, 3000)),
])
def test_too_deep(load, text):
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="nests too deeply"):
        load(text.encode())


@pytest.mark.parametrize("text", [
    "openapi: 3.0.0\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)) + "paths: *u\n",
    "openapi: 3.0.0\nloop: &l {<<: *l, a: *l}\npaths: *l\n",
    "openapi: 3.0.0\nbig: &b {" + ", ".join(f"k{i}: 1" for i in range(10_000)) + "}\nall:\n"
    + "".join(f"  - {{<<: *b, x: {i}}}\n" for i in range(100)) + "paths: {}\n",
])
def test_aliases_multiply_nothing(load, text):
    began = time.monotonic()
    assert load.tables(load(text.encode())) == {}
    assert time.monotonic() - began < 5


def test_merges_of_merges_are_counted(load):
    text = "openapi: 3.0.0\nbig: &b {" + ", ".join(f"k{i}: 1" for i in range(50_000)) + "}\nall:\n" \
           + "".join("  - {<<: *b}\n" for _ in range(1000)) + "paths: {}\n"
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="too large"):
        load(text.encode())


@pytest.mark.parametrize("text, message", [
    (b'{"openapi": "3.0.0", "paths": {"/a\\u0000b": {}}}', "no valid JSON"),
    (b'{"openapi": "3.0.0", ', "no valid JSON"),
    (b'openapi: "3.0.0"\npaths: {"/a\\0b": {}}\n', "no valid YAML"),
    (b"openapi: 3.0.0\npaths: {a: *nobody}\n", "no valid YAML"),
    (b"openapi: 3.0.0\npaths: {[a]: b}\n", "no valid YAML"),
    (b"openapi: 3.0.0\n\tpaths: }{", "no valid YAML"),
    (b"\xff\xfe\x00\x01", "YAML|OpenAPI"),
    (b"<html><body>Sign in</body></html>", "no OpenAPI document"),
    (b"", "no OpenAPI document"),
    (b"openapi: 4.0.0\npaths: {}\n", "no OpenAPI document"),
    (b"swagger: '1.2'\n", "no OpenAPI document"),
    (b"[1, 2]", "no OpenAPI document"),
])
def test_what_is_no_document(load, text, message):
    with pytest.raises(psycopg2.Error, match=message) as error:
        load(text)
    assert error.value.pgcode == "HV00M"


def test_shapes_of_the_wrong_kind_are_survived(load):
    """Every value of a good document replaced by values of other kinds: an import, or an error, and no crash."""
    good = json.loads(json.dumps(openapi({"/a/{id}/things": {
        "parameters": [query("filter[name]", {"type": "string"})],
        **listing(resource({"name": {"type": "string", "enum": ["a"]}}, {"r": {"properties": {"data": {}}}}),
                  [query("sort", {"enum": ["name"]}), query("page[size]", {"maximum": 3})])}},
        parameters={})))
    places = []

    def visit(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                visit(node[key])
    visit(good)
    assert len(places) > 50
    for node, key in places:
        was = node[key]
        for other in (None, 1, "x", [], {}, [None], {"$ref": "#"}, True):
            node[key] = other
            try:
                load(good)
            except psycopg2.Error as error:
                assert error.pgcode == "HV00M"
        node[key] = was
    assert set(load.tables(load(good))) == {"things"}


# where documents come from


def test_document_is_required(load, db):
    with pytest.raises(psycopg2.Error, match='"document" is required'):
        rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER s INTO public")
    with pytest.raises(psycopg2.Error, match='"document"'):
        rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER s INTO public OPTIONS (documant 'x')")


@pytest.fixture
def stranger(cluster, db, sandbox):
    """A connection of a role that owns nothing but may use the server."""
    tpmtest.setup_server(db, sandbox)
    role = f"stranger{next(SCHEMAS)}"
    rows(db, f"CREATE ROLE {role} LOGIN")
    rows(db, f"GRANT USAGE ON FOREIGN SERVER tpm TO {role}; CREATE SCHEMA theirs AUTHORIZATION {role}")
    rows(db, f"CREATE USER MAPPING FOR {role} SERVER tpm"
             " OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret')")
    connection = cluster.connect(db.info.dbname, role)
    yield connection, role
    connection.close()


def test_files_take_the_right_to_read_them(cluster, db, load, stranger):
    connection, role = stranger
    path = load.file(SWAGGER)
    statement = "IMPORT FOREIGN SCHEMA openapi LIMIT TO (widgets) FROM SERVER tpm INTO theirs" \
                f" OPTIONS (document '{path}')"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="not found"):
        rows(connection, statement)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"):
        rows(connection, statement.replace(str(path), f"file://{path}"))
    rows(db, f"GRANT pg_read_server_files TO {role}")
    rows(connection, statement)
    rows(connection, "DROP FOREIGN TABLE theirs.widgets")
    rows(connection, statement.replace(str(path), f"file://{path}"))
    assert set(load.tables("theirs")) == {"widgets"}


def test_strangers_learn_nothing_of_files(db, load, stranger):
    """A file that is there and one that is not are answered alike."""
    connection, _ = stranger
    path = load.file(SWAGGER)
    said = []
    for name in (str(path), str(path)[:-1] + "x"):
        with pytest.raises(psycopg2.Error) as error:
            rows(connection, f"IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO theirs OPTIONS (document '{name}')")
        said.append((error.value.pgcode, str(error.value).replace(name, "?")))
    assert said[0] == said[1]


def test_strangers_use_documents_of_the_api(sandbox, load, stranger):
    connection, _ = stranger
    rows(connection, "IMPORT FOREIGN SCHEMA openapi LIMIT TO (users) FROM SERVER tpm INTO theirs"
                     " OPTIONS (document '/openapi.json')")
    assert set(load.tables("theirs")) == {"users"}


def test_files_that_are_none(cluster, load, db):
    path = load.file(SWAGGER)
    link = cluster.base / f"link{next(SCHEMAS)}"
    link.symlink_to(path)
    fifo = cluster.base / f"fifo{next(SCHEMAS)}"
    os.mkfifo(fifo)
    for bad in (link, fifo, cluster.base):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="cannot use the file"):
            load(bad)
    rows(db, "ALTER SERVER s OPTIONS (ADD max_response_size '1kB')")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="too large|cannot use the file"):
        load(path)


@pytest.mark.parametrize("document", ["https://elsewhere.example/openapi.json", "//elsewhere.example/openapi.json",
                                      "http://127.0.0.1:1/openapi.json", "http://169.254.169.254/latest"])
def test_other_origins_are_refused(db, sandbox, document):
    tpmtest.setup_server(db, sandbox)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="another origin"):
        rows(db, f"IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO public OPTIONS (document '{document}')")
    assert sandbox.requests() == []


@pytest.mark.parametrize("document", ["ftp://127.0.0.1/x", "http://user:secret@127.0.0.1/x", "a b",
                                      "file://relative"])
def test_what_is_no_url(db, sandbox, document):
    tpmtest.setup_server(db, sandbox)
    with pytest.raises(psycopg2.Error):
        rows(db, f"IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO public OPTIONS (document '{document}')")
    assert sandbox.requests() == []


def test_document_that_the_api_does_not_have(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    with pytest.raises(psycopg2.Error, match="was not found") as error:
        rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO public OPTIONS (document 'swagger.json')")
    assert error.value.pgcode == "HV00R"
    assert len(sandbox.api_requests()) == 1


def test_redirects_are_not_followed(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    sandbox.fault("redirect", match="GET /v1/openapi.json")
    with pytest.raises(psycopg2.Error) as error:
        rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER tpm INTO public OPTIONS (document 'openapi.json')")
    assert error.value.pgcode == "HV00M"
