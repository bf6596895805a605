"""Commands of the project as processes of their own."""

import os
import signal
import subprocess
import sys
from typing import Dict, Sequence

import albert


def with_package() -> Dict[str, str]:
    """The environment in which a process finds the package that this one has."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(albert.__file__)))
    known = os.environ.get("PYTHONPATH")
    return dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""))


def call(words: Sequence[str]) -> int:
    """Runs `python -m WORDS`; a signal to us is its signal, and its end is waited for.

    Returns:
      Its exit code; below 0 the number of the signal that killed it.
    """
    # Its own group, so that a key pressed on the terminal reaches it once: through us.
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, start_new_session=True, env=with_package()) as child:
        try:
            return child.wait()
        except BaseException as stopped:
            interrupted = isinstance(stopped, KeyboardInterrupt)
            child.send_signal(signal.SIGINT if interrupted else signal.SIGTERM)
            child.wait()
            raise
