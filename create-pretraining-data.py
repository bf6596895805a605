"""Builds pre-training records; see --help. The same as `python -m preprocess records`."""

import sys

from preprocess import records_command

if __name__ == "__main__":
    records_command.run(sys.argv)
