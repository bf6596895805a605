"""Evaluates a checkpoint on held-out records; see --help."""

import sys

from albert.commands.validate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
