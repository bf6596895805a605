"""Scaled dot-product attention (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762)."""

import math
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.compat import fused, tf
from albert.model.layers import DropoutFunction, dense, gather_positions, sizes
from albert.model.parameters import Block, Dense, Norm

# What the originals add to the logit of a masked key: enough to vanish, finite in every dtype.
MASKED_LOGIT = -10000.0
# Queries that attend together where all of them would need too much memory.
QUERY_BLOCK = 128


class JoinedBlock(NamedTuple):
    """A block as it is computed: query, key and value are one linear map, the query scaled."""

    projections: Dense  # [D, 3 * D]
    attention_output: Dense
    attention_norm: Norm
    intermediate: Dense
    output: Dense
    output_norm: Norm


def join_projections(blocks: Sequence[Block], num_heads: int) -> List[JoinedBlock]:
    """Joins query, key and value of each block, once where blocks share them.

    The query is divided by the root of the head size here, once a step, rather than the logits of
    every layer.
    """
    made: Dict[int, Dense] = {}
    for block in blocks:
        if id(block.query.kernel) not in made:
            scale = 1.0 / math.sqrt(block.query.kernel.shape[-1] // num_heads)
            query = Dense(block.query.kernel * scale, block.query.bias * scale)
            parts = (query, block.key, block.value)
            kernel = tf.concat([part.kernel for part in parts], axis=1)
            bias = tf.concat([part.bias for part in parts], axis=0)
            made[id(block.query.kernel)] = Dense(kernel, bias)
    return [JoinedBlock(made[id(block.query.kernel)], *block[3:]) for block in blocks]


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

    Without dropout, long sequences attend a block of queries at a time, and the backward pass
    computes each block's weights again, so that no [B, N, S, S'] tensor is ever in memory. The
    weights of a sequence of one block are kept.

    Args:
      query: [B, N, S, H], divided by the root of H.
      key: [B, N, S', H].
      value: [B, N, S', H].
      bias: Added to the logits, [B, 1, 1 or S, S'].
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.

    Returns:
      [B, N, S, H] in the dtype of `query`; logits and softmax run in float32.
    """
    length = query.shape[2]  # None where a server decides
    if dropout_rate == 0.0 and length is not None:
        return _blockwise_attention(query, key, value, bias)
    weights = dropout(_attention_weights(query, key, bias), dropout_rate)
    return tf.matmul(tf.cast(weights, value.dtype), value)


def _attention_weights(query: tf.Tensor, key: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    logits = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)  # [B, N, S, S']
    return tf.nn.softmax(logits + bias)


@tf.custom_gradient
def _blockwise_attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor
) -> Tuple[tf.Tensor, Callable]:
    """Blocks of queries over all keys, after Rabe and Staats, 2021, https://arxiv.org/abs/2112.05682.

    The sum in softmax's gradient is taken over the head size instead of the keys, as in
    FlashAttention (Dao et al., 2022, https://arxiv.org/abs/2205.14135).
    """
    length = query.shape[2]
    blocks = [
        slice(start, min(start + QUERY_BLOCK, length)) for start in range(0, length, QUERY_BLOCK)
    ]

    def rows(block: slice) -> tf.Tensor:
        own_bias = bias if bias.shape[2] == 1 else bias[:, :, block]
        return _attention_weights(query[:, :, block], key, own_bias)

    attended = [rows(block) for block in blocks]
    outputs = [tf.matmul(tf.cast(weights, value.dtype), value) for weights in attended]
    output = tf.concat(outputs, axis=2)

    def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, ...]:
        query_gradients, key_gradients, value_gradients = [], [], []
        after = upstream  # one block after the other: all at once would be the whole tensor again
        for block in blocks:
            with tf.control_dependencies([after]):
                weights = attended[0] if len(blocks) == 1 else rows(block)
                above = upstream[:, :, block]
            weights_gradient = tf.matmul(above, value, transpose_b=True)
            along = tf.cast(above, tf.float32) * tf.cast(output[:, :, block], tf.float32)
            along = tf.reduce_sum(along, axis=-1, keepdims=True)
            logits_gradient = _softmax_gradient(weights, weights_gradient, along)
            query_gradients.append(tf.matmul(logits_gradient, key))
            key_gradients.append(tf.matmul(logits_gradient, query[:, :, block], transpose_a=True))
            value_gradients.append(
                tf.matmul(tf.cast(weights, value.dtype), above, transpose_a=True)
            )
            after = key_gradients[-1]
        return (
            tf.concat(query_gradients, axis=2),
            tf.add_n(key_gradients),
            tf.add_n(value_gradients),
            tf.zeros_like(bias),
        )

    return output, gradient


@fused
def _softmax_gradient(
    weights: tf.Tensor, weights_gradient: tf.Tensor, along: tf.Tensor
) -> tf.Tensor:
    gradient = weights * (tf.cast(weights_gradient, tf.float32) - along)
    return tf.cast(gradient, weights_gradient.dtype)


def self_attention(
    inputs: tf.Tensor,
    bias: tf.Tensor,
    block: JoinedBlock,
    num_heads: int,
    dropout: DropoutFunction,
    dropout_rate: float,
    positions: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Attention of a sequence over itself, heads joined and projected.

    Args:
      inputs: [B, S, D].
      bias: Added to the logits, [B, 1, 1 or S, S].
      block: Projections and output weights.
      num_heads: N.
      dropout: As `layers.make_dropout` returns.
      dropout_rate: Share of attention weights dropped.
      positions: int32 [B, P], which positions attend; None for all.

    Returns:
      [B, S, D], or [B, P, D].
    """
    width = inputs.shape[-1]
    if positions is None:
        query, key, value = _heads(dense(inputs, block.projections), 3, num_heads)
    else:
        kernels = tf.split(block.projections.kernel, [width, 2 * width], axis=1)
        biases = tf.split(block.projections.bias, [width, 2 * width])
        attending = gather_positions(inputs, positions)
        (query,) = _heads(dense(attending, Dense(kernels[0], biases[0])), 1, num_heads)
        key, value = _heads(dense(inputs, Dense(kernels[1], biases[1])), 2, num_heads)
        if bias.shape[2] != 1:
            bias = gather_positions(bias[:, 0], positions)[:, tf.newaxis]
    context = softmax_attention(query, key, value, bias, dropout, dropout_rate)
    batch, _, length, _ = sizes(context)
    joined = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, width])
    return dense(joined, block.attention_output)


def _heads(projected: tf.Tensor, maps: int, num_heads: int) -> List[tf.Tensor]:
    """Takes linear maps apart that were computed as one: [B, S, maps * D] -> [B, N, S, H] each."""
    batch, length, width = sizes(projected)
    split = [batch, length, maps, num_heads, width // maps // num_heads]
    return tf.unstack(tf.transpose(tf.reshape(projected, split), [2, 0, 3, 1, 4]))
