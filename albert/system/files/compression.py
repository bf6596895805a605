"""Compressed files: opened by their first bytes, and what reading a damaged one raises."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from typing import Any, Iterator

from albert.system.errors import UsageError

# What reading a damaged, cut-off or foreign file raises, however it is compressed.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)

_HEAD = 4 << 10  # bytes that tell what a file is
_BINARY = "binary, not text. Convert it to text first"
_TABLE = "a {} table, not text. Write its text as JSON lines or CSV first"
# Where something stands in files that hold no text, and what they are.
_NO_TEXT = (
    (
        0,
        b"PK\x03\x04",
        "a zip archive or an office document, not text. Unpack it first",
    ),
    (257, b"ustar", "a tar archive, not text. Unpack it first: tar -xf"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive, not text. Unpack it first"),
    (0, b"Rar!", "a RAR archive, not text. Unpack it first"),
    (0, b"PAR1", _TABLE.format("Parquet")),
    (0, b"ARROW1", _TABLE.format("Arrow")),
    (0, b"SQLite format 3\x00", _TABLE.format("SQLite")),
    (0, b"%PDF-", "a PDF, not text. Extract its text first: pdftotext"),
    (0, b"\xd0\xcf\x11\xe0", "an office document, not text. Save it as text first"),
)
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_SPACES = b"\t\n\r\f\x1b"

_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_PIECE = 4 << 10  # one of Zstandard unpacks at once, at worst to 32,000 times its size


def open_binary(path: str) -> Any:
    """Opens a file that may be compressed (.gz, .bz2, .xz, .zst), by its first bytes.

    Reading a file that is not whole raises one of `DAMAGED`.

    Raises:
      UsageError: The file cannot be opened, or is .zst and zstandard is not installed.
    """
    try:
        with open(path, "rb") as plain:
            magic = plain.read(6)
        if magic.startswith(_ZSTANDARD):
            return _open_zstandard(path)
        if magic.startswith(b"\x1f\x8b"):
            return gzip.GzipFile(path)
        if magic.startswith(b"BZh"):
            return bz2.BZ2File(path)
        if magic == b"\xfd7zXZ\x00":
            return lzma.LZMAFile(path)
        return open(path, "rb")
    except OSError as error:
        raise UsageError("Cannot read {} ({}).".format(path, error.strerror)) from error


def open_text(path: str) -> Any:
    """Opens a file that holds text in some encoding, compressed or not, as bytes.

    Raises:
      UsageError: As `open_binary`, or what the file holds is no text: names what it is.
    """
    stream = open_binary(path)
    try:
        head = stream.peek(_HEAD)[:_HEAD]
    except DAMAGED:
        return open_binary(path)  # whoever reads it is told
    what = what_is(head)
    if what:
        stream.close()
        raise UsageError("{} is {}.".format(path, what))
    return stream


def what_is(head: bytes) -> str:
    """What a file is that begins like this, and what to do with it; "" where it may be text.

    >>> what_is(b"%PDF-1.7")
    'a PDF, not text. Extract its text first: pdftotext'
    """
    for place, magic, what in _NO_TEXT:
        if head[place : place + len(magic)] == magic:
            return what
    if head[:4] in _MARKS or head[:2] in _MARKS:
        return ""
    zeros, odd = head.count(0), head[1::2].count(0)
    if zeros * 5 > len(head):  # UTF-16 has them in one byte of each pair
        mixed = max(odd, zeros - odd) * 10 < zeros * 8
        return _BINARY if mixed else ""
    controls = sum(byte < 32 and byte not in _SPACES for byte in head)
    return _BINARY if controls * 10 > len(head) else ""


def _open_zstandard(path: str) -> io.BufferedReader:
    try:
        import zstandard
    except ImportError as error:
        raise UsageError(
            "{} is compressed with Zstandard; install it with `pip install zstandard` or "
            "decompress the file first.".format(path)
        ) from error
    return io.BufferedReader(_ZstandardFile(path, zstandard))


class _ZstandardFile(io.RawIOBase):
    """What a file of Zstandard frames unpacks to.

    zstandard's own reader takes a cut-off for the end, and ends after the first frame.
    """

    def __init__(self, path: str, zstandard: Any) -> None:
        self._raw = open(path, "rb")
        self._pieces = self._unpacked(zstandard)
        self._rest = memoryview(b"")

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
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
