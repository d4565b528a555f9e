"""What the body of a POST, PUT or PATCH says, and everything that is wrong with it.

Owns the rules for what a client may set: names, kinds, linkage, uniqueness, read-only and
immutable members. Changes nothing; writes.py acts on what is found here.
"""

import datetime as dt
import json
import math
import re

import render

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
NUMBER = re.compile(r"[1-9]\d{0,17}")


class Malformed(Exception):
    """A body that is no request about this resource at all: one error, no further look."""

    def __init__(self, detail, pointer=None, code=None, status=400):
        super().__init__(detail)
        self.status = status
        self.errors = [render.error(status, "Forbidden" if status == 403 else "Bad Request", detail,
                                    pointer=pointer, code=code)]


def parse(raw):
    """The JSON value of a body; stricter than most about what JSON is."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=named_once, parse_constant=no_number)
        render.encode(document)  # half a surrogate pair can be read but is no text
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"the body is not JSON: {bad}") from bad
    return document


def named_once(pairs):
    """A JSON object; a name given twice is refused."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member is given twice")
    return made


def no_number(word):
    """NaN and Infinity are no JSON."""
    raise ValueError(word)


def text(value):
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def email(value):
    if text(value) and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", value):
        raise ValueError("is no e-mail address")
    return value


def country(value):
    if text(value) and not re.fullmatch(r"[A-Z]{2}", value):
        raise ValueError("must be two capital letters (ISO 3166-1)")
    return value


def number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a number")
    return value


def integer(value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def boolean(value):
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def day(value):
    """A date; empty text is no date, as answers of this API have it."""
    if text(value):
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            raise ValueError("must be a date (YYYY-MM-DD)")
        dt.date.fromisoformat(value)
    return value


def moment(value):
    """A time with its zone; kept as written if that is Z, else turned into UTC."""
    if not text(value):
        return value
    match = TIME.fullmatch(value)
    if match is None:
        raise ValueError("must be a date-time that carries its zone")
    parsed = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if match.group(2) == "Z":
        return value
    return parsed.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def custom_fields(value):
    """An array of {id, term, value[]}."""
    if not isinstance(value, list):
        raise ValueError("must be an array")
    for one in value:
        if not isinstance(one, dict) or set(one) != {"id", "term", "value"}:
            raise ValueError("each element must have id, term and value")
        if not isinstance(one["value"], list) or not all(isinstance(v, str) for v in
                                                         [one["id"], one["term"], *one["value"]]):
            raise ValueError("id, term and the elements of value must be text")
    return value


CHECKS = {"text": text, "email": email, "country": country, "time": moment, "date": day, "number": number,
          "integer": integer, "boolean": boolean, "fields": custom_fields}


class Body:
    """A request's members: `attributes` and `relationships` to set, and all `errors`."""

    def __init__(self, raw, resource, method, item, store, settings):
        self.resource = resource
        self.item = item
        self.store = store
        self.settings = settings
        self.number = None
        self.attributes, self.relationships = {}, {}
        self.errors, self.conflicts = [], []
        data = self._data(parse(raw))
        self._identity(data)
        for part, look in (("attributes", self._attribute), ("relationships", self._relationship)):
            given = data.get(part, {})
            if not isinstance(given, dict):
                self._wrong(f"/data/{part}", "must be an object")
                given = {}
            for name, value in given.items():
                self._member(part, name, value, look)
            if item is None or (method == "PUT" and settings.put == "replace"):
                self._absent(part, given)

    def refusal(self):
        """(status, error objects) of a body that cannot be acted on, else None."""
        if self.errors or (self.conflicts and self.settings.conflict_status == 422):
            return 422, self.errors + (self.conflicts if self.settings.conflict_status == 422 else [])
        return (409, self.conflicts) if self.conflicts else None

    def _data(self, document):
        if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
            raise Malformed("the body must have a resource object as data", "/data")
        self._only(document, "", ("data", "meta", "jsonapi", "links", "included"))
        self._only(document["data"], "/data", ("type", "id", "attributes", "relationships", "links", "meta"))
        return document["data"]

    def _only(self, given, pointer, names):
        for name in given:
            if name not in names:
                self._wrong(f"{pointer}/{escape(name)}", f"there is no member {name} here")

    def _identity(self, data):
        """The type and the id."""
        if data.get("type") != self.resource.type:
            raise Malformed(f"type must be {self.resource.type}", "/data/type", "resource_type_mismatch")
        if self.item is None:
            if "id" in data:
                self._client_id(data["id"])
        elif not isinstance(data.get("id"), str):
            raise Malformed("data must have an id, which is text", "/data/id")
        elif data["id"] != self.item["id"]:
            raise Malformed(f"id must be {self.item['id']} as in the path", "/data/id", "resource_id_conflict")

    def _client_id(self, given):
        if not self.settings.client_ids:
            raise Malformed("ids are given by the server", "/data/id", status=403)
        if not isinstance(given, str) or not NUMBER.fullmatch(given):
            self._wrong("/data/id", "id must be a number as text")
        elif self.store.by_id(self.resource.type, given):
            self._taken("/data/id", f"id {given} is taken")
        else:
            self.number = given

    def _member(self, part, name, value, look):
        member = getattr(self.resource, part).get(name)
        pointer = f"/data/{part}/{escape(name)}"
        if member is None:
            self._wrong(pointer, f"{self.resource.type} has no {name} among its {part}")
        elif not member.read_only:
            look(member, value, pointer)
        elif self.settings.read_only == "reject" or (self.settings.read_only == "same"
                                                     and not self._unchanged(part, name, value)):
            self._wrong(pointer, f"{name} is read-only")

    def _unchanged(self, part, name, value):
        """Whether a member is given the value that it has."""
        if self.item is None:
            return False
        if part == "relationships":
            value = {"data": linkage_of(value)}
        return alike(self.item[part][name], value)

    def _attribute(self, attribute, value, pointer):
        name = attribute.name
        if self._unchanged("attributes", name, value):
            self.attributes[name] = value
            return
        if attribute.required and value in (None, ""):
            self._wrong(pointer, f"{name} is required")
            return
        if value is None:
            self.attributes[name] = blank(attribute)
            return
        try:
            self.attributes[name] = CHECKS[attribute.kind](value)
        except (ValueError, OverflowError) as bad:
            self._wrong(pointer, f"{name} {bad}")
            return
        if attribute.one_of and value not in attribute.one_of:
            self._wrong(pointer, f"{name} must be one of {', '.join(attribute.one_of)}")
        but = self.item and self.item["id"]
        if (attribute.unique and self.settings.unique and value != ""
                and self.store.taken(self.resource.type, name, value, but)):
            self._taken(pointer, f"{name} {value} is taken")

    def _relationship(self, relationship, value, pointer):
        name = relationship.name
        if not isinstance(value, dict) or "data" not in value:
            self._wrong(pointer, f"{name} must have a linkage as data")
            return
        self._only(value, pointer, ("data", "links", "meta"))
        linkage = linkage_of(value)
        if self._unchanged("relationships", name, value):
            self.relationships[name] = linkage
        elif relationship.immutable and self.item is not None:
            self._wrong(pointer, f"{name} cannot be changed")
        elif relationship.many != isinstance(linkage, list):
            self._wrong(f"{pointer}/data", f"{name} must be {'an array' if relationship.many else 'one or null'}")
        elif relationship.required and not linkage:
            self._wrong(pointer, f"{name} is required")
        else:
            self._linkage(relationship, value["data"], f"{pointer}/data")
            self.relationships[name] = linkage

    def _linkage(self, relationship, data, pointer):
        """Every resource identifier must be one, of the right type, of something that exists."""
        if not relationship.many:
            places = [(pointer, data)] if data is not None else []
        else:
            places = [(f"{pointer}/{at}", one) for at, one in enumerate(data)]
        for at, one in places:
            if not isinstance(one, dict) or not {"type", "id"} <= set(one) <= {"type", "id", "meta"}:
                self._wrong(at, "must be a resource identifier: type and id")
            elif one["type"] != relationship.kind:
                self._wrong(f"{at}/type", f"type must be {relationship.kind}")
            elif not isinstance(one["id"], str):
                self._wrong(f"{at}/id", "id must be text")
            elif self.store.by_id(relationship.kind, one["id"]) is None:
                self._wrong(at, f"there is no {relationship.kind} with id {one['id']}")

    def _absent(self, part, given):
        """What is not given: must be there, or becomes empty under a replacing PUT."""
        values = getattr(self, part)
        for name, member in getattr(self.resource, part).items():
            if name in given or member.read_only or (self.item and member.immutable):
                continue
            empty = [] if part == "relationships" and member.many else None
            if member.required and not (self.item and self._is_empty(part, name)):
                self._wrong(f"/data/{part}/{name}", f"{name} is required")
            elif self.item:
                values[name] = empty if part == "relationships" else blank(member)

    def _is_empty(self, part, name):
        value = self.item[part][name]
        return not (value["data"] if part == "relationships" else value)

    def _wrong(self, pointer, detail):
        self.errors.append(render.error(422, "Invalid member", detail, pointer=pointer))

    def _taken(self, pointer, detail):
        status = self.settings.conflict_status
        self.conflicts.append(render.error(status, "Conflict", detail, pointer=pointer, code="taken"))


def blank(attribute):
    """What an attribute without a value holds."""
    return [] if attribute.kind == "fields" else None


def linkage_of(value):
    """The linkage in a relationship object as it is kept: identifiers only, each once."""
    data = value.get("data") if isinstance(value, dict) else value
    if isinstance(data, list):
        found = {}
        for one in data:
            found.setdefault(render.encode(bare(one)), bare(one))
        return list(found.values())
    return bare(data)


def bare(one):
    """A resource identifier without its meta, its members in the order that answers have."""
    if not isinstance(one, dict):
        return one
    first = {key: one[key] for key in ("type", "id") if key in one}
    return {**first, **{key: value for key, value in one.items() if key != "meta"}}


def alike(one, other):
    """Equal as JSON: Python takes true for 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def escape(name):
    """A name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
