"""Pre-trains ALBERT on one or more towers; see --help."""

import sys

from albert.commands.pretrain import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
