r"""Pre-trains ALBERT on one or more towers.

python3 multigpu_pretraining.py --input_file=train.tfrecord --eval_file=valid.tfrecord \
  --output_dir=pretraining_output --model=base --train_batch_size=120 --num_train_steps=1000000
"""

import datetime
import os
import sys
from typing import Sequence

from absl import logging

from albert.checkpoints.folder import open_checkpoint
from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.restore import without_absent_final_norm
from albert.commands import flags as albert_flags
from albert.formats.saved_model import write_pretraining_model
from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig
from albert.optim.rates import rate_warning, suggested_rate
from albert.system.command_line import help_printed
from albert.system.devices import choose_devices, choose_xla
from albert.system.errors import UsageError, exit_on_usage_error
from albert.system.files import atomic_directory, check_holds_nothing
from albert.training.evaluation import validate
from albert.training.loop import train
from albert.training.memory.find_batch_size import find_batch_size
from albert.training.options import TrainingOptions
from albert.training.step import StepOptions

FLAGS = albert_flags.FLAGS
_DEFAULT_WARMUP_SHARE = 0.1


def _learning_rate(model: ModelConfig) -> float:
    suggested = suggested_rate(
        FLAGS.optimizer, model, FLAGS.train_batch_size, FLAGS.num_train_steps
    )
    if FLAGS.learning_rate == "auto":
        logging.info("Learning rate %.3g (--learning_rate=auto)", suggested)
        return suggested
    warning = rate_warning(FLAGS.learning_rate, suggested)
    if warning:
        logging.warning(warning)
    return FLAGS.learning_rate


def _model() -> ModelConfig:
    model = albert_flags.model_config()
    if not FLAGS.init_checkpoint:
        return model
    # A run that has begun no longer needs what it began from.
    begun = None if FLAGS.no_save or not FLAGS.output_dir else latest_checkpoint(FLAGS.output_dir)
    return without_absent_final_norm(model, begun or FLAGS.init_checkpoint)


def _training_options(devices: Sequence[str]) -> TrainingOptions:
    model = _model()
    default_trust = "all" if model.layout == "brightmart" else "decayed"
    warmup = FLAGS.num_warmup_steps
    computed = {
        "model": model,
        "learning_rate": _learning_rate(model),
        "num_warmup_steps": int(_DEFAULT_WARMUP_SHARE * FLAGS.num_train_steps)
        if warmup is None
        else warmup,
        "eval_batch_size": FLAGS.eval_batch_size or 8 * len(devices),
        "output_dir": None if FLAGS.no_save else FLAGS.output_dir,
        "step": StepOptions(
            precision=FLAGS.precision,
            xla=choose_xla(FLAGS.xla, devices, FLAGS.precision),
            accumulation=FLAGS.gradient_accumulation_steps,
            recompute=FLAGS.recompute,
            reduction=FLAGS.reduction,
        ),
        "optimizer": OptimizerConfig(
            name=FLAGS.optimizer,
            weight_decay=FLAGS.weight_decay,
            b1=FLAGS.adam_beta1,
            b2=FLAGS.adam_beta2,
            epsilon=FLAGS.adam_epsilon,
            clip_norm=FLAGS.clip_norm,
            bias_correction=FLAGS.bias_correction,
            exclude_from_weight_decay=tuple(FLAGS.exclude_from_weight_decay),
            trust_ratio=FLAGS.trust_ratio or default_trust,
        ),
    }
    named = {
        name: FLAGS[name].value
        for name in TrainingOptions.__dataclass_fields__
        if name not in computed
    }
    return TrainingOptions(**dict(named, **computed))


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


def main(argv) -> int:
    """Runs the command; returns its exit code."""
    if help_printed(argv, __doc__):
        return 0
    with exit_on_usage_error():
        albert_flags.parse_command_line(argv)
        _check_what_follows()
        if FLAGS.do_train and not FLAGS.output_dir and not FLAGS.no_save:
            now = datetime.datetime.now()
            FLAGS.output_dir = os.path.join("runs", now.strftime("pretrain-%Y%m%d_%H%M%S"))
        micro_batches = [FLAGS.train_batch_size // FLAGS.gradient_accumulation_steps]
        batches = micro_batches + ([FLAGS.eval_batch_size] if FLAGS.eval_batch_size else [])
        devices = choose_devices(FLAGS.use_gpu, FLAGS.num_gpu_cores, argv, batches, FLAGS.xla)
        options = _training_options(devices)
        if FLAGS.find_batch_size:
            return find_batch_size(options, devices)
        code = train(options, devices, albert_flags.flags_text()) if FLAGS.do_train else 0
        if FLAGS.do_eval and code == 0:
            validate(options.model, devices)
        if FLAGS.export_dir and code == 0:
            _export()
        return code


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    sys.exit(main(argv))
