"""The sandbox follows the texts: OAuth 2.0 (RFC 6749, 6750), JSON:API 1.0, api.md."""

import base64
import datetime as dt
import gzip
import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus

import pytest

import tpmtest
from catalogue import RESOURCES
from sandbox_client import FORM, Client

GRANT = "grant_type=client_credentials"
STYLES = ("links", "links_absolute", "number", "number_base64", "offset", "cursor")


def basic(client, secret):
    """The header of RFC 6749, 2.3.1."""
    pair = f"{quote_plus(client)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


# tokens


def test_token_by_basic_and_by_body(client):
    for reply in (client.grant(GRANT, basic("sandbox", "sandbox-secret")), client.grant()):
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.json["token_type"] == "Bearer"
        assert reply.json["expires_in"] == 3600


def test_basic_is_form_encoded_first(special):
    client = Client(special.port)
    assert client.grant(GRANT, basic("odd id", "p%:s s+ü&=")).status == 200
    raw = base64.b64encode("odd id:p%:s s+ü&=".encode()).decode()
    assert client.grant(GRANT, {"Authorization": f"Basic {raw}"}).status == 401


@pytest.mark.parametrize("fields, headers, status, error", [
    (GRANT, basic("sandbox", "wrong"), 401, "invalid_client"),
    (GRANT, basic("nobody", "sandbox-secret"), 401, "invalid_client"),
    (GRANT, None, 401, "invalid_client"),
    (GRANT + "&client_id=sandbox&client_secret=sandbox-secret", basic("sandbox", "sandbox-secret"), 400,
     "invalid_request"),
    (GRANT + "&" + GRANT, basic("sandbox", "sandbox-secret"), 400, "invalid_request"),
    ("scope=a&scope=b&" + GRANT, basic("sandbox", "sandbox-secret"), 400, "invalid_request"),
    ("", basic("sandbox", "sandbox-secret"), 400, "invalid_request"),
    ("grant_type=password", basic("sandbox", "sandbox-secret"), 400, "unsupported_grant_type"),
    (GRANT + "&scope=unknown", basic("sandbox", "sandbox-secret"), 400, "invalid_scope"),
])
def test_refused_token_requests(client, fields, headers, status, error):
    reply = client.grant(fields, headers)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert ("WWW-Authenticate" in reply.headers) == (status == 401)


def test_token_endpoint_form(client):
    assert client.grant('{"grant_type":"client_credentials"}', content_type="application/json").status == 400
    assert client.grant(content_type=FORM + "; charset=utf-8").status == 200
    assert client.send("GET", "/oauth/token").status == 405


def test_tokens_expire(special):
    client = Client(special.port)
    headers = client.headers()
    assert client.send("GET", "/v1/regions", None, headers).status == 200
    time.sleep(1.05)
    reply = client.send("GET", "/v1/regions", None, headers)
    assert reply.status == 401
    assert "invalid_token" in reply.headers["WWW-Authenticate"]


def test_token_needed(client, sandbox):
    assert client.get("regions").status == 200
    assert client.get("regions", Authorization=None).status == 401
    assert client.get("regions", Authorization="Bearer wrong").status == 401
    assert client.get("regions", Authorization=f"bearer {client.token}").status == 200
    assert client.token in json.loads(sandbox.get("/_sandbox/issued"))
    sandbox.revoke()
    assert client.get("regions").status == 401


# the form of requests


def test_accept(client):
    for good in (None, "application/vnd.api+json", "*/*", "text/html, application/vnd.api+json",
                 "application/vnd.api+json;q=1", "application/vnd.api+json; charset=utf-8, application/vnd.api+json; Q=0.5"):
        assert client.get("regions", Accept=good).status == 200
    for bad in ("application/json", "application/vnd.api+json; charset=utf-8", "application/vnd.api+json;q=0", "",
                "application/vnd.api+json; charset=utf-8;q=0.9"):
        assert client.get("regions", Accept=bad).status == 406


@pytest.mark.parametrize("path, parameters", [
    ("cases", {"limit": 5}), ("cases", {"filter[name]": "x"}), ("cases", {"filter": "x"}), ("cases", {"sort": "scope"}),
    ("cases", {"fields[cases]": "nothing"}), ("cases", {"fields[users]": "email"}),
    ("cases", {"fields[users]": "email", "include": "third_party"}), ("cases", {"fields[things]": "email"}),
    ("cases", {"fields[third_parties]": "nothing", "include": "third_party"}),
    ("cases", {"include": "cases"}),
    ("cases", {"page[size]": "0"}), ("cases", {"page[size]": "x"}), ("cases", {"page[offset]": 5}),
    ("cases", {"page[number]": "0"}), ("cases", {"filter[open]": "perhaps"}), ("cases/1", {"sort": "id"}),
    ("cases/1", {"filter[id]": "1"}), ("audit_events", {"filter[date][middle]": "2026-01-01"}),
])
def test_unknown_parameters_are_refused(client, path, parameters):
    reply = client.get(path, parameters)
    assert reply.status == 400
    assert reply.json["errors"][0]["status"] == "400"
    if "/" not in path:
        assert reply.json["errors"][0]["source"]["parameter"] in parameters


def test_raw_brackets(client):
    assert client.send("GET", "/v1/cases?page[size]=5", None, client.headers()).status == 400
    link = client.get("cases", {"page[size]": 5}).json["links"]["next"]
    assert "page[size]" in link
    assert client.follow(link).status == 200


def test_paths_and_methods(client):
    for path in ("nothing", "cases/0", "cases/1/notes", "third_parties/1/nothing", "third_parties/0/notes", "cases/"):
        assert client.get(path).status == 404
    for method, path, allow in (("DELETE", "cases/1", "GET, PUT, PATCH"), ("POST", "regions", "GET"),
                                ("PUT", "cases", "GET, POST"), ("PUT", "notes/1", "GET"),
                                ("POST", "third_parties/1/notes", "GET")):
        reply = client.write(method, path, {})
        assert (reply.status, reply.headers["Allow"]) == (405, allow)
    assert client.get("cases/" + "9" * 9000).status in (400, 414)


# lists


def ids(items):
    return [item["id"] for item in items]


def all_of(client, path, parameters):
    """The ids of all pages."""
    return [number for reply in client.walk(path, {"page[size]": 100, **parameters}) for number in reply.ids]


def test_filters_split_trim_and_know_null(client, sandbox):
    sandbox.edit("third_parties", 3, internal_id="null", name="comma,comma")
    rows = sandbox.dump("third_parties")
    value = {item["id"]: item["attributes"] for item in rows}
    assert sorted(client.get("third_parties", {"filter[id]": " 1, 2 ,,7"}).ids) == ["1", "2", "7"]
    found = all_of(client, "third_parties", {"filter[internal_id]": "null"})
    assert found == [i for i in value if value[i]["internal_id"] in (None, "null")]
    assert "3" not in client.get("third_parties", {"filter[name]": "comma,comma"}).ids
    assert len(all_of(client, "third_parties", {"filter[status]": ""})) == len(rows)
    denied = all_of(client, "third_parties", {"filter[approval_status]": "Denied"})
    assert denied == [i for i in value if value[i]["approval_status"] == "Denied"]
    both = all_of(client, "third_parties", {"filter[approval_status][]": "Denied", "filter[country]": "DE,US"})
    assert both == [i for i in denied if value[i]["country"] in ("DE", "US")]


def test_filters_of_linkage_and_open(client, sandbox):
    cases = sandbox.dump("cases")
    found = all_of(client, "cases", {"filter[region.id]": "2,null"})
    assert found == [c["id"] for c in cases if (c["relationships"]["region"]["data"] or {"id": "2"})["id"] == "2"]
    is_open = [c["id"] for c in cases if c["attributes"]["open"]]
    assert all_of(client, "cases", {"filter[open]": "true"}) == is_open
    assert all_of(client, "cases", {"filter[open]": "Only Open Cases"}) == is_open
    assert len(all_of(client, "cases", {"filter[open]": "Only Closed Cases"})) == len(cases) - len(is_open)


def test_ranges_include_their_ends(client, sandbox):
    sandbox.edit("audit_events", 5, occurred_at="2020-02-03T23:59:59.999Z")
    sandbox.edit("audit_events", 6, occurred_at="2020-02-01T00:00:00Z")
    inside = {"filter[date][start]": "2020-02-01", "filter[date][end]": "2020-02-03"}
    assert client.get("audit_events", inside).ids == ["5", "6"]
    inside["filter[date][start]"] = "2020-02-01T00:00:00.001Z"
    assert client.get("audit_events", inside).ids == ["5"]


def test_sort_places_of_no_value(client, sandbox):
    for number, value in ((1, None), (2, ""), (3, "2031-01-01"), (4, "1999-01-01")):
        sandbox.edit("third_parties", number, next_renewal_on=value)
    rows = {i["id"]: i["attributes"]["next_renewal_on"] or None for i in sandbox.dump("third_parties")}
    up = all_of(client, "third_parties", {"sort": "next_renewal_on"})
    down = all_of(client, "third_parties", {"sort": "-next_renewal_on"})
    present = sum(v is not None for v in rows.values())
    values = [rows[i] for i in up]
    assert values[:present] == sorted(v for v in rows.values() if v) and not any(values[present:])
    assert {"1", "2"} <= set(up[present:]) & set(down[:len(down) - present])
    assert up[0] == "4" and down[len(down) - present] == "3"
    assert up[present:] == sorted(up[present:], key=str.encode)


def test_sort_of_times_numbers_and_texts(client, sandbox):
    for number, value in ((1, "2031-01-01T00:00:00.100Z"), (2, "2031-01-01T00:00:00Z"), (3, "2031-01-01T00:00:01Z")):
        sandbox.edit("third_parties", number, created_at=value)
    assert client.get("third_parties", {"sort": "-created_at"}).ids[:3] == ["3", "1", "2"]
    rows = {i["id"]: i["attributes"] for i in sandbox.dump("third_parties")}
    names = [rows[i]["name"] for i in all_of(client, "third_parties", {"sort": "name"})]
    assert names == sorted(names, key=str.encode)
    pairs = [(rows[i]["unreviewed_hits"], rows[i]["name"].encode())
             for i in all_of(client, "third_parties", {"sort": "-unreviewed_hits,name"})]
    assert pairs == sorted(pairs, key=lambda p: (-p[0], p[1]))
    assert all_of(client, "third_parties", {"sort": "id"}) == sorted(rows, key=str.encode)


def test_sparse_fieldsets(client):
    first = client.get("cases", {"fields[cases]": "stage,third_party"}).json["data"][0]
    assert set(first["attributes"]) == {"stage"} and set(first["relationships"]) == {"third_party"}
    first = client.get("cases/1", {"fields[cases]": ""}).json["data"]
    assert first["id"] == "1" and not first["attributes"] and not first["relationships"]


def test_include(client):
    reply = client.get("cases", {"include": "third_party,requester", "page[size]": 20}).json
    wanted = {(one["type"], one["id"]) for item in reply["data"] for name in ("third_party", "requester")
              for one in [item["relationships"][name]["data"]] if one}
    found = [(one["type"], one["id"]) for one in reply["included"]]
    assert set(found) == wanted and len(found) == len(wanted)
    assert client.get("users/1", {"include": "regions"}).json["included"] is not None
    few = client.get("cases", {"fields[third_parties]": "name", "include": "third_party", "fields[cases]": "third_party"})
    assert {tuple(one["attributes"]) for one in few.json["included"]} == {("name",)}
    assert client.follow(few.json["links"]["next"]).status == 200


def test_an_internal_id_is_left_to_the_example(sandbox):
    """Question 15 of api.md brings V-10077; its neighbours are taken."""
    taken = {item["attributes"]["internal_id"] for item in sandbox.dump("third_parties")}
    assert "V-10077" not in taken and len(taken & {"V-10075", "V-10076", "V-10078", "V-10079"}) >= 2


@pytest.mark.parametrize("style", STYLES)
def test_paging_walks_every_row_once(client, sandbox, style):
    sandbox.settings(pagination=style)
    replies = client.walk("cases", {"page[limit]" if style == "offset" else "page[size]": 7})
    assert [number for reply in replies for number in reply.ids] == ids(sandbox.dump("cases"))
    assert all(len(reply.ids) == 7 for reply in replies[:-1])
    middle = replies[3].json["links"]
    assert client.follow(middle["prev"]).ids == replies[2].ids
    assert client.follow(middle["first"]).ids == replies[0].ids
    assert client.follow(middle["self"]).ids == replies[3].ids
    assert replies[0].json["links"]["prev"] is None
    assert middle["next"].startswith("http://" if style == "links_absolute" else "/v1/")


def test_pages_by_computed_parameters(client, sandbox):
    everything = ids(sandbox.dump("cases"))
    for style, parameters in (("number", {"page[size]": 10, "page[number]": 3}),
                              ("number_base64", {"page[size]": 10, "page[number]": "Mw=="}),
                              ("offset", {"page[limit]": 10, "page[offset]": 20})):
        sandbox.settings(pagination=style)
        assert client.get("cases", parameters).ids == everything[20:30]
    sandbox.settings(pagination="number_base64")
    assert client.get("cases", {"page[number]": "3"}).status == 400


def test_page_size_and_totals(client, sandbox):
    count = len(sandbox.dump("cases"))
    assert len(client.get("cases").ids) == 50
    reply = client.get("cases", {"page[size]": 5000})
    assert len(reply.ids) == 100
    assert reply.json["meta"] == {"total_count": count, "total_pages": -(-count // 100)}
    assert client.get("cases", {"filter[id]": "1,2"}).json["meta"]["total_count"] == 2
    assert client.get("cases", {"page[number]": 9999}).ids == []
    sandbox.settings(no_total=True)
    assert "meta" not in client.get("cases").json


def test_single_resources(client, sandbox):
    for kind in RESOURCES:
        first = sandbox.dump(kind)[0]
        reply = client.get(f"{kind}/{first['id']}")
        assert reply.headers["Content-Type"] == "application/vnd.api+json"
        assert reply.json["data"] == first
        assert first["links"]["self"] == f"/v1/{kind}/{first['id']}"


def test_nested_lists(client, sandbox):
    for kind in ("notes", "cases"):
        owners = [(i["relationships"]["third_party"]["data"] or {}).get("id") for i in sandbox.dump(kind)]
        owner = next(o for o in owners if o)
        assert len(client.get(f"third_parties/{owner}/{kind}").ids) == owners.count(owner)
    item = next(i for i in sandbox.dump("third_parties") if i["relationships"]["region"]["data"])
    region = item["relationships"]["region"]["data"]["id"]
    assert client.get(f"third_parties/{item['id']}/regions").ids == [region]


def test_linkage_of_third_parties_agrees_with_its_children(sandbox):
    check_linkage(sandbox)


def check_linkage(sandbox):
    """To-many of third parties and to-one of cases and engagements say the same."""
    for kind in ("cases", "engagements"):
        above = {(p["id"], c["id"]) for p in sandbox.dump("third_parties") for c in p["relationships"][kind]["data"]}
        below = {(i["relationships"]["third_party"]["data"]["id"], i["id"]) for i in sandbox.dump(kind)
                 if i["relationships"]["third_party"]["data"]}
        assert above == below


def test_compression(client, sandbox):
    reply = client.get("cases", Accept_Encoding="gzip")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(reply.body)) > len(reply.body)
    sandbox.settings(gzip=False)
    assert "Content-Encoding" not in client.get("cases", Accept_Encoding="gzip").headers


# limits


def statuses(client, count, path="regions"):
    return [client.get(path).status for _ in range(count)]


def test_sliding_window(client, sandbox):
    client.headers()
    sandbox.settings(rate_per_second=3, rate_window="sliding")
    assert statuses(client, 5) == [200, 200, 200, 429, 429]
    time.sleep(1.01)
    assert statuses(client, 4) == [200, 200, 200, 429]


def test_fixed_window(client, sandbox):
    client.headers()
    sandbox.settings(rate_per_second=0, rate_per_hour=3, hour_seconds=0.5, rate_window="fixed")
    time.sleep(0.5 - time.monotonic() % 0.5 + 0.01)
    assert statuses(client, 4) == [200, 200, 200, 429]
    time.sleep(0.5 - time.monotonic() % 0.5 + 0.01)
    assert client.get("regions").status == 200


def test_a_refusal_counts_nothing_and_may_say_how_long(client, sandbox):
    client.headers()
    sandbox.settings(rate_per_hour=2, rate_window="sliding")
    assert statuses(client, 3) == [200, 200, 429]
    assert "Retry-After" not in client.get("regions").headers
    sandbox.settings(retry_after=True)
    assert 3590 <= int(client.get("regions").headers["Retry-After"]) <= 3601
    assert client.post("notes", {"body": "x"}).status == 429
    assert client.grant().status == 200


def test_limit_of_an_endpoint(special):
    client = Client(special.port)
    assert statuses(client, 3, "users") == [200, 200, 429]
    assert client.get("users/1").status == 429
    assert client.get("regions").status == 200


# control


def test_log_and_state(client, sandbox):
    client.get("cases", {"page[size]": 3}, X_Request_Id="abc")
    entry = sandbox.api_requests()[-1]
    assert (entry["method"], entry["path"], entry["query"]) == ("GET", "/v1/cases", "page%5Bsize%5D=3")
    assert (entry["status"], entry["client"], entry["request_id"]) == (200, "sandbox", "abc")
    assert client.get("regions", X_Request_Id="def").headers["X-Request-Id"] == "def"
    assert "X-Request-Id" not in client.get("regions").headers
    sandbox.reset()
    client.get("cases", {"page[size]": 3}, X_Request_Id="abc")
    entry = sandbox.api_requests()[-1]
    assert entry["bytes"] > 100 and "body" not in entry
    client.connection.close()
    client.get("regions")
    assert sandbox.api_requests()[-1]["connection"] != entry["connection"]
    state = sandbox.state()
    assert state["requests"] == 2 and state["created"] == state["changed"] == {}


def test_edits_behind_the_back(client, sandbox):
    client.get("third_parties", {"filter[country]": "XX", "sort": "-updated_at"})
    sandbox.edit("third_parties", 5, country="XX")
    number = sandbox.create("third_parties", name="new", country="XX")
    assert number == "301"
    assert client.get("third_parties", {"filter[country]": "XX"}).ids == ["5", "301"]
    assert client.get("third_parties", {"sort": "-updated_at"}).ids[:2] == ["301", "5"]
    sandbox.reset(data=True)
    assert client.get("third_parties", {"filter[country]": "XX"}).ids == []


def test_many_edited_at_one_moment(client, sandbox):
    sandbox.edit_all("third_parties", ["7", "8", "9"], city="Rome")
    edited = [client.one("third_parties", number)["attributes"] for number in (7, 8, 9)]
    assert {item["city"] for item in edited} == {"Rome"} and len({item["updated_at"] for item in edited}) == 1
    assert sorted(client.get("third_parties", {"sort": "-updated_at", "page[size]": 3}).ids) == ["7", "8", "9"]


def test_deleted_behind_the_back(client, sandbox):
    ordered = client.get("third_parties", {"sort": "id", "page[size]": 4}).ids
    sandbox.delete("third_parties", ordered[0], 300)
    sandbox.delete("third_parties", 5, status=410)
    assert client.get("third_parties", {"sort": "id", "page[size]": 3}).ids == ordered[1:]
    assert client.get("third_parties").json["meta"]["total_count"] == 297
    assert client.get("third_parties", {"filter[id]": "5,6,300"}).ids == ["6"]
    assert [client.get(f"third_parties/{number}").status for number in (ordered[0], 5, 6, 300)] == [404, 410, 200, 404]
    assert "5" not in {item["id"] for item in sandbox.dump("third_parties")}
    assert sandbox.create("third_parties", name="new") == "301"
    sandbox.reset(data=True)
    assert client.get("third_parties/5").status == 200


def test_dates(client, sandbox):
    def ahead():
        moment = parsedate_to_datetime(client.get("regions").headers["Date"])
        return (moment - dt.datetime.now(dt.timezone.utc)).total_seconds()
    assert -3 < ahead() < 1
    sandbox.settings(date_skew=3600)
    assert 3595 < ahead() < 3601
    sandbox.edit("third_parties", 1, city="Rome")
    assert client.one("third_parties", 1)["attributes"]["updated_at"] < dt.datetime.now(dt.timezone.utc).isoformat()
    sandbox.settings(no_date=True)
    assert "Date" not in client.get("regions").headers


def test_total_lags(client, sandbox):
    def total(**filters):
        return client.get("third_parties", {f"filter[{name}]": value for name, value in filters.items()}
                          ).json["meta"]["total_count"]
    sandbox.settings(total_lag_ms=400)
    sandbox.delete("third_parties", 1, 2, 3)
    sandbox.create("third_parties", name="new", country="XX")
    assert total() == 300 and total(country="XX") == 1
    tpmtest.wait_until(lambda: total() == 298, 2)


def test_ids_in_order_of_numbers(client, sandbox):
    asked = {"sort": "id", "page[size]": 3}
    assert client.get("third_parties", asked).ids == ["1", "10", "100"]
    sandbox.settings(id_order="numbers")
    assert client.get("third_parties", asked).ids == ["1", "2", "3"]
    assert client.get("third_parties", {**asked, "sort": "-id"}).ids == ["300", "299", "298"]
