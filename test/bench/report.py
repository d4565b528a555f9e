"""Results: one line each on stdout, all of them as JSON, and how they compare with the record.

A result is a figure, its reference measured in the same run, and their ratio. Some have a
bound that must hold anywhere; requests and instructions do not depend on the machine and are
compared with the record, where the versions that they depend on are the same.
"""

import ctypes
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = Path(__file__).with_name("results.json")
WORSE = 1.05
VERSIONS = ("compiler", "libcurl", "postgresql")
LINE = "{:<70.70} {:>10}  {:<32.32} {:>10} {:>6} {:<7} {}"


@dataclass
class Result:
    """ratio is figure / reference; most and least bound the ratio, least being for what should be high."""

    case: str
    unit: str
    figure: float
    against: str = ""
    reference: float = None
    most: float = None
    least: float = None
    recorded: bool = False

    @property
    def ratio(self):
        return self.figure / self.reference if self.reference else None

    @property
    def holds(self):
        """None where there is no bound."""
        if self.most is not None:
            return self.figure <= self.most * self.reference
        if self.least is not None:
            return self.figure >= self.least * self.reference
        return None

    def as_json(self):
        values = {**asdict(self), "ratio": self.ratio}
        return {name: round(value, 4) if isinstance(value, float) else value
                for name, value in values.items() if value is not None and value != "" and name != "recorded"}


def shown(value, unit):
    if value is None:
        return ""
    return f"{value:,.0f} {unit}" if value >= 1000 or value == int(value) else f"{value:.3g} {unit}"


def show_head():
    print(LINE.format("case", "figure", "reference", "", "ratio", "bound", ""), flush=True)


def show(result):
    bound = (f"<= {result.most}" if result.most is not None
             else f">= {result.least}" if result.least is not None else "")
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    verdict = {True: "ok", False: "BROKEN", None: ""}[result.holds]
    print(LINE.format(result.case, shown(result.figure, result.unit), result.against,
                      shown(result.reference, result.unit), ratio, bound, verdict).rstrip(), flush=True)


# ----- what the figures were measured with -----

def compiler():
    """What the installed product was compiled with."""
    pg_config = os.environ.get("PG_CONFIG") or "pg_config"
    library = Path(subprocess.check_output([pg_config, "--pkglibdir"], text=True).strip()) / "tpm_fdw.so"
    comment = subprocess.check_output(["readelf", "-p", ".comment", library], text=True)
    return re.findall(r"\]\s+(.+)", comment)[0]


def environment(cluster):
    """Versions, and what machine it is."""
    curl = ctypes.CDLL("libcurl.so.4")
    curl.curl_version.restype = ctypes.c_char_p
    return {"postgresql": cluster.sql("SHOW server_version")[0][0], "libcurl": curl.curl_version().decode(),
            "compiler": compiler(), "machine": platform.machine(), "cores": len(os.sched_getaffinity(0))}


# ----- the record -----

def regressions(results, measured_with, record=RECORD):
    """(what has become worse, None), or ([], why nothing was compared)."""
    if not record.exists():
        return [], "there is no record"
    kept = json.loads(record.read_text(encoding="utf-8"))
    other = [f"{name} {measured_with[name]} (record: {kept['environment'].get(name)})"
             for name in VERSIONS if kept["environment"].get(name) != measured_with[name]]
    if other:
        return [], "; ".join(other)
    before = {case["case"]: case["figure"] for case in kept["cases"]}
    worse = [f"{result.case}: {shown(result.figure, result.unit)}, recorded {shown(before[result.case], result.unit)}"
             for result in results
             if result.recorded and result.case in before and result.figure > before[result.case] * WORSE]
    return worse, None


def write(results, measured_with, path):
    path.parent.mkdir(exist_ok=True)
    made = {"environment": measured_with, "cases": [result.as_json() for result in results]}
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
