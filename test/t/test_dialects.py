"""APIs that spell things otherwise: options alone make them tables."""

import dialect
import psycopg2
import pytest
import tpmtest

BOOKS = [{"type": "Books", "id": number, "attributes": {
    "first-published": 1900 + number, "ISBN.code": f"i-{number}", "Título": f"t {number}", "inStock": number % 2 == 0,
    "price": "" if number == 3 else number + 0.5, "nested": {"deep": {"er": f"d{number}"}}, "blank": ""},
    "relationships": {"author": {"links": {"related": f"/api/authors/{number}"}},
                      "publisher": {"data": {"type": "houses", "id": 7}},
                      "tags": {"data": [{"type": "tags", "id": "a"}, {"type": "tags", "id": number}]}},
    "links": {"self": f"/api/books/{number}"}, "meta": {"rank": number}} for number in range(1, 46)]

TABLE = """CREATE FOREIGN TABLE books (
    id text,
    first_published int OPTIONS (attribute 'first-published', filter 'first-published', filter_ge 'from-year',
                                 filter_lt 'before_year'),
    isbn text OPTIONS (attribute 'ISBN.code', filter 'ISBN.code'),
    titulo text OPTIONS (attribute 'Título', filter 'Título', filter_like 'q'),
    in_stock boolean OPTIONS (attribute 'inStock', filter 'inStock', filter_values 'true=Y,false=N'),
    price numeric,
    deep text OPTIONS (attribute 'nested/deep/er'),
    author_id text OPTIONS (relationship 'author'),
    publisher_id text OPTIONS (relationship 'publisher'),
    tags text[] OPTIONS (relationship 'tags'),
    self text OPTIONS (pointer '/links/self'),
    rank int OPTIONS (pointer '/meta/rank'),
    everything jsonb OPTIONS (pointer '/attributes')
) SERVER odd OPTIONS (resource '/Books')"""


def matches(book, parameters, formats):
    for name, value in parameters:
        member = formats(name)
        if member in book["attributes"]:
            wanted = {"Y": "True", "N": "False"}.get(value, value)
            if str(book["attributes"][member]) not in wanted.split(","):
                return False
    return True


def library(formats=lambda name: name[7:-1] if name.startswith("filter[") else None, size="page[size]", number="page[number]",
            offset=False, link=None):
    """An answer function: books, by the filters and paging of a dialect."""
    def answer(method, path, parameters, body):
        if path.startswith("/api/Books/"):
            found = [book for book in BOOKS if str(book["id"]) == path[len("/api/Books/"):]]
            return (200, {"data": found[0]}) if found else (404, {"errors": [{"status": 404}]})
        if path != "/api/Books":
            return 404, {"errors": [{"status": 404, "title": "Nothing here"}]}
        asked = dict(parameters)
        found = [book for book in BOOKS if matches(book, parameters, formats)]
        length = min(int(asked.get(size, 20)), 20)
        start = int(asked.get(number, 0 if offset else 1))
        at = start if offset else (start - 1) * length
        page = found[at:at + length]
        document = {"data": page, "meta": {"page": {"total": len(found)}}}
        if link and at + length < len(found):
            document["links"] = {"next": link(parameters, size, length, number, at + length if offset else start + 1)}
        return 200, document
    return answer


@pytest.fixture
def odd(db):
    """Starts a server of a dialect, and makes its table."""
    servers = []

    def start(answer, table="", **options):
        server = dialect.Dialect(answer)
        servers.append(server)
        options = {"base_url": server.base_url, "auth": "none", "page_size": 20, **tpmtest.GENEROUS, **options}
        tpmtest.rows(db, f"CREATE SERVER odd FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
        tpmtest.rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER odd")
        tpmtest.rows(db, TABLE + table)
        tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
        return server

    yield start
    for server in servers:
        server.close()


def by_number(**more):
    return {"pagination": "number", **more}


def test_names_and_values(db, odd):
    """Dashes, dots, capitals, other letters; '' for blank; numbers as ids; links, meta, nested objects."""
    odd(library(), **by_number())
    row, = tpmtest.rows(db, "SELECT id, first_published, isbn, titulo, in_stock, price, deep, author_id, publisher_id, tags,"
                            " self, rank, everything->>'inStock' FROM books WHERE id = '3' OR id = 'x'")
    assert row == ("3", 1903, "i-3", "t 3", False, None, "d3", None, "7", ["a", "3"], "/api/books/3", 3, "false")
    assert tpmtest.rows(db, "SELECT count(*), count(DISTINCT id), sum(first_published) FROM books") == [
        (45, 45, sum(1900 + number for number in range(1, 46)))]


LINKS = {
    "relative": lambda p, size, length, number, following: f"?{size}={length}&{number}={following}",
    "path": lambda p, size, length, number, following: f"/api/Books?{size}={length}&{number}={following}",
    "raw brackets": lambda p, size, length, number, following: f"/api/Books?{size}={length}&{number}={following}",
    "encoded": lambda p, size, length, number, following:
        f"/api/Books?{size.replace('[', '%5B').replace(']', '%5D')}={length}&"
        f"{number.replace('[', '%5b').replace(']', '%5d')}={following}",
    "object": lambda p, size, length, number, following:
        {"href": f"/api/Books?{size}={length}&{number}={following}", "meta": {}},
}


@pytest.mark.parametrize("link", LINKS)
def test_links(db, odd, link):
    """links.next in every spelling, a link object (JSON:API 1.0, section 6) too."""
    odd(library(link=LINKS[link]))
    assert tpmtest.rows(db, "SELECT count(*), count(DISTINCT id) FROM books") == [(45, 45)]


@pytest.mark.parametrize("options, answer", [
    ({"page_parameters": "per_page,p"}, library(size="per_page", number="p")),
    ({"pagination": "offset", "page_parameters": "limit,from"}, library(size="limit", number="from", offset=True)),
    ({"total_pointer": "/meta/page/total"}, library()),
])
def test_pages(db, odd, options, answer):
    """Parameters of other names, computed pages, a total elsewhere; pages capped below what we ask for."""
    server = odd(answer, **{**by_number(), **options, "page_size": 30})
    assert tpmtest.rows(db, "SELECT count(*), count(DISTINCT id) FROM books WHERE rank > 0") == [(45, 45)]
    assert all(len(parameters) >= 1 for parameters in server.parameters())


FILTERS = [
    ({}, lambda name: name[7:-1] if name.startswith("filter[") else None, "filter[ISBN.code]"),
    ({"filter_format": "%s"}, lambda name: name, "ISBN.code"),
    ({"filter_format": "f.%s"}, lambda name: name[2:] if name.startswith("f.") else None, "f.ISBN.code"),
    ({"filter_format": "where[%s][eq]"}, lambda name: name[6:-5] if name.startswith("where[") else None,
     "where[ISBN.code][eq]"),
]


@pytest.mark.parametrize("options, formats, name", FILTERS)
def test_filters(db, odd, options, formats, name):
    """A filter in another spelling: the server filters, and the rows are right."""
    server = odd(library(formats), **by_number(**options))
    assert tpmtest.rows(db, "SELECT id FROM books WHERE isbn = 'i-30'") == [("30",)]
    assert (name, "i-30") in server.parameters()[0]
    assert tpmtest.rows(db, "SELECT count(*) FROM books WHERE in_stock") == [(22,)]
    assert any(value == "Y" for _, value in server.parameters()[-2])


def test_repeated_keys(db, odd):
    """list_format 'repeat': one key for each value; a value may hold a comma."""
    def answer(method, path, parameters, body):
        wanted = [value for name, value in parameters if name == "filter[ISBN.code][]"]
        single = [value for name, value in parameters if name == "filter[ISBN.code]"]
        found = [book for book in BOOKS if book["attributes"]["ISBN.code"] in wanted + single or not wanted + single]
        return 200, {"data": found if dict(parameters).get("page[number]", "1") == "1" else []}
    server = odd(answer, **by_number(list_format="repeat", page_size=100))
    assert tpmtest.rows(db, "SELECT id FROM books WHERE isbn IN ('i-1', 'i-2', 'i,3') ORDER BY id") == [("1",), ("2",)]
    assert sorted(value for name, value in server.parameters()[0] if name == "filter[ISBN.code][]") == ["i,3", "i-1", "i-2"]


def test_bounds_and_like(db, odd):
    """filter_ge and its like are whole parameter names."""
    server = odd(library(), **by_number())
    assert tpmtest.rows(db, "SELECT count(*) FROM books WHERE first_published >= 1910 AND first_published < 1920") == [(10,)]
    assert ("from-year", "1910") in server.parameters()[0]
    assert ("before_year", "1920") in server.parameters()[0]
    server.seen.clear()
    assert tpmtest.rows(db, "SELECT count(*) FROM books WHERE titulo LIKE 't 1%'") == [(11,)]
    assert "q" in dict(server.parameters()[0])


def test_parameter_names(db, odd):
    """sort_parameter, fields_format, include_parameter."""
    server = odd(library(), **by_number(sort_parameter="orderBy", fields_format="only[%s]"))
    tpmtest.rows(db, "ALTER FOREIGN TABLE books ALTER first_published SET NOT NULL,"
                     " ALTER first_published OPTIONS (ADD sortable 'true')")
    tpmtest.rows(db, "SELECT isbn FROM books ORDER BY first_published LIMIT 3")
    asked = dict(server.parameters()[0])
    assert asked["orderBy"] == "first-published"
    assert "ISBN.code" in asked["only[Books]"]


def test_included(db, odd):
    """A column from the compound document of include."""
    def answer(method, path, parameters, body):
        assert dict(parameters)["with"] == "publisher"
        return 200, {"data": BOOKS[:5], "included": [{"type": "houses", "id": "7", "attributes": {"name": "Seven"}}],
                     "links": {"next": None}}
    odd(answer, include_parameter="with")
    tpmtest.rows(db, "ALTER FOREIGN TABLE books OPTIONS (ADD include 'publisher')")
    tpmtest.rows(db, "ALTER FOREIGN TABLE books ADD COLUMN house text OPTIONS (included 'publisher/name')")
    assert tpmtest.rows(db, "SELECT DISTINCT house FROM books") == [("Seven",)]


def test_required_filters(db, odd):
    """Without what the API insists on: HV002 with an example, and no request."""
    server = odd(library(), **by_number())
    tpmtest.rows(db, "ALTER FOREIGN TABLE books OPTIONS (ADD required_filters 'isbn')")
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(db, "SELECT * FROM books")
    assert caught.value.pgcode == "HV002"
    assert "isbn = " in str(caught.value)
    assert server.seen == []
    assert tpmtest.rows(db, "SELECT id FROM books WHERE isbn = 'i-4'") == [("4",)]


def test_numeric_status_and_words(db, odd):
    """An error document whose status is a number, and one that is none at all."""
    def answer(method, path, parameters, body):
        return 422, {"errors": [{"status": 422, "title": "No", "detail": "not like this", "source": {"parameter": "x"}}]}
    odd(answer, **by_number())
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(db, "SELECT * FROM books")
    assert caught.value.pgcode == "22023"
    assert "not like this" in str(caught.value)


def test_headers_and_media_type(db, odd):
    """headers of server and mapping, another media type, query on every read."""
    server = odd(library(), **by_number(headers="X-Tenant: one\nX-Other: two words", media_type="application/json",
                                         query="state=all&x=ü"))
    tpmtest.rows(db, "ALTER USER MAPPING FOR CURRENT_USER SERVER odd OPTIONS (ADD headers 'X-Api-Key: secret')")
    assert len(tpmtest.rows(db, "SELECT id FROM books")) == 45
    _, _, parameters, _, headers = server.seen[0]
    assert ("state", "all") in parameters and ("x", "ü") in parameters
    assert headers["X-Tenant"] == "one" and headers["X-Other"] == "two words" and headers["X-Api-Key"] == "secret"
    assert headers["Accept"] == "application/json"
    assert "Authorization" not in headers
    version = tpmtest.rows(db, "SELECT extversion FROM pg_extension WHERE extname = 'tpm_fdw'")[0][0]
    assert headers["User-Agent"] == f"tpm_fdw/{version}"
    tpmtest.rows(db, "ALTER SERVER odd OPTIONS (SET headers 'User-Agent: acme-reports')")
    tpmtest.rows(db, "SELECT id FROM books")
    assert server.seen[-1][4]["User-Agent"] == "acme-reports"


def test_what_the_library_calls_itself(db):
    """From 18 on, PostgreSQL lists the libraries that are loaded, with their names and versions."""
    version = tpmtest.rows(db, "SELECT extversion FROM pg_extension WHERE extname = 'tpm_fdw'")[0][0]
    asked = "SELECT module_name, version FROM pg_get_loaded_modules() WHERE file_name ~ 'tpm_fdw'"
    if db.server_version < 180000:
        with pytest.raises(psycopg2.errors.UndefinedFunction):
            tpmtest.rows(db, asked)
    else:
        assert tpmtest.rows(db, asked) == [("tpm_fdw", version)]


def test_patch_of_odd_names(db, odd):
    """Writes spell members as the columns are mapped."""
    stored = {"3": dict(BOOKS[2], id="3")}

    def answer(method, path, parameters, body):
        if method == "GET" and path == "/api/Books":
            return 200, {"data": list(stored.values()), "links": {"next": None}}
        if method == "GET":
            return 200, {"data": stored["3"]}
        stored["3"]["attributes"] = {**stored["3"]["attributes"], **body["data"]["attributes"]}
        return 200, {"data": stored["3"]}
    server = odd(answer, update_method="PATCH", update_body="changed")
    assert tpmtest.rows(db, "UPDATE books SET isbn = 'new', deep = 'deeper' WHERE id = '3' RETURNING isbn, deep") == [
        ("new", "deeper")]
    method, path, _, body, headers = next(seen for seen in server.seen if seen[0] == "PATCH")
    assert path == "/api/Books/3"
    assert body["data"]["type"] == "Books" and body["data"]["id"] == "3"
    assert body["data"]["attributes"] == {"ISBN.code": "new", "nested": {"deep": {"er": "deeper"}}}
    assert headers["Content-Type"] == "application/vnd.api+json"


def test_what_is_read_only_inside_a_member(db, odd):
    """A read_only column is never sent, however deep it stands; an array is not set by one of its places."""
    stored = {"type": "Books", "id": "3", "attributes": {"ISBN.code": "old", "nested": {"deep": {"er": "d", "stays": 1}},
                                                         "made": {"by": "server", "kept": 2}, "list": ["a", "b"]}}

    def answer(method, path, parameters, body):
        if method == "PUT":
            stored["attributes"] = body["data"]["attributes"]
        return 200, {"data": [stored] if path == "/api/Books" else stored}
    server = odd(answer)
    tpmtest.rows(db, "CREATE FOREIGN TABLE deep (id text, isbn text OPTIONS (attribute 'ISBN.code'),"
                     " er text OPTIONS (attribute 'nested/deep/er', read_only 'true'),"
                     " by text OPTIONS (pointer '/attributes/made/by', read_only 'true'),"
                     " kept int OPTIONS (pointer '/attributes/made/kept'),"
                     " first text OPTIONS (pointer '/attributes/list/0')) SERVER odd OPTIONS (resource '/Books')")
    tpmtest.rows(db, "UPDATE deep SET isbn = 'new', kept = 3 WHERE id = '3'")
    body = next(seen[3] for seen in server.seen if seen[0] == "PUT")
    assert body["data"]["attributes"] == {"ISBN.code": "new", "nested": {"deep": {"stays": 1}}, "made": {"kept": 3},
                                          "list": ["a", "b"]}
    for statement in ("UPDATE deep SET first = 'z' WHERE id = '3'", "INSERT INTO deep (first) VALUES ('z')"):
        with pytest.raises(psycopg2.Error) as caught:
            tpmtest.rows(db, statement)
        assert caught.value.pgcode == "428C9"


def test_one_id_under_two_parents(db, odd):
    """Rows of two parents are two rows, whatever their ids: each is updated, once."""
    def answer(method, path, parameters, body):
        parent = path.split("/")[3]
        row = {"type": "notes", "id": "5", "attributes": {"text": f"of {parent}"}}
        if method == "PUT":
            return 200, {"data": {**row, "attributes": body["data"]["attributes"]}}
        return 200, {"data": row if path.endswith("/5") else [row]}
    server = odd(answer)
    tpmtest.rows(db, "CREATE FOREIGN TABLE notes (id text, parent text, text text) SERVER odd"
                     " OPTIONS (resource '/parents/{parent}/notes')")
    tpmtest.rows(db, "CREATE TABLE twice AS SELECT parent FROM unnest(ARRAY['a', 'b', 'a']) parent")
    with db.cursor() as cursor:
        cursor.execute("UPDATE notes SET text = 'new' FROM twice WHERE notes.parent = twice.parent")
        assert cursor.statusmessage == "UPDATE 2"
    assert sorted(path for method, path, *_ in server.seen if method == "PUT") == [
        "/api/parents/a/notes/5", "/api/parents/b/notes/5"]


def test_array_columns(db, odd):
    """Arrays of any type, and a domain over one, are read from JSON arrays and written as such."""
    stored = {"type": "Books", "id": "3", "attributes": {"numbers": [1, 2.5, None], "days": ["2026-01-02"], "words": ["a", 'b,"'],
                                                         "one": 7, "none": []}}

    def answer(method, path, parameters, body):
        if method in ("PUT", "POST"):
            stored["attributes"] = {**stored["attributes"], **body["data"]["attributes"]}
        return 200, {"data": [stored] if method == "GET" and path == "/api/Books" else stored}
    server = odd(answer)
    tpmtest.rows(db, "CREATE DOMAIN words AS varchar[] CHECK (cardinality(VALUE) < 4)")
    tpmtest.rows(db, "CREATE FOREIGN TABLE arrays (id text, numbers numeric[], days date[], words words, one int[], none int[])"
                     " SERVER odd OPTIONS (resource '/Books')")
    read = "SELECT numbers::text, days::text, words::text, one::text, none::text FROM arrays"
    assert tpmtest.rows(db, read) == [("{1,2.5,NULL}", "{2026-01-02}", '{a,"b,\\""}', "{7}", "{}")]
    tpmtest.rows(db, "UPDATE arrays SET numbers = numbers || 3.10, days = '{}', words = words || ARRAY['c'::varchar]")
    body = next(seen[3] for seen in server.seen if seen[0] == "PUT")["data"]["attributes"]
    assert body == {"numbers": [1, 2.5, None, 3.1], "days": [], "words": ["a", 'b,"', "c"], "one": 7, "none": []}
    with pytest.raises(psycopg2.errors.CheckViolation):
        tpmtest.rows(db, "INSERT INTO arrays (words) VALUES ('{1,2,3,4}')")
    assert tpmtest.rows(db, "INSERT INTO arrays (one, words) VALUES ('{4,5}', NULL) RETURNING one, words") == [([4, 5], None)]
    assert server.seen[-1][3]["data"]["attributes"] == {"one": [4, 5], "words": None}
