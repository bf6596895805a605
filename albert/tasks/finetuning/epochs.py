"""Epochs of a fine-tuning: their batches, and the scores after each of them."""

import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.state import GLOBAL_STEP
from albert.data.dataset import Batch
from albert.tasks.inference.predictor import Predictor, expected_and_predicted
from albert.tasks.rows.batching import filled, shuffled_batches
from albert.tasks.rows.features import Features, make_batch
from albert.tasks.scores import (
    format_scores,
    judge,
    main_name,
    main_score,
    score_names,
    spelled,
)
from albert.tasks.task import Task
from albert.training.log.interval import Interval
from albert.training.log.metrics import SCORE_PANELS, MetricsLog, draw_curves, read_metrics
from albert.training.loop.learner import Learner
from albert.training.loop.loop import Follower

_PANELS = (("loss", "loss (nats)"), *SCORE_PANELS)


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


class Epochs:
    """The batches of a fine-tuning: each epoch all rows in another order."""

    def __init__(self, task: Task, rows: Sequence[Features], size: int, seed: int) -> None:
        """Takes batches of `size` rows; `length` is the number of batches of an epoch."""
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


class EpochFollower(Follower):
    """Scores the held-out rows after each epoch, keeps the best, ends when it gets no better."""

    def __init__(
        self,
        task: Task,
        held_out: Sequence[Features],
        predictor: Predictor,
        learner: Learner,
        epochs: Epochs,
        patience: int,
        directory: str,
    ) -> None:
        """Takes up what a run in the folder has evaluated before a break.

        Args:
          task: What is learned.
          held_out: Rows that choose the epoch.
          predictor: Of the weights being trained.
          learner: That trains them.
          epochs: Its batches.
          patience: Epochs without a better score after which it ends.
          directory: Where to write.
        """
        self._task, self._held_out, self._predictor = task, held_out, predictor
        self._learner, self._epoch_length = learner, epochs.length
        self._patience, self._directory = patience, directory
        self.interval = Interval()
        self._log = MetricsLog(directory, learner.global_step)
        self._best_manager = CheckpointManager(os.path.join(directory, BEST_DIRECTORY), keep=1)
        self._training_loss = float("nan")
        self._outcomes: List[Outcome] = []
        self._read_outcomes()

    def _read_outcomes(self) -> None:
        """Takes up what was evaluated before a break."""
        lines = [
            line
            for line in read_metrics(self._directory)
            if line["kind"] == "eval" and all(n in line for n in score_names(self._task))
        ]
        self._outcomes = [self._outcome(line["step"], line) for line in lines]

    def _outcome(self, step: int, scores: Mapping[str, Any]) -> Outcome:
        named = {name: scores[name] for name in score_names(self._task)}
        return Outcome(self._epoch(step), step, named)

    def _epoch(self, step: int) -> int:
        return -(-step // self._epoch_length)

    @property
    def best(self) -> Outcome:
        """The first of the best epochs so far."""
        return max(self._outcomes, key=lambda outcome: main_score(self._task, outcome.scores))

    def line(self, step: int, undone: int) -> None:
        """Keeps the means of the epoch."""
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
        """Scores the held-out rows; keeps the weights if they are the best so far."""
        outputs = self._predictor.outputs(self._held_out)
        both = expected_and_predicted(self._task, self._held_out, outputs)
        scores = judge(self._task, *both).scores
        outcome = self._outcome(step, scores)
        before = main_score(self._task, self.best.scores) if self._outcomes else float("-inf")
        if main_score(self._task, scores) > before:
            kept = dict(self._learner.state.parameters)
            kept[GLOBAL_STEP] = self._learner.state.global_step
            self._best_manager.save(kept, step)
        self._outcomes.append(outcome)
        self._log.write("eval", step, dict(scores, epoch=outcome.epoch))
        logging.info(
            "epoch %d: training loss %.4f  %s",
            outcome.epoch,
            self._training_loss,
            format_scores(self._task, outcome.scores),
        )

    def exit_code(self) -> Optional[int]:
        """0 when it got no better for long enough."""
        if not self._outcomes:
            return None
        waited = self._outcomes[-1].epoch - self.best.epoch
        return 0 if waited >= self._patience else None

    def go_back(self, step: int) -> None:
        """Takes back what was kept beyond a step."""
        self._log.go_back(step)
        self._read_outcomes()
        self.interval.restart()

    def finish(self) -> None:
        """Draws the curves."""
        if self.exit_code() is not None:
            logging.info("No better than epoch %d for %d epochs", self.best.epoch, self._patience)
        draw_curves(self._directory, _PANELS)

    def close(self) -> None:
        """Flushes the files."""
        self._log.close()

    def status(self) -> str:
        """The main score of the held-out rows."""
        if not self._outcomes:
            return ""
        score = main_score(self._task, self._outcomes[-1].scores)
        return "{} {:.3f}".format(spelled(main_name(self._task)), score)
