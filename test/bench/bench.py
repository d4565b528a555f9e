#!/usr/bin/python3
"""What tpm_fdw costs, each case beside a reference measured in the same run.

    test/bench/bench.py                   every case
    test/bench/bench.py --only cold       some of them (may be repeated)
    test/bench/bench.py --record          keep the results in results.json, what later runs are compared with

Exit status 1 if a bound does not hold, or if requests or instructions per row are more than
5 % above the record. Results go to test/results/bench.json as well.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "lib"))

import cold  # noqa: E402
import copies  # noqa: E402
import connections  # noqa: E402
import costs  # noqa: E402
import instructions  # noqa: E402
import joins  # noqa: E402
import memory  # noqa: E402
import report  # noqa: E402
import waits  # noqa: E402
import warm  # noqa: E402
from setting import Setting  # noqa: E402

GROUPS = {"costs": costs, "joins": joins, "instructions": instructions, "cold": cold, "warm": warm, "memory": memory, "waits": waits,
          "connections": connections, "copies": copies}
RESULTS = ROOT / "test" / "results" / "bench.json"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=GROUPS)
    parser.add_argument("--record", action="store_true")
    return parser.parse_args()


def measured(setting, groups):
    results = []
    report.show_head()
    for name in groups:
        for result in GROUPS[name].run(setting):
            report.show(result)
            results.append(result)
    return results


def verdict(results, measured_with):
    """Lines that say what is wrong; what could not be compared is said, and is not wrong."""
    wrong = [f"bound broken: {result.case}" for result in results if result.holds is False]
    worse, not_compared = report.regressions(results, measured_with)
    if not_compared:
        print(f"not compared with the record: {not_compared}")
    else:
        print(f"{sum(result.recorded for result in results)} figures compared with the record")
    return wrong + [f"more than recorded: {line}" for line in worse]


def main():
    options = arguments()
    if options.record and options.only:
        sys.exit("--record needs every case")
    started = time.monotonic()
    setting = Setting()
    measured_with = report.environment(setting.cluster)
    print(", ".join(f"{name} {value}" for name, value in measured_with.items()))
    results = measured(setting, options.only or GROUPS)
    wrong = verdict(results, measured_with)
    report.write(results, measured_with, RESULTS)
    if options.record:
        report.write(results, measured_with, report.RECORD)
    for line in wrong:
        print(f"FAILED {line}")
    print(f"{len(results)} cases in {time.monotonic() - started:.0f} s, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
