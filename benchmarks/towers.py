"""Do several towers on the same silicon cost anything?

  python benchmarks/towers.py [--towers=1,2,4] [--rounds=7] [--json]

The same global batch on 1, 2 and 4 logical CPU devices, in turns; throughput beside one tower's.
"""

import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from contest import add_flags, compete, median_and_spread, report  # noqa: E402


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--towers", default="1,2,4")
    add_flags(parser, rounds=7)
    a = parser.parse_args()
    work = {"model": a.model, "batch": a.batch, "length": a.length}
    times, _ = compete(
        {
            count: ("benchmarks.works:ours", dict(work, towers=int(count)))
            for count in a.towers.split(",")
        },
        a.rounds,
    )
    one = next(iter(times.values()))
    rows = []
    for count, seconds in times.items():
        ratio = statistics.median(first / mine for first, mine in zip(one, seconds))
        rows.append([count, median_and_spread(seconds), "{:.2f}".format(ratio)])
    header = ["towers", "seconds a step", "throughput of one tower's"]
    report(a.json, {"seconds": times}, header, rows)


if __name__ == "__main__":
    main()
