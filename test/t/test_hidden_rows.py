"""Lists that leave out what is archived, though filters and ids find it: the same answer warm and cold."""

import json
from urllib.parse import parse_qs, urlsplit

import hostile
import pytest
import tpmtest
from tpmtest import rows


class Archive:
    """Things 1 to 40 of which the list shows those that are not archived; a filter or an id finds the others."""

    def __init__(self):
        self.archived = {3, 17, 40}
        self.numbers = range(1, 41)

    def __call__(self, request):
        parts = urlsplit(request.target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        number = parts.path.rpartition("/")[2]
        if number.isdigit():
            if int(number) not in self.numbers:
                return hostile.answer(json.dumps({"errors": [{"status": "404"}]}), 404)
            return hostile.document(self.thing(int(number)))
        values = {name[7:-1]: text.split(",") for name, text in asked.items() if name.startswith("filter[")}
        found = [n for n in self.numbers if all(
            {"id": str(n), **self.thing(n)["attributes"]}[name] in wanted for name, wanted in values.items())
            and (n not in self.archived or self.shows(values))]
        if "sort" in asked:
            found.sort(key=str, reverse=asked["sort"].startswith("-"))
        size, page = int(asked["page[size]"]), int(asked.get("page[number]", 1))
        part = found[(page - 1) * size:page * size]
        following = f"?{parts.query.split('&page%5Bnumber')[0]}&page%5Bnumber%5D={page + 1}"
        return hostile.document([self.thing(n) for n in part],
                                links={"next": following if page * size < len(found) else None})

    def shows(self, values):
        """Does a list with these filters have what is archived?"""
        return bool(values)

    def thing(self, number):
        state = "archived" if number in self.archived else "kept"
        return {"type": "things", "id": str(number), "attributes": {"state": state, "kind": str(number % 5)}}


@pytest.fixture(scope="module")
def server():
    made = hostile.Hostile()
    yield made
    made.close()


@pytest.fixture
def archive(server):
    server.reset()
    server.answers["/v1/things"] = Archive()
    return server.answers["/v1/things"]


@pytest.fixture(params=["query", "table"])
def scope(request):
    return request.param


TABLE = """CREATE FOREIGN TABLE {name} (
    id text OPTIONS (filter 'id', sortable 'true') COLLATE "C" NOT NULL,
    state text OPTIONS (filter 'state'), kind text OPTIONS (filter 'kind'))
    SERVER tpm OPTIONS (resource '/things', type 'things', cache_scope '{scope}')"""


@pytest.fixture
def things(db, server, archive, scope):
    options = {"base_url": server.base_url, "auth": "none", "cache_ttl": "1h", "page_size": 10, **tpmtest.GENEROUS}
    rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
    rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
    rows(db, TABLE.format(name="things", scope=scope))
    rows(db, "SET client_min_messages = error")
    return db


WHOLE = "SELECT count(*) FROM things"
ARCHIVED = "SELECT id FROM things WHERE state = 'archived' ORDER BY id"
BY_ID = "SELECT id, state FROM things WHERE id = '17'"
SOME = "SELECT id FROM things WHERE id IN ('2', '3', '40', '99') ORDER BY id"
LAST = "SELECT id FROM things WHERE kind = '0' ORDER BY id DESC LIMIT 3"
JOINED = "SELECT k, t.state FROM unnest(ARRAY['3', '4', '99']) k LEFT JOIN things t ON t.id = k ORDER BY k"
ANSWERS = {WHOLE: [(37,)], ARCHIVED: [("17",), ("3",), ("40",)], BY_ID: [("17", "archived")],
           SOME: [("2",), ("3",), ("40",)], LAST: [("5",), ("40",), ("35",)],
           JOINED: [("3", "archived"), ("4", "kept"), ("99", None)]}


def again(db):
    """Every query, in every order, warm."""
    for queries in (list(ANSWERS), list(ANSWERS)[::-1]):
        for query in queries:
            assert rows(db, query) == ANSWERS[query], query


def reset(db):
    rows(db, "SELECT tpm_fdw_reset_cache()")


@pytest.mark.parametrize("first", [ARCHIVED, BY_ID, SOME])
@pytest.mark.parametrize("uncached", [False, True])
def test_conditions_before_the_list(things, scope, first, uncached, cluster):
    """Found cold, it is found warm: also where somebody with the cache off has found it, or another session asks."""
    rows(things, f"SET tpm_fdw.cache_ttl = {0 if uncached else 3600}")
    if scope == "query" or uncached:
        assert rows(things, first) == ANSWERS[first]
    else:
        # one copy answers all, until somebody has seen more than it has
        rows(things, "SET tpm_fdw.cache_ttl = 0")
        assert rows(things, first) == ANSWERS[first]
    rows(things, "SET tpm_fdw.cache_ttl = 3600")
    assert rows(things, WHOLE) == ANSWERS[WHOLE]
    again(things)
    other = cluster.connect(things.info.dbname)
    again(other)
    other.close()


def test_conditions_after_the_list(things, server):
    """The list is there and answers, until one session has seen a resource that it lacks: then for none."""
    assert rows(things, WHOLE) == ANSWERS[WHOLE]
    server.requests.clear()
    assert rows(things, ARCHIVED) == [] and server.paths() == []
    rows(things, "SET tpm_fdw.cache_ttl = 0")
    assert rows(things, BY_ID) == ANSWERS[BY_ID]
    rows(things, "RESET tpm_fdw.cache_ttl")
    again(things)
    # what was not asked for by conditions still comes from it
    server.requests.clear()
    assert rows(things, WHOLE) == ANSWERS[WHOLE] and server.paths() == []


def test_a_second_list_that_lacks_it_is_learnt(things, server, archive, cluster):
    rows(things, "SET tpm_fdw.cache_ttl = 0")
    rows(things, BY_ID)
    rows(things, "RESET tpm_fdw.cache_ttl; SET client_min_messages = warning")
    rows(things, WHOLE)
    reset(things)
    tpmtest.notices(things)
    rows(things, WHOLE)
    assert "leaves out resources" in tpmtest.notices(things)
    # from now on nobody has to find out again, after a restart neither
    cluster.restart()
    db = cluster.connect(things.info.dbname)
    rows(db, WHOLE)
    assert rows(db, ARCHIVED) == ANSWERS[ARCHIVED]
    # a table whose options have changed is another one
    rows(db, "ALTER FOREIGN TABLE things OPTIONS (ADD query 'x=y')")
    rows(db, WHOLE)
    assert rows(db, ARCHIVED) == []
    db.close()


def test_a_resource_made_after_the_list(things, server, archive):
    """It ends that list only: the next one has it, and answers conditions."""
    archive.archived = set()
    assert rows(things, WHOLE) == [(40,)]
    archive.numbers = range(1, 42)
    rows(things, "SET tpm_fdw.cache_ttl = 0")
    assert rows(things, "SELECT id FROM things WHERE id = '41'") == [("41",)]
    rows(things, "RESET tpm_fdw.cache_ttl")
    assert rows(things, "SELECT id FROM things WHERE id = '41'") == [("41",)]
    reset(things)
    assert rows(things, WHOLE) == [(41,)]
    server.requests.clear()
    assert rows(things, "SELECT id FROM things WHERE id = '41'") == [("41",)]
    assert rows(things, "SELECT count(*) FROM things WHERE kind = '1'") == [(9,)]
    assert server.paths() == []


def test_an_honest_list_costs_nothing_more(things, server, archive):
    """Where nothing is hidden a complete list answers every condition, whatever came first."""
    archive.archived = set()
    for query in (SOME, BY_ID, "SELECT count(*) FROM things WHERE kind = '2'"):
        rows(things, query)
    rows(things, WHOLE)
    server.requests.clear()
    for kind in range(5):
        assert rows(things, f"SELECT count(*) FROM things WHERE kind = '{kind}'") == [(8,)]
    assert rows(things, "SELECT count(*) FROM things WHERE id IN ('1', '2')") == [(2,)]
    assert server.paths() == []


def test_stale_answers(things, server, archive):
    """An older list is no answer to a condition either, once it was contradicted."""
    rows(things, "SET tpm_fdw.cache_ttl = 0")
    rows(things, ARCHIVED)
    rows(things, "SET tpm_fdw.cache_ttl = 3600")
    rows(things, WHOLE)
    server.answers["/v1/things"] = hostile.answer(b"{}", 503)
    rows(things, "SET tpm_fdw.cache_ttl = 1; SET tpm_fdw.cache_stale = '1h'; ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    with pytest.raises(Exception, match="503"):
        rows(things, ARCHIVED)


def test_the_check_finds_it_before_anybody(things, server, archive, scope):
    """A filter that brings what the list of one page lacks; then nobody is misled, cold or warm."""
    def found():
        return {row[0]: row[1:] for row in rows(things, "SELECT step, ok, detail, hint FROM tpm_fdw_check('tpm', 'public')")}

    assert found()["things: hidden rows"][0] is None  # four pages: it is not to be told
    rows(things, "ALTER SERVER tpm OPTIONS (SET page_size '50')")
    ok, detail, _ = found()["things: hidden rows"]
    assert ok is False and "lacks" in detail
    assert rows(things, WHOLE) == ANSWERS[WHOLE]
    for query in (ARCHIVED, BY_ID, SOME, LAST):
        assert rows(things, query) == ANSWERS[query]
    archive.archived = set()
    assert found()["things: hidden rows"][0] is True
