"""Streams of bytes cut into runs, always at the same places, in bounded memory."""

from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from absl import logging

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED

BLOCK_BYTES = 2 << 20
# A document longer than this is cut at a line end, so that memory stays flat.
LONGEST_DOCUMENT = 4 * BLOCK_BYTES
_TOO_LONG = "holds a document of more than {} MB (no blank line for that long); it is cut"

Document = List[str]  # its paragraphs


def after_documents(data: bytes) -> int:
    """Where the last whole document of some plain text ends; 0 if none does."""
    unix, windows = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
    return max(unix + 2 if unix >= 0 else 0, windows + 3 if windows >= 0 else 0)


def after_lines(data: bytes) -> int:
    """Where the last whole line ends; 0 if none does."""
    return data.rfind(b"\n") + 1


def cut(
    stream: Any,
    name: str,
    block_bytes: int,
    boundary: Callable[[bytes], int] = after_documents,
    longest: Optional[int] = None,
) -> Iterator[Tuple[int, bytes]]:
    """Yields (offset, bytes) of runs of whole documents, or of whole lines.

    Args:
      stream: The bytes.
      name: For messages.
      block_bytes: About how long the runs are.
      boundary: Where the last of what must stay together ends in some bytes.
      longest: Beyond how many bytes it is cut all the same; `LONGEST_DOCUMENT` if None.

    Raises:
      UsageError: The stream cannot be read to its end.
    """
    offset, kept, warned = 0, b"", boundary is not after_documents
    while True:
        try:
            fresh = stream.read(block_bytes)
        except DAMAGED as error:
            raise UsageError("{} is damaged or cut off ({}).".format(name, error)) from error
        kept += fresh
        if not fresh:
            break
        end = boundary(kept)
        if not end:
            if len(kept) < (longest or LONGEST_DOCUMENT):
                continue
            end = max(kept.rfind(b"\n"), kept.rfind(b" ")) + 1 or _before_character(kept)
            if not warned:
                logging.warning("%s %s", name, _TOO_LONG.format(LONGEST_DOCUMENT >> 20))
                warned = True
        yield offset, kept[:end]
        offset, kept = offset + end, kept[end:]
    if kept:
        yield offset, kept


def _before_character(data: bytes) -> int:
    """The length without the last character of UTF-8, which may not be whole."""
    end = len(data) - 1
    while end > len(data) - 4 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def bounded(paragraphs: Iterable[str]) -> Iterator[Document]:
    """One document, or several where it is longer than `LONGEST_DOCUMENT`."""
    document: Document = []
    size = 0
    for paragraph in paragraphs:
        document.append(paragraph)
        size += len(paragraph)
        if size > LONGEST_DOCUMENT:
            yield document
            document, size = [], 0
    if document:
        yield document
