"""The labels a fine-tuned model gives to rows."""

from __future__ import annotations

import itertools
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from albert.compat import compiled, tf
from albert.model.albert import Batch
from albert.model.config import ModelConfig
from albert.model.precision import policy
from albert.tasks.model import task_logits
from albert.tasks.rows.batching import each_row
from albert.tasks.rows.features import Features, make_batch
from albert.tasks.task import Task


class Predictor:
    """The labels a model gives to rows."""

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

        def logits(tensors: Mapping[str, tf.Tensor], batch: Batch) -> tf.Tensor:
            scores = task_logits(config, task, tensors, batch, precision=policy(precision))
            return tf.nn.softmax(tf.cast(scores, tf.float32))

        self._run = compiled(logits)

    def probabilities(self, rows: Sequence[Features]) -> List[np.ndarray]:
        """[labels] of each text, [S, labels] of each row of a sentence, S its batch's length."""
        with tf.device(self._device):
            weights = {name: tf.convert_to_tensor(w) for name, w in self._parameters.items()}

        def run(numbers: Sequence[Optional[int]]) -> np.ndarray:
            chosen = [None if n is None else rows[n] for n in numbers]
            batch = make_batch(self._task, chosen, self._task.max_seq_length)
            del batch["labels"]
            return self._run(weights, batch).numpy()

        return each_row(run, [len(row.encoded.ids) for row in rows], self._batch_size)

    def labels(self, rows: Sequence[Features]) -> List[np.ndarray]:
        """The likeliest label: [1] of each text, one for each word of a row of a sentence."""
        found = []
        for row, probabilities in zip(rows, self.probabilities(rows)):
            best = np.atleast_1d(probabilities.argmax(axis=-1))
            found.append(best[: len(row.labels)][row.labels >= 0])
        return found


def expected_and_predicted(
    rows: Sequence[Features], predicted: Sequence[np.ndarray]
) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """Both for every example, the rows of a long sentence put together: int [1] or [words]."""
    expected, found = [], []
    pairs = zip(rows, predicted)
    for _, group in itertools.groupby(pairs, lambda pair: pair[0].example):
        parts = list(group)
        expected.append(np.concatenate([row.labels[row.labels >= 0] for row, _ in parts]))
        found.append(np.concatenate([labels for _, labels in parts]))
    return expected, found
