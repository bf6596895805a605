"""Texts that were seen before, in order or turned round, at 8 bytes each."""

from typing import List

import numpy as np

from albert.records import counter_rng
from albert.records.tfrecord import NO_SENTENCE_LABEL
from preprocess.inspection.rows import Rows


class Texts:
    """The texts of records, without special pieces and masks."""

    def __init__(self, ordered: bool) -> None:
        """Starts with none; where they are `ordered`, the label 1 means swapped segments."""
        self._ordered = ordered
        self._texts: List[np.ndarray] = []
        self._reversed: List[np.ndarray] = []

    def add(self, rows: Rows) -> None:
        """Remembers their texts, in the order of the document, and turned round."""
        column = np.arange(rows.ids.shape[1])
        last = rows.real[:, None] - 1
        paired = np.take_along_axis(rows.segments, last, 1) == 1
        cut = np.where(paired, rows.segments.argmax(1)[:, None], last + 1)  # of the second text
        first = (column >= 1) & (column < cut - 1)
        second = (column >= cut) & (column < last)
        # Multilinear hashing: a random number for each place, times the piece that stands there.
        numbers = counter_rng.bits(0, "inspection", np.arange(len(column) + 1))
        pieces = np.where(first | second, rows.ids + 1, 0).astype(np.uint64)
        place = np.where(second, column - 2, column - 1)
        turned = np.where(second, column - cut, column - 1 + np.maximum(last - cut, 0))
        as_is, other = (
            (pieces * numbers[np.clip(where, 0, len(column))]).sum(1, dtype=np.uint64)
            for where in (place, turned)
        )
        swapped = (rows.label == 1) & self._ordered
        self._texts.append(np.where(swapped, other, as_is))
        two = (rows.label != NO_SENTENCE_LABEL) & (as_is != other)
        self._reversed.append(np.where(swapped, as_is, other)[two])

    def repeated(self, duplicates: int) -> int:
        """How many there are beyond so many of each."""
        times = np.unique(_joined(self._texts), return_counts=True)[1]
        return int(np.maximum(times - duplicates, 0).sum())

    def contradictions(self) -> int:
        """How many occur the other way round too."""
        return int(np.isin(_joined(self._reversed), _joined(self._texts)).sum()) * self._ordered


def _joined(arrays: List[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.uint64), *arrays])
