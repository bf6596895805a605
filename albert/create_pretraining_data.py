"""What Google's commands call. The same as `python -m preprocess records`."""

import sys

from albert.system.command_line import run_module

if __name__ == "__main__":
    run_module("preprocess.commands.records", sys.argv)
