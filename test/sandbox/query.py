"""What a list request asks for: filters, order, members, included resources, page.

Strict as JSON:API 1.0 lets a server be: whatever is not understood is a 400. Values of a
filter are split at commas before they are compared, trimmed, and "null" means NULL, as
services of this kind do (pitfalls A6).
"""

import base64
import contextlib
import re
import time
from urllib.parse import parse_qsl

from catalogue import OPEN_WORDS, RESOURCES
from oddities import normal


class BadRequest(Exception):
    """A request that a strict server refuses; becomes an error object."""

    def __init__(self, detail, parameter=None, status=400):
        super().__init__(detail)
        self.detail = detail
        self.parameter = parameter
        self.status = status


class ListQuery:
    """The parsed query string of one list request."""

    def __init__(self, resource, raw, settings, oddities, cap=None, renamed=None, ignored=()):
        self.resource = resource
        self.settings = settings
        self.oddities = oddities
        self.renamed = renamed or {}
        self.ignored = ignored
        self.filters = {}
        self.ranges = {}
        self.sort = []
        self.fields = None
        self.fields_of_included = {}
        self.include = []
        self.page = {}
        self.style = settings.pagination
        self.first = int(settings.first_page)
        self.page_max = min(settings.page_max, cap or settings.page_max)
        self.kept = []
        for name, value in parse_qsl(raw, keep_blank_values=True, encoding="utf-8", errors="strict"):
            self._read(name, value)
        self._check_fields_of_included()
        self.size = min(self._number("size" if self.style != "offset" else "limit", 50), self.page_max)
        self.start = self._start()

    def _read(self, name, value):
        match = re.fullmatch(r"(\w+)((?:\[[^\[\]]*\])*)", name)
        if match is None:
            raise BadRequest(f"unknown parameter {name}", name)
        word, keys = match.group(1), re.findall(r"\[([^\[\]]*)\]", match.group(2))
        if word != "page":
            self.kept.append((name, value))
        reader = getattr(self, f"_read_{word}", None)
        if reader is None:
            raise BadRequest(f"unknown parameter {name}", name)
        reader(keys, value, name)

    def _read_filter(self, keys, value, name):
        if len(keys) == 2 and keys[0] in self.resource.ranges and keys[1] in ("start", "end"):
            if value:
                self.ranges[(keys[0], keys[1])] = value
            return
        if not keys or keys[0] not in self.resource.filters or len(keys) > 2 or (len(keys) == 2 and keys[1]):
            raise BadRequest(f"unknown filter {name}", name)
        values = [part.strip() for part in value.split(",")]
        values = [part for part in values if part != ""]
        if values:
            self.filters.setdefault(keys[0], []).extend(values)

    def _read_sort(self, keys, value, name):
        if self.settings.sort_keys == "one":
            self.oddities.struck["sort_keys"] += 1
            if "," in value:
                raise BadRequest("only one key is understood", name)
        for part in value.split(","):
            descending = part.startswith("-")
            field = self.renamed.get(part.lstrip("-"), part.lstrip("-"))
            if keys or not self.resource.sortable(field):
                raise BadRequest(f"cannot sort by {part}", name)
            self.sort.append((field, descending))

    def _read_fields(self, keys, value, name):
        if len(keys) != 1 or keys[0] not in RESOURCES:
            raise BadRequest(f"unknown parameter {name}", name)
        own = keys[0] == self.resource.type
        kind = RESOURCES[keys[0]]
        meant = {self.oddities.field(part, (*kind.attributes, *kind.relationships))
                 for part in value.split(",")} - {None, *self.ignored} if value else set()
        fields = {self.renamed.get(part, part) if own else part for part in meant}
        unknown = {part for part in fields if not RESOURCES[keys[0]].member(part)}
        if unknown:
            raise BadRequest(f"unknown members {', '.join(sorted(unknown))}", name)
        if own:
            self.fields = fields
        else:
            self.fields_of_included[keys[0]] = fields

    def _check_fields_of_included(self):
        """Members are chosen for each type of the answer (JSON:API 1.0, sparse fieldsets), and for no other."""
        included = {self.resource.relationships[name].kind for name in self.include}
        for kind in self.fields_of_included:
            if kind not in included:
                raise BadRequest(f"unknown parameter fields[{kind}]", f"fields[{kind}]")

    def _read_include(self, keys, value, name):
        for part in value.split(","):
            if keys or part not in self.resource.relationships:
                raise BadRequest(f"cannot include {part}", name)
            self.include.append(part)

    def _read_page(self, keys, value, name):
        allowed = {"offset": {"limit", "offset"}, "cursor": {"size", "cursor"}}
        if len(keys) != 1 or keys[0] not in allowed.get(self.style, {"size", "number"}):
            raise BadRequest(f"unknown parameter {name}", name)
        self.page[keys[0]] = value

    def _number(self, key, default, least=1):
        text = self.page.get(key)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise BadRequest(f"page[{key}] must be a number from {least}", f"page[{key}]")
        return int(text)

    def _start(self):
        if self.style == "offset":
            return self._number("offset", 0, 0)
        if self.style == "cursor":
            return decode(self.page["cursor"], "page[cursor]") if "cursor" in self.page else 0
        if self.style == "number_base64" and "number" in self.page:
            return (decode(self.page["number"], "page[number]") - self.first) * self.size
        if self.first == 0 and "number" in self.page:
            self.oddities.struck["first_page"] += 1
        return (self._number("number", self.first, self.first) - self.first) * self.size

    def page_parameters(self, start):
        """The parameters of the page that begins at a row."""
        if self.style == "offset":
            return [("page[limit]", str(self.size)), ("page[offset]", str(start))]
        if self.style == "cursor":
            return [("page[size]", str(self.size)), ("page[cursor]", encode(start))]
        number = start // self.size + self.first
        text = encode(number) if self.style == "number_base64" else str(number)
        return [("page[size]", str(self.size)), ("page[number]", text)]


def encode(number):
    """Base64 of a decimal number."""
    return base64.b64encode(str(number).encode()).decode()


def decode(text, parameter):
    """And back; anything else is refused."""
    try:
        number = base64.b64decode(text, validate=True).decode()
    except (ValueError, UnicodeDecodeError):
        number = ""
    if not number.isdigit():
        raise BadRequest(f"{parameter} is not Base64 of a number", parameter)
    return int(number)


def value_of(item, name):
    """What a filter or an order looks at: a member, an id, the id of a linkage."""
    if name == "id":
        return item["id"]
    if name.endswith(".id"):
        linkage = item["relationships"][name[:-3]]["data"]
        return linkage["id"] if linkage else None
    return item["attributes"][name]


def as_text(value):
    """A value as a filter spells it."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def wanted_texts(name, values):
    """The spellings that a filter accepts."""
    if name == "open":
        words = {as_text(OPEN_WORDS[v]) if v in OPEN_WORDS else v for v in values}
        bad = words - {"true", "false"}
        if bad:
            raise BadRequest(f"unknown value {bad.pop()}", f"filter[{name}]")
        return words
    return set(values)


class Store:
    """Answers a ListQuery from data; keeps orders and indexes, and keeps them in step with writes.

    Every key of its tables begins with a type. An order is made anew after a write to its
    type; everything else follows a write at the cost of that one resource.
    """

    def __init__(self, data, oddities):
        self.data = data
        self.oddities = oddities
        self.forget()

    def forget(self, kind=None):
        """The data of a type (or all) have changed in a way that nobody followed."""
        if kind is None:
            self.orders, self.indexes, self.places, self.uniques, self.highest = {}, {}, {}, {}, {}
            self.removed, self.changes = {}, []
            return
        for table in (self.orders, self.indexes, self.places, self.uniques):
            forget_kind(table, kind)

    def _places(self, kind):
        """{id: place} of a type."""
        if (kind,) not in self.places:
            self.places[(kind,)] = {item["id"]: place for place, item in enumerate(self.data.all(kind))}
        return self.places[(kind,)]

    def by_id(self, kind, number):
        """One resource or None."""
        place = self._places(kind).get(number)
        return None if place is None else self.data.all(kind)[place]

    def next_number(self, kind):
        """The id of a new resource: one more than the highest there is."""
        if (kind,) not in self.highest:
            self.highest[(kind,)] = max(map(int, self._places(kind)), default=0)
        return str(self.highest[(kind,)] + 1)

    def taken(self, kind, name, value, but=None):
        """Whether a resource (another one than `but`) has this value of a unique member."""
        if (kind, name) not in self.uniques:
            owners = self.uniques[(kind, name)] = {}
            for item in self.data.all(kind):
                owners.setdefault(item["attributes"][name], set()).add(item["id"])
        return bool(self.uniques[(kind, name)].get(value, set()) - {but})

    def add(self, item):
        """A new resource, at the end of its list."""
        kind = item["type"]
        places = self._places(kind)
        self.data.all(kind).append(item)
        places[item["id"]] = len(places)
        if (kind,) in self.highest:
            self.highest[(kind,)] = max(self.highest[(kind,)], int(item["id"]))
        self._enter(item)
        self.changes.append((time.monotonic(), kind, 1))

    def remove(self, kind, numbers, status):
        """Resources are gone; whoever asks for one by id is answered `status`. Ids are not given again."""
        self.next_number(kind)
        gone = set(numbers)
        unknown = gone - set(self._places(kind))
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        self.data.lists[kind] = [item for item in self.data.all(kind) if item["id"] not in gone]
        self.forget(kind)
        self.removed.update({(kind, number): status for number in gone})
        self.changes.append((time.monotonic(), kind, -len(gone)))

    def lately(self, kind, seconds):
        """By how many there are more of a type than so long ago."""
        since = time.monotonic() - seconds
        return sum(more for when, of, more in self.changes if of == kind and when > since)

    @contextlib.contextmanager
    def changing(self, item):
        """In here a resource changes."""
        self._leave(item)
        try:
            yield
        finally:
            self._enter(item)

    def _enter(self, item):
        place = self._places(item["type"])[item["id"]]
        for name, index in of_kind(self.indexes, item["type"]):
            index.setdefault(as_text(value_of(item, name)), []).append(place)
        for name, owners in of_kind(self.uniques, item["type"]):
            owners.setdefault(item["attributes"][name], set()).add(item["id"])
        forget_kind(self.orders, item["type"])

    def _leave(self, item):
        place = self._places(item["type"])[item["id"]]
        for name, index in of_kind(self.indexes, item["type"]):
            index[as_text(value_of(item, name))].remove(place)
        for name, owners in of_kind(self.uniques, item["type"]):
            owners[item["attributes"][name]].discard(item["id"])

    def _index(self, kind, name):
        if (kind, name) not in self.indexes:
            index = {}
            for place, item in enumerate(self.data.all(kind)):
                index.setdefault(as_text(value_of(item, name)), []).append(place)
            self.indexes[(kind, name)] = index
        return self.indexes[(kind, name)]

    def _filtered(self, query, partial):
        kind = query.resource.type
        items = self.data.all(kind)
        places = None
        for name, values in query.filters.items():
            index = self._index(kind, name)
            wanted = wanted_texts(name, values)
            if partial and name != "open":
                lowered = [w.lower() for w in wanted]
                wanted = {key for key in index if any(w in key.lower() for w in lowered)}
            found = set()
            for text in wanted:
                found.update(index.get(text, ()))
            places = found if places is None else places & found
        for (name, side), bound in query.ranges.items():
            field = query.resource.ranges[name]
            found = {place for place, item in enumerate(items)
                     if within(self.oddities.held(item, field, "time"), side, bound)}
            places = found if places is None else places & found
        return None if places is None else sorted(places)

    def _rank(self, query):
        """Places of all items in the order asked for, as a list of ranks."""
        kind = query.resource.type
        key = (kind, tuple(query.sort), self.oddities.settings.print, self.oddities.settings.id_order)
        if key not in self.orders:
            items = self.data.all(kind)
            order = sorted(range(len(items)), key=lambda p: self._id_key(items[p]["id"]))
            for name, descending in reversed(query.sort):
                keys = [self._sort_key(query, item, name) for item in items]
                present = [p for p in order if keys[p] is not None]
                absent = [p for p in order if keys[p] is None]
                # reverse keeps the order of equals, so ties are by id in either direction
                present.sort(key=keys.__getitem__, reverse=descending)
                order = absent + present if descending else present + absent
            self.orders[key] = order
        return self.orders[key]

    def _sort_key(self, query, item, name):
        """Text compares by bytes, times as times; an empty date or time is no value."""
        field = query.resource.attributes.get(name)
        if field and field.kind in ("time", "date"):
            return self.oddities.held(item, name, field.kind)
        value = value_of(item, name)
        if name == "id":
            return self._id_key(value)
        return value.encode() if isinstance(value, str) else value

    def _id_key(self, number):
        """What ids are ordered by: their bytes, or the numbers that they are."""
        return int(number) if self.oddities.settings.id_order == "numbers" else number.encode()

    def order_of(self, query):
        """What the resources are ordered by, as a function of one; None without an order."""
        if not query.sort:
            return None
        return lambda item: [self._sort_key(query, item, name) for name, _ in query.sort]

    def select(self, query, ignore=False, partial=False):
        """All items that match, in order."""
        items = self.data.all(query.resource.type)
        places = None if ignore else self._filtered(query, partial)
        if query.sort:
            order = self._rank(query)
            if places is not None:
                chosen = set(places)
                order = [p for p in order if p in chosen]
            return [items[p] for p in order]
        return items if places is None else [items[p] for p in places]


def of_kind(table, kind):
    """[(name, entry)] of the entries of a type."""
    return [(key[1], entry) for key, entry in table.items() if key[0] == kind]


def forget_kind(table, kind):
    """Drop the entries of a type."""
    for key in [k for k in table if k[0] == kind]:
        del table[key]


def within(value, side, bound):
    """Inclusive bounds; a day as the end means its last moment."""
    try:
        bound = normal(bound, side == "end")
    except ValueError as bad:
        raise BadRequest(str(bad), "filter[date]") from bad
    return value is not None and (value >= bound if side == "start" else value <= bound)
