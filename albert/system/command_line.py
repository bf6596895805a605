"""Command lines of the field: absl flags that forgive what the originals forgave, and sub-commands.

What all commands share: dispatch, flags, help, version, logging, one-sentence errors.
"""

import difflib
import importlib
import keyword
import os
import signal
import sys
from typing import Callable, Dict, List, Optional, Sequence

from absl import flags, logging

import albert
from albert.system.errors import UsageError, exit_on_usage_error
from albert.system.shipped import with_recipes

_MORE_HELP = """

--flagfile=FILE reads flags from a file or a recipe. --helpfull shows the logging flags too."""
_VERSION = "--version"
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
      UsageError: A defined flag has a value that cannot be read, or --flagfile names no file.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    argv = list(sys.argv if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    if flags.FLAGS.is_parsed():
        flags.FLAGS.unparse_flags()
    try:
        rest = flags.FLAGS(with_recipes(argv[:end]), known_only=True)[1:]
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


def dispatch(program: str, modules: str, commands: Dict[str, str], argv: Sequence[str]) -> None:
    """Runs one command of a program of several.

    Only the module of the chosen command is imported, so `--help` is quick.

    Args:
      program: What the user typed, "python -m albert".
      modules: The package with a module for each command, "albert.commands"; that of a command
        which is a word of Python ends in an underscore.
      commands: What each command does, by name.
      argv: Name of the program and its arguments.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command == _VERSION:
        _exit_with_version()
    if command not in commands:
        lines = ["usage: {} COMMAND --help".format(program), ""]
        lines += ["  {:10} {}".format(name, what) for name, what in commands.items()]
        asked = command in ("", "-h", "--help", "help")
        if not asked:
            lines.insert(0, "ERROR: There is no command {!r}.".format(command))
        print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    name = command + "_" if keyword.iskeyword(command) else command
    run_module("{}.{}".format(modules, name), ["{} {}".format(program, command)] + list(argv[2:]))


def run_module(name: str, argv: Sequence[str]) -> None:
    """Runs the command that is a module, or prints the version without importing it.

    Args:
      name: The module, "albert.commands.pretrain".
      argv: What the user typed to start the program, and its arguments.
    """
    if _VERSION in argv[1 : argv.index("--") if "--" in argv else None]:
        _exit_with_version()
    importlib.import_module(name).run(argv)


def _exit_with_version() -> None:
    print("albert-pretraining {}".format(albert.__version__))
    sys.exit(0)


def flag_or_word(name: str, positional: Sequence[str]) -> Optional[str]:
    """The value of a flag that may be given without its name, or None.

    Raises:
      UsageError: More than one was given.
    """
    named = flags.FLAGS[name].value
    found = list(positional) + ([named] if named else [])
    if len(found) > 1:
        raise UsageError("Pass one --{}. Received {}.".format(name, ", ".join(found)))
    return found[0] if found else None


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
    if help_printed(argv, usage):
        sys.exit(0)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    try:
        with exit_on_usage_error():
            positional = parse(argv)
            sys.exit(main(positional))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does; nor must Python flush it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
