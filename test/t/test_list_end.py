"""Where a list ends: what an API tells of its pages, in every way of asking for them, against the truth.

`Pages` is an API whose habits are arguments: how it counts, what it tells, whether it filters before or after it cuts.
"""

import base64
import json
import urllib.parse

import psycopg2
import pytest
import tpmtest
from dialect import Dialect
from tpmtest import rows

SIZE = 3
STYLES = ["links", "number", "number_base64", "offset"]
TELLS = ["links", "null", "header", "total", "range", "none"]


def number_of(style, text):
    return int(base64.b64decode(text) if style == "number_base64" else text)


def text_of(style, number):
    return base64.b64encode(str(number).encode()).decode() if style == "number_base64" else str(number)


class Pages:
    """Cuts `n` resources into pages; every third one is "y"."""

    def __init__(self, n, style, tells, first=1, cap=1000, filters_last=False, edit=None):
        self.n, self.style, self.tells, self.first = n, style, tells, first
        self.cap, self.filters_last = cap, filters_last
        self.edit = edit or (lambda answer, page: answer)
        self.position = {"links": "page[after]", "offset": "page[offset]"}.get(style, "page[number]")
        self.size = "page[limit]" if style == "offset" else "page[size]"
        self.server = Dialect(self.answer)

    def answer(self, method, path, parameters, body):
        given = dict(parameters)
        size = min(int(given.get(self.size, 10)), self.cap)
        start = 0
        if self.position in given:
            start = number_of(self.style, given[self.position])
            start = (start - self.first) * size if "number" in self.style else start
        found = [{"type": "t", "id": str(i), "attributes": {"name": "y" if i % 7 == 5 else "x"}} for i in range(self.n)]
        wanted = [r for r in found if r["attributes"]["name"] == given.get("filter[name]", r["attributes"]["name"])]
        whole = found if self.filters_last else wanted
        data = [r for r in whole[max(start, 0):max(start, 0) + size] if r in wanted] if start >= 0 else []
        return self.edit(self.told(data, wanted, given, start, size, len(whole)), given)

    def link(self, given, start, size):
        at = start // size + self.first if "number" in self.style else start
        return "/api/t?" + urllib.parse.urlencode({**given, self.position: text_of(self.style, at)})

    def told(self, data, wanted, given, start, size, whole):
        document, fields, status = {"data": data}, [], 200
        following = self.link(given, start + size, size) if start + size < whole else None
        if self.tells == "links":
            document["links"] = {"self": "/api/t", **({"next": following} if following else {"prev": None})}
        elif self.tells == "null":
            document["links"] = {"next": {"href": following} if following else None}
        elif self.tells == "header":
            words = ['</style.css>; rel="preload"; title="a, <b>; rel=next"', f"<{self.link(given, 0, size)}>; rel=first"]
            fields = [("Link", ", ".join(words))]
            if following:
                fields.append(("Link", f'<{following}>; title=x; REL="http://example.com/x next"'))
        elif self.tells == "total":
            document["meta"] = {"total": len(wanted)}
        elif self.tells == "range" and data:
            status = 206 if following else 200
            fields = [("Content-Range", f"items {start}-{start + len(data) - 1}/{len(wanted)}")]
        return status, document, fields

    def options(self):
        options = {"base_url": self.server.base_url, "auth": "none", "pagination": self.style, "page_size": str(SIZE),
                   "max_retries": "0", "rate_limit_group": "list_end", **tpmtest.GENEROUS}
        return {**options, "total_pointer": "/meta/total"} if self.tells == "total" else options


@pytest.fixture(scope="module")
def connection(cluster):
    cluster.sql("CREATE DATABASE list_end")
    connection = cluster.connect("list_end")
    rows(connection, "CREATE EXTENSION tpm_fdw")
    yield connection
    connection.close()


@pytest.fixture
def table(connection):
    """Makes the foreign table t of an API, in place of the last one; the cache off."""
    made, db = [], connection

    def make(pages, **options):
        made.append(pages.server)
        options = tpmtest.option_list({**pages.options(), **options})
        rows(db, "DROP SERVER IF EXISTS s CASCADE")
        rows(db, f"CREATE SERVER s FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({options})")
        rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER s")
        rows(db, "CREATE FOREIGN TABLE t (id text, name text OPTIONS (filter 'name')) SERVER s")
        rows(db, "SET tpm_fdw.cache_ttl = 0")
        tpmtest.notices(db)
        pages.server.seen.clear()
        return db

    yield make
    for server in made:
        server.close()


def ids(db, condition="true"):
    return sorted(int(i) for i, in rows(db, f"SELECT id FROM t WHERE {condition}"))


def warned(db):
    return tpmtest.notices(db).split("WARNING:")[1:]


def fails(db, statement):
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, statement)
    return caught.value


@pytest.mark.parametrize("n", [0, 2, 3, 7, 9])
@pytest.mark.parametrize("tells", TELLS)
@pytest.mark.parametrize("style", STYLES)
def test_end_told_or_not(table, style, tells, n):
    """All rows, or a WARNING where nothing leads to the others and nothing says that there are none."""
    pages = Pages(n, style, tells)
    db = table(pages)
    got, said = ids(db), warned(db)
    leads = style != "links" or tells in ("links", "null", "header")
    if leads:
        assert got == list(range(n)) and said == []
    else:
        assert got == list(range(min(n, SIZE)))
        # one page: a total says that it is all, unless it could be the number of its rows
        assert bool(said) is (n >= SIZE)
    pages_of_it = -(-n // SIZE) if leads else 1
    # where nothing else does, an empty page tells; a total that is the length of the page is none
    asks = style != "links" and ((tells == "none" and n and (n % SIZE == 0 or n < SIZE)) or
                                 (tells in ("total", "range") and n == SIZE))
    assert len(pages.server.seen) == max(pages_of_it, 1) + bool(asks)


@pytest.mark.parametrize("warm", [False, True])
def test_nothing_told_is_told_again(table, warm):
    """Who reads the same rows from the cache is told the same."""
    db = table(Pages(7, "links", "none"))
    rows(db, "RESET tpm_fdw.cache_ttl")
    for _ in range(1 + warm):
        tpmtest.notices(db)
        assert ids(db) == [0, 1, 2]
        warning, = warned(db)
    assert "there may be more than the 3 rows received" in warning and "pagination" in warning and "public.t" in warning


def test_list_in_doubt_answers_no_other_question(table):
    """What may lack rows is not searched for those of a condition: the API is asked."""
    pages = Pages(7, "links", "none")
    db = table(pages)
    rows(db, "RESET tpm_fdw.cache_ttl")
    assert ids(db) == [0, 1, 2] and len(warned(db)) == 1
    assert ids(db, "name = 'y'") == [5] and warned(db) == []
    assert len(pages.server.seen) == 2
    assert ids(db) == [0, 1, 2] and len(warned(db)) == 1
    assert len(pages.server.seen) == 2


def test_nothing_told_and_nothing_wanted(table):
    """Who has what it wants is told nothing: no row that it asked for can be missing."""
    db = table(Pages(7, "links", "none"))
    assert len(rows(db, "SELECT id FROM t LIMIT 3")) == 3
    assert warned(db) == []


def test_part_that_names_no_total(table):
    """206: a part of more, shorter than asked for."""
    def edit(answer, given):
        return 206, answer[1], [("Content-Range", "items 0-1/*")]

    db = table(Pages(2, "links", "none", edit=edit))
    assert ids(db) == [0, 1] and len(warned(db)) == 1


@pytest.mark.parametrize("style", ["number", "offset", "links"])
def test_total_that_is_of_the_page(table, style):
    """A "total" that is the number of rows of the page neither ends a list nor answers count(*)."""
    def edit(answer, given):
        answer[1]["meta"] = {"total": len(answer[1]["data"])}
        return answer

    db = table(Pages(7, style, "none", edit=edit), total_pointer="/meta/total")
    if style == "links":
        assert ids(db) == [0, 1, 2] and len(warned(db)) == 1
    else:
        assert ids(db) == list(range(7)) and warned(db) == []
        assert rows(db, "SELECT count(*) FROM t") == [(7,)]


@pytest.mark.parametrize("style", ["number", "offset", "links"])
@pytest.mark.parametrize("size", [3, 5])
def test_total_that_is_of_pages(table, style, size):
    """Nor does one that is less than the rows that have come."""
    def edit(answer, given):
        answer[1]["meta"] = {"pages": 2}
        return answer

    db = table(Pages(7, style, "none", cap=3, edit=edit), total_pointer="/meta/pages", page_size=str(size))
    if style == "links":
        # where less than was asked for came, nothing hints at more
        assert ids(db) == [0, 1, 2] and len(warned(db)) == (size == 3)
    else:
        assert ids(db) == list(range(7)) and warned(db) == []
        assert rows(db, "SELECT count(*) FROM t") == [(7,)]


@pytest.mark.parametrize("style", ["number", "number_base64", "offset"])
@pytest.mark.parametrize("given", [2, 3])
def test_fewer_than_asked_for(table, style, given):
    """An API may give less than it is asked for, on every page."""
    db = table(Pages(7, style, "none", cap=given), page_size="5")
    assert ids(db) == list(range(7)) and warned(db) == []


@pytest.mark.parametrize("tells", ["links", "null", "header"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("n", [6, 14, 48])
def test_cut_first_and_filtered_then(table, style, tells, n):
    """Empty and short pages that name a next one are not the end, and offsets go on where the API's pages do."""
    pages = Pages(n, style, tells, filters_last=True)
    db = table(pages)
    assert ids(db, "name = 'y'") == [i for i in range(n) if i % 7 == 5]
    assert warned(db) == []
    assert len(pages.server.seen) == -(-n // SIZE)
    assert rows(db, "SELECT count(*) FROM (SELECT * FROM t WHERE name = 'y' OFFSET 0) x") == [(len(range(5, n, 7)),)]


def test_cut_first_and_filtered_then_by_cursor(table):
    """Where a short page names a next one that no offset tells, it is followed."""
    def edit(answer, given):
        links = answer[1]["links"]
        if links.get("next"):
            links["next"] = links["next"].replace("page%5Boffset%5D", "cursor")
        return answer

    class Cursors(Pages):
        def answer(self, method, path, parameters, body):
            return super().answer(method, path, [("page[offset]" if n == "cursor" else n, v) for n, v in parameters], body)

    db = table(Cursors(20, "offset", "links", filters_last=True, edit=edit))
    assert ids(db, "name = 'y'") == [5, 12, 19] and warned(db) == []


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["itself", "the one before", "for ever"])
@pytest.mark.parametrize("total", [False, True])
def test_empty_page_that_leads_nowhere(table, style, kind, total):
    """An empty page whose next is itself, or that names another one for ever, ends the list."""
    def edit(answer, given):
        status, document, fields = answer
        if total:
            document["meta"] = {"total": 7}
        here = number_of(style, given[pages.position]) if pages.position in given else pages.first if "number" in style else 0
        step = SIZE if style in ("links", "offset") else 1
        if not document["data"] and kind != "for ever":
            here -= step if kind == "itself" else 2 * step
        document["links"] = {"next": "/api/t?" + urllib.parse.urlencode(
            {pages.size: str(SIZE), pages.position: text_of(style, here + step)})}
        return answer

    pages = Pages(7, style, "links", edit=edit)
    db = table(pages, **({"total_pointer": "/meta/total"} if total else {}))
    assert ids(db) == list(range(7))
    assert bool(warned(db)) is (kind == "for ever" and not total)
    assert len(pages.server.seen) == (6 if kind == "for ever" and not total else 4)


@pytest.mark.parametrize("style", STYLES)
def test_cut_first_and_filtered_by_the_table(table, style):
    """The table's own parameters are conditions, too: four empty pages are not the end."""
    class Late(Pages):
        def answer(self, method, path, parameters, body):
            return super().answer(method, path, [("filter[name]" if n == "only" else n, v) for n, v in parameters], body)

    pages = Late(20, style, "links", filters_last=True)
    pages.link = lambda given, start, size: Pages.link(pages, given, start, size).replace("filter%5Bname%5D", "only")
    db = table(pages, page_size="1", query="only=y")
    assert ids(db) == [5, 12, 19] and warned(db) == []
    assert len(pages.server.seen) == 20


@pytest.mark.parametrize("n", [0, 4])
def test_empty_pages_for_ever_behind_a_filter(table, n):
    """Thirty empty pages in a row are enough, and whoever reads is told."""
    def edit(answer, given):
        number = int(given.get("page[number]", 1))
        answer[1]["links"] = {"next": f"/api/t?filter[name]=y&page[size]=3&page[number]={number + 1}"}
        return answer

    pages = Pages(n, "number", "links", edit=edit)
    db = table(pages)
    assert ids(db, "name = 'y'") == []
    assert len(pages.server.seen) == 30 and "30" in warned(db)[0]


def test_page_of_rows_whose_link_was_followed(table):
    """Rows that lead back to where they came from are no end: it cannot be known what is behind them."""
    def edit(answer, given):
        answer[1]["links"] = {"next": "/api/t?" + urllib.parse.urlencode({"page[size]": 3, "page[after]": 3})}
        return answer

    db = table(Pages(9, "links", "links", edit=edit))
    assert "followed before" in fails(db, "SELECT id FROM t").diag.message_detail


@pytest.mark.parametrize("style", ["number", "number_base64"])
@pytest.mark.parametrize("tells", TELLS)
def test_pages_counted_from_zero(table, style, tells):
    pages = Pages(7, style, tells, first=0)
    db = table(pages, first_page="0")
    assert ids(db) == list(range(7)) and warned(db) == []
    # an API of the other kind, on the table
    db = table(Pages(7, style, tells), first_page="0")
    rows(db, "ALTER FOREIGN TABLE t OPTIONS (ADD first_page '1')")
    assert ids(db) == list(range(7))


@pytest.mark.parametrize("told", ["first", "prev"])
@pytest.mark.parametrize("header", [False, True])
def test_pages_counted_from_zero_as_links_tell(table, told, header):
    """Links of the page taken for the first that name one before it."""
    def edit(answer, given):
        status, document, fields = answer
        if header:
            return status, {"data": document["data"]}, [("Link", f"</api/t?page[number]=0>; rel={told}")]
        return status, {**document, "links": {**document["links"], told: "/api/t?page[number]=0"}}, fields

    db = table(Pages(7, "number", "links", first=0, edit=edit))
    error = fails(db, "SELECT id FROM t LIMIT 1")
    assert "counts pages from 0, not from 1" in str(error) and "first_page" in error.diag.message_hint
    rows(db, "ALTER FOREIGN TABLE t OPTIONS (ADD first_page '0')")
    assert len(rows(db, "SELECT id FROM t LIMIT 1")) == 1


def test_rows_missing_from_the_front(table):
    """Without links the total is what tells, in words that are true."""
    db = table(Pages(2, "number", "total", first=0))
    assert ids(db) == []
    warning, = warned(db)
    assert "announced 2 rows, 0 were received" in warning and "first_page" in warning


@pytest.mark.parametrize("field,leads", [
    ("<{next}>; rel=next", True),
    ("<{next}>;rel=\"next\"", True),
    ("<{next}> ; REL = \"prefetch NEXT\"", True),
    ("</x>; rel=\"prev\", <{next}>; title=\"a,b;c\\\"\" ; rel=next", True),
    ("</x>; rel=prev,,, <{next}>;;rel=next; type=json", True),
    ("nonsense, <{next}>; rel=next", True),
    ("<?page[after]=3&page[size]=3>; rel=next", True),
    ("<{next}>; title=next; rel=\"nextish\"", False),
    ("<{next}>; rel=prev; rel=next", False),
    ("<{next}>; anchor=\"/other\"; rel=next", False),
    ("<{next}; rel=next", False),
    ("<{next}>; title=\"; rel=next", False),
    ("<>", False)])
def test_grammar_of_the_header(table, field, leads):
    def edit(answer, given):
        if "page[after]" in given:
            return answer
        link = "/api/t?" + urllib.parse.urlencode({"page[size]": 3, "page[after]": 3})
        return answer[0], answer[1], [("Link", field.replace("{next}", link))]

    db = table(Pages(5, "links", "none", edit=edit))
    assert ids(db) == (list(range(5)) if leads else [0, 1, 2])
    # a previous one without a next one is an end that is told
    assert bool(warned(db)) is (not leads and "prev" not in field)


def test_header_to_another_origin(table):
    """The rules of origin are those of links."""
    def edit(answer, given):
        return answer[0], answer[1], [("Link", "<https://elsewhere.example/t?page[after]=3>; rel=next")]

    db = table(Pages(5, "links", "none", edit=edit))
    error = fails(db, "SELECT id FROM t")
    assert "cannot be followed" in str(error) and "links_origin" in error.diag.message_hint


@pytest.mark.parametrize("next_link", [{}, {"meta": {"x": 1}}, {"href": 5}, 7, ["/api/t"]])
def test_next_that_is_not_understood(table, next_link):
    def edit(answer, given):
        return answer[0], {**answer[1], "links": {"next": next_link}}, []

    db = table(Pages(3, "links", "none", edit=edit))
    assert "links.next" in fails(db, "SELECT id FROM t").diag.message_detail


@pytest.mark.parametrize("fetched", [1, 8])
def test_pages_side_by_side_behind_short_ones(table, fetched):
    """Pages that are asked for ahead begin where the API's pages do."""
    pages = Pages(40, "offset", "null", cap=2)

    def edit(answer, given):
        answer[1]["meta"] = {"total": 40}
        return answer

    pages.edit = edit
    db = table(pages, total_pointer="/meta/total", fetch_concurrency=str(fetched))
    assert ids(db) == list(range(40))
    asked = [json.dumps(p) for p in pages.server.parameters()]
    assert len(asked) == len(set(asked)) == 20


# ----- what tpm_fdw_check says of pages, and what its statements do -----


def check(db):
    """{step: (ok, detail, hint)} of table t, and the most requests that were announced."""
    tpmtest.notices(db)
    found = {step.removeprefix("t: "): rest for step, *rest in rows(db, "SELECT * FROM tpm_fdw_check('s', 'public')")}
    words = tpmtest.notices(db).split()
    return found, int(words[words.index("requests") - 1])


def mend(db, found):
    for ok, _, hint in found.values():
        if hint and hint.startswith("ALTER "):
            rows(db, hint)


@pytest.mark.parametrize("n", [3, 7, 20])
@pytest.mark.parametrize("tells", ["total", "none"])
@pytest.mark.parametrize("style", ["number", "offset", "zero"])
def test_check_finds_what_pages_are_asked_for_by(table, style, tells, n):
    """No links: the check tries numbers and offsets, and what it advises reads all there is."""
    pages = Pages(n, style.replace("zero", "number"), tells, first=0 if style == "zero" else 1)
    options = {"pagination": "links"}
    if style == "offset":
        options["page_parameters"] = "page[limit],page[offset]"
    db = table(pages, **options)
    found, most = check(db)
    assert len(pages.server.seen) <= most == 4
    assert "all there are" not in str(found["page size"])
    ok, detail, hint = found["paging"]
    assert ok is False
    # the second of two pages from 0 on is found by asking for what would be the second from 1 on: there is none
    if n > SIZE and not (style == "zero" and n <= 2 * SIZE):
        assert f"'{'offset' if style == 'offset' else 'number'}'" in hint
        assert ("first_page '0'" in hint) is (style == "zero")
        mend(db, found)
        assert ids(db) == list(range(n)) and warned(db) == []
        found, _ = check(db)
        assert not [step for step, (ok, _, _) in found.items() if ok is False]
    else:
        assert not hint.startswith("ALTER") and "page_size" in hint


@pytest.mark.parametrize("style", ["number", "number_base64"])
@pytest.mark.parametrize("tells", TELLS)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("n", [2, 7])
def test_check_finds_the_first_page(table, style, tells, first, asked, n):
    """Whatever the API tells, and whichever page is taken for the first."""
    pages = Pages(n, style, tells, first=first)
    db = table(pages, first_page=str(asked))
    found, most = check(db)
    assert len(pages.server.seen) <= most <= 4
    ok, detail, hint = found["paging"]
    assert ok is (first == asked), detail
    if first == asked:
        assert hint is None
        return
    assert f"first_page '{first}'" in hint
    # the only alarm is not to be taken off
    assert "total_pointer ''" not in str(found)
    mend(db, found)
    assert ids(db) == list(range(n)) and warned(db) == []


@pytest.mark.parametrize("asked", [0, 1])
def test_check_where_page_0_is_page_1(table, asked):
    class Clamped(Pages):
        def answer(self, method, path, parameters, body):
            return super().answer(method, path, [(n, "1" if (n, v) == ("page[number]", "0") else v) for n, v in parameters], body)

    db = table(Clamped(7, "number", "none"), first_page=str(asked))
    found, _ = check(db)
    assert found["paging"][0] is (asked == 1)
    mend(db, found)
    assert ids(db) == list(range(7))


@pytest.mark.parametrize("style", ["links", "number"])
def test_check_takes_no_length_of_a_page_for_a_total(table, style):
    def edit(answer, given):
        answer[1]["meta"] = {"count": len(answer[1]["data"]), "page": {"total_count": len(answer[1]["data"])}}
        return answer

    db = table(Pages(7, style, "none", edit=edit))
    found, _ = check(db)
    assert found["total"][0] is True and "none" in found["total"][1] and found["total"][2] is None
    rows(db, "ALTER FOREIGN TABLE t OPTIONS (ADD total_pointer '/meta/count')")
    found, _ = check(db)
    ok, detail, _ = found["total"]
    assert ok is False and "may be the number of rows of the page" in detail


def test_check_says_what_is_all(table):
    """An API that speaks of pages has said so; one that says nothing has not."""
    db = table(Pages(2, "links", "links"))
    assert "2 rows are all there are" in check(db)[0]["page size"][1]
    db = table(Pages(3, "links", "null"))
    assert "3 rows are all there are" in check(db)[0]["page size"][1]
    db = table(Pages(2, "links", "none"))
    detail = check(db)[0]["page size"][1]
    assert "all there are" not in detail and "nothing is said" in detail


def test_check_keeps_the_only_alarm(table):
    """More is announced than the list leads to: the total is not to be blamed."""
    def edit(answer, given):
        answer[1]["meta"] = {"total": 50}
        return answer

    db = table(Pages(3, "links", "links", edit=edit), total_pointer="/meta/total")
    found, _ = check(db)
    ok, detail, hint = found["total"]
    assert ok is False and "50 at /meta/total" in detail and hint is None
    assert found["paging"][0] is False and "3 of 50 rows" in found["paging"][1]


# ----- what an import by sample writes of pages -----


def sampled(db):
    rows(db, "DROP SCHEMA IF EXISTS i CASCADE")
    rows(db, "CREATE SCHEMA i")
    tpmtest.notices(db)
    rows(db, "IMPORT FOREIGN SCHEMA sample FROM SERVER s INTO i OPTIONS (resources '/t', sample_pages '1')")
    said = warned(db)
    options = rows(db, "SELECT unnest(ftoptions) FROM pg_foreign_table WHERE ftrelid = 'i.t'::regclass")
    return dict(option.split("=", 1) for option, in options), said


@pytest.mark.parametrize("tells", ["links", "header"])
@pytest.mark.parametrize("style", ["number", "number_base64"])
@pytest.mark.parametrize("first", [0, 1])
def test_sample_finds_the_first_page(table, style, tells, first):
    db = table(Pages(7, style, tells, first=first), pagination="links")
    options, said = sampled(db)
    assert said == [] and options["pagination"] == style
    assert options.get("first_page") == ("0" if first == 0 else None)
    assert rows(db, "SELECT count(*) FROM (SELECT * FROM i.t OFFSET 0) x") == [(7,)] and warned(db) == []


@pytest.mark.parametrize("tells", ["none", "total", "range"])
def test_sample_warns_of_a_full_page(table, tells):
    """No links: it cannot be known what is behind the page, or it is known that there is more."""
    def edit(answer, given):
        if tells == "none":
            answer[1]["meta"] = {"count": len(answer[1]["data"])}
        return answer

    db = table(Pages(7, "number", tells, edit=edit), pagination="links", total_pointer="")
    options, said = sampled(db)
    assert "total_pointer" not in options
    assert len(said) == 1 and "pagination" in said[0]
    assert ("may have more than the 3 rows" in said[0]) is (tells != "range")


def test_sample_of_a_short_page(table):
    """Fewer than asked for, and a total that agrees."""
    db = table(Pages(2, "links", "total"), total_pointer="")
    assert sampled(db) == ({"total_pointer": "/meta/total"}, [])
