"""Facts about records that decide whether anything can be learned from them."""

from typing import NamedTuple, Optional

import numpy as np

from albert.data.dataset import Batch
from albert.data.records import read_manifest
from albert.data.source import Data


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


def data_facts(data: Data) -> DataFacts:
    """Measures the sample; the manifest's entropy of all records is preferred to the sample's.

    Raises:
      RecordError: A record of the sample cannot be read.
    """
    manifest = read_manifest(data.dataset.files[0]) or {}
    facts = measure(data.sample, manifest.get("special_ids", {}).get("mask"))
    if manifest.get("options", {}).get("do_permutation"):
        facts = facts._replace(mask_share=None, kept_share=None)
    return facts._replace(
        unigram_entropy=manifest.get("unigram_entropy", facts.unigram_entropy),
        top_piece_share=manifest.get("top_piece_share", facts.top_piece_share),
    )


def measure(batch: Batch, mask_id: Optional[int]) -> DataFacts:
    """The facts of one padded batch.

    Args:
      batch: input_ids, input_mask [B, S], masked_lm_positions, masked_lm_ids, masked_lm_weights
        [B, P], sentence_order_labels [B].
      mask_id: Id of [MASK]; None takes the commonest piece at masked positions.
    """
    used = batch["masked_lm_weights"] > 0
    shown = np.take_along_axis(batch["input_ids"], batch["masked_lm_positions"], axis=1)
    real = np.take_along_axis(batch["input_mask"], batch["masked_lm_positions"], axis=1)
    labels, shown_used = batch["masked_lm_ids"][used], shown[used]
    count = max(1, len(labels))
    if mask_id is None and len(labels):
        mask_id = int(np.bincount(shown_used).argmax())
    other = shown_used != mask_id
    frequencies = np.bincount(labels) / count if len(labels) else np.ones(1)
    frequencies = frequencies[frequencies > 0]
    return DataFacts(
        unigram_entropy=float(-(frequencies * np.log(frequencies)).sum()),
        top_piece_share=float(frequencies.max()),
        masked=len(labels),
        mask_share=float((~other).sum() / count),
        kept_share=float((shown_used == labels)[other].mean()) if other.any() else 0.5,
        at_padding=float((real[used] == 0).sum() / count),
        commonest_example=_commonest(batch, used),
        examples=len(used),
        labelled=float((batch["sentence_order_labels"] >= 0).mean()),
    )


def _commonest(batch: Batch, used: np.ndarray) -> float:
    original = batch["input_ids"].copy()
    rows, columns = np.nonzero(used)
    original[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][used]
    # The same text swapped or cut elsewhere is the same text: the order of pieces does not count.
    _, counts = np.unique(np.sort(original, axis=1), axis=0, return_counts=True)
    return float(counts.max() / len(original))
