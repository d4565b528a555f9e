"""A list that a statement left is gone on with by the next one, and is as right as one that was read in one go."""

import json
import os
import signal
import subprocess
import threading
import time
from urllib.parse import parse_qsl, urlsplit

import hostile
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

PAGE = 10
PAGES = 25
LEFT_AT = 17
NUMBER = {"pagination": "number"}
OFFSET = {"pagination": "offset", "page_parameters": "page[limit],page[offset]"}
# the link of an API that cuts its pages by place, and of one that knows the row it has come to
LINKS, CURSOR = {}, {}
STYLES = {"number": NUMBER, "offset": OFFSET, "links": LINKS, "cursor": CURSOR}
COMPUTED = ("number", "offset")
ALL = "SELECT id FROM things"


class Api:
    """A list that changes when it is told to, and stops before a page until it is let go on."""

    def __init__(self, style, pages=PAGES):
        self.style = style
        self.ids = list(range(1, pages * PAGE + 1))
        self.total = True
        self.stop_at = None
        self.nobody_waits = False
        self.arrived = threading.Event()
        self.may_go = threading.Event()
        self.statuses = {}
        self.longer = {}

    def stop_before(self, page):
        self.stop_at = page
        self.nobody_waits = False
        self.arrived.clear()
        self.may_go.clear()

    def first_of(self, asked, ids):
        """Where the page begins that is asked for."""
        if self.style == "number":
            return (int(asked.get("page[number]", 1)) - 1) * PAGE
        if self.style == "cursor":
            return sum(1 for number in ids if number <= int(asked.get("after", 0)))
        return int(asked.get("page[offset]" if self.style == "offset" else "from", 0))

    def __call__(self, request):
        asked = dict(parse_qsl(urlsplit(request.target).query))
        if request.method == "POST":
            self.ids.append(max(self.ids) + 1)
            return hostile.answer(json.dumps({"data": self.resource(self.ids[-1])}), 201)
        kind = asked.get("filter[kind]", "")
        ids = [number for number in self.ids if kind in ("", self.kind(number))]
        first = self.first_of(asked, ids)
        page = first // PAGE + 1
        if page == self.stop_at:
            self.stop_at = None
            self.arrived.set()
            self.may_go.wait(60)
            if self.nobody_waits:
                return hostile.document([])
        if page in self.statuses:
            return hostile.answer("{}", self.statuses.pop(page))
        members = {"meta": {"total": len(ids)}} if self.total else {}
        if self.style in ("links", "cursor"):
            there = ids[first:first + PAGE]
            after = f"from={first + PAGE}" if self.style == "links" else f"after={there[-1] if there else 0}"
            link = f"/v1/things?{after}&filter[kind]={kind}{self.longer.get(page, '')}"
            members["links"] = {"next": link if first + PAGE < len(ids) else None}
        return hostile.document([self.resource(number) for number in ids[first:first + PAGE]], **members)

    @staticmethod
    def kind(number):
        return "a" if number % 2 else "b"

    def resource(self, number):
        return hostile.resource(number, state=f"s{number}", kind=self.kind(number))


class World:
    """A database with the table, the API behind it, and what it was asked."""

    def __init__(self, cluster, db, style, concurrency=1, pages=PAGES):
        self.cluster, self.db, self.style = cluster, db, style
        self.server = hostile.Hostile()
        self.api = self.server.answers["/v1/things"] = Api(style, pages)
        options = {"base_url": self.server.base_url, "auth": "none", "page_size": PAGE, "total_pointer": "/meta/total",
                   "fetch_concurrency": concurrency, **STYLES[style], **tpmtest.GENEROUS}
        rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})")
        rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm")
        rows(db, """CREATE FOREIGN TABLE things (id bigint OPTIONS (sortable 'true') NOT NULL, state text,
                    kind text OPTIONS (filter 'kind')) SERVER tpm
                    OPTIONS (resource '/things', type 'things', ops 'read,create', updatable 'true', cache_ttl '1h')""")

    def connect(self, settings=""):
        connection = self.cluster.connect(self.db.info.dbname)
        if settings:
            rows(connection, settings)
        return connection

    def asked(self):
        return len(self.server.paths())

    def leave(self, how, statement=ALL, at=LEFT_AT):
        """A session asks, and ends while the API has not answered for page `at`."""
        self.api.stop_before(at)
        how(self, statement)
        self.api.nobody_waits = True
        tpmtest.wait_until(lambda: rows(self.db, "SELECT count(*) FROM tpm_fdw_progress") == [(0,)], message="nobody reads")
        self.api.may_go.set()
        self.server.requests.clear()

    def answer(self, connection=None, statement=ALL):
        """What comes, and how many requests it took."""
        before = self.asked()
        return sorted(number for number, *_ in rows(connection or self.db, statement)), self.asked() - before

    def left(self):
        return rows(self.db, "SELECT complete, rows, requests FROM tpm_fdw_cache WHERE database = current_database()"
                             " AND conditions IS NOT NULL AND NOT complete")


def begin(world, statement, settings=""):
    """A session that has come to the page where the API stops."""
    connection = world.connect(settings)
    thread, result = tpmtest.in_thread(lambda: rows(connection, statement))
    assert world.api.arrived.wait(60)
    return connection, thread, result


def cancel(world, statement):
    connection, thread, result = begin(world, statement)
    rows(world.db, f"SELECT pg_cancel_backend({connection.get_backend_pid()})")
    thread.join()
    assert result[0].pgcode == "57014"
    connection.close()


def time_is_up(world, statement):
    connection, thread, result = begin(world, statement, "SET statement_timeout = '1s'")
    thread.join()
    assert result[0].pgcode == "57014"
    connection.close()


def terminate(world, statement):
    connection, thread, result = begin(world, statement)
    rows(world.db, f"SELECT pg_terminate_backend({connection.get_backend_pid()})")
    thread.join()
    assert isinstance(result[0], psycopg2.OperationalError)
    connection.close()


def client_dies(world, statement):
    with subprocess.Popen([tpmtest.bindir() / "psql", "-X", "-q", world.cluster.dsn(world.db.info.dbname)], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, text=True) as psql:
        psql.stdin.write(f"SET client_connection_check_interval = 50; {statement};\n")
        psql.stdin.flush()
        assert world.api.arrived.wait(60)
        os.kill(psql.pid, signal.SIGKILL)


def the_query_fails(world, statement):
    """At a row of the page before."""
    world.api.stop_at = None
    with pytest.raises(psycopg2.errors.DivisionByZero):
        rows(world.db, f"SELECT 1 / (id - {(LEFT_AT - 1) * PAGE - 1}) FROM ({statement}) s")


def the_api_fails(world, statement):
    world.api.stop_at = None
    world.api.statuses[LEFT_AT] = 400
    with pytest.raises(psycopg2.Error, match="400"):
        rows(world.db, statement)


def requests_are_used_up(world, statement):
    """What the list takes is not known, so nothing keeps the statement from beginning."""
    world.api.stop_at = None
    world.api.total = False
    connection = world.connect(f"SET tpm_fdw.max_requests = {LEFT_AT - 1}")
    with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
        rows(connection, statement)
    connection.close()


def a_cursor_is_closed(world, statement):
    world.api.stop_at = None
    rows(world.db, f"BEGIN; DECLARE c CURSOR FOR {statement}; FETCH {(LEFT_AT - 1) * PAGE} FROM c; COMMIT")


WAYS = [cancel, time_is_up, terminate, client_dies, the_query_fails, the_api_fails, a_cursor_is_closed]


@pytest.fixture
def world(request, cluster, db):
    made = World(cluster, db, *getattr(request, "param", ("number",)))
    yield made
    made.server.close()


def styles(*names, concurrency=1):
    return pytest.mark.parametrize("world", [(name, concurrency) for name in names], indirect=True, ids=names)


def to_go_on(world, left_at=LEFT_AT, pages=PAGES):
    """Requests for the rest: where pages are computed the last one is asked for again."""
    return pages - (left_at - 1) + (world.style in COMPUTED)


# ----- ways to leave a list -----


@pytest.mark.parametrize("world, how", [((style, 1), how) for style in STYLES for how in WAYS
                                        if style in ("number", "links") or how == cancel], indirect=["world"])
def test_left_and_gone_on_with(world, how):
    world.leave(how)
    assert world.left() == [(False, (LEFT_AT - 1) * PAGE, LEFT_AT - 1)]
    assert world.answer() == (world.api.ids, to_go_on(world))
    assert world.left() == []
    assert world.answer() == (world.api.ids, 0)


@pytest.mark.parametrize("told, asked", [(True, 1 + PAGES), (False, PAGES - (LEFT_AT - 1) + 2)])
def test_left_without_a_total(world, told, asked):
    """One that tells a total afterwards is another list; one that tells none goes on, to an empty page."""
    world.leave(requests_are_used_up)
    world.api.total = told
    assert world.answer() == (world.api.ids, asked)


@styles(*STYLES, concurrency=8)
def test_pages_side_by_side(world):
    """Those under way when it was left, at most seven, are asked for again."""
    world.leave(cancel)
    kept = world.left()[0][2]
    assert LEFT_AT - 8 <= kept < LEFT_AT
    ids, asked = world.answer()
    # of those that were under way, the API may hear only now
    assert ids == world.api.ids and 0 <= asked - to_go_on(world, kept + 1) <= 7


def test_left_again_and_again(world):
    for at in (5, 9, 10, 20):
        world.leave(cancel, at=at)
        assert world.left() == [(False, (at - 1) * PAGE, at - 1)]
    assert world.answer() == (world.api.ids, to_go_on(world, 20))


@styles(*STYLES)
def test_conditions_have_lists_of_their_own(world):
    # parts of a list whose size is known are not bought for so little
    rows(world.db, f"SET tpm_fdw.cache_ttl = 0; {ALL}; RESET tpm_fdw.cache_ttl")
    statement = f"{ALL} WHERE kind = 'a'"
    world.leave(cancel, statement, at=7)
    odd = [number for number in world.api.ids if number % 2]
    assert world.answer(statement=statement)[0] == odd
    assert world.answer(statement=statement) == (odd, 0)
    answer, sent = world.answer()
    # where what was left could not be gone on with, parts have cost so much that the whole list was read for them
    assert answer == world.api.ids and sent in (0, PAGES)


def test_limit(world):
    """Who stops early leaves a list, too, if it has no order of its own; in an order that is read to no end nothing is kept."""
    rows(world.db, f"SELECT id FROM things LIMIT {3 * PAGE}")
    assert world.left() == [(False, 3 * PAGE, 3)]
    assert world.answer() == (world.api.ids, to_go_on(world, 4))
    rows(world.db, "SELECT tpm_fdw_reset_cache(); SELECT id FROM things ORDER BY id LIMIT 3")
    assert world.left() == []


def test_the_first_rows_again(world):
    """Who wants a page or two asks for them as ever; who wants many goes on with what is there."""
    first = f"SELECT id FROM things LIMIT {PAGE}"
    for _ in range(3):
        assert world.answer(statement=first) == (world.api.ids[:PAGE], 1)
    rows(world.db, "SELECT tpm_fdw_reset_cache()")
    world.leave(cancel)
    assert world.answer(statement=first) == (world.api.ids[:PAGE], 1)
    assert world.answer(statement=f"SELECT id FROM things LIMIT {20 * PAGE}") == (world.api.ids[:20 * PAGE], 20 - (LEFT_AT - 1) + 1)
    assert world.left() == [(False, 20 * PAGE, 20)]


def test_who_accepts_less(world):
    """What a session begins that wants it newer stands in nobody's way who has an answer."""
    assert world.answer()[1] == PAGES
    time.sleep(1.1)
    other = world.connect("SET tpm_fdw.cache_ttl = '1s'")
    rows(other, "SELECT id FROM things LIMIT 5")
    assert len(world.left()) == 1
    assert world.answer() == (world.api.ids, 0)
    other.close()


def test_who_accepts_less_than_what_was_left(world):
    """Too old for one session, and not for those who accept what the one that began it did."""
    world.leave(cancel)
    time.sleep(1.1)
    other = world.connect("SET tpm_fdw.cache_ttl = '1s'")
    rows(other, "SELECT id FROM things LIMIT 5")
    assert world.answer() == (world.api.ids, to_go_on(world))
    other.close()


@styles(*STYLES)
def test_two_at_once(world):
    world.leave(cancel)
    world.api.stop_before(LEFT_AT + 1)
    threads = [tpmtest.in_thread(lambda: rows(world.connect(), ALL)) for _ in range(3)]
    assert world.api.arrived.wait(60)
    world.api.may_go.set()
    for thread, result in threads:
        thread.join()
        assert sorted(number for number, in result[0]) == world.api.ids
    assert world.asked() == to_go_on(world)


def test_one_that_goes_on_is_left(world):
    """Asked whether the list still stands, the API does not answer: it stays for whoever comes next."""
    world.leave(cancel)
    world.leave(cancel, at=LEFT_AT - 1)
    assert world.left() == [(False, (LEFT_AT - 1) * PAGE, LEFT_AT - 1)]
    world.api.statuses[LEFT_AT - 1] = 302
    with pytest.raises(psycopg2.Error, match="302"):
        world.answer()
    assert world.answer() == (world.api.ids, 1 + to_go_on(world) - 1)


def test_what_is_left_is_refused_too(world):
    """Not one request is sent for what cannot be finished, and the pages stay."""
    world.leave(cancel)
    rows(world.db, f"SET tpm_fdw.max_requests = {to_go_on(world) - 1}")
    with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
        world.answer()
    assert world.asked() == 0
    rows(world.db, f"SET tpm_fdw.max_requests = {to_go_on(world)}")
    assert world.answer() == (world.api.ids, to_go_on(world))


def test_with_an_older_answer(world):
    """Read ahead, since an older answer could stand in for it, the list is whole all the same."""
    rows(world.db, "ALTER FOREIGN TABLE things OPTIONS (SET cache_ttl '2s')")
    assert world.answer() == (world.api.ids, PAGES)
    time.sleep(2.1)
    in_front(world.api.ids)
    world.leave(cancel)
    rows(world.db, "SET tpm_fdw.cache_stale = '1h'")
    assert world.answer() == (sorted(world.api.ids), to_go_on(world) + 1)


# ----- what happened in between -----


def in_front(ids):
    ids.insert(0, 1000)


def many_in_front(ids):
    """So that the page behind the link is one that is known."""
    ids[:0] = range(1000, 1000 + PAGE)


def deleted(ids):
    del ids[3]


def deleted_later(ids):
    del ids[-3]


def added(ids):
    ids.append(1000)


def moved(ids):
    ids.append(ids.pop(3))


def last_page_is_another(ids):
    ids[(LEFT_AT - 1) * PAGE - 1] = 1000


def everything(ids):
    ids[:] = range(2000, 2000 + len(ids))


def cleared(ids):
    ids.clear()


@styles(*COMPUTED)
@pytest.mark.parametrize("change", [in_front, deleted, deleted_later, added, moved, last_page_is_another, everything, cleared],
                         ids=lambda change: change.__name__)
def test_changed_in_between(world, change):
    """Other rows on the last page, or another total: the list begins anew, with none of the old rows."""
    world.leave(cancel)
    change(world.api.ids)
    expected = sorted(world.api.ids)
    assert world.answer() == (expected, 1 + max(1, -(-len(expected) // PAGE)))
    assert world.answer() == (expected, 0)


@styles(*STYLES)
def test_changed_where_nobody_has_been(world):
    world.leave(cancel)
    world.api.ids[-1] = 1000
    assert world.answer() == (sorted(world.api.ids), to_go_on(world))


@styles("links")
@pytest.mark.parametrize("change", [in_front, many_in_front, deleted, added, moved], ids=lambda change: change.__name__)
def test_changed_behind_a_link(world, change):
    """A list that changed while it was read: it is read twice, and all that are there throughout are seen, once."""
    world.leave(cancel)
    change(world.api.ids)
    ids, asked = world.answer()
    assert len(ids) == len(set(ids)) and set(ids) >= set(world.api.ids)
    assert asked <= to_go_on(world) + 1 + PAGES + 1
    assert world.answer() == (ids, 0)


@styles("links", "cursor")
@pytest.mark.parametrize("status", [404, 410])
def test_link_that_leads_nowhere(world, status):
    world.leave(cancel)
    deleted(world.api.ids)
    world.api.statuses[LEFT_AT if world.style == "links" else LEFT_AT - 1] = status
    assert world.answer() == (world.api.ids, 1 + PAGES)


@styles("number")
def test_page_that_is_no_more(world):
    world.leave(cancel)
    del world.api.ids[50:]
    world.api.statuses[LEFT_AT - 1] = 404
    assert world.answer() == (world.api.ids, 1 + 5)


@styles(*STYLES)
def test_write_in_between(world):
    """What was read before a write is never served again."""
    world.leave(cancel)
    rows(world.db, "INSERT INTO things (state) VALUES ('new')")
    world.server.requests.clear()
    assert world.answer() == (world.api.ids, PAGES + 1)
    assert world.left() == []


def test_write_while_it_goes_on(world):
    """The first request of the list counts, not the first of whoever goes on with it."""
    world.leave(cancel)
    world.api.stop_before(LEFT_AT + 1)
    connection, thread, _ = begin(world, ALL)
    rows(world.db, "INSERT INTO things (state) VALUES ('new')")
    world.api.may_go.set()
    thread.join()
    connection.close()
    assert world.answer() == (world.api.ids, PAGES + 1)


def test_older_list_completed_later(world):
    """What was begun before a write takes no place of what was begun after it."""
    world.api.stop_before(5)
    older, thread, _ = begin(world, ALL)
    newer = world.connect()
    rows(newer, "INSERT INTO things (state) VALUES ('new')")
    rows(newer, f"BEGIN; DECLARE c CURSOR FOR {ALL}; FETCH {3 * PAGE} FROM c")
    world.api.may_go.set()
    thread.join()
    rows(newer, "FETCH ALL FROM c; COMMIT")
    assert world.answer() == (world.api.ids, 0)
    older.close()
    newer.close()


@pytest.mark.parametrize("statement", [ALL, "SELECT count(*) FROM things"])
def test_who_is_not_patient(world, statement):
    """Whoever fetches it may wait for the hour; who may not is refused, for all that they share the answer."""
    rows(world.db, f"""ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '3'); SET tpm_fdw.leave_free = 0;
                       SET tpm_fdw.cache_ttl = 0; SELECT id FROM things LIMIT {3 * PAGE}; RESET tpm_fdw.cache_ttl""")
    patient = world.connect("SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_requests = 0; SET tpm_fdw.max_wait = -1")
    thread, _ = tpmtest.in_thread(lambda: rows(patient, statement))
    tpmtest.wait_until(lambda: len(world.left()) == 1)
    rows(world.db, "SET tpm_fdw.max_wait = '1s'; SET statement_timeout = '20s'")
    with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded, match="budget"):
        rows(world.db, statement)
    assert len(world.left()) == 1
    rows(world.db, f"SELECT pg_cancel_backend({patient.get_backend_pid()})")
    thread.join()
    patient.close()


def test_age(world):
    """Of the first page: what is left is not gone on with when that is too old, and a list is as old as it."""
    before = rows(world.db, "SELECT clock_timestamp()")[0][0]
    world.leave(cancel)
    after = rows(world.db, "SELECT clock_timestamp()")[0][0]
    assert world.answer()[1] == to_go_on(world)
    assert before <= rows(world.db, "SELECT fetched FROM tpm_fdw_cache WHERE database = current_database() AND complete")[0][0] <= after
    rows(world.db, "SELECT tpm_fdw_reset_cache()")
    world.leave(cancel)
    time.sleep(1.1)
    rows(world.db, "SET tpm_fdw.cache_ttl = '1s'")
    assert world.answer() == (world.api.ids, PAGES)
    assert world.left() == []


def test_without_the_cache(world):
    world.leave(cancel)
    rows(world.db, "SET tpm_fdw.cache_ttl = 0")
    assert world.answer() == (world.api.ids, PAGES)


def test_after_a_crash():
    """PostgreSQL begins with other shared memory: the pages are gone, and nothing else happens."""
    own = tpmtest.Cluster().start()
    db = own.connect()
    rows(db, "CREATE EXTENSION tpm_fdw")
    world = World(own, db, "number")
    world.leave(cancel)
    own.kill9(db.get_backend_pid())
    # a connection made before PostgreSQL has noticed would end as well
    tpmtest.wait_until(lambda: "all server processes terminated; reinitializing" in own.log())
    world.db = tpmtest.wait_until(lambda: connected(own), message="PostgreSQL is back")
    assert world.left() == []
    assert world.answer() == (world.api.ids, PAGES)
    world.server.close()
    own.destroy()


def test_link_that_does_not_fit():
    """A list whose next link finds no room in the cache goes on without it."""
    own = tpmtest.Cluster(**{"tpm_fdw.cache_size": "1MB"}).start()
    db = own.connect()
    rows(db, "CREATE EXTENSION tpm_fdw")
    world = World(own, db, "links")
    world.api.longer[3] = "&long=" + "x" * 600000
    assert world.answer() == (world.api.ids, PAGES)
    world.server.close()
    own.destroy()


def connected(cluster):
    try:
        return cluster.connect()
    except psycopg2.OperationalError:
        return None


def test_a_thousand_pages(cluster, db):
    world = World(cluster, db, "number", 8, pages=1000)
    rows(db, f"ALTER DATABASE {db.info.dbname} SET tpm_fdw.max_requests = 1000; SET tpm_fdw.max_requests = 1000")
    world.leave(cancel, at=705)
    kept = world.left()[0][2]
    ids, asked = world.answer()
    assert ids == world.api.ids
    assert 704 - 7 <= kept <= 704 and 0 <= asked - (1000 - kept + 1) <= 7
    world.server.close()
