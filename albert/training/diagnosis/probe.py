"""Facts about a model: how its outputs differ, and how its weights moved since the last look."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Tuple

import numpy as np

from albert.checkpoints.state import TrainState
from albert.compat import tf
from albert.data.dataset import Batch
from albert.model.albert import bound, encoder_output
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_tree
from albert.optim.optimizers import OptimizerConfig, trust_ratios

EXAMPLES = 16
# Below, weights are too small for updates in proportion to them. Above, a weight decay of 0.01 is
# half of an update or more: the gradient has little to say.
TRUST_BAND = (1e-4, 50.0)
_SATURATED = 0.95


class OutputFacts(NamedTuple):
    """How much the outputs for different inputs differ.

    Attributes:
      position_cosine: Mean cosine between the hidden states of neighbouring masked positions.
      example_cosine: Mean cosine between the pooled vectors of neighbouring examples.
      pooler_saturation: Share of the pooler's units beyond 0.95 in absolute value.
    """

    position_cosine: float
    example_cosine: float
    pooler_saturation: float


class Movement(NamedTuple):
    """How tables and kernels moved between two looks, by name.

    Attributes:
      turned: Norm of the part of the change that does more than scale the weight, over the
        weight's norm: weight decay alone leaves it 0.
      per_update: Norm of the change over the weight's norm and the number of updates.
    """

    turned: Dict[str, float]
    per_update: Dict[str, float]


def output_facts(
    config: ModelConfig, tensors: Mapping[str, tf.Tensor], batch: Batch
) -> OutputFacts:
    """Runs the encoder on padded examples that differ from each other."""
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    encoder = encoder_output(
        config,
        bound(parameter_tree(config), tensors),
        inputs,
        positions=inputs["masked_lm_positions"][:, :2],
    )
    assert encoder.pooled is not None  # a `parameter_tree` has a pooler
    masked, pooled = encoder.sequence.numpy(), encoder.pooled.numpy()
    return OutputFacts(
        _cosine(masked[:, 0], masked[:, -1]),
        _cosine(pooled[:-1], pooled[1:]),
        float((np.abs(pooled) > _SATURATED).mean()),
    )


def movement(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], updates: int
) -> Movement:
    """Compares two snapshots of the weights, `updates` apart."""
    turned, per_update = {}, {}
    for name, new in after.items():
        if new.ndim < 2:
            continue  # a short vector may well grow along itself
        change, size = _parts(before[name].astype(np.float64), new.astype(np.float64))
        turned[name] = change[1] / size
        per_update[name] = change[0] / size / max(1, updates)
    return Movement(turned, per_update)


def trust_facts(config: OptimizerConfig, state: TrainState) -> Dict[str, float]:
    """The trust ratios of a LAMB run for its metrics, empty for other optimizers.

    Returns:
      trust_ratio, the median over tables and kernels, and trust_ratios_out_of_band, the share of
      them that lie outside of `TRUST_BAND`.
    """
    if config.name != "lamb":
        return {}
    found = trust_ratios(config, state.parameters, state.slots, state.global_step)
    ratios = np.array([float(ratio) for ratio in found.values()])
    outside = (ratios < TRUST_BAND[0]) | (ratios > TRUST_BAND[1])
    return {
        "trust_ratio": float(np.median(ratios)),
        "trust_ratios_out_of_band": float(outside.mean()),
    }


def _parts(old: np.ndarray, new: np.ndarray) -> Tuple[Tuple[float, float], float]:
    change, norm = new - old, np.linalg.norm(old)
    along = np.vdot(change, old) / norm**2 * old if norm else 0.0
    size = max(float(norm), float(np.linalg.norm(new)), 1e-12)
    return (float(np.linalg.norm(change)), float(np.linalg.norm(change - along))), size


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(((one * other).sum(axis=-1) / np.maximum(norms, 1e-12)).mean())
