"""A polite end: SIGTERM, Ctrl-C and a closed terminal finish the current step, save, and exit."""

import contextlib
import signal
import threading
from typing import Any, Iterator, Optional

SIGNALLED = 128  # what a shell adds to the number of a signal that ended a program


class StopRequest:
    """Whether a signal asked the run to stop."""

    def __init__(self) -> None:
        """Nothing asked for yet."""
        self.signal: Optional[int] = None

    @property
    def exit_code(self) -> int:
        """The shell's code for a program ended by that signal."""
        return SIGNALLED + (self.signal or 0)


class Interrupted(Exception):
    """A signal ended a training after it was saved; the same call goes on.

    Attributes:
      exit_code: The shell's code for a program ended by that signal.
    """

    def __init__(self, exit_code: int) -> None:
        """Keeps the code."""
        super().__init__(
            "Stopped by signal {}; the same call goes on.".format(exit_code - SIGNALLED)
        )
        self.exit_code = exit_code


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turns the first SIGTERM, SIGINT or SIGHUP into a request; a second one acts at once.

    Python hands signals to its main thread alone; in another one nothing is handled here.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handled = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        handled.append(signal.SIGHUP)
    previous = {number: signal.getsignal(number) for number in handled}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: Any) -> None:
        request.signal = number
        restore()

    for number in handled:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
