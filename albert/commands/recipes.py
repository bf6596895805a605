"""The command that lists the recipes that come with the package."""

import glob
import os
from typing import List, Sequence

from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.files.shipped import CONFIG_DIRECTORY

USAGE = """Lists the recipes of flags that come with the package.

  python -m albert recipes
"""


def main(positional: List[str]) -> int:
    """Prints each with its first comment."""
    if positional:
        raise UsageError("recipes takes no argument. Received {}.".format(positional[0]))
    for path in sorted(glob.glob(os.path.join(CONFIG_DIRECTORY, "recipes", "*.flags"))):
        with open(path, encoding="utf-8") as handle:
            about = handle.readline().lstrip("# ").strip()
        print("{:18} {}".format(os.path.splitext(os.path.basename(path))[0], about))
    print("\nUse one: python3 multigpu_pretraining.py --flagfile=NAME ..., or train.flagfile=NAME.")
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, lambda: None, main)
