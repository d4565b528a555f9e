"""Requests to the API: who may ask, what is asked, and what goes wrong on purpose.

Owns the order of the checks: a token, the limits counted on arrival, faults, strictness.
Documents are render.py's, lists query.py's, writes writes.py's, tokens oauth.py's.
"""

import asyncio
import datetime as dt
import gzip
import itertools
import json
import random
import re
import socket
import struct
import time
from email.utils import format_datetime
from urllib.parse import quote, unquote

from aiohttp import web

import faults as fault_kinds
import limits
import oauth
import oddities
import openapi
import query
import render
import writes
from answers import MEDIA_TYPE, Answer, refusal
from catalogue import RESOURCES

class Connection:
    """What the sandbox knows of a connection: its number, requests served, whether it is gone."""

    def __init__(self, number):
        self.number = number
        self.served = 0
        self.gone = asyncio.Event()


class Undated(web.Response):
    """A response without Date, which aiohttp gives every other."""

    async def _prepare_headers(self):
        await super()._prepare_headers()
        del self.headers["Date"]


class Api:
    """The API: everything under /v1 and the token endpoint."""

    def __init__(self, settings, data):
        self.settings = settings
        self.data = data
        self.oddities = oddities.Oddities(settings)
        self.store = query.Store(data, self.oddities)
        self.renderer = render.Renderer(self.oddities)
        self.limits = limits.Limits(settings)
        self.tokens = oauth.Tokens(settings.clients, settings.token_lifetime)
        self.faults = fault_kinds.Faults()
        self.log = []
        self.writes = writes.Writes(self)
        self.connections = {}
        self.numbers = itertools.count(1)
        self.links = set()
        self.released = asyncio.Event()
        self.held = 0
        self.logfile = open(settings.log, "a", encoding="utf-8") if settings.log else None

    async def handle(self, request):
        """Answer a request; its line in the log is there from its arrival on."""
        path, _, asked = request.raw_path.partition("?")
        connection = self._connection(request)
        entry = {"time": time.time(), "method": request.method, "path": path, "query": asked,
                 "status": None, "bytes": None, "client": None, "connection": connection.number,
                 "request_id": request.headers.get("X-Request-Id")}
        self.log.append(entry)
        warm, arrived = connection.served > 0, time.monotonic()
        connection.served += 1
        striking = {}
        try:
            # the whole request is what chance draws by
            body = await request.read()
            striking = self.faults.striking(request.method, request.raw_path, warm, body)
            answer = await self._answer(request, path, asked, body, arrived, entry, striking)
        except Answer as early:
            answer = early
        except web.HTTPRequestEntityTooLarge:
            answer = refusal(413, "Payload Too Large")
        entry["status"], entry["bytes"] = answer.status, len(answer.body)
        self.write_log(entry)
        return await self._send(request, answer, striking)

    def now(self):
        """The time by the API's own clock, in Date and in what the server says of resources."""
        return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=self.settings.clock_skew)

    def write_log(self, entry):
        """What is known of a request goes to the file."""
        if self.logfile:
            self.logfile.write(json.dumps(entry) + "\n")
            self.logfile.flush()

    def _connection(self, request):
        if request.protocol not in self.connections:
            self.connections[request.protocol] = Connection(next(self.numbers))
        return self.connections[request.protocol]

    def gone(self, protocol):
        """A connection is lost or closed."""
        connection = self.connections.pop(protocol, None)
        if connection:
            connection.gone.set()

    async def _answer(self, request, path, asked, body, arrived, entry, striking):
        writing = request.method in fault_kinds.WRITES and path.startswith("/v1/")
        if writing:
            entry["acted"] = False
            entry["body"] = body.decode("utf-8", "replace")
        if path == "/oauth/token":
            await self._strike(request, striking, ("token_error",) + fault_kinds.REFUSING + fault_kinds.SPOILING)
            return self._token(request, body, entry)
        described = path in ("/openapi.json", "/v1/openapi.json")
        if not path.startswith("/v1/") and not described:
            raise refusal(404, "Not Found", f"there is nothing at {path}")
        self._admit(request, path, arrived, entry, striking)
        if self.settings.latency_ms:
            await asyncio.sleep(self.settings.latency_ms / 1000)
        await self._strike(request, striking, fault_kinds.REFUSING + (() if writing else fault_kinds.SPOILING))
        if described:
            return self._document(request)
        self._check_form(request, path, asked)
        resource, parts = self._place(request.method, path)
        if writing:
            write = writes.Write(request, resource, parts[-1] if len(parts) == 2 else None, asked, body, entry)
            return await self._write(write, striking)
        return self._read(request, resource, parts, path, asked, striking)

    def _admit(self, request, path, arrived, entry, striking):
        """The token and the limits."""
        if "expire_token" in striking:
            self.tokens.revoke(request.headers.get("Authorization", ""))
        client = self.tokens.client_of(request.headers.get("Authorization"))
        if client is None:
            raise refusal(401, "Unauthorized", "the access token is missing, unknown or expired",
                          {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        entry["client"] = client
        wait = self.limits.admit(client, path.removeprefix("/v1"), arrived)
        if wait > 0:
            headers = {"Retry-After": str(int(wait) + 1)} if self.settings.retry_after else {}
            raise refusal(429, "Too many requests", None, headers)

    def _document(self, request):
        """The API's description of itself."""
        if request.method != "GET":
            raise refusal(405, "Method Not Allowed", headers={"Allow": "GET"})
        return Answer(200, render.encode(openapi.document(self.settings)), media_type="application/json")

    def _token(self, request, body, entry):
        if request.method != "POST":
            raise refusal(405, "Method Not Allowed", headers={"Allow": "POST"})
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        try:
            granted = self.tokens.grant(request.headers.get("Authorization"),
                                        request.headers.get("Content-Type", ""), body.decode("utf-8"))
        except oauth.Refusal as bad:
            if bad.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="sandbox"'
            return Answer(bad.status, render.encode({"error": bad.error, "error_description": bad.description}),
                          headers, "application/json")
        except (ValueError, UnicodeDecodeError):
            return Answer(400, render.encode({"error": "invalid_request"}), headers, "application/json")
        entry["client"] = self.tokens.given[granted["access_token"]][0]
        return Answer(200, render.encode(granted), headers, "application/json")

    async def _strike(self, request, striking, instead):
        """The faults that come before an answer, or instead of it."""
        if "latency" in striking:
            await asyncio.sleep(striking["latency"].get("ms", 500) / 1000)
        if "hold" in striking:
            self.held += 1
            await self.released.wait()
            self.held -= 1
        if "stall" in striking:
            await asyncio.sleep(3600)
        if "reset" in striking:
            reset(request.transport)
            raise asyncio.CancelledError
        if "drop" in striking:
            hang_up(request)
        self._replace(striking, instead)

    def _replace(self, striking, instead):
        """The first of these faults that strikes is the answer."""
        for name in instead:
            if name in striking:
                raise getattr(self, "_fault_" + name)(striking[name])

    async def _write(self, write, striking):
        """A write, and what may go wrong between the deed and the answer."""
        if "late_write" in striking:
            if "status" in striking["late_write"].order:
                self.writes.act_later(write, striking)
                raise self._fault_status(striking["late_write"])
            await self.writes.late(write, striking, self.connections.get(write.request.protocol))
        try:
            answer = self.writes.answer(write, striking)
        except Answer as refused:
            answer = refused
        if "drop_after_write" in striking or "reset_after_write" in striking:
            self.write_log(write.entry)
            if "reset_after_write" in striking:
                reset(write.request.transport)
                raise asyncio.CancelledError
            hang_up(write.request)
        self._replace(striking, ("write_status",) + fault_kinds.SPOILING)
        return answer

    def _fault_write_status(self, fault):
        return self._fault_status(fault) if int(fault.argument) >= 400 else Answer(int(fault.argument))

    def _fault_status(self, fault):
        status = int(fault.argument or fault.get("status", 503))
        headers = {"Retry-After": str(fault.get("retry_after", 1))} if "retry_after" in fault.order else {}
        title = fault.get("title", {429: "Too many requests", 403: "Forbidden"}.get(status, "Error"))
        return refusal(status, title, fault.get("detail", f"the fault status:{status}"), headers)

    def _fault_retry_after(self, fault):
        return refusal(429, "Too many requests", None, {"Retry-After": str(fault.get("value", 1))})

    def _fault_empty_401(self, fault):
        return Answer(401)

    def _fault_empty(self, fault):
        return Answer(int(fault.get("status", 403)))

    def _fault_redirect(self, fault):
        return Answer(302, b"", {"Location": fault.get("value", "https://elsewhere.example/v1/")})

    def _fault_garbage(self, fault):
        return Answer(200, b'{"data":[{"type":"third_parties","id":"1","attributes":{"na\x01')

    def _fault_html_200(self, fault):
        return Answer(200, b"<!DOCTYPE html><html><body>Sign in</body></html>", media_type="text/html")

    def _fault_html_502(self, fault):
        return Answer(502, b"<html><body>Bad Gateway</body></html>", media_type="text/html")

    def _fault_no_data(self, fault):
        return Answer(200, b'{"meta":{}}')

    def _fault_errors_only(self, fault):
        return Answer(200, render.encode({"errors": [error_of(fault)]}))

    def _fault_insufficient_scope(self, fault):
        scope = fault.get("scope", "third_parties.read")
        return refusal(401, "Unauthorized", "the token is not for this", {
            "WWW-Authenticate": f'Bearer realm="sandbox", error="insufficient_scope", scope="{scope}"'})

    def _fault_token_error(self, fault):
        body = {"error": fault.get("error", "invalid_client"), "error_description": fault.get("detail", "the client is locked")}
        return Answer(200, render.encode(body), {"Cache-Control": "no-store"}, "application/json")

    def _fault_gzip_bomb(self, fault):
        chunk = b'{"data":[' + b" " * (1 << 20)
        packed = gzip.compress(chunk + b" " * (int(fault.get("mb", 1000)) << 20), 6)
        return Answer(200, packed, {"Content-Encoding": "gzip"})

    def _check_form(self, request, path, asked):
        """What a strict server asks of every request."""
        # no header means anything (RFC 9110, 12.5.1), and a weight is no parameter of the media type
        accept = [re.sub(r"\s*;\s*q=(1(\.0{0,3})?|0\.\d{0,3})$", "", part.strip(), flags=re.IGNORECASE)
                  for part in request.headers.get("Accept", "*/*").split(",")
                  if not re.search(r";\s*q=0(\.0{0,3})?\s*$", part, re.IGNORECASE)]
        if MEDIA_TYPE not in accept and "*/*" not in accept:
            raise refusal(406, "Not Acceptable", f"Accept must name {MEDIA_TYPE} without parameters")
        target = path + ("?" + asked if asked else "")
        if ("[" in asked or "]" in asked) and target not in self.links:
            raise refusal(400, "Bad Request", "brackets in a query must be percent-encoded")
        if any(len(value) > 8000 for value in (path, asked)):
            raise refusal(414, "URI Too Long")

    def _place(self, method, path):
        """The resource and the parts of a path; raises where there is nothing of that method."""
        parts = [unquote(part) for part in path[len("/v1/"):].split("/")]
        resource = RESOURCES.get(parts[0])
        if resource is None or len(parts) > 3 or "" in parts or "." in parts or ".." in parts:
            raise refusal(404, "Not Found", f"there is nothing at {path}")
        allowed = ["GET"]
        if len(parts) == 1 and "C" in resource.ops:
            allowed += ["POST"]
        if len(parts) == 2 and "U" in resource.ops:
            allowed += ["PUT", "PATCH"]
        if method not in allowed:
            raise refusal(405, "Method Not Allowed", headers={"Allow": ", ".join(allowed)})
        return resource, parts

    def _read(self, request, resource, parts, path, asked, striking):
        try:
            if len(parts) == 1:
                return self._list(resource, request, path, asked, striking)
            if len(parts) == 2:
                return self._one(resource, parts[1], path, asked, striking)
            return self._children(resource, parts, request, path, asked, striking)
        except query.BadRequest as bad:
            raise refusal(bad.status, "Bad Request", bad.detail, parameter=bad.parameter) from bad

    def _one(self, resource, number, path, asked, striking):
        wanted = self.shown(resource, asked, striking)
        return self.one(self.found(resource, number), wanted, path, striking)

    def shown(self, resource, asked, striking=()):
        """What an answer with one resource shall show: all that such a request can say."""
        wanted = self._asked(resource, asked, striking)
        if wanted.filters or wanted.ranges or wanted.sort or wanted.page:
            raise query.BadRequest("a single resource takes fields and include only")
        return wanted

    def _asked(self, resource, asked, striking, cap=None):
        ignored = (render.drifted(striking["drift"]),) if "drift" in striking else ()
        return query.ListQuery(resource, asked, self.settings, self.oddities, cap, renamed(resource, striking), ignored)

    def found(self, resource, number):
        """The resource of that id."""
        item = self.store.by_id(resource.type, number)
        if item is None:
            status = self.store.removed.get((resource.type, number), 404)
            raise refusal(status, "Gone" if status == 410 else "Not Found", f"there is no {resource.type} with id {number}")
        return item

    def one(self, item, wanted, path, striking, status=200, headers=None):
        """An answer with one resource."""
        headers = dict(headers or {})
        if self.settings.etags:
            tag = self.renderer.etag(item)
            headers["ETag"] = f"W/{tag}" if self.settings.etags == "weak" else tag
        row = self.renderer.resource(item, wanted.fields, striking, wanted.include)
        body = self.renderer.one(row, path, self._included([item], wanted, striking))
        return Answer(status, body, headers)

    def _children(self, parent, parts, request, path, asked, striking):
        child = RESOURCES.get(parts[2])
        if child is None or parts[2] not in parent.lists:
            raise refusal(404, "Not Found", f"there is nothing at {path}")
        above = self.found(parent, parts[1])
        if "third_party" in child.to_one:
            above_name = "third_party"

            def belongs(item):
                return (item["relationships"]["third_party"]["data"] or {}).get("id") == parts[1]
        else:
            above_name = None
            linkage = above["relationships"]["region"]["data"]

            def belongs(item):
                return linkage is not None and item["id"] == linkage["id"]
        return self._list(child, request, path, asked, striking, belongs, above_name)

    def _list(self, resource, request, path, asked, striking, belongs=None, above=None):
        cap = striking["page_cap"].get("value", 50) if "page_cap" in striking else None
        wanted = self._asked(resource, asked, striking, cap)
        if "move_row" in striking and wanted.size <= wanted.start < 2 * wanted.size:
            self._move_row(resource.type, wanted)
        items = self._matching(resource, wanted, striking, belongs, "ignore_filter" in striking)
        odd = self.settings.cut == "first" or self.settings.total == "whole"
        whole = self._matching(resource, wanted, striking, belongs, True) if odd else items
        rows, cut_from = self.oddities.page(wanted, whole, items)
        if "duplicate_row" in striking and 0 < wanted.start < len(items):
            rows = [items[wanted.start - 1]] + rows
        if "empty_list" in striking:
            rows, items, whole, cut_from = [], [], [], 0
        links, header = self.oddities.linked(self._page_links(request, path, wanted, cut_from, striking))
        made = [self.renderer.resource(item, wanted.fields, striking, wanted.include, above) for item in rows]
        spoil_page(made, striking)
        body = self.renderer.page(made, links, self._total(wanted, items, whole, striking), self._included(rows, wanted, striking))
        return Answer(200, body, {"Link": header} if header else {})

    def _matching(self, resource, wanted, striking, belongs, ignore):
        """The list that the pages are cut from, in the order of this page."""
        items = self.store.select(wanted, ignore, "partial_filter" in striking)
        if belongs:
            items = [item for item in items if belongs(item)]
        items = hide(self.writes.listed(items), resource, wanted, striking)
        items = self.oddities.shown(items, wanted.filters)
        items = self.oddities.ordered(items, wanted.start, self.store.order_of(wanted))
        if "unsorted" in striking:
            items = random.Random(resource.type).sample(items, len(items))
        return items

    def _total(self, wanted, items, whole, striking):
        if self.settings.no_total:
            return None
        count = len(items)
        if self.settings.total == "whole":
            self.oddities.struck["total"] += len(whole) != count
            count = len(whole)
        if self.settings.total_lag_ms and not wanted.filters and not wanted.ranges:
            count = max(0, count - self.store.lately(wanted.resource.type, self.settings.total_lag_ms / 1000))
        if "zero_total" in striking:
            count = 0
        return {"total_count": count, "total_pages": -(-count // wanted.size)}

    def _move_row(self, kind, wanted):
        items = self.data.all(kind)
        later = wanted.start + wanted.size
        if later < len(items):
            items.insert(0, items.pop(random.Random(later).randrange(later, len(items))))
            self.store.forget(kind)

    def _included(self, rows, wanted, striking):
        """Every resource that the rows link to, once (JSON:API 1.0, compound documents)."""
        if not wanted.include:
            return None
        found = {}
        for item in rows:
            for name in wanted.include:
                linkage = item["relationships"][name]["data"]
                for one in linkage if isinstance(linkage, list) else [linkage] if linkage else []:
                    other = self.store.by_id(one["type"], one["id"])
                    if other is not None:
                        found[(one["type"], one["id"])] = other
        every = int(striking["included_gap"].get("every", 3)) if "included_gap" in striking else len(found) + 1
        return [self.renderer.resource(item, wanted.fields_of_included.get(kind), striking)
                for at, ((kind, _), item) in enumerate(found.items(), 1) if at % every]

    def _page_links(self, request, path, wanted, total, striking):
        start, size = wanted.start, wanted.size
        links = {"self": self._link(request, path, wanted, start), "first": self._link(request, path, wanted, 0),
                 "prev": self._link(request, path, wanted, max(0, start - size)) if start else None,
                 "next": self._link(request, path, wanted, start + size) if start + size < total else None}
        if "loop_next" in striking:
            links["next"] = links["self"]
        if "foreign_next" in striking and links["next"]:
            there = striking["foreign_next"].get("value", "http://foreign.example")
            links["next"] = there + self._target(path, wanted, start + size)
        return links

    def _target(self, path, wanted, start):
        pairs = wanted.kept + wanted.page_parameters(start)
        return path + "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)

    def _link(self, request, path, wanted, start):
        """Brackets stay raw in links, as the sibling API writes them."""
        target = self._target(path, wanted, start)
        self.links.add(target)
        return self.reference(request, target)

    def reference(self, request, target):
        """A link, absolute or relative as the links of pages are."""
        return f"{request.scheme}://{request.host}{target}" if self.settings.pagination == "links_absolute" else target

    async def _send(self, request, answer, striking):
        date = self.now() + dt.timedelta(seconds=self.settings.date_skew)
        headers = {"Date": format_datetime(date, usegmt=True), **answer.headers}
        body = answer.body
        if body and answer.media_type:
            headers["Content-Type"] = answer.media_type
        if "errors_beside_data" in striking and body.startswith(b"{") and answer.status < 300:
            body = body[:-1] + b',"errors":' + render.encode(errors_of(striking["errors_beside_data"])) + b"}"
        if "huge" in striking:
            body += b" " * ((int(striking["huge"].get("mb", 70)) << 20) - len(body))
        if (len(body) > 1000 and "gzip" in request.headers.get("Accept-Encoding", "")
                and self.settings.gzip and "Content-Encoding" not in headers):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        if "X-Request-Id" in request.headers:
            headers["X-Request-Id"] = request.headers["X-Request-Id"]
        if "truncate" in striking or "slow_drip" in striking:
            return await self._send_broken(request, answer.status, headers, body, striking)
        kind = Undated if self.settings.no_date else web.Response
        return kind(status=answer.status, headers=headers, body=body)

    async def _send_broken(self, request, status, headers, body, striking):
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if "truncate" in striking:
            await response.write(body[:len(body) // 2])
            request.transport.close()
            return response
        for at in range(len(body)):
            await response.write(body[at:at + 1])
            await asyncio.sleep(striking["slow_drip"].get("ms", 100) / 1000)
        return response


def error_of(fault):
    """The error object of a fault that puts one into a 200."""
    return render.error(fault.get("status", 503), fault.get("title", "Partial result"),
                        fault.get("detail", "one of the shards did not answer"), code=fault.get("code", None))


def errors_of(fault):
    """The `errors` beside data; `empty` true: none in the array."""
    return [] if fault.get("empty", False) else [error_of(fault)]


def renamed(resource, striking):
    """{name in requests and answers: attribute} under rename_attribute; the old name is understood as well."""
    if "rename_attribute" not in striking:
        return {}
    attribute, to = render.renaming(striking["rename_attribute"])
    return {to: attribute} if attribute in resource.attributes else {}


def hide(items, resource, wanted, striking):
    """What a list leaves out under hide_inactive."""
    if "hide_inactive" not in striking:
        return items
    if "status" in resource.attributes and "status" not in wanted.filters:
        return [item for item in items if item["attributes"]["status"] != "Inactive"]
    if "open" in resource.attributes and "open" not in wanted.filters:
        return [item for item in items if item["attributes"]["open"]]
    return items


def spoil_page(made, striking):
    """Faults that sit in one row or in all of a page."""
    if made and "date_nonsense" in striking:
        item = json.loads(made[-1])
        item["attributes"][striking["date_nonsense"].get("attribute", "created_at")] = 42
        made[-1] = render.encode(item)
    if made and "big_page" in striking:
        padding = b'"x",' * ((int(striking["big_page"].get("mb", 60)) << 18) // len(made))
        for at, row in enumerate(made):
            made[at] = row.replace(b'"attributes":{', b'"attributes":{"padding":[' + padding + b'"x"],', 1)


def hang_up(request):
    """Close, and end the handling of the request without an answer."""
    if request.transport is not None:
        request.transport.close()
    raise asyncio.CancelledError


def reset(transport):
    """Close with RST, so that the client sees a reset and not an end."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
