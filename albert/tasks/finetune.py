"""Fine-tuning: epochs over labelled examples in the loop of every training, the best one kept."""

import dataclasses
import functools
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY
from albert.checkpoints.manager import CheckpointManager, latest_checkpoint
from albert.checkpoints.restore import resume
from albert.checkpoints.state import GLOBAL_STEP
from albert.data.dataset import Batch
from albert.model.config import ModelConfig
from albert.optim.optimizers import OptimizerConfig
from albert.optim.rates import finetuning_rate
from albert.optim.schedules import ScheduleOptions
from albert.system.devices import choose_xla
from albert.system.errors import (
    check_above_0,
    check_between,
    check_not_negative,
    check_one_of,
    check_seed,
)
from albert.system.options import fields_of, options_of
from albert.system.progress import bars_are_seen
from albert.tasks.batching import filled, shuffled_batches
from albert.tasks.features import Features, make_batch
from albert.tasks.model import fine_tuning, initial_weights
from albert.tasks.predictor import Predictor, expected_and_predicted
from albert.tasks.scores import score
from albert.tasks.task import Task
from albert.training.learner import Learner, Method, Problem
from albert.training.log.interval import Interval
from albert.training.log.metrics import MetricsLog, draw_curves, read_metrics
from albert.training.loop import Due, Follower, Loop
from albert.training.memory.check import Work, check_memory, machine_of
from albert.training.rollback import Rollbacks
from albert.training.signals import Interrupted
from albert.training.step import FLAGS_OF_STEP, StepOptions

_PANELS = (("loss", "loss (nats)"), ("accuracy", "accuracy"), ("macro_f1", "macro F1"))
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


class Outcome(NamedTuple):
    """The best epoch of a training.

    Attributes:
      epoch: Its number, from 1.
      step: Updates until its end.
      scores: Of the evaluation examples.
    """

    epoch: int
    step: int
    scores: Dict[str, float]


def main_score(task: Task, scores: Mapping[str, float]) -> float:
    """What the best epoch has most of: macro F1 of texts, accuracy of tags."""
    return scores["accuracy" if task.tags_words else "macro_f1"]


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
    epochs = _Epochs(task, rows.train, size, options.random_seed)
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
    schedule = ScheduleOptions(updates, rate, int(options.warmup_proportion * updates))
    method = Method(
        OptimizerConfig(name="adamw", weight_decay=options.weight_decay, bias_correction=True),
        lambda share: schedule.schedule(rate * share),
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
    follower = _Follower(task, rows.held_out, predictor, learner, epochs.length, options, directory)
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


class _Epochs:
    """The batches of a fine-tuning: each epoch all rows in another order."""

    def __init__(self, task: Task, rows: Sequence[Features], size: int, seed: int) -> None:
        self._task, self._rows, self._size, self._seed = task, rows, size, seed
        self.length = -(-len(rows) // size)

    def batches(self, first: int) -> Iterator[Batch]:
        """From batch number `first` on, without end; a pure function of the seed."""
        random = np.random.RandomState(self._seed)
        lengths = [len(row.encoded.ids) for row in self._rows]
        number = 0
        while True:
            for chosen in shuffled_batches(lengths, self._size, random):
                if number >= first:
                    yield self._batch(filled(chosen, self._size))
                number += 1

    def longest(self) -> Batch:
        """A batch of the longest rows, which needs the most memory."""
        lengths = np.array([len(row.encoded.ids) for row in self._rows])
        longest = np.argsort(-lengths, kind="stable")[: self._size]
        return self._batch(filled(longest, self._size))

    def _batch(self, numbers: Sequence[Optional[int]]) -> Batch:
        chosen = [None if n is None else self._rows[n] for n in numbers]
        return make_batch(self._task, chosen, self._task.max_seq_length)


class _Follower(Follower):
    """Scores the held-out rows after each epoch, keeps the best, ends when it gets no better."""

    def __init__(
        self,
        task: Task,
        held_out: Sequence[Features],
        predictor: Predictor,
        learner: Learner,
        epoch_length: int,
        options: FinetuneOptions,
        directory: str,
    ) -> None:
        self._task, self._held_out, self._predictor = task, held_out, predictor
        self._learner, self._epoch_length = learner, epoch_length
        self._patience, self._directory = options.patience, directory
        self.interval = Interval(options.train_batch_size)
        self._log = MetricsLog(directory, learner.global_step)
        self._best_manager = CheckpointManager(os.path.join(directory, BEST_DIRECTORY), keep=1)
        self._training_loss = float("nan")
        self._outcomes: List[Outcome] = []
        self._read_outcomes()

    def _read_outcomes(self) -> None:
        """Takes up what was evaluated before a break."""
        lines = [line for line in read_metrics(self._directory) if line["kind"] == "eval"]
        self._outcomes = [self._outcome(line["step"], line) for line in lines]

    def _outcome(self, step: int, scores: Mapping[str, Any]) -> Outcome:
        named = {name: scores[name] for name in ("accuracy", "macro_f1", "weighted_f1")}
        return Outcome(self._epoch(step), step, named)

    def _epoch(self, step: int) -> int:
        return -(-step // self._epoch_length)

    @property
    def best(self) -> Outcome:
        """The first of the best epochs so far."""
        return max(self._outcomes, key=lambda outcome: main_score(self._task, outcome.scores))

    def line(self, step: int, undone: int) -> None:
        values = self.interval.values()
        values["skipped_steps"] = int(self._learner.state.skipped_steps.numpy()) - undone
        self._training_loss = values["loss"]
        self._log.write("train", step, dict(values, epoch=self._epoch(step)))
        self.interval.restart()

    def resumed(self, step: int) -> None:
        """Evaluates an epoch that a break has kept from it."""
        if step and step % self._epoch_length == 0 and step not in [o.step for o in self._outcomes]:
            self.evaluate(step)

    def evaluate(self, step: int) -> None:
        predicted = self._predictor.labels(self._held_out)
        scores = score(*expected_and_predicted(self._held_out, predicted))
        outcome = self._outcome(step, scores)
        before = main_score(self._task, self.best.scores) if self._outcomes else -1.0
        if main_score(self._task, scores) > before:
            os.makedirs(os.path.join(self._directory, BEST_DIRECTORY), exist_ok=True)
            kept = dict(self._learner.state.parameters)
            kept[GLOBAL_STEP] = self._learner.state.global_step
            self._best_manager.save(kept, step)
        self._outcomes.append(outcome)
        self._log.write("eval", step, dict(scores, epoch=outcome.epoch))
        logging.info(
            "epoch %d: training loss %.4f  accuracy %.4f  macro F1 %.4f  weighted F1 %.4f",
            outcome.epoch,
            self._training_loss,
            *outcome.scores.values(),
        )

    def exit_code(self) -> Optional[int]:
        if not self._outcomes:
            return None
        waited = self._outcomes[-1].epoch - self.best.epoch
        return 0 if waited >= self._patience else None

    def go_back(self, step: int) -> None:
        self._log.go_back(step)
        self._read_outcomes()
        self.interval.restart()

    def finish(self) -> None:
        if self._outcomes[-1].epoch - self.best.epoch >= self._patience:
            logging.info("No better than epoch %d for %d epochs", self.best.epoch, self._patience)
        draw_curves(self._directory, _PANELS)

    def close(self) -> None:
        self._log.close()

    def status(self) -> str:
        if not self._outcomes:
            return ""
        return "{:.1%} right".format(self._outcomes[-1].scores["accuracy"])


def class_weights(task: Task, rows: Sequence[Features], kind: str) -> List[float]:
    """A weight for each label: 1, or so that all labels weigh the same together."""
    if kind == "none":
        return [1.0] * len(task.labels)
    labels = np.concatenate([row.labels for row in rows])
    counts = np.bincount(labels[labels >= 0], minlength=len(task.labels))
    return list(counts.sum() / (len(task.labels) * np.maximum(counts, 1)))
