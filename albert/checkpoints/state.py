"""Everything a run must keep to go on: weights, slots, counters. One copy, on one device."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple

import numpy as np

from albert.compat import tf
from albert.data.order import KEYED
from albert.model.precision import initial_loss_scale
from albert.optim.chain import Optimizer
from albert.optim.transforms import AVERAGE

GLOBAL_STEP = "global_step"
SKIPPED_STEPS = "skipped_steps"
BATCH_ORDER = "batch_order"


class TrainState(NamedTuple):
    """The state of a run as variables, by checkpoint name.

    Attributes:
      parameters: Weights, float32.
      slots: Optimizer state, float32, shaped like their parameters.
      global_step: Updates done, int64 []; the same for any number of towers.
      skipped_steps: Batches whose gradient was not finite, int64 []. A batch is used once, so the
        next one is number `global_step + skipped_steps`.
      loss_scale: What a float16 run needs to go on, float32 []; empty otherwise.
      batch_order: How the records of batch k are drawn, int64 []; see `data.order`.
    """

    parameters: Dict[str, tf.Variable]
    slots: Dict[str, tf.Variable]
    global_step: tf.Variable
    skipped_steps: tf.Variable
    loss_scale: Dict[str, tf.Variable]
    batch_order: tf.Variable

    def variables(self) -> Dict[str, tf.Variable]:
        """All variables under the names a checkpoint stores them by."""
        return dict(
            self.parameters,
            **self.slots,
            **self.loss_scale,
            **{
                GLOBAL_STEP: self.global_step,
                SKIPPED_STEPS: self.skipped_steps,
                BATCH_ORDER: self.batch_order,
            },
        )

    @property
    def judged(self) -> Dict[str, tf.Variable]:
        """The weights that evaluation uses, by name: their mean over updates where one is kept."""
        return {name: self.slots.get(name + AVERAGE, own) for name, own in self.parameters.items()}

    def reset(self, values: Mapping[str, np.ndarray], precision: str) -> None:
        """Puts everything back to what `create_state` makes of these values."""
        for name, variable in self.parameters.items():
            variable.assign(values[name])
        for variable in self.slots.values():
            variable.assign(tf.zeros_like(variable))
        for name, value in initial_loss_scale(precision).items():
            self.loss_scale[name].assign(value)
        self.global_step.assign(0)
        self.skipped_steps.assign(0)

    def next_batch(self) -> int:
        """Number of the next batch of the run."""
        return int(self.global_step.numpy()) + int(self.skipped_steps.numpy())


def create_state(
    values: Mapping[str, np.ndarray],
    optimizer: Optimizer,
    device: str,
    precision: str = "float32",
) -> TrainState:
    """Puts initial weights and zero slots on the parameter device."""
    with tf.device(device):
        parameters = {name: tf.Variable(value) for name, value in values.items()}
        slots = {
            slot: tf.Variable(tf.zeros(values[name].shape))
            for slot, name in optimizer.slots(values).items()
        }
    with tf.device("/device:CPU:0"):  # int64 variables have no GPU kernels in places
        counters = [tf.Variable(np.int64(value)) for value in (0, 0, KEYED)]
        scale = {n: tf.Variable(np.float32(v)) for n, v in initial_loss_scale(precision).items()}
    return TrainState(parameters, slots, counters[0], counters[1], scale, counters[2])
