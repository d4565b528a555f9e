"""Private memory of the backend against the number of rows: flat, but for the ids that a scan remembers."""

import pages
import processes
import tpmtest
from report import Result
from setting import COLD, UNKEPT

SIZES = [1000, 10000, 100000, 1000000]
BYTES_A_ROW = 64


def peak(setting, name, preparation):
    """The most that a scan takes in a backend that has done nothing else but two pages of it."""
    session = setting.cluster.connect()
    tpmtest.rows(session, preparation)
    tpmtest.rows(session, f"SELECT name FROM {name} LIMIT 1")
    tpmtest.rows(session, preparation)
    with processes.watched(session.get_backend_pid()) as seen:
        tpmtest.rows(session, pages.counts(name))
    session.close()
    return max(seen)


def run(setting):
    for rows in SIZES:
        setting.list(f"memory_{rows}", "narrow", rows, 1000)
    for how, preparation in (("", UNKEPT), (", kept in the cache", COLD)):
        peaks = {rows: peak(setting, f"memory_{rows}", preparation) for rows in SIZES}
        for rows in SIZES:
            yield Result(f"memory of a scan of {rows:,} rows{how}", "kB", peaks[rows] / 1024, "of 10,000 rows",
                         peaks[10000] / 1024)
        growth = (peaks[SIZES[-1]] - peaks[10000]) / (SIZES[-1] - 10000)
        yield Result(f"memory for each row beyond 10,000{how}", "B", growth, "allowed", BYTES_A_ROW, most=1.0)
