"""What a run folder tells about one of its checkpoints: config, weights, numbers, flags."""

import json
import os
from typing import Any, Dict, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.names import check_layout
from albert.checkpoints.parts import check_whole, specs_there
from albert.checkpoints.restore import read_judged, step_of, weights_from
from albert.checkpoints.results import read_results
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_specs
from albert.system.errors import UsageError, quoted
from albert.system.files.atomic import atomic_write

CONFIG_FILE = "albert_config.json"
FLAGS_FILE = "flags.txt"
LOG_FILE = "log.txt"
BEST_DIRECTORY = "best"
TASK_FILE = "task.json"  # only in the folder of a fine-tuned model


class Checkpoint(NamedTuple):
    """Weights with what they belong to.

    Attributes:
      directory: The folder of the run.
      prefix: Path without ending.
      config: The model.
      weights: Every weight, float32, by name.
      step: Updates that made them.
      results: The evaluation of this step; empty if there was none.
    """

    directory: str
    prefix: str
    config: ModelConfig
    weights: Dict[str, np.ndarray]
    step: int
    results: Dict[str, float]


def folder_of(run: Any) -> str:
    """The folder of a run: a path as it is, or the `output_dir` of what has one.

    Raises:
      UsageError: It is neither, or a run that wrote nothing.
    """
    place = getattr(run, "output_dir", run)
    if isinstance(place, (str, os.PathLike)):
        return os.fspath(place)
    raise UsageError(
        "Pass the folder of a run, or a run that has one: output_dir. Received {}.".format(
            quoted(run)
        )
    )


def write_config(directory: str, config: ModelConfig) -> None:
    """Writes `albert_config.json`."""
    with atomic_write(os.path.join(directory, CONFIG_FILE)) as handle:
        handle.write(config.to_json())


def find_checkpoint(name: Optional[str], directory: Optional[str]) -> str:
    """The prefix of the checkpoint a command means.

    Args:
      name: A prefix, also by its name inside `directory`, or another folder, for the latest there;
        None for the latest of the directory.
      directory: The run's.

    Raises:
      UsageError: There is none.
    """
    if name and os.path.isdir(name):
        name, directory = None, name
    if name:
        inside = os.path.join(directory or "", name)
        for place in (name, inside):
            if os.path.isfile(place + ".index"):
                return place
        raise UsageError(
            "No checkpoint {}.index. Name it without its ending, for example "
            "model.ckpt-1000.".format(inside)
        )
    if not directory:
        raise UsageError("Pass --output_dir, the folder of a run, or --checkpoint.")
    prefix = latest_checkpoint(directory)
    if prefix is None:
        raise UsageError(
            "No checkpoint in {}. Pass the folder of a run of multigpu_pretraining.py, or name a "
            "checkpoint.".format(directory)
        )
    return prefix


def config_of_run(
    directory: Optional[str], prefix: str, given: Optional[ModelConfig] = None
) -> ModelConfig:
    """The model of a checkpoint, as the folder it lies in says.

    Args:
      directory: The run's, if it is known.
      prefix: The checkpoint.
      given: What the user says it is; used where no folder says anything.

    Raises:
      UsageError: The user's is another model, or nobody says which it is.
    """
    beside = os.path.dirname(prefix)
    for folder in (beside, os.path.dirname(os.path.abspath(beside)), directory):
        # A run keeps its best checkpoint in a folder of its own, which has no config.
        above = folder not in (beside, directory)
        if folder is None or above and os.path.basename(beside) != BEST_DIRECTORY:
            continue
        path = os.path.join(folder, CONFIG_FILE)
        if os.path.isfile(path):
            own = ModelConfig.from_json_file(path)
            _check_same_model(own, given, path)
            return own
    if given is None:
        raise UsageError(
            "No {} beside {}. Pass the model it holds: --albert_config_file or --model.".format(
                CONFIG_FILE, prefix
            )
        )
    return given


def _check_same_model(own: ModelConfig, given: Optional[ModelConfig], path: str) -> None:
    field = own.difference(given) if given else None
    if field:
        raise UsageError(
            "{} says that {} is {}, but the config given says {}. Leave out --model and "
            "--albert_config_file: the run's own config is used.".format(
                path, field, json.dumps(getattr(own, field)), json.dumps(getattr(given, field))
            )
        )


def open_checkpoint(
    directory: Optional[str],
    name: Optional[str] = None,
    config_file: Optional[str] = None,
    whole: bool = True,
    exact: bool = True,
) -> Checkpoint:
    """Reads a checkpoint of a run and checks that the config is its own.

    Args:
      directory: The run's; the checkpoint's own if None.
      name: Of the checkpoint, a prefix or relative to the directory; None for the best one, or the
        latest where none was kept as the best.
      config_file: None for the `albert_config.json` of the directory.
      whole: Whether pooler and pre-training heads must be there, too.
      exact: Whether there may be no other weights.

    Raises:
      UsageError: Something is missing, or config and weights differ; names the first difference.
    """
    best = latest_checkpoint(os.path.join(directory, BEST_DIRECTORY)) if directory else None
    prefix = best if best and not name else find_checkpoint(name, directory)
    folder = directory or os.path.dirname(prefix)
    config_file = config_file or os.path.join(folder, CONFIG_FILE)
    if not os.path.isfile(config_file):
        raise UsageError(
            "No {}. Pass the model's config with --albert_config_file.".format(config_file)
        )
    config = ModelConfig.from_json_file(config_file)
    tensors = read_judged(prefix)
    check_layout(config, tensors, prefix)
    if whole:
        check_whole(config, tensors, prefix)
    weights = weights_from(
        tensors,
        parameter_specs(config) if whole else specs_there(config, tensors),
        "Config {} does not fit checkpoint {}".format(config_file, prefix),
        "Use the config it was trained with.",
        exact=exact,
    )
    step = step_of(tensors)
    logging.debug("Checkpoint = %s, step %d", prefix, step)
    results = [read_results(place) for place in (os.path.dirname(prefix), folder)]
    of_this_step = [found for found in results if found.get("global_step") == step]
    return Checkpoint(folder, prefix, config, weights, step, (of_this_step or [{}])[0])


def read_flags(directory: str) -> Dict[str, str]:
    """The flags of a run by name, as text; "true" or "false" for switches."""
    path = os.path.join(directory, FLAGS_FILE)
    found = {}
    if os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as handle:
            for line in handle.read().splitlines():
                name, equals, value = line.lstrip("-").partition("=")
                if equals:
                    found[name] = value
                elif name.startswith("no") and name != "no_save":
                    found[name[len("no") :]] = "false"
                else:
                    found[name] = "true"
    return found
