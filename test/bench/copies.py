"""Local copies: dashboards over them, what writing them takes, and what a day costs.

A day is 96 runs, with 1 % of the rows edited and 0.1 % deleted in 100 places, and searches until all of it is found. The
clock stands still between the runs, so lookback, which in a day reads nothing twice at this rhythm, is 0.
"""

import random

import measure
import pages
import tpmtest
from report import Result
from setting import UNKEPT

ROWS = 100000
PAGE = 100
MOST_OF_TABLE = 1.1
MOST_OF_COPY = 2.5
MOST_OF_QUOTA = 0.05
HOURS, RUNS, EDITED, DELETED = 24, 96, 1000, 100
PER_HOUR = 600

CHARTS = ["SELECT count(*) FROM {}",
          "SELECT active, count(*), avg(score) FROM {} GROUP BY active",
          "SELECT date_trunc('month', created_at) AS month, count(*) FROM {} GROUP BY 1 ORDER BY 1",
          "SELECT hits, max(score), min(created_at) FROM {} GROUP BY hits ORDER BY hits",
          "SELECT name, score FROM {} ORDER BY score DESC, name LIMIT 20",
          "SELECT count(*) FILTER (WHERE score > 50), count(DISTINCT hits) FROM {} WHERE created_at > '2015-01-01'"]


def charts(setting):
    """All six, of the view and of the table behind it."""
    def of(relation):
        def run():
            return tuple(map(sum, zip(*(measure.statement(setting.session, chart.format(relation)) for chart in CHARTS))))
        return run

    asked = "SELECT count(*) FROM tpm_fdw_requests"
    before = setting.sql(asked)
    best = measure.interleaved({"view": of("bi.copied"), "table": of("public_copy.copied")})
    assert setting.sql(asked) == before
    yield Result("six charts over a view of a copy: requests", "requests", 0, recorded=True)
    yield Result("six charts over a view of a copy: CPU", "ms", best["view"][1] * 1000, "its table: CPU",
                 best["table"][1] * 1000, most=MOST_OF_TABLE)


def filling(setting):
    """What a filling takes beyond reading, which is writing its pages with a commit each; COPY of all rows at once."""
    file = setting.cluster.base / "data" / "copied.csv"
    setting.sql(UNKEPT)
    setting.sql(f"COPY (SELECT * FROM copied) TO '{file}' (FORMAT csv)")
    setting.sql("CREATE TABLE loaded (LIKE public_copy.copied INCLUDING ALL)")

    def fill():
        setting.sql("SELECT tpm_fdw_drop_copy('public_copy.copied'); TRUNCATE public_copy.copied;"
                    " SELECT tpm_fdw_create_copy('copied', cursor_column => NULL)")
        return measure.statement(setting.session, "CALL tpm_fdw_sync('public_copy.copied')")

    def load():
        setting.sql("TRUNCATE loaded")
        return measure.statement(setting.session, f"COPY loaded ({', '.join(pages.NAMES)}) FROM '{file}' (FORMAT csv)")

    best = measure.interleaved({"fill": fill, "read": lambda: measure.statement(setting.session, pages.counts("copied")),
                                "load": load}, runs=3)
    assert setting.sql(pages.sums("public_copy.copied")) == setting.sql(pages.sums("loaded"))
    yield Result("writing 1,000 pages of a copy, a commit each: CPU", "ms", (best["fill"][1] - best["read"][1]) * 1000,
                 "COPY, once: CPU", best["load"][1] * 1000, most=MOST_OF_COPY)


def day(setting):
    """Requests of a day, against the hours' quota."""
    drawn = random.Random(7)
    sandbox = tpmtest.Sandbox("--records", str(ROWS), "--rate-per-second", "0", "--rate-per-hour", "0").start()
    try:
        tpmtest.setup_server(setting.session, sandbox, schema="api", trust="exact")
        setting.sql("SELECT tpm_fdw_create_copy('api.third_parties', lookback => '0', every => '1 s')")
        call, requests = "CALL tpm_fdw_sync('api_copy.third_parties')", "SELECT requests FROM tpm_fdw_copies WHERE source = 'api.third_parties'::regclass"
        found = requests.replace("requests", "rows", 1)
        setting.sql(call)
        (filled,), = setting.sql(requests)
        numbers = [str(number) for number in drawn.sample(range(1, ROWS + 1), EDITED + DELETED)]
        for i in range(RUNS):
            sandbox.edit_all("third_parties", numbers[i * EDITED // RUNS:(i + 1) * EDITED // RUNS], city=f"Town {i}")
            if i == RUNS // 2:
                sandbox.delete("third_parties", *numbers[EDITED:])
                setting.sql("SELECT tpm_fdw_alter_copy('api_copy.third_parties', reconcile => '0')")
            elif i > RUNS // 2 and setting.sql(found) == [(ROWS - DELETED,)]:
                setting.sql("SELECT tpm_fdw_alter_copy('api_copy.third_parties', reconcile => '33 h')")
            setting.sql(call)
        (after, rows), = setting.sql(requests.replace("requests", "requests, rows", 1))
        assert rows == ROWS - DELETED
        yield Result("a day of a copy of 1,000 pages: requests", "requests", after - filled, "the quota of 24 hours",
                     HOURS * PER_HOUR, most=MOST_OF_QUOTA)
    finally:
        sandbox.stop()


def run(setting):
    setting.list("copied", "narrow", ROWS, PAGE)
    setting.sql("SELECT tpm_fdw_create_copy('copied', cursor_column => NULL)")
    setting.sql("CALL tpm_fdw_sync('public_copy.copied')")
    setting.sql("VACUUM ANALYZE public_copy.copied")
    setting.sql("CREATE SCHEMA bi; SELECT tpm_fdw_create_views('public', 'bi', from_copies => true)")
    yield from charts(setting)
    yield from filling(setting)
    yield from day(setting)
