"""Each oddity does what README.md says of it, counts itself, and leaves the rest as it was."""

import datetime as dt
import re
from pathlib import Path

import pytest

import tpmtest
from oddities import CHOICES
from sandbox_client import Client

ALL = {"page[size]": 300}


@pytest.fixture(autouse=True)
def large_pages(sandbox):
    sandbox.settings(page_max=1000)


def test_every_oddity_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    for name, choices in CHOICES.items():
        assert f"settings({name}=" in here or f" {name}=" in here, name
        if choices is not int:
            assert [way for way in choices[1:] if f'"{way}"' not in here] == []


def odd(sandbox):
    return sandbox.state()["odd"]


def attributes(client, kind, name, **asked):
    return [item["attributes"][name] for item in client.get(kind, {**ALL, **asked}).json["data"]]


def moment(text):
    """A printed time as a moment; digits beyond microseconds do not count."""
    return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))


def pages(client, kind, size, count, **asked):
    return [client.get(kind, {"page[size]": size, "page[number]": number, **asked}).ids
            for number in range(1, count + 1)]


def test_values_are_checked(sandbox):
    for wrong in ({"ties": "some"}, {"print": "seconds,hours"}, {"archived": "-1"}, {"first_page": 2}):
        with pytest.raises(tpmtest.urllib.error.HTTPError):
            sandbox.settings(**wrong)
    assert odd(sandbox) == {}


def test_at_the_start():
    alone = tpmtest.Sandbox("--records", "60", "--first-page", "0", "--print", "seconds,offsets", "--archived", "7",
                            rate_per_second=0).start()
    try:
        client = Client(alone.port)
        assert client.get("third_parties", {"page[size]": 5, "page[number]": 0}).ids == ["1", "2", "3", "4", "5"]
        assert "7" not in client.get("third_parties", {"page[size]": 50}).ids
        alone.settings(archived=0)
        assert "7" in client.get("third_parties", {"page[size]": 50}).ids
        alone.reset()
        assert "7" not in client.get("third_parties", {"page[size]": 50}).ids
    finally:
        alone.stop()


def test_ties_that_move(client, sandbox):
    stable = pages(client, "engagements", 20, 6, sort="risk_score")
    scores = {i["id"]: i["attributes"]["risk_score"] for i in sandbox.dump("engagements")}
    unsorted = pages(client, "engagements", 20, 6)
    total = pages(client, "engagements", 20, 6, sort="risk_score,id")
    sandbox.settings(ties="moving")
    moving = pages(client, "engagements", 20, 6, sort="risk_score")
    assert moving != stable and moving == pages(client, "engagements", 20, 6, sort="risk_score")
    # the order by the key is the same for all that
    assert [[scores[n] for n in page] for page in moving] == [[scores[n] for n in page] for page in stable]
    assert len({n for page in moving for n in page}) < len(scores)
    assert pages(client, "engagements", 20, 6) == unsorted
    assert odd(sandbox)["ties"] == 12
    assert pages(client, "engagements", 20, 6, sort="risk_score,id") == total
    assert odd(sandbox)["ties"] == 18
    client.get("engagements", {"sort": "id"})
    assert odd(sandbox)["ties"] == 18


def test_one_sort_key(client, sandbox):
    sandbox.settings(sort_keys="one")
    assert client.get("cases", {"sort": "-created_at"}).status == 200
    refused = client.get("cases", {"sort": "-created_at,id"})
    assert refused.status == 400 and refused.json["errors"][0]["source"] == {"parameter": "sort"}
    assert odd(sandbox) == {"sort_keys": 2}


def test_printed_in_seconds(client, sandbox):
    plain = attributes(client, "audit_events", "occurred_at")
    sandbox.settings(print="seconds")
    printed = attributes(client, "audit_events", "occurred_at")
    assert printed == [re.sub(r"\.\d+", "", text) for text in plain]
    assert all(re.fullmatch(r".{19}Z", text) for text in attributes(client, "cases", "updated_at"))
    assert [i["attributes"]["occurred_at"] for i in sandbox.dump("audit_events")] == printed
    # what is printed as the bound lies before what is held
    asked = {"filter[date][start]": printed[0], "filter[date][end]": printed[0]}
    assert client.get("audit_events", asked).ids == []
    later = (moment(printed[0]) + dt.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert client.get("audit_events", {**asked, "filter[date][end]": later}).ids == ["1"]
    assert odd(sandbox)["print seconds"] > 0


def test_printed_in_seven_digits(client, sandbox):
    plain = attributes(client, "audit_events", "occurred_at")
    sandbox.settings(print="digits7")
    printed = attributes(client, "audit_events", "occurred_at")
    assert all(re.fullmatch(r".{19}\.\d{7}Z", text) for text in printed)
    assert [text[:19] for text in printed] == [text[:19] for text in plain]
    order = client.get("audit_events", {**ALL, "sort": "occurred_at"}).json["data"]
    held = [item["attributes"]["occurred_at"] for item in order]
    assert held == sorted(held)
    # what a client writes is held as it was written
    client.put("cases", 1, {"requested_at": "2026-01-02T03:04:05Z"})
    assert client.one("cases", 1)["attributes"]["requested_at"] == "2026-01-02T03:04:05.0000000Z"
    assert odd(sandbox)["print digits7"] > 0


def test_printed_with_offsets(client, sandbox):
    plain = attributes(client, "cases", "created_at")
    sandbox.settings(print="offsets")
    printed = attributes(client, "cases", "created_at")
    assert {text[19:].lstrip(".0123456789") for text in printed} == {"Z", "+02:00", "-03:30"}
    assert list(map(moment, printed)) == list(map(moment, plain))
    assert odd(sandbox)["print offsets"] > 0


def test_dates_printed_as_times(client, sandbox):
    plain = attributes(client, "third_parties", "next_renewal_on")
    sandbox.settings(print=",".join(["dates-as-times", "seconds"]))
    printed = attributes(client, "third_parties", "next_renewal_on")
    assert [text and text[:10] for text in printed] == plain
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text) for text in printed if text)
    order = attributes(client, "third_parties", "next_renewal_on", sort="next_renewal_on")
    held = [text for text in order if text]
    assert held == sorted(held) and len({text[:10] for text in held}) < len(held)
    assert odd(sandbox)["print dates-as-times"] > 0


def test_archived(client, sandbox):
    sandbox.settings(archived=10)
    shown = client.get("third_parties", ALL)
    assert not [n for n in shown.ids if int(n) % 10 == 0] and shown.json["meta"]["total_count"] == 270
    assert client.get("third_parties/10").status == 200
    assert client.get("third_parties", {"filter[id]": "10,11"}).ids == ["10", "11"]
    assert [n for n in client.get("third_parties", {**ALL, "filter[status]": "Active"}).ids if int(n) % 10 == 0]
    ranged = {**ALL, "filter[date][start]": "2000-01-01"}
    assert not [n for n in client.get("audit_events", ranged).ids if int(n) % 10 == 0]
    assert odd(sandbox)["archived"] == 2


def test_links_that_are_not_objects(client, sandbox):
    last = {"page[size]": 20, "page[number]": 2}
    sandbox.settings(links="short")
    assert "next" not in client.get("users", last).json["links"]
    assert "next" in client.get("users", {"page[size]": 20}).json["links"]
    sandbox.settings(links="header")
    answer = client.get("users", {"page[size]": 20})
    links = dict(re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["Link"])[::-1])
    assert "links" not in answer.json
    (following,) = [target for target, rel in links.items() if rel == "next"]
    assert client.follow(following).ids == [str(n) for n in range(21, 41)]
    assert 'rel="next"' not in client.get("users", last).headers["Link"]
    sandbox.settings(links="none", no_total=True)
    answer = client.get("users", {"page[size]": 20})
    assert set(answer.json) == {"jsonapi", "data"} and "Link" not in answer.headers
    assert odd(sandbox)["links"] == 6
    assert "links" not in client.get("openapi.json").json["paths"]["/users"]["get"]["responses"]["200"]["content"][
        "application/vnd.api+json"]["schema"]["properties"]


@pytest.mark.parametrize("style", ["links", "number"])
def test_pages_from_zero(client, sandbox, style):
    sandbox.settings(first_page="0", pagination=style)
    assert client.get("users", {"page[size]": 20, "page[number]": 0}).ids[0] == "1"
    assert client.get("users", {"page[size]": 20, "page[number]": 1}).ids[0] == "21"
    first = client.get("users", {"page[size]": 20})
    assert first.ids[0] == "1" and "page[number]=1" in first.json["links"]["next"]
    assert client.get("users", {"page[size]": 20, "page[number]": 2}).ids == []
    assert odd(sandbox)["first_page"] == 3
    number = client.get("openapi.json").json["paths"]["/users"]["get"]["parameters"][1]
    assert number["schema"] == {"type": "integer", "minimum": 0, "default": 0}


def test_cut_first(client, sandbox):
    wanted = [i["id"] for i in sandbox.dump("third_parties") if i["attributes"]["status"] == "Inactive"]
    sandbox.settings(cut="first")
    replies = client.walk("third_parties", {"filter[status]": "Inactive", "page[size]": 10})
    assert len(replies) == 30 and sum((reply.ids for reply in replies), []) == wanted
    assert min(len(reply.ids) for reply in replies) < max(len(reply.ids) for reply in replies) < 10
    assert replies[0].json["meta"]["total_count"] == len(wanted)
    assert [] in [r.ids for r in client.walk("third_parties", {"filter[id]": "299", "page[size]": 10})]
    assert odd(sandbox)["cut"] > 30


def test_linkage_that_is_not_there(client, sandbox):
    parent = next(i for i in sandbox.dump("cases") if i["relationships"]["third_party"]["data"])
    path = f"third_parties/{parent['relationships']['third_party']['data']['id']}/cases"
    sandbox.settings(child_linkage="none")
    below = client.get(path).json["data"]
    assert below and all("data" not in item["relationships"]["third_party"] for item in below)
    assert all("data" in item["relationships"]["region"] for item in below)
    assert all("links" in item["relationships"]["third_party"] for item in below)
    assert all("data" in item["relationships"]["third_party"] for item in client.get("cases").json["data"])
    assert all("data" in item["relationships"]["third_party"]
               for item in client.get(path, {"include": "third_party"}).json["data"])
    assert odd(sandbox) == {"child_linkage": len(below)}
    sandbox.settings(child_linkage="data", linkage="included")
    (item,) = client.get("cases", {"filter[id]": "1", "include": "region"}).json["data"]
    assert [name for name, value in item["relationships"].items() if "data" in value] == ["region"]
    assert odd(sandbox)["linkage"] == 1
    assert all("data" in value for value in sandbox.dump("cases")[0]["relationships"].values())


def test_names_with_dashes(client, sandbox):
    sandbox.settings(field_names="dashed")
    (item,) = client.get("cases", {"filter[id]": "1", "fields[cases]": "case_number,created-at,name"}).json["data"]
    assert set(item["attributes"]) == {"created_at", "name"} and item["relationships"] == {}
    assert odd(sandbox) == {"field_names": 1}


def test_sparse_members(client, sandbox):
    whole = {i["id"]: i["attributes"] for i in sandbox.dump("third_parties")}
    sandbox.settings(sparse=3)
    for item in client.get("third_parties", ALL).json["data"]:
        left_out = int(item["id"]) % 3 == 0
        assert item["attributes"] == {name: value for name, value in whole[item["id"]].items()
                                      if value is not None or not left_out}
    assert odd(sandbox)["sparse"] > 0


def test_total_of_the_whole_list(client, sandbox):
    sandbox.settings(total="whole")
    some = client.get("third_parties", {"filter[status]": "Inactive", "page[size]": 10}).json
    assert some["meta"]["total_count"] == 300 and odd(sandbox) == {"total": 1}
    assert client.get("users").json["meta"]["total_count"] == 40 and odd(sandbox) == {"total": 1}


def test_all_together(client, sandbox):
    """Oddities combine: what a walk finds is what is there, once, in the order of its keys."""
    sandbox.settings(ties="moving", print="seconds,offsets,dates-as-times", archived=7, first_page="0", cut="first",
                     linkage="included", child_linkage="none", field_names="dashed", sparse=2, total="whole")
    replies = client.walk("cases", {"sort": "-created_at,id", "page[size]": 10})
    ids = sum((reply.ids for reply in replies), [])
    assert sorted(ids) == sorted(i["id"] for i in sandbox.dump("cases") if int(i["id"]) % 7)
