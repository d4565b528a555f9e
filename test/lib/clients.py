"""Programs of other languages that a test drives: npm packages, and steps asked one by one.

Owns where npm packages are kept between runs and the pipe to a program. Packages come from the
lock file beside their package.json, and no script of theirs runs when they are installed.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[1] / "clients"


def _cache():
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tpm_fdw"


def _install(source, target):
    """`npm ci` in a directory of its own, which takes its name when it is whole."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, partial / name)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"],
                   cwd=partial, check=True, stdout=subprocess.DEVNULL, timeout=900)
    partial.rename(target)


def npm_packages(name):
    """The directory with the packages that test/clients/<name> locks; the test is skipped without npm."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip(f"without npm: {name}")
    source = CLIENTS / name
    lock = (source / "package-lock.json").read_bytes()
    target = _cache() / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(target.name + ".lock"), "w", encoding="ascii") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not target.exists():
            _install(source, target)
    return target


def start(command, **options):
    """A process that does not outlive the tests, whatever becomes of the one that started it."""
    process = subprocess.Popen(command, **options)
    atexit.register(process.kill)
    return process


class Steps:
    """A program that answers each line of its input with one line."""

    def __init__(self, command, **options):
        self.process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **options)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the program ended with status {self.process.wait(10)} at: {line}")
        return answer.rstrip("\n")

    def close(self):
        self.process.stdin.close()
        if self.process.wait(20) != 0:
            raise RuntimeError(f"the program ended with status {self.process.returncode}")
