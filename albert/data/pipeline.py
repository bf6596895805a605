"""Batches as a pure function of (files, seed, number): the same for any tower count or restart."""

import glob
import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert.compat import tf
from albert.data.index import load_index
from albert.data.packing import Layout
from albert.data.records import (
    FLOAT_FEATURES,
    NO_SENTENCE_LABEL,
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    RecordError,
    decode_example,
)
from albert.errors import UsageError

Batch = Dict[str, np.ndarray]


class Shapes(NamedTuple):
    """Fixed lengths of the records and the ranges of what they hold."""

    sequence_length: int  # S
    predictions: int  # P
    vocab_size: int  # V
    type_vocab_size: int


def expand_files(patterns: str) -> List[str]:
    """Files named by a comma list of paths and globs, in a stable order.

    Raises:
      UsageError: A part names nothing.
    """
    files = []  # type: List[str]
    for pattern in patterns.split(","):
        pattern = pattern.strip()
        found = sorted(glob.glob(pattern)) if pattern else []
        if not found:
            raise UsageError(
                "No file matches '{}' (from {}). Build records with "
                "create-pretraining-data.py.".format(pattern, os.path.abspath(pattern))
            )
        files.extend(found)
    return files


class RecordDataset:
    """Random access to the records of some files.

    Attributes:
      files: The record files.
      size: Number of records in use.
    """

    def __init__(self, files: Sequence[str], progress: bool = False) -> None:
        """Loads or builds the index of each file.

        Raises:
          RecordError: A file is missing, empty, cut off or damaged.
        """
        self.files = list(files)
        self._indexes = [load_index(path, progress) for path in files]  # type: List[RecordIndex]
        self._starts = np.cumsum([0] + [len(index.offsets) for index in self._indexes])
        self._maps = [np.memmap(index.path, np.uint8, "r") for index in self._indexes]
        self.size = int(self._starts[-1])

    def record_lengths(self) -> Tuple[int, int]:
        """(S, P) of the first record.

        Raises:
          RecordError: It is not a pre-training record.
        """
        example = self._decode(0)
        return len(example["input_ids"]), len(example["masked_lm_positions"])

    def read(self, numbers: Sequence[int], shapes: Shapes) -> Batch:
        """Parses records into one batch.

        Args:
          numbers: Of the records, counted over all files.
          shapes: What each record must look like.

        Returns:
          int32 [B, S] and [B, P] arrays by feature name, float32 masked_lm_weights, and
          sentence_order_labels int32 [B].

        Raises:
          RecordError: A record has a wrong length or an id out of range; names file and feature.
        """
        spec = {name: (shapes.sequence_length, tf.int64) for name in SEQUENCE_FEATURES}
        for name in PREDICTION_FEATURES:
            kind = tf.float32 if name in FLOAT_FEATURES else tf.int64
            spec[name] = (shapes.predictions, kind)
        spec[SENTENCE_LABEL] = (1, tf.int64)
        features = {
            name: tf.io.FixedLenFeature([length], kind) for name, (length, kind) in spec.items()
        }
        try:
            parsed = tf.io.parse_example([self._payload(number) for number in numbers], features)
        except tf.errors.InvalidArgumentError:
            for number in numbers:
                self._check_lengths(number, {name: length for name, (length, _) in spec.items()})
            raise
        batch = {name: value.numpy() for name, value in parsed.items()}
        self._check_ranges(batch, numbers, shapes)
        # The name on disk is older than the task; it changes here and nowhere else.
        batch["sentence_order_labels"] = batch.pop(SENTENCE_LABEL)[:, 0]
        return {
            name: value if name in FLOAT_FEATURES else value.astype(np.int32)
            for name, value in batch.items()
        }

    def describe(self, number: int) -> str:
        """File and position of a record, for messages."""
        at = int(np.searchsorted(self._starts, number, side="right")) - 1
        return "{} (record {})".format(self.files[at], number - int(self._starts[at]))

    def _payload(self, number: int) -> bytes:
        at = int(np.searchsorted(self._starts, number, side="right")) - 1
        index, local = self._indexes[at], number - int(self._starts[at])
        offset = int(index.offsets[local])
        return self._maps[at][offset : offset + int(index.lengths[local])].tobytes()

    def _decode(self, number: int) -> Dict[str, np.ndarray]:
        try:
            example = decode_example(self._payload(number))
        except ValueError as error:
            raise RecordError(
                "{} is not a tf.train.Example: {}.".format(self.describe(number), error)
            ) from error
        for name in SEQUENCE_FEATURES + PREDICTION_FEATURES + (SENTENCE_LABEL,):
            if name not in example:
                raise RecordError(
                    "{} has no feature {}. Build it with create-pretraining-data.py.".format(
                        self.describe(number), name
                    )
                )
        return example

    def _check_lengths(self, number: int, wanted: Dict[str, int]) -> None:
        example = self._decode(number)
        for name, length in wanted.items():
            got = len(example[name])
            if got != length:
                flag = "max_seq_length" if name in SEQUENCE_FEATURES else "max_predictions_per_seq"
                raise RecordError(
                    "{}: feature {} has length {}, wanted {}. Pass --{}={} or build the records "
                    "again.".format(self.describe(number), name, got, length, flag, got)
                )

    def _check_ranges(self, values: Dict[str, np.ndarray], numbers, shapes: Shapes) -> None:
        limits = (
            ("input_ids", shapes.vocab_size, "vocab_size"),
            ("masked_lm_ids", shapes.vocab_size, "vocab_size"),
            ("segment_ids", shapes.type_vocab_size, "type_vocab_size"),
            ("masked_lm_positions", shapes.sequence_length, "sequence length"),
        )
        for name, limit, what in limits:
            if values[name].max() >= limit or values[name].min() < 0:
                bad = int(np.argmax(((values[name] >= limit) | (values[name] < 0)).any(axis=1)))
                raise RecordError(
                    "{}: {} holds {}, but the config's {} is {}. Use the config that belongs to "
                    "the vocabulary of these records.".format(
                        self.describe(int(numbers[bad])),
                        name,
                        int(values[name][bad].max()),
                        what,
                        limit,
                    )
                )


class BatchOrder:
    """Which records make up batch k of a run: a seeded permutation per epoch, cut into batches."""

    def __init__(self, size: int, batch_size: int, seed: int, fraction: float = 1.0) -> None:
        """Fixes the order.

        Args:
          size: Number of records.
          batch_size: Global batch, B.
          seed: Of the permutations.
          fraction: Share of the records in use, at least one of them.
        """
        kept = max(1, int(round(size * fraction)))
        # NumPy freezes RandomState's streams, so a run can be resumed on another version.
        chosen = np.random.RandomState([seed, 0xA1BE]).permutation(size)[:kept]
        self._records = np.sort(chosen)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._permutation = np.zeros(0, np.int64)

    @property
    def epoch_size(self) -> int:
        """Records in one epoch."""
        return len(self._records)

    def numbers(self, batch: int) -> np.ndarray:
        """Record numbers of a batch, int64 [B]; the end of one epoch joins the next."""
        first = batch * self._batch_size
        places = np.arange(first, first + self._batch_size)
        epochs, within = places // self.epoch_size, places % self.epoch_size
        numbers = np.empty(self._batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._order(int(epoch))[within[here]]
        return numbers

    def _order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.RandomState([self._seed, epoch])
            self._permutation = self._records[random.permutation(len(self._records))]
            self._epoch = epoch
        return self._permutation


def training_batches(
    dataset: RecordDataset, order: BatchOrder, shapes: Shapes, layout: Layout, first: int
) -> Iterator[Batch]:
    """Batches number `first`, `first + 1`, ... without end, laid out as rows by `layout`."""
    number = first
    while True:
        yield layout(dataset.read(order.numbers(number), shapes))
        number += 1


def evaluation_batches(
    dataset: RecordDataset,
    shapes: Shapes,
    layout: Layout,
    batch_size: int,
    max_batches: Optional[int] = None,
) -> Iterator[Batch]:
    """Every record once, in file order; the last batch is filled up with empty examples."""
    count = -(-dataset.size // batch_size)
    for number in range(count if max_batches is None else min(count, max_batches)):
        first = number * batch_size
        batch = dataset.read(range(first, min(first + batch_size, dataset.size)), shapes)
        yield layout(fill_batch(batch, batch_size))


def fill_batch(batch: Batch, batch_size: int) -> Batch:
    """Adds empty examples, which have weight 0 in every sum, up to `batch_size`."""
    missing = batch_size - len(batch["input_ids"])
    if not missing:
        return batch
    filled = {}
    for name, value in batch.items():
        empty = NO_SENTENCE_LABEL if name == "sentence_order_labels" else 0
        padding = [(0, missing)] + [(0, 0)] * (value.ndim - 1)
        filled[name] = np.pad(value, padding, mode="constant", constant_values=empty)
    return filled
