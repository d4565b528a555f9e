"""INSERT, UPDATE and COPY: what is sent, what comes back, what is refused before anything leaves."""

import io
import json
import os
import signal
import subprocess
from pathlib import Path

import psycopg2
import pytest

import tpmtest
from tpmtest import notices, rows

WRITES = ("POST", "PUT", "PATCH")


def sent(sandbox, *methods):
    """The writes (or requests of these methods) that the sandbox has seen."""
    return [entry for entry in sandbox.api_requests() if entry["method"] in (methods or WRITES)]


def bodies(sandbox, *methods):
    return [json.loads(entry["body"])["data"] for entry in sent(sandbox, *methods)]


def refused(connection, statement, code, parameters=None):
    """The error of a statement that must fail with this SQLSTATE."""
    with pytest.raises(psycopg2.Error) as caught:
        rows(connection, statement, parameters)
    assert caught.value.pgcode == code, caught.value
    return caught.value.diag


def status(connection, statement, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.statusmessage


def by_id(sandbox, kind):
    return {item["id"]: item for item in sandbox.dump(kind)}


# ----- INSERT -----


def test_insert_sends_what_was_named(tpm, sandbox):
    rows(tpm, "INSERT INTO third_parties (internal_id, name, country, city) VALUES ('W-1', 'Acme \"é\"', 'US', NULL)")
    (body,) = bodies(sandbox)
    assert body == {"type": "third_parties",
                    "attributes": {"internal_id": "W-1", "name": 'Acme "é"', "country": "US", "city": None}}
    assert len(sandbox.api_requests()) == 1
    assert sent(sandbox)[0]["request_id"]


def test_insert_returning(tpm, sandbox):
    for post_status in (200, 201, 202, 204):
        sandbox.settings(post_status=post_status)
        (row,) = rows(tpm, "INSERT INTO third_parties (internal_id, name, country) "
                           f"VALUES ('R-{post_status}', 'x', 'US') RETURNING id, status, created_at, profile_number")
        assert row[1] == "Active" and row[2] and row[3].startswith("3P-")
        assert by_id(sandbox, "third_parties")[row[0]]["attributes"]["internal_id"] == f"R-{post_status}"
    assert len(sent(sandbox, "GET")) == 2  # for the two without a body


def test_insert_linkage_and_types(tpm, sandbox):
    rows(tpm, "INSERT INTO third_parties (internal_id, name, country, region_id, owner_id, next_renewal_on) "
              "VALUES ('L-1', 'x', 'US', '2', '3', '2031-02-03')")
    (body,) = bodies(sandbox)
    assert body["attributes"]["next_renewal_on"] == "2031-02-03"
    assert body["relationships"] == {"region": {"data": {"type": "regions", "id": "2"}},
                                     "owner": {"data": {"type": "users", "id": "3"}}}
    rows(tpm, "INSERT INTO cases (name, third_party_id, requester_id, budget_amount, contact_aware, requested_at) "
              "VALUES ('c', '1', '1', 1234567890.50, false, '2026-01-02 03:04:05.5+02')")
    attributes = bodies(sandbox)[-1]["attributes"]
    assert '"budget_amount":1234567890.50' in sent(sandbox)[-1]["body"]
    assert attributes["contact_aware"] is False
    assert attributes["requested_at"] == "2026-01-02T01:04:05.5Z"


def test_insert_null_for_read_only(tpm, sandbox):
    rows(tpm, "INSERT INTO third_parties (id, profile_number, name, country) VALUES (NULL, NULL, 'x', 'US')")
    assert bodies(sandbox)[0] == {"type": "third_parties", "attributes": {"name": "x", "country": "US"}}
    refused(tpm, "INSERT INTO third_parties (name, country, created_at) VALUES ('x', 'US', now())", "428C9")
    refused(tpm, "INSERT INTO third_parties (name, country, risk_score) VALUES ('x', 'US', 'NaN')", "428C9")
    assert len(sent(sandbox)) == 1


def test_insert_client_id(tpm, sandbox):
    sandbox.settings(client_ids=True)
    (row,) = rows(tpm, "INSERT INTO third_parties (id, name, country) VALUES ('777777', 'x', 'US') RETURNING id")
    assert row == ("777777",) and bodies(sandbox)[0]["id"] == "777777"


def test_five_errors_are_one(tpm, sandbox):
    diag = refused(tpm, "INSERT INTO third_parties (internal_id, country, status, contact_email, region_id) "
                        "VALUES ('E', 'usa', 'Foo', 'nope', '99999')", "22023")
    for name in ("name", "country", "status", "contact_email", "region_id"):
        assert f'"{name}"' in diag.message_primary and f'Column "{name}": ' in diag.message_detail
    assert "internal_id = E" in diag.context


@pytest.mark.parametrize("code", [409, 422])
def test_conflict(tpm, sandbox, code):
    sandbox.settings(conflict_status=code)
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD conflict_codes '409,422:taken')")
    insert = "INSERT INTO third_parties (internal_id, name, country) VALUES ('C-1', 'a', 'US')"
    rows(tpm, insert)
    refused(tpm, insert, "23505")
    assert status(tpm, insert + ", ('C-2', 'b', 'US') ON CONFLICT DO NOTHING") == "INSERT 0 1"
    assert rows(tpm, insert + " ON CONFLICT DO NOTHING RETURNING id") == []
    # wrong as well as taken is wrong
    refused(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('C-1', 'a', 'nowhere') "
                 "ON CONFLICT DO NOTHING", "22023")
    assert sandbox.state()["created"] == {"third_parties": 2}


def test_insert_select_from_itself(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    before = rows(tpm, "SELECT count(*) FROM third_parties")[0][0]
    rows(tpm, "INSERT INTO third_parties (name, country) SELECT name, 'US' FROM third_parties")
    assert rows(tpm, "SELECT count(*) FROM third_parties")[0][0] == 2 * before


@pytest.mark.parametrize("back", ["", " RETURNING id"])
def test_a_statement_does_not_see_what_it_creates(tpm, sandbox, back):
    """Scans that begin, or begin again, when rows have been created already: as with an ordinary table."""
    rows(tpm, "SET tpm_fdw.max_writes = 0; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;"
              " CREATE TEMP TABLE loc AS SELECT 'l' || g AS name, 'FR' AS country FROM generate_series(1, 3) g;"
              " CREATE TEMP TABLE m AS SELECT unnest(ARRAY['US', 'DE', 'FR']) AS country; ANALYZE m")
    many = dict(rows(tpm, "SELECT country, count(*) FROM third_parties GROUP BY 1"))
    at_first = sum(many.values())

    def insert(select):
        rows(tpm, "BEGIN")
        made = int(status(tpm, f"INSERT INTO third_parties (name, country) {select}{back}").split()[-1])
        rows(tpm, "COMMIT")
        return made

    # each value of the join leads to rows that the next one would find
    assert insert("SELECT t.name, CASE m.country WHEN 'US' THEN 'DE' ELSE 'FR' END FROM m"
                  " JOIN third_parties t ON t.country = m.country") == many["US"] + many["DE"] + many["FR"]
    before = rows(tpm, "SELECT count(*) FROM third_parties")[0][0]
    assert insert("SELECT name, country FROM loc UNION ALL SELECT name, country FROM third_parties") == 3 + before
    before += 3 + before
    assert insert("SELECT name, country FROM loc WHERE NOT EXISTS (SELECT 1 FROM third_parties t"
                  " WHERE t.name = 'l9' AND t.country = loc.country)") == 3
    assert at_first < before + 3 == rows(tpm, "SELECT count(*) FROM third_parties")[0][0]
    made = rows(tpm, "WITH i AS MATERIALIZED (INSERT INTO third_parties (name, country) SELECT name, country FROM loc"
                     " RETURNING id) SELECT (SELECT count(*) FROM i), (SELECT count(*) FROM third_parties),"
                     " (SELECT count(*) FROM i JOIN third_parties t USING (id)), (SELECT count(id) FROM third_parties)")
    assert made == [(3, before + 3, 0, before + 3)]


def test_max_writes(tpm, sandbox):
    insert = "INSERT INTO third_parties (name, country) SELECT 'x' || g, 'US' FROM generate_series(1, {}) g"
    diag = refused(tpm, insert.format(101), "54000")
    assert "Nothing has been sent" in diag.message_detail
    assert sent(sandbox) == []
    assert status(tpm, insert.format(100)) == "INSERT 0 100"
    # more than its number becomes known: stopped there
    refused(tpm, insert.format(101) + " RETURNING id", "54000")
    assert len(sent(sandbox)) == 200
    assert "100 writes" in notices(tpm)


def test_largest_max_writes(tpm, sandbox):
    """A cap that no array of slots could hold is a cap all the same."""
    rows(tpm, "SET tpm_fdw.max_writes = 2147483647")
    assert status(tpm, "INSERT INTO third_parties (name, country) SELECT 'x', 'US' FROM generate_series(1, 3)") == "INSERT 0 3"
    assert len(sent(sandbox)) == 3


def copy(connection, statement, text):
    with connection.cursor() as cursor:
        cursor.copy_expert(statement, io.StringIO(text))
        return cursor.rowcount


def test_copy(tpm, sandbox):
    statement = "COPY third_parties (internal_id, name, country) FROM STDIN"
    with pytest.raises(psycopg2.Error) as caught:
        copy(tpm, statement, "".join(f"K-{i}\tx\tUS\n" for i in range(101)))
    assert caught.value.pgcode == "54000" and sent(sandbox) == []
    with pytest.raises(psycopg2.Error):
        copy(tpm, statement, "K-1\tx\tUS\nK-2\tx\n")
    assert sent(sandbox) == []
    assert copy(tpm, statement, "".join(f"K-{i}\tx\tUS\n" for i in range(100))) == 100
    assert len(sent(sandbox)) == 100
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    copy(tpm, statement, "".join(f"M-{i}\tx\tUS\n" for i in range(1100)))
    assert sandbox.state()["created"]["third_parties"] == 1200


def test_failing_row_names_those_beside_it(tpm, sandbox):
    diag = refused(tpm, "INSERT INTO third_parties (internal_id, name, country) "
                        "SELECT 'F-' || g, 'x', CASE g WHEN 10 THEN 'wrong' ELSE 'US' END FROM generate_series(1, 50) g",
                   "22023")
    assert "F-10" in diag.context
    created = [i["id"] for i in sandbox.dump("third_parties") if (i["attributes"]["internal_id"] or "").startswith("F-")]
    assert 9 <= len(created) <= 14
    warning = notices(tpm)
    for number in created:
        assert number in diag.message_detail and number in warning


# ----- UPDATE -----


@pytest.mark.parametrize("put", ["replace", "merge"])
@pytest.mark.parametrize("read_only", ["ignore", "same", "reject"])
def test_update_changes_one_member(tpm, sandbox, put, read_only):
    sandbox.settings(put=put, read_only=read_only)
    before = by_id(sandbox, "third_parties")
    rows(tpm, "ALTER FOREIGN TABLE third_parties DROP COLUMN custom_fields, DROP COLUMN contact_email")
    assert status(tpm, "UPDATE third_parties SET city = 'Ulm' WHERE id IN ('1', '2', '3')") == "UPDATE 3"
    after = by_id(sandbox, "third_parties")
    for number in before:
        expected = before[number]
        if number in ("1", "2", "3"):
            expected["attributes"]["city"] = "Ulm"
            expected["attributes"]["updated_at"] = after[number]["attributes"]["updated_at"]
        assert after[number] == expected
    assert len(sent(sandbox, "PUT")) == 3


def test_update_custom_field(tpm, sandbox):
    number, term, old = next((i["id"], f["term"], f["value"]) for i in sandbox.dump("third_parties")
                             for f in i["attributes"]["custom_fields"])
    rows(tpm, "ALTER FOREIGN TABLE third_parties ADD COLUMN mine text OPTIONS (custom_field '%s')"
         % term.replace("'", "''"))
    before = by_id(sandbox, "third_parties")[number]["attributes"]["custom_fields"]
    rows(tpm, "UPDATE third_parties SET mine = 'new' WHERE id = %s", (number,))
    after = by_id(sandbox, "third_parties")[number]["attributes"]["custom_fields"]
    for entry in before:
        if entry["term"] == term:
            entry["value"] = ["new"]
    assert after == before and old != ["new"]
    rows(tpm, "INSERT INTO third_parties (name, country, mine) VALUES ('x', 'US', 'inserted')")
    made = bodies(sandbox, "POST")[0]["attributes"]["custom_fields"]
    assert made == [{"id": made[0]["id"], "term": term, "value": ["inserted"]}]


def test_update_returning(tpm, sandbox):
    for put_status in (200, 204):
        sandbox.settings(put_status=put_status)
        ((city, updated),) = rows(tpm, "UPDATE third_parties SET city = %s WHERE id = '5' RETURNING city, updated_at::text",
                                  (f"C{put_status}",))
        stored = by_id(sandbox, "third_parties")["5"]["attributes"]
        assert city == stored["city"] == f"C{put_status}"
        assert updated.split("+")[0].replace(" ", "T") in stored["updated_at"]


def test_returning_old_and_new(tpm, sandbox):
    """From 18 on, RETURNING reads the row as it was, too; what is not yet there is NULL."""
    update = ("UPDATE third_parties SET city = 'Oslo' WHERE id = '5' "
              "RETURNING old.city, new.city, old.id, new.updated_at > old.updated_at")
    insert = ("INSERT INTO third_parties (name, country) VALUES ('n', 'DE') "
              "RETURNING old.id, new.name, new.id IS NOT NULL")
    if tpm.server_version < 180000:
        refused(tpm, update, "42P01")
        refused(tpm, insert, "42P01")
        return
    was = by_id(sandbox, "third_parties")["5"]["attributes"]["city"]
    assert rows(tpm, update) == [(was, "Oslo", "5", True)]
    assert rows(tpm, insert) == [(None, "n", True)]


def test_virtual_column(tpm, sandbox):
    """From 18 on, a foreign table may have columns that are made when they are read; they are nothing of the API's."""
    add = "ALTER FOREIGN TABLE third_parties ADD loud text GENERATED ALWAYS AS (upper(name)) VIRTUAL"
    if tpm.server_version < 180000:
        refused(tpm, add, "42601")
        return
    rows(tpm, add)
    assert rows(tpm, "SELECT loud = upper(name) FROM third_parties WHERE id = '5'") == [(True,)]
    assert rows(tpm, "UPDATE third_parties SET name = 'Quiet' WHERE id = '5' RETURNING loud") == [("QUIET",)]
    assert rows(tpm, "INSERT INTO third_parties (name, country) VALUES ('new', 'DE') RETURNING loud") == [("NEW",)]
    assert rows(tpm, "SELECT count(*) FROM third_parties WHERE loud = 'QUIET'") == [(1,)]
    assert all("loud" not in body["attributes"] for body in bodies(sandbox))


def test_update_that_changes_nothing(tpm, sandbox):
    assert status(tpm, "UPDATE third_parties SET name = name, city = city WHERE id IN ('1', '2')") == "UPDATE 2"
    assert sent(sandbox) == [] and len(sandbox.api_requests()) == 1


def test_update_is_refused_at_planning(tpm, sandbox):
    refused(tpm, "EXPLAIN UPDATE third_parties SET id = '7' WHERE id = '8'", "428C9")
    refused(tpm, "EXPLAIN UPDATE third_parties SET risk_rating = 'High'", "428C9")


def test_update_all_is_refused(tpm, sandbox):
    sandbox.reset()
    refused(tpm, "UPDATE third_parties SET approval_status = 'Approved', city = 'x'", "54000")
    # 300 rows: the page that brings the 101st is the last one that is asked for
    assert len(sent(sandbox, "GET")) == 2
    assert sent(sandbox) == []
    rows(tpm, "SET tpm_fdw.dry_run = on")
    assert status(tpm, "UPDATE third_parties SET approval_status = 'Approved', city = 'x'") == "UPDATE 300"
    assert sent(sandbox) == []
    # psycopg2 keeps the last fifty only
    assert notices(tpm).count("dry run: PUT /v1/third_parties/") == 50


def make_pending(tpm, sandbox, n):
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    rows(tpm, "SET tpm_fdw.max_requests = 0")
    for item in sandbox.dump("third_parties")[:n]:
        if item["attributes"]["approval_status"] != "Pending":
            sandbox.edit("third_parties", item["id"], approval_status="Pending")
    for item in sandbox.dump("third_parties")[n:]:
        if item["attributes"]["approval_status"] == "Pending":
            sandbox.edit("third_parties", item["id"], approval_status="Denied")


@pytest.mark.parametrize("pagination", ["links", "number", "number_base64", "offset"])
def test_update_of_the_condition(tpm, sandbox, pagination):
    sandbox.settings(pagination=pagination)
    rows(tpm, f"ALTER SERVER tpm OPTIONS (ADD pagination '{pagination}')")
    if pagination == "offset":
        rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_parameters 'page[limit],page[offset]')")
    make_pending(tpm, sandbox, 250)
    update = "UPDATE third_parties SET approval_status = 'Approved' WHERE approval_status = 'Pending'"
    assert status(tpm, update) == "UPDATE 250"
    assert sandbox.state()["changed"]["third_parties"] == 250
    assert not [i for i in sandbox.dump("third_parties") if i["attributes"]["approval_status"] == "Pending"]


def test_update_in_a_cursor_loop(tpm, sandbox):
    make_pending(tpm, sandbox, 250)
    rows(tpm, """DO $$ DECLARE r record; BEGIN
        FOR r IN SELECT id FROM tpm.third_parties WHERE approval_status = 'Pending' ORDER BY updated_at LOOP
            UPDATE tpm.third_parties SET approval_status = 'Approved' WHERE id = r.id;
        END LOOP; END $$""")
    assert sandbox.state()["changed"]["third_parties"] == 250


def test_update_from_updates_once(tpm, sandbox):
    rows(tpm, "CREATE TEMP TABLE m AS SELECT '4' AS id, 'C' || g AS city FROM generate_series(1, 3) g")
    assert status(tpm, "UPDATE third_parties t SET city = m.city FROM m WHERE m.id = t.id") == "UPDATE 1"
    assert len(sent(sandbox)) == 1


def test_update_of_a_row_that_is_gone(tpm, sandbox):
    sandbox.fault("status:404", match="PUT /v1/third_parties/6")
    assert status(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '6'") == "UPDATE 0"


def test_patch_of_what_changed(tpm, sandbox):
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD update_method 'PATCH', ADD update_body 'changed', "
              "ADD update_check 'none')")
    before = by_id(sandbox, "third_parties")["9"]
    rows(tpm, "UPDATE third_parties SET city = 'x', region_id = '1' WHERE id = '9'")
    (body,) = bodies(sandbox, "PATCH")
    assert body == {"type": "third_parties", "id": "9", "attributes": {"city": "x"},
                    "relationships": {"region": {"data": {"type": "regions", "id": "1"}}}}
    assert not sent(sandbox, "PUT") and len(sandbox.api_requests()) == 2
    after = by_id(sandbox, "third_parties")["9"]
    assert after["attributes"]["name"] == before["attributes"]["name"]


@pytest.mark.parametrize("etags", [True, False])
def test_lost_answer_to_a_put(tpm, sandbox, etags):
    sandbox.settings(etags=etags)
    for warm in (True, False):
        sandbox.fault("drop_after_write", count=1, match="PUT")
        assert status(tpm, "UPDATE third_parties SET city = %s WHERE id = '3'", (f"Lost{warm}",)) == "UPDATE 1"
    sandbox.fault("reset", count=1, match="PUT")
    assert status(tpm, "UPDATE third_parties SET city = 'Reset' WHERE id = '3'") == "UPDATE 1"
    assert sandbox.state()["changed"]["third_parties"] == 3
    assert by_id(sandbox, "third_parties")["3"]["attributes"]["city"] == "Reset"


@pytest.mark.parametrize("etags", [True, False])
def test_change_in_between(tpm, sandbox, cluster, etags):
    sandbox.settings(etags=etags)
    sandbox.fault("hold", count=1, match="GET /v1/third_parties/4")
    other = cluster.connect(tpm.info.dbname)
    thread, result = tpmtest.in_thread(lambda: status(
        other, "UPDATE tpm.third_parties SET name = 'Mine' WHERE internal_id = "
               "(SELECT internal_id FROM tpm.third_parties WHERE id = '4')"))
    tpmtest.wait_until(lambda: sandbox.state()["held"] or result)
    sandbox.edit("third_parties", "4", city="Theirs")
    sandbox.release()
    thread.join()
    attributes = by_id(sandbox, "third_parties")["4"]["attributes"]
    assert attributes["city"] == "Theirs"
    if isinstance(result[0], psycopg2.Error):
        assert result[0].pgcode == "40001" and '"city"' in result[0].diag.message_detail


def test_change_after_a_write_is_no_40001(tpm, sandbox):
    sandbox.settings(etags=True)
    sandbox.fault("status:412", match="PUT /v1/third_parties/2")
    diag = refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '2'", "40001")
    assert "meantime" in diag.message_primary
    diag = refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id IN ('1', '2')", "HV00L")
    assert "PUT /third_parties: 1" in diag.message_detail
    assert "PUT /third_parties: 1" in notices(tpm)


def test_warm_cache_does_not_feed_an_update(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.cache_ttl = 3600")
    rows(tpm, "SELECT * FROM third_parties")
    sandbox.edit("third_parties", "7", city="Elsewhere")
    rows(tpm, "UPDATE third_parties SET name = 'Mine' WHERE id = '7'")
    attributes = by_id(sandbox, "third_parties")["7"]["attributes"]
    assert (attributes["name"], attributes["city"]) == ("Mine", "Elsewhere")
    assert rows(tpm, "SELECT name, city FROM third_parties WHERE id = '7'") == [("Mine", "Elsewhere")]


# ----- certainty -----


@pytest.mark.parametrize("fault", ["drop_after_write", "reset", "garbage", "html_200", "status:500", "write_status:500"])
def test_doubtful_post_is_looked_up(tpm, sandbox, fault):
    sandbox.fault(fault, count=1, match="POST /v1")
    (row,) = rows(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('D-1', 'x', 'US') RETURNING id")
    assert [i["id"] for i in sandbox.dump("third_parties") if i["attributes"]["internal_id"] == "D-1"] == [row[0]]
    assert len({entry["request_id"] for entry in sent(sandbox, "POST")}) == 1


def test_lost_among_rows_of_one_key(tpm, sandbox):
    """What is found is another row's: the one that was lost exists already, and is not counted."""
    rows(tpm, "SELECT 1 FROM regions LIMIT 1")
    insert = ("INSERT INTO third_parties (internal_id, name, country) VALUES ('{0}1', 'first', 'US'), ('{0}2', 'b', 'US'), "
              "('{0}1', 'second', 'US'), ('{0}3', 'c', 'US')")
    sandbox.fault("reset", count=1, match="POST /v1")
    assert status(tpm, insert.format("S") + " ON CONFLICT DO NOTHING") == "INSERT 0 3"
    made = {i["attributes"]["internal_id"]: i["attributes"]["name"] for i in sandbox.dump("third_parties")}
    assert made["S1"] == "second" and sandbox.state()["created"] == {"third_parties": 3}
    sandbox.reset()
    sandbox.fault("reset", count=1, match="POST /v1")
    diag = refused(tpm, insert.format("T"), "23505")
    assert "T1" in diag.context and sandbox.state()["created"] == {"third_parties": 3}
    # the first arrived, and its answer was lost: the second is the one that exists
    sandbox.reset()
    sandbox.fault("drop_after_write", count=1, match="POST /v1")
    assert status(tpm, insert.format("U") + " ON CONFLICT DO NOTHING") == "INSERT 0 3"
    # both are lost: sent again one after the other
    sandbox.reset()
    sandbox.fault("reset", count=1, match="POST /v1")
    sandbox.fault("reset", count=1, match="POST /v1", skip=1)
    assert status(tpm, insert.format("X") + " ON CONFLICT DO NOTHING") == "INSERT 0 3"
    made = [i["attributes"]["internal_id"] for i in sandbox.dump("third_parties")]
    assert [made.count(f"X{number}") for number in (1, 2, 3)] == [1, 1, 1]
    # an earlier statement of the transaction made it
    sandbox.reset()
    rows(tpm, "BEGIN")
    rows(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('Y', 'x', 'US')")
    sandbox.fault("reset", count=1, match="POST /v1")
    assert "This transaction created it before" in refused(
        tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('Y', 'x', 'US')", "23505").message_detail
    rows(tpm, "ROLLBACK")


@pytest.mark.parametrize("key", ["NULL", None])
def test_without_natural_key_it_is_unknown(tpm, sandbox, key):
    sandbox.fault("drop_after_write", count=1, match="POST /v1")
    if key:
        statement = "INSERT INTO third_parties (internal_id, name, country) VALUES (NULL, 'Doubt', 'US')"
    else:
        statement = "INSERT INTO notes (body, third_party_id) VALUES ('Doubt', '1')"
    diag = refused(tpm, statement, "08007")
    assert "Doubt" in diag.message_detail
    assert "Doubtful: POST /" in notices(tpm)
    assert len(sent(sandbox, "POST")) == 1


def test_late_write_is_not_doubled(tpm, sandbox):
    sandbox.fault("late_write", count=1, match="POST /v1", ms=1200 * tpmtest.SLACK, close=True, **{"from": "arrival"})
    rows(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('LATE', 'x', 'US')")
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    assert len([i for i in sandbox.dump("third_parties") if i["attributes"]["internal_id"] == "LATE"]) == 1


def test_certain_refusals_are_repeated(tpm, sandbox):
    """A 503 with Retry-After is one only where the API's owner says so."""
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD unacted_statuses '429,503')")
    sandbox.fault("status:503", count=1, match="POST /v1", retry_after=0)
    sandbox.fault("retry_after", count=1, match="POST /v1", skip=1)
    rows(tpm, "INSERT INTO notes (body, third_party_id) VALUES ('x', '1')")
    assert sandbox.state()["created"] == {"notes": 1}
    assert len({entry["request_id"] for entry in sent(sandbox, "POST")}) == 1


def test_explain_names_the_look(tpm):
    insert = "EXPLAIN INSERT INTO third_parties (internal_id, name, country) VALUES ('E', 'e', 'US')"
    assert not [line for (line,) in rows(tpm, insert) if "Look Before" in line]
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD insert_check 'look')")
    assert [line for (line,) in rows(tpm, insert) if "Look Before: 1 request for up to 100 rows" in line]


def test_same_key_twice_while_lists_lag(tpm, sandbox):
    """The second is refused because of the first, which no list shows yet: that is known without one."""
    sandbox.fault("lagging_list", count=1, match="POST /v1", ms=60000)
    insert = "INSERT INTO third_parties (internal_id, name, country) VALUES ('TWICE', 'a', 'US'), ('TWICE', 'b', 'US')"
    assert status(tpm, insert + " ON CONFLICT DO NOTHING") == "INSERT 0 1"
    assert rows(tpm, "SELECT outcome, evidence FROM tpm_fdw_writes ORDER BY number DESC LIMIT 2") == [
        ("refused", "found: created before sending"), ("sent", "answer")]


def test_cancel_in_flight(tpm, sandbox):
    sandbox.fault("stall", count=1, match="POST /v1")
    rows(tpm, "SET statement_timeout = '500ms'")
    refused(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('CAN', 'x', 'US')", "57014")
    assert "Doubtful: POST /third_parties (internal_id = CAN)" in notices(tpm)


def test_cancel_in_an_exception_block(cluster, tpm, sandbox):
    """Caught: the WARNING comes with the block's end, once, and the transaction goes on."""
    sandbox.fault("stall", count=1, match="POST /v1")
    other = cluster.connect(tpm.info.dbname)
    thread, _ = tpmtest.in_thread(lambda: rows(other, """DO $$ BEGIN
        INSERT INTO tpm.notes (body, third_party_id) VALUES ('first', '1');
        RAISE 'not stalled';
        EXCEPTION WHEN query_canceled THEN
            INSERT INTO tpm.notes (body, third_party_id) VALUES ('second', '1');
        END $$"""))
    tpmtest.wait_until(lambda: sent(sandbox, "POST"))
    rows(tpm, "SELECT pg_cancel_backend(%s)", (other.info.backend_pid,))
    thread.join()
    text = notices(other)
    assert "the outcome of 1 write that was sent is unknown" in text and '"body":"first"' in text
    assert sandbox.state()["created"] == {"notes": 1}
    assert rows(other, "SELECT new->>'body', outcome FROM tpm_fdw_writes WHERE database = current_database()"
                       " ORDER BY number") == [("first", "unknown"), ("second", "sent")]


def test_terminated_when_idle(cluster, tpm, sandbox):
    """Nobody is listening: what a transaction has written is told to the log."""
    other = cluster.connect(tpm.info.dbname)
    rows(other, "BEGIN")
    rows(other, "INSERT INTO tpm.third_parties (internal_id, name, country) VALUES ('IDLE', 'x', 'US')")
    number = next(i["id"] for i in sandbox.dump("third_parties") if i["attributes"]["internal_id"] == "IDLE")
    rows(tpm, "SELECT pg_terminate_backend(%s)", (other.info.backend_pid,))
    tpmtest.wait_until(lambda: f"Written: POST /third_parties: {number}." in cluster.log())


def test_cancel_before_it_left(tpm, sandbox):
    rows(tpm, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_second '1')")
    rows(tpm, "SET statement_timeout = '1500ms'")
    refused(tpm, "INSERT INTO third_parties (internal_id, name, country) "
                 "SELECT 'B-' || g, 'x', 'US' FROM generate_series(1, 5) g", "57014")
    assert "Doubtful" not in notices(tpm)


@pytest.mark.parametrize("how", ["select", "copy"])
def test_many_with_faults(tpm, sandbox, how):
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    rows(tpm, "SET tpm_fdw.max_requests = 0")
    for i, fault in enumerate(["drop_after_write", "reset", "status:503", "drop_after_write", "write_status:502",
                               "late_write"]):
        more = {3: {"warm": True}, 5: {"ms": 1500, "close": True, "from": "arrival"}}.get(i, {})
        sandbox.fault(fault, count=1, match="POST /v1", skip=60 * i + 7, **more)
    sandbox.fault("lagging_list", count=40, match="POST /v1", skip=5, ms=2000)
    if how == "select":
        rows(tpm, "CREATE TEMP TABLE src AS SELECT 'MF-' || g AS internal_id, 'n' || g AS name "
                  "FROM generate_series(1, 1000) g")
        assert status(tpm, "INSERT INTO third_parties (internal_id, name, country) "
                           "SELECT internal_id, name, 'US' FROM src") == "INSERT 0 1000"
    else:
        assert copy(tpm, "COPY third_parties (internal_id, name, country) FROM STDIN",
                    "".join(f"MF-{i}\tn\tUS\n" for i in range(1000))) == 1000
    tpmtest.wait_until(lambda: sandbox.state()["late"] == 0)
    keys = [i["attributes"]["internal_id"] for i in sandbox.dump("third_parties")]
    keys = [key for key in keys if (key or "").startswith("MF-")]
    assert len(keys) == len(set(keys)) == 1000


# ----- the journal -----

JOURNAL = "SELECT method, path, id, columns, old, new, status, outcome FROM tpm_fdw_writes WHERE relation LIKE %s " \
          "AND database = current_database() ORDER BY number"


def test_journal_of_what_was_rolled_back(tpm, sandbox):
    city = by_id(sandbox, "third_parties")["1"]["attributes"]["city"]
    rows(tpm, "BEGIN")
    rows(tpm, "UPDATE third_parties SET city = 'Ulm' WHERE id = '1'")
    rows(tpm, "ROLLBACK")
    assert rows(tpm, JOURNAL, ("%third_parties",)) == [
        ("PUT", "/third_parties/1", "1", ["city"], {"city": city}, {"city": "Ulm"}, 200, "sent")]
    refused(tpm, "INSERT INTO third_parties (name, country) VALUES ('x', 'wrong')", "22023")
    sandbox.fault("stall", count=1, match="POST /v1")
    rows(tpm, "SET statement_timeout = '300ms'")
    refused(tpm, "INSERT INTO third_parties (name, country) VALUES ('x', 'US')", "57014")
    rows(tpm, "SET statement_timeout = 0")
    assert [(row[6], row[7]) for row in rows(tpm, JOURNAL, ("%third_parties",))] == [
        (200, "sent"), (422, "refused"), (None, "unknown")]


def test_journal_after_kill_9(sandbox):
    cluster = tpmtest.Cluster().start()
    connection = cluster.connect()
    tpmtest.setup_server(connection, sandbox, schema="tpm", trust="exact")
    rows(connection, "SET tpm_fdw.max_writes = 0")
    sandbox.settings(latency_ms=5)
    thread, _ = tpmtest.in_thread(lambda: rows(
        connection, "INSERT INTO tpm.third_parties (internal_id, name, country) "
                    "SELECT 'KILL-' || g, 'x', 'US' FROM generate_series(1, 1000) g"))
    tpmtest.wait_until(lambda: len(sent(sandbox)) > 200)
    postmaster = int((cluster.datadir / "postmaster.pid").read_text().split("\n")[0])
    backends = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(postmaster, signal.SIGKILL)
    thread.join()
    tpmtest.wait_until(lambda: not any(Path("/proc", pid).exists() for pid in backends))
    cluster.running = False
    cluster.start()
    there = {i["attributes"]["internal_id"] for i in sandbox.dump("third_parties")}
    there = {key for key in there if (key or "").startswith("KILL-")}
    journal = cluster.sql("SELECT new->>'internal_id', outcome, sendings, evidence FROM tpm_fdw_writes")
    unknown = {key for key, outcome, _, _ in journal if outcome == "unknown"}
    # a backend that the end of the postmaster finds between an intent and its sending says that it was not sent
    assert all(outcome in ("sent", "unknown") or (outcome, sendings, evidence) == ("refused", 0, "not sent")
               for _, outcome, sendings, evidence in journal) and len(unknown) <= 4
    assert there == {key for key, outcome, _, _ in journal if outcome == "sent"} | (unknown & there)
    cluster.destroy()


# ----- ROLLBACK -----


def test_rollback_tells_once(tpm, sandbox):
    insert = "INSERT INTO notes (body, third_party_id) VALUES ('x', '1')"
    rows(tpm, "BEGIN")
    rows(tpm, insert)
    rows(tpm, "SAVEPOINT a")
    rows(tpm, insert)
    rows(tpm, "ROLLBACK TO a")
    assert "1 write " in notices(tpm)
    rows(tpm, "ROLLBACK")
    assert "1 write " in notices(tpm)
    rows(tpm, "BEGIN")
    rows(tpm, insert)
    rows(tpm, "COMMIT")
    assert notices(tpm) == ""
    rows(tpm, "DO $$ BEGIN INSERT INTO tpm.notes (body, third_party_id) VALUES ('x', '1'); RAISE 'no'; "
              "EXCEPTION WHEN raise_exception THEN NULL; END $$")
    assert "1 write " in notices(tpm)


def test_what_fails_inside_rolls_back_no_write(tpm, sandbox):
    """A resource that an import skips is undone by itself; what the transaction has written stays its own."""
    rows(tpm, "CREATE SCHEMA skipping")
    for ending in ("COMMIT", "ROLLBACK"):
        rows(tpm, "BEGIN")
        rows(tpm, "INSERT INTO notes (body, third_party_id) VALUES ('x', '1')")
        sandbox.fault("html_200", count=1, match="GET /v1/departments")
        notices(tpm)
        rows(tpm, "IMPORT FOREIGN SCHEMA sample FROM SERVER tpm INTO skipping OPTIONS (resources '/departments')")
        told = notices(tpm)
        assert 'resource "/departments" is skipped' in told and "1 write " not in told
        rows(tpm, ending)
        assert ("1 write " in notices(tpm)) == (ending == "ROLLBACK")


def test_prepare_transaction(cluster, tpm, sandbox):
    rows(tpm, "BEGIN")
    rows(tpm, "INSERT INTO notes (body, third_party_id) VALUES ('x', '1')")
    refused(tpm, "PREPARE TRANSACTION 'x'", "0A000")


# ----- safe hands -----


def test_refused_statements(tpm, sandbox):
    for statement, code in [
            ("DELETE FROM third_parties", "0A000"), ("TRUNCATE third_parties", "0A000"),
            ("INSERT INTO third_parties (name, country) VALUES ('x', 'US') ON CONFLICT (id) DO NOTHING", "42P10"),
            ("INSERT INTO third_parties (name, country) VALUES ('x', 'US') "
             "ON CONFLICT (id) DO UPDATE SET name = 'y'", "42P10"),
            ("SELECT * FROM third_parties FOR UPDATE", "0A000"),
            ("SELECT * FROM third_parties FOR KEY SHARE", "0A000"),
            ("MERGE INTO third_parties t USING (SELECT '1' AS id) s ON s.id = t.id WHEN MATCHED THEN DO NOTHING", "0A000"),
            ("UPDATE regions SET name = 'x'", "55000"), ("INSERT INTO regions (name) VALUES ('x')", "55000"),
            ("UPDATE notes SET body = 'x'", "55000")]:
        refused(tpm, statement, code)
    rows(tpm, "CREATE TEMP TABLE l AS SELECT '1'::text AS id")
    assert rows(tpm, "SELECT l.id FROM l JOIN third_parties t USING (id) FOR UPDATE OF l") == [("1",)]
    assert sent(sandbox) == []


def test_updatable(tpm, sandbox):
    def events():
        return rows(tpm, "SELECT relname::text, pg_relation_is_updatable(oid, false) FROM pg_class "
                         "WHERE relname IN ('third_parties', 'notes', 'regions') ORDER BY 1")

    assert events() == [("notes", 8), ("regions", 0), ("third_parties", 12)]
    assert rows(tpm, "SELECT is_insertable_into FROM information_schema.tables WHERE table_name = 'third_parties'") \
        == [("YES",)]
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD updatable 'false')")
    assert events() == [("notes", 0), ("regions", 0), ("third_parties", 0)]
    refused(tpm, "INSERT INTO third_parties (name, country) VALUES ('x', 'US')", "55000")


def test_a_broken_table_does_not_end_the_catalogue(tpm, sandbox):
    """What BI tools ask of all tables at once must not fail at one of them; using it must."""
    rows(tpm, "CREATE FOREIGN TABLE lost (id text) SERVER tpm OPTIONS (resource '/x/{nothing}')")
    rows(tpm, "CREATE FOREIGN TABLE unchecked (id text, name text) SERVER tpm OPTIONS (update_check 'none')")
    notices(tpm)
    assert rows(tpm, "SELECT table_name::text, is_insertable_into::text FROM information_schema.tables"
                     " WHERE table_name IN ('lost', 'unchecked', 'notes') AND table_schema IN ('tpm', 'public')"
                     " ORDER BY 1") == [("lost", "NO"), ("notes", "YES"), ("unchecked", "NO")]
    # and leaves nothing open
    assert notices(tpm) == ""
    # also where a parallel worker is asked, which may begin no subtransaction
    parallel = "force_parallel_mode" if tpm.server_version < 160000 else "debug_parallel_query"
    rows(tpm, f"SET {parallel} = on")
    assert rows(tpm, "SELECT pg_relation_is_updatable('lost'::regclass, false)") == [(0,)]
    rows(tpm, f"RESET {parallel}")
    refused(tpm, "SELECT * FROM lost", "HV005")
    refused(tpm, "INSERT INTO lost VALUES ('1')", "HV005")
    refused(tpm, "UPDATE unchecked SET name = 'x'", "HV024")


def test_an_endpoint_that_is_not_read(tpm, sandbox):
    rows(tpm, "ALTER FOREIGN TABLE notes OPTIONS (SET ops 'create')")
    assert '"read"' in refused(tpm, "SELECT * FROM notes", "55000").message_detail
    refused(tpm, "UPDATE notes SET subject = 'x' WHERE id = '1'", "55000")
    assert sent(sandbox) == []
    rows(tpm, "INSERT INTO notes (subject, body, third_party_id) VALUES ('s', 'b', '1')")
    rows(tpm, "ANALYZE notes")
    assert [(entry["method"], entry["path"]) for entry in sandbox.api_requests()] == [("POST", "/v1/notes")]


def test_dry_run(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.dry_run = on")
    assert rows(tpm, "INSERT INTO third_parties (name, country) VALUES ('x', 'US') RETURNING id, name") == [(None, "x")]
    assert sandbox.api_requests() == []
    text = notices(tpm)
    assert "POST /v1/third_parties" in text and '"name":"x"' in text
    refused(tpm, "INSERT INTO third_parties (name, created_at) VALUES ('x', now())", "428C9")


def test_enabled(cluster, tpm, sandbox):
    cluster.configure(tpm_fdw__enabled="read")
    cluster.reload()
    try:
        tpmtest.wait_until(lambda: rows(tpm, "SHOW tpm_fdw.enabled") == [("read",)])
        refused(tpm, "INSERT INTO third_parties (name, country) VALUES ('x', 'US')", "55000")
        refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '1'", "55000")
        assert sent(sandbox) == [] and rows(tpm, "SELECT 1 FROM third_parties WHERE id = '1'") == [(1,)]
    finally:
        cluster.configure(tpm_fdw__enabled="on")
        cluster.reload()


def test_check_option_and_triggers(tpm, sandbox):
    rows(tpm, "CREATE VIEW public.german AS SELECT * FROM tpm.third_parties WHERE country = 'DE' WITH CHECK OPTION")
    refused(tpm, "INSERT INTO public.german (name, country) VALUES ('x', 'US')", "44000")
    rows(tpm, "INSERT INTO public.german (internal_id, name, country) VALUES ('G', 'x', 'DE')")
    refused(tpm, "UPDATE public.german SET country = 'US' WHERE internal_id = 'G'", "44000")
    assert len(sent(sandbox)) == 1
    rows(tpm, """CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.name = 'none' THEN RETURN NULL; END IF; NEW.city := 'by trigger'; RETURN NEW; END $$""")
    rows(tpm, "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON third_parties FOR EACH ROW EXECUTE FUNCTION public.no()")
    assert status(tpm, "INSERT INTO third_parties (name, country) VALUES ('none', 'US'), ('some', 'US')") == "INSERT 0 1"
    assert bodies(sandbox)[-1]["attributes"]["city"] == "by trigger"
    assert len(sent(sandbox)) == 2
    rows(tpm, """CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE NOTICE 'seen %', NEW.profile_number; RETURN NULL; END $$""")
    rows(tpm, "CREATE TRIGGER a AFTER INSERT ON third_parties FOR EACH ROW EXECUTE FUNCTION public.see()")
    rows(tpm, "INSERT INTO third_parties (name, country) VALUES ('some', 'US')")
    assert "seen 3P-" in notices(tpm)


def test_transition_tables(tpm, sandbox):
    """A parent's trigger cannot collect foreign rows: refused before they are sent, not after."""
    rows(tpm, "CREATE TABLE public.par (id text, name text, country text);"
              " CREATE FOREIGN TABLE public.chi () INHERITS (public.par) SERVER tpm OPTIONS (resource '/third_parties');"
              " CREATE TABLE public.pt (id text, name text, country text) PARTITION BY LIST (country);"
              " CREATE FOREIGN TABLE public.pt_f PARTITION OF public.pt DEFAULT SERVER tpm OPTIONS (resource '/third_parties');"
              " CREATE FUNCTION public.none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
              " CREATE TRIGGER o AFTER UPDATE ON public.par REFERENCING OLD TABLE AS o EXECUTE FUNCTION public.none();"
              " CREATE TRIGGER n AFTER INSERT ON public.pt REFERENCING NEW TABLE AS n EXECUTE FUNCTION public.none();"
              " INSERT INTO public.par VALUES ('l', 'local')")
    refused(tpm, "UPDATE public.par SET name = 'x' WHERE id IN ('1', '2')", "0A000")
    for statement in ("INSERT INTO public.pt (name, country) VALUES ('x', 'US')",
                      "INSERT INTO public.pt (name, country) VALUES ('x', 'US') RETURNING id",
                      "COPY public.pt (name, country) FROM PROGRAM 'echo x,US' (FORMAT csv)"):
        refused(tpm, statement, "0A000")
    assert sent(sandbox) == [] and "WARNING" not in notices(tpm)
    assert status(tpm, "UPDATE public.par SET name = 'y' WHERE id = 'l'") == "UPDATE 1"


def test_generated_default_domain_array(tpm, sandbox):
    rows(tpm, "CREATE DOMAIN public.land AS text CHECK (VALUE ~ '^[A-Z]{2}$')")
    rows(tpm, """CREATE FOREIGN TABLE public.g (id text, name text, country public.land DEFAULT 'AT',
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
        city text OPTIONS (attribute 'city') GENERATED ALWAYS AS (lower(name)) STORED)
        SERVER tpm OPTIONS (resource '/third_parties')""")
    assert rows(tpm, "INSERT INTO public.g (name) VALUES ('Wien') RETURNING country, city, upper_name") \
        == [("AT", "wien", "WIEN")]
    assert bodies(sandbox)[0]["attributes"] == {"name": "Wien", "country": "AT", "city": "wien"}
    refused(tpm, "INSERT INTO public.g (name, country) VALUES ('x', 'nope')", "23514")
    rows(tpm, "UPDATE public.g SET name = 'Graz' WHERE id = '1'")
    attributes = bodies(sandbox, "PUT")[0]["attributes"]
    assert (attributes["name"], attributes["city"]) == ("Graz", "graz") and "upper_name" not in attributes
    rows(tpm, "INSERT INTO training_records (name, third_party_id, attachment_ids) VALUES ('t', '1', '{1,2}')"
         if rows(tpm, "SELECT 1 FROM pg_attribute WHERE attrelid = 'training_records'::regclass "
                      "AND attname = 'attachment_ids'") else
         "INSERT INTO training_records (name, third_party_id, attachments) VALUES ('t', '1', '{1,2}')")
    assert bodies(sandbox)[-1]["relationships"]["attachments"]["data"] == [
        {"type": "attachments", "id": "1"}, {"type": "attachments", "id": "2"}]


def test_partitions(tpm, sandbox):
    rows(tpm, "CREATE TABLE public.p (id text, name text, country text, city text) PARTITION BY LIST (country)")
    rows(tpm, "CREATE FOREIGN TABLE public.p_us PARTITION OF public.p FOR VALUES IN ('US') SERVER tpm "
              "OPTIONS (resource '/third_parties', query 'filter[country]=US')")
    rows(tpm, "CREATE FOREIGN TABLE public.p_de (city text, country text, name text, x int, id text) SERVER tpm "
              "OPTIONS (resource '/third_parties', query 'filter[country]=DE')")
    rows(tpm, "ALTER FOREIGN TABLE public.p_de DROP COLUMN x")
    rows(tpm, "ALTER TABLE public.p ATTACH PARTITION public.p_de FOR VALUES IN ('DE')")
    rows(tpm, "CREATE TABLE public.p_fr PARTITION OF public.p FOR VALUES IN ('FR')")
    assert status(tpm, "INSERT INTO public.p (name, country) VALUES ('a', 'US'), ('b', 'DE'), ('c', 'FR'), ('d', 'DE')") \
        == "INSERT 0 4"
    assert sandbox.state()["created"]["third_parties"] == 3
    n = rows(tpm, "SELECT count(*) FROM public.p WHERE name IN ('a', 'b', 'c', 'd')")[0][0]
    assert n == 4
    assert status(tpm, "UPDATE public.p SET city = 'X' WHERE name IN ('a', 'b', 'c', 'd')") == "UPDATE 4"
    assert sandbox.state()["changed"]["third_parties"] == 3
    diag = refused(tpm, "INSERT INTO public.p (name, country) SELECT 'n' || g, CASE g % 2 WHEN 0 THEN 'US' ELSE 'DE' END "
                        "FROM generate_series(1, 150) g", "54000")
    assert "Nothing has been sent" in diag.message_detail and sandbox.state()["created"]["third_parties"] == 3
    with pytest.raises(psycopg2.Error) as caught:
        copy(tpm, "COPY public.p (name, country) FROM STDIN", "".join(f"x\t{c}\n" for c in ["US", "DE"] * 60))
    assert caught.value.pgcode == "54000" and sandbox.state()["created"]["third_parties"] == 3


def test_placeholder(tpm, sandbox):
    rows(tpm, "CREATE FOREIGN TABLE public.n (id text, third_party_id text, body text) SERVER tpm "
              "OPTIONS (resource '/third_parties/{third_party_id}/notes')")
    refused(tpm, "INSERT INTO public.n (body) VALUES ('x')", "HV002")
    refused(tpm, "INSERT INTO public.n (third_party_id, body) VALUES ('..', 'x')", "22023")
    assert sandbox.api_requests() == []


def test_explain(tpm, sandbox):
    plan = "\n".join(row[0] for row in rows(tpm, "EXPLAIN INSERT INTO third_parties (name) VALUES ('x')"))
    assert "Remote: POST /third_parties" in plan and "Requests a Row: 1" in plan and "Batch Size: 101" in plan
    plan = "\n".join(row[0] for row in rows(tpm, "EXPLAIN UPDATE third_parties SET name = 'x' WHERE id = '1'"))
    assert "Remote: PUT /third_parties/{id}" in plan and "Requests a Row: 2" in plan
    assert sandbox.api_requests() == []


def test_not_exists_sees_what_others_created(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.cache_ttl = 3600")
    rows(tpm, "SELECT * FROM third_parties")
    sandbox.create("third_parties", internal_id="NE", name="x", country="US")
    insert = ("INSERT INTO third_parties (internal_id, name, country) SELECT 'NE', 'y', 'US' "
              "WHERE NOT EXISTS (SELECT 1 FROM third_parties WHERE internal_id = 'NE')")
    assert status(tpm, insert) == "INSERT 0 0" and sent(sandbox) == []


# ----- two at once, ends, encodings -----


def test_two_updates_at_once(cluster, tpm, sandbox):
    sandbox.settings(etags=True)
    sandbox.fault("hold", count=2, match="PUT /v1/third_parties/4")

    def update(city):
        other = cluster.connect(tpm.info.dbname)
        return status(other, "UPDATE tpm.third_parties SET city = %s WHERE id = '4'", (city,))

    threads = [tpmtest.in_thread(lambda city=city: update(city)) for city in ("one", "two")]
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 2)
    sandbox.release()
    for thread, _ in threads:
        thread.join()
    results = [result[0] for _, result in threads]
    assert "UPDATE 1" in results
    assert [r.pgcode for r in results if isinstance(r, psycopg2.Error)] == ["40001"]


@pytest.mark.parametrize("etags", [False, "weak"])
def test_two_updates_without_etags(cluster, tpm, sandbox, etags):
    """The API cannot tell; this cluster can: the one that comes second sends nothing. Weak tags are of no use."""
    sandbox.settings(etags=etags)
    sandbox.fault("hold", count=1, match="PUT /v1/third_parties/4")
    first = cluster.connect(tpm.info.dbname)
    thread, result = tpmtest.in_thread(lambda: status(first, "UPDATE tpm.third_parties SET city = 'one' WHERE id = '4'"))
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    second = cluster.connect(tpm.info.dbname)
    with pytest.raises(psycopg2.Error) as caught:
        rows(second, "UPDATE tpm.third_parties SET name = 'two' WHERE id = '4'")
    assert caught.value.pgcode == "40001"
    assert status(second, "UPDATE tpm.third_parties SET name = 'other' WHERE id = '5'") == "UPDATE 1"
    sandbox.release()
    thread.join()
    assert result == ["UPDATE 1"]
    assert [entry["path"] for entry in sent(sandbox, "PUT")] == ["/v1/third_parties/4", "/v1/third_parties/5"]
    # and both have seen to the end of it
    assert status(second, "UPDATE tpm.third_parties SET name = 'two' WHERE id = '4'") == "UPDATE 1"
    assert status(first, "UPDATE tpm.third_parties SET city = 'three' WHERE id = '4'") == "UPDATE 1"


def test_terminated_in_flight_is_in_the_log(cluster, tpm, sandbox):
    sandbox.fault("stall", count=1, match="POST /v1")
    other = cluster.connect(tpm.info.dbname)
    thread, _ = tpmtest.in_thread(lambda: rows(other, "INSERT INTO tpm.third_parties (internal_id, name, country) "
                                              "VALUES ('TERMINATED', 'x', 'US')"))
    tpmtest.wait_until(lambda: sent(sandbox, "POST"))
    rows(tpm, "SELECT pg_terminate_backend(%s)", (other.info.backend_pid,))
    thread.join()
    tpmtest.wait_until(lambda: "Doubtful: POST /third_parties (internal_id = TERMINATED)" in cluster.log())


def test_arrived_and_not_listed(tpm, sandbox):
    sandbox.fault("drop_after_write", count=1, match="POST /v1")
    sandbox.fault("lagging_list", count=1, match="POST /v1", ms=1600 * tpmtest.SLACK)
    (row,) = rows(tpm, "INSERT INTO third_parties (internal_id, name, country) VALUES ('LAG', 'x', 'US') "
                       "ON CONFLICT DO NOTHING RETURNING id")
    assert [i["id"] for i in sandbox.dump("third_parties") if i["attributes"]["internal_id"] == "LAG"] == [row[0]]
    assert [entry["status"] for entry in sent(sandbox, "POST")][-1] == 409


def test_latin1(cluster, sandbox):
    cluster.sql("CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    connection = cluster.connect("latin1")
    connection.set_client_encoding("UTF8")
    tpmtest.setup_server(connection, sandbox, schema="tpm", trust="exact")
    assert rows(connection, "INSERT INTO tpm.third_parties (name, country) VALUES ('Bär', 'DE') RETURNING name") \
        == [("Bär",)]
    assert bodies(sandbox)[0]["attributes"]["name"] == "Bär"
    connection.close()
    cluster.sql("DROP DATABASE latin1")


def test_the_budget_must_suffice(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    rows(tpm, "SET tpm_fdw.max_wait = '1s'")
    rows(tpm, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '600', ADD rate_limit_group 'writes')")
    rows(tpm, "SELECT 1 FROM third_parties WHERE id = '1'")
    refused(tpm, "INSERT INTO third_parties (name, country) SELECT 'x', 'US' FROM generate_series(1, 700)", "53400")
    refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id::int < 299", "53400")
    assert sent(sandbox) == []


def test_view_owner_pays(cluster, tpm, sandbox):
    rows(tpm, "CREATE ROLE clerk LOGIN")
    try:
        rows(tpm, "CREATE VIEW public.tp AS SELECT * FROM tpm.third_parties")
        rows(tpm, "GRANT SELECT, INSERT (internal_id, name, country), UPDATE (city) ON public.tp TO clerk")
        clerk = cluster.connect(tpm.info.dbname, "clerk")
        rows(clerk, "INSERT INTO public.tp (internal_id, name, country) VALUES ('CLERK', 'x', 'US')")
        assert status(clerk, "UPDATE public.tp SET city = 'y' WHERE internal_id = 'CLERK'") == "UPDATE 1"
        refused(clerk, "UPDATE public.tp SET name = 'y'", "42501")
        refused(clerk, "INSERT INTO tpm.third_parties (name, country) VALUES ('x', 'US')", "42501")
        clerk.close()
    finally:
        rows(tpm, "DROP OWNED BY clerk")
        rows(tpm, "DROP ROLE clerk")


def test_polymorphic_type_is_kept(tpm, sandbox):
    rows(tpm, "ALTER FOREIGN TABLE notes ADD COLUMN kind text OPTIONS (pointer '/relationships/author/data/type')")
    rows(tpm, "INSERT INTO notes (body, third_party_id, author_id, kind) VALUES ('x', '1', '2', 'users')")
    assert bodies(sandbox)[0]["relationships"]["author"] == {"data": {"type": "users", "id": "2"}}
    refused(tpm, "INSERT INTO notes (body, third_party_id, author_id, kind) VALUES ('x', '1', '2', 'robots')", "22023")


@pytest.mark.parametrize("trust", ["plain", "exact"])
def test_update_of_the_order(db, sandbox, trust):
    """An UPDATE that reads in the order of the time that it changes, and stops there."""
    tpmtest.setup_server(db, sandbox, schema="tpm", trust="exact" if trust == "exact" else None)
    rows(db, "SET search_path = tpm, public")
    make_pending(db, sandbox, 250)
    assert status(db, "UPDATE third_parties SET approval_status = 'Approved' "
                      "WHERE approval_status = 'Pending' AND updated_at > '2000-01-01'") == "UPDATE 250"
    assert sandbox.state()["changed"]["third_parties"] == 250


def test_no_id_column(tpm, sandbox):
    rows(tpm, "CREATE FOREIGN TABLE public.noid (name text, country text) SERVER tpm OPTIONS (resource '/third_parties')")
    assert rows(tpm, "INSERT INTO public.noid VALUES ('x', 'US') RETURNING name") == [("x",)]
    refused(tpm, "UPDATE public.noid SET name = 'y'", "55000")
    refused(tpm, "DELETE FROM public.noid", "0A000")


def test_row_movement(tpm, sandbox):
    rows(tpm, "CREATE TABLE public.m (name text, country text) PARTITION BY LIST (country)")
    rows(tpm, "CREATE FOREIGN TABLE public.m_us PARTITION OF public.m FOR VALUES IN ('US') SERVER tpm "
              "OPTIONS (resource '/third_parties')")
    rows(tpm, "CREATE TABLE public.m_fr PARTITION OF public.m FOR VALUES IN ('FR')")
    rows(tpm, "INSERT INTO public.m VALUES ('moved', 'FR')")
    assert status(tpm, "UPDATE public.m SET country = 'US' WHERE name = 'moved' AND country = 'FR'") == "UPDATE 1"
    assert sandbox.state()["created"] == {"third_parties": 1}
    assert rows(tpm, "SELECT count(*) FROM public.m_fr") == [(0,)]


def test_wrong_answers_to_a_put(tpm, sandbox):
    for fault in ("garbage", "html_200", "status:500", "html_502"):
        sandbox.fault(fault, count=1, match="PUT")
        assert status(tpm, "UPDATE third_parties SET city = %s WHERE id = '3'", (fault,)) == "UPDATE 1"
        assert by_id(sandbox, "third_parties")["3"]["attributes"]["city"] == fault


def test_lost_put_and_no_way_to_find_out(tpm, sandbox):
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sandbox.fault("drop_after_write", count=1, match="PUT")
    sandbox.fault("status:500", match="GET /v1/third_parties/3", skip=2)
    diag = refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '3'", "08007")
    assert "/third_parties/3" in diag.message_detail
    assert "PUT /third_parties: 3" in notices(tpm)


def test_lost_put_and_another_change(tpm, sandbox):
    sandbox.fault("reset", count=1, match="PUT")
    sandbox.fault("hold", count=1, match="GET /v1/third_parties/3", skip=2)
    thread, result = tpmtest.in_thread(lambda: status(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '3'"))
    tpmtest.wait_until(lambda: sandbox.state()["held"] == 1)
    sandbox.edit("third_parties", "3", name="Theirs")
    sandbox.release()
    thread.join()
    assert result[0].pgcode == "08007" and '"name"' in result[0].diag.message_detail
    assert by_id(sandbox, "third_parties")["3"]["attributes"]["name"] == "Theirs"


def test_refused_update_names_the_member(tpm, sandbox):
    sandbox.settings(read_only="reject")
    rows(tpm, "ALTER FOREIGN TABLE third_parties DROP COLUMN profile_number")
    diag = refused(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '3'", "22023")
    assert "profile_number" in diag.message_hint and "read_only_members" in diag.message_hint
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD read_only_members 'created_at,updated_at,profile_number')")
    assert status(tpm, "UPDATE third_parties SET city = 'x' WHERE id = '3'") == "UPDATE 1"


def test_statuses(tpm, sandbox):
    insert = "INSERT INTO notes (body, third_party_id) VALUES ('x', '1')"
    for fault, code in [("status:403", "42501"), ("status:308", "HV00M"), ("status:413", "HV00L"), ("status:404", "HV00R")]:
        sandbox.reset()
        sandbox.fault(fault, count=1, match="POST /v1")
        refused(tpm, insert, code)
        assert "rollback" not in notices(tpm) and len(sent(sandbox)) == 1
    for fault in ("empty_401", "status:429"):
        sandbox.reset()
        sandbox.fault(fault, count=1, match="POST /v1")
        assert status(tpm, insert) == "INSERT 0 1"


def test_loads_keep_memory_level(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.max_writes = 0")

    def load(n):
        copy(tpm, "COPY notes (body, third_party_id) FROM STDIN", "x\t1\n" * n)
        return rows(tpm, "SELECT sum(total_bytes)::int FROM pg_backend_memory_contexts")[0][0]

    first = load(500)
    assert load(1500) < first + 1000000
    assert rows(tpm, "SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'tpm_fdw %%'") == [(0,)]


def test_look_before_of_long_keys(tpm, sandbox):
    """As many as a URL takes; all that are there are left out, whichever look has them."""
    values = ", ".join(f"('{'K' * 60} {n:03}', 'long', 'US')" for n in range(150))
    insert = f"INSERT INTO third_parties (internal_id, name, country) VALUES {values} ON CONFLICT DO NOTHING"
    rows(tpm, "SET tpm_fdw.max_writes = 0")
    assert status(tpm, insert) == "INSERT 0 150"
    sandbox.reset()
    assert status(tpm, insert) == "INSERT 0 0"
    looks = sandbox.api_requests()
    assert {entry["method"] for entry in looks} == {"GET"} and 2 < len(looks) < 6
    assert max(len(entry["path"]) for entry in looks) < 6000
