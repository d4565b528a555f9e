"""A dashboard of six charts (test/clients/shapes.py) burns nothing: cold, warm, on a table that the hour cannot read, after
a restart.

SOAK=1 has it at 100,000 rows besides, as `make soak` does."""

import itertools
import os
import random
import sys

import psycopg2
import pytest
import test_bi
import tpmtest
from tpmtest import rows

sys.path.insert(0, str(tpmtest.ROOT / "test" / "clients"))

import shapes  # noqa: E402

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
# what needs few requests first, and then ever larger parts of the list, which costs most in all
WORST = ["a count", "the ten newest", "open ones of the last quarter", "changes by month", "by country", "by status"]
ORDERS = [WORST, WORST[::-1], *(random.Random(f"{SEED}/{turn}").sample(WORST, len(WORST)) for turn in range(4))]
LATER = ["SELECT country AS country, COUNT(*) AS count FROM {s}.third_parties WHERE risk_rating IN ('High') GROUP BY country"
         " ORDER BY count DESC LIMIT 1000", "SELECT COUNT(*) AS count FROM {s}.third_parties WHERE country IN ('DE') LIMIT 50000",
         "SELECT name AS name FROM {s}.third_parties WHERE id IN ('17') LIMIT 1000"]
PAGE = 100
# rows, and requests that the hour has
LARGE = [(25000, 150)] + [(100000, 600)] * (os.environ.get("SOAK") == "1")
NUMBERS = itertools.count(1)


class Api:
    """A cluster of its own, whose hour takes a minute, and a sandbox in June 2026; the role bi reads through views."""

    def __init__(self, records):
        self.records = records
        self.pages = records // PAGE
        self.cluster = tpmtest.Cluster(**{"tpm_fdw.hour": "60s"}).start()
        self.sandbox = tpmtest.Sandbox("--records", str(records), "--rate-per-second", "0", "--rate-per-hour", "0",
                                       "--hour-seconds", "60", "--today", "2026-06-15").start()
        self.owner = self.cluster.connect()
        tpmtest.setup_server(self.owner, self.sandbox)
        rows(self.owner, "CREATE ROLE bi LOGIN")
        rows(self.owner, shapes.ROLE)
        self.settings()

    def settings(self):
        """The superuser reads whatever it takes."""
        rows(self.owner, "SET tpm_fdw.max_requests = 0; SET tpm_fdw.leave_free = 0; SET tpm_fdw.cache_ttl = '1h'")

    def truth(self):
        """A copy of the table, for what charts have to show."""
        source = self.table()
        rows(self.owner, f"CREATE SCHEMA truth; CREATE TABLE truth.third_parties AS SELECT * FROM {source}.third_parties")

    def table(self):
        """The view of a table that nothing is known of, in a schema of its own."""
        number = next(NUMBERS)
        source, target = f"api_{number}", f"charts_{number}"
        rows(self.owner, f"CREATE SCHEMA {source}; IMPORT FOREIGN SCHEMA tpm LIMIT TO (third_parties) FROM SERVER tpm"
                         f" INTO {source} OPTIONS (trust 'exact')")
        test_bi.views(self.owner, source, target)
        self.sandbox.reset()
        return target

    def shown(self, schema, chart):
        return sorted(rows(self.owner, chart.replace("{s}", schema)), key=str)

    def restart(self, mode="fast"):
        self.owner.close()
        self.cluster.restart(mode)
        self.owner = self.cluster.connect()
        self.settings()
        self.sandbox.reset()

    def close(self):
        self.owner.close()
        self.cluster.destroy()
        self.sandbox.stop()


def opened(api, schema, charts, setting="SELECT"):
    """Each chart in a session of its own, as a tool has them in its pool: (what it shows or its error, warnings, requests)."""
    views = []
    for chart in charts:
        before = api.sandbox.request_count()
        session = api.cluster.connect(user="bi")
        rows(session, setting)
        try:
            shown = sorted(rows(session, chart.replace("{s}", schema)), key=str)
        except psycopg2.Error as error:
            shown = error
        views.append((shown, tpmtest.notices(session), api.sandbox.request_count() - before))
        session.close()
    return views


# ----- a table that can be read -----


@pytest.fixture(scope="module")
def small():
    api = Api(5000)
    api.truth()
    yield api
    api.close()


@pytest.mark.parametrize("turn", range(len(ORDERS)))
def test_cold_then_warm(small, turn):
    """Twice the list, and one request while its size is not known; then nothing, whatever is asked."""
    order = ORDERS[turn]
    print(f"SEED={SEED}", order)
    schema = small.table()
    charts = [shapes.CHARTS[name] for name in order]
    right = [small.shown("truth", chart) for chart in charts + LATER]
    assert [shown for shown, _, _ in opened(small, schema, charts)] == right[:len(charts)]
    assert small.pages <= small.sandbox.request_count() <= 2 * small.pages + 1
    small.sandbox.reset()
    assert [shown for shown, _, _ in opened(small, schema, charts + LATER)] == right
    assert small.sandbox.request_count() == 0


def test_all_at_once(small):
    """As a browser opens them: what was in flight in each session comes on top."""
    schema = small.table()
    small.sandbox.settings(latency_ms=5)
    charts = list(shapes.CHARTS.values())
    views = [tpmtest.in_thread(lambda chart=chart: opened(small, schema, [chart])[0][0]) for chart in charts]
    for thread, _ in views:
        thread.join()
    assert [shown for _, (shown,) in views] == [small.shown("truth", chart) for chart in charts]
    assert small.sandbox.request_count() <= 2 * small.pages + 1 + len(charts)
    small.sandbox.reset()
    opened(small, schema, charts)
    assert small.sandbox.request_count() == 0


# ----- one that cannot -----


@pytest.fixture(scope="module", params=LARGE, ids=lambda param: f"{param[0]} rows")
def large(request):
    """A table of more pages than the hour has requests; four times as many requests while it is filled."""
    records, per_hour = request.param
    api = Api(records)
    rows(api.owner, f"ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '240', SET rate_limit_per_hour '{4 * per_hour}')")
    api.per_hour = per_hour
    yield api
    api.close()


def begin_hour(api, share, *limits):
    """Nothing used yet, and so many percent of it are for this cluster."""
    api.cluster.configure(tpm_fdw__rate_limit_share=share)
    api.cluster.reload()
    tpmtest.wait_until(lambda: api.cluster.sql("SHOW tpm_fdw.rate_limit_share") == [(share,)])
    rows(api.owner, "SELECT tpm_fdw_reset_rate_limits()")
    api.sandbox.reset()
    api.sandbox.settings(rate_per_second=limits[0], rate_per_hour=limits[1])


def in_words(error):
    """Does a reader learn what stands in the way, and what would help?"""
    assert isinstance(error, psycopg2.Error) and error.pgcode == "53400", error
    assert error.diag.message_detail and "tpm_fdw." in error.diag.message_hint, error
    return True


def test_nothing_is_burnt(large):
    """Every chart is there, or is refused in words, and the hour is as good as untouched."""
    small = {"a count", "the ten newest", "open ones of the last quarter"}
    begin_hour(large, "25%", 60, large.per_hour)
    for order in (WORST, WORST[::-1]):
        schema = large.table()
        large.sandbox.settings(rate_per_second=60, rate_per_hour=large.per_hour)
        charts = [shapes.CHARTS[name] for name in order]
        views = dict(zip(order, opened(large, schema, charts)))
        assert views["a count"][0] == [(large.records,)] and len(views["the ten newest"][0]) == 10
        assert len(views["open ones of the last quarter"][0]) == 100
        assert all(in_words(shown) for name, (shown, _, _) in views.items() if name not in small)
        # a list that stops at a bound has no total of its own: a second page tells how far it goes
        assert all(sent <= 1 + (name == "changes by month") for name, (_, _, sent) in views.items())
        assert large.sandbox.request_count() <= 7
        # what is known of the table's list costs nothing to refuse
        again = dict(zip(order, opened(large, schema, charts)))
        assert all(in_words(shown) for name, (shown, _, _) in again.items() if name not in small)
        assert again["by status"][2] == 0 and max(sent for _, _, sent in again.values()) <= 1


def test_a_stale_list_at_hand(large):
    """It answers every chart, before anything is burnt."""
    schema = large.table()
    begin_hour(large, "100%", 0, 0)
    assert len(rows(large.owner, f"SELECT id FROM {schema}.third_parties WHERE name <> ''")) == large.records
    charts = list(shapes.CHARTS.values())
    right = [large.shown(schema, chart) for chart in charts]
    rows(large.owner, "SELECT pg_sleep(1.1)")
    begin_hour(large, "25%", 60, large.per_hour)
    views = opened(large, schema, charts, "SET tpm_fdw.cache_ttl = 1")
    assert [shown for shown, _, _ in views] == right
    assert max(sent for _, _, sent in views) <= 1
    warned = dict(zip(shapes.CHARTS, (warnings for _, warnings, _ in views)))
    assert all("WARNING:  an answer of " in warned[name] for name in ("by status", "by country", "changes by month"))


# ----- after a restart -----

READ_ALL = "SELECT status, count(*) FROM {s}.third_parties WHERE city <> 'nowhere' GROUP BY status LIMIT 1000"


def refused(api, schema, limit, statement=READ_ALL):
    """A statement under a limit is refused in words; requests that it has cost."""
    before = api.sandbox.request_count()
    rows(api.owner, f"SET tpm_fdw.max_requests = {limit}")
    with pytest.raises(psycopg2.Error) as caught:
        rows(api.owner, statement.replace("{s}", schema))
    rows(api.owner, "SET tpm_fdw.max_requests = 0")
    assert in_words(caught.value)
    return api.sandbox.request_count() - before


def planned(api, schema):
    """What EXPLAIN says that it will cost."""
    lines = "\n".join(line for line, in rows(api.owner, "EXPLAIN " + READ_ALL.replace("{s}", schema)))
    return lines.split("Requests: ")[1].split()[0]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_first_query_after_a_restart(small, mode):
    """It knows the size of a list that was read, counted, or refused after its first page."""
    read, counted, first_page = (small.table() for _ in range(3))
    rows(small.owner, READ_ALL.replace("{s}", read))
    rows(small.owner, f"SELECT count(*) FROM {counted}.third_parties")
    assert refused(small, first_page, 20) == 1
    small.restart(mode)
    for schema in (read, counted, first_page):
        assert planned(small, schema) == f"~{small.pages}"
        assert refused(small, schema, 20) == 0
    assert small.sandbox.request_count() == 0


def test_a_read_that_was_given_up(small):
    """Without a total it is only known that there is more than was read: where that is not kept, the next one is refused at once."""
    schema = small.table()
    rows(small.owner, f"ALTER FOREIGN TABLE {schema.replace('charts', 'api')}.third_parties OPTIONS (DROP total_pointer)")
    assert refused(small, schema, 20) == 20
    rows(small.owner, "SELECT tpm_fdw_reset_cache()")
    assert refused(small, schema, 20) == 0
    small.restart()
    assert refused(small, schema, 20) == 0
