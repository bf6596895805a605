"""Losses and accuracies as sums and weights; the one division is at the reporting boundary."""

from typing import Dict, Mapping, NamedTuple, Tuple

from albert.compat import tf
from albert.model.albert import PretrainingOutput

# Added to the masked-LM denominator by both originals; keeps a batch without masks finite.
MASKED_LM_EPSILON = 1e-5

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


def classification_sums(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> Tuple[WeightedSum, WeightedSum]:
    """Cross-entropy (nats) and correct predictions of any classifier.

    Args:
      logits: [..., classes].
      labels: int32 [...].
      weights: float32 [...].
    """
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    correct = tf.cast(
        tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float32
    )
    weight = tf.reduce_sum(weights)
    return (
        WeightedSum(tf.reduce_sum(losses * weights), weight),
        WeightedSum(tf.reduce_sum(correct * weights), weight),
    )


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
