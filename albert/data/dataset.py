"""Random access to records: any of them at any moment, checked before it is used."""

import hashlib
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert.compat import tf
from albert.data.dynamic import DynamicMasks, Numbers
from albert.data.index import RecordIndex, load_index
from albert.data.manifest import manifest_path, read_manifest
from albert.data.records import (
    FLOAT_FEATURES,
    NO_SENTENCE_LABEL,
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    TOKEN_BOUNDARY,
    RecordError,
    decode_example,
)

Batch = Dict[str, np.ndarray]


class Shapes(NamedTuple):
    """Fixed lengths of the records and the ranges of what they hold."""

    sequence_length: int  # S
    predictions: int  # P
    vocab_size: int  # V
    type_vocab_size: int


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
        self._indexes: List[RecordIndex] = [load_index(path, progress) for path in files]
        self._starts = np.cumsum([0] + [len(index.offsets) for index in self._indexes])
        self._maps = [np.memmap(index.path, np.uint8, "r") for index in self._indexes]
        self.size = int(self._starts[-1])
        self._masks = self._dynamic_masks()

    def _dynamic_masks(self) -> Optional[DynamicMasks]:
        if PREDICTION_FEATURES[0] in self._decode(0):
            return None
        manifest = read_manifest(self.files[0])
        if manifest is None or manifest.masking != "dynamic":
            raise RecordError(
                "{} has no masks, and no manifest {} says how to draw them. Keep the manifest "
                "beside the records, or build them with --masking=static.".format(
                    self.describe(0), manifest_path(self.files[0])
                )
            )
        return DynamicMasks(manifest)

    def record_lengths(self) -> Tuple[int, int]:
        """(S, P) of the first record, or what masks drawn while training are padded to.

        Raises:
          RecordError: It is not a pre-training record.
        """
        if self._masks:
            return self._masks.sequence_length, self._masks.predictions
        example = self._decode(0)
        return len(example["input_ids"]), len(example["masked_lm_positions"])

    def read(self, numbers: Numbers, shapes: Shapes, step: int = 0) -> Batch:
        """Parses records into one batch.

        Args:
          numbers: Of the records, counted over all files.
          shapes: What each record must look like.
          step: Records without masks get those of this step.

        Returns:
          int32 [B, S] and [B, P] arrays by feature name, float32 masked_lm_weights, and
          sentence_order_labels int32 [B].

        Raises:
          RecordError: A record has a wrong length or an id out of range; names file and feature.
        """
        if self._masks:
            self._check_masked_lengths(shapes)
            batch = self._masks.batch([self._decode(n) for n in numbers], numbers, step)
        else:
            batch = self._parse(numbers, shapes)
        self._check_ranges(batch, numbers, shapes)
        # The name on disk is older than the task; it changes here and nowhere else.
        batch["sentence_order_labels"] = batch.pop(SENTENCE_LABEL)[:, 0]
        return {
            name: value if name in FLOAT_FEATURES else value.astype(np.int32)
            for name, value in batch.items()
        }

    def _parse(self, numbers: Numbers, shapes: Shapes) -> Batch:
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
        return {name: value.numpy() for name, value in parsed.items()}

    def digest(self) -> str:
        """Tells these records from others: their number, and a hash of where each of them lies."""
        total = hashlib.sha256()
        for index in self._indexes:
            total.update(np.ascontiguousarray(index.offsets).tobytes())
            total.update(np.ascontiguousarray(index.lengths).tobytes())
        return "{:,} records ({})".format(self.size, total.hexdigest()[:12])

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
        unmasked = TOKEN_BOUNDARY in example and PREDICTION_FEATURES[0] not in example
        wanted = ["input_ids", "segment_ids"] if unmasked else list(SEQUENCE_FEATURES)
        wanted += [SENTENCE_LABEL] + ([] if unmasked else list(PREDICTION_FEATURES))
        for name in wanted:
            if name not in example:
                raise RecordError(
                    "{} has no feature {}. Build it with create-pretraining-data.py.".format(
                        self.describe(number), name
                    )
                )
        return example

    def _check_masked_lengths(self, shapes: Shapes) -> None:
        wanted = (shapes.sequence_length, shapes.predictions)
        if wanted != self.record_lengths():
            raise RecordError(
                "{}: its manifest asks for length {} and {} predictions, wanted {} and {}. Leave "
                "out --max_seq_length and --max_predictions_per_seq.".format(
                    self.describe(0), *(self.record_lengths() + wanted)
                )
            )

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

    def _check_ranges(self, values: Batch, numbers: Numbers, shapes: Shapes) -> None:
        order = values[SENTENCE_LABEL][:, 0]
        unknown = np.nonzero((order < NO_SENTENCE_LABEL) | (order > 1))[0]
        if unknown.size:
            raise RecordError(
                "{}: {} is {}, but must be 0 (in order), 1 (swapped) or -1 (neither). Build the "
                "records again.".format(
                    self.describe(int(numbers[unknown[0]])), SENTENCE_LABEL, order[unknown[0]]
                )
            )
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
