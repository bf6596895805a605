"""Progress with time left: a bar on a terminal, now and then a log line elsewhere."""

import time

from absl import logging

from albert.system.screen.progress import bars_are_seen, progress_bar

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts units of work; use as a context manager."""

    def __init__(self, what: str, total: int, unit: str, bar: bool) -> None:
        """Starts counting.

        Args:
          what: What is being done, for the reader.
          total: Units in all, at least about.
          unit: Name of the unit; "B" is shown as MB.
          bar: Whether a bar is welcome; where nobody sees one there is none.
        """
        self._what, self._total, self._unit = what, total, unit
        self._done, self._started = 0, time.time()
        self._spoke = self._started
        self._bar = None
        if bar and bars_are_seen():
            self._bar = progress_bar(total=total, desc=what, unit=unit, unit_scale=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *unused_error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, amount: int) -> None:
        """Counts `amount` further units."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
            return
        now = time.time()
        if now - self._spoke >= SECONDS_BETWEEN_LINES:
            self._spoke = now
            logging.info("%s", self._line(now - self._started))

    def _line(self, elapsed: float) -> str:
        share = min(1.0, self._done / max(self._total, 1))
        left = elapsed * (1 - share) / share if share else 0
        scale, unit = (1e-6, "MB") if self._unit == "B" else (1, self._unit)
        return "{}: {:.0%}, {:,.0f} of {:,.0f} {}, {:,.1f} {}/s, about {} left".format(
            self._what,
            share,
            self._done * scale,
            self._total * scale,
            unit,
            self._done * scale / max(elapsed, 1e-9),
            unit,
            duration(left),
        )


def duration(seconds: float) -> str:
    """Seconds for people, "1 h 05 min", "3 min 20 s" or "12 s"."""
    whole = int(round(seconds))
    if whole >= 3600:
        return "{} h {:02d} min".format(whole // 3600, whole % 3600 // 60)
    if whole >= 60:
        return "{} min {:02d} s".format(whole // 60, whole % 60)
    return "{} s".format(whole)
