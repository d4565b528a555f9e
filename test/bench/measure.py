"""Clocks: wall and CPU time of a statement, best of interleaved runs."""

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
