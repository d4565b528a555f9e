"""Private clusters and sandboxes for tests.

Owns the life of both: a cluster runs as an unprivileged user in a directory of its own and
listens on a socket only; a sandbox listens on loopback. Nothing here knows what is tested.
"""

import atexit
import base64
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg2

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "test" / "sandbox" / "serve"

DEFAULTS = {
    **json.loads(os.environ.get("TPM_SERVER_CONFIG", "{}")),
    "shared_preload_libraries": "tpm_fdw",
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "120",
    "log_min_messages": "warning",
    "jit": "off",
    "timezone": "UTC",
    "max_wal_size": "256MB",
}


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout=15, message="condition"):
    """Poll `condition` until it is true; its last value is returned."""
    timeout *= SLACK
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{message} did not come true within {timeout} s")
        time.sleep(0.02)


def pg_config(what):
    """What pg_config says of a directory."""
    program = os.environ.get("PG_CONFIG") or "pg_config"
    return Path(subprocess.check_output([program, "--" + what], text=True).strip())


def bindir():
    """Where the server's programs are."""
    return pg_config("bindir")


def sharedir():
    """Where the scripts of extensions are, in extension/."""
    return pg_config("sharedir")


def cluster_user():
    """Who runs the server: never root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    return pwd.getpwnam("postgres")


def as_cluster_user():
    """subprocess arguments that drop privileges when there are any."""
    user = cluster_user()
    if os.geteuid() != 0:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def watching():
    """Variables of whatever watches the server: the sanitizers and their runtime (test/assert/run)."""
    preload = os.environ.get("TPM_SERVER_PRELOAD")
    options = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
    return {"LD_PRELOAD": preload, **options} if preload else {}


def server_environment():
    """What the server is started with."""
    return {**os.environ, **watching()}


def server_program():
    """Arguments of pg_ctl that name another program than its own postgres."""
    program = os.environ.get("TPM_SERVER_PROGRAM")
    return ["-p", program, "-t", "600"] if program else []


# how much longer, and how much more memory, everything may take under a sanitizer or assertions
SLACK = float(os.environ.get("TPM_SLACK", "1"))


class Cluster:
    """A private PostgreSQL cluster; the superuser is called postgres."""

    _template = None

    def __init__(self, **config):
        self.base = Path(tempfile.mkdtemp(prefix="tpm_fdw-"))
        os.chmod(self.base, 0o755)
        user = cluster_user()
        if os.geteuid() == 0:
            os.chown(self.base, user.pw_uid, user.pw_gid)
        self.datadir = self.base / "data"
        self.logfile = self.base / "log"
        self.port = free_port()
        self.config = {**DEFAULTS, **config}
        self.running = False
        self._copy_template()
        self._write_config()
        atexit.register(self.destroy)

    @classmethod
    def _make_template(cls):
        if cls._template is None:
            where = Path(tempfile.mkdtemp(prefix="tpm_fdw-template-"))
            os.chmod(where, 0o755)
            if os.geteuid() == 0:
                user = cluster_user()
                os.chown(where, user.pw_uid, user.pw_gid)
            subprocess.run([bindir() / "initdb", "-D", where / "data", "-U", "postgres", "-A", "trust",
                            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
                           check=True, stdout=subprocess.DEVNULL, cwd="/", **as_cluster_user())
            cls._template = where / "data"
            atexit.register(shutil.rmtree, where, ignore_errors=True)
        return cls._template

    def _copy_template(self):
        subprocess.run(["cp", "-a", self._make_template(), self.datadir], check=True, cwd="/",
                       **as_cluster_user())

    def _write_config(self):
        with open(self.datadir / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.base}'\n")
            for name, value in self.config.items():
                conf.write(f"{name} = '{value}'\n")

    def configure(self, **config):
        """Add settings; they hold after reload() or restart()."""
        with open(self.datadir / "postgresql.conf", "a", encoding="utf-8") as conf:
            for name, value in config.items():
                conf.write(f"{name.replace('__', '.')} = '{value}'\n")

    def _pg_ctl(self, *args, check=True):
        return subprocess.run([bindir() / "pg_ctl", "-D", self.datadir, "-l", self.logfile, "-w", *server_program(),
                               *args],
                              check=check, stdout=subprocess.DEVNULL, cwd="/", env=server_environment(),
                              **as_cluster_user())

    def start(self):
        self._pg_ctl("start")
        self.running = True
        return self

    def start_in(self, command):
        """Starts in a mount namespace of its own, after a command that changes it; needs root or sudo."""
        user = cluster_user()
        start = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "env",
                 *(f"{name}={value}" for name, value in watching().items()),
                 bindir() / "pg_ctl", "-D", self.datadir, "-l", self.logfile, "-w", *server_program(), "start"]
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "unshare", "-m", "sh", "-c", f'{command} && exec "$@"', "sh", *start],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.running = True
        return self

    def stop(self, mode="fast"):
        if self.running:
            self._pg_ctl("-m", mode, "stop", check=False)
            self.running = False

    def restart(self, mode="fast"):
        self._pg_ctl("-m", mode, "restart")

    def reload(self):
        self._pg_ctl("reload")

    def kill9(self, pid):
        """Kill one backend: the server restarts after a crash."""
        os.kill(pid, signal.SIGKILL)

    def destroy(self):
        """Stop and remove everything."""
        if self.running:
            self.stop("immediate")
        shutil.rmtree(self.base, ignore_errors=True)

    def dsn(self, dbname="postgres", user="postgres"):
        return f"host={self.base} port={self.port} dbname={dbname} user={user}"

    def standby(self):
        """A streaming standby of this cluster, not started yet."""
        standby = Cluster(**self.config)
        shutil.rmtree(standby.datadir)
        subprocess.run([bindir() / "pg_basebackup", "-h", self.base, "-p", str(self.port), "-U", "postgres",
                        "-D", standby.datadir, "-R", "-c", "fast"], check=True, cwd="/", **as_cluster_user())
        with open(standby.datadir / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"port = {standby.port}\nunix_socket_directories = '{standby.base}'\n")
        return standby

    def connect(self, dbname="postgres", user="postgres", autocommit=True):
        """A psycopg2 connection."""
        connection = psycopg2.connect(self.dsn(dbname, user))
        connection.autocommit = autocommit
        return connection

    def sql(self, statement, parameters=None, dbname="postgres", user="postgres"):
        """One statement on a connection of its own; its rows, if any."""
        connection = self.connect(dbname, user)
        try:
            return rows(connection, statement, parameters)
        finally:
            connection.close()

    def psql(self, script, dbname="postgres", user="postgres"):
        """Run a script through psql; the finished process."""
        return subprocess.run([bindir() / "psql", "-X", "-q", "-h", self.base, "-p", str(self.port), "-U", user,
                               dbname], input=script, text=True, capture_output=True, check=False)

    def log(self):
        """Everything that the server has logged."""
        return self.logfile.read_text(encoding="utf-8", errors="replace")


def rows(connection, statement, parameters=None):
    """Execute and fetch what there is to fetch."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def truth(connection, statement):
    """What the same statement gives on the copies in schema truth."""
    rows(connection, "SET search_path = truth, public")
    try:
        return rows(connection, statement)
    finally:
        rows(connection, "SET search_path = tpm, public")


def notices(connection):
    """What a connection was told since the last time."""
    text = "".join(connection.notices)
    del connection.notices[:]
    return text


class Sandbox:
    """A sandbox on a free port; arguments are those of test/sandbox/serve."""

    def __init__(self, *arguments, **options):
        self.arguments = list(arguments)
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            self.arguments += [flag] if value is True else [flag, str(value)]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["/usr/bin/python3", SANDBOX, "--port", "0", *self.arguments],
                                        stdout=subprocess.PIPE, text=True)
        atexit.register(self.stop)
        line = self.process.stdout.readline()
        if "listening on " not in line:
            raise RuntimeError(f"the sandbox did not start: {line!r}")
        self.base_url = line.split("listening on ")[1].strip()
        self.url = self.base_url[: -len("/v1")]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def post(self, path, body=None):
        """A control request; its JSON answer."""
        request = urllib.request.Request(self.url + path, json.dumps(body or {}).encode(),
                                         {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def requests(self):
        """The request log since the last reset, tokens included."""
        return json.loads(self.get("/_sandbox/requests"))

    def api_requests(self):
        """The request log without token requests."""
        return [entry for entry in self.requests() if entry["path"] != "/oauth/token"]

    def request_count(self):
        return self.state()["requests"]

    def reset(self, data=False):
        self.post("/_sandbox/reset", {"data": data})

    def reset_faults(self):
        self.reset()

    def fault(self, name, **parameters):
        self.post("/_sandbox/faults", {"fault": name, "count": 0, **parameters})

    def release(self):
        self.post("/_sandbox/release")

    def settings(self, **settings):
        self.post("/_sandbox/settings", settings)

    def edit(self, kind, number, **attributes):
        self.post("/_sandbox/edit", {"type": kind, "id": str(number), "attributes": attributes})

    def create(self, kind, **attributes):
        return self.post("/_sandbox/create", {"type": kind, "attributes": attributes})

    def edit_all(self, kind, numbers, **attributes):
        """Several at one moment."""
        self.post("/_sandbox/edit", {"type": kind, "ids": list(numbers), "attributes": attributes})

    def delete(self, kind, *numbers, status=404):
        self.post("/_sandbox/delete", {"type": kind, "ids": [str(number) for number in numbers], "status": status})

    def revoke(self):
        self.post("/_sandbox/revoke")

    def token(self, client="sandbox", secret="sandbox-secret"):
        """An access token, as another client of the organisation has one."""
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        request = urllib.request.Request(self.url + "/oauth/token", b"grant_type=client_credentials",
                                         {"Authorization": "Basic " + basic})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())["access_token"]

    def request(self, method, path, token, body=None):
        """A request of another client; its status."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.api+json"}
        if body is not None:
            headers["Content-Type"] = "application/vnd.api+json"
        request = urllib.request.Request(self.base_url + path, json.dumps(body).encode() if body is not None else None,
                                         headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def state(self):
        return json.loads(self.get("/_sandbox/state"))

    def dump(self, resource):
        """Every resource object of a type, as the sandbox stores it."""
        text = self.get(f"/_sandbox/dump/{resource}").decode()
        return [json.loads(line) for line in text.split("\n") if line]


GENEROUS = {"rate_limit_per_second": "1000", "rate_limit_per_hour": "1000000"}


def quote(value):
    return "'" + str(value).replace("'", "''") + "'"


def option_list(options):
    return ", ".join(f"{name} {quote(value)}" for name, value in options.items())


def setup_server(connection, sandbox, server="tpm", options=None, schema=None, trust=None,
                 client_id="sandbox", client_secret="sandbox-secret"):
    """A server for the sandbox with a mapping for the current user; a schema if named."""
    options = {"base_url": sandbox.base_url, "token_url": "/oauth/token", **GENEROUS, **(options or {})}
    rows(connection, "CREATE EXTENSION IF NOT EXISTS tpm_fdw")
    rows(connection, f"CREATE SERVER {server} FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({option_list(options)})")
    mapping = option_list({"client_id": client_id, "client_secret": client_secret})
    rows(connection, f"CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({mapping})")
    if schema:
        rows(connection, f"CREATE SCHEMA {schema}")
        trusting = f" OPTIONS (trust {quote(trust)})" if trust else ""
        rows(connection, f"IMPORT FOREIGN SCHEMA tpm FROM SERVER {server} INTO {schema}{trusting}")


def in_thread(function):
    """(thread, [what it returns or raises]) of a function that runs beside the test."""
    result = []

    def run():
        try:
            result.append(function())
        except psycopg2.Error as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


def crc32c(data):
    """The checksum of PostgreSQL's files, and so of ours."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
