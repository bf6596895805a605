"""What all sub-commands share: dispatch, flags, help, logging, one-sentence errors."""

import importlib
import os
import signal
import sys
from typing import Callable, Dict, List, Optional, Sequence

from absl import flags, logging

from albert import flags_parsing
from albert.errors import UsageError, exit_on_usage_error


def dispatch(program: str, modules: str, commands: Dict[str, str], argv: Sequence[str]) -> None:
    """Runs one command of a program of several.

    Only the module of the chosen command is imported, so `--help` is quick.

    Args:
      program: What the user typed, "python -m albert".
      modules: Where a command's module is, with `{}` for its name: "albert.commands.{}".
      commands: What each command does, by name.
      argv: Name of the program and its arguments.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command not in commands:
        lines = ["usage: {} COMMAND --help".format(program), ""]
        lines += ["  {:10} {}".format(name, what) for name, what in commands.items()]
        asked = command in ("", "-h", "--help", "help")
        if not asked:
            lines.insert(0, "ERROR: There is no command {!r}.".format(command))
        print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    module = importlib.import_module(modules.format(command))
    module.run(["{} {}".format(program, command)] + list(argv[2:]))


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
    if flags_parsing.help_printed(argv, usage):
        sys.exit(0)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    try:
        with exit_on_usage_error():
            positional = flags_parsing.parse(argv)
            sys.exit(main(positional))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does; nor must Python flush it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
