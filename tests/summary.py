#!/usr/bin/env python3
"""Sums ctest's results (JUnit files), counting the tests within each program: cmocka's and pytest's
own counts where they print some, else one. The last line is "N passed, N failed"."""
import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree

COUNTS = {
    "passed": [r"^\[  PASSED  \] (\d+) test", r"^.*?\b(\d+) passed\b.* in [\d.]+s"],
    "failed": [r"^\[  FAILED  \] (\d+) test", r"^.*?\b(\d+) failed\b.* in [\d.]+s",
               r"^.*?\b(\d+) errors?\b.* in [\d.]+s"],
    "skipped": [r"^\[  SKIPPED \] (\d+) test", r"^.*?\b(\d+) skipped\b.* in [\d.]+s"],
}


def within(output, kind):
    return sum(int(n) for regex in COUNTS[kind] for n in re.findall(regex, output, re.M))


def count(case):
    """(passed, failed, skipped) of one ctest test."""
    output = case.findtext("system-out") or ""
    passed, failed, skipped = (within(output, k) for k in ("passed", "failed", "skipped"))
    bad = case.get("status") == "fail" or case.find("failure") is not None
    if bad:
        return passed, max(failed, 1), skipped
    return max(passed, 0 if skipped else 1), failed, skipped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--failed-steps", type=int, default=0, help="builds that failed")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    total = [0, options.failed_steps, 0]
    if options.failed_steps:
        print(f"{options.failed_steps} step(s) before the tests failed, see above")
    for name in options.files:
        tree = pathlib.Path(name).parent.name
        suite = xml.etree.ElementTree.parse(name).getroot()
        sums = [0, 0, 0]
        for case in suite.iter("testcase"):
            if case.get("status") in ("disabled", "notrun"):
                continue
            for index, value in enumerate(count(case)):
                sums[index] += value
            if count(case)[1]:
                print(f"FAILED {tree}: {case.get('name')}")
        print(f"{tree}: {sums[0]} passed, {sums[1]} failed, {sums[2]} skipped (allowed_skips.txt)")
        total = [a + b for a, b in zip(total, sums)]
    if total[0] == 0:
        print("no test has run")
        total[1] = max(total[1], 1)
    print(f"{total[0]} passed, {total[1]} failed")
    sys.exit(1 if total[1] else 0)


if __name__ == "__main__":
    main()
