"""Opens the record files of a command and fixes what every record must look like."""

import dataclasses
from typing import Optional, Sequence

import numpy as np
from absl import logging

from albert.data.dataset import Batch, RecordDataset, Shapes
from albert.data.dynamic import MaskSchedule
from albert.data.order import KEYED, BatchOrder, Source
from albert.data.packing import PADDINGS, RowLayout, choose_padding, row_layout
from albert.data.skipping import read_whole_ones
from albert.model.config import ModelConfig
from albert.records.manifest import ModelFile, check_builds
from albert.records.tfrecord import (
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    WeightedFiles,
    record_files,
    weighted_record_files,
)
from albert.system.errors import UsageError, check_above_0, check_not_negative, check_one_of
from albert.system.machine import usable_cores

_SAMPLE = 2048


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which records a run reads, and how it lays them out.

    Attributes:
      input_file: Record files to train on, comma list and globs; each may end in `=WEIGHT`, its
        share of the examples.
      eval_file: Held-out record files, or None.
      max_seq_length: S, or None for that of the records.
      max_predictions_per_seq: P, or None for that of the records.
      mask_schedule: Shares of the pieces to hide in the first and in the last update of records
        without masks, "0.3:0.15"; None for what they were built with.
      spm_model_file: The tokenizer of the records, or its folder; None for what their manifest
        says.
      small: Share of the records to train on.
      padding: What to do about padding; one of `packing.PADDINGS`.
      skip_corrupt: Damaged records that a run may go on without.
      input_workers: Processes that make batches, 0 for a thread of the training; None for one for
        each GPU.
    """

    input_file: Optional[str] = None
    eval_file: Optional[str] = None
    max_seq_length: Optional[int] = None
    max_predictions_per_seq: Optional[int] = None
    mask_schedule: Optional[str] = None
    spm_model_file: Optional[str] = None
    small: float = 1.0
    padding: str = "auto"
    skip_corrupt: int = 0
    input_workers: Optional[int] = None

    def __post_init__(self) -> None:
        check_above_0("max_seq_length", self.max_seq_length)
        check_above_0("max_predictions_per_seq", self.max_predictions_per_seq)
        check_one_of("padding", self.padding, PADDINGS)
        check_not_negative("input_workers", self.input_workers)
        check_not_negative("skip_corrupt", self.skip_corrupt)
        if self.mask_schedule:
            MaskSchedule.parse(self.mask_schedule, 1)
        if not 0 < self.small <= 1:
            raise UsageError("--small must be in 0 < share <= 1. Received {}.".format(self.small))

    def workers(self, devices: Sequence[str]) -> int:
        """Processes that make batches for towers on these devices."""
        if self.input_workers is not None:
            return self.input_workers
        return min(sum("GPU" in name for name in devices), usable_cores() - 1)

    def open(
        self,
        flag: str,
        config: ModelConfig,
        progress: bool,
        updates: Optional[int] = None,
        patterns: Optional[str] = None,
    ) -> "Data":
        """Opens the records that a flag names; see `open_data`.

        Args:
          flag: "input_file", "eval_file", or another that names records to train on.
          config: The model.
          progress: Whether to show bars.
          updates: Of the run, over which `mask_schedule` goes; None leaves that out.
          patterns: Value of the flag where it is not one of these options.
        """
        schedule = None
        if self.mask_schedule and updates:
            schedule = MaskSchedule.parse(self.mask_schedule, updates)
        lengths = (self.max_seq_length, self.max_predictions_per_seq)
        if patterns:
            lengths = (None, None)  # these are of the records of --input_file
        return open_data(
            patterns or getattr(self, flag),
            flag,
            config,
            *lengths,
            progress,
            schedule,
            self.skip_corrupt > 0 and flag != "eval_file",
        )


class Data:
    """Records, and what they look like.

    Attributes:
      dataset: The records.
      shapes: What each of them must look like.
      tokenizer: The SentencePiece model they were built with; None where no manifest says it.
    """

    def __init__(
        self,
        dataset: RecordDataset,
        shapes: Shapes,
        sources: Sequence[Source],
        tokenizer: Optional[ModelFile] = None,
        packable: bool = True,
        skip: bool = False,
    ) -> None:
        """Puts them together; the sample is read when it is first wanted."""
        self.dataset, self.shapes, self.tokenizer = dataset, shapes, tokenizer
        self._sources, self._packable, self._skip = sources, packable, skip
        self._sample: Optional[Batch] = None

    @property
    def sample(self) -> Batch:
        """Evenly spaced records as one padded batch, all of them if they are few; read once."""
        if self._sample is None:
            numbers = np.linspace(0, self.dataset.size - 1, min(_SAMPLE, self.dataset.size))
            read = (self.dataset, numbers.astype(np.int64), self.shapes)
            # What is damaged is told when its batch comes.
            self._sample = read_whole_ones(*read)[0] if self._skip else self.dataset.read(*read[1:])
        return self._sample

    def order(
        self, batch_size: int, seed: int, fraction: float = 1.0, kind: int = KEYED
    ) -> BatchOrder:
        """Which of the records make up batch k of a run; see `BatchOrder`."""
        return BatchOrder(self._sources, batch_size, seed, fraction, kind)

    def rows(self, count: int) -> Batch:
        """Evenly spaced rows of the sample, to see what batches of `count` look like."""
        numbers = np.linspace(0, len(self.sample["input_ids"]) - 1, count).astype(np.int64)
        return {name: value[numbers] for name, value in self.sample.items()}

    def layout(
        self, padding: str, batch_size: int, divisor: int, batches: Optional[int] = None
    ) -> RowLayout:
        """How batches of these records are laid out as rows; see `packing.row_layout`."""
        share = float((self.sample["input_mask"] > 0).mean())
        chosen = choose_padding(padding, share, self._packable)
        logging.debug(
            "Padding: %s (--padding=%s, %.0f %% of the records is text)",
            chosen,
            padding,
            100 * share,
        )
        return row_layout(chosen, batch_size, divisor, self.sample, batches)


def open_data(
    patterns: Optional[str],
    flag: str,
    config: ModelConfig,
    max_seq_length: Optional[int],
    max_predictions: Optional[int],
    progress: bool,
    mask_schedule: Optional[MaskSchedule] = None,
    skip: bool = False,
) -> Data:
    """Opens record files and fixes the lengths every record must have.

    Args:
      patterns: Comma list of paths and globs, those to train on with weights or without.
      flag: The flag they came from.
      config: The model.
      max_seq_length: S, or None for that of the first record.
      max_predictions: P, or None for that of the first record.
      progress: Whether to show bars.
      mask_schedule: How much is hidden at which step, or None.
      skip: Whether damaged records may be left out.

    Raises:
      UsageError: There are no files, they hold no records, or the model cannot take them.
    """
    if not patterns:
        raise UsageError(
            "--{} is required: record files made by create-pretraining-data.py.".format(flag)
        )
    if flag != "eval_file":
        groups = weighted_record_files(patterns, flag)
    else:
        groups = [WeightedFiles(patterns, record_files(patterns, flag), 1.0)]
    files = [name for group in groups for name in group.files]
    dataset = RecordDataset(files, progress, mask_schedule, verify=not skip)
    tokenizer = check_builds(files, dataset.sizes)
    ends = np.cumsum([len(group.files) for group in groups])
    sizes = [sum(part) for part in np.split(dataset.sizes, ends[:-1])]
    sources = [Source(group.name, int(size), group.weight) for size, group in zip(sizes, groups)]
    length, predictions = dataset.record_lengths()
    shapes = Shapes(
        max_seq_length or length,
        max_predictions or predictions,
        config.vocab_size,
        config.type_vocab_size,
    )
    if shapes.sequence_length > config.max_position_embeddings:
        raise UsageError(
            "The records are {} tokens long, but the config's max_position_embeddings is {}. "
            "Build shorter records or use another config.".format(
                shapes.sequence_length, config.max_position_embeddings
            )
        )
    logging.debug("*** Input Files ***")
    for name in files:
        logging.debug("  %s", name)
    dataset.read(
        [dataset.first], shapes
    )  # a wrong length or vocabulary is found now, not after tracing
    return Data(dataset, shapes, sources, tokenizer, config.attention == "softmax", skip)


def check_same_tokenizer(data: Data, others: Data, flag: str) -> None:
    """Refuses records of another flag whose numbers mean other pieces.

    Raises:
      UsageError: Their manifests name different SentencePiece models.
    """
    one, other = data.tokenizer, others.tokenizer
    if one and other and one.sha256 != other.sha256:
        raise UsageError(
            "--input_file and --{} were built with different SentencePiece models, {} "
            "(sha256 {:.12}...) and {} ({:.12}...). Build both with the same one.".format(
                flag, one.file, one.sha256, other.file, other.sha256
            )
        )


def log_features(shapes: Shapes, batch_size: int) -> None:
    """Logs the shapes of a batch in the originals' form."""
    lengths = [(name, shapes.sequence_length) for name in SEQUENCE_FEATURES]
    lengths += [(name, shapes.predictions) for name in PREDICTION_FEATURES]
    lengths.append((SENTENCE_LABEL, 1))
    logging.debug("*** Features ***")
    for name, length in sorted(lengths):
        logging.debug("  name = %s, shape = %s", name, (batch_size, length))
