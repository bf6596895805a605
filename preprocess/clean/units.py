"""Pieces of the input to clean documents: the part of cleaning that runs in parallel."""

import os
import pickle
from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.system.errors import UsageError
from albert.system.files.atomic import published
from albert.system.files.names import shard_names
from preprocess.clean import dedup, sentences, split, text
from preprocess.clean.pieces import UNREADABLE, Piece, Unit, told_of
from preprocess.sources.cutting import Document
from preprocess.sources.decoding import decode
from preprocess.sources.documents import Layout, documents_of_text
from preprocess.workspace import Workspace


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
    layout: Layout = Layout()
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

    @property
    def written_files(self) -> List[str]:
        """Where documents go."""
        return self.output_files + ([self.held_out_file] if self.valid_fraction > 0 else [])


class Cleaned(NamedTuple):
    """One clean document; `sketch` is None unless near-duplicates are looked for."""

    digest: bytes
    text: str
    held_out: bool
    sketch: Optional[np.ndarray]


class Outcome(NamedTuple):
    """What became of a piece.

    Attributes:
      piece: The piece, without its content.
      documents: Clean documents, in order.
      empty: Documents in which nothing was left.
    """

    piece: Piece
    documents: List[Cleaned]
    empty: int


def clean_unit(job: Tuple[str, Unit, CleanOptions]) -> str:
    """Cleans a unit and leaves its size and the `Outcome` of each piece in a file.

    A file that is there already is left alone. The job is (folder, unit, options).
    """
    folder, unit, options = job
    path = Workspace(folder).cleaned(unit.number)
    if not os.path.exists(path):
        outcomes = [_outcome(piece, options) for piece in unit.pieces]
        with published(path) as handle:
            pickle.dump((unit.size, outcomes), handle, protocol=4)
    return path


def _outcome(piece: Piece, options: CleanOptions) -> Outcome:
    bare = piece._replace(content=b"")
    if piece.error:
        return Outcome(bare, [], 0)
    found: Iterable[Document]
    try:
        if isinstance(piece.content, list):
            found = piece.content
        else:
            decoded = decode(piece.content)
            bare = bare._replace(encoding=decoded.encoding, replaced=decoded.replaced)
            if not decoded.text.strip():
                raise UsageError("It is empty.")
            layout = options.layout
            if piece.text_field:
                layout = layout._replace(text_field=piece.text_field)
            found = documents_of_text([decoded.text], piece.kind, layout)
        split_paragraph = sentences.splitter(options.splitter, options.language)
        cleaned = [_clean_document(paragraphs, options, split_paragraph) for paragraphs in found]
    except UNREADABLE as error:
        return Outcome(bare._replace(error=told_of(error, piece.name)), [], 0)
    kept = [document for document in cleaned if document is not None]
    return Outcome(bare, kept, len(cleaned) - len(kept))


def _clean_document(
    paragraphs: Document, options: CleanOptions, split_paragraph: Callable[[str], List[str]]
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
