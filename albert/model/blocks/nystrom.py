"""Nystrom attention: every token attends by way of a few means of tokens.

Xiong et al., 2021, https://arxiv.org/abs/2102.03902. Time and memory grow with the length of an
example instead of its square. Unlike in the published code, an example's landmarks are means over
its own tokens, never over padding, and the inverse begins from each example and head alone, so that
neither padding nor the other examples of a batch change what is computed.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from albert.compat import tf
from albert.model.layers import MASKED_LOGIT, gather_positions, sizes


class Landmarks(NamedTuple):
    """Which means stand for the tokens of each example; the same in every block."""

    shares: tf.Tensor  # [B, M, S]: a token's weight in each mean
    bias: tf.Tensor  # [B, 1, 1, M], added to the logits of landmarks
    present: tf.Tensor  # [B, 1, M, 1]: 1.0 where a landmark stands for tokens
    few: tf.Tensor  # bool [B, 1, 1, 1]: whether each token is its own landmark


def landmarks(mask: tf.Tensor, most: int) -> Landmarks:
    """Cuts the text of each example into `most` even parts, or single tokens where it is short.

    Args:
      mask: int32 [B, S], 1 for text and 0 for the padding after it.
      most: M.
    """
    real = tf.cast(mask, tf.float32)
    lengths = tf.reduce_sum(mask, axis=1, keepdims=True)  # [B, 1]
    places = tf.cumsum(mask, axis=1, exclusive=True)
    # Whole numbers: a quotient in float32 could fall on the wrong side of a boundary.
    parts = tf.where(lengths > most, places * most // tf.maximum(lengths, 1), places)
    members = tf.one_hot(parts, most, axis=1) * real[:, tf.newaxis]  # [B, M, S]
    counts = tf.reduce_sum(members, axis=2, keepdims=True)
    present = tf.cast(counts > 0.0, tf.float32)
    return Landmarks(
        members / tf.maximum(counts, 1.0),
        ((1.0 - present) * MASKED_LOGIT)[:, tf.newaxis, tf.newaxis, :, 0],
        present[:, tf.newaxis],
        (lengths <= most)[:, :, tf.newaxis, tf.newaxis],
    )


def nystrom_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor,
    means: Landmarks,
    iterations: int,
    convolution: tf.Tensor,
    positions: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """softmax(Q K'^T) inverse(softmax(Q' K'^T)) softmax(Q' K^T) V, and a convolution of V.

    Where an example has no more tokens than landmarks this is softmax attention itself.

    Args:
      query: [B, N, S, H], divided by the root of H.
      key: [B, N, S, H].
      value: [B, N, S, H].
      bias: What hides padding from softmax, [B, 1, 1, S].
      means: Of the batch.
      iterations: Rounds of the inverse.
      convolution: [K, N], a filter for each head.
      positions: int32 [B, P], which queries attend; None for all.

    Returns:
      [B, N, S, H], or [B, N, P, H]; softmax and inverse run in float32.
    """
    shares = tf.cast(means.shares, query.dtype)
    some_queries, some_keys, some_values = [
        _apart(tf.matmul(shares, _side_by_side(heads)), heads) for heads in (query, key, value)
    ]
    to_landmarks = _softmax(some_queries, some_keys, means.bias)  # [B, N, M, M]
    present = means.present
    identity = tf.eye(to_landmarks.shape[-1])
    # A landmark that stands for nothing is its own: the inverse of the others stays as it is.
    to_landmarks = present * to_landmarks + (1.0 - present) * identity
    gathered = tf.matmul(_softmax(some_queries, key, bias), tf.cast(value, tf.float32))
    mixed = tf.matmul(_inverse(to_landmarks, iterations), gathered)
    mixed = tf.where(_like(means.few, mixed), tf.cast(some_values, tf.float32), mixed)
    convolved = _convolved(value, bias, convolution)
    if positions is not None:
        query, convolved = [
            _apart(gather_positions(_side_by_side(heads), positions), heads)
            for heads in (query, convolved)
        ]
    attended = tf.matmul(_softmax(query, some_keys, means.bias), mixed)
    return tf.cast(attended, value.dtype) + convolved


def _side_by_side(heads: tf.Tensor) -> tf.Tensor:
    """[B, N, S, H] -> [B, S, N * H], so that all heads of an example are one product."""
    batch, count, length, size = sizes(heads)
    return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [batch, length, count * size])


def _apart(flat: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """[B, M, N * H] -> [B, N, M, H], as many heads as `like` has."""
    batch, count, _, size = sizes(like)
    return tf.transpose(tf.reshape(flat, [batch, -1, count, size]), [0, 2, 1, 3])


def _softmax(query: tf.Tensor, key: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) + bias)


def _inverse(matrix: tf.Tensor, iterations: int) -> tf.Tensor:
    """The pseudo-inverse by rounds of third order (Razavi et al., 2014): [B, N, M, M]."""
    identity = tf.eye(matrix.shape[-1])
    columns = tf.reduce_max(tf.reduce_sum(matrix, axis=-2), axis=-1)[:, :, tf.newaxis, tf.newaxis]
    rows = tf.reduce_max(tf.reduce_sum(matrix, axis=-1), axis=-1)[:, :, tf.newaxis, tf.newaxis]
    inverse = tf.linalg.matrix_transpose(matrix) / (columns * rows)
    for _ in range(iterations):
        product = tf.matmul(matrix, inverse)
        inner = 15.0 * identity - tf.matmul(product, 7.0 * identity - product)
        inverse = 0.25 * tf.matmul(inverse, 13.0 * identity - tf.matmul(product, inner))
    return inverse


def _convolved(value: tf.Tensor, bias: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
    """A convolution of values over the length of an example, one filter a head: [B, N, S, H]."""
    real = tf.cast(tf.equal(bias, 0.0), tf.float32)  # [B, 1, 1, S]
    rows = tf.transpose(tf.cast(value, tf.float32), [0, 3, 2, 1])  # [B, H, S, N]
    rows *= tf.transpose(real, [0, 1, 3, 2])
    filters = tf.cast(filters, tf.float32)[tf.newaxis, :, :, tf.newaxis]
    mixed = tf.nn.depthwise_conv2d(rows, filters, [1, 1, 1, 1], "SAME")
    return tf.cast(tf.transpose(mixed, [0, 3, 2, 1]), value.dtype)


def _like(condition: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    return tf.logical_and(condition, tf.ones_like(tensor, tf.bool))  # TensorFlow 1.15's where
