"""Extraction of an archive by a stranger: regular files and folders, or nothing at all."""

import contextlib
import os
import tarfile
from typing import IO, List, cast

from albert.formats.release.names import safe_parts
from albert.formats.release.stream import BoundedStream, Limits
from albert.system.errors import UsageError, quoted

_PIECE = 256 << 10
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def extract(
    archive: str,
    directory: str,
    limits: Limits = Limits(),  # noqa: B008  (a NamedTuple does not change)
) -> None:
    """Extracts a `.tar.gz` into a new, empty folder.

    Owners, modes and times are not taken over. What was written when an archive is refused stays:
    extract into a folder that can be thrown away.

    Args:
      archive: Path of the file.
      directory: The folder.
      limits: How much it may hold.

    Raises:
      UsageError: It is damaged, too large, or holds more than files and folders of plain names.
    """
    try:
        with contextlib.closing(BoundedStream(archive, limits)) as stream:
            _extract_members(stream, directory, limits.members)
            _check_end(stream)
    except UsageError as reason:
        raise UsageError("{} was not unpacked: {}".format(archive, reason)) from reason
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise UsageError(
            "{} was not unpacked: it is damaged or no tar archive ({}).".format(archive, error)
        ) from error


def _extract_members(stream: BoundedStream, directory: str, most: int) -> None:
    folders = set()
    count = 0
    readable = cast(IO[bytes], stream)  # that is all tarfile does with it
    for member in tarfile.TarFile(fileobj=readable, encoding="utf-8"):
        stream.renew_headers()
        count += 1
        if count > most:
            raise UsageError("it holds more than {:,} files.".format(most))
        parts = safe_parts(member.name)
        try:
            if member.isdir() and tuple(parts) not in folders:
                folders.add(tuple(parts))
                os.makedirs(os.path.join(directory, *parts), exist_ok=True)
            elif member.isdir():
                raise FileExistsError
            else:
                _extract_file(stream, member, directory, parts)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            # The disk says it, because disks differ in which names they hold for the same.
            raise UsageError("{} is in it twice.".format(quoted(member.name))) from error
    if not os.listdir(directory):
        raise UsageError("it is empty.")


def _extract_file(
    stream: BoundedStream, member: tarfile.TarInfo, directory: str, parts: List[str]
) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not plain or not parts:
        kind = _KINDS.get(member.type, "of an unknown kind")
        raise UsageError("{} is {}.".format(quoted(member.name), kind))
    if member.size < 0:
        raise UsageError("{} has a negative size.".format(quoted(member.name)))
    stream.check_room(member.size)
    stream.seek(member.offset_data)
    path = os.path.join(directory, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as handle:
        left = member.size
        while left:
            piece = stream.take(min(left, _PIECE))
            if not piece:
                raise UsageError("{} is cut short.".format(quoted(member.name)))
            handle.write(piece)
            left -= len(piece)


def _check_end(stream: BoundedStream) -> None:
    """Tarfile takes any block that is no header for the end; and gzip checks its sum there."""
    piece = stream.last
    if len(piece) < tarfile.BLOCKSIZE:
        raise UsageError("it is cut short.")
    while piece:
        if piece.strip(b"\0"):
            raise UsageError("it is damaged: there is something else than a header after a file.")
        piece = stream.take(_PIECE)
