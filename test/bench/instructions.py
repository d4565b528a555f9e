"""Instructions per row under callgrind: no clock, so a machine's noise does not matter.

The whole cluster runs under valgrind; a backend counts while it is inside the scan's own
function and what that calls, and writes its count when it ends.
"""

import re
import subprocess

import floor
import pages
import setting as settings
import tpmtest
from report import Result

ROWS = 20000
SCAN = "tpm_iterate_scan"


class Counted(tpmtest.Cluster):
    """A cluster under callgrind."""

    def start(self):
        command = ["valgrind", "--tool=callgrind", "--quiet", f"--toggle-collect={SCAN}",
                   f"--callgrind-out-file={self.datadir}/callgrind.%p", tpmtest.bindir() / "postgres",
                   "-D", self.datadir]
        with open(self.logfile, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **tpmtest.as_cluster_user())
        self.running = True
        tpmtest.wait_until(lambda: "ready to accept connections" in self.log(), 120, "the cluster under valgrind")
        return self

    def stop(self, mode="fast"):
        super().stop(mode)
        self.process.wait(60)

    def count(self, *statements):
        """Instructions inside scans of a backend of its own."""
        session = self.connect()
        pid = session.get_backend_pid()
        for statement in statements:
            tpmtest.rows(session, statement)
        session.close()
        return tpmtest.wait_until(lambda: self._total(self.datadir / f"callgrind.{pid}"), 60, "callgrind's count")

    @staticmethod
    def _total(file):
        found = re.search(r"^totals: (\d+)", file.read_text(), re.MULTILINE) if file.exists() else None
        return int(found[1]) if found else None


def run(setting):
    static = floor.Floor()
    cluster = Counted(**settings.CONFIG).start()
    session = cluster.connect()
    settings.create_server(session, static)
    for shape, size in (("narrow", 1000), ("narrow", 100), ("wide", 1000)):
        name = f"{shape}_{size}"
        static.add(f"/{name}", shape, ROWS, size)
        settings.create_table(session, name, size)
        query = pages.counts(name)
        cases = [(f"cold scan, {shape} rows, pages of {size}", [settings.UNKEPT, query])]
        if name == "narrow_1000":
            cases += [("cold scan kept in the cache, narrow rows, pages of 1000", [query]), ("warm scan", [query])]
        bytes_a_row = sum(map(len, static.bodies(f"/{name}"))) / ROWS
        for case, statements in cases:
            yield Result(f"instructions per row, {case}", "", cluster.count(*statements) / ROWS,
                         "bytes per row", bytes_a_row, recorded=True)
    session.close()
    cluster.destroy()
    static.server.stop()
