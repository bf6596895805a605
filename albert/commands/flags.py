"""The flags of the training and validation commands, under the field's names."""

import functools
from typing import Any, Dict, List, Optional, Sequence, Tuple

from absl import flags, logging

from albert.data.packing import PADDINGS
from albert.hosts.cluster import HostOptions
from albert.hosts.group import Hosts
from albert.model.config import ModelConfig
from albert.model.precision import POLICIES
from albert.optim.optimizers import OPTIMIZERS, TRUST_RATIOS
from albert.optim.schedules import SCHEDULES
from albert.system.command_line import define_alias, define_option, define_verbose, own_flags, parse
from albert.system.devices import XLA_MODES, choose_devices
from albert.system.errors import UsageError, quoted
from albert.system.help import NOTHING, group
from albert.system.options import flag_lines
from albert.training.options import FIELDS
from albert.training.setup import preset
from albert.training.step.step import REDUCTIONS

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
# Not of the run: what records have chosen, what the screen shows, who computes.
_UNKEPT = _INERT + ("masked_lm_prob", "verbose", "hosts", "host_index", "host_timeout")


class _RateParser(flags.FloatParser):
    """A number, or "auto"."""

    def convert(self, argument: Any) -> Any:
        """Returns the number, or the word."""
        return argument if argument == "auto" else super().convert(argument)


_option = functools.partial(define_option, FIELDS)

group("The model")
flags.DEFINE_string("model", None, "Preset of albert_config/; its vocab_size is the records'.")
flags.DEFINE_string("albert_config_file", None, "Model config, JSON; also by bare name.")
define_alias("bert_config_file", "albert_config_file")
_option("init_checkpoint", "Start from the weights of this checkpoint, or of what `import` reads.")
define_alias("model_path", "init_checkpoint")
_option("init_from_group0", "Copy group 0 of the checkpoint to new groups.")

group("The records")
_option(
    "input_file",
    "Record files: comma list and globs, plain or GZIP; each may end in =WEIGHT, its share of the "
    "examples.",
)
_option("eval_file", "Held-out record files.")
_option("spm_model_file", "The records' tokenizer or its folder; default: as their manifest says.")
define_alias("tokenizer_dir", "spm_model_file")
_option("max_seq_length", "Length of the records; default: as they are.")
_option("max_predictions_per_seq", "Predictions of the records; default: as they are.")
_option("mask_schedule", "Shares hidden at the first and last update, like 0.3:0.15.")
_option("first_steps", "Updates at first that read --first_input_file, or smaller batches.")
_option("first_input_file", "Records of the first updates, shorter ones for instance.")
_option("first_train_batch_size", "Global batch of the first updates.")
_option("skip_corrupt", "Damaged records that the training may go on without.")
_option("small", "Share of the records to train on, for a quick look; alone 0.1.")
_option("padding", "What to do about padding: nothing, cut, or pack.", PADDINGS)
_option("input_workers", "Processes that make batches; default: one for each GPU; 0: a thread.")

group("The run")
_option("output_dir", "Run directory; default of a training: runs/pretrain-DATE_TIME.")
define_alias("out_dir", "output_dir")
_option("train_batch_size", "Global batch: all towers together.")
_option("num_train_steps", "Updates in the whole run.")
_option("log_steps", "Updates between log lines.")
_option("save_checkpoints_steps", "Updates between checkpoints.")
_option("keep_checkpoint_max", "Rolling checkpoints kept; 0 keeps all.")
_option("random_seed", "Of weights, data order and dropout.")
_option("stop_on_plateau", "Minutes after which a run that learns nothing ends.")
_option("patience", "Evaluations without a better loss after which the run ends; 0: never.")
_option("max_rollbacks", "Returns to the last checkpoint or the start, at half the rate.")
flags.DEFINE_bool("do_train", True, "Train.")
flags.DEFINE_bool("do_eval", False, "Evaluate at the end.")
flags.DEFINE_string("export_dir", None, "Write a SavedModel here after the training.")
flags.DEFINE_bool("no_save", False, "Write nothing at all.")
_option("tracker", "Who gets the metrics, with commas: tensorboard, wandb, mlflow.")
_option("tensorboard_dir", "Where TensorBoard's events go; default: a folder in the run's.")
_option("tqdm_off", "No progress bars.")

group("Evaluation")
flags.DEFINE_string(
    "checkpoint",
    None,
    "Validation: a checkpoint, several with commas, or all; default: the latest.",
)
_option("eval_batch_size", "Global batch of evaluation; default: 8 a tower.")
_option("eval_steps", "Updates between evaluations of --eval_file.")
_option("max_eval_steps", "Batches an evaluation reads at most.")

group("The optimizer")
_option("optimizer", "Optimizer.", sorted(OPTIMIZERS))
flags.DEFINE(
    _RateParser(),
    "learning_rate",
    FIELDS["learning_rate"].default,
    "Peak rate; auto: from optimizer, model, batch size and number of updates.",
    serializer=flags.ArgumentSerializer(),
)
_option("schedule", "What the rate does after warm-up.", SCHEDULES)
_option("num_warmup_steps", "Updates of warm-up; default: a tenth of all.")
_option("start_warmup_step", "Update at which warm-up begins.")
_option("num_decay_steps", "Updates of wsd's decay at the end; default: a fifth of all.")
_option("poly_power", "Power of the linear schedule's decay.")
_option("weight_decay", "Decoupled weight decay.")
flags.DEFINE_list(
    "exclude_from_weight_decay",
    list(FIELDS["exclude_from_weight_decay"].default),
    "Patterns of parameters without decay.",
)
_option("clip_norm", "Largest global norm of the gradient.")
_option("adam_beta1", "Decay of the first moment.")
_option("adam_beta2", "Decay of the second moment.")
_option("adam_epsilon", "Added to the root of the second moment.")
_option("bias_correction", "Adam's correction of young moments.")
flags.DEFINE_enum(
    "trust_ratio",
    None,
    TRUST_RATIOS,
    "LAMB: which parameters are rescaled; default: as the layout's original.",
)
_option("muon_kernels", "Muon: pattern of the kernels it trains; AdamW trains the rest.")
_option("muon_momentum", "Muon: decay of the mean of gradients.")
_option("ema", "Decay of a mean of weights for evaluation and export, like 0.999; 0: none.")
_option("z_loss", "Weight of the squared logarithm of softmax's sum, like 1e-4.")

group("Devices and memory")
flags.DEFINE_bool("use_gpu", None, "GPUs or the CPU; default: GPUs where there are any.")
flags.DEFINE_integer("num_gpu_cores", 0, "Towers; 0: all GPUs, or one for each core of the CPU.")
_option("precision", "In which type towers compute.", sorted(POLICIES))
_option("xla", "Whether XLA compiles the towers.", XLA_MODES)
_option("gradient_accumulation_steps", "Micro-batches of a tower's share.")
_option("recompute", "Compute activations twice to save their memory.")
_option("memory_limit_gb", "GB a device's towers may take; default: what is free.")
flags.DEFINE_bool("find_batch_size", False, "Try micro-batches, print the largest that fits, end.")
_option("reduction", "How gradients of towers are added; auto: NCCL for several GPUs.", REDUCTIONS)
_option("deterministic", "Choose GPU operations that give the same bits every time; slower.")

group("Several hosts")
flags.DEFINE_list("hosts", None, "Train on several: a:2222,b:2222; default: TF_CONFIG or Slurm's.")
flags.DEFINE_integer("host_index", None, "Which of --hosts this one is, from 0.")
flags.DEFINE_float(
    "host_timeout", HostOptions().host_timeout, "Seconds until a host counts as lost."
)

group("Taken from old commands, without effect")
for _name in _INERT:
    flags.DEFINE_string(_name, None, NOTHING)
flags.DEFINE_string("masked_lm_prob", None, NOTHING)
define_verbose()


def flags_text() -> str:
    """Every flag of this run as a flagfile."""
    return flag_lines({name: value for name, value in flag_values().items() if name not in _UNKEPT})


def flag_values() -> Dict[str, Any]:
    """The values of all flags defined here, by name."""
    return {name: FLAGS[name].value for name in own_flags(__name__)}


def parse_command_line(argv: Sequence[str]) -> None:
    """Parses a command of training or validation, with a warning for what has no meaning here.

    Raises:
      UsageError: A flag has a value that cannot be read, or a word is no flag.
    """
    words = parse(argv)
    if words:
        raise UsageError(
            "{} is no flag and would do nothing. Write --name=value; a switch, too, takes its "
            "value only after a sign of equality: --use_gpu=False.".format(quoted(words[0]))
        )
    _warn_about_inert_flags()


def _warn_about_inert_flags() -> None:
    given = [name for name in _INERT if FLAGS[name].present]
    if given:
        logging.warning("These flags do nothing on GPUs and CPUs: --%s", ", --".join(given))
    if FLAGS["masked_lm_prob"].present:
        logging.info("--masked_lm_prob is a choice of the records; training uses their masks")


def joined_devices(argv: Sequence[str], batch_sizes: Sequence[int]) -> Tuple[List[str], Hosts]:
    """The devices of this host, one for each tower, and the hosts that it has joined.

    Args:
      argv: The command line.
      batch_sizes: Of the batches that hosts and towers will divide.

    Raises:
      UsageError: There are not as many devices, or the hosts cannot be joined as asked.
      HostLost: Another host has not come.
    """
    options = HostOptions(FLAGS.hosts, FLAGS.host_index, FLAGS.host_timeout)
    hosts = Hosts(options.cluster())
    shares = [size // hosts.count for size in batch_sizes]
    join = functools.partial(hosts.join, options.host_timeout) if hosts.count > 1 else None
    devices = choose_devices(FLAGS.use_gpu, FLAGS.num_gpu_cores, argv, shares, FLAGS.xla, join)
    hosts.use(devices[0])
    return devices, hosts


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
    return preset(FLAGS.model, FLAGS.input_file or FLAGS.eval_file)


def model_config_if_named() -> Optional[ModelConfig]:
    """As `model_config`; None where neither flag is given and the run must say."""
    return model_config() if FLAGS.albert_config_file or FLAGS.model else None
