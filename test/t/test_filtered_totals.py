"""Totals of a list that is filtered: of the rows that match, or of the whole list whatever is asked."""

import json
from urllib.parse import parse_qs, urlsplit

import hostile
import pytest
import tpmtest
from tpmtest import rows


class Shelf:
    """Things 1 to 65, of which every third but five is red; where the total ignores filters, it is always 65."""

    def __init__(self):
        self.ignores_filter = True
        self.wanted = "red"

    def __call__(self, request):
        parts = urlsplit(request.target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = list(range(1, 66))
        if "filter[colour]" in asked:
            found = [n for n in found if self.colour(n) in asked["filter[colour]"].split(",")]
        if "filter[kind]" in asked:
            found = [n for n in found if str(n % 65) in asked["filter[kind]"].split(",")]
        size, page = int(asked["page[size]"]), int(asked.get("page[number]", 1))
        part = found[(page - 1) * size:page * size]
        following = f"?{parts.query.split('&page%5Bnumber')[0]}&page%5Bnumber%5D={page + 1}"
        return hostile.document(
            [hostile.resource(n, colour=self.colour(n), kind=str(n % 65)) for n in part],
            meta={"total": 65 if self.ignores_filter else len(found)},
            links={"next": following if page * size < len(found) else None})

    @staticmethod
    def colour(number):
        return "red" if number <= 33 and number % 33 < 24 else "blue" if number != 60 else "green"


RED = sum(Shelf.colour(n) == "red" for n in range(1, 66))


@pytest.fixture(scope="module")
def server():
    made = hostile.Hostile()
    yield made
    made.close()


@pytest.fixture
def shelf(server):
    server.reset()
    server.answers["/v1/"] = Shelf()
    return server.answers["/v1/"]


@pytest.fixture
def things(db, server, shelf):
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": 0, "total_pointer": "/meta/total",
               **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, """CREATE FOREIGN TABLE things (id text, colour text OPTIONS (filter 'colour', filter_match 'exact'),
                kind text OPTIONS (filter 'kind', filter_match 'exact')) SERVER tpm""")
    rows(db, """CREATE FOREIGN TABLE parts (id text, thing text, colour text OPTIONS (filter 'colour', filter_match 'exact'))
                SERVER tpm OPTIONS (resource '/things/{thing}/parts', type 'things')""")
    return db


RED_THINGS = "SELECT count(*) FROM things WHERE colour = 'red'"


@pytest.mark.parametrize("before", ["SELECT 1", "SELECT count(*) FROM things", "SELECT * FROM things LIMIT 1"])
def test_a_total_that_ignores_the_filter(things, before):
    """Whether or not the size of the whole list is known, and again: the rows are counted."""
    rows(things, before)
    for _ in range(2):
        tpmtest.notices(things)
        assert rows(things, RED_THINGS) == [(RED,)]
        assert rows(things, "SELECT count(*) FROM things WHERE colour = 'green'") == [(1,)]
        assert rows(things, "SELECT count(*) FROM things WHERE colour = 'red' AND kind IN ('1', '2', '60')") == [(2,)]
        assert rows(things, "SELECT count(*) FROM parts WHERE thing = '1' AND colour = 'red'") == [(RED,)]
        assert rows(things, "SELECT count(*) FROM things") == [(65,)]
        assert tpmtest.notices(things) == ""


def test_a_total_that_obeys_is_learnt(things, shelf, server):
    """One comparison a table, and from then on a count is one request."""
    shelf.ignores_filter = False
    assert rows(things, RED_THINGS) == [(RED,)]
    assert len(server.paths()) == 2
    for count, query in ((RED, RED_THINGS), (1, "SELECT count(*) FROM things WHERE colour = 'green'"),
                         (65 - RED, "SELECT count(*) FROM things WHERE colour IN ('blue', 'green')")):
        server.requests.clear()
        assert rows(things, query) == [(count,)] and len(server.paths()) == 1


def test_a_filter_that_everything_passes(things, shelf, server):
    """A total like that of the whole list proves nothing: right, and not remembered as a lie."""
    shelf.ignores_filter = False
    everything = "SELECT count(*) FROM things WHERE colour IN ('red', 'blue', 'green')"
    assert rows(things, everything) == [(65,)]
    rows(things, RED_THINGS)
    server.requests.clear()
    assert rows(things, everything) == [(65,)] and len(server.paths()) == 1


def test_the_check_compares_it_with_the_rows(things, shelf):
    """It says so before anybody counts, and its statement makes the count right."""
    found = rows(things, "SELECT step, ok, hint FROM tpm_fdw_check('tpm', 'public') WHERE step = 'things: filtered total'")
    assert [row[1] for row in found] == [False]
    rows(things, found[0][2])
    assert rows(things, RED_THINGS) == [(RED,)]
    shelf.ignores_filter = False
    rows(things, "ALTER SERVER tpm OPTIONS (SET total_pointer '/meta/total')")
    assert all(row[0] is not False for row in rows(
        things, "SELECT ok FROM tpm_fdw_check('tpm', 'public') WHERE step LIKE '%filtered total'"))


def test_a_total_that_is_none_and_no_links(things, shelf, server):
    """When the total turns out to be no reason to believe in the end, nothing is: a WARNING, the first time, too."""
    rows(things, "ALTER SERVER tpm OPTIONS (ADD page_size '10')")

    def page(request):
        document = json.loads(shelf(request).split(b"\r\n\r\n", 1)[1])
        del document["links"]
        return hostile.document(document["data"], meta=document["meta"])
    server.answers["/v1/"] = page
    rows(things, "SELECT count(*) FROM things")
    for _ in range(2):
        tpmtest.notices(things)
        assert len(rows(things, "SELECT id FROM things WHERE colour = 'red'")) == 10
        assert "there may be more than the 10 rows" in tpmtest.notices(things)
