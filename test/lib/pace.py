"""How fast the product sends, by when its requests left.

A server counts arrivals, and a machine that stands still for a moment may bring two of them closer together than
they left: a 429 alone does not tell whose fault it was. Departures do. `at` of tpm_fdw_requests is taken between the
slot and the departure that the budget notes, so that the rule holds for it exactly, on the slowest machine, too.
"""

import tpmtest

# what the product keeps a window longer than the server counts, since ways differ; a millisecond for two clocks
GUARDED_SECOND = 1.039


def departures(db):
    """When each request left, in seconds; those for tokens are not the budget's."""
    return [float(at) for at, in tpmtest.rows(db, "SELECT extract(epoch FROM at) FROM tpm_fdw_requests"
                                                  " WHERE path NOT LIKE '%%/oauth/%%' ORDER BY at")]


def crowded(times, limit, length):
    """Those after which limit + 1 requests left within the length."""
    return [(first, last - first) for first, last in zip(times, times[limit:]) if last - first < length]


def judge(name, db, sandbox, per_second, per_hour=None, hour=3600):
    """No window held too many departures, nearly none was refused, and the log has all of them."""
    log = sandbox.api_requests()
    refused = [entry for entry in log if entry["status"] == 429]
    times = departures(db)
    print(f"{name}: {len(times)} departures, {len(refused)} of {len(log)} arrivals refused")
    assert len(times) == len(log)
    assert crowded(times, per_second, GUARDED_SECOND) == []
    if per_hour:
        assert crowded(times, per_hour, hour) == []
    assert len(refused) <= len(log) / 100
