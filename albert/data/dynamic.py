"""Masks drawn while training: every epoch hides other words of the same unmasked records.

RoBERTa (Liu et al., 2019, https://arxiv.org/abs/1907.11692) calls this dynamic masking. The masks
of an example are a function of (seed, step, example), so a resumed run sees the same ones.
"""

from typing import Dict, Mapping, Sequence, Union

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

Arrays = Dict[str, np.ndarray]
Numbers = Union[Sequence[int], np.ndarray]  # of records, int [B]


class DynamicMasks:
    """The masking that the manifest of unmasked records asks for.

    Attributes:
      sequence_length: S of the batches.
      predictions: P of the batches.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Takes the rule from a manifest."""
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
        masked = mask_tokens(
            self._rule,
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
