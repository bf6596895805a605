"""Held-out records: evaluated now and then, and the best checkpoint so far kept."""

import math
import os
import shutil
import sys
from typing import Dict, Sequence

from absl import logging
from tqdm import tqdm

from albert.checkpoints.folder import BEST_DIRECTORY
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.results import log_results, read_result, write_results
from albert.checkpoints.state import TrainState
from albert.data.pipeline import evaluation_batches
from albert.data.prefetch import prefetch
from albert.data.source import Data
from albert.evaluation import evaluate
from albert.training.objective import pretraining
from albert.training.options import TrainingOptions
from albert.training.step import make_eval_step


class HeldOut:
    """The held-out records of a run."""

    def __init__(
        self, options: TrainingOptions, data: Data, state: TrainState, devices: Sequence[str]
    ) -> None:
        """Builds the evaluation.

        Args:
          options: The run.
          data: The held-out records.
          state: Of the run; its weights are evaluated.
          devices: One tower runs on each.
        """
        self._options, self._data, self._state = options, data, state
        self._layout = data.layout(options.padding, options.eval_batch_size, len(devices))
        self._step = make_eval_step(
            pretraining(options.model),
            state.parameters,
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
            self._options.eval_batch_size,
            self._options.max_eval_steps,
        )
        logging.info("***** Running evaluation *****")
        results = evaluate(self._step, prefetch(batches))
        with tqdm.external_write_mode(file=sys.stderr):
            log_results(results, step)
        if self._options.output_dir:
            self._keep_best(results, step)
        return results

    def _keep_best(self, results: Dict[str, float], step: int) -> None:
        directory = best_directory(self._options)
        best = read_result(directory, "loss")
        if not results["loss"] < (math.inf if best is None else best):  # no number is not better
            return
        os.makedirs(directory, exist_ok=True)
        path = CheckpointManager(directory, keep=1).save(self._state.variables(), step)
        write_results(results, step, directory)
        logging.info("Best so far: %s", path)


def best_directory(options: TrainingOptions) -> str:
    """Where a run keeps its best checkpoint."""
    return os.path.join(options.output_dir, BEST_DIRECTORY)


def forget_best_beyond(options: TrainingOptions, step: int) -> None:
    """Removes the best checkpoint if it is of an update that a run has taken back."""
    if options.output_dir and (read_result(best_directory(options), "global_step") or 0) > step:
        shutil.rmtree(best_directory(options))
