"""Run the benchmark: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.harness import PEER_PYTHON, Harness, Settings, install_peer, machine
from benchmarks.report import page, table, verdicts
from benchmarks.suite import CASES

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parent / "docs"
_RESULTS = _HERE / "results.json"
_SIDES = ("official", "missionlink", "limit")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure missionlink side by side.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: a look in two minutes")
    parser.add_argument("--rounds", type=int, help="rounds (5, or 1 with --quick)")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="cases to run, for example 'events.*'")
    parser.add_argument("--sides", default=",".join(_SIDES), help="sides to run, separated by commas")
    parser.add_argument("--runtime", default=os.environ.get("MISSIONLINK_RUNTIME"), help="program of a real runtime")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    parser.add_argument("--docs", action="store_true", help="write results.json and docs/performance.md")
    parser.add_argument(
        "--render", action="store_true", help="write docs/performance.md from results.json; run nothing"
    )
    parser.add_argument("--install-peer", action="store_true", help="install the official SDK in its own environment")
    return parser.parse_args()


def _render() -> None:
    results = json.loads(_RESULTS.read_text(encoding="utf-8"))
    (_DOCS / "performance.md").write_text(page(results), encoding="utf-8")
    (_DOCS / "performance.svg").write_text(chart(results), encoding="utf-8")


def main() -> int:
    """Run what the command line asks for; return 1 if a measurement failed, else 0."""
    options = _arguments()
    if options.install_peer:
        install_peer()
        return 0
    if options.render:
        _render()
        return 0
    sides = tuple(options.sides.split(","))
    if "official" in sides and not PEER_PYTHON.exists():
        print("The official SDK is not installed: run `python -m benchmarks --install-peer`.", file=sys.stderr)
        return 2
    patterns = options.only or ["*"]
    cases = [case for case in CASES if any(fnmatch.fnmatch(case.id, pattern) for pattern in patterns)]
    rounds = options.rounds or (1 if options.quick else 5)
    harness = Harness(Settings(rounds, options.quick, sides, options.runtime), lambda line: print(line, flush=True))
    results = {"rounds": rounds, "quick": options.quick, "machine": machine(), "cases": harness.run(cases)}
    # Other programs share the machine, as often as not: the reader is told how busy it was at both ends.
    results["machine"]["load_after"] = [round(value, 2) for value in os.getloadavg()]
    text = json.dumps(results, indent=1) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    if options.docs:
        _RESULTS.write_text(text, encoding="utf-8")
        _render()
    print("\n" + table(results) + "\n")
    signs = {"yes": "met     ", "no": "MISSED  ", "in proportion": "(met)   "}
    for sentence, measured, met in verdicts(results):
        print(f"{signs[met]}  {sentence}: {measured}")
    for failure in harness.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    return 1 if harness.failures else 0


if __name__ == "__main__":
    sys.exit(main())
