"""Orders in which rows are equal, of an API that puts equal rows in another order on every page:
no row is lost, none comes twice, and an order that cannot be proven is not used."""

import json
import random
import re
from urllib.parse import parse_qs, urlsplit

import hostile
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

RESOURCES = 60


class Ties:
    """A list of things, sorted by what is asked for; what is equal then is shuffled anew for each page.

    u is a moment, printed in seconds and held finer; n is a number with few values, k a short text
    with few values; code is unique. Without a sort the list comes by id.
    """

    def __init__(self, total=True):
        self.sort_keys = "many"
        self.sortable = {"id", "u", "n", "k", "code"}
        self.total = total
        self.finer = False
        random.seed(7)
        self.things = [
            {"id": f"{i:03}", "u": i // 9 * 10, "fine": random.random(), "n": i % 4, "k": "abc"[i % 3],
             "code": f"c{RESOURCES - i:03}"} for i in range(RESOURCES)]
        random.shuffle(self.things)

    def key(self, thing, name):
        if name == "u" and self.finer:
            return thing["u"] + thing["fine"]
        return thing[name]

    def ordered(self, sort, page):
        keys = [part for part in sort.split(",") if part]
        if len(keys) > 1 and self.sort_keys == "one":
            return None
        if self.sort_keys == "last":
            keys = keys[-1:]
        if any(key.lstrip("-") not in self.sortable for key in keys):
            return None
        found = sorted(self.things, key=lambda thing: thing["id"])
        if keys:
            random.Random(f"{sort}/{page}").shuffle(found)
        for key in reversed(keys):
            found.sort(key=lambda thing, name=key.lstrip("-"): self.key(thing, name), reverse=key.startswith("-"))
        return found

    def __call__(self, request):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        page, size = int(asked.get("page[number]", 1)), int(asked.get("page[size]", 10))
        found = self.ordered(asked.get("sort", ""), page)
        if found is None:
            return hostile.answer(json.dumps({"errors": [{"status": "400", "title": "Bad Request", "detail": "cannot sort so",
                                                          "source": {"parameter": "sort"}}]}), 400)
        part = found[(page - 1) * size:page * size]
        more = page * size < len(found)
        link = re.sub(r"page%5Bnumber%5D=\d+&?|&?page%5Bnumber%5D=\d+", "", request.target)
        made = [{"type": "things", "id": t["id"], "attributes": {
            "u": f"2026-01-01T00:{t['u'] // 60:02}:{t['u'] % 60:02}Z", "n": t["n"], "k": t["k"], "code": t["code"]}}
            for t in part]
        members = {"links": {"next": f"{link}&page%5Bnumber%5D={page + 1}" if more else None}}
        if self.total:
            members["meta"] = {"total_count": len(found)}
        return hostile.document(made, **members)


@pytest.fixture(scope="module")
def server():
    made = hostile.Hostile()
    yield made
    made.close()


COLUMNS = """id text {id} COLLATE "C" NOT NULL, u timestamptz OPTIONS (sortable 'true') NOT NULL,
             n int OPTIONS (sortable 'true') NOT NULL, k text OPTIONS (sortable 'true') COLLATE "C" NOT NULL,
             code text {code} COLLATE "C" NOT NULL"""
SORTABLE = "OPTIONS (sortable 'true')"
KEY = "OPTIONS (sortable 'true', natural_key 'true')"

# what is declared, and what the API is then
WORLDS = {
    "many keys, id sortable": ({}, SORTABLE, "", "many", {"id", "u", "n", "k"}),
    "many keys, a natural key sortable": ({}, "", KEY, "many", {"code", "u", "n", "k"}),
    "many keys, nothing unique": ({}, "", "", "many", {"u", "n", "k"}),
    "one key, id sortable": ({"sort_keys": "one"}, SORTABLE, "", "one", {"id", "u", "n", "k"}),
    "one key, nothing unique": ({"sort_keys": "one"}, "", "", "one", {"u", "n", "k"}),
}


@pytest.fixture(params=WORLDS)
def world(request):
    return request.param


@pytest.fixture
def things(request, world, db, server):
    """A foreign table over it, and an ordinary one with the same rows."""
    options, identity, code, keys, sortable = WORLDS[world]
    ties = Ties(total=request.node.callspec.params.get("total", True))
    ties.sort_keys, ties.sortable = keys, sortable
    ties.finer = request.node.callspec.params.get("finer", False)
    server.reset()
    server.answers["/v1/things"] = ties
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": 0, "page_size": 10, **tpmtest.GENEROUS, **options}
    if ties.total:
        options["total_pointer"] = "/meta/total_count"
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm",
            f"CREATE FOREIGN TABLE things ({COLUMNS.format(id=identity, code=code)}) SERVER tpm",
            "CREATE TABLE truth (LIKE things)",
            "SET timezone = 'UTC'"):
        rows(db, statement)
    for t in ties.things:
        rows(db, "INSERT INTO truth VALUES (%s, timestamptz '2026-01-01Z' + %s * interval '1 s', %s, %s, %s)",
             (t["id"], t["u"], t["n"], t["k"], t["code"]))
    return db


# queries whose answer does not depend on which of equal rows come first
QUERIES = [
    "SELECT id FROM {t} ORDER BY u, id",
    "SELECT id FROM {t} ORDER BY u DESC, id LIMIT 12",
    "SELECT id FROM {t} ORDER BY u DESC, id DESC OFFSET 7 LIMIT 25",
    "SELECT id FROM {t} ORDER BY n, id",
    "SELECT id FROM {t} ORDER BY n DESC, k, id LIMIT 33",
    "SELECT n, k, id FROM {t} ORDER BY k, n DESC, id",
    "SELECT string_agg(id, ',' ORDER BY id) FROM {t} WHERE u > timestamptz '2026-01-01 00:00:25Z'",
    "SELECT string_agg(id, ',' ORDER BY id) FROM {t} WHERE u >= timestamptz '2026-01-01 00:00:30Z'",
    "SELECT string_agg(id, ',' ORDER BY id) FROM {t} WHERE n < 2",
    "SELECT string_agg(id, ',' ORDER BY id) FROM {t} WHERE k >= 'b'",
    "SELECT u, count(*), min(id) FROM {t} GROUP BY u ORDER BY u",
    "SELECT n, count(*), count(DISTINCT id) FROM {t} GROUP BY n ORDER BY n LIMIT 3",
    "SELECT k, array_agg(id ORDER BY id) FROM {t} GROUP BY k ORDER BY k",
    "SELECT id, rank() OVER (ORDER BY u), count(*) OVER (PARTITION BY n) FROM {t} ORDER BY id",
    "SELECT count(*), count(DISTINCT id) FROM (SELECT * FROM {t} ORDER BY n LIMIT 45) x",
    "SELECT n, u FROM {t} ORDER BY n, u LIMIT 40",
    "SELECT a.id, b.id FROM {t} a JOIN {t} b USING (u) WHERE a.n = 1 ORDER BY a.id, b.id",
]


@pytest.mark.parametrize("finer", [False, True])
@pytest.mark.parametrize("total", [True, False])
def test_equal_rows_that_move(things, world, total, finer):
    """The same answer as from an ordinary table, with every way to join and sort."""
    for settings in ("", "enable_hashjoin, enable_nestloop", "enable_hashagg", "enable_incremental_sort"):
        for name in settings.split(", ") if settings else ():
            rows(things, f"SET {name} = off")
        for query in QUERIES:
            tpmtest.notices(things)
            truth = rows(things, query.format(t="truth"))
            assert rows(things, query.format(t="things")) == truth, (world, settings, query)
            assert tpmtest.notices(things) == "", query
        rows(things, "RESET ALL; SET timezone = 'UTC'")


def test_a_table_made_of_it(things):
    """CREATE TABLE AS in an order, and the incremental recipe, in a transaction and with a cursor."""
    rows(things, "CREATE TABLE copy AS SELECT * FROM things ORDER BY u")
    assert rows(things, "SELECT * FROM copy EXCEPT SELECT * FROM truth") == []
    assert rows(things, "SELECT count(*), count(DISTINCT id) FROM copy") == [(RESOURCES, RESOURCES)]
    rows(things, "DELETE FROM copy WHERE u >= timestamptz '2026-01-01 00:00:30Z'; ALTER TABLE copy ADD PRIMARY KEY (id)")
    rows(things, "INSERT INTO copy SELECT * FROM things WHERE u > (SELECT max(u) - interval '9 s' FROM copy)"
                 " ON CONFLICT (id) DO UPDATE SET u = excluded.u")
    assert rows(things, "SELECT count(*), count(DISTINCT id) FROM copy") == [(RESOURCES, RESOURCES)]
    rows(things, "BEGIN; DECLARE c CURSOR FOR SELECT id, n FROM things ORDER BY n")
    fetched = [row for _ in range(RESOURCES) for row in rows(things, "FETCH 3 FROM c")]
    rows(things, "COMMIT")
    assert sorted(row[0] for row in fetched) == sorted(row[0] for row in rows(things, "SELECT id FROM truth"))
    assert [row[1] for row in fetched] == sorted(row[1] for row in fetched)


def test_what_is_sent(things, world, server):
    """Every order ends in a unique key where the API takes several and has one; nothing is asked twice for nothing."""
    sent = {"many keys, id sortable": "-u,id", "many keys, a natural key sortable": "-u,code",
            "many keys, nothing unique": "-u", "one key, id sortable": "-u", "one key, nothing unique": "-u"}
    rows(things, "SELECT id FROM things ORDER BY u DESC LIMIT 5")
    (path,) = server.paths()
    assert parse_qs(urlsplit(path).query)["sort"] == [sent[world]]
    server.requests.clear()
    # what can be equal is read to its end in an order in which nothing is, from the start
    rows(things, "SELECT id FROM things ORDER BY u")
    whole = {"many keys, id sortable": "u,id", "many keys, a natural key sortable": "u,code",
             "one key, id sortable": "id"}.get(world)
    asked = [parse_qs(urlsplit(path).query).get("sort") for path in server.paths()]
    assert asked == [[whole] if whole else None] * (RESOURCES // 10)
    if whole and "," in whole:
        plan = "\n".join(row[0] for row in rows(things, "EXPLAIN SELECT id FROM things ORDER BY u"))
        assert f"sort={whole}" in plan and "Sort" not in plan


def with_defaults(db, server):
    """The table where nothing is said of sort_keys, and its API."""
    ties = Ties()
    server.reset()
    server.answers["/v1/things"] = ties
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": 0, "page_size": 10, **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, f"CREATE FOREIGN TABLE things ({COLUMNS.format(id=SORTABLE, code='')}) SERVER tpm")
    return ties


def test_an_unsortable_second_key_is_told(db, server):
    """An API that takes one key only says so; the error says which option is for that."""
    ties = with_defaults(db, server)
    ties.sort_keys = "one"
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, "SELECT id FROM things ORDER BY u LIMIT 5")
    assert caught.value.pgcode == "22023" and "sort_keys" in caught.value.diag.message_hint
    rows(db, "ALTER SERVER tpm OPTIONS (ADD sort_keys 'one')")
    assert len(rows(db, "SELECT id FROM things ORDER BY u LIMIT 5")) == 5


def test_the_check_tries_two_keys(db, server):
    """Refused, or not obeyed: the statement that it gives is the right one; where nothing is unique it says what that means."""
    ties = with_defaults(db, server)

    def found():
        return {row[0]: row[1:] for row in rows(db, "SELECT step, ok, detail, hint FROM tpm_fdw_check('tpm', 'public')")}

    assert "things: sort keys" not in found() and "things: order of equal rows" not in found()
    ties.sort_keys = "one"
    ok, detail, hint = found()["things: sort keys"]
    assert ok is False and "refused" in detail
    rows(db, hint)
    checked = found()
    assert "things: sort keys" not in checked and checked["things: order of equal rows"][0] is None
    # as json-api-nestjs does: it takes two keys, and sorts by id first
    rows(db, "ALTER FOREIGN TABLE things OPTIONS (DROP sort_keys)")
    ties.sort_keys = "last"
    ok, detail, hint = found()["things: sort keys"]
    assert ok is False and "not sorted by" in detail
    rows(db, hint)
    assert "things: sort keys" not in found()
    rows(db, "ALTER FOREIGN TABLE things ALTER id OPTIONS (DROP sortable)")
    assert "no sortable column is unique" in found()["things: order of equal rows"][1]


def test_rows_without_id(db, server):
    """What cannot be told apart cannot be read again: an error, never a loss."""
    def page(request):
        number = 2 if "page%5Bnumber%5D=2" in request.target else 1
        made = [{"type": "things", "attributes": {"n": 1 if row else number}} for row in range(3)]
        made.sort(key=lambda row: row["attributes"]["n"])
        return hostile.document(made, links={"next": "?page%5Bnumber%5D=2" if number == 1 else None})
    server.reset()
    server.answers["/v1/things"] = page
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": 0, **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, "CREATE FOREIGN TABLE things (n int OPTIONS (sortable 'true') NOT NULL) SERVER tpm")
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, "SELECT n FROM things ORDER BY n LIMIT 5")
    assert caught.value.pgcode == "HV00M"
    assert rows(db, "SELECT n FROM things ORDER BY n LIMIT 2") == [(1,), (1,)]
