"""Processes: the cores they may use, and commands of this project as processes of their own."""

import os
import subprocess
import sys
from typing import Dict

import albert


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_python(*arguments: object) -> int:
    """Runs Python with this package on its path and prints what it prints, line by line.

    A notebook shows only what is printed by its own process.

    Args:
      *arguments: Of the interpreter: "-m", "albert", "export", ...

    Returns:
      The exit code.
    """
    words = [str(argument) for argument in arguments]
    print("$ python3 {}".format(" ".join(words)), flush=True)
    with subprocess.Popen(
        [sys.executable] + words,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
    return process.returncode


def _environment() -> Dict[str, str]:
    root = os.path.dirname(os.path.dirname(os.path.abspath(albert.__file__)))
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return dict(os.environ, PYTHONPATH=path)
