"""What one training run is told to do: the options of each of its parts, together."""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence

from absl import logging

from albert.checkpoints.manager import SavingOptions
from albert.data.source import DataOptions
from albert.model.config import ModelConfig
from albert.model.precision import POLICIES
from albert.optim.optimizers import OptimizerConfig, original_trust_ratio
from albert.optim.rates import rate_warning, suggested_rate
from albert.optim.schedules import Schedule, ScheduleOptions
from albert.system.devices import XLA_MODES, choose_xla
from albert.system.errors import (
    UsageError,
    check_above_0,
    check_at_most,
    check_not_negative,
    check_one_of,
    check_seed,
)
from albert.system.options import Flags, field_names, fields_of, options_of
from albert.training.log.trackers import check_trackers
from albert.training.step.step import FLAGS_OF_STEP, REDUCTIONS, StepOptions

_ROWS_OF_AN_EVALUATION = 8  # for each tower
_MOST_ROWS = 1 << 20  # of a batch; a larger number is a mistake

# Fields whose flags have another name.
_FLAGS: Flags = {
    OptimizerConfig: {
        "name": "optimizer",
        "b1": "adam_beta1",
        "b2": "adam_beta2",
        "epsilon": "adam_epsilon",
    },
    **FLAGS_OF_STEP,
}


@dataclasses.dataclass(frozen=True)
class StartOptions:
    """What new weights begin as.

    Attributes:
      init_checkpoint: Weights to start from, or None.
      init_from_group0: Whether new groups start as copies of the checkpoint's group 0.
    """

    init_checkpoint: Optional[str] = None
    init_from_group0: bool = False


@dataclasses.dataclass(frozen=True)
class FirstOptions:
    """What the first updates of a run read, where it is not what the others do.

    Short records first make most updates cheap; a small batch first makes more of them.

    Attributes:
      first_steps: How many updates; 0 for none.
      first_input_file: Their records, which may have another length; None for `input_file`.
      first_train_batch_size: Their B; None for `train_batch_size`.
    """

    first_steps: int = 0
    first_input_file: Optional[str] = None
    first_train_batch_size: Optional[int] = None

    def __post_init__(self) -> None:
        check_not_negative("first_steps", self.first_steps)
        check_above_0("first_train_batch_size", self.first_train_batch_size)
        check_at_most("first_train_batch_size", self.first_train_batch_size, _MOST_ROWS)
        differs = self.first_input_file or self.first_train_batch_size
        if differs and not self.first_steps:
            raise UsageError(
                "--first_input_file and --first_train_batch_size are for the first updates of a "
                "run. Say how many with --first_steps."
            )
        if self.first_steps and not differs:
            raise UsageError(
                "--first_steps={} says nothing alone. Pass --first_input_file or "
                "--first_train_batch_size, too.".format(self.first_steps)
            )


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How held-out records are evaluated.

    Attributes:
      eval_batch_size: B over all towers; None for 8 a tower.
      eval_steps: Updates between evaluations.
      max_eval_steps: Batches an evaluation reads at most, or None.
    """

    eval_batch_size: Optional[int] = None
    eval_steps: int = 1000
    max_eval_steps: Optional[int] = None

    def __post_init__(self) -> None:
        for name in field_names(EvaluationOptions):
            check_above_0(name, getattr(self, name))
        check_at_most("eval_batch_size", self.eval_batch_size, _MOST_ROWS)

    def batch_size(self, towers: int) -> int:
        """B, as asked for or by default."""
        return self.eval_batch_size or _ROWS_OF_AN_EVALUATION * towers


@dataclasses.dataclass(frozen=True)
class GuardOptions:
    """When a run that goes wrong goes back, or ends.

    Attributes:
      stop_on_plateau: Minutes after which a run still on the plateau ends; 0 for never.
      patience: Evaluations without a better loss after which it ends; 0 for never.
      max_rollbacks: Returns to the last checkpoint, or the start, from gradients that stay bad.
    """

    stop_on_plateau: float = 0.0
    patience: int = 0
    max_rollbacks: int = 2

    def __post_init__(self) -> None:
        check_not_negative("stop_on_plateau", self.stop_on_plateau)
        check_not_negative("patience", self.patience)
        check_not_negative("max_rollbacks", self.max_rollbacks)


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of a run; sizes are global, over all towers.

    Attributes:
      model: The model.
      data: What it reads.
      schedule: Its learning rate.
      optimizer: Its update rule.
      step: How a step is computed.
      start: What its weights begin as.
      saving: What it writes.
      evaluation: How it is evaluated.
      first: What its first updates read.
      guards: When it ends early.
      train_batch_size: B.
      z_loss: Weight of the squared logarithm of softmax's sum in the loss; see
        `losses.partition_sum`.
      random_seed: Of weights, data order and dropout.
      log_steps: Updates between log lines.
      xla: Whether XLA compiles the towers; one of `devices.XLA_MODES`.
      memory_limit_gb: Memory that the towers of one device may take, or None for what is free.
      deterministic: Whether operations are chosen that give the same bits every time.
      tqdm_off: Whether progress bars stay off.
    """

    model: ModelConfig
    data: DataOptions = DataOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    optimizer: OptimizerConfig = OptimizerConfig()
    step: StepOptions = StepOptions()
    start: StartOptions = StartOptions()
    saving: SavingOptions = SavingOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    first: FirstOptions = FirstOptions()
    guards: GuardOptions = GuardOptions()
    train_batch_size: int = 32
    z_loss: float = 0.0
    random_seed: int = 12345
    log_steps: int = 100
    xla: str = "auto"
    memory_limit_gb: Optional[float] = None
    deterministic: bool = False
    tqdm_off: bool = False

    def __post_init__(self) -> None:
        check_above_0("train_batch_size", self.train_batch_size)
        check_at_most("train_batch_size", self.train_batch_size, _MOST_ROWS)
        check_not_negative("z_loss", self.z_loss)
        check_at_most("z_loss", self.z_loss, 1)
        if self.first.first_steps > self.schedule.num_train_steps:
            raise UsageError(
                "--first_steps={} is more than --num_train_steps={}, all updates there are.".format(
                    self.first.first_steps, self.schedule.num_train_steps
                )
            )
        check_trackers(self.saving.tracker)
        if self.guards.patience and not self.data.eval_file:
            raise UsageError(
                "--patience={} counts evaluations of --eval_file. Pass one.".format(
                    self.guards.patience
                )
            )
        check_above_0("log_steps", self.log_steps)
        check_above_0("memory_limit_gb", self.memory_limit_gb)
        check_seed(self.random_seed)
        check_one_of("xla", self.xla, XLA_MODES)
        check_one_of("precision", self.step.precision, sorted(POLICIES))
        check_one_of("reduction", self.step.reduction, REDUCTIONS)
        check_above_0("gradient_accumulation_steps", self.step.accumulation)

    @property
    def suggested_rate(self) -> float:
        """The peak rate that suits this run."""
        return suggested_rate(
            self.optimizer.name, self.model, self.train_batch_size, self.schedule.num_train_steps
        )

    @property
    def learning_rate(self) -> float:
        """The peak rate: as asked for, or the one that suits."""
        asked = self.schedule.learning_rate
        return self.suggested_rate if asked == "auto" else float(asked)

    def learning_rates(self, factor: float = 1.0) -> Schedule:
        """The rate of each update, a share of what was asked for."""
        return self.schedule.with_peak(self.learning_rate * factor)

    def log_rate(self) -> None:
        """Says which rate the run takes, or that it is far from what suits."""
        if self.schedule.learning_rate == "auto":
            logging.debug("Learning rate %.3g (--learning_rate=auto)", self.learning_rate)
            return
        warning = rate_warning(self.learning_rate, self.suggested_rate)
        if warning:
            logging.warning(warning)

    @property
    def tower_batches(self) -> List[int]:
        """Batches that towers divide, as far as their sizes are known before the towers are."""
        sizes = [size // self.step.accumulation for size in self.training_batches.values()]
        evaluation = self.evaluation.eval_batch_size
        return sizes + ([evaluation] if evaluation else [])

    @property
    def training_batches(self) -> Dict[str, int]:
        """B of the run and, where it is another, of its first updates, by flag."""
        first = self.first.first_train_batch_size
        sizes = {"train_batch_size": self.train_batch_size}
        return dict(sizes, first_train_batch_size=first) if first else sizes

    def on(self, devices: Sequence[str]) -> "TrainingOptions":
        """The options of a run on these devices, where it is known whether XLA compiles."""
        xla = choose_xla(self.xla, devices, self.step.precision)
        return dataclasses.replace(self, step=self.step._replace(xla=xla))


# What the options of a run take, by flag.
FIELDS = fields_of(TrainingOptions, _FLAGS)


def training_options(model: ModelConfig, values: Mapping[str, Any]) -> TrainingOptions:
    """The options of a run from flat values.

    Args:
      model: The model.
      values: By name of the flag; those that are missing keep their defaults, others are left
        alone.

    Raises:
      UsageError: A value is refused.
    """
    flat = dict(values, model=model)
    flat["trust_ratio"] = flat.get("trust_ratio") or original_trust_ratio(model.layout)
    return options_of(TrainingOptions, flat, _FLAGS)
