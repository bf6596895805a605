"""python -m quickstart: runs every command of the main job in turn and sums up."""

import argparse
import itertools
import os
import shlex
import subprocess
import sys
import time
from typing import Iterator, Optional, Sequence, Tuple

import albert
from albert.checkpoints.results import read_results
from albert.records.manifest import read_manifest
from albert.system.errors import UsageError, exit_on_usage_error
from albert.system.files.names import expand_files
from albert.system.files.piped import is_pipe, kept
from albert.training.log.metrics import CURVES_FILE
from preprocess.tokenizer import vocab_size_for
from quickstart.text import write_documents

_RECIPE = "cpu-minutes.flags"
_VALID_FRACTION = 0.1
_SEQUENCE = 64
_TOWERS = 2
_STEPS = 1400
# Enough masks for a few hundred thousand examples from a small text, no more from a large one.
_MASKED_COPIES = 20
_SMALL_TEXT = 4 << 20  # bytes
_LEAST_TEXT = 20 << 10  # of which the smallest vocabulary can be made, and a batch of records
_GAPS = 3  # shown at the end
_GAP_WORDS = range(6, 13)  # of a sentence with a gap


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the job; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m quickstart", description=__doc__)
    parser.add_argument(
        "--text",
        help="your own text: files, globs, folders, - for standard input; default: Python's manual",
    )
    parser.add_argument("--text_field", default="", help="where it is in JSON or tables")
    parser.add_argument("--output_dir", help="default: runs/quickstart-DATE_TIME")
    parser.add_argument("--steps", type=int, default=_STEPS, help="updates")
    arguments = parser.parse_args(argv)
    with exit_on_usage_error():
        started = time.time()
        folder = arguments.output_dir or time.strftime("runs/quickstart-%Y%m%d_%H%M%S")
        os.makedirs(folder, exist_ok=True)
        _prepare(folder, arguments)
        _train(folder, arguments.steps)
        _summary(folder, time.time() - started)
    return 0


def _run(title: str, *command: str) -> None:
    """Runs one command of the project, shown so that it can be repeated."""
    words = ["-m"] + list(command)
    line = " ".join(shlex.quote(word) for word in ["python3"] + words)
    print("\n=== {}\n$ {}".format(title, line), flush=True)
    done = subprocess.run([sys.executable] + words)
    if done.returncode:
        sys.exit(done.returncode)  # the command has said why


def _python_text(folder: str) -> str:
    path = os.path.join(folder, "python-manual.txt")
    count = write_documents(path)
    print("No TEXT given: using {} documents of Python's own manual and docstrings.".format(count))
    return path


def _prepare(folder: str, arguments: argparse.Namespace) -> None:
    def inside(name: str) -> str:
        return os.path.join(folder, name)

    text = arguments.text or _python_text(folder)
    if is_pipe(text):
        kept(text, "text", inside("piped"))
        text = inside("piped")
    expand_files(text, "text")  # a name that is wrong is told here
    _run(
        "1. Text to sentences and documents, some held out",
        "preprocess",
        "clean",
        "--input_file=" + text,
        "--output_file=" + inside("train.txt"),
        "--valid_file=" + inside("valid.txt"),
        "--valid_fraction={}".format(_VALID_FRACTION),
        *([] if arguments.text else ["--language=en"]),
        *(["--text_field=" + arguments.text_field] if arguments.text_field else []),
    )
    size = sum(os.path.getsize(inside(name)) for name in ("train.txt", "valid.txt"))
    if size < _LEAST_TEXT:
        raise UsageError(
            "{} has {:,} bytes of clean text; the quickstart needs {:,} at least, and {} MB to "
            "show something.".format(
                _as_typed(arguments.text), size, _LEAST_TEXT, _SMALL_TEXT >> 20
            )
        )
    _run(
        "2. SentencePiece model",
        "preprocess",
        "tokenizer",
        "--input_file=" + inside("train.txt"),
        "--model_prefix=" + inside("tokenizer"),
        "--vocab_size={}".format(vocab_size_for(size)),
    )
    copies = max(1, min(_MASKED_COPIES, _MASKED_COPIES * _SMALL_TEXT // size))
    for part, factor in (("train", copies), ("valid", 5)):
        _run(
            "3. Records: " + part,
            "preprocess",
            "records",
            "--input_file=" + inside(part + ".txt"),
            "--output_file=" + inside(part + ".tfrecord"),
            "--spm_model_file=" + inside("tokenizer.model"),
            "--max_seq_length={}".format(_SEQUENCE),
            "--dupe_factor={}".format(factor),
        )


def _as_typed(text: str) -> str:
    return ("TEXT={}" if "MAKELEVEL" in os.environ else "--text={}").format(text)


def _train(folder: str, steps: int) -> None:
    def inside(name: str) -> str:
        return os.path.join(folder, name)

    run = "--output_dir=" + inside("model")
    towers = ["--use_gpu=False", "--num_gpu_cores={}".format(_TOWERS)]
    _run(
        "4. Pre-training on {} CPU towers".format(_TOWERS),
        "albert",
        "pretrain",
        "--flagfile=" + _RECIPE,
        "--model=nano-modern",
        run,
        *towers,
        "--input_file=" + inside("train.tfrecord"),
        "--eval_file=" + inside("valid.tfrecord"),
        "--num_train_steps={}".format(steps),
    )
    _run(
        "5. Validation",
        "albert",
        "validate",
        run,
        *towers,
        "--input_file=" + inside("valid.tfrecord"),
        "--eval_batch_size=64",
    )


def _summary(folder: str, seconds: float) -> None:
    run = os.path.join(folder, "model")
    results = read_results(run)
    loss, accuracy = results["masked_lm_loss"], results["masked_lm_accuracy"]
    print(
        "\n=== Done in {:.0f} s. The model, {} and eval_results.txt are in {}/.\n"
        "Held-out masked words: {:.1%} right, loss {:.2f} nats.".format(
            seconds, CURVES_FILE, run, accuracy, loss
        )
    )
    manifest = read_manifest(os.path.join(folder, "valid.tfrecord"))
    if manifest is not None:
        _compare_with_frequencies(manifest.unigram_entropy, manifest.top_piece_share, loss)
    _fill_masks(run, os.path.join(folder, "valid.txt"))


def _compare_with_frequencies(entropy: float, share: float, loss: float) -> None:
    print(
        "Knowing only how frequent each piece is would give {:.1%} and {:.2f} nats on the same "
        "records: {}.".format(
            share,
            entropy,
            "the model has learned {:.2f} nats from context".format(entropy - loss)
            if loss < entropy
            else "the model has not learned from context yet; give it more --steps or more text",
        )
    )


def _fill_masks(run: str, text: str) -> None:
    """Shows what the model puts into gaps of held-out sentences, and how to ask it."""
    gaps = list(itertools.islice(_gaps(text), _GAPS))
    answers = albert.load(run, use_gpu=False).fill_mask([masked for masked, _ in gaps], top_k=3)
    print("\nWhat it puts into gaps of held-out sentences:")
    for (masked, word), answer in zip(gaps, answers):
        guesses = ", ".join(
            "{} {:.0%}".format(guess["text"] or guess["piece"], guess["probability"])
            for guess in answer["masks"][0]
        )
        print("  {}\n    {}; the text has {}".format(masked, guesses, word))
    print(
        "\nTry your own:\n  python3 -m albert predict --task=fill-mask --output_dir={} {}".format(
            shlex.quote(run), shlex.quote(gaps[0][0] if gaps else "... [MASK] ...")
        )
    )


def _gaps(path: str) -> Iterator[Tuple[str, str]]:
    """Sentences of a file with the word in the middle masked, and the word; a document each."""
    with open(path, encoding="utf-8") as handle:
        for document in handle.read().split("\n\n"):
            for line in document.splitlines():
                words = line.split()
                middle = len(words) // 2
                if len(words) in _GAP_WORDS and words[middle].isalpha():
                    yield " ".join(words[:middle] + ["[MASK]"] + words[middle + 1 :]), words[middle]
                    break


if __name__ == "__main__":
    sys.exit(main())
