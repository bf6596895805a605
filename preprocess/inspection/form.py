"""The form of records, of many at a time: matrices of those that are right, and what others lack.

n is the number of records, L that of their pieces, P that of their predictions.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from albert.records import tfrecord
from albert.records.lockstep import Ragged
from albert.records.tfrecord import FLOAT_FEATURES, KINDS, NO_SENTENCE_LABEL, SENTENCE_LABEL

_UNMASKED = ("input_ids", "segment_ids", SENTENCE_LABEL)
_MASKED = tfrecord.SEQUENCE_FEATURES + tfrecord.PREDICTION_FEATURES + (SENTENCE_LABEL,)

Problem = Tuple[str, str]  # of which kind, and what is said
Shape = Tuple[int, int]


class Expected(NamedTuple):
    """What the records should be like.

    Attributes:
      vocab_size: Ids are below this.
      cls, sep, mask, unk: Ids of special pieces.
      sentence_task: "sop", "nsp" or "none".
      masked_lm_prob: Share of pieces to predict.
      duplicates: How often each text may occur.
      permuted: Whether pieces are permuted too, so that 80/10/10 does not hold.
    """

    vocab_size: int
    cls: int
    sep: int
    mask: int
    unk: int
    sentence_task: str = "sop"
    masked_lm_prob: float = 0.15
    duplicates: int = 5
    permuted: bool = False


class Rows(NamedTuple):
    """Records that have the lengths they should have, padded with 0.

    Attributes:
      ids, segments: [n, L].
      real: [n] pieces that are no padding.
      inside: [n, L], where these are.
      label: [n] of the sentences.
      positions, labels, weights: [n, P], None of records without masks.
      used: [n, P], where there are predictions; None of records without masks.
    """

    ids: np.ndarray
    segments: np.ndarray
    real: np.ndarray
    inside: np.ndarray
    label: np.ndarray
    positions: Optional[np.ndarray] = None
    labels: Optional[np.ndarray] = None
    weights: Optional[np.ndarray] = None
    used: Optional[np.ndarray] = None

    def chosen(self, rows: np.ndarray) -> "Rows":
        """Some of them."""
        some: Any = [None if array is None else array[rows] for array in self]
        return Rows(*some)


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
    lacking = _wrong_features(features, _MASKED if masked else _UNMASKED)
    if lacking:
        return None, {row: lacking for row in range(count)}
    lengths = {name: np.diff(ragged.offsets) for name, ragged in features.items()}
    problems: Dict[int, Problem] = {}
    _note(problems, _wrong_lengths(lengths, masked, shape))
    right = np.array([row for row in range(count) if row not in problems], np.int64)
    if not len(right):
        return None, problems
    rows, checks = _matrices(features, lengths, right, masked)
    checks += _wrong_ids(rows, expected)
    checks += _wrong_predictions(rows, expected) if masked else []
    checks += _wrong_segments(rows, expected)
    found: Dict[int, Problem] = {}
    _note(found, checks)
    problems.update((int(right[row]), problem) for row, problem in found.items())
    sound = np.array([row for row in range(len(right)) if row not in found], np.int64)
    return (rows.chosen(sound) if found else rows) if len(sound) else None, problems


def _wrong_features(features: Mapping[str, Ragged], names: Tuple[str, ...]) -> Optional[Problem]:
    missing = [name for name in names if name not in features]
    if missing:
        return "missing", "there is no feature {}".format(", ".join(missing))
    for name in names:
        kind, wanted = features[name].values.dtype.kind, "f" if name in FLOAT_FEATURES else "i"
        if kind != wanted:
            return "kind", "feature {} is no list of {}".format(name, KINDS[wanted])
    return None


_Check = Tuple[np.ndarray, str, Callable[[int], str]]  # [n] where it is wrong, kind, what is said


def _note(problems: Dict[int, Problem], checks: List[_Check]) -> None:
    """Keeps the first thing that is wrong with each record."""
    for wrong, kind, told in checks:
        for row in np.flatnonzero(wrong).tolist():
            problems.setdefault(row, (kind, told(row)))


def _wrong_lengths(
    lengths: Mapping[str, np.ndarray], masked: bool, shape: Optional[Shape]
) -> List[_Check]:
    pieces = lengths["input_ids"]
    uneven = (lengths[SENTENCE_LABEL] != 1) | (pieces != lengths["segment_ids"]) | (pieces < 3)

    def all_lengths(row: int) -> str:
        return "features have the lengths {}".format(
            {name: int(values[row]) for name, values in lengths.items()}
        )

    if not masked:
        return [(uneven, "length", all_lengths)]
    predictions = lengths["masked_lm_positions"]
    wanted = shape or (int(pieces[0]), int(predictions[0]))
    other = (pieces != wanted[0]) | (predictions != wanted[1])
    uneven = uneven | (lengths["input_mask"] != pieces)
    for name in tfrecord.PREDICTION_FEATURES:
        uneven = uneven | (lengths[name] != predictions)

    def others(row: int) -> str:
        return "it has {} tokens and {} predictions, others have {} and {}".format(
            pieces[row], predictions[row], *wanted
        )

    return [(uneven, "length", all_lengths), (other, "length", others)]


def _matrices(
    features: Mapping[str, Ragged],
    lengths: Mapping[str, np.ndarray],
    right: np.ndarray,
    masked: bool,
) -> Tuple[Rows, List[_Check]]:
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
        [(wrong, "padding", lambda row: said)],
    )


def _wrong_ids(rows: Rows, expected: Expected) -> List[_Check]:
    def told(row: int) -> str:
        ids = rows.ids[row]
        return "an id is {}, the vocabulary has {} pieces".format(
            int(ids.min() if ids.min() < 0 else ids.max()), expected.vocab_size
        )

    wrong = (rows.ids.min(1) < 0) | (rows.ids.max(1) >= expected.vocab_size)
    short = rows.real < 3
    return [
        (wrong, "range", told),
        (short, "length", lambda row: "it has {} real tokens".format(rows.real[row])),
    ]


def _wrong_predictions(rows: Rows, expected: Expected) -> List[_Check]:
    positions, labels, weights, used = rows.positions, rows.labels, rows.weights, rows.used
    assert positions is not None and labels is not None
    assert weights is not None and used is not None
    padding = np.not_equal(weights, used).any(1) | ((positions != 0) & ~used).any(1)
    beyond = (positions < 1) | (positions >= rows.real[:, None])
    order = (beyond & used).any(1) | ((np.diff(positions) <= 0) & used[:, 1:]).any(1)
    outside = ((labels < 0) | (labels >= expected.vocab_size)).any(1)
    special = (((labels == expected.cls) | (labels == expected.sep)) & used).any(1)

    def label(row: int) -> str:
        return "a label is {}, the vocabulary has {} pieces".format(
            int(labels[row].max()), expected.vocab_size
        )

    said = (
        "masked_lm_weights are not ones and then zeros, with 0 positions",
        "masked_lm_positions are not ascending inside the text",
        "a special piece is to be predicted",
    )
    return [
        (padding, "padding", lambda row: said[0]),
        (order, "positions", lambda row: said[1]),
        (outside, "range", label),
        (special, "positions", lambda row: said[2]),
    ]


def _wrong_segments(rows: Rows, expected: Expected) -> List[_Check]:
    segments, inside = rows.segments, rows.inside
    row, last = np.arange(len(segments)), np.maximum(rows.real, 1) - 1
    form = ((segments != 0) & ~inside).any(1) | (segments > 1).any(1)
    form |= ((np.diff(segments) < 0) & inside[:, 1:]).any(1) | (segments < 0).any(1)
    ends = (rows.ids[:, 0] != expected.cls) | (rows.ids[row, last] != expected.sep)
    paired = segments[row, last] == 1
    apart = paired & (rows.ids[row, np.maximum(segments.argmax(1) - 1, 0)] != expected.sep)
    known = np.where(paired, (rows.label == 0) | (rows.label == 1), rows.label == NO_SENTENCE_LABEL)
    if expected.sentence_task == "none":
        known = rows.label == NO_SENTENCE_LABEL

    def label(at: int) -> str:
        kind = "two segments" if paired[at] else "one segment"
        return "the sentence label is {} for {}".format(int(rows.label[at]), kind)

    said = (
        "segment_ids are not zeros, then ones, then padding",
        "the text does not begin and end with the special pieces",
        "no separator stands between the segments",
    )
    return [
        (form, "segments", lambda at: said[0]),
        (ends, "segments", lambda at: said[1]),
        (apart, "segments", lambda at: said[2]),
        (~known, "sentence labels", label),
    ]
