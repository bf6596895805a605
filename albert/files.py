"""Files that are either whole or absent: written aside, synced, then renamed."""

import contextlib
import os
from typing import IO, Iterator

from albert.errors import UsageError


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a temporary file beside `path` and renames it to `path` when the block succeeds.

    A reader sees the old content or the complete new content, never a part. When the block
    raises, `path` is untouched and the temporary file is removed.
    """
    aside = "{}.{}.tmp".format(path, os.getpid())
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(aside, mode, **text) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Makes renames inside a directory durable."""
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_writable_directory(path: str, flag: str) -> None:
    """Creates a directory and proves that a file can be written in it.

    Raises:
      UsageError: The path is a file, or the directory cannot be made or written.
    """
    probe = os.path.join(path, ".write-test.{}".format(os.getpid()))
    try:
        os.makedirs(path, exist_ok=True)
        with open(probe, "w"):
            pass
        os.remove(probe)
    except OSError as error:
        raise UsageError(
            "Cannot write to {}={} ({}). Choose a folder you may write to.".format(
                flag, path, error.strerror
            )
        ) from error


def ensure_new_directory(path: str, flag: str) -> None:
    """Creates a directory that holds nothing yet, so that old and new files are never mixed.

    Raises:
      UsageError: It holds something, or cannot be written.
    """
    if os.path.isdir(path) and os.listdir(path):
        raise UsageError("{}={} is not empty. Choose a new folder, or empty it.".format(flag, path))
    ensure_writable_directory(path, flag)
