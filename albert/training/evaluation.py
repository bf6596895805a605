"""Evaluation while a run trains: sums over whole files, divided once."""

from __future__ import annotations

import math
import os
import shutil
from typing import Callable, Dict, Iterable, Mapping, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.results import log_results, read_result, write_results
from albert.checkpoints.state import TrainState
from albert.data.batches import Share, evaluation_batches, evaluation_count, prefetch
from albert.data.source import Data
from albert.hosts.group import ALONE, Hosts
from albert.model.albert import Batch
from albert.model.losses import WeightedSum
from albert.system.screen.progress import progress_bar
from albert.training.options import TrainingOptions
from albert.training.step.objective import pretraining
from albert.training.step.step import make_eval_step
from albert.training.step.totals import Totals


def evaluate(
    step: Callable[[Batch], Mapping[str, WeightedSum]],
    batches: Iterable[Batch],
    hosts: Hosts = ALONE,
    total: Optional[int] = None,
) -> Dict[str, float]:
    """Losses (nats) and accuracies over all batches of all hosts, however they are cut.

    Args:
      step: As `training.step.make_eval_step` returns.
      batches: As `data.batches.evaluation_batches` yields.
      hosts: Which share the batches.
      total: How many batches there are, for a bar; None shows none.
    """
    totals = Totals()
    with progress_bar(
        total=total, desc="evaluation", unit="batch", leave=False, disable=total is None
    ) as bar:
        for batch in batches:
            totals.add(step(batch))
            bar.update()
    return totals.over(hosts).means()


class HeldOut:
    """The held-out records of a run."""

    def __init__(
        self,
        options: TrainingOptions,
        data: Data,
        state: TrainState,
        devices: Sequence[str],
        hosts: Hosts = ALONE,
        progress: bool = False,
    ) -> None:
        """Builds the evaluation.

        Args:
          options: The run.
          data: The held-out records.
          state: Of the run; its weights are evaluated.
          devices: One tower runs on each.
          hosts: Which share the records.
          progress: Whether to show bars.
        """
        self._progress = progress
        self._data, self._state, self._hosts = data, state, hosts
        self._batch_size = options.evaluation.batch_size(len(devices) * hosts.count)
        self._most = options.evaluation.max_eval_steps
        self._directory = best_directory(options.saving.output_dir)
        share = self._batch_size // hosts.count
        self._count = evaluation_count(data.dataset, self._batch_size, self._most)
        times = max(1, options.schedule.num_train_steps // options.evaluation.eval_steps)
        batches = times * self._count
        self._layout = data.layout(options.data.padding, share, len(devices), batches)
        self._step = make_eval_step(
            pretraining(options.model),
            state.judged,
            devices,
            options.step.precision,
            options.step.xla,
        )

    def evaluate(self, step: int) -> Dict[str, float]:
        """Logs and returns the losses and accuracies at a step; saves the best so far."""
        batches = evaluation_batches(
            self._data.dataset,
            self._data.shapes,
            self._layout,
            self._batch_size,
            self._most,
            Share(self._hosts.index, self._hosts.count),
        )
        logging.debug("***** Running evaluation *****")
        shown = self._count if self._progress else None
        results = evaluate(self._step, prefetch(batches), self._hosts, shown)
        log_results(results, step)
        if self._directory:
            self._keep_best(self._directory, results, step)
        return results

    def agreed(self, missing: bool) -> bool:
        """Whether an evaluation is missing, as the first host says, which keeps the metrics."""
        return bool(self._hosts.from_first([np.bool_(missing)], "missing")[0])

    def _keep_best(self, directory: str, results: Dict[str, float], step: int) -> None:
        best, now = read_result(directory, "loss"), results.get("loss", math.nan)
        if not now < (math.inf if best is None else best):  # no number is not better
            return
        path = CheckpointManager(directory, keep=1).save(self._state.variables(), step)
        write_results(results, step, directory)
        logging.debug("Best so far: %s", path)

    def forget_best_beyond(self, step: int) -> None:
        """Removes the best checkpoint if it is of an update that the run has taken back."""
        if self._directory and (read_result(self._directory, "global_step") or 0) > step:
            shutil.rmtree(self._directory)


def best_directory(directory: Optional[str]) -> Optional[str]:
    """Where a run keeps its best checkpoint; None if it writes nothing."""
    return os.path.join(directory, BEST_DIRECTORY) if directory else None
