"""Every fault of the sandbox, at the first, a middle and the last request of every operation.

The statement gives the right answer or one clear error, the session's next statement works,
and nothing is left behind. The table of all outcomes is printed.
"""

import queue
import sys
import threading
import time
from pathlib import Path

import faulttable
import psycopg2
import pytest
import tpmtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox"))

import faults as sandbox_faults  # noqa: E402

WORKERS = 10
OPERATIONS = tuple(faulttable.TARGETS)
READS = ("scan", "keyed", "count", "reread")
WRITES = ("insert", "update", "copy")

# faults that last until somebody's patience ends
SLOW = ("stall", "hold", "slow_drip", "late_write")

PARAMETERS = {
    "latency": {"ms": 100}, "late_write": {"ms": 300, "from": "arrival"}, "lagging_list": {"ms": 300},
    "huge": {"mb": 3}, "big_page": {"mb": 3}, "gzip_bomb": {"mb": 10}, "retry_after": {"value": 1},
    "rename_attribute": {"attribute": "name", "to": "title"}, "page_cap": {"value": 7},
}

KINDS = [kind for kind in sandbox_faults.KINDS if kind not in ("status", "write_status")]
FAULTS = KINDS + ["status:404", "status:413", "status:422", "status:429", "status:500", "status:503",
                  "write_status:504"]


def each(names, once, lasting):
    return {name: (once, lasting) for name in names}


def everywhere(once, lasting, token=None):
    return {**each(READS + WRITES, once, lasting), "token": token or (once, lasting)}


# a write whose answer is lost was done or not; where it is certain that it was not found, it is sent again
LOST = {**each(READS, "right", "HV00N"), **each(WRITES, "right", "08007"), "token": ("right", "HV00N")}
BROKEN = {**each(READS, "right", "HV00L"), **each(WRITES, "right", "08007"), "token": ("right", "HV00L")}
UNREADABLE = {**each(READS, "HV00M", "HV00M"), "token": ("28000", "28000")}

# what comes of a fault that strikes once, and of one that lasts; "right" where nothing is said.
# "as told": the API said so, and nobody could know better
EXPECTED = {
    "stall": LOST, "hold": LOST, "reset": LOST, "drop": LOST,
    "truncate": {**each(READS, "right", "HV00N"), "token": ("right", "HV00N")},
    "slow_drip": {**each(READS, "right", "HV00N"), "token": ("right", "HV00N")},
    "status:500": BROKEN, "status:503": BROKEN, "html_502": BROKEN,
    "garbage": UNREADABLE, "no_data": UNREADABLE, "errors_only": UNREADABLE,
    "errors_beside_data": each(READS, "HV00M", "HV00M"),
    "insufficient_scope": everywhere("42501", "42501", token=("28000", "28000")),
    "token_error": {"token": ("28000", "28000")},
    "drift": {**each(("scan", "keyed"), "as told", "as told"), "reread": ("HV00L", "HV00L")},
    "html_200": {**UNREADABLE, **each(WRITES, "right", "08007")},
    "huge": {**UNREADABLE, "token": ("HV00M", "HV00M")},
    "gzip_bomb": {**UNREADABLE, "token": ("HV00M", "HV00M")},
    "big_page": each(("scan", "count"), "HV00M", "HV00M"),
    "wrong_type": each(READS, "HV00M", "HV00M"),
    "date_nonsense": {"scan": ("22008", "22008")},
    "status:429": everywhere("right", "53400"),
    "retry_after": everywhere("right", "53400"),
    "empty_401": everywhere("right", "28000", token=("28000", "28000")),
    "expire_token": everywhere("right", "28000", token=("right", "right")),
    "empty": everywhere("42501", "42501", token=("28000", "28000")),
    "redirect": {**everywhere("HV00M", "HV00M", token=("28000", "28000")), **each(WRITES, "right", "08007")},
    "status:422": everywhere("22023", "22023", token=("28000", "28000")),
    "status:404": {**everywhere("HV00R", "HV00R", token=("28000", "28000")),
                   **each(("keyed", "update", "reread"), "as told", "as told")},
    # the page halves, and the list is read again, while it can
    "status:413": {**everywhere("HV00L", "HV00L", token=("28000", "28000")),
                   **each(("scan", "count"), "right", "HV00L")},
    "loop_next": {"scan": ("HV00M", "HV00M")},
    "foreign_next": {"scan": ("HV00M", "HV00M")},
    # one page that obeys another cap than the others cannot be put together with them
    "page_cap": {"scan": ("HV00M", "HV00M")},
    "rename_attribute": {**each(("scan", "keyed"), "as told", "as told"), "reread": ("HV00L", "HV00L")},
    "hide_inactive": {"scan": ("right", "as told"), "count": ("as told", "as told")},
    "empty_list": {"scan": ("right", "as told"), "count": ("as told", "as told")},
}

# the last page has no link that could be wrong; a cap that holds from the start is a smaller page
EXCEPTIONS = {
    ("foreign_next", "scan", "last"): ("right", "right"),
    ("page_cap", "scan", "first"): ("right", "right"),
    ("empty_list", "scan", "first"): ("as told", "as told"),
    # what was read has changed: nothing has been sent yet
    ("rename_attribute", "reread", "first"): ("40001", "40001"),
    ("drift", "reread", "first"): ("40001", "40001"),
}


def expected(fault, operation, position):
    """(what comes of it once, what if it lasts)"""
    usual = EXPECTED.get(fault, {}).get(operation, ("right", "right"))
    return EXCEPTIONS.get((fault, operation, position), usual)


def meets(fault, operation):
    """Whether the fault can strike such a request at all."""
    if fault == "token_error":
        return operation == "token"
    methods = sandbox_faults.OF_WRITES.get(fault.partition(":")[0])
    return methods is None or faulttable.TARGETS[operation].split()[0] in methods and operation != "token"


def work(cluster, number, faults, cells, failures):
    worker = faulttable.Worker(cluster, number)
    try:
        while True:
            fault = faults.get_nowait()
            patience = f"{int(1000 * tpmtest.SLACK)}ms" if fault in SLOW else "20s"
            tpmtest.rows(worker.session, f"ALTER SERVER {worker.name} OPTIONS (SET request_timeout '{patience}')")
            worker.run("scan")
            before = worker.memory()
            for operation in OPERATIONS:
                for position in faulttable.POSITIONS:
                    order = {"fault": fault, **PARAMETERS.get(fault, {})}
                    cells[fault, operation, position] = [
                        worker.cell(operation, position, order, lasting) for lasting in (False, True)]
            cells[fault, "memory"] = worker.memory() - before
    except queue.Empty:
        pass
    except Exception as error:  # noqa: BLE001  # reported by the test
        failures.append(error)
        raise
    finally:
        worker.close()


@pytest.fixture(scope="module")
def cells(cluster):
    """{(fault, operation, position): [cell of once, cell of lasting]}"""
    # what takes long is begun first
    slow = SLOW + ("drop", "reset", "html_200", "html_502", "status:500", "status:503", "retry_after", "status:429")
    faults = queue.Queue()
    for fault in sorted(FAULTS, key=lambda name: name not in slow):
        faults.put(fault)
    cells, failures = {}, []
    threads = [threading.Thread(target=work, args=(cluster, number, faults, cells, failures))
               for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return cells


def said(fault, operation, cell):
    """The outcome as the table has it."""
    return "as told" if cell.outcome == "wrong" else cell.outcome


def test_table(cells, capsys):
    """No cell is empty: what a fault does once / if it lasts."""
    width = 16
    lines = ["", "once / lasting; right: the answer that there is without the fault; "
                 "as told: what the API says and nobody can know better;",
             "(right): no such request can meet the fault", "",
             f"{'fault':18}{'position':9}" + "".join(f"{operation:{width}}" for operation in OPERATIONS)]
    for fault in FAULTS:
        for position in faulttable.POSITIONS:
            line = f"{fault:18}{position:9}"
            for operation in OPERATIONS:
                once, lasting = cells[fault, operation, position]
                text = f"{said(fault, operation, once)}/{said(fault, operation, lasting)}"
                line += f"{text if meets(fault, operation) else f'({text})':{width}}"
            lines.append(line)
    with capsys.disabled():
        print("\n".join(lines))
    assert len(lines) == 5 + len(FAULTS) * len(faulttable.POSITIONS)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(cells, fault):
    """The outcomes are those expected, the fault struck, and nothing was left behind."""
    wrong = []
    for operation in OPERATIONS:
        for position in faulttable.POSITIONS:
            for cell, wanted, how in zip(cells[fault, operation, position], expected(fault, operation, position),
                                         ("once", "lasting")):
                place = f"{operation}, {position}, {how}"
                if said(fault, operation, cell) != wanted:
                    wrong.append(f"{place}: {said(fault, operation, cell)} for {wanted}")
                if (cell.struck > 0) != meets(fault, operation):
                    wrong.append(f"{place}: struck {cell.struck} times")
                wrong += [f"{place}: {each_wrong}" for each_wrong in cell.wrong]
    assert wrong == []
    # catalogs and plans are cached; what statements leave would be here 48 times over
    assert cells[fault, "memory"] < 64 * 1024


# ----- what is tried again, and how -----


def requests(sandbox):
    return [(entry["method"], entry["status"], entry["connection"]) for entry in sandbox.api_requests()]


def used(db):
    return tpmtest.rows(db, "SELECT used_last_hour FROM tpm_fdw_rate_limits WHERE scope = 'credential'")[0][0]


@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_dead_pooled_connection(tpm, sandbox, fault):
    """A GET on a connection that died in the pool is repeated once, at once, in a slot of its own."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_retries '1')")
    tpmtest.rows(tpm, "SELECT id FROM users WHERE id = '1'")
    sandbox.fault(fault, warm=True)
    before, sent = used(tpm), len(requests(sandbox))
    assert tpmtest.rows(tpm, "SELECT id FROM users WHERE id = '1'") == [("1",)]
    (first, second) = requests(sandbox)[sent:]
    assert (first[1], second[1]) == (None, 200) and first[2] != second[2]
    assert used(tpm) == before + 2


@pytest.mark.parametrize("match", ["GET /v1/users", "POST /oauth/token"])
@pytest.mark.parametrize("value", [3600, 86400])
def test_pause_that_is_too_long(tpm, sandbox, match, value):
    """503 with a Retry-After beyond what all tries may take together: the error comes at once and says so."""
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_tokens()")
    sandbox.fault("status:503", match=match, retry_after=value)
    started = time.monotonic()
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(tpm, "SELECT id FROM users WHERE id = '1'")
    assert time.monotonic() - started < 5 * tpmtest.SLACK
    assert caught.value.pgcode == "HV00L"
    if match.startswith("GET"):
        assert "3600 seconds" in caught.value.diag.message_hint
    sandbox.reset()
    assert tpmtest.rows(tpm, "SELECT id FROM users WHERE id = '1'") == [("1",)]


def test_413_halves_the_page(tpm, sandbox):
    """A page that is too large halves, and the list begins again; no row is lost or doubled."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '80', ADD fetch_concurrency '1')")
    truth = {item["id"] for item in sandbox.dump("third_parties")}
    sandbox.fault("status:413", match="GET /v1/third_parties", count=2, skip=2)
    ids = [row for row, in tpmtest.rows(tpm, "SELECT id FROM third_parties")]
    assert len(ids) == len(truth) and set(ids) == truth
    asked = [entry["query"] for entry in sandbox.api_requests()]
    sizes = [int(query.split("page%5Bsize%5D=")[1].split("&")[0]) if "page%5Bsize%5D=" in query else None
             for query in asked]
    assert sizes[:5] == [80, 80, 80, 40, 20] or sizes[3:5] == [40, 20], asked
    assert sizes[-1] in (20, None)


def test_total_that_shrinks(tpm, sandbox):
    """A row that goes away while the list is read moves others past the cursor: it is read again."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '50', ADD fetch_concurrency '1')")
    sandbox.fault("hide_inactive", match="GET /v1/third_parties", count=1)
    truth = {item["id"] for item in sandbox.dump("third_parties")}
    sandbox.reset()
    sandbox.fault("hide_inactive", match="GET /v1/third_parties", count=1, skip=3)
    ids = [row for row, in tpmtest.rows(tpm, "SELECT id FROM third_parties")]
    assert len(ids) == len(set(ids)) and set(ids) == truth
