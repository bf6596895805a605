"""Starting a program on several hosts, and again after a failure."""

import dataclasses
import os
import shutil
import sys
from typing import List, Sequence

from albert.hosts.processes import run_here
from albert.system.errors import UsageError, check_between, check_one_of, quoted

ENGINES = ("local", "ray")
_COMMANDS = ("pretrain", "validate")  # of `python -m albert` that several hosts run


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """How a program is started.

    Attributes:
      hosts: Processes that work together.
      max_restarts: How often all are started again after one has failed.
      engine: "local" processes of this machine, or of a "ray" cluster.
      address: Of the Ray cluster, "auto" or ray://host:port; "" starts Ray here.
    """

    hosts: int = 1
    max_restarts: int = 0
    engine: str = "local"
    address: str = ""

    def __post_init__(self) -> None:
        check_between("hosts", self.hosts, 1, 4096)
        check_between("max_restarts", self.max_restarts, 0, 1000000)
        check_one_of("engine", self.engine, ENGINES)
        if self.address and self.engine != "ray":
            raise UsageError("--address={} is of --engine=ray.".format(self.address))


def launch(words: Sequence[str], options: LaunchOptions) -> int:
    """Runs a program on several hosts, each told by TF_CONFIG who the others are.

    Args:
      words: The program and its arguments: a .py file, `pretrain` or `validate` of this package,
        or another command.
      options: How.

    Returns:
      The exit code of the program; of a failure, that of the host which ended first.

    Raises:
      UsageError: There is no such program, or the engine cannot start it.
    """
    command = _command(words)
    if options.engine == "local":
        return run_here(command, options.hosts, options.max_restarts)
    from albert.hosts.on_ray import run_on_ray

    return run_on_ray(command, options.hosts, options.max_restarts, options.address)


def _command(words: Sequence[str]) -> List[str]:
    program = words[0]
    if program in _COMMANDS:
        return [sys.executable, "-m", "albert", *words]
    if program.endswith(".py") and os.path.isfile(program):
        return [sys.executable, os.path.abspath(program), *words[1:]]
    found = shutil.which(program)
    if not found:
        raise UsageError(
            "There is no program {} to start. Name a .py file, pretrain, validate, or a command "
            "that can be found.".format(quoted(program))
        )
    return [found, *words[1:]]
