"""Clocks: wall and CPU time of a statement, memory of a backend, best of interleaved runs."""

import threading
import time

import tpmtest

RUNS = 7


def backend_pid(session):
    return session.get_backend_pid()


def cpu_seconds(pid):
    """User and system time of a process, as getrusage counts it, to the nanosecond (clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


def statement(session, query):
    """(wall seconds, CPU seconds of the backend) of one statement."""
    pid = backend_pid(session)
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


def anonymous_kb(pid):
    """Private memory of a process; shared memory does not count."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    raise RuntimeError("no RssAnon")


def peak_kb(session, query):
    """The most private memory that the backend has had while it ran a statement."""
    pid = backend_pid(session)
    seen = [anonymous_kb(pid)]
    done = threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(anonymous_kb(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        tpmtest.rows(session, query)
    finally:
        done.set()
        watcher.join()
    return max(seen)
