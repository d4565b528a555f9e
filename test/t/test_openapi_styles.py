"""IMPORT FOREIGN SCHEMA openapi: documents in the styles of real frameworks, and of careless authors."""

import json
import time
from pathlib import Path

import psycopg2
import pytest
import tpmtest
from dialect import Dialect
from documents import answer, listing, openapi, query, resource
from tpmtest import rows

TEXT = {"type": "string"}
THINGS = listing(resource({"name": TEXT}))


def reference(name):
    return {"$ref": f"#/components/schemas/{name}"}


# types


TYPES = {
    # schema: type, options
    "uint64": ({"type": "integer", "format": "uint64"}, "numeric"),
    "beyond": ({"type": "integer", "maximum": 1e30}, "numeric"),
    "within": ({"type": "integer", "maximum": 2147483647}, "bigint"),
    "five": ({"const": 5}, "bigint"),
    "numbers": ({"enum": [1, 2, None]}, "bigint"),
    "fractions": ({"enum": [1, 2.5]}, "numeric"),
    "mixture": ({"enum": ["a", 1, True]}, "text"),
    "blank_day": ({"oneOf": [{"type": "string", "format": "date"}, {"enum": [""]}, {"enum": [None]}]}, "date"),
    "blank_count": ({"anyOf": [{"type": "integer"}, {"const": ""}]}, "bigint"),
    "blank_kind": ({"nullable": True, "oneOf": [{"enum": ["a", "b"]}, {"enum": [""]}]}, "text"),
    "only_blank": ({"enum": [""]}, "text"),
}


def test_types(load):
    schema = load(openapi({"/things": listing(resource({name: about for name, (about, _) in TYPES.items()}))}))
    found = {name: kind for name, (kind, _) in load.columns(schema, "things").items()}
    assert found == {"id": "text", **{name: kind for name, (_, kind) in TYPES.items()}}
    assert load.comment(schema, "things", "blank_kind") == "one of: a, b"
    assert load.warnings() == []


def test_what_stands_beside_a_reference_counts(load):
    things = resource({
        "day": {**reference("day"), "readOnly": True, "description": "nearer"},
        "old": {**reference("day"), "deprecated": True},
        "older": {"type": "string", "deprecated": True, "description": "of no use"},
        "maybe": {**reference("day"), "nullable": True},
        "day2": reference("day")}, **{"required": ["id"]})
    things["properties"]["attributes"]["required"] = ["maybe", "day2"]
    document = openapi({"/things": {**listing(things), "post": {"requestBody": answer({})["200"]}}},
                       schemas={"day": {"type": "string", "format": "date", "description": "farther"}})
    schema = load(document, trust="exact")
    assert load.columns(schema, "things") == {
        "id": ("text", {}), "day": ("date", {"read_only": "true"}), "old": ("date", {}), "older": ("text", {}),
        "maybe": ("date", {}), "day2": ("date", {})}
    assert [load.comment(schema, "things", name) for name in ("day", "old", "older", "day2")] == [
        "nearer", "deprecated; farther", "deprecated; of no use", "farther"]
    notnull = rows(load.db, "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnotnull AND attnum > 0 ORDER BY 1",
                   (f"{schema}.things",))
    assert notnull == [("day2",), ("id",)]


# shapes of resources


def test_attributes_without_names_are_read_as_a_whole(load):
    things = resource({})
    things["properties"]["attributes"] = {"type": "object", "additionalProperties": True}
    bare = {"type": "object", "properties": {"id": TEXT, "type": TEXT}}
    schema = load(openapi({"/things": listing(things), "/linkage": listing(bare)}))
    assert load.columns(schema, "things") == {
        "id": ("text", {}), "attributes": ("jsonb", {"pointer": "/attributes", "read_only": "true"})}
    assert list(load.columns(schema, "linkage")) == ["id"]


def test_members_beside_the_attributes(load):
    things = resource({"name": TEXT})
    things["properties"].update({"links": {}, "meta": {}, "lid": TEXT, "version": {"type": "integer"}, "name": TEXT})
    schema = load(openapi({"/things": listing(things)}))
    assert load.columns(schema, "things") == {
        "id": ("text", {}), "name": ("text", {}),
        "version": ("bigint", {"pointer": "/version", "read_only": "true"}),
        "name_2": ("text", {"pointer": "/name", "read_only": "true"})}


def test_resources_of_several_types(load):
    def of_type(name, attributes):
        made = resource(attributes)
        made["properties"]["type"] = {"const": name}
        return made

    cat, dog = of_type("cat", {"meow": TEXT, "age": {"type": "integer"}}), of_type("dog", {"bark": TEXT, "age": TEXT})
    same = of_type("cat", {"purr": TEXT})
    every = resource({"name": TEXT})
    every["properties"]["type"] = {"enum": ["people", "every"]}
    schema = load(openapi({"/pets": listing({"oneOf": [cat, dog], "discriminator": {"propertyName": "type"}}),
                           "/cats": listing({"anyOf": [cat, same]}), "/every": listing(every)}))
    assert load.tables(schema) == {"cats": {"type": "cat", "ops": "read", "cache_scope": "table", "cache_ttl": "1h"},
                                   "every": {"ops": "read", "cache_scope": "table", "cache_ttl": "1h"}}
    assert list(load.columns(schema, "cats")) == ["id", "meow", "age", "purr"]
    [text] = load.warnings()
    assert '"/pets"' in text and 'several types, such as "cat" and "dog"' in text


def test_alternatives_without_end_are_bounded(load):
    parts = [resource({f"a{i}_{j}": TEXT for j in range(3)}) for i in range(200)]
    schema = load(openapi({"/things": listing({"oneOf": parts})}))
    assert len(load.columns(schema, "things")) == 601
    assert load.warnings() == []


def test_what_is_left_out_is_told(load):
    text = {"requestBody": answer({})["200"]}
    things = resource({"name": TEXT, "password": {"type": "string", "writeOnly": True}})
    one = {"get": {"responses": answer({"properties": {"data": things}})},
           "put": {**text, "responses": answer({"properties": {"data": things}})}}
    schema = load(openapi({"/things": {**listing(things), "post": text}, "/things/{id}": one,
                           "/jobs": {"post": text}, "/things/{id}/publish": {"post": {}},
                           "/lonely/{id}": {"patch": text}, "/trash/{id}": {"delete": {}}, "/gone": {"delete": {}}}))
    assert set(load.tables(schema)) == {"things"} and "password" not in load.columns(schema, "things")
    told = "\n".join(load.warnings())
    assert len(load.warnings()) == 4
    for part in ('"/jobs"', '"/things/{id}/publish"', '"/lonely/{id}"', '"password"', "never read"):
        assert part in told, part


@pytest.mark.parametrize("document", [openapi({}), {"openapi": "3.1.0", "webhooks": {}}])
def test_an_empty_import_is_told(load, document):
    assert load.tables(load(document)) == {}
    [text] = load.warnings()
    assert "describes no list of resources" in text


# where the API is


@pytest.mark.parametrize("servers, told", [
    ([{"url": "/v1"}], False), ([{"url": "https://other.example/v1"}], False), (None, False),
    ([{"url": "https://{region}.example.com/{base}", "variables": {"base": {"default": "v1"}}}], False),
    ([{"url": "/"}], True), ([{"url": "https://api.example.com"}], True), ([{"url": "{base}"}], True),
])
def test_a_place_that_is_the_authors(load, servers, told):
    document = openapi({"/things": THINGS, "/others": THINGS})
    if servers:
        document["servers"] = servers
    assert set(load.tables(load(document))) == {"things", "others"}
    assert all("resource" not in options for options in load.tables(load.schema).values())
    assert ["relative to it" in text for text in load.warnings()] == ([True] if told else [])


# parameters


def test_filters_with_an_operator(load):
    things = resource({"name": TEXT, "size": {"type": "integer"}, "made": {"type": "string", "format": "date"}})
    operators = [query("filter[name][eq]", TEXT), query("filter[name][like]", TEXT), query("filter[id][eq]", TEXT),
                 query("filter[size][gte]", {"type": "integer"}), query("filter[made][lt]", TEXT), query("fields[x]", TEXT)]
    schema = load(openapi({"/things": listing(things, operators),
                           "/both": listing(things, [*operators, query("filter[size]", TEXT)])}))
    assert load.tables(schema) == {"things": {"ops": "read", "filter_format": "filter[%s][eq]"}, "both": {"ops": "read"}}
    only = {"filter_operators": "="}
    assert load.columns(schema, "things") == {
        "id": ("text", {"filter": "id", **only}), "name": ("text", {"filter": "name", **only}),
        "size": ("bigint", {"filter_ge": "filter[size][gte]"}), "made": ("date", {"filter_lt": "filter[made][lt]"})}
    assert load.columns(schema, "both")["name"] == ("text", {})
    assert load.columns(schema, "both")["size"][1] == {"filter": "size", **only, "filter_ge": "filter[size][gte]"}


def test_what_every_read_must_carry(load):
    schema = load(openapi({"/things": listing(resource({"name": TEXT}), [
        query("api-version", {"enum": ["2024-01-01"]}, required=True),
        query("lang", {"type": "string", "default": "en us"}, required=True), query("fields[things]", TEXT),
        query("tenant", TEXT, required=True), query("odd", {"const": "a&b"}, required=True),
        {"name": "X-Tenant", "in": "header", "required": True, "schema": TEXT},
        {"name": "accept", "in": "header", "required": True, "schema": TEXT},
        {"name": "X-Perhaps", "in": "header", "schema": TEXT}])}))
    assert load.tables(schema)["things"]["query"] == "api-version=2024-01-01&lang=en us"
    told = "\n".join(load.warnings())
    assert len(load.warnings()) == 3
    assert 'parameter "tenant"' in told and 'parameter "odd"' in told and 'header "X-Tenant"' in told


def test_page_sizes_to_choose_from(load):
    schema = load(openapi({"/things": listing(resource({"name": TEXT}), [
        query("page[size]", {"type": "integer", "enum": [10, 50, 20]}), query("page[number]", {"type": "integer"})])}))
    assert load.tables(schema)["things"] == {"ops": "read", "page_size": "50", "pagination": "number",
                                             "fields_format": "", "cache_scope": "table", "cache_ttl": "1h"}


def test_pages_without_a_size(load):
    schema = load(openapi({"/things": listing(resource({"name": TEXT}), [query("page", {"type": "integer"})])}))
    assert load.tables(schema)["things"] == {"ops": "read", "pagination": "number", "page_parameters": ",page",
                                             "fields_format": "", "cache_scope": "table", "cache_ttl": "1h"}


def test_placeholders_that_are_members(load):
    tasks = resource({"orgId": TEXT, "name": TEXT}, {"project": {"properties": {"data": {}}}})
    schema = load(openapi({"/orgs/{orgId}/projects/{projectId}/tasks": listing(tasks)}))
    assert load.tables(schema)["tasks"]["resource"] == "/orgs/{orgid}/projects/{project_id}/tasks"
    assert list(load.columns(schema, "tasks")) == ["id", "orgid", "name", "project_id"]
    assert load.warnings() == []


# paths that end in a slash (Django), end to end


def things_of(described, method, path, body, stored):
    """One answer of a server that knows no path without a slash at its end."""
    if path == "/api/openapi.json":
        return 200, described
    if not path.endswith("/"):
        return 301, None
    parts = path.strip("/").split("/")[1:]
    if method == "POST":
        stored[str(len(stored) + 1)] = body["data"]["attributes"]
        parts.append(str(len(stored)))
    elif method == "PATCH":
        stored[parts[1]].update(body["data"]["attributes"])
    items = [{"id": number, "type": "things", "attributes": members} for number, members in stored.items()
             if parts[1:] in ([], [number])]
    return (201 if method == "POST" else 200), {"data": items if parts[1:] == [] else items[0]}


def test_slashes_at_the_end(db):
    body = answer({"properties": {"data": resource({"name": TEXT})}})
    document = openapi({
        "/things/": {**listing(resource({"name": TEXT})), "post": {"requestBody": body["200"], "responses": body}},
        "/things/{id}/": {"get": {"responses": body}, "patch": {"requestBody": body["200"], "responses": body}}})
    stored = {"1": {"name": "a"}, "2": {"name": "b"}}
    server = Dialect(lambda method, path, _, sent: things_of(document, method, path, sent, stored))
    try:
        rows(db, f"CREATE SERVER s FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{server.base_url}', auth 'none')")
        rows(db, "CREATE SCHEMA x; SET tpm_fdw.cache_ttl = 0")
        rows(db, "IMPORT FOREIGN SCHEMA openapi FROM SERVER s INTO x OPTIONS (document 'openapi.json')")
        assert rows(db, "SELECT id, name FROM x.things ORDER BY id") == [("1", "a"), ("2", "b")]
        assert rows(db, "SELECT name FROM x.things WHERE id = '2'") == [("b",)]
        assert rows(db, "INSERT INTO x.things (name) VALUES ('c') RETURNING id, name") == [("3", "c")]
        rows(db, "UPDATE x.things SET name = 'd' WHERE id = '1'")
        assert stored == {"1": {"name": "d"}, "2": {"name": "b"}, "3": {"name": "c"}}
        paths = {(method, path) for method, path, *_ in server.seen}
        assert {("GET", "/api/things/"), ("GET", "/api/things/2/"), ("POST", "/api/things/"),
                ("PATCH", "/api/things/1/")} <= paths
        [(plan,)] = rows(db, "EXPLAIN (FORMAT JSON) UPDATE x.things SET name = 'd' WHERE id = '1'")
        assert "PATCH /things/{id}/" in json.dumps(plan)
        rows(db, "CREATE SCHEMA y")
        rows(db, "IMPORT FOREIGN SCHEMA sample FROM SERVER s INTO y OPTIONS (resources '/things/')")
        assert rows(db, "SELECT count(*) FROM y.things") == [(3,)]
    finally:
        server.close()


# YAML


STYLE = """
    openapi: 3.0.0
    text: &text string
    base: &base {zz: {type: integer}}
    paths:
      /things:
        get:
          responses:
            200:
              content:
                application/vnd.api+json:
                  schema:
                    properties:
                      data:
                        type: array
                        items:
                          properties:
                            id: {type: *text}
                            attributes:
                              properties:
                                <<: [*base, {zz: {type: boolean}, yy: {type: number}}]
                                yes: {type: boolean}
                                no: {enum: [no, 0123, 2024-01-01, ~]}
                                2024-01-01: {type: string}
                                *text : {type: !!str date}
"""


@pytest.mark.parametrize("change", [
    lambda text: text, lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
    lambda text: b"%YAML 1.2\n---\n" + text + b"---\nopenapi: 3.0.0\npaths: {}\n"])
def test_yaml(load, change):
    path = load.file(STYLE)
    path.write_bytes(change(path.read_bytes()))
    found = load.columns(load(path), "things")
    assert {name: kind for name, (kind, _) in found.items()} == {
        "id": "text", "yes": "boolean", "no": "text", "2024_01_01": "text", "string": "jsonb", "zz": "bigint",
        "yy": "numeric"}


def test_bytes_that_are_no_text_have_a_line(load):
    with pytest.raises(psycopg2.Error, match="Line 3: "):
        load(b"openapi: 3.0.0\ninfo:\n  title: caf\xe9\npaths: {}\n")


# bounds


def peak(connection):
    """The most memory that the backend has had, in kilobytes."""
    status = Path(f"/proc/{connection.info.backend_pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.split("\n") if line.startswith("VmHWM")).split()[1])


def test_wide_tables_are_not_created_without_end(load):
    """PostgreSQL keeps a description of the table for each column that has options."""
    wide = {**resource({}), "properties": {"id": TEXT, "type": TEXT, "attributes": reference("wide")}}
    names = {"type": "object", "properties": {f'say "{i}"': TEXT for i in range(1400)}}
    document = openapi({f"/t{i}": listing(wide) for i in range(30)}, schemas={"wide": names})
    began = time.monotonic()
    schema = load(document)
    assert time.monotonic() - began < 60 * tpmtest.SLACK
    assert list(load.tables(schema)) == ["t0"]
    assert peak(load.db) < (1 << 20) * tpmtest.SLACK
    told = "\n".join(load.warnings())
    assert 'table "t29" is not imported' in told
    schema = load(document, "openapi LIMIT TO (t29)")
    assert list(load.tables(schema)) == ["t29"]
    # of names so many are told, then that there are more
    assert "more names" in load.warnings()[-1]


def test_a_large_document_takes_seconds(load):
    """A hundred thousand lines, as of the largest API of this kind."""
    def attributes(i):
        return {f"member_{j}": {"type": ["string", "null"], "description": "What it is good for, in so many words",
                                **({"format": "date-time"} if j % 5 == 0 else {}),
                                **({"enum": ["a", "b"]} if j % 7 == i % 7 else {})} for j in range(40)}

    paths, schemas = {}, {}
    for i in range(150):
        schemas[f"r{i}"] = resource(attributes(i), {f"one{j}": {"properties": {"data": reference("link")}} for j in range(4)})
        body = answer({"properties": {"data": reference(f"r{i}")}})
        paths[f"/orgs/{{org_id}}/r{i}"] = {
            **listing(reference(f"r{i}"), [query(f"filter[member_{j}]", TEXT) for j in range(15)]),
            "post": {"requestBody": body["200"], "responses": body}}
        paths[f"/orgs/{{org_id}}/r{i}/{{id}}"] = {"get": {"responses": body},
                                                 "put": {"requestBody": body["200"], "responses": body}}
    schemas["link"] = {"type": "object", "properties": {"id": TEXT, "type": TEXT}}
    text = json.dumps(openapi(paths, **{"schemas": schemas}), indent=1)
    assert text.count("\n") > 80_000
    began = time.monotonic()
    schema = load(text)
    assert time.monotonic() - began < 10 * tpmtest.SLACK
    assert len(load.tables(schema)) == 150 and len(load.columns(schema, "r7")) == 46
    assert load.warnings() == []
