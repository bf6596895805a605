"""The command that starts a program on several hosts and starts it again after a failure."""

import functools
from typing import List, Sequence

from absl import flags

from albert.hosts.launch import ENGINES, LaunchOptions, launch
from albert.system import command_line
from albert.system.errors import UsageError
from albert.system.options import fields_of, options_of

USAGE = """Starts a training or a validation on several hosts, and again after a failure.

  python -m albert launch --hosts=4 --max_restarts=3 -- multigpu_pretraining.py --model=base ...
  python -m albert launch --engine=ray --address=auto --hosts=4 -- multigpu_pretraining.py ...

Without Ray the hosts are processes of this machine, each with its share of the GPUs, or of the
cores. A restart goes on from the last checkpoint; so does another launch, with other --hosts, too.
"""
_FIELDS = fields_of(LaunchOptions)


def define_flags() -> None:
    """Defines the flags of the command."""
    option = functools.partial(command_line.define_option, _FIELDS)
    option("hosts", "Processes that train together.")
    option("max_restarts", "Starts after a failure; what a user can correct is none.")
    option(
        "engine", "Where the hosts are: processes of this machine, or of a Ray cluster.", ENGINES
    )
    option("address", "Of the Ray cluster, auto or ray://host:port; default: Ray on this machine.")


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""

    def main(words: List[str]) -> int:
        if "--" not in argv or not words:
            raise UsageError(
                "Write what to start after two dashes: python -m albert launch --hosts=2 -- "
                "multigpu_pretraining.py --model=base ..."
            )
        values = {name: flags.FLAGS[name].value for name in _FIELDS}
        return launch(words, options_of(LaunchOptions, values))

    command_line.run(argv, USAGE, define_flags, main)
