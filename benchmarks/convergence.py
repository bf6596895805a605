"""How long until the model has left the plateau, beside transformers on the same records?

  python benchmarks/convergence.py --input_file=train.tfrecord --eval_file=valid.tfrecord \
      --flagfile=albert_config/recipes/cpu-minutes.flags [--ours_input_file=dynamic.tfrecord]

Ours runs as a user would start it, and its clock runs from the start of the process with compiling
and evaluations; the peer's clock leaves imports and evaluations out. The peer is
AlbertForPreTraining of the same size and batch with AdamW and the Trainer's linear decay, once at
the Trainer's default rate of 5e-5 and once at each rate of a sweep. Each peer run ends when it
reaches the target or has had `--patience` times our time. One run at a time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from contest import available  # noqa: E402

from albert.training.gpu_check.peer import albert_for_pretraining, torch_inputs  # noqa: E402

TRAINER_RATE = 5e-5
SWEEP = (1e-4, 3e-4, 1e-3, 3e-3)
EVAL_EXAMPLES = 1920
BATCH = 64


def ours(a):
    """Trains with the flags of a recipe; returns [(seconds, held-out accuracy)]."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            os.path.join(ROOT, "multigpu_pretraining.py"),
            "--flagfile=" + a.flagfile,
            "--albert_config_file=" + a.config,
            "--input_file=" + (a.ours_input_file or a.input_file),
            "--eval_file=" + a.eval_file,
            "--output_dir=" + directory,
            "--train_batch_size={}".format(BATCH),
            "--eval_batch_size={}".format(BATCH),
            "--max_eval_steps={}".format(EVAL_EXAMPLES // BATCH),
            "--num_train_steps={}".format(a.steps),
            "--eval_steps=50",
            "--tqdm_off",
        ]
        start = time.time()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open(os.path.join(directory, "metrics.jsonl"), encoding="utf-8") as handle:
            lines = [json.loads(line) for line in handle]
    return [
        (line["wall_time"] - start, line["masked_lm_accuracy"])
        for line in lines
        if line["kind"] == "eval"
    ]


def theirs(a, rate, limit):
    """Trains the peer for `limit` seconds or to the target; returns the same."""
    import torch

    from albert.data.dataset import RecordDataset, Shapes
    from albert.model.config import ModelConfig

    config = ModelConfig.from_json_file(a.config)

    def opened(path):
        dataset = RecordDataset([path])
        return dataset, Shapes(*(dataset.record_lengths() + (config.vocab_size, 2)))

    torch.manual_seed(0)
    network = albert_for_pretraining(config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: max(0.0, 1.0 - n / a.peer_steps))
    (train, shapes), (held_out, eval_shapes) = opened(a.input_file), opened(a.eval_file)
    order = np.random.RandomState(0).permutation(train.size)
    points, spent, step = [], 0.0, 0
    while spent < limit and step < a.peer_steps:
        start = time.perf_counter()
        for _ in range(50):
            chosen = np.arange(step * BATCH, (step + 1) * BATCH) % train.size
            loss = network(**torch_inputs(train.read(order[chosen], shapes), "cpu")).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            decay.step()
            optimizer.zero_grad()
            step += 1
        spent += time.perf_counter() - start
        points.append((spent, _accuracy(network, held_out, eval_shapes)))
        if points[-1][1] >= a.target:
            break
    return points


def _accuracy(network, dataset, shapes):
    import torch

    correct = total = 0
    with torch.no_grad():
        for first in range(0, EVAL_EXAMPLES, BATCH):
            inputs = torch_inputs(dataset.read(np.arange(first, first + BATCH), shapes), "cpu")
            labels = inputs.pop("labels")
            inputs.pop("sentence_order_label")
            masked = labels >= 0
            best = network(**inputs).prediction_logits[masked].argmax(-1)
            correct += int((best == labels[masked]).sum())
            total += int(masked.sum())
    return correct / total


def reached(points, target):
    """Seconds until the target, or None."""
    return next((seconds for seconds, accuracy in points if accuracy >= target), None)


def draw(curves, target, path):
    """One picture of all curves."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes = Figure(figsize=(8, 5), tight_layout=True).subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points), marker="o", markersize=3, label=name)
    axes.axhline(target, color="grey", linestyle="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds")
    axes.set_ylabel("held-out masked-LM accuracy")
    axes.legend()
    axes.figure.savefig(path, dpi=110)


def main():
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="nano")
    parser.add_argument("--flagfile", default="albert_config/recipes/cpu-minutes.flags")
    parser.add_argument("--input_file", required=True)
    parser.add_argument("--ours_input_file", help="the same text with masks drawn while training")
    parser.add_argument("--eval_file", required=True)
    parser.add_argument("--target", type=float, default=0.10)
    parser.add_argument("--steps", type=int, default=800, help="length of our run")
    parser.add_argument("--peer_steps", type=int, default=20000, help="length of the peer's decay")
    parser.add_argument("--patience", type=float, default=10.5, help="at the Trainer's rate")
    parser.add_argument("--sweep_patience", type=float, default=2.5, help="at each swept rate")
    parser.add_argument("--png", default="convergence.png")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    curves = {"ours": ours(a)}
    mine = reached(curves["ours"], a.target)
    print("ours: {:.0f} s".format(mine or 0), file=sys.stderr, flush=True)
    if mine is None:
        sys.exit("Ours did not reach {} in {} steps.".format(a.target, a.steps))
    if available("torch") and available("transformers"):
        for rate in (TRAINER_RATE,) + SWEEP:
            patience = a.patience if rate == TRAINER_RATE else a.sweep_patience
            name = "transformers, {:g}".format(rate)
            curves[name] = theirs(a, rate, patience * mine)
            print("{}: {}".format(name, curves[name][-1]), file=sys.stderr, flush=True)
    draw(curves, a.target, a.png)
    if a.json:
        print(json.dumps(curves))
        return
    print("| | seconds to {} | beside ours | last accuracy |\n|---|---|---|---|".format(a.target))
    for name, points in curves.items():
        seconds = reached(points, a.target)
        shown = "{:.0f}".format(seconds) if seconds else "not in {:.0f}".format(points[-1][0])
        share = ("" if seconds else "> ") + "{:.1f}x".format((seconds or points[-1][0]) / mine)
        print("| {} | {} | {} | {:.4f} |".format(name, shown, share, points[-1][1]))


if __name__ == "__main__":
    main()
