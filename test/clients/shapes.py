"""What query tools send, and what it costs.

Each shape is a session's worth of statements in the words of one tool: from its documentation, its
source, or the server logs that its users show. {s} is the schema that the tool was pointed at. The
costs are requests, the first time and the second, where third_parties has 10 pages (exact: imported
with trust 'exact'; plain: imported without). test_bi.py compares them with what happens, and
docs/bi-tools.md is printed from them:

    /usr/bin/python3 test/clients/shapes.py > docs/bi-tools.md
"""

from typing import NamedTuple


class Shape(NamedTuple):
    """One thing that a tool does."""
    tool: str
    what: str
    statements: list
    exact: tuple
    plain: tuple


COLUMNS = """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    col_description(c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = '{s}'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped"""

INFORMATION = """SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = '{s}' ORDER BY table_name, ordinal_position"""


def held(query, fetch=10000):
    """A query as Tableau's driver sends it: a cursor that outlives its transaction."""
    return ["BEGIN", f'declare "SQL_CUR0x7f" cursor with hold for {query}', f'fetch {fetch} in "SQL_CUR0x7f"',
            "COMMIT", f'fetch {fetch} in "SQL_CUR0x7f"', 'close "SQL_CUR0x7f"']


def portal(query, fetch):
    """The first rows of a query, as a driver with a fetch size takes them."""
    return ["BEGIN", f"DECLARE portal NO SCROLL CURSOR FOR {query}", f"FETCH {fetch} FROM portal", "COMMIT"]


POWER_BI = 'select "$Table"."id" as "id", "$Table"."name" as "name", "$Table"."status" as "status", ' \
    '"$Table"."updated_at" as "updated_at" from "{s}"."third_parties" "$Table"'

NONE = (0, 0)
ONCE = (10, 0)

SHAPES = [
    Shape("DBeaver", "opens the tree: schemas, tables, columns, keys", [
        "SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d"
        " ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname",
        "SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr,"
        " pg_catalog.pg_get_partkeydef(c.oid) AS partition_key FROM pg_catalog.pg_class c"
        " LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0"
        " AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = '{s}'::regnamespace"
        " AND c.relkind NOT IN ('i', 'I', 'c')",
        "SELECT pg_total_relation_size(c.oid) FROM pg_class c WHERE c.relnamespace = '{s}'::regnamespace",
        COLUMNS], NONE, NONE),
    Shape("DBeaver", "data tab: the first 200 rows", portal("SELECT x.* FROM {s}.third_parties x", 200),
          (2, 2), (2, 2)),
    Shape("DBeaver", "data tab, sorted by a click", portal(
        "SELECT x.* FROM {s}.third_parties x ORDER BY x.updated_at DESC", 200), (2, 2), ONCE),
    Shape("DBeaver", "row count", ["SELECT count(*) FROM {s}.third_parties x"], (1, 0), ONCE),
    Shape("DBeaver", "distinct values for the filter box", [
        "SELECT status, count(*) FROM {s}.third_parties GROUP BY status ORDER BY status LIMIT 200"], ONCE, ONCE),

    Shape("Metabase", "sync: may it be read?", [
        "SELECT TRUE AS \"_\" FROM \"{s}\".\"third_parties\" WHERE 1 <> 1 LIMIT 0", "SELECT true FROM \"{s}\".\"cases\" LIMIT 0", COLUMNS], NONE, NONE),
    Shape("Metabase", "fingerprint of one table", [
        "-- Metabase\nSELECT \"id\" AS \"id\", SUBSTRING(\"name\", 1, 1234) AS \"substring1\","
        " \"updated_at\" AS \"updated_at\" FROM \"{s}\".\"third_parties\" LIMIT 10000"], ONCE, ONCE),
    Shape("Metabase", "field values of three columns", [
        f'SELECT "{{s}}"."third_parties"."{column}" AS "{column}" FROM "{{s}}"."third_parties"'
        f' GROUP BY "{{s}}"."third_parties"."{column}" ORDER BY "{{s}}"."third_parties"."{column}" ASC LIMIT 1000'
        for column in ("status", "country", "risk_rating")], ONCE, ONCE),
    Shape("Metabase", "question: changes by month", [
        "-- Metabase:: userID: 1 queryType: MBQL queryHash: 1f\n"
        "SELECT DATE_TRUNC('month', \"{s}\".\"third_parties\".\"created_at\") AS \"created_at\", COUNT(*) AS \"count\""
        " FROM \"{s}\".\"third_parties\" WHERE \"{s}\".\"third_parties\".\"status\" = 'Active'"
        " GROUP BY DATE_TRUNC('month', \"{s}\".\"third_parties\".\"created_at\")"
        " ORDER BY DATE_TRUNC('month', \"{s}\".\"third_parties\".\"created_at\") ASC"], (9, 0), (9, 0)),
    Shape("Metabase", "question: a number", [
        "SELECT COUNT(*) AS \"count\" FROM \"{s}\".\"third_parties\""
        " WHERE \"{s}\".\"third_parties\".\"status\" = 'Active'"], (1, 0), (9, 0)),

    Shape("Superset", "dataset: its columns", [
        "SELECT * FROM (SELECT * FROM {s}.third_parties) AS virtual_table LIMIT 0", INFORMATION], NONE, NONE),
    Shape("Superset", "SQL Lab preview", ["SELECT id, name, status, updated_at\nFROM {s}.third_parties\nLIMIT 100"],
          (1, 1), (1, 1)),
    Shape("Superset", "time series of the last quarter", [
        "SELECT DATE_TRUNC('day', updated_at) AS updated_at, COUNT(*) AS count FROM {s}.third_parties"
        " WHERE updated_at >= TO_TIMESTAMP('2026-03-15 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
        " AND updated_at < TO_TIMESTAMP('2026-06-15 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
        " GROUP BY DATE_TRUNC('day', updated_at) ORDER BY count DESC LIMIT 10000"], (3, 3), ONCE),
    Shape("Superset", "filter box", ["SELECT country AS country FROM {s}.third_parties GROUP BY country LIMIT 1000"],
          ONCE, ONCE),

    Shape("Tableau", "connects: temporary tables, columns of custom SQL", [
        'CREATE LOCAL TEMPORARY TABLE "#Tableau_1_Connect" ("COL" INTEGER) ON COMMIT PRESERVE ROWS',
        'DROP TABLE "#Tableau_1_Connect"',
        'SELECT "Custom SQL Query".* FROM (SELECT * FROM {s}.third_parties) "Custom SQL Query" LIMIT 0',
        INFORMATION], NONE, NONE),
    Shape("Tableau", "is there anything? one row", held(
        'SELECT 1 AS "one" FROM "{s}"."third_parties" "third_parties" LIMIT 1', 1), (1, 1), (1, 1)),
    Shape("Tableau", "sheet: number of records by status", held(
        'SELECT "third_parties"."status" AS "status", SUM(1) AS "cnt:third_parties:ok" FROM "{s}"."third_parties"'
        ' "third_parties" GROUP BY 1'), ONCE, ONCE),
    Shape("Tableau", "extract: all rows", held(
        'SELECT "third_parties".* FROM "{s}"."third_parties" "third_parties"'), ONCE, ONCE),
    Shape("Tableau", "quick filter: range of dates", held(
        'SELECT MIN("third_parties"."updated_at") AS "min", MAX("third_parties"."updated_at") AS "max", COUNT(1)'
        ' FROM "{s}"."third_parties" "third_parties" HAVING (COUNT(1) > 0)'), ONCE, ONCE),

    Shape("Power BI", "navigator: tables, columns, keys", [
        INFORMATION, "select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables"
        " where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME",
        POWER_BI + " limit 0"], NONE, NONE),
    Shape("Power BI", "navigator: preview", [POWER_BI + " limit 1000"], ONCE, ONCE),
    Shape("Power BI", "import: refresh", [POWER_BI], ONCE, ONCE),
    Shape("Power BI", "incremental refresh: two weeks", [
        POWER_BI + " where \"$Table\".\"updated_at\" >= timestamp '2026-06-01 00:00:00'"
        " and \"$Table\".\"updated_at\" < timestamp '2026-06-15 00:00:00'"], (1, 1), ONCE),
    Shape("Power BI", "DirectQuery: a visual", [
        'select "rows"."status" as "status", count(*) as "a0" from (' + POWER_BI + ') "rows"'
        ' group by "status" limit 1000001'], ONCE, ONCE),

    Shape("Grafana", "query builder: tables and columns", [INFORMATION, "SELECT * FROM {s}.third_parties LIMIT 0"],
          NONE, NONE),
    Shape("Grafana", "time series panel: $__timeGroupAlias, $__timeFilter", [
        'SELECT floor(extract(epoch from updated_at)/86400)*86400 AS "time", count(*) AS "changes"'
        " FROM {s}.third_parties WHERE updated_at BETWEEN '2026-06-01T00:00:00Z' AND '2026-06-15T00:00:00Z'"
        " GROUP BY 1 ORDER BY 1"], (1, 1), ONCE),
    Shape("Grafana", "table panel: newest first", [
        'SELECT updated_at AS "time", name, status FROM {s}.third_parties'
        " WHERE updated_at BETWEEN '2026-06-01T00:00:00Z' AND '2026-06-15T00:00:00Z' ORDER BY 1 DESC LIMIT 50"],
        (1, 1), ONCE),
    Shape("Grafana", "dashboard variable", ["SELECT DISTINCT status FROM {s}.third_parties"], ONCE, ONCE),
]

MARCH, JUNE = ("TO_TIMESTAMP('2026-%s-15 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')" % month for month in ("03", "06"))

# A dashboard of Superset: six charts over one table, as test_dashboards.py opens it. Each has a LIMIT, as everything has
# that Superset sends; three of them need every row that their conditions leave, three a page or less. In June 2026.
CHARTS = {
    "a count": "SELECT COUNT(*) AS count FROM {s}.third_parties LIMIT 50000",
    "by status": "SELECT status AS status, COUNT(*) AS count FROM {s}.third_parties GROUP BY status ORDER BY count DESC LIMIT 1000",
    "by country": "SELECT country AS country, COUNT(*) AS count FROM {s}.third_parties WHERE status IN ('Active')"
                  " GROUP BY country ORDER BY count DESC LIMIT 1000",
    "changes by month": "SELECT DATE_TRUNC('month', updated_at) AS updated_at, COUNT(*) AS count FROM {s}.third_parties"
                        f" WHERE updated_at >= {JUNE.replace('2026', '2025')} AND updated_at < {JUNE}"
                        " GROUP BY DATE_TRUNC('month', updated_at) ORDER BY count DESC LIMIT 10000",
    "the ten newest": "SELECT name AS name, status AS status, created_at AS created_at FROM {s}.third_parties"
                      " ORDER BY created_at DESC LIMIT 10",
    "open ones of the last quarter": "SELECT name AS name, approval_status AS approval_status, updated_at AS updated_at"
                                     f" FROM {{s}}.third_parties WHERE updated_at >= {MARCH} AND updated_at < {JUNE}"
                                     " AND approval_status = 'Pending' ORDER BY updated_at DESC LIMIT 100",
}

HEAD = """# BI and data tools

What do DBeaver, Metabase, Superset, Tableau, Power BI, Grafana and Cube send, what does it cost, and how do I keep a
dashboard from spending everybody's hour?

Printed from `test/clients/shapes.py`, whose numbers are compared with the sandbox's count by `test/t/test_bi.py`.

Requests for what the tool sends, the first time and again while the answer is kept (`cache_ttl`), where the table
has 10 pages of 100 rows. *Plain* is the import as it is; *checked* is `OPTIONS (trust 'exact')`, for a tenant whose
filters, orders and totals have been checked. Every shape begins with an empty cache; in practice the second tool, the
second dashboard and the second user find what the first has fetched. The shapes follow the tools' documentation and the
server logs that their users publish: the tools themselves did not run here (Cube did, see below), and versions differ.

| tool | what it does | plain: first | again | checked: first | again |
| --- | --- | ---: | ---: | ---: | ---: |"""

ROLE = """ALTER ROLE bi SET tpm_fdw.leave_free = '30%';       -- the last 180 of 600 requests are for others
ALTER ROLE bi SET tpm_fdw.small_statement = 0;      -- ... even from statements of few requests
ALTER ROLE bi SET tpm_fdw.max_wait = '5s';          -- refused at once rather than a dashboard that hangs
ALTER ROLE bi SET tpm_fdw.cache_ttl = '1h';         -- each table once an hour, whoever asks
ALTER ROLE bi SET tpm_fdw.cache_stale = '1d';       -- yesterday's answer, with a WARNING, rather than none
ALTER ROLE bi SET statement_timeout = '5min';"""

TAIL = f"""
*Again* is not 0 where a tool takes part of an ordered list, or a page of it: such a list is read alone, and costs the
pages taken each time. A tool that reads through cursors is the cheaper the less its user scrolls.

## The role for a tool

A role of its own keeps a dashboard from spending everybody's hour.

```sql
CREATE ROLE bi LOGIN;
GRANT USAGE ON SCHEMA tpm TO bi;
GRANT SELECT ON ALL TABLES IN SCHEMA tpm TO bi;
ALTER ROLE bi SET search_path = tpm, public;
ALTER ROLE bi SET default_transaction_read_only = on;
{ROLE}
```

With it a first connection with every scan switched on (samples, fingerprints, the values of every column, row counts)
stops where 70 % of the hour's requests have gone, whoever sent them; what it has fetched by then answers it and
everybody else from the cache. `tpm_fdw.leave_free` alone keeps that part from statements of more than
`tpm_fdw.small_statement` requests (10): a tool that sends hundreds of small ones needs both. Give the role views, not
the credential; see [a first query](../README.md#a-first-query). Where a tool asks whether it shall scan values or take
samples, say no, or nightly.

For the tables behind a dashboard, `ALTER FOREIGN TABLE ... OPTIONS (ADD cache_scope 'table')` answers whatever is asked
of them from one complete copy. Without it, a dashboard of six charts over a table of 50 pages costs at most 101 requests
cold, and nothing when it is opened again; what to do for tables that an hour cannot read is
[a page of its own](large-tables.md).

## Cube

![Cube's Playground: third parties by quarter and risk rating](chart.png)

[Cube](https://www.npmjs.com/package/@cubejs-backend/server) on the view `tpm.third_parties` of 1,000 rows: the first
question costs 10 requests, this chart and everything else that is asked within the hour none
(`test/t/test_cube.py`, which takes this picture).
"""

if __name__ == "__main__":
    print(HEAD)
    for shape in SHAPES:
        print(f"| {shape.tool} | {shape.what} | {shape.plain[0]} | {shape.plain[1]} "
              f"| {shape.exact[0]} | {shape.exact[1]} |")
    print(TAIL, end="")
