"""What comes before the first step: the directory claimed, weights made or restored."""

import contextlib
import dataclasses
import json
import os
from typing import Iterator, List, Optional, Sequence

from absl import logging

from albert.checkpoints.folder import (
    CONFIG_FILE,
    FLAGS_FILE,
    LOG_FILE,
    TASK_FILE,
)
from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.restore import (
    initialise_from,
    resume,
)
from albert.hosts.agreement import take_from_first
from albert.hosts.group import ALONE, Hosts
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.optim.optimizers import describe
from albert.records.manifest import read_manifest
from albert.records.tfrecord import weighted_record_files
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write, ensure_writable_directory, held
from albert.system.screen import console
from albert.training.loop.learner import Learner, Method, Problem
from albert.training.options import TrainingOptions
from albert.training.step.objective import pretraining


def preset(name: str, records: Optional[str]) -> ModelConfig:
    """A config of `albert_config/` with the vocabulary of some records.

    A preset is sizes; how many pieces there are is a fact about the records.

    Args:
      name: Of the preset.
      records: Comma list of paths and globs; None keeps the vocabulary of the preset.

    Raises:
      UsageError: There is no such preset, or no such file.
    """
    config = ModelConfig.from_json_file(name)
    manifest = None
    if records:
        manifest = read_manifest(weighted_record_files(records, "input_file")[0].files[0])
    size = manifest.vocab_size if manifest else config.vocab_size
    if size != config.vocab_size:
        logging.info("vocab_size = %d as in the records, instead of the preset's", size)
    return dataclasses.replace(config, vocab_size=size)


@contextlib.contextmanager
def claimed(directory: Optional[str], config: ModelConfig, flags_text: str) -> Iterator[None]:
    """Makes a run directory ours for a while: writes the config and the flags of the run.

    Raises:
      UsageError: It cannot be written, holds a run of another model, or another run is at work.
    """
    if not directory:
        logging.warning("--no_save: nothing of this run will be written")
        yield
        return
    if os.path.exists(os.path.join(directory, TASK_FILE)):
        raise UsageError(
            "--output_dir={} holds a fine-tuned model. Choose another folder; to pre-train on from "
            "its encoder, pass it as --init_checkpoint.".format(directory)
        )
    ensure_writable_directory(directory, "--output_dir")
    with held(directory, "--output_dir"):
        with console.log_file(os.path.join(directory, LOG_FILE)):
            _write_facts(directory, config, flags_text)
            yield


def _write_facts(directory: str, config: ModelConfig, flags_text: str) -> None:
    config_path = os.path.join(directory, CONFIG_FILE)
    if os.path.isfile(config_path):
        _check_same_model(directory, ModelConfig.from_json_file(config_path), config)
    flags_path = os.path.join(directory, FLAGS_FILE)
    if os.path.isfile(flags_path):
        with open(flags_path, encoding="utf-8", errors="replace") as handle:
            old = handle.read().splitlines()
        for line in flags_text.splitlines():
            if line not in old:
                logging.info("Changed since the last run in this directory: %s", line)
    with atomic_write(flags_path) as handle:
        handle.write(flags_text)
    with atomic_write(config_path) as handle:
        handle.write(config.to_json())


def _check_same_model(directory: str, old: ModelConfig, new: ModelConfig) -> None:
    field = old.difference(new)
    if field:
        raise UsageError(
            "--output_dir={} holds a run of another model: {} is {} there and {} now. Choose "
            "another --output_dir, or the config in it.".format(
                directory, field, json.dumps(getattr(old, field)), json.dumps(getattr(new, field))
            )
        )


def make_learner(
    options: TrainingOptions,
    devices: Sequence[str],
    rate_share: float = 1.0,
    hosts: Hosts = ALONE,
) -> Learner:
    """The state of a run, resumed from its directory, from a checkpoint, or new; and its step.

    Args:
      options: The run.
      devices: One tower runs on each.
      rate_share: Share of the learning rate that is left.
      hosts: Which share the batches; the first one alone reads a checkpoint.

    Raises:
      UsageError: A checkpoint does not fit, or an option is refused.
    """
    problem = Problem(
        pretraining(options.model, options.z_loss),
        lambda: initial_values(options.model, options.random_seed),
        options.random_seed,
    )
    method = Method(options.optimizer, options.learning_rates, options.step)
    learner = Learner(problem, method, devices, rate_share, hosts)
    logging.debug(describe(options.optimizer, learner.state.parameters))
    loaded = _load(options, learner)
    logging.debug("**** Trainable Variables ****")
    for name, variable in learner.state.parameters.items():
        origin = ", *INIT_FROM_CKPT*" if name in loaded else ""
        logging.debug("  name = %s, shape = %s%s", name, tuple(variable.shape.as_list()), origin)
    return learner


def _load(options: TrainingOptions, learner: Learner) -> List[str]:
    """Loads what the run goes on or starts from; returns the names of the weights it had."""
    if not learner.hosts.first:
        return []
    current = _current(options)
    if current:
        resume(options.model, learner.state, current)
        logging.info("Resuming %s at step %d", current, learner.global_step)
        return list(learner.state.parameters)
    if options.start.init_checkpoint:
        return initialise_from(
            options.model,
            learner.state.parameters,
            options.start.init_checkpoint,
            options.start.init_from_group0,
        )
    return []


def _current(options: TrainingOptions) -> Optional[str]:
    return latest_checkpoint(options.saving.output_dir) if options.saving.output_dir else None


def go_back(options: TrainingOptions, learner: Learner) -> str:
    """Puts a learner back to the last checkpoint of its run, or to the start where there is none.

    Returns:
      Where that is, for messages.

    Raises:
      UsageError: The checkpoint is gone or of another model.
    """
    current = _current(options)
    if not current:
        learner.reset()
    _load(options, learner)
    take_from_first(learner.hosts, learner.state.variables())
    return current or "the start"
