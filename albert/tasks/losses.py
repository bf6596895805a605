"""What fine-tuning minimises, for each task: sums over rows, and what they are divided by."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence, Tuple

from albert.compat import tf
from albert.model.losses import WeightedSum, classification_sums
from albert.tasks.task import Task

_PerNumber = Callable[..., Any]  # from logits and labels to a loss for each


class TaskLoss(NamedTuple):
    """A loss that towers can share.

    Attributes:
      names: Of the sums; the first is minimised.
      weight: From the labels of a batch to what its sums are divided by, [].
      sums: From logits and labels of some rows to a sum for each name.
    """

    names: Tuple[str, ...]
    weight: Callable[[tf.Tensor], tf.Tensor]
    sums: Callable[[tf.Tensor, tf.Tensor], Sequence[WeightedSum]]


def task_loss(task: Task, class_weights: Sequence[float]) -> TaskLoss:
    """The loss of a task: as transformers has it where it has one, but for the weights of classes.

    Args:
      task: What is learned.
      class_weights: Of each label, where one of them is chosen.
    """
    if task.kind == "regression":
        return _of_numbers(tf.math.squared_difference, tf.math.is_finite)
    if task.kind == "multi-label":
        return _of_numbers(_sigmoid_cross_entropy, lambda labels: labels >= 0)
    return _of_a_choice(class_weights)


def _sigmoid_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def _of_a_choice(class_weights: Sequence[float]) -> TaskLoss:
    """Cross-entropy of labels, each weighted by its class; label -1 has no weight."""

    def weights(labels: tf.Tensor) -> tf.Tensor:
        table = tf.constant(class_weights, tf.float32)
        of_class = tf.gather(table, tf.maximum(labels, 0))
        return tf.where(labels >= 0, of_class, tf.zeros_like(of_class))

    def sums(logits: tf.Tensor, labels: tf.Tensor) -> Sequence[WeightedSum]:
        return classification_sums(logits, tf.maximum(labels, 0), weights(labels))

    return TaskLoss(("loss", "accuracy"), lambda labels: tf.reduce_sum(weights(labels)), sums)


def _of_numbers(error: _PerNumber, known: Callable[..., Any]) -> TaskLoss:
    """The mean error of all numbers that are known."""

    def sums(logits: tf.Tensor, labels: tf.Tensor) -> Sequence[WeightedSum]:
        there = known(labels)
        wanted = tf.cast(tf.where(there, labels, tf.zeros_like(labels)), tf.float32)
        weights = tf.cast(there, tf.float32)
        errors = error(tf.cast(logits, tf.float32), wanted) * weights
        return (WeightedSum(tf.reduce_sum(errors), tf.reduce_sum(weights)),)

    def weight(labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(known(labels), tf.float32))

    return TaskLoss(("loss",), weight, sums)
