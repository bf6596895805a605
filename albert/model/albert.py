"""ALBERT with its pre-training heads (Lan et al., 2019, https://arxiv.org/abs/1909.11942)."""

from typing import Mapping, NamedTuple, Optional

from albert.compat import tf
from albert.config import ModelConfig
from albert.model.attention import packed_bias, padding_bias
from albert.model.embedding import embed
from albert.model.encoder import encode
from albert.model.heads import masked_lm_logits, pool, sentence_order_logits
from albert.model.layers import make_dropout
from albert.model.parameters import bind
from albert.precision import POLICIES, Policy

Batch = Mapping[str, tf.Tensor]


class EncoderOutput(NamedTuple):
    """What fine-tuning builds on."""

    sequence: tf.Tensor  # [B, S, D]
    pooled: tf.Tensor  # [B, D], or [B, K, D] of packed rows


class PretrainingOutput(NamedTuple):
    """Unnormalised scores of the two heads, and the encoder's output."""

    masked_lm_logits: tf.Tensor  # [B, P, V]
    sentence_order_logits: tf.Tensor  # [B, 2], or [B, K, 2] of packed rows
    encoder: EncoderOutput


def pretraining_output(
    config: ModelConfig,
    tensors: Mapping[str, tf.Tensor],
    batch: Batch,
    dropout_seed: Optional[tf.Tensor] = None,
    recompute: bool = False,
    precision: Policy = POLICIES["float32"],
) -> PretrainingOutput:
    """Runs the model; a pure function of tensors.

    Args:
      config: The model.
      tensors: Every weight by its checkpoint name, float32.
      batch: input_ids, input_mask, segment_ids [B, S] and masked_lm_positions [B, P], int32. In
        packed rows (`data.packing`) also position_ids [B, S] and example_positions [B, K], and
        input_mask holds the number of the example.
      dropout_seed: int32 [2]; None runs without dropout.
      recompute: Whether activations are computed again in the backward pass.
      precision: In which type to compute.
    """
    parameters = bind(config, precision.cast(tensors))
    # Blocks cast their own, because the gradients of shared weights add up in float32.
    parameters = parameters._replace(blocks=bind(config, tensors).blocks)
    packed = "position_ids" in batch
    embedded = embed(
        config,
        parameters.embeddings,
        batch["input_ids"],
        batch["segment_ids"],
        batch.get("position_ids"),
        make_dropout(dropout_seed),
    )
    # The same for all layers, so computed once.
    bias = packed_bias(batch["input_mask"]) if packed else padding_bias(batch["input_mask"])
    sequence = encode(config, parameters, embedded, bias, dropout_seed, recompute)
    pooled = pool(sequence, batch.get("example_positions"), parameters.pooler)
    return PretrainingOutput(
        masked_lm_logits(config, parameters, sequence, batch["masked_lm_positions"]),
        sentence_order_logits(pooled, parameters.sentence_order),
        EncoderOutput(sequence, pooled),
    )
