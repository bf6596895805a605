"""Scaled dot-product attention (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762)."""

import math

from albert.compat import tf
from albert.model.layers import DropoutFunction, dense
from albert.model.parameters import Block

# What the originals add to the logit of a masked key: enough to vanish, finite in every dtype.
MASKED_LOGIT = -10000.0


def softmax_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    mask: tf.Tensor,
    dropout: DropoutFunction,
    dropout_rate: float = 0.0,
) -> tf.Tensor:
    """Attends over the key axis.

    Args:
      query: [B, N, S, H].
      key: [B, N, S', H].
      value: [B, N, S', H].
      mask: [B, S'], 1 for a key that may be attended to, 0 for padding.
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.

    Returns:
      [B, N, S, H] in the dtype of `query`; logits and softmax run in float32.
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    logits = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) * scale  # [B, N, S, S']
    masked = (1.0 - tf.cast(mask, tf.float32)) * MASKED_LOGIT
    logits += masked[:, tf.newaxis, tf.newaxis, :]
    weights = dropout(tf.nn.softmax(logits), dropout_rate)
    return tf.matmul(tf.cast(weights, value.dtype), value)


def self_attention(
    inputs: tf.Tensor,
    mask: tf.Tensor,
    block: Block,
    num_heads: int,
    dropout: DropoutFunction,
    dropout_rate: float,
) -> tf.Tensor:
    """Attention of a sequence over itself, heads joined and projected.

    Args:
      inputs: [B, S, D].
      mask: [B, S], 1 for real tokens.
      block: Query, key, value and output weights.
      num_heads: N.
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.

    Returns:
      [B, S, D].
    """
    batch, length, width = inputs.shape.as_list()

    def heads(projected: tf.Tensor) -> tf.Tensor:
        split = tf.reshape(projected, [batch, length, num_heads, width // num_heads])
        return tf.transpose(split, [0, 2, 1, 3])  # [B, N, S, H]

    context = softmax_attention(
        heads(dense(inputs, block.query)),
        heads(dense(inputs, block.key)),
        heads(dense(inputs, block.value)),
        mask,
        dropout,
        dropout_rate,
    )
    joined = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, width])
    return dense(joined, block.attention_output)
