"""Damaged records that a run goes on without, as `--skip_corrupt` allows."""

import contextlib
from typing import Generator, List, Set, Tuple

import numpy as np
from absl import logging

from albert.data.dataset import Batch, RecordDataset, Shapes
from albert.records.tfrecord import RecordError

SKIPPED = "skipped_records"  # in a batch: what was wrong with each, text [n]; for no step to see


def read_whole_ones(
    dataset: RecordDataset, numbers: np.ndarray, shapes: Shapes, step: int = 0
) -> Tuple[Batch, List[str]]:
    """Those of some records that are not damaged, and what is wrong with the others.

    Raises:
      RecordError: None of them is whole.
    """
    try:
        return dataset.read(numbers, shapes, step), []
    except RecordError as error:
        together = error
    whole, wrong = [], []
    for number in numbers:
        try:
            dataset.read([number], shapes, step)
            whole.append(number)
        except RecordError as error:
            wrong.append(str(error))
    if not whole:
        raise together
    return dataset.read(whole, shapes, step), wrong


def within_bounds(
    batches: Generator[Batch, None, None], found: Set[str], most: int
) -> Generator[Batch, None, None]:
    """The same batches without their `SKIPPED`, of which each record is told once.

    Args:
      batches: Of a run.
      found: What was wrong so far; grows.
      most: How many damaged records a run may meet.

    Raises:
      RecordError: There are more.
    """
    with contextlib.closing(batches):
        for batch in batches:
            for wrong in map(str, batch.pop(SKIPPED, ())):
                if wrong in found:
                    continue
                if len(found) == most:
                    raise RecordError(
                        "{} It is one more than --skip_corrupt={}.".format(wrong, most)
                    )
                found.add(wrong)
                logging.warning("Skipped, %d of at most %d: %s", len(found), most, wrong)
            yield batch
