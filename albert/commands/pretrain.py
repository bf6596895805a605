r"""Pre-trains ALBERT on one or more towers.

python3 multigpu_pretraining.py --input_file=train.tfrecord --eval_file=valid.tfrecord \
  --output_dir=pretraining_output --model=base --train_batch_size=120 --num_train_steps=1000000
"""

import dataclasses
import datetime
import os
import sys
from typing import Optional, Sequence

from absl import logging

from albert.checkpoints.folder import config_of_run, open_checkpoint
from albert.checkpoints.manager import latest_checkpoint
from albert.commands import flags as albert_flags
from albert.commands.validate import validate_as_told
from albert.formats.saved_model import write_pretraining_model
from albert.hosts.group import left_at_once
from albert.model.config import ModelConfig
from albert.system.command_line import help_printed
from albert.system.errors import UsageError, exit_on_usage_error
from albert.system.files.atomic import atomic_directory, check_holds_nothing
from albert.system.options import options_of
from albert.training.beginning import beginning_of, model_to_train
from albert.training.memory.find_batch_size import find_batch_size
from albert.training.options import TrainingOptions, training_options
from albert.training.pretraining import train
from albert.training.validation import ValidationOptions, validate

FLAGS = albert_flags.FLAGS


def _options() -> TrainingOptions:
    values = albert_flags.flag_values()
    directory = None if FLAGS.no_save else FLAGS.output_dir
    beginning = beginning_of(FLAGS.init_checkpoint, directory)
    values.update(output_dir=directory, init_checkpoint=beginning)
    options = training_options(_config(beginning, directory), values)
    model = model_to_train(options.model, options.start, options.saving.output_dir)
    return dataclasses.replace(options, model=model)


def _config(beginning: Optional[str], directory: Optional[str]) -> ModelConfig:
    """The model that the flags name, else that of what the run begins with."""
    named = albert_flags.model_config_if_named()
    if named or not beginning:
        return named or albert_flags.model_config()
    begun = latest_checkpoint(directory) if directory else None
    return config_of_run(directory, begun or beginning)


def _check_what_follows() -> None:
    """Says before a long training what would only fail after it."""
    if not FLAGS.do_train and not FLAGS.do_eval:
        raise UsageError("At least one of --do_train and --do_eval must be True.")
    if FLAGS.checkpoint and not FLAGS.do_eval:
        raise UsageError(
            "--checkpoint={} names what --do_eval evaluates. To train from it: "
            "--init_checkpoint={}.".format(FLAGS.checkpoint, FLAGS.checkpoint)
        )
    for flag, wanted in (("export_dir", FLAGS.export_dir), ("do_eval", FLAGS.do_eval)):
        if wanted and FLAGS.do_train and FLAGS.no_save:
            raise UsageError("--{} takes what a run has saved; leave out --no_save.".format(flag))
    if FLAGS.export_dir:
        check_holds_nothing(FLAGS.export_dir, "--export_dir")


def _export() -> None:
    checkpoint = open_checkpoint(FLAGS.output_dir, None if FLAGS.do_train else FLAGS.checkpoint)
    with atomic_directory(FLAGS.export_dir, "--export_dir") as folder:
        write_pretraining_model(folder, checkpoint.config, checkpoint.weights)
    logging.info("Wrote %s", FLAGS.export_dir)


def _train(argv: Sequence[str]) -> int:
    if not FLAGS.output_dir and not FLAGS.no_save:
        now = datetime.datetime.now()
        FLAGS["output_dir"].value = os.path.join("runs", now.strftime("pretrain-%Y%m%d_%H%M%S"))
    options = _options()
    batches = options.tower_batches
    devices, hosts = albert_flags.joined_devices(argv, batches)
    if FLAGS.find_batch_size:
        return find_batch_size(options, devices)
    code = train(options, devices, albert_flags.flags_text(), hosts)
    if FLAGS.do_eval and code == 0:
        if not FLAGS.eval_file:
            logging.warning("Evaluating on the training files; pass held-out ones by --eval_file")
        validation = options_of(ValidationOptions, albert_flags.flag_values())
        validate(validation, devices, None, hosts)
    return code


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    if help_printed(argv, __doc__):
        return 0
    with left_at_once(), exit_on_usage_error():
        albert_flags.parse_command_line(argv)
        _check_what_follows()
        code = 0
        if FLAGS.do_train or FLAGS.find_batch_size:
            code = _train(argv)
        else:
            validate_as_told(argv)
        if FLAGS.export_dir and code == 0:
            _export()
        return code


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    sys.exit(main(argv))
