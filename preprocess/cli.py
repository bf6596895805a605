"""What the commands of this package share: flags, help, logging, one-sentence errors."""

import sys
from typing import Callable, List, Sequence

from absl import flags, logging

from albert import flags_parsing
from albert.errors import exit_on_usage_error

_HELP = ("-h", "-help", "--help", "--helpfull", "--helpshort")


def run(
    argv: Sequence[str], usage: str, define: Callable[[], None], main: Callable[[List[str]], int]
) -> None:
    """Runs one command and exits with its code; 2 for something the user can correct.

    Args:
      argv: Name of the program and its arguments.
      usage: What --help says before the flags.
      define: Defines the flags of the command in `flags.FLAGS`.
      main: Gets the positional arguments and returns the exit code.
    """
    define()
    if any(argument in _HELP for argument in argv[1:]):
        print("{}\nFlags:\n{}".format(usage.rstrip(), flags.FLAGS.get_help()))
        sys.exit(0)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    with exit_on_usage_error():
        positional = flags_parsing.parse(argv)
        sys.exit(main(positional))
