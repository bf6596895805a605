"""python -m preprocess {clean|tokenizer|records|inspect}: text to verified records."""

import sys
from typing import Sequence

from albert.system import command_line

COMMANDS = {
    "clean": "dirty files of many formats to clean documents, split and without duplicates",
    "tokenizer": "documents to a SentencePiece model and a report on it",
    "records": "documents and a model to pre-training records",
    "inspect": "validates record files and shows samples as text",
}


def run(argv: Sequence[str]) -> None:
    """Runs one command; `argv` starts with the program."""
    command_line.dispatch("python -m preprocess", "preprocess.commands", COMMANDS, argv)


if __name__ == "__main__":
    run(sys.argv)
