"""What an answer does not have: NULL is shown only where the API says null, or a member is known to be sparse.
Everything else is told, or asked for, or known from elsewhere."""

import json
import re
import urllib.parse

import hostile
import psycopg2
import pytest
import tpmtest
from hostile import answer, document
from tpmtest import notices, rows


@pytest.fixture(scope="module")
def shared_api():
    server = hostile.Hostile()
    yield server
    server.close()


@pytest.fixture
def web(shared_api):
    shared_api.reset()
    return shared_api


@pytest.fixture
def books(db, web):
    """A table of books on the API, cache off."""
    options = {"base_url": web.base_url, "auth": "none", "cache_ttl": 0, "max_retries": 0, "updatable": "true",
               "update_check": "reread", "type": "books", **tpmtest.GENEROUS}
    table = options.pop("type")
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm",
            "CREATE FOREIGN TABLE books (id int, title text, in_print boolean OPTIONS (attribute 'in-print'),"
            " author_id text OPTIONS (relationship 'author', filter 'author'))"
            f" SERVER tpm OPTIONS (resource '/books', type '{table}')"):
        rows(db, statement)
    return db


def book(number, relationships=None, **attributes):
    attributes = {name.replace("_", "-"): value for name, value in attributes.items()}
    item = {"type": "books", "id": str(number), "attributes": attributes}
    return {**item, "relationships": relationships} if relationships else item


def author(number):
    return {"author": {"data": {"type": "people", "id": str(number)} if number else None}}


LINKS = {"author": {"links": {"related": "/people/1"}}}


def wanted_fields(request):
    found = re.search(r"fields%5Bbooks%5D=([^&]*)", request.target)
    return urllib.parse.unquote(found.group(1)).split(",") if found else None


def sparse_fieldsets(items, unknown=()):
    """An API that gives the members named in fields[books], and does not know these names there."""
    def serve(request):
        wanted = wanted_fields(request)
        found = json.loads(json.dumps(items))
        by_id = re.match(r"/v1/books/(\w+)", request.target)
        if by_id:
            found = [item for item in found if item["id"] == by_id.group(1)]
        for item in found:
            for part in ("attributes", "relationships"):
                if wanted is not None and part in item:
                    item[part] = {name: value for name, value in item[part].items()
                                  if name in wanted and name not in unknown}
        if by_id and not found:
            return answer("{}", status=404)
        return document(found[0] if by_id else found)
    return serve


def failure(connection, statement):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement)
    return caught.value


def refused(connection, statement):
    """It is an error that says that the column cannot be known, and nothing is told twice."""
    error = failure(connection, statement)
    assert error.pgcode == "HV005", error
    return error.diag.message_primary


# ----- names that "fields" does not know -----

IN_PRINT = [book(n, author(n % 3), title=f"t{n}", in_print=n % 2 == 1) for n in range(1, 6)]


@pytest.mark.parametrize("unknown, query, right, sent", [
    ("in-print", "SELECT id FROM books WHERE in_print ORDER BY 1", [(1,), (3,), (5,)], ["in-print", None]),
    ("in-print", "SELECT id, in_print FROM books WHERE id < 3 ORDER BY 1", [(1, True), (2, False)], ["in-print", None]),
    ("author", "SELECT count(*) FROM books WHERE author_id IS NULL", [(1,)], ["author", None]),
    ("title", "SELECT title FROM books WHERE id = 2", [("t2",)], ["title", None]),
])
def test_name_unknown_in_fields(books, web, unknown, query, right, sent):
    """One more request, once: the table is read without names from then on, in other sessions too."""
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT, unknown=[unknown])
    assert rows(books, query) == right
    assert [wanted_fields(request) for request in web.requests] == [names and names.split(",") for names in sent]
    other = psycopg2.connect(books.dsn)
    assert rows(other, query) == right
    other.close()
    assert [wanted_fields(request) for request in web.requests][len(sent):] == [None]
    assert notices(books) == ""


def test_other_columns_are_still_named(books, web):
    """What is known of one column is not held against others."""
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT, unknown=["in-print"])
    rows(books, "SELECT in_print FROM books")
    del web.requests[:]
    assert rows(books, "SELECT title FROM books WHERE id = 1") == [("t1",)]
    assert rows(books, "SELECT title, in_print FROM books WHERE id = 1") == [("t1", True)]
    assert [wanted_fields(request) for request in web.requests] == [["title"], None]


def test_name_unknown_on_the_first_pages_only(books, web):
    """A page without rows tells nothing; the one after it does."""
    items = {"n=2": IN_PRINT[:3], "n=3": IN_PRINT[3:]}

    def pages(request):
        key = next((key for key in items if key in request.target), None)
        nexts = {None: "n=2", "n=2": "n=3", "n=3": None}[key]
        found = json.loads(sparse_fieldsets(items.get(key, []), unknown=["in-print"])(request).split(b"\r\n\r\n")[1])
        fields = "&fields%5Bbooks%5D=in-print" if wanted_fields(request) else ""
        return document(found["data"], links={"next": nexts and f"/v1/books?{nexts}{fields}"})
    web.answers["/v1/books"] = pages
    assert rows(books, "SELECT count(*) FROM books WHERE in_print") == [(3,)]


def test_member_that_is_nowhere_is_tried_once(books, web):
    """A sparse member, or a wrong name: no second request is ever spent on it, and the value is found when it comes."""
    bare = [book(n, title=f"t{n}") for n in range(1, 4)]
    web.answers["/v1/books"] = sparse_fieldsets(bare)
    assert rows(books, "SELECT in_print FROM books WHERE id = 2") == [(None,)]
    assert len(web.requests) == 2
    assert rows(books, "SELECT in_print FROM books WHERE id = 3") == [(None,)]
    assert len(web.requests) == 3
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT, unknown=["in-print"])
    assert rows(books, "SELECT in_print FROM books WHERE id = 3") == [(True,)]
    assert len(web.requests) == 4


def test_sparse_member_whose_name_is_known(books, web):
    """Once it was given by its name, its absence is the API's word."""
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT[:1] + [book(2, title="t2")])
    assert rows(books, "SELECT in_print FROM books ORDER BY id") == [(True,), (None,)]
    assert rows(books, "SELECT in_print FROM books WHERE id = 2") == [(None,)]
    assert [wanted_fields(request) for request in web.requests] == [["in-print"], ["in-print"]]
    assert notices(books) == ""


def test_update_of_a_table_with_such_names(books, web):
    """What was read is compared with what is there: the same members must have been asked for."""
    def serve(request):
        if request.method == "PUT":
            return document(json.loads(request.body)["data"])
        return sparse_fieldsets(IN_PRINT, unknown=["in-print", "author"])(request)
    web.answers["/v1/books"] = serve
    assert rows(books, "UPDATE books SET title = 'new' WHERE id = 3 RETURNING title, in_print, author_id") == \
        [("new", True, None)]
    assert rows(books, "UPDATE books SET title = 'new' WHERE id = 4 RETURNING author_id") == [("1",)]
    assert [request.method for request in web.requests] == ["GET", "GET", "GET", "PUT", "GET", "GET", "PUT"]


def test_name_that_is_refused(books, web):
    """An API that answers 400 to a name it does not know says so itself."""
    web.answers["/v1/books"] = answer(json.dumps({"errors": [
        {"title": "Invalid field", "detail": "in-print is not a field of books",
         "source": {"parameter": "fields[books]"}}]}), status=400)
    error = failure(books, "SELECT in_print FROM books")
    assert error.pgcode == "22023" and "in-print is not a field of books" in str(error)


# ----- values that are not told -----

UNTOLD = {
    "links only": [book(n, LINKS, title=f"t{n}") for n in range(1, 4)],
    "links on one": [book(1, author(1)), book(2, LINKS), book(3, author(2))],
    "empty object": [book(1, author(1)), book(2, {"author": {}})],
    "meta only": [book(1, {"author": {"meta": {"count": 1}}})],
}


@pytest.mark.parametrize("items", UNTOLD.values(), ids=UNTOLD)
def test_linkage_without_data(books, web, items):
    """From the first row on: an error where it decides, a WARNING where it is shown, NULL where that was asked for."""
    web.answers["/v1/books"] = document(items)
    for query in ("SELECT count(*) FROM books WHERE author_id IS NULL", "SELECT id FROM books WHERE author_id = '1'",
                  "SELECT author_id, count(*) FROM books GROUP BY 1", "SELECT id FROM books ORDER BY author_id",
                  "SELECT b.id FROM books b JOIN (VALUES ('1')) v (a) ON a = author_id",
                  "CREATE TABLE copy AS SELECT id, author_id FROM books"):
        assert "author_id" in refused(books, query)
    assert len(rows(books, "SELECT id, author_id FROM books")) == len(items)
    told = notices(books)
    assert told.count("WARNING") == 1 and 'the value of column "author_id"' in told
    rows(books, "SELECT id, title FROM books; SELECT count(*) FROM books")
    assert notices(books) == ""
    rows(books, "ALTER FOREIGN TABLE books OPTIONS (ADD missing_attribute 'null')")
    assert rows(books, "SELECT count(*) FROM books WHERE author_id IS NULL")[0][0] > 0
    rows(books, "ALTER FOREIGN TABLE books OPTIONS (SET missing_attribute 'error')")
    refused(books, "SELECT author_id FROM books")


def test_linkage_that_is_told(books, web):
    """null and [] are values, and so is a relationship that is null as a whole."""
    rows(books, "ALTER FOREIGN TABLE books ADD tags text[] OPTIONS (relationship 'tags'),"
                " ADD editor text OPTIONS (pointer '/relationships/editor/data/id')")
    web.answers["/v1/books"] = document([
        book(1, {**author(None), "tags": {"data": []}, "editor": {"data": None}}),
        book(2, {"author": None, "tags": {"data": [{"type": "tags", "id": "x"}]},
                 "editor": {"data": {"type": "people", "id": "7"}}})])
    assert rows(books, "SELECT id, author_id, tags, editor FROM books WHERE author_id IS NULL") == \
        [(1, None, [], None), (2, None, ["x"], "7")]
    assert notices(books) == ""


@pytest.mark.parametrize("column, member", [("tags", "tags"), ("editor", "editor")])
def test_other_columns_that_rest_on_linkage(books, web, column, member):
    """To many, and by a pointer."""
    rows(books, "ALTER FOREIGN TABLE books ADD tags text[] OPTIONS (relationship 'tags'),"
                " ADD editor text OPTIONS (pointer '/relationships/editor/data/id')")
    web.answers["/v1/books"] = document([book(1, {member: {"links": {"self": "/x"}}}), book(2)])
    assert column in refused(books, f"SELECT id FROM books WHERE {column} IS NULL")


def person(number, name):
    return {"type": "people", "id": str(number), "attributes": {"name": name}}


@pytest.fixture
def included(books):
    rows(books, "ALTER FOREIGN TABLE books OPTIONS (ADD include 'author'),"
                " ADD author_name text OPTIONS (included 'author/name'),"
                " ADD sequel_of text OPTIONS (included 'prequel/title')")
    return books


@pytest.mark.parametrize("members", [
    {"included": [person(1, "Ann")]}, {"included": []}, {},
    {"included": [person(1, "Ann"), {"type": "firms", "id": "2", "attributes": {"name": "Not him"}}]}], ids=range(4))
def test_resource_that_is_not_included(included, web, members):
    web.answers["/v1/books"] = document([book(1, author(1)), book(2, author(2))], **members)
    assert "author_name" in refused(included, "SELECT id FROM books WHERE author_name IS NULL")
    assert "author_name" in refused(included, "SELECT id FROM books ORDER BY author_name")
    assert rows(included, "SELECT id, author_name FROM books")[1] == (2, None)
    assert notices(included).count("WARNING") == 1
    web.answers["/v1/books"] = document([book(1, author(1)), book(2, LINKS)], included=[person(1, "Ann")])
    assert "author_name" in refused(included, "SELECT id FROM books WHERE author_name = 'Ann'")


def test_resource_that_is_included(included, web):
    """Or led to by nothing, or among the data, where no document repeats it, or without that attribute."""
    prequel = {"prequel": {"data": {"type": "books", "id": "1"}}}
    web.answers["/v1/books"] = document([
        book(1, {**author(1), "prequel": {"data": None}}, title="one"), book(2, {**author(None), **prequel}, title="two"),
        book(3, {**author(2), **prequel}, title="three"), book(4)],
        included=[person(1, "Ann"), {"type": "people", "id": "2"}])
    assert rows(included, "SELECT id, author_name, sequel_of FROM books WHERE sequel_of IS DISTINCT FROM author_name"
                          " OR author_name IS NULL ORDER BY id") == \
        [(1, "Ann", None), (2, None, "one"), (3, None, "one"), (4, None, None)]
    assert notices(included) == ""


def test_warm_as_cold(books, web):
    """A page that somebody else has fetched is judged as it was for him."""
    rows(books, "ALTER SERVER tpm OPTIONS (SET cache_ttl '1h')")
    web.answers["/v1/books"] = document(UNTOLD["links on one"])
    rows(books, "SELECT id FROM books")
    assert len(web.requests) == 1 and notices(books) == ""
    refused(books, "SELECT id FROM books WHERE author_id IS NULL")
    rows(books, "SELECT author_id FROM books")
    assert "author_id" in notices(books) and len(web.requests) == 1


# ----- members that have gone -----

def shelf(n, **more):
    return [book(i, author(1), title=f"t{i}", in_print=True, **more) for i in range(1, n + 1)]


def without(items, *members):
    """The same without these, be they attributes or relationships."""
    items = json.loads(json.dumps(items))
    for item in items:
        for part in ("attributes", "relationships"):
            item[part] = {name: value for name, value in item[part].items() if name not in members}
    return items


@pytest.fixture
def drifted(books, web):
    """title and author were on every book until now."""
    web.answers["/v1/books"] = document(shelf(25))
    rows(books, "SELECT id, title, in_print, author_id FROM books")
    web.answers["/v1/books"] = document(without(shelf(25), "title", "author"))
    rows(books, "CREATE TABLE copy (id int PRIMARY KEY, title text, author_id text)")
    rows(books, "INSERT INTO copy SELECT n, 't' || n, '1' FROM generate_series(1, 25) n")
    assert notices(books) == ""
    return books


@pytest.mark.parametrize("statement", [
    "SELECT count(*) FROM books WHERE title IS NULL", "SELECT id FROM books WHERE title ILIKE '%t1%'",
    "SELECT count(*) FROM books WHERE author_id IS NULL", "SELECT id FROM books ORDER BY title",
    "SELECT title FROM books GROUP BY title",
    "INSERT INTO copy (id, title) SELECT id + 100, title FROM books",
    "INSERT INTO copy (id, author_id) SELECT id, author_id FROM books"
    " ON CONFLICT (id) DO UPDATE SET author_id = excluded.author_id",
    "UPDATE copy SET title = b.title FROM books b WHERE b.id = copy.id",
    "MERGE INTO copy USING books b ON b.id = copy.id WHEN MATCHED THEN UPDATE SET title = b.title",
    "WITH new AS (INSERT INTO copy SELECT id + 100, title FROM books RETURNING id) SELECT * FROM new",
    "CREATE TABLE other AS SELECT id, title FROM books", "SELECT author_id INTO other FROM books",
    "CREATE MATERIALIZED VIEW other AS SELECT id, title FROM books",
    "CREATE TABLE other AS TABLE books",
    "DO $$ BEGIN INSERT INTO copy SELECT id + 100, title FROM books; END $$",
    "DO $$ BEGIN CREATE TABLE other AS SELECT title FROM books; END $$",
    "DO $$ BEGIN EXECUTE 'CREATE TABLE other AS SELECT title FROM books'; END $$",
    "PREPARE p AS SELECT id, title FROM books; CREATE TABLE other AS EXECUTE p",
], ids=str)
def test_what_has_gone_is_not_written(drifted, statement):
    """Nor does it decide which rows there are. The copy keeps what it had."""
    assert "no resource" in refused(drifted, statement)
    assert rows(drifted, "SELECT count(title), count(author_id), count(*) FROM copy") == [(25, 25, 25)]


def test_materialized_view_that_is_renewed(books, web):
    web.answers["/v1/books"] = document(shelf(25))
    rows(books, "CREATE MATERIALIZED VIEW kept AS SELECT id, title FROM books")
    web.answers["/v1/books"] = document(without(shelf(25), "title"))
    refused(books, "REFRESH MATERIALIZED VIEW kept")
    assert rows(books, "SELECT count(title) FROM kept") == [(25,)]


def test_export_of_what_has_gone(drifted, cluster):
    """A file is a copy, too."""
    done = cluster.psql("COPY (SELECT id, title FROM books) TO STDOUT", dbname=drifted.info.dbname)
    assert "no resource" in done.stderr and done.stdout == ""
    done = cluster.psql("COPY (SELECT id, in_print FROM books) TO STDOUT", dbname=drifted.info.dbname)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 25


def test_what_has_gone_is_told_where_it_is_shown(drifted, web):
    """Again and again: a page that lacks it does not make it one that some have."""
    for _ in range(2):
        assert rows(drifted, "SELECT title FROM books LIMIT 1") == [(None,)]
        told = notices(drifted)
        assert told.count("WARNING") == 1 and "was on every one that was read before" in told
    web.answers["/v1/books"] = document(without(shelf(5), "title"))
    rows(drifted, "SELECT title FROM books")
    web.answers["/v1/books"] = document(without(shelf(25), "title"))
    refused(drifted, "SELECT id FROM books WHERE title IS NULL")
    rows(drifted, "INSERT INTO copy (id) SELECT id + 100 FROM books WHERE in_print")
    assert notices(drifted) == ""


def test_sparse_members_are_null(books, web):
    """One that some have and others have not, on one page or on several."""
    web.answers["/v1/books"] = document(shelf(1) + without(shelf(25), "title", "author")[1:])
    assert rows(books, "SELECT count(*) FROM books WHERE title IS NULL AND author_id IS NULL") == [(24,)]
    web.answers["/v1/books"] = document(without(shelf(25), "title", "author"))
    assert rows(books, "SELECT count(*) FROM books WHERE title IS NULL AND author_id IS NULL") == [(25,)]
    rows(books, "CREATE TABLE copy AS SELECT title, author_id FROM books")
    assert notices(books) == ""


def test_drift_that_is_cached(books, web):
    """Somebody who did not look at it has fetched the page."""
    web.answers["/v1/books"] = document(shelf(25))
    rows(books, "SELECT title FROM books")
    rows(books, "SET tpm_fdw.cache_ttl = 3600")
    web.answers["/v1/books"] = document(without(shelf(25), "title"))
    rows(books, "SELECT id FROM books")
    sent = len(web.requests)
    refused(books, "SELECT count(*) FROM books WHERE title IS NULL")
    refused(books, "CREATE TABLE copy AS SELECT title FROM books")
    assert len(web.requests) == sent and notices(books) == ""


# ----- columns in the path -----

@pytest.fixture
def things(books, web):
    """What is on a table, by the table; the path's column is a relationship, or an attribute."""
    rows(books, "CREATE FOREIGN TABLE things (id text, table_id int OPTIONS (relationship 'table'), title text)"
                " SERVER tpm OPTIONS (resource '/tables/{table_id}/things', type 'books')")
    rows(books, "CREATE FOREIGN TABLE parts (id text, table_no int OPTIONS (attribute 'table-no'), title text)"
                " SERVER tpm OPTIONS (resource '/tables/{table_no}/things', type 'books')")
    return books


SILENT = {"links": {"table": {"links": {"self": "/x"}}}, "nothing": None, "others": author(3), "empty": {"table": {}}}


@pytest.mark.parametrize("relationships", SILENT.values(), ids=SILENT)
@pytest.mark.parametrize("ttl", [0, 3600])
@pytest.mark.parametrize("number", [7, 0])
def test_path_column_of_which_the_answer_is_silent(things, web, relationships, ttl, number):
    """Its value is what the path was asked with; warm as cold, zero as well."""
    rows(things, f"SET tpm_fdw.cache_ttl = {ttl}")
    web.answers[f"/v1/tables/{number}/things"] = document(
        [book(n, relationships, title="x") for n in range(1, 31)])
    for _ in range(2):
        for table, column in (("things", "table_id"), ("parts", "table_no")):
            assert rows(things, f"SELECT count(*), min({column}), max({column}) FROM {table}"
                                f" WHERE {column} = {number}") == [(30, number, number)]
            assert rows(things, f"SELECT count({table}.id) FROM (VALUES ({number})) v (n) JOIN {table} ON {column} = n") \
                == [(30,)]
    rows(things, f"CREATE TABLE copy AS SELECT * FROM things WHERE table_id = {number}")
    assert notices(things) == ""


def test_path_column_that_the_answer_tells(things, web):
    """A resource of another table is no answer, and neither is one of none."""
    def on(number):
        return {"table": {"data": number and {"type": "tables", "id": str(number)}}}
    web.answers["/v1/tables/7/things"] = document([
        book(1, on(7)), book(2, on(8)), book(3, on(None)), book(4, LINKS)])
    assert rows(things, "SELECT id, table_id FROM things WHERE table_id = 7 ORDER BY id") == [("1", 7), ("4", 7)]
    web.answers["/v1/tables/7/things"] = document([
        book(1, table_no=7), book(2, table_no=8), book(3, table_no=None), book(4)])
    assert rows(things, "SELECT id, table_no FROM parts WHERE table_no = 7 ORDER BY id") == [("1", 7), ("4", 7)]


def test_path_column_of_what_was_created(things, web):
    """RETURNING reads the answer as a SELECT does."""
    web.answers["/v1/tables/7/things"] = document(book(99, title="new"))
    assert rows(things, "INSERT INTO parts (table_no, title) VALUES (7, 'new') RETURNING *") == [("99", 7, "new")]


# ----- generated columns -----

@pytest.fixture
def computed(books, web):
    rows(books, "CREATE FOREIGN TABLE shop (id int, title text, price numeric(8,2), stock int,"
                " loud text GENERATED ALWAYS AS (upper(title)) STORED,"
                " value numeric(12,2) GENERATED ALWAYS AS (price * stock) STORED,"
                " initial varchar(1) GENERATED ALWAYS AS (left(title, 1)) STORED,"
                " told text OPTIONS (attribute 'told') GENERATED ALWAYS AS (lower(title)) STORED)"
                " SERVER tpm OPTIONS (resource '/books', type 'books')")
    web.answers["/v1/books"] = sparse_fieldsets([
        book(1, title="b", price=1.5, stock=4, told="B!"), book(2, title="a", price="2.25", stock=2, told=None),
        book(3, title=None, price=1, stock=None, told="x")])
    return books


@pytest.mark.parametrize("ttl", [0, 3600])
def test_generated_columns(computed, web, ttl):
    """Wherever a row comes from; what they are computed from is fetched, and no more."""
    rows(computed, f"SET tpm_fdw.cache_ttl = {ttl}")
    for _ in range(2):
        assert rows(computed, "SELECT loud FROM shop ORDER BY id") == [("B",), ("A",), (None,)]
        assert rows(computed, "SELECT id, value::text FROM shop WHERE value > 5") == [(1, "6.00")]
        assert rows(computed, "SELECT id FROM shop WHERE loud = 'A'") == [(2,)]
        assert rows(computed, "SELECT id FROM shop ORDER BY loud DESC NULLS LAST") == [(1,), (2,), (3,)]
        assert rows(computed, "SELECT count(*), count(loud) FROM shop WHERE initial IS NOT NULL") == [(2, 2)]
        assert rows(computed, "SELECT told FROM shop ORDER BY id") == [("B!",), (None,), ("x",)]
        assert rows(computed, "SELECT shop FROM shop WHERE id = 1") == [("(1,b,1.50,4,B,6.00,b,B!)",)]
    if ttl == 0:
        assert wanted_fields(web.requests[0]) == ["title"]
        assert sorted(wanted_fields(web.requests[1])) == ["price", "stock"]
    else:
        assert len(web.requests) == 1
    assert notices(computed) == ""


def test_generated_column_of_a_row_that_was_written(computed, web):
    def serve(request):
        sent = json.loads(request.body)["data"]
        assert set(sent["attributes"]) <= {"title", "price", "stock", "told"}
        return document({**sent, "id": "9"})
    web.answers["/v1/books"] = serve
    assert rows(computed, "INSERT INTO shop (title, price, stock) VALUES ('new', 2, 3)"
                          " RETURNING id, loud, value::text") == [(9, "NEW", "6.00")]


def test_generated_columns_are_analyzed(computed):
    rows(computed, "ANALYZE shop")
    assert rows(computed, "SELECT null_frac FROM pg_stats WHERE tablename = 'shop' AND attname = 'loud'") == [(1 / 3,)] or \
        0.3 < rows(computed, "SELECT null_frac FROM pg_stats WHERE tablename = 'shop' AND attname = 'loud'")[0][0] < 0.4


def test_generated_column_that_fails(computed, web):
    rows(computed, "ALTER FOREIGN TABLE shop ADD each numeric GENERATED ALWAYS AS (price / stock) STORED")
    web.answers["/v1/books"] = document([book(1, title="b", price=1, stock=0)])
    assert failure(computed, "SELECT each FROM shop").pgcode == "22012"
    assert rows(computed, "SELECT id, loud FROM shop") == [(1, "B")]


def test_generated_column_of_a_member_that_has_gone(computed, web):
    """What it is computed from is missing: so is it."""
    web.answers["/v1/books"] = document([book(n, title="x") for n in range(1, 31)])
    assert '"price"' in refused(computed, "SELECT id FROM shop WHERE value IS NULL")
    rows(computed, "SELECT value FROM shop")
    assert '"price"' in notices(computed)


def test_generated_column_whose_expression_changes(computed, web):
    """Rows that were computed by another one are not served from the cache."""
    rows(computed, "SET tpm_fdw.cache_ttl = 3600")
    assert rows(computed, "SELECT loud FROM shop WHERE id = 1") == [("B",)]
    rows(computed, "ALTER FOREIGN TABLE shop DROP loud,"
                   " ADD loud text GENERATED ALWAYS AS (title || '!') STORED")
    assert rows(computed, "SELECT loud FROM shop WHERE id = 1") == [("b!",)]


# ----- tpm_fdw_check -----

def check(connection):
    """{step: (ok, detail, hint)} of books"""
    found = rows(connection, "SELECT step, ok, detail, hint FROM tpm_fdw_check('tpm', 'public')")
    return {step: rest for step, *rest in found}


@pytest.mark.parametrize("unknown", [["in-print"], ["author"], ["title", "author"]], ids=str)
def test_check_finds_names_unknown_in_fields(books, web, unknown):
    """Its statement runs, and what it found is learnt without it."""
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT, unknown=unknown)
    ok, detail, hint = check(books)["books: fields"]
    assert ok is False and all(f'"{name}"' in detail for name in unknown) and detail.count('"') == 2 * len(unknown)
    assert len(web.requests) <= 4
    del web.requests[:]
    assert rows(books, "SELECT in_print, author_id, title FROM books WHERE id = 1") == [(True, "1", "t1")]
    assert [wanted_fields(request) for request in web.requests] == [None]
    rows(books, hint)
    assert "books: fields" not in check(books)
    assert rows(books, "SELECT in_print, author_id, title FROM books WHERE id = 1") == [(True, "1", "t1")]


def test_check_learns_names_that_are_known(books, web):
    """So that a sparse member is not looked for again."""
    web.answers["/v1/books"] = sparse_fieldsets(IN_PRINT[:1] + [book(2, author(1), title="t2")])
    assert check(books)["books: fields"] == [True, "members are known by their names", None]
    del web.requests[:]
    assert rows(books, "SELECT in_print FROM books WHERE id = 2") == [(None,)]
    assert len(web.requests) == 1


def test_check_of_names_that_are_refused(books, web):
    """Its statement makes the table readable."""
    def serve(request):
        if wanted_fields(request) is None:
            return document(IN_PRINT)
        return answer(json.dumps({"errors": [{"title": "Invalid field"}]}), status=400)
    web.answers["/v1/books"] = serve
    assert failure(books, "SELECT title FROM books").pgcode == "22023"
    ok, detail, hint = check(books)["books: fields"]
    assert ok is False and "Invalid field" in detail
    rows(books, hint)
    assert len(rows(books, "SELECT title FROM books")) == 5


@pytest.mark.parametrize("items", UNTOLD.values(), ids=UNTOLD)
def test_check_finds_linkage_without_data(books, web, items):
    web.answers["/v1/books"] = document(items)
    ok, detail, _ = check(books)["books: column author_id"]
    assert ok is False and '"author"' in detail and "without linkage" in detail


def test_check_finds_what_is_not_included(included, web):
    """What the option include does not ask for, and what the API leaves out all the same."""
    prequel = {"prequel": {"data": {"type": "books", "id": "9"}}}
    def serve(request):
        asked = urllib.parse.unquote(request.target)
        found = [person(1, "Ann")] + ([{"type": "books", "id": "9", "attributes": {"title": "nine"}}]
                                      if "prequel" in asked else [])
        return document([book(1, {**author(1), **prequel}), book(2, {**author(2), **prequel})], included=found)
    web.answers["/v1/books"] = serve
    found = check(included)
    ok, detail, hint = found["books: column author_name"]
    assert ok is False and "not included" in detail and not hint.startswith("ALTER")
    ok, detail, hint = found["books: column sequel_of"]
    assert ok is False and "not included" in detail
    rows(included, hint)
    assert "books: column sequel_of" not in check(included)
    assert rows(included, "SELECT sequel_of FROM books WHERE sequel_of IS NOT NULL LIMIT 1") == [("nine",)]


# ----- what RETURNING is not told -----


@pytest.mark.parametrize("include, told", [("", False), ("author", True), ("author", False)])
def test_returning_what_is_not_told(books, web, include, told):
    """NULL for linkage that an answer to a POST has not is told of, if somebody looks at it; an include may bring it."""
    if include:
        rows(books, f"ALTER FOREIGN TABLE books OPTIONS (ADD include '{include}')")
    web.answers["/v1/books"] = lambda request: answer(json.dumps(
        {"data": book(7, LINKS, title="new")}), 201) if request.method == "POST" else document([])
    web.answers["/v1/books/7"] = lambda request: answer(json.dumps(
        {"data": book(7, author(3) if told else LINKS, title="new")}))
    del books.notices[:]
    insert = "INSERT INTO books (title, author_id) VALUES ('new', '3') RETURNING "
    assert rows(books, insert + "id, title") == [(7, "new")] and notices(books) == ""
    assert rows(books, insert + "author_id") == [("3",) if told else (None,)]
    assert ("does not tell the value of \"author_id\"" in notices(books)) == (not told)
    rows(books, "ALTER FOREIGN TABLE books OPTIONS (ADD missing_attribute 'null')")
    rows(books, insert + "author_id")
    assert notices(books) == ""


def test_found_with_what_is_not_told(books, web):
    """Linkage that no answer shows is no other value: what a look finds is judged by what it tells."""
    rows(books, "ALTER FOREIGN TABLE books ALTER title OPTIONS (ADD natural_key 'true', ADD filter 'title')")
    web.answers["/v1/books"] = lambda request: answer("", 503) if request.method == "POST" else document([
        book(7, LINKS, title="new")])
    assert rows(books, "INSERT INTO books (title, author_id) VALUES ('new', '3') RETURNING id") == [(7,)]
    assert rows(books, "SELECT outcome, evidence FROM tpm_fdw_writes ORDER BY number DESC LIMIT 1") == [
        ("sent", "found: equal values")]
    web.answers["/v1/books"] = lambda request: answer("", 503) if request.method == "POST" else document([
        book(7, LINKS, title="new", in_print=False)])
    with pytest.raises(psycopg2.errors.TransactionResolutionUnknown) as caught:
        rows(books, "INSERT INTO books (title, author_id, in_print) VALUES ('new', '3', true)")
    assert 'other than sent: "in_print"' in caught.value.diag.message_detail
