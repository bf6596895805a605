"""Documents to pairs of segments, for all documents and duplicates of a block at once.

Rule (Google's BERT and ALBERT): sentences are collected until a target length is reached, which
is the maximum except, with probability `short_seq_prob`, a random shorter one; the chunk is cut
at a random sentence boundary into segments A and B. For sentence order A and B are swapped in
half the examples; for next sentence B comes from another document in half of them, and the
unused sentences go back. A pair that is too long loses pieces from its longer segment, at a
random end.

Unlike the original, a chunk of one sentence never gets a random B as a sentence-order example:
the label would give away the topic. It becomes an example of one segment without a label.
"""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from albert.records import counter_rng
from albert.records.options import RecordOptions
from albert.records.tfrecord import NO_SENTENCE_LABEL
from preprocess.records.instances.encoding import Documents

IN_ORDER, OUT_OF_ORDER = 0, 1


class Instances(NamedTuple):
    """Unmasked examples without special pieces.

    Attributes:
      keys: [n] uint64, unique; the examples of the whole build are ordered by it.
      first: [n] pieces in segment A.
      second: [n] pieces in segment B, 0 where there is none.
      labels: [n] sentence label.
      ids: [t] pieces of A then B, example by example.
    """

    keys: np.ndarray
    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


class _Chunks(NamedTuple):
    """Token ranges [n] of the segments, B in the tokens of the pool."""

    keys: np.ndarray
    a_begin: np.ndarray
    a_end: np.ndarray
    b_begin: np.ndarray
    b_end: np.ndarray
    labels: np.ndarray


def segment(
    documents: Documents, options: RecordOptions, pool: Optional[Documents] = None
) -> Tuple[Instances, int, int]:
    """Cuts documents into examples, sorted by key.

    Args:
      documents: What to cut.
      options: `sentence_task`, `short_seq_prob`, `max_seq_length`, `duplicates`, `min_pieces`.
      pool: For next sentence: the documents to draw a random B from. It must begin with
        `documents` themselves and hold at least two documents.

    Returns:
      The examples, how many of a single segment were dropped as too short, and how many pieces
      are in no example: those that did not fit beside the others, and those of dropped ones.
    """
    pool = documents if pool is None else pool
    whole = _collect(documents, options, pool)
    chunks = _truncate(whole, options.max_seq_length)
    first, second = chunks.a_end - chunks.a_begin, chunks.b_end - chunks.b_begin
    keep = np.flatnonzero((second > 0) | (first >= options.min_pieces))
    keep = keep[np.argsort(chunks.keys[keep], kind="stable")]
    begins = np.stack([chunks.a_begin[keep], chunks.b_begin[keep]], axis=1)
    lengths = np.stack([first[keep], second[keep]], axis=1)
    labels = chunks.labels[keep]
    if options.sentence_task == "sop":
        swapped = labels == OUT_OF_ORDER
        begins[swapped] = begins[swapped][:, ::-1]
        lengths[swapped] = lengths[swapped][:, ::-1]
    ids = take_ranges(pool.ids, begins.ravel(), lengths.ravel())
    instances = Instances(chunks.keys[keep], lengths[:, 0], lengths[:, 1], labels, ids)
    collected = np.sum(whole.a_end - whole.a_begin) + np.sum(whole.b_end - whole.b_begin)
    return instances, len(first) - len(keep), int(collected) - len(ids)


def take_ranges(values: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenates values[begin : begin + length] of all pairs."""
    ends = np.cumsum(lengths)
    index = np.repeat(begins - (ends - lengths), lengths)
    index += np.arange(len(index))
    return values[index]


def _collect(documents: Documents, options: RecordOptions, pool: Documents) -> _Chunks:
    """Walks through all documents and duplicates in lockstep, one chunk of each a step."""
    count = len(documents.keys)
    document = np.tile(np.arange(count), options.duplicates)
    duplicate = np.repeat(np.arange(options.duplicates), count)
    keys = counter_rng.combine(documents.keys[document], duplicate)
    capacity = options.max_seq_length - 3
    short = counter_rng.uniform(keys, "short") < options.short_seq_prob
    shorter = 2 + counter_rng.below(capacity - 1, keys, "target")
    target = np.where(short, shorter, capacity)
    begin = documents.document_offsets[document]
    at = begin.copy()
    found = []
    active = np.arange(len(document))
    while active.size:
        key = counter_rng.combine(keys[active], at[active] - begin[active])
        chunk, next_at = _one_chunk(
            documents, options, pool, document[active], at[active], target[active], key
        )
        found.append(chunk)
        at[active] = next_at
        active = active[next_at < documents.document_offsets[document[active] + 1]]
    if not found:
        empty = np.zeros(0, np.int64)
        return _Chunks(keys, empty, empty, empty, empty, empty)
    return _Chunks(*(np.concatenate(columns) for columns in zip(*found)))


def _one_chunk(
    documents: Documents,
    options: RecordOptions,
    pool: Documents,
    document: np.ndarray,
    at: np.ndarray,
    target: np.ndarray,
    key: np.ndarray,
) -> Tuple[_Chunks, np.ndarray]:
    """The next chunk of each of n documents, and the sentence each continues with."""
    sentences = documents.sentence_offsets
    full = np.searchsorted(sentences, sentences[at] + target)
    end = np.minimum(full, documents.document_offsets[document + 1])
    pair = end - at >= 2
    if options.sentence_task == "none":
        pair = np.zeros_like(pair)
    cut = np.where(pair, at + 1, end)
    cut[pair] += counter_rng.below((end - at - 1)[pair], key[pair], "cut")
    coin = counter_rng.uniform(key, "sentence task") < 0.5
    labels = np.where(coin, OUT_OF_ORDER, IN_ORDER)
    b_begin, b_end = sentences[cut], sentences[end]
    if options.sentence_task == "nsp":
        random = coin | ~pair
        labels = np.where(random, OUT_OF_ORDER, IN_ORDER)
        wanted = target - (sentences[cut] - sentences[at])
        other_begin, other_end = _random_second(pool, document, wanted, key)
        b_begin = np.where(random, other_begin, b_begin)
        b_end = np.where(random, other_end, b_end)
        end = np.where(random, cut, end)
    else:
        labels = np.where(pair, labels, NO_SENTENCE_LABEL)
    return _Chunks(key, sentences[at], sentences[cut], b_begin, b_end, labels), end


def _random_second(
    pool: Documents, document: np.ndarray, wanted: np.ndarray, key: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Token range, in the pool, of about `wanted` pieces from a document other than the own."""
    other = counter_rng.below(len(pool.keys) - 1, key, "other document")
    other += other >= document
    begin, end = pool.document_offsets[other], pool.document_offsets[other + 1]
    start = begin + counter_rng.below(end - begin, key, "other start")
    sentences = pool.sentence_offsets
    full = np.searchsorted(sentences, sentences[start] + wanted)
    stop = np.clip(full, start + 1, end)
    return sentences[start], sentences[stop]


def _truncate(chunks: _Chunks, max_seq_length: int) -> _Chunks:
    """Shortens what does not fit beside the special pieces.

    Taking one piece at a time from the longer segment ends with the shorter one whole if it is
    below half, otherwise with equal halves; which end each piece comes from is a fair coin.
    """
    first, second = chunks.a_end - chunks.a_begin, chunks.b_end - chunks.b_begin
    room = np.where(second > 0, max_seq_length - 3, max_seq_length - 2)
    keep_first = np.minimum(first, np.maximum(room - second, (room + 1) // 2))
    keep_second = np.minimum(second, np.maximum(room - first, room // 2))
    front_first = counter_rng.coin_flips(first - keep_first, chunks.keys, "cut first")
    front_second = counter_rng.coin_flips(second - keep_second, chunks.keys, "cut second")
    a_begin, b_begin = chunks.a_begin + front_first, chunks.b_begin + front_second
    return chunks._replace(
        a_begin=a_begin,
        a_end=a_begin + keep_first,
        b_begin=b_begin,
        b_end=b_begin + keep_second,
    )
