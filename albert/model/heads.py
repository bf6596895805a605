"""The two pre-training heads: masked words and sentence order."""

from typing import Optional

from albert.compat import tf
from albert.config import ModelConfig
from albert.model.layers import ACTIVATIONS, dense, layer_norm, sizes
from albert.model.parameters import Dense, Parameters, SentenceHead


def gather_positions(sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Hidden states at some positions of each row: [B, S, D] and [B, P] -> [B, P, D]."""
    batch, length, width = sizes(sequence)
    offsets = tf.range(batch)[:, tf.newaxis] * length
    flat = tf.reshape(sequence, [batch * length, width])
    gathered = tf.gather(flat, tf.reshape(positions + offsets, [-1]))
    return tf.reshape(gathered, sizes(positions) + [width])


def pool(sequence: tf.Tensor, positions: Optional[tf.Tensor], pooler: Dense) -> tf.Tensor:
    """The first token of each example through a tanh layer.

    Args:
      sequence: [B, S, D].
      positions: int32 [B, K], where the examples of a packed row begin; None for one a row.
      pooler: [D, D].

    Returns:
      [B, D], or [B, K, D] of packed rows.
    """
    first = sequence[:, 0] if positions is None else gather_positions(sequence, positions)
    return tf.tanh(dense(first, pooler))


def masked_lm_logits(
    config: ModelConfig, parameters: Parameters, sequence: tf.Tensor, positions: tf.Tensor
) -> tf.Tensor:
    """Scores every piece of the vocabulary at the masked positions only.

    Args:
      config: The model.
      parameters: Bound weights; the word table serves as output embedding.
      sequence: [B, S, D].
      positions: int32 [B, P].

    Returns:
      [B, P, V].
    """
    gathered = gather_positions(sequence, positions)  # [B, P, D]
    head = parameters.masked_lm
    hidden = layer_norm(ACTIVATIONS[config.hidden_act](dense(gathered, head.transform)), head.norm)
    # Differs by layout, 3 of 3: brightmart's transform stays D wide and goes back through the
    # transposed projection; google's ends E wide.
    output = Dense(parameters.embeddings.word, head.output_bias)
    if config.layout == "brightmart":
        hidden = dense(hidden, Dense(parameters.embeddings.projection.kernel, None), transpose=True)
    return dense(hidden, output, transpose=True)


def sentence_order_logits(pooled: tf.Tensor, head: SentenceHead) -> tf.Tensor:
    """Scores [in order, swapped]: [..., D] -> [..., 2]."""
    return dense(pooled, Dense(head.output_weights, head.output_bias), transpose=True)
