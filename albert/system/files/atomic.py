"""Files and folders that are either whole or absent: written aside, synced, then renamed."""

import contextlib
import fcntl
import glob
import os
import shutil
import socket
from typing import IO, Any, Dict, Iterator

from albert.system.errors import UsageError


@contextlib.contextmanager
def atomic_write(path: str, mode: str = "w") -> Iterator[IO]:
    """Opens a temporary file beside `path` and renames it to `path` when the block succeeds.

    A reader sees the old content or the complete new content, never a part. When the block
    raises, `path` is untouched and the temporary file is removed.
    """
    aside = _aside(path)
    text: Dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(aside, mode.replace("w", "x"), **text) as handle:  # x follows no link
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise
    sync_directory(os.path.dirname(path))


@contextlib.contextmanager
def published(path: str) -> Iterator[IO[bytes]]:
    """Writes a work file aside and renames it: `atomic_write` in a folder that goes as a whole.

    Under the final name it is complete. After a power cut it may be absent, and is made again.
    """
    aside = "{}.{}".format(path, os.getpid())
    with open(aside, "wb") as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(aside, path)


@contextlib.contextmanager
def atomic_directory(path: str, flag: str) -> Iterator[str]:
    """Yields a new folder that becomes `path` when the block succeeds; else nothing is left.

    Raises:
      UsageError: `path` holds something already, or cannot be made.
    """
    path = os.path.realpath(path)
    check_holds_nothing(path, flag)
    with contextlib.ExitStack() as made:
        try:
            # That of the folder inside, too: what is in it may say it.
            name = os.path.basename(path)
            for above in _above(path):  # where it was while folders between were missing
                _aside(os.path.join(above, name))
            work = work_directory(nearest_directory(path), name)
            new = os.path.join(made.enter_context(work), name)
            os.mkdir(new)
        except OSError as error:
            raise _cannot_write(path, flag, error) from error
        yield new
        for folder, _, names in os.walk(new):
            for name in names:
                with open(os.path.join(folder, name), "rb") as handle:
                    os.fsync(handle.fileno())
            sync_directory(folder)
        make_directory(os.path.dirname(path))
        os.replace(new, path)
    sync_directory(os.path.dirname(path))


@contextlib.contextmanager
def work_directory(place: str, name: str) -> Iterator[str]:
    """A folder in `place` for the time of the block, named after what it is for; only its user's.

    Raises:
      OSError: It cannot be made.
    """
    aside = _aside(os.path.join(place, name))
    os.mkdir(aside, 0o700)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(path: str) -> str:
    """A name beside `path` that says whose it is; what dead processes left under such names goes.

    It has the machine in it, whose processes alone can be asked whether they live.
    """
    start = "{}.{}-".format(path, socket.gethostname())
    for left in glob.glob(glob.escape(start) + "*.tmp"):
        number = left[len(start) : -len(".tmp")]
        if number.isdigit() and not _lives_beside_us(int(number)):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if os.path.isdir(left) else os.remove(left)
    return "{}{}.tmp".format(start, os.getpid())


def _lives_beside_us(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return process != os.getpid()


def nearest_directory(path: str) -> str:
    """The folder that `path` is in or, while that does not exist, the first one above it."""
    return next(above for above in _above(path) if os.path.lexists(above))


def _above(path: str) -> Iterator[str]:
    """The folders that `path` is in, the nearest first."""
    above = os.path.dirname(os.path.realpath(path))
    while above != os.path.dirname(above):
        yield above
        above = os.path.dirname(above)
    yield above


def make_directory(path: str) -> None:
    """Makes a folder, and those above it that are missing, so that a power cut leaves them."""
    missing = [os.path.realpath(path)]
    while not os.path.lexists(missing[-1]):
        missing.append(os.path.dirname(missing[-1]))
    os.makedirs(path, exist_ok=True)
    for above in missing[1:]:
        sync_directory(above)


def sync_directory(path: str) -> None:
    """Makes renames inside a directory durable."""
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_writable_directory(path: str, flag: str, name: str = ".write-test") -> None:
    """Creates a directory and proves that a file of a name can be written in it.

    Raises:
      UsageError: The path is a file, or the directory cannot be made or written.
    """
    try:
        make_directory(path)
        probe = _aside(os.path.join(path, name))
        with open(probe, "w"):
            pass
        os.remove(probe)
    except OSError as error:
        raise _cannot_write(path, flag, error) from error


@contextlib.contextmanager
def held(directory: str, flag: str) -> Iterator[None]:
    """Keeps other processes out of a folder, as long as they ask, until the block or we end.

    Raises:
      UsageError: Another process holds it.
    """
    path = os.path.join(directory, ".lock")
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _cannot_write(path, flag, error) from error
    with os.fdopen(number, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "Another process is writing to {}. Wait for it, or choose another {}.".format(
                    directory, flag
                )
            ) from error
        except OSError:
            pass  # the file system has no locks
        yield


def ensure_writable_file(path: str, flag: str) -> None:
    """Creates the folder of a file and proves that it can be written.

    Raises:
      UsageError: The path is a folder, a device or a pipe, or the folder it is in cannot be made or
        written.
    """
    if os.path.isdir(path):
        raise UsageError("{}={} is a folder; add a file name.".format(flag, path))
    if os.path.exists(path) and not os.path.isfile(path):  # it would be replaced
        raise UsageError("{}={} is a device or a pipe; name a file.".format(flag, path))
    ensure_writable_directory(os.path.dirname(path) or ".", flag, os.path.basename(path))


def check_holds_nothing(path: str, flag: str) -> None:
    """Raises a UsageError unless `path` is an empty folder or does not exist."""
    if os.path.isdir(path) and os.listdir(path):
        raise UsageError("{}={} is not empty. Choose a new folder, or empty it.".format(flag, path))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UsageError("{}={} is a file. Choose a new folder.".format(flag, path))


def _cannot_write(path: str, flag: str, error: OSError) -> UsageError:
    return UsageError(
        "Cannot write to {}={} ({}). Choose a folder you may write to.".format(
            flag, path, error.strerror
        )
    )
