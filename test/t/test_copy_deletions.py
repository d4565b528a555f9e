"""What is gone from the API is gone from a copy, for few requests, and nothing that lives ever is."""

import math
import random

import pytest
import tpmtest
from copying import Api, Copy, differs
from tpmtest import rows

PAGE = 5
RECORDS = 200
PAGES = RECORDS // PAGE
NUMBERED = Api("number", sandbox={"pagination": "number"})
LINKED = Api("links", table={"total_pointer": "/meta/total_count"})
UNORDERED = Api("unordered", sandbox={"pagination": "number"}, id_options="OPTIONS (filter 'id', filter_match 'exact')")
UNFILTERED = Api("unfiltered", sandbox={"pagination": "number"}, id_options="OPTIONS (sortable 'true')")
CURSORS = Api("cursor", sandbox={"pagination": "cursor"}, table={"total_pointer": "/meta/total_count"})
NO_TOTAL = Api("no_total", sandbox={"pagination": "number", "no_total": True}, table={"pagination": "number"})
# pages are cut before they are filtered: those of a filter on ids are as many as the list's
CUT = Api("cut", sandbox={"pagination": "number", "cut": "first"})
WAYS = [NUMBERED, LINKED, UNORDERED, UNFILTERED, CURSORS, NO_TOTAL, CUT]


@pytest.fixture(scope="module")
def cluster():
    with_copies = tpmtest.Cluster().start()
    yield with_copies
    with_copies.destroy()


@pytest.fixture(scope="module")
def sandbox():
    api = tpmtest.Sandbox(records=RECORDS, rate_per_second=0, rate_per_hour=0, seed=3).start()
    yield api
    api.stop()


@pytest.fixture(scope="module")
def db(cluster, sandbox):
    connection = cluster.connect()
    tpmtest.setup_server(connection, sandbox)
    return connection


@pytest.fixture
def filled(db, sandbox):
    """A function that gives a filled copy."""
    def fill(api=NUMBERED, records=None, page=PAGE, **options):
        sandbox.reset(data=True)
        sandbox.settings(**api.sandbox)
        rows(db, "DROP SCHEMA IF EXISTS s CASCADE; DROP SCHEMA IF EXISTS s_copy CASCADE; CREATE SCHEMA s")
        api.create(db, "s", "things", page)
        copy = Copy(db, db, sandbox, api, **options)
        copy.create()
        copy.run()
        assert differs(copy) == []
        return copy
    return fill


def ids_in_order(copy):
    return sorted(copy.ids())


def asked(sandbox, run):
    """The list pages, the filters and the paths that a run has asked for, without the incremental part."""
    before = len(sandbox.api_requests())
    run()
    after = sandbox.api_requests()[before:]
    paths = [entry for entry in after if entry["path"] != "/v1/third_parties"]
    filters = [entry for entry in after if "filter" in entry["query"]]
    pages = [entry for entry in after if entry not in paths and entry not in filters
             and "-updated_at" not in entry["query"]]
    return len(pages), len(filters), len(paths)


def reconciled(copy):
    return asked(copy.sandbox, lambda: copy.run("reconcile"))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_what_is_gone_goes(filled, way, kind):
    copy = filled(way)
    gone = random.Random(5).sample(ids_in_order(copy), 9)
    copy.sandbox.delete("third_parties", *gone)
    copy.run(kind)
    assert differs(copy) == []
    assert copy.says("deleted", "unlisted", "problem") == (9, 0, None)


@pytest.mark.parametrize("way", [NUMBERED, LINKED, NO_TOTAL], ids=lambda way: way.name)
def test_nothing_gone_is_one_request(filled, way):
    assert reconciled(filled(way)) == (1, 0, 0)


def test_numbers_are_an_order(filled, sandbox):
    copy = filled(Api("numbers", sandbox={"pagination": "number", "id_order": "numbers"}))
    numbers = sorted(copy.ids(), key=int)
    sandbox.delete("third_parties", numbers[17], numbers[150])
    pages, filters, paths = reconciled(copy)
    assert differs(copy) == []
    assert pages <= math.ceil(3 + 2 * (1 + math.log2(PAGES / 2)))
    # both by their own path, and one that lives
    assert (filters, paths) == (1, 3)


@pytest.mark.parametrize("places", [1, 3, 20])
def test_places_cost_what_was_promised(filled, sandbox, places):
    copy = filled()
    numbers = ids_in_order(copy)
    drawn = random.Random(places)
    sandbox.delete("third_parties", *[numbers[page * PAGE + drawn.randrange(PAGE)] for page in drawn.sample(range(PAGES), places)])
    pages, _, paths = reconciled(copy)
    assert differs(copy) == []
    assert pages <= min(PAGES + 3, math.ceil(3 + places * (1 + math.log2(PAGES / places))))
    # all by their own path, and one that lives
    assert paths == places + 1


def test_of_many_the_filter_has_the_word(filled, sandbox):
    """Some of all parts of the list are asked by their path, and what the filter says of the rest is enough."""
    copy = filled()
    sandbox.delete("third_parties", *random.Random(1).sample(ids_in_order(copy), 80))
    _, filters, paths = asked(sandbox, lambda: (copy.due("reconcile"), copy.call(accept_deletions=True)))
    assert differs(copy) == []
    assert (filters, paths) == (80 // (PAGE - 1), 20 + 1)


def test_a_hidden_row_among_many_that_are_gone_lives(filled, sandbox):
    """The first that is asked by its path and lives takes the word from the filter."""
    copy = filled()
    numbers = ids_in_order(copy)
    hidden = {item["id"] for item in sandbox.dump("third_parties") if item["attributes"]["status"] == "Inactive"}
    gone = [number for number in numbers if number not in hidden][:60]
    sandbox.delete("third_parties", *gone)
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    for _ in range(3):
        copy.due("reconcile")
        assert copy.call(accept_deletions=True) is None
    assert differs(copy) == []
    assert copy.says("unlisted") == len(hidden)


def test_a_block_is_one_place(filled, sandbox):
    copy = filled()
    numbers = ids_in_order(copy)
    sandbox.delete("third_parties", *numbers[93:143])
    pages, _, _ = asked(sandbox, lambda: (copy.due("reconcile"), copy.call(accept_deletions=True)))
    assert differs(copy) == []
    # the page that was the last, the one that is, and one place among those that are left
    assert pages <= 2 + math.ceil(math.log2(PAGES))


def test_one_that_was_unlisted_means_that_all_are_asked(filled, sandbox):
    copy = filled()
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    copy.run("reconcile")
    sandbox.reset_faults()
    sandbox.settings(**NUMBERED.sandbox)
    copy.run("reconcile")
    numbers = ids_in_order(copy)
    sandbox.delete("third_parties", *numbers[:60])
    _, _, paths = asked(sandbox, lambda: (copy.due("reconcile"), copy.call(accept_deletions=True)))
    assert differs(copy) == []
    assert paths == 60 + 1


@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
@pytest.mark.parametrize("way", [NUMBERED, UNORDERED, CURSORS], ids=lambda way: way.name)
def test_hidden_rows_live(filled, sandbox, way, kind):
    copy = filled(way)
    hidden = [item["id"] for item in sandbox.dump("third_parties") if item["attributes"]["status"] == "Inactive"]
    assert hidden
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    for _ in range(3):
        copy.run(kind)
        assert differs(copy) == []
    assert copy.says("unlisted", "deleted") == (len(hidden), 0)
    sandbox.reset_faults()
    sandbox.settings(**way.sandbox)
    copy.run("sweep")
    assert copy.says("unlisted", "deleted") == (0, 0)


def test_hidden_rows_are_searched_for_once(filled, sandbox):
    copy = filled()
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    copy.run("reconcile")
    copy.run("reconcile")
    # the last page; that they live is asked again
    assert reconciled(copy)[0] == 1


@pytest.mark.parametrize("way", [NUMBERED, UNORDERED, UNFILTERED, CURSORS], ids=lambda way: way.name)
@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_unlisted_rows_go_if_wanted(filled, sandbox, way, kind):
    copy = filled(way, unlisted="remove")
    hidden = {item["id"] for item in sandbox.dump("third_parties") if item["attributes"]["status"] == "Inactive"}
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    copy.run(kind, accept_deletions=True)
    assert copy.ids() == {item["id"] for item in sandbox.dump("third_parties")} - hidden
    assert copy.says("unlisted") == 0


def test_the_limit_is_of_the_run(filled, sandbox):
    """Two steps of one run that each would stay below it."""
    copy = filled()
    numbers = ids_in_order(copy)
    hidden = [item["id"] for item in sandbox.dump("third_parties") if item["attributes"]["status"] == "Inactive"][:15]
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    copy.run("reconcile")
    sandbox.delete("third_parties", *hidden, *[number for number in numbers if number not in hidden][:15])
    copy.due("reconcile")
    assert "30 of 200 rows would be deleted" in str(copy.call())


@pytest.mark.parametrize("fault", ["empty_list", "html_200", "errors_only", "errors_beside_data", "no_data", "garbage",
                                   "status:500", "status:404", "status:410", "zero_total", "page_cap", "unsorted", "ignore_filter",
                                   "empty", "duplicate_row", "move_row"])
@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_a_fault_deletes_nothing(filled, sandbox, fault, kind):
    copy = filled()
    rows(copy.monitor, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    gone, alive = ids_in_order(copy)[77], set(ids_in_order(copy)) - {ids_in_order(copy)[77]}
    sandbox.delete("third_parties", gone)
    sandbox.fault(fault, match="GET /v1/third_parties", value=2)
    copy.due(kind)
    error = copy.call()
    rows(copy.monitor, "ALTER SERVER tpm OPTIONS (DROP max_retries)")
    assert alive <= copy.ids(), error
    assert (error is None) == (copy.says("problem") is None)
    sandbox.reset_faults()
    sandbox.settings(**NUMBERED.sandbox)
    copy.run("sweep")
    assert differs(copy) == []


@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_a_404_to_every_path_is_no_word(filled, sandbox, kind):
    """Rows are hidden from lists, and the API has nothing at the paths that they should have."""
    copy = filled()
    sandbox.fault("hide_inactive", match="GET /v1/third_parties?")
    sandbox.fault("status:404", match="GET /v1/third_parties/")
    copy.due(kind)
    assert "does not say whether" in str(copy.call())
    assert (differs(copy), copy.says("deleted", "unlisted")) == ([], (0, 0))


def test_a_filter_that_is_ignored_has_no_word(filled, sandbox):
    copy = filled()
    numbers = ids_in_order(copy)
    sandbox.delete("third_parties", *numbers[:15])
    sandbox.fault("ignore_filter")
    _, filters, paths = reconciled(copy)
    assert differs(copy) == []
    assert (filters, paths) == (1, 15 + 1)


@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_too_many_are_not_believed(filled, sandbox, kind):
    copy = filled()
    numbers = ids_in_order(copy)
    sandbox.delete("third_parties", *numbers[30:60])
    copy.due(kind)
    error = copy.call()
    assert error.pgcode == "53400" and "30 of 200 rows would be deleted" in str(error)
    assert "accept_deletions => true" in error.diag.message_hint
    assert len(copy.ids()) == 200 and copy.says("state") == "failed"
    # what has changed is seen all the same
    sandbox.edit("third_parties", numbers[70], city="Elsewhere")
    assert "30 of 200 rows would be deleted" in str(copy.call())
    assert copy.held()[numbers[70]][3] == "Elsewhere"
    copy.run(accept_deletions=True)
    assert (differs(copy), copy.says("state")) == ([], "current")


def test_ten_are_never_too_many(filled, sandbox):
    copy = filled()
    sandbox.delete("third_parties", *ids_in_order(copy)[10:])
    copy.run("sweep", accept_deletions=True)
    assert differs(copy) == []
    sandbox.delete("third_parties", *ids_in_order(copy))
    copy.run("reconcile")
    assert copy.ids() == set()


def test_gone_rows_are_marked_and_come_back(filled, sandbox):
    copy = filled(deletions="mark")
    number = ids_in_order(copy)[60]
    sandbox.delete("third_parties", number)
    copy.run("reconcile")
    assert differs(copy) == []
    marked = rows(copy.monitor, "SELECT id FROM s_copy.things WHERE _deleted_at IS NOT NULL")
    assert marked == [(number,)]
    # marked rows count in no rank
    assert reconciled(copy) == (1, 0, 0)


@pytest.mark.parametrize("kind", ["reconcile", "sweep"])
def test_gone_rows_are_kept(filled, sandbox, kind):
    copy = filled(deletions="keep")
    number = ids_in_order(copy)[60]
    sandbox.delete("third_parties", number)
    copy.run(kind)
    assert number in copy.ids() and copy.says("problem", "unlisted", "deleted") == (None, 1, 0)
    copy.run("reconcile")
    # it is looked for once, and what the copy lacks is still found
    assert reconciled(copy) == (1, 0, 0)
    rows(copy.monitor, "BEGIN; SELECT tpm_fdw_alter_copy('s_copy.things', paused => true);"
         f"DELETE FROM s_copy.things WHERE id = '{ids_in_order(copy)[100]}';"
         "SELECT tpm_fdw_alter_copy('s_copy.things', paused => false); COMMIT")
    copy.run("reconcile")
    assert len(copy.ids()) == RECORDS


def test_gone_is_410_as_well(filled, sandbox):
    copy = filled()
    number = ids_in_order(copy)[60]
    sandbox.post("/_sandbox/delete", {"type": "third_parties", "ids": [number], "status": 410})
    copy.run("reconcile")
    assert differs(copy) == []


def test_pages_that_have_become_shorter(filled, sandbox):
    copy = filled()
    sandbox.settings(page_max=3)
    sandbox.delete("third_parties", ids_in_order(copy)[60])
    copy.run("reconcile")
    assert differs(copy) == []
    assert reconciled(copy) == (1, 0, 0)


@pytest.mark.parametrize("way", [NUMBERED, UNORDERED], ids=lambda way: way.name)
@pytest.mark.parametrize("page", [2, PAGES // 2, PAGES])
def test_an_interrupted_sweep_goes_on(filled, sandbox, way, page):
    copy = filled(way)
    numbers = ids_in_order(copy)
    sandbox.delete("third_parties", numbers[3], numbers[100], numbers[-1])
    rows(copy.monitor, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sandbox.fault("status:400", count=1, skip=page - 1, match="GET /v1/third_parties?page" if way is UNORDERED else "GET /v1/third_parties?sort=id")
    copy.due("sweep")
    error = copy.call()
    rows(copy.monitor, "ALTER SERVER tpm OPTIONS (DROP max_retries)")
    assert error is not None
    assert copy.says("phase") == ("sweep" if page > 1 else "idle")
    pages, _, _ = asked(sandbox, copy.run)
    assert differs(copy) == []
    # one page an interruption; what moved is read again
    assert pages <= PAGES - page + 3


def test_an_order_that_we_do_not_know_is_swept(filled, sandbox):
    """Nothing of a copy that was read in no order of its ids is found by rank."""
    copy = filled()
    rows(copy.monitor, "UPDATE tpm_fdw_copy_state SET id_orders = 0")
    sandbox.delete("third_parties", ids_in_order(copy)[60])
    copy.run("reconcile")
    assert differs(copy) == []
