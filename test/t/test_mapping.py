"""From members to columns, from values to requests: nothing else is ever asked for, and no row is lost."""

import urllib.parse

import psycopg2
import pytest
import tpmtest

HOSTILE = ["..", ".", "a/b", "?", "%2e", "%2e%2e", "", "../users/5", "1/..", "1?x=1", "1#x", "\\", "//", "a b", "1;2", "ü",
           "1,2", "&", "=", "+", "'", "\"", "\n", "1\t", "*", "~"]


def failure(connection, statement, parameters=None):
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(connection, statement, parameters)
    return caught.value


def sent(sandbox):
    """Path and decoded parameters of each request."""
    return [(entry["path"], urllib.parse.parse_qsl(entry["query"] or "")) for entry in sandbox.api_requests()]


# ----- paths -----


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_id(tpm, sandbox, value):
    """Whatever an id holds, only that id is asked for."""
    assert tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE id = %s", (value,)) == []
    for path, parameters in sent(sandbox):
        segments = path.split("/")
        assert segments[:3] == ["", "v1", "third_parties"]
        assert len(segments) == 3 or urllib.parse.unquote("/".join(segments[3:])) == value
        assert value not in ("..", ".", "") or len(segments) == 3
        assert dict(parameters).get("filter[id]", value) == value


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_placeholder(tpm, sandbox, value):
    """The same for a value in the path; '.', '..' and '' match nothing and send nothing."""
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE party_notes (id text, third_party_id text, body text) SERVER tpm"
                      " OPTIONS (resource '/third_parties/{third_party_id}/notes')")
    tpmtest.rows(tpm, "SELECT count(*) FROM third_parties WHERE false")
    try:
        rows = tpmtest.rows(tpm, "SELECT id FROM party_notes WHERE third_party_id = %s", (value,))
        assert rows == []
    except psycopg2.Error as error:
        # the sandbox knows no such parent
        assert error.pgcode == "HV00R", error
    paths = [entry["path"] for entry in sandbox.api_requests()]
    if value in ("..", ".", ""):
        assert paths == []
    for path in paths:
        assert path.startswith("/v1/third_parties/") and path.endswith("/notes")
        assert urllib.parse.unquote(path[len("/v1/third_parties/"):-len("/notes")]) == value
        assert "/" not in path[len("/v1/third_parties/"):-len("/notes")]


@pytest.mark.parametrize("resource", ["third_parties", "//evil.example/x", "/a/../b", "/a//b", "/a?b=1", "/a#b", "/a\\b",
                                      "@evil.example/x", "/a/./b", "/a\nb", "/%2e%2e/x", ""])
def test_hostile_resource(tpm, resource):
    """Refused when it is set."""
    error = failure(tpm, "CREATE FOREIGN TABLE bad (id text) SERVER tpm OPTIONS (resource "
                         + tpmtest.quote(resource).replace("'", "E'", 1).replace("\\", "\\\\") + ")")
    assert error.pgcode in ("22023", "HV024", "HV00C", "HV009"), error.pgcode


# ----- filters -----

FILTERS = [
    ("third_parties", "status = 'Active'", {"filter[status]": "Active"}),
    ("third_parties", "status IN ('Active', 'Inactive')", {"filter[status]": "Active,Inactive"}),
    ("third_parties", "'Active' = status", {"filter[status]": "Active"}),
    ("third_parties", "status = 'Active' OR status = 'Inactive'", {"filter[status]": "Active,Inactive"}),
    ("cases", "open", {"filter[open]": "Only Open Cases"}),
    ("cases", "NOT open", {"filter[open]": "Only Closed Cases"}),
    ("cases", "open = true", {"filter[open]": "Only Open Cases"}),
    ("third_parties", "name = 'A & B'", {"filter[name]": "A & B"}),
    ("third_parties", "name = '100% ü 株式会社'", {"filter[name]": "100% ü 株式会社"}),
]


@pytest.mark.parametrize("table, condition, expected", FILTERS)
def test_filters(tpm, sandbox, table, condition, expected):
    """The right filter, percent-encoded, and the rows that SQL wants."""
    local = tpmtest.rows(tpm, f"SELECT id FROM (SELECT * FROM {table} OFFSET 0) t WHERE {condition} ORDER BY id")
    before = len(sandbox.api_requests())
    assert tpmtest.rows(tpm, f"SELECT id FROM {table} WHERE {condition} ORDER BY id") == local
    asked = sandbox.api_requests()[before:]
    for entry in asked:
        parameters = dict(urllib.parse.parse_qsl(entry["query"]))
        for name, value in expected.items():
            assert set(parameters[name].split(",")) == set(value.split(","))
    # the links behind it are the API's own
    first = asked[0]["query"]
    assert "%5B" in first and not set(first) & set("[] \"<>\\^`{|}") and first.isascii()


@pytest.mark.parametrize("condition", ["status <> 'Active'", "status ~ '^A'", "status LIKE 'A%'", "NOT (status = 'Active')",
                                       "lower(status) = 'active'", "status IS DISTINCT FROM 'Active'",
                                       "status > 'A' COLLATE \"de-x-icu\"", "status || '' = 'Active'",
                                       "coalesce(status, '') = 'Active'", "length(status) = 6"])
def test_what_the_api_cannot_do_stays_local(request, tpm, sandbox, condition):
    """Nothing of it is sent, and the rows are right."""
    if "-icu" in condition:
        request.getfixturevalue("icu")
    local = tpmtest.rows(tpm, f"SELECT id FROM (SELECT * FROM third_parties OFFSET 0) t WHERE {condition} ORDER BY id")
    before = len(sandbox.api_requests())
    assert tpmtest.rows(tpm, f"SELECT id FROM third_parties WHERE {condition} ORDER BY id") == local
    assert not any("filter" in entry["query"] for entry in sandbox.api_requests()[before:])


@pytest.mark.parametrize("value", ["Acme, Inc.", "", " x", "x ", "null", "Null"])
def test_values_that_stay_local(tpm, sandbox, value):
    """What could mean something else is not sent."""
    sandbox.edit("third_parties", 5, name=value)
    before = len(sandbox.api_requests())
    assert tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE name = %s", (value,)) == [("5",)]
    for entry in sandbox.api_requests()[before:]:
        parameters = dict(urllib.parse.parse_qsl(entry["query"]))
        assert "filter[name]" not in parameters or value.lower() == "null"


# ----- members -----


def test_renamed_attribute(tpm, sandbox):
    """A wrong name is an error that names it, where a condition, a grouping or an order rests on it."""
    for attribute, statement in (
            ("approval_status", "SELECT id FROM third_parties WHERE approval_status = 'Pending'"),
            ("risk_rating", "SELECT risk_rating, count(*) FROM third_parties GROUP BY risk_rating"),
            ("risk_rating", "SELECT id FROM third_parties ORDER BY risk_rating"),
            ("risk_rating", "SELECT count(*) FILTER (WHERE risk_rating = 'High') FROM third_parties"),
            ("risk_rating", "SELECT id, count(*) OVER (PARTITION BY risk_rating) FROM third_parties"),
            ("risk_rating", "SELECT id, rank() OVER (ORDER BY risk_rating) FROM third_parties"),
            ("risk_rating", "SELECT a.id FROM third_parties a JOIN users u ON u.email = a.risk_rating")):
        sandbox.fault("rename_attribute", attribute=attribute, to="something_else")
        forget_what_was_seen(tpm)
        error = failure(tpm, statement)
        assert error.pgcode == "HV005", statement
        assert attribute in str(error)
        sandbox.reset()


def forget_what_was_seen(db):
    """Other options are another mapping, of which nothing is known."""
    had = tpmtest.rows(db, "SELECT split_part(o, '=', 2)::int FROM pg_foreign_table, unnest(ftoptions) o"
                           " WHERE ftrelid = 'third_parties'::regclass AND o LIKE 'fetch_concurrency=%'")
    action, value = ("SET", had[0][0] + 1) if had else ("ADD", 5)
    tpmtest.rows(db, f"ALTER FOREIGN TABLE third_parties OPTIONS ({action} fetch_concurrency '{value}')")


def test_renamed_attribute_in_a_kept_list(tpm, sandbox):
    """A list that was kept for whoever only looked at the column does not answer who filters by it."""
    tpmtest.rows(tpm, "RESET tpm_fdw.cache_ttl")
    sandbox.fault("rename_attribute", attribute="risk_rating", to="rating")
    forget_what_was_seen(tpm)
    tpm.notices.clear()
    assert len(tpmtest.rows(tpm, "SELECT id, risk_rating FROM third_parties")) == 300
    assert len([notice for notice in tpm.notices if "WARNING" in notice and "risk_rating" in notice]) == 1
    count = sandbox.request_count()
    for statement in ("SELECT id FROM third_parties WHERE risk_rating = 'High'",
                      "SELECT count(*) FROM third_parties WHERE risk_rating = 'High'",
                      "SELECT risk_rating, count(*) FROM third_parties GROUP BY 1"):
        assert failure(tpm, statement).pgcode == "HV005", statement
    assert len(tpmtest.rows(tpm, "SELECT name FROM third_parties")) == 300
    assert sandbox.request_count() == count


@pytest.mark.parametrize("source", ["part", "whole", "(SELECT id, rating FROM part UNION ALL SELECT id, rating FROM part) u"])
def test_missing_attribute_of_a_child(tpm, source):
    """What a query does with a partitioned table or a UNION ALL, it does with each table in it."""
    tpmtest.rows(tpm, """
        CREATE TABLE whole (id text, rating text, note text) PARTITION BY LIST (id);
        CREATE FOREIGN TABLE part (note text, rating text, id text)
            SERVER tpm OPTIONS (resource '/third_parties', fields_format '');
        ALTER TABLE whole ATTACH PARTITION part DEFAULT;
        CREATE TABLE wanted (rating text); INSERT INTO wanted VALUES ('High')""")
    for statement in ("SELECT count(*) FROM {} JOIN wanted USING (rating)", "SELECT count(*) FROM {} WHERE rating = 'High'",
                      "SELECT rating, count(*) FROM {} GROUP BY 1", "SELECT DISTINCT rating FROM {}",
                      "SELECT id FROM {} ORDER BY rating", "SELECT count(*) FILTER (WHERE rating = 'High') FROM {}",
                      "SELECT rank() OVER (ORDER BY rating) FROM {}"):
        assert failure(tpm, statement.format(source)).pgcode == "HV005", statement
    assert len(tpmtest.rows(tpm, f"SELECT id, rating FROM {source} WHERE id IN ('1', '2')")) in (2, 4)


def test_missing_attribute_modes(tpm, sandbox):
    """null: NULLs; warn: a WARNING for output columns; error: an error."""
    sandbox.fault("rename_attribute", attribute="risk_rating", to="rating")
    forget_what_was_seen(tpm)
    tpm.notices.clear()
    assert tpmtest.rows(tpm, "SELECT count(risk_rating) FROM (SELECT risk_rating FROM third_parties OFFSET 0) t") == [(0,)]
    assert any("WARNING" in notice and "risk_rating" in notice for notice in tpm.notices)
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD missing_attribute 'error')")
    assert failure(tpm, "SELECT risk_rating FROM third_parties").pgcode == "HV005"
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (SET missing_attribute 'null')")
    tpm.notices.clear()
    assert len(tpmtest.rows(tpm, "SELECT id FROM third_parties WHERE risk_rating IS NULL")) == 300
    assert tpm.notices == []


# ----- pages -----

STYLES = [("links", {}), ("number", {"pagination": "number"}),
          ("offset", {"pagination": "offset", "page_parameters": "page[limit],page[offset]"}),
          ("number_base64", {"pagination": "number_base64"})]


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("style, options", STYLES)
def test_capped_pages(db, style, options, total):
    """Pages of 50 while we ask for 100: every row once."""
    sandbox = tpmtest.Sandbox("--records", "330", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--pagination", style, *([] if total else ["--no-total"])).start()
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact", options=options)
    sandbox.fault("page_cap", value=50)
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    rows = tpmtest.rows(db, "SELECT id FROM tpm.third_parties")
    assert len(rows) == len(set(rows)) == 330
    assert sorted(rows) == sorted((row["id"],) for row in sandbox.dump("third_parties"))
    sandbox.stop()


def test_two_parents(tpm, sandbox):
    """A resource that is legitimately under two parents appears under both."""
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE party_regions (id text, third_party_id text, name text) SERVER tpm"
                      " OPTIONS (resource '/third_parties/{third_party_id}/regions')")
    try:
        both = tpmtest.rows(tpm, "SELECT third_party_id, id FROM party_regions WHERE third_party_id IN ('1', '2', '3', '4')")
    except psycopg2.errors.FdwTableNotFound:
        pytest.fail("the sandbox has no regions under third parties")
    each = [row for number in "1234"
            for row in tpmtest.rows(tpm, f"SELECT third_party_id, id FROM party_regions WHERE third_party_id = '{number}'")]
    assert sorted(both) == sorted(each)
    assert len({ident for _, ident in each}) < len(each), "no region is under two parents: the test shows nothing"


@pytest.mark.parametrize("query", [
    "SELECT * FROM party_notes",
    "SELECT * FROM users u LEFT JOIN party_notes n ON n.body = u.email",
    "SELECT * FROM party_notes n FULL JOIN third_parties t ON n.third_party_id = t.id",
    "SELECT * FROM party_notes n WHERE third_party_id IN (SELECT id FROM third_parties WHERE name LIKE 'A%') AND false IS NULL",
    "SELECT * FROM party_notes n WHERE third_party_id > '5'"])
def test_placeholder_without_value(tpm, query):
    """HV002 with an example, or an answer; never XX000."""
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE party_notes (id text, third_party_id text, body text) SERVER tpm"
                      " OPTIONS (resource '/third_parties/{third_party_id}/notes')")
    for settings in ("RESET enable_nestloop", "SET enable_nestloop = off"):
        tpmtest.rows(tpm, settings)
        try:
            tpmtest.rows(tpm, query)
        except psycopg2.Error as error:
            assert error.pgcode == "HV002", error
            assert "third_party_id = " in str(error)
