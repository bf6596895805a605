"""Whether two runs trained the same model: equal losses at every step, equal weights at the end.

    python -m benchmarks.equal runs/before runs/after

Compares `metrics.jsonl` but for what a clock says, and the latest checkpoints, bit for bit.
"""

import argparse
import itertools
import sys
from typing import Dict, List, Optional

import numpy as np

from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.system.errors import UsageError, exit_on_usage_error
from albert.training.log.metrics import read_metrics

_TIMES = ("wall_time", "sequences_per_second", "tokens_per_second", "mfu", "input_wait")


def lines_of(directory: str) -> List[Dict]:
    """The lines of a run's metrics without times.

    Raises:
      UsageError: It has none.
    """
    lines = read_metrics(directory)
    if not lines:
        raise UsageError("{} has no metrics.jsonl. Pass the folders of two runs.".format(directory))
    return [{k: v for k, v in line.items() if k not in _TIMES} for line in lines]


def tensors_of(directory: str) -> Dict[str, np.ndarray]:
    """The tensors of a run's latest checkpoint.

    Raises:
      UsageError: It has none.
    """
    prefix = latest_checkpoint(directory)
    if not prefix:
        raise UsageError("{} has no checkpoint. Pass the folders of two runs.".format(directory))
    return read_tensors(prefix)


def first_difference(before: str, after: str) -> Optional[str]:
    """The first thing that two runs do not have in common, or None."""
    for old, new in itertools.zip_longest(lines_of(before), lines_of(after), fillvalue={}):
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                place = "{} line of step {}".format((old or new)["kind"], (old or new)["step"])
                return "{}: {} was {} and is {}".format(place, key, old.get(key), new.get(key))
    weights, others = tensors_of(before), tensors_of(after)
    for name in sorted(set(weights) | set(others)):
        held_by_both = name in weights and name in others
        if not (held_by_both and np.array_equal(weights[name], others[name])):
            return "latest checkpoint: {} differs".format(name)
    return None


def main(argv: Optional[List[str]] = None) -> int:
    """Compares two runs; returns 1 if they differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal")
    parser.add_argument("before")
    parser.add_argument("after")
    arguments = parser.parse_args(argv)
    with exit_on_usage_error():
        found = first_difference(arguments.before, arguments.after)
    print(found or "Equal: every line of the metrics, every weight and slot.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
