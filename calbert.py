"""What commands of the Catalan ALBERT call. The same as `python -m albert`, where it has them."""

import sys

from albert.__main__ import run

if __name__ == "__main__":
    run(sys.argv)
