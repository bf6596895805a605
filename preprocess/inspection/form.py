"""The form of records, of many at a time: what is in order, and what is wrong with others."""

from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from albert.records import tfrecord
from albert.records.lockstep import Ragged
from albert.records.tfrecord import SENTENCE_LABEL
from preprocess.inspection import checks
from preprocess.inspection.rows import Check, Expected, Problem, Rows, Shape, always

_UNMASKED = ("input_ids", "segment_ids", SENTENCE_LABEL)
_MASKED = tfrecord.SEQUENCE_FEATURES + tfrecord.PREDICTION_FEATURES + (SENTENCE_LABEL,)


def rows_of(
    features: Mapping[str, Ragged], expected: Expected, shape: Optional[Shape]
) -> Tuple[Optional[Rows], Dict[int, Problem]]:
    """The records that are in order, and what is wrong with each of the others.

    Args:
      features: By name, of n records.
      expected: What they should be like.
      shape: (L, P) of masked records, as others have it; None takes that of the first.
    """
    masked = "input_mask" in features
    count = len(next(iter(features.values())).offsets) - 1 if features else 1
    lacking = checks.wrong_features(features, _MASKED if masked else _UNMASKED)
    if lacking:
        return None, {row: lacking for row in range(count)}
    lengths = {name: np.diff(ragged.offsets) for name, ragged in features.items()}
    problems: Dict[int, Problem] = {}
    _note(problems, checks.wrong_lengths(lengths, masked, shape))
    right = np.array([row for row in range(count) if row not in problems], np.int64)
    if not len(right):
        return None, problems
    rows, wrong = _matrices(features, lengths, right, masked)
    wrong += checks.wrong_ids(rows, expected)
    wrong += checks.wrong_predictions(rows, expected) if masked else []
    wrong += checks.wrong_segments(rows, expected)
    found: Dict[int, Problem] = {}
    _note(found, wrong)
    problems.update((int(right[row]), problem) for row, problem in found.items())
    sound = np.array([row for row in range(len(right)) if row not in found], np.int64)
    return (rows.chosen(sound) if found else rows) if len(sound) else None, problems


def _note(problems: Dict[int, Problem], found: List[Check]) -> None:
    """Keeps the first thing that is wrong with each record."""
    for wrong, kind, told in found:
        for row in np.flatnonzero(wrong).tolist():
            problems.setdefault(row, (kind, told(row)))


def _matrices(
    features: Mapping[str, Ragged],
    lengths: Mapping[str, np.ndarray],
    right: np.ndarray,
    masked: bool,
) -> Tuple[Rows, List[Check]]:
    def matrix(name: str) -> np.ndarray:
        values, offsets = features[name]
        size = lengths[name][right]
        if len(right) == len(offsets) - 1 and (size == size[0]).all():
            return values.reshape(len(right), -1)
        padded = np.zeros([len(right), size.max()], values.dtype)
        inside = np.arange(padded.shape[1]) < size[:, None]
        kept = np.repeat(np.isin(np.arange(len(offsets) - 1), right), lengths[name])
        padded[inside] = values[kept]
        return padded

    ids, segments, label = (matrix(name) for name in _UNMASKED)
    if not masked:
        real = lengths["input_ids"][right]
        inside = np.arange(ids.shape[1]) < real[:, None]
        return Rows(ids, segments, real, inside, label[:, 0]), []
    mask = matrix("input_mask")
    positions, labels, weights = (matrix(name) for name in tfrecord.PREDICTION_FEATURES)
    real = mask.sum(1)
    inside = np.arange(ids.shape[1]) < real[:, None]
    used = np.arange(weights.shape[1]) < (weights > 0).sum(1)[:, None]
    wrong = (mask != inside).any(1) | ((ids != 0) & ~inside).any(1)
    said = "input_mask is not ones and then zeros, or padding is not 0"
    return (
        Rows(ids, segments, real, inside, label[:, 0], positions, labels, weights, used),
        [(wrong, "padding", always(said))],
    )
