"""What Google's commands call. The same as `python -m albert pretrain`."""

import sys

from albert.system.command_line import run_module

if __name__ == "__main__":
    run_module("albert.commands.pretrain", sys.argv)
