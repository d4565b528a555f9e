"""JSON:API documents as bytes.

Resource objects are rendered once and kept until they change, since a scan of 100,000
rows would otherwise measure this server and not the client.
"""

import hashlib
import json


def encode(value):
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def error(status, title, detail=None, parameter=None, pointer=None, code=None):
    """One error object (JSON:API 1.0, 7.2)."""
    made = {"status": str(status), "title": title}
    if code:
        made["code"] = code
    if detail:
        made["detail"] = detail
    if parameter:
        made["source"] = {"parameter": parameter}
    if pointer:
        made["source"] = {"pointer": pointer}
    return made


def renaming(fault):
    """The attribute that a rename_attribute is about, and what it is called."""
    return fault.get("attribute", "approval_status"), fault.get("to", "renamed")


def drifted(fault):
    """The attribute that a drift is about."""
    return fault.get("attribute", "name")


class Renderer:
    """Bytes of resource objects."""

    def __init__(self, oddities):
        self.oddities = oddities
        self.kept = {}

    def forget(self, item=None):
        """A resource (or anything) has changed."""
        if item is None:
            self.kept = {}
        else:
            self.kept.pop((item["type"], item["id"]), None)

    def etag(self, item):
        """A strong entity tag (RFC 9110, 8.8.3) of the whole resource, whatever part of it is shown."""
        return f'"{hashlib.sha256(self.resource(item)).hexdigest()[:24]}"'

    def printed(self, item):
        """A whole resource object, whatever answers leave out."""
        return encode(self._linked(item, self.oddities.attributes(item), item["relationships"]))

    def resource(self, item, fields=None, faults=(), include=(), above=None):
        """One resource object; `fields` are the members wanted, None: all.

        `include` are the relationships whose linkage the answer must have, `above` the one that
        the path already tells.
        """
        changed = [faults[name] for name in ("rename_attribute", "numeric_id", "wrong_type", "drift") if name in faults]
        if fields is None and not changed and self.oddities.plain():
            key = (item["type"], item["id"])
            made = self.kept.get(key)
            if made is None:
                made = self.kept[key] = self.printed(item)
            return made
        odd = self.oddities
        item = self._linked(item, odd.present(item, odd.attributes(item)), odd.linkage(item, include, above))
        if fields is not None:
            for part in ("attributes", "relationships"):
                item[part] = {name: value for name, value in item[part].items() if name in fields}
        for fault in changed:
            getattr(self, "_" + fault.name)(item, fault)
        return encode(item)

    def _linked(self, item, attributes, relationships):
        return {"type": item["type"], "id": item["id"], "attributes": attributes,
                "relationships": relationships,
                "links": {"self": f"/v1/{item['type']}/{item['id']}"}}

    def _rename_attribute(self, item, fault):
        wanted, to = renaming(fault)
        item["attributes"] = {to if name == wanted else name: value
                              for name, value in item["attributes"].items()}

    def _drift(self, item, fault):
        item["attributes"] = {name: value for name, value in item["attributes"].items() if name != drifted(fault)}

    def _numeric_id(self, item, fault):
        item["id"] = int(item["id"])

    def _wrong_type(self, item, fault):
        item["type"] = fault.get("value", "wrong")

    def page(self, rows, links, meta, included=None):
        """A list document from rendered rows."""
        tail = {name: value for name, value in (("links", links), ("meta", meta)) if value is not None}
        body = b'{"jsonapi":{"version":"1.0"},"data":[' + b",".join(rows) + b"]"
        if included is not None:
            body += b',"included":[' + b",".join(included) + b"]"
        return body + (b"," + encode(tail)[1:] if tail else b"}")

    def one(self, row, link, included=None):
        """A document with one resource, or null."""
        body = b'{"data":' + (row or b"null")
        if included is not None:
            body += b',"included":[' + b",".join(included) + b"]"
        return body + b"," + encode({"links": {"self": link}})[1:]
