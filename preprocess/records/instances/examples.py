"""Instances to framed records: special pieces, masks, bytes and the counts for the manifest."""

import operator
from typing import List, NamedTuple, Tuple

import numpy as np

from albert.records.masking import mask_rule, mask_tokens
from albert.records.options import RecordOptions
from albert.text.vocabulary import Vocabulary
from preprocess.records.instances import serialize
from preprocess.records.instances.segments import Instances, take_ranges

BATCH = 2048


class Counts(NamedTuple):
    """What went into some records; counts of parts add up.

    Attributes:
      examples: Records.
      tokens: Real tokens, special pieces included.
      masked: Predictions.
      capped: Further predictions that only the cap forbade.
      unmasked: Examples in which nothing could be masked.
      sentence_labels: [3] examples labelled -1, 0, 1.
      label_pieces: [V] how often each piece is, or may come, to be predicted.
    """

    examples: int
    tokens: int
    masked: int
    capped: int
    unmasked: int
    sentence_labels: np.ndarray
    label_pieces: np.ndarray

    @classmethod
    def zero(cls, vocab_size: int) -> "Counts":
        """The counts of nothing."""
        return cls(0, 0, 0, 0, 0, np.zeros(3, np.int64), np.zeros(vocab_size, np.int64))

    def plus(self, other: "Counts") -> "Counts":
        """The counts of both."""
        return Counts(*map(operator.add, self, other))


def prediction_width(options: RecordOptions) -> int:
    """P, the padded number of predictions; permutation doubles it."""
    return options.predictions * (2 if options.do_permutation else 1)


def add_special_pieces(instances: Instances, vocabulary: Vocabulary) -> serialize.Tokens:
    """[CLS] A [SEP] B [SEP], or [CLS] A [SEP] where there is no B."""
    paired = instances.second > 0
    lengths = instances.first + instances.second + 2 + paired
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    separator = offsets[:-1] + 1 + instances.first
    ids = np.empty(offsets[-1], np.int32)
    special = np.zeros(offsets[-1], bool)
    special[offsets[:-1]] = special[separator] = special[offsets[1:] - 1] = True
    ids[~special] = instances.ids
    ids[special] = vocabulary.sep
    ids[offsets[:-1]] = vocabulary.cls
    return serialize.Tokens(
        ids,
        vocabulary.word_starts[ids].astype(np.uint8),
        offsets,
        instances.first + 2,
        instances.labels,
    )


def records(
    instances: Instances, options: RecordOptions, vocabulary: Vocabulary
) -> Tuple[List[bytes], Counts]:
    """Framed records of some instances, in their order, and what is in them."""
    tokens = add_special_pieces(instances, vocabulary)
    counts = Counts.zero(len(vocabulary.pieces))._replace(
        examples=len(instances.keys),
        tokens=len(tokens.ids),
        sentence_labels=np.bincount(instances.labels + 1, minlength=3),
    )
    special = (tokens.ids == vocabulary.cls) | (tokens.ids == vocabulary.sep)
    if options.masking == "dynamic":
        # Any piece may come to be predicted, in proportion to how often it occurs.
        pieces = np.bincount(tokens.ids[~special], minlength=len(vocabulary.pieces))
        return serialize.unmasked_records(tokens), counts._replace(label_pieces=pieces)
    masked = mask_tokens(
        mask_rule(options, vocabulary.mask, vocabulary.replacements),
        tokens.ids,
        tokens.boundary,
        special,
        tokens.offsets,
        instances.keys,
    )
    framed = serialize.static_records(
        tokens, masked, options.max_seq_length, prediction_width(options)
    )
    predicted = np.diff(masked.offsets)
    return framed, counts._replace(
        masked=int(predicted.sum()),
        capped=int(np.maximum(masked.wanted - options.predictions, 0).sum()),
        unmasked=int((predicted == 0).sum()),
        label_pieces=np.bincount(masked.labels, minlength=len(vocabulary.pieces)),
    )


def select(instances: Instances, rows: np.ndarray) -> Instances:
    """Some instances, in the order of `rows`."""
    lengths = instances.first + instances.second
    begins = np.cumsum(lengths) - lengths
    return Instances(
        instances.keys[rows],
        instances.first[rows],
        instances.second[rows],
        instances.labels[rows],
        take_ranges(instances.ids, begins[rows], lengths[rows]),
    )
