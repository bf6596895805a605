"""What a gzip file unpacks to, read forwards only and within limits."""

import gzip
from typing import NamedTuple

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED

# Names and extended headers that tarfile reads between two members; honest ones are below 2 KiB.
_HEADERS = 16 << 10
_BLOCK = 512


class Limits(NamedTuple):
    """How much an archive may unpack to; the largest ALBERT with its optimizer's state is 3 GB.

    Attributes:
      members: Files and folders.
      size: Bytes of everything, headers included.
      ratio: Unpacked bytes for each byte of the archive. Weights hardly shrink, text to a third;
        gzip's own limit is 1032.
      ratio_free: Bytes that may unpack from anything.
    """

    members: int = 1000
    size: int = 8 << 30
    ratio: int = 100
    ratio_free: int = 64 << 20


class BoundedStream:
    """The file object for `tarfile` to read headers from, and for us to take contents from.

    tarfile believes the length that a header gives for a name or an extended header, and reads it
    at once. So `read` has a budget that is renewed for each member; `take` has the limits alone.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        """Opens a file.

        Raises:
          UsageError: It cannot be read or is not compressed by gzip.
        """
        self._limits = limits
        try:
            self._raw = open(path, "rb")
        except OSError as error:
            raise UsageError("it cannot be read ({}).".format(error.strerror)) from error
        self._gzip = gzip.GzipFile(fileobj=self._raw)
        self._position = 0
        self._headers = _HEADERS
        self.last = b""  # what `read` returned last
        if self._raw.peek(2)[:2] != b"\x1f\x8b":
            self.close()
            raise UsageError("it is not compressed by gzip (.tar.gz).")

    def close(self) -> None:
        """Closes the file."""
        self._gzip.close()
        self._raw.close()

    def tell(self) -> int:
        """Bytes read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skips the padding of a member; nothing else is ever skipped."""
        if not 0 <= position - self._position <= _BLOCK:
            raise UsageError("its headers contradict each other.")
        self.take(position - self._position)

    def read(self, size: int) -> bytes:
        """Reads a part of the headers before a member."""
        self._headers -= size
        if size < 0 or self._headers < 0:
            raise UsageError("it has a header of more than {} bytes.".format(_HEADERS))
        self.last = self.take(size)
        return self.last

    def renew_headers(self) -> None:
        """A member was reached; the next one may have as many headers again."""
        self._headers = _HEADERS

    def check_room(self, size: int) -> None:
        """Refuses `size` more bytes if they would be too many, before any is read."""
        if self._position + size > self._limits.size:
            raise UsageError("it unpacks to more than {:,} bytes.".format(self._limits.size))

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end.

        Raises:
          UsageError: The file is damaged, or a limit is passed.
        """
        try:
            data = self._gzip.read(size)
        except DAMAGED as error:
            raise UsageError("it is damaged or cut short ({}).".format(error)) from error
        self._position += len(data)
        self.check_room(0)
        bomb = self._limits.ratio_free + self._limits.ratio * self._raw.tell()
        if self._position > bomb:
            raise UsageError(
                "it unpacks to more than {} times its size.".format(self._limits.ratio)
            )
        return data
