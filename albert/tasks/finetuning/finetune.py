"""Fine-tuning: epochs over labelled examples in the loop of every training, the best one kept."""

import dataclasses
import functools
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.manager import CheckpointManager, latest_checkpoint
from albert.checkpoints.restore import resume
from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig
from albert.optim.rates import finetuning_rate
from albert.optim.schedules import ScheduleOptions
from albert.system.devices import choose_xla
from albert.system.errors import (
    UsageError,
    check_above_0,
    check_between,
    check_not_negative,
    check_one_of,
    check_seed,
)
from albert.system.options import fields_of, options_of
from albert.system.screen.progress import bars_are_seen
from albert.tasks.finetuning.epochs import EpochFollower, Epochs, Outcome
from albert.tasks.inference.predictor import Predictor
from albert.tasks.model import fine_tuning, initial_weights
from albert.tasks.rows.features import Features
from albert.tasks.task import Task
from albert.training.loop.learner import Learner, Method, Problem
from albert.training.loop.loop import Due, Loop
from albert.training.loop.rollback import Rollbacks
from albert.training.loop.signals import Interrupted
from albert.training.memory.check import Work, check_memory, machine_of
from albert.training.step.step import FLAGS_OF_STEP, StepOptions

CLASS_WEIGHTS = ("none", "balanced")


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """How a task is trained.

    Attributes:
      train_batch_size: B, over all towers.
      num_train_epochs: Epochs at most.
      patience: Epochs without a better score after which the training ends.
      learning_rate: Peak rate, or None for `finetuning_rate`.
      warmup_proportion: Share of all updates in which the rate rises.
      dropout: Of hidden states, attention and the head's input.
      weight_decay: Decoupled decay of kernels.
      class_weights: "none", or "balanced" where rare labels weigh as much as frequent ones.
      random_seed: Of new weights, order and dropout.
      max_rollbacks: Returns to the last epoch, or the start, from gradients that stay bad.
      step: How a step is computed.
      xla: Whether XLA compiles the towers; one of `devices.XLA_MODES`.
      memory_limit_gb: Memory that the towers of one device may take, or None for what is free.
      tqdm_off: Whether the progress bar stays off.
    """

    train_batch_size: int = 32
    num_train_epochs: int = 5
    patience: int = 2
    learning_rate: Optional[float] = None
    warmup_proportion: float = 0.1
    dropout: float = 0.1
    weight_decay: float = 0.01
    class_weights: str = "none"
    random_seed: int = 12345
    max_rollbacks: int = 2
    step: StepOptions = StepOptions()
    xla: str = "auto"
    memory_limit_gb: Optional[float] = None
    tqdm_off: bool = False

    def on(self, devices: Sequence[str]) -> "FinetuneOptions":
        """The options of a training on these devices, where it is known whether XLA compiles."""
        xla = choose_xla(self.xla, devices, self.step.precision)
        return dataclasses.replace(self, step=self.step._replace(xla=xla))

    def __post_init__(self) -> None:
        for name in ("train_batch_size", "num_train_epochs", "patience", "memory_limit_gb"):
            check_above_0(name, getattr(self, name))
        for name in ("weight_decay", "max_rollbacks", "learning_rate"):
            check_not_negative(name, getattr(self, name))
        check_seed(self.random_seed)
        check_one_of("class_weights", self.class_weights, CLASS_WEIGHTS)
        check_between("dropout", self.dropout, 0.0, 0.9)
        check_between("warmup_proportion", self.warmup_proportion, 0.0, 1.0)


FIELDS = fields_of(FinetuneOptions, FLAGS_OF_STEP)


def finetune_options(values: Mapping[str, Any]) -> FinetuneOptions:
    """The options of a fine-tuning from flat values, by name of the flag.

    Raises:
      UsageError: A value is refused.
    """
    return options_of(FinetuneOptions, values, FLAGS_OF_STEP)


class Rows(NamedTuple):
    """Rows of a task.

    Attributes:
      train: To train on.
      held_out: To choose the epoch by.
      test: For the report; None where the held-out rows stand in for it.
    """

    train: Sequence[Features]
    held_out: Sequence[Features]
    test: Optional[Sequence[Features]]


def with_dropout(config: ModelConfig, rate: float) -> ModelConfig:
    """The model as it is fine-tuned."""
    return dataclasses.replace(config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)


def finetune_rows(
    config: ModelConfig,
    task: Task,
    pretrained: Mapping[str, np.ndarray],
    rows: Rows,
    options: FinetuneOptions,
    devices: Sequence[str],
    directory: str,
) -> Outcome:
    """Trains, evaluates after every epoch, and keeps the weights of the best one.

    Writes rolling checkpoints to go on from after a break, `best/`, `metrics.jsonl` and
    `learning_curves.png`.

    Args:
      config: The model, with the dropout to train with.
      task: Its labels.
      pretrained: Weights to start from, by name; empty to start from nothing.
      rows: The examples.
      options: How, with `step` as it is on these devices.
      devices: One tower runs on each.
      directory: Where to write; goes on with what it holds.

    Raises:
      UsageError: It will not fit into memory, or gradients stay without a finite value.
      Interrupted: A signal ended it; the same call goes on.
    """
    size = options.train_batch_size
    epochs = Epochs(task, rows.train, size, options.random_seed)
    updates = epochs.length * options.num_train_epochs
    rate = options.learning_rate or finetuning_rate(config)
    check_memory(
        Work(config, options.step, size, epochs.longest()),
        machine_of(devices, options.memory_limit_gb),
    )
    problem = Problem(
        fine_tuning(config, task, class_weights(task, rows.train, options.class_weights)),
        lambda: initial_weights(config, task, pretrained, options.random_seed),
        options.random_seed,
    )
    schedule = ScheduleOptions(
        updates, rate, num_warmup_steps=int(options.warmup_proportion * updates)
    )
    method = Method(
        OptimizerConfig(name="adamw", weight_decay=options.weight_decay, bias_correction=True),
        lambda share: schedule.with_peak(rate * share),
        options.step,
    )
    rollbacks = Rollbacks(
        options.max_rollbacks, rate, directory, functools.partial(_go_back, config, directory)
    )
    learner = Learner(problem, method, devices, rollbacks.rate_share())
    logging.info(
        "Fine-tuning on %d rows, %d updates an epoch, learning rate %.3g",
        len(rows.train),
        epochs.length,
        rate,
    )
    if latest_checkpoint(directory):
        logging.info("Resuming %s", _go_back(config, directory, learner))
    predictor = Predictor(
        config, task, learner.state.parameters, devices[0], options.step.precision
    )
    follower = EpochFollower(
        task, rows.held_out, predictor, learner, epochs, options.patience, directory
    )
    loop = Loop(
        learner,
        epochs.batches,
        Due(updates, epochs.length, epochs.length, epochs.length),
        follower,
        CheckpointManager(directory, keep=1),
        rollbacks,
        progress=not options.tqdm_off and bars_are_seen(),
    )
    code = loop.go()
    if code:
        raise Interrupted(code)
    return follower.best


def _go_back(config: ModelConfig, directory: str, learner: Learner) -> str:
    current = latest_checkpoint(directory)
    if not current:
        learner.reset()
        return "the start"
    resume(config, learner.state, current)
    return current


def check_class_weights(task: Task, kind: str) -> None:
    """Raises a UsageError where labels are to weigh the same and none is chosen."""
    if kind != "none" and not task.chooses_label:
        raise UsageError(
            "--class_weights={} is for tasks that choose one label; --task={} does not.".format(
                kind, task.kind
            )
        )


def class_weights(task: Task, rows: Sequence[Features], kind: str) -> List[float]:
    """A weight for each label: 1, or so that all labels weigh the same together."""
    if kind == "none":
        return [1.0] * len(task.labels)
    labels = np.concatenate([row.labels for row in rows])
    counts = np.bincount(labels[labels >= 0], minlength=len(task.labels))
    return list(counts.sum() / (len(task.labels) * np.maximum(counts, 1)))
