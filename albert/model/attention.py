"""Scaled dot-product attention (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762)."""

import math

from albert.compat import tf
from albert.model.layers import DropoutFunction, dense, sizes
from albert.model.parameters import Block

# What the originals add to the logit of a masked key: enough to vanish, finite in every dtype.
MASKED_LOGIT = -10000.0


def padding_bias(mask: tf.Tensor) -> tf.Tensor:
    """What to add to logits so that padding is not attended to: [B, S'] -> [B, 1, 1, S']."""
    bias = (1.0 - tf.cast(mask, tf.float32)) * MASKED_LOGIT
    return bias[:, tf.newaxis, tf.newaxis, :]


def packed_bias(numbers: tf.Tensor) -> tf.Tensor:
    """What to add to logits so that each token attends within its own example.

    Args:
      numbers: [B, S], the number of the example a token of the row belongs to; 0 for padding.

    Returns:
      [B, 1, S, S], block-diagonal.
    """
    same = tf.equal(numbers[:, :, tf.newaxis], numbers[:, tf.newaxis, :])
    return (1.0 - tf.cast(same, tf.float32))[:, tf.newaxis] * MASKED_LOGIT


def softmax_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor,
    dropout: DropoutFunction,
    dropout_rate: float = 0.0,
) -> tf.Tensor:
    """Attends over the key axis.

    Args:
      query: [B, N, S, H].
      key: [B, N, S', H].
      value: [B, N, S', H].
      bias: Added to the logits, [B, 1, 1 or S, S'].
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.

    Returns:
      [B, N, S, H] in the dtype of `query`; logits and softmax run in float32.
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    logits = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) * scale  # [B, N, S, S']
    weights = dropout(tf.nn.softmax(logits + bias), dropout_rate)
    return tf.matmul(tf.cast(weights, value.dtype), value)


def self_attention(
    inputs: tf.Tensor,
    bias: tf.Tensor,
    block: Block,
    num_heads: int,
    dropout: DropoutFunction,
    dropout_rate: float,
) -> tf.Tensor:
    """Attention of a sequence over itself, heads joined and projected.

    Args:
      inputs: [B, S, D].
      bias: Added to the logits, [B, 1, 1 or S, S].
      block: Query, key, value and output weights.
      num_heads: N.
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.

    Returns:
      [B, S, D].
    """
    batch, length, width = sizes(inputs)

    def heads(projected: tf.Tensor) -> tf.Tensor:
        split = tf.reshape(projected, [batch, length, num_heads, width // num_heads])
        return tf.transpose(split, [0, 2, 1, 3])  # [B, N, S, H]

    context = softmax_attention(
        heads(dense(inputs, block.query)),
        heads(dense(inputs, block.key)),
        heads(dense(inputs, block.value)),
        bias,
        dropout,
        dropout_rate,
    )
    joined = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, width])
    return dense(joined, block.attention_output)
