"""Secrets and tokens are nowhere but in the requests that need them; roles see their own only.

Everything that a user or an administrator can read is searched: errors, notices, EXPLAIN, the
views, pg_stat_activity, the server log at debug5, and the files of the data directory.
"""

import base64
import itertools
import json
import os
import threading
import time
import urllib.parse

import hostile
import psycopg2
import pytest
import tpmtest
from tpmtest import rows

NUMBERS = itertools.count(1)

SECRET = "sandbox-secret"
OTHER = ("other", "other%secret&more")

STATEMENTS = (
    "SELECT id, name FROM tpm.third_parties", "SELECT count(*) FROM tpm.cases",
    "SELECT name FROM tpm.cases WHERE id = '1'", "SELECT tpm_fdw_get('tpm', '/users?page%5Bsize%5D=1')",
    "INSERT INTO tpm.third_parties (internal_id, name, country) VALUES ('S-{n}', 'x', 'US') RETURNING id",
    "INSERT INTO tpm.third_parties (name, country) VALUES ('x', 'nowhere')",
    "UPDATE tpm.third_parties SET city = 'x{n}' WHERE id IN ('1', '2')",
    "SELECT * FROM tpm_fdw_check('tpm')", "ANALYZE tpm.users",
    "IMPORT FOREIGN SCHEMA tpm LIMIT TO (users) FROM SERVER tpm INTO more",
)

# what may go wrong, at the API and at the token endpoint
FAULTS = ("status:401", "empty_401", "status:403", "status:422", "status:500", "status:429", "garbage", "html_200",
          "truncate", "reset", "redirect", "foreign_next", "huge")

VIEWS = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'v' AND relname LIKE 'tpm\\_fdw%'"


@pytest.fixture(scope="module")
def chatty():
    """A cluster that logs all that it can."""
    cluster = tpmtest.Cluster(log_min_messages="debug5", log_min_error_statement="debug5",
                              log_error_verbosity="verbose", log_statement="all", debug_print_plan="on",
                              debug_print_parse="on", debug_print_rewritten="on").start()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="module")
def talkative():
    """A sandbox with two clients."""
    sandbox = tpmtest.Sandbox("--records", "60", "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--client", ":".join(OTHER)).start()
    yield sandbox
    sandbox.stop()


def spellings(secret, client="sandbox"):
    """How a secret may be written down."""
    plain = f"{client}:{secret}"
    encoded = f"{urllib.parse.quote_plus(client)}:{urllib.parse.quote_plus(secret)}"
    return {secret, urllib.parse.quote_plus(secret), urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1],
            secret.encode().hex(), base64.b64encode(plain.encode()).decode(),
            base64.b64encode(encoded.encode()).decode()}


class Watch(threading.Thread):
    """Collects what pg_stat_activity and the views show while others work."""

    def __init__(self, cluster, dbname):
        super().__init__(daemon=True)
        self.db = cluster.connect(dbname)
        self.views = [name for name, in rows(self.db, VIEWS)]
        self.seen = set()
        self.running = True

    def look(self):
        for view in self.views + ["pg_stat_activity"]:
            for row in rows(self.db, f"SELECT * FROM {view}"):
                self.seen.add(str(row))

    def run(self):
        while self.running:
            self.look()
            time.sleep(0.01)

    def stop(self):
        self.running = False
        self.join()
        self.look()
        return "\n".join(self.seen)


def everything_said(db, statement):
    """What the client is told: rows, notices, every field of an error."""
    said = []
    try:
        said.append(str(rows(db, statement)))
    except psycopg2.Error as error:
        said += [str(getattr(error.diag, name)) for name in dir(error.diag) if not name.startswith("_")]
    said += db.notices
    del db.notices[:]
    return "\n".join(said)


def explained(db):
    """EXPLAIN in every form."""
    for statement in STATEMENTS[:3] + (STATEMENTS[4].format(n=0), STATEMENTS[6].format(n=0)):
        for form in ("VERBOSE", "VERBOSE, FORMAT JSON", "ANALYZE, VERBOSE, BUFFERS, SETTINGS, FORMAT YAML"):
            yield everything_said(db, f"EXPLAIN ({form}) {statement}")


def files_with(cluster, texts):
    """Files of the data directory that hold one of the texts."""
    found = []
    for directory, _, names in os.walk(cluster.datadir):
        for name in names:
            path = os.path.join(directory, name)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            found += [path for text in texts if text.encode() in content]
    return found


def lines_with(log, texts, but=()):
    """Lines that hold a text and are not what the user sent."""
    return [line for line in log.split("\n") if any(text in line for text in texts)
            and not any(sent in line for sent in but)]


def test_nowhere(chatty, talkative):
    """After much that went well and much that went wrong, neither the secret nor a token is anywhere."""
    db = chatty.connect()
    tpmtest.setup_server(db, talkative, schema="tpm", options={"max_retries": 0, "max_response_size": "2MB"})
    for statement in ("CREATE SCHEMA more", "SET tpm_fdw.cache_ttl = 0", "SET tpm_fdw.log_requests = on",
                      "SET tpm_fdw.max_wait = '100ms'", "SET client_min_messages = debug5"):
        rows(db, statement)
    watch = Watch(chatty, "postgres")
    watch.start()
    said = list(explained(db))
    numbers = itertools.count(1)
    for fault in (None,) + FAULTS:
        for match in ("/v1", "/oauth/token"):
            talkative.reset()
            if match == "/oauth/token":
                rows(db, "SELECT tpm_fdw_reset_tokens()")
            if fault:
                for method in ("GET ", "POST ", "PUT ") if match == "/v1" else ("POST ",):
                    talkative.fault(fault, match=method + match, mb=3)
            for statement in STATEMENTS if match == "/v1" else STATEMENTS[:1]:
                said.append(everything_said(db, statement.format(n=next(numbers))))
            rows(db, "SELECT tpm_fdw_reset_rate_limits()")
            rows(db, "DROP FOREIGN TABLE IF EXISTS more.users")
    talkative.reset()
    seen = watch.stop()
    tokens = json.loads(talkative.get("/_sandbox/issued"))
    log = chatty.log()
    assert len(tokens) > len(FAULTS) and "GET /v1/third_parties" in log and "GET" in seen
    for text in (seen, "\n".join(said)):
        assert [token for token in tokens if token in text] == []
        assert [spelling for spelling in spellings(SECRET) if spelling in text] == []
    assert lines_with(log, tokens) == []
    assert SECRET in log, "the log does not hold the user's statements either"
    # a statement's text and its parse trees are the user's
    assert lines_with(log, spellings(SECRET), but=("CREATE USER MAPPING", ":arg", "defname")) == []
    rows(db, "CHECKPOINT")
    assert files_with(chatty, tokens) == []
    journal = os.path.join(chatty.datadir, "tpm_fdw")
    assert os.listdir(journal) and not any(
        path.startswith((journal, os.path.join(chatty.datadir, "pg_stat"))) for path in
        files_with(chatty, spellings(SECRET)))


# ----- servers that repeat what they were sent -----

TOKEN = "a-token-of-the-server/with+signs=="
HEADER = "header-secret-123"


def repeated(request):
    """Everything secret in a request, as words."""
    form = urllib.parse.parse_qs(request.body.decode()).get("client_secret", [""])
    return " and ".join([request.headers.get("authorization", ""), request.headers.get("x-api-key", ""), *form])


def as_errors(request):
    words = repeated(request)
    return hostile.answer(json.dumps({"errors": [
        {"title": "You sent " + words, "detail": "x" * 370 + words, "code": words,
         "source": {"pointer": "/data/attributes/" + words}}, {"code": words}]}), 422)


def as_text(request):
    return hostile.answer("x" * 370 + repeated(request), 400)


def as_oauth(request):
    words = repeated(request)
    return hostile.answer(json.dumps({"error": words, "error_description": "x" * 370 + words}), 401)


@pytest.mark.parametrize("auth", ["basic", "post", "bearer"])
@pytest.mark.parametrize("answer", [as_errors, as_text, as_oauth])
@pytest.mark.parametrize("path", ["/v1", "/oauth/token"])
def test_repeated(chatty, auth, answer, path):
    """A server that repeats secrets in its error is quoted without them, whole or in part."""
    server = hostile.Hostile()
    server.answers["/oauth/token"] = hostile.token(TOKEN)
    server.answers[path] = answer
    name = f"repeated{next(NUMBERS)}"
    chatty.sql(f"CREATE DATABASE {name}")
    db = chatty.connect(name)
    secret = "Th1s+is/the secret"
    options = {"base_url": server.base_url, "max_retries": 0, "cache_ttl": 0, **tpmtest.GENEROUS}
    mapping = {"headers": f"X-Api-Key: {HEADER}"}
    if auth == "bearer":
        options["auth"] = "bearer"
        mapping["token"] = TOKEN
    else:
        options.update(token_url="/oauth/token", token_auth=auth)
        mapping.update(client_id="sandbox", client_secret=secret)
    for statement in ("CREATE EXTENSION tpm_fdw",
                      f"CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({tpmtest.option_list(options)})",
                      f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS ({tpmtest.option_list(mapping)})",
                      "CREATE FOREIGN TABLE users (id text, name text) SERVER tpm"):
        rows(db, statement)
    before = len(chatty.log())
    said = [everything_said(db, statement) for statement in
            ("SELECT * FROM users", "SELECT * FROM users WHERE id = '1'", "INSERT INTO users (name) VALUES ('x')",
             "SELECT tpm_fdw_get('tpm', '/users')", "SELECT * FROM tpm_fdw_check('tpm')",
             "SELECT * FROM tpm_fdw_requests", "SELECT * FROM tpm_fdw_tokens", "SELECT * FROM tpm_fdw_writes")]
    said.append(chatty.log()[before:])
    assert [request for request in server.requests if repeated(request).strip(" and")]
    for text in said:
        for word in spellings(secret) | {TOKEN, HEADER}:
            # what is cut off by the length of a message must not show its beginning either
            assert word not in text and word[:12] not in text, text
    db.close()
    server.close()


# ----- roles -----


@pytest.fixture
def roles(chatty, talkative):
    """{client: a session of a role with a mapping of its own}, on the same tables."""
    talkative.reset(data=True)
    name = f"roles{next(NUMBERS)}"
    chatty.sql(f"CREATE DATABASE {name}")
    admin = chatty.connect(name)
    tpmtest.setup_server(admin, talkative, schema="tpm", trust="exact")
    rows(admin, "SELECT tpm_fdw_reset_cache()")
    sessions = {}
    for client, secret in (("sandbox", SECRET), OTHER):
        role = f"{client}_{name}"
        for statement in (f"CREATE ROLE {role} LOGIN", f"GRANT USAGE ON FOREIGN SERVER tpm TO {role}",
                          f"GRANT USAGE ON SCHEMA tpm TO {role}",
                          f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA tpm TO {role}",
                          f"CREATE USER MAPPING FOR {role} SERVER tpm OPTIONS"
                          f" (client_id '{client}', client_secret '{secret}')"):
            rows(admin, statement)
        sessions[client] = chatty.connect(name, role)
    yield sessions
    for session in sessions.values():
        session.close()
    admin.close()


def test_roles_apart(roles, talkative):
    """With the cache on: each role's rows come with its own token, and it sees nothing of the other."""
    for client, session in roles.items():
        talkative.reset()
        assert len(rows(session, "SELECT id FROM tpm.third_parties")) >= 60
        assert {entry["client"] for entry in talkative.requests()} == {client}
        assert len(talkative.api_requests()) == 1
        rows(session, f"INSERT INTO tpm.third_parties (internal_id, name, country) VALUES ('{client}', 'x', 'US')")
        assert {entry["client"] for entry in talkative.requests()} == {client}
    for client, session in roles.items():
        (me,), = rows(session, "SELECT current_user")
        for view in ("tpm_fdw_requests", "tpm_fdw_tokens", "tpm_fdw_stats"):
            assert {role for role, in rows(session, f"SELECT role FROM {view}")} == {me}, view
        assert {path for path, in rows(session, "SELECT new->>'internal_id' FROM tpm_fdw_writes "
                                                "WHERE database = current_database()")} == {client}
        assert {name for name, in rows(session, "SELECT client_id FROM tpm_fdw_tokens")} == {client}
        assert len(rows(session, "SELECT FROM tpm_fdw_cache WHERE relation LIKE '%third_parties%'")) <= 1
        assert rows(session, "SELECT count(*) FROM pg_user_mappings WHERE umoptions::text LIKE '%secret%' "
                             "AND usename <> current_user") == [(0,)]


def test_cached_plan_of_another_role(roles, talkative):
    """A plan made under one role asks with the other's token after SET ROLE."""
    owner, user = roles["sandbox"], roles["other"]
    (name,), = rows(user, "SELECT current_user")
    session = owner
    rows(session, "SET tpm_fdw.cache_ttl = 0")
    rows(session, "PREPARE one AS SELECT count(name) FROM tpm.cases WHERE id = '1'")
    for _ in range(7):
        assert rows(session, "EXECUTE one") == [(1,)]
    talkative.reset()
    admin = psycopg2.connect(session.dsn.replace(f"user={session.info.user}", "user=postgres"))
    admin.autocommit = True
    rows(admin, f"GRANT {name} TO {session.info.user}")
    rows(session, f"SET ROLE {name}")
    assert rows(session, "EXECUTE one") == [(1,)]
    assert {entry["client"] for entry in talkative.api_requests()} == {"other"}
    admin.close()


# ----- files -----


@pytest.fixture
def filed(db, talkative, tmp_path):
    """A mapping with client_secret_file; the session and the file."""
    talkative.reset()
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n", encoding="ascii")
    give(path)
    rows(db, "CREATE SERVER tpm FOREIGN DATA WRAPPER tpm_fdw OPTIONS (" + tpmtest.option_list(
        {"base_url": talkative.base_url, "token_url": "/oauth/token", "cache_ttl": 0, **tpmtest.GENEROUS}) + ")")
    rows(db, f"CREATE USER MAPPING FOR CURRENT_USER SERVER tpm OPTIONS (client_id 'sandbox', "
             f"client_secret_file '{path}')")
    rows(db, "CREATE FOREIGN TABLE users (id text) SERVER tpm")
    rows(db, "SELECT tpm_fdw_reset_tokens()")
    return db, path


def give(path, user=None, mode=0o600):
    user = user if user is not None else tpmtest.cluster_user().pw_uid
    if os.geteuid() == 0:
        os.chown(path, user, -1)
    os.chmod(path, mode)


def refused(db):
    """The error of a statement that needs a token; nothing has been asked for."""
    rows(db, "SELECT tpm_fdw_reset_tokens()")
    with pytest.raises(psycopg2.Error) as caught:
        rows(db, "SELECT * FROM users")
    assert SECRET not in str(caught.value)
    return caught.value


def test_secret_file(filed):
    """Read where it is the server's own, and again for every token."""
    db, path = filed
    assert len(rows(db, "SELECT * FROM users")) > 0
    path.write_text("wrong", encoding="ascii")
    assert refused(db).pgcode == "28000"
    path.write_text(SECRET, encoding="ascii")
    rows(db, "SELECT tpm_fdw_reset_tokens()")
    assert len(rows(db, "SELECT * FROM users")) > 0


def spoil(path, how):
    if how in ("0640", "0604", "0644", "0620"):
        give(path, mode=int(how, 8))
    elif how == "another's":
        give(path, user=65534)
    elif how == "a link":
        path.rename(path.with_suffix(".real"))
        path.symlink_to(path.with_suffix(".real"))
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path)
        give(path)
    elif how == "a directory":
        path.unlink()
        path.mkdir()
        give(path, mode=0o700)
    elif how == "large":
        path.write_text("x" * 70000, encoding="ascii")
    elif how == "a device":
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["0640", "0604", "0644", "0620", "another's", "a link", "a pipe", "a directory",
                                 "large", "a device", "missing"])
def test_secret_file_refused(filed, talkative, how):
    """A file that others could read or write, or that is none: refused at once, and nothing is sent."""
    if how == "another's" and os.geteuid() != 0:
        pytest.fail("needs root to give a file away")
    db, path = filed
    assert len(rows(db, "SELECT * FROM users")) > 0
    spoil(path, how)
    talkative.reset()
    started = time.monotonic()
    error = refused(db)
    assert "client_secret_file" in str(error) and time.monotonic() - started < 2
    assert talkative.requests() == []


def test_secret_file_of_an_owner_without_rights(filed, talkative):
    """The server's owner decides where the content goes, so its rights count, at that moment."""
    db, _ = filed
    assert len(rows(db, "SELECT * FROM users")) > 0
    role = f"owner{db.info.backend_pid}"
    for statement in (f"CREATE ROLE {role}", f"GRANT USAGE ON FOREIGN DATA WRAPPER tpm_fdw TO {role}",
                      f"GRANT CREATE ON DATABASE {db.info.dbname} TO {role}", "ALTER SERVER tpm OPTIONS (ADD allow_http 'true')",
                      f"GRANT pg_read_server_files TO {role}", f"ALTER SERVER tpm OWNER TO {role}"):
        rows(db, statement)
    rows(db, f"REVOKE pg_read_server_files FROM {role}")
    talkative.reset()
    error = refused(db)
    assert error.pgcode == "42501" and "client_secret_file" in str(error), error
    assert talkative.requests() == []
