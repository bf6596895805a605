"""Masks drawn while training: every epoch hides other words of the same unmasked records.

RoBERTa (Liu et al., 2019, https://arxiv.org/abs/1907.11692) calls this dynamic masking. The masks
of an example are a function of (seed, step, example), so a resumed run sees the same ones.
"""

from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np

from albert.records import counter_rng
from albert.records.lockstep import Ragged
from albert.records.manifest import Manifest
from albert.records.masking import mask_rule, mask_tokens, ragged_to_matrix
from albert.records.tfrecord import (
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    TOKEN_BOUNDARY,
)
from albert.system.errors import UsageError

Arrays = Dict[str, np.ndarray]
Numbers = Union[Sequence[int], np.ndarray]  # of records, int [B]


class MaskSchedule(NamedTuple):
    """How much of an example is hidden over a run: from one share to another, linearly.

    After Yang et al., "Learning Better Masking for Better Language Model Pre-training", 2023,
    https://arxiv.org/abs/2208.10806.
    """

    first: float
    last: float
    steps: int

    @classmethod
    def parse(cls, text: str, steps: int) -> "MaskSchedule":
        """Reads "0.3:0.15", for a run of so many updates.

        Raises:
          UsageError: It is something else, or no share.
        """
        try:
            first, last = (float(part) for part in text.split(":"))
        except ValueError:
            first = last = -1.0
        if not (0 < first < 1 and 0 < last < 1):
            raise UsageError(
                "--mask_schedule takes two shares between 0 and 1, like 0.3:0.15. Received "
                "{}.".format(text)
            )
        return cls(first, last, steps)

    def rates(self, steps: Numbers) -> np.ndarray:
        """The share at each of some updates."""
        done = np.minimum(np.asarray(steps, np.float64) / self.steps, 1.0)
        return self.first + (self.last - self.first) * done


class DynamicMasks:
    """The masking that the manifest of unmasked records asks for.

    Attributes:
      sequence_length: S of the batches.
      predictions: P of the batches.
    """

    def __init__(self, manifest: Manifest, schedule: Optional[MaskSchedule] = None) -> None:
        """Takes the rule from a manifest, and the share from a schedule if there is one.

        Raises:
          UsageError: The schedule hides more than the predictions of the records have room for.
        """
        room = manifest.options.masked_lm_prob
        most = max(schedule.first, schedule.last) if schedule else 0.0
        if most > room:
            raise UsageError(
                "--mask_schedule hides up to {0:g} of an example; the records have room for {1:g}. "
                "Build them with --masked_lm_prob={0:g}.".format(most, room)
            )
        self._schedule = schedule
        special = manifest.special_ids
        ordinary = np.setdiff1d(np.arange(manifest.vocab_size), manifest.reserved_ids)
        self.sequence_length = manifest.max_seq_length
        self.predictions = manifest.max_predictions_per_seq
        self._seed = manifest.options.random_seed
        self._unmaskable = [special.cls, special.sep]
        self._rule = mask_rule(manifest.options, special.mask, ordinary)

    def batch(self, features: Mapping[str, Ragged], numbers: Numbers, steps: Numbers) -> Arrays:
        """Masks and pads examples.

        Args:
          features: Of unmasked records, of any length.
          numbers: Of the records.
          steps: Of each: another step hides other words.

        Returns:
          The features of masked records, [B, S] and [B, P], and next_sentence_labels [B, 1].
        """
        ids, offsets = features["input_ids"]
        rule = self._rule
        if self._schedule:
            rule = rule._replace(rate=self._schedule.rates(steps))
        masked = mask_tokens(
            rule,
            ids,
            features[TOKEN_BOUNDARY].values,
            np.isin(ids, self._unmaskable),
            offsets,
            counter_rng.combine(
                self._seed, np.asarray(steps, np.int64), np.asarray(numbers, np.int64)
            ),
        )
        sequences = (masked.input_ids, np.ones_like(ids), features["segment_ids"].values)
        weights = np.ones(len(masked.labels), np.float32)
        predictions = (masked.positions, masked.labels, weights)
        batch = {
            name: ragged_to_matrix(value, offsets, self.sequence_length)
            for name, value in zip(SEQUENCE_FEATURES, sequences)
        }
        for name, value in zip(PREDICTION_FEATURES, predictions):
            batch[name] = ragged_to_matrix(value, masked.offsets, self.predictions)
        batch[SENTENCE_LABEL] = features[SENTENCE_LABEL].values[:, None]
        return batch
