"""What learns: weights, slots and counters, with the step that moves them on."""

from typing import Callable, Mapping, NamedTuple, Sequence

import numpy as np

from albert.checkpoints.state import TrainState, create_state
from albert.hosts.group import ALONE, Hosts
from albert.optim.chain import Optimizer
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import Schedule
from albert.training.step.objective import Objective
from albert.training.step.step import StepOptions, make_train_step


class Problem(NamedTuple):
    """What is learned.

    Attributes:
      objective: What a step minimises.
      initial: Makes the weights a run begins with, float32, by name.
      seed: Of the dropout masks.
    """

    objective: Objective
    initial: Callable[[], Mapping[str, np.ndarray]]
    seed: int


class Method(NamedTuple):
    """How it is learned.

    Attributes:
      optimizer: The update rule.
      rates: The learning rates when a share of the peak is left: from the share to a schedule.
      step: How a step is computed.
    """

    optimizer: OptimizerConfig
    rates: Callable[[float], Schedule]
    step: StepOptions


class Learner:
    """The state of a run and the step that moves it on.

    Attributes:
      state: Weights, slots and counters, on the first device.
      step: From a batch to a `StepResult`; see `step.make_train_step`.
      hosts: Which share the batches.
    """

    def __init__(
        self,
        problem: Problem,
        method: Method,
        devices: Sequence[str],
        rate_share: float = 1.0,
        hosts: Hosts = ALONE,
    ) -> None:
        """Makes new weights and builds the step.

        Args:
          problem: What is learned.
          method: How.
          devices: One tower runs on each.
          rate_share: Share of the peak rate that is left.
          hosts: Which share the batches.

        Raises:
          UsageError: An option is refused.
        """
        self._problem, self._method, self._devices = problem, method, devices
        self.hosts = hosts
        values = problem.initial()
        rates = method.rates(rate_share)
        optimizer = make_optimizer(method.optimizer, rates, values)
        self.state: TrainState = create_state(values, optimizer, devices[0], method.step.precision)
        self._build(optimizer, rates)

    def _build(self, optimizer: Optimizer, rates: Schedule) -> None:
        self.step = make_train_step(
            self._problem.objective,
            self.state,
            optimizer,
            rates,
            self._devices,
            self._problem.seed,
            self._method.step,
            self.hosts,
        )

    @property
    def global_step(self) -> int:
        """Updates done."""
        return int(self.state.global_step.numpy())

    def lower_rate(self, rate_share: float) -> None:
        """Builds the step again with a share of the peak rate."""
        rates = self._method.rates(rate_share)
        optimizer = make_optimizer(self._method.optimizer, rates, self.state.parameters)
        self._build(optimizer, rates)

    def reset(self) -> None:
        """Puts everything back to the start."""
        self.state.reset(self._problem.initial(), self._method.step.precision)
