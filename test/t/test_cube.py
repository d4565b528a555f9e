"""A BI server of npm's, Cube, on the tables through a role of its own: what it answers, what it costs, its picture.

docs/chart.png is that picture; TPM_CHART=docs/chart.png makes it anew.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import clients
import pytest
import tpmtest

pytestmark = pytest.mark.long

RECORDS = 1000
QUERY = {"measures": ["third_parties.count"], "dimensions": ["third_parties.risk_rating"],
         "timeDimensions": [{"dimension": "third_parties.created_at", "granularity": "quarter"}]}


class Cube:
    """Cube's server in development mode, which has the page that draws charts; nothing outside is asked."""

    def __init__(self, cluster, directory):
        shutil.copytree(clients.CLIENTS / "cube", directory, dirs_exist_ok=True)
        (directory / "node_modules").symlink_to(clients.npm_packages("cube") / "node_modules")
        self.port = tpmtest.free_port()
        settings = {"DEV_MODE": "true", "DB_TYPE": "postgres", "DB_HOST": "127.0.0.1", "DB_PORT": cluster.port,
                    "DB_NAME": "cube", "DB_USER": "cube", "DB_PASS": "unused", "API_SECRET": "test",
                    "CACHE_AND_QUEUE_DRIVER": "memory", "CUBESTORE_HOST": "127.0.0.1", "TELEMETRY": "false",
                    "SCHEMA_PATH": "model", "SCHEDULED_REFRESH_DEFAULT": "false"}
        environment = {**os.environ, "PORT": str(self.port),
                       **{f"CUBEJS_{name}": str(value) for name, value in settings.items()}}
        self.directory = directory
        self.log = open(directory / "log", "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = clients.start(["node", "node_modules/@cubejs-backend/server/bin/server"], cwd=directory,
                                     env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        tpmtest.wait_until(self._is_up, 60, "Cube's server")

    def _is_up(self):
        assert self.process.poll() is None, (self.directory / "log").read_text(encoding="utf-8")
        try:
            return self._get("/cubejs-api/v1/meta")
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def load(self, query, **more):
        """Its rows; the server says "Continue wait" while the database works."""
        text = urllib.parse.quote(json.dumps({**query, **more}))
        deadline = time.monotonic() + 60
        while True:
            answer = self._get(f"/cubejs-api/v1/load?query={text}")
            if "data" in answer:
                return answer["data"]
            assert answer.get("error") == "Continue wait" and time.monotonic() < deadline, answer

    def picture(self, query, out):
        subprocess.run(["node", "shot.js", f"http://127.0.0.1:{self.port}", json.dumps(query), str(out)],
                       cwd=self.directory, check=True, timeout=120)

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    clients.npm_packages("cube")
    sandbox = tpmtest.Sandbox("--records", str(RECORDS), "--rate-per-second", "0", "--rate-per-hour", "0",
                              "--today", "2026-06-15").start()
    cluster = tpmtest.Cluster(listen_addresses="127.0.0.1").start()
    cluster.sql("CREATE DATABASE cube")
    owner = cluster.connect("cube")
    tpmtest.setup_server(owner, sandbox, schema="api")
    tpmtest.rows(owner, "CREATE ROLE cube LOGIN; CREATE SCHEMA tpm; GRANT USAGE ON SCHEMA tpm TO cube;"
                 "CREATE VIEW tpm.third_parties AS SELECT * FROM api.third_parties;"
                 "GRANT SELECT ON tpm.third_parties TO cube")
    owner.close()
    server = Cube(cluster, tmp_path_factory.mktemp("cube"))
    yield server, cluster, sandbox
    server.close()
    cluster.destroy()
    sandbox.stop()


def test_cube_answers(cube):
    """The first question reads the table, every other one is answered from it."""
    server, _, sandbox = cube
    items = sandbox.dump("third_parties")
    sandbox.reset()
    rows = server.load({"measures": ["third_parties.count"], "dimensions": ["third_parties.status"]})
    assert {row["third_parties.status"]: int(row["third_parties.count"]) for row in rows} == {
        status: sum(item["attributes"]["status"] == status for item in items) for status in ("Active", "Inactive")}
    assert sandbox.request_count() == RECORDS // 100
    rows = server.load(QUERY, limit=5000)
    assert sum(int(row["third_parties.count"]) for row in rows) == RECORDS
    assert sandbox.request_count() == RECORDS // 100


def test_cube_draws(cube):
    server, _, sandbox = cube
    if not shutil.which("chromium"):
        pytest.skip("without chromium: no picture")
    server.load(QUERY)
    sandbox.reset()
    out = tpmtest.ROOT / os.environ["TPM_CHART"] if "TPM_CHART" in os.environ else server.directory / "chart.png"
    server.picture(QUERY, out)
    assert out.read_bytes().startswith(b"\x89PNG") and out.stat().st_size > 20000
    assert sandbox.request_count() == 0
