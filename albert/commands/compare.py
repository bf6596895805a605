"""The command that puts runs side by side."""

import json
from typing import List, Sequence

from absl import flags, logging

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Compares runs by their folders: settings that differ, held-out scores, time, tokens.

  python -m albert compare runs/* --output=curves.png
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("json", False, "Print one JSON object a run instead of a table.")
    flags.DEFINE_string("output", None, "Write the learning curves of all runs to this PNG file.")


def main(positional: List[str]) -> int:
    """Prints the table and draws the picture."""
    from albert.system.files.atomic import ensure_writable_file
    from albert.system.screen import console
    from albert.system.screen.pictures import save_figure
    from albert.training.log.comparison import as_json, differing, overlay, read_run, rows

    path = flags.FLAGS.output
    if path is not None:
        if not path.lower().endswith(".png"):
            raise UsageError("--output={} must end in .png, as it is a picture.".format(path))
        ensure_writable_file(path, "--output")
    runs = []
    for directory in dict.fromkeys(positional):
        try:
            runs.append(read_run(directory))
        except UsageError as error:
            logging.warning("Left out: %s", error)
    if not runs:
        raise UsageError(
            "Pass the folders of runs: python -m albert compare runs/*. Received {}.".format(
                " ".join(positional) or "none"
            )
        )
    if flags.FLAGS.json:
        names = differing(runs)
        for run in runs:
            print(json.dumps(as_json(run, names)))
    else:
        print(console.table(rows(runs)))
    if path is not None:
        save_figure(overlay(runs), path)
        logging.info("Learning curves: %s", path)
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
