"""Records as matrices, and what they should be like.

n is the number of records, L that of their pieces, P that of their predictions.
"""

from typing import Any, Callable, NamedTuple, Optional, Tuple

import numpy as np

Problem = Tuple[str, str]  # of which kind, and what is said
Shape = Tuple[int, int]
Check = Tuple[np.ndarray, str, Callable[[int], str]]  # [n] where it is wrong, kind, what is said


def always(text: str) -> Callable[[int], str]:
    """What is said where it is the same of every record."""
    return lambda row: text


class Expected(NamedTuple):
    """What the records should be like.

    Attributes:
      vocab_size: Ids are below this.
      cls, sep, mask, unk: Ids of special pieces.
      sentence_task: "sop", "nsp" or "none".
      masked_lm_prob: Share of pieces to predict.
      duplicates: How often each text may occur.
      permuted: Whether pieces are permuted too, so that 80/10/10 does not hold.
    """

    vocab_size: int
    cls: int
    sep: int
    mask: int
    unk: int
    sentence_task: str = "sop"
    masked_lm_prob: float = 0.15
    duplicates: int = 5
    permuted: bool = False


class Rows(NamedTuple):
    """Records that have the lengths they should have, padded with 0.

    Attributes:
      ids, segments: [n, L].
      real: [n] pieces that are no padding.
      inside: [n, L], where these are.
      label: [n] of the sentences.
      positions, labels, weights: [n, P], None of records without masks.
      used: [n, P], where there are predictions; None of records without masks.
    """

    ids: np.ndarray
    segments: np.ndarray
    real: np.ndarray
    inside: np.ndarray
    label: np.ndarray
    positions: Optional[np.ndarray] = None
    labels: Optional[np.ndarray] = None
    weights: Optional[np.ndarray] = None
    used: Optional[np.ndarray] = None

    def chosen(self, rows: np.ndarray) -> "Rows":
        """Some of them."""
        some: Any = [None if array is None else array[rows] for array in self]
        return Rows(*some)
