"""One random query from a seed: its shape, its text, the settings it runs under."""

import random

import joins
import shapes
import statements

# Each side gets the same settings, so any of them may only change the plan.
KNOBS = [
    ("enable_hashjoin", "off"), ("enable_nestloop", "off"), ("enable_mergejoin", "off"),
    ("enable_sort", "off"), ("enable_material", "off"), ("enable_memoize", "off"),
    ("enable_hashagg", "off"), ("enable_partitionwise_join", "on"),
    ("enable_partitionwise_aggregate", "on"), ("enable_partition_pruning", "off"),
    ("enable_incremental_sort", "off"), ("work_mem", "64kB"), ("from_collapse_limit", "1"),
    ("join_collapse_limit", "1"),
]
READINGS = [
    ("timezone", "Europe/Berlin"), ("timezone", "Asia/Kolkata"), ("timezone", "America/St_Johns"),
    ("datestyle", "German, DMY"), ("datestyle", "SQL, MDY"), ("intervalstyle", "iso_8601"),
    ("extra_float_digits", "0"), ("standard_conforming_strings", "off"),
]

ALL_SHAPES = shapes.SHAPES + joins.SHAPES + statements.SHAPES


def random_for(seed, dimension, index):
    """The generator of one query: no query depends on how many were made before it."""
    return random.Random(f"{seed}/{dimension}/{index}")


def random_settings(rng):
    """Planner switches and ways of reading and writing values, mostly none."""
    chosen = {}
    if rng.random() < 0.4:
        chosen.update(rng.sample(KNOBS, rng.randint(1, 2)))
    if rng.random() < 0.15:
        chosen.update([rng.choice(READINGS)])
    return chosen


def from_shapes(weighted):
    """A function that makes a query of one of the (shape, weight) pairs."""
    makers = [maker for maker, _ in weighted]
    weights = [weight for _, weight in weighted]

    def make(rng, model):
        query = rng.choices(makers, weights)[0](rng, model)
        query.settings = {**random_settings(rng), **query.settings}
        return query

    return make


any_query = from_shapes(ALL_SHAPES)

# For lists that lie about their order beyond what was read: everything is read.
whole_list_query = from_shapes([
    (shapes.aggregate, 2), (shapes.grouped, 2), (shapes.distinct, 1),
])

filled_between = from_shapes([(statements.filled_between, 1)])
emptied_between = from_shapes([(statements.emptied_between, 1)])
