"""Text blocks to piece ids: the only place where text is tokenised, once."""

from itertools import chain
from typing import IO, Dict, List, NamedTuple, Tuple

import numpy as np

from albert.records import counter_rng
from albert.text.vocabulary import Vocabulary, normalize
from preprocess.clean.sentences import splitter
from preprocess.sources.blocks import TextBlock, decode_utf8

# What is too long even as a sentence is cut at words into parts of this share of an example:
# small, since the sentence that fills an example is cut where it ends.
_PART = 8


class Documents(NamedTuple):
    """Tokenised documents, flat.

    Attributes:
      ids: [t] piece ids.
      sentence_offsets: [s + 1] first token of each sentence.
      document_offsets: [d + 1] first sentence of each document.
      keys: [d] uint64, what identifies a document to the random numbers.
    """

    ids: np.ndarray
    sentence_offsets: np.ndarray
    document_offsets: np.ndarray
    keys: np.ndarray


def encode_block(
    block: TextBlock,
    vocabulary: Vocabulary,
    *,
    lower: bool,
    keep_accents: bool,
    seed: int,
    longest: int,
) -> Documents:
    """Tokenises one block.

    A document's key depends on the seed and its place in the input, on nothing else. A line of
    more than `longest` pieces becomes its sentences, and a sentence that is still longer its parts.

    Raises:
      UsageError: The block is not UTF-8.
    """
    lines = [normalize(line, lower, keep_accents) for line in decode_utf8(block).split("\n")]
    present = np.array([bool(line) for line in lines])
    document_of_line = np.cumsum(~present)[present]
    lines = [line for line in lines if line]
    ids, lengths = _encode(lines, vocabulary)
    if (lengths > longest).any():
        split = splitter("rules")
        sentences = [split(line) if n > longest else [line] for line, n in zip(lines, lengths)]
        document_of_line = np.repeat(document_of_line, [len(some) for some in sentences])
        ids, lengths = _encode(list(chain.from_iterable(sentences)), vocabulary)
        counts, lengths = _parts(ids, lengths, vocabulary.word_starts, longest)
        document_of_line = np.repeat(document_of_line, counts)
    document_of_line, lengths = document_of_line[lengths > 0], lengths[lengths > 0]
    _, first = np.unique(document_of_line, return_index=True)
    base = counter_rng.combine(seed, block.file_index, block.offset)
    return Documents(
        ids,
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([first, [len(lengths)]]).astype(np.int64),
        counter_rng.combine(base, np.arange(len(first))),
    )


def _encode(lines: List[str], vocabulary: Vocabulary) -> Tuple[np.ndarray, np.ndarray]:
    pieces = vocabulary.processor.EncodeAsIds(lines)
    lengths = np.array([len(sentence) for sentence in pieces], np.int64)
    ids = np.fromiter(chain.from_iterable(pieces), np.int32, int(lengths.sum()))
    return _resplit(ids, lengths, vocabulary.resplit) if vocabulary.resplit else (ids, lengths)


def _parts(
    ids: np.ndarray, lengths: np.ndarray, word_starts: np.ndarray, longest: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Into how many parts each sentence is cut, and how long the parts are."""
    most = max(1, longest // _PART)
    counts = np.ones(len(lengths), np.int64)
    parts: List[int] = []
    for row, (end, length) in enumerate(zip(np.cumsum(lengths).tolist(), lengths.tolist())):
        if length <= longest:
            parts.append(length)
            continue
        starts = np.append(0, np.flatnonzero(word_starts[ids[end - length : end]]))
        at, before = 0, len(parts)
        while length - at > most:
            last = int(starts[int(np.searchsorted(starts, at + most, "right")) - 1])
            size = last - at if last > at else most  # a word longer than a part is cut too
            parts.append(size)
            at += size
        parts.append(length - at)
        counts[row] = len(parts) - before
    return counts, np.array(parts, np.int64)


def _resplit(
    ids: np.ndarray, lengths: np.ndarray, table: Dict[int, List[int]]
) -> Tuple[np.ndarray, np.ndarray]:
    glued = np.isin(ids, np.fromiter(table, np.int64, len(table)))
    where = np.flatnonzero(glued)
    if not where.size:
        return ids, lengths
    counts = np.ones(len(ids), np.int64)
    counts[where] = [len(table[piece]) for piece in ids[where]]
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    out = np.repeat(ids, counts)
    starts = np.cumsum(counts) - counts
    for at in where:
        replacement = table[ids[at]]
        out[starts[at] : starts[at] + len(replacement)] = replacement
    return out, np.bincount(sentence, counts, minlength=len(lengths)).astype(np.int64)


def save(documents: Documents, handle: IO[bytes]) -> None:
    """Writes encoded documents into an open file."""
    np.savez(handle, **documents._asdict())


def load(path: str) -> Documents:
    """Reads what `save` wrote."""
    with np.load(path) as arrays:
        return Documents(*(arrays[name] for name in Documents._fields))


def concatenate(parts: List[Documents]) -> Documents:
    """Joins encoded documents in order."""

    def joined(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        bases = np.cumsum([0] + [array[-1] for array in arrays[:-1]])
        return np.concatenate([[0]] + [array[1:] + base for array, base in zip(arrays, bases)])

    return Documents(
        np.concatenate([part.ids for part in parts]),
        joined("sentence_offsets"),
        joined("document_offsets"),
        np.concatenate([part.keys for part in parts]),
    )
