"""How much memory does a training step take, with and without recomputation?

  python benchmarks/memory.py [--model=large --batch=8 --length=512]

Peak resident memory of a process that makes one step, less that of one that only builds the model.
"""

import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_PROGRAM = """
import json, resource, sys
from benchmarks.works import ours
options = json.loads(sys.argv[1])
steps = options.pop("steps")
work = ours(**options)
for _ in range(steps):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(**options):
    """Peak resident bytes of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return int(done.stdout.split()[-1])


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="large")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--predictions", type=int, default=77)
    a = parser.parse_args()
    work = vars(a)
    base = peak(steps=0, **work)
    print("| | step's memory, GB | of the plain step |")
    print("|---|---|---|")
    plain = None
    for name, options in (
        ("plain", {}),
        ("recompute", {"recompute": True}),
        ("accumulation 4", {"accumulation": 4}),
        ("both", {"recompute": True, "accumulation": 4}),
    ):
        used = peak(steps=1, **dict(work, **options)) - base
        plain = plain or used
        print("| {} | {:.2f} | {:.2f} |".format(name, used / 1e9, used / plain), flush=True)


if __name__ == "__main__":
    main()
