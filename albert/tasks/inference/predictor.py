"""What a fine-tuned model says of rows."""

from __future__ import annotations

import itertools
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from albert.compat import compiled, tf
from albert.model.albert import Batch
from albert.model.config import ModelConfig
from albert.model.precision import policy
from albert.tasks.model import task_logits, task_output
from albert.tasks.rows.batching import each_row
from albert.tasks.rows.features import Features, make_batch
from albert.tasks.task import Task


class Predictor:
    """What a model says of rows."""

    def __init__(
        self,
        config: ModelConfig,
        task: Task,
        parameters: Mapping[str, Any],
        device: str,
        precision: str = "float32",
        batch_size: int = 64,
    ) -> None:
        """Uses variables or arrays as weights, as they are when they are called for."""
        self._task, self._parameters, self._device = task, parameters, device
        self._batch_size = batch_size

        def outputs(tensors: Mapping[str, tf.Tensor], batch: Batch) -> tf.Tensor:
            scores = task_logits(config, task, tensors, batch, precision=policy(precision))
            return task_output(task, tf.cast(scores, tf.float32))

        self._run = compiled(outputs)

    def outputs(self, rows: Sequence[Features]) -> List[np.ndarray]:
        """What `task_output` says of each row.

        [labels] of each text, [S, labels] of each row of a sentence, S its batch's length, and [1]
        of a number.
        """
        with tf.device(self._device):
            weights = {name: tf.convert_to_tensor(w) for name, w in self._parameters.items()}

        def run(numbers: Sequence[Optional[int]]) -> np.ndarray:
            chosen = [None if n is None else rows[n] for n in numbers]
            batch = make_batch(self._task, chosen, self._task.max_seq_length)
            del batch["labels"]
            return self._run(weights, batch).numpy()

        return each_row(run, [len(row.encoded.ids) for row in rows], self._batch_size)


def answers_of(task: Task, row: Features, output: np.ndarray) -> np.ndarray:
    """What an output means.

    The number of the likeliest label, [1] of a text or one for each word of a row of a sentence;
    of regression the number itself, [1]; of several labels 1 for each that is likely, else 0.
    """
    if task.kind == "regression":
        return output
    if task.kind == "multi-label":
        return (output > 0.5).astype(np.int32)
    best = np.atleast_1d(output.argmax(axis=-1))
    return best[: len(row.labels)][row.labels >= 0]


def expected_and_predicted(
    task: Task, rows: Sequence[Features], outputs: Sequence[np.ndarray]
) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """Both for every example, as `scores.judge` takes them, long sentences put together."""
    expected, found = [], []
    for _, group in itertools.groupby(zip(rows, outputs), lambda pair: pair[0].example):
        parts = list(group)
        expected.append(np.concatenate([_right(task, row) for row, _ in parts]))
        found.append(np.concatenate([answers_of(task, row, output) for row, output in parts]))
    return expected, found


def _right(task: Task, row: Features) -> np.ndarray:
    if task.kind == "regression":
        return task.mean + task.deviation * row.labels
    return row.labels[row.labels >= 0]
