"""Progress bars: where somebody sees them, which is on a terminal and in a notebook."""

import sys
import warnings
from typing import Any


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel.zmqshell" in sys.modules


def bars_are_seen() -> bool:
    """Whether a bar is of use: not in a pipe, a file or a batch job."""
    return sys.stderr.isatty() or in_notebook()


def progress_bar(**options: Any) -> Any:
    """A bar of tqdm in the form that suits a terminal or a notebook; takes tqdm's options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a nicer one needs ipywidgets
        from tqdm.auto import tqdm
    return tqdm(**options)
