"""Factorised input embedding: word, segment and position."""

from __future__ import annotations

from typing import Optional

from albert.compat import tf
from albert.model.config import ModelConfig
from albert.model.layers import DropoutFunction, dense, layer_norm, sizes
from albert.model.parameters import Embeddings


def embed(
    config: ModelConfig,
    parameters: Embeddings,
    input_ids: tf.Tensor,
    segment_ids: tf.Tensor,
    position_ids: Optional[tf.Tensor],
    dropout: DropoutFunction,
) -> tf.Tensor:
    """Embeds token ids.

    Args:
      config: The model.
      parameters: Tables; segment and position tables are E wide (google) or D wide (brightmart).
      input_ids: int32 [B, S].
      segment_ids: int32 [B, S].
      position_ids: int32 [B, S], or None for 0 to S - 1 in each row.
      dropout: As `layers.make_dropout` returns.

    Returns:
      [B, S, D].
    """
    batch, length = sizes(input_ids)
    words = tf.gather(parameters.word, tf.reshape(input_ids, [-1]))  # [B * S, E]
    words = tf.reshape(words, [batch, length, config.embedding_size])
    # Differs by layout, 2 of 3: brightmart projects to D inside the lookup, google after the norm.
    in_lookup = config.layout == "brightmart"
    if in_lookup:
        assert parameters.projection is not None  # only google's may be absent
        words = dense(words, parameters.projection)
    # A matrix product: the gradient of a lookup in so small a table is slow and unordered.
    segments = tf.one_hot(segment_ids, config.type_vocab_size, dtype=words.dtype)
    segments = tf.reshape(
        tf.matmul(
            tf.reshape(segments, [batch * length, config.type_vocab_size]), parameters.token_type
        ),
        sizes(words),
    )
    embedded = words + segments
    if parameters.position is not None and position_ids is None:
        embedded += parameters.position[:length]
    elif parameters.position is not None:
        embedded += tf.gather(parameters.position, position_ids)
    embedded = dropout(layer_norm(embedded, parameters.norm), config.hidden_dropout_prob)
    if in_lookup or parameters.projection is None:
        return embedded
    return dense(embedded, parameters.projection)
