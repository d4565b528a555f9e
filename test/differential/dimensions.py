"""The matrix: every way in which the same question may reach a different code path.

A dimension names where its foreign tables come from, which queries it asks, under which
session settings, and what besides the right answer is allowed. A new feature adds its own
at the end of DIMENSIONS.
"""

from dataclasses import dataclass, field
from typing import Callable

import beside
import compare
import copied
import generator
import lookahead
import odd
import questions
import sparing
import writes
from query import MULTISET, Query, Step

# Fault dimensions may refuse (HV00M: the list broke a promise) but never be wrong.
REFUSES = compare.Policy(errors=frozenset(compare.REFUSALS | {"HV00M"}), silent=False)
WARNS = compare.Policy(errors=REFUSES.errors, warning="WARNING", silent=False)

NO_CACHE = {"tpm_fdw.cache_ttl": "0"}
# 1,500 of 5,240 queries are about other APIs than the plain one.
ODD = 5.65
# 1,000 of 5,240 are joins by key, a quarter in each of four dimensions.
LOOK = 3.76
# 240 of 5,240 are asked in rows, half in each of two dimensions.
SPARE = 1.81
# 100 of 5,240 are asked of local copies that somebody else's changes have to reach first, half in each dimension.
COPIED = 0.75
WRITING = {"tpm_fdw.max_writes": "0"}
LOSING = {**WRITING, "tpm_fdw.settle": f"{writes.SETTLE}ms"}


@dataclass
class Dimension:
    """One line of the report.

    `share` is the part of all random queries, relative to the other dimensions'; a
    dimension with `fixed` asks those queries instead, whatever --queries says.
    """

    name: str
    open: Callable
    share: float = 1.0
    make: Callable = generator.any_query
    fixed: Callable = None
    settings: dict = field(default_factory=dict)
    policy: compare.Policy = field(default_factory=compare.Policy)
    # Done on the foreign side before the first query, and before each.
    first: str = None
    each: str = None
    # No query of a warm cache may send a request.
    silent_api: bool = False
    needs_cache: bool = False
    # Made from target and session, it runs and compares a query in its own way.
    judge: Callable = None
    # A thread, made from target and seed, that is at work while queries are asked.
    beside: Callable = None


def whole_tables(session, target):
    """Every row of every table, with the exact spelling of every value."""
    made = []
    for table in target.model.tables:
        for out in ("*", "t::text", "count(*)"):
            made.append(Query("whole_table", [Step(f"SELECT {out} FROM @S@.{table.name} t", MULTISET)]))
    return made


def reading_questions(session, target):
    """The 14 questions of api.md section 4."""
    return questions.queries(session, target.local, f"common.erp_vendors_{target.local}")


def plain(env):
    return env.target("plain")


def trusted(env):
    return env.target("trusted")


def many(flavour):
    """The larger data set, for questions that need something to count."""
    return lambda env: env.target(flavour, records=1000)


def paged(flavour, style, **server):
    """A sandbox that links its pages in `style`, and a server told about it."""
    return lambda env: env.target(flavour, style=style, server=server)


def alone(flavour, *arguments, **server):
    """A sandbox that only this dimension changes."""
    return lambda env: env.private(flavour, *arguments, server=server)


def faulty(fault):
    """A sandbox with one standing fault, every filter declared to be rechecked."""
    return lambda env: env.target("recheck", fault=fault)


def strange(name, kind=odd.OddTarget):
    """An API as others have built it, and another one after some queries."""
    return lambda env: odd.odd(env, name, kind)


DIMENSIONS = [
    Dimension("whole_plain", plain, fixed=whole_tables, settings=NO_CACHE),
    Dimension("whole_trusted", trusted, fixed=whole_tables, settings=NO_CACHE),
    Dimension("questions_plain", many("plain"), fixed=reading_questions, settings=NO_CACHE),
    Dimension("questions_trusted", many("trusted"), fixed=reading_questions, settings=NO_CACHE),
    Dimension("plain", plain, share=6, settings=NO_CACHE),
    Dimension("trusted", trusted, share=8, settings=NO_CACHE),
    Dimension("pages_absolute", paged("plain", "absolute"), settings=NO_CACHE),
    Dimension("pages_number", paged("trusted", "number", pagination="number"), settings=NO_CACHE),
    Dimension("pages_number_base64",
              paged("trusted", "number_base64", pagination="number_base64"), settings=NO_CACHE),
    Dimension("pages_offset",
              paged("trusted", "offset", pagination="offset",
                    page_parameters="page[limit],page[offset]"), settings=NO_CACHE),
    Dimension("pages_capped", paged("trusted", "capped", page_size="100"), settings=NO_CACHE),
    Dimension("fault_ignore_filter", faulty("ignore_filter"), settings=NO_CACHE, policy=REFUSES),
    Dimension("fault_partial_filter", faulty("partial_filter"), settings=NO_CACHE, policy=REFUSES),
    Dimension("fault_unsorted", faulty("unsorted"), settings=NO_CACHE, policy=REFUSES),
    Dimension("fault_duplicate_row", faulty("duplicate_row"), settings=NO_CACHE, policy=REFUSES),
    Dimension("fault_move_row", faulty("move_row"), share=0.5, settings=NO_CACHE, policy=WARNS,
              make=generator.whole_list_query),
    Dimension("cache_cold", trusted, share=2, each="reset", needs_cache=True),
    Dimension("cache_warm", trusted, share=4, first="fill", silent_api=True, needs_cache=True),
    Dimension("cache_warm_plain", plain, share=2, first="fill", silent_api=True,
              needs_cache=True),
    Dimension("cache_filled_between", trusted, make=generator.filled_between, needs_cache=True),
    Dimension("cache_emptied_between", trusted, make=generator.emptied_between, needs_cache=True),
    Dimension("writer_plain", alone("plain"), share=0.7, settings=NO_CACHE, make=beside.undisturbed(),
              beside=beside.Writer),
    Dimension("writer_trusted", alone("trusted"), share=0.7, settings=NO_CACHE, make=beside.undisturbed(),
              beside=beside.Writer),
    Dimension("writes_plain", alone("plain"), share=0.3, settings=WRITING, make=writes.any_write,
              judge=writes.prepare),
    Dimension("writes_trusted", alone("trusted", "--etags", "--put", "replace", "--read-only", "reject"), share=0.3,
              settings={**WRITING, **NO_CACHE}, make=writes.any_write, judge=writes.prepare),
    Dimension("writes_merged", alone("trusted", "--put", "merge", "--read-only", "ignore", update_body="changed"),
              share=0.2, settings=WRITING, make=writes.any_write, judge=writes.prepare),
    Dimension("writes_lost", alone("trusted", "--etags", "--put", "replace"), share=0.2, settings=LOSING,
              make=writes.any_lost_write, judge=writes.prepare_losing),
    Dimension("writes_lost_untagged", alone("trusted", "--put", "replace", "--clock-skew", "7200"), share=0.1,
              settings=LOSING, make=writes.any_lost_write, judge=writes.prepare_losing),
    # it gives up after the second try, so that outcomes do stay unknown
    Dimension("writes_lost_patched", alone("trusted", "--put", "merge", update_method="PATCH", update_body="changed",
                                           max_retries="1"),
              share=0.1, settings=LOSING, make=writes.any_lost_write, judge=writes.prepare_losing),
    Dimension("odd_off", strange("odd_off"), share=ODD, settings=NO_CACHE, make=odd.any_query, judge=odd.judge),
    Dimension("odd_cold", strange("odd_cold"), share=ODD, each="reset", needs_cache=True, make=odd.any_query,
              judge=odd.judge),
    Dimension("odd_warm", strange("odd_warm"), share=ODD, each="fill_at_times", needs_cache=True, make=odd.any_query,
              judge=odd.judge),
    Dimension("odd_hidden", strange("odd_hidden", odd.HiddenTarget), share=ODD, needs_cache=True,
              make=odd.hiding_query, judge=odd.judge),
    Dimension("look_plain", lookahead.look("plain", 20), share=LOOK, settings=NO_CACHE, make=lookahead.any_join,
              first="fill", judge=lookahead.judge("off")),
    Dimension("look_trusted", lookahead.look("trusted", 10), share=LOOK, settings=NO_CACHE, make=lookahead.any_join,
              first="fill", judge=lookahead.judge("off")),
    Dimension("look_cold", lookahead.look("trusted", 20), share=LOOK, make=lookahead.any_join, needs_cache=True,
              first="fill", judge=lookahead.judge("cold")),
    Dimension("look_warm", lookahead.look("trusted", 10), share=LOOK, make=lookahead.any_join, needs_cache=True,
              first="fill", judge=lookahead.judge("warm")),
    Dimension("spare_plain", sparing.spare("plain", "links"), share=SPARE, needs_cache=True, make=sparing.any_query, judge=sparing.Judge),
    Dimension("spare_trusted", sparing.spare("trusted", "number"), share=SPARE,
              needs_cache=True, make=sparing.any_query, judge=sparing.Judge),
    Dimension("copy_plain", copied.copied("plain"), share=COPIED, silent_api=True),
    Dimension("copy_trusted", copied.copied("trusted", pagination="number"), share=COPIED, silent_api=True),
]
