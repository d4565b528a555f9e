"""README.md tells the truth: its SQL runs and prints what stands there."""

import subprocess

import tpmtest


def test_readme():
    """Every block; a drift is shown as a diff."""
    run = subprocess.run([tpmtest.ROOT / "test" / "readme"], text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
