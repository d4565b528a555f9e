"""What tests ask of the sandbox itself: faults, resets, the log, edits behind the client's back."""

from aiohttp import web

import faults as fault_kinds
from data import stamp_at
from oddities import CHOICES as ODDITIES, checked

SETTINGS = ("latency_ms", "rate_per_second", "rate_per_hour", "hour_seconds", "rate_window", "retry_after",
            "page_max", "pagination", "no_total", "gzip", "put", "read_only", "client_ids", "conflict_status",
            "post_status", "put_status", "etags", "clock_skew", "date_skew", "no_date", "total_lag_ms", "id_order", "unique",
            *ODDITIES)


class Control:
    """Everything under /_sandbox."""

    def __init__(self, api, make_data):
        self.api = api
        self.make_data = make_data
        self.original = {name: getattr(api.settings, name) for name in SETTINGS}

    async def handle(self, request):
        """Answer a control request."""
        name, _, argument = request.path[len("/_sandbox/"):].partition("/")
        handler = getattr(self, f"_{request.method.lower()}_{name}", None)
        if handler is None:
            return web.json_response({"error": f"no {request.method} {request.path}"}, status=404)
        try:
            order = await request.json() if request.method == "POST" and await request.read() else {}
            answer = handler(argument or order)
        except (KeyError, TypeError, ValueError) as bad:
            return web.json_response({"error": f"{type(bad).__name__}: {bad}"}, status=400)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/x-ndjson")
        return web.json_response(answer)

    def _post_faults(self, order):
        for one in order if isinstance(order, list) else [order]:
            self.api.faults.add(one)

    def _get_faults(self, argument):
        return fault_kinds.KINDS

    def _post_reset(self, order):
        """Faults, log, limits and settings as at the start; data too if asked; links that were given stay if asked."""
        api = self.api
        api.faults.clear()
        api.log.clear()
        if not order.get("keep_links"):
            api.links.clear()
        api.limits.forget()
        api.writes.cancel()
        api.writes.reset()
        api.oddities.struck.clear()
        self._post_release(None)
        for name, value in self.original.items():
            setattr(api.settings, name, value)
        if order.get("data"):
            api.data.lists = self.make_data().lists
            api.store.forget()
            api.renderer.forget()

    def _post_release(self, order):
        self.api.released.set()
        self.api.released.clear()

    def _get_requests(self, argument):
        return self.api.log

    def _get_dump(self, kind):
        """Every resource as answers print it, and whole."""
        return b"\n".join(self.api.renderer.printed(item) for item in self.api.data.all(kind)) + b"\n"

    def _post_settings(self, order):
        unknown = set(order) - set(SETTINGS)
        if unknown:
            raise KeyError(", ".join(unknown))
        odd = {name: checked(name, value) for name, value in order.items() if name in ODDITIES}
        for name, value in {**order, **odd}.items():
            setattr(self.api.settings, name, value)

    def _post_edit(self, order):
        """Somebody else changes a resource, or several at one moment; updated_at follows unless given."""
        now = stamp_at(self.api.now())
        for number in order["ids"] if "ids" in order else [order["id"]]:
            item = self.api.store.by_id(order["type"], number)
            attributes = dict(order["attributes"])
            if "updated_at" in item["attributes"]:
                attributes.setdefault("updated_at", now)
            with self.api.store.changing(item):
                item["attributes"].update(attributes)
            self.api.renderer.forget(item)

    def _post_delete(self, order):
        """Somebody else deletes resources; asked for by id, they are `status` (404)."""
        for number in order["ids"]:
            self.api.renderer.forget({"type": order["type"], "id": number})
        self.api.store.remove(order["type"], order["ids"], order.get("status", 404))

    def _post_create(self, order):
        """Somebody else creates a resource: now, and empty but for what is given."""
        blank = self.api.data.all(order["type"])[0]
        number = self.api.store.next_number(order["type"])
        linkage = {name: {"data": [] if isinstance(value["data"], list) else None}
                   for name, value in blank["relationships"].items()}
        now = stamp_at(self.api.now())
        attributes = {name: now if name in ("created_at", "updated_at") else None for name in blank["attributes"]}
        self.api.store.add({"type": order["type"], "id": number, "relationships": linkage,
                            "attributes": {**attributes, **order["attributes"]}})
        return number

    def _post_revoke(self, order):
        self.api.tokens.revoke()

    def _post_secrets(self, order):
        """Clients get other secrets; tokens that they have serve on."""
        self.api.tokens.clients.update(order)

    def _get_issued(self, argument):
        """Every token since the start, forgotten ones too."""
        return self.api.tokens.every

    def _get_tokens(self, argument):
        """The access tokens that are good now: for tests that look where one turns up."""
        return list(self.api.tokens.given)

    def _get_state(self, argument):
        """Counts since the last reset; those of writes count deeds, by type; of faults, strikes."""
        api = self.api
        return {"tokens_issued": api.tokens.issued, "held": api.held, "late": len(api.writes.pending),
                "lagging": len(api.writes.lag()),
                "requests": sum(entry["path"] != "/oauth/token" for entry in api.log),
                "created": api.writes.created, "changed": api.writes.changed,
                "struck": api.faults.struck(), "odd": dict(api.oddities.struck)}
