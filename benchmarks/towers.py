"""Do several towers on the same silicon cost anything?

  python benchmarks/towers.py [--towers=1,2,4] [--rounds=7]

The same global batch on 1, 2 and 4 logical CPU devices, in turns; throughput beside one tower's.
"""

import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from contest import Contender, compete, median_and_spread  # noqa: E402


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--towers", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=7)
    a = parser.parse_args()
    counts = [int(count) for count in a.towers.split(",")]
    work = {"model": a.model, "batch": a.batch, "length": a.length}
    running = {
        str(count): Contender("benchmarks.works:ours", dict(work, towers=count)) for count in counts
    }
    times = compete(running, a.rounds)
    for contender in running.values():
        contender.close()
    one = times[str(counts[0])]
    print("| towers | seconds a step | throughput of one tower's |")
    print("|---|---|---|")
    for count, seconds in times.items():
        ratio = statistics.median(first / mine for first, mine in zip(one, seconds))
        print("| {} | {} | {:.2f} |".format(count, median_and_spread(seconds), ratio))


if __name__ == "__main__":
    main()
