"""The encoder: blocks of attention and feed-forward, normalised before or after."""

from typing import Callable

from albert.compat import tf
from albert.config import ModelConfig
from albert.model.attention import self_attention
from albert.model.layers import ACTIVATIONS, DropoutFunction, dense, layer_norm
from albert.model.parameters import Block, Norm, Parameters

SubLayer = Callable[[tf.Tensor], tf.Tensor]


def _post_norm(inputs: tf.Tensor, sub_layer: SubLayer, norm: Norm) -> tf.Tensor:
    return layer_norm(inputs + sub_layer(inputs), norm)


def _pre_norm(inputs: tf.Tensor, sub_layer: SubLayer, norm: Norm) -> tf.Tensor:
    return inputs + sub_layer(layer_norm(inputs, norm))


RESIDUAL_ORDERS = {"postln": _post_norm, "preln": _pre_norm}


def encode(
    config: ModelConfig,
    parameters: Parameters,
    embedded: tf.Tensor,
    mask: tf.Tensor,
    dropout: DropoutFunction,
) -> tf.Tensor:
    """Runs all blocks.

    Args:
      config: The model.
      parameters: Bound weights.
      embedded: [B, S, D].
      mask: [B, S], 1 for real tokens.
      dropout: As `layers.make_dropout` returns.

    Returns:
      The sequence output, [B, S, D].
    """
    # Differs by layout, 1 of 3: google normalises after the residual, brightmart as configured.
    order = "postln" if config.layout == "google" else config.ln_type
    hidden = embedded
    for block in parameters.blocks:
        hidden = _apply_block(config, block, hidden, mask, dropout, RESIDUAL_ORDERS[order])
    return hidden


def _apply_block(
    config: ModelConfig,
    block: Block,
    hidden: tf.Tensor,
    mask: tf.Tensor,
    dropout: DropoutFunction,
    residual: Callable[[tf.Tensor, SubLayer, Norm], tf.Tensor],
) -> tf.Tensor:
    activation = ACTIVATIONS[config.hidden_act]

    def attention(inputs: tf.Tensor) -> tf.Tensor:
        rate = config.attention_probs_dropout_prob
        outputs = self_attention(inputs, mask, block, config.num_attention_heads, dropout, rate)
        return dropout(outputs, config.hidden_dropout_prob)

    def feed_forward(inputs: tf.Tensor) -> tf.Tensor:
        outputs = dense(activation(dense(inputs, block.intermediate)), block.output)
        return dropout(outputs, config.hidden_dropout_prob)

    hidden = residual(hidden, attention, block.attention_norm)
    return residual(hidden, feed_forward, block.output_norm)
