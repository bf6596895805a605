"""How fast batches come out of records."""

import functools
import time
from typing import Generator, Iterator

from albert.data.batches import training_batches
from albert.data.dataset import Batch
from albert.data.packing import row_layout
from albert.data.source import Data
from albert.data.workers import from_workers

_TOKENS = 300_000  # of one measurement


def batches_of(
    data: Data, padding: str, batch_size: int, workers: int
) -> Generator[Batch, None, None]:
    """The batches of a run without end, made here or by processes.

    Args:
      data: The records.
      padding: One of `packing.PADDINGS` but "auto".
      batch_size: B.
      workers: Processes; 0 for this one.
    """
    make = functools.partial(
        training_batches,
        data.dataset,
        data.order(batch_size, 0),
        data.shapes,
        row_layout(padding, batch_size, 1, data.sample),
    )
    return from_workers(make, workers, 0) if workers else make(0)


def tokens_per_second(batches: Iterator[Batch]) -> float:
    """Real tokens a second over as many batches as it takes to be sure."""
    tokens, start = 0, time.perf_counter()
    while tokens < _TOKENS:
        tokens += int((next(batches)["input_mask"] > 0).sum())
    return tokens / (time.perf_counter() - start)
