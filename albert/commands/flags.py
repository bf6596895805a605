"""The flags of the training and validation commands, under the field's names."""

import dataclasses
from typing import List, Sequence

from absl import flags, logging

from albert.data.manifest import read_manifest
from albert.data.packing import PADDINGS
from albert.data.records import record_files
from albert.model.config import ModelConfig
from albert.model.precision import POLICIES
from albert.optim.optimizers import OPTIMIZERS, TRUST_RATIOS
from albert.system.command_line import describe, parse
from albert.system.devices import XLA_MODES
from albert.system.errors import UsageError
from albert.training.step import REDUCTIONS

FLAGS = flags.FLAGS

# Flags of the originals for TPUs and their estimator; accepted so that old commands run.
_INERT = (
    "use_tpu",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
    "master",
    "num_tpu_cores",
    "iterations_per_loop",
    "masked_lm_budget",
)
_NOT_HERE = ("masked_lm_prob",)  # chosen when records are built

# Numbers that are divided by, counted with or asked for one at a time.
_ABOVE_0 = (
    "clip_norm",
    "eval_batch_size",
    "eval_steps",
    "gradient_accumulation_steps",
    "log_steps",
    "max_eval_steps",
    "max_predictions_per_seq",
    "max_seq_length",
    "memory_limit_gb",
    "num_train_steps",
    "save_checkpoints_steps",
    "train_batch_size",
)
_NOT_BELOW_0 = (
    "adam_epsilon",
    "keep_checkpoint_max",
    "max_rollbacks",
    "random_seed",
    "start_warmup_step",
    "stop_on_plateau",
    "weight_decay",
)
_MOMENT_DECAYS = ("adam_beta1", "adam_beta2")


class _RateParser(flags.FloatParser):
    """A number, or "auto"."""

    def convert(self, argument):
        """Returns the number, or the word."""
        return argument if argument == "auto" else super().convert(argument)


# The model.
flags.DEFINE_string("albert_config_file", None, "Model config, JSON; also by bare name.")
flags.DEFINE_alias("bert_config_file", "albert_config_file")
flags.DEFINE_string("model", None, "Preset of albert_config/; its vocab_size is the records'.")
flags.DEFINE_string("init_checkpoint", None, "Start from the weights of this checkpoint.")
flags.DEFINE_bool("init_from_group0", False, "Copy group 0 of the checkpoint to new groups.")

# The records.
flags.DEFINE_string("input_file", None, "Record files: comma list and globs, plain or GZIP.")
flags.DEFINE_string("eval_file", None, "Held-out record files.")
flags.DEFINE_integer("max_seq_length", None, "Length of the records; default: as they are.")
flags.DEFINE_integer(
    "max_predictions_per_seq", None, "Predictions of the records; default: as they are."
)
flags.DEFINE_float("small", 1.0, "Share of the records to train on, for a quick look.")

# The run.
flags.DEFINE_string("output_dir", None, "Run directory; default runs/pretrain-DATE_TIME.")
flags.DEFINE_bool("do_train", True, "Train.")
flags.DEFINE_bool("do_eval", False, "Evaluate at the end.")
flags.DEFINE_integer("train_batch_size", 32, "Global batch: all towers together.")
flags.DEFINE_integer("eval_batch_size", None, "Global batch of evaluation; default: 8 a tower.")
flags.DEFINE_integer("num_train_steps", 100000, "Updates in the whole run.")
flags.DEFINE_integer("save_checkpoints_steps", 1000, "Updates between checkpoints.")
flags.DEFINE_integer("keep_checkpoint_max", 5, "Rolling checkpoints kept; 0 keeps all.")
flags.DEFINE_integer("eval_steps", 1000, "Updates between evaluations of --eval_file.")
flags.DEFINE_integer("max_eval_steps", None, "Batches an evaluation reads at most.")
flags.DEFINE_integer("log_steps", 100, "Updates between log lines.")
flags.DEFINE_bool("use_gpu", None, "GPUs or the CPU; default: GPUs where there are any.")
flags.DEFINE_integer("num_gpu_cores", 0, "Towers; 0: all GPUs, or one for each core of the CPU.")
flags.DEFINE_enum("precision", "float32", sorted(POLICIES), "In which type towers compute.")
flags.DEFINE_enum("xla", "auto", XLA_MODES, "Whether XLA compiles the towers.")
flags.DEFINE_enum("padding", "auto", PADDINGS, "What to do about padding: nothing, cut, or pack.")
flags.DEFINE_integer("gradient_accumulation_steps", 1, "Micro-batches of a tower's share.")
flags.DEFINE_bool("recompute", False, "Compute activations twice to save their memory.")
flags.DEFINE_float("memory_limit_gb", None, "GB a device's towers may take; default: what is free.")
flags.DEFINE_bool("find_batch_size", False, "Try micro-batches, print the largest that fits, end.")
flags.DEFINE_enum("reduction", "tree", REDUCTIONS, "How gradients of towers are added.")
flags.DEFINE_integer("random_seed", 12345, "Of weights, data order and dropout.")
flags.DEFINE_float("stop_on_plateau", 0.0, "Minutes after which a run that learns nothing ends.")
flags.DEFINE_integer(
    "max_rollbacks", 2, "Returns to the last checkpoint or the start, at half the rate."
)
flags.DEFINE_bool("no_save", False, "Write nothing at all.")
flags.DEFINE_string("export_dir", None, "Write a SavedModel here after the training.")
flags.DEFINE_bool("tqdm_off", False, "No progress bars.")
flags.DEFINE_string("checkpoint", None, "Validation: a checkpoint; default: the latest.")

# The optimizer.
flags.DEFINE_enum("optimizer", "lamb", sorted(OPTIMIZERS), "Optimizer.")
flags.DEFINE(
    _RateParser(),
    "learning_rate",
    "auto",
    "Peak rate; auto: from optimizer, model, batch size and number of updates.",
    serializer=flags.ArgumentSerializer(),
)
flags.DEFINE_float("poly_power", 1.0, "Power of the polynomial decay.")
flags.DEFINE_integer("num_warmup_steps", None, "Updates of warm-up; default: a tenth of all.")
flags.DEFINE_integer("start_warmup_step", 0, "Update at which warm-up begins.")
flags.DEFINE_float("weight_decay", 0.01, "Decoupled weight decay.")
flags.DEFINE_float("adam_beta1", 0.9, "Decay of the first moment.")
flags.DEFINE_float("adam_beta2", 0.999, "Decay of the second moment.")
flags.DEFINE_float("adam_epsilon", 1e-6, "Added to the root of the second moment.")
flags.DEFINE_float("clip_norm", 1.0, "Largest global norm of the gradient.")
flags.DEFINE_bool("bias_correction", False, "Adam's correction of young moments.")
flags.DEFINE_list(
    "exclude_from_weight_decay", ["LayerNorm", "bias"], "Patterns of parameters without decay."
)
flags.DEFINE_enum(
    "trust_ratio",
    None,
    TRUST_RATIOS,
    "LAMB: which parameters are rescaled; default: as the layout's original.",
)

for _name in _INERT:
    flags.DEFINE_string(_name, None, "Accepted for old commands; does nothing here.")
flags.DEFINE_string("masked_lm_prob", None, "Accepted for old commands: records carry masks.")

for _name in _ABOVE_0:
    flags.register_validator(_name, lambda value: value is None or value > 0, "must be above 0")
for _name in _NOT_BELOW_0:
    flags.register_validator(_name, lambda value: value >= 0, "must not be negative")
for _name in _MOMENT_DECAYS:
    flags.register_validator(_name, lambda value: 0 <= value < 1, "must be in 0 <= decay < 1")
flags.register_validator("small", lambda value: 0 < value <= 1, "must be in 0 < share <= 1")


def own_flags() -> List[str]:
    """Names of the flags defined here, without absl's own."""
    names = set()
    for module, found in FLAGS.flags_by_module_dict().items():
        if module == __name__:
            names.update(flag.name for flag in found)
    return sorted(names - {"bert_config_file"})


def flags_text() -> str:
    """Every flag of this run as a flagfile."""
    return describe([name for name in own_flags() if name not in _INERT + _NOT_HERE])


def parse_command_line(argv: Sequence[str]) -> None:
    """Parses a command of training or validation, with a warning for what has no meaning here.

    Raises:
      UsageError: A flag has a value that cannot be read, or a word is no flag.
    """
    words = parse(argv)
    if words:
        raise UsageError(
            "{!r} is no flag and would do nothing. Write --name=value; a switch, too, takes its "
            "value only after a sign of equality: --use_gpu=False.".format(words[0])
        )
    _warn_about_inert_flags()


def _warn_about_inert_flags() -> None:
    given = [name for name in _INERT if FLAGS[name].present]
    if given:
        logging.warning("These flags do nothing on GPUs and CPUs: --%s", ", --".join(given))
    if FLAGS["masked_lm_prob"].present:
        logging.info("--masked_lm_prob is a choice of the records; training uses their masks")


def model_config() -> ModelConfig:
    """The config named by --albert_config_file or --model.

    Raises:
      UsageError: Neither or both were given, or the config is refused.
    """
    if bool(FLAGS.albert_config_file) == bool(FLAGS.model):
        raise UsageError(
            "Pass one of --albert_config_file=albert_config/base.json and --model=base. Received "
            "{}.".format("both" if FLAGS.model else "neither")
        )
    if FLAGS.albert_config_file:
        return ModelConfig.from_json_file(FLAGS.albert_config_file)
    return _with_vocabulary_of_records(ModelConfig.from_json_file(FLAGS.model))


def _with_vocabulary_of_records(preset: ModelConfig) -> ModelConfig:
    """A preset is sizes; how many pieces there are is a fact about the records."""
    flag = "input_file" if FLAGS.input_file else "eval_file"
    records = FLAGS[flag].value
    manifest = read_manifest(record_files(records, flag)[0]) if records else None
    size = manifest.vocab_size if manifest else preset.vocab_size
    if size != preset.vocab_size:
        logging.info("vocab_size = %d as in the records, instead of the preset's", size)
    return dataclasses.replace(preset, vocab_size=size)
