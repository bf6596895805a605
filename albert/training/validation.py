"""Validation: checkpoints of a run on held-out records, each record exactly once."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import List, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY, config_of_run, find_checkpoint
from albert.checkpoints.manager import PREFIX, saved_steps
from albert.checkpoints.restore import LoadedModel, load_model
from albert.checkpoints.results import log_results, write_results
from albert.checkpoints.sums import damage
from albert.checkpoints.tokenizer import check_tokenizer_of_run
from albert.compat import tf
from albert.data.batches import Share, evaluation_batches, evaluation_count, prefetch
from albert.data.source import Data, DataOptions, log_features
from albert.formats.importing import ours
from albert.hosts.agreement import agree, take_from_first
from albert.hosts.group import ALONE, Hosts
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_specs
from albert.system.devices import choose_xla
from albert.system.errors import UsageError
from albert.system.files.atomic import ensure_writable_directory
from albert.system.files.side import parse_json
from albert.system.screen.progress import bars_are_seen
from albert.training.evaluation import evaluate
from albert.training.log.checkpoints import Validated, compare
from albert.training.log.summary import in_words
from albert.training.options import EvaluationOptions
from albert.training.step.objective import pretraining
from albert.training.step.step import make_eval_step
from albert.training.step.towers import check_batch_size

ALL = "all"


@dataclasses.dataclass(frozen=True)
class ValidationOptions:
    """What is validated, and how.

    Attributes:
      data: The records: its `eval_file`, else its `input_file`.
      evaluation: How they are evaluated.
      output_dir: The folder of the run; that of the checkpoint if None.
      checkpoint: A prefix, also relative to the folder; several with commas; "all" of the folder;
        None for the latest.
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

    @property
    def data_flag(self) -> str:
        """The flag that names the records."""
        return "eval_file" if self.data.eval_file else "input_file"


def validate(
    options: ValidationOptions,
    devices: Sequence[str],
    model: Optional[ModelConfig] = None,
    hosts: Hosts = ALONE,
) -> List[Validated]:
    """Evaluates checkpoints of one model on records.

    Logs the results and writes those of the latest checkpoint to `eval_results.txt` of the run's
    folder; of several also a table and a picture.

    Args:
      options: What and how.
      devices: One tower runs on each.
      model: What the user says the model is; None for what the run says.
      hosts: Which share the records; the first one has the checkpoints.

    Raises:
      UsageError: Records or checkpoints are missing or do not fit, or the model is another one.
      HostLost: Another host is gone.
    """
    with hosts.watched():
        own = agree(hosts, lambda: _find(options, model, hosts), lambda found: {})
        found = _Found(**parse_json(hosts.texts(json.dumps(own._asdict()), "checkpoints")[0]))
        validation = _Validation(options, found, devices, hosts)
        done = [validation.of(prefix) for prefix in found.prefixes]
    if hosts.first and not options.no_save:
        last = max(done, key=lambda one: one.step)
        write_results(last.results, last.step, found.directory)
    if hosts.first and len(done) > 1:
        compare(done, None if options.no_save else found.directory)
    return done


class _Found(NamedTuple):
    """Checkpoints of one model; empty on hosts beside the first.

    Attributes:
      prefixes: Their prefixes.
      directory: Where results go.
      config_json: The model.
    """

    prefixes: Sequence[str] = ()
    directory: str = ""
    config_json: str = ""


def _find(options: ValidationOptions, model: Optional[ModelConfig], hosts: Hosts) -> _Found:
    if not hosts.first:
        return _Found()
    run = options.output_dir and ours(options.output_dir)
    prefixes = _prefixes(options, run)
    directory = run or os.path.dirname(prefixes[0]) or "."
    configs = [config_of_run(run, prefix, model) for prefix in prefixes]
    for prefix, config in zip(prefixes, configs):
        field = config.difference(configs[0])
        if field:
            raise UsageError(
                "{} and {} are of different models: {} is not the same. Validate each by "
                "itself.".format(prefixes[0], prefix, field)
            )
    if not options.no_save:
        ensure_writable_directory(directory, "--output_dir")
    return _Found(prefixes, directory, configs[0].to_json())


def _prefixes(options: ValidationOptions, run: Optional[str]) -> List[str]:
    name = options.checkpoint
    if name == ALL:
        return _all_of(run)
    several = name is not None and "," in name and not os.path.exists(os.path.dirname(name))
    names: List[Optional[str]] = [*name.split(",")] if name and several else [name]
    found = [find_checkpoint(one and ours(one, options.output_dir), run) for one in names]
    found = list(dict.fromkeys(found))
    for prefix in found:
        wrong = damage(prefix) if len(found) > 1 else None  # a single one tells when it is read
        if wrong:
            raise UsageError("Checkpoint {} is damaged: {}.".format(prefix, wrong))
    return found


def _all_of(run: Optional[str]) -> List[str]:
    """The whole checkpoints of a run by their steps; the best one, where it is no other's copy."""
    if not run:
        raise UsageError("--checkpoint={} is for the folder of a run: --output_dir.".format(ALL))
    places = {
        step: os.path.join(folder, PREFIX + str(step))
        for folder in (os.path.join(run, BEST_DIRECTORY), run)
        for step in saved_steps(folder)
    }
    found = []
    for _, prefix in sorted(places.items()):
        wrong = damage(prefix)
        if wrong:
            logging.warning("Left out: %s", wrong)
        else:
            found.append(prefix)
    return found or [find_checkpoint(None, run)]  # which says that there is none


class _Validation:
    """Records, a model and its step; weights come one checkpoint after the other."""

    def __init__(
        self, options: ValidationOptions, found: _Found, devices: Sequence[str], hosts: Hosts
    ) -> None:
        self._config = ModelConfig.from_dict(parse_json(found.config_json))
        self._options, self._hosts, self._towers = options, hosts, len(devices)
        self._size = options.evaluation.batch_size(len(devices) * hosts.count)
        self._shown = hosts.first and not options.tqdm_off and bars_are_seen()
        flag = "--" + options.data_flag
        self._data = agree(
            hosts,
            lambda: self._open(found.directory),
            lambda data: {flag: data.dataset.digest(), "the batch size": str(self._size)},
        )
        log_features(self._data.shapes, self._size)
        self._most = options.evaluation.max_eval_steps
        self._count = evaluation_count(self._data.dataset, self._size, self._most)
        share = self._size // hosts.count
        self._layout = self._data.layout(
            options.data.padding, share, self._towers, self._count * len(found.prefixes)
        )
        with tf.device(devices[0]):
            self._weights = {
                name: tf.Variable(np.zeros(spec.shape, np.float32))
                for name, spec in parameter_specs(self._config).items()
            }
        xla = choose_xla(options.xla, devices, options.precision)
        self._step = make_eval_step(
            pretraining(self._config), self._weights, devices, options.precision, xla
        )

    def _open(self, directory: str) -> Data:
        options, flag = self._options, self._options.data_flag
        check_batch_size(self._size, self._towers * self._hosts.count, "eval_batch_size")
        data = options.data.open(flag, self._config, not options.tqdm_off)
        if self._hosts.first:
            check_tokenizer_of_run(directory, data.tokenizer, flag)
        return data

    def of(self, prefix: str) -> Validated:
        """Evaluates one checkpoint."""
        loaded = agree(self._hosts, lambda: self._load(prefix), lambda loaded: {})
        for name, weight in loaded.weights.items():
            self._weights[name].assign(weight)
        take_from_first(self._hosts, self._weights)
        logging.debug("***** Running evaluation *****")
        logging.debug("  Checkpoint = %s", prefix)
        logging.debug("  Batch size = %d", self._size)
        batches = evaluation_batches(
            self._data.dataset,
            self._data.shapes,
            self._layout,
            self._size,
            self._most,
            Share(self._hosts.index, self._hosts.count),
        )
        shown = self._count if self._shown else None
        results = evaluate(self._step, prefetch(batches), self._hosts, shown)
        if not results:
            raise UsageError(
                "{} holds no masked word and no sentence label to evaluate. Build the records "
                "again.".format(getattr(self._options.data, self._options.data_flag))
            )
        if self._hosts.first:
            log_results(results, loaded.step)
            logging.info("%s, step %d: %s", prefix, loaded.step, in_words(results))
        return Validated(prefix, loaded.step, results)

    def _load(self, prefix: str) -> LoadedModel:
        return load_model(self._config, prefix) if self._hosts.first else LoadedModel({}, 0)
