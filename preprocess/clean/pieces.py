"""The input of cleaning, cut into what a process cleans in one go."""

import os
from typing import Any, Iterator, List, NamedTuple, Tuple, Union

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED
from preprocess.sources import cutting, values
from preprocess.sources.cutting import Document
from preprocess.sources.decoding import Texts, decode, wide_encoding
from preprocess.sources.documents import TABLES, Layout, documents, kind_of
from preprocess.sources.parts import Part, parts

_PIECE_BYTES = 200  # that a piece has besides its content, which may be none
# Of one file, and no reason to end the job. JSON may be nested too deeply for its reader.
UNREADABLE = (UsageError, RecursionError) + DAMAGED


class Piece(NamedTuple):
    """A file, a member of an archive, or a run of documents of one.

    Attributes:
      name: Of the file or member.
      kind: Its format.
      content: Its bytes, or documents that were read of it already.
      text_field: Path of the text, chosen once for all runs of a file; "" if there is one run.
      encoding: What the bytes were taken for, where documents were read of them.
      replaced: Characters of these documents that could not be decoded.
      error: Why it could not be read so far; "" if it could.
    """

    name: str
    kind: str
    content: Union[bytes, List[Document]]
    text_field: str = ""
    encoding: str = ""
    replaced: int = 0
    error: str = ""


class Unit(NamedTuple):
    """Pieces to be cleaned in one go.

    Attributes:
      number: Place in the whole input.
      pieces: In their order.
      size: Bytes of the input on the disk that were read for it.
    """

    number: int
    pieces: List[Piece]
    size: int


class _Beginning:
    """A stream whose first bytes are held, so that one sees whether they are all."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream, self._held = stream, stream.read(size)
        self.is_all = len(self._held) < size

    def peek(self, unused_size: int = 0) -> bytes:
        return self._held

    def read(self, size: int) -> bytes:
        if not self._held:
            return self._stream.read(size)
        data, self._held = self._held[:size], self._held[size:]
        return data


def units(paths: List[str], layout: Layout) -> Iterator[Unit]:
    """The input in units of about equal size: parts of large files, many small ones."""
    number = weight = done = reached = told = 0
    waiting: List[Piece] = []
    for path in paths:
        for piece, place in _pieces_of_file(path, layout):
            waiting.append(piece)
            weight += _weight(piece)
            reached = max(reached, done + place)
            if weight >= cutting.BLOCK_BYTES:
                yield Unit(number, waiting, reached - told)
                number, waiting, weight, told = number + 1, [], 0, reached
        done += os.path.getsize(path)
        reached = done
    if waiting:
        yield Unit(number, waiting, reached - told)


def _weight(piece: Piece) -> int:
    if isinstance(piece.content, bytes):
        return _PIECE_BYTES + len(piece.content)
    return _PIECE_BYTES + sum(len(line) for document in piece.content for line in document)


def _pieces_of_file(path: str, layout: Layout) -> Iterator[Tuple[Piece, int]]:
    """Each piece of a file, and how many of its bytes have been read."""
    try:
        for part in parts(path):
            kind = "unknown"
            try:
                kind = kind_of(part, layout)
                for piece in _pieces(part, kind, layout):
                    yield piece, part.raw.tell()
            except UNREADABLE as error:
                yield Piece(part.name, kind, b"", error=told_of(error, part.name)), 0
    except UNREADABLE as error:
        yield Piece(path, "unknown", b"", error=told_of(error, path)), 0


def _pieces(part: Part, kind: str, layout: Layout) -> Iterator[Piece]:
    """A small part whole, runs of plain text and JSON lines, and else documents."""
    if kind not in TABLES:
        begin = _Beginning(part.stream, cutting.BLOCK_BYTES)
        if begin.is_all:
            yield Piece(part.name, kind, begin.peek())
            return
        part = part._replace(stream=begin)
        if (
            kind in ("txt", "jsonl")
            and layout.documents != "file"
            and not wide_encoding(begin.peek())
        ):
            yield from _runs(part, kind, layout)
            return
    texts = Texts(part.stream, part.name)
    counted = 0
    for batch in _batches(documents(part, kind, layout, texts)):
        replaced, counted = texts.replaced - counted, texts.replaced
        yield Piece(part.name, kind, batch, "", texts.encoding, replaced)


def _runs(part: Part, kind: str, layout: Layout) -> Iterator[Piece]:
    field = layout.text_field
    at_lines = kind == "jsonl" or layout.documents == "line"
    boundary = cutting.after_lines if at_lines else cutting.after_documents
    longest = values.LONGEST_LINE if kind == "jsonl" else None
    for _, data in cutting.cut(part.stream, part.name, cutting.BLOCK_BYTES, boundary, longest):
        if kind == "jsonl" and not field:
            field = values.richest_field(values.json_lines([decode(data).text]))
        yield Piece(part.name, kind, data, field)


def _batches(found: Iterator[Document]) -> Iterator[List[Document]]:
    batch: List[Document] = []
    size = 0
    for document in found:
        batch.append(document)
        size += sum(map(len, document))
        if size >= cutting.BLOCK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def told_of(error: Exception, path: str) -> str:
    """What is wrong with a file, for a message that begins with its name."""
    told = str(error)
    return "It" + told[len(path) :] if told.startswith(path + " is ") else told
