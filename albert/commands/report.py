"""The command that writes the page of a run."""

from typing import List, Sequence

from absl import flags

from albert.system import command_line
from albert.system.errors import UsageError

USAGE = """Writes report.html into the folder of a run: curves, findings and settings on one page.

  python -m albert report pretraining_output

A training writes it too, at every evaluation and at its end.
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("output_dir", None, "The folder of the run.")


def main(positional: List[str]) -> int:
    """Writes it."""
    directory = command_line.flag_or_word("output_dir", positional)
    if not directory:
        raise UsageError("Pass the folder of a run: python -m albert report pretraining_output")
    from albert.training.log.report import write_report

    print(write_report(directory))
    return 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
