"""The folder of a fine-tuned model: config, task, weights, tokenizer, report."""

import glob
import os
from typing import Any, Dict, NamedTuple

import numpy as np

from albert.checkpoints.folder import CONFIG_FILE, write_config
from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.checkpoints.restore import step_of, weights_from
from albert.checkpoints.tokenizer import copy_tokenizer
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.tasks.model import task_specs
from albert.tasks.task import TASK_FILE, Task, read_task, write_task
from albert.text.tokenization import TextOptions, Tokenization

_TOKENIZER = "tokenizer"


class FineTuned(NamedTuple):
    """A fine-tuned model.

    Attributes:
      directory: Its folder.
      config: Its sizes.
      task: Its labels.
      weights: By name, float32.
      step: Updates of the fine-tuning.
      tokenization: How text becomes ids.
    """

    directory: str
    config: ModelConfig
    task: Task
    weights: Dict[str, np.ndarray]
    step: int
    tokenization: Tokenization


def begin_folder(
    directory: str, config: ModelConfig, task: Task, tokenization: Tokenization
) -> None:
    """Writes all but weights and report."""
    write_config(directory, config)
    write_task(directory, task)
    copy_tokenizer(tokenization.model_file, directory, _TOKENIZER)


def task_of(directory: str) -> Task:
    """The task of a folder that `finetune` wrote.

    Raises:
      UsageError: It is none.
    """
    task = read_task(directory)
    if task is None:
        raise _not_fine_tuned(directory, TASK_FILE)
    return task


def _not_fine_tuned(directory: str, missing: str) -> UsageError:
    return UsageError(
        "{} has no {}. Give the --output_dir of `python -m albert finetune`.".format(
            directory, missing
        )
    )


def refuse_options_of_runs(directory: str, **options: Any) -> None:
    """Refuses options that a fine-tuned model's folder has the answers to itself.

    Args:
      directory: The folder.
      **options: Their values by name; None where they were not given.

    Raises:
      UsageError: One was given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            "{} is a fine-tuned model and has all in its folder; leave out --{}.".format(
                directory, " and --".join(given)
            )
        )


def open_fine_tuned(directory: str) -> FineTuned:
    """Reads a folder that `finetune` wrote.

    Raises:
      UsageError: It is none, or its parts do not fit each other.
    """
    task, prefix = task_of(directory), latest_checkpoint(directory)
    if prefix is None:
        raise _not_fine_tuned(directory, "checkpoint")
    config = ModelConfig.from_json_file(os.path.join(directory, CONFIG_FILE))
    tensors = read_tensors(prefix)
    weights = weights_from(
        tensors,
        task_specs(config, task),
        prefix + " does not fit config and labels of its folder",
        "Take the folder as `finetune` wrote it.",
    )
    found = glob.glob(os.path.join(glob.escape(directory), _TOKENIZER + ".model"))
    if not found:
        raise UsageError("{} has no {}.model.".format(directory, _TOKENIZER))
    tokenization = Tokenization(found[0], TextOptions(task.lower_case, task.keep_accents))
    return FineTuned(directory, config, task, weights, step_of(tensors), tokenization)
