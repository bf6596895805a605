"""Times several contenders in turn, each in a process of its own, and compares medians.

A contender is "module:function"; the function takes keyword arguments and returns a callable that
does the work once. All are built first, then they run one after the other, round by round, so that
a slow minute of the machine hits all alike.
"""

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any, Dict, List, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Contender:
    """One process that does its work when told to."""

    def __init__(self, target: str, options: Dict[str, Any]) -> None:
        """Starts the process and waits until it has done its work once."""
        command = [sys.executable, os.path.abspath(__file__), target, json.dumps(options)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
            cwd=ROOT,
        )
        self._answer()

    def run(self) -> float:
        """Does the work once; returns seconds."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._answer())

    def note(self) -> float:
        """The number the work carries as its attribute `note`; 0 without one."""
        self._process.stdin.write("note\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        for line in self._process.stdout:
            if line.startswith("# "):
                return line[2:]
        raise RuntimeError("a contender ended; what it said is above")


def compete(
    table: Dict[str, Tuple[str, Dict[str, Any]]], rounds: int
) -> Tuple[Dict[str, List[float]], Dict[str, float]]:
    """Runs contenders in turns.

    Args:
      table: Target and options of each contender by name.
      rounds: How often each does its work.

    Returns:
      Seconds of each round, and the note, of each contender.
    """
    running = {name: Contender(*entry) for name, entry in table.items()}
    times: Dict[str, List[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, contender in running.items():
            times[name].append(contender.run())
    notes = {name: contender.note() for name, contender in running.items()}
    for contender in running.values():
        contender.close()
    return times, notes


def add_flags(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Adds the flags that every contest has."""
    parser.add_argument("--rounds", type=int, default=rounds)
    add_json_flag(parser)


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="raw numbers instead of the table")


def report(as_json: bool, raw: Dict[str, Any], header: List[str], rows: List[List[str]]) -> None:
    """Prints what was measured: a Markdown table, or with --json the raw numbers."""
    if as_json:
        print(json.dumps(raw))
        return
    for line in [header, ["---"] * len(header)] + rows:
        print("| {} |".format(" | ".join(line)))


def median_and_spread(values: List[float]) -> str:
    """The median, and the range of the middle half in percent of it."""
    middle = statistics.median(values)
    quarters = statistics.quantiles(values, n=4)
    return "{:.3g} (+-{:.0f} %)".format(middle, 50 * (quarters[2] - quarters[0]) / middle)


def available(module: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(module) is not None


def _serve(target: str, options: Dict[str, Any]) -> None:
    sys.path.insert(0, ROOT)
    module, function = target.split(":")
    work = getattr(importlib.import_module(module), function)(**options)
    work()
    print("# ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "note":
            print("# {}".format(getattr(work, "note", 0)), flush=True)
            continue
        start = time.perf_counter()
        work()
        print("# {}".format(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("options", type=json.loads)
    arguments = parser.parse_args()
    _serve(arguments.target, arguments.options)
