"""The command that trains a pre-trained encoder to label texts or words."""

import dataclasses
import os
from typing import List, Sequence

from absl import flags

from albert.commands.export import tokenization_of
from albert.system import command_line
from albert.system.errors import UsageError
from albert.tasks.examples import CONLLU_COLUMNS
from albert.tasks.task import KINDS

USAGE = """Fine-tunes a pre-trained model on labelled texts or tagged words.

  python -m albert finetune --task=classification --init_checkpoint=pretraining_output \\
    --train_file=train.tsv --eval_file=valid.tsv --test_file=test.tsv --output_dir=emotion

  classification   .tsv or .csv with a header, or .jsonl: columns text and label
  tagging          CoNLL-U: words in column 2, tags in column 4 (UPOS)

The folder then holds the best epoch's weights, report.json and confusion_matrix.png, and is what
`python -m albert predict` and `export` take. Without --init_checkpoint the model starts from
nothing: pass --albert_config_file and --spm_model_file.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    from albert.model.precision import POLICIES
    from albert.system.devices import XLA_MODES

    d = flags
    d.DEFINE_enum("task", None, KINDS, "What is labelled: texts or words.")
    d.DEFINE_string("train_file", None, "Labelled examples to train on.")
    d.DEFINE_string("eval_file", None, "To choose the epoch; default: a tenth of the others.")
    d.DEFINE_string("test_file", None, "For the report; default: the evaluation examples.")
    d.DEFINE_string("text_column", "text", "Column of the texts.")
    d.DEFINE_string("label_column", "label", "Column of the labels.")
    d.DEFINE_enum("tag_column", "upos", tuple(CONLLU_COLUMNS), "Column of the tags.")
    d.DEFINE_string("init_checkpoint", None, "A run's folder, or a checkpoint in one.")
    d.DEFINE_string("albert_config_file", None, "Default: that of the run.")
    d.DEFINE_string("spm_model_file", None, "Default: that of the run's records.")
    d.DEFINE_bool("do_lower_case", None, "Default: as in the run's records, else False.")
    d.DEFINE_bool("keep_accents", None, "Default: as in the run's records, else True.")
    d.DEFINE_string("output_dir", None, "Where to write; a new or empty folder.")
    d.DEFINE_integer("max_seq_length", 128, "Most pieces of a text.", lower_bound=8)
    d.DEFINE_integer("train_batch_size", 32, "Global batch: all towers together.", lower_bound=1)
    d.DEFINE_integer("num_train_epochs", 5, "Epochs at most.", lower_bound=1)
    d.DEFINE_integer("patience", 2, "Epochs without a better score before the end.", lower_bound=1)
    d.DEFINE_float("learning_rate", None, "Peak rate of AdamW; default: by the model's size.")
    d.DEFINE_float("warmup_proportion", 0.1, "Share of the updates in which the rate rises.")
    d.DEFINE_float("dropout", 0.1, "Of hidden states, attention and the head.", 0.0, 0.9)
    d.DEFINE_float("weight_decay", 0.01, "Decoupled decay of kernels.")
    d.DEFINE_enum("class_weights", "none", ("none", "balanced"), "How much rare labels weigh.")
    d.DEFINE_integer("trials", 1, "Settings to try: the given one, then random ones.", 1)
    d.DEFINE_integer("random_seed", 12345, "Of new weights, order and dropout.", lower_bound=0)
    d.DEFINE_bool("use_gpu", None, "GPUs or the CPU; default: GPUs where there are any.")
    d.DEFINE_integer("num_gpu_cores", 0, "Towers; 0: all GPUs, or one for each core of the CPU.")
    d.DEFINE_enum("precision", "float32", sorted(POLICIES), "In which type towers compute.")
    d.DEFINE_enum("xla", "auto", XLA_MODES, "Whether XLA compiles the towers.")
    d.DEFINE_bool("tqdm_off", False, "No progress bars.")


def main(positional: List[str]) -> int:
    """Fine-tunes as the flags say."""
    from albert.system.devices import choose_devices
    from albert.system.files import ensure_new_directory
    from albert.training.towers import check_batch_size

    f = flags.FLAGS
    if positional or not (f.task and f.train_file and f.output_dir):
        raise UsageError(
            "Pass what to learn and where to write: python -m albert finetune "
            "--task=classification --init_checkpoint=pretraining_output --train_file=train.tsv "
            "--output_dir=emotion"
        )
    devices = choose_devices(
        f.use_gpu, f.num_gpu_cores, ["-m", "albert", "finetune"], [f.train_batch_size], f.xla
    )
    check_batch_size(f.train_batch_size, len(devices), "train_batch_size")
    train, held_out, test = _examples()
    start = _start()
    ensure_new_directory(f.output_dir, "--output_dir")
    _run(start, train, held_out, test, devices)
    return 0


def _examples():
    from albert.tasks.examples import held_out, read_sentences, read_texts

    f = flags.FLAGS

    def read(path: str):
        if f.task == "tagging":
            return read_sentences(path, f.tag_column)
        return read_texts(path, f.text_column, f.label_column)

    train = read(f.train_file)
    if f.eval_file:
        chosen = read(f.eval_file)
    else:
        train, chosen = held_out(train, 0.1, f.random_seed)
    return train, chosen, read(f.test_file) if f.test_file else None


def _start():
    from albert.checkpoints.folder import open_checkpoint
    from albert.model.config import ModelConfig
    from albert.tasks.search import Start

    f = flags.FLAGS
    if f.init_checkpoint:
        folder = f.init_checkpoint if os.path.isdir(f.init_checkpoint) else None
        name = None if folder else f.init_checkpoint
        found = open_checkpoint(folder, name, f.albert_config_file, heads=False)
        run = folder or os.path.dirname(found.prefix)
        return Start(found.config, found.weights, tokenization_of(run))
    if not (f.albert_config_file and f.spm_model_file):
        raise UsageError(
            "Pass --init_checkpoint=pretraining_output; to start from nothing, pass "
            "--albert_config_file and --spm_model_file instead."
        )
    config = ModelConfig.from_json_file(f.albert_config_file)
    return Start(config, {}, tokenization_of(os.path.dirname(f.spm_model_file)))


def _options(devices: Sequence[str]):
    from albert.system.devices import choose_xla
    from albert.tasks.finetune import FinetuneOptions
    from albert.training.step import StepOptions

    f = flags.FLAGS
    computed = {
        "balanced": f.class_weights == "balanced",
        "step": StepOptions(f.precision, choose_xla(f.xla, devices, f.precision)),
    }
    names = [field.name for field in dataclasses.fields(FinetuneOptions)]
    named = {name: f[name].value for name in names if name not in computed}
    return FinetuneOptions(**dict(named, **computed))


def _run(start, train, held_out, test, devices: Sequence[str]) -> None:
    from albert.tasks.examples import labels_of
    from albert.tasks.features import features_of
    from albert.tasks.search import Data, run_trials
    from albert.tasks.task import Task
    from albert.text.encoder import TextEncoder

    f, how = flags.FLAGS, start.tokenization
    length = min(f.max_seq_length, start.config.max_position_embeddings)
    task = Task(f.task, tuple(labels_of(train)), length, *how.text)
    encoder = TextEncoder(how, start.config)
    data = Data(
        *[features_of(task, encoder, part) if part else None for part in (train, held_out, test)]
    )
    run_trials(start, task, data, _options(devices), devices, f.output_dir, f.trials)


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
