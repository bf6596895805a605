"""The command that trains a pre-trained encoder for a task: to label texts or words, ..."""

import functools
from typing import List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.help import group
from albert.tasks.task import KINDS

USAGE = """Fine-tunes a pre-trained model on labelled texts or tagged words.

  python -m albert finetune --task=classification --init_checkpoint=pretraining_output \\
    --train_file=train.tsv --eval_file=valid.tsv --test_file=test.tsv --output_dir=emotion

  classification   .tsv, .csv or .jsonl: columns text and label, or those you name; without a
                   header by number: --text_column=1 --label_column=2; with a column text_b the
                   label is of the pair of both texts
  multi-label      the same, with several labels a row, or none: a list in JSON, "happy,calm" in a
                   table (--label_separator=,)
  regression       the same, with a number for a label
  tagging          CoNLL-U (tags in UPOS); columns with the word first and its tag last; or .jsonl
                   with lists of words and tags
  entities         the same, tags in BIO (IOB2) or BIOES; scored by entity
  question-answering  SQuAD 1.1 or 2.0 (.json), or a question a line (.jsonl)

The folder then holds the best epoch's weights, report.json and confusion_matrix.png, and is what
`python -m albert predict` and `export` take. Without --init_checkpoint the model starts from
nothing: pass --albert_config_file and --spm_model_file.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    from albert.model.precision import POLICIES
    from albert.system.devices import XLA_MODES
    from albert.tasks.finetuning.finetune import CLASS_WEIGHTS, FIELDS

    option, d = functools.partial(command_line.define_option, FIELDS), flags
    group("The task")
    d.DEFINE_enum("task", None, KINDS, "What is learned.")
    d.DEFINE_string("train_file", None, "Labelled examples to train on.")
    d.DEFINE_string("eval_file", None, "To choose the epoch; default: a tenth of the others.")
    d.DEFINE_string("test_file", None, "For the report; default: the evaluation examples.")
    d.DEFINE_string("text_column", None, "Name or number of the texts' column; default: text.")
    d.DEFINE_string("label_column", None, "That of the labels; default: label.")
    d.DEFINE_string("text_b_column", None, "That of second texts; default: text_b, if any.")
    d.DEFINE_string("label_separator", ",", "Between several labels in a table.")
    d.DEFINE_string("tag_column", None, "upos, xpos, last or a number; default: upos or last.")
    group("The model")
    d.DEFINE_string("init_checkpoint", None, "A run's folder, or a checkpoint in one.")
    command_line.define_alias("model_path", "init_checkpoint")
    d.DEFINE_string("albert_config_file", None, "Default: that of the run.")
    d.DEFINE_string("spm_model_file", None, "Default: that of the run's records.")
    command_line.define_alias("tokenizer_dir", "spm_model_file")
    d.DEFINE_bool("do_lower_case", None, "Default: as in the run's records, else False.")
    d.DEFINE_bool("keep_accents", None, "Default: as in the run's records, else True.")
    group("The training")
    d.DEFINE_string("output_dir", None, "Where to write; a new folder, or one to go on in.")
    command_line.define_alias("out_dir", "output_dir")
    d.DEFINE_integer("max_seq_length", 128, "Most pieces of a text.", lower_bound=8)
    option("train_batch_size", "Global batch: all towers together.")
    option("num_train_epochs", "Epochs at most.")
    option("patience", "Epochs without a better score before the end.")
    option("learning_rate", "Peak rate of AdamW; default: by the model's size.")
    option("warmup_proportion", "Share of the updates in which the rate rises.")
    option("dropout", "Of hidden states, attention and the head.")
    option("weight_decay", "Decoupled decay of kernels.")
    option("class_weights", "How much rare labels weigh.", CLASS_WEIGHTS)
    d.DEFINE_integer("trials", 1, "Settings to try: the given one, then random ones.", 1)
    option("random_seed", "Of new weights, order and dropout.")
    option("max_rollbacks", "Returns to the last epoch or the start, at half the rate.")
    group("Devices and memory")
    d.DEFINE_bool("use_gpu", None, "GPUs or the CPU; default: GPUs where there are any.")
    d.DEFINE_integer("num_gpu_cores", 0, "Towers; 0: all GPUs, or one for each core of the CPU.")
    option("precision", "In which type towers compute.", sorted(POLICIES))
    option("xla", "Whether XLA compiles the towers.", XLA_MODES)
    option("gradient_accumulation_steps", "Micro-batches of a tower's share.")
    option("recompute", "Compute activations twice to save their memory.")
    option("memory_limit_gb", "GB a device's towers may take; default: what is free.")
    option("tqdm_off", "No progress bars.")


def main(positional: List[str]) -> int:
    """Fine-tunes as the flags say."""
    from albert.system.options import flag_lines, options_of
    from albert.tasks.finetuning.finetune import finetune_options
    from albert.tasks.finetuning.training import (
        BeginningOptions,
        Devices,
        TaskOptions,
        run_finetuning,
    )
    from albert.training.loop.signals import Interrupted

    f = flags.FLAGS
    if positional or not (f.task and f.train_file and f.output_dir):
        raise UsageError(
            "Pass what to learn and where to write: python -m albert finetune "
            "--task=classification --init_checkpoint=pretraining_output --train_file=train.tsv "
            "--output_dir=emotion"
        )
    values = {name: f[name].value for name in command_line.own_flags(__name__)}
    try:
        run_finetuning(
            options_of(TaskOptions, values),
            options_of(BeginningOptions, values),
            finetune_options(values),
            f.output_dir,
            f.trials,
            Devices(f.use_gpu, f.num_gpu_cores),
            flag_lines(values),
        )
    except Interrupted as stopped:
        return stopped.exit_code
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
