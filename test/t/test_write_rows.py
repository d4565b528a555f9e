"""Rows of the write state machine that take more than an answer: what happens before a write leaves and when it is
interrupted, whose row is found after a doubt, and what a late write may not destroy.

test_write_states.py has the answers.
"""

import datetime
import email.utils
import itertools
import json
import re
import select
import socket
import threading
import time

import cells
import hostile
import names
import psycopg2
import pytest
import tpmtest
from acting import Answer, Step
from cells import Cell
from tpmtest import rows

# the cells of test_write_states.py go the same ways under the sanitizers and in the matrix
pytestmark = pytest.mark.long

NUMBERS = itertools.count(1)
DO_NOTHING = "ON CONFLICT DO NOTHING"
BEFORE = "found: created before sending"
EQUAL = "found: equal values"
OTHER = "found: other values"
LONG_MS = 60000


def failing(status=500, **headers):
    return Answer(lambda write: write.stub.bytes(status, **headers))


def lost(acts="never"):
    """A sending that nobody answers."""
    return Step(Answer(None, "reset"), acts)


@pytest.fixture
def make_stage(cluster):
    """Makes stages that go when the test ends."""
    made = []

    def make(on=None, **options):
        made.append(cells.Stage(on or cluster, f"rows{next(NUMBERS)}", dbname="rows", **options))
        return made[-1]
    yield make
    for stage in made:
        stage.close()
    assert [what for stage in made for what in stage.stub.wrong] == []


@pytest.fixture
def stage(make_stage):
    return make_stage()


def agreed(cell):
    """The cell, if the journal, the server and the result agree."""
    assert cell.contradictions() == []
    return cell


def nothing_left(cell):
    """Nothing was sent, and nothing is in the journal."""
    return cell.stub.writes == [] and cell.journal == []


# ----- 1 to 4: it has not left -----


@pytest.mark.parametrize("way", ["keyed", "plain", "put"])
def test_1_budget(stage, way):
    stage.alter(f"SET rate_limit_per_hour '1', ADD rate_limit_group '{stage.name}'")
    rows(stage.db, "SET tpm_fdw.max_wait = '10ms'; SET tpm_fdw.leave_free = 0; SELECT count(*) FROM calm.loose")
    cell = Cell(stage, way).run()
    assert cell.code == "53400" and nothing_left(cell)


@pytest.mark.parametrize("way", ["keyed", "plain", "put"])
def test_1_token(stage, way):
    stage.stub.answers["/oauth/token"] = lambda request: hostile.answer('{"error": "invalid_client"}', 401)
    rows(stage.db, "SELECT tpm_fdw_reset_tokens()")
    cell = Cell(stage, way).run()
    assert cell.code == "28000" and nothing_left(cell)


def switch(cluster, to):
    """tpm_fdw.enabled, as an administrator has it."""
    cluster.configure(tpm_fdw__enabled=to)
    cluster.reload()
    tpmtest.wait_until(lambda: cluster.sql("SHOW tpm_fdw.enabled") == [(to,)])


@pytest.mark.parametrize("way", ["keyed", "plain", "put"])
def test_1_enabled(cluster, stage, way):
    switch(cluster, "read")
    try:
        tpmtest.wait_until(lambda: rows(stage.db, "SHOW tpm_fdw.enabled") == [("read",)])
        cell = Cell(stage, way).run()
        assert cell.code == "55000" and nothing_left(cell)
    finally:
        switch(cluster, "on")


def test_2_no_journal(make_stage):
    """Where no intent can be written nothing is sent; what was sent before stays told."""
    cluster = tpmtest.Cluster()
    where = cluster.datadir / "tpm_fdw"
    where.mkdir()
    user = tpmtest.cluster_user()
    cluster.start_in(f"mount -t tmpfs -o size=16k,mode=700,uid={user.pw_uid},gid={user.pw_gid} tmpfs {where}")
    stage = make_stage(cluster)
    try:
        for number in range(100):
            before = len(stage.stub.writes)
            cell = Cell(stage, ("keyed", "plain", "put", "patch")[number % 4]).run()
            if cell.code is not None:
                break
        assert cell.code == "53100" and len(stage.stub.writes) == before and cell.journal == []
        assert number > 4 and not cell.is_there()
    finally:
        cluster.destroy()


def away(stage, base_url, **options):
    """Tables whose API is somewhere else; no token is asked for there."""
    stage.server("away", base_url=base_url, max_retries=1, **options)


@pytest.mark.parametrize("way", ["keyed", "plain"])
@pytest.mark.parametrize("how", ["refused", "TLS"])
def test_3_no_connection(stage, way, how):
    port = tpmtest.free_port() if how == "refused" else stage.stub.port
    away(stage, f"{'http' if how == 'refused' else 'https'}://127.0.0.1:{port}/v1")
    cell = Cell(stage, way, schema="away").run()
    assert cell.code == "HV00N" and stage.stub.writes == []
    assert cell.entry() == ("refused", 0, "not sent")


@pytest.mark.parametrize("way", ["put", "patch"])
def test_3_no_connection_for_a_put(stage, way):
    """The row can be read on a connection that is open; the write needs one of its own."""
    cell = Cell(stage, way)

    def close(request, answer):
        # what was read last before a PUT is what it is compared with
        if len(stage.stub.looks(cell.address, "id")) == 1:
            stage.stub.leave()
        return answer
    stage.stub.read_answers[cell.address] = close
    stage.alter("SET max_retries '1'")
    cell.run()
    assert cell.code == "HV00N" and stage.stub.writes == [] and not cell.is_there()
    assert cell.entry() == ("refused", 0, "not sent")


def test_3_unknown_name(make_stage):
    resolver = names.Denying()
    cluster = names.Cluster(resolver).start()
    try:
        stage = make_stage(cluster)
        away(stage, "http://nobody.example/v1", allow_http="true")
        cell = Cell(stage, "keyed", schema="away").run()
        assert cell.code == "HV00N" and cell.entry() == ("refused", 0, "not sent")
    finally:
        cluster.destroy()
        resolver.close()


@pytest.mark.parametrize("way", ["keyed", "plain"])
def test_4_cancelled_before_it_left(cluster, stage, way):
    """In a handshake that nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away(stage, f"https://127.0.0.1:{silent.getsockname()[1]}/v1")
        cell = Cell(stage, way, schema="away").begin()
        assert select.select([silent], [], [], 15 * tpmtest.SLACK)[0]
        peer, _ = silent.accept()
        with peer:
            assert peer.recv(1)
            cluster.sql("SELECT pg_cancel_backend(%s)", (cell.pid,))
            cell.ended()
    assert cell.code == "57014" and cell.entry() == ("refused", 0, "not sent")


# ----- 6: nothing is repeated behind our back -----


@pytest.mark.parametrize("way", ["keyed", "plain", "put", "patch"])
def test_6_kept_connection_that_is_closed(stage, way):
    """Connections are open from reading; the API closes whichever brings a write, when it has read it."""
    rows(stage.db, "SELECT count(*) FROM calm.loose")
    cell = Cell(stage, way, [Step(Answer(None, "close"), "before")]).run()
    arrived = [request for request in stage.stub.requests if request.method not in ("GET",)
               and not request.target.startswith("/oauth")]
    assert len(arrived) == 1
    agreed(cell)


# ----- 11: cancelled or terminated, in flight or in a pause after a doubt -----

ENDS = {"cancel": "57014", "timeout": "57014", "terminate": "57P01"}


# without a key there is no look to wait for
@pytest.mark.parametrize("way, place", [
    *itertools.product(("keyed", "plain", "put", "patch"), ("in flight",)),
    *itertools.product(("keyed", "put", "patch"), ("before the second look",))])
@pytest.mark.parametrize("how", ENDS)
def test_11_interrupted(cluster, make_stage, way, how, place):
    in_flight = place == "in flight"
    stage = make_stage(settle=LONG_MS)
    cell = Cell(stage, way, [Step(Answer(None, "hang") if in_flight else failing(), "never")])
    if how == "timeout":
        stage.settings["statement_timeout"] = f"{int(1000 * tpmtest.SLACK)}ms"
    logged = len(cluster.log())
    cell.begin()
    tpmtest.wait_until(lambda: stage.stub.sendings(cell.address) if in_flight else cell.looks())
    if how != "timeout":
        function = "pg_cancel_backend" if how == "cancel" else "pg_terminate_backend"
        cluster.sql(f"SELECT {function}(%s)", (cell.pid,))
    cell.ended()
    assert cell.code in (ENDS[how], "lost") and len(cell.sendings) == 1
    assert cell.entry()[:2] == ("unknown", 1)
    # who is terminated is told by the log alone, and there at level LOG
    if how == "terminate":
        tpmtest.wait_until(lambda: "Doubtful: " in cluster.log()[logged:])
    told = cluster.log()[logged:] if how == "terminate" else cell.notices
    assert (how == "terminate" or "WARNING" in told) and "outcome of 1 write" in told
    (doubtful,) = [line for line in told.split("\n") if "Doubtful: " in line]
    assert cell.address in doubtful


# ----- doubt sticks: what stops the next sending does not make it a refusal -----


@pytest.mark.parametrize("way", ["keyed", "put", "patch"])
def test_enabled_between_two_sendings(cluster, make_stage, way):
    stage = make_stage(settle=int(2000 * tpmtest.SLACK))
    cell = Cell(stage, way, [Step(failing(), "never")]).begin()
    try:
        tpmtest.wait_until(cell.looks)
        switch(cluster, "read")
        cell.ended()
    finally:
        switch(cluster, "on")
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)
    agreed(cell)


@pytest.mark.parametrize("way", ["keyed", "put", "patch"])
def test_budget_between_two_sendings(stage, way):
    """The hour's budget ends at each place in turn: before anything is sent, or in doubt, or not at all."""
    codes = []
    rows(stage.db, "SET tpm_fdw.max_wait = '10ms'; SET tpm_fdw.leave_free = 0")
    stage.alter(f"ADD rate_limit_group '{stage.name}'")
    for limit in range(1, 9):
        stage.alter(f"SET rate_limit_per_hour '{limit}'")
        rows(stage.db, "SELECT tpm_fdw_reset_rate_limits()")
        cell = Cell(stage, way, [Step(failing(), "never")]).run()
        codes.append(cell.code)
        if cell.code == "53400":
            assert cell.sendings == [] and cell.journal == []
        elif cell.code == "08007":
            assert cell.entry()[:2] == ("unknown", 1)
            agreed(cell)
        else:
            assert cell.code is None and cell.entry() == ("sent", 2, "answer")
            agreed(cell)
    assert sorted(codes, key=["53400", "08007", None].index) == codes and {"08007", None} <= set(codes), codes


@pytest.mark.parametrize("way", ["keyed", "put", "patch"])
def test_no_connection_after_a_doubt(stage, way):
    """3 after 5: nobody can be asked any more."""
    def gone(write):
        stage.stub.leave()
    # what has been kept open by reading is closed as it is used
    cell = Cell(stage, way, [Step(Answer(None, "reset"), gone)])
    stage.stub.read_answers[cell.address] = lambda request, answer: (
        Answer(None, "close") if stage.stub.sendings(cell.address) else answer)
    stage.alter("SET max_retries '1'")
    cell.run()
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)
    agreed(cell)


# ----- 12 to 16: what RETURNING shows -----


@pytest.mark.parametrize("status, located", [(201, False), (201, True), (202, False)])
def test_12_to_14_returning(stage, status, located):
    def make(write):
        if not located and status == 201:
            return write.stub.honest(201, {"data": write.stub.shown(write.thing)}).make(write)
        return write.stub.bytes(status, Location=f"/v1/things/{write.thing.id}" if located else None)
    cell = agreed(Cell(stage, "keyed", [Step(Answer(make))], more="RETURNING id, name").run())
    (thing,) = stage.stub.with_code(cell.key)
    ((number, name),) = cell.returned
    assert name == cell.key and number == (None if status == 202 else thing.id)
    assert cell.entry() == ("sent", 1, "accepted" if status == 202 else "answer")
    assert ("WARNING" in cell.notices) == (status == 202)


@pytest.mark.parametrize("table", ["keyed", "plain"])
def test_13_id_of_the_client(stage, table):
    """204 to a POST with an id of ours is enough."""
    key = stage.key()
    stage.stub.plan(key, Step(failing(204)))
    assert rows(stage.db, f"INSERT INTO calm.{table} (id, code, name) VALUES (%s, %s, %s) RETURNING id",
                ("mine-" + key, key, key)) == [("mine-" + key,)]
    (entry,) = stage.journal(key)
    assert entry[:4] == ("sent", 204, 1, "answer") and entry.id == "mine-" + key
    assert [thing.id for thing in stage.stub.with_code(key)] == ["mine-" + key]


def test_12_another_id_than_the_client_s(stage):
    """That answer is no success; a look decides."""
    key = stage.key()
    stage.stub.plan(key, Step(Answer(lambda write: write.stub.honest(
        201, {"data": {**write.stub.shown(write.thing), "id": "77"}}).make(write))))
    rows(stage.db, "INSERT INTO calm.keyed (id, code, name) VALUES (%s, %s, %s)", ("mine-" + key, key, key))
    (entry,) = stage.journal(key)
    assert entry[:4] == ("sent", 201, 1, EQUAL) and entry.id == "mine-" + key


@pytest.mark.parametrize("way", ["keyed", "plain"])
def test_12_what_the_database_cannot_spell(cluster, way):
    """A value of the answer that has no place in LATIN1 is no doubt about whose answer it is."""
    name = f"latin_{way}"
    cluster.sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    stage = cells.Stage(cluster, name)

    def euro(write):
        shown = write.stub.shown(write.would_be())
        shown["attributes"]["note"] = "\u20ac"
        return write.stub.bytes(201, json.dumps({"data": shown}, ensure_ascii=False).encode())
    try:
        cell = agreed(Cell(stage, way, [Step(Answer(euro))]).run())
        assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 1, "answer") and cell.looks() == 0
    finally:
        stage.close()


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_16_changed_by_the_api(stage, way):
    """The API has made something else of it: that is said."""
    def spell(write):
        write.stub._act(write)
        write.thing.attributes["name"] = write.thing.attributes["name"].upper()
    cell = Cell(stage, way, [Step(Answer(lambda write: write.stub.honest(
        200, {"data": write.stub.shown(write.thing)}).make(write)), spell)]).run()
    assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 1, "answer")
    assert "WARNING" in cell.notices and "name" in cell.notices


# ----- 26, 27: a conflict is looked at -----


@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_26_exists(stage, more):
    cell = Cell(stage, "keyed", more=more)
    stage.stub.add("things", ago=3600, code=cell.key, name="theirs")
    cell.run()
    assert (cell.code, cell.count) == ((None, 0) if more else ("23505", None))
    assert cell.entry()[:2] == ("refused", 1) and len(stage.stub.with_code(cell.key)) == 1
    assert cell.looks() >= 1
    agreed(cell)


@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_26_does_not_exist(stage, more):
    """JSON:API prescribes 409 for a wrong type, too."""
    cell = agreed(Cell(stage, "keyed", [Step(failing(409), "never")], more=more).run())
    assert (cell.code, cell.count) == ("HV00L", None) and cell.entry()[:2] == ("refused", 1)


def test_26_without_a_key(stage):
    """Nobody can look: what was not shown to exist is not skipped in silence."""
    cell = agreed(Cell(stage, "plain", [Step(failing(409), "never")], more=DO_NOTHING).run())
    assert cell.code in ("HV00L", "23505") and cell.entry()[:2] == ("refused", 1)


@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_26_a_look_that_fails(stage, more):
    """The refusal is certain, the reason is not: nothing is skipped."""
    cell = Cell(stage, "keyed", [Step(failing(409), "never")], more=more)
    stage.stub.read_answers[cell.key] = lambda request, answer: failing(500)
    cell.run()
    # it is the refusal's error, or the look's
    assert cell.code in ("HV00L", "HV00N", "23505") and cell.entry()[:2] == ("refused", 1)
    agreed(cell)


def many(stage, existing, refuse, more):
    """5 rows in one statement; their codes, the number of rows or the SQLSTATE, and {code: journal}."""
    codes = [stage.key() for _ in range(5)]
    for code in codes[:existing]:
        stage.stub.add("things", ago=3600, code=code, name="theirs")
    for code in codes if refuse else ():
        stage.stub.plan(code, Step(failing(409), "never"))
    try:
        with stage.db.cursor() as cursor:
            cursor.execute(f"INSERT INTO calm.keyed (code, name) SELECT n, n FROM unnest(%s) n {more}", (codes,))
            result = cursor.rowcount
    except psycopg2.Error as error:
        result = error.pgcode
    return codes, result, {code: entry.outcome for code in codes for entry in stage.journal(code)}


def test_26_five_of_a_wrong_type(stage):
    codes, result, outcomes = many(stage, 0, True, DO_NOTHING)
    assert result == "HV00L" and outcomes and set(outcomes.values()) == {"refused"}
    assert not any(map(stage.stub.with_code, codes))


def test_26_three_of_five_exist(stage):
    codes, result, outcomes = many(stage, 3, False, DO_NOTHING)
    assert result == 2 and [outcomes[code] for code in codes] == ["refused"] * 3 + ["sent"] * 2
    assert all(len(stage.stub.with_code(code)) == 1 for code in codes)


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_26_conflict_codes(stage, exists, more):
    """A status and a code that mean the same; they go before the other rows."""
    stage.alter("ADD conflict_codes '409,422:taken'")
    body = b'{"errors": [{"status": "422", "code": "taken", "title": "code is taken"}]}'
    cell = Cell(stage, "keyed", [Step(Answer(lambda write: write.stub.bytes(422, body)), "never")], more=more)
    if exists:
        stage.stub.add("things", ago=3600, code=cell.key, name="theirs")
    cell.run()
    if exists:
        assert (cell.code, cell.count) == ((None, 0) if more else ("23505", None))
    else:
        # "a plain refusal": of a 422, or of a conflict
        assert cell.code in ("22023", "HV00L")
    assert cell.entry()[:2] == ("refused", 1)


def test_32_unacted_statuses(stage):
    """What proves that nothing was done needs no look."""
    stage.alter("ADD unacted_statuses '429,503'")
    for way in cells.WAYS:
        cell = agreed(Cell(stage, way, [Step(failing(503), "never")]).run())
        assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 2, "answer")
        assert cell.looks() == 0, way


@pytest.mark.parametrize("way", ["keyed", "plain", "put"])
def test_32_without_retries(stage, way):
    """What 429 is waited for is bounded by max_wait, not by max_retries."""
    stage.alter("SET max_retries '0'")
    cell = agreed(Cell(stage, way, [Step(failing(429), "never")] * 2).run())
    assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 3, "answer")


def test_32_after_a_doubt(stage):
    """So it does for the last sending after a doubt."""
    cell = agreed(Cell(stage, "keyed", [lost()] * 2 + [Step(failing(429), "never")]).run())
    assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 4, "answer")


@pytest.mark.parametrize("way", ["keyed", "put"])
def test_32_cancelled_in_its_pause(cluster, stage, way):
    """What answers have refused, and nobody has sent again, is refused; they are how that is known."""
    cell = Cell(stage, way, [Step(failing(429, Retry_After="600"), "never")])
    rows(stage.db, "SELECT tpm_fdw_reset_rate_limits()")
    stage.settings["tpm_fdw.max_wait"] = "-1"
    cell.begin()
    tpmtest.wait_until(lambda: rows(stage.db, "SELECT 1 FROM tpm_fdw_requests WHERE status = 429 AND server = %s",
                                    (f"{stage.name}_calm",)))
    cluster.sql("SELECT pg_cancel_backend(%s)", (cell.pid,))
    cell.ended()
    assert cell.code == "57014" and cell.entry() == ("refused", 1, "answer") and "WARNING" not in cell.notices


@pytest.mark.parametrize("way, name, evidence", [("keyed", "theirs", OTHER), ("stamped", "theirs", OTHER),
                                                 ("keyed", None, EQUAL)])
@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_27_somebody_was_faster(stage, way, name, evidence, more):
    """Created between our two sendings, by whom we cannot know: a conflict is no success of ours, and no skip."""
    cell = Cell(stage, way, more=more)
    stage.stub.plan(cell.key, Step(failing(), "never"), Step(None, lambda write: stage.stub.add(
        "things", code=cell.key, name=name or cell.key, size=1.5, extra={"a": 2, "b": [1]})))
    cell.run()
    if name:
        assert (cell.code, cell.count, *cell.entry()) == ("08007", None, "unknown", 2, evidence)
    else:
        assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 2, evidence)
    assert len(stage.stub.with_code(cell.key)) == 1


# ----- 29: changed in between -----


@pytest.mark.parametrize("wrote", [False, True])
def test_29_changed_in_between(stage, wrote):
    """40001 is for whom may repeat the transaction: it has sent nothing that was done."""
    cell = Cell(stage, "put")
    stage.stub.plan(cell.address, Step(None, edit(cell, size=5)))
    stage.db.autocommit = False
    try:
        if wrote:
            rows(stage.db, "INSERT INTO calm.plain (code, name) VALUES ('before', 'before')")
        cell.execute()
    finally:
        stage.db.rollback()
        stage.db.autocommit = True
    cell.conclude()
    # whether the refused PUT is itself a write that was sent, the page does not say
    assert cell.code == "HV00L" if wrote else cell.code in ("40001", "HV00L")
    assert cell.entry()[:2] == ("refused", 1) and not cell.is_there() and len(cell.sendings) == 1


# ----- 35: whose row is it? -----


# table, whether a row of the key is there before, as what; what comes of it
@pytest.mark.parametrize("table, ago, equal, code, outcome, evidence", [
    # created_at earlier: it was there before, whatever it holds
    ("stamped", 3600, True, "23505", "refused", BEFORE),
    ("stamped", 3600, False, "23505", "refused", BEFORE),
    ("stamped", 10, True, "23505", "refused", BEFORE),
    # at or after the sending less 2 s
    ("stamped", 0, True, None, "sent", "found: created after sending"),
    # not shown to be earlier
    ("stamped", 0, False, "08007", "unknown", OTHER),
    # no time, no look before
    ("keyed", 3600, True, None, "sent", EQUAL),
    ("keyed", 3600, False, "08007", "unknown", OTHER),
    # a look before has found none
    ("looked", 0, True, None, "sent", "found: absent before"),
    ("looked", 0, False, "08007", "unknown", OTHER),
])
@pytest.mark.parametrize("more", ["", DO_NOTHING])
@pytest.mark.parametrize("skew", [-7200, 7200])
def test_35_whose_row(make_stage, table, ago, equal, code, outcome, evidence, more, skew):
    """By the API's own clock, which is not ours."""
    stage = make_stage(skew=skew)
    cell = Cell(stage, table, more=more)

    def theirs(write=None):
        stage.stub.add("things", ago=ago, code=cell.key, name=cell.key if equal else "theirs", size=1.5,
                       extra={"a": 2, "b": [1]})
    # what is new comes while ours is under way
    if ago:
        theirs()
    stage.stub.plan(cell.key, Step(failing(), "never" if ago else theirs))
    cell.run()
    if code == "23505" and more:
        assert (cell.code, cell.count) == (None, 0)
    else:
        assert (cell.code, cell.count) == (code, None if code else 1)
    assert cell.entry() == (outcome, 1, evidence)
    (thing,) = stage.stub.with_code(cell.key)
    if outcome == "sent":
        assert cell.journal[0].id == thing.id
    if code == "08007":
        text = " ".join(filter(None, (str(cell.error), cell.error.diag.message_detail)))
        assert f'"{thing.id}"' in text and "name" in text and "size" not in text, text


def test_35_a_gateway_has_a_clock_of_its_own(stage):
    """What time it is at the API is not told by whoever answers in its place."""
    answered = threading.Event()

    def ahead(write):
        date = email.utils.format_datetime(write.stub.now() + datetime.timedelta(hours=1), usegmt=True)
        yield re.sub(rb"Date: [^\r]*", b"Date: " + date.encode(), write.stub.bytes(503, Retry_After="2"))
        answered.set()

    def without_date(write):
        answered.wait(60)
        body = json.dumps({"data": write.stub.shown(write.thing)}).encode()
        return re.sub(rb"Date: [^\r]*\r\n", b"", write.stub.bytes(201, body))

    stage.alter("ADD fetch_concurrency '2'")
    codes = [stage.key() for _ in range(3)]
    for code, answer in zip(codes, (Answer(ahead), Answer(without_date), failing())):
        stage.stub.plan(code, Step(answer))
    with stage.db.cursor() as cursor:
        cursor.execute("INSERT INTO calm.stamped (code, name) SELECT n, n FROM unnest(%s) n " + DO_NOTHING, (codes,))
        assert cursor.rowcount == 3
    assert [stage.journal(code)[0].outcome for code in codes] == ["sent"] * 3


def test_35_the_same_key_in_another_list(stage):
    """Keys of one parent are not those of another."""
    rows(stage.db, "CREATE FOREIGN TABLE calm.parted (id text, kind text, code text OPTIONS (natural_key 'true',"
                   f" filter 'code'), name text) SERVER {stage.name}_calm OPTIONS (resource '/{{kind}}', type 'notes')")
    stage.alter("ADD fetch_concurrency '1'")
    key, shown = stage.key(), stage.stub.shown
    stage.stub.shown = lambda thing, fields=None: {**shown(thing, fields), "type": "notes"}
    stage.stub.plan(key, Step(), Step(failing()))
    # the list lags behind
    empty = iter([stage.stub.honest(200, {"data": []})])
    stage.stub.read_answers[key] = lambda request, answer: next(empty, answer)
    rows(stage.db, "INSERT INTO calm.parted (kind, code, name) VALUES ('loose', %s, %s), ('notes', %s, %s)",
         (key, key) * 2)
    assert [(entry.outcome, entry.evidence) for entry in stage.journal(key)] == [("sent", "answer"), ("sent", EQUAL)]
    # in that list are none of its type
    assert stage.stub.wrong == ["POST /v1/loose: type"]
    del stage.stub.wrong[:]


def test_35_no_time_on_the_row(stage):
    """A created_at that is null decides nothing."""
    cell = Cell(stage, "stamped", [Step(failing())])
    stage.stub.read_answers[cell.key] = lambda request, answer: Answer(lambda write: stage.stub.honest(
        200, {"data": [{**each, "attributes": {**each["attributes"], "created_at": None}}
                       for each in map(stage.stub.shown, stage.stub.with_code(cell.key))]}).make(None))
    assert agreed(cell.run()).entry() == ("sent", 1, EQUAL) and cell.code is None


# ----- 36: looks, and when -----


@pytest.mark.parametrize("look", ["500", "HTML", "closed", "two pages"])
def test_36_a_look_that_fails(stage, look):
    def fails(request, answer):
        if look == "two pages":
            others = [stage.stub.shown(stage.stub.add("notes", code="other"))]
            document = {"data": [{**each, "type": "things"} for each in others],
                        "links": {"next": f"{stage.stub.base_url}/things?page[number]=2"}}
            return stage.stub.honest(200, document)
        return {"500": failing(), "HTML": Answer(lambda write: stage.stub.bytes(200, b"<html>", kind="text/html")),
                "closed": Answer(None, "close")}[look]
    cell = Cell(stage, "keyed", [Step(failing(), "never")])
    stage.stub.read_answers[cell.key] = fails
    cell = agreed(cell.run())
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)


@pytest.mark.parametrize("acts", ["before", "never"])
def test_36_id_of_the_client(stage, acts):
    """What no answer names is looked for by the id that it was sent with."""
    key = stage.key()
    stage.stub.plan(key, Step(failing(503), acts))
    rows(stage.db, "INSERT INTO calm.plain (id, code, name) VALUES (%s, %s, %s)", ("mine-" + key, key, key))
    (entry,) = stage.journal(key)
    assert (entry.outcome, entry.id, entry.sendings) == ("sent", "mine-" + key, 1 if acts == "before" else 2)
    assert [thing.id for thing in stage.stub.with_code(key)] == ["mine-" + key]
    assert {how for _, how in stage.stub.looks("mine-" + key)} == {"id"}


def test_36_id_that_is_no_part_of_a_path(stage):
    """It cannot be looked for: the outcome is unknown, and that is what is said."""
    key = stage.key()
    stage.stub.plan(key, lost("before"))
    with pytest.raises(psycopg2.Error) as error:
        rows(stage.db, "INSERT INTO calm.plain (id, code, name) VALUES ('..', %s, %s)", (key, key))
    assert error.value.pgcode == "08007" and stage.journal(key)[0].outcome == "unknown"


def test_36_not_among_the_rows_of_the_table(stage):
    """A `query` that narrows the list does not hide what has been created."""
    rows(stage.db, "CREATE FOREIGN TABLE calm.narrow (id text, code text OPTIONS (natural_key 'true', filter 'code'),"
                   f" name text) SERVER {stage.name}_calm OPTIONS (resource '/notes', query 'filter[id]=77,78')")
    key = stage.key()
    stage.stub.plan(key, Step(failing(503)))
    rows(stage.db, "INSERT INTO calm.narrow (code, name) VALUES (%s, %s)", (key, key))
    (entry,), (thing,) = stage.journal(key), stage.stub.with_code(key)
    assert (entry.outcome, entry.sendings, entry.evidence, entry.id) == ("sent", 1, EQUAL, thing.id)


def test_36_a_key_that_nobody_can_ask_for(stage):
    """One look would read the whole list."""
    read = len(stage.stub.reads)
    cell = agreed(Cell(stage, "blind", [Step(failing())]).run())
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)
    assert len(stage.stub.reads) == read


@pytest.mark.parametrize("way", ["keyed", "stamped", "put", "loose", "patch"])
@pytest.mark.parametrize("slow", [False, True])
def test_36_37_time_between_looks(make_stage, way, slow):
    """The second look comes max(settle, 2 x slowest answer) after the last sending, and only then the next one."""
    stage = make_stage(settle=200 if slow else 600)

    def late_answer(write):
        # an API that takes its time
        if slow:
            time.sleep(0.3)
        return stage.stub.bytes(500)
    cell = agreed(Cell(stage, way, [Step(Answer(late_answer), "never"), lost()]).run())
    assert cell.entry() == ("sent", 3, "answer")
    times = [write.arrived for write in cell.sendings]
    for begin, end in zip(times, times[1:]):
        looks = [at for at, _ in stage.stub.looks(cell.address) if begin < at < end]
        # a tenth of a second for what it takes to arrive
        assert len(looks) == 2 and looks[1] - begin > 0.5, [look - begin for look in looks]


# ----- 37: what a PUT has done is read back -----


def edit(cell, **attributes):
    """Somebody else's change while ours is under way."""
    return lambda write: cell.stub.edit(cell.thing, **attributes)


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_37_changed_by_somebody_else(stage, way):
    """Ours is not there, and the base is not as it was: nothing is sent again, and the columns are named."""
    cell = Cell(stage, way)
    stage.stub.plan(cell.address, Step(Answer(None, "reset"), edit(cell, name="theirs", size=77)))
    agreed(cell.run())
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)
    text = " ".join(filter(None, (str(cell.error), cell.error.diag.message_detail)))
    assert "name" in text and cell.thing.attributes["size"] == 77


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_37_gone(stage, way):
    """Whether it was changed before it went nobody can tell."""
    def remove(write):
        del stage.stub.things[write.kind, write.id]
    cell = Cell(stage, way, [Step(Answer(None, "reset"), remove)]).run()
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_37_cannot_be_read_back(stage, way):
    cell = Cell(stage, way, [lost()])
    stage.stub.read_answers[cell.address] = lambda request, answer: (
        failing() if stage.stub.sendings(cell.address) else answer)
    agreed(cell.run())
    assert (cell.code, *cell.entry()[:2]) == ("08007", "unknown", 1)


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_37_another_resource_is_read_back(stage, way):
    """It says nothing of the one that was written, whatever its values."""
    cell = Cell(stage, way, [Step(failing(), "never")])

    def another(request, answer):
        if not cell.stub.sendings(cell.address):
            return answer
        return cell.stub.honest(200, {"data": {**cell.stub.shown(cell.thing), "id": "77", "attributes": {
            **cell.stub.shown(cell.thing)["attributes"], "name": cell.key}}})
    cell.stub.read_answers[cell.thing.id] = another
    cell = agreed(cell.run())
    assert cell.code == "08007" and "another resource" in str(cell.error) and cell.entry()[:2] == ("unknown", 1)


def test_37_new_etag(stage):
    """The resource is as it was, its ETag is not: the repeat carries the new one."""
    cell = Cell(stage, "put")
    stage.stub.plan(cell.address, Step(Answer(None, "reset"), edit(cell)))
    agreed(cell.run())
    assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 2, "answer")
    first, second = (write.headers["if-match"] for write in cell.sendings)
    assert first != second


# ----- 38: a resource with a doubt rests -----


class Other(Cell):
    """Another session that changes another column of the same resource."""

    def statement(self):
        return f"UPDATE calm.{self.way} SET size = 7, extra = %s WHERE id = %s", ('{"by": "the other"}', self.thing.id)


def no_lost_update(stage, first, other):
    """What the other was told is there, beside what came late; or it was told that nothing was done."""
    attributes = first.thing.attributes
    assert attributes["name"] == first.key
    if other.code is None:
        assert other.count == 1 and (attributes["size"], attributes["extra"]) == (7, {"by": "the other"})
    else:
        # what its statement had seen has changed in between
        assert other.code in ("40001", "HV00L") and attributes["size"] == 1
    by_other = [write for write in stage.stub.sendings(first.address) if write.attributes.get("size") == 7]
    assert all(write.arrived - first.sendings[0].arrived > 0.9 * stage.settle / 1000 for write in by_other)


@pytest.mark.parametrize("way", ["put", "loose", "patch"])
def test_38_other_changes_wait(make_stage, way):
    """A PUT that is late by less than the wait, and a second session: nothing is lost."""
    stage = make_stage(settle=int(2000 * tpmtest.SLACK))
    first = Cell(stage, way, [lost("end")]).begin()
    tpmtest.wait_until(first.looks)
    other = Other(stage, way, thing=first.thing).begin()
    tpmtest.wait_until(lambda: in_a_wait(stage, other))
    assert stage.stub.act_late(first.address, "end") == 1
    other.ended()
    first.ended()
    assert (first.code, first.count, *first.entry()) == (None, 1, "sent", 1, "read back")
    no_lost_update(stage, first, other)


@pytest.mark.parametrize("way", ["loose", "patch"])
def test_38_rests_after_its_writer_has_gone(cluster, make_stage, way):
    """The session that doubts is cancelled; who comes next waits all the same."""
    stage = make_stage(settle=int(2000 * tpmtest.SLACK))
    first = Cell(stage, way, [lost("end")]).begin()
    tpmtest.wait_until(first.looks)
    cluster.sql("SELECT pg_cancel_backend(%s)", (first.pid,))
    first.thread.join(30 * tpmtest.SLACK)
    assert first.code == "57014"
    other = Other(stage, way, thing=first.thing).begin()
    tpmtest.wait_until(lambda: in_a_wait(stage, other))
    assert stage.stub.act_late(first.address, "end") == 1
    other.ended()
    first.ended()
    assert first.entry()[:2] == ("unknown", 1)
    no_lost_update(stage, first, other)


def in_a_wait(stage, cell):
    """Whether that session waits for something of ours, or for nothing any more."""
    return not cell.thread.is_alive() or rows(
        stage.db, "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Extension'", (cell.pid,))


# ----- 41: a look before the first sending -----


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("more", ["", DO_NOTHING])
def test_41_there_before(stage, equal, more):
    cell = Cell(stage, "looked", more=more)
    stage.stub.add("things", ago=3600, code=cell.key, name=cell.key if equal else "theirs", size=1.5,
                   extra={"a": 2, "b": [1]})
    cell.run()
    assert (cell.code, cell.count) == ((None, 0) if more else ("23505", None))
    assert cell.sendings == [] and cell.entry() == ("refused", 0, BEFORE)


def test_41_not_there_before(stage):
    """One look, one sending."""
    cell = agreed(Cell(stage, "looked").run())
    assert (cell.code, cell.count, *cell.entry()) == (None, 1, "sent", 1, "answer")
    assert len(stage.stub.looks(cell.key, "list")) == 1


@pytest.mark.parametrize("n", [1, 12])
def test_26_41_a_table_without_id(stage, n):
    """What a look has shown is left out, with or without an id to tell."""
    rows(stage.db, "CREATE FOREIGN TABLE calm.bare (code text OPTIONS (natural_key 'true', filter 'code'), name text)"
                   f" SERVER {stage.name}_calm OPTIONS (resource '/things')")
    codes = [stage.key() for _ in range(n)]
    stage.stub.add("things", ago=3600, code=codes[0], name="theirs")
    insert = "INSERT INTO calm.bare (code, name) SELECT n, n FROM unnest(%s) n "
    with pytest.raises(psycopg2.errors.UniqueViolation) as error:
        rows(stage.db, insert, (codes,))
    assert "(null)" not in str(error.value)
    with stage.db.cursor() as cursor:
        cursor.execute(insert + DO_NOTHING, (codes,))
        assert cursor.rowcount == n - 1
    assert [len(stage.stub.with_code(code)) for code in codes] == [1] * n


def looking(stage, name, columns="", **options):
    """A table of notes, whose codes need not be unique, with the look before each row."""
    told = ", ".join(f"{option} '{value}'" for option, value in options.items())
    rows(stage.db, f"CREATE FOREIGN TABLE calm.{name} (id text, code text OPTIONS (natural_key 'true', filter 'code'"
                   f", filter_operators '=,in'), name text{columns}) SERVER {stage.name}_calm"
                   f" OPTIONS (insert_check 'look', {told})")


def test_41_after_rows_without_key(stage):
    """A row whose key is NULL does not spare the others their look."""
    looking(stage, "unsure", resource="/notes")
    key = stage.key()
    stage.stub.add("notes", ago=3600, code=key, name="theirs")
    with stage.db.cursor() as cursor:
        cursor.execute("INSERT INTO calm.unsure (code, name) VALUES (NULL, %s), (NULL, %s), (%s, %s) " + DO_NOTHING,
                       (key, key, key, key))
        assert cursor.rowcount == 2
    assert len(stage.stub.with_code(key)) == 1


def test_41_rows_of_several_lists(stage):
    """Each list is looked at."""
    looking(stage, "several", ", kind text", resource="/{kind}", type="notes")
    other, key = stage.key(), stage.key()
    stage.stub.add("notes", ago=3600, code=key, name="theirs")
    stage.stub.plan(other, Step(failing(422), "never"))
    with pytest.raises(psycopg2.Error):
        rows(stage.db, "INSERT INTO calm.several (kind, code, name) VALUES ('loose', %s, %s), ('notes', %s, %s) "
             + DO_NOTHING, (other, other, key, key))
    assert len(stage.stub.sendings(other)) == 1 and stage.stub.sendings(key) == []
    # in that list are none of its type
    assert stage.stub.wrong == ["POST /v1/loose: type"]
    del stage.stub.wrong[:]


# ----- several rows of one statement -----


def test_many_rows_each_with_its_own_story(stage):
    """Each is there once, whatever came of those beside it."""
    plans = [[], [Step(failing())], [Step(failing(), "never")], [lost("look")], [lost()], [lost("again")],
             [Step(failing(503, Retry_After="1"))], [Step(failing(429), "never")]] * 2
    codes = [stage.key() for _ in plans]
    for code, plan in zip(codes, plans):
        stage.stub.plan(code, *plan)
    with stage.db.cursor() as cursor:
        cursor.execute("INSERT INTO calm.keyed (code, name) SELECT n, n FROM unnest(%s) n", (codes,))
        assert cursor.rowcount == len(codes)
    for code in codes:
        (entry,), (thing,), sendings = stage.journal(code), stage.stub.with_code(code), stage.stub.sendings(code)
        assert entry.outcome == "sent" and entry.sendings == len(sendings) and thing.by == entry.request_id, code
        assert entry.evidence in ("answer", EQUAL, "found: absent before") and entry.id == thing.id
    assert stage.stub.wrong == []
