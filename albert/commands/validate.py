"""Evaluates a checkpoint on held-out records and writes eval_results.txt.

python3 validation.py --input_file=valid.tfrecord --output_dir=pretraining_output --model=base
"""

import sys
from typing import Sequence

from albert.commands import flags as albert_flags
from albert.system.command_line import help_printed
from albert.system.devices import choose_devices
from albert.system.errors import exit_on_usage_error
from albert.training.evaluation import validate

FLAGS = albert_flags.FLAGS


def main(argv) -> int:
    """Runs the command; returns its exit code."""
    FLAGS.set_default("do_train", False)
    if help_printed(argv, __doc__):
        return 0
    with exit_on_usage_error():
        albert_flags.parse_command_line(argv)
        batches = [FLAGS.eval_batch_size] if FLAGS.eval_batch_size else []
        devices = choose_devices(FLAGS.use_gpu, FLAGS.num_gpu_cores, argv, batches, FLAGS.xla)
        validate(albert_flags.model_config(), devices)
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    sys.exit(main(argv))
