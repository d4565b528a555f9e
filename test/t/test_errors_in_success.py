"""A status of success is not the last word: errors in a document, a scope that is missing, a token that is none."""

import json

import hostile
import psycopg2
import pytest
import tpmtest
from hostile import answer, resource
from tpmtest import rows

ROWS = [resource(1, name="a"), resource(2, name="b")]
PARTIAL = {"title": "Partial result", "detail": "shard 3 is away"}


@pytest.fixture(scope="module")
def shared_server():
    server = hostile.Hostile()
    yield server
    server.close()


@pytest.fixture
def api(shared_server):
    shared_server.reset()
    return shared_server


@pytest.fixture
def things(db, api):
    """A table on the API, cache off."""
    options = {"base_url": api.base_url, "token_url": "/oauth/token", "max_retries": 0, "cache_ttl": 0,
               **tpmtest.GENEROUS}
    mapping = {"client_id": "c", "client_secret": "the+secret & more"}
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS ({tpmtest.option_list(mapping)})",
            "CREATE FOREIGN TABLE things (id text, name text OPTIONS (filter 'name')) SERVER tpm"
            " OPTIONS (total_pointer '/meta/total')"):
        rows(db, statement)
    # tests share the address, and so the token of this client
    rows(db, "SELECT tpm_fdw_reset_tokens()")
    return db


def failure(connection, statement="SELECT id, name FROM things"):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement)
    return caught.value


def told(error, detail):
    """The error is of the kind that an answer which is none has, and holds the API's words."""
    assert error.pgcode == "HV00M"
    assert "holds errors" in error.diag.message_primary and "GET" in error.diag.message_primary
    assert error.diag.message_detail == detail


# ----- documents -----

LARGE = [resource(number, name="x" * 300) for number in range(1000)]
BESIDE = {
    "after the data": ([("data", ROWS), ("errors", [PARTIAL])], "Partial result: shard 3 is away"),
    "before the data": ([("errors", [PARTIAL]), ("data", ROWS)], "Partial result: shard 3 is away"),
    "no data": ([("errors", [PARTIAL])], "Partial result: shard 3 is away"),
    "data is null": ([("data", None), ("errors", [PARTIAL])], "Partial result: shard 3 is away"),
    "data is empty": ([("data", []), ("errors", [{"detail": "\u00fcber \"all\"\n\\"}])], "\u00fcber \"all\"\n\\"),
    "several": ([("data", ROWS), ("errors", [{"title": "one"}, {"code": "two"}])], "one; two"),
    "no array": ([("data", ROWS), ("errors", PARTIAL)], "Partial result: shard 3 is away"),
    "a text": ([("data", ROWS), ("errors", "half of it")], "half of it"),
    "texts": ([("data", ROWS), ("errors", ["half of it"])], '["half of it"]'),
    "without words": ([("data", ROWS), ("errors", [{"status": "503"}])], '[{"status": "503"}]'),
    "a large document": ([("data", LARGE), ("errors", [PARTIAL])], "Partial result: shard 3 is away"),
}


@pytest.mark.parametrize("members, detail", BESIDE.values(), ids=BESIDE)
def test_errors_in_a_document(things, api, members, detail):
    """HV00M in the API's own words, whatever stands beside them; asked once."""
    api.answers["/v1/things"] = answer(json.dumps(dict(members)))
    told(failure(things), detail)
    assert len(api.paths()) == 1
    told(failure(things, "SELECT count(*) FROM things"), detail)


@pytest.mark.parametrize("nothing", [[], None, {}, "", False], ids=str)
def test_no_errors_in_a_document(things, api, nothing):
    """Some say that there are none; and members of that name elsewhere say nothing."""
    errors = [PARTIAL]
    api.answers["/v1/things"] = answer(json.dumps({
        "errors": nothing, "data": [{**resource(1, name="a", errors=errors), "meta": {"errors": errors}}],
        "meta": {"errors": errors, "total": 1}, "links": {"errors": "/v1/x"}}))
    assert rows(things, "SELECT id, name FROM things") == [("1", "a")]


def test_names_that_only_look_alike(things, api):
    api.answers["/v1/things"] = answer(json.dumps({"data": ROWS, "Errors": [PARTIAL], "error": "x"}))
    assert len(rows(things, "SELECT id FROM things")) == 2
    escaped = json.dumps({"data": ROWS, "errors": [PARTIAL]}).replace('"errors"', '"\\u0065rrors"')
    api.answers["/v1/things"] = answer(escaped)
    told(failure(things), "Partial result: shard 3 is away")


def test_a_page_in_the_middle(tpm, sandbox):
    """No row of a list is given that is not whole; nothing of it is kept for others."""
    rows(tpm, "RESET tpm_fdw.cache_ttl")
    sandbox.fault("errors_beside_data", match="GET /v1/third_parties?", skip=1, count=1, detail="page 2 is half")
    told(failure(tpm, "SELECT name FROM third_parties"), "Partial result: page 2 is half")
    assert rows(tpm, "SELECT count(*), count(name) FROM (SELECT name FROM third_parties) t") == [(300, 300)]


READS = {
    "by id": ("GET /v1/third_parties/1", "SELECT name FROM third_parties WHERE id = '1'"),
    "a count from the total": ("GET /v1/third_parties?", "SELECT count(*) FROM third_parties WHERE status = 'Active'"),
    "one page": ("GET /v1/third_parties?", "SELECT name FROM third_parties ORDER BY updated_at DESC LIMIT 3"),
    "a join": ("GET /v1/users", "SELECT u.email FROM (VALUES ('1'), ('2')) v(id) JOIN users u ON u.id = v.id"),
    "a join with what is included": ("GET /v1/third_parties/1", "SELECT u.email FROM third_parties t JOIN users u ON u.id = t.owner_id"
                                     " WHERE t.id = '1'"),
    "the reread of an UPDATE": ("GET /v1/third_parties/1", "UPDATE third_parties SET city = 'Rome' WHERE id = '1'"),
}


@pytest.mark.parametrize("fault", ["errors_beside_data", "errors_only"])
@pytest.mark.parametrize("match, statement", READS.values(), ids=READS)
def test_every_way_to_read(tpm, sandbox, match, statement, fault):
    sandbox.fault(fault, match=match, title="Half", detail="of it")
    told(failure(tpm, statement), "Half: of it")
    assert sandbox.state()["changed"] == {}
    sandbox.reset()
    sandbox.fault("errors_beside_data", empty=True)
    rows(tpm, statement)


@pytest.mark.parametrize("fault", ["errors_beside_data", "errors_only"])
def test_answers_of_writes(tpm, sandbox, fault):
    """An answer that holds errors says nothing of what was done: it is found out."""
    sandbox.fault(fault, match="PUT /v1/third_parties/1")
    sandbox.fault(fault, match="POST /v1/third_parties")
    assert rows(tpm, "UPDATE third_parties SET city = 'Rome' WHERE id = '1' RETURNING city") == [("Rome",)]
    assert len(rows(tpm, "INSERT INTO third_parties (name, country, internal_id) VALUES ('x', 'DE', 'half')"
                         " RETURNING id")) == 1
    assert sandbox.state()["created"] == {"third_parties": 1} and sandbox.state()["changed"] == {"third_parties": 1}


@pytest.mark.parametrize("fault", ["errors_beside_data", "errors_only"])
def test_functions(tpm, sandbox, fault):
    """The checks and an import by sample tell the words; a raw GET shows the document."""
    sandbox.fault(fault, detail="shard 3 is away")
    checks = rows(tpm, "SELECT ok, detail FROM tpm_fdw_check('tpm')")
    assert [ok for ok, detail in checks if "shard 3 is away" in (detail or "")] == [False]
    checks = rows(tpm, "SELECT ok, detail FROM tpm_fdw_check('tpm', 'tpm')")
    assert False in [ok for ok, detail in checks if "shard 3 is away" in (detail or "")]
    tpmtest.notices(tpm)
    rows(tpm, "CREATE SCHEMA sampled")
    rows(tpm, "IMPORT FOREIGN SCHEMA sample FROM SERVER tpm INTO sampled OPTIONS (resources '/users')")
    assert "shard 3 is away" in "".join(tpmtest.notices(tpm))
    ((document,),) = rows(tpm, "SELECT tpm_fdw_get('tpm', '/users')")
    assert document["errors"][0]["detail"] == "shard 3 is away"


# ----- scopes -----

CHALLENGES = {
    "quoted": ('Bearer realm="a, b", error="insufficient_scope", scope="things.read more"', "things.read more"),
    "plain": ("Bearer error=insufficient_scope,scope=things.read", "things.read"),
    "after another": ('Basic realm="x", Bearer scope="things.read" , error = "insufficient_scope"', "things.read"),
    "no scope": ('Bearer error="insufficient_scope", error_description="scope=\\"wrong\\""', None),
}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("challenge, scope", CHALLENGES.values(), ids=CHALLENGES)
def test_insufficient_scope(things, api, challenge, scope, status):
    """RFC 6750, 3.1: another token would be no better, so none is asked for."""
    api.answers["/v1/things"] = answer(json.dumps({"errors": [{"title": "Not for you"}]}), status,
                                       WWW_Authenticate=challenge)
    error = failure(things)
    assert error.pgcode == "42501" and f"status {status}" in error.diag.message_primary
    lacks = f'The access token lacks the scope "{scope}".' if scope else "The access token is of too small a scope."
    assert error.diag.message_detail == "Not for you\n" + lacks
    assert "option scope" in error.diag.message_hint
    assert [request.target.split("?")[0] for request in api.requests] == ["/oauth/token", "/v1/things"]


def test_two_challenges(things, api):
    """Each in a header of its own, in either order."""
    both = ["Bearer error=\"insufficient_scope\", scope=\"x\"", "Negotiate abc=="]
    for challenges in (both, both[::-1]):
        api.answers["/v1/things"] = hostile.head(401, 0).replace(
            b"\r\n\r\n", "".join(f"\r\nWWW-Authenticate: {one}" for one in challenges).encode() + b"\r\n\r\n")
        assert 'the scope "x"' in failure(things).diag.message_detail
    assert len(api.paths()) == 2


@pytest.mark.parametrize("challenge", ['Bearer error="invalid_token"', 'Bearer realm="insufficient_scope"',
                                       'Bearer scope="error=insufficient_scope"', "Bearer", '"', "=,=,\"\\"])
def test_other_challenges(things, api, challenge):
    """A token that is not good any more is renewed, once."""
    api.answers["/v1/things"] = answer("{}", 401, WWW_Authenticate=challenge)
    error = failure(things)
    assert error.pgcode == "28000" and "scope" not in (error.diag.message_detail or "")
    assert len(api.paths()) == 2


def test_scope_of_a_write(tpm, sandbox):
    """Refused, and known to be: nothing is sent twice."""
    rows(tpm, "SELECT id FROM users LIMIT 1")
    before = sandbox.state()
    sandbox.fault("insufficient_scope", scope="write", match="PUT /v1/third_parties/1")
    error = failure(tpm, "UPDATE third_parties SET city = 'Rome' WHERE id = '1'")
    assert error.pgcode == "42501" and 'the scope "write"' in error.diag.message_detail
    after = sandbox.state()
    assert (after["tokens_issued"], after["changed"]) == (before["tokens_issued"], {})
    assert rows(tpm, "SELECT outcome FROM tpm_fdw_writes WHERE method = 'PUT' ORDER BY number DESC LIMIT 1") == [("refused",)]


# ----- tokens -----

@pytest.mark.parametrize("members, words", [
    ({"error": "invalid_client", "error_description": "the client is locked"}, "invalid_client: the client is locked (status 200)"),
    ({"ok": False, "error": "account_inactive"}, "account_inactive (status 200)"),
    ({"access_token": None, "error": "unauthorized_client"}, "unauthorized_client (status 200)"),
])
def test_token_error_in_a_success(things, api, members, words):
    api.answers["/oauth/token"] = answer(json.dumps(members), kind="application/json")
    error = failure(things)
    assert error.pgcode == "28000" and words in error.diag.message_detail
    assert "client_id" in error.diag.message_hint
    assert len(api.requests) == 1


def test_token_beside_no_error(things, api):
    """A token is a token, whatever is said beside it; what is none still says so."""
    api.answers["/v1/things"] = hostile.document(ROWS)
    api.answers["/oauth/token"] = hostile.token(error=None)
    assert len(rows(things, "SELECT id FROM things")) == 2
    rows(things, "SELECT tpm_fdw_reset_tokens()")
    api.answers["/oauth/token"] = answer("{}", kind="application/json")
    assert "holds no access_token" in failure(things).diag.message_detail


def test_token_error_that_repeats_the_secret(things, api):
    api.answers["/oauth/token"] = answer(json.dumps({"error": "no", "error_description": "the+secret & more was sent"}))
    error = failure(things)
    assert "was sent" in error.diag.message_detail and "the+secret" not in str(error)


def test_words_repeat_no_secret(things, api):
    """A success that quotes the token in its errors shows asterisks in its place, as a refusal does."""
    api.answers["/v1/things"] = answer(json.dumps(
        {"data": ROWS, "errors": [{"title": "Partial", "detail": f"Bearer {hostile.TOKEN} may not see shard 3"}]}))
    error = failure(things)
    assert error.pgcode == "HV00M" and hostile.TOKEN not in str(error) and "may not see shard 3" in error.diag.message_detail
