"""python -m albert COMMAND, and the console commands albert, albert-pretrain, albert-validate."""

import sys
from typing import Sequence

from albert.system import command_line

COMMANDS = {
    "check-gpu": "proves a machine: equal numbers, speed, memory, input, learning; one report",
    "compare": "runs side by side: settings that differ, scores, time, tokens, curves",
    "demo": "a model at work in the browser: masks, labels, tags, entities",
    "diagnose": "says whether a run learns, and if not, why and which flag to change",
    "export": "a checkpoint as a Hugging Face folder, a SavedModel or bare TF1 weights",
    "finetune": "trains a pre-trained model to label texts or to tag words",
    "import": "a Hugging Face folder or published checkpoint as one to go on from",
    "launch": "starts a training on several hosts, and again after a failure",
    "pack": "a checkpoint as a release: one archive with checksums and reproducible bytes",
    "predict": "runs a model on text: masked words, order, vectors, labels, tags",
    "pretrain": "trains a model on records, on one or more towers",
    "recipes": "the recipes that come with the package",
    "report": "the page of a run: curves, findings and settings in report.html",
    "run": "a whole job from one file: text, records, training, fine-tuning, export",
    "unpack": "an archive or its address as a folder; nothing of it is trusted",
    "validate": "evaluates a checkpoint on held-out records",
    "verify": "whether a release is whole, fits together and computes",
}
# Of other systems, in whose commands `python -m albert` may stand for their own program.
_OTHERS = {
    "dataset": "python -m preprocess records --input_file=train.txt --spm_model_file=tokenizer "
    "--output_file=train.tfrecord, and again for the held-out text.",
    "train_model": "python -m albert pretrain --model=base --input_file=train.tfrecord "
    "--eval_file=valid.tfrecord --output_dir=model.",
    "train_tokenizer": "python -m preprocess tokenizer --input_file=train.txt --out_dir=tokenizer.",
}


def run(argv: Sequence[str], program: str = "python -m albert") -> None:
    """Runs one command; `argv` starts with the program, `program` is how the user calls it."""
    command_line.dispatch(program, "albert.commands", COMMANDS, argv, _OTHERS)


def console() -> None:
    """The console command `albert`."""
    run(sys.argv, "albert")


def console_pretrain() -> None:
    """The console command `albert-pretrain`, short for `albert pretrain`."""
    run(["albert", "pretrain"] + sys.argv[1:], "albert")


def console_validate() -> None:
    """The console command `albert-validate`, short for `albert validate`."""
    run(["albert", "validate"] + sys.argv[1:], "albert")


if __name__ == "__main__":
    run(sys.argv)
