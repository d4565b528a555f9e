"""JSON:API servers that others have written, each with a dialect of its own, met through options alone.

fortune with fortune-json-api: attributes with dashes, filters with [min] and [max], offset paging with
links, PATCH answered by 204, ids of its own making. json-api-nestjs over TypeORM: application/json,
one filter name per operator, page numbers without links, linkage only of what is included, no JSON:API
errors, attributes that may be left out but not null, sparse fieldsets that fail without the id.
"""

import subprocess

import clients
import psycopg2
import pytest
import tpmtest

pytestmark = pytest.mark.long

FAST = "rate_limit_per_second '1000', rate_limit_per_hour '100000', auth 'none'"

FORTUNE = """
CREATE SERVER shelf FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{url}', {fast}, pagination 'offset',
  page_parameters 'page[limit],page[offset]', page_size '20', total_pointer '/meta/count',
  update_method 'PATCH', update_body 'changed', request_id_header '');
CREATE USER MAPPING FOR CURRENT_USER SERVER shelf;
CREATE SCHEMA shelf;
CREATE FOREIGN TABLE shelf.authors (
  id text NOT NULL,
  full_name text OPTIONS (attribute 'full-name', filter 'full-name', filter_match 'exact'),
  born_on timestamptz OPTIONS (attribute 'born-on'),
  book_ids text[] OPTIONS (relationship 'books', read_only 'true')
) SERVER shelf;
CREATE FOREIGN TABLE shelf.books (
  id text NOT NULL,
  title text OPTIONS (filter 'title', filter_match 'exact'),
  page_count int OPTIONS (attribute 'page-count', filter 'page-count', filter_match 'exact', sortable 'true',
    filter_operators '=,in,>=,<=', filter_ge 'filter[page-count][min]', filter_le 'filter[page-count][max]') NOT NULL,
  in_print boolean OPTIONS (attribute 'in-print', filter 'in-print', filter_match 'exact'),
  tags text[],
  author_id text OPTIONS (relationship 'author', filter 'author')
) SERVER shelf;
"""

NESTJS = """
CREATE SERVER trade FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{url}', {fast}, media_type 'application/json',
  pagination 'number', page_parameters 'page[size],page[number]', page_size '25', total_pointer '/meta/totalItems',
  filter_format 'filter[%s][in]', fields_format '', sort_keys 'one', update_method 'PATCH', update_body 'changed');
CREATE USER MAPPING FOR CURRENT_USER SERVER trade;
CREATE SCHEMA trade;
CREATE FOREIGN TABLE trade.suppliers (
  id int OPTIONS (filter 'id', filter_match 'exact', sortable 'true') NOT NULL,
  name text OPTIONS (filter 'name', filter_match 'exact', natural_key 'true'),
  list_ids text[] OPTIONS (relationship 'lists', read_only 'true')
) SERVER trade OPTIONS (include 'lists');
CREATE FOREIGN TABLE trade.price_lists (
  id int OPTIONS (filter 'id', filter_match 'exact', sortable 'true') NOT NULL,
  label text OPTIONS (filter 'label', filter_match 'exact', natural_key 'true') NOT NULL,
  item_count int OPTIONS (attribute 'itemCount', filter 'itemCount', filter_match 'exact', sortable 'true',
    sort_nulls 'last', filter_operators '=,in,<,<=,>,>=', filter_ge 'filter[itemCount][gte]',
    filter_gt 'filter[itemCount][gt]', filter_le 'filter[itemCount][lte]', filter_lt 'filter[itemCount][lt]'),
  is_open boolean OPTIONS (attribute 'isOpen', filter 'isOpen', filter_match 'exact'),
  valid_from timestamptz OPTIONS (attribute 'validFrom'),
  supplier_id text OPTIONS (relationship 'supplier', filter 'supplier.id'),
  supplier_name text OPTIONS (included 'supplier/name')
) SERVER trade OPTIONS (resource '/price-lists', type 'price-lists', include 'supplier');
"""


class Server:
    """A server of npm's, and a session with its tables, cache off."""

    def __init__(self, cluster, name, ddl, *arguments):
        packages = clients.npm_packages(name)
        self.process = clients.start(["node", clients.CLIENTS / name / "server.js", *arguments], cwd=packages,
                                     stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "listening on " in line, f"{name} did not start: {line!r}"
        database = f"foreign_{name}"
        cluster.sql(f"CREATE DATABASE {database}")
        self.db = cluster.connect(database)
        tpmtest.rows(self.db, "CREATE EXTENSION tpm_fdw")
        self.url = line.split()[-1]
        tpmtest.rows(self.db, ddl.format(url=self.url, fast=FAST).replace("%%", "%"))
        tpmtest.rows(self.db, "SET tpm_fdw.cache_ttl = 0")

    def import_schema(self, name, options, statement):
        """The tables that IMPORT FOREIGN SCHEMA makes, in a schema and of a server of that name."""
        self.ask(f"CREATE SERVER {name} FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{self.url}', {FAST}, {options})")
        self.ask(f"CREATE USER MAPPING FOR CURRENT_USER SERVER {name}; CREATE SCHEMA {name}")
        self.ask(f"IMPORT FOREIGN SCHEMA {statement.format(server=name)}")

    def types(self, table):
        return dict(self.ask("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                             f" WHERE attrelid = '{table}'::regclass AND attnum > 0"))

    def options(self, table):
        return set(self.ask(f"SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = '{table}'::regclass")[0][0] or [])

    def ask(self, statement):
        return tpmtest.rows(self.db, statement)

    def paths(self, statement):
        """(rows, the requests that they took) of a statement."""
        (before,) = self.ask("SELECT coalesce(max(at), '-infinity') FROM tpm_fdw_requests")
        found = self.ask(statement)
        with self.db.cursor() as cursor:
            cursor.execute("SELECT method || ' ' || path FROM tpm_fdw_requests WHERE at > %s ORDER BY at", before)
            return found, [path for (path,) in cursor.fetchall()]

    def close(self):
        self.db.close()
        self.process.terminate()
        self.process.wait(10)


# ----- fortune -----

@pytest.fixture(scope="module")
def shelf(cluster):
    server = Server(cluster, "fortune", FORTUNE)
    yield server
    server.close()


def book(number):
    """A book as the server made it."""
    return (str(number), f"Book {number:03}", 100 + number * 7 % 83, number % 3 != 0,
            ["odd", "paper"] if number % 2 else [], None if number % 10 == 0 else str(number % 12 + 1))


BOOKS = [book(number) for number in range(1, 91)]


def test_fortune_reads_all_pages(shelf):
    rows, paths = shelf.paths("SELECT * FROM shelf.books")
    assert sorted(rows) == sorted(BOOKS)
    assert len(paths) == 5 and all("page%5Blimit%5D=20" in path for path in paths)


def test_fortune_reads_by_id(shelf):
    rows, paths = shelf.paths("SELECT * FROM shelf.books WHERE id = '7'")
    assert rows == [BOOKS[6]] and len(paths) == 1 and paths[0].startswith("GET /books/7?fields%5Bbooks%5D=title")
    assert shelf.ask("SELECT * FROM shelf.books WHERE id = '4711'") == []


@pytest.mark.parametrize("condition, test, parameter", [
    ("page_count = 107", lambda b: b[2] == 107, "filter%5Bpage-count%5D=107"),
    ("page_count IN (107, 114, 121)", lambda b: b[2] in (107, 114, 121), "filter%5Bpage-count%5D=107,114,121"),
    ("page_count >= 170", lambda b: b[2] >= 170, "filter%5Bpage-count%5D%5Bmin%5D=170"),
    ("page_count BETWEEN 120 AND 130", lambda b: 120 <= b[2] <= 130, "filter%5Bpage-count%5D%5Bmax%5D=130"),
    ("NOT in_print", lambda b: not b[3], "filter%5Bin-print%5D=false"),
    ("author_id = '3' AND in_print", lambda b: b[5] == "3" and b[3], "filter%5Bauthor%5D=3"),
    ("title = 'Book 042'", lambda b: b[1] == "Book 042", "filter%5Btitle%5D=Book%20042"),
    ("'odd' = ANY(tags)", lambda b: "odd" in b[4], "page%5Boffset%5D=0"),
    ("author_id IS NULL", lambda b: b[5] is None, "page%5Boffset%5D=0"),
])
def test_fortune_filters(shelf, condition, test, parameter):
    rows, paths = shelf.paths(f"SELECT * FROM shelf.books WHERE {condition}")
    assert sorted(rows) == sorted(filter(test, BOOKS))
    assert parameter in paths[0]


def test_fortune_sorts_and_stops(shelf):
    rows, paths = shelf.paths("SELECT page_count FROM shelf.books ORDER BY page_count DESC LIMIT 5")
    assert [row[0] for row in rows] == sorted((b[2] for b in BOOKS), reverse=True)[:5]
    assert len(paths) == 1 and "sort=-page-count" in paths[0] and "fields%5Bbooks%5D=page-count" in paths[0]


def test_fortune_counts_from_its_total(shelf):
    rows, paths = shelf.paths("SELECT count(*) FROM shelf.books WHERE NOT in_print")
    assert rows == [(30,)] and len(paths) == 1


def test_fortune_fields_by_a_name_of_its_own(shelf):
    """fields_format without a type is that name; an empty one asks for no fields."""
    for value, expected in (("fields[book]", "fields%5Bbook%5D=title"), ("", None)):
        shelf.ask(f"ALTER FOREIGN TABLE shelf.books OPTIONS (ADD fields_format '{value}')")
        rows, paths = shelf.paths("SELECT title FROM shelf.books WHERE id = '5'")
        shelf.ask("ALTER FOREIGN TABLE shelf.books OPTIONS (DROP fields_format)")
        assert rows == [("Book 005",)]
        assert paths == ["GET /books/5" + (f"?{expected}" if expected else "")]
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        shelf.ask("ALTER FOREIGN TABLE shelf.books OPTIONS (ADD fields_format 'fields[%d]')")


def test_fortune_joins(shelf):
    rows, paths = shelf.paths("SELECT a.full_name, count(*) FROM shelf.authors a"
                              " JOIN shelf.books b ON b.author_id = a.id WHERE a.full_name = 'Author 3' GROUP BY 1")
    assert rows == [("Author 3", sum(b[5] == "3" for b in BOOKS))]
    assert len(paths) <= 6
    (ids,) = shelf.ask("SELECT book_ids FROM shelf.authors WHERE id = '3'")
    assert sorted(ids[0]) == sorted(b[0] for b in BOOKS if b[5] == "3")


def test_fortune_insert_and_update(shelf):
    ((made,),) = shelf.ask("INSERT INTO shelf.books (title, page_count, in_print, tags, author_id)"
                           " VALUES ('New', 321, true, '{a,b}', '4') RETURNING id")
    assert made and not made.isdigit()
    assert shelf.ask(f"SELECT title, page_count, in_print, tags, author_id FROM shelf.books WHERE id = '{made}'") == [
        ("New", 321, True, ["a", "b"], "4")]
    rows, paths = shelf.paths(f"UPDATE shelf.books SET page_count = page_count + 1, author_id = '5' WHERE id = '{made}'"
                              " RETURNING title, page_count, author_id")
    assert rows == [("New", 322, "5")]
    assert any(path == f"PATCH /books/{made}" for path in paths)
    assert shelf.ask(f"SELECT page_count, author_id, tags FROM shelf.books WHERE id = '{made}'") == [
        (322, "5", ["a", "b"])]
    assert shelf.ask(f"UPDATE shelf.books SET author_id = NULL WHERE id = '{made}' RETURNING author_id") == [(None,)]
    assert shelf.ask(f"SELECT author_id FROM shelf.books WHERE id = '{made}'") == [(None,)]


def test_fortune_imports(shelf):
    """IMPORT FOREIGN SCHEMA sample finds types, relationships, pages and the total; filters and order are added."""
    shelf.import_schema("found", "update_method 'PATCH', update_body 'changed', request_id_header ''",
                        "sample FROM SERVER {server} INTO found OPTIONS (resources '/authors,/books')")
    assert shelf.types("found.books") == {
        "id": "text", "title": "text", "page_count": "bigint", "in_print": "boolean", "tags": "text[]", "author_id": "text"}
    assert shelf.types("found.authors") == {
        "id": "text", "full_name": "text", "born_on": "timestamp with time zone", "books": "text[]"}
    assert shelf.options("found.books") == {"pagination=offset", "page_size=50", "total_pointer=/meta/count"}
    columns = "id, title, page_count, in_print, tags, author_id"
    rows, paths = shelf.paths(f"SELECT {columns} FROM found.books WHERE id !~ '[^0-9]'")
    assert sorted(rows) == sorted(BOOKS) and len(paths) == 2 and "page%5Boffset%5D=50" in paths[1]
    shelf.ask("ALTER FOREIGN TABLE found.books ALTER page_count OPTIONS (ADD filter 'page-count', ADD sortable 'true'),"
              " ALTER page_count SET NOT NULL")
    rows, paths = shelf.paths("SELECT id FROM found.books WHERE page_count IN (107, 114)")
    assert sorted(rows) == sorted((b[0],) for b in BOOKS if b[2] in (107, 114))
    assert "filter%5Bpage-count%5D=107,114" in paths[0]
    rows, paths = shelf.paths("SELECT page_count FROM found.books ORDER BY page_count LIMIT 5")
    assert [row[0] for row in rows] == sorted(b[2] for b in BOOKS)[:5] and "sort=page-count" in paths[0]
    [(made,)] = shelf.ask("INSERT INTO found.books (title, page_count, in_print, author_id) VALUES ('X', 1000, true, '2')"
                          " RETURNING id")
    shelf.ask(f"UPDATE found.books SET page_count = 1001 WHERE id = '{made}'")
    assert shelf.ask(f"SELECT title, page_count, author_id FROM found.books WHERE id = '{made}'") == [("X", 1001, "2")]


# ----- json-api-nestjs -----

@pytest.fixture(scope="module")
def trade(cluster):
    clients.npm_packages("nestjs")
    cluster.sql("CREATE DATABASE nestjs_data")
    server = Server(cluster, "nestjs", NESTJS, str(cluster.base), str(cluster.port), "nestjs_data", "postgres")
    yield server
    server.close()


def price_list(number):
    """A price list as the server made it; the names of suppliers are theirs."""
    supplier = None if number % 9 == 0 else number % 7 + 1
    return (number, f"List {number}", None if number % 20 == 0 else number * 3 % 101, number % 4 != 0,
            supplier and str(supplier), supplier and f"Supplier {supplier}")


LISTS = [price_list(number) for number in range(1, 131)]
COLUMNS = "id, label, item_count, is_open, supplier_id, supplier_name"


def test_nestjs_reads_all_pages(trade):
    rows, paths = trade.paths(f"SELECT {COLUMNS} FROM trade.price_lists")
    assert sorted(rows, key=str) == sorted(LISTS, key=str)
    assert len(paths) == 6 and "include=supplier" in paths[0] and "page%5Bnumber%5D=1" in paths[0]
    assert trade.ask("SELECT count(DISTINCT valid_from), min(valid_from AT TIME ZONE 'UTC')::text"
                     " FROM trade.price_lists") == [(130, "2026-01-01 00:00:00")]


def test_nestjs_reads_by_id(trade):
    rows, paths = trade.paths(f"SELECT {COLUMNS} FROM trade.price_lists WHERE id = 7")
    assert rows == [LISTS[6]] and len(paths) == 1
    assert trade.ask("SELECT * FROM trade.price_lists WHERE id = 4711") == []


@pytest.mark.parametrize("condition, test, parameter", [
    ("label = 'List 5'", lambda p: p[1] == "List 5", "filter%5Blabel%5D%5Bin%5D=List%205"),
    ("label IN ('List 5', 'List 6')", lambda p: p[1] in ("List 5", "List 6"), "=List%205,List%206"),
    ("item_count >= 90", lambda p: p[2] is not None and p[2] >= 90, "filter%5BitemCount%5D%5Bgte%5D=90"),
    ("item_count < 7", lambda p: p[2] is not None and p[2] < 7, "filter%5BitemCount%5D%5Blt%5D=7"),
    ("item_count IS NULL", lambda p: p[2] is None, "page%5Bsize%5D=25"),
    ("NOT is_open", lambda p: not p[3], "filter%5BisOpen%5D%5Bin%5D=false"),
    ("supplier_id = '2'", lambda p: p[4] == "2", "filter%5Bsupplier.id%5D%5Bin%5D=2"),
    ("supplier_name = 'Supplier 2'", lambda p: p[5] == "Supplier 2", "page%5Bsize%5D=25"),
])
def test_nestjs_filters(trade, condition, test, parameter):
    rows, paths = trade.paths(f"SELECT {COLUMNS} FROM trade.price_lists WHERE {condition}")
    assert sorted(rows, key=str) == sorted(filter(test, LISTS), key=str)
    assert parameter in paths[0]


@pytest.mark.parametrize("order, key", [
    ("item_count DESC NULLS FIRST", lambda p: (p[2] is not None, -(p[2] or 0))),
    ("item_count", lambda p: (p[2] is None, p[2] or 0)),
])
def test_nestjs_sorts_and_stops(trade, order, key):
    rows, paths = trade.paths(f"SELECT item_count FROM trade.price_lists ORDER BY {order} LIMIT 10")
    assert [row[0] for row in rows] == [p[2] for p in sorted(LISTS, key=key)[:10]]
    assert len(paths) == 1 and "sort=" in paths[0]


def test_nestjs_counts_from_its_total(trade):
    rows, paths = trade.paths("SELECT count(*) FROM trade.price_lists WHERE is_open")
    assert rows == [(sum(p[3] for p in LISTS),)] and len(paths) == 1


def test_nestjs_from_the_cache(trade):
    """Rows are kept with what came beside them in included."""
    trade.ask("SET tpm_fdw.cache_ttl = 60")
    first, paths = trade.paths(f"SELECT {COLUMNS} FROM trade.price_lists")
    second, none = trade.paths(f"SELECT {COLUMNS} FROM trade.price_lists WHERE supplier_name = 'Supplier 3'")
    trade.ask("SET tpm_fdw.cache_ttl = 0")
    assert len(paths) == 6 and none == []
    assert sorted(second) == sorted(row for row in first if row[5] == "Supplier 3") and len(second) > 10


def test_nestjs_insert_and_update(trade):
    ((made, opened),) = trade.ask("INSERT INTO trade.price_lists (label, item_count, valid_from, supplier_id)"
                                  " VALUES ('New', 5, '2026-05-05 12:00+02', '3') RETURNING id, is_open")
    assert made > 130 and opened is True
    assert trade.ask(f"SELECT {COLUMNS}, valid_from = '2026-05-05 10:00+00' FROM trade.price_lists"
                     f" WHERE id = {made}") == [(made, "New", 5, True, "3", "Supplier 3", True)]
    rows, paths = trade.paths(f"UPDATE trade.price_lists SET item_count = 6, supplier_id = '1' WHERE id = {made}"
                              " RETURNING item_count")
    assert rows == [(6,)] and any(path.startswith(f"PATCH /api/price-lists/{made}") for path in paths)
    assert trade.ask(f"SELECT label, item_count, is_open, supplier_id FROM trade.price_lists WHERE id = {made}") == [
        ("New", 6, True, "1")]


def test_nestjs_imports_its_own_document(trade):
    """Columns, types, pages and methods come from what it says of itself; filters are added."""
    trade.import_schema("told", "media_type 'application/json', fields_format '', update_body 'changed'",
                        "openapi FROM SERVER {server} INTO told OPTIONS (document '/openapi.json')")
    assert trade.types("told.price_lists") == {
        "id": "text", "label": "text", "itemcount": "bigint", "isopen": "boolean",
        "validfrom": "timestamp with time zone", "supplier_id": "text"}
    assert trade.options("told.price_lists") == {
        "resource=/price-lists", "page_size=500", "pagination=number", "update_method=PATCH"}
    trade.ask("ALTER FOREIGN TABLE told.price_lists OPTIONS (SET page_size '25', ADD include 'supplier',"
              " ADD filter_format 'filter[%s][in]'), ALTER label OPTIONS (ADD filter 'label'),"
              " ALTER itemcount OPTIONS (ADD sortable 'true', ADD sort_nulls 'last')")
    rows, paths = trade.paths("SELECT id::int, label, itemcount, isopen, supplier_id FROM told.price_lists"
                              " WHERE id::int <= 130")
    assert sorted(rows) == sorted(row[:-1] for row in LISTS) and len(paths) == 6
    rows, paths = trade.paths("SELECT id FROM told.price_lists WHERE label IN ('List 5', 'List 6')")
    assert sorted(rows) == [("5",), ("6",)] and "filter%5Blabel%5D%5Bin%5D" in paths[0]
    rows, paths = trade.paths("SELECT itemcount FROM told.price_lists WHERE id::int <= 130"
                              " ORDER BY itemcount LIMIT 10")
    assert [row[0] for row in rows] == sorted(p[2] for p in LISTS if p[2] is not None)[:10] and "sort=itemCount" in paths[0]
    [(made,)] = trade.ask("INSERT INTO told.price_lists (label, itemcount, supplier_id) VALUES ('Told', 5, '3') RETURNING id")
    trade.ask(f"UPDATE told.price_lists SET itemcount = 6 WHERE id = '{made}'")
    assert trade.ask(f"SELECT label, itemcount, supplier_id FROM told.price_lists WHERE id = '{made}'") == [("Told", 6, "3")]


def test_nestjs_imports_from_pages(trade):
    """It has no links: said where the pages are not counted, and read to the end where they are."""
    common = "media_type 'application/json', fields_format '', page_size '25'"
    del trade.db.notices[:]
    trade.import_schema("short", common, "sample FROM SERVER {server} INTO short OPTIONS (resources '/price-lists')")
    assert any("no link to the next page" in text and "25 of 1" in text for text in trade.db.notices)
    del trade.db.notices[:]
    trade.import_schema("counted", common + ", pagination 'number'",
                        "sample FROM SERVER {server} INTO counted OPTIONS (resources '/price-lists,/suppliers')")
    # its relationships have links only, unless they are included; of its pages nothing is in doubt
    warnings = [text for text in trade.db.notices if "WARNING" in text]
    assert len(warnings) == 2 and all("does not tell what its relationships lead to" in text for text in warnings)
    assert trade.options("counted.price_lists") == {"resource=/price-lists", "total_pointer=/meta/totalItems"}
    assert trade.ask("SELECT count(*), count(label) FROM counted.price_lists WHERE id::int <= 130") == [(130, 130)]


def test_nestjs_conflict_and_refusal(trade):
    with pytest.raises(psycopg2.errors.UniqueViolation):
        trade.ask("INSERT INTO trade.suppliers (name) VALUES ('Supplier 1')")
    assert trade.ask("INSERT INTO trade.suppliers (name) VALUES ('Supplier 1') ON CONFLICT DO NOTHING"
                     " RETURNING id") == []
    with pytest.raises(psycopg2.errors.InvalidParameterValue) as refusal:
        trade.ask("INSERT INTO trade.price_lists (label, supplier_id) VALUES ('Bad', 'x')")
    assert "supplier" in str(refusal.value)
