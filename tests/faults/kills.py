"""Kills and stops processes of a training at random moments, and compares it with an unbroken one.

    python tests/faults/kills.py --hosts=4 --kills=20 --stops=5 --steps=3000

The launcher starts all again each time. At the end weights, slots, the best checkpoint and metrics
must be equal, bit for bit. Prints when what was broken, and how long it took until every process of
it had ended.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import SIZES, write_record_file  # noqa: E402

from albert.checkpoints.manager import latest_checkpoint, read_tensors  # noqa: E402

PROGRAM = str(ROOT / "multigpu_pretraining.py")
SAVED_EVERY = 50
PATIENCE = 200  # seconds until all must have ended


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=0, help="needs several hosts")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--engine", default="local", choices=["local", "ray"])
    parser.add_argument("--seed", type=int, default=5)
    return parser.parse_args()


def command(folder, name, given, restarts):
    """The launch of a training into a folder of that name."""
    launch = ["--hosts={}".format(given.hosts), "--max_restarts={}".format(restarts)]
    if given.engine != "local":
        launch.append("--engine=" + given.engine)
    flags = [
        "--input_file={}".format(folder / "train.tfrecord"),
        "--eval_file={}".format(folder / "valid.tfrecord"),
        "--albert_config_file={}".format(folder / "config.json"),
        "--output_dir={}".format(folder / name),
        "--num_train_steps={}".format(given.steps),
        "--save_checkpoints_steps={}".format(SAVED_EVERY),
        "--eval_steps={}".format(5 * SAVED_EVERY),
        "--log_steps={}".format(SAVED_EVERY),
        "--train_batch_size=16",
        "--eval_batch_size=16",
        "--learning_rate=1e-3",
        "--num_gpu_cores=1",
        "--use_gpu=False",
        "--host_timeout=5",
        "--tqdm_off",
    ]
    return [sys.executable, "-m", "albert", "launch", *launch, "--", PROGRAM, *flags]


def processes(folder):
    """Numbers of the living processes that train in it, as Linux tells them."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            dead = (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        own = "--output_dir={}".format(folder).encode()
        if own in words and PROGRAM.encode() in words and b"launch" not in words and not dead:
            found.append(int(place.name))
    return found


def saved(folder):
    """The step of the newest checkpoint."""
    names = [re.search(r"ckpt-(\d+)\.index", path.name) for path in folder.glob("*.index")]
    return max([int(found.group(1)) for found in names if found], default=0)


def break_one(run, folder, given, fault, chance):
    """Waits for a random moment, breaks a process, and waits until all of that start have ended."""
    before, early = saved(folder), chance.random() < 0.25
    if early:  # while they start
        time.sleep(chance.uniform(1, 10))
    while run.poll() is None and not early and saved(folder) <= before:
        time.sleep(0.05)
    time.sleep(chance.uniform(0, 2))
    while run.poll() is None and len(processes(folder)) < given.hosts:
        time.sleep(0.05)
    started = processes(folder)
    if run.poll() is not None or not started:
        return "the run had ended"
    os.kill(chance.choice(started), fault)
    hit = time.monotonic()
    while run.poll() is None and set(started) & set(processes(folder)):
        assert time.monotonic() - hit < PATIENCE, "still there: {}".format(processes(folder))
        time.sleep(0.05)
    return "{} {} step {}: all ended after {:.1f} s".format(
        fault.name,
        "at the start, after" if early else "after",
        saved(folder),
        time.monotonic() - hit,
    )


def same_best(folder):
    """Whether the best checkpoints of both runs have the same weights."""
    one, other = (latest_checkpoint(str(folder / name / "best")) for name in ("whole", "broken"))
    found, expected = read_tensors(other), read_tensors(one)
    return all(np.array_equal(expected[name], found[name]) for name in expected)


def metrics(folder):
    """What the lines say but for clock and rates."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["kind"], line["step"], line["loss"]) for line in lines]


def main():
    """Runs all of it; the exit code says whether the two runs are equal."""
    given = options()
    chance = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    write_record_file(folder / "train.tfrecord", 997)
    write_record_file(folder / "valid.tfrecord", 101, seed=1)
    config = dict(SIZES, layout="google", hidden_dropout_prob=0.1)
    (folder / "config.json").write_text(json.dumps(config))
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    with open(folder / "screens.txt", "w") as screen:
        how = {"env": environment, "stdout": screen, "stderr": screen, "cwd": str(folder)}
        subprocess.run(command(folder, "whole", given, 0), check=True, **how)
        faults = [signal.SIGKILL] * given.kills + [signal.SIGSTOP] * given.stops
        chance.shuffle(faults)
        run = subprocess.Popen(command(folder, "broken", given, len(faults) + 5), **how)
        for fault in faults:
            print(break_one(run, folder / "broken", given, fault, chance), flush=True)
        code = run.wait()
    one, other = (read_tensors(latest_checkpoint(str(folder / n))) for n in ("whole", "broken"))
    equal = set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)
    equal = equal and same_best(folder)
    same_lines = metrics(folder / "whole") == metrics(folder / "broken")
    left = [path.name for path in (folder / "broken").iterdir() if "tmp" in path.name]
    print(
        "exit code {}, tensors {}, metrics {}, leftovers {}; all in {}".format(
            code, "equal" if equal else "DIFFER", "equal" if same_lines else "DIFFER", left, folder
        )
    )
    return 0 if equal and same_lines and not code and not left else 1


if __name__ == "__main__":
    sys.exit(main())
