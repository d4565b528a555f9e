"""A JSON:API server that is honest and unlike the sandbox: what the standards allow is understood,
what is not understood is never taken for the end of a list, and nothing secret comes back in an error."""

import json

import hostile
import psycopg2
import pytest
import tpmtest
from hostile import answer, document, head, resource
from tpmtest import rows

MARK = b"\xef\xbb\xbf"
SECRET = "the+secret & more"
API_KEY = "key-0123456789"


@pytest.fixture(scope="module")
def shared_api():
    server = hostile.Hostile()
    yield server
    server.close()


@pytest.fixture
def api(shared_api):
    shared_api.reset()
    return shared_api


@pytest.fixture
def things(db, api):
    """A table on the API, cache off."""
    options = {"base_url": api.base_url, "token_url": "/oauth/token", "max_retries": 0, "cache_ttl": 0,
               **tpmtest.GENEROUS}
    mapping = {"client_id": "c", "client_secret": SECRET, "headers": f"X-Api-Key: {API_KEY}"}
    for statement in (
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS ({tpmtest.option_list(mapping)})",
            "CREATE FOREIGN TABLE things (id text, name text) SERVER tpm"):
        rows(db, statement)
    return db


def failure(connection, statement="SELECT id, name FROM things"):
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement)
    return caught.value


def two_pages(links):
    """A first page with these links, and a second one whose address has n=2."""
    def pages(request):
        if "n=2" in request.target:
            return document([resource(2, name="b")], links={"next": None})
        return document([resource(1, name="a")], links=links)
    return pages


# ----- what is there is read -----

def test_byte_order_mark(things, api):
    """In a page, in an error and in a token answer."""
    api.answers["/oauth/token"] = answer(MARK + json.dumps(
        {"access_token": hostile.TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode(), kind="application/json")
    api.answers["/v1/things"] = answer(MARK + json.dumps({"data": [resource(1, name="a")]}).encode())
    assert rows(things, "SELECT id, name FROM things") == [("1", "a")]
    api.answers["/v1/things"] = answer(MARK + b'{"errors": [{"title": "Bad day"}]}', status=400)
    assert failure(things).diag.message_detail == "Bad day"


@pytest.mark.parametrize("link", [None, "", False, {"href": None}, {"href": ""}, []])
def test_links_that_end_a_list(things, api, link):
    api.answers["/v1/things"] = two_pages({"next": link})
    assert rows(things, "SELECT count(*) FROM things") == [(1,)]


@pytest.mark.parametrize("links", [None, [], {}])
def test_no_links(things, api, links):
    api.answers["/v1/things"] = two_pages(links)
    assert rows(things, "SELECT count(*) FROM things") == [(1,)]


def test_a_total_that_no_link_leads_to(things, api):
    """An API without links looks complete after one page; its total says that it is not."""
    rows(things, "ALTER FOREIGN TABLE things OPTIONS (ADD total_pointer '/meta/total')")
    api.answers["/v1/things"] = document([resource(1, name="a"), resource(2, name="b")], meta={"total": 5})
    del things.notices[:]
    assert len(rows(things, "SELECT id FROM things")) == 2
    assert len(api.paths()) == 1
    notices = "".join(things.notices)
    assert "announced 5 rows, 2 were received" in notices and "pagination" in notices
    rows(things, "SELECT id FROM things LIMIT 2")
    del things.notices[:]
    api.answers["/v1/things"] = document([resource(1, name="a")], meta={"total": 1})
    assert len(rows(things, "SELECT id FROM things")) == 1 and things.notices == []


@pytest.mark.parametrize("links", [{"next": 2}, {"next": True}, {"next": ["/v1/things?n=2"]}, {"next": {"href": 2}},
                                   [{"rel": "next", "href": "/v1/things?n=2"}]], ids=str)
def test_links_that_are_not_understood(things, api, links):
    """A short answer would be a wrong one."""
    api.answers["/v1/things"] = two_pages(links)
    error = failure(things)
    assert error.pgcode == "HV00M"
    assert "links" in error.diag.message_detail


@pytest.mark.parametrize("link, asked", [
    ({"href": "/v1/things?n=2", "meta": {"x": 1}}, "/v1/things?n=2"),
    ("/v1/things?n=2&q=a b", "/v1/things?n=2&q=a%20b"),
    ("/v1/things?n=2&filter[x]=é\"<>", "/v1/things?n=2&filter[x]=%C3%A9%22%3C%3E"),
    ("things?n=2&q=%c3%a9", "/v1/things?n=2&q=%c3%a9"),
    ("?n=2#here", "/v1/things?n=2"),
])
def test_links_as_they_are_written(things, api, link, asked):
    """RFC 3987: letters and blanks are percent-encoded before they are sent."""
    api.answers["/v1/things"] = two_pages({"next": link})
    assert rows(things, "SELECT id FROM things ORDER BY 1") == [("1",), ("2",)]
    assert api.paths()[-1] == asked


def test_not_modified_is_no_redirect(things, api):
    """Nobody asked whether something was modified."""
    api.answers["/v1/things"] = answer(b"", status=304)
    error = failure(things)
    assert error.pgcode == "HV00M"
    assert "status 304" in error.diag.message_primary and "redirect" not in str(error)


def test_parameter_of_an_error(things, api):
    api.answers["/v1/things"] = answer(json.dumps(
        {"errors": [{"detail": "No such filter.", "source": {"parameter": "filter[x]"}}]}), status=400)
    assert failure(things).diag.message_detail == "No such filter. (parameter filter[x])"


# ----- an answer that repeats what it was sent -----

@pytest.mark.parametrize("repeat", [
    lambda text: answer(json.dumps({"errors": [{"title": "Bad token", "detail": text}]}), status=400),
    lambda text: answer(text, status=403, kind="text/plain"),
    lambda text: answer(json.dumps({"message": text}), status=500, kind="application/json")],
    ids=["errors", "plain", "other"])
@pytest.mark.parametrize("statement", ["SELECT id FROM things", "INSERT INTO things (name) VALUES ('x')"])
def test_answer_repeats_the_request(things, api, cluster, repeat, statement):
    api.answers["/v1/things"] = lambda request: repeat("; ".join(
        f"{name}: {value}" for name, value in request.headers.items()))
    error = failure(things, statement)
    said = str(error) + str(things.notices) + str(rows(things, "SELECT * FROM tpm_fdw_requests")) + cluster.log()
    assert hostile.TOKEN not in said and API_KEY not in said


@pytest.mark.parametrize("method", ["basic", "post"])
def test_token_endpoint_repeats_the_request(things, api, method):
    rows(things, f"ALTER SERVER tpm OPTIONS (ADD token_auth '{method}')")
    sent = []

    def repeat(request):
        sent.append(request.headers.get("authorization", "") + request.body.decode())
        return answer(json.dumps({"error": "invalid_client", "error_description": f"{SECRET} / {sent[-1]}"}),
                      status=401, kind="application/json")

    api.answers["/oauth/token"] = repeat
    rows(things, "SELECT tpm_fdw_reset_tokens()")
    error = failure(things)
    said = str(error) + str(rows(things, "SELECT * FROM tpm_fdw_tokens"))
    assert error.pgcode == "28000" and "invalid_client" in said
    for secret in (SECRET, "the%2Bsecret", sent[0].partition("Basic ")[2].partition("grant")[0]):
        assert not secret or secret not in said


# ----- answers to writes -----

def test_update_answered_with_meta_only(things, api):
    """JSON:API 1.0, 9.3.3: a success; what the server made of it is for the next reader."""
    stored = {"name": "a"}

    def serve(request):
        if request.method == "PUT":
            stored["name"] = "B"
            return answer('{"meta": {"done": true}}')
        one = resource(1, **stored)
        return document(one) if request.target.startswith("/v1/things/1") else document([one])

    api.answers["/v1/things"] = serve
    assert rows(things, "UPDATE things SET name = 'b' WHERE name = 'a' RETURNING name") == [("B",)]
    assert [request.method for request in api.requests if request.target.startswith("/v1")] == [
        "GET", "GET", "PUT", "GET"]
    stored["name"] = "a"
    rows(things, "UPDATE things SET name = 'b' WHERE name = 'a'")
    assert api.requests[-1].method == "PUT"
    assert rows(things, "SELECT DISTINCT outcome FROM tpm_fdw_writes WHERE server = 'tpm' AND database ="
                " current_database()") == [("sent",)]


def test_insert_answered_with_meta_only(things, api):
    api.answers["/v1/things"] = answer('{"meta": {"done": true}}', status=202)
    rows(things, "INSERT INTO things (name) VALUES ('a')")
    assert len(api.paths()) == 1


def test_insert_with_an_id_answered_without_a_body(things, api):
    """JSON:API 1.0, 9.1.2.3: 204 accepts the resource with the id that the client gave."""
    api.answers["/v1/things"] = head(204)
    api.answers["/v1/things/mine"] = document({"type": "things", "id": "mine", "attributes": {"name": "A"}})
    assert rows(things, "INSERT INTO things (id, name) VALUES ('mine', 'a') RETURNING id, name") == [("mine", "A")]
    assert api.paths() == ["/v1/things", "/v1/things/mine"]
    assert rows(things, "SELECT id FROM tpm_fdw_writes WHERE server = 'tpm' AND database = current_database()") == [
        ("mine",)]


def test_outcome_of_a_lost_write_is_told_in_words(things, api):
    """On a connection that had served before; a change has its id, so no natural key would help."""
    def serve(request):
        if request.method in ("PUT", "POST"):
            return answer("oops", status=500, kind="text/plain")
        one = resource(1, name="a")
        return document(one) if request.target.startswith("/v1/things/1") else document([one])

    api.answers["/v1/things"] = serve
    error = failure(things, "INSERT INTO things (name) VALUES ('x')")
    assert error.pgcode == "08007" and "natural_key" in error.diag.message_hint
    assert "status 500" in error.diag.message_detail
    error = failure(things, "UPDATE things SET name = 'b' WHERE id = '1'")
    assert error.pgcode == "08007" and "natural_key" not in error.diag.message_hint


def test_pause_without_a_limit_an_hour(things, api):
    """What stands in the way is named, and no limit that there is not."""
    rows(things, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour 'none')")
    rows(things, "SET tpm_fdw.max_wait = '1s'")
    api.answers["/v1/things"] = answer(b"", status=429, Retry_After="60")
    error = failure(things)
    rows(things, "SELECT tpm_fdw_reset_rate_limits()")
    assert error.pgcode == "53400"
    assert "used this hour: 1, 1 by this session; after status 429 all requests pause" in error.diag.message_detail


def test_arrays_of_any_type(things, api):
    """What INSERT sends as a JSON array is read back as the array that it was."""
    rows(things, "CREATE DOMAIN numbers AS int[]")
    rows(things, "CREATE FOREIGN TABLE arrays (id text, n int[], d date[], o numbers, t text[], v varchar(9)[], b boolean[])"
                 " SERVER tpm OPTIONS (resource '/things', type 'things')")
    values = {"n": [1, None, 2], "d": ["2024-05-06"], "o": [], "t": ["a,b", "{}"], "v": ['q"\\', "NULL", ""], "b": [True, False]}
    api.answers["/v1/things"] = document([resource(1, **values), resource(2, n="{3,4}", o="")])
    assert rows(things, "SELECT n, to_json(d)::text, o::int[], t, v, b FROM arrays") == [
        ([1, None, 2], '["2024-05-06"]', [], ["a,b", "{}"], ['q"\\', "NULL", ""], [True, False]),
        ([3, 4], None, None, None, None, None)]
    api.answers["/v1/things"] = answer(json.dumps({"data": resource(3, n=[5])}), status=201)
    assert rows(things, "INSERT INTO arrays (n) VALUES ('{5}') RETURNING n") == [([5],)]
    assert json.loads(api.requests[-1].body)["data"]["attributes"] == {"n": [5]}
    api.answers["/v1/things"] = document([resource(4, n=["x"])])
    error = failure(things, "SELECT n FROM arrays")
    assert error.pgcode == "22P02" and 'column "n" of resource "4"' in error.diag.context
