"""python -m preprocess {clean|tokenizer|records|inspect}: text to verified records."""

import importlib
import sys
from typing import Sequence

COMMANDS = {
    "clean": "dirty files of many formats to clean documents, split and without duplicates",
    "tokenizer": "documents to a SentencePiece model and a report on it",
    "records": "documents and a model to pre-training records",
    "inspect": "validates record files and shows samples as text",
}


def run(argv: Sequence[str]) -> None:
    """Runs one command; `argv` starts with the program."""
    command = argv[1] if len(argv) > 1 else ""
    if command not in COMMANDS:
        lines = ["usage: python -m preprocess COMMAND --help", ""]
        lines += ["  {:10} {}".format(name, what) for name, what in COMMANDS.items()]
        asked = command in ("", "-h", "--help", "help")
        if not asked:
            lines.insert(0, "ERROR: There is no command {!r}.".format(command))
        print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    module = importlib.import_module("preprocess.{}_command".format(command))
    module.run(["python -m preprocess {}".format(command)] + list(argv[2:]))


if __name__ == "__main__":
    run(sys.argv)
