"""Scaled dot-product attention (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

from typing import Callable, List, Mapping, NamedTuple, Optional, Tuple

from albert.compat import custom_gradient, fused, tf
from albert.model.blocks.joined import JoinedBlock
from albert.model.blocks.nystrom import Landmarks, landmarks, nystrom_attention
from albert.model.blocks.rotary import rotated, rotation
from albert.model.config import ModelConfig
from albert.model.layers import MASKED_LOGIT, DropoutFunction, dense, gather_positions, sizes
from albert.model.parameters import Dense

# Queries that attend together where all of them would need too much memory.
QUERY_BLOCK = 128


class Surroundings(NamedTuple):
    """How the tokens of a batch see one another; the same in every block.

    Attributes:
      bias: Added to attention logits, [B, 1, 1 or S, S].
      rotation: Of query and key where positions are rotary, [B or 1, S, H].
      means: What stands for the tokens in Nystrom attention.
    """

    bias: tf.Tensor
    rotation: Optional[tf.Tensor] = None
    means: Optional[Landmarks] = None


def surroundings(config: ModelConfig, batch: Mapping[str, tf.Tensor]) -> Surroundings:
    """What attention of every block needs to know of a batch, as `albert.encoder_output` takes it.

    Raises:
      ValueError: Rows hold several examples each, and attention is by landmarks.
    """
    packed = "position_ids" in batch
    mask = batch["input_mask"]
    turned, means = None, None
    if config.position_embedding_type == "rotary":
        positions = batch["position_ids"] if packed else tf.range(sizes(mask)[1])[tf.newaxis]
        turned = rotation(positions, config.hidden_size // config.num_attention_heads)
    if config.attention == "nystrom":
        if packed:
            raise ValueError("attention=nystrom takes one example a row.")
        means = landmarks(mask, config.num_landmarks)
    return Surroundings(packed_bias(mask) if packed else padding_bias(mask), turned, means)


def padding_bias(mask: tf.Tensor) -> tf.Tensor:
    """What to add to logits so that padding is not attended to: [B, S'] -> [B, 1, 1, S']."""
    bias = (1.0 - tf.cast(mask, tf.float32)) * MASKED_LOGIT
    # Not [:, None, None, :]: TFLite has no operation for a slice with two new axes.
    return tf.expand_dims(tf.expand_dims(bias, 1), 1)


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


@custom_gradient
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
    config: ModelConfig,
    inputs: tf.Tensor,
    around: Surroundings,
    block: JoinedBlock,
    dropout: DropoutFunction,
    positions: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Attention of a sequence over itself, heads joined and projected.

    Args:
      config: The model.
      inputs: [B, S, D].
      around: Of the batch.
      block: Projections and output weights.
      dropout: As `layers.make_dropout` returns.
      positions: int32 [B, P], which positions attend; None for all.

    Returns:
      [B, S, D], or [B, P, D].
    """
    # Landmarks are means of all queries.
    attending = None if around.means else positions
    query, key, value = _projected(inputs, block.projections, config.num_attention_heads, attending)
    bias, turned = around.bias, around.rotation
    if turned is not None:
        query, key = rotated(query, turned, attending), rotated(key, turned)
    if around.means:
        assert block.convolution is not None  # a config with landmarks has one
        context = nystrom_attention(
            query,
            key,
            value,
            bias,
            around.means,
            config.inverse_iterations,
            block.convolution,
            positions,
        )
    else:
        if positions is not None and bias.shape[2] != 1:
            bias = gather_positions(bias[:, 0], positions)[:, tf.newaxis]
        rate = config.attention_probs_dropout_prob
        context = softmax_attention(query, key, value, bias, dropout, rate)
    batch, _, length, _ = sizes(context)
    joined = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, inputs.shape[-1]])
    return dense(joined, block.attention_output)


def _projected(
    inputs: tf.Tensor, projections: Dense, num_heads: int, positions: Optional[tf.Tensor]
) -> List[tf.Tensor]:
    """Query, at the positions alone, key and value: [B, N, S or P, H] each."""
    if positions is None:
        return _heads(inputs, projections, 3, num_heads)
    width = inputs.shape[-1]
    kernels = tf.split(projections.kernel, [width, 2 * width], axis=1)
    biases = [None, None]
    if projections.bias is not None:
        biases = tf.split(projections.bias, [width, 2 * width])
    attending = gather_positions(inputs, positions)
    query = _heads(attending, Dense(kernels[0], biases[0]), 1, num_heads)
    return query + _heads(inputs, Dense(kernels[1], biases[1]), 2, num_heads)


def _heads(inputs: tf.Tensor, joined: Dense, maps: int, num_heads: int) -> List[tf.Tensor]:
    """Takes linear maps apart that are computed as one: [B, S, D] -> [B, N, S, H] each."""
    batch, length, width = sizes(inputs)  # of the outputs, tf2onnx would lose them with a reshape
    split = [batch, length, maps, num_heads, width // num_heads]
    return tf.unstack(tf.transpose(tf.reshape(dense(inputs, joined), split), [2, 0, 3, 1, 4]))
