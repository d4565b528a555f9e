"""Functions of the product called from SQL by themselves, without a server of the API: a module made for a test."""

import subprocess
from pathlib import Path

import tpmtest

ROOT = Path(__file__).resolve().parents[2]


def build(directory, source, parts):
    """Compiles a test's C file with the product's files that it calls (from src/); the path of the module."""
    module = Path(directory) / (Path(source).stem + ".so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-g", "-Wall", "-Werror", "-Wl,-Bsymbolic", "-Isrc",
                    "-isystem", tpmtest.pg_config("includedir-server"), "-o", module, source,
                    *(f"src/{part}" for part in parts)], cwd=ROOT, check=True)
    module.chmod(0o755)
    return module
