"""ALBERT with its pre-training heads (Lan et al., 2019, https://arxiv.org/abs/1909.11942)."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional

from albert.compat import tf
from albert.model.blocks.attention import surroundings
from albert.model.config import ModelConfig
from albert.model.embedding import embed
from albert.model.encoder import encode
from albert.model.heads import masked_lm_logits, pool, sentence_order_logits
from albert.model.layers import gather_positions, make_dropout, sizes
from albert.model.parameters import Parameters, bind, parameter_tree
from albert.model.precision import POLICIES, Policy

Batch = Mapping[str, "tf.Tensor"]


class EncoderOutput(NamedTuple):
    """What heads build on."""

    sequence: tf.Tensor  # [B, S, D], or [B, P, D] at the positions asked for
    pooled: Optional[tf.Tensor]  # [B, D], [B, K, D] of packed rows; None without a pooler


class PretrainingOutput(NamedTuple):
    """Unnormalised scores of the two heads."""

    masked_lm_logits: tf.Tensor  # [B, P, V]
    sentence_order_logits: tf.Tensor  # [B, 2], or [B, K, 2] of packed rows


def pretraining_output(
    config: ModelConfig,
    tensors: Mapping[str, tf.Tensor],
    batch: Batch,
    dropout_seed: Optional[tf.Tensor] = None,
    recompute: bool = False,
    precision: Policy = POLICIES["float32"],
) -> PretrainingOutput:
    """Runs the model with its heads; a pure function of tensors.

    Args:
      config: The model.
      tensors: Every weight by its checkpoint name, float32.
      batch: As for `encoder_output`, and masked_lm_positions int32 [B, P].
      dropout_seed: int32 [2]; None runs without dropout.
      recompute: Whether activations are computed again in the backward pass.
      precision: In which type to compute.
    """
    parameters = bound(parameter_tree(config), tensors, precision)
    masked_lm, sentence_order = parameters.masked_lm, parameters.sentence_order
    assert masked_lm and sentence_order  # a `parameter_tree` has all its parts
    positions = batch["masked_lm_positions"]
    encoder = encoder_output(config, parameters, batch, dropout_seed, recompute, positions)
    return PretrainingOutput(
        masked_lm_logits(config, parameters.embeddings, masked_lm, encoder.sequence),
        sentence_order_logits(encoder.pooled, sentence_order),
    )


def bound(
    tree: Parameters,
    tensors: Mapping[str, tf.Tensor],
    precision: Policy = POLICIES["float32"],
) -> Parameters:
    """Weights where the computation uses them, in its type but for those of blocks.

    Blocks cast their own, because the gradients of shared weights add up in float32.
    """
    cast = bind(tree, precision.cast(tensors))
    return cast._replace(blocks=bind(tree, tensors).blocks)


def encoder_output(
    config: ModelConfig,
    parameters: Parameters,
    batch: Batch,
    dropout_seed: Optional[tf.Tensor] = None,
    recompute: bool = False,
    positions: Optional[tf.Tensor] = None,
) -> EncoderOutput:
    """Runs embeddings, blocks and pooler.

    Args:
      config: The model.
      parameters: As `bound` returns.
      batch: input_ids, input_mask, segment_ids [B, S], int32. In packed rows (`data.packing`) also
        position_ids [B, S] and example_positions [B, K], and input_mask holds the number of the
        example.
      dropout_seed: int32 [2]; None runs without dropout.
      recompute: Whether activations are computed again in the backward pass.
      positions: int32 [B, P], where the sequence output is wanted; None for everywhere.
    """
    packed = "position_ids" in batch
    embedded = embed(
        config,
        parameters.embeddings,
        batch["input_ids"],
        batch["segment_ids"],
        batch.get("position_ids"),
        make_dropout(dropout_seed),
    )
    around = surroundings(config, batch)
    first = batch["example_positions"] if packed else tf.fill([sizes(embedded)[0], 1], 0)
    wanted = None if positions is None else tf.concat([first, positions], axis=1)
    sequence = encode(config, parameters, embedded, around, dropout_seed, recompute, wanted)
    if positions is None:
        starts = gather_positions(sequence, first)
    else:
        starts, sequence = sequence[:, : first.shape[1]], sequence[:, first.shape[1] :]
    starts = starts if packed else starts[:, 0]
    return EncoderOutput(sequence, pool(starts, parameters.pooler) if parameters.pooler else None)
