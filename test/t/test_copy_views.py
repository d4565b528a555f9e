"""Views over local copies, by tpm_fdw_create_views(..., from_copies => true)."""

import psycopg2
import pytest
from tpmtest import notices, rows

CREATE = "SELECT tpm_fdw_create_views('tpm', 'bi', from_copies => true)"
DEFINITION = "SELECT pg_get_viewdef('bi.{}'::regclass)"


@pytest.fixture
def copied(tpm):
    """Copies of three tables, filled, and an empty schema for views."""
    for name in ("regions", "departments", "third_parties"):
        rows(tpm, f"SELECT tpm_fdw_create_copy('tpm.{name}')")
        rows(tpm, f"CALL tpm_fdw_sync('tpm_copy.{name}')")
    rows(tpm, "CREATE SCHEMA bi")
    rows(tpm, "SET search_path = public")
    notices(tpm)
    return tpm


def names(connection):
    return [name for name, in rows(connection, "SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace ORDER BY 1")]


def test_no_request(copied, sandbox):
    assert rows(copied, CREATE) == [(3,)]
    assert names(copied) == ["departments", "regions", "third_parties"]
    before = len(sandbox.requests())
    assert rows(copied, "SELECT count(*), count(DISTINCT country) > 1 FROM bi.third_parties") == [(300, True)]
    assert rows(copied, "SELECT r.name, count(*) FROM bi.third_parties t JOIN bi.regions r ON r.id = t.region_id GROUP BY 1")
    assert len(sandbox.requests()) == before


def test_the_shape_is_the_foreign_tables(copied):
    rows(copied, CREATE)
    shape = """SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)
                 FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    assert rows(copied, shape, ("bi.third_parties",)) == rows(copied, shape, ("tpm.third_parties",))


def test_tables_without_a_copy_are_said(copied):
    rows(copied, CREATE)
    text = notices(copied)
    tables = rows(copied, "SELECT count(*) FROM pg_class WHERE relnamespace = 'tpm'::regnamespace AND relkind = 'f'")[0][0]
    assert text.count("WARNING") == tables - 3
    assert "view bi.cases is not created" in text and "SELECT tpm_fdw_create_copy('tpm.cases')" in text


def test_replaces_its_own_and_leaves_others(copied):
    """Rights and what is built on a view stay."""
    rows(copied, "CREATE VIEW bi.departments AS SELECT * FROM tpm.departments")
    rows(copied, "SELECT tpm_fdw_create_views('tpm', 'bi')")
    rows(copied, "CREATE VIEW public.chart AS SELECT count(*) FROM bi.regions")
    rows(copied, "GRANT SELECT ON bi.regions TO PUBLIC")
    rights = "SELECT relacl::text FROM pg_class WHERE oid = 'bi.regions'::regclass"
    before = rows(copied, rights)
    notices(copied)
    assert rows(copied, CREATE) == [(2,)]
    assert "view bi.departments is not created" in notices(copied)
    assert "tpm_copy.regions" in rows(copied, DEFINITION.format("regions"))[0][0]
    assert "tpm.departments" in rows(copied, DEFINITION.format("departments"))[0][0]
    assert "tpm.cases" in rows(copied, DEFINITION.format("cases"))[0][0]
    assert rows(copied, rights) == before
    assert rows(copied, "SELECT * FROM public.chart") == [(8,)]
    assert rows(copied, CREATE) == [(2,)]


def test_others_views_are_left(copied, cluster):
    rows(copied, "SELECT tpm_fdw_create_views('tpm', 'bi')")
    rows(copied, "CREATE ROLE bi_owner")
    try:
        rows(copied, "GRANT USAGE ON SCHEMA tpm, tpm_copy TO bi_owner; GRANT USAGE, CREATE ON SCHEMA bi TO bi_owner;"
                     " GRANT SELECT ON tpm_copy.regions TO bi_owner; SET ROLE bi_owner")
        assert rows(copied, CREATE) == [(0,)]
        text = notices(copied)
        assert "must be owner of view regions" in text and "may not read" in text
    finally:
        rows(copied, "RESET ROLE; DROP OWNED BY bi_owner; DROP ROLE bi_owner")


@pytest.mark.parametrize("statement", [
    "INSERT INTO bi.regions (id, name) VALUES ('99', 'x')",
    "UPDATE bi.regions SET name = 'x'",
    "UPDATE bi.regions SET name = 'x' WHERE false",
    "DELETE FROM bi.regions",
])
def test_writing_is_refused(copied, sandbox, statement):
    rows(copied, CREATE)
    before = len(sandbox.requests())
    with pytest.raises(psycopg2.Error) as caught:
        rows(copied, statement)
    assert caught.value.pgcode == "55000"
    assert "tpm.regions" in caught.value.diag.message_hint
    assert len(sandbox.requests()) == before
    assert rows(copied, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'bi.regions'::regclass") == [(0,)]
    assert rows(copied, "SELECT count(*) FROM pg_rewrite WHERE ev_class = 'bi.regions'::regclass") == [(1,)]


def test_columns_that_come_and_go(copied):
    """A view keeps what it had and gets what is new, at its end."""
    rows(copied, "ALTER FOREIGN TABLE tpm.regions ADD code2 text OPTIONS (attribute 'name')")
    rows(copied, CREATE)
    assert "code2" not in rows(copied, DEFINITION.format("regions"))[0][0]
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.regions')")
    rows(copied, CREATE)
    assert rows(copied, "SELECT count(code2) FROM bi.regions") == [(8,)]
    rows(copied, "ALTER FOREIGN TABLE tpm.regions DROP COLUMN code2")
    rows(copied, CREATE)
    assert rows(copied, "SELECT count(code2) FROM bi.regions") == [(8,)]


def test_marked_rows_are_not_shown(copied):
    rows(copied, "SELECT tpm_fdw_create_copy('tpm.cases', deletions => 'mark')")
    rows(copied, "CALL tpm_fdw_sync('tpm_copy.cases')")
    rows(copied, CREATE)
    (every,), = rows(copied, "SELECT count(*) FROM bi.cases")
    rows(copied, "SELECT tpm_fdw_alter_copy('tpm_copy.cases', paused => true)")
    rows(copied, "UPDATE tpm_copy.cases SET _deleted_at = now() WHERE id IN ('1', '2')")
    assert rows(copied, "SELECT count(*) FROM bi.cases") == [(every - 2,)]


def test_the_copy_of_the_same_name_comes_first(copied):
    rows(copied, "SELECT tpm_fdw_create_copy('tpm.regions', 'public.aa')")
    rows(copied, CREATE)
    assert "tpm_copy.regions" in rows(copied, DEFINITION.format("regions"))[0][0]
    rows(copied, "DROP VIEW bi.regions; SELECT tpm_fdw_drop_copy('tpm_copy.regions')")
    rows(copied, CREATE)
    assert " aa t" in rows(copied, DEFINITION.format("regions"))[0][0]
