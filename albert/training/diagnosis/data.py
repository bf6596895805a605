"""Facts about records that decide whether anything can be learned from them."""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from albert.data.dataset import Batch
from albert.data.source import Data
from albert.records.manifest import Manifest, read_manifest, unigram_entropy

# Records without a manifest may have each text as often as ALBERT's own script does.
_DUPE_FACTOR = 40
# A text is repeated if it is there this often, and this many times as often as the build intends:
# in a sample, less than a fifth of the text then looks repeated by chance (1 - exp(-1 / 5)).
_REPEATED, _REPEATED_FACTOR = 100, 5


class DataFacts(NamedTuple):
    """What a sample of records looks like; shares are of masked positions unless said otherwise.

    Attributes:
      unigram_entropy: Nats of the distribution of masked pieces: the loss of a model that knows
        only word frequencies.
      top_piece_share: Share of the commonest masked piece: the accuracy of such a model.
      masked: Predictions in the sample.
      mask_share: Positions where the expected [MASK] id stands, 0.8 by design.
      kept_share: Among masked positions that show another piece than [MASK], those that show the
        right one: 0.5 by design. Both are None of permuted records, which have another design.
      at_padding: Positions beyond the text.
      commonest_example: Share of the examples that equal the most repeated one.
      examples: Examples in the sample.
      labelled: Share of the examples that have a sentence label.
      repeated_share: Share of the text in examples that are in the records more than a hundred
        times, and many times as often as the build intends.
      cls_share: Share of the examples that begin with [CLS], 1 by design.
      sep_share: Share of the segments that end with [SEP], 1 by design.
    """

    unigram_entropy: float
    top_piece_share: float
    masked: int
    mask_share: Optional[float]
    kept_share: Optional[float]
    at_padding: float
    commonest_example: float
    examples: int
    labelled: float
    # Runs of earlier versions have not kept these.
    repeated_share: float = 0.0
    cls_share: float = 1.0
    sep_share: float = 1.0


def data_facts(data: Data) -> DataFacts:
    """Measures the sample; the manifest's entropy of all records is preferred to the sample's.

    Raises:
      RecordError: A record of the sample cannot be read.
    """
    return measure(data.sample, read_manifest(data.dataset.files[0]), data.dataset.size)


def measure(batch: Batch, manifest: Optional[Manifest], records: int) -> DataFacts:
    """The facts of one padded batch.

    Args:
      batch: input_ids, input_mask, segment_ids [B, S], masked_lm_positions, masked_lm_ids,
        masked_lm_weights [B, P], sentence_order_labels [B].
      manifest: Of the records; without one, the commonest piece that stands in the place of a
        special one is taken for it.
      records: How many there are, of which the batch is an even sample.
    """
    special = manifest.special_ids if manifest else None
    used = batch["masked_lm_weights"] > 0
    shown = np.take_along_axis(batch["input_ids"], batch["masked_lm_positions"], axis=1)[used]
    real = np.take_along_axis(batch["input_mask"], batch["masked_lm_positions"], axis=1)[used]
    labels = batch["masked_lm_ids"][used]
    count = max(1, len(labels))
    masks = _stands(shown, special.mask if special else None)
    kept = (shown == labels)[~masks]
    permuted = manifest is not None and manifest.options.do_permutation
    counts = np.bincount(labels) if len(labels) else np.ones(1)
    original = _unmasked(batch, used)
    again = manifest.options.duplicates if manifest else _DUPE_FACTOR
    commonest, repeated = _repeats(original, batch["input_mask"] > 0, records, again)
    first, ends = _special_places(batch)
    return DataFacts(
        unigram_entropy=(manifest.unigram_entropy if manifest else unigram_entropy(counts)),
        top_piece_share=(
            manifest.top_piece_share if manifest else float(counts.max() / counts.sum())
        ),
        masked=len(labels),
        mask_share=None if permuted else float(masks.sum() / count),
        kept_share=None if permuted else float(kept.mean()) if len(kept) else 0.5,
        at_padding=float((real == 0).sum() / count),
        commonest_example=commonest,
        examples=len(used),
        labelled=float((batch["sentence_order_labels"] >= 0).mean()),
        repeated_share=repeated,
        cls_share=float(_stands(first, special.cls if special else None).mean()),
        sep_share=float(_stands(ends, special.sep if special else None).mean()),
    )


def _stands(pieces: np.ndarray, expected: Optional[int]) -> np.ndarray:
    """Where the expected piece stands, or the commonest one."""
    if expected is None and len(pieces):
        expected = int(np.bincount(pieces).argmax())
    return pieces == expected


def _unmasked(batch: Batch, used: np.ndarray) -> np.ndarray:
    original = batch["input_ids"].copy()
    rows, columns = np.nonzero(used)
    original[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][used]
    return original


def _special_places(batch: Batch) -> Tuple[np.ndarray, np.ndarray]:
    """The first piece of each example, and the last one of each of its segments."""
    ids, real = batch["input_ids"], batch["input_mask"] > 0
    columns = np.arange(ids.shape[1])
    second = real & (batch["segment_ids"] > 0)
    last = (real * columns).max(axis=1)
    break_ = ((real & ~second) * columns).max(axis=1)
    rows, paired = np.arange(len(ids)), np.flatnonzero(second.any(axis=1))
    return ids[:, 0], np.append(ids[rows, last], ids[paired, break_[paired]])


def _repeats(
    original: np.ndarray, real: np.ndarray, records: int, dupe_factor: int
) -> Tuple[float, float]:
    """Share of the commonest example; share of the text in examples repeated too often."""
    # The same text swapped or cut elsewhere is the same text: the order of pieces does not count.
    _, texts, counts = np.unique(
        np.sort(original, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    in_sample = counts[texts.ravel()]
    # An even sample has this share of the other copies of each of its examples.
    copies = 1 + (in_sample - 1) * (records - 1) / max(1, len(original) - 1)
    # Examples count by their length: short ones ("Yes.") are the same by nature.
    lengths = real.sum(axis=1)
    repeated = copies > max(_REPEATED, _REPEATED_FACTOR * dupe_factor)
    return float(counts.max() / len(original)), float(lengths[repeated].sum() / lengths.sum())
