"""What comes before the first step: records opened, directory claimed, weights made or restored."""

import contextlib
import dataclasses
import json
import os
from typing import Callable, Iterator, List, Optional, Sequence

from absl import logging

from albert.checkpoints.folder import CONFIG_FILE, FLAGS_FILE
from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.restore import initialise_from, resume
from albert.checkpoints.state import TrainState, create_state
from albert.data.source import Data, open_data
from albert.model.albert import Batch
from albert.model.config import ModelConfig
from albert.model.parameters import initial_values
from albert.optim.optimizers import describe, make_optimizer
from albert.system.errors import UsageError
from albert.system.files import atomic_write, ensure_writable_directory, held
from albert.training.objective import pretraining
from albert.training.options import TrainingOptions
from albert.training.step import StepResult, make_train_step

# Fields that do not change which model it is.
_TRAINING_FIELDS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")


def open_records(options: TrainingOptions, flag: str, progress: bool) -> Data:
    """Opens the records of a run.

    Args:
      options: The run.
      flag: Which: "input_file" or "eval_file".
      progress: Whether to show bars.

    Raises:
      UsageError: There are none, or the model cannot take them.
    """
    return open_data(
        getattr(options, flag),
        flag,
        options.model,
        options.max_seq_length,
        options.max_predictions_per_seq,
        progress,
    )


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
    ensure_writable_directory(directory, "--output_dir")
    with held(directory, "--output_dir"):
        _write_facts(directory, config, flags_text)
        yield


def _write_facts(directory: str, config: ModelConfig, flags_text: str) -> None:
    config_path = os.path.join(directory, CONFIG_FILE)
    if os.path.isfile(config_path):
        _check_same_model(directory, ModelConfig.from_json_file(config_path), config)
    flags_path = os.path.join(directory, FLAGS_FILE)
    if os.path.isfile(flags_path):
        with open(flags_path, encoding="utf-8") as handle:
            old = handle.read().splitlines()
        for line in flags_text.splitlines():
            if line not in old:
                logging.info("Changed since the last run in this directory: %s", line)
    with atomic_write(flags_path) as handle:
        handle.write(flags_text)
    with atomic_write(config_path) as handle:
        handle.write(config.to_json())


def _check_same_model(directory: str, old: ModelConfig, new: ModelConfig) -> None:
    for field in dataclasses.fields(ModelConfig):
        before, now = getattr(old, field.name), getattr(new, field.name)
        if field.name not in _TRAINING_FIELDS and before != now:
            raise UsageError(
                "--output_dir={} holds a run of another model: {} is {} there and {} now. Choose "
                "another --output_dir, or the config in it.".format(
                    directory, field.name, json.dumps(before), json.dumps(now)
                )
            )


def prepare_state(options: TrainingOptions, device: str) -> TrainState:
    """Creates the state of a run: resumed from its directory, from a checkpoint, or new.

    Raises:
      UsageError: A checkpoint does not fit, or an option is refused.
    """
    schedule = options.schedule()
    values = initial_values(options.model, options.random_seed)
    optimizer = make_optimizer(options.optimizer, schedule, values)
    logging.info(describe(options.optimizer, values))
    state = create_state(values, optimizer, device, options.step.precision)
    current = latest_checkpoint(options.output_dir) if options.output_dir else None
    loaded: List[str] = []
    if current:
        resume(options.model, state, current)
        loaded = list(state.parameters)
        logging.info("Resuming %s at step %d", current, int(state.global_step.numpy()))
    elif options.init_checkpoint:
        loaded = initialise_from(
            options.model, state.parameters, options.init_checkpoint, options.init_from_group0
        )
    logging.info("**** Trainable Variables ****")
    for name, variable in state.parameters.items():
        origin = ", *INIT_FROM_CKPT*" if name in loaded else ""
        logging.info("  name = %s, shape = %s%s", name, tuple(variable.shape.as_list()), origin)
    return state


def go_back(options: TrainingOptions, state: TrainState) -> str:
    """Puts a state back to the last checkpoint of its run, or to the start where there is none.

    Returns:
      Where that is, for messages.

    Raises:
      UsageError: The checkpoint is gone or of another model.
    """
    current = latest_checkpoint(options.output_dir) if options.output_dir else None
    if current:
        resume(options.model, state, current)
        return current
    state.reset(initial_values(options.model, options.random_seed), options.step.precision)
    if options.init_checkpoint:
        initialise_from(
            options.model, state.parameters, options.init_checkpoint, options.init_from_group0
        )
    return "the start"


def build_step(
    options: TrainingOptions, state: TrainState, devices: Sequence[str], rate_factor: float = 1.0
) -> Callable[[Batch], StepResult]:
    """The training step of a run; `rate_factor` lowers the rate it was told to take."""
    rate = options.learning_rate * rate_factor
    schedule = dataclasses.replace(options, learning_rate=rate).schedule()
    optimizer = make_optimizer(options.optimizer, schedule, state.parameters)
    return make_train_step(
        pretraining(options.model),
        state,
        optimizer,
        schedule,
        devices,
        options.random_seed,
        options.step,
    )
