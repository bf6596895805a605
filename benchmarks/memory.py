"""How much memory does a training step take, and how good is the estimate of it?

  python benchmarks/memory.py [--model=large --batch=8 --length=512] [--json]

Peak resident memory of a process that makes two steps on one tower, beside the estimate of
`albert.training.memory.estimate`; and the step's share of it: the peak less that of a process that
only builds the model.
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from contest import ROOT, add_json_flag, report  # noqa: E402

from albert.model.config import ModelConfig  # noqa: E402
from albert.training.memory.estimate import StepShape, estimate_memory  # noqa: E402
from albert.training.step.step import StepOptions  # noqa: E402

_STEPS = 2  # the second meets what the first left behind
_VARIANTS = {
    "plain": {},
    "recompute": {"recompute": True},
    "accumulation 4": {"accumulation": 4},
    "both": {"recompute": True, "accumulation": 4},
    "bfloat16": {"precision": "mixed_bfloat16"},
}

_PROGRAM = """
import json, resource, sys
from benchmarks.works import ours
options = json.loads(sys.argv[1])
steps = options.pop("steps")
work = ours(towers=1, **options)
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


def estimate(model, batch, length, predictions, **options):
    """Estimated peak bytes of the same process."""
    chosen = StepOptions(**options)
    shape = StepShape(-(-batch // chosen.accumulation), length, predictions)
    return estimate_memory(ModelConfig.from_json_file(model), shape, chosen, 1, False).total


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="large")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--predictions", type=int, default=77)
    parser.add_argument("--only", default=",".join(_VARIANTS), help="comma list of variants")
    add_json_flag(parser)
    a = parser.parse_args()
    work = {name: getattr(a, name) for name in ("model", "batch", "length", "predictions")}
    built = peak(steps=0, **work)
    raw, rows = {"built": built, "peak": {}, "estimate": {}}, []
    for name in a.only.split(","):
        options = dict(work, **_VARIANTS[name])
        used = raw["peak"][name] = peak(steps=_STEPS, **options)
        expected = raw["estimate"][name] = estimate(**options)
        first = next(iter(raw["peak"].values()))
        rows.append(
            [
                name,
                "{:.2f}".format(used / 1e9),
                "{:.2f} ({:+.0f} %)".format(expected / 1e9, 100 * (expected / used - 1)),
                "{:.2f}".format((used - built) / 1e9),
                "{:.2f}".format((used - built) / (first - built)),
            ]
        )
    header = ["", "peak, GB", "estimate, GB", "step's memory, GB", "of the plain step"]
    report(a.json, raw, header, rows)


if __name__ == "__main__":
    main()
