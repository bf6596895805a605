"""What can be read once, standard input and pipes, as files that can be read again."""

import contextlib
import hashlib
import os
import stat
from typing import Any, NamedTuple

from albert.system.errors import UsageError
from albert.system.files.sums import sha256_file

STANDARD_INPUT, _DESCRIPTOR = "-", 0
_PIECE = 1 << 20


class NothingPiped(UsageError):
    """Nothing comes through a pipe."""


class Copy(NamedTuple):
    """A file with all that came through a pipe."""

    path: str
    size: int
    sha256: str


def is_pipe(name: str) -> bool:
    """Whether a name stands for something that can be read once."""
    if name == STANDARD_INPUT:
        return True
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISFIFO(os.stat(name).st_mode)
    return False


def copied(name: str, flag: str, path: str) -> Copy:
    """Copies what comes through a pipe into a new file.

    Raises:
      NothingPiped: Nothing comes.
      UsageError: It cannot be read, or there is no room for it.
    """
    standard = name == STANDARD_INPUT
    if standard and _is_terminal():
        raise NothingPiped(
            "--{0}=- reads standard input, and nothing is piped into it. For example: "
            "zcat text.txt.gz | COMMAND --{0}=-".format(flag)
        )
    try:
        opened = open(_DESCRIPTOR if standard else name, "rb", closefd=not standard)
        with opened as source, open(path, "xb") as target:
            copy = _copy(source, target, path)
    except OSError as error:
        raise UsageError("Cannot copy --{}={} ({}).".format(flag, name, error.strerror)) from error
    if not copy.size:
        os.remove(path)
        raise NothingPiped("Nothing came through --{}={}.".format(flag, name))
    return copy


def kept(name: str, flag: str, path: str) -> None:
    """Leaves a copy that stays, so that a job goes on with it; an equal one stays as it is.

    Where nothing comes through the pipe, that of before is meant.

    Raises:
      UsageError: As `copied`.
    """
    there, fresh = os.path.exists(path), path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.remove(fresh)  # of one that was killed
    try:
        copy = copied(name, flag, fresh)
    except NothingPiped:
        if not there:
            raise
        return
    if there and copy.sha256 == sha256_file(path):
        os.remove(fresh)
    else:
        os.replace(fresh, path)


def _is_terminal() -> bool:
    with contextlib.suppress(OSError):
        return os.isatty(_DESCRIPTOR)
    return False


def _copy(source: Any, target: Any, path: str) -> Copy:
    digest, size = hashlib.sha256(), 0
    for piece in iter(lambda: source.read(_PIECE), b""):
        digest.update(piece)
        target.write(piece)
        size += len(piece)
    return Copy(path, size, digest.hexdigest())
