"""Folders as Google, brightmart and the Malay project published them: read and written."""

import glob
import os
from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.checkpoints.folder import write_config
from albert.checkpoints.manager import (
    latest_checkpoint,
    make_current,
    read_tensors,
    write_tensors,
)
from albert.checkpoints.names import check_layout, find_slot, layout_of
from albert.checkpoints.parts import check_numbers, specs_there
from albert.checkpoints.restore import differences, some_of, step_of, weights_from
from albert.model.config import ModelConfig
from albert.model.parameters import parameter_specs
from albert.optim.transforms import AVERAGE, FIRST_MOMENT, SECOND_MOMENT
from albert.system.errors import UsageError
from albert.system.files.side import read_json_object

# As the published archives name it; a run's own are model.ckpt-STEP.
PUBLISHED_PREFIX = "model.ckpt-best"
_CONFIG_NAMES = ("albert_config.json", "config.json", "bert_config.json")
_CONFIG_PATTERNS = ("albert_config_*.json", "bert_config_*.json", "*_[cC][oO][nN][fF][iI][gG].json")


class Published(NamedTuple):
    """What such a folder holds.

    Attributes:
      config: The model.
      tensors: Weights, float32, and, if each weight has them, the optimizer's slots, by our names;
        pooler and heads may be absent.
      step: The checkpoint's global step; 0 if it has none.
      spm_model_file: The tokenizer, if there is one.
    """

    config: ModelConfig
    tensors: Dict[str, np.ndarray]
    step: int
    spm_model_file: Optional[str]


def find_published(source: str) -> Optional[str]:
    """The checkpoint meant by a prefix or a folder, also one folder below; None if there is none.

    Raises:
      UsageError: The folder has several and does not say which is the current one.
    """
    if os.path.isfile(source + ".index"):
        return source
    if not os.path.isdir(source):
        return None
    current = latest_checkpoint(source)
    if current:
        return current
    found = sorted(glob.glob(os.path.join(glob.escape(source), "*.index")))
    found = [path[: -len(".index")] for path in found]
    best = [path for path in found if path.endswith("-best")]
    if len(found) > 1 and len(best) != 1:
        raise UsageError(
            "{} holds several checkpoints ({}). Name one: --source={}.".format(
                source, ", ".join(os.path.basename(path) for path in found), found[0]
            )
        )
    return next(iter(best or found), None)


def read_published(prefix: str, config_file: Optional[str], ln_type: Optional[str]) -> Published:
    """Reads a checkpoint of the original systems and what lies beside it.

    Args:
      prefix: As `find_published` returns.
      config_file: None to look for it beside the checkpoint, under any of its names.
      ln_type: brightmart: overrides the config's; nothing in a checkpoint tells it.

    Raises:
      UsageError: There is no config or several, or it does not fit the weights.
    """
    folder = os.path.dirname(prefix)
    tensors = read_tensors(prefix)
    config = _read_config(config_file or _find_config(folder), layout_of(tensors), ln_type)
    check_layout(config, tensors, prefix)
    specs = specs_there(config, tensors)
    found = differences(parameter_specs(config), tensors)
    another = found.mismatched or any(name.startswith("bert/encoder/") for name in found.unused)
    kept = weights_from(
        tensors,
        specs,
        prefix + (" does not fit its config" if another else " is not whole"),
        "Pass the right one with --albert_config_file." if another else "Copy it again.",
    )
    check_numbers({name: tensors[name] for name in specs}, prefix)
    if found.unused:
        logging.warning(
            "%s: %d tensors have no use here: %s",
            prefix,
            len(found.unused),
            some_of(found.unused),
        )
    averages = sum(name.endswith(AVERAGE) for name in tensors)
    if averages:
        logging.info("%s: %d moving averages beside the weights are left out", prefix, averages)
    slots = _slots(tensors, list(kept))
    check_numbers(slots, prefix)
    kept.update(slots)
    spm = sorted(glob.glob(os.path.join(glob.escape(folder), "*.model")))
    return Published(config, kept, step_of(tensors), spm[0] if spm else None)


def write_published(
    directory: str,
    config: ModelConfig,
    tensors: Mapping[str, np.ndarray],
    name: str = PUBLISHED_PREFIX,
) -> None:
    """Writes a checkpoint, by default as the published archives name it, and the config."""
    write_tensors(os.path.join(directory, name), tensors)
    write_config(directory, config)
    make_current(directory, name, [name])


def _slots(tensors: Dict[str, np.ndarray], weights: List[str]) -> Dict[str, np.ndarray]:
    slots: Dict[str, np.ndarray] = {}
    for name in weights:
        for moment in (FIRST_MOMENT, SECOND_MOMENT):
            found = find_slot(name + moment, tensors)
            if found is None:
                if slots:
                    logging.warning("Slots are not there for every weight; they are left out")
                return {}  # half of them would be of no use
            slots[name + moment] = tensors[found].astype(np.float32)
    return slots


def _find_config(folder: str) -> str:
    for name in _CONFIG_NAMES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    found = set()
    for pattern in _CONFIG_PATTERNS:
        found.update(glob.glob(os.path.join(glob.escape(folder), pattern)))
    if len(found) != 1:
        raise UsageError(
            "{} model config in {}{}. Pass it with --albert_config_file.".format(
                "Several files could be the" if found else "No",
                folder or ".",
                ": " + ", ".join(sorted(map(os.path.basename, found))) if found else "",
            )
        )
    return found.pop()


def _read_config(path: str, layout: Optional[str], ln_type: Optional[str]) -> ModelConfig:
    values = read_json_object(path)
    if layout:
        values.setdefault("layout", layout)  # files in circulation do not say it; the weights do
    if ln_type:
        values["ln_type"] = ln_type
    elif layout == "brightmart" and "ln_type" not in values:
        logging.warning(
            "%s does not say ln_type: taken as preln, as in the Malay project. For a later "
            "albert_zh pass --ln_type=postln.",
            path,
        )
    return ModelConfig.from_dict(values, path)
