"""Random access to records: any of them at any moment, checked before it is used."""

import contextlib
import hashlib
from typing import Any, Container, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from albert.data.dynamic import DynamicMasks, MaskSchedule, Numbers
from albert.records.example_proto import decode_example
from albert.records.index import RecordIndex, load_index
from albert.records.lockstep import Ragged, decode_examples
from albert.records.manifest import manifest_path, read_manifest
from albert.records.tfrecord import (
    FLOAT_FEATURES,
    KINDS,
    LONGEST,
    NO_SENTENCE_LABEL,
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    TOKEN_BOUNDARY,
    OpenFiles,
    RecordError,
    framed_payload,
)
from albert.system.errors import UsageError
from albert.system.files.names import file_state

Batch = Dict[str, np.ndarray]


_UNMASKED = ("input_ids", "segment_ids", TOKEN_BOUNDARY, SENTENCE_LABEL)
_MASKED = (*SEQUENCE_FEATURES, *PREDICTION_FEATURES, SENTENCE_LABEL)
_TRIED = 1000  # records, for one that is whole


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
      first: The one that tells what all are like.
    """

    def __init__(
        self,
        files: Sequence[str],
        progress: bool = False,
        mask_schedule: Optional[MaskSchedule] = None,
        verify: bool = True,
    ) -> None:
        """Loads or builds the index of each file.

        Args:
          files: The record files.
          progress: Whether to show bars.
          mask_schedule: How much is hidden at which step; None for what the records say.
          verify: Whether damaged records are refused; False takes the first one that is whole for
            what all are like, and builds an index of the others, too.

        Raises:
          RecordError: A file is missing, empty, cut off or damaged.
          UsageError: The schedule does not go with the records.
        """
        self.files = list(files)
        self._mask_schedule = mask_schedule
        self._indexes: List[RecordIndex] = [load_index(path, progress, verify) for path in files]
        self._starts = np.cumsum([0] + self.sizes)
        self._seen = [file_state(path) for path in files]
        self._open = OpenFiles()
        self.size = int(self._starts[-1])
        self.first = 0 if verify else self._first_whole()
        self._masks = self._dynamic_masks()

    def __reduce__(self) -> Tuple[Any, ...]:
        return RecordDataset, (self.files, False, self._mask_schedule, False)

    @property
    def sizes(self) -> List[int]:
        """Number of records in each file."""
        return [index.size for index in self._indexes]

    def _first_whole(self) -> int:
        for number in range(min(self.size, _TRIED)):
            with contextlib.suppress(RecordError):
                self._decode(number)
                return number
        return 0

    def _dynamic_masks(self) -> Optional[DynamicMasks]:
        if not _is_unmasked(self._decode(self.first)):
            if self._mask_schedule:
                raise UsageError(
                    "--mask_schedule needs records without masks, and {} has them. Build them with "
                    "--masking=dynamic.".format(self.files[0])
                )
            return None
        manifest = read_manifest(self.files[0])
        if manifest is None or manifest.masking != "dynamic":
            raise RecordError(
                "{} has no masks, and no manifest {} says how to draw them. Keep the manifest "
                "beside the records, or build them with --masking=static.".format(
                    self.describe(self.first), manifest_path(self.files[0])
                )
            )
        return DynamicMasks(manifest, self._mask_schedule)

    def record_lengths(self) -> Tuple[int, int]:
        """(S, P) of the first whole record, or what masks drawn while training are padded to.

        Raises:
          RecordError: It is not a pre-training record.
        """
        if self._masks:
            return self._masks.sequence_length, self._masks.predictions
        first = self._features([self.first])
        return len(first["input_ids"].values), len(first["masked_lm_positions"].values)

    def read(self, numbers: Numbers, shapes: Shapes, steps: Union[int, Numbers] = 0) -> Batch:
        """Parses records into one batch.

        Args:
          numbers: Of the records, counted over all files.
          shapes: What each record must look like.
          steps: Records without masks get those of this step, or each those of its own.

        Returns:
          int32 [B, S] and [B, P] arrays by feature name, float32 masked_lm_weights, and
          sentence_order_labels int32 [B].

        Raises:
          RecordError: A record has a wrong length or an id out of range; names file and feature.
        """
        features = self._features(numbers)
        if self._masks:
            self._check_masked_lengths(shapes)
            self._check_unmasked_lengths(features, numbers)
            batch = self._masks.batch(features, numbers, np.broadcast_to(steps, [len(numbers)]))
        else:
            batch = self._matrices(features, numbers, shapes)
        self._check_ranges(batch, numbers, shapes)
        # The name on disk is older than the task; it changes here and nowhere else.
        batch["sentence_order_labels"] = batch.pop(SENTENCE_LABEL)[:, 0]
        return {
            name: value if name in FLOAT_FEATURES else value.astype(np.int32)
            for name, value in batch.items()
        }

    def _features(self, numbers: Numbers) -> Mapping[str, Ragged]:
        """The features of some records; those that are not all alike are read one by one."""
        features = decode_examples(self._payloads(numbers))
        if features is None:
            examples = [self._decode(int(number)) for number in numbers]
            features = {}
            for name in set.intersection(*(set(example) for example in examples)):
                values = [example[name] for example in examples]
                offsets = np.cumsum([0] + [len(value) for value in values])
                features[name] = Ragged(np.concatenate(values), offsets)
        self._check_kinds(features, numbers)
        return features

    def _check_kinds(self, features: Mapping[str, Ragged], numbers: Numbers) -> None:
        unmasked = _is_unmasked(features)
        for name in _UNMASKED if unmasked else _MASKED:
            if name not in features:
                lacking = (n for n in numbers if name not in self._decode(int(n)))
                raise RecordError(
                    "{} has no feature {}. Build it with create-pretraining-data.py.".format(
                        self.describe(int(next(lacking))), name
                    )
                )
            kind, wanted = features[name].values.dtype.kind, "f" if name in FLOAT_FEATURES else "i"
            if kind != wanted:
                raise RecordError(
                    "{}: feature {} is a list of {}, must be one of {}. Build it with "
                    "create-pretraining-data.py.".format(
                        self.describe(int(numbers[0])), name, KINDS[kind], KINDS[wanted]
                    )
                )

    def _matrices(
        self, features: Mapping[str, Ragged], numbers: Numbers, shapes: Shapes
    ) -> Dict[str, np.ndarray]:
        lengths = {name: shapes.sequence_length for name in SEQUENCE_FEATURES}
        lengths.update({name: shapes.predictions for name in PREDICTION_FEATURES})
        lengths[SENTENCE_LABEL] = 1
        batch = {}
        for name, length in lengths.items():
            values, offsets = features[name]
            wrong = np.flatnonzero(np.diff(offsets) != length)
            if wrong.size:
                flag = "max_seq_length" if name in SEQUENCE_FEATURES else "max_predictions_per_seq"
                got = np.diff(offsets)[wrong[0]]
                raise RecordError(
                    "{}: feature {} has length {}, wanted {}. Pass --{}={} or build the records "
                    "again.".format(
                        self.describe(int(numbers[wrong[0]])), name, got, length, flag, got
                    )
                )
            batch[name] = values.reshape([len(numbers), length])
        return batch

    def _check_unmasked_lengths(self, features: Mapping[str, Ragged], numbers: Numbers) -> None:
        assert self._masks
        lengths = np.diff(features["input_ids"].offsets)
        wrong = lengths > self._masks.sequence_length
        for name in _UNMASKED:
            wanted = 1 if name == SENTENCE_LABEL else lengths
            wrong = wrong | (np.diff(features[name].offsets) != wanted)
        if wrong.any():
            raise RecordError(
                "{}: its features are not of one length up to {}. Build the records again.".format(
                    self.describe(int(numbers[int(np.argmax(wrong))])), self._masks.sequence_length
                )
            )

    def changed_files(self) -> List[str]:
        """Record files that were changed, cut or replaced since they were opened or last asked for.

        By size and time; what is read of them has checksums, but may be other records.
        """
        now = [file_state(path) for path in self.files]
        changed = [path for path, old, new in zip(self.files, self._seen, now) if old != new]
        self._seen = now
        return changed

    def digest(self) -> str:
        """Tells these records from others: their number, and a hash of the sizes of the files.

        Of an index only the ends are read, as when it was opened: all of it may be gigabytes.
        """
        total = hashlib.sha256()
        for index in self._indexes:
            ends = (index.size, int(index.bounds[1]), int(index.bounds[-2]), int(index.bounds[-1]))
            total.update(repr(ends).encode())
        return "{:,} records ({})".format(self.size, total.hexdigest()[:12])

    def describe(self, number: int) -> str:
        """File and position of a record, for messages."""
        at = int(np.searchsorted(self._starts, number, side="right")) - 1
        return "{} (record {})".format(self.files[at], number - int(self._starts[at]))

    def _payloads(self, numbers: Numbers) -> List[bytes]:
        files = np.searchsorted(self._starts, numbers, side="right") - 1
        local = np.asarray(numbers) - self._starts[files]
        payloads = []
        for index, at in zip((self._indexes[file] for file in files), local.tolist()):
            begin, end = index.bounds[at : at + 2].tolist()
            size = min(max(end - begin, 0), LONGEST)  # nobody has verified the index
            payloads.append(
                framed_payload(self._open.read(index.path, begin, size), index.path, begin)
            )
        return payloads

    def _decode(self, number: int) -> Dict[str, np.ndarray]:
        try:
            return decode_example(self._payloads([number])[0])
        except ValueError as error:
            raise RecordError(
                "{} is not a tf.train.Example: {}.".format(self.describe(number), error)
            ) from error

    def _check_masked_lengths(self, shapes: Shapes) -> None:
        wanted = (shapes.sequence_length, shapes.predictions)
        if wanted != self.record_lengths():
            raise RecordError(
                "{}: its manifest asks for length {} and {} predictions, wanted {} and {}. Leave "
                "out --max_seq_length and --max_predictions_per_seq.".format(
                    self.describe(0), *(self.record_lengths() + wanted)
                )
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


def _is_unmasked(features: Container[str]) -> bool:
    return TOKEN_BOUNDARY in features and PREDICTION_FEATURES[0] not in features
