"""What a step minimises: sums over examples, divided by weights of the whole batch.

Whatever is written this way can be cut into towers and micro-batches: their parts add up to the
loss and the gradient of the undivided batch.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Tuple

from albert.compat import tf
from albert.model.albert import Batch, pretraining_output
from albert.model.config import ModelConfig
from albert.model.losses import (
    MASKED_LM_Z,
    SUM_NAMES,
    WeightedSum,
    masked_lm_weight,
    partition_sum,
    pretraining_sums,
    sentence_order_weights,
    total_loss,
)

Tensors = Dict[str, "tf.Tensor"]
Sums = Dict[str, WeightedSum]


class Objective(NamedTuple):
    """A loss that towers can share.

    Attributes:
      sum_names: The keys of what `sums` returns.
      denominators: From the whole batch to what its parts divide by, a structure of [] tensors.
      sums: From (weights by name, float32; some rows of the batch; dropout seed or None; whether to
        recompute activations; in which type to compute) to the sums of these rows.
      loss: From (sums of some rows, denominators of the whole batch) to their part of the loss, [].
      uses_dropout: Whether a dropout seed changes anything.
    """

    sum_names: Tuple[str, ...]
    denominators: Callable[[Batch], Any]
    sums: Callable[..., Sums]
    loss: Callable[[Sums, Any], tf.Tensor]
    uses_dropout: bool


class Denominators(NamedTuple):
    """Weights of the two pre-training losses over the whole batch."""

    masked_lm: tf.Tensor  # []
    sentence_order: tf.Tensor  # []


def loss_denominators(batch: Batch) -> Denominators:
    """Counts masked words and labelled examples of the whole batch, before it is split."""
    return Denominators(
        masked_lm_weight(batch),
        tf.reduce_sum(sentence_order_weights(batch["sentence_order_labels"])),
    )


def pretraining(config: ModelConfig, z_loss: float = 0.0) -> Objective:
    """Masked words and sentence order, and `z_loss` times `losses.partition_sum`."""

    def sums(tensors: Tensors, batch: Batch, *how: Any, **named: Any) -> Sums:
        output = pretraining_output(config, tensors, batch, *how, **named)
        found = pretraining_sums(output, batch)
        return {**found, **partition_sum(output, batch)} if z_loss else found

    def loss(sums: Sums, whole: Denominators) -> tf.Tensor:
        words = sums["masked_lm_loss"].total
        if z_loss:
            words += z_loss * sums[MASKED_LM_Z].total
        return total_loss(
            words, whole.masked_lm, sums["sentence_order_loss"].total, whole.sentence_order
        )

    names = SUM_NAMES + ((MASKED_LM_Z,) if z_loss else ())
    return Objective(names, loss_denominators, sums, loss, uses_dropout(config))


def uses_dropout(config: ModelConfig) -> bool:
    """Whether the encoder drops anything out while it is trained."""
    return max(config.hidden_dropout_prob, config.attention_probs_dropout_prob) > 0.0
