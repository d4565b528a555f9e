"""What POST, PUT and PATCH accept, refuse, change and answer."""

import datetime as dt
import json
import time
from email.utils import parsedate_to_datetime

import pytest

from catalogue import RESOURCES
from sandbox_client import MEDIA_TYPE, resource
from test_sandbox import check_linkage

NEW = {"name": "Müller & Söhne", "country": "DE"}
UPDATABLE = [kind for kind, r in RESOURCES.items() if "U" in r.ops]


def refused(reply, status, *pointers):
    """The answer has this status and its errors point to these places, in any order."""
    assert (reply.status, sorted(map(str, reply.pointers))) == (status, sorted(pointers)), reply.body
    assert all(error["status"] == str(status) and error["detail"] for error in reply.json["errors"])


def counts(sandbox):
    """(created, changed) since the reset, all types."""
    state = sandbox.state()
    return sum(state["created"].values()), sum(state["changed"].values())


def members(item):
    """Attributes and linkage, by name."""
    return {**item["attributes"], **{name: value["data"] for name, value in item["relationships"].items()}}


# what is created


def test_post(client, sandbox):
    linkage = {"region": ("regions", 2), "owner": None}
    reply = client.post("third_parties", {**NEW, "internal_id": "X-1"}, linkage)
    assert reply.status == 201 and reply.headers["Content-Type"] == MEDIA_TYPE
    made = reply.json["data"]
    assert reply.headers["Location"] == "/v1/third_parties/301" == made["links"]["self"]
    assert made == client.one("third_parties", 301) == sandbox.dump("third_parties")[-1]
    values = members(made)
    assert values["profile_number"] == "3P-000301" and values["status"] == "Active"
    assert values["approval_status"] == "Pending" and values["region"] == {"type": "regions", "id": "2"}
    assert values["created_at"] == values["updated_at"] == values["approval_status_changed_at"]
    assert values["custom_fields"] == values["cases"] == [] and values["city"] is values["owner"] is None
    entry = sandbox.api_requests()[0]
    assert entry["acted"] is True and json.loads(entry["body"])["data"]["attributes"]["internal_id"] == "X-1"
    assert counts(sandbox) == (1, 0)


def test_post_is_found_at_once(client, sandbox):
    asked = {"filter[internal_id]": "X-1", "sort": "-created_at"}
    assert client.get("third_parties", asked).ids == []
    client.post("third_parties", {**NEW, "internal_id": "X-1", "approval_status": "Approved"})
    assert client.get("third_parties", asked).ids == ["301"]
    assert client.get("third_parties", {"sort": "-created_at"}).ids[0] == "301"
    client.patch("third_parties", 301, {"internal_id": "X-2"})
    assert client.get("third_parties", asked).ids == []
    assert client.get("third_parties", {**asked, "filter[internal_id]": "X-2"}).ids == ["301"]
    sandbox.reset(data=True)
    assert client.get("third_parties/301").status == 404 and counts(sandbox) == (0, 0)


@pytest.mark.parametrize("kind", [kind for kind, r in RESOURCES.items() if "C" in r.ops])
def test_every_type_can_be_created(client, kind):
    has = RESOURCES[kind]
    attributes = {name: "DE" if a.kind == "country" else "text" for name, a in has.attributes.items() if a.required}
    linkage = {name: (r.kind, 1) for name, r in has.relationships.items() if r.required}
    reply = client.post(kind, attributes, linkage)
    assert reply.status == 201
    made = reply.json["data"]
    assert set(members(made)) == set(has.attributes) | set(has.relationships)
    assert client.one(kind, made["id"]) == made


@pytest.mark.parametrize("status", [200, 202, 204])
def test_other_statuses_of_post_and_put(client, sandbox, status):
    sandbox.settings(post_status=status, put_status=204)
    reply = client.post("third_parties", NEW)
    assert reply.status == status and reply.headers["Location"] == "/v1/third_parties/301"
    assert bool(reply.body) == (status == 200)
    assert client.one("third_parties", 301)["attributes"]["name"] == NEW["name"]
    reply = client.patch("third_parties", 301, {"city": "Rome"})
    assert reply.status == 204 and not reply.body and "Location" not in reply.headers
    assert client.one("third_parties", 301)["attributes"]["city"] == "Rome"


def test_location_is_absolute_where_links_are(client, sandbox):
    sandbox.settings(pagination="links_absolute")
    assert client.post("third_parties", NEW).headers["Location"] == f"{sandbox.base_url}/third_parties/301"


def test_answers_show_what_is_asked(client):
    headers = {"Content_Type": MEDIA_TYPE}
    document = resource("third_parties", None, NEW, {"region": ("regions", 2)})
    reply = client.write("POST", "third_parties?fields%5Bthird_parties%5D=name,region&include=region", document, **headers)
    assert members(reply.json["data"]) == {"name": NEW["name"], "region": {"type": "regions", "id": "2"}}
    assert reply.json["included"][0]["type"] == "regions"
    assert client.write("POST", "third_parties?sort=id", document, **headers).status == 400
    assert client.write("POST", "third_parties?x=1", document, **headers).status == 400


def test_ids_of_clients(client, sandbox):
    with_id = resource("third_parties", "900", NEW)
    refused(client.write("POST", "third_parties", with_id), 403, "/data/id")
    sandbox.settings(client_ids=True)
    assert client.write("POST", "third_parties", with_id).json["data"]["id"] == "900"
    refused(client.write("POST", "third_parties", with_id), 409, "/data/id")
    refused(client.write("POST", "third_parties", resource("third_parties", "x", NEW)), 422, "/data/id")
    assert client.post("third_parties", NEW).json["data"]["id"] == "901"


def test_a_thousand_posts(client):
    started = time.monotonic()
    for number in range(1000):
        assert client.post("third_parties", {**NEW, "internal_id": f"n-{number}"}).status == 201
    assert time.monotonic() - started < 4


# the form of a write


def test_content_type(client, sandbox):
    document = resource("third_parties", None, NEW)
    for bad in (None, "application/json", MEDIA_TYPE + "; charset=utf-8", MEDIA_TYPE + ";", "text/plain"):
        assert client.write("POST", "third_parties", document, Content_Type=bad).status == 415
    assert client.write("POST", "third_parties", document, Accept="application/json").status == 406
    assert counts(sandbox) == (0, 0) and sandbox.api_requests()[0]["acted"] is False


@pytest.mark.parametrize("body", [
    "", "{", "[]", "1", '{"data":null}', '{"data":[]}', "{}", b'{"data":{"type":"third_parties","attributes":{"name":"\xff"}}}',
    '{"data":{"type":"third_parties","attributes":{"name":"\\ud800","country":"DE"}}}',
    '{"data":{"type":"third_parties","attributes":{"name":"a","name":"b","country":"DE"}}}',
    '{"data":{"type":"third_parties","attributes":{"name":NaN,"country":"DE"}}}', "[" * 100000,
])
def test_bodies_that_are_no_document(client, sandbox, body):
    assert client.write("POST", "third_parties", body).status == 400
    assert counts(sandbox) == (0, 0)


def test_too_large(client):
    assert client.post("third_parties", {**NEW, "name": "x" * (1 << 20)}).status == 413


def test_type_and_id(client):
    reply = client.write("POST", "third_parties", resource("cases", None, NEW))
    refused(reply, 400, "/data/type")
    assert reply.json["errors"][0]["code"] == "resource_type_mismatch"
    refused(client.write("PUT", "third_parties/1", {"data": {"id": "1", "attributes": NEW}}), 400, "/data/type")
    reply = client.write("PUT", "third_parties/1", resource("third_parties", 2, NEW))
    refused(reply, 400, "/data/id")
    assert reply.json["errors"][0]["code"] == "resource_id_conflict"
    refused(client.write("PATCH", "third_parties/1", resource("third_parties", None, NEW)), 400, "/data/id")
    number = {"data": {"type": "third_parties", "id": 1, "attributes": NEW}}
    refused(client.write("PATCH", "third_parties/1", number), 400, "/data/id")
    assert client.put("third_parties", 301, NEW).status == 404


# the rules for members


def test_all_errors_in_one_answer(client, sandbox):
    taken = client.one("third_parties", 1)["attributes"]["internal_id"] or "V-10002"
    document = resource("third_parties", None, {
        "status": "Sleeping", "country": "de", "contact_email": "nobody", "next_renewal_on": "2026-02-30",
        "a/b~c": 1, "region": "2", "internal_id": taken, "custom_fields": [{"id": 1}], "city": 5,
    }, {"owner": ("regions", 1), "region": ("regions", 99), "department": [("departments", 1)], "friend": None})
    document["data"]["id_"] = 1
    reply = client.write("POST", "third_parties", document)
    pointers = ["/data/id_"] + ["/data/attributes/" + name for name in (
        "name", "status", "country", "contact_email", "next_renewal_on", "a~1b~0c", "region", "custom_fields", "city")]
    pointers += ["/data/relationships/" + name for name in (
        "owner/data/type", "region/data", "department/data", "friend")]
    refused(reply, 422, *pointers)
    sandbox.settings(conflict_status=422)
    reply = client.write("POST", "third_parties", document)
    refused(reply, 422, "/data/attributes/internal_id", *pointers)
    assert [e["code"] for e in reply.json["errors"] if "code" in e] == ["taken"]
    assert counts(sandbox) == (0, 0)


KINDS = [
    ("cases", "due_on", ["2026-02-28", "", None], ["2026-2-28", "28.02.2026", "2026-02-28T00:00:00Z", 20260228]),
    ("cases", "requested_at", ["2026-02-28T10:00:00Z", "2026-02-28T10:00:00.123456Z", "", None],
     ["2026-02-28T10:00:00", "2026-02-28 10:00:00Z", "2026-02-28", "2026-13-01T00:00:00Z", 1772272800, "now"]),
    ("cases", "budget_amount", [1, 1.25, -3e20, 0, None], ["1", "", True, [1]]),
    ("cases", "contact_aware", [True, False, None], ["true", 0, 1, ""]),
    ("cases", "scope", ["null", "", "ü\n\t\"", None], [1, True, {}, ["OSI"]]),
    ("third_parties", "contact_email", ["a@b.co", "", None], ["a@b", "a b@c.de", "@b.de", 5]),
    ("third_parties", "country", ["AQ"], ["Aq", "A", "DEU", "", None, "ÄÖ"]),
    ("third_parties", "approval_status", ["Denied for Compliance Reasons", None], ["denied", "", "Approved "]),
    ("third_parties", "custom_fields", [[], [{"id": "1", "term": "Tier", "value": ["A", "B"]}]],
     [{}, "x", [{"id": "1", "term": "Tier"}], [{"id": "1", "term": "Tier", "value": "A"}],
      [{"id": "1", "term": "Tier", "value": [1]}], [{"id": "1", "term": "Tier", "value": [], "more": 1}]]),
]


@pytest.mark.parametrize("kind, name, good, bad", KINDS, ids=[name for _, name, _, _ in KINDS])
def test_kinds(client, kind, name, good, bad):
    for value in good:
        reply = client.patch(kind, 1, {name: value})
        assert reply.status == 200 and reply.json["data"]["attributes"][name] == value
    for value in bad:
        refused(client.patch(kind, 1, {name: value}), 422, f"/data/attributes/{name}")
    assert client.one(kind, 1)["attributes"][name] == good[-1]


def test_times_of_other_zones_become_utc(client):
    for given, kept in (("2026-02-28T01:30:00+02:00", "2026-02-27T23:30:00Z"),
                        ("2026-02-28T10:00:00.5-00:30", "2026-02-28T10:30:00.500000Z")):
        reply = client.patch("cases", 1, {"requested_at": given})
        assert reply.json["data"]["attributes"]["requested_at"] == kept
    refused(client.patch("cases", 1, {"requested_at": "0001-01-01T00:00:00+10:00"}), 422,
            "/data/attributes/requested_at")


def test_required_members(client):
    refused(client.post("engagements", {}), 422, "/data/attributes/name", "/data/relationships/third_party")
    refused(client.post("engagements", {"name": ""}, {"third_party": None}), 422,
            "/data/attributes/name", "/data/relationships/third_party")
    refused(client.patch("third_parties", 1, {"name": None}), 422, "/data/attributes/name")
    refused(client.put("third_parties", 1, {"city": "Rome"}), 422, "/data/attributes/name", "/data/attributes/country")


def test_linkage(client):
    assert client.patch("training_records", 1, {}, {"attachments": [("attachments", 2), ("attachments", 2)]}).json[
        "data"]["relationships"]["attachments"]["data"] == [{"type": "attachments", "id": "2"}]
    path = "/data/relationships/attachments/data"
    wrong = {"attachments": [("attachments", 1), ("attachments", 10000), ("notes", 1)]}
    refused(client.patch("training_records", 1, {}, wrong), 422, f"{path}/1", f"{path}/2/type")
    refused(client.patch("training_records", 1, {}, {"attachments": None}), 422, path)
    for value, pointer in (({"data": {"type": "regions"}}, "/data"), ({"data": {"type": "regions", "id": 1}}, "/data/id"),
                           ({"data": "1"}, "/data"), ({}, ""), ("1", ""), ({"data": None, "more": 1}, "/more"),
                           ({"data": {"type": "regions", "id": "1", "more": 1}}, "/data")):
        document = resource("third_parties", 1, {})
        document["data"]["relationships"] = {"region": value}
        refused(client.write("PATCH", "third_parties/1", document), 422, "/data/relationships/region" + pointer)
    document["data"]["relationships"] = {"region": {"data": {"type": "regions", "id": "3", "meta": {}}, "links": {}}}
    reply = client.write("PATCH", "third_parties/1", document)
    assert reply.json["data"]["relationships"]["region"] == {"data": {"type": "regions", "id": "3"}}


def test_parts_that_are_no_objects(client):
    document = {"data": {"type": "third_parties", "id": "1", "attributes": [], "relationships": None}, "more": 1}
    refused(client.write("PATCH", "third_parties/1", document), 422, "/data/attributes", "/data/relationships", "/more")


def test_uniqueness(client, sandbox):
    sandbox.edit("third_parties", 1, internal_id="Key")
    reply = client.post("third_parties", {**NEW, "internal_id": "Key"})
    refused(reply, 409, "/data/attributes/internal_id")
    assert reply.json["errors"][0]["code"] == "taken"
    for value in ("key", "Key ", None, "", None, ""):
        assert client.post("third_parties", {**NEW, "internal_id": value}).status == 201
    assert client.patch("third_parties", 2, {"internal_id": "Key"}).status == 409
    assert client.patch("third_parties", 1, {"internal_id": "Key"}).status == 200
    assert client.patch("third_parties", 1, {"internal_id": "Other"}).status == 200
    assert client.patch("third_parties", 2, {"internal_id": "Key"}).status == 200
    sandbox.settings(conflict_status=422)
    reply = client.post("third_parties", {**NEW, "internal_id": "Key"})
    refused(reply, 422, "/data/attributes/internal_id")
    assert reply.json["errors"][0]["code"] == "taken"


def test_immutable_parent(client):
    item = client.one("engagements", 1)
    parent = item["relationships"]["third_party"]["data"]
    other = "2" if parent["id"] == "1" else "1"
    refused(client.patch("engagements", 1, {}, {"third_party": ("third_parties", other)}), 422,
            "/data/relationships/third_party")
    assert client.patch("engagements", 1, {}, {"third_party": ("third_parties", parent["id"])}).status == 200
    assert members(client.put("engagements", 1, {"name": "x"}).json["data"])["third_party"] == parent


def test_read_only_members(client, sandbox):
    item = client.one("third_parties", 1)
    same = {"profile_number": item["attributes"]["profile_number"], "created_at": item["attributes"]["created_at"]}
    cases = [(one["type"], one["id"]) for one in item["relationships"]["cases"]["data"]]
    other = {"profile_number": "3P-9", "risk_score": 7}
    pointers = ["/data/attributes/profile_number", "/data/attributes/risk_score"]
    for given in (same, other):
        reply = client.patch("third_parties", 1, given, {"cases": [("cases", 1)]})
        assert reply.json["data"]["attributes"]["profile_number"] == same["profile_number"]
        assert reply.json["data"]["relationships"]["cases"] == item["relationships"]["cases"]
    sandbox.settings(read_only="same")
    assert client.patch("third_parties", 1, same, {"cases": cases}).status == 200
    swapped = client.write("PATCH", "third_parties/1", {"data": {"id": "1", "type": "third_parties", "relationships": {
        "cases": {"data": [{"id": number, "type": kind} for kind, number in cases]}}}})
    assert swapped.status == 200
    refused(client.patch("third_parties", 1, other, {"cases": cases + [("cases", 1)]}), 422,
            "/data/relationships/cases", *pointers)
    refused(client.post("third_parties", {**NEW, **other}), 422, *pointers)
    sandbox.settings(read_only="reject")
    refused(client.patch("third_parties", 1, same, {"cases": cases}), 422, "/data/attributes/profile_number",
            "/data/attributes/created_at", "/data/relationships/cases")
    refused(client.post("third_parties", {**NEW, "profile_number": None}), 422, "/data/attributes/profile_number")


# what a change changes


def test_put_replaces_or_merges(client, sandbox):
    number = client.post("third_parties", {**NEW, "city": "Rome", "internal_id": "X", "custom_fields": [
        {"id": "1", "term": "Tier", "value": ["A"]}]}, {"region": ("regions", 2)}).json["data"]["id"]
    for method, style, keeps in (("PUT", "merge", True), ("PATCH", "replace", True), ("PUT", "replace", False)):
        sandbox.settings(put=style)
        before = members(client.one("third_parties", number))
        reply = client.put("third_parties", number, {**NEW, "state": method}, None, method)
        after = members(reply.json["data"])
        assert reply.status == 200 and after["state"] == method
        assert all(after[name] == before[name] for name in after if name not in ("state", "updated_at")) == keeps
    assert after["city"] is after["region"] is after["internal_id"] is after["status"] is None
    assert after["custom_fields"] == [] and after["profile_number"] == "3P-000301"
    assert client.post("third_parties", {**NEW, "internal_id": "X"}).status == 201


def test_replacing_empties_to_many(client):
    client.patch("training_records", 1, {}, {"attachments": [("attachments", 2)]})
    record = client.one("training_records", 1)
    document = resource("training_records", 1, record["attributes"])
    document["data"]["relationships"] = {"third_party": record["relationships"]["third_party"]}
    reply = client.write("PUT", "training_records/1", document)
    assert members(reply.json["data"])["attachments"] == []


@pytest.mark.parametrize("kind", UPDATABLE)
def test_what_was_read_can_be_sent_back(client, sandbox, kind):
    for item in sandbox.dump(kind)[:40]:
        sandbox.settings(read_only="ignore" if int(item["id"]) % 2 else "same")
        reply = client.write("PUT", f"{kind}/{item['id']}", {"data": item})
        assert reply.status == 200
        after = reply.json["data"]
        after["attributes"]["updated_at"] = item["attributes"].get("updated_at")
        item["attributes"].setdefault("updated_at", None)
        assert after == item
    entry = sandbox.api_requests()[-1]
    assert entry["acted"] and sandbox.state()["changed"] == {kind: min(40, len(sandbox.dump(kind)))}


def test_times_follow(client):
    before = client.one("third_parties", 1)["attributes"]
    status = "Denied" if before["approval_status"] == "Approved" else "Approved"
    after = client.patch("third_parties", 1, {"city": "Rome"}).json["data"]["attributes"]
    assert after["updated_at"] > before["updated_at"] and after["created_at"] == before["created_at"]
    assert after["approval_status_changed_at"] == before["approval_status_changed_at"]
    after = client.patch("third_parties", 1, {"approval_status": status}).json["data"]["attributes"]
    assert after["approval_status_changed_at"] == after["updated_at"]
    hit = client.one("screening_hits", 1)["attributes"]["adjudication"]
    after = client.patch("screening_hits", 1, {"adjudication": "none" if hit != "none" else "True Match"}).json["data"]
    assert after["attributes"]["adjudicated_at"] > before["updated_at"]


def test_cases_open_and_close(client):
    made = client.post("cases", {}).json["data"]
    assert made["attributes"]["open"] is True and made["attributes"]["case_number"].startswith("C-")
    after = client.patch("cases", made["id"], {"stage": "Case Closed"}).json["data"]
    assert after["attributes"]["open"] is False
    assert made["id"] in client.get("cases", {"filter[open]": "false", "filter[id]": made["id"]}).ids


def test_linkage_of_third_parties_follows(client, sandbox):
    mine = {"third_party": ("third_parties", 1)}
    number = client.post("cases", {}, mine).json["data"]["id"]
    assert {"type": "cases", "id": number} in members(client.one("third_parties", 1))["cases"]
    check_linkage(sandbox)
    client.post("engagements", {"name": "x"}, mine)
    client.patch("cases", number, {}, {"third_party": ("third_parties", 2)})
    client.patch("cases", 1, {}, {"third_party": ("third_parties", 2)})
    assert {"type": "cases", "id": number} not in members(client.one("third_parties", 1))["cases"]
    check_linkage(sandbox)
    client.patch("cases", number, {}, {"third_party": None})
    client.put("cases", 1, {})
    check_linkage(sandbox)
    assert number in client.get("cases", {"filter[third_party.id]": "null", "filter[id]": number}).ids


# ETags


def test_nothing_is_taken_where_nothing_is_unique(client, sandbox):
    sandbox.settings(unique=False)
    new = {"name": "Twice", "country": "DE", "internal_id": "twice"}
    assert [client.post("third_parties", new).status for _ in range(2)] == [201, 201]
    assert len(client.get("third_parties", {"filter[internal_id]": "twice"}).ids) == 2
    sandbox.settings(unique=True)
    assert client.post("third_parties", new).status == 409


@pytest.mark.parametrize("skew", [0, -7200, 3600])
def test_the_clock_of_the_api(client, sandbox, skew):
    """Date and the times of resources are of one clock, which need not be that of this machine."""
    sandbox.settings(clock_skew=skew)
    reply = client.post("third_parties", {"name": "Now", "country": "DE"})
    said = parsedate_to_datetime(reply.headers["Date"])
    assert abs(said - dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=skew)) < dt.timedelta(seconds=5)
    created = dt.datetime.fromisoformat(reply.json["data"]["attributes"]["created_at"].replace("Z", "+00:00"))
    assert dt.timedelta(0) <= created - said < dt.timedelta(seconds=2)
    refused = client.get("third_parties/0")
    assert refused.status == 404 and len(refused.headers.get_all("Date")) == 1


def test_no_etags_unless_asked_for(client):
    assert "ETag" not in client.get("third_parties/1").headers
    assert client.patch("third_parties", 1, {"city": "Rome"}, If_Match='"x"').status == 200


def test_weak_etags(client, sandbox):
    sandbox.settings(etags="weak")
    tag = client.get("third_parties/1").headers["ETag"]
    assert tag.startswith('W/"')
    assert client.patch("third_parties", 1, {"city": "Rome"}, If_Match=tag).status == 412


def test_etags(client, sandbox):
    sandbox.settings(etags=True)
    first = client.get("third_parties/1").headers["ETag"]
    assert first.startswith('"') and client.get("third_parties/1").headers["ETag"] == first
    assert client.get("third_parties/1", {"fields[third_parties]": "city"}).headers["ETag"] == first
    reply = client.patch("third_parties", 1, {"city": "Rome"}, If_Match=first)
    second = reply.headers["ETag"]
    assert reply.status == 200 and second != first != client.get("users/1").headers["ETag"]
    assert client.get("third_parties/1").headers["ETag"] == second
    for stale in (first, "W/" + second, '"x", "y"'):
        assert client.patch("third_parties", 1, {"city": "Oslo"}, If_Match=stale).status == 412
    assert sandbox.api_requests()[-1]["acted"] is False and counts(sandbox) == (0, 1)
    assert client.one("third_parties", 1)["attributes"]["city"] == "Rome"
    for good in (f'"x", {second}', "*"):
        assert client.patch("third_parties", 1, {"city": "Oslo"}, If_Match=good).status == 200
    made = client.post("third_parties", NEW)
    assert made.headers["ETag"] == client.get(f"third_parties/{made.json['data']['id']}").headers["ETag"]
    assert client.put("third_parties", 999, NEW, If_Match="*").status == 404


def test_somebody_else_changes_the_tag(client, sandbox):
    sandbox.settings(etags=True)
    tag = client.get("third_parties/1").headers["ETag"]
    sandbox.edit("third_parties", 1, city="Lima")
    assert client.patch("third_parties", 1, {"state": "X"}, If_Match=tag).status == 412
    tag = client.get("third_parties/1").headers["ETag"]
    client.post("cases", {}, {"third_party": ("third_parties", 1)})
    assert client.get("third_parties/1").headers["ETag"] != tag
