"""The command that runs a model on text: JSON lines out."""

import json
import os
import sys
from typing import Iterator, List, Sequence, Union

from absl import flags

from albert.commands.export import define_checkpoint_flags, refuse_flags_of_runs, tokenization_of
from albert.system import command_line
from albert.system.errors import UsageError

TASKS = ("fill-mask", "sentence-order", "embed", "classification", "tagging")
USAGE = """Runs a model on text, a line each from --input_file, the arguments or stdin.

  python -m albert predict --task=fill-mask --output_dir=pretraining_output "Saya makan [MASK] ."
  python -m albert predict --task=classification --output_dir=emotion --input_file=texts.txt

  fill-mask        the likeliest pieces at each [MASK]
  sentence-order   two texts with a tab between them: whether they stand in order
  embed            a vector for each text
  classification   of a folder that finetune wrote: the label of each text
  tagging          likewise: the tag of each word

Each line of text gives one JSON object on stdout, in order.
"""
_CHUNK = 1024  # lines read before the first is answered


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_enum("task", None, TASKS, "What to predict; default: what the folder is for.")
    define_checkpoint_flags()
    flags.DEFINE_string("input_file", None, "Text, a line each; default: arguments or stdin.")
    flags.DEFINE_integer("top_k", 5, "fill-mask: pieces to name.", lower_bound=1)
    flags.DEFINE_enum("pooling", "mean", ("mean", "pooled"), "embed: mean of tokens, or pooler.")
    flags.DEFINE_integer("max_seq_length", 512, "Most pieces of a text.", lower_bound=8)
    flags.DEFINE_integer("batch_size", 32, "Texts computed together.", lower_bound=1)
    flags.DEFINE_bool("use_gpu", None, "A GPU or the CPU; default: a GPU where there is one.")


def main(positional: List[str]) -> int:
    """Predicts as the flags say."""
    from albert.system.devices import choose_device

    f = flags.FLAGS
    if not (f.output_dir or f.checkpoint):
        raise UsageError(
            "Pass the model: python -m albert predict --task=fill-mask "
            '--output_dir=pretraining_output "Saya makan [MASK] ."'
        )
    lines = _lines(positional)
    predict = _predictor(choose_device(f.use_gpu))
    for chunk in _chunks(lines):
        for answer in predict(chunk):
            print(json.dumps(answer, ensure_ascii=False), flush=False)
        sys.stdout.flush()
    return 0


def _predictor(device: str):
    from albert.checkpoints.folder import open_checkpoint
    from albert.tasks.folder import open_fine_tuned
    from albert.tasks.predict import PretrainedModel, TaskModel
    from albert.tasks.task import KINDS, read_task

    f = flags.FLAGS
    task = read_task(f.output_dir) if f.output_dir else None
    if task or f.task in KINDS:
        if not f.output_dir:
            raise UsageError("Pass the folder that finetune wrote: --output_dir=emotion.")
        model = open_fine_tuned(f.output_dir)
        refuse_flags_of_runs(f.output_dir, "max_seq_length", "top_k", "pooling")
        if f.task not in (None, model.task.kind):
            raise UsageError(
                "{} is a model for {}; it cannot do --task={}.".format(
                    f.output_dir, model.task.kind, f.task
                )
            )
        return TaskModel(model, device, f.batch_size).predict
    if not f.task:
        raise UsageError("Pass --task, one of: {}.".format(", ".join(TASKS[:3])))
    found = open_checkpoint(f.output_dir, f.checkpoint, f.albert_config_file)
    run = f.output_dir or os.path.dirname(found.prefix)
    length = min(f.max_seq_length, found.config.max_position_embeddings)
    model = PretrainedModel(
        found.config, found.weights, tokenization_of(run), device, f.batch_size, length
    )
    return {
        "fill-mask": lambda chunk: model.fill_mask(chunk, f.top_k),
        "sentence-order": model.sentence_order,
        "embed": lambda chunk: model.embed(chunk, f.pooling),
    }[f.task]


def _lines(positional: Sequence[str]) -> Iterator[str]:
    f = flags.FLAGS
    if positional and f.input_file:
        raise UsageError("Pass texts as arguments or --input_file, not both.")
    if positional:
        return iter(positional)
    if not f.input_file:
        return _utf8_lines(sys.stdin.fileno(), "The text on stdin")
    if not os.path.isfile(f.input_file):
        raise UsageError("--input_file={} does not exist.".format(f.input_file))
    return _utf8_lines(f.input_file, f.input_file)


def _utf8_lines(file: Union[str, int], name: str) -> Iterator[str]:
    with open(file, encoding="utf-8") as handle:
        try:
            for line in handle:
                yield line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise UsageError("{} is not UTF-8: {}.".format(name, error)) from error


def _chunks(lines: Iterator[str]) -> Iterator[List[str]]:
    chunk: List[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
