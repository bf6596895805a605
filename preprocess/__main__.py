"""python -m preprocess {clean|tokenizer|records|inspect}, albert-preprocess: text to records."""

import sys
from typing import Sequence

from albert.system import command_line

COMMANDS = {
    "clean": "dirty files of many formats to clean documents, split and without duplicates",
    "tokenizer": "documents to a SentencePiece model and a report on it",
    "records": "documents and a model to pre-training records",
    "inspect": "validates record files and shows samples as text",
}


def run(argv: Sequence[str], program: str = "python -m preprocess") -> None:
    """Runs one command; `argv` starts with the program, `program` is how the user calls it."""
    command_line.dispatch(program, "preprocess.commands", COMMANDS, argv)


def console() -> None:
    """The console command `albert-preprocess`."""
    run(sys.argv, "albert-preprocess")


if __name__ == "__main__":
    run(sys.argv)
