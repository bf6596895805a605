"""The one exception that means "the user can fix this"."""

import contextlib
import sys
from typing import Iterator


class UsageError(ValueError):
    """Input the user can correct.

    The message is one sentence or two: what is wrong, what was received, how to fix it. The
    commands print it without a traceback and exit with code 2.
    """


@contextlib.contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """Prints a `UsageError` raised inside as one line on stderr and exits with code 2."""
    try:
        yield
    except UsageError as error:
        print("ERROR: {}".format(error), file=sys.stderr, flush=True)
        sys.exit(2)
