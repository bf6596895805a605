"""Evaluation: sums over whole files, divided once; while a run trains, and of a checkpoint."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from typing import Callable, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY, config_of_run, find_checkpoint
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.restore import load_model
from albert.checkpoints.results import log_results, read_result, write_results
from albert.checkpoints.state import TrainState
from albert.checkpoints.tokenizer import check_tokenizer_of_run
from albert.compat import tf
from albert.data.batches import Share, evaluation_batches, prefetch
from albert.data.source import Data, DataOptions, log_features
from albert.formats.importing import ours
from albert.hosts.agreement import agree, take_from_first
from albert.hosts.group import ALONE, Hosts
from albert.model.albert import Batch
from albert.model.config import ModelConfig
from albert.model.losses import WeightedSum
from albert.model.parameters import parameter_specs
from albert.system.devices import choose_xla
from albert.system.errors import UsageError
from albert.system.files.atomic import ensure_writable_directory
from albert.system.files.side import parse_json
from albert.training.log.summary import in_words
from albert.training.options import EvaluationOptions, TrainingOptions
from albert.training.step.objective import pretraining
from albert.training.step.step import make_eval_step
from albert.training.step.totals import Totals
from albert.training.step.towers import check_batch_size


def evaluate(
    step: Callable[[Batch], Mapping[str, WeightedSum]],
    batches: Iterable[Batch],
    hosts: Hosts = ALONE,
) -> Dict[str, float]:
    """Losses (nats) and accuracies over all batches of all hosts, however they are cut.

    Args:
      step: As `training.step.make_eval_step` returns.
      batches: As `data.batches.evaluation_batches` yields.
      hosts: Which share the batches.
    """
    totals = Totals()
    for batch in batches:
        totals.add(step(batch))
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
    ) -> None:
        """Builds the evaluation.

        Args:
          options: The run.
          data: The held-out records.
          state: Of the run; its weights are evaluated.
          devices: One tower runs on each.
          hosts: Which share the records.
        """
        self._data, self._state, self._hosts = data, state, hosts
        self._batch_size = options.evaluation.batch_size(len(devices) * hosts.count)
        self._most = options.evaluation.max_eval_steps
        self._directory = best_directory(options.saving.output_dir)
        share = self._batch_size // hosts.count
        count = options.evaluation.batches(data.dataset.size, self._batch_size)
        count *= max(1, options.schedule.num_train_steps // options.evaluation.eval_steps)
        self._layout = data.layout(options.data.padding, share, len(devices), count)
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
        results = evaluate(self._step, prefetch(batches), self._hosts)
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


@dataclasses.dataclass(frozen=True)
class ValidationOptions:
    """What is validated, and how.

    Attributes:
      data: The records: its `eval_file`, else its `input_file`.
      evaluation: How they are evaluated.
      output_dir: The folder of the run; that of the checkpoint if None.
      checkpoint: A prefix, also relative to the folder; None for the latest.
      precision: In which type towers compute.
      xla: One of `devices.XLA_MODES`.
      no_save: Whether the results are only logged.
      tqdm_off: Whether progress bars stay off.
    """

    data: DataOptions = DataOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    output_dir: Optional[str] = None
    checkpoint: Optional[str] = None
    precision: str = "float32"
    xla: str = "auto"
    no_save: bool = False
    tqdm_off: bool = False


def validate(
    options: ValidationOptions,
    devices: Sequence[str],
    model: Optional[ModelConfig] = None,
    hosts: Hosts = ALONE,
) -> Dict[str, float]:
    """Evaluates a checkpoint on records, each exactly once.

    Logs the results and writes them to `eval_results.txt` of the run's folder.

    Args:
      options: What and how.
      devices: One tower runs on each.
      model: What the user says the model is; None for what the run says.
      hosts: Which share the records; the first one has the checkpoint.

    Returns:
      Losses in nats, accuracies.

    Raises:
      UsageError: Records or checkpoint are missing or do not fit, or the model is another one.
      HostLost: Another host is gone.
    """
    with hosts.watched():
        saved = agree(hosts, lambda: _read(options, model, hosts), lambda saved: {})
        config = ModelConfig.from_dict(parse_json(hosts.texts(saved.config_json, "config")[0]))
        results = _results(options, config, saved, devices, hosts)
    if hosts.first:
        log_results(results, saved.step)
        logging.info("%s, step %d: %s", saved.prefix, saved.step, in_words(results))
        if not options.no_save:
            write_results(results, saved.step, saved.directory)
    return results


class _Saved(NamedTuple):
    """A checkpoint, empty on hosts beside the first.

    Attributes:
      prefix: Its prefix.
      directory: Where results go.
      config_json: The model.
      weights: By name.
      step: Updates that made them.
    """

    prefix: str = ""
    directory: str = ""
    config_json: str = ""
    weights: Mapping[str, np.ndarray] = {}
    step: int = 0


def _read(options: ValidationOptions, model: Optional[ModelConfig], hosts: Hosts) -> _Saved:
    if not hosts.first:
        return _Saved()
    run = options.output_dir and ours(options.output_dir)
    name = options.checkpoint and ours(options.checkpoint, options.output_dir)
    prefix = find_checkpoint(name, run)
    directory = run or os.path.dirname(prefix) or "."
    config = config_of_run(run, prefix, model)
    if not options.no_save:
        ensure_writable_directory(directory, "--output_dir")
    loaded = load_model(config, prefix)
    return _Saved(prefix, directory, config.to_json(), loaded.weights, loaded.step)


def _results(
    options: ValidationOptions,
    config: ModelConfig,
    saved: _Saved,
    devices: Sequence[str],
    hosts: Hosts,
) -> Dict[str, float]:
    flag = "eval_file" if options.data.eval_file else "input_file"
    towers = len(devices) * hosts.count
    batch_size = options.evaluation.batch_size(towers)

    def prepare() -> Data:
        check_batch_size(batch_size, towers, "eval_batch_size")
        data = options.data.open(flag, config, not options.tqdm_off)
        if hosts.first:
            check_tokenizer_of_run(saved.directory, data.tokenizer, flag)
        return data

    def facts_of(data: Data) -> Dict[str, str]:
        return {"--" + flag: data.dataset.digest(), "the batch size": str(batch_size)}

    data = agree(hosts, prepare, facts_of)
    log_features(data.shapes, batch_size)
    specs = parameter_specs(config)
    with tf.device(devices[0]):
        weights = {
            name: tf.Variable(saved.weights[name] if hosts.first else np.zeros(shape, np.float32))
            for name, shape in ((name, spec.shape) for name, spec in specs.items())
        }
    take_from_first(hosts, weights)
    logging.debug("***** Running evaluation *****")
    logging.debug("  Checkpoint = %s", saved.prefix)
    logging.debug("  Batch size = %d", batch_size)
    count = options.evaluation.batches(data.dataset.size, batch_size)
    batches = evaluation_batches(
        data.dataset,
        data.shapes,
        data.layout(options.data.padding, batch_size // hosts.count, len(devices), count),
        batch_size,
        options.evaluation.max_eval_steps,
        Share(hosts.index, hosts.count),
    )
    xla = choose_xla(options.xla, devices, options.precision)
    eval_step = make_eval_step(pretraining(config), weights, devices, options.precision, xla)
    results = evaluate(eval_step, prefetch(batches), hosts)
    if not results:
        raise UsageError(
            "{} holds no masked word and no sentence label to evaluate. Build the records "
            "again.".format(getattr(options.data, flag))
        )
    return results
