"""ANALYZE: the size of the table, not of the sample; for how many requests; as whom."""

import pytest
from tpmtest import notices, rows


def size(connection, table="third_parties"):
    return rows(connection, f"SELECT relpages, reltuples FROM pg_class WHERE oid = '{table}'::regclass")[0]


def is_19(connection):
    return connection.server_version >= 190000


def test_pages_of_the_table(tpm, sandbox):
    """300 rows on pages of 10 are 30 pages, though 10 are read; from 19 on the first is enough."""
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '10')")
    sandbox.reset()
    rows(tpm, "ANALYZE third_parties")
    assert sandbox.request_count() == (1 if is_19(tpm) else 10)
    assert size(tpm) == (30, 300)
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (SET page_size '100')")
    rows(tpm, "ANALYZE third_parties (status)")
    assert size(tpm) == (3, 300)


def test_named_columns_are_sampled(tpm, sandbox):
    """Values are known of columns that are named, on every version."""
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '10', ADD analyze_pages '4')")
    sandbox.reset()
    rows(tpm, "ANALYZE third_parties (status, country)")
    assert sandbox.request_count() == 4
    assert size(tpm) == (30, 300)
    assert rows(tpm, "SELECT attname FROM pg_stats WHERE tablename = 'third_parties' ORDER BY 1") == [("country",), ("status",)]


@pytest.mark.parametrize("analyze_pages, requests", [(40, 30), (2, 2)])
def test_without_a_total(tpm, sandbox, analyze_pages, requests):
    """A list that ends within the sample tells its size; one that does not is as large as is known of it. No page is asked for twice."""
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (SET total_pointer '/none', ADD page_size '10',"
              f" ADD analyze_pages '{analyze_pages}')")
    sandbox.reset()
    rows(tpm, "ANALYZE third_parties")
    assert sandbox.request_count() == requests
    if requests == 30:
        assert size(tpm) == (30, 300)
    else:
        assert size(tpm)[0] > 2 and size(tpm)[1] > 20
    assert rows(tpm, "SELECT count(*) > 3 FROM pg_stats WHERE tablename = 'third_parties'") == [(True,)]


def test_pages_that_are_shorter_than_asked(tpm, sandbox):
    """What the API gives is a page."""
    sandbox.fault("page_cap", match="GET /v1/third_parties")
    rows(tpm, "ANALYZE third_parties (name)")
    assert size(tpm) == (6, 300)


def test_sample_is_of_all_pages_read(tpm):
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '10', ADD analyze_pages '30')")
    rows(tpm, "ANALYZE third_parties (id)")
    assert rows(tpm, "SELECT n_distinct, null_frac FROM pg_stats WHERE tablename = 'third_parties'") == [(-1, 0)]
    rows(tpm, "SET default_statistics_target = 1")
    rows(tpm, "ANALYZE third_parties (id, status)")
    assert size(tpm) == (30, 300)


def test_partitions(tpm, sandbox):
    """Each of several is sampled once, in its own measure."""
    rows(tpm, """
        CREATE TABLE parties (id text, name text, status text) PARTITION BY LIST (status);
        CREATE FOREIGN TABLE active PARTITION OF parties FOR VALUES IN ('Active') SERVER tpm
            OPTIONS (resource '/third_parties', total_pointer '/meta/total_count', page_size '50');
        CREATE FOREIGN TABLE inactive PARTITION OF parties FOR VALUES IN ('Inactive') SERVER tpm
            OPTIONS (resource '/third_parties', total_pointer '/meta/total_count', page_size '100')""")
    sandbox.reset()
    rows(tpm, "ANALYZE parties")
    assert rows(tpm, "SELECT count(*) FROM pg_stats WHERE tablename = 'parties' AND inherited") == [(3,)]
    assert sandbox.request_count() <= 2 * (6 + 3)


def test_as_the_owner(tpm, sandbox, cluster):
    """The owner's credential reads, and the owner's functions run as the owner, whoever says ANALYZE."""
    rows(tpm, """
        DROP ROLE IF EXISTS keeper;
        CREATE ROLE keeper;
        GRANT USAGE ON FOREIGN SERVER tpm TO keeper;
        GRANT USAGE, CREATE ON SCHEMA tpm TO keeper;
        CREATE USER MAPPING FOR keeper SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret');
        SET ROLE keeper;
        CREATE FUNCTION tpm.whoever(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
            'BEGIN IF current_user <> ''keeper'' THEN RAISE ''as %'', current_user; END IF; RETURN $1; END';
        CREATE FOREIGN TABLE kept (id text, name text, up text GENERATED ALWAYS AS (tpm.whoever(name)) STORED)
            SERVER tpm OPTIONS (resource '/third_parties', total_pointer '/meta/total_count');
        RESET ROLE""")
    rows(tpm, "ANALYZE kept (up)")
    assert rows(tpm, "SELECT current_user") == [("postgres",)]
    assert rows(tpm, "SELECT role FROM tpm_fdw_requests WHERE relation LIKE '%kept'") == [("keeper",)] * 3
    rows(tpm, "ANALYZE kept")
    assert size(tpm, "kept") == (3, 300)
    rows(tpm, "DROP OWNED BY keeper; DROP ROLE keeper")


def test_an_error_leaves_nothing(tpm, sandbox):
    """The user is who he was, and the next ANALYZE begins anew."""
    sandbox.fault("status:404", match="GET /v1/third_parties", count=1, skip=1)
    rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD page_size '50')")
    rows(tpm, "DO $$BEGIN EXECUTE 'ANALYZE third_parties (name)'; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLSTATE; END$$")
    rows(tpm, "ANALYZE third_parties (name)")
    assert size(tpm) == (6, 300)


def test_words(tpm):
    tpm.notices.clear()
    rows(tpm, "ANALYZE VERBOSE third_parties")
    told = notices(tpm)
    assert '"third_parties": ' in told and "300 estimated total rows" in told
