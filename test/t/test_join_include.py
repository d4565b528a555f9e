"""Joins by id with what a list includes (JSON:API 1.0, section 7.3): pages of the one table, and nothing more.

The rows are those of the same statement without look-ahead, which includes nothing.
"""

import json
import re
import urllib.parse

import hostile
import psycopg2
import pytest
import tpmtest
from hostile import answer, document
from tpmtest import rows

CASES = "SELECT c.id, t.name, t.status FROM cases c JOIN third_parties t ON t.id = c.third_party_id"


def pages(sandbox, table):
    """Requests that a table of the sandbox costs."""
    return -(-len(sandbox.dump(table)) // 100)


@pytest.fixture
def joins(tpm):
    """The planner has no other join than a nested loop here, and knows the size of both tables."""
    rows(tpm, "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;"
              " SET enable_material = off; SET tpm_fdw.max_requests = 0")
    rows(tpm, "SELECT (SELECT count(*) FROM cases), (SELECT count(*) FROM third_parties)")
    return tpm


def asked(sandbox):
    """(path, include, fields of third parties) of the requests since the last reset."""
    found = []
    for request in sandbox.api_requests():
        query = dict(urllib.parse.parse_qsl(request["query"]))
        found.append((request["path"].rpartition("/")[2], query.get("include"), query.get("fields[third_parties]")))
    return found


def given(db, sandbox, statement):
    """The rows, sorted, which are those without look-ahead, and what was asked for."""
    rows(db, "SET tpm_fdw.enable_lookahead = off")
    expected = sorted(rows(db, statement), key=repr)
    rows(db, "SET tpm_fdw.enable_lookahead = on")
    sandbox.reset()
    assert sorted(rows(db, statement), key=repr) == expected
    return expected, asked(sandbox)


def test_pages_of_cases_and_nothing_more(tpm, sandbox):
    """The planner finds it by itself, too."""
    found, requests = given(tpm, sandbox, CASES)
    assert len(found) > 50
    assert requests == [("cases", "third_party", "name,status")] * pages(sandbox, "cases")
    plan = "\n".join(line for line, in rows(tpm, f"EXPLAIN (ANALYZE, COSTS OFF) {CASES}"))
    assert "GET /cases?include=third_party&sort=id" in plan
    assert re.search(r"on third_parties.*Requests Sent: 0", plan, re.S)


@pytest.mark.parametrize("statement", [
    CASES.replace("JOIN", "LEFT JOIN"),
    CASES + " AND t.status = 'Active'",
    CASES + " WHERE t.name LIKE '%a%' AND c.open",
    CASES.replace("JOIN", "LEFT JOIN") + " AND t.risk_score > 50 WHERE t.id IS NULL OR t.status <> 'Active'",
    "SELECT id FROM cases c WHERE EXISTS (SELECT FROM third_parties t WHERE t.id = c.third_party_id AND t.status = 'Active')",
    "SELECT id FROM cases c WHERE NOT EXISTS (SELECT FROM third_parties t WHERE t.id = c.third_party_id AND t.status = 'Active')",
    CASES + " WHERE c.third_party_id IN ('1', '2', '3', '4', '5', '6', '7', '8', '9', '10')",
    "SELECT c.id, t FROM cases c JOIN third_parties t ON t.id = c.third_party_id",
    "SELECT c.id, t.name FROM cases c, LATERAL (SELECT name FROM third_parties WHERE id = c.third_party_id LIMIT 1) t",
    "SELECT c.id, (SELECT name FROM third_parties WHERE id = c.third_party_id) FROM cases c",
    "SELECT c.id, (SELECT count(*) FROM third_parties WHERE id = c.third_party_id AND status = 'Active') FROM cases c",
])
def test_shapes(joins, sandbox, statement):
    """Conditions of either side, NULL linkage, semi and anti joins, whole rows: no third party is asked for."""
    found, requests = given(joins, sandbox, statement)
    assert found
    assert {(path, include) for path, include, _ in requests} == {("cases", "third_party")}


def test_one_case(joins, sandbox):
    """A resource that is asked for by its id includes as well."""
    linked = next(item["id"] for item in sandbox.dump("cases") if item["relationships"]["third_party"]["data"])
    found, requests = given(joins, sandbox, CASES + f" WHERE c.id = '{linked}'")
    assert len(found) == 1
    assert requests == [(linked, "third_party", "name,status")]


def test_two_relationships_of_one_type(joins, sandbox):
    """A memory each, and one union of members."""
    found, requests = given(joins, sandbox, "SELECT c.id, a.last_name, b.email, t.name FROM cases c"
                            " JOIN users a ON a.id = c.requester_id LEFT JOIN users b ON b.id = c.investigator_id"
                            " JOIN third_parties t ON t.id = c.third_party_id")
    assert found
    assert {path for path, _, _ in requests} == {"cases"}
    assert {frozenset(include.split(",")) for _, include, _ in requests} == {
        frozenset({"requester", "investigator", "third_party"})}


def test_what_is_not_included_is_asked_for(joins, sandbox):
    """Every third resource is missing though linked: one list of keys for each page."""
    rows(joins, "SET tpm_fdw.enable_lookahead = off")
    expected = sorted(rows(joins, CASES))
    rows(joins, "SET tpm_fdw.enable_lookahead = on")
    sandbox.reset()
    sandbox.fault("included_gap")
    assert sorted(rows(joins, CASES)) == expected
    requests = asked(sandbox)
    assert 0 < sum(path == "third_parties" for path, _, _ in requests) <= pages(sandbox, "cases")


@pytest.mark.parametrize("option", ["query 'filter[status]=Active'", "required_filters 'status'"])
def test_tables_that_are_a_part(joins, sandbox, option):
    """What is included need not be a row of such a table."""
    rows(joins, f"ALTER FOREIGN TABLE third_parties OPTIONS (ADD {option})")
    _, requests = given(joins, sandbox, CASES + " AND t.status = 'Active'")
    assert {include for _, include, _ in requests} == {None}


def test_limit(joins, sandbox):
    sandbox.reset()
    assert len(rows(joins, CASES + " LIMIT 10")) == 10
    assert asked(sandbox) == [("cases", "third_party", "name,status")]


def test_cached_lists(joins, sandbox):
    """A list that others will use is asked for with all of its members; the cache holds nothing of what it included."""
    rows(joins, "SET tpm_fdw.cache_ttl = 600")
    sandbox.reset()
    expected = sorted(rows(joins, CASES))
    assert asked(sandbox) == [("cases", "third_party", "name,status")] * pages(sandbox, "cases")
    sandbox.reset()
    assert sorted(rows(joins, CASES)) == expected
    assert {path for path, _, _ in asked(sandbox)} == {"third_parties"}
    sandbox.reset()
    assert sorted(rows(joins, CASES)) == expected
    assert rows(joins, "SELECT count(*) FROM cases") == [(len(sandbox.dump("cases")),)]
    assert asked(sandbox) == []


def test_list_that_others_have_begun(joins, sandbox):
    """It is read on as they began it, without include; the look-ahead fills in."""
    rows(joins, "SET tpm_fdw.cache_ttl = 600")
    other = psycopg2.connect(joins.dsn)
    rows(other, "SET tpm_fdw.cache_ttl = 600")
    # links that it has given out would mean nothing any more after another reset
    sandbox.reset()
    rows(other, "DECLARE begun CURSOR FOR SELECT * FROM tpm.cases; FETCH begun")
    found = sorted(rows(joins, CASES))
    requests = asked(sandbox)[1:]
    assert requests.count(("cases", None, None)) == pages(sandbox, "cases") - 1
    assert {path for path, _, _ in requests} == {"cases", "third_parties"}
    other.close()
    rows(joins, "SET tpm_fdw.cache_ttl = 0; SET tpm_fdw.enable_lookahead = off")
    assert sorted(rows(joins, CASES)) == found


def test_memory_is_bounded(joins, sandbox):
    """What is forgotten is asked for again."""
    rows(joins, "SET work_mem = 64; SET hash_mem_multiplier = 1")
    statement = "SELECT c.id, t FROM (SELECT * FROM cases ORDER BY name OFFSET 0) c JOIN third_parties t ON t.id = c.third_party_id"
    _, requests = given(joins, sandbox, statement)
    assert "third_parties" in {path for path, _, _ in requests}


# ----- APIs of other kinds -----

@pytest.fixture(scope="module")
def shared_api():
    server = hostile.Hostile()
    yield server
    server.close()


PEOPLE = [{"type": "people", "id": str(n), "attributes": {"name": f"p{n}", **({"nick": f"n{n}"} if n % 2 else {})},
           "relationships": {"boss": {"data": {"type": "people", "id": str(n // 2)} if n > 1 else None}}}
          for n in range(1, 61)]
BOOKS = [{"type": "books", "id": str(n), "attributes": {"title": f"t{n}"},
          "relationships": {"author": {"data": {"type": "people", "id": str(n % 40 + 1)} if n % 7 else None}}}
         for n in range(1, 51)]


def serve(items, included=(), refuse=False, hidden=(), people=PEOPLE):
    """Books or people, all on one page, with what `included` names for include; `hidden` are shown to filters only."""
    ids = [item["id"] for item in items]

    def answered(request):
        query = dict(urllib.parse.parse_qsl(request.target.partition("?")[2]))
        if refuse and "include" in query:
            return answer(json.dumps({"errors": [{"status": "400", "title": "cannot include"}]}), status=400)
        wanted = query["filter[id]"].split(",") if "filter[id]" in query else None
        found = [item for item in items if item["id"] in (wanted or set(ids) - set(hidden))]
        linked = {item["relationships"][name]["data"]["id"] for item in found for name in query.get("include", "").split(",")
                  if name in included and item["relationships"][name]["data"]}
        more = {"included": [item for item in people if item["id"] in linked and item not in found]}
        return document(found, **(more if "include" in query and included else {}))
    return answered


def create_books(db, shared_api):
    """Tables of books and people on the API, cache off."""
    shared_api.reset()
    rows(db, "CREATE EXTENSION IF NOT EXISTS tpm_fdw")
    options = {"base_url": shared_api.base_url, "auth": "none", "cache_ttl": 0, "max_retries": 0, **tpmtest.GENEROUS}
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm",
            "CREATE FOREIGN TABLE books (id text, title text, author_id text OPTIONS (relationship 'author'))"
            " SERVER tpm OPTIONS (resource '/books')",
            "CREATE FOREIGN TABLE people (id text OPTIONS (filter 'id'), name text, nick text,"
            " boss_id text OPTIONS (relationship 'boss')) SERVER tpm OPTIONS (resource '/people')",
            "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off"):
        rows(db, statement)
    shared_api.answers["/v1/people"] = serve(PEOPLE)
    shared_api.answers["/v1/books"] = serve(BOOKS, included=["author"])


@pytest.fixture
def books(db, shared_api):
    create_books(db, shared_api)
    return db


AUTHORS = "SELECT b.id, p.name FROM books b JOIN people p ON p.id = b.author_id"


def targets(api):
    return [urllib.parse.unquote(path.partition("/v1")[2]) for path in api.paths()]


def expected_authors():
    return sorted((book["id"], f"p{book['relationships']['author']['data']['id']}") for book in BOOKS
                  if book["relationships"]["author"]["data"])


def test_authors(books, shared_api):
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    assert targets(shared_api) == ["/books?include=author&fields[books]=author&fields[people]=name&page[size]=100"]


def test_refused(books, shared_api):
    """A refused include is asked without, once: the next statement knows it, in other sessions too."""
    shared_api.answers["/v1/books"] = serve(BOOKS, refuse=True)
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    first = targets(shared_api)
    assert ["include" in target for target in first if target.startswith("/books")] == [True, False]
    assert len(first) == 3
    del shared_api.requests[:]
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    assert not any("include" in target for target in targets(shared_api))


def test_passed_over(books, shared_api):
    """So is one that an API passes over in silence."""
    shared_api.answers["/v1/books"] = serve(BOOKS)
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    assert any("include" in target for target in targets(shared_api))
    del shared_api.requests[:]
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    assert not any("include" in target for target in targets(shared_api))


def test_member_that_some_lack(books, shared_api):
    """An included resource without a member that is read may have it in the list: it is asked for."""
    statement = AUTHORS.replace("p.name", "p.nick")
    assert sorted(rows(books, statement), key=repr) == sorted(
        ((book, f"n{name[1:]}" if int(name[1:]) % 2 else None) for book, name in expected_authors()), key=repr)
    keys = re.findall(r"/people\?filter\[id\]=([\d,]+)", "\n".join(targets(shared_api)))
    assert len(set(keys)) == 1
    assert all(int(key) % 2 == 0 for key in keys[0].split(","))


def test_self_join(books, shared_api):
    """What stands among the data itself is not repeated in included."""
    shared_api.answers["/v1/people"] = serve(PEOPLE, included=["boss"])
    statement = "SELECT p.name, b.name FROM people p JOIN people b ON b.id = p.boss_id"
    assert sorted(rows(books, statement)) == sorted((f"p{n}", f"p{n // 2}") for n in range(2, 61))
    assert targets(shared_api) == ["/people?include=boss&fields[people]=name,boss&page[size]=100"]


def test_parts_of_the_list(books, shared_api):
    """Another path than that of the type may list only some of them."""
    rows(books, "ALTER FOREIGN TABLE people OPTIONS (SET resource '/all/people', ADD type 'people')")
    shared_api.answers["/v1/all/people"] = serve(PEOPLE[:20])
    assert sorted(rows(books, AUTHORS)) == [(book, name) for book, name in expected_authors() if int(name[1:]) <= 20]
    assert not any("include" in target for target in targets(shared_api))


def test_list_that_hides(books, shared_api):
    """A table whose list is known to leave out resources is asked itself."""
    shared_api.answers["/v1/people"] = serve(PEOPLE, hidden=["5"])
    assert len(rows(books, "SELECT name FROM people WHERE id IN ('5', '6')")) == 2
    for _ in range(2):
        assert len(rows(books, "SELECT name FROM people")) == len(PEOPLE) - 1
    del shared_api.requests[:]
    assert sorted(rows(books, AUTHORS)) == expected_authors()
    assert not any("include" in target for target in targets(shared_api))


def test_other_credentials(books, shared_api):
    """What one role is shown need not be what another is."""
    rows(books, "CREATE ROLE reader_of_people; CREATE USER MAPPING FOR reader_of_people SERVER tpm;"
                "GRANT SELECT ON people TO reader_of_people; GRANT USAGE ON SCHEMA public TO reader_of_people;"
                "CREATE VIEW shown AS SELECT * FROM people; ALTER VIEW shown OWNER TO reader_of_people")
    try:
        assert sorted(rows(books, AUTHORS.replace("people p", "shown p"))) == expected_authors()
    finally:
        rows(books, "DROP OWNED BY reader_of_people; DROP ROLE reader_of_people")
    assert not any("include" in target for target in targets(shared_api))


def test_encoding(cluster, shared_api):
    """What is kept as it came is in the encoding of the database."""
    cluster.sql("CREATE DATABASE includes ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    db = cluster.connect("includes")
    db.set_client_encoding("UTF8")
    create_books(db, shared_api)
    people = [{**item, "attributes": {"name": f"M\u00fcller \"& S\u00f6hne\" {item['id']}"}} for item in PEOPLE]
    shared_api.answers["/v1/books"] = serve(BOOKS, included=["author"], people=people)
    assert sorted(rows(db, AUTHORS)) == [(book, f"M\u00fcller \"& S\u00f6hne\" {name[1:]}") for book, name in expected_authors()]
    assert len(targets(shared_api)) == 1
    db.close()


def test_value_that_does_not_fit(books, shared_api):
    """It is an error where the row is asked for, and says where it came from."""
    rows(books, "ALTER FOREIGN TABLE people ALTER COLUMN name TYPE int")
    with pytest.raises(psycopg2.Error, match="invalid input syntax for type integer"):
        rows(books, AUTHORS)
    assert rows(books, AUTHORS + " WHERE b.author_id IS NULL") == []
