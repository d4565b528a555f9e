"""What goes wrong is a clear error with the SQLSTATE of the reference, and no error tells a secret."""

import base64
import re
import socket
import subprocess
import urllib.parse
import urllib.request

import names
import psycopg2
import pytest
import tpmtest

QUERY = "SELECT id, name, created_at FROM third_parties"
LIST = "GET /v1/third_parties"
SECRET = "sandbox-secret"


def failure(connection, statement):
    """The error that a statement raises."""
    with pytest.raises(psycopg2.Error) as caught:
        tpmtest.rows(connection, statement)
    return caught.value


def words(error):
    """All that a user reads of an error."""
    diag = error.diag
    return "\n".join(filter(None, (diag.message_primary, diag.message_detail, diag.message_hint, diag.context)))


def alter(db, **options):
    """Changes options of the server; those that it has not are added."""
    given = tpmtest.rows(db, "SELECT split_part(o, '=', 1) FROM pg_foreign_server, unnest(srvoptions) o"
                             " WHERE srvname = 'tpm'")
    known = {name for name, in given}
    changes = ", ".join(f"{'SET' if name in known else 'ADD'} {name} {tpmtest.quote(value)}"
                        for name, value in options.items())
    tpmtest.rows(db, f"ALTER SERVER tpm OPTIONS ({changes})")


# the fault, its parameters, SQLSTATE, what the user reads, requests sent with max_retries 1
ANSWERS = [
    ("status:400", {"detail": "no such filter"}, "22023", ["status 400", "no such filter"], 1),
    ("status:422", {"detail": "the page is odd"}, "22023", ["status 422", "the page is odd"], 1),
    ("status:403", {"detail": "Invalid IP address"}, "42501", ["status 403", "Invalid IP address", "allow-list"], 1),
    ("empty", {"status": 403}, "42501", ["status 403", "System Administrator"], 1),
    ("status:404", {}, "HV00R", ["status 404", "resource"], 1),
    ("status:500", {"detail": "out of order"}, "HV00L", ["status 500", "out of order"], 2),
    ("status:503", {}, "HV00L", ["status 503"], 2),
    ("html_502", {}, "HV00L", ["status 502"], 2),
    ("status:401", {}, "28000", ["status 401", "credentials"], 2),
    ("empty_401", {}, "28000", ["status 401", "credentials"], 2),
    ("expire_token", {}, "28000", ["status 401", "the access token is missing, unknown or expired"], 2),
    ("redirect", {}, "HV00M", ["redirected", "https://elsewhere.example"], 1),
    ("html_200", {}, "HV00M", ["not a JSON:API document"], 1),
    ("garbage", {}, "HV00M", ["not a JSON:API document"], 1),
    ("errors_beside_data", {"detail": "shard 3 is away"}, "HV00M", ["holds errors", "shard 3 is away"], 1),
    ("errors_only", {"detail": "shard 3 is away"}, "HV00M", ["holds errors", "shard 3 is away"], 1),
    ("insufficient_scope", {"scope": "x.read"}, "42501", ["status 401", 'lacks the scope "x.read"', "option scope"], 1),
    ("no_data", {}, "HV00M", ["not a JSON:API document", '"data"'], 1),
    ("wrong_type", {}, "HV00M", ["third_parties", "wrong"], 1),
    ("huge", {"mb": 3}, "HV00M", ["max_response_size", "page_size"], 1),
    ("gzip_bomb", {"mb": 200}, "HV00M", ["max_response_size"], 1),
    ("truncate", {}, "HV00N", ["no answer", "2 tries"], 2),
    ("reset", {}, "HV00N", ["no answer", "2 tries"], 2),
    ("foreign_next", {}, "HV00M", ["http://foreign.example", "links_origin"], 1),
    ("loop_next", {}, "HV00M", ["only resources that earlier pages had"], 2),
]


@pytest.mark.parametrize("fault, parameters, sqlstate, read, requests", ANSWERS, ids=[row[0] for row in ANSWERS])
def test_answers(tpm, sandbox, fault, parameters, sqlstate, read, requests):
    """An answer that is none: SQLSTATE, the API's own words, the path, and how often it was asked for."""
    alter(tpm, max_retries=1, max_response_size="2MB")
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_tokens()")
    sandbox.fault(fault, match=LIST, **parameters)
    error = failure(tpm, QUERY)
    assert error.pgcode == sqlstate
    for expected in read:
        assert expected in words(error)
    assert "third_parties" in words(error)
    assert SECRET not in words(error)
    assert sandbox.request_count() == requests


PASSING = ["status:500", "status:503", "html_502", "truncate", "reset", "expire_token", "empty_401"]


@pytest.mark.parametrize("fault", PASSING)
def test_passing_trouble(tpm, sandbox, fault):
    """What happens once is tried again, and the answer is whole."""
    sandbox.fault(fault, match=LIST, count=1)
    assert len(tpmtest.rows(tpm, QUERY)) == 300
    assert sandbox.request_count() == 4


def test_renewed_once(tpm, sandbox):
    """A 401 costs one new token."""
    tpmtest.rows(tpm, "SELECT id FROM users LIMIT 1")
    before = sandbox.state()["tokens_issued"]
    sandbox.revoke()
    assert len(tpmtest.rows(tpm, QUERY)) == 300
    assert sandbox.state()["tokens_issued"] == before + 1


def test_nonsense_in_a_date(tpm, sandbox):
    """The type's own SQLSTATE; the CONTEXT says where: resource, column, value."""
    last = max(tpmtest.rows(tpm, "SELECT id FROM third_parties ORDER BY id COLLATE \"C\" LIMIT 100"))[0]
    sandbox.fault("date_nonsense", match=LIST)
    error = failure(tpm, QUERY)
    assert error.pgcode.startswith("22")
    assert f'"{last}"' in error.diag.context
    assert '"created_at"' in error.diag.context
    assert '"42"' in error.diag.context


def test_numeric_ids(tpm, sandbox):
    """Ids that come as numbers are read as text."""
    expected = tpmtest.rows(tpm, QUERY)
    sandbox.fault("numeric_id", match=LIST)
    assert tpmtest.rows(tpm, QUERY) == expected


def test_https_twin(tpm, sandbox):
    """A redirect to https on the same host says what to do; one to elsewhere does not say that."""
    sandbox.fault("redirect", match=LIST, value=sandbox.base_url.replace("http:", "https:") + "/third_parties")
    error = failure(tpm, QUERY)
    assert error.pgcode == "HV00M"
    assert f"https://127.0.0.1:{sandbox.port}" in error.diag.message_detail
    assert "https" in error.diag.message_hint
    sandbox.reset()
    sandbox.fault("redirect", match=LIST, value="https://elsewhere.example/v1/third_parties")
    assert "https" not in (failure(tpm, QUERY).diag.message_hint or "")


@pytest.fixture
def elsewhere():
    """A listener that shows whether anybody came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def nobody_came(listener):
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("fault", ["redirect", "foreign_next"])
def test_token_stays(tpm, sandbox, elsewhere, fault):
    """Neither a redirect nor a link takes us, or the token, to another origin."""
    host, port = elsewhere.getsockname()
    sandbox.fault(fault, match=LIST, value=f"http://{host}:{port}")
    assert failure(tpm, QUERY).pgcode == "HV00M"
    nobody_came(elsewhere)


def test_rebase(tpm, sandbox, elsewhere):
    """links_origin 'rebase' keeps path and query, on our origin."""
    host, port = elsewhere.getsockname()
    alter(tpm, links_origin="rebase")
    sandbox.fault("foreign_next", match=LIST, value=f"http://{host}:{port}")
    assert len(set(tpmtest.rows(tpm, QUERY))) == 300
    nobody_came(elsewhere)


def test_wrong_secret(db, sandbox):
    """28000 with the token endpoint's words; the API is not asked."""
    tpmtest.setup_server(db, sandbox, schema="tpm", client_secret="not-the-secret")
    error = failure(db, "SELECT * FROM tpm.users")
    assert error.pgcode == "28000"
    assert "invalid_client: client authentication failed" in words(error)
    assert "not-the-secret" not in words(error)
    assert sandbox.api_requests() == []


@pytest.mark.parametrize("fault, sqlstate", [("html_200", "28000"), ("garbage", "28000"), ("status:500", "HV00L"),
                                             ("redirect", "28000"), ("empty", "28000")])
def test_token_endpoint(tpm, sandbox, fault, sqlstate):
    """A token endpoint out of order: a clear error, and the API is not asked."""
    alter(tpm, max_retries=1)
    tpmtest.rows(tpm, "SELECT tpm_fdw_reset_tokens()")
    sandbox.fault(fault, match="POST /oauth/token")
    error = failure(tpm, QUERY)
    assert error.pgcode == sqlstate
    assert "no access token" in words(error)
    assert sandbox.request_count() == 0


def test_wrong_path(tpm):
    """HV00R, naming the path."""
    tpmtest.rows(tpm, "CREATE FOREIGN TABLE nowhere (id text) SERVER tpm OPTIONS (resource '/nowhere')")
    error = failure(tpm, "SELECT * FROM nowhere")
    assert error.pgcode == "HV00R"
    assert "GET /v1/nowhere" in words(error)
    assert "base_url and resource" in error.diag.message_hint


@pytest.fixture(scope="module")
def nameless():
    """A cluster whose resolver knows no name."""
    resolver = names.Denying()
    cluster = names.Cluster(resolver).start()
    yield cluster
    cluster.destroy()
    resolver.close()


def test_wrong_host(nameless, shared_sandbox):
    """HV00N at once: a name that does not exist is not tried again."""
    db = nameless.connect()
    tpmtest.rows(db, "CREATE EXTENSION tpm_fdw")
    tpmtest.rows(db, "CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'https://nowhere.example/v1',"
                     " auth 'none')")
    tpmtest.rows(db, "CREATE FOREIGN TABLE users (id text, email text) SERVER tpm")
    error = failure(db, "SELECT * FROM users")
    assert error.pgcode == "HV00N"
    assert "nowhere.example" in words(error)
    assert "base_url" in error.diag.message_hint
    assert "1 tries" in words(error) or "1 try" in words(error)


def test_nobody_listens(tpm, sandbox):
    """HV00N after all retries."""
    port = tpmtest.free_port()
    alter(tpm, base_url=f"http://127.0.0.1:{port}/v1", token_url=f"{sandbox.url}/oauth/token", max_retries=1)
    error = failure(tpm, QUERY)
    assert error.pgcode == "HV00N"
    assert f"127.0.0.1:{port}" in words(error)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 and one for another host, with their keys."""
    where = tmp_path_factory.mktemp("tls")
    where.chmod(0o755)
    for parent in (where.parent, where.parent.parent):
        parent.chmod(0o755)
    for name, subject in (("good", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName={subject}", "-keyout", where / f"{name}.key",
                        "-out", where / f"{name}.pem"], check=True, capture_output=True)
        (where / f"{name}.pem").chmod(0o644)
    return where


@pytest.fixture(params=["good", "other"])
def encrypted(request, certificate):
    """A sandbox behind https, and its certificate."""
    sandbox = tpmtest.Sandbox("--records", "50", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--tls-cert", certificate / f"{request.param}.pem",
                              "--tls-key", certificate / f"{request.param}.key").start()
    sandbox.name, sandbox.certificate = request.param, certificate / f"{request.param}.pem"
    yield sandbox
    sandbox.stop()


def test_certificates(db, encrypted):
    """A certificate that nobody trusts, or of another host: HV00N; trusted by ca_file: rows."""
    tpmtest.setup_server(db, encrypted, schema="tpm")
    error = failure(db, "SELECT * FROM tpm.users")
    assert error.pgcode == "HV00N"
    assert "certificate" in words(error)
    assert "ca_file" in error.diag.message_hint or "token_url" in error.diag.message_hint
    alter(db, ca_file=encrypted.certificate)
    if encrypted.name == "good":
        assert tpmtest.rows(db, "SELECT count(email) > 0 FROM tpm.users") == [(True,)]
    else:
        assert failure(db, "SELECT * FROM tpm.users").pgcode == "HV00N"


def test_budget_of_the_hour(tpm, sandbox):
    """53400 where a slot is further away than max_wait: what is needed, free, and when."""
    alter(tpm, rate_limit_per_hour=2)
    tpmtest.rows(tpm, "SET tpm_fdw.leave_free = 0; SET tpm_fdw.max_wait = 0")
    error = failure(tpm, QUERY)
    assert error.pgcode == "53400"
    assert re.search(r"of 2\b", words(error))
    assert "max_wait" in words(error)
    assert sandbox.request_count() <= 2


def test_budget_of_the_statement(tpm, sandbox):
    """53400 before the second request where the total says that three are needed."""
    tpmtest.rows(tpm, "SET tpm_fdw.max_requests = 2")
    error = failure(tpm, QUERY)
    assert error.pgcode == "53400"
    assert "max_requests" in words(error)
    assert sandbox.request_count() == 1


@pytest.mark.parametrize("setting", ["retry_after", "status:429"])
def test_too_many(tpm, sandbox, setting):
    """A 429 is waited for, but not longer than max_wait."""
    alter(tpm, max_retries=0)
    tpmtest.rows(tpm, "SET tpm_fdw.max_wait = 0")
    sandbox.fault(setting, match=LIST, value=50, retry_after=50)
    assert failure(tpm, QUERY).pgcode == "53400"


def test_strange_client(db):
    """Id and secret of any characters arrive (RFC 6749, 2.3.1)."""
    client, secret = "a client+1", "s%3a\"c&r=t é\\'"
    sandbox = tpmtest.Sandbox("--records", "50", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--client", f"{client}:{secret}").start()
    for way in ("basic", "post"):
        tpmtest.setup_server(db, sandbox, server=way, schema=way, options={"token_auth": way},
                             client_id=client, client_secret=secret)
        assert tpmtest.rows(db, f"SELECT count(*) > 0 FROM {way}.users") == [(True,)]
    sandbox.stop()


# ----- secrets -----


@pytest.fixture(scope="module")
def chatty():
    """A cluster that logs all that it can."""
    cluster = tpmtest.Cluster(log_min_messages="debug5", log_min_error_statement="debug5",
                              log_error_verbosity="verbose", log_statement="all").start()
    yield cluster
    cluster.destroy()


def spellings(secret):
    """How a secret may be written down."""
    pair = f"sandbox:{secret}".encode()
    return [secret, base64.b64encode(pair).decode(), urllib.parse.quote_plus(secret)]


def lines_with(log, secret):
    """Lines that hold it and are not the text of a statement that the user sent."""
    sent = ("CREATE USER MAPPING", "ALTER USER MAPPING")
    return [line for line in log.split("\n")
            if any(spelling in line for spelling in spellings(secret)) and not any(text in line for text in sent)]


def quarrel(db, sandbox):
    """Much that goes wrong around a credential."""
    for statement in (
            "CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'sandbox', pasword 'sandbox-secret')",
            "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (ADD client_secret_file 'sandbox-secret')",
            "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (ADD headers 'sandbox-secret')",
            "ALTER USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (ADD token E'sandbox-secret\\x01')"):
        yield failure(db, statement)
    for fault in ("status:401", "status:403", "status:500", "html_200", "reset", "redirect", "wrong_type"):
        sandbox.fault(fault)
        yield failure(db, QUERY)
        sandbox.reset()
        sandbox.fault(fault, match="POST /oauth/token")
        sandbox.revoke()
        if fault != "wrong_type":
            yield failure(db, QUERY)
        sandbox.reset()


def shown(db):
    """All that EXPLAIN and the views say."""
    views = tpmtest.rows(db, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'v' AND relname LIKE 'tpm\\_fdw%'")
    assert len(views) >= 5
    explained = tpmtest.rows(db, f"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) {QUERY}")
    return str([explained] + [tpmtest.rows(db, f"SELECT * FROM {view}") for view, in views])


def test_secret(chatty, sandbox):
    """Neither an error, EXPLAIN, a view nor the log at debug5 holds the secret, but the user's own statements."""
    db = chatty.connect()
    tpmtest.setup_server(db, sandbox, schema="tpm", options={"max_retries": 0})
    tpmtest.rows(db, "SET tpm_fdw.log_requests = on; SET search_path = tpm, public; SET tpm_fdw.cache_ttl = 0")
    assert len(tpmtest.rows(db, QUERY)) == 300
    for error in quarrel(db, sandbox):
        assert not any(spelling in words(error) for spelling in spellings(SECRET))
    assert not any(spelling in shown(db) for spelling in spellings(SECRET))
    assert "GET /v1/third_parties" in chatty.log()
    assert SECRET in chatty.log(), "the log does not hold the user's statements either"
    assert lines_with(chatty.log(), SECRET) == []


def granted(sandbox):
    """An access token."""
    request = urllib.request.Request(f"{sandbox.url}/oauth/token", b"grant_type=client_credentials",
                                     {"Authorization": "Basic " + base64.b64encode(b"sandbox:sandbox-secret").decode()})
    with urllib.request.urlopen(request) as answer:
        return re.search(r'"access_token": ?"([^"]+)"', answer.read().decode())[1]


def test_bearer(chatty, sandbox):
    """The same for a token of the user's own, which also is not renewed."""
    token = granted(sandbox)
    chatty.sql("CREATE DATABASE bearer")
    db = chatty.connect("bearer")
    for statement in (
            "CREATE EXTENSION tpm_fdw",
            f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url '{sandbox.base_url}', auth 'bearer')",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (token '{token}')",
            "CREATE FOREIGN TABLE third_parties (id text, name text, created_at timestamptz) SERVER tpm"):
        tpmtest.rows(db, statement)
    tpmtest.rows(db, "SET tpm_fdw.cache_ttl = 0")
    assert len(tpmtest.rows(db, QUERY)) == 300
    assert token not in shown(db)
    sandbox.revoke()
    before = len(sandbox.requests())
    error = failure(db, QUERY)
    assert error.pgcode == "28000"
    assert token not in words(error)
    assert len(sandbox.requests()) == before + 1
    assert lines_with(chatty.log(), token) == []
