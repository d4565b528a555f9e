"""tpm_fdw_get(): any path of the API, none of any other, with the caller's own mapping."""

import psycopg2
import pytest
import tpmtest
from tpmtest import rows


def get(connection, path, server="tpm"):
    ((answer,),) = rows(connection, "SELECT tpm_fdw_get(%s, %s)", (server, path))
    return answer


def refused(connection, path, server="tpm"):
    with pytest.raises(psycopg2.Error) as caught:
        get(connection, path, server)
    return caught.value


def test_one_request(tpm, sandbox):
    answer = get(tpm, "/third_parties?filter[status]=Active&page[size]=3&sort=-updated_at")
    assert len(answer["data"]) == 3
    assert {item["attributes"]["status"] for item in answer["data"]} == {"Active"}
    (entry,) = [entry for entry in sandbox.api_requests() if entry["status"] != 401]
    assert entry["method"] == "GET" and entry["path"] == "/v1/third_parties"
    assert get(tpm, "/regions/1")["data"]["id"] == "1"


def test_what_is_not_a_url_is_encoded(tpm, sandbox):
    # blanks, percent signs and other alphabets as a person types them
    name = sandbox.create("third_parties", name="100% Müller & Söhne", country="DE")
    assert name
    answer = get(tpm, "/third_parties?filter[name]=100% Müller %26 Söhne")
    assert [item["attributes"]["name"] for item in answer["data"]] == ["100% Müller & Söhne"]


@pytest.mark.parametrize("path", [
    "", "third_parties", "//evil.example/", "@evil.example/", "/../oauth/token", "/a/../b", "/a/..", "/.", "/./a",
    "/%2e%2e/x", "/.%2E/x", "/a//b", "/a//?x=1", "/a\\b", "/a#b", "/a\nb", "/a\tb", "/a\x7f", "/a?x=\n", "/a?b#c",
    "http://evil.example/", "?a=b",
])
def test_paths_that_lead_elsewhere(tpm, sandbox, path):
    error = refused(tpm, path)
    assert error.pgcode == "22023", error
    assert "invalid path" in error.diag.message_primary and error.diag.message_detail and error.diag.message_hint
    assert sandbox.requests() == []


@pytest.mark.parametrize("path", ["/regions/", "/regions?x=//", "/regions/..a", "/regions/a.", "/regions?sort=.."])
def test_paths_that_only_look_odd(tpm, sandbox, path):
    try:
        get(tpm, path)
    except psycopg2.Error as error:
        assert "status" in error.diag.message_primary
    assert len(sandbox.api_requests()) == 1


@pytest.mark.parametrize("path,fault,code", [
    ("/nothing_here", None, "HV00R"), ("/regions?page[size]=x", None, "22023"), ("/regions", "status:403", "42501"),
    ("/regions", "status:500", "HV00L"), ("/regions", "html_200", "HV00M"), ("/regions", "garbage", "HV00M"),
    ("/regions", "redirect", "HV00M"), ("/regions", "status:413", "HV00L"), ("/regions", "status:409", "22023"),
])
def test_errors(tpm, sandbox, path, fault, code):
    rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    if fault:
        sandbox.fault(fault, detail="no luck")
    error = refused(tpm, path)
    assert error.pgcode == code, error
    assert "GET /v1/" in error.diag.message_primary


def test_no_content(tpm, sandbox):
    sandbox.fault("empty", status=204)
    assert get(tpm, "/regions") is None
    assert rows(tpm, "SELECT tpm_fdw_get('tpm', NULL), tpm_fdw_get(NULL, '/x')") == [(None, None)]


def test_counted(tpm, sandbox):
    rows(tpm, "SELECT tpm_fdw_reset_stats()")
    get(tpm, "/regions")
    assert rows(tpm, "SELECT server, role, method, requests FROM tpm_fdw_stats") == [("tpm", "postgres", "GET", 1)]
    ((method, path, status, relation),) = rows(
        tpm, "SELECT method, path, status, relation FROM tpm_fdw_requests ORDER BY at DESC LIMIT 1")
    assert (method, path, status, relation) == ("GET", "/v1/regions", 200, None)
    assert rows(tpm, "SELECT used_last_hour > 0 FROM tpm_fdw_rate_limits WHERE server = 'tpm'") == [(True,)]


def test_under_the_statements_limit(tpm, sandbox):
    rows(tpm, "SET tpm_fdw.max_requests = 3")
    with pytest.raises(psycopg2.Error) as caught:
        rows(tpm, "SELECT tpm_fdw_get('tpm', '/regions/' || n) FROM generate_series(1, 5) n")
    assert caught.value.pgcode == "53400"
    assert len(sandbox.api_requests()) == 3
    assert len(rows(tpm, "SELECT tpm_fdw_get('tpm', '/regions/' || n) FROM generate_series(1, 3) n")) == 3


def test_not_kept(tpm, sandbox):
    rows(tpm, "RESET tpm_fdw.cache_ttl")
    get(tpm, "/regions")
    get(tpm, "/regions")
    assert len(sandbox.api_requests()) == 2


def test_rights(tpm, sandbox, cluster):
    name = tpm.info.dbname
    cluster.sql("DROP ROLE IF EXISTS getter")
    cluster.sql("CREATE ROLE getter LOGIN")
    other = cluster.connect(name, "getter")
    try:
        error = refused(other, "/regions")
        assert error.pgcode == "42501" and "function" in error.diag.message_primary
        rows(tpm, "GRANT EXECUTE ON FUNCTION tpm_fdw_get(name, text) TO getter")
        error = refused(other, "/regions")
        assert error.pgcode == "42501" and "foreign server" in error.diag.message_primary
        rows(tpm, "GRANT USAGE ON FOREIGN SERVER tpm TO getter")
        # the mapping is the caller's, not the owner's
        assert "user mapping" in refused(other, "/regions").diag.message_primary
        assert sandbox.requests() == []
        rows(tpm, "CREATE USER MAPPING FOR getter SERVER tpm OPTIONS (client_id 'sandbox', client_secret 'sandbox-secret')")
        assert get(other, "/regions")["data"]
    finally:
        other.close()
        rows(tpm, "DROP USER MAPPING IF EXISTS FOR getter SERVER tpm")
        rows(tpm, "DROP OWNED BY getter")
        cluster.sql("DROP ROLE getter")


def test_other_servers(tpm, sandbox):
    rows(tpm, "CREATE FOREIGN DATA WRAPPER nothing")
    rows(tpm, "CREATE SERVER alien FOREIGN DATA WRAPPER nothing")
    assert refused(tpm, "/x", "alien").pgcode == "42809"
    assert refused(tpm, "/x", "nobody").pgcode == "42704"


def test_switched_off(tpm, sandbox, cluster):
    cluster.configure(tpm_fdw__enabled="off")
    cluster.reload()
    try:
        tpmtest.wait_until(lambda: rows(tpm, "SHOW tpm_fdw.enabled") == [("off",)])
        assert refused(tpm, "/regions").pgcode == "55000"
        assert sandbox.requests() == []
    finally:
        cluster.configure(tpm_fdw__enabled="on")
        cluster.reload()
        tpmtest.wait_until(lambda: rows(tpm, "SHOW tpm_fdw.enabled") == [("on",)])


def test_commented(db):
    assert rows(db, "SELECT count(*) FROM pg_proc WHERE proname IN ('tpm_fdw_get', 'tpm_fdw_create_views')"
                    " AND obj_description(oid, 'pg_proc') IS NULL") == [(0,)]
