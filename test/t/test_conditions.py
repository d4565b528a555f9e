"""Which comparisons may be sent, or end a list: types beside each other, zones, collations.

Each was a row lost or an error that SQL does not raise.
"""

import pytest
import tpmtest


def lines(session, query):
    """The plan, as it stands with an unreachable server."""
    return [row[0].strip() for row in tpmtest.rows(session, f"EXPLAIN (COSTS OFF) {query}")]


def numbers(session, query):
    return sorted(int(row[0]) for row in tpmtest.rows(session, query))


# Clocks go forward at 07:00 UTC, 02:00 local time; what reads 02:30 is later than 03:00 then.
CHANGE = {1: "2026-03-08T01:30:00Z", 2: "2026-03-08T02:30:00Z", 3: "2026-03-08T03:00:00Z", 4: "2026-03-08T03:45:00Z"}


@pytest.mark.parametrize("options", ["sortable 'true'", "filter_ge 'filter[date][start]', filter_le 'filter[date][end]'"])
def test_moment_beside_local_times(tpm, sandbox, options):
    """A bound with a zone on a column without one: no order of the column, no bound in its own terms."""
    for number, at in CHANGE.items():
        sandbox.edit("audit_events", number, occurred_at=at)
    tpmtest.rows(tpm, f"""
        CREATE FOREIGN TABLE public.local_times (id text, occurred_at timestamp OPTIONS ({options}) NOT NULL)
            SERVER tpm OPTIONS (resource '/audit_events');
        CREATE TABLE public.copied AS SELECT * FROM public.local_times;
        SET timezone = 'America/New_York'""")
    for moment in ("2026-03-08 07:15+00", "2026-03-08 07:31+00", "2026-03-08 06:00+00"):
        for operator in (">", ">=", "<", "<="):
            condition = f"occurred_at {operator} timestamptz '{moment}' AND id IN ('1', '2', '3', '4')"
            query = "SELECT id FROM public.{} WHERE " + condition
            assert numbers(tpm, query.format("local_times")) == numbers(tpm, query.format("copied")), condition


@pytest.mark.parametrize("day", ["date '5000000-01-01'", "(SELECT date '5000000-01-01')", "date '4000-01-01 BC'",
                                 "date 'infinity'", "timestamp '-infinity'", "timestamp '294276-12-31'"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_days_beyond_all_moments(tpm, sandbox, day, zone):
    """A day that no timestamptz holds compares all the same."""
    late = "BC" not in day and "'-inf" not in day
    tpmtest.rows(tpm, f"SET timezone = '{zone}'")
    assert len(tpmtest.rows(tpm, f"SELECT id FROM audit_events WHERE occurred_at < {day}")) == (
        len(sandbox.dump("audit_events")) if late else 0)
    assert len(tpmtest.rows(tpm, f"SELECT id FROM audit_events WHERE {day} <= occurred_at")) == (
        0 if late else len(sandbox.dump("audit_events")))


@pytest.mark.parametrize("zone, before, after", [
    ("UTC", "2026-02-28T23:59:59Z", "2026-03-01T00:00:01Z"),
    ("Asia/Kolkata", "2026-02-28T18:29:59Z", "2026-02-28T18:30:01Z"),
    ("America/New_York", "2026-03-01T04:59:59Z", "2026-03-01T05:00:01Z")])
def test_day_is_sent_as_the_moment_it_begins(tpm, zone, before, after):
    """In the session's zone, and a second further: what the API prints may be rounded."""
    tpmtest.rows(tpm, f"SET timezone = '{zone}'")
    for day in ("date '2026-03-01'", "timestamp '2026-03-01'"):
        assert f"filter[date][start]={before}" in " ".join(
            lines(tpm, f"SELECT * FROM audit_events WHERE occurred_at > {day}"))
        assert f"filter[date][end]={after}" in " ".join(
            lines(tpm, f"SELECT * FROM audit_events WHERE {day} >= occurred_at"))


@pytest.mark.parametrize("column", ["smallint", "integer", "bigint"])
@pytest.mark.parametrize("value", ["smallint", "integer", "bigint"])
def test_integers_of_any_width(tpm, column, value):
    tpmtest.rows(tpm, f"CREATE FOREIGN TABLE public.n (id text, hits {column} OPTIONS (filter 'hits')) SERVER tpm")
    for condition in (f"hits = 3::{value}", f"3::{value} = hits", f"hits IN (3::{value}, NULL, 3::{value})",
                      f"hits = ANY(ARRAY[3]::{value}[])"):
        plan = lines(tpm, f"SELECT * FROM public.n WHERE {condition}")
        assert any(line.startswith("Remote:") and "filter[hits]=3&" in line + "&" for line in plan), plan
        assert any(line.startswith("Recheck:") for line in plan)
    for condition in ("hits = 3::numeric", "hits = 3::float8", "hits + 0 = 3"):
        assert not any("filter[" in line for line in lines(tpm, f"SELECT * FROM public.n WHERE {condition}"))


@pytest.mark.parametrize("condition", ["name = 'Acme'", "name IN ('Acme', 'Bolt')", "name LIKE 'Ac%'",
                                       "name = 'Acme' OR name = 'Bolt'"])
@pytest.mark.usefixtures("icu")
def test_collation_that_matches_more_than_bytes(tpm, condition):
    """Under it SQL finds rows that the API does not."""
    tpmtest.rows(tpm, """
        CREATE COLLATION public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE FOREIGN TABLE public.l (id text, name text OPTIONS (filter 'name', filter_operators '=,in,like') COLLATE public.loose)
            SERVER tpm OPTIONS (resource '/third_parties')""")
    plan = lines(tpm, f"SELECT * FROM public.l WHERE {condition}")
    assert any(line.startswith("Local:") for line in plan) and not any("filter[" in line for line in plan)
    bytewise = condition.replace("name", 'name COLLATE "C"')
    assert any("filter[name]=Ac" in line for line in lines(tpm, f"SELECT * FROM public.l WHERE {bytewise}"))


@pytest.mark.parametrize("value, verdict", [("Acme", "Recheck"), ("Acme, Inc.", "Local"), (" Acme", "Local"), ("", "Local")])
def test_constants_of_an_or_are_looked_at(tpm, value, verdict):
    """As those of IN are, when the statement is planned."""
    plans = [lines(tpm, f"SELECT id FROM third_parties WHERE {condition}")
             for condition in (f"name IN ('Bolt', '{value}')", f"name = 'Bolt' OR '{value}' = name")]
    assert all(any(line.startswith(verdict) for line in plan) for plan in plans), plans
    remote = [line for plan in plans for line in plan if line.startswith("Remote:")]
    assert remote[0] == remote[1]


def asked(session, sandbox, query):
    """(rows, query strings of the requests)"""
    sandbox.reset()
    found = tpmtest.rows(session, query)
    return found, [entry["path"] + "?" + entry["query"] for entry in sandbox.api_requests()]


@pytest.mark.parametrize("condition, sent", [
    ("status IN ('Active', 'Inactive') AND status = 'Inactive'", "filter%5Bstatus%5D=Inactive&"),
    ("status = ANY(ARRAY(SELECT unnest('{Active,Inactive}'::text[]))) AND status IN ('Inactive', 'None')",
     "filter%5Bstatus%5D=Inactive&"),
    ("id IN ('1', '2', '3') AND id = '2'", "/v1/third_parties/2?"),
    ("id IN ('1', '2', '3') AND id IN ('3', '2', '4')", "filter%5Bid%5D=2,3&")])
def test_two_equalities_on_one_column(tpm, sandbox, condition, sent):
    """One request for what both allow, and a total may answer for it."""
    tpmtest.rows(tpm, "CREATE TABLE public.l AS SELECT id, status FROM third_parties")
    right = numbers(tpm, f"SELECT id FROM public.l WHERE {condition}")
    found, requests = asked(tpm, sandbox, f"SELECT id FROM third_parties WHERE {condition}")
    assert sorted(int(row[0]) for row in found) == right and right
    assert len(requests) == 1 and sent in requests[0] + "&"
    count, requests = asked(tpm, sandbox, f"SELECT count(*) FROM third_parties WHERE {condition}")
    assert count == [(len(right),)] and len(requests) == 1


@pytest.mark.parametrize("condition", ["status IN ('Active', 'Inactive') AND status = 'active'",
                                       "id IN ('1', '2') AND id IN ('3', '4')"])
def test_two_equalities_that_exclude_each_other(tpm, sandbox, condition):
    assert asked(tpm, sandbox, f"SELECT id FROM third_parties WHERE {condition}") == ([], [])
    assert lines(tpm, f"SELECT id FROM third_parties WHERE {condition}")


def test_id_that_is_a_list_to_the_api(tpm, sandbox):
    """Asked for by a filter, as where the table has parameters of its own, it is a value like others."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD query 'filter[status]=Active,Inactive')")
    tpm.notices.clear()
    for value in ("1,2", " 1", "1 ", "null", ""):
        found, requests = asked(tpm, sandbox, f"SELECT count(*) FROM third_parties WHERE id = '{value}'")
        assert found == [(0,)] and not any("filter%5Bid%5D" in request for request in requests)
    assert tpm.notices == []
    found, requests = asked(tpm, sandbox, "SELECT id FROM third_parties WHERE id = '7'")
    assert found == [("7",)] and len(requests) == 1 and "filter%5Bid%5D=7" in requests[0]


def test_ids_one_at_a_time(tpm, sandbox):
    """A filter that takes no lists gets none."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties ALTER id OPTIONS (ADD filter_operators '=')")
    found, requests = asked(tpm, sandbox, "SELECT id FROM third_parties WHERE id IN ('1', '2')")
    assert sorted(found) == [("1",), ("2",)] and [request.split("?")[0] for request in requests] == [
        "/v1/third_parties/1", "/v1/third_parties/2"]
    found, requests = asked(tpm, sandbox, "SELECT id FROM third_parties"
                                          " WHERE id = ANY(ARRAY(SELECT generate_series(1, 40)::text))")
    assert len(found) == 40 and not any("filter%5Bid%5D" in request for request in requests)


def test_more_ids_than_the_list_has_pages(tpm, sandbox):
    """Once its size is known, reading it costs less."""
    assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties") == [(300,)]
    found, requests = asked(tpm, sandbox, "SELECT id FROM third_parties"
                                          " WHERE id = ANY(ARRAY(SELECT generate_series(1, 5000)::text))")
    assert len(found) == 300 and len(requests) == 3


@pytest.mark.parametrize("type_name, value", [("numeric", "7.0"), ("float8", "7.0"), ("char(4)", "'7'"), ("citext", "'7'")])
def test_id_of_a_type_with_many_spellings(tpm, sandbox, contrib, type_name, value):
    """Its text is not the API's: compared here."""
    if type_name == "citext":
        contrib("citext")
        tpmtest.rows(tpm, "CREATE EXTENSION citext SCHEMA public")
    tpmtest.rows(tpm, f"CREATE FOREIGN TABLE public.odd (id {type_name}) SERVER tpm OPTIONS (resource '/third_parties')")
    assert len(tpmtest.rows(tpm, f"SELECT id FROM public.odd WHERE id = {value}")) == 1
    assert len(tpmtest.rows(tpm, f"SELECT id FROM public.odd WHERE id IN ({value}, NULL)")) == 1
    assert len(tpmtest.rows(tpm, f"SELECT o.id FROM (VALUES ({value}::{type_name})) v(x) JOIN public.odd o ON o.id = x")) == 1
