"""Batches as a pure function of (files, seed, number): the same for any tower count or restart."""

import dataclasses
import queue
import threading
from typing import (
    Any,
    Dict,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
)

import numpy as np

from albert.data.dataset import Batch, RecordDataset, Shapes
from albert.data.packing import RowLayout
from albert.records.tfrecord import NO_SENTENCE_LABEL, RecordError

T = TypeVar("T")

_READ_AT_ONCE = 512  # examples, of several batches where those are small


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of every batch is read here: number `index` of `count` equal ones."""

    index: int = 0
    count: int = 1

    def of(self, size: int) -> slice:
        """The places in a batch of `size`, which `count` divides."""
        part = size // self.count
        return slice(self.index * part, (self.index + 1) * part)


WHOLE = Share()


class BatchOrder:
    """Which records make up batch k of a run: a seeded permutation per epoch, cut into batches."""

    def __init__(self, size: int, batch_size: int, seed: int, fraction: float = 1.0) -> None:
        """Fixes the order.

        Args:
          size: Number of records.
          batch_size: Global batch, B.
          seed: Of the permutations.
          fraction: Share of the records in use, at least one of them.
        """
        self._made_of = (size, batch_size, seed, fraction)
        kept = max(1, int(round(size * fraction)))
        # NumPy freezes RandomState's streams, so a run can be resumed on another version.
        chosen = np.random.RandomState([seed, 0xA1BE]).permutation(size)[:kept]
        self._records = np.sort(chosen)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._permutation = np.zeros(0, np.int64)

    def __reduce__(self) -> Tuple[Any, ...]:
        return BatchOrder, self._made_of

    @property
    def epoch_size(self) -> int:
        """Records in one epoch."""
        return len(self._records)

    def numbers(self, batch: int) -> np.ndarray:
        """Record numbers of a batch, int64 [B]; the end of one epoch joins the next."""
        first = batch * self._batch_size
        places = np.arange(first, first + self._batch_size)
        epochs, within = places // self.epoch_size, places % self.epoch_size
        numbers = np.empty(self._batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._order(int(epoch))[within[here]]
        return numbers

    def _order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.RandomState([self._seed, epoch])
            self._permutation = self._records[random.permutation(len(self._records))]
            self._epoch = epoch
        return self._permutation


def training_batches(
    dataset: RecordDataset,
    order: BatchOrder,
    shapes: Shapes,
    layout: RowLayout,
    first: int,
    share: Share = WHOLE,
    stride: int = 1,
) -> Generator[Batch, None, None]:
    """A share of batches `first`, `first + stride`, ... without end, as rows of `layout`."""
    number = first
    while True:
        parts: Dict[int, np.ndarray] = {}  # record numbers by that of their batch
        while sum(len(part) for part in parts.values()) < _READ_AT_ONCE:
            numbers = order.numbers(number)
            parts[number] = numbers[share.of(len(numbers))]
            number += stride
        for batch in _read(dataset, parts, shapes):
            yield layout(batch)


def _read(
    dataset: RecordDataset, parts: Mapping[int, np.ndarray], shapes: Shapes
) -> Iterator[Batch]:
    """Reads batches together, which costs less; a damaged record is told when its turn comes."""
    steps = np.repeat(list(parts), [len(part) for part in parts.values()])
    try:
        together = dataset.read(np.concatenate(list(parts.values())), shapes, steps)
    except RecordError:
        for number, part in parts.items():
            yield dataset.read(part, shapes, number)
        return
    begin = 0
    for part in parts.values():
        yield {name: value[begin : begin + len(part)] for name, value in together.items()}
        begin += len(part)


def evaluation_batches(
    dataset: RecordDataset,
    shapes: Shapes,
    layout: RowLayout,
    batch_size: int,
    max_batches: Optional[int] = None,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """A share of every record once, in file order; batches are filled up with empty examples."""
    count = -(-dataset.size // batch_size)
    for number in range(count if max_batches is None else min(count, max_batches)):
        first = number * batch_size
        numbers = range(first, min(first + batch_size, dataset.size))[share.of(batch_size)]
        batch = dataset.read(numbers or [0], shapes)
        batch = {name: value[: len(numbers)] for name, value in batch.items()}
        yield layout(fill_batch(batch, batch_size // share.count))


def fill_batch(batch: Batch, batch_size: int) -> Batch:
    """Adds empty examples, which have weight 0 in every sum, up to `batch_size`."""
    missing = batch_size - len(batch["input_ids"])
    if not missing:
        return batch
    filled = {}
    for name, value in batch.items():
        empty = NO_SENTENCE_LABEL if name == "sentence_order_labels" else 0
        padding = [(0, missing)] + [(0, 0)] * (value.ndim - 1)
        filled[name] = np.pad(value, padding, mode="constant", constant_values=empty)
    return filled


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yields the items of an iterable that a thread keeps `depth` ahead of the step.

    An exception of the iterable is raised here, at the place of the item it stands for. Closing
    the generator stops the thread and closes the iterable.
    """
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(entry: Tuple[Optional[T], Optional[BaseException]]) -> None:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # handed over, not swallowed
            put((None, error))
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()
