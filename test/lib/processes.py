"""What a process has used of its machine, read from outside."""

import contextlib
import os
import re
import threading


def anonymous_bytes(pid):
    """Private memory of a process; shared memory does not count."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def open_files(pid):
    """What a backend has open, but for relations: PostgreSQL opens and closes those as it likes."""
    names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sorted(name for name in names if not re.match(r".*/data/(base/[0-9]+|global|pg_[a-z]+)/", name))


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
