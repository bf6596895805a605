"""Ragged examples in batches of a few static shapes, each about as long as its longest."""

import contextlib
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from albert.compat import plain_operations

# A program is built for each, so few; twice as long at most wastes half.
_LENGTHS = (16, 32, 64, 128, 256, 512)
_POOL = 50  # batches whose examples are sorted by length together


def bucket(length: int, max_length: int) -> int:
    """The length of a batch whose longest example has `length` pieces."""
    return min([size for size in _LENGTHS if size >= length] + [max(length, max_length)])


def shuffled_batches(
    lengths: Sequence[int], batch_size: int, random: np.random.RandomState
) -> List[np.ndarray]:
    """One epoch in random order: numbers of examples of about equal length, batch by batch.

    Args:
      lengths: Pieces of each example.
      batch_size: Examples of a batch; the last may have fewer.
      random: Decides.
    """
    order = random.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


def sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Every example once, those of about equal length together."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def each_row(
    function: Callable[[List[Optional[int]]], np.ndarray], lengths: Sequence[int], batch_size: int
) -> List[np.ndarray]:
    """What a function of batches returns for each example, in the order of the examples.

    Args:
      function: From the numbers of a batch's examples, None for an empty row, to an array whose
        first axis is the batch's.
      lengths: Pieces of each example.
      batch_size: Rows of every batch. One example alone is a batch of one row, and without XLA,
        whose programs take longer to build than such a batch to compute.
    """
    found: Dict[int, np.ndarray] = {}
    alone = len(lengths) == 1
    with plain_operations() if alone else contextlib.nullcontext():
        for numbers in sorted_batches(lengths, batch_size):
            output = function(filled(numbers, 1 if alone else batch_size))
            for number, row in zip(numbers, output):
                found[number] = row
    return [found[number] for number in range(len(lengths))]


def filled(numbers: np.ndarray, batch_size: int) -> List[Optional[int]]:
    """Numbers of a batch's examples, None for each row too many."""
    return list(numbers) + [None] * (batch_size - len(numbers))
