"""The command that runs a model on text: JSON lines out."""

import json
import os
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from absl import flags

from albert.commands.export import CHECKPOINT_FLAGS, checkpoint_flags, define_checkpoint_flags
from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.help import group
from albert.tasks import POOLINGS

TASKS = ("fill-mask", "sentence-order", "embed", "classification", "tagging", "entities")
USAGE = """Runs a model on text, a line each from --input_file, the arguments or stdin.

  python -m albert predict --task=fill-mask --output_dir=pretraining_output "Saya makan [MASK] ."
  python -m albert predict --task=classification --output_dir=emotion --input_file=texts.txt

  fill-mask        the likeliest pieces at each [MASK]
  sentence-order   two texts with a tab between them: whether they stand in order
  embed            a vector for each text
  classification   of a folder that finetune wrote: the label of each text
  tagging          likewise: the tag of each word
  entities         likewise: the entities of each text, and where they stand

Each line of text gives one JSON object on stdout, in order.
"""
_FLAGS_OF_RUNS = CHECKPOINT_FLAGS + ("max_seq_length", "top_k", "pooling")
_CHUNK = 1024  # lines read before the first is answered


def define_flags() -> None:
    """Defines the flags of the command."""
    group("What is computed")
    flags.DEFINE_enum("task", None, TASKS, "What to predict; default: what the folder is for.")
    flags.DEFINE_string("input_file", None, "Text, a line each; default: arguments or stdin.")
    flags.DEFINE_integer("top_k", 5, "fill-mask: pieces to name.", lower_bound=1)
    flags.DEFINE_enum("pooling", "mean", POOLINGS, "embed: mean of tokens, or pooler.")
    flags.DEFINE_integer("max_seq_length", 512, "Most pieces of a text.", lower_bound=8)
    flags.DEFINE_integer("batch_size", 32, "Texts computed together.", lower_bound=1)
    flags.DEFINE_bool("use_gpu", None, "A GPU or the CPU; default: a GPU where there is one.")
    define_checkpoint_flags()


def main(positional: List[str]) -> int:
    """Predicts as the flags say."""
    f = flags.FLAGS
    if not (f.output_dir or f.checkpoint):
        raise UsageError(
            "Pass the model: python -m albert predict --task=fill-mask "
            '--output_dir=pretraining_output "Saya makan [MASK] ."'
        )
    lines = _lines(positional)
    flags.FLAGS["output_dir"].value = _ours(f.output_dir)
    predict = _predictor()
    for chunk in _chunks(lines):
        for answer in predict(chunk):
            print(json.dumps(answer, ensure_ascii=False), flush=False)
        sys.stdout.flush()
    return 0


def _predictor() -> Callable[[List[str]], List[Dict[str, Any]]]:
    from albert.tasks.inference.load import load

    f = flags.FLAGS
    task = _task()
    length = f.max_seq_length if flags.FLAGS["max_seq_length"].present else None
    model: Any = load(
        f.output_dir or None,
        max_seq_length=length,
        batch_size=f.batch_size,
        use_gpu=f.use_gpu,
        **checkpoint_flags(),
    )
    if task == "fill-mask":
        return lambda chunk: model.fill_mask(chunk, f.top_k)
    if task == "sentence-order":
        return lambda chunk: model.sentence_order([_pair(line) for line in chunk])
    if task == "embed":
        return lambda chunk: model.embed(chunk, f.pooling)
    return model.predict


def _ours(folder: Optional[str]) -> Optional[str]:
    from albert.formats.importing import ours

    return ours(folder) if folder else None


def _task() -> str:
    """What to predict: --task, or what a fine-tuned model is for."""
    from albert.tasks.folder import refuse_options_of_runs, task_of
    from albert.tasks.task import KINDS, read_task

    f = flags.FLAGS
    if f.task in KINDS and not f.output_dir:
        raise UsageError("Pass the folder that finetune wrote: --output_dir=emotion.")
    fine_tuned = f.task in KINDS or (f.output_dir and read_task(f.output_dir))
    if not fine_tuned:
        if not f.task:
            raise UsageError("Pass --task, one of: {}.".format(", ".join(TASKS[:3])))
        return f.task
    kind = task_of(f.output_dir).kind
    given = {n: f[n].value for n in _FLAGS_OF_RUNS if flags.FLAGS[n].present}
    refuse_options_of_runs(f.output_dir, **given)
    if f.task not in (None, kind):
        raise UsageError(
            "{} is a model for {}; it cannot do --task={}.".format(f.output_dir, kind, f.task)
        )
    return kind


def _pair(line: str) -> Tuple[str, str]:
    parts = line.split("\t")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise UsageError(
            "Sentence order needs two texts with a tab between them. Received {!r}.".format(
                line[:80]
            )
        )
    return parts[0], parts[1]


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
