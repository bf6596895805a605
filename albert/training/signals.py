"""A polite end: SIGTERM and Ctrl-C finish the current step, save, and exit."""

import contextlib
import signal
from typing import Iterator, Optional


class StopRequest:
    """Whether a signal asked the run to stop."""

    def __init__(self) -> None:
        """Nothing asked for yet."""
        self.signal: Optional[int] = None

    @property
    def exit_code(self) -> int:
        """The shell's code for a program ended by that signal."""
        return 128 + (self.signal or 0)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turns the first SIGTERM or SIGINT into a request; a second one acts at once."""
    request = StopRequest()
    handled = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.getsignal(number) for number in handled}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number, frame) -> None:
        request.signal = number
        restore()

    for number in handled:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
