"""Batches by number, read ahead: the same for any tower count, share or restart."""

import contextlib
import dataclasses
import itertools
import queue
import threading
from typing import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import numpy as np
from absl import logging

from albert.data.dataset import Batch, RecordDataset, Shapes
from albert.data.order import BatchOrder
from albert.data.packing import RowLayout
from albert.data.skipping import SKIPPED, read_whole_ones
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


def training_batches(
    dataset: RecordDataset,
    order: BatchOrder,
    shapes: Shapes,
    layout: RowLayout,
    first: int,
    share: Share = WHOLE,
    stride: int = 1,
    skip: bool = False,
) -> Generator[Batch, None, None]:
    """A share of batches `first`, `first + stride`, ... without end, as rows of `layout`.

    With `skip` an empty example stands for each damaged record, and `SKIPPED` in the batch says
    what was wrong; what is not damaged is where it always is.
    """
    part = share.of(order.batch_size)
    together = -(-_READ_AT_ONCE // (part.stop - part.start))
    while True:
        batches = first + stride * np.arange(together)
        for batch in _read(dataset, order.numbers(batches)[:, part], batches, shapes, skip):
            wrong = batch.pop(SKIPPED, None)
            rows = layout(batch)
            yield rows if wrong is None else dict(rows, **{SKIPPED: wrong})
        first += stride * together


def in_turn(
    earlier: Callable[..., Generator[Batch, None, None]],
    later: Callable[..., Generator[Batch, None, None]],
    until: int,
    first: int,
    stride: int = 1,
) -> Generator[Batch, None, None]:
    """Batches of one kind, and from number `until` on those of another.

    Args:
      earlier: As `training_batches` with all but `first` and `stride`.
      later: The same.
      until: Number of the first batch of the later kind.
      first: Number of the first batch.
      stride: Between the numbers of two.
    """
    numbers = range(first, until, stride)
    with contextlib.closing(earlier(first, stride=stride)) as batches:
        for _ in numbers:
            yield next(batches)
    yield from later(first + stride * len(numbers), stride=stride)


def _read(
    dataset: RecordDataset, numbers: np.ndarray, steps: np.ndarray, shapes: Shapes, skip: bool
) -> Iterator[Batch]:
    """Reads batches together, which costs less; a damaged record is told when its turn comes."""
    size = numbers.shape[1]
    try:
        together = dataset.read(numbers.ravel(), shapes, np.repeat(steps, size))
    except RecordError:
        for part, step in zip(numbers, steps):
            if not skip:
                yield dataset.read(part, shapes, int(step))
                continue
            batch, wrong = read_whole_ones(dataset, part, shapes, int(step))
            yield dict(fill_batch(batch, size), **{SKIPPED: np.array(wrong)})
        return
    for begin in range(0, numbers.size, size):
        yield {name: value[begin : begin + size] for name, value in together.items()}


def told_of_changes(
    batches: Generator[Batch, None, None], datasets: Sequence[RecordDataset], every: int
) -> Generator[Batch, None, None]:
    """The same batches; says after each `every` of them which record files have changed."""
    with contextlib.closing(batches):
        for number, batch in enumerate(batches, 1):
            yield batch
            if number % every:
                continue
            for path in itertools.chain(*(dataset.changed_files() for dataset in datasets)):
                logging.warning(
                    "%s was changed, cut or replaced since the training began: the same command "
                    "would read other batches. Train into another --output_dir.",
                    path,
                )


def evaluation_batches(
    dataset: RecordDataset,
    shapes: Shapes,
    layout: RowLayout,
    batch_size: int,
    max_batches: Optional[int] = None,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """A share of every record once, in file order; batches are filled up with empty examples."""
    for number in range(evaluation_count(dataset, batch_size, max_batches)):
        first = number * batch_size
        numbers = range(first, min(first + batch_size, dataset.size))[share.of(batch_size)]
        batch = dataset.read(numbers or [0], shapes)
        batch = {name: value[: len(numbers)] for name, value in batch.items()}
        yield layout(fill_batch(batch, batch_size // share.count))


def evaluation_count(
    dataset: RecordDataset, batch_size: int, max_batches: Optional[int] = None
) -> int:
    """How many batches `evaluation_batches` yields."""
    count = -(-dataset.size // batch_size)
    return count if max_batches is None else min(count, max_batches)


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
