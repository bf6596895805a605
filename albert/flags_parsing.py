"""Command lines of the field: absl flags that forgive what the originals forgave."""

import difflib
import sys
from typing import List, Optional, Sequence

from absl import flags, logging

from albert.errors import UsageError

_MORE_HELP = """

--flagfile=FILE reads flags from a file, one a line. --helpfull shows the logging flags too."""
_HELP = ("-h", "-help", "--help", "--helpfull", "--helpshort")


def help_printed(argv: Sequence[str], usage: str) -> bool:
    """Prints usage and flags if the command line asks for help; whether it did.

    absl's own flags are left out but for --helpfull.
    """
    wanted = [argument for argument in argv[1:] if argument in _HELP]
    if wanted:
        found = flags.FLAGS
        ours = [name for name in found.flags_by_module_dict() if not name.startswith("absl.")]
        shown = "\n".join(found.module_help(name) for name in sorted(ours))
        print("{}\n\nFlags:".format(usage.strip()))
        print(found.get_help() if "--helpfull" in wanted else shown + _MORE_HELP)
    return bool(wanted)


def parse(argv: Optional[Sequence[str]] = None) -> List[str]:
    """Parses `argv` into `flags.FLAGS`; an undefined flag is a warning, not an error.

    The originals parsed with `known_only=True`, so commands in circulation contain flags that no
    script defines (`--masked_lm_prob` in a training command). They keep working, visibly.

    Returns:
      The positional arguments; all that follows a `--` is one, whatever it begins with.

    Raises:
      UsageError: A defined flag has a value that cannot be read.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    argv = list(sys.argv if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    if flags.FLAGS.is_parsed():
        flags.FLAGS.unparse_flags()
    try:
        rest = flags.FLAGS(argv[:end], known_only=True)[1:]
    except flags.Error as error:
        raise UsageError("{}. See --help.".format(str(error).replace("ERROR:: ", ""))) from error
    for argument in rest:
        if argument.startswith("-") and argument.strip("-"):
            _warn_unknown(argument)
    return [argument for argument in rest if not argument.startswith("-")] + argv[end + 1 :]


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
