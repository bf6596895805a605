"""Compressed files: opened by their first bytes, and what reading a damaged one raises."""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from typing import Any, Iterator, Optional

from albert.system.errors import UsageError

# What reading a damaged, cut-off or foreign file raises, however it is compressed or packed.
DAMAGED = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)

_HEAD = 4 << 10  # bytes that tell what a file is
_BINARY = "binary, not text. Convert it to text first"
_OFFICE = "an office document, not text. Save it as text first"
_NO_ARCHIVE = "a {} archive, which cannot be read. Pack its files as .tar or .zip"
# How files begin that hold no text, and what they are.
_NO_TEXT = (
    (b"7z\xbc\xaf\x27\x1c", _NO_ARCHIVE.format("7z")),
    (b"Rar!", _NO_ARCHIVE.format("RAR")),
    (
        b"SQLite format 3\x00",
        "a SQLite database, not text. Write its text as JSON lines or CSV first",
    ),
    (b"%PDF-", "a PDF, not text. Extract its text first: pdftotext"),
    (b"\xd0\xcf\x11\xe0", _OFFICE),
)
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_SPACES = b"\t\n\r\f\x1b"

_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_PIECE = 4 << 10  # one of Zstandard unpacks at once, at worst to 32,000 times its size


def opened(path: str) -> io.BufferedReader:
    """Opens a file for its bytes.

    Raises:
      UsageError: It cannot be opened.
    """
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError("Cannot read {} ({}).".format(path, error.strerror)) from error


def decompressed(stream: Any, name: str) -> Any:
    """A stream, or what it unpacks to (.gz, .bz2, .xz, .zst), by its first bytes.

    Reading what is not whole raises one of `DAMAGED`.

    Args:
      stream: Bytes, with `peek`; so has the result.
      name: For messages.

    Raises:
      UsageError: It is .zst and zstandard is not installed.
    """
    magic = stream.peek(_HEAD)[:6]
    if magic.startswith(_ZSTANDARD):
        return _open_zstandard(stream, name)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if magic == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(stream)
    return stream


def head_of(stream: Any) -> bytes:
    """The first bytes of a stream, which stay in it; b"" where they cannot be read.

    Who reads it is told why.
    """
    try:
        return stream.peek(_HEAD)[:_HEAD]
    except DAMAGED:
        return b""


def what_is(head: bytes) -> str:
    """What a file is that begins like this, and what to do with it; "" where it may be text.

    >>> what_is(b"%PDF-1.7")
    'a PDF, not text. Extract its text first: pdftotext'
    """
    for magic, what in _NO_TEXT:
        if head.startswith(magic):
            return what
    if head[:4] in _MARKS or head[:2] in _MARKS:
        return ""
    zeros, odd = head.count(0), head[1::2].count(0)
    if zeros * 5 > len(head):  # UTF-16 has them in one byte of each pair
        mixed = max(odd, zeros - odd) * 10 < zeros * 8
        return _BINARY if mixed else ""
    controls = sum(byte < 32 and byte not in _SPACES for byte in head)
    return _BINARY if controls * 10 > len(head) else ""


def _open_zstandard(stream: Any, name: str) -> io.BufferedReader:
    try:
        import zstandard
    except ImportError as error:
        raise UsageError(
            "{} is compressed with Zstandard; install it with `pip install zstandard` or "
            "decompress the file first.".format(name)
        ) from error
    return io.BufferedReader(_ZstandardFile(stream, zstandard))


class _ZstandardFile(io.RawIOBase):
    """What a file of Zstandard frames unpacks to.

    zstandard's own reader takes a cut-off for the end, and ends after the first frame.
    """

    def __init__(self, stream: Any, zstandard: Any) -> None:
        self._raw = stream
        self._pieces = self._unpacked(zstandard)
        self._rest = memoryview(b"")
        self._failed: Optional[Exception] = None

    def _unpacked(self, zstandard: Any) -> Iterator[bytes]:
        packed = self._raw.read(_PIECE)
        while packed:
            frame = zstandard.ZstdDecompressor().decompressobj()
            while not frame.eof:
                if not packed:
                    raise EOFError("the file ends inside a Zstandard frame")
                try:
                    yield frame.decompress(packed)
                except zstandard.ZstdError as error:
                    raise OSError(str(error)) from error
                packed = frame.unused_data or self._raw.read(_PIECE)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if self._failed:
                raise self._failed  # again: who has looked at the beginning alone went on
            try:
                piece = next(self._pieces, None)
            except DAMAGED as error:
                self._failed = error
                raise
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
