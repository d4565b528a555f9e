"""Custom fields as columns: found by the import, read, and written into their array."""

import json

import psycopg2
import pytest
import tpmtest
from tpmtest import notices, rows

@pytest.fixture(params=["sample", "tpm"])
def fields(api, sandbox, request):
    """s.third_parties with a column for each custom field, by either import."""
    options = {"custom_fields": "columns"}
    if request.param == "sample":
        options["resources"] = "/third_parties"
    rows(api, f"IMPORT FOREIGN SCHEMA {request.param} LIMIT TO (third_parties) FROM SERVER tpm INTO s"
              f" OPTIONS ({tpmtest.option_list(options)})")
    return api


def custom_columns(connection, table):
    return {name: (kind, term) for name, kind, term in rows(connection, """
        SELECT attname, format_type(atttypid, atttypmod), substr(o, length('custom_field=') + 1)
          FROM pg_attribute, unnest(attfdwoptions) o
         WHERE attrelid = %s::regclass AND o LIKE 'custom_field=%%' ORDER BY attnum""", (table,))}


def stored(sandbox, number, kind="third_parties"):
    (item,) = [item for item in sandbox.dump(kind) if item["id"] == str(number)]
    return {entry["term"]: entry["value"] for entry in item["attributes"]["custom_fields"]}


def put(sandbox):
    return [json.loads(entry["body"])["data"] for entry in sandbox.api_requests() if entry["method"] in ("PUT", "POST")]


EXPECTED = {"annual_spend": ("text", "Annual spend"), "tier": ("text", "Tier"),
            "contract_owner": ("text", "Contract owner"), "sites": ("text[]", "Sites")}

# ----- import -----


def test_one_for_each_definition(fields, sandbox):
    assert custom_columns(fields, "s.third_parties") == EXPECTED
    assert len(sandbox.api_requests()) == 1
    assert rows(fields, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'custom_fields'"
                        " AND attrelid = 's.third_parties'::regclass") == [("jsonb",)]


def test_only_on_request(api, sandbox):
    rows(api, "IMPORT FOREIGN SCHEMA sample FROM SERVER tpm INTO s OPTIONS (resources '/third_parties')")
    assert custom_columns(api, "s.third_parties") == {}
    sandbox.reset()
    rows(api, "CREATE SCHEMA t")
    rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO t")
    assert custom_columns(api, "t.third_parties") == {} and sandbox.requests() == []


def test_the_catalogue_looks_where_there_are_any(api, sandbox):
    rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO s OPTIONS (custom_fields 'columns', trust 'exact')")
    assert "the import sends 3 requests" in notices(api)
    assert sorted(entry["path"] for entry in sandbox.api_requests()) == ["/v1/cases", "/v1/engagements", "/v1/third_parties"]
    for table in ("third_parties", "engagements", "cases"):
        assert set(custom_columns(api, f"s.{table}")) == set(EXPECTED), table
    assert len(rows(api, "SELECT 1 FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind = 'f'")) > 20


def test_the_catalogue_without_them_where_they_cannot_be_read(api, sandbox):
    sandbox.fault("status:403", match="GET /v1/cases", detail="not for you")
    rows(api, "IMPORT FOREIGN SCHEMA tpm FROM SERVER tpm INTO s OPTIONS (custom_fields 'columns')")
    assert "not for you" in notices(api)
    assert custom_columns(api, "s.cases") == {} and custom_columns(api, "s.engagements")


def test_types_and_names(api, sandbox):
    entries = [("Renewal", ["2024-05-01"]), ("name", ["x"]), ("Since", ["2024-05-01T10:00:00Z"]), ("Seats", [5]),
               ("Share", [0.5]), ("Mixed", ["2024-05-01", "soon"]), ('It\'s "quoted"', ["y"]), ("", ["nobody's"]),
               ("Größe", ["z"]), ("T" * 70, ["long"])]
    for number in range(1, 9):
        sandbox.edit("regions", number, custom_attributes=[])
    sandbox.edit("regions", 1, custom_attributes=[{"id": str(n), "term": term, "value": value}
                                                  for n, (term, value) in enumerate(entries)])
    rows(api, "IMPORT FOREIGN SCHEMA sample FROM SERVER tpm INTO s"
              " OPTIONS (resources '/regions', custom_fields 'columns')")
    text = notices(api)
    assert custom_columns(api, "s.regions") == {
        "renewal": ("date", "Renewal"), "name_2": ("text", "name"), "since": ("timestamp with time zone", "Since"),
        "seats": ("bigint", "Seats"), "share": ("numeric", "Share"), "mixed": ("text[]", "Mixed"),
        "it_s__quoted_": ("text", 'It\'s "quoted"'), "größe": ("text", "Größe"), "t" * 63: ("text", "T" * 70)}
    assert "name_2" in text and "63 bytes" in text
    assert rows(api, "SELECT ftoptions FROM pg_foreign_table")[0][0] == [
        "total_pointer=/meta/total_count", "custom_fields_attribute=custom_attributes"]
    rows(api, "ALTER FOREIGN TABLE s.regions ADD COLUMN all_of_it jsonb OPTIONS (pointer '/attributes')")
    ((row,),) = rows(api, "SELECT to_jsonb(t) - 'all_of_it' FROM s.regions t WHERE id = '1'")
    assert row["renewal"] == "2024-05-01" and row["seats"] == 5 and row["share"] == 0.5
    assert row["mixed"] == ["2024-05-01", "soon"] and row["it_s__quoted_"] == "y" and row["t" * 63] == "long"


# ----- reading -----


def test_read(fields, sandbox):
    got = {row[0]: row[1:] for row in rows(
        fields, "SELECT id, annual_spend, tier, contract_owner, sites FROM s.third_parties")}
    assert len(got) == 300
    for item in sandbox.dump("third_parties"):
        values = {entry["term"]: entry["value"] for entry in item["attributes"]["custom_fields"]}
        first = [(values.get(term) or [None])[0] for term in ("Annual spend", "Tier", "Contract owner")]
        assert got[item["id"]] == (*first, values.get("Sites")), item["id"]
    assert any(row[0] for row in got.values()) and any(row[3] for row in got.values())


def test_conditions(fields, sandbox):
    wanted = {item["id"] for item in sandbox.dump("third_parties")
              if ["A"] in [entry["value"] for entry in item["attributes"]["custom_fields"] if entry["term"] == "Tier"]}
    assert {number for number, in rows(fields, "SELECT id FROM s.third_parties WHERE tier = 'A'")} == wanted != set()
    # what no row of a page has is NULL, not an error: definitions come and go
    rows(fields, "ALTER FOREIGN TABLE s.third_parties ADD COLUMN gdpr text OPTIONS (custom_field 'GDPR relevant')")
    assert rows(fields, "SELECT count(*) FROM s.third_parties WHERE gdpr IS NOT NULL") == [(0,)]


# ----- writing -----


def one_with(sandbox, *terms, without=()):
    """Id of a third party that has these custom fields."""
    for item in sandbox.dump("third_parties"):
        have = {entry["term"] for entry in item["attributes"]["custom_fields"]}
        if set(terms) <= have and not set(without) & have:
            return item["id"]
    raise AssertionError("no such third party")


def test_update_of_one_leaves_the_others(fields, sandbox):
    number = one_with(sandbox, "Annual spend", "Tier")
    before = stored(sandbox, number)
    rows(fields, "UPDATE s.third_parties SET tier = 'C2' WHERE id = %s", (number,))
    assert stored(sandbox, number) == {**before, "Tier": ["C2"]}
    (body,) = put(sandbox)
    assert {entry["term"]: entry["id"] for entry in body["attributes"]["custom_fields"]}["Tier"] == "2"
    assert rows(fields, "SELECT tier FROM s.third_parties WHERE id = %s", (number,)) == [("C2",)]


def test_update_of_several(fields, sandbox):
    number = one_with(sandbox, "Annual spend", "Tier", without=("Sites",))
    before = stored(sandbox, number)
    ((row,),) = rows(fields, "UPDATE s.third_parties SET tier = NULL, sites = ARRAY['Wien', 'Rom'], annual_spend = '7'"
                             " WHERE id = %s RETURNING sites", (number,))
    assert row == ["Wien", "Rom"]
    assert stored(sandbox, number) == {**before, "Tier": [], "Sites": ["Wien", "Rom"], "Annual spend": ["7"]}
    assert rows(fields, "SELECT tier, sites FROM s.third_parties WHERE id = %s", (number,)) == [(None, ["Wien", "Rom"])]


def test_update_of_something_else(fields, sandbox):
    number = one_with(sandbox, "Annual spend", "Sites")
    before = stored(sandbox, number)
    rows(fields, "UPDATE s.third_parties SET city = 'Oslo' WHERE id = %s", (number,))
    assert stored(sandbox, number) == before


def test_update_of_the_array(fields, sandbox):
    number = one_with(sandbox, "Tier")
    rows(fields, "UPDATE s.third_parties SET custom_fields = %s WHERE id = %s",
         (json.dumps([{"id": "2", "term": "Tier", "value": ["Z"]}]), number))
    assert stored(sandbox, number) == {"Tier": ["Z"]}
    assert rows(fields, "SELECT tier, annual_spend FROM s.third_parties WHERE id = %s", (number,)) == [("Z", None)]


def test_insert(fields, sandbox):
    # a statement that has read the table knows the ids of the fields
    rows(fields, "SELECT count(tier) FROM s.third_parties")
    ((number, tier),) = rows(
        fields, "INSERT INTO s.third_parties (name, country, internal_id, tier, sites)"
                " VALUES ('New', 'DE', 'CF-1', 'B', '{Bonn}') RETURNING id, tier")
    assert tier == "B"
    assert stored(sandbox, number) == {"Tier": ["B"], "Sites": ["Bonn"]}
    assert rows(fields, "SELECT tier, sites, annual_spend FROM s.third_parties WHERE id = %s", (number,)) == [
        ("B", ["Bonn"], None)]


def test_changed_bodies(fields, sandbox):
    rows(fields, "ALTER FOREIGN TABLE s.third_parties OPTIONS (ADD update_body 'changed')")
    number = one_with(sandbox, "Annual spend", "Tier")
    before = stored(sandbox, number)
    sandbox.settings(put="merge")
    rows(fields, "UPDATE s.third_parties SET tier = 'M' WHERE id = %s", (number,))
    assert stored(sandbox, number) == {**before, "Tier": ["M"]}
    (body,) = put(sandbox)
    assert set(body["attributes"]) == {"custom_fields"}


def test_types_on_the_way_back(api, sandbox):
    number = one_with(sandbox, "Annual spend", "Contract owner", "Sites")
    rows(api, """CREATE FOREIGN TABLE s.third_parties (id text, name text,
                     spend numeric OPTIONS (custom_field 'Annual spend'), since date OPTIONS (custom_field 'Contract owner'),
                     sites jsonb OPTIONS (custom_field 'Sites'))
                 SERVER tpm OPTIONS (update_body 'changed')""")
    sandbox.settings(put="merge")
    ((spend,),) = rows(api, "SELECT spend FROM s.third_parties WHERE id = %s", (number,))
    assert str(spend) == stored(sandbox, number)["Annual spend"][0]
    rows(api, "UPDATE s.third_parties SET spend = spend + 0.5, since = '2024-05-01', sites = '[\"Ulm\"]' WHERE id = %s",
         (number,))
    now = stored(sandbox, number)
    assert (now["Annual spend"], now["Contract owner"], now["Sites"]) == ([f"{spend}.5"], ["2024-05-01"], ["Ulm"])
    assert [str(value) for value in rows(api, "SELECT spend, since, sites FROM s.third_parties WHERE id = %s",
                                         (number,))[0]] == [f"{spend}.5", "2024-05-01", "['Ulm']"]


def test_a_value_that_does_not_fit(api, sandbox):
    rows(api, """CREATE FOREIGN TABLE s.third_parties (id text, tier int OPTIONS (custom_field 'Tier'))
                 SERVER tpm""")
    with pytest.raises(psycopg2.Error) as caught:
        rows(api, "SELECT tier FROM s.third_parties")
    assert caught.value.pgcode == "22P02" and '"tier"' in caught.value.diag.context


def test_a_refusal_names_the_column(api, sandbox):
    # no page has shown an id for this field, and the sandbox insists on one
    sandbox.settings(put="merge")
    rows(api, """CREATE FOREIGN TABLE s.third_parties (id text, gdpr text OPTIONS (custom_field 'GDPR relevant'))
                 SERVER tpm OPTIONS (update_body 'changed')""")
    with pytest.raises(psycopg2.Error) as caught:
        rows(api, "UPDATE s.third_parties SET gdpr = 'yes' WHERE id = '1'")
    assert caught.value.pgcode == "22023" and '"gdpr"' in caught.value.diag.message_primary
    rows(api, "ALTER FOREIGN TABLE s.third_parties ADD COLUMN notes text OPTIONS (custom_field 'Notes')")
    with pytest.raises(psycopg2.Error) as caught:
        rows(api, "UPDATE s.third_parties SET gdpr = 'yes' WHERE id = '1'")
    assert "custom_fields" in caught.value.diag.message_detail
    assert "No column holds" not in (caught.value.diag.message_hint or "")
