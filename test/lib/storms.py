"""What may go wrong with a write, at random: as orders for faults of the sandbox, and what came of it.

Owns the choice of faults and the reading of the sandbox's log; which words about a write are
right is the tests'. Everything is drawn from a seed and the request itself (`chance` of
test/sandbox/faults.py), so a run can be repeated.
"""

import tpmtest

METHODS = ("POST", "PUT", "PATCH")

# the server acts or it does not, and says the same
GATEWAYS = ("502", "503", "504", "500")


def weather(seed, match, strength, late):
    """Orders for writes whose "METHOD path" begins with `match`: about `strength` of them are struck.

    Some act and some do not, whatever their answer says; those that act late do so within
    `late` milliseconds of their arrival.
    """
    kinds = [{"fault": f"{kind}:{status}"} for kind in ("status", "write_status") for status in GATEWAYS]
    kinds += [{"fault": f"{kind}:503", "retry_after": after} for kind in ("status", "write_status") for after in (0, 1)]
    kinds += [{"fault": fault} for fault in ("reset", "drop", "html_502", "reset_after_write", "drop_after_write")]
    for part in (0.3, 0.6, 1):
        acting = {"fault": "late_write", "from": "arrival", "ms": late * part}
        kinds += [{**acting, "close": True}, {**acting, "status": 502}, {**acting, "status": 503, "retry_after": 0},
                  {**acting, "status": 503}]
    return [{"count": 0, "match": match, "seed": f"{seed}/{number}", "chance": strength / len(kinds), **kind}
            for number, kind in enumerate(kinds)]


def lateness(seed, match, strength, late):
    """The same with late writes only, and as many that never act: what a client cannot tell apart."""
    return [{**order, "chance": strength / 16} for order in weather(seed, match, strength, late)
            if order["fault"] == "late_write" or order["fault"] in ("status:502", "status:503", "drop", "reset")]


def reads(seed, strength):
    """Orders for reads, which may be asked again."""
    kinds = [{"fault": "status:502"}, {"fault": "status:503"}, {"fault": "status:503", "retry_after": 0},
             {"fault": "reset"}]
    return [{"count": 0, "match": "GET /v1/", "seed": f"{seed}/{number}", "chance": strength / len(kinds), **kind}
            for number, kind in enumerate(kinds)]


def lag(seed, match, strength, ms):
    """Orders that keep new resources from lists for that many milliseconds."""
    return [{"fault": "lagging_list", "count": 0, "match": match, "seed": f"{seed}/lag", "chance": strength, "ms": ms}]


def begin(sandbox, orders):
    """The orders are in force."""
    sandbox.post("/_sandbox/faults", orders)


def settled(sandbox):
    """Wait until whatever acts late has acted, and lists show it."""
    def calm():
        state = sandbox.state()
        return state["late"] == 0 and state["lagging"] == 0
    tpmtest.wait_until(calm, message="late writes and lagging lists")


class Sending:
    """All requests of one write, by its request id: how many came, how many acted, their body."""

    def __init__(self, body):
        self.body = body
        self.came = self.acted = 0


def sendings(entries):
    """{request id: Sending} of a sandbox's log."""
    found = {}
    for entry in entries:
        if "acted" in entry and entry["request_id"]:
            one = found.setdefault(entry["request_id"], Sending(entry["body"]))
            one.came += 1
            one.acted += bool(entry["acted"])
    return found
