"""The two pre-training heads: masked words and sentence order."""

from __future__ import annotations

from albert.compat import tf
from albert.model.config import ModelConfig
from albert.model.layers import ACTIVATIONS, dense, layer_norm
from albert.model.parameters import Dense, Embeddings, MaskedLmHead, SentenceHead


def pool(first: tf.Tensor, pooler: Dense) -> tf.Tensor:
    """The first token of an example through a tanh layer: [..., D] -> [..., D]."""
    return tf.tanh(dense(first, pooler))


def masked_lm_logits(
    config: ModelConfig, embeddings: Embeddings, head: MaskedLmHead, masked: tf.Tensor
) -> tf.Tensor:
    """Scores every piece of the vocabulary.

    Args:
      config: The model.
      embeddings: Bound weights; the word table serves as output embedding.
      head: Bound weights.
      masked: The sequence output at the masked positions only, [B, P, D].

    Returns:
      [B, P, V].
    """
    hidden = layer_norm(ACTIVATIONS[config.hidden_act](dense(masked, head.transform)), head.norm)
    # Differs by layout, 3 of 3: brightmart's transform stays D wide and goes back through the
    # transposed projection; google's ends E wide.
    output = Dense(embeddings.word, head.output_bias)
    if config.layout == "brightmart":
        assert embeddings.projection is not None  # only google's may be absent
        hidden = dense(hidden, Dense(embeddings.projection.kernel, None), transpose=True)
    return dense(hidden, output, transpose=True)


def sentence_order_logits(pooled: tf.Tensor, head: SentenceHead) -> tf.Tensor:
    """Scores [in order, swapped]: [..., D] -> [..., 2]."""
    return dense(pooled, Dense(head.output_weights, head.output_bias), transpose=True)
