"""The command that proves a machine."""

import os
import re
from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError, quoted

USAGE = """Proves a machine with GPUs and writes gpu_check.md and gpu_check.json.

  python -m albert check-gpu --input_file=train.tfrecord --eval_file=valid.tfrecord

Trains a small model in every way a step can be computed and compares the losses; times steps of
base and large; measures the input; trains base on your records, is killed half-way and goes on.
Without records the last two are left out. Ends with 1 if something is not as it should be.
--rehearse runs every part at a small size on the CPU.
"""
# Of the training on the user's records: a batch that shows within minutes whether it learns.
_TRAINING = (
    "--flagfile=one-gpu-base",
    "--optimizer=muon",
    "--schedule=constant",
    "--train_batch_size=256",
    "--gradient_accumulation_steps=8",
    "--num_train_steps=1000000",
    "--num_warmup_steps=200",
    "--save_checkpoints_steps=50",
    "--eval_steps=200",
    "--max_eval_steps=50",
    "--log_steps=20",
    "--stop_on_plateau=0",
    "--tqdm_off",
)
_REHEARSAL = (
    "--model=nano",
    "--use_gpu=False",
    "--optimizer=muon",
    "--schedule=constant",
    "--train_batch_size=8",
    "--num_train_steps=1000000",
    "--num_warmup_steps=10",
    "--save_checkpoints_steps=2",
    "--eval_steps=1000",
    "--max_eval_steps=1",
    "--log_steps=2",
    "--tqdm_off",
)


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("output_dir", "gpu_check", "Where the report and the training go.")
    flags.DEFINE_string("input_file", None, "Your records, to measure the input and to train on.")
    flags.DEFINE_string("eval_file", None, "Held-out records.")
    flags.DEFINE_float("minutes", 10.0, "Minutes of the training.", 0.0)
    flags.DEFINE_list("models", ["base", "large"], "Presets whose steps are timed.")
    flags.DEFINE_list("lengths", ["128", "512"], "Lengths at which they are.")
    flags.DEFINE_bool("rehearse", False, "Every part at a small size on the CPU.")


def main(positional: List[str]) -> int:
    """Runs all parts and writes the report."""
    from albert.data.source import DataOptions
    from albert.model.config import ModelConfig
    from albert.model.limits import LAYOUTS
    from albert.system.devices import choose_devices
    from albert.system.files.atomic import ensure_writable_directory
    from albert.training.gpu_check.equality import check_equality
    from albert.training.gpu_check.feeding import batches_of, tokens_per_second
    from albert.training.gpu_check.learning import check_learning
    from albert.training.gpu_check.peer import measure_peers
    from albert.training.gpu_check.report import Report, write_report
    from albert.training.gpu_check.speed import LARGEST, measure_steps
    from albert.training.setup import preset

    f = flags.FLAGS
    if positional:
        raise UsageError("check-gpu takes flags only. Received {}.".format(" ".join(positional)))
    if f.eval_file and not f.input_file:
        raise UsageError("--eval_file={} needs --input_file.".format(f.eval_file))
    if not all(re.fullmatch("[0-9]{1,6}", length) and int(length) > 1 for length in f.lengths):
        raise UsageError(
            "--lengths must be whole numbers. Received {}.".format(quoted(",".join(f.lengths)))
        )
    models, lengths, layouts = f.models, [int(length) for length in f.lengths], list(LAYOUTS)
    if f.rehearse:
        models, lengths, layouts = ["nano"], [32], layouts[:1]
    for model in models:
        ModelConfig.from_json_file(model)  # a typo is told before the work begins
    records = {"input_file": f.input_file, "eval_file": f.eval_file}
    sources = DataOptions(**records)
    data = None
    if f.input_file:
        data = sources.open("input_file", preset("base", f.input_file), progress=False)
    devices = choose_devices(not f.rehearse, 0, ["python", "-m", "albert", "check-gpu"])
    ensure_writable_directory(f.output_dir, "--output_dir")

    logging.info("Comparing steps computed in different ways")
    equalities = check_equality(devices, layouts)
    logging.info("Timing steps")
    largest = 4 if f.rehearse else LARGEST
    peers = measure_peers(models, lengths, largest)  # first: what we take of a card we keep
    speeds = measure_steps(models, lengths, devices, largest)
    tokens, learning = {}, None
    if data:
        logging.info("Measuring the input")
        for workers in (0, 1, 2):
            batches = batches_of(data, "pack", 64, workers)
            tokens_per_second(batches)
            tokens[workers] = tokens_per_second(batches) / 1e6
            batches.close()
        logging.info("Training for %g minutes", f.minutes)
        given = ["--{}={}".format(name, value) for name, value in records.items() if value]
        run = os.path.join(f.output_dir, "run")
        ensure_writable_directory(run, "--output_dir")
        learning = check_learning(
            [*(_REHEARSAL if f.rehearse else _TRAINING), *given], run, f.minutes
        )
    report = Report(f.rehearse, devices, equalities, speeds, peers, tokens, learning)
    print(write_report(f.output_dir, report), end="")
    return 0 if report.passed else 1


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
