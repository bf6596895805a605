"""The folder of a fine-tuned model: config, task, weights, tokenizer, report."""

import glob
import os
from typing import Dict, NamedTuple

import numpy as np

from albert.checkpoints.folder import CONFIG_FILE, write_config
from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.checkpoints.restore import step_of, weights_from
from albert.formats.published import copy_tokenizer
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.tasks.model import task_specs
from albert.tasks.task import TASK_FILE, Task, read_task, write_task
from albert.text.tokenization import Tokenization

_TOKENIZER = "tokenizer"


class FineTuned(NamedTuple):
    """A fine-tuned model.

    Attributes:
      config: Its sizes.
      task: Its labels.
      weights: By name, float32.
      step: Updates of the fine-tuning.
      tokenization: How text becomes ids.
    """

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


def open_fine_tuned(directory: str) -> FineTuned:
    """Reads a folder that `finetune` wrote.

    Raises:
      UsageError: It is none, or its parts do not fit each other.
    """
    task, prefix = read_task(directory), latest_checkpoint(directory)
    if task is None or prefix is None:
        raise UsageError(
            "{} has no {}. Give the --output_dir of `python -m albert finetune`.".format(
                directory, TASK_FILE if task is None else "checkpoint"
            )
        )
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
    tokenization = Tokenization(found[0], task.lower_case, task.keep_accents, None)
    return FineTuned(config, task, weights, step_of(tensors), tokenization)
