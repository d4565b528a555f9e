"""What APIs of this kind do that is allowed, or at least done, and that a client may not expect.

Owns the oddities: their names, what each may be set to, and what each does to a value, a
list or a resource object. Each is an option of `serve` and a setting of control.py, and
combines with all others. All of them together at their first values are the plain API.
"""

import datetime as dt
import random
import re
import zlib
from collections import Counter

from catalogue import RESOURCES

# {setting: values it may have}; the first is the plain API, int stands for any number from 0
CHOICES = {
    "ties": ("stable", "moving"),
    "sort_keys": ("many", "one"),
    "print": ("plain", "seconds", "digits7", "offsets", "dates-as-times"),
    "archived": int,
    "links": ("object", "short", "header", "none"),
    "first_page": ("1", "0"),
    "cut": ("last", "first"),
    "child_linkage": ("data", "none"),
    "linkage": ("data", "included"),
    "field_names": ("plain", "dashed"),
    "sparse": int,
    "total": ("matching", "whole"),
}

OFFSETS = (None, dt.timezone(dt.timedelta(hours=2)), dt.timezone(-dt.timedelta(hours=3, minutes=30)))


class Made(str):
    """A time that the data came with. Under some ways of printing it is held finer than it says."""

    __slots__ = ()


def checked(name, value):
    """The value of a setting, of its own kind; raises ValueError."""
    choices = CHOICES[name]
    text = str(value)
    if choices is int:
        if not re.fullmatch(r"\d{1,6}", text):
            raise ValueError(f"{name} must be a number from 0")
        return int(text)
    words = text.split(",") if name == "print" else [text]
    if not words or set(words) - set(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}")
    return text


def default(name):
    """The plain API's value."""
    return 0 if CHOICES[name] is int else CHOICES[name][0]


# ----- times: how they are held, compared and printed -----


def normal(text, is_end=False):
    """Times with and without fractions compare as texts of one shape; a day is its first or last moment."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text += "T23:59:59.9999999Z" if is_end else "T00:00:00Z"
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z", text)
    if match is None:
        raise ValueError(f"{text} is no date-time")
    return match.group(1) + "." + (match.group(2) or "").ljust(7, "0")


def lot(*what):
    """A number that these always draw."""
    return zlib.crc32("/".join(map(str, what)).encode())


class Oddities:
    """The oddities of one sandbox, and how often each has changed an answer."""

    def __init__(self, settings):
        self.settings = settings
        self.struck = Counter()

    def plain(self):
        """Whether resource objects are as the plain API has them, whatever is asked."""
        return (self.settings.print, self.settings.sparse, self.settings.linkage,
                self.settings.child_linkage) == ("plain", 0, "data", "data")

    def held(self, item, name, kind):
        """A time or date as the API holds it, by which it sorts and filters; None: no value."""
        value = item["attributes"][name]
        if not value:
            return None
        ways = self.settings.print
        drawn = f"{lot(item['type'], item['id'], name) % 10**7:07}"
        if kind == "date" and "dates-as-times" in ways:
            second = lot(drawn) % 86400
            return f"{value}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{drawn}"
        try:
            text = normal(value)
        except ValueError:
            return value
        if kind == "time" and isinstance(value, Made) and ("seconds" in ways or "digits7" in ways):
            said = len(value.partition(".")[2].rstrip("Z"))
            text = text[:20 + said] + drawn[said:]
        return text

    def printed(self, item, name, kind):
        """A time or date as answers spell it."""
        value = item["attributes"][name]
        ways = self.settings.print
        if not value or (kind == "date" and "dates-as-times" not in ways):
            return value
        whole, point, fraction = self.held(item, name, kind).partition(".")
        if not point:
            return value
        said = f".{fraction}" if "digits7" in ways else "" if "seconds" in ways else value.rstrip("Z")[19:]
        if kind == "date":
            said = "" if "digits7" not in ways else said
        zone = "Z"
        if "offsets" in ways and kind == "time":
            there = OFFSETS[lot(item["type"], item["id"], name) % len(OFFSETS)]
            if there:
                moment = dt.datetime.fromisoformat(whole + "+00:00").astimezone(there).isoformat()
                whole, zone = moment[:19], moment[19:]
        made = whole + said + zone
        if made != value:
            for word in ways.split(","):
                self.struck["print " + word] += 1
        return made

    # ----- resource objects -----

    def attributes(self, item):
        """All attributes, times and dates as answers spell them."""
        if self.settings.print == "plain":
            return item["attributes"]
        kinds = {name: a.kind for name, a in RESOURCES[item["type"]].attributes.items() if a.kind in ("time", "date")}
        return {name: self.printed(item, name, kinds[name]) if name in kinds else value
                for name, value in item["attributes"].items()}

    def present(self, item, attributes):
        """Those attributes that the resource object has."""
        if not self.settings.sparse or int(item["id"]) % self.settings.sparse:
            return attributes
        kept = {name: value for name, value in attributes.items() if value is not None}
        self.struck["sparse"] += len(kept) < len(attributes)
        return kept

    def linkage(self, item, include, above):
        """The relationships; those whose linkage this answer does not give have a link instead of data."""
        relationships = item["relationships"]
        silent = set()
        if self.settings.linkage == "included":
            silent = set(relationships) - set(include)
            self.struck["linkage"] += 1
        if self.settings.child_linkage == "none" and above in relationships and above not in include:
            silent.add(above)
            self.struck["child_linkage"] += 1
        return {name: {"links": {"related": f"/v1/{item['type']}/{item['id']}/{name}"}} if name in silent else value
                for name, value in relationships.items()}

    # ----- lists -----

    def shown(self, items, named):
        """What of a list is there for one who has `named` what he looks for, or has not."""
        step = self.settings.archived
        if not step or named:
            return items
        kept = [item for item in items if int(item["id"]) % step]
        self.struck["archived"] += len(kept) < len(items)
        return kept

    def ordered(self, items, start, keys):
        """The list that the page from `start` on is cut from; `keys`: what an item is ordered by, if anything."""
        if self.settings.ties == "stable" or keys is None:
            return items
        first = [keys(item)[0] for item in items]
        self.struck["ties"] += any(one == other for one, other in zip(first, first[1:]))
        moved = []
        at = 0
        rng = random.Random(f"ties/{start}")
        while at < len(items):
            end = at + 1
            while end < len(items) and keys(items[end]) == keys(items[at]):
                end += 1
            run = items[at:end]
            rng.shuffle(run)
            moved += run
            at = end
        return moved

    def page(self, wanted, whole, matching):
        """(rows of the page, how many rows all pages are cut from); `whole` is the list without its filters."""
        end = wanted.start + wanted.size
        if self.settings.cut == "last":
            return matching[wanted.start:end], len(matching)
        passing = {item["id"] for item in matching}
        rows = [item for item in whole[wanted.start:end] if item["id"] in passing]
        self.struck["cut"] += len(rows) < len(whole[wanted.start:end])
        return rows, len(whole)

    def field(self, name, known):
        """The member that a name in `fields` means, or None where it means none and is ignored."""
        if self.settings.field_names == "plain":
            return name
        meant = [member for member in known if member.replace("_", "-") == name]
        self.struck["field_names"] += not meant
        return meant[0] if meant else None

    def linked(self, links):
        """(links object or None, value of the header Link or None) for the links of a page."""
        way = self.settings.links
        if way == "object":
            return links, None
        self.struck["links"] += 1
        if way == "short":
            return {rel: target for rel, target in links.items() if target is not None}, None
        if way == "header":
            return None, ", ".join(f'<{target}>; rel="{rel}"' for rel, target in links.items() if target is not None)
        return None, None
