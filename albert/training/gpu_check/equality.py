"""The same model comes out, however a step is computed, on the devices of this machine."""

from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from albert.compat import full_float32
from albert.data.packing import row_layout
from albert.model.config import ModelConfig
from albert.model.limits import LAYOUTS
from albert.optim.optimizers import OptimizerConfig
from albert.optim.schedules import ScheduleOptions
from albert.training.options import TrainingOptions
from albert.training.setup import make_learner
from albert.training.step.step import StepOptions

_BATCH, _LENGTH, _PREDICTIONS = 16, 64, 12
_UPDATES = 10
# Nats. Float32 differs by the order of sums, which updates make larger; half precision by itself.
_ROUNDING, _HALF_PRECISION = 1e-4, 5e-2


class Equality(NamedTuple):
    """How a variant of a step compares with one plain tower in float32.

    Attributes:
      layout: Of the model.
      variant: What differs.
      difference: The largest of any update's loss, nats.
      allowed: What rounding explains.
    """

    layout: str
    variant: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= self.allowed


class _Variant(NamedTuple):
    name: str
    towers: int = 1
    padding: str = "none"
    optimizer: str = "adamw"
    step: StepOptions = StepOptions()  # noqa: B008  (a NamedTuple does not change)
    allowed: float = _ROUNDING


def _variants(devices: Sequence[str]) -> List[_Variant]:
    found = [
        _Variant("two towers", towers=2, step=StepOptions(reduction="tree")),
        _Variant("two micro-batches", step=StepOptions(accumulation=2)),
        _Variant("activations computed again", step=StepOptions(recompute=True)),
        _Variant("packed rows", padding="pack"),
        _Variant("XLA", step=StepOptions(xla=True)),
        _Variant("bfloat16", step=StepOptions("mixed_bfloat16"), allowed=_HALF_PRECISION),
        _Variant(
            "bfloat16, XLA", step=StepOptions("mixed_bfloat16", True), allowed=_HALF_PRECISION
        ),
    ]
    if len(set(devices)) > 1 and "GPU" in devices[0]:
        found.append(_Variant("two towers, NCCL", 2, step=StepOptions(reduction="nccl")))
    return found


def check_equality(devices: Sequence[str], layouts: Sequence[str] = LAYOUTS) -> List[Equality]:
    """Trains a small model of each layout for some updates in every way.

    Args:
      devices: Of the machine. Where there is one, two towers share it.
      layouts: Of the models.
    """
    towers = [devices[0], devices[-1]]
    found = []
    with full_float32():
        for layout in layouts:
            config = _config(layout)
            plain = {
                optimizer: _losses(config, towers, _Variant("", optimizer=optimizer))
                for optimizer in ("adamw", "muon")
            }
            muon = _Variant("two towers, Muon", towers=2, optimizer="muon")
            for variant in [*_variants(devices), muon]:
                losses = _losses(config, towers, variant)
                difference = float(np.abs(losses - plain[variant.optimizer]).max())
                found.append(Equality(layout, variant.name, difference, variant.allowed))
    return found


def _config(layout: str) -> ModelConfig:
    return ModelConfig(
        layout=layout,
        vocab_size=1000,
        embedding_size=32,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _losses(config: ModelConfig, devices: Sequence[str], variant: _Variant) -> np.ndarray:
    """The loss of each update."""
    options = TrainingOptions(
        config,
        schedule=ScheduleOptions(100, 1e-3, num_warmup_steps=0),
        optimizer=OptimizerConfig(variant.optimizer),
        step=variant.step,
        train_batch_size=_BATCH,
    )
    parts = variant.towers * variant.step.accumulation
    sample = random_batch(config, _BATCH, _LENGTH, _PREDICTIONS, 0)
    layout = row_layout(variant.padding, _BATCH, parts, sample)
    learner = make_learner(options, devices[: variant.towers])
    losses = []
    for number in range(_UPDATES):
        batch = random_batch(config, _BATCH, _LENGTH, _PREDICTIONS, number)
        sums = learner.step(layout(batch)).sums
        losses.append(
            sum(
                float(sums[name].total) / max(1.0, float(sums[name].weight))
                for name in ("masked_lm_loss", "sentence_order_loss")
            )
        )
    return np.array(losses)


def random_batch(
    config: ModelConfig,
    size: int,
    length: int,
    predictions: int,
    seed: int = 0,
    shortest: float = 0.25,
) -> Dict[str, np.ndarray]:
    """A padded batch of random pieces, as `RecordDataset.read` returns.

    Args:
      config: The model.
      size: B.
      length: S.
      predictions: P.
      seed: Of the pieces.
      shortest: Share of S that the shortest example may have.
    """
    random = np.random.RandomState(seed)
    lengths = random.randint(int(shortest * length), length + 1, size) if shortest < 1 else length
    lengths = np.broadcast_to(lengths, [size])[:, None]
    inside = np.arange(length) < lengths
    ids = np.where(inside, random.randint(5, config.vocab_size, [size, length]), 0)
    count = np.maximum(1, predictions * lengths // length)
    weights = np.arange(predictions) < count
    positions = np.where(weights, 1 + np.arange(predictions) * (lengths - 2) // predictions, 0)
    labels = np.where(weights, np.take_along_axis(ids, positions, 1), 0)
    return {
        "input_ids": ids.astype(np.int32),
        "input_mask": inside.astype(np.int32),
        "segment_ids": (inside & (np.arange(length) >= lengths // 2)).astype(np.int32),
        "masked_lm_positions": positions.astype(np.int32),
        "masked_lm_ids": labels.astype(np.int32),
        "masked_lm_weights": weights.astype(np.float32),
        "sentence_order_labels": random.randint(0, 2, size).astype(np.int32),
    }
