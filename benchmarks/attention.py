"""From which length on does attention by landmarks pay?

  python benchmarks/attention.py [--model=tiny-brightmart --lengths=512,2048,8192] [--json]

Time and peak memory of a training step on one full row, Nystrom attention beside softmax, on one
tower; the estimate of memory in brackets.
"""

import argparse
import dataclasses
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from contest import add_flags, compete, median_and_spread, report  # noqa: E402
from memory import peak  # noqa: E402

from albert.model.config import ModelConfig  # noqa: E402
from albert.training.memory.estimate import StepShape, estimate_memory  # noqa: E402
from albert.training.step.step import StepOptions  # noqa: E402


def estimate(model, length, predictions, changes):
    """Estimated peak bytes of a process that makes such steps."""
    config = dataclasses.replace(ModelConfig.from_json_file(model), **changes)
    shape = StepShape(1, length, predictions)
    return estimate_memory(config, shape, StepOptions(), 1, False).total


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny-brightmart")
    parser.add_argument("--lengths", default="512,2048,8192")
    parser.add_argument("--landmarks", type=int, default=64)
    add_flags(parser, rounds=5)
    a = parser.parse_args()
    raw, rows = {}, []
    for length in map(int, a.lengths.split(",")):
        works = {}
        for kind in ("softmax", "nystrom"):
            changes = {"attention": kind, "max_position_embeddings": length}
            if kind == "nystrom":
                changes["num_landmarks"] = a.landmarks
            works[kind] = dict(
                model=a.model, batch=1, length=length, predictions=length // 7, changes=changes
            )
        table = {
            kind: ("benchmarks.works:ours", dict(work, towers=1)) for kind, work in works.items()
        }
        times, _ = compete(table, a.rounds)
        peaks = {kind: peak(steps=2, **work) for kind, work in works.items()}
        raw[length] = {"seconds": times, "peak": peaks}
        row = [str(length)]
        for kind, work in works.items():
            work = {name: value for name, value in work.items() if name != "batch"}
            row.append(median_and_spread(times[kind]))
            row.append("{:.2f} ({:.2f})".format(peaks[kind] / 1e9, estimate(**work) / 1e9))
        pairs = zip(times["nystrom"], times["softmax"])
        row.append("{:.2f}".format(statistics.median(one / other for one, other in pairs)))
        rows.append(row)
    header = ["length", "softmax, s", "GB", "nystrom, s", "GB", "its time beside softmax's"]
    report(a.json, raw, header, rows)


if __name__ == "__main__":
    main()
