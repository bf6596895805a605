"""Command lines of the field: absl flags that forgive what the originals forgave."""

import difflib
import sys
from typing import List, Optional, Sequence

from absl import flags, logging

from albert.errors import UsageError

_HELP = ("-h", "-help", "--help", "--helpfull", "--helpshort")


def help_printed(argv: Sequence[str], usage: str) -> bool:
    """Prints usage and all flags if the command line asks for help; whether it did."""
    wanted = any(argument in _HELP for argument in argv[1:])
    if wanted:
        print("{}\nFlags:\n{}".format(usage.strip(), flags.FLAGS.get_help()))
    return wanted


def parse(argv: Optional[Sequence[str]] = None) -> List[str]:
    """Parses `argv` into `flags.FLAGS`; an undefined flag is a warning, not an error.

    The originals parsed with `known_only=True`, so commands in circulation contain flags that no
    script defines (`--masked_lm_prob` in a training command). They keep working, visibly.

    Returns:
      The positional arguments.

    Raises:
      UsageError: A defined flag has a value that cannot be read.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    argv = list(sys.argv if argv is None else argv)
    if flags.FLAGS.is_parsed():
        flags.FLAGS.unparse_flags()
    try:
        rest = flags.FLAGS(argv, known_only=True)[1:]
    except flags.Error as error:
        raise UsageError("{}. See --help for the values it takes.".format(error)) from error
    for argument in rest:
        if argument.startswith("-") and argument.strip("-"):
            _warn_unknown(argument)
    return [argument for argument in rest if not argument.startswith("-")]


def _warn_unknown(argument: str) -> None:
    name = argument.lstrip("-").split("=")[0]
    nearest = difflib.get_close_matches(name, list(flags.FLAGS), n=1, cutoff=0.5)
    hint = "; did you mean --{}?".format(nearest[0]) if nearest else ""
    logging.warning("Flag --%s is not known and does nothing%s", name, hint)


def describe(names: Sequence[str]) -> str:
    """The values of some flags as `--name=value` lines, readable again by `--flagfile`."""
    lines = []
    for name in sorted(names):
        flag = flags.FLAGS[name]
        if flag.value is not None:
            lines.append(flag.serialize())
    return "".join(line + "\n" for line in lines)
