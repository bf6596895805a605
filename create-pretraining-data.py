"""Builds pre-training records; see --help. The same as `python -m preprocess records`."""

import sys

from preprocess.commands.records import run

if __name__ == "__main__":
    run(sys.argv)
