"""Evaluates a checkpoint on held-out records. The same as `python -m albert validate`."""

import sys

from albert.system.command_line import run_module

if __name__ == "__main__":
    run_module("albert.commands.validate", sys.argv)
