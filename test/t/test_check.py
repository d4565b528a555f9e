"""tpm_fdw_check: the way to a server step by step, and tables against the API with the statements that mend them."""

import email.utils
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

import names
import psycopg2
import pytest
import tpmtest

STEPS = ["name resolution", "TLS", "token", "clock", "first request", "request id", "budget"]


def check_server(connection, server="tpm"):
    """{step: (ok, detail, hint)}."""
    found = tpmtest.rows(connection, "SELECT step, ok, detail, hint FROM tpm_fdw_check(%s)", (server,))
    assert [row[0] for row in found] == STEPS
    return {row[0]: row[1:] for row in found}


def check_schema(connection, server="tpm", schema="tpm"):
    """{step: (ok, detail, hint)}; a step that comes twice is an error."""
    found = tpmtest.rows(connection, "SELECT step, ok, detail, hint FROM tpm_fdw_check(%s, %s)", (server, schema))
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1:] for row in found}


def statements(found):
    """The hints that can be run."""
    return [hint for _, _, hint in found.values() if hint and hint.startswith("ALTER ")]


def mend(connection, found, only=""):
    """Runs the statements that contain `only`."""
    done = [statement for statement in statements(found) if only in statement]
    for statement in done:
        tpmtest.rows(connection, statement)
    return done


def failed(found):
    return {step for step, (ok, _, _) in found.items() if ok is False}


def api_server(db, base_url, server="tpm", **options):
    """A server without authentication."""
    given = tpmtest.option_list({"base_url": base_url, "auth": "none", **options})
    tpmtest.rows(db, f"CREATE SERVER {server} FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({given})")


# ----- a server -----


def test_server_that_works(tpm, sandbox):
    sandbox.reset()
    found = check_server(tpm)
    assert [ok for ok, _, _ in found.values()] == [True] * len(STEPS)
    assert [hint for _, _, hint in found.values()] == [None] * len(STEPS)
    assert "127.0.0.1" in found["name resolution"][1]
    assert "plain http" in found["TLS"][1]
    assert "valid until" in found["token"][1]
    assert "status 200" in found["first request"][1]
    assert "of 100000" in found["budget"][1]
    assert len(sandbox.api_requests()) == 1
    assert check_server(tpm)["budget"][1].startswith("used this hour: 2 ")


def test_server_without_tables(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    assert check_server(db)["first request"][0] is True
    assert sandbox.api_requests()[-1]["path"] == "/v1/third_parties"


def test_name_that_does_not_resolve():
    """The name is the failure; what follows is not tried, and says so."""
    resolver = names.Denying()
    cluster = names.Cluster(resolver).start()
    try:
        db = cluster.connect()
        tpmtest.rows(db, "CREATE EXTENSION tpm_fdw")
        api_server(db, "https://nowhere.example/v1")
        found = check_server(db)
        ok, detail, hint = found["name resolution"]
        assert ok is False and "nowhere.example" in detail and "ip_family" in hint
        for step in ("TLS", "token", "clock", "first request"):
            assert found[step][0] is None and "not tried" in found[step][1]
    finally:
        cluster.destroy()
        resolver.close()


def test_nobody_listens(db):
    api_server(db, f"http://127.0.0.1:{tpmtest.free_port()}/v1")
    found = check_server(db)
    assert found["name resolution"][0] is True
    ok, detail, hint = found["TLS"]
    assert ok is False and "connect" in detail.lower()
    assert "allow-list" in hint and "base_url" in hint
    assert [found[step][0] for step in ("token", "clock", "first request", "request id", "budget")] == [None] * 5


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A sandbox behind https; its certificate is nobody's."""
    where = tmp_path_factory.mktemp("tls")
    for path in (where, where.parent, where.parent.parent):
        path.chmod(0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=good",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", where / "key", "-out", where / "pem"],
                   check=True, capture_output=True)
    (where / "pem").chmod(0o644)
    sandbox = tpmtest.Sandbox("--records", "50", "--tls-cert", where / "pem", "--tls-key", where / "key").start()
    sandbox.certificate = where / "pem"
    yield sandbox
    sandbox.stop()


def test_certificates(db, encrypted):
    tpmtest.setup_server(db, encrypted)
    ok, detail, hint = check_server(db)["TLS"]
    assert ok is False and "certificate" in detail and "ca_file" in hint
    tpmtest.rows(db, f"ALTER SERVER tpm OPTIONS (ADD ca_file '{encrypted.certificate}')")
    found = check_server(db)
    assert found["TLS"][0] is True and "valid until" in found["TLS"][1]
    assert found["first request"][0] is True


def test_private_address(db, sandbox):
    """A server that is nobody's superuser reaches no loopback; nothing is sent there."""
    tpmtest.rows(db, "DROP ROLE IF EXISTS plain_owner; CREATE ROLE plain_owner LOGIN")
    tpmtest.rows(db, "GRANT USAGE ON FOREIGN DATA WRAPPER tpm_fdw TO plain_owner")
    api_server(db, f"https://127.0.0.1:{sandbox.port}/v1")
    tpmtest.rows(db, "ALTER SERVER tpm OWNER TO plain_owner")
    sandbox.reset()
    ok, detail, hint = check_server(db)["TLS"]
    assert ok is False and "127.0.0.1" in detail and "superuser" in hint
    tpmtest.rows(db, "ALTER SERVER tpm OWNER TO postgres")
    tpmtest.rows(db, f"ALTER SERVER tpm OPTIONS (SET base_url '{sandbox.base_url}')")
    tpmtest.rows(db, "ALTER SERVER tpm OWNER TO plain_owner")
    found = check_server(db)
    assert found["TLS"][0] is False and "allow_http" in found["TLS"][2]
    assert found["name resolution"][0] is None
    tpmtest.rows(db, "DROP OWNED BY plain_owner; DROP ROLE plain_owner")


def test_token_refused(db, sandbox):
    tpmtest.setup_server(db, sandbox, client_secret="wrong")
    found = check_server(db)
    ok, detail, hint = found["token"]
    assert ok is False and "invalid_client" in detail and "user mapping" in hint
    assert "wrong" not in detail + hint
    assert found["first request"][0] is None and found["budget"][0] is True


def test_no_user_mapping(db, sandbox):
    tpmtest.setup_server(db, sandbox)
    tpmtest.rows(db, "DROP USER MAPPING FOR CURRENT_USER SERVER tpm")
    found = check_server(db)
    ok, _, hint = found["token"]
    assert ok is False and "CREATE USER MAPPING" in hint
    assert found["first request"][0] is None and found["budget"][0] is None


@pytest.mark.parametrize("fault", ["status:403", "status:401"])
def test_address_not_allowed(tpm, sandbox, fault):
    """Whatever its status, "Invalid IP address" is about the allow-list."""
    sandbox.fault(fault, title="Invalid IP address", match="GET /v1")
    ok, detail, hint = check_server(tpm)["first request"]
    assert ok is False and "Invalid IP address" in detail
    assert "allow-list" in hint and "Diligent" in hint and "IPv4" in hint


class Odd(http.server.BaseHTTPRequestHandler):
    """A server with habits of its own; `answer(path, parameters)` gives status and document."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        status, document = self.server.answer(path, urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.reply(status, document)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(403, self.server.token_words)

    def reply(self, status, document):
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response_only(status)
        if self.server.request_id is not None:
            self.send_header("X-Request-Id", self.server.request_id)
        if self.server.ahead is not None:
            self.send_header("Date", email.utils.formatdate(time.time() + self.server.ahead, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def odd():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.ahead, server.token_words, server.request_id = 0, "no", None
    server.answer = lambda path, parameters: (200, {"data": []})
    server.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_clock(db, odd):
    api_server(db, odd.base_url)
    assert check_server(db)["clock"][0] is True
    odd.ahead = 7200
    ok, detail, hint = check_server(db)["clock"]
    assert ok is False and "ahead" in detail and "NTP" in hint
    assert 7190 < float(detail.split(" seconds")[0].split()[-1]) < 7210
    odd.ahead = -7200
    assert "behind" in check_server(db)["clock"][1]
    odd.ahead = None
    assert check_server(db)["clock"][0] is None


def test_request_id(tpm, db, odd, sandbox):
    """Whether it comes back, and what that means for joining the journal with the API's log."""
    ok, detail, hint = check_server(tpm)["request id"]
    assert ok is True and "X-Request-Id comes back" in detail and hint is None
    assert sandbox.api_requests()[-1]["request_id"] is not None
    sandbox.fault("status:403", count=1)
    assert check_server(tpm)["request id"][0] is None

    api_server(db, odd.base_url, server="odd")
    ok, detail, hint = check_server(db, "odd")["request id"]
    assert ok is False and detail == "X-Request-Id does not come back" and "request_id_header" in hint
    odd.request_id = "their own"
    ok, detail, hint = check_server(db, "odd")["request id"]
    assert ok is False and "not as it was sent" in detail and "request_id_header" in hint
    tpmtest.rows(db, "ALTER SERVER odd OPTIONS (ADD request_id_header '')")
    ok, detail, hint = check_server(db, "odd")["request id"]
    assert ok is None and "request_id_header is empty" in detail and hint is None


def test_token_endpoint_behind_an_allow_list(db, odd):
    """A known refusal is repeated, any other text is not: it might hold what was sent."""
    tpmtest.rows(db, f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{odd.base_url}',"
                     " token_url '/token')")
    tpmtest.rows(db, "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'a', client_secret 'b')")
    odd.token_words = "Invalid IP address"
    ok, detail, hint = check_server(db)["token"]
    assert ok is False and "Invalid IP address" in detail and "allow-list" in hint
    odd.token_words = "you have sent client_secret=b"
    ok, detail, hint = check_server(db)["token"]
    assert ok is False and "client_secret=b" not in detail and "allow-list" not in hint


def test_not_the_api(tpm, sandbox):
    sandbox.fault("html_200", match="GET /v1")
    ok, detail, hint = check_server(tpm)["first request"]
    assert ok is False and "JSON:API" in detail and "base_url" in hint


def test_wrong_base_url(db, sandbox):
    """Without tables a 404 proves nothing; with one it is a failure."""
    tpmtest.setup_server(db, sandbox, options={"base_url": sandbox.base_url + "/nowhere", "token_url":
                                               sandbox.url + "/oauth/token"})
    ok, detail, hint = check_server(db)["first request"]
    assert ok is None and "404" in detail and "base_url" in hint
    tpmtest.rows(db, "CREATE FOREIGN TABLE users (id text) SERVER tpm")
    ok, detail, hint = check_server(db)["first request"]
    assert ok is False and "404" in detail and "base_url" in hint


def test_last_of_the_hour(tpm, sandbox):
    """A check may use what leave_free keeps; without a slot the budget is the failure."""
    check_server(tpm)
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (SET rate_limit_per_hour '2'); SET tpm_fdw.leave_free = 100")
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_rate_limits('tpm'); SET tpm_fdw.max_wait = 0")
    assert check_server(tpm)["first request"][0] is True
    found = check_server(tpm)
    assert found["first request"][0] is True and found["budget"][0] is False
    sandbox.reset()
    found = check_server(tpm)
    assert found["first request"][0] is False and "exhausted" in found["first request"][1]
    assert "2 of 2" in found["budget"][1] and "can leave at" in found["budget"][2]
    assert sandbox.api_requests() == []
    tables = check_schema(tpm)
    assert tables["attachments: path"][0] is False and tables["users: path"][0] is None
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_rate_limits('tpm')")


def test_switched_off(cluster, tpm, sandbox):
    cluster.configure(tpm_fdw__enabled="off")
    cluster.reload()
    try:
        tpmtest.wait_until(lambda: tpmtest.rows(tpm, "SHOW tpm_fdw.enabled") == [("off",)])
        sandbox.reset()
        found = check_server(tpm)
        assert [found[step][0] for step in STEPS[:5]] == [None] * 5
        assert "tpm_fdw.enabled" in found["TLS"][1]
        assert sandbox.requests() == []
    finally:
        cluster.configure(tpm_fdw__enabled="on")
        cluster.reload()
        tpmtest.wait_until(lambda: tpmtest.rows(tpm, "SHOW tpm_fdw.enabled") == [("on",)])


def test_who_may(tpm):
    """EXECUTE is not for PUBLIC, USAGE on the server is asked for, the mapping is the caller's."""
    tpmtest.rows(tpm, "DROP ROLE IF EXISTS checker; CREATE ROLE checker")
    tpmtest.rows(tpm, "GRANT USAGE ON SCHEMA tpm TO checker")
    calls = ("SELECT * FROM public.tpm_fdw_check('tpm')", "SELECT * FROM public.tpm_fdw_check('tpm', 'tpm')")
    try:
        tpmtest.rows(tpm, "SET ROLE checker")
        for call in calls:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="function"):
                tpmtest.rows(tpm, call)
        tpmtest.rows(tpm, "RESET ROLE; GRANT EXECUTE ON FUNCTION public.tpm_fdw_check(name),"
                          " public.tpm_fdw_check(name, name) TO checker; SET ROLE checker")
        for call in calls:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="foreign server"):
                tpmtest.rows(tpm, call)
        tpmtest.rows(tpm, "RESET ROLE; GRANT USAGE ON FOREIGN SERVER tpm TO checker; SET ROLE checker")
        assert check_server(tpm)["token"][0] is False
        tpmtest.rows(tpm, "RESET ROLE; CREATE USER MAPPING FOR checker SERVER tpm OPTIONS (client_id 'sandbox',"
                          " client_secret 'sandbox-secret'); SET ROLE checker")
        assert check_server(tpm)["first request"][0] is True
        tpmtest.rows(tpm, "RESET ROLE; REVOKE USAGE ON SCHEMA tpm FROM checker; SET ROLE checker")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="schema"):
            tpmtest.rows(tpm, calls[1])
    finally:
        tpmtest.rows(tpm, "RESET ROLE; DROP OWNED BY checker; DROP ROLE checker")


def test_what_is_not_ours(tpm, contrib):
    contrib("postgres_fdw")
    tpmtest.rows(tpm, "CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw")
    for call in ("tpm_fdw_check('other')", "tpm_fdw_check('other', 'tpm')"):
        with pytest.raises(psycopg2.errors.WrongObjectType):
            tpmtest.rows(tpm, f"SELECT * FROM {call}")
    with pytest.raises(psycopg2.errors.UndefinedObject):
        tpmtest.rows(tpm, "SELECT * FROM tpm_fdw_check('nobody')")
    with pytest.raises(psycopg2.errors.InvalidSchemaName):
        tpmtest.rows(tpm, "SELECT * FROM tpm_fdw_check('tpm', 'nowhere')")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        tpmtest.rows(tpm, "SELECT * FROM tpm_fdw_check('tpm', 'public')")


@pytest.mark.parametrize("call", ["tpm_fdw_check('tpm')", "tpm_fdw_check('tpm', 'tpm')"])
def test_cancel(tpm, sandbox, call):
    """A check that waits for an answer ends at once, and the session goes on."""
    sandbox.fault("hold", match="GET /v1")
    pid = tpm.get_backend_pid()
    error = []

    def run():
        try:
            tpmtest.rows(tpm, f"SELECT * FROM {call}")
        except psycopg2.Error as caught:
            error.append(caught)
    thread = threading.Thread(target=run)
    thread.start()
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    other = psycopg2.connect(tpm.dsn)
    began = time.monotonic()
    tpmtest.rows(other, "SELECT pg_cancel_backend(%s)", (pid,))
    thread.join(10)
    assert time.monotonic() - began < 2
    other.close()
    sandbox.release()
    sandbox.reset()
    assert error[0].pgcode == "57014"
    assert check_server(tpm)["first request"][0] is True


# ----- a schema -----


def test_schema_that_fits(tpm, sandbox):
    """Nothing to say about the sandbox; a NOTICE said how many requests first, and so many it was at most."""
    sandbox.reset()
    tpm.notices.clear()
    found = check_schema(tpm)
    assert failed(found) == set() and statements(found) == []
    words = tpm.notices[0].split()
    least, most = int(words[words.index("with") + 1]), int(words[words.index("requests") - 1])
    sent = [entry["path"] for entry in sandbox.api_requests()]
    tables = {step.split(":")[0] for step in found}
    assert len(tables) == 28 and least == 28 and least <= len(sent) <= most
    assert max(sent.count(path) for path in sent) <= 4
    for column in ("id", "name", "status", "approval_status", "country", "region_id", "owner_id"):
        ok, detail, _ = found[f"third_parties: filter {column}"]
        assert ok is True and "left out" in detail
    assert found["cases: filter open"][0] is True and found["audit_events: filter occurred_at >="][0] is True
    assert "NULLs come last" in found["third_parties: sort approval_status_changed_at"][1]
    assert "Active (" in found["third_parties: values status"][1]
    assert "300 at /meta/total_count" == found["third_parties: total"][1]


def test_plain_import_is_told_what_it_may_trust(db, sandbox):
    """What a tenant's tables lack after the import without trust; the statements keep queries right."""
    tpmtest.setup_server(db, sandbox, schema="tpm")
    found = check_schema(db)
    assert failed(found) == set()
    done = mend(db, found)
    assert any("total_pointer '/meta/total_count'" in statement for statement in done)
    assert any("ADD sortable 'true', ADD sort_nulls 'last'" in statement for statement in done)
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0; SET enable_sort = off")
    items = sandbox.dump("cases")
    amounts = [item["attributes"]["budget_amount"] for item in items]
    got = [None if value is None else float(value) for value, in tpmtest.rows(
        db, "SELECT budget_amount FROM tpm.cases ORDER BY budget_amount DESC NULLS FIRST")]
    assert got == sorted(amounts, key=lambda value: -value if value is not None else float("-inf"))
    assert statements(check_schema(db)) == []


FAULTS = (("rename_attribute", {"attribute": "approval_status", "to": "approval_state"}), ("hide_inactive", {}),
          ("page_cap", {"value": 50}))


@pytest.mark.parametrize("renamed", ["approval_state", "renamed"])
@pytest.mark.parametrize("total", [True, False])
def test_finds_and_mends(tpm, sandbox, renamed, total):
    """An attribute renamed, inactive rows hidden, pages capped: all three are found, and the statements mend them."""
    third_parties = sandbox.dump("third_parties")
    cases = sandbox.dump("cases")
    sandbox.settings(no_total=not total)
    for name, parameters in FAULTS:
        sandbox.fault(name, **parameters | ({"to": renamed} if "to" in parameters else {}))
    assert tpmtest.rows(tpm, "SELECT count(*) FROM (SELECT id FROM third_parties OFFSET 0) q")[0][0] \
        == sum(item["attributes"]["status"] == "Active" for item in third_parties) < len(third_parties)
    found = check_schema(tpm)
    ok, detail, hint = found["third_parties: column approval_status"]
    assert ok is False and "approval_status" in detail
    assert hint == ("ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN approval_status"
                    f" OPTIONS (ADD attribute '{renamed}');")
    ok, detail, hint = found["third_parties: hidden rows"]
    assert ok is False and "Inactive" in detail
    assert hint == "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD query 'filter[status]=Active,Inactive');"
    assert found["third_parties: page size"] == (False, "asked for 100, given 50: the largest page",
                                                 "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD page_size '50');")
    assert found["cases: hidden rows"][0] is False
    assert found["engagements: column approval_status"][0] is False
    mend(tpm, found)

    again = check_schema(tpm)
    assert failed(again) == set()
    assert again["third_parties: filter status"][0] is True
    for options in ("", "SET tpm_fdw.cache_ttl = 300"):
        if options:
            tpmtest.rows(tpm, options)
        expected = sorted((item["id"], item["attributes"]["status"], item["attributes"]["approval_status"])
                          for item in third_parties)
        assert sorted(tpmtest.rows(tpm, "SELECT id, status, approval_status FROM third_parties")) == expected
        for condition, choose in (("status = 'Inactive'", lambda row: row[1] == "Inactive"),
                                  ("status = 'Active'", lambda row: row[1] == "Active"),
                                  ("status IN ('Active', 'Inactive')", lambda row: True),
                                  ("status = 'Pending'", lambda row: row[1] == "Pending"),
                                  ("status IN ('Inactive', 'Pending')", lambda row: row[1] == "Inactive"),
                                  ("approval_status = 'Approved'", lambda row: row[2] == "Approved")):
            wanted = [row for row in expected if choose(row)]
            assert sorted(tpmtest.rows(tpm, "SELECT id, status, approval_status FROM third_parties WHERE "
                                       + condition)) == wanted
            assert tpmtest.rows(tpm, f"SELECT count(*) FROM third_parties WHERE {condition}") == [(len(wanted),)]
        assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties") == [(len(third_parties),)]
        assert tpmtest.rows(tpm, "SELECT count(*) FROM cases WHERE NOT open") \
            == [(sum(not item["attributes"]["open"] for item in cases),)]
        assert tpmtest.rows(tpm, "SELECT count(*) FROM cases") == [(len(cases),)]
    plan = tpmtest.rows(tpm, "EXPLAIN SELECT name FROM third_parties WHERE status = 'Inactive' AND city = 'Paris'")
    assert any("filter[status]=Inactive" in line and "Active,Inactive" not in line for line, in plan)
    if total:
        tpmtest.rows(tpm, "SET tpm_fdw.cache_ttl = 0")
        sandbox.settings(page_max=50)
        assert any(f"Requests: ~{-(-len(third_parties) // 50)}" in line
                   for line, in tpmtest.rows(tpm, "EXPLAIN SELECT name FROM third_parties"))


@pytest.mark.parametrize("style", ["links", "number", "number_base64"])
def test_mends_what_was_imported_without_trust(db, sandbox, style):
    """Every statement that is proposed, run twice over: rows, orders and conditions are those of the data."""
    sandbox.settings(pagination=style)
    for name, parameters in FAULTS:
        sandbox.fault(name, **parameters)
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"pagination": style})
    mend(db, check_schema(db))
    mend(db, check_schema(db))
    found = check_schema(db)
    assert failed(found) == set() and statements(found) == []
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0; SET search_path = tpm; SET enable_sort = off")
    rows = [(item["id"], item["attributes"]) for item in sandbox.dump("third_parties")]
    for column in ("approval_status_changed_at", "risk_score", "updated_at", "next_renewal_on"):
        got = tpmtest.rows(db, f"SELECT {column} IS NULL, {column} FROM third_parties ORDER BY {column}")
        assert len(got) == len(rows) and got == sorted(got, key=lambda row: (row[0], row[1] or 0))
    for status in ("Active", "Inactive"):
        wanted = sorted(number for number, item in rows if item["status"] == status and item["approval_status"] == "Approved")
        assert sorted(number for number, in tpmtest.rows(
            db, f"SELECT id FROM third_parties WHERE status = '{status}' AND approval_status = 'Approved'")) == wanted
    assert tpmtest.rows(db, "SELECT count(*), count(*) FILTER (WHERE open) FROM cases") == [
        (len(sandbox.dump("cases")), sum(item["attributes"]["open"] for item in sandbox.dump("cases")))]


def test_value_known_only_when_it_runs(tpm, sandbox):
    """A condition beside the option query: sent in its place, or local if the query does not list the value."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties OPTIONS (ADD query 'filter[status]=Inactive')")
    inactive = sum(item["attributes"]["status"] == "Inactive" for item in sandbox.dump("third_parties"))
    tpmtest.rows(tpm, "SET plan_cache_mode = force_generic_plan")
    tpmtest.rows(tpm, "PREPARE q(text) AS SELECT count(*) FROM third_parties WHERE status = $1")
    for value, expected in (("Inactive", inactive), ("Active", 0), ("Inactive", inactive)):
        assert tpmtest.rows(tpm, f"EXECUTE q('{value}')") == [(expected,)]
    queries = [urllib.parse.parse_qs(entry["query"]) for entry in sandbox.api_requests()]
    assert len(queries) == 3 and all(query["filter[status]"] == ["Inactive"] for query in queries)


def test_filters_that_are_ignored(tpm, sandbox):
    """Each is found; without them queries are right and cost no more."""
    sandbox.fault("ignore_filter")
    found = check_schema(tpm)
    for column in ("status", "country", "id", "region_id"):
        ok, detail, hint = found[f"third_parties: filter {column}"]
        assert ok is False and "not obeyed" in detail
        assert hint.endswith("OPTIONS (DROP filter, DROP filter_match);")
    assert "DROP filter_values" in found["cases: filter open"][2]
    assert found["audit_events: filter occurred_at >="][0] is False
    mend(tpm, found)
    # the other bound is found when the first is gone
    mend(tpm, check_schema(tpm))
    assert failed(check_schema(tpm)) == set()
    inactive = sum(item["attributes"]["status"] == "Inactive" for item in sandbox.dump("third_parties"))
    assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties WHERE status = 'Inactive'") == [(inactive,)]


def test_filters_that_match_a_part(tpm, sandbox):
    """Such a filter can be used, but not be trusted."""
    sandbox.fault("partial_filter")
    found = check_schema(tpm)
    ok, detail, hint = found["third_parties: filter status"]
    assert ok is False and "hold what was asked for: Inactive" in detail
    assert hint == "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN status OPTIONS (SET filter_match 'recheck');"
    mend(tpm, found)
    assert check_schema(tpm)["third_parties: filter status"][0] is True
    active = sum(item["attributes"]["status"] == "Active" for item in sandbox.dump("third_parties"))
    assert tpmtest.rows(tpm, "SELECT count(*) FROM third_parties WHERE status = 'Active'") == [(active,)]


def test_filter_that_is_refused(tpm):
    """The one that the API names is to go; the others are tried without it."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE third_parties ALTER COLUMN country OPTIONS (SET filter 'land')")
    found = check_schema(tpm)
    ok, detail, hint = found["third_parties: filter country"]
    assert ok is False and "unknown filter" in detail and "DROP filter" in hint
    assert found["third_parties: filter status"][0] is True
    mend(tpm, found)
    assert failed(check_schema(tpm)) == set()


def listing(items, with_total=False):
    """A list document of (id, attributes)."""
    document = {"data": [{"type": "things", "id": number, "attributes": attributes} for number, attributes in items],
                "links": {"next": None}}
    return document | ({"meta": {"page": {"total_items": len(items)}}} if with_total else {})


def things(count=30):
    return [(str(number), {"kind": "abc"[number % 3], "size": number % 7}) for number in range(1, count + 1)]


def test_lists_that_are_spelt_otherwise(db, odd):
    """A server that takes a comma as a part of the value: the statement names the other spelling."""
    def answer(path, parameters):
        wanted = [value for name, value in parameters if name in ("filter[kind]", "filter[kind][]")]
        return 200, listing([item for item in things() if not wanted or item[1]["kind"] in wanted])
    odd.answer = answer
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, kind text OPTIONS (filter 'kind'),"
                     " size int OPTIONS (filter 'size')) SERVER tpm")
    found = check_schema(db)
    assert found["things: list format"][0] is False
    tpmtest.rows(db, found["things: list format"][2])
    found = check_schema(db)
    assert found["things: filter kind"][0] is True
    assert found["things: filter size"][0] is False
    mend(db, found)
    assert tpmtest.rows(db, "SELECT count(*) FROM tpm.things WHERE kind IN ('a', 'b') AND size = 3") == [
        (sum(item[1]["kind"] in "ab" and item[1]["size"] == 3 for item in things()),)]


def numbered(n, code="c{}"):
    return [(str(i), {"code": code.format(i)}) for i in range(n)]


def test_long_list_of_uuids(db, odd):
    """As many as a join asks for at a time: a URL holds a hundred."""
    lengths = []

    def answer(path, parameters):
        items = numbered(90, "{:036d}")
        wanted = next((value.split(",") for name, value in parameters if name == "filter[code]"), None)
        if wanted is not None:
            lengths.append(len(wanted))
        return 200, listing([item for item in items if wanted is None or item[1]["code"] in wanted])
    odd.answer = answer
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, code text OPTIONS (filter 'code')) SERVER tpm")
    assert check_schema(db)["things: long list"][0] is True and lengths == [89]


@pytest.mark.parametrize("most,status", [(None, 200), (40, 200), (40, 400), (40, 414)])
def test_long_list_of_values(db, odd, most, status):
    """Joins ask for a hundred values at a time: an API that takes fewer, silently or not, is found out."""
    lengths = []

    def answer(path, parameters):
        wanted = next((value.split(",") for name, value in parameters if name == "filter[code]"), None)
        items = numbered(90)
        if wanted is not None:
            lengths.append(len(wanted))
            if most and len(wanted) > most and status != 200:
                return status, {"errors": [{"title": "the list of values is too long"}]}
            items = [item for item in items if item[1]["code"] in wanted[:most]]
        return 200, listing(items)
    odd.answer = answer
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, code text OPTIONS (filter 'code')) SERVER tpm")
    found = check_schema(db)
    ok, detail, hint = found["things: long list"]
    assert lengths[0] == 89 and set(lengths) == ({89} if most is None else {89, 1})
    assert found["things: filter code"][0] is True
    if most is None:
        assert ok is True and "89 values" in detail
        return
    assert ok is False and "too many" in detail
    mend(db, found)
    lengths.clear()
    assert tpmtest.rows(db, "SELECT count(*) FROM tpm.things t JOIN generate_series(0, 99) g ON t.code = 'c' || g") == [(90,)]
    assert all(n == 1 for n in lengths)
    assert "things: long list" not in check_schema(db)


def test_filters_that_lose_rows(db, odd):
    """Rows that match are missing: no statement can know which filter it is, but all are failures."""
    odd.answer = lambda path, parameters: (200, listing([] if any("filter" in name for name, _ in parameters)
                                                        else things()))
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, kind text OPTIONS (filter 'kind'),"
                     " size int OPTIONS (filter 'size')) SERVER tpm")
    found = check_schema(db)
    for column in ("kind", "size"):
        ok, detail, hint = found[f"things: filter {column}"]
        assert ok is False and "loses a row" in detail and "drop the option filter" in hint


def test_total_in_another_place(db, odd):
    odd.answer = lambda path, parameters: (200, listing(things(), with_total=True))
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text) SERVER tpm"
                     " OPTIONS (total_pointer '/meta/total')")
    assert check_schema(db)["things: total"] == (
        False, "there is none at /meta/total, but 30 at /meta/page/total_items",
        "ALTER FOREIGN TABLE tpm.things OPTIONS (SET total_pointer '/meta/page/total_items');")
    odd.answer = lambda path, parameters: (200, listing(things()))
    found = check_schema(db)
    assert found["things: total"][0] is False
    mend(db, found)
    assert check_schema(db)["things: total"][0] is True


@pytest.mark.parametrize("pointer, meta", [("/meta/res~1a~0b/n", {"res/a~b": {"n": 30}}), ("/meta/n", {"n": "30"}),
                                           ("/meta//n", {"": {"n": 30}})])
def test_total_in_an_odd_place(db, odd, pointer, meta):
    """What a scan understands, the check does too."""
    odd.answer = lambda path, parameters: (200, listing(things()) | {"meta": meta})
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text) SERVER tpm"
                     f" OPTIONS (total_pointer '{pointer}')")
    assert check_schema(db)["things: total"] == (True, f"30 at {pointer}", None)
    assert tpmtest.rows(db, "SELECT count(*) FROM tpm.things") == [(30,)]


def test_members_without_a_column(db, odd):
    """Each is a column to add, whatever its name; relationships without linkage are said."""
    def answer(path, parameters):
        data = [{"type": "things", "id": str(number), "attributes": {
            "kind": "a", 'A "quoted" name': "x", "a/b": 1, "price": 1.5, "on": "2024-01-01",
            "at": "2024-01-01T00:00:00Z", "good": True, "more": {"x": 1}, "ä" * 60: "long"},
            "relationships": {"owner": {"data": {"type": "users", "id": "7"}},
                              "tags": {"data": [{"type": "tags", "id": "8"}]},
                              "parent": {"links": {"related": "/x"}}}} for number in range(30)]
        return 200, {"data": data}
    odd.answer = answer
    api_server(db, odd.base_url)
    tpmtest.rows(db, """CREATE SCHEMA "T p"; CREATE FOREIGN TABLE "T p"."My things" (id text, kind text,
        parent_id text OPTIONS (relationship 'parent')) SERVER tpm OPTIONS (resource '/things')""")
    found = check_schema(db, schema="T p")
    ok, detail, _ = found["My things: column parent_id"]
    assert ok is False and "without linkage" in detail
    done = mend(db, found, "ADD COLUMN")
    assert len(done) == 10
    found = check_schema(db, schema="T p")
    assert not any("not mapped" in step for step in found)
    types = dict(tpmtest.rows(db, """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = '"T p"."My things"'::regclass AND attnum > 3"""))
    assert types["price"] == "numeric" and types["on"] == "date" and types["at"] == "timestamp with time zone"
    assert types["good"] == "boolean" and types["more"] == "jsonb" and types["tags"] == "text[]"
    assert tpmtest.rows(db, """SELECT "A ""quoted"" name", "a/b", owner_id, tags, more FROM "T p"."My things" LIMIT 1
        """) == [("x", 1, "7", ["8"], {"x": 1})]


def test_no_name_fits(tpm, sandbox):
    """A column whose member is gone, and nothing in its place: what to do is said, no statement is made up."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE users ADD COLUMN shoe_size integer")
    ok, detail, hint = check_schema(tpm)["users: column shoe_size"]
    assert ok is False and "none of 40 resources" in detail and not hint.startswith("ALTER")
    sandbox.fault("rename_attribute", attribute="email", to="mail_address_of_the_user")
    hint = check_schema(tpm)["users: column shoe_size"][2]
    assert "mail_address" not in hint


def test_type_of_resources(tpm, sandbox):
    sandbox.fault("wrong_type", value="people")
    found = check_schema(tpm)
    assert found["users: type"][2] == "ALTER FOREIGN TABLE tpm.users OPTIONS (ADD type 'people');"
    assert found["users: filter email"][0] is True
    tpmtest.rows(tpm, found["users: type"][2])
    assert "users: type" not in check_schema(tpm)


def test_value_that_does_not_fit(tpm, sandbox):
    sandbox.fault("date_nonsense")
    ok, detail, hint = check_schema(tpm)["users: values"]
    assert ok is False and "created_at" in detail and "42" in detail and "type" in hint


def test_place_of_nulls(tpm):
    """A wrong sort_nulls is an error at run time; the check says what is right."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE cases ALTER COLUMN budget_amount OPTIONS (SET sort_nulls 'first')")
    ok, detail, hint = (found := check_schema(tpm))["cases: sort budget_amount"]
    assert ok is False and "last, not first" in detail and "SET sort_nulls 'last'" in hint
    mend(tpm, found)
    assert check_schema(tpm)["cases: sort budget_amount"][0] is True


def test_order_that_is_none(tpm, sandbox):
    sandbox.fault("unsorted")
    found = check_schema(tpm)
    assert found["users: sort created_at"][0] is False and "SET sortable 'false'" in found["users: sort created_at"][2]
    mend(tpm, found)
    tpmtest.rows(tpm, "SET enable_sort = on")
    assert tpmtest.rows(tpm, "SELECT count(*) FROM (SELECT id FROM users ORDER BY created_at) q") == [(40,)]


def natural_key(connection, table="third_parties"):
    return check_schema(connection).get(f"{table}: natural key")


def test_natural_key_that_is_none(tpm, sandbox):
    """Two resources with one key: told with both ids, and what to do about it; only where something can be created."""
    assert natural_key(tpm)[::2] == (True, None)
    assert natural_key(tpm, "regions") is None
    kept = next(i for i in sandbox.dump("third_parties") if i["id"] == "3")["attributes"]["internal_id"]
    sandbox.edit("third_parties", 5, internal_id=kept)
    ok, detail, hint = natural_key(tpm)
    assert ok is False and "1 of " in detail and f"internal_id = {kept} (ids 3, 5)" in detail
    assert "ALTER FOREIGN TABLE tpm.third_parties ALTER COLUMN internal_id OPTIONS (DROP natural_key);" in hint
    assert not hint.startswith("ALTER ")


@pytest.mark.parametrize("filtered", [True, False])
def test_natural_key_on_another_page(db, sandbox, filtered):
    """One that only a later page shows is found by the key's filter, if it has one and a request is left."""
    tpmtest.setup_server(db, sandbox)
    options = "natural_key 'true', filter 'internal_id'" if filtered else "natural_key 'true'"
    tpmtest.rows(db, f"CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.third_parties (id text, internal_id text OPTIONS ({options}))"
                     " SERVER tpm OPTIONS (fields_format '')")
    kept = next(i for i in sandbox.dump("third_parties") if i["id"] == "3")["attributes"]["internal_id"]
    sandbox.edit("third_parties", 250, internal_id=kept)
    ok, detail, _ = natural_key(db)
    assert ok is not filtered and ("(ids 250, 3)" in detail) is filtered


def test_natural_key_of_several_columns(tpm, sandbox):
    """All of them together are the key."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE tpm.third_parties ALTER name OPTIONS (ADD natural_key 'true')")
    kept = next(i for i in sandbox.dump("third_parties") if i["id"] == "3")["attributes"]
    sandbox.edit("third_parties", 5, internal_id=kept["internal_id"], name="Another name")
    assert natural_key(tpm)[0] is True
    sandbox.edit("third_parties", 5, name=kept["name"])
    ok, detail, hint = natural_key(tpm)
    assert ok is False and f"internal_id = {kept['internal_id']}, name = {kept['name']} (ids 3, 5)" in detail
    assert hint.count("DROP natural_key") == 2


def test_larger_pages(tpm, sandbox):
    """Where a page came full, more is asked for: what was given is proposed."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD page_size '20')")
    found = check_schema(tpm)
    assert found["third_parties: page size"][0] is True
    assert found["third_parties: largest page"] == (
        True, "asked for 1000, given 100: fewer requests would do",
        "ALTER FOREIGN TABLE tpm.third_parties OPTIONS (ADD page_size '100');")


def test_tables_that_need_a_value(tpm):
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE tpm.their_notes (id text, third_party_id text, body text) SERVER tpm"
                      " OPTIONS (resource '/third_parties/{third_party_id}/notes')")
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE tpm.nowhere (id text) SERVER tpm")
    found = check_schema(tpm)
    assert found["their_notes: path"][0] is None and "values" in found["their_notes: path"][1]
    ok, detail, hint = found["nowhere: path"]
    assert ok is False and "404" in detail and "resource" in hint
    assert found["users: path"][0] is True


def test_an_empty_list(db, odd):
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, kind text OPTIONS (filter 'kind'))"
                     " SERVER tpm")
    found = check_schema(db)
    assert failed(found) == set() and found["things: columns"][0] is None


@pytest.mark.parametrize("body", ['{"data": null}', '{"data": [1, "x", null, {}]}', '[]', '', '{"data": {}}',
                                  '{"data": [{"type": "things", "attributes": [], "relationships": 3}]}',
                                  '{"data": [{"type": 7, "id": {}, "attributes": {"": 1}}], "links": 5, "meta": []}'])
def test_strange_documents(db, odd, body):
    """Rows or a failed row, and the next table is checked."""
    odd.answer = lambda path, parameters: (200, body if path.endswith("things") else listing(things()))
    api_server(db, odd.base_url)
    tpmtest.rows(db, "CREATE SCHEMA tpm; CREATE FOREIGN TABLE tpm.things (id text, kind text OPTIONS (filter 'kind'))"
                     " SERVER tpm")
    tpmtest.rows(db, "CREATE FOREIGN TABLE tpm.z (id text, kind text) SERVER tpm OPTIONS (type 'things')")
    found = check_schema(db)
    assert found["z: path"][0] is True
    assert any(step.startswith("things: ") for step in found)


@pytest.mark.parametrize("style", ["links_absolute", "number", "number_base64", "offset", "cursor"])
def test_every_style_of_paging(tpm, sandbox, style):
    """The sandbox is found to be right in each; a wrong name of a parameter is said."""
    sandbox.settings(pagination=style)
    if style == "offset":
        ok, detail, hint = check_schema(tpm)["users: path"]
        assert ok is False and "page[size]" in detail and "paging" in hint
    pagination = style if style in ("number", "number_base64", "offset") else "links"
    tpmtest.rows(tpm, f"ALTER SERVER tpm OPTIONS (ADD pagination '{pagination}')")
    found = check_schema(tpm)
    assert failed(found) == set() and statements(found) == []


def test_trouble_is_no_verdict(tpm, sandbox):
    """An API that fails, or wants a pause, has not refused a filter or an order."""
    tpmtest.rows(tpm, "ALTER SERVER tpm OPTIONS (ADD max_retries '0')")
    sandbox.fault("status:500", match="GET /v1/users?filter")
    sandbox.fault("status:500", match="GET /v1/users?sort")
    found = check_schema(tpm)
    assert {found[f"users: {step}"][0] for step in ("filter email", "sort created_at")} == {None}
    assert "500" in found["users: filter email"][1] and "500" in found["users: sort created_at"][1]
    assert failed(found) == set() and statements(found) == []


def test_limit_of_an_endpoint(tpm, sandbox):
    """A table with a limit of its own gets no more requests than that, and holds up nobody."""
    tpmtest.rows(tpm, "ALTER FOREIGN TABLE users OPTIONS (ADD rate_limit_per_minute '2'); SET tpm_fdw.max_wait = 0")
    sandbox.reset()
    found = check_schema(tpm)
    assert [entry["path"] for entry in sandbox.api_requests()].count("/v1/users") == 2
    assert failed(found) == set()
    found = check_schema(tpm)
    assert failed(found) == {"users: path"} and found["workflows: path"][0] is True


def test_progress(tpm, sandbox, cluster):
    """Others see the table that is being checked."""
    sandbox.fault("hold", count=1, match="GET /v1/users")
    thread = threading.Thread(target=check_schema, args=(tpm,))
    thread.start()
    tpmtest.wait_until(lambda: sandbox.state()["held"])
    other = psycopg2.connect(tpm.dsn)
    assert tpmtest.rows(other, "SELECT relation, operation FROM tpm_fdw_progress WHERE database = current_database()") \
        == [("tpm.users", "check")]
    other.close()
    sandbox.release()
    thread.join(30)
    assert tpmtest.rows(tpm, "SELECT count(*) FROM tpm_fdw_progress") == [(0,)]
