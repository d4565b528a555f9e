"""Each fault does what its sentence in faults.py says, and nothing more."""

import contextlib
import gzip
import http.client
import json
import threading
import time
from pathlib import Path

import pytest

import tpmtest
from faults import KINDS
from sandbox_client import Client
from test_sandbox import ids

NEW = {"name": "Late & Co", "country": "DE", "internal_id": "late-1"}


def test_every_fault_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in KINDS if f'"{name}' not in here] == []


def found(sandbox, key="late-1"):
    """How many resources have this internal_id."""
    return sum(item["attributes"]["internal_id"] == key for item in sandbox.dump("third_parties"))


# orders


def test_count_skip_and_match(client, sandbox):
    sandbox.fault("status:503", count=2, skip=1, match="GET /v1/cases?page")
    sizes = {"page[size]": 1}
    assert client.get("cases").status == client.get("regions").status == 200
    assert [client.get("cases", sizes).status for _ in range(5)] == [200, 503, 503, 200, 200]
    sandbox.fault("status:503")
    assert client.get("users").status == 503 and client.grant().status == 200
    sandbox.reset()
    assert client.get("users").status == 200
    sandbox.fault("status:500", match="POST /oauth/token")
    assert client.grant().status == 500


def test_warm_and_fresh(client, sandbox):
    sandbox.fault("status:503", warm=True)
    assert [client.get("users").status for _ in range(2)] == [503, 503]
    client.connection.close()
    assert [client.get("users").status for _ in range(3)] == [200, 503, 503]
    sandbox.reset()
    sandbox.fault("status:503", warm=False)
    assert client.get("users").status == 200
    client.connection.close()
    assert [client.get("users").status for _ in range(2)] == [503, 200]


def test_several_at_once(client, sandbox):
    sandbox.post("/_sandbox/faults", [{"fault": "status:503", "match": "GET /v1/cases"},
                                      {"fault": "status:502", "match": "GET /v1/users"}])
    assert (client.get("cases").status, client.get("users").status) == (503, 502)


def chances(client, sandbox, order, numbers, **more):
    """Which of these POSTs are answered 503, in the order of their numbers."""
    sandbox.reset()
    for status in order:
        sandbox.fault(status, match="POST /v1/third_parties", **more)
    struck = {n: client.post("third_parties", {**NEW, "internal_id": f"c-{n}"}).status for n in numbers}
    assert sum(sandbox.state()["struck"].values()) >= sum(status == 503 for status in struck.values())
    return sorted(n for n, status in struck.items() if status == 503)


def test_chance(client, sandbox):
    once = chances(client, sandbox, ["status:503"], range(60), chance=0.4, seed=3)
    assert 10 < len(once) < 40
    # the same requests in another order, among others
    assert chances(client, sandbox, ["status:503"], reversed(range(60)), chance=0.4, seed=3) == once
    assert [n for n in chances(client, sandbox, ["status:503"], range(90), chance=0.4, seed=3) if n < 60] == once
    assert chances(client, sandbox, ["status:503"], range(60), chance=0.4, seed=4) != once
    assert chances(client, sandbox, ["status:503"], range(60), chance=0) == []
    # each order draws by itself, and the same request once more is drawn again
    assert len(chances(client, sandbox, ["status:500", "status:503"], range(60), chance=0.4, seed=3)) >= len(once)
    assert len({client.post("third_parties", {**NEW, "internal_id": "c-0"}).status for _ in range(40)}) > 1
    with pytest.raises(tpmtest.urllib.error.HTTPError):
        sandbox.fault("status:503", chance=2)


# answers that come late, broken or not at all


def test_latency(client, sandbox):
    sandbox.fault("latency", ms=150)
    started = time.monotonic()
    assert client.post("third_parties", NEW).status == 201
    assert 0.15 <= time.monotonic() - started < 1


def test_stall(client, sandbox):
    client.headers()
    sandbox.fault("stall")
    client.connection.close()
    client.connection.timeout = 0.3
    for send in (lambda: client.get("users"), lambda: client.post("third_parties", NEW)):
        with pytest.raises(TimeoutError):
            send()
    assert [entry["status"] for entry in sandbox.api_requests()] == [None, None]
    assert found(sandbox) == 0


def test_hold(client, sandbox):
    client.headers()
    sandbox.fault("hold")
    thread = threading.Thread(target=client.post, args=("third_parties", NEW))
    thread.start()
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    assert found(sandbox) == 0
    sandbox.release()
    thread.join(5)
    assert found(sandbox) == 1 and sandbox.state()["held"] == 0


def test_reset_of_connection(client, sandbox):
    client.headers()
    sandbox.fault("reset")
    with pytest.raises(ConnectionResetError):
        client.get("users")
    with pytest.raises(ConnectionResetError):
        client.post("third_parties", NEW)
    assert found(sandbox) == 0


def test_drop(client, sandbox):
    client.headers()
    sandbox.fault("drop")
    for send in (lambda: client.get("users"), lambda: client.post("third_parties", NEW)):
        with pytest.raises(http.client.RemoteDisconnected):
            send()
    assert found(sandbox) == 0 and sandbox.state()["struck"] == {"drop": 2}


def test_truncate(client, sandbox):
    sandbox.fault("truncate")
    client.headers()
    for send in (lambda: client.get("users"), lambda: client.post("third_parties", NEW)):
        with pytest.raises(http.client.IncompleteRead):
            send()
    assert found(sandbox) == 1


@pytest.mark.parametrize("fault, acts", [("garbage", 1), ("no_data", 1), ("html_200", 0), ("html_502", 0)])
def test_wrong_documents(client, sandbox, fault, acts):
    sandbox.fault(fault)
    for reply in (client.get("users"), client.post("third_parties", NEW)):
        assert reply.status == (502 if fault == "html_502" else 200)
        assert ("html" in reply.headers["Content-Type"]) == fault.startswith("html")
        if fault == "no_data":
            assert "data" not in reply.json
        else:
            with pytest.raises(ValueError):
                json.loads(reply.body)
    assert found(sandbox) == acts


def test_statuses(client, sandbox):
    sandbox.fault("status:418", title="Teapot", detail="short and stout", retry_after=7)
    reply = client.post("third_parties", NEW)
    assert reply.status == 418 and reply.headers["Retry-After"] == "7"
    assert reply.json["errors"] == [{"status": "418", "title": "Teapot", "detail": "short and stout"}]
    assert found(sandbox) == 0
    assert sandbox.api_requests()[-1]["acted"] is False


def test_refusals_without_a_document(client, sandbox):
    for order, status, header in (({"name": "retry_after", "value": 3}, 429, ("Retry-After", "3")),
                                  ({"name": "empty_401"}, 401, None), ({"name": "empty"}, 403, None),
                                  ({"name": "empty", "status": 500}, 500, None),
                                  ({"name": "redirect", "value": "http://a.example/b"}, 302,
                                   ("Location", "http://a.example/b"))):
        sandbox.reset()
        sandbox.fault(**order)
        reply = client.get("users")
        assert reply.status == status
        assert header is None or reply.headers[header[0]] == header[1]
        assert order["name"] == "retry_after" or not reply.body


def test_expire_token(client, sandbox):
    client.headers()
    sandbox.fault("expire_token", count=1)
    assert client.post("third_parties", NEW).status == 401
    assert client.get("users").status == 401
    client.token = None
    assert client.get("users").status == 200 and found(sandbox) == 0


def test_sizes(client, sandbox):
    sandbox.fault("huge", mb=1)
    reply = client.get("users")
    assert len(reply.body) == 1 << 20 and reply.json["data"]
    sandbox.reset()
    sandbox.fault("big_page", mb=1)
    reply = client.get("users")
    assert len(reply.body) > 1 << 20 and "padding" in reply.json["data"][0]["attributes"]
    sandbox.reset()
    sandbox.fault("gzip_bomb", mb=2)
    reply = client.get("users")
    assert len(reply.body) < 1 << 16 and len(gzip.decompress(reply.body)) > 2 << 20


def test_slow_drip(client, sandbox):
    sandbox.fault("slow_drip", ms=2)
    started = time.monotonic()
    reply = client.get("users/1", {"fields[users]": ""})
    assert time.monotonic() - started > 0.002 * len(reply.body) and reply.json["data"]["id"] == "1"


# lists that are not what they say


def test_links(client, sandbox):
    sandbox.fault("foreign_next")
    assert client.get("cases").json["links"]["next"].startswith("http://foreign.example/v1/cases?")
    sandbox.reset()
    sandbox.fault("loop_next")
    links = client.get("cases").json["links"]
    assert links["next"] == links["self"]


def test_filters_that_lie(client, sandbox):
    for number, name in ((1, "Xylo"), (2, "the xylophone")):
        sandbox.edit("third_parties", number, name=name)
    asked = {"filter[name]": "Xylo"}
    assert client.get("third_parties", asked).ids == ["1"]
    sandbox.fault("partial_filter", count=1)
    assert client.get("third_parties", asked).ids == ["1", "2"]
    sandbox.fault("ignore_filter", count=1)
    assert client.get("third_parties", asked).json["meta"]["total_count"] == 300


def test_empty_list(client, sandbox):
    sandbox.fault("empty_list", count=1, skip=1)
    asked = {"page[size]": 50, "page[number]": 2}
    assert len(client.get("third_parties", asked).ids) == 50
    reply = client.get("third_parties", asked)
    assert reply.ids == [] and reply.json["links"]["next"] is None and reply.json["meta"]["total_count"] == 0
    assert len(client.get("third_parties", asked).ids) == 50


def test_zero_total(client, sandbox):
    sandbox.fault("zero_total", count=1)
    reply = client.get("third_parties", {"page[size]": 50})
    assert len(reply.ids) == 50 and reply.json["meta"]["total_count"] == 0 and reply.json["links"]["next"]
    assert client.get("third_parties").json["meta"]["total_count"] == 300


def test_unsorted(client, sandbox):
    everything = ids(sandbox.dump("cases"))
    sandbox.fault("unsorted")
    orders = [[number for reply in client.walk("cases", {"page[size]": 100, "sort": sort}) for number in reply.ids]
              for sort in ("id", "-created_at")]
    assert all(sorted(order) == sorted(everything) and order != everything for order in orders)
    assert orders[0] != sorted(everything, key=str.encode)


def test_duplicate_and_moving_rows(client, sandbox):
    everything = ids(sandbox.dump("cases"))
    sandbox.fault("duplicate_row")
    pages = [reply.ids for reply in client.walk("cases", {"page[size]": 50})]
    assert pages[1][0] == pages[0][-1] and pages[2][0] == pages[1][-1]
    sandbox.reset()
    sandbox.fault("move_row")
    pages = [reply.ids for reply in client.walk("cases", {"page[size]": 50})]
    seen = [number for page in pages for number in page]
    assert pages[1][0] == pages[0][-1] and len(seen) == len(everything)
    missing, = set(everything) - set(seen)
    assert client.get("cases", {"page[size]": 50}).ids[0] == missing


def test_page_cap(client, sandbox):
    sandbox.fault("page_cap", value=9)
    replies = client.walk("cases", {"page[size]": 100})
    assert {len(reply.ids) for reply in replies[:-1]} == {9}
    assert [n for reply in replies for n in reply.ids] == ids(sandbox.dump("cases"))


def test_hide_inactive(client, sandbox):
    sandbox.fault("hide_inactive")
    rows = sandbox.dump("third_parties")
    shown = {n for reply in client.walk("third_parties", {"page[size]": 100}) for n in reply.ids}
    assert shown == {i["id"] for i in rows if i["attributes"]["status"] == "Active"}
    assert client.get("third_parties", {"filter[status]": "Inactive"}).ids
    closed = {"filter[open]": "false"}
    assert all(c["attributes"]["open"] for c in client.get("cases").json["data"]) and client.get("cases", closed).ids


def test_members_that_are_wrong(client, sandbox):
    sandbox.fault("rename_attribute", attribute="name", to="title")
    sandbox.fault("numeric_id")
    sandbox.fault("wrong_type", value="wrongs")
    for item in (client.get("third_parties").json["data"][0], client.one("third_parties", 1),
                 client.post("third_parties", NEW).json["data"]):
        assert "title" in item["attributes"] and "name" not in item["attributes"]
        assert isinstance(item["id"], int) and item["type"] == "wrongs"
    shown = client.get("third_parties", {"fields[third_parties]": "title", "sort": "-title"}).json["data"]
    titles = [item["attributes"]["title"] for item in shown]
    assert titles == sorted(titles, key=str.encode, reverse=True) and len(set(titles)) > 1
    sandbox.reset()
    sandbox.fault("date_nonsense")
    rows = client.get("third_parties").json["data"]
    assert rows[-1]["attributes"]["created_at"] == 42 and rows[0]["attributes"]["created_at"] != 42


# writes


def test_drift(client, sandbox):
    sandbox.fault("drift", attribute="city")
    assert all("city" not in item["attributes"] for item in client.get("third_parties").json["data"])
    assert "city" not in client.one("third_parties", 1)["attributes"]
    asked = client.get("third_parties", {"fields[third_parties]": "city,name"})
    assert asked.status == 200 and set(asked.json["data"][0]["attributes"]) == {"name"}


def test_included_gap(client, sandbox):
    asked = {"include": "owner", "page[size]": 100}
    whole = client.get("third_parties", asked).json
    sandbox.fault("included_gap", every=4)
    part = client.get("third_parties", asked).json
    assert part["data"] == whole["data"]
    assert part["included"] == [item for at, item in enumerate(whole["included"], 1) if at % 4]


def test_errors_in_a_success(client, sandbox):
    sandbox.fault("errors_beside_data", title="Half", detail="of it", code="shard")
    answers = [client.get("users"), client.get("users/1"), client.post("third_parties", NEW)]
    assert [answer.status for answer in answers] == [200, 200, 201] and found(sandbox) == 1
    for answer in answers:
        assert answer.json["data"]
        assert answer.json["errors"] == [{"status": "503", "title": "Half", "code": "shard", "detail": "of it"}]
    assert client.get("users/0").json["errors"][0]["title"] == "Not Found"
    sandbox.reset()
    sandbox.fault("errors_beside_data", empty=True)
    assert client.get("users").json["errors"] == []
    sandbox.reset()
    sandbox.fault("errors_only", detail="nothing works")
    for answer in (client.get("users"), client.get("users/1"), client.patch("third_parties", 1, {"city": "Rome"})):
        assert answer.status == 200 and "data" not in answer.json
        assert answer.json["errors"][0]["detail"] == "nothing works"
    assert sandbox.dump("third_parties")[0]["attributes"]["city"] == "Rome"


def test_what_a_token_is_not_good_for(client, sandbox):
    sandbox.fault("insufficient_scope", scope="cases.read", match="GET /v1/cases")
    answer = client.get("cases")
    assert answer.status == 401 and client.get("users").status == 200
    assert answer.headers["WWW-Authenticate"] == \
        'Bearer realm="sandbox", error="insufficient_scope", scope="cases.read"'
    sandbox.fault("token_error", error="access_denied", detail="no more", count=1)
    answer = client.grant()
    assert answer.status == 200 and answer.json == {"error": "access_denied", "error_description": "no more"}
    assert client.grant().json["access_token"]


@pytest.mark.parametrize("warm", [True, False])
def test_drop_after_write(client, sandbox, warm):
    client.headers()
    if not warm:
        client.connection.close()
    sandbox.fault("drop_after_write", count=1, warm=warm)
    with pytest.raises(http.client.RemoteDisconnected):
        client.post("third_parties", NEW)
    assert found(sandbox) == 1
    entry = sandbox.api_requests()[-1]
    assert entry["acted"] and entry["status"] is None and json.loads(entry["body"])["data"]["attributes"] == NEW
    assert client.post("third_parties", NEW).status == 409


def test_drop_after_write_strikes_writes_only(client, sandbox):
    sandbox.fault("drop_after_write", count=1)
    assert client.get("users").status == 200
    with pytest.raises(http.client.RemoteDisconnected):
        client.patch("third_parties", 1, {"city": "Rome"})
    assert client.one("third_parties", 1)["attributes"]["city"] == "Rome"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_reset_after_write(client, sandbox, method):
    client.headers()
    sandbox.fault("reset_after_write", count=1)
    assert client.get("users").status == 200
    with pytest.raises(ConnectionResetError):
        if method == "POST":
            client.post("third_parties", NEW)
        else:
            client.put("third_parties", 1, NEW, method=method)
    entry = sandbox.api_requests()[-1]
    assert found(sandbox) == 1 and entry["acted"] and entry["status"] is None


def give_up(sandbox, seconds=0.1):
    """A POST whose client hangs up soon."""
    client = Client(sandbox.port)
    client.headers()
    client.connection.sock.settimeout(seconds)
    with pytest.raises((TimeoutError, http.client.RemoteDisconnected)):
        client.post("third_parties", NEW)


def test_late_write_acts_after_the_client_hung_up(client, sandbox):
    sandbox.fault("late_write", ms=300, count=1)
    give_up(sandbox)
    hung_up = time.monotonic()
    assert found(sandbox) == 0 and sandbox.state()["late"] == 1
    tpmtest.wait_until(lambda: found(sandbox) == 1)
    assert 0.2 < time.monotonic() - hung_up < 2
    assert client.post("third_parties", NEW).status == 409
    assert sandbox.api_requests()[0]["acted"]


def test_late_write_that_hangs_up_itself(sandbox):
    sandbox.fault("late_write", ms=200, close=True)
    started = time.monotonic()
    give_up(sandbox, 5)
    assert time.monotonic() - started < 1 and found(sandbox) == 0
    tpmtest.wait_until(lambda: found(sandbox) == 1)


def test_late_write_counted_from_arrival(sandbox):
    sandbox.fault("late_write", **{"ms": 100, "from": "arrival"})
    give_up(sandbox, 0.4)
    assert found(sandbox) == 1


def test_late_write_whose_answer_is_an_error_at_once(client, sandbox):
    sandbox.fault("late_write", ms=300, count=1, status=503, retry_after=0)
    reply = client.post("third_parties", NEW)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "0")
    assert found(sandbox) == 0 and sandbox.state()["late"] == 1
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    assert found(sandbox) == 1 and sandbox.api_requests()[0]["acted"]
    sandbox.fault("late_write", ms=100, count=1, status=504)
    assert client.patch("third_parties", 1, {"city": "Rome"}).status == 504
    assert client.one("third_parties", 1)["attributes"]["city"] != "Rome"
    tpmtest.wait_until(lambda: client.one("third_parties", 1)["attributes"]["city"] == "Rome")


def test_late_write_meets_what_happened_meanwhile(client, sandbox):
    sandbox.fault("late_write", ms=200, count=1)
    give_up(sandbox)
    assert client.post("third_parties", NEW).status == 201
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    entry = sandbox.api_requests()[0]
    assert found(sandbox) == 1 and entry["acted"] is False and entry["refused"] == 409


def test_reset_ends_late_writes(sandbox):
    sandbox.fault("late_write", ms=100)
    give_up(sandbox)
    sandbox.reset()
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    time.sleep(0.15)
    assert found(sandbox) == 0


def test_lagging_list(client, sandbox):
    asked = {"filter[internal_id]": "late-1"}
    sandbox.fault("lagging_list", ms=300, count=1)
    assert client.get("third_parties", asked).ids == []
    number = client.post("third_parties", NEW).json["data"]["id"]
    assert client.one("third_parties", number)["attributes"]["name"] == NEW["name"]
    assert client.get("third_parties", asked).json["meta"]["total_count"] == 0
    assert client.get("third_parties").json["meta"]["total_count"] == 300
    assert client.post("third_parties", NEW).status == 409 and sandbox.state()["lagging"] == 1
    tpmtest.wait_until(lambda: client.get("third_parties", asked).ids == [number])
    assert sandbox.state()["lagging"] == 0
    other = client.post("third_parties", {**NEW, "internal_id": "late-2"}).json["data"]["id"]
    assert client.get("third_parties", {"filter[internal_id]": "late-2"}).ids == [other]


def test_write_status(client, sandbox):
    sandbox.fault("write_status:504", count=1)
    assert client.get("users").status == 200
    reply = client.post("third_parties", NEW)
    assert reply.status == 504 and reply.json["errors"][0]["status"] == "504"
    assert found(sandbox) == 1 and sandbox.api_requests()[-1]["acted"]
    sandbox.fault("write_status:200", count=1)
    assert (client.patch("third_parties", 1, {"city": "Rome"}).status, sandbox.state()["changed"]) == (
        200, {"third_parties": 1})


def test_held_write_acts_without_its_client(sandbox):
    sandbox.fault("hold")
    give_up(sandbox)
    sandbox.release()
    tpmtest.wait_until(lambda: found(sandbox) == 1)


def test_server_survives_clients_that_leave(client, sandbox):
    for fault in ("stall", "hold", "late_write", "slow_drip"):
        sandbox.fault(fault, count=1)
        with contextlib.suppress(pytest.fail.Exception):
            give_up(sandbox, 0.05)
    sandbox.reset(data=True)
    assert client.get("users").status == 200
