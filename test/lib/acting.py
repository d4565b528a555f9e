"""A JSON:API server that acts, or not, and answers, or not, as a test has planned for each write.

Owns the resources, what was done to them by whom, and what is lawful in a request: whatever a
client must not send stands in `wrong`. What a write is answered with, and whether anything is
done, is planned by a test, one step a sending; without a plan it is an honest server. What it
does late it does at an event (a look was answered, the next sending arrived, the test says so),
never after a time.
"""

import collections
import datetime as dt
import email.utils
import itertools
import json
import socket
import struct
import threading
import time
import urllib.parse

import hostile

MEDIA_TYPE = "application/vnd.api+json"
# things have ETags, the others have none; the code of a note need not be unique
KINDS = ("things", "loose", "notes")

# when a write is done, beside "before" it is answered and "never"
LATE = ("look", "again", "end")


class Answer:
    """What comes back: bytes, made when it is known what was done, and then what becomes of the connection."""

    def __init__(self, make=None, then="keep"):
        self.make, self.then = make, then

    def parts(self, write):
        return self.make(write) if self.make else b""


class Step:
    """One sending: when it is done, if ever, and its answer; None is the honest one."""

    def __init__(self, answer=None, acts="before"):
        self.answer, self.acts = answer, acts


class Thing:
    """A resource."""

    def __init__(self, kind, number, attributes, created, by=None):
        self.kind, self.id, self.attributes, self.created, self.by = kind, str(number), attributes, created, by
        self.version = 1
        self.changes = []


# what asks for an answer to a GET
Reading = collections.namedtuple("Reading", "stub")


class Write:
    """A sending that has arrived."""

    def __init__(self, stub, request, kind, number, arrived, first):
        self.stub, self.method, self.kind, self.id = stub, request.method, kind, number
        self.headers, self.arrived, self.first = request.headers, arrived, first
        self.request_id = request.headers.get("x-request-id")
        self.given = json.loads(request.body)["data"].get("id")
        self.attributes = dict(json.loads(request.body)["data"]["attributes"])
        self.code = self.attributes.get("code")
        self.thing = None

    def would_be(self):
        """The resource as it is, or as it would be had this been done."""
        if self.thing:
            return self.thing
        known = self.stub.things.get((self.kind, self.id))
        attributes = {**(known.attributes if known else {}), **self.attributes}
        return Thing(self.kind, self.id or self.given or "999999", attributes,
                     known.created if known else self.stub.now())


class Acting(hostile.Hostile):
    """The server; `skew` is by how much its clock differs from ours."""

    def __init__(self, skew=0):
        self.skew = dt.timedelta(seconds=skew)
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.things = {}
        self.plans = {}
        self.writes, self.reads, self.wrong = [], [], []
        self.postponed = []
        self.closing = threading.Event()
        self.tokens = itertools.count(1)
        super().__init__()
        self.read_answers = {}

    def reset(self):
        """Who came is forgotten; tokens are given."""
        super().reset()
        self.answers["/oauth/token"] = lambda request: hostile.token(f"token-{next(self.tokens)}")

    def close(self):
        self.closing.set()
        self.leave()

    def leave(self):
        """Nobody connects any more; connections that are there go on."""
        with self.lock:
            if self.listener.fileno() != -1:
                super().close()

    def now(self):
        return dt.datetime.now(dt.timezone.utc) + self.skew

    # ----- what a test does and asks -----

    def add(self, kind, ago=0, **attributes):
        """A resource of somebody else, created so many seconds ago."""
        with self.lock:
            thing = Thing(kind, next(self.numbers), {"code": None, "name": None, "size": None, "extra": None,
                                                     **attributes}, self.now() - dt.timedelta(seconds=ago))
            self.things[kind, thing.id] = thing
            return thing

    def edit(self, thing, **attributes):
        """Somebody else's change."""
        with self.lock:
            thing.attributes.update(attributes)
            thing.version += 1
            thing.changes.append(("somebody else", attributes))

    def plan(self, key, *steps):
        """What comes of the sendings for a code (POST) or an id (PUT, PATCH), one after the other."""
        self.plans[key] = collections.deque(steps)

    def with_code(self, code):
        with self.lock:
            return [thing for thing in self.things.values() if thing.attributes.get("code") == code]

    def sendings(self, key):
        return [write for write in self.writes if key in (write.code, write.id)]

    def looks(self, key, kind=None):
        """GETs that could have shown this code or id: (monotonic time, list or by id)."""
        return [(at, how) for at, how, keys in self.reads if key in keys and kind in (None, how)]

    def act_late(self, key, when):
        """Does what was put off until now."""
        with self.lock:
            due = [entry for entry in self.postponed if key in (entry[1].code, entry[1].id) and entry[0] == when]
            self.postponed = [entry for entry in self.postponed if entry not in due]
            for _, write in due:
                self._act(write)
        return len(due)

    def end(self, key):
        """The statement has ended: nothing is put off any longer."""
        return sum(self.act_late(key, when) for when in LATE)

    # ----- the wire -----

    def _serve(self, peer):
        received = b""
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            try:
                if peer.recv(1, socket.MSG_PEEK) == b"\x16":
                    # TLS is not spoken here
                    return
                for number in itertools.count():
                    request, received = self._read(peer, received)
                    if request is None:
                        return
                    self.requests.append(request)
                    answer, write = self._handle(request, number == 0)
                    data = answer.parts(write)
                    for part in [data] if isinstance(data, bytes) else data:
                        peer.sendall(part)
                    if answer.then == "hang":
                        self._hang(peer)
                    if answer.then == "reset":
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if answer.then != "keep":
                        return
            except OSError:
                return

    def _hang(self, peer):
        """Until the other side gives up."""
        peer.settimeout(0.05)
        while not self.closing.is_set():
            try:
                if peer.recv(4096) == b"":
                    return
            except TimeoutError:
                continue

    def _handle(self, request, first):
        if request.target.startswith("/oauth/token"):
            return Answer(lambda write: self.answers["/oauth/token"](request)), None
        try:
            parts = urllib.parse.urlsplit(request.target)
            names = parts.path.removeprefix("/v1/").split("/")
            if not request.headers.get("authorization", "").startswith("Bearer token-"):
                self._blame(request, "no token")
            if names[0] not in KINDS:
                self._blame(request, "no such path")
                return self.honest(404), None
            if request.method == "GET":
                return self._get(request, names, urllib.parse.parse_qsl(parts.query, keep_blank_values=True)), None
            return self._write(request, names, first)
        except Exception as error:  # noqa: BLE001  # told by the test
            self._blame(request, repr(error))
            return self.honest(400), None

    def _blame(self, request, what):
        self.wrong.append(f"{request.method} {request.target}: {what}")

    # ----- reading -----

    def shown(self, thing, fields=None):
        attributes = {**thing.attributes, "created_at": thing.created.isoformat(timespec="seconds")}
        return {"type": thing.kind, "id": thing.id,
                "attributes": {name: value for name, value in attributes.items() if fields is None or name in fields}}

    def etag(self, thing):
        return f'"{thing.id}-{thing.version}"' if thing.kind == "things" else None

    def _get(self, request, names, parameters):
        fields, codes, ids = None, None, None
        for name, value in parameters:
            if name == f"fields[{names[0]}]":
                fields = value.split(",")
            elif name == "filter[code]" and len(names) == 1:
                codes = value.split(",")
            elif name == "filter[id]" and len(names) == 1:
                ids = value.split(",")
            elif not name.startswith("page[") and name != "sort":
                self._blame(request, f"parameter {name}")
                return self.honest(400)
        with self.lock:
            if len(names) == 2:
                thing = self.things.get((names[0], names[1]))
                keys = (names[1], thing.attributes.get("code")) if thing else (names[1],)
                answer = self._document(thing, fields)
            else:
                found = [thing for (kind, _), thing in self.things.items() if kind == names[0]
                         and (codes is None or thing.attributes.get("code") in codes)
                         and (ids is None or thing.id in ids)]
                keys = tuple(codes or ()) + tuple(ids or ()) + (() if codes or ids else (None,))
                answer = self.honest(200, {"data": [self.shown(thing, fields) for thing in found], "links": {},
                                           "meta": {"total": len(found)}})
        planned = next((self.read_answers[key] for key in keys if key in self.read_answers), None)
        if planned:
            answer = planned(request, answer)
        return Answer(lambda write: self._read_now(keys, len(names) == 2, answer), answer.then)

    def _read_now(self, keys, by_id, answer):
        """Its bytes; they are made before anything that waits for a look is done."""
        data = answer.parts(Reading(self))
        self.reads.append((time.monotonic(), "id" if by_id else "list", keys))
        # what the statement reads before it writes is no look, and nothing has been put off then
        yield data
        for key in keys:
            self.act_late(key, "look")

    def _document(self, thing, fields=None):
        if thing is None:
            return self.honest(404, {"errors": [{"status": "404", "title": "Not found"}]})
        return self.honest(200, {"data": self.shown(thing, fields)}, etag=self.etag(thing))

    def honest(self, status, document=None, **headers):
        """An answer as it should be."""
        body = b"" if document is None else json.dumps(document).encode()
        return Answer(lambda write: self.bytes(status, body, **headers))

    def bytes(self, status, body=b"", kind=MEDIA_TYPE, length=None, **headers):
        """Status line, headers with the server's own date, body."""
        lines = [f"HTTP/1.1 {status} Whatever", "Date: " + email.utils.format_datetime(self.now(), usegmt=True)]
        if body:
            lines.append(f"Content-Type: {kind}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
        if status not in (204, 304) and status >= 200:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body

    # ----- writing -----

    def _write(self, request, names, first):
        number = names[1] if len(names) == 2 else None
        write = Write(self, request, names[0], number, time.monotonic(), first)
        self._check(request, write, json.loads(request.body)["data"])
        key = write.id or write.code
        # an earlier sending that was waiting for this one
        self.act_late(key, "again")
        with self.lock:
            self.writes.append(write)
            steps = self.plans.get(key)
            step = steps.popleft() if steps else Step()
            honest = None
            if callable(step.acts):
                # what others do at that moment; it is done itself only if it is answered honestly
                step.acts(write)
                honest = None if step.answer else self._act(write)
            elif step.acts == "before":
                honest = self._act(write)
            elif step.acts in LATE:
                self.postponed.append((step.acts, write))
        answer = step.answer or honest
        return answer, write

    def _check(self, request, write, data):
        """What no client may send."""
        headers = request.headers
        wrong = [what for what, bad in (
            ("Content-Type", headers.get("content-type") != MEDIA_TYPE),
            ("Accept", MEDIA_TYPE not in headers.get("accept", "")),
            ("no request id", not write.request_id),
            ("type", data.get("type") != write.kind),
            ("id", write.id is not None and data.get("id") != write.id),
            ("method", (write.method == "POST") != (write.id is None)),
            ("a connection that was used before", not write.first),
            ("Expect", "expect" in headers)) if bad]
        for what in wrong:
            self._blame(request, what)

    def _act(self, write):
        """Does it, if an honest server would; its answer."""
        if write.method == "POST":
            return self._create(write)
        thing = self.things.get((write.kind, write.id))
        if thing is None:
            return self._document(None)
        expected = write.headers.get("if-match")
        if expected is not None and expected != self.etag(thing):
            return self.honest(412, {"errors": [{"status": "412", "title": "Changed in between"}]})
        if write.method == "PUT":
            thing.attributes = {**dict.fromkeys(thing.attributes), **write.attributes}
        else:
            thing.attributes.update(write.attributes)
        thing.version += 1
        thing.changes.append((write.request_id, write.attributes))
        write.thing = thing
        return self._document(thing)

    def _create(self, write):
        if write.kind != "notes" and any(thing.kind == write.kind for thing in self.with_code(write.code)):
            return self.honest(409, {"errors": [{"status": "409", "title": "Conflict", "detail": "code is taken"}]})
        attributes = {"name": None, "size": None, "extra": None, **write.attributes}
        thing = Thing(write.kind, write.given or next(self.numbers), attributes, self.now(), write.request_id)
        self.things[write.kind, thing.id] = thing
        write.thing = thing
        return self.honest(201, {"data": self.shown(thing)}, Location=f"/v1/{thing.kind}/{thing.id}",
                           ETag=self.etag(thing))
