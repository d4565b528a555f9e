"""The verdict of make bench: what is compared with the record, when, and what fails."""

import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import report  # noqa: E402

VERSIONS = {"compiler": "gcc 12", "libcurl": "7.88", "postgresql": "15.1", "cores": 2}


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "results.json"
    kept = [report.Result("instructions per row, x", "", 1000, recorded=True),
            report.Result("requests: y", "", 0, recorded=True), report.Result("time", "ms", 10)]
    report.write(kept, VERSIONS, path)
    return path


def measured(instructions, requests, time=10):
    return [report.Result("instructions per row, x", "", instructions, recorded=True),
            report.Result("requests: y", "", requests, recorded=True), report.Result("time", "ms", time),
            report.Result("new", "", 5, recorded=True)]


@pytest.mark.parametrize("instructions, requests, worse", [
    (1000, 0, []), (1050, 0, []), (500, 0, []), (1051, 0, ["instructions per row, x"]), (1000, 1, ["requests: y"])])
def test_regressions(record, instructions, requests, worse):
    """More than 5 % in what does not depend on the machine; times are not compared."""
    found, not_compared = report.regressions(measured(instructions, requests, 99), VERSIONS, record)
    assert not_compared is None
    assert [line.split(": 1")[0] for line in found] == worse


@pytest.mark.parametrize("name", report.VERSIONS)
def test_other_versions_are_not_compared(record, name):
    found, not_compared = report.regressions(measured(9999, 9), {**VERSIONS, name: "other"}, record)
    assert found == [] and name in not_compared and "other" in not_compared


def test_another_machine_is_compared(record):
    assert report.regressions(measured(9999, 0), {**VERSIONS, "cores": 64}, record)[0]


def test_no_record(tmp_path):
    assert report.regressions(measured(1, 1), VERSIONS, tmp_path / "none.json") == ([], "there is no record")


@pytest.mark.parametrize("bounds, holds", [({"most": 0.5}, True), ({"most": 0.49}, False), ({"least": 0.5}, True),
                                           ({"least": 0.51}, False), ({}, None)])
def test_bounds(bounds, holds):
    assert report.Result("case", "ms", 50, "reference", 100, **bounds).holds is holds


def test_the_record_in_the_repository():
    """It has every kind of case, and every bound in it held."""
    kept = json.loads(report.RECORD.read_text(encoding="utf-8"))
    assert set(report.VERSIONS) <= set(kept["environment"])
    cases = {case["case"]: case for case in kept["cases"]}
    for beginning in ("cold scan, narrow rows, pages of 1000", "cold scan, wide rows, pages of 100", "warm scan",
                      "32 warm sessions", "50 pages at 300 ms", "INSERT of 1,000 rows", "requests: SELECT",
                      "memory of a scan of 1,000,000 rows", "instructions per row"):
        assert any(name.startswith(beginning) for name in cases), beginning
    for case in cases.values():
        assert case["figure"] <= case.get("most", 1e9) * case.get("reference", 1e9)
        assert case["figure"] >= case.get("least", 0) * case.get("reference", 0)
