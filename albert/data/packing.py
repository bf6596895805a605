"""No computing on padding: several examples in one row, each attending to itself alone.

After Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021,
https://arxiv.org/abs/2107.02027: attention is block-diagonal, positions start again with each
example, and both heads see every example, so the losses are those of the padded batch. Packing
happens within a batch: which examples make up a step, and so its gradient, does not change.
"""

import functools
from typing import Callable, Dict, List, NamedTuple

import numpy as np

from albert.records.tfrecord import NO_SENTENCE_LABEL
from albert.system.errors import UsageError

Arrays = Dict[str, np.ndarray]
RowLayout = Callable[[Arrays], Arrays]

PADDINGS = ("auto", "none", "bucket", "pack")
# Below this share of text, packing saves more than its larger heads and masks cost.
_WORTH_PACKING = 0.8
_BUCKETS = 8  # lengths a batch may be cut to
_EXAMPLES_PER_ROW = 16
_ROW_STEPS = 16  # numbers of rows are rounded up to this share, so few programs are compiled
_SPARE_PREDICTIONS = 4  # short examples round their share of masks up


class PackingLimits(NamedTuple):
    """Static sizes of packed rows.

    Attributes:
      rows: The number of rows is a multiple of this, so that it divides over towers.
      predictions: Predictions of a row.
      examples: Examples of a row.
    """

    rows: int
    predictions: int
    examples: int


def packing_limits(batch_size: int, predictions: int, divisor: int) -> PackingLimits:
    """Limits for batches of a run.

    Args:
      batch_size: Examples in a batch.
      predictions: P of the records; a full row has about as many masks as a full example.
      divisor: Towers times micro-batches: each gets as many rows.
    """
    share = -(-batch_size // (_ROW_STEPS * divisor))
    return PackingLimits(
        divisor * max(1, share), predictions + _SPARE_PREDICTIONS, _EXAMPLES_PER_ROW
    )


def assign_rows(
    lengths: np.ndarray, masks: np.ndarray, capacity: int, limits: PackingLimits
) -> List[List[int]]:
    """Chooses the examples of each row: longest first, each into the fullest row that takes it.

    Args:
      lengths: Tokens of each example, [B].
      masks: Predictions of each example, [B].
      capacity: Tokens of a row, S.
      limits: Of predictions and examples.

    Returns:
      Example numbers by row.
    """
    rows: List[List[int]] = []
    masks_left: List[int] = []
    by_space: List[List[int]] = [[] for _ in range(capacity + 1)]
    in_use = 0  # bit s is set where rows have s tokens left
    order = np.argsort(-lengths, kind="stable")
    for example, length, needed in zip(
        order.tolist(), lengths[order].tolist(), masks[order].tolist()
    ):
        if not length:
            continue  # fills up a batch and has no weight anywhere
        place = None
        candidates = in_use >> length << length
        while candidates:
            space = (candidates & -candidates).bit_length() - 1
            alike = by_space[space]
            place = next((row for row in alike if masks_left[row] >= needed), None)
            if place is not None:
                alike.remove(place)
                if not alike:
                    in_use ^= 1 << space
                break
            candidates &= candidates - 1
        if place is None:
            place, space = len(rows), capacity
            rows.append([])
            masks_left.append(limits.predictions)
        rows[place].append(example)
        masks_left[place] -= needed
        if len(rows[place]) < limits.examples:
            by_space[space - length].append(place)
            in_use |= 1 << (space - length)
    return rows


def pack(batch: Arrays, limits: PackingLimits) -> Arrays:
    """Packs a padded batch into fewer rows.

    Args:
      batch: As `RecordDataset.read` returns, [B, S] and [B, P].
      limits: Static sizes.

    Returns:
      [R, S] features with `input_mask` the number of the example in its row, 0 for padding;
      position_ids [R, S]; predictions [R, P']; example_positions and sentence_order_labels [R, K].
    """
    lengths = batch["input_mask"].sum(axis=1)
    masks = batch["masked_lm_weights"].astype(bool).sum(axis=1)
    capacity = batch["input_ids"].shape[1]
    rows = assign_rows(lengths, masks, capacity, limits)
    count = max(1, -(-len(rows) // limits.rows)) * limits.rows
    packed = {
        name: np.zeros([count, width], batch[name].dtype if name in batch else np.int32)
        for names, width in (
            (("input_ids", "input_mask", "segment_ids", "position_ids"), capacity),
            (("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"), limits.predictions),
            (("example_positions", "sentence_order_labels"), limits.examples),
        )
        for name in names
    }
    packed["sentence_order_labels"][:] = NO_SENTENCE_LABEL
    if rows:
        _fill(packed, batch, rows, lengths, masks)
    return packed


def _fill(
    packed: Arrays, batch: Arrays, rows: List[List[int]], lengths: np.ndarray, masks: np.ndarray
) -> None:
    """Puts the examples of each row one after another, all rows at once."""
    example = np.concatenate(rows).astype(np.int64)
    sizes = np.array([len(row) for row in rows])
    row = np.repeat(np.arange(len(rows)), sizes)
    place = _counted(sizes)
    begin = _before(lengths[example], place)
    packed["example_positions"][row, place] = begin
    packed["sentence_order_labels"][row, place] = batch["sentence_order_labels"][example]

    length = lengths[example]
    position = _counted(length)
    tokens = (np.repeat(row, length), np.repeat(begin, length) + position)
    for name in ("input_ids", "segment_ids"):
        packed[name][tokens] = batch[name][np.repeat(example, length), position]
    packed["input_mask"][tokens] = np.repeat(place + 1, length)
    packed["position_ids"][tokens] = position

    # Weights of 0 may stand anywhere among the predictions of an example.
    count = masks[example]
    of, chosen = np.nonzero(batch["masked_lm_weights"][example])
    words = (row[of], np.repeat(_before(count, place), count) + _counted(count))
    packed["masked_lm_positions"][words] = (
        batch["masked_lm_positions"][example[of], chosen] + begin[of]
    )
    for name in ("masked_lm_ids", "masked_lm_weights"):
        packed[name][words] = batch[name][example[of], chosen]


def _counted(sizes: np.ndarray) -> np.ndarray:
    """0, 1, ... for each group: [sum of sizes]."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)


def _before(sizes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """What the examples before each in its row add up to; the first of a row has place 0."""
    total = np.cumsum(sizes) - sizes
    first = np.maximum.accumulate(np.where(place == 0, np.arange(len(place)), 0))
    return total - total[first]


def _as_it_is(batch: Arrays) -> Arrays:
    return batch


def cut_to_longest(batch: Arrays) -> Arrays:
    """Cuts padding that all examples share, to one of a few lengths."""
    capacity = batch["input_ids"].shape[1]
    step = -(-capacity // _BUCKETS)
    longest = int(batch["input_mask"].sum(axis=1).max())
    length = min(capacity, max(1, -(-longest // step)) * step)
    return {
        name: value[:, :length] if name in ("input_ids", "input_mask", "segment_ids") else value
        for name, value in batch.items()
    }


def choose_padding(padding: str, text_share: float) -> str:
    """What "auto" stands for: packing where much of the records is padding."""
    if padding != "auto":
        return padding
    return "pack" if text_share < _WORTH_PACKING else "none"


def row_layout(padding: str, batch_size: int, predictions: int, divisor: int) -> RowLayout:
    """How the examples of a batch are laid out as rows: a function that can be pickled.

    Args:
      padding: "none" keeps one padded example a row; "bucket" cuts padding that a whole batch
        shares; "pack" puts several examples into one row.
      batch_size: Examples in a batch.
      predictions: P of the records.
      divisor: Towers times micro-batches, which the rows are divided over.

    Raises:
      UsageError: `padding` is none of these.
    """
    if padding == "none":
        return _as_it_is
    if padding == "bucket":
        return cut_to_longest
    if padding == "pack":
        limits = packing_limits(batch_size, predictions, divisor)
        return functools.partial(pack, limits=limits)
    raise UsageError(
        "Unknown padding '{}'; must be one of: {}.".format(padding, ", ".join(PADDINGS))
    )
