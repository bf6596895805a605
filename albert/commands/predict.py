"""The command that runs a model on text: JSON lines out."""

import os
import sys
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple

from absl import flags, logging

from albert.commands.export import CHECKPOINT_FLAGS, checkpoint_flags, define_checkpoint_flags
from albert.system import command_line
from albert.system.errors import UsageError, quoted
from albert.system.files.atomic import ensure_writable_file
from albert.system.help import group
from albert.tasks import POOLINGS
from albert.tasks.inference.lines import Unanswered, answers, lines_of_file, lines_of_pipe
from albert.tasks.inference.output import FORMATS, Output, json_lines, vectors
from albert.tasks.task import KINDS

_PAIRS = (("text", "text_b"), ("question", "context"), ("first", "second"))  # names in JSON
TASKS = ("fill-mask", "sentence-order", "embed") + KINDS
USAGE = """Runs a model on text, a line each from --input_file, the arguments or stdin.

  python -m albert predict --task=fill-mask --output_dir=pretraining_output "Saya makan [MASK] ."
  python -m albert predict --task=classification --output_dir=emotion --input_file=texts.txt

  fill-mask        the likeliest pieces at each [MASK]
  sentence-order   two texts with a tab between them: whether they stand in order
  embed            a vector for each text
  classification   of a folder that finetune wrote: the label of each text; of a pair, a tab between
  multi-label      likewise: all labels of each text, or pair
  regression       likewise: the number of each text, or pair
  question-answering  likewise: the answer to a question on a text, a tab between them; or a line
                   of JSON, {"question": ..., "context": ...}
  tagging          likewise: the tag of each word
  entities         likewise: the entities of each text, and where they stand

Each line gives one JSON object on stdout, in order and as soon as it is known. A line may be a
JSON object itself: {"text": ...}. One that cannot be answered gives {"text": ..., "error": ...},
and the exit code is 1 at the end.
"""
_FLAGS_OF_RUNS = CHECKPOINT_FLAGS + ("max_seq_length", "top_k", "pooling")


def define_flags() -> None:
    """Defines the flags of the command."""
    group("What is computed")
    flags.DEFINE_enum("task", None, TASKS, "What to predict; default: what the folder is for.")
    flags.DEFINE_string("input_file", None, "Text, a line each; default: arguments or stdin.")
    flags.DEFINE_enum("format", "json", FORMATS, "JSON lines, or of embed one array of NumPy.")
    flags.DEFINE_string("output_file", None, "Where answers go, at the end; default: stdout.")
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
    if f.output_file:
        ensure_writable_file(f.output_file, "--output_file")
    predict, output = _predictor()
    predict([])  # tells what is wrong whatever the text
    if not (positional or f.input_file) and sys.stdin.isatty():
        logging.info("Write a text a line; Ctrl-D ends.")
    total = failed = 0
    with output as out:
        for chunk in lines:
            for answer in answers(lambda asked: [out.convert(a) for a in predict(asked)], chunk):
                out.write(answer)
                total += 1
                failed += isinstance(answer, Unanswered)
            out.flush()
    if failed:
        logging.warning("%d of %d lines have no answer but the reason.", failed, total)
    return 1 if failed else 0


def _predictor() -> Tuple[Callable[[List[Any]], List[Dict[str, Any]]], ContextManager[Output]]:
    from albert.tasks.inference.load import load

    f = flags.FLAGS
    task = _task()
    if f.format == "npy" and (task != "embed" or not f.output_file):
        raise UsageError(
            "--format=npy is for vectors: --task=embed --format=npy --output_file=vectors.npy"
        )
    length = f.max_seq_length if flags.FLAGS["max_seq_length"].present else None
    model: Any = load(
        f.output_dir or None,
        max_seq_length=length,
        batch_size=f.batch_size,
        use_gpu=f.use_gpu,
        **checkpoint_flags(),
    )
    output = json_lines(f.output_file)
    if task == "fill-mask":
        return lambda asked: model.fill_mask(asked, f.top_k), output
    if task == "sentence-order":
        return lambda asked: model.sentence_order(map(_pair, asked)), output
    if task == "embed":
        arrays = f.format == "npy"
        if arrays:
            output = vectors(f.output_file, model.config.hidden_size)
        return lambda asked: model.embed(asked, f.pooling, as_arrays=arrays), output
    if model.task.pairs or task == "question-answering":
        return lambda asked: model.predict(map(_pair, asked)), output
    return model.predict, output


def _ours(folder: Optional[str]) -> Optional[str]:
    from albert.formats.importing import ours

    return ours(folder) if folder else None


def _task() -> str:
    """What to predict: --task, or what a fine-tuned model is for."""
    from albert.tasks.folder import refuse_options_of_runs, task_of
    from albert.tasks.task import read_task

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


def _pair(asked: Any) -> Tuple[Any, Any]:
    if isinstance(asked, dict):
        first, second = next((names for names in _PAIRS if names[0] in asked), _PAIRS[0])
        return asked.get(first), asked.get(second)
    parts = asked.split("\t")
    if len(parts) != 2:
        raise UsageError(
            "This needs two texts with a tab between them, or an object with both. Received "
            "{}.".format(quoted(asked))
        )
    return parts[0], parts[1]


def _lines(positional: Sequence[str]) -> Iterator[List[bytes]]:
    f = flags.FLAGS
    if positional and f.input_file:
        raise UsageError("Pass texts as arguments or --input_file, not both.")
    if positional:
        return iter([[os.fsencode(text) for text in positional]])
    if f.input_file:
        return lines_of_file(f.input_file, f.batch_size)
    return lines_of_pipe(sys.stdin.fileno(), f.batch_size)


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
