"""python -m albert COMMAND: what there is to do with a run and its checkpoints."""

import sys
from typing import Sequence

from albert.system import command_line

COMMANDS = {
    "diagnose": "says whether a run learns, and if not, why and which flag to change",
    "export": "a checkpoint as a Hugging Face folder, a SavedModel or bare TF1 weights",
    "finetune": "trains a pre-trained model to label texts or to tag words",
    "import": "a Hugging Face folder or published checkpoint as one to go on from",
    "pack": "a checkpoint as a release: one archive with checksums and reproducible bytes",
    "predict": "runs a model on text: masked words, order, vectors, labels, tags",
    "unpack": "an archive or its address as a folder; nothing of it is trusted",
    "verify": "whether a release is whole, fits together and computes",
}


def run(argv: Sequence[str]) -> None:
    """Runs one command; `argv` starts with the program."""
    command_line.dispatch("python -m albert", "albert.commands", COMMANDS, argv)


if __name__ == "__main__":
    run(sys.argv)
