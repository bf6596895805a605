"""No computing on padding: several examples in one row, each attending to itself alone.

After Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021,
https://arxiv.org/abs/2107.02027: attention is block-diagonal, positions start again with each
example, and both heads see every example, so the losses are those of the padded batch. Packing
happens within a batch: which examples make up a step, and so its gradient, does not change.
"""

import dataclasses
import functools
import itertools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.records.tfrecord import NO_SENTENCE_LABEL
from albert.system.errors import UsageError

Arrays = Dict[str, np.ndarray]

PADDINGS = ("auto", "none", "bucket", "pack")
# Below this share of text, packing saves more than its larger heads and masks cost.
_WORTH_PACKING = 0.8
_BUCKETS = 8  # lengths a batch may be cut to
_EXAMPLES_PER_ROW = 16
# Numbers of rows that batches have, by how many batches there are. Each is a program that takes
# as long to build as some 50 steps, and computes on empty rows: a fifth with one number of rows,
# 0.06 with two, 0.04 with three (64 examples).
_PROGRAMS = ((0, 1), (300, 2), (2000, 3))
_TRIED = 48  # batches laid out to choose them, fewer where they are large
_TRIED_EXAMPLES = 1 << 16
_SPARE_PREDICTIONS = 4  # short examples round their share of masks up


@dataclasses.dataclass(frozen=True)
class RowLayout:
    """How the examples of a batch become rows; it can be pickled.

    Attributes:
      arrange: From a padded batch to rows.
      programs: How many shapes batches have, but for rare ones.
    """

    arrange: Callable[[Arrays], Arrays]
    programs: int

    def __call__(self, batch: Arrays) -> Arrays:
        """The rows of a batch as `RecordDataset.read` returns it."""
        return self.arrange(batch)


class PackingLimits(NamedTuple):
    """Static sizes of packed rows.

    Attributes:
      rows: The numbers of rows a batch may have, ascending; the last takes any batch.
      predictions: Predictions of a row.
      examples: Examples of a row.
    """

    rows: Tuple[int, ...]
    predictions: int
    examples: int


def packing_limits(
    batch_size: int, predictions: int, divisor: int, sample: Arrays, batches: Optional[int] = None
) -> PackingLimits:
    """Limits for batches of a run: few numbers of rows, with little that stays empty.

    Args:
      batch_size: Examples in a batch.
      predictions: P of the records; a full row has about as many masks as a full example.
      divisor: Towers times micro-batches: each gets as many rows.
      sample: Some of the records, as `RecordDataset.read` returns them.
      batches: How many there will be; None for no end.
    """
    most = _rounded_up(batch_size, divisor)
    limits = PackingLimits((most,), predictions + _SPARE_PREDICTIONS, _EXAMPLES_PER_ROW)
    lengths, masks = _lengths_and_masks(sample)
    random = np.random.RandomState(0)  # the same sizes at every start
    needed = []
    for _ in range(max(8, min(_TRIED, _TRIED_EXAMPLES // batch_size))):
        drawn = random.randint(0, len(lengths), batch_size)
        rows = assign_rows(lengths[drawn], masks[drawn], sample["input_ids"].shape[1], limits)
        needed.append(len(rows))
    return limits._replace(rows=_few_sizes(np.array(needed), divisor, most, _programs(batches)))


def _programs(batches: Optional[int]) -> int:
    return max(count for least, count in _PROGRAMS if batches is None or batches >= least)


def _few_sizes(needed: np.ndarray, divisor: int, most: int, count: int) -> Tuple[int, ...]:
    """Multiples of `divisor` that batches needing so many rows fill best, and two for the rest."""
    rounded = _rounded_up(needed, divisor)
    spare = int(np.ceil(needed.std()))  # the largest of a run is beyond that of a sample
    top = min(most, int(_rounded_up(needed.max() + spare, divisor)))
    below = [size for size in np.unique(rounded) if size < top]
    choices = itertools.combinations(below, min(count - 1, len(below)))
    sizes = [np.array(choice + (top,), np.int64) for choice in choices]
    computed = [chosen[np.searchsorted(chosen, rounded)].sum() for chosen in sizes]
    best = sizes[int(np.argmin(computed))].tolist()
    rare = {min(most, _rounded_up(top + top // 8, divisor)), most} - {top}
    return tuple(best + sorted(rare))


def _rounded_up(rows: Any, divisor: int) -> Any:
    return -(-rows // divisor) * divisor


def _lengths_and_masks(batch: Arrays) -> Tuple[np.ndarray, np.ndarray]:
    return (
        (batch["input_mask"] > 0).sum(axis=1),
        batch["masked_lm_weights"].astype(bool).sum(axis=1),
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
    lengths, masks = _lengths_and_masks(batch)
    capacity = batch["input_ids"].shape[1]
    rows = assign_rows(lengths, masks, capacity, limits)
    count = next(size for size in limits.rows if size >= len(rows))
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


def choose_padding(padding: str, text_share: float, packable: bool = True) -> str:
    """What "auto" stands for: packing where much of the records is padding.

    Args:
      padding: One of `PADDINGS`.
      text_share: Share of the records that is no padding.
      packable: Whether the model can take several examples a row.

    Raises:
      UsageError: It cannot, and packing is asked for.
    """
    if padding == "pack" and not packable:
        raise UsageError(
            "--padding=pack puts several examples into a row, and this model's attention=nystrom "
            "takes one. Use --padding=bucket."
        )
    if padding != "auto":
        return padding
    if text_share >= _WORTH_PACKING:
        return "none"
    return "pack" if packable else "bucket"


def row_layout(
    padding: str, batch_size: int, divisor: int, sample: Arrays, batches: Optional[int] = None
) -> RowLayout:
    """How the examples of a batch are laid out as rows.

    Args:
      padding: "none" keeps one padded example a row; "bucket" cuts padding that a whole batch
        shares; "pack" puts several examples into one row.
      batch_size: Examples in a batch.
      divisor: Towers times micro-batches, which the rows are divided over.
      sample: Some of the records, as `RecordDataset.read` returns them.
      batches: How many there will be, because few are not worth many programs; None for no end.

    Raises:
      UsageError: `padding` is none of these.
    """
    if padding == "none":
        return RowLayout(_as_it_is, 1)
    if padding == "bucket":
        return RowLayout(cut_to_longest, _BUCKETS)
    if padding == "pack":
        predictions = sample["masked_lm_ids"].shape[1]
        limits = packing_limits(batch_size, predictions, divisor, sample, batches)
        arrange = functools.partial(pack, limits=limits)
        return RowLayout(arrange, min(_programs(batches), len(limits.rows)))
    raise UsageError(
        "Unknown padding '{}'; must be one of: {}.".format(padding, ", ".join(PADDINGS))
    )
