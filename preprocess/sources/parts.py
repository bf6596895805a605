"""What is in a file: itself, or the members of an archive, each unpacked as it is read."""

import io
import shutil
import tarfile
import tempfile
import zipfile
from typing import Any, Iterator, NamedTuple

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED, decompressed, head_of, opened

_ZIP, _TAR, _TAR_AT = (b"PK\x03\x04", b"PK\x05\x06"), b"ustar", 257
_OFFICE = ("[Content_Types].xml", "mimetype")
_DEEPEST = 4  # archives in archives; some unpack to themselves for ever


class Part(NamedTuple):
    """Something to be read.

    Attributes:
      name: The file, or file/member.
      stream: Its bytes, unpacked, with `peek`. Of a member it ends when the next part is asked for.
      raw: The open file, whose place says how much of it was read.
      is_file: Whether it is the file itself, not a member of an archive.
    """

    name: str
    stream: Any
    raw: Any
    is_file: bool


def parts(path: str) -> Iterator[Part]:
    """What is in a file, in its order.

    Raises:
      UsageError: It cannot be opened, or is a damaged archive or one that is not read.
    """
    with opened(path) as raw:
        yield from _inside(path, raw, raw, 0)


def on_disk(stream: Any) -> Any:
    """A stream in which one can go back and forth: itself, or a copy in a temporary file."""
    if isinstance(getattr(stream, "raw", None), io.FileIO):
        return stream
    copy = tempfile.TemporaryFile()  # gone when it is no longer used
    shutil.copyfileobj(stream, copy, 1 << 20)
    copy.seek(0)
    return copy


def _is_left_out(name: str) -> bool:
    """Whether a file of a folder or archive is none of its content: hidden, or of a system."""
    return any(piece.startswith(".") or piece == "__MACOSX" for piece in name.split("/"))


def _inside(name: str, packed: Any, raw: Any, depth: int) -> Iterator[Part]:
    try:
        stream = decompressed(packed, name)
        head = head_of(stream)
        if head.startswith(_ZIP):
            members = _zip_members(name, stream)
        elif head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
            members = _tar_members(stream)
        else:
            yield Part(name, stream, raw, not depth)
            return
        if depth == _DEEPEST:
            raise UsageError("{}: archives lie {} deep in each other.".format(name, depth))
        for inner, member in members:
            if not _is_left_out(inner):
                shown = "".join(c if c.isprintable() else "?" for c in inner)
                yield from _inside("{}/{}".format(name, shown), member, raw, depth + 1)
    except DAMAGED as error:
        raise UsageError("{} is damaged or cut off ({}).".format(name, error)) from error
    except (NotImplementedError, RuntimeError) as error:  # as zipfile says it
        raise UsageError("{} cannot be unpacked ({}).".format(name, error)) from error


def _zip_members(name: str, stream: Any) -> Iterator[Any]:
    with zipfile.ZipFile(on_disk(stream)) as archive:
        names = archive.namelist()
        if _OFFICE[0] in names or names[:1] == [_OFFICE[1]]:
            raise UsageError(
                "{} is an office document, not text. Save it as text first.".format(name)
            )
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as opened_member:
                    yield member.filename, opened_member


def _tar_members(stream: Any) -> Iterator[Any]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # else all are remembered
            if member.isfile():
                yield member.name, archive.extractfile(member)
