"""What does one option do to learning? Runs that differ in it, side by side.

  python benchmarks/study.py --input_file=dynamic.tfrecord --eval_file=valid.tfrecord \
      --flags="--model=nano-brightmart --optimizer=muon --num_train_steps=400" --seeds 1 2 3 \
      "nothing=" "z-loss=--z_loss=1e-4" "half the masks=--mask_schedule=0.15:0.15"
  python benchmarks/study.py --input_file=dynamic.tfrecord --eval_file=valid.tfrecord \
      --flags="--flagfile=albert_config/recipes/cpu-tiny.flags" --loss=5.949 "cpu-tiny="

Each row is NAME=FLAGS, the flags in the words of a shell. Prints held-out loss, accuracy and
sentence order in the middle and at the end of the run, the mean over seeds with the lowest and
highest loss, and after which evaluation the loss is below `--loss`. Only updates count: how fast
the machine is changes nothing. Runs stay in `--output_dir`; the same command goes on with what is
missing.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCORES = ("masked_lm_loss", "masked_lm_accuracy", "sentence_order_accuracy")


def evaluations(directory, flags):
    """Trains, or goes on, and returns what was measured on held-out records."""
    command = [sys.executable, os.path.join(ROOT, "multigpu_pretraining.py")] + flags
    subprocess.run(
        command + ["--output_dir=" + directory, "--tqdm_off"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    with open(os.path.join(directory, "metrics.jsonl"), encoding="utf-8") as handle:
        lines = [json.loads(line) for line in handle]
    return [line for line in lines if line["kind"] == "eval"]


def at(runs, share):
    """The scores of all seeds after a share of the run, as a cell."""
    found = [run[max(0, round(share * len(run)) - 1)] for run in runs]
    means = [statistics.mean(line.get(name, 0.0) for line in found) for name in SCORES]
    cell = "{:.3f} / {:.3f} / {:.3f}".format(*means)
    losses = [line[SCORES[0]] for line in found]
    return cell if len(runs) == 1 else cell + " ({:.3f}-{:.3f})".format(min(losses), max(losses))


def first_below(runs, loss):
    """Updates after which each seed was first evaluated below a loss."""
    steps = [next((line["step"] for line in run if line[SCORES[0]] < loss), None) for run in runs]
    return ", ".join("never" if step is None else "{:,}".format(step) for step in steps)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input_file", required=True)
    parser.add_argument("--eval_file", required=True)
    parser.add_argument("--flags", default="", help="of all rows, as one word of the shell")
    parser.add_argument("--seeds", type=int, nargs="+", default=[12345])
    parser.add_argument("--loss", type=float, help="held-out loss whose first update is wanted")
    parser.add_argument("--output_dir", default="runs/study")
    parser.add_argument("--json", action="store_true", help="all evaluations, one object")
    parser.add_argument("rows", nargs="+", metavar="NAME=FLAGS")
    a = parser.parse_args()
    found = {}
    for row in a.rows:
        name, _, flags = row.partition("=")
        common = ["--input_file=" + a.input_file, "--eval_file=" + a.eval_file]
        flags = common + shlex.split(a.flags) + shlex.split(flags)
        found[name] = []
        for seed in a.seeds:
            directory = os.path.join(a.output_dir, name.replace(" ", "_"), str(seed))
            found[name].append(evaluations(directory, flags + ["--random_seed={}".format(seed)]))
            print(name, seed, at(found[name][-1:], 1.0), file=sys.stderr, flush=True)
    if a.json:
        print(json.dumps(found))
        return
    header = ["what differs", "half-way", "at the end"]
    if a.loss:
        header.append("updates to {}".format(a.loss))
    rows = [
        [name, at(runs, 0.5), at(runs, 1.0)] + ([first_below(runs, a.loss)] if a.loss else [])
        for name, runs in found.items()
    ]
    for cells in [header, ["---"] * len(header)] + rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
