"""Losses and accuracies as sums and weights; the one division is at the reporting boundary."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, NamedTuple, Tuple

from albert.compat import custom_gradient, fused, tf
from albert.model.albert import PretrainingOutput

# Added to the masked-LM denominator by both originals; keeps a batch without masks finite.
MASKED_LM_EPSILON = 1e-5

# The square of the logarithm of softmax's sum at masked words; only where it is part of the loss.
MASKED_LM_Z = "masked_lm_z"
SUM_NAMES = (
    "masked_lm_loss",
    "masked_lm_accuracy",
    "sentence_order_loss",
    "sentence_order_accuracy",
)


class WeightedSum(NamedTuple):
    """A sum and the weight it is to be divided by; sums of towers and batches add up."""

    total: tf.Tensor  # []
    weight: tf.Tensor  # []


def masked_lm_weight(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Masked positions in a batch."""
    return tf.reduce_sum(batch["masked_lm_weights"])


def sentence_order_weights(labels: tf.Tensor) -> tf.Tensor:
    """1.0 for an example that has a sentence label, 0.0 for label -1: [B] -> [B]."""
    return tf.cast(labels >= 0, tf.float32)


def pretraining_sums(
    output: PretrainingOutput, batch: Mapping[str, tf.Tensor]
) -> Dict[str, WeightedSum]:
    """Losses (nats) and correct predictions of both heads, summed over a batch.

    Args:
      output: The model's logits.
      batch: masked_lm_ids, masked_lm_weights [B, P] and sentence_order_labels [B].

    Returns:
      A sum for each of `SUM_NAMES`.
    """
    words = classification_sums(
        output.masked_lm_logits, batch["masked_lm_ids"], batch["masked_lm_weights"]
    )
    labels = batch["sentence_order_labels"]
    order = classification_sums(
        output.sentence_order_logits, tf.maximum(labels, 0), sentence_order_weights(labels)
    )
    return dict(zip(SUM_NAMES, words + order))


def partition_sum(
    output: PretrainingOutput, batch: Mapping[str, tf.Tensor]
) -> Dict[str, WeightedSum]:
    """The square of log(sum(exp(logits))) at masked words, summed: `MASKED_LM_Z`.

    Where it is small, scores neither drift nor lose digits (Chowdhery et al., 2022, PaLM,
    https://arxiv.org/abs/2204.02311, section 5).
    """
    weights = batch["masked_lm_weights"]
    logits = tf.cast(output.masked_lm_logits, tf.float32)
    squares = tf.square(tf.reduce_logsumexp(logits, axis=-1))
    return {MASKED_LM_Z: WeightedSum(tf.reduce_sum(squares * weights), tf.reduce_sum(weights))}


def classification_sums(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> Tuple[WeightedSum, WeightedSum]:
    """Cross-entropy (nats) and correct predictions of any classifier.

    Args:
      logits: [..., classes].
      labels: int32 [...].
      weights: float32 [...].
    """
    losses = cross_entropy(logits, labels)
    correct = tf.cast(
        tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float32
    )
    weight = tf.reduce_sum(weights)
    return (
        WeightedSum(tf.reduce_sum(losses * weights), weight),
        WeightedSum(tf.reduce_sum(correct * weights), weight),
    )


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Negative log-probability of each label, nats.

    What TensorFlow's sparse softmax cross-entropy computes, in a third of its time on a CPU.

    Args:
      logits: [..., classes], of any precision.
      labels: int32 [...].

    Returns:
      float32 [...].
    """
    flat = tf.reshape(logits, [-1, logits.shape[-1]])
    return tf.reshape(_cross_entropy(flat, tf.reshape(labels, [-1])), tf.shape(labels))


@custom_gradient
def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    dtype = logits.dtype
    at_label = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
    highest = tf.cast(tf.reduce_max(logits, axis=-1, keepdims=True), tf.float32)
    shares = _exponentials(logits, highest)
    total = tf.reduce_sum(shares, axis=-1, keepdims=True)
    own = tf.cast(tf.gather_nd(logits, at_label), tf.float32) - highest[:, 0]

    def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, None]:
        scale = upstream[:, tf.newaxis] / total
        # In float32, because p - 1 of a word that is almost certain would vanish in less.
        own_gradient = tf.gather_nd(shares, at_label) * scale[:, 0] - upstream
        others = _scaled(shares, scale, tf.zeros([], dtype))
        return tf.tensor_scatter_nd_update(others, at_label, tf.cast(own_gradient, dtype)), None

    return tf.math.log(total)[:, 0] - own, gradient


@fused
def _exponentials(logits: tf.Tensor, highest: tf.Tensor) -> tf.Tensor:
    return tf.exp(tf.cast(logits, tf.float32) - highest)


@fused
def _scaled(values: tf.Tensor, scale: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(values * scale, like.dtype)


def total_loss(
    masked_lm_loss: tf.Tensor,
    masked_lm_weight: tf.Tensor,
    sentence_order_loss: tf.Tensor,
    sentence_order_weight: tf.Tensor,
) -> tf.Tensor:
    """The loss that is minimised: both sums over the weights of the whole batch."""
    return masked_lm_loss / (masked_lm_weight + MASKED_LM_EPSILON) + sentence_order_loss / (
        tf.maximum(sentence_order_weight, 1.0)
    )
