"""Rows of labelled examples, and batches of them as arrays."""

from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np

from albert.tasks.rows.batching import bucket
from albert.tasks.rows.examples import Question
from albert.tasks.task import Task
from albert.text.encoder import Encoded, padded_batch

NO_LABEL = -1  # has no weight in any sum


class Window(NamedTuple):
    """What a row shows of the text that a question is on.

    Attributes:
      asked: The question.
      places: int32 [s, 2], where in the text each piece begins and ends; -1 of other pieces.
    """

    asked: Question
    places: np.ndarray


class Features(NamedTuple):
    """One row of a batch.

    Attributes:
      encoded: The pieces.
      labels: int32 [1] of a text; [s] of a sentence, `NO_LABEL` but at the first piece of a word;
        float32 [1], in deviations from the mean, of a number; of several labels [labels], 0 or 1;
        of a question [2], the pieces at which its answer begins and ends.
      example: Number of the example; long sentences and texts take several rows.
      window: Of a question.
    """

    encoded: Encoded
    labels: np.ndarray
    example: int = 0
    window: Optional[Window] = None


def make_batch(
    task: Task, rows: Sequence[Optional[Features]], max_length: int
) -> Dict[str, np.ndarray]:
    """input_ids, input_mask, segment_ids [B, S], int32, and labels.

    Labels are [B], [B, S] of tagging, [B, labels] where a text has several, [B, 2] of questions,
    all int32, or [B, 1] of numbers, float32. None stands for an empty row, which has no weight.
    """
    nothing = Features(Encoded(np.zeros(1, np.int32), np.zeros(1, np.int32)), no_label(task))
    filled = [row or nothing for row in rows]
    length = bucket(max(len(row.encoded.ids) for row in filled), max_length)
    batch = padded_batch([row.encoded for row in filled], length)
    if task.tags_words:
        labels = np.full((len(filled), length), NO_LABEL, np.int32)
        for number, row in enumerate(filled):
            labels[number, : len(row.labels)] = row.labels
    else:
        labels = np.stack([row.labels for row in filled])
        labels = labels[:, 0] if task.kind == "classification" else labels
    return dict(batch, labels=labels)


def no_label(task: Task) -> np.ndarray:
    """The labels of a row that has no weight."""
    if task.kind == "regression":
        return np.full(1, np.nan, np.float32)
    several = task.kind in ("multi-label", "question-answering")
    return np.full(len(task.labels) if several else 1, NO_LABEL, np.int32)
