"""Command lines of the field: absl flags that forgive what the originals forgave, and sub-commands.

What all commands share: dispatch, flags, help, version, logging, one-sentence errors.
"""

import contextlib
import importlib
import keyword
import os
import re
import signal
import sys
from typing import Any, Callable, Container, Dict, Iterator, List, Mapping, Optional, Sequence

from absl import flags, logging

import albert
from albert.system import help
from albert.system.errors import (
    UsageError,
    check_utf8,
    exit_on_usage_error,
    or_nearest,
    quoted,
)
from albert.system.files.shipped import with_recipes
from albert.system.options import Field, alternatives
from albert.system.screen import console
from albert.system.spelling import ORIGINAL_FLAGS, respelled

flags.disclaim_key_flags()  # a flag belongs to the module that asks `define_option` for it

_VERSION = "--version"
_HELP = ("-h", "-help", "--help", "--helpfull", "--helpshort")


def help_printed(argv: Sequence[str], usage: str, shown: Optional[Container[str]] = None) -> bool:
    """Prints usage and flags if the command line asks for help; whether it did.

    Args:
      argv: The command line.
      usage: What the command is for.
      shown: As `help.page` takes it; --helpfull shows all flags, absl's, too.
    """
    wanted = [argument for argument in argv[1:] if argument in _HELP]
    if "--helpfull" in wanted:
        print("{}\n\nFlags:\n{}".format(usage.strip(), flags.FLAGS.get_help()))
    elif wanted:
        print(help.page(usage, shown))
    return bool(wanted)


def parse(argv: Optional[Sequence[str]] = None) -> List[str]:
    """Parses `argv` into `flags.FLAGS`, as `spelling.respelled` reads it.

    The originals parsed with `known_only=True`, so commands in circulation contain flags of another
    of their scripts (`--masked_lm_prob` in a training command). They keep working, visibly.

    Returns:
      The positional arguments; all that follows a `--` is one, whatever it begins with.

    Raises:
      UsageError: There is no such flag, a flag has a value that cannot be read, or --flagfile names
        no file.
    """
    console.start()
    argv = list(sys.argv if argv is None else argv)
    for word in argv:
        check_utf8(word)
    end = argv.index("--") if "--" in argv else len(argv)
    if flags.FLAGS.is_parsed():
        flags.FLAGS.unparse_flags()
    try:
        words = flags.FLAGS.read_flags_from_files(with_recipes(argv[1:end]))
        rest = flags.FLAGS(argv[:1] + respelled(words, list(flags.FLAGS)), known_only=True)[1:]
    except flags.Error as error:
        raise UsageError("{}. See --help.".format(str(error).replace("ERROR:: ", ""))) from error
    console.start(flags.FLAGS.verbose)
    for argument in rest:
        if argument.startswith("-") and argument.strip("-"):
            _check_original(argument)
    return [argument for argument in rest if not argument.startswith("-")] + argv[end + 1 :]


def _check_original(argument: str) -> None:
    name = argument.lstrip("-").split("=")[0]
    if {name, re.sub("^no_?", "", name)} & ORIGINAL_FLAGS:
        logging.warning("Flag --%s of the original systems does nothing in this command", name)
        return
    end = or_nearest(name, flags.FLAGS, "--{}")
    raise UsageError("There is no flag --{}{} See --help.".format(name, end))


def define_verbose() -> None:
    """Defines the flag that all commands have, unless it is there."""
    if "verbose" not in flags.FLAGS:
        flags.DEFINE_bool("verbose", False, "Say every detail, as the log file has it.")


def define_alias(name: str, original: str) -> None:
    """Defines another name of a flag, one that commands in circulation have."""
    flags.DEFINE_alias(name, original)
    help.note_alias(name, original)


def own_flags(module: str) -> List[str]:
    """Names of the flags that a module defined, without aliases and absl's own."""
    found = flags.FLAGS.flags_by_module_dict().get(module, [])
    return sorted({flag.name for flag in found if not help.is_alias(flag.name)})


def define_option(
    fields: Mapping[str, Field], name: str, what: str, choices: Optional[Sequence[str]] = None
) -> None:
    """Defines the flag of an option, with the type and the default it has there.

    Args:
      fields: As `options.fields_of` returns.
      name: The flag.
      what: Its help.
      choices: The values it may have, if they are few.
    """
    kind, default = fields[name]
    if choices:
        flags.DEFINE_enum(name, default, choices, what)
    else:
        _DEFINE[alternatives(kind)[0]](name, default, what)


_DEFINE: Dict[Any, Callable] = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
}


@contextlib.contextmanager
def _until_read() -> Iterator[None]:
    """Ends in silence when whoever reads the output has enough, as `head` does."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it, too
        sys.exit(128 + signal.SIGPIPE)


@_until_read()
def dispatch(
    program: str,
    modules: str,
    commands: Mapping[str, str],
    argv: Sequence[str],
    others: Mapping[str, str] = {},  # noqa: B006
) -> None:
    """Runs one command of a program of several.

    Only the module of the chosen command is imported, so `--help` is quick.

    Args:
      program: What the user typed, "python -m albert".
      modules: The package with a module for each command, "albert.commands"; that of a command
        which is a word of Python ends in an underscore, and a dash is one, too.
      commands: What each command does, by name.
      argv: Name of the program and its arguments.
      others: What does the work of a command that other systems have, by its name there.
    """
    command = argv[1] if len(argv) > 1 else ""
    if command == _VERSION:
        _exit_with_version()
    if command not in commands:
        lines = ["usage: {} COMMAND --help".format(program), ""]
        lines += ["  {:10} {}".format(name, what) for name, what in commands.items()]
        asked = command in ("", "-h", "--help", "help")
        if not asked:
            instead = others.get(command)
            end = "; instead: " + instead if instead else or_nearest(command, commands)
            lines.insert(0, "ERROR: There is no command {}{}".format(quoted(command), end))
            lines = lines[:1] if instead else lines
        print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    name = (command + "_" if keyword.iskeyword(command) else command).replace("-", "_")
    run_module("{}.{}".format(modules, name), ["{} {}".format(program, command)] + list(argv[2:]))


@_until_read()
def run_module(name: str, argv: Sequence[str]) -> None:
    """Runs the command that is a module, or prints the version without importing it.

    Args:
      name: The module, "albert.commands.pretrain".
      argv: What the user typed to start the program, and its arguments.
    """
    if _VERSION in argv[1 : argv.index("--") if "--" in argv else None]:
        _exit_with_version()
    asked = _end_politely()
    try:
        module = importlib.import_module(name)
        if asked:  # and swallowed by a library that tries what else it could import
            raise asked[0]
        module.run(argv)
    except KeyboardInterrupt:  # before `run` had its hand on it
        _exit_interrupted()
    except _Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise


class _Stopped(SystemExit):
    """The end that a signal brings; told when it has come up: TensorFlow is loaded in silence."""

    def __init__(self, number: int) -> None:
        super().__init__("Stopped by signal {}.".format(number))
        self.code = 128 + number


def _end_politely() -> List[BaseException]:
    """Ends at a signal with one line and the shell's code, and so through every `finally`.

    What is ignored stays so: SIGHUP under nohup.

    Returns:
      What a signal has raised; still empty.
    """
    owner = os.getpid()
    asked: List[BaseException] = []

    def end(number: int, frame: Any) -> None:
        signal.signal(number, usual[number])  # a second one acts at once
        if os.getpid() != owner:  # a process that was forked of this one
            os.kill(os.getpid(), number)
            return
        asked.append(KeyboardInterrupt() if number == signal.SIGINT else _Stopped(number))
        raise asked[-1]

    usual: Dict[int, Any] = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    for number, handler in usual.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
    return asked


def _exit_interrupted() -> None:
    print("Interrupted.", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


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
    define_verbose()
    if help_printed(argv, usage):
        sys.exit(0)
    try:
        with exit_on_usage_error():
            positional = parse(argv)
            sys.exit(main(positional))
    except KeyboardInterrupt:
        _exit_interrupted()
