"""The two pre-training heads: masked words and sentence order."""

from albert.compat import tf
from albert.config import ModelConfig
from albert.model.layers import ACTIVATIONS, dense, layer_norm
from albert.model.parameters import Dense, Parameters, SentenceHead


def pool(sequence: tf.Tensor, pooler: Dense) -> tf.Tensor:
    """The first token through a tanh layer: [B, S, D] -> [B, D]."""
    return tf.tanh(dense(sequence[:, 0], pooler))


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
    batch, length, width = sequence.shape.as_list()
    offsets = tf.range(batch)[:, tf.newaxis] * length
    flat = tf.reshape(sequence, [batch * length, width])
    gathered = tf.gather(flat, tf.reshape(positions + offsets, [-1]))  # [B * P, D]
    head = parameters.masked_lm
    hidden = layer_norm(ACTIVATIONS[config.hidden_act](dense(gathered, head.transform)), head.norm)
    # Differs by layout, 3 of 3: brightmart's transform stays D wide and goes back through the
    # transposed projection; google's ends E wide.
    if config.layout == "brightmart":
        hidden = tf.matmul(hidden, parameters.embeddings.projection.kernel, transpose_b=True)
    logits = tf.matmul(hidden, parameters.embeddings.word, transpose_b=True)  # [B * P, V]
    logits = tf.nn.bias_add(logits, head.output_bias)
    return tf.reshape(logits, [batch, positions.shape[1], config.vocab_size])


def sentence_order_logits(pooled: tf.Tensor, head: SentenceHead) -> tf.Tensor:
    """Scores [in order, swapped]: [B, D] -> [B, 2]."""
    return tf.nn.bias_add(
        tf.matmul(pooled, head.output_weights, transpose_b=True), head.output_bias
    )
