"""The encoder with one linear head: weights, logits and what is minimised."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from albert.compat import tf
from albert.model.albert import Batch, bound, encoder_output
from albert.model.config import ModelConfig
from albert.model.initial import initial_value
from albert.model.layers import dense, make_dropout
from albert.model.losses import WeightedSum
from albert.model.parameters import (
    HEAD_BIAS,
    HEAD_WEIGHTS,
    Dense,
    Parameters,
    ParameterSpec,
    encoder_tree,
    head_specs,
    specs_of,
)
from albert.model.precision import POLICIES, Policy
from albert.tasks.losses import task_loss
from albert.tasks.task import Task
from albert.training.step.objective import Objective, uses_dropout

_SEED_STEP = 15485863  # between the dropout seeds of the encoder and of the head


def task_specs(config: ModelConfig, task: Task) -> Dict[str, ParameterSpec]:
    """Every weight of the model of a task: the encoder's it uses, and the head's."""
    return dict(specs_of(_tree(config, task)), **head_specs(config, len(task.labels)))


def initial_weights(
    config: ModelConfig, task: Task, pretrained: Mapping[str, np.ndarray], seed: int
) -> Dict[str, np.ndarray]:
    """Pre-trained weights where there are any, new ones elsewhere."""
    return {
        name: pretrained[name]
        if name in pretrained
        else initial_value(spec, config.initializer_range, seed)
        for name, spec in task_specs(config, task).items()
    }


def _tree(config: ModelConfig, task: Task) -> Parameters:
    tree = encoder_tree(config)
    # A pooled output is of no use to tags, and weights without a gradient cannot be trained.
    return tree._replace(pooler=None) if task.tags_words else tree


def task_logits(
    config: ModelConfig,
    task: Task,
    tensors: Mapping[str, tf.Tensor],
    batch: Batch,
    dropout_seed: Optional[tf.Tensor] = None,
    recompute: bool = False,
    precision: Policy = POLICIES["float32"],
) -> tf.Tensor:
    """Scores of the labels: [B, labels] of texts, [B, S, labels] of words; numbers, [B, 1].

    Args:
      config: The model.
      task: Its labels.
      tensors: Every weight of `task_specs` by name.
      batch: input_ids, input_mask, segment_ids [B, S], int32.
      dropout_seed: int32 [2]; None runs without dropout.
      recompute: Whether activations are computed again in the backward pass.
      precision: In which type to compute.
    """
    parameters = bound(_tree(config, task), tensors, precision)
    output = encoder_output(config, parameters, batch, dropout_seed, recompute)
    features = output.sequence if task.tags_words else output.pooled
    seed = None if dropout_seed is None else dropout_seed + [0, _SEED_STEP]
    features = make_dropout(seed)(features, config.hidden_dropout_prob)
    head = precision.cast({name: tensors[name] for name in (HEAD_WEIGHTS, HEAD_BIAS)})
    return dense(features, Dense(head[HEAD_WEIGHTS], head[HEAD_BIAS]), transpose=True)


def task_output(task: Task, logits: tf.Tensor) -> tf.Tensor:
    """What a model says, of its logits: the number, or the probabilities of the labels."""
    if task.kind == "regression":
        return task.mean + task.deviation * logits
    return tf.sigmoid(logits) if task.kind == "multi-label" else tf.nn.softmax(logits)


def fine_tuning(config: ModelConfig, task: Task, class_weights: Sequence[float]) -> Objective:
    """The loss of a task, `losses.task_loss`, of the whole model."""
    loss = task_loss(task, class_weights)

    def sums(
        tensors: Mapping[str, tf.Tensor], batch: Batch, *how: Any, **named: Any
    ) -> Dict[str, WeightedSum]:
        logits = task_logits(config, task, tensors, batch, *how, **named)
        return dict(zip(loss.names, loss.sums(logits, batch["labels"])))

    return Objective(
        loss.names,
        lambda batch: loss.weight(batch["labels"]),
        sums,
        lambda sums, whole: sums["loss"].total / tf.maximum(whole, 1e-5),
        uses_dropout(config),
    )
