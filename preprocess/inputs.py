"""Input files, cut into runs of whole documents."""

import io
import os
from typing import Iterator, List, NamedTuple, Tuple

from absl import logging

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED, open_text

BLOCK_BYTES = 2 << 20
# A document longer than this is cut at a line end, so that memory stays flat.
LONGEST_DOCUMENT = 4 * BLOCK_BYTES
_TOO_LONG = "holds a document of more than {} MB (no blank line for that long); it is cut"


class TextBlock(NamedTuple):
    """A run of whole documents of one file.

    Attributes:
      number: Place of the block in the whole input.
      file_index: Which of the input files.
      path: That file.
      offset: Where the block begins in the (uncompressed) file.
      data: The bytes.
      progress: Bytes of the file on disk read so far.
    """

    number: int
    file_index: int
    path: str
    offset: int
    data: bytes
    progress: int


# What is known by its name to be no plain text, without a suffix of compression.
STRUCTURED = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".srt": "srt",
    ".vtt": "srt",
    ".ttml": "ttml",
    ".dfxp": "ttml",
}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def structure_of(path: str) -> str:
    """The format that a file's name promises, "txt" where it promises none.

    >>> structure_of("news.jsonl.gz")
    'jsonl'
    """
    name = path.lower()
    for suffix in _COMPRESSIONS:
        if name.endswith(suffix):
            name = name[: -len(suffix)]
    return STRUCTURED.get(os.path.splitext(name)[1], "txt")


def read_blocks(paths: List[str], block_bytes: int = BLOCK_BYTES) -> Iterator[TextBlock]:
    """Cuts files into runs of whole documents, always at the same places.

    Raises:
      UsageError: A file cannot be read to its end, or holds no plain text.
    """
    number = 0
    for path in paths:
        kind = structure_of(path)
        if kind != "txt":
            raise UsageError(
                "{} is {}, not plain text. Make text of it first: python -m preprocess clean "
                "--input_file={} --output_file=clean.txt".format(path, kind.upper(), path)
            )
    for file_index, path in enumerate(paths):
        with open(path, "rb") as plain:
            size = os.fstat(plain.fileno()).st_size
        for offset, data in cut(path, block_bytes):
            done = min(size, offset + len(data))
            yield TextBlock(number, file_index, path, offset, data, done)
            number += 1


def cut(path: str, block_bytes: int, at_lines: bool = False) -> Iterator[Tuple[int, bytes]]:
    """Yields (offset, bytes) of runs of whole documents, or of whole lines.

    Args:
      path: A file, compressed or not.
      block_bytes: About how long the runs are.
      at_lines: Whether a run may end at any line end, not at blank lines only.

    Raises:
      UsageError: The file cannot be read to its end.
    """
    offset, kept, warned = 0, b"", False
    with open_text(path) as stream:
        while True:
            fresh = _read(stream, block_bytes, path)
            kept += fresh
            if not fresh:
                break
            end = _last_boundary(kept, at_lines)
            if not end:
                if len(kept) < LONGEST_DOCUMENT:
                    continue
                end = max(kept.rfind(b"\n"), kept.rfind(b" ")) + 1 or len(kept)
                if not warned:
                    logging.warning("%s %s", path, _TOO_LONG.format(LONGEST_DOCUMENT >> 20))
                    warned = True
            yield offset, kept[:end]
            offset, kept = offset + end, kept[end:]
    if kept:
        yield offset, kept


def _last_boundary(data: bytes, at_lines: bool) -> int:
    """Where the last whole document (or line) ends; 0 if none does."""
    if at_lines:
        return data.rfind(b"\n") + 1
    unix, windows = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
    return max(unix + 2 if unix >= 0 else 0, windows + 3 if windows >= 0 else 0)


def _read(stream: io.BufferedIOBase, size: int, path: str) -> bytes:
    try:
        return stream.read(size)
    except DAMAGED as error:
        raise UsageError("{} is damaged or cut off ({}).".format(path, error)) from error


def decode_utf8(block: TextBlock) -> str:
    """The text of a block.

    Raises:
      UsageError: The bytes are not UTF-8; the message names the offset.
    """
    data = block.data
    if block.offset == 0 and data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            "{} is not UTF-8 at byte {}. Convert it first: python -m preprocess clean "
            "--input_file={} --output_file=clean.txt".format(
                block.path, block.offset + error.start, block.path
            )
        ) from error
