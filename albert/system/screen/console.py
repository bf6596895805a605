"""What people see: plain messages and tables on the screen; a log file has every detail."""

import collections
import contextlib
import io
import logging as standard_logging
import sys
from typing import Deque, Iterator, Sequence

from absl import logging
from tqdm import tqdm

from albert.system.errors import printable

# Messages before the folder of a run is known; enough for what a start says.
_KEPT = 2000
_LOGGER = standard_logging.getLogger("absl")
_STYLES = {standard_logging.WARNING: "yellow", standard_logging.ERROR: "bold red"}


class _Screen(standard_logging.Handler):
    """Messages without prefixes on stderr, above the bars; colours only on a terminal."""

    def emit(self, record: standard_logging.LogRecord) -> None:
        from rich.console import Console
        from rich.text import Text

        text = printable(record.getMessage())
        if record.levelno >= standard_logging.WARNING:
            text = "{}: {}".format(record.levelname, text)
        with tqdm.external_write_mode(file=sys.stderr):
            console = Console(stderr=True, highlight=False)
            console.print(Text(text, _STYLES.get(record.levelno, "")), soft_wrap=True)


class _Line(standard_logging.Formatter):
    """A message in a file."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s %(filename)s:%(lineno)d] %(message)s")

    def format(self, record: standard_logging.LogRecord) -> str:
        return printable(super().format(record))


class _Kept(standard_logging.Handler):
    """Keeps what was said until there is a file for it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: Deque[standard_logging.LogRecord] = collections.deque(maxlen=_KEPT)

    def emit(self, record: standard_logging.LogRecord) -> None:
        self.records.append(record)


_SCREEN, _MEMORY = _Screen(), _Kept()


def start(verbose: bool = False) -> None:
    """Lets messages go to the screen, details only if `verbose`; may be called again."""
    logging.set_verbosity(logging.DEBUG)
    _SCREEN.setLevel(standard_logging.DEBUG if verbose else standard_logging.INFO)
    if not standard_logging.root.handlers:  # else absl adds one
        standard_logging.root.addHandler(standard_logging.NullHandler())
    _LOGGER.propagate = False  # one that absl or a notebook has added would say everything again
    for handler in (_SCREEN, _MEMORY):
        if handler not in _LOGGER.handlers:
            _LOGGER.addHandler(handler)


@contextlib.contextmanager
def log_file(path: str) -> Iterator[None]:
    """Appends every message to a file until the block ends, from the start of the command on."""
    handler = standard_logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_Line())
    while _MEMORY.records:
        handler.handle(_MEMORY.records.popleft())
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in columns: the first row is the head, the first column the names.

    >>> print(table([["", "loss"], ["training", "5.31"], ["held out", "5.46"]]))
                 loss
     -----------------
      training   5.31
      held out   5.46
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True))
    for number, name in enumerate(rows[0]):
        drawn.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        drawn.add_row(*row)
    output = io.StringIO()
    # Nothing is cut off, and names from outside are no markup.
    Console(file=output, width=2000, force_jupyter=False, markup=False, emoji=False).print(drawn)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines() if line.strip())


def plural(count: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(2, "tower"), plural(1, "tower")
    ('2 towers', '1 tower')
    """
    return "{:,} {}{}".format(count, noun, "" if count == 1 else "s")
