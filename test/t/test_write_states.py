"""What comes of a write, whatever the API does and answers: the rows of the state machine against a server.

Each answer meets each way of writing, and the server has acted before it answered, never, or late. The user's result,
the journal and the server agree in every cell, or the journal says `unknown` and the user was told. ROWS is the table
of the specification, as far as one answer goes; an answer that several rows may be read to cover names them all, and 0
is what no row names: a doubt. An answer that is certain (N, R, A) and a lie cannot be told from the truth by anybody,
so those answers come from servers that keep their word.
"""

import collections
import json

import cells
import pytest
from acting import Answer, Step
from cells import CREATES, HAS_KEY, MOST_RETRIES, WAYS

CLASSES = {**dict.fromkeys((21, 30, 31, 32), "N"), **dict.fromkeys((18, 20, 22, 23, 24, 26, 28, 29), "R"),
           **dict.fromkeys((12, 13, 14, 16), "A"), **dict.fromkeys((0, 5, 8, 9, 10, 15, 17, 19, 25, 33), "D")}

HTML = b"<html><body>Bad gateway</body></html>"


# ----- bodies, made of what was written -----


def document(write):
    return {"data": write.stub.shown(write.would_be())}


def another(write, **members):
    return {"data": {**write.stub.shown(write.would_be()), **members}}


def another_key(write):
    shown = write.stub.shown(write.would_be())
    return {"data": {**shown, "attributes": {**shown["attributes"], "code": "somebody-else"}}}


def without_id(write):
    shown = write.stub.shown(write.would_be())
    del shown["id"]
    return {"data": shown}


def errors(write):
    return {"errors": [{"status": "500", "title": "Not this time"}]}


def body(make):
    return lambda write: json.dumps(make(write)).encode()


def answer(status, make=None, then="keep", **headers):
    """A whole answer; `make` is bytes, or makes a document of the write."""
    if callable(make):
        make = body(make)
    data = make if callable(make) else lambda write: make or b""
    return Answer(lambda write: write.stub.bytes(status, data(write), **headers), then)


def located(status, make=None):
    """The same with the address of the resource."""
    data = body(make) if make else lambda write: b""
    return Answer(lambda write: write.stub.bytes(
        status, data(write), Location=f"/v1/{write.kind}/{write.would_be().id}"))


def wire(data, then="close"):
    """Bytes as they are."""
    return Answer(lambda write: data, then)


def cut(status, then):
    """Half of the right document."""
    def make(write):
        whole = body(document)(write)
        return write.stub.bytes(status, whole[:len(whole) // 2], length=len(whole))
    return Answer(make, then)


def large(write):
    return {**document(write), "meta": {"padding": "x" * 2000000}}


# ----- the answers: which row each is of, for POST, for PUT and PATCH -----

Case = collections.namedtuple("Case", "name answer post put")


def case(name, what, post, put=None):
    put = post if put is None else put
    return Case(name, what, *(rows if isinstance(rows, tuple) else (rows,) for rows in (post, put)))


SUCCESSES = [
    case("200 document", answer(200, document), 12, 16),
    # 201 to a PUT: neither 16 nor 17 has it
    case("201 document", answer(201, document), 12, (16, 17)),
    case("201 document and Location", located(201, document), 12, (16, 17)),
    case("201 Location", located(201), 13, (16, 17)),
    case("201 empty", answer(201), 15, (16, 17)),
    # no id was given by the client
    case("204", answer(204), 15, 16),
    # 13 has the Location of a 201 only
    case("204 Location", located(204), (13, 15), 16),
    case("202 empty", answer(202), 14),
    case("202 document", answer(202, document), 14),
    case("202 Location", located(202), 14),
    case("200 meta", answer(200, lambda write: {"meta": {"done": True}}), 15, 16),
    case("200 empty", answer(200), 15, 17),
    case("200 list of one", answer(200, lambda write: {"data": [document(write)["data"]]}), 15, 17),
    case("200 empty list", answer(200, lambda write: {"data": []}), 15, 17),
    case("201 empty list", answer(201, lambda write: {"data": []}), 15, 17),
    case("200 list of two", answer(200, lambda write: {"data": [document(write)["data"]] * 2}), 15, 17),
    case("200 data null", answer(200, lambda write: {"data": None}), 15, 17),
    case("200 another type", answer(200, lambda write: another(write, type="others")), 15, 17),
    case("201 another type", answer(201, lambda write: another(write, type="others")), 15, 17),
    # without a natural key there is none that could be another
    case("201 another key", answer(201, another_key), 15, (16, 17)),
    case("201 no id", answer(201, without_id), 15, 17),
    case("200 empty id", answer(200, lambda write: another(write, id="")), 15, 17),
    case("200 errors", answer(200, errors), 15, 17),
    case("201 errors", answer(201, errors), 15, 17),
    case("200 errors beside data", answer(200, lambda write: {**document(write), **errors(write)}), 15, 17),
    case("200 HTML", answer(200, HTML, kind="text/html"), 15, 17),
    case("201 HTML", answer(201, HTML, kind="text/html"), 15, 17),
    case("200 no JSON:API", answer(200, lambda write: {"ok": True}), 15, 17),
    case("200 no object", answer(200, lambda write: [document(write)]), 15, 17),
    case("200 half a document", answer(200, b'{"data": {"type": "things", "id": '), 15, 17),
    case("201 after 100", Answer(lambda write: b"HTTP/1.1 100 Continue\r\n\r\n"
                                 + write.stub.bytes(201, body(document)(write))), 12, (16, 17)),
    # 12, 15 and 17 have these statuses neither in nor out
    case("203 document", answer(203, document), (12, 15), (16, 17)),
    case("206 document", answer(206, document), (12, 15), (16, 17)),
    case("205", answer(205), 15, (16, 17)),
    case("207 document", answer(207, document), (12, 15), (16, 17)),
]
# an id that is not ours can be seen where we have named one
OTHER_ID = [Case(f"{status} another id", answer(status, lambda write: another(write, id="77")), None, (17,))
            for status in (200, 201)]

REDIRECTS = [case(f"{status}", answer(status, Location="/v1/elsewhere"), 18 if status in (301, 307, 308) else 19)
             for status in (300, 301, 302, 303, 304, 305, 307, 308, 399)]

REFUSALS = [
    *(case(f"{status}", answer(status, errors), 20)
      for status in (400, 402, 405, 406, 411, 414, 415, 417, 422, 423, 424, 426, 428, 431, 451, 501, 505)),
    case("400 HTML", answer(400, HTML, kind="text/html"), 20),
    case("422 empty", answer(422), 20),
    case("403", answer(403, errors), 22),
    case("511", answer(511, HTML, kind="text/html"), 22),
    case("404", answer(404, errors), 22, 23),
    # on POST no row has 410
    case("410", answer(410, errors), (0, 20, 22), 23),
    case("413", answer(413), 24),
    case("409", answer(409, errors), 26, 28),
    # 29 has the answer to If-Match
    case("412", answer(412, errors), (0, 20), (0, 29)),
    # no row has these; RFC 9110, 15.5 reads them as 400
    *(case(f"{status}", answer(status, errors), (0, 20)) for status in (407, 416, 418, 499)),
]

AGAIN = [
    case("401", answer(401, errors), 21),
    case("421", answer(421), 30),
    case("425", answer(425), 31),
    case("429", answer(429, errors), 32),
    case("429 Retry-After", answer(429, errors, Retry_After="1"), 32),
]

FAILURES = [
    case("408", answer(408), 25),
    case("408 and closed", answer(408, then="close", Connection="close"), 25),
    *(case(f"{status}", answer(status, errors), 33)
      for status in (500, 502, 503, 504, 506, 507, 508, 510, 520, 524, 599)),
    case("500 empty", answer(500), 33),
    case("502 HTML", answer(502, HTML, kind="text/html"), 33),
    case("503 Retry-After 0", answer(503, errors, Retry_After="0"), 33),
    case("503 Retry-After 1", answer(503, errors, Retry_After="1"), 33),
    case("500 Retry-After 1", answer(500, errors, Retry_After="1"), 33),
    case("500 that is a document", answer(500, document), 33),
    case("504 Retry-After and ETag", answer(504, HTML, kind="text/html", Retry_After="1", ETag='"x"'), 33),
    case("reset", wire(b"", "reset"), 5),
    case("closed", wire(b""), 5),
    case("closed in the status line", wire(b"HTTP/1.1 20"), 5),
    case("reset in the headers", wire(b"HTTP/1.1 201 Created\r\nContent-Ty", "reset"), 5),
    case("201 cut off", cut(201, "close"), 5),
    case("200 cut off by a reset", cut(200, "reset"), 5),
    case("400 cut off", wire(b"HTTP/1.1 400 Bad\r\nContent-Length: 100\r\n\r\n{}"), (5, 20)),
    case("chunk cut off", wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"data\""), 5),
    case("no chunk", wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"), (5, 10)),
    case("no gzip", wire(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"), (5, 10)),
    case("100 and nothing more", wire(b"HTTP/1.1 100 Continue\r\n\r\n"), 9),
    case("101", wire(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"), 9),
    case("103 and nothing more", wire(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 9),
    case("no HTTP", wire(b"SSH-2.0-OpenSSH_9.2\r\n"), 10),
    case("HTTP 0.9", wire(HTML), 10),
    case("HTTP 7.0", wire(b"HTTP/7.0 200 OK\r\nContent-Length: 0\r\n\r\n"), 10),
    case("too large", answer(201, large), 10),
]

SLOW = [
    case("no answer", Answer(None, "hang"), 5),
    case("no end", cut(201, "hang"), 5),
]

# the status of these may not have been taken for one
CUT = [each for each in FAILURES + SLOW
       if " cut off" in each.name or "nothing more" in each.name or each.name == "101"]

CASES = SUCCESSES + OTHER_ID + REDIRECTS + REFUSALS + AGAIN + FAILURES + SLOW


# ----- what may come of it -----

Outcome = collections.namedtuple("Outcome", "code count outcome evidence sendings")

SAID = frozenset({None, "answer"})
# what stands beside `unknown` the page does not say, but nothing that would decide it
OPEN = frozenset({None, "conflict", "found: other values"})


def sent(evidence, sendings, count=1):
    return Outcome(None, count, "sent", frozenset({evidence}), sendings)


def unknown(sendings):
    return Outcome("08007", None, "unknown", OPEN, sendings)


def refused(code, sendings=1, count=None, evidence=SAID):
    return Outcome(code, count, "refused", evidence, sendings)


def found(way):
    """What a look after a doubt proves, where nothing but we can have done it."""
    return {"keyed": "found: equal values", "stamped": "found: created after sending"}.get(way, "read back")


def codes_of(row, status, way):
    """SQLSTATEs of a refusal."""
    return {18: ("HV00M",), 20: ("22023",) if status in ("400", "422") else ("HV00L",),
            # 42501 and HV00R belong to 403 and 404; 511 is either
            22: {"403": ("42501",), "404": ("HV00R",)}.get(status, ("42501", "HV00R", "HV00L")),
            24: ("HV00L",), 28: ("HV00L",), 29: ("40001", "HV00L"),
            # without a key nobody can look, and the page does not say which of its two errors it is
            26: ("HV00L",) if way in HAS_KEY else ("HV00L", "23505")}[row]


def outcomes(name, row, way, acts):
    """What may come of one such answer; whatever is sent after it is answered honestly."""
    kind = CLASSES[row]
    if kind == "A":
        return [sent("accepted" if row == 14 else "answer", 1)]
    if kind == "N":
        return [sent("answer", 2)]
    if kind == "R" and row == 23:
        return [refused(None, count=0)]
    if kind == "R":
        evidence = SAID | {"conflict"} if row in (26, 28) else SAID
        return [refused(code, evidence=evidence) for code in codes_of(row, name.split()[0], way)]
    if way == "plain":
        return [unknown(1)]
    return [sent("answer", 2)] if acts == "never" else [sent(found(way), 1)]


def when(rows):
    """When a server that keeps its word has acted if it answers so."""
    kinds = {CLASSES[row] for row in rows}
    if "A" in kinds:
        return ("before", "end") if rows == (14,) else ("before",)
    return ("never",) if kinds & {"R", "N"} else ("before", "never", "look")


def rows_of(each, way):
    """The rows an answer is of, if a write is made that way."""
    rows = each.post if way in CREATES else each.put
    if each.name == "201 another key":
        # it is another key only to whom has one
        rows = {"plain": (12,), "keyed": rows, "stamped": rows}.get(way, (16, 17))
    return rows


def agrees(cell, allowed):
    """How a cell differs from all that may come of it."""
    (entry,) = cell.journal
    for each in allowed:
        if (cell.code, cell.count, entry.outcome, entry.sendings) == (
                each.code, each.count, each.outcome, each.sendings) and entry.evidence in each.evidence:
            return []
    return [f"{cell.code or f'{cell.count} rows'}, {entry.outcome}, {entry.evidence}, {entry.sendings} sendings;"
            f" for {[tuple(each)[:3] + (sorted(map(str, each.evidence)), each.sendings) for each in allowed]}"
            + (f" ({str(cell.error).splitlines()[0]})" if cell.error else "")]


def looked_before_repeating(cell):
    """No sending follows a doubt without two looks in vain between them."""
    times = [write.arrived for write in cell.sendings]
    return [f"only {n} looks before sending {number + 2}" for number, n in enumerate(
        sum(begin < at < end for at, _ in cell.stub.looks(cell.address)) for begin, end in zip(times, times[1:]))
        if n < 2]


def status_agrees(cell, name, whole):
    """The journal has the status of the last answer; one that was cut off may have none."""
    (entry,) = cell.journal
    number = int(name[:3]) if name[:3].isdigit() else None
    if len(cell.sendings) == 2:
        allowed = {201 if cell.way in CREATES else 200}
    elif number:
        allowed = {number} if whole else {number, None}
    else:
        allowed = {200, 201, None}
    return [] if entry.status in allowed else [f"status {entry.status} for {allowed}"]


@pytest.fixture(scope="module")
def matrix(cluster):
    """{(answer, way, when it acted): what is wrong}"""
    orders, allowed = [], {}
    # what takes long is begun first
    for each in sorted(CASES, key=lambda each: (each not in SLOW, "Retry-After" not in each.name)):
        for way in WAYS:
            rows = rows_of(each, way)
            for acts in () if rows is None else when(rows):
                label = each.name, way, acts
                allowed[label] = [one for row in rows for one in outcomes(each.name, row, way, acts)]
                orders.append((label, way, "hasty" if each in SLOW else "calm",
                               lambda each=each, acts=acts: [Step(each.answer, acts)]))

    by_name = {each.name: each for each in CASES}

    def judge(label, cell):
        wrong = cell.contradictions()
        if len(cell.journal) == 1:
            wrong += agrees(cell, allowed[label])
            wrong += status_agrees(cell, label[0], by_name[label[0]] not in CUT)
        if {CLASSES[row] for row in rows_of(by_name[label[0]], label[1])} == {"D"}:
            wrong += looked_before_repeating(cell)
        if label[0].startswith("202") and "WARNING" not in cell.notices:
            wrong.append("no word of the promise")
        return wrong

    return cells.side_by_side(cluster, "cells", orders, judge, skew=-3600)


@pytest.mark.parametrize("name", [each.name for each in CASES])
def test_answer(matrix, name):
    """Every way of writing, every time of acting."""
    wrong = {label[1:]: what for label, what in matrix.items() if label[0] == name and what}
    assert wrong == {}


def test_all_met(matrix):
    """At least 60 answers to each of the five ways (and a sixth with a time of creation)."""
    for way in WAYS:
        assert len({name for name, met, _ in matrix if met == way}) >= 60, way
    assert {"POST", "PUT", "PATCH"} <= {"POST" if way in CREATES else "PATCH" if way == "patch" else "PUT"
                                        for _, way, _ in matrix}


@pytest.mark.parametrize("way", WAYS)
def test_liars(cluster, way):
    """What nobody could know is seen by whoever compares: these cells cannot agree, and the comparison says so."""
    stage = cells.Stage(cluster, f"liars_{way}")
    refused_and_done = cells.Cell(stage, way, [Step(answer(400, errors), "before")]).run()
    told_and_not_done = cells.Cell(stage, way, [Step(answer(200, document), "never")]).run()
    stage.close()
    assert "refused, and it is there" in refused_and_done.contradictions()
    assert "sent, and it is not there, or twice" in told_and_not_done.contradictions()


# ----- several sendings of one write -----


# a pause that is longer than anybody waits (tpm_fdw.max_wait); a short one would be waited for again and again
PAUSE = case("429 Retry-After 60", answer(429, errors, Retry_After="60"), 32)


def planned(name, acts="never"):
    """A step with the answer of that name."""
    (each,) = [each for each in CASES + [PAUSE] if each.name == name]
    return Step(each.answer, acts)


# what lasts: what the first, second, third ... are answered with; none of them is done
LASTING_DOUBTS = ("500", "502 HTML", "503 Retry-After 0", "408", "reset", "closed", "201 cut off", "200 empty", "303",
                  "100 and nothing more", "no HTTP", "too large")
LASTING_AGAIN = {"401": "28000", "421": "HV00L", "425": "HV00L", PAUSE.name: "53400"}
# after a doubt: what says of a repeat that it has not acted, or was refused
LATER = ("400", "422", "403", "404", "405", "409", "410", "412", "413", "301", "451", "511", "401", "421", "425",
         PAUSE.name)
# a certain answer after one that is certain that nothing was done
TWICE = {("401", "403"): "42501", ("421", "422"): "22023", ("425", "409"): "HV00L", ("429", "400"): "22023",
         ("429", "403"): "42501"}


def stories():
    """{(story, way): (steps, outcomes)}"""
    told = {}
    for way in WAYS:
        for name, code in LASTING_AGAIN.items():
            told[f"{name} for ever", way] = (
                [(name, "never")] * 20,
                # 21, 30, 31: once more
                [refused(code, 1 if name == PAUSE.name else 2, evidence=SAID | {"not sent"})])
        for names, code in TWICE.items():
            evidence = SAID | {"conflict"}
            told[" then ".join(names), way] = (
                [(name, "never") for name in names],
                [refused(each, 2, evidence=evidence) for each in {code, "23505" if way == "plain" and "409" in names
                                                                  else code}])
        # a doubt after what was certain
        told["401 then reset", way] = (
            [("401", "never"), ("reset", "before")], [unknown(2) if way == "plain" else sent(found(way), 2)])
        if way == "plain":
            continue
        for name in LASTING_DOUBTS:
            told[f"{name} for ever", way] = ([(name, "never")] * 20, [unknown(MOST_RETRIES + 1)])
        told["500, reset, then as it should be", way] = (
            [("500", "never"), ("reset", "never")], [sent("answer", 3)])
        told["500, reset, done", way] = ([("500", "never"), ("reset", "before")], [sent(found(way), 2)])
        told["500, late, honest", way] = ([("500", "again")], late_first(way))
        told["reset, late, reset, honest", way] = ([("reset", "again"), ("reset", "never")], late_then_lost(way))
        for name in LATER:
            again = way == "put" and name == "412" or way in HAS_KEY and name == "409"
            once = name in LASTING_AGAIN
            for late in ("never", "again"):
                told[f"500 ({late}) then {name} for ever", way] = (
                    [("500", late)] + [(name, "never")] * 20, doubt_sticks(way, late == "again", again, once))
        for name in ("401", "421", "425", "429"):
            told[f"500, {name}, honest", way] = ([("500", "never"), (name, "never")], [sent("answer", 3)])
    return told


def late_first(way):
    """The first sending is done just before the second, which is answered honestly."""
    if way in HAS_KEY or way == "put":
        # 409: looked at; 412: read back
        return [sent(found(way), 2)]
    return [sent("answer", 2)]


def late_then_lost(way):
    """The first sending is done just before the second, and that is lost."""
    return [sent(found(way), 2)]


def doubt_sticks(way, is_done, is_looked_at, is_repeated):
    """After a doubt, refusals. `refused` is never among what may come."""
    tellings = [sent(found(way), n) for n in (2, 3, 4)] if is_done else []
    if is_done and is_looked_at:
        return tellings
    # whether one more look is spent after a refusal, the page does not say, but for 409 and 412
    return tellings + [unknown(n) for n in ((2, 3) if is_repeated else (2, 3, 4, 5))]


STORIES = stories()


@pytest.fixture(scope="module")
def told(cluster):
    """{(story, way): what is wrong}"""
    orders = [((story, way), way, "calm", lambda steps=steps: [planned(*step) for step in steps])
              for (story, way), (steps, _) in STORIES.items()]

    def judge(label, cell):
        wrong = cell.contradictions()
        if len(cell.journal) == 1:
            wrong += agrees(cell, STORIES[label][1])
        return wrong

    return cells.side_by_side(cluster, "stories", sorted(orders, key=lambda order: "429" not in order[0][0]), judge)


@pytest.mark.parametrize("story", list(dict.fromkeys(story for story, _ in STORIES)))
def test_story(told, story):
    """Doubt sticks, whatever is answered later; without one a refusal is one."""
    assert {way: wrong for (name, way), wrong in told.items() if name == story and wrong} == {}
