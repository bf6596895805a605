"""Evaluation: sums over whole files, divided once; while a run trains, and of a checkpoint."""

import math
import os
import shutil
import sys
from typing import Callable, Dict, Iterable, Mapping, Sequence

from absl import flags, logging
from tqdm import tqdm

from albert.checkpoints.folder import BEST_DIRECTORY, find_checkpoint
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.restore import load_model
from albert.checkpoints.results import log_results, read_result, write_results
from albert.checkpoints.state import TrainState
from albert.compat import tf
from albert.data.batches import evaluation_batches, prefetch
from albert.data.source import Data, log_features, open_data
from albert.model.albert import Batch
from albert.model.config import ModelConfig
from albert.model.losses import WeightedSum
from albert.system.devices import choose_xla
from albert.system.files import ensure_writable_directory
from albert.training.objective import pretraining
from albert.training.options import TrainingOptions
from albert.training.step import make_eval_step
from albert.training.towers import check_batch_size

FLAGS = flags.FLAGS


class Totals:
    """Adds up weighted sums in double precision."""

    def __init__(self) -> None:
        """Starts empty."""
        self._totals: Dict[str, float] = {}
        self._weights: Dict[str, float] = {}

    def add(self, sums: Mapping[str, WeightedSum]) -> None:
        """Adds the sums of one batch."""
        for name, (total, weight) in sums.items():
            self._totals[name] = self._totals.get(name, 0.0) + float(total)
            self._weights[name] = self._weights.get(name, 0.0) + float(weight)

    def means(self) -> Dict[str, float]:
        """Each total over its weight; a task without any label is left out.

        `loss`, where there is no such sum, is that of both pre-training tasks.
        """
        means = {
            name: total / self._weights[name]
            for name, total in self._totals.items()
            if self._weights[name] > 0.0
        }
        both = means.get("masked_lm_loss", 0.0) + means.get("sentence_order_loss", 0.0)
        means.setdefault("loss", both)
        return means


def evaluate(
    step: Callable[[Batch], Mapping[str, WeightedSum]], batches: Iterable[Batch]
) -> Dict[str, float]:
    """Losses (nats) and accuracies over all batches, however they are cut.

    Args:
      step: As `training.step.make_eval_step` returns.
      batches: As `data.pipeline.evaluation_batches` yields.
    """
    totals = Totals()
    for batch in batches:
        totals.add(step(batch))
    return totals.means()


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


def validate(config: ModelConfig, devices: Sequence[str]) -> Dict[str, float]:
    """Evaluates a checkpoint on --eval_file, else --input_file, each record exactly once.

    Logs the results and writes them to `eval_results.txt` in --output_dir.

    Raises:
      UsageError: Records or checkpoint are missing or do not fit.
    """
    prefix = find_checkpoint(FLAGS.checkpoint, FLAGS.output_dir)
    directory = FLAGS.output_dir or os.path.dirname(prefix) or "."
    if not FLAGS.no_save:
        ensure_writable_directory(directory, "--output_dir")
    if FLAGS.do_train and not FLAGS.eval_file:
        logging.warning("Evaluating on the training files; pass held-out ones by --eval_file")
    flag = "eval_file" if FLAGS.eval_file else "input_file"
    batch_size = FLAGS.eval_batch_size or 8 * len(devices)
    check_batch_size(batch_size, len(devices), "eval_batch_size")
    data = open_data(
        FLAGS[flag].value,
        flag,
        config,
        FLAGS.max_seq_length,
        FLAGS.max_predictions_per_seq,
        not FLAGS.tqdm_off,
    )
    log_features(data.shapes, batch_size)
    saved = load_model(config, prefix)
    with tf.device(devices[0]):
        weights = {name: tf.Variable(value) for name, value in saved.weights.items()}
    logging.info("***** Running evaluation *****")
    logging.info("  Checkpoint = %s", prefix)
    logging.info("  Batch size = %d", batch_size)
    layout = data.layout(FLAGS.padding, batch_size, len(devices))
    batches = evaluation_batches(
        data.dataset, data.shapes, layout, batch_size, FLAGS.max_eval_steps
    )
    xla = choose_xla(FLAGS.xla, devices, FLAGS.precision)
    eval_step = make_eval_step(pretraining(config), weights, devices, FLAGS.precision, xla)
    results = evaluate(eval_step, prefetch(batches))
    log_results(results, saved.step)
    if not FLAGS.no_save:
        write_results(results, saved.step, directory)
    return results
