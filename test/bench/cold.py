"""Cold scans of pages of 100 and 1,000, narrow and wide rows, six typed columns.

The bound is on the backend's CPU time, since the wall time is that of two processes.
"""

import measure
import pages
from report import Result
from setting import COLD, UNKEPT

ROWS = {"narrow": 50000, "wide": 20000}
MOST_OF_JSONB = 0.5


def measured(setting, name):
    """Least (wall, CPU) times of the foreign table, kept and not, and of all references."""
    def after(preparation, relation):
        def run():
            setting.sql(preparation)
            return measure.statement(setting.session, pages.counts(relation))
        return run

    return measure.interleaved({
        "unkept": after(UNKEPT, name), "kept": after(COLD, name),
        "jsonb": after(UNKEPT, pages.from_jsonb(f"{name}_body")),
        "heap": after(UNKEPT, f"{name}_heap"), "file": after(UNKEPT, f"{name}_file"),
        "curl": lambda: (setting.floor.fetch(f"/{name}"),)})


def check_answers(setting, name):
    """What is fast must be right."""
    right = setting.sql(pages.sums(f"{name}_heap"))
    for relation in (name, f"{name}_file", pages.from_jsonb(f"{name}_body")):
        assert setting.sql(pages.sums(relation)) == right, relation


def run(setting):
    for shape, rows in ROWS.items():
        for size in (1000, 100):
            name = f"cold_{shape}_{size}"
            setting.list(name, shape, rows, size)
            setting.copies(name)
            check_answers(setting, name)
            best = measured(setting, name)
            case = f"cold scan, {shape} rows, pages of {size}"
            bound = MOST_OF_JSONB if (shape, size) == ("narrow", 1000) else None
            milliseconds = {kind: [seconds * 1000 for seconds in figures] for kind, figures in best.items()}
            yield Result(f"{case}: CPU", "ms", milliseconds["unkept"][1], "::jsonb, unnested: CPU",
                         milliseconds["jsonb"][1], most=bound)
            yield Result(f"{case}, kept in the cache: CPU", "ms", milliseconds["kept"][1], "::jsonb, unnested: CPU",
                         milliseconds["jsonb"][1], most=bound)
            for kind, against in (("heap", "heap table"), ("file", "file_fdw")):
                yield Result(f"{case}: CPU, to {kind}", "ms", milliseconds["unkept"][1], f"{against}: CPU",
                             milliseconds[kind][1])
            yield Result(f"{case}: time", "ms", milliseconds["unkept"][0], "floor: curl from static nginx",
                         milliseconds["curl"][0])
