"""POST, PUT and PATCH: what a write does, and how it is answered.

Owns every change that a client makes to the data: ids, generated members, times, and the
linkage of third parties that follows from their cases and engagements. What a body may say
is body.py's.
"""

import asyncio
import collections
import time
from dataclasses import dataclass

from aiohttp import web

import query
from answers import MEDIA_TYPE, Answer, refusal, refusals
from body import Body, Malformed, blank
from catalogue import RESOURCES
from data import CLOSED_STAGES, stamp_at

# what a new resource has where its creator says nothing
DEFAULTS = {"third_parties": {"status": "Active", "approval_status": "Pending"},
            "engagements": {"status": "Active", "approval_status": "Pending"},
            "cases": {"stage": "Draft", "origin": "manual"},
            "questionnaires": {"status": "invited"},
            "gifts": {"approval_status": "Pending"}}
# numbers that the server gives, spelt as data.py does
NUMBERED = {"profile_number": "3P", "engagement_number": "EN", "case_number": "C"}
# times that say when another member changed
FOLLOWING = {"approval_status": "approval_status_changed_at", "adjudication": "adjudicated_at"}


@dataclass
class Write:
    """One request that writes; `number` is the id in its path, `entry` its line in the log."""

    request: web.BaseRequest
    resource: object
    number: str
    asked: str
    raw: bytes
    entry: dict


class Writes:
    """Acts on writes, one at a time: nothing in here waits between a check and the deed."""

    def __init__(self, api):
        self.api = api
        self.reset()
        self.pending = set()

    def reset(self):
        """Count anew; no new resource is kept from lists any more."""
        self.created, self.changed = collections.Counter(), collections.Counter()
        self.lagging = {}

    def cancel(self):
        """Late writes that have not acted never will."""
        for task in self.pending:
            task.cancel()

    def lag(self):
        """{(type, id): until when} of what lists do not show yet."""
        now = time.monotonic()
        self.lagging = {key: until for key, until in self.lagging.items() if until > now}
        return self.lagging

    def listed(self, items):
        """Those that lists show by now."""
        if not self.lagging or not self.lag():
            return items
        return [item for item in items if (item["type"], item["id"]) not in self.lagging]

    async def late(self, write, striking, connection):
        """The fault late_write: nobody gets an answer; never returns."""
        self.act_later(write, striking, connection)
        if connection and not striking["late_write"].get("close", False):
            await connection.gone.wait()
        if write.request.transport is not None:
            write.request.transport.close()
        raise asyncio.CancelledError

    def act_later(self, write, striking, connection=None):
        """The deed of late_write; without a connection its time counts from now."""
        task = asyncio.ensure_future(self._act_late(write, striking, connection))
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    async def _act_late(self, write, striking, connection):
        fault = striking["late_write"]
        if connection and fault.get("from", "hangup") != "arrival":
            await connection.gone.wait()
        await asyncio.sleep(fault.get("ms", 1000) / 1000)
        try:
            self.answer(write, striking)
        except Answer as refused:
            write.entry["refused"] = refused.status
        self.api.write_log(write.entry)

    def answer(self, write, striking):
        """Act and answer; raises Answer where it is refused."""
        try:
            shown = self.api.shown(write.resource, write.asked)
        except query.BadRequest as bad:
            raise refusal(bad.status, "Bad Request", bad.detail, parameter=bad.parameter) from bad
        if write.request.headers.get("Content-Type") != MEDIA_TYPE:
            raise refusal(415, "Unsupported Media Type", f"Content-Type must be {MEDIA_TYPE} without parameters")
        item = None if write.number is None else self.api.found(write.resource, write.number)
        if item is not None:
            self._check_match(write.request, item)
        body = self._body(write, item)
        if item is None:
            item = self._create(write.resource, body)
        else:
            self._change(item, body)
        write.entry["acted"] = True
        if "lagging_list" in striking:
            delay = striking["lagging_list"].get("ms", 2000) / 1000
            self.lagging[(item["type"], item["id"])] = time.monotonic() + delay
        return self._answer(write, item, shown, striking)

    def _check_match(self, request, item):
        """If-Match (RFC 9110, 13.1.1), where resources have tags at all."""
        wanted = request.headers.get("If-Match")
        if wanted is None or not self.api.settings.etags:
            return
        tags = [tag.strip() for tag in wanted.split(",")]
        # the comparison is strong, so no weak tag ever matches (8.8.3.2)
        if tags != ["*"] and self.api.renderer.etag(item) not in tags:
            raise refusal(412, "Precondition Failed", "the resource is not what If-Match says")

    def _body(self, write, item):
        try:
            body = Body(write.raw, write.resource, write.request.method, item, self.api.store, self.api.settings)
        except Malformed as bad:
            raise refusals(bad.status, bad.errors) from bad
        refused = body.refusal()
        if refused:
            raise refusals(*refused)
        return body

    def _create(self, resource, body):
        api, kind = self.api, resource.type
        number = body.number or api.store.next_number(kind)
        attributes = {name: 0 if a.read_only and a.kind == "integer" else blank(a)
                      for name, a in resource.attributes.items()}
        attributes.update(DEFAULTS.get(kind, {}))
        attributes.update(body.attributes)
        for name, prefix in NUMBERED.items():
            if name in attributes:
                attributes[name] = f"{prefix}-{int(number):06d}"
        linkage = {name: body.relationships.get(name, [] if r.many else None)
                   for name, r in resource.relationships.items()}
        item = {"type": kind, "id": number, "attributes": attributes,
                "relationships": {name: {"data": data} for name, data in linkage.items()}}
        self._stamp(item, {"created_at", *FOLLOWING})
        above = self._parents(kind)
        api.store.add(item)
        self._relink(item, above, None)
        self.created[kind] += 1
        return item

    def _change(self, item, body):
        api, kind = self.api, item["type"]
        changed = {name for name, value in body.attributes.items() if item["attributes"][name] != value}
        before = parent_of(item)
        above = self._parents(kind)
        with api.store.changing(item):
            item["attributes"].update(body.attributes)
            for name, linkage in body.relationships.items():
                item["relationships"][name] = {"data": linkage}
            self._stamp(item, changed)
        api.renderer.forget(item)
        self._relink(item, above, before)
        self.changed[kind] += 1

    def _stamp(self, item, changed):
        """What the server itself says of a resource of which these members have changed."""
        attributes, now = item["attributes"], stamp_at(self.api.now())
        following = {"created_at": "created_at", **FOLLOWING}
        for name in changed & set(following):
            if following[name] in attributes and RESOURCES[item["type"]].attributes[following[name]].read_only:
                attributes[following[name]] = now
        if "updated_at" in attributes:
            attributes["updated_at"] = now
        if "open" in attributes:
            attributes["open"] = attributes["stage"] not in CLOSED_STAGES

    def _parents(self, kind):
        """The third parties, if they list resources of this type; made before those change."""
        return self.api.data.all("third_parties") if kind in RESOURCES["third_parties"].to_many else None

    def _relink(self, item, above, before):
        """The third party's own linkage says the same as its child's."""
        after = parent_of(item)
        if above is None or before == after:
            return
        for number in (before, after):
            parent = number and self.api.store.by_id("third_parties", number)
            if not parent:
                continue
            linkage = [one for one in parent["relationships"][item["type"]]["data"] if one["id"] != item["id"]]
            if number == after:
                linkage.append({"type": item["type"], "id": item["id"]})
            linkage.sort(key=lambda one: int(one["id"]))
            parent["relationships"][item["type"]] = {"data": linkage}
            self.api.renderer.forget(parent)

    def _answer(self, write, item, shown, striking):
        path = f"/v1/{item['type']}/{item['id']}"
        is_new = write.request.method == "POST"
        status = self.api.settings.post_status if is_new else self.api.settings.put_status
        headers = {"Location": self.api.reference(write.request, path)} if is_new else {}
        if status in (202, 204):
            return Answer(status, b"", headers)
        return self.api.one(item, shown, path, striking, status, headers)


def parent_of(item):
    """The id of the third party that a resource belongs to, or None."""
    linkage = item["relationships"].get("third_party", {"data": None})["data"]
    return linkage and linkage["id"]
