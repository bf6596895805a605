"""Sources as runs of whole documents: what records and tokenizers are made of."""

from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

from albert.system.errors import UsageError
from albert.system.files.compression import head_of
from preprocess.sources import cutting
from preprocess.sources.cutting import Document
from preprocess.sources.decoding import Texts, not_utf8, strict_utf8, wide_encoding
from preprocess.sources.documents import TABLES, Layout, documents, kind_of
from preprocess.sources.parts import Part, parts

AS_THEY_ARE = Layout()


class TextBlock(NamedTuple):
    """A run of whole documents of one file.

    Attributes:
      number: Place of the block in the whole input.
      file_index: Which of the input files.
      path: That file.
      offset: Where the block begins in the text of the file.
      data: The bytes.
      progress: Bytes of the file on disk read so far.
    """

    number: int
    file_index: int
    path: str
    offset: int
    data: bytes
    progress: int


def read_blocks(
    paths: List[str], layout: Layout = AS_THEY_ARE, block_bytes: Optional[int] = None
) -> Iterator[TextBlock]:
    """Cuts files into runs of whole documents, always at the same places.

    Plain text is handed on as it is, a sentence a line and a blank line between documents; of all
    else such text is made.

    Raises:
      UsageError: A file cannot be read to its end, or holds no text.
    """
    number = 0
    for file_index, path in enumerate(paths):
        base = 0
        for part in parts(path):
            offset, data = 0, b""
            for offset, data in _of_part(part, block_bytes or cutting.BLOCK_BYTES, layout):
                done = part.raw.tell()
                yield TextBlock(number, file_index, path, base + offset, data, done)
                number += 1
            base += offset + len(data)


def _of_part(part: Part, block_bytes: int, layout: Layout) -> Iterator[Tuple[int, bytes]]:
    kind = kind_of(part, layout)
    if kind not in TABLES and wide_encoding(head_of(part.stream)):
        raise not_utf8(part.name, 0)
    if kind == "txt" and part.is_file:
        return cutting.cut(part.stream, part.name, block_bytes)
    texts = Texts(part.stream, part.name, strict=True)
    return _written(_named(documents(part, kind, layout, texts), part.name), block_bytes)


def _named(found: Iterable[Document], name: str) -> Iterator[Document]:
    """The documents of a part; what is wrong with it is said with its name."""
    try:
        yield from found
    except UsageError as error:
        told = str(error)
        raise UsageError(told if told.startswith(name) else "{}: {}".format(name, told)) from error
    except RecursionError as error:
        raise UsageError("{} is nested too deeply.".format(name)) from error


def _written(found: Iterable[Document], block_bytes: int) -> Iterator[Tuple[int, bytes]]:
    """Documents as plain text, in runs of about `block_bytes`."""
    offset, size = 0, 0
    waiting: List[bytes] = []
    for document in found:
        # Halves of characters, which JSON can have, are none.
        data = "\n".join(document + ["", ""]).encode("utf-8", "ignore")
        waiting.append(data)
        size += len(data)
        if size >= block_bytes:
            yield offset, b"".join(waiting)
            offset, size, waiting = offset + size, 0, []
    if waiting:
        yield offset, b"".join(waiting)


def decode_utf8(block: TextBlock) -> str:
    """The text of a block.

    Raises:
      UsageError: The bytes are not UTF-8; the message names the offset.
    """
    return strict_utf8(block.data, block.path, block.offset)
