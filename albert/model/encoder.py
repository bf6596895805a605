"""The encoder: blocks of attention and feed-forward, normalised before or after."""

from __future__ import annotations

import functools
from typing import Callable, Optional

from albert.compat import tf
from albert.model.blocks.attention import Surroundings, self_attention
from albert.model.blocks.joined import JoinedBlock, join_projections
from albert.model.blocks.recomputation import recomputed
from albert.model.blocks.sharing import SharedWeights
from albert.model.config import ModelConfig
from albert.model.layers import (
    ACTIVATIONS,
    DropoutFunction,
    dense,
    gather_positions,
    layer_norm,
    make_dropout,
)
from albert.model.parameters import Norm, Parameters

SubLayer = Callable[["tf.Tensor"], "tf.Tensor"]

_SEED_STEP = 104729  # between the dropout seeds of blocks; steps of a run are far fewer apart


def _post_norm(
    inputs: tf.Tensor, sub_layer: SubLayer, norm: Norm, positions: Optional[tf.Tensor] = None
) -> tf.Tensor:
    return layer_norm(gather_positions(inputs, positions) + sub_layer(inputs), norm)


def _pre_norm(
    inputs: tf.Tensor, sub_layer: SubLayer, norm: Norm, positions: Optional[tf.Tensor] = None
) -> tf.Tensor:
    return gather_positions(inputs, positions) + sub_layer(layer_norm(inputs, norm))


RESIDUAL_ORDERS = {"postln": _post_norm, "preln": _pre_norm}


def encode(
    config: ModelConfig,
    parameters: Parameters,
    embedded: tf.Tensor,
    around: Surroundings,
    dropout_seed: Optional[tf.Tensor] = None,
    recompute: bool = False,
    positions: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """Runs all blocks, the last only where its output is wanted.

    Below the last block every position is needed, as key and value of the others. In the last one
    all but keys and values is computed at `positions` alone.

    Args:
      config: The model.
      parameters: Bound weights; the blocks cast theirs to the type of `embedded`.
      embedded: [B, S, D].
      around: How the tokens see one another.
      dropout_seed: int32 [2]; None runs without dropout.
      recompute: Whether the backward pass computes each block's activations again instead of
        keeping them.
      positions: int32 [B, P], where the output is wanted; None for everywhere.

    Returns:
      The sequence output, [B, S, D], or [B, P, D] at the positions.
    """
    # Differs by layout, 1 of 3.
    order = config.norm_placement
    hidden = embedded
    blocks = join_projections(parameters.blocks, config.num_attention_heads)
    shared = SharedWeights(blocks, embedded.dtype)
    for number, block in enumerate(blocks):
        last = number + 1 == len(blocks)
        seed = None if dropout_seed is None else dropout_seed + [0, _SEED_STEP * (number + 1)]
        run = functools.partial(
            _run_block, config, RESIDUAL_ORDERS[order], block, seed, positions if last else None
        )
        hidden, weights = shared.take(hidden, block)
        hidden = (recomputed(run) if recompute else run)(hidden, around, *weights)
    return layer_norm(hidden, parameters.final_norm) if parameters.final_norm else hidden


def _run_block(
    config: ModelConfig,
    residual: Callable[..., tf.Tensor],
    structure: JoinedBlock,
    seed: Optional[tf.Tensor],
    positions: Optional[tf.Tensor],
    hidden: tf.Tensor,
    around: Surroundings,
    *weights: tf.Tensor,
) -> tf.Tensor:
    block = structure.with_weights(weights)
    return _apply_block(config, block, hidden, around, make_dropout(seed), residual, positions)


def _apply_block(
    config: ModelConfig,
    block: JoinedBlock,
    hidden: tf.Tensor,
    around: Surroundings,
    dropout: DropoutFunction,
    residual: Callable[..., tf.Tensor],
    positions: Optional[tf.Tensor],
) -> tf.Tensor:
    activation = ACTIVATIONS[config.hidden_act]

    def finished(outputs: tf.Tensor) -> tf.Tensor:
        outputs = dropout(outputs, config.hidden_dropout_prob)
        return outputs if config.residual_scale == 1.0 else outputs * config.residual_scale

    def attention(inputs: tf.Tensor) -> tf.Tensor:
        return finished(self_attention(config, inputs, around, block, dropout, positions))

    def feed_forward(inputs: tf.Tensor) -> tf.Tensor:
        middle = activation(dense(inputs, block.intermediate))
        if block.gate:
            middle *= dense(inputs, block.gate)
        return finished(dense(middle, block.output))

    hidden = residual(hidden, attention, block.attention_norm, positions)
    return residual(hidden, feed_forward, block.output_norm)
