"""What can go wrong on purpose. Each fault is defined by one sentence here.

A fault is chosen by `fault`, strikes `count` times (0: until reset) after `skip` requests
that it could have struck, and only requests whose "METHOD path?query" begins with `match`
(nothing: every request under /v1). `warm` true: only requests on a connection that has
served one before, false: only first requests. `chance` (0 to 1): of those it strikes at random, by a
draw from `seed` (0), the request itself and how many equal ones came before it; so the same requests
meet the same faults in whatever order they arrive. Further members of the order are its parameters.

On a write, what comes instead of an answer (stall, reset, drop, status, redirect, html_502 and
their like) does not act; what spoils an answer (SPOILING, truncate, huge, slow_drip) acts
first; what waits (latency, hold) acts after the wait, whether or not the client is still there.
"""

import hashlib
import random

KINDS = {
    "latency": "the answer comes `ms` (500) milliseconds later",
    "stall": "the request is read and never answered",
    "hold": "the request waits before it acts until POST /_sandbox/release",
    "reset": "the connection is reset before an answer",
    "drop": "the connection closes in good order without a byte of an answer",
    "truncate": "the body ends in its middle and the connection closes",
    "garbage": "status 200 and a body that is not JSON",
    "html_200": "status 200 and a page of HTML",
    "html_502": "status 502 and a page of HTML",
    "status": "written status:NNN: that status with an error document; `retry_after` adds the header, `title` and `detail` replace the text",
    "retry_after": "429 with the header Retry-After: `value` (1)",
    "empty_401": "401 without a body",
    "empty": "`status` (403) without a body",
    "redirect": "302 to `value`",
    "expire_token": "the token of the request is forgotten, so the answer is 401",
    "foreign_next": "links.next names the same page on origin `value` (http://foreign.example)",
    "loop_next": "links.next names the page that carries it",
    "empty_list": "a list has no row and no next page, and its total is 0",
    "zero_total": "the total of a list is 0, whatever its rows",
    "ignore_filter": "filters are accepted and not applied",
    "partial_filter": "a filter also matches what contains its value, ignoring case",
    "unsorted": "the list comes in a random order that does not depend on the one asked for",
    "duplicate_row": "the last row of a page is also the first row of the next one",
    "move_row": "a row of a later page moves to page 1 while page 2 is served",
    "page_cap": "no page holds more than `value` (50) rows, whatever is asked, and its links agree",
    "rename_attribute": "the attribute `attribute` is called `to` in answers, and in fields and sort as well; filters keep their names",
    "drift": "the attribute `attribute` (name) is on no resource any more, and a name in fields that nobody misses",
    "included_gap": "every `every`-th (3) resource that should be in `included` is not",
    "errors_beside_data": "an error object (`title`, `detail`, `status`, `code`) in `errors` beside the data of a success; `empty` true: an empty array",
    "errors_only": "status 200 and a document with nothing but an error object (`title`, `detail`, `status`, `code`)",
    "insufficient_scope": "401 that says by WWW-Authenticate that the token is good and not for this: error insufficient_scope, `scope` (third_parties.read)",
    "token_error": "the token endpoint answers 200 with `error` (invalid_client) and error_description `detail` (the client is locked), and no token",
    "hide_inactive": "lists leave out what is Inactive or not open unless a filter asks for it",
    "numeric_id": "ids are JSON numbers",
    "wrong_type": "resource objects say that they are of type `value` (wrong)",
    "date_nonsense": "the attribute `attribute` (created_at) of the last row of a page is the number 42",
    "no_data": "status 200 and a document without data",
    "huge": "the body is followed by blanks until it has `mb` (70) megabytes",
    "big_page": "every row carries an unknown attribute, a list of as many short texts as make the page `mb` (60) megabytes",
    "gzip_bomb": "a small compressed body that is `mb` (1000) megabytes when decompressed",
    "slow_drip": "the body comes a byte at a time, one every `ms` (100) milliseconds",
    "drop_after_write": "a write acts, then the connection closes without a byte",
    "reset_after_write": "a write acts, then the connection is reset before an answer",
    "late_write": "a write is read and never answered; it acts `ms` (1000) milliseconds after the client hung up, or with `from` 'arrival' after it was read; `close` true: the server hangs up at once; `status` NNN: that is answered at once, as by status:NNN, and the milliseconds count from arrival",
    "lagging_list": "a resource created by this request appears in lists only `ms` (2000) milliseconds later, by id at once",
    "write_status": "written write_status:NNN: a write acts and is answered with that status, as by status:NNN",
}

# what sends a request under /v1 that changes something
WRITES = ("POST", "PUT", "PATCH")

# those that only such a request can meet
OF_WRITES = {"drop_after_write": WRITES, "reset_after_write": WRITES, "late_write": WRITES, "write_status": WRITES,
             "lagging_list": ("POST",)}

# those that replace the answer without any action; in this order if several strike
REFUSING = ("status", "retry_after", "empty_401", "insufficient_scope", "empty", "redirect", "html_200", "html_502")

# those that replace the answer to what has been done
SPOILING = ("garbage", "no_data", "errors_only", "gzip_bomb")


class Fault:
    """One order."""

    def __init__(self, order):
        self.order = dict(order)
        self.name, _, self.argument = str(order["fault"]).partition(":")
        if self.name not in KINDS:
            raise ValueError(f"unknown fault {self.name}")
        self.count = int(order.get("count", 0))
        self.skip = int(order.get("skip", 0))
        self.match = order.get("match", "")
        self.chance = float(order.get("chance", 1))
        if not 0 <= self.chance <= 1:
            raise ValueError("chance must be between 0 and 1")
        self.met = {}
        self.struck = 0

    def get(self, key, default):
        """A parameter."""
        return self.order.get(key, default)

    def _drawn(self, request):
        """Whether chance has it that this request is struck."""
        self.met[request] = self.met.get(request, 0) + 1
        draw = f"{self.get('seed', 0)}/{self.order['fault']}/{request}/{self.met[request]}"
        return random.Random(draw).random() < self.chance

    def takes(self, method, target, warm, body):
        """Whether it strikes this request; counts."""
        if self.name in OF_WRITES and not (method in OF_WRITES[self.name] and target.startswith("/v1/")):
            return False
        if "warm" in self.order and bool(self.order["warm"]) != warm:
            return False
        wanted_method, _, wanted_path = self.match.partition(" ")
        if self.match and not (method == wanted_method and target.startswith(wanted_path)):
            return False
        if self.name == "token_error":
            if (method, target) != ("POST", "/oauth/token"):
                return False
        elif not self.match and not target.startswith("/v1"):
            return False
        if self.count and self.struck >= self.count:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.chance < 1 and not self._drawn(f"{method} {target} {hashlib.sha1(body).hexdigest()}"):
            return False
        self.struck += 1
        return True


class Faults:
    """All orders in force."""

    def __init__(self):
        self.orders = []

    def add(self, order):
        self.orders.append(Fault(order))

    def clear(self):
        self.orders = []

    def struck(self):
        """{name: how often} of those in force."""
        counts = {}
        for fault in self.orders:
            counts[fault.name] = counts.get(fault.name, 0) + fault.struck
        return counts

    def striking(self, method, target, warm, body):
        """{name: Fault} of those that strike this request; `warm`: not the first of its connection."""
        return {fault.name: fault for fault in self.orders if fault.takes(method, target, warm, body)}
