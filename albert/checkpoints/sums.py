"""SHA-256 of a checkpoint's files, in a file beside them that `sha256sum -c` reads, too."""

import functools
import glob
import os
import re
from typing import Optional

from albert.system.files.sums import read_sha256_sums, sha256_file, write_sha256_sums

SUMS_SUFFIX = ".sha256"


def write_sums(prefix: str) -> None:
    """Writes `prefix.sha256` for the files of a checkpoint."""
    names = [os.path.basename(path) for path in sorted(glob.glob(glob.escape(prefix) + ".*"))]
    write_sha256_sums(prefix + SUMS_SUFFIX, os.path.dirname(prefix), names)


def has_sums(prefix: str) -> bool:
    """Whether anything tells how the files were written."""
    return os.path.isfile(prefix + SUMS_SUFFIX)


def damage(prefix: str) -> Optional[str]:
    """What is wrong with the files of a checkpoint; None if nothing is, or nothing tells.

    A file that was read once is not read again while its size and time stay.
    """
    if not has_sums(prefix):
        return None
    own = re.compile(re.escape(os.path.basename(prefix)) + r"\.[\w.-]{1,40}")
    try:
        sums = read_sha256_sums(prefix + SUMS_SUFFIX)
    except ValueError:
        sums = {}
    if len(sums) < 2 or not all(own.fullmatch(name) for name in sums):
        return "{} is damaged".format(prefix + SUMS_SUFFIX)
    for name, digest in sums.items():
        path = os.path.join(os.path.dirname(prefix), name)
        try:
            status = os.stat(path)
            found = _digest(path, status.st_size, status.st_mtime_ns)
        except OSError as error:
            return "{}: {}".format(path, error.strerror)
        if found != digest:
            return "{} is not what was written (SHA-256)".format(path)
    return None


@functools.lru_cache(maxsize=256)
def _digest(path: str, size: int, time: int) -> str:
    return sha256_file(path)
