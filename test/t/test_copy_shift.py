"""The search by shift: where a list differs from a copy, for few pages.

The product's own src/copy/copy_shift.c, compiled by itself: it is arithmetic, and reads pages through a function that
is handed to it. Here that function is a list in memory.
"""

import bisect
import ctypes
import math
import os
import random
import subprocess

import pytest
import tpmtest

SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
CASES = 6300 if os.environ.get("SOAK") else 630
BYTES, NUMBERS = 1, 2
DONE, LIMITED, STOPPED, UNPAGED, UNORDERED = range(5)
MISSED = 2

MEMORY = """
#include <stdlib.h>
#include <string.h>
void *palloc(size_t n) { return malloc(n); }
void *palloc0(size_t n) { return calloc(1, n); }
void *repalloc(void *p, size_t n) { return realloc(p, n); }
"""


class Page(ctypes.Structure):
    _fields_ = [("ids", ctypes.POINTER(ctypes.c_char_p)), ("n", ctypes.c_int), ("ends", ctypes.c_bool),
                ("total", ctypes.c_int64)]


READ = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Page))


class Shift(ctypes.Structure):
    _fields_ = [("orders", ctypes.c_int), ("ids", ctypes.POINTER(ctypes.c_char_p)), ("nids", ctypes.c_int64),
                ("page_rows", ctypes.c_int), ("most_requests", ctypes.c_int64), ("read", READ),
                ("arg", ctypes.c_void_p), ("known", ctypes.POINTER(ctypes.c_char)), ("missed", ctypes.c_int64),
                ("lacked", ctypes.c_int64), ("requests", ctypes.c_int64), ("listed", ctypes.c_int64),
                ("total", ctypes.c_int64)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """copy_shift.c with a heap in place of memory contexts."""
    where = tmp_path_factory.mktemp("shift")
    (where / "memory.c").write_text(MEMORY)
    subprocess.run(["gcc", "-std=gnu99", "-O1", "-shared", "-fPIC", "-isystem", tpmtest.pg_config("includedir-server"),
                    "-I", tpmtest.ROOT / "src", "-o", where / "shift.so", tpmtest.ROOT / "src/copy/copy_shift.c",
                    where / "memory.c"], check=True)
    return ctypes.CDLL(str(where / "shift.so"))


class Search:
    """One search of a list by a copy's ids; `pages` are the positions read, in order."""

    def __init__(self, library, held, listed, size, order=BYTES, tell_total=True, tell_end=True, most=1 << 40,
                 before_page=None, fails=None):
        self.pages = []
        self.seen = set()
        alive = []                  # what ctypes must not free while it runs

        def read(_, position, page):
            if before_page:
                before_page(len(self.pages), listed)
            self.pages.append(position)
            ids = listed[(position - 1) * size:position * size]
            self.seen.update(ids)
            alive.append((ctypes.c_char_p * len(ids))(*[id.encode() for id in ids]))
            ends = position * size >= len(listed) if tell_end else len(ids) < size
            page[0] = Page(alive[-1], len(ids), ends, len(listed) if tell_total else -1)
            return position != fails

        array = (ctypes.c_char_p * max(len(held), 1))(*[id.encode() for id in held])
        shift = Shift(order, array, len(held), size, most, READ(read), None)
        self.outcome = library.tpm_shift_search(ctypes.byref(shift))
        self.requests = shift.requests
        assert self.requests == len(self.pages)
        self.missed = [id for rank, id in enumerate(held) if ord(shift.known[rank]) == MISSED]
        assert len(self.missed) == shift.missed
        self.lacked, self.listed, self.orders = shift.lacked, shift.listed, shift.orders


def ids_of(count, order):
    """So many ids, in order; of different lengths, and with gaps."""
    numbers = [str(n) for n in range(90, 90 + 3 * count, 3)]
    return sorted(numbers) if order == BYTES else numbers


def bound(places, pages):
    return min(pages + 3, math.ceil(3 + places * (1 + math.log2(pages / places))))


def drawn_places(random_, pages, size, places, block):
    """Ranks that are gone: blocks that begin in pages of their own and do not touch."""
    gone = set()
    for page in random_.sample(range(pages), places):
        first = page * size + random_.randrange(size)
        gone.update(range(first, first + block))
    return gone


def test_what_is_gone_is_found_within_the_bound(library):
    """Deletions only: each is found, nothing that lives is, and never for more pages than promised."""
    print("seed", SEED)
    random_ = random.Random(SEED)
    for case in range(CASES):
        size, pages = random_.choice([2, 5, 10]), random_.choice([1, 2, 3, 10, 100, 256, 1000])
        places, block = random_.randrange(0, min(pages, 40) + 1), random_.choice([1, 1, 1, size, 3 * size])
        order = random_.choice([BYTES, NUMBERS, BYTES | NUMBERS])
        if order == BYTES | NUMBERS:
            held = [f"{n:05}" for n in range(pages * size - random_.randrange(size))]
        else:
            held = ids_of(pages * size - random_.randrange(size), order)
        gone = {held[rank] for rank in drawn_places(random_, pages, size, places, block) if rank < len(held)}
        listed = [id for id in held if id not in gone]
        search = Search(library, held, listed, size, order, tell_total=random_.random() < 0.8,
                        tell_end=random_.random() < 0.8)
        where = f"case {case}: {places} places of {block} in {pages} pages of {size}"
        assert search.outcome == DONE, where
        assert search.missed == [id for id in held if id in gone], where
        assert (search.lacked, search.listed, len(set(search.pages))) == (0, len(listed), search.requests), where
        if block == 1:
            assert search.requests <= bound(max(places, 1), pages), where
        assert search.requests <= pages + 3, where


@pytest.mark.parametrize("places, most", [(0, 1), (1, 14), (10, 80), (100, 436)])
def test_a_thousand_pages(library, places, most):
    held = ids_of(10_000, NUMBERS)
    for seed in range(20):
        gone = {held[rank] for rank in drawn_places(random.Random(seed), 1000, 10, places, 1)}
        search = Search(library, held, [id for id in held if id not in gone], 10, NUMBERS)
        assert set(search.missed) == gone
        assert search.requests <= most


@pytest.mark.parametrize("first", [0, 1, 4_321, 50_000, 98_990, 99_000])
@pytest.mark.parametrize("tell_total", [True, False])
def test_a_block_of_ten_pages_among_a_thousand(library, first, tell_total):
    held = ids_of(100_000, NUMBERS)
    search = Search(library, held, held[:first] + held[first + 1000:], 100, NUMBERS, tell_total)
    assert search.missed == held[first:first + 1000]
    # without a total its end is looked for, too
    assert search.requests <= (13 if tell_total else 22)


@pytest.mark.parametrize("count", [0, 1, 10, 95, 100])
def test_nothing_gone_is_one_page_without_a_total(library, count):
    held = ids_of(count, BYTES)
    search = Search(library, held, list(held), 10, tell_total=False)
    assert (search.missed, search.lacked) == ([], 0)
    assert search.pages == [max(math.ceil(count / 10), 1)]
    # a full page that does not say whether it is the last needs one more
    search = Search(library, held, list(held), 10, tell_total=False, tell_end=False)
    assert (search.missed, search.lacked) == ([], 0)
    assert search.requests == (2 if count in (10, 100) else 1)


def test_what_the_copy_lacks_is_read(library):
    """Rows that only the list has come with the pages that are read, wherever they are."""
    random_ = random.Random(SEED)
    for case in range(CASES // 3):
        everything = ids_of(random_.randrange(1, 500), NUMBERS)
        lacking = set(random_.sample(everything, random_.randrange(min(len(everything), 20))))
        held = [id for id in everything if id not in lacking]
        search = Search(library, held, everything, 5, NUMBERS)
        assert (search.outcome, search.missed) == (DONE, []), (SEED, case)
        assert lacking <= search.seen, (SEED, case)


def test_a_list_that_moves_condemns_nothing_for_good(library):
    """What a moving list makes seem missing is at most what it moved; none of what was read is."""
    random_ = random.Random(SEED)
    for case in range(CASES // 3):
        held = ids_of(random_.randrange(20, 600), NUMBERS)
        gone = set(random_.sample(held, random_.randrange(10)))
        listed = [id for id in held if id not in gone]

        def move(page, listed):
            if page and random_.random() < 0.3 and listed:
                gone.add(listed.pop(random_.randrange(len(listed))))
            if random_.random() < 0.3:
                bisect.insort(listed, str(random_.randrange(90, 2000)), key=int)

        search = Search(library, held, listed, 5, NUMBERS, before_page=move)
        assert search.outcome == DONE
        assert not set(search.missed) & search.seen, (SEED, case)
        assert search.requests <= math.ceil(len(held) / 5) + 40


def test_another_order_is_noticed(library):
    """Ids that a page has in no order of ours, or in one that the copy was not sorted by."""
    held = ids_of(300, BYTES)
    assert Search(library, held, sorted(held, reverse=True), 10).outcome == UNORDERED
    numbers = [str(n) for n in range(95, 105)]
    search = Search(library, numbers, sorted(numbers), 10, BYTES | NUMBERS)
    assert (search.outcome, search.orders) == (UNORDERED, BYTES)
    assert Search(library, sorted(numbers), sorted(numbers), 10, search.orders).outcome == DONE


def test_capped_pages_are_noticed(library):
    """Pages that are shorter than asked for: a position is not what was thought."""
    held = ids_of(300, NUMBERS)
    search = Search(library, held, held, 10, NUMBERS)
    assert search.outcome == DONE

    capped = []

    def read(_, position, page):
        ids = held[(position - 1) * 4:position * 4]
        capped.append((ctypes.c_char_p * len(ids))(*[id.encode() for id in ids]))
        page[0] = Page(capped[-1], len(ids), False, -1)
        return True

    array = (ctypes.c_char_p * len(held))(*[id.encode() for id in held])
    shift = Shift(NUMBERS, array, len(held), 10, 1000, READ(read), None)
    assert library.tpm_shift_search(ctypes.byref(shift)) == UNPAGED


def test_a_page_that_cannot_be_read_ends_it(library):
    held = ids_of(300, NUMBERS)
    search = Search(library, held, held[1:], 10, NUMBERS, fails=15)
    assert (search.outcome, search.pages, search.missed) == (STOPPED, [30, 15], [])


def test_it_ends_after_so_many_requests(library):
    held = ids_of(3000, NUMBERS)
    search = Search(library, held, held[::2], 10, NUMBERS, most=50)
    assert (search.outcome, search.requests) == (LIMITED, 50)
    assert set(search.missed) <= set(held[1::2])
