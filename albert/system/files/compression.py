"""Compressed files: opened by their first bytes, and what reading a damaged one raises."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import Any, Iterator

from albert.system.errors import UsageError

# What reading a damaged, cut-off or foreign file raises, however it is compressed.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)

_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_PIECE = 4 << 10  # one of Zstandard unpacks at once, at worst to 32,000 times its size


def open_binary(path: str) -> io.BufferedIOBase:
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
