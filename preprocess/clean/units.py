"""Single files to clean documents: the part of cleaning that runs in parallel."""

import os
import pickle
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.system.errors import UsageError
from albert.system.files.atomic import published
from albert.system.files.compression import DAMAGED, open_text
from albert.system.files.names import shard_names
from preprocess import inputs
from preprocess.clean import decoding, dedup, extract, sentences, split, text

_HEAD_BYTES = 1 << 16
# Of one file, and no reason to end the job. JSON may be nested too deeply for its reader.
_UNREADABLE = (UsageError, RecursionError) + DAMAGED


class CleanOptions(NamedTuple):
    """What is cleaned and how.

    Attributes:
      input_file: Globs or a comma list.
      output_file: Clean documents; with `num_files` above 1 a pattern as for records.
      valid_file: Held-out documents; "" puts ".valid" into the name of `output_file`.
      valid_fraction: Share of documents to hold out.
      num_files: Files that the kept documents are spread over.
      dedup: "exact", "near" or "none".
      splitter: Sentence splitter, see `sentences.splitter`.
      language: For the splitter.
      layout: How documents are found in files.
      cleaning: What is removed from paragraphs.
    """

    input_file: str
    output_file: str
    valid_file: str = ""
    valid_fraction: float = 0.0
    num_files: int = 1
    dedup: str = "exact"
    splitter: str = "auto"
    language: str = "ms"
    layout: extract.Layout = extract.Layout()
    cleaning: text.CleaningRules = text.DEFAULTS

    @property
    def held_out_file(self) -> str:
        """Where held-out documents go."""
        stem, extension = os.path.splitext(self.output_file)
        return self.valid_file or stem + ".valid" + extension

    @property
    def output_files(self) -> List[str]:
        """Where kept documents go."""
        return shard_names(self.output_file, self.num_files)


class Unit(NamedTuple):
    """A file, or a run of documents of a large one, to be cleaned in one go.

    Attributes:
      number: Place in the whole input.
      path: The file.
      kind: Its format.
      data: The run; None stands for the whole file.
      json_field: Path of the text, chosen once for all runs of a file; "" if there is one run.
      size: Bytes, for the progress.
      error: Why the file could not be read so far; "" if it could.
    """

    number: int
    path: str
    kind: str
    data: Optional[bytes]
    json_field: str
    size: int
    error: str


class Cleaned(NamedTuple):
    """One clean document; `sketch` is None unless near-duplicates are looked for."""

    digest: bytes
    text: str
    held_out: bool
    sketch: Optional[np.ndarray]


class Outcome(NamedTuple):
    """What became of a unit.

    Attributes:
      unit: The unit, without its data.
      documents: Clean documents, in order.
      empty: Documents in which nothing was left.
      encoding: What the bytes were taken for.
      replaced: Characters that could not be decoded.
      error: Why the file could not be read; "" if it could.
    """

    unit: Unit
    documents: List[Cleaned]
    empty: int
    encoding: str
    replaced: int
    error: str


def units(paths: List[str], layout: extract.Layout) -> Iterator[Unit]:
    """Cuts the input into units; large text and JSON-lines files into several."""
    number = 0
    for path in paths:
        for unit in _units_of_file(path, layout):
            yield unit._replace(number=number)
            number += 1


def _units_of_file(path: str, layout: extract.Layout) -> Iterator[Unit]:
    size, kind = os.path.getsize(path), "unknown"
    try:
        kind, streams = _examine(path, layout)
        if not streams:
            yield Unit(0, path, kind, None, "", size, "")
            return
        at_lines = kind == "jsonl" or layout.documents == "line"
        field = ""
        for offset, data in inputs.cut(path, inputs.BLOCK_BYTES, at_lines):
            if kind == "jsonl" and not field:
                field = layout.json_field or extract.guess_field(decoding.decode(data).text)
            yield Unit(0, path, kind, data, field, max(0, min(size - offset, len(data))), "")
    except _UNREADABLE as error:
        yield Unit(0, path, kind, None, "", 0, _without_name(error, path))


def _examine(path: str, layout: extract.Layout) -> Tuple[str, bool]:
    """The format of a file, and whether it can be cut into runs of documents."""
    with open_text(path) as stream:
        head = stream.read(_HEAD_BYTES)
    kind = layout.format
    if kind == "auto":
        kind = extract.guess_format(path, decoding.decode(head).text)
    is_utf8 = b"\x00" not in head and not decoding.decode(head[:-4]).replaced
    large = len(head) == _HEAD_BYTES and os.path.getsize(path) > inputs.BLOCK_BYTES // 4
    return kind, large and is_utf8 and kind in ("txt", "jsonl") and layout.documents != "file"


def clean_unit(job: Tuple[str, Unit, CleanOptions]) -> str:
    """Cleans a unit and leaves its `Outcome` in a file; job is (folder, unit, options)."""
    folder, unit, options = job
    path = os.path.join(folder, "unit-{:08d}".format(unit.number))
    with published(path) as handle:
        pickle.dump(_outcome(unit, options), handle, protocol=4)
    return path


def _outcome(unit: Unit, options: CleanOptions) -> Outcome:
    bare = unit._replace(data=None)
    if unit.error:
        return Outcome(bare, [], 0, "", 0, unit.error)
    try:
        data = unit.data
        if data is None:
            with open_text(unit.path) as stream:
                data = stream.read()
        decoded = decoding.decode(data)
        if not decoded.text.strip():
            raise UsageError("It is empty.")
        layout = options.layout
        if unit.json_field:
            layout = layout._replace(json_field=unit.json_field)
        split_paragraph = sentences.splitter(options.splitter, options.language)
        found = [
            _clean_document(paragraphs, options, split_paragraph)
            for paragraphs in extract.documents(decoded.text, unit.kind, layout)
        ]
    except _UNREADABLE as error:
        return Outcome(bare, [], 0, "", 0, _without_name(error, unit.path))
    kept = [document for document in found if document is not None]
    return Outcome(bare, kept, len(found) - len(kept), decoded.encoding, decoded.replaced, "")


def _without_name(error: Exception, path: str) -> str:
    """What is wrong with a file, for a message that begins with its name."""
    told = str(error)
    return "It" + told[len(path) :] if told.startswith(path + " is ") else told


def _clean_document(
    paragraphs: extract.Document, options: CleanOptions, split_paragraph: Callable[[str], List[str]]
) -> Optional[Cleaned]:
    lines = []
    for paragraph in paragraphs:
        for sentence in split_paragraph(text.clean(paragraph, options.cleaning)):
            if any(character.isalnum() for character in sentence):
                lines.append(sentence)
    if not lines:
        return None
    document = "\n".join(lines)
    return Cleaned(
        split.document_hash(document),
        document,
        split.is_validation(document, options.valid_fraction),
        dedup.signature(document) if options.dedup == "near" else None,
    )
