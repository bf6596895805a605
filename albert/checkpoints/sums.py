"""SHA-256 of a checkpoint's files, in a file beside them that `sha256sum -c` reads, too."""

import functools
import glob
import os
import re
from typing import Optional

from albert.system.files.atomic import sha256_file, write_sha256_sums

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
    with open(prefix + SUMS_SUFFIX, "rb") as handle:
        lines = handle.read().splitlines()
    own = re.escape(os.fsencode(os.path.basename(prefix)))
    entries = [re.fullmatch(b"([0-9a-f]{64})  (" + own + rb"\.[\w.-]{1,40})", x) for x in lines]
    if len(entries) < 2 or None in entries:
        return "{} is damaged".format(prefix + SUMS_SUFFIX)
    for digest, name in (entry.groups() for entry in entries if entry):
        path = os.path.join(os.path.dirname(prefix), os.fsdecode(name))
        try:
            status = os.stat(path)
            found = _digest(path, status.st_size, status.st_mtime_ns)
        except OSError as error:
            return "{}: {}".format(path, error.strerror)
        if found.encode() != digest:
            return "{} is not what was written (SHA-256)".format(path)
    return None


@functools.lru_cache(maxsize=256)
def _digest(path: str, size: int, time: int) -> str:
    return sha256_file(path)
