"""Clocks: wall and CPU time of a statement, memory of a backend, best of interleaved runs."""

import contextlib
import threading
import time

import tpmtest

RUNS = 7


def cpu_seconds(pid):
    """User and system time of a process, what getrusage tells it, by the clock that clock_getcpuclockid names."""
    return time.clock_gettime((~pid << 3) | 2)


def statement(session, query):
    """(wall seconds, CPU seconds of the backend) of one statement."""
    pid = session.get_backend_pid()
    cpu, wall = cpu_seconds(pid), time.perf_counter()
    tpmtest.rows(session, query)
    wall, cpu = time.perf_counter() - wall, cpu_seconds(pid) - cpu
    return wall, cpu


def interleaved(measured, runs=RUNS):
    """The least of several runs of each, taken in turns: {name: function that gives a tuple}."""
    best = {}
    for _ in range(runs):
        for name, function in measured.items():
            figures = function()
            best[name] = tuple(map(min, figures, best.get(name, figures)))
    return best


def anonymous_bytes(pid):
    """Private memory of a process; shared memory does not count."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


@contextlib.contextmanager
def watched(pid):
    """A list whose largest entry, in the end, is the most private memory that the process has had meanwhile."""
    seen = [anonymous_bytes(pid)]
    done = threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(anonymous_bytes(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
