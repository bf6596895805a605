"""What can be wrong with the form of a record, looked for in many at a time."""

from typing import List, Mapping, Optional, Tuple

import numpy as np

from albert.records import tfrecord
from albert.records.lockstep import Ragged
from albert.records.tfrecord import FLOAT_FEATURES, KINDS, NO_SENTENCE_LABEL, SENTENCE_LABEL
from preprocess.inspection.rows import Check, Expected, Problem, Rows, Shape, always


def wrong_features(features: Mapping[str, Ragged], names: Tuple[str, ...]) -> Optional[Problem]:
    """What is missing or of another kind in all of them, if anything."""
    missing = [name for name in names if name not in features]
    if missing:
        return "missing", "there is no feature {}".format(", ".join(missing))
    for name in names:
        kind, wanted = features[name].values.dtype.kind, "f" if name in FLOAT_FEATURES else "i"
        if kind != wanted:
            return "kind", "feature {} is no list of {}".format(name, KINDS[wanted])
    return None


def wrong_lengths(
    lengths: Mapping[str, np.ndarray], masked: bool, shape: Optional[Shape]
) -> List[Check]:
    """Features of other lengths than they should have."""
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


def wrong_ids(rows: Rows, expected: Expected) -> List[Check]:
    """Pieces that are in no vocabulary, and records of hardly any."""

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


def wrong_predictions(rows: Rows, expected: Expected) -> List[Check]:
    """Predictions that are not where or what they should be."""
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

    unused = "masked_lm_weights are not ones and then zeros, with 0 positions"
    return [
        (padding, "padding", always(unused)),
        (order, "positions", always("masked_lm_positions are not ascending inside the text")),
        (outside, "range", label),
        (special, "positions", always("a special piece is to be predicted")),
    ]


def wrong_segments(rows: Rows, expected: Expected) -> List[Check]:
    """Texts that are not set apart, and labels that do not go with them."""
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

    return [
        (form, "segments", always("segment_ids are not zeros, then ones, then padding")),
        (ends, "segments", always("the text does not begin and end with the special pieces")),
        (apart, "segments", always("no separator stands between the segments")),
        (~known, "sentence labels", label),
    ]
