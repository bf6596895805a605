"""SHA-256 of files, one and many: what `sha256sum` prints and `sha256sum -c` reads."""

import hashlib
import os
import re
from typing import Dict, Iterable

from albert.system.errors import quoted
from albert.system.files.atomic import atomic_write

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def sha256_file(path: str) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for piece in iter(lambda: handle.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def write_sha256_sums(path: str, directory: str, names: Iterable[str]) -> None:
    """Writes the sums of some files of a folder, by name."""
    lines = ["{}  {}\n".format(sha256_file(os.path.join(directory, n)), n) for n in names]
    with atomic_write(path) as handle:
        handle.writelines(lines)


def read_sha256_sums(path: str) -> Dict[str, str]:
    """The sums in a file, by name; a name that is no UTF-8 is as `os.fsdecode` has it.

    Raises:
      ValueError: A line is none, or of a name that was there before.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        lines = handle.read().split("\n")
    if not lines[-1]:
        del lines[-1]
    sums: Dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if not match or match.group(2) in sums:
            raise ValueError(
                "line {} is not a new `CHECKSUM  NAME`: {}".format(number, quoted(line))
            )
        sums[match.group(2)] = match.group(1).lower()
    return sums
