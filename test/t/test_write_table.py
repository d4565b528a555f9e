"""The table of the write state machine, row by row, in the functions alone: no server, no network.

PAGE is written from the specification. Where it leaves a choice, all that it may mean is allowed, and where no row
names an answer a doubt is right and, for a 4xx, a refusal (RFC 9110, 15.5). What a server makes of it is in
test_write_states.py and test_write_rows.py.
"""

import ctypes
import itertools
import re
import subprocess

import pytest
import tpmtest

HEADER = tpmtest.ROOT / "src" / "write" / "write_state.h"
SOURCE = HEADER.with_suffix(".c")
METHODS = ("POST", "PUT", "PATCH")
CHANGES = ("PUT", "PATCH")


class Library:
    """The module alone in a shared object; enumerations and structs are read from its header."""

    def __init__(self, where):
        path = where / "write_state.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{tpmtest.ROOT / 'src'}",
                        f"-I{tpmtest.pg_config('includedir-server')}", "-o", path, SOURCE], check=True)
        self.library = ctypes.CDLL(str(path))
        text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.S)
        self.values, self.names = {}, {}
        for body, name in re.findall(r"typedef enum \w+\s*\{(.*?)\}\s*(\w+);", text, re.S):
            self._enumerate(name, body)
        self.structs = {name: self._struct(name, body)
                        for body, name in re.findall(r"typedef struct \w+\s*\{(.*?)\}\s*(\w+);", text, re.S)}
        for function, result in (("tpm_write_classify", self.structs["TpmWriteVerdict"]),
                                 ("tpm_write_judge_found", self.structs["TpmFoundVerdict"]),
                                 ("tpm_evidence_text", ctypes.c_char_p)):
            getattr(self.library, function).restype = result

    def _enumerate(self, kind, body):
        value = -1
        for name, given in re.findall(r"(\w+)\s*(?:=\s*(\d+))?\s*(?:,|$)", body.strip()):
            value = int(given) if given else value + 1
            self.values[name] = value
            self.names[kind, value] = name

    def _struct(self, name, body):
        plain = {"int": ctypes.c_int, "bool": ctypes.c_bool}
        fields = [(field, plain.get(kind, ctypes.c_int)) for kind, field in re.findall(r"(\w+)\s+(\w+);", body)]
        return type(name, (ctypes.Structure,), {"_fields_": fields})

    def make(self, struct, **fields):
        """A struct; names of enumerators stand for their values."""
        known = {name for name, _ in self.structs[struct]._fields_}
        assert set(fields) <= known, set(fields) - known
        return self.structs[struct](**{name: self.values.get(value, value) if isinstance(value, str) else value
                                       for name, value in fields.items()})

    def classify(self, **facts):
        """(row, letter)"""
        verdict = self.library.tpm_write_classify(ctypes.byref(self.make("TpmWriteFacts", **facts)))
        name = self.names["TpmWriteClass", getattr(verdict, "class")]
        return verdict.row, {"NOT_ACTED": "N", "REFUSED": "R", "ACTED": "A", "DOUBT": "D"}[name[len("TPM_CLASS_"):]]

    def next(self, row, letter, **history):
        """The step's name."""
        word = {"N": "NOT_ACTED", "R": "REFUSED", "A": "ACTED", "D": "DOUBT"}[letter]
        verdict = self.structs["TpmWriteVerdict"](row, self.values["TPM_CLASS_" + word])
        step = self.library.tpm_write_next(ctypes.byref(self.make("TpmWriteHistory", **history)), verdict)
        return self.names["TpmWriteStep", step][len("TPM_STEP_"):]

    def next_look(self, look, **history):
        """The step's name."""
        step = self.library.tpm_write_next_look(ctypes.byref(self.make("TpmWriteHistory", **history)),
                                                self.values["TPM_LOOK_" + look])
        return self.names["TpmWriteStep", step][len("TPM_STEP_"):]

    def judge(self, **facts):
        """(what it is, the words of the journal)"""
        verdict = self.library.tpm_write_judge_found(ctypes.byref(self.make("TpmFoundFacts", **facts)))
        words = self.library.tpm_evidence_text(verdict.evidence)
        return self.names["TpmLookResult", verdict.look][len("TPM_LOOK_"):], words and words.decode()


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return Library(tmp_path_factory.mktemp("write_state"))


# ----- did it act? -----

# what happened without an answer: the rows it may be, and the class
EVENTS = {
    "NOT_ADMITTED": ({1}, "N"), "NOT_JOURNALLED": ({2}, "N"), "NOT_CONNECTED": ({3}, "N"),
    "CANCELLED_BEFORE": ({4}, "N"),
    # a reset of the connection and of a stream are one event here
    "LOST": ({5, 7, 8}, "D"), "REPEATED": ({6}, "D"), "UNREADABLE": ({10}, "D"), "CANCELLED": ({11}, "D"),
    # no intent: nothing was sent; an intent only: a doubt
    "CRASHED_BEFORE": ({39}, "N"), "CRASHED": ({39}, "D"),
    # nothing is sent
    "RESTORED": ({40}, "N"),
}

PLAIN_REFUSALS = (400, 402, 405, 406, 411, 414, 415, 417, 422, 423, 424, 426, 428, 431, 451, 501, 505)


def success(method, status, shape, located, given):
    """12 to 17; the rows that may be meant."""
    if status == 202:
        return [(14, "A")]
    if status == 204:
        # it has no body, whatever the facts say of one
        shape = "EMPTY"
    if method == "POST":
        if status in (200, 201) and shape == "RESOURCE":
            return [(12, "A")]
        # "without body but Location" is said of 201
        if shape == "EMPTY" and (status == 201 and located or status == 204 and given):
            return [(13, "A")]
        doubt = [(15, "D")]
        # 203, 206 and the like with the right document, 204 with a Location: neither 12, 13 nor 15 has them
        if shape == "RESOURCE":
            return doubt + [(12, "A")]
        if shape == "EMPTY" and located:
            return doubt + [(13, "A")]
        # an id of ours and an empty 201 or 200: "empty without Location"
        return doubt
    if status == 200 and shape in ("RESOURCE", "META") or status == 204 and shape == "EMPTY":
        return [(16, "A")]
    doubt = [(17, "D")]
    # 201 and others with our id, or with nothing: 16 and 17 have 200 and 204 only
    if shape == "RESOURCE" or status != 200 and shape in ("META", "EMPTY"):
        return doubt + [(16, "A")]
    return doubt


def page(method, status, shape, located, given, conditional, conflict, unacted, repeated):
    """What the page may say of an answer: [(row, class)]."""
    # these two go before the others; which of them first, where both have a status, it does not say
    exists = method == "POST" and (conflict or status == 409)
    first = ([(26, "R"), (27, "R")] if exists else []) + ([(32, "N")] if unacted else [])
    if unacted or conflict and method == "POST":
        return first
    if 100 <= status <= 199:
        return [(9, "D")]
    if 200 <= status <= 299:
        return success(method, status, shape, located, given)
    if 300 <= status <= 399:
        return [(18, "R")] if status in (301, 307, 308) else [(19, "D")]
    if status in PLAIN_REFUSALS:
        return [(20, "R")]
    if status in (401, 421, 425):
        return [({401: 21, 421: 30, 425: 31}[status], "R" if repeated else "N")]
    if status in (403, 511) or status == 404 and method == "POST":
        return [(22, "R")]
    if status in (404, 410) and method in CHANGES:
        return [(23, "R")]
    if status == 409:
        # on POST without being in conflict_codes: the row names it all the same; or the option took it out
        return [(28, "R")] if method in CHANGES else [(26, "R"), (27, "R"), (20, "R"), (0, "R"), (0, "D")]
    if status == 412 and conditional and method in CHANGES:
        return [(29, "R")]
    if status == 429:
        # an option without it: the row names 429 apart from the option's default
        return [(32, "N"), (0, "D")]
    known = {413: (24, "R"), 408: (25, "D")}
    if status in known:
        return [known[status]]
    if 500 <= status <= 599:
        return [(33, "D")]
    return [(None, "D"), (None, "R")] if 400 <= status <= 499 else [(None, "D")]


@pytest.mark.parametrize("event", EVENTS)
def test_events(state, event):
    rows, letter = EVENTS[event]
    for method in METHODS:
        row, said = state.classify(event="TPM_EVENT_" + event, method="TPM_METHOD_" + method)
        assert row in rows and said == letter, method


def test_every_event_is_here(state):
    assert {f"TPM_EVENT_{event}" for event in EVENTS} | {"TPM_EVENT_ANSWERED"} == {
        name for (kind, _), name in state.names.items() if kind == "TpmWriteEvent"}


SHAPES = ("OTHER", "EMPTY", "META", "RESOURCE")
FLAGS = ("has_location", "has_client_id", "is_conditional", "is_conflict", "is_unacted", "was_repeated")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("hundreds", range(-1, 11))
def test_answers(state, method, hundreds):
    """Every status with all that a decision may rest on."""
    for status in range(hundreds * 100, hundreds * 100 + 100):
        for shape, flags in itertools.product(SHAPES, itertools.product((False, True), repeat=len(FLAGS))):
            facts = dict(zip(FLAGS, flags))
            row, letter = state.classify(event="TPM_EVENT_ANSWERED", method="TPM_METHOD_" + method, status=status,
                                         shape="TPM_SHAPE_" + shape, **facts)
            allowed = page(method, status, shape, *flags)
            assert (row, letter) in allowed or (None, letter) in allowed, (method, status, shape, facts, row, letter)


def test_each_row_is_met(state):
    """1 to 33 but for what only a history knows (27, 34 to 38, 41), and 7 and 8, which no fact tells from 5."""
    met = {state.classify(event="TPM_EVENT_" + event, method="TPM_METHOD_PUT")[0] for event in EVENTS}
    for method, status, shape in itertools.product(METHODS, range(100, 600), SHAPES):
        for more in ({}, {"has_location": True}, {"is_conditional": True}, {"is_conflict": status == 409},
                     {"is_unacted": status == 429}):
            met.add(state.classify(event="TPM_EVENT_ANSWERED", method="TPM_METHOD_" + method, status=status,
                                   shape="TPM_SHAPE_" + shape, **more)[0])
    assert {*range(1, 7), *range(9, 26), *range(28, 34), 39, 40} <= met and met & {26, 27}


# ----- what follows -----

LOOKS = {"LOOK", "LOOK_LATER"}
# what must never be said of a write in doubt
CERTAIN = {"REFUSED", "EXISTS", "GONE", "CHANGED"}
AGAIN_ROWS = (3, 21, 30, 31, 32)
N_ROWS = (1, 2, 3, 4, 21, 30, 31, 32)
R_ROWS = {"POST": (18, 20, 21, 22, 24, 26, 30, 31), "PUT": (18, 20, 21, 22, 23, 24, 28, 29, 30, 31)}
A_ROWS = {"POST": (12, 13, 14), "PUT": (14, 16)}
D_ROWS = {"POST": (5, 6, 7, 8, 9, 10, 15, 19, 25, 33), "PUT": (5, 6, 7, 8, 9, 10, 17, 19, 25, 33)}


def histories(method):
    """Every history after at least one sending."""
    for key, doubted, sendings, most in itertools.product((False, True), (False, True), (1, 2, 3), (1, 3, 6)):
        if sendings <= most and (sendings > 1 or not doubted):
            yield {"method": "TPM_METHOD_" + method, "has_key": key and method == "POST", "is_doubted": doubted,
                   "sendings": sendings, "most_sendings": most}


@pytest.mark.parametrize("method", METHODS)
def test_next_not_acted(state, method):
    """Again, as long as it may be, where nobody else does it; a refusal, or unknown: doubt sticks."""
    for row, history in itertools.product(N_ROWS, histories(method)):
        step = state.next(row, "N", **history)
        allowed = {"UNKNOWN", *LOOKS} if history["is_doubted"] else {"REFUSED"}
        if row in AGAIN_ROWS and history["sendings"] < history["most_sendings"]:
            allowed = allowed | {"AGAIN"}
        assert step in allowed, (row, history)


@pytest.mark.parametrize("method", METHODS)
def test_next_refused(state, method):
    for row, history in itertools.product(R_ROWS["POST" if method == "POST" else "PUT"], histories(method)):
        step = state.next(row, "R", **history)
        if history["is_doubted"]:
            # 27, 28, 29: what is there decides; the others tell nothing of the first sending
            decided = row in (28, 29) or row == 26 and history["has_key"]
            allowed = LOOKS if decided else {"UNKNOWN", *LOOKS}
            if method == "POST" and not history["has_key"]:
                allowed = {"UNKNOWN"}
        elif row == 26:
            # without a key it is one of its two errors
            allowed = {"LOOK"} if history["has_key"] else {"REFUSED", "EXISTS"}
        else:
            allowed = {{23: "GONE", 29: "CHANGED"}.get(row, "REFUSED")}
        assert step in allowed, (row, history, step)


@pytest.mark.parametrize("method", METHODS)
def test_next_acted(state, method):
    """An A ends every doubt."""
    for row, history in itertools.product(A_ROWS["POST" if method == "POST" else "PUT"], histories(method)):
        assert state.next(row, "A", **history) == "DONE", (row, history)


@pytest.mark.parametrize("method", METHODS)
def test_next_doubt(state, method):
    """34: nothing can be looked up; 35 to 37: a look."""
    for row, history in itertools.product(D_ROWS["POST" if method == "POST" else "PUT"], histories(method)):
        can_look = method != "POST" or history["has_key"]
        assert state.next(row, "D", **history) in (LOOKS if can_look else {"UNKNOWN"}), (row, history)


@pytest.mark.parametrize("method", METHODS)
def test_next_leaving(state, method):
    """11: cancelled in flight or in a pause after a doubt."""
    for history in histories(method):
        assert state.next(11, "D", **history) == "UNKNOWN", history


@pytest.mark.parametrize("method", METHODS)
def test_next_crash(state, method):
    """39: no intent is as not sent, an intent alone a doubt; 40: nothing is sent."""
    for key in (False, True):
        history = {"method": "TPM_METHOD_" + method, "has_key": key and method == "POST", "most_sendings": 3}
        assert state.next(39, "N", **history) in {"AGAIN", "REFUSED"}
        can_look = method != "POST" or key
        assert state.next(39, "D", is_doubted=True, sendings=1, **history) in (LOOKS if can_look else {"UNKNOWN"})
        assert state.next(40, "N", **history) in {"REFUSED"}


# ----- what a look has shown -----


def looks(method, **more):
    for sendings, most, vain in itertools.product((1, 2, 3), (1, 3, 6), (0, 1)):
        if sendings <= most:
            yield {"method": "TPM_METHOD_" + method, "has_key": method == "POST", "is_doubted": True,
                   "sendings": sendings, "most_sendings": most, "looks": vain, **more}


@pytest.mark.parametrize("method", METHODS)
def test_look_after_a_doubt(state, method):
    """35 to 37: ours is done, what was before exists, anything else is unknown; nothing twice: again."""
    for history in looks(method):
        again = "AGAIN" if history["sendings"] < history["most_sendings"] else "UNKNOWN"
        wanted = {"OURS": {"DONE"}, "OTHER": {"UNKNOWN"}, "FAILED": {"UNKNOWN"},
                  "NOTHING": {again} if history["looks"] else {"LOOK_LATER"}}
        if method == "POST":
            wanted["BEFORE"] = {"EXISTS"}
        else:
            wanted["GONE"] = {"UNKNOWN"}
        for look, steps in wanted.items():
            # where it will not be sent again, the second look may be spared only by what is unknown anyway
            assert state.next_look(look, **history) in steps, (look, history)


def test_look_after_a_conflict_in_doubt(state):
    """27: whatever is there is judged by the evidence; never found: unknown, and not sent again."""
    for history in looks("POST", is_conflict=True):
        for look, steps in {"OURS": {"DONE"}, "BEFORE": {"EXISTS"}, "OTHER": {"UNKNOWN"}, "FAILED": {"UNKNOWN"},
                            # how many looks, the page does not say
                            "NOTHING": {"UNKNOWN", "LOOK_LATER"}}.items():
            assert state.next_look(look, **history) in steps, (look, history)
        # but there is an end
        assert state.next_look("NOTHING", **{**history, "looks": 5}) == "UNKNOWN"


def test_look_after_a_conflict(state):
    """26: found, it exists, whoever made it; not found, or nobody knows: a plain refusal, never a skip."""
    for history in looks("POST", is_conflict=True, is_doubted=False):
        for look in ("OURS", "BEFORE", "OTHER"):
            assert state.next_look(look, **history) == "EXISTS", (look, history)
        assert state.next_look("NOTHING", **history) == "REFUSED", history
        assert state.next_look("FAILED", **history) == "REFUSED", history


def test_look_before_the_first_sending(state):
    """41: nothing is sent."""
    history = {"method": "TPM_METHOD_POST", "has_key": True, "most_sendings": 3}
    assert state.next_look("BEFORE", **history) == "EXISTS"


def test_doubt_sticks(state):
    """No row, no class, no look but BEFORE, which is certain, makes a doubt a refusal."""
    for method in METHODS:
        for history in looks(method):
            for row, letter in itertools.product(range(1, 42), "NRD"):
                assert state.next(row, letter, **history) not in CERTAIN | {"DONE"}, (row, letter, history)
            for look in ("OTHER", "NOTHING", "GONE", "FAILED"):
                assert state.next_look(look, **history) not in CERTAIN | {"DONE"}, (look, history)


# ----- whose row is it? -----


def test_whose_row(state):
    for absent, equal, timed, earlier in itertools.product((False, True), repeat=4):
        if earlier and (not timed or absent):
            # no time, no earlier; absent and earlier contradict each other
            continue
        said = state.judge(was_absent=absent, is_equal=equal, has_time=timed, is_earlier=earlier)
        if earlier:
            assert said == ("BEFORE", "found: created before sending")
        elif not equal:
            assert said == ("OTHER", "found: other values")
        else:
            words = {"found: absent before"} if absent else set()
            words |= {"found: created after sending"} if timed else set()
            assert said[0] == "OURS" and said[1] in (words or {"found: equal values"})


def test_words(state):
    """Those of the page, and no others."""
    said = {name: state.library.tpm_evidence_text(value)
            for (kind, value), name in state.names.items() if kind == "TpmWriteEvidence"}
    assert said.pop("TPM_EVIDENCE_NONE") is None
    assert {words.decode() for words in said.values()} == {
        "answer", "accepted", "found: created after sending", "found: absent before", "found: equal values",
        "found: created before sending", "found: other values", "conflict", "read back", "not sent"}
