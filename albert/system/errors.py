"""The one exception that means "the user can fix this"."""

import contextlib
import difflib
import errno
import math
import re
import sys
from typing import Iterable, Iterator, Optional, Sequence


class UsageError(ValueError):
    """Input the user can correct.

    The message is one sentence or two: what is wrong, what was received, how to fix it. The
    commands print it without a traceback and exit with code 2.

    >>> try:
    ...     check_above_0("num_train_steps", 0)
    ... except UsageError as error:
    ...     print(error)
    --num_train_steps must be above 0. Received 0.
    """


class TryAgain(Exception):
    """Something outside the program ended it; the same command goes on from what was kept."""


USAGE_EXIT_CODE = 2
TRY_AGAIN_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h


_MOST_QUOTED = 100


def quoted(value: object) -> str:
    r"""A value as a message shows it: on one line, printable, and cut where it is long.

    >>> quoted("x" * 1000)[:5], len(quoted("x" * 1000)), quoted("\x1b[0m")
    ("'xxxx", 100, "'\\x1b[0m'")
    """
    text = repr(value)
    return text if len(text) <= _MOST_QUOTED else text[: _MOST_QUOTED - 3] + "..."


_LONGEST = 500  # of a word in a message; a path may be long, too
_LONG = re.compile(r"\S{%d,}" % (_LONGEST + 1))
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def printable(text: str) -> str:
    r"""A message that nothing in it can make do more than be read, on a terminal or in a log.

    >>> printable("No file \x1b[31ma\tb")
    'No file \\x1b[31ma\tb'
    """
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def check_utf8(name: str) -> None:
    """Raises a UsageError for a name that cannot be written down in any file of ours."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("{} is not UTF-8. Rename what it names.".format(quoted(name))) from error


def or_nearest(name: str, known: Iterable[str], written: str = "{}") -> str:
    """The end of a sentence which says that there is no such name.

    >>> "There is no flag --xlaa" + or_nearest("xlaa", ["xla", "small"], "--{}")
    'There is no flag --xlaa; did you mean --xla?'
    >>> "There is no flag --q" + or_nearest("q", ["xla", "small"], "--{}")
    'There is no flag --q.'

    Args:
      name: The one that was received.
      known: Those that there are.
      written: How one stands in a sentence.
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return "; did you mean {}?".format(written.format(nearest[0])) if nearest else "."


def check_above_0(name: str, value: Optional[float]) -> None:
    """Raises a UsageError unless a flag is not set or above 0, and finite."""
    if value is not None and not value > 0:
        raise UsageError("--{} must be above 0. Received {}.".format(name, value))
    _check_finite(name, value)


def check_not_negative(name: str, value: Optional[float]) -> None:
    """Raises a UsageError unless a flag is not set or at least 0, and finite."""
    if value is not None and not value >= 0:
        raise UsageError("--{} must not be negative. Received {}.".format(name, value))
    _check_finite(name, value)


def _check_finite(name: str, value: Optional[float]) -> None:
    if value == math.inf:
        raise UsageError("--{} must be finite. Received {}.".format(name, value))


def check_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises a UsageError unless a flag has one of a few values."""
    if value not in allowed:
        raise UsageError(
            "--{} must be one of: {}. Received {}.".format(name, ", ".join(allowed), quoted(value))
        )


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raises a UsageError unless a flag is a number from `low` to `high`."""
    if not low <= value <= high:
        raise UsageError(
            "--{} must be between {} and {}. Received {}.".format(name, low, high, value)
        )


def check_at_most(name: str, value: Optional[float], high: float) -> None:
    """Raises a UsageError unless a flag is a number up to `high`, or was left out."""
    if value is not None and value > high:
        raise UsageError("--{} must be at most {:,}. Received {:.10g}.".format(name, high, value))


def check_at_least(name: str, value: float, low: float) -> None:
    """Raises a UsageError unless a flag is a number from `low` on."""
    if not value >= low:
        raise UsageError("--{} must be at least {}. Received {}.".format(name, low, value))


def check_seed(seed: int) -> None:
    """Raises a UsageError unless `--random_seed` is one that every generator takes: 32 bits."""
    check_between("random_seed", seed, 0, 2**32 - 1)


_FULL = "The disk is full ({}). Free some space and run the same command again."
_FORBIDDEN = "Not allowed: {}. Choose a place you may read and write."
_BROKEN = "The disk fails ({}). Check it, or choose another, and run the same command again."
# What the disk says that is no fault of the program.
_DISK = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,  # of a server
    errno.EMFILE: "Too many files are open ({}). Ask for fewer, or raise the limit (ulimit -n).",
    errno.ENAMETOOLONG: "A name is too long: {}. Choose a shorter one.",
}


@contextlib.contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """Prints what the user can correct as one line on stderr and exits with code 2.

    That is a `UsageError`, a full disk, or one that fails, or may not be read or written. What
    is worth trying again ends with code 75.
    """
    code = USAGE_EXIT_CODE
    try:
        yield
    except UsageError as error:
        message = str(error)
    except TryAgain as error:
        message, code = str(error), TRY_AGAIN_EXIT_CODE
    except OSError as error:
        if error.errno not in _DISK:
            raise
        message = _DISK[error.errno].format(error)
    else:
        return
    message = _LONG.sub(lambda found: found.group()[:_LONGEST] + "...", printable(message))
    print("ERROR: {}".format(message), file=sys.stderr, flush=True)
    sys.exit(code)
