"""The folder of a fine-tuned model: config, task, weights, tokenizer, report."""

import glob
import os
from typing import Dict, NamedTuple

import numpy as np

from albert.checkpoints.folder import CONFIG_FILE
from albert.checkpoints.manager import latest_checkpoint, read_tensors
from albert.checkpoints.state import GLOBAL_STEP
from albert.formats.published import copy_tokenizer
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.system.files import atomic_write
from albert.tasks.model import task_specs
from albert.tasks.task import TASK_FILE, Task, read_task, write_task
from albert.text.tokenization import TextOptions, Tokenization

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
    with atomic_write(os.path.join(directory, CONFIG_FILE)) as handle:
        handle.write(config.to_json())
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
    for name, spec in task_specs(config, task).items():
        if name not in tensors or tensors[name].shape != spec.shape:
            raise UsageError(
                "{} does not fit config and labels of its folder: {} is {} there and should be "
                "{}.".format(
                    prefix,
                    name,
                    list(tensors[name].shape) if name in tensors else "missing",
                    list(spec.shape),
                )
            )
    weights = {name: tensors[name].astype(np.float32) for name in task_specs(config, task)}
    found = glob.glob(os.path.join(glob.escape(directory), _TOKENIZER + ".model"))
    if not found:
        raise UsageError("{} has no {}.model.".format(directory, _TOKENIZER))
    tokenization = Tokenization(found[0], TextOptions(task.lower_case, task.keep_accents))
    return FineTuned(config, task, weights, int(tensors.get(GLOBAL_STEP, 0)), tokenization)
