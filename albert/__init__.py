"""ALBERT pre-training by tower replication: model, optimizers, towers, checkpoints, evaluation.

The public names load what they need when they are first used, TensorFlow among it:

  run = albert.pretrain("train.tfrecord", model="tiny", output_dir="run")
  albert.load(run).fill_mask(["saya makan [MASK] ."])
"""

import importlib
from typing import Any, List

__version__ = "0.2.0"

_HOMES = {
    "UsageError": "albert.system.errors:UsageError",
    "evaluate": "albert.training.api:evaluate",
    "export": "albert.tasks.export:export",
    "finetune": "albert.tasks.finetuning.training:finetune",
    "load": "albert.tasks.inference.load:load",
    "pretrain": "albert.training.api:pretrain",
    "run_recipe": "albert.recipe.run:run_recipe",
}
__all__ = ["UsageError", "evaluate", "export", "finetune", "load", "pretrain", "run_recipe"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError("module {!r} has no attribute {!r}".format(__name__, name))
    module, attribute = _HOMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> List[str]:
    return sorted(set(globals()) | set(__all__))
