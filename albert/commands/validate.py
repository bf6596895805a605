"""Evaluates a checkpoint on held-out records and writes eval_results.txt.

python3 validation.py --input_file=valid.tfrecord --output_dir=pretraining_output
"""

import sys
from typing import Sequence

from albert.commands import flags as albert_flags
from albert.hosts.group import left_at_once
from albert.system.command_line import help_printed
from albert.system.errors import exit_on_usage_error
from albert.system.options import options_of
from albert.training.validation import ValidationOptions, validate

FLAGS = albert_flags.FLAGS
# Those of a training are taken, too, so that the same file of flags serves both.
_SHOWN = (
    "input_file eval_file spm_model_file max_seq_length max_predictions_per_seq padding output_dir "
    "checkpoint model albert_config_file eval_batch_size max_eval_steps precision xla use_gpu "
    "num_gpu_cores hosts host_index host_timeout no_save tqdm_off"
).split()


def validate_as_told(argv: Sequence[str]) -> None:
    """Evaluates what the flags name, on devices of its own."""
    options = options_of(ValidationOptions, albert_flags.flag_values())
    model = albert_flags.model_config_if_named()
    batches = [FLAGS.eval_batch_size] if FLAGS.eval_batch_size else []
    devices, hosts = albert_flags.joined_devices(argv, batches)
    validate(options, devices, model, hosts)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    FLAGS.set_default("do_train", False)
    if help_printed(argv, __doc__, _SHOWN):
        return 0
    with left_at_once(), exit_on_usage_error():
        albert_flags.parse_command_line(argv)
        validate_as_told(argv)
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    sys.exit(main(argv))
