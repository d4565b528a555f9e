"""The cluster, the sandboxes, the foreign schemas and the local copies of one run.

Everything is made when a dimension first asks for it, so that --only costs only what it
needs. All sandboxes hold the same seeded data, so one local copy serves all of a size.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import localcopy
import model as models
import questions
import tpmtest

RECORDS = 300
PAGE_SIZE = "20"

# Columns of the partitioned table whose partitions are two resources (pitfalls E, 20).
PARTED = ["id", "name", "status", "approval_status", "risk_rating", "risk_score", "created_at",
          "updated_at"]
PARTITIONS = ["third_parties", "engagements"]

# How the sandbox is started for each style of paging.
STYLES = {
    "relative": ["--pagination", "relative"],
    "absolute": ["--pagination", "absolute"],
    "number": ["--pagination", "number"],
    "number_base64": ["--pagination", "number_base64"],
    "offset": ["--pagination", "offset"],
    "capped": ["--page-max", "50"],
}


@dataclass
class Target:
    """One pair of schemas to compare, and the sandbox behind the foreign one."""

    foreign: str
    local: str
    model: models.Model
    sandbox: object = None
    about: str = ""

    def requests(self):
        """Requests that the sandbox has answered so far."""
        return self.sandbox.request_count() if self.sandbox else 0

    def close(self):
        """Lift the sandbox's faults."""
        if self.sandbox:
            self.sandbox.reset_faults()


class Environment:
    """Context manager around everything a run needs."""

    def __enter__(self):
        self.cluster = tpmtest.Cluster()
        self.cluster.start()
        self.dsn = self.cluster.dsn()
        self.sandboxes = {}
        self.targets = {}
        self.copies = {}
        self.connection = self.cluster.connect()
        self.connection.autocommit = True
        self.execute("CREATE EXTENSION tpm_fdw")
        self.has_cache = bool(self.execute(
            "SELECT 1 FROM pg_settings, to_regclass('tpm_fdw_cache') AS view"
            " WHERE name = 'tpm_fdw.cache_ttl' AND view IS NOT NULL"))
        return self

    def __exit__(self, *exception):
        self.connection.close()
        for sandbox in self.sandboxes.values():
            sandbox.stop()
        self.cluster.stop()

    def execute(self, sql):
        """Run one statement outside any comparison."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def session_settings(self, wanted):
        """Settings for a session that never waits and never stops for the budget."""
        settings = {"tpm_fdw.max_requests": "0", "tpm_fdw.max_wait": "-1",
                    "tpm_fdw.leave_free": "0", **wanted}
        known = {row[0] for row in self.execute("SELECT name FROM pg_settings")}
        return {name: value for name, value in settings.items() if name in known}
