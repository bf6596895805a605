"""What of a model a checkpoint may lack, and what its weights must be."""

from typing import Dict, Iterable, List, Mapping

import numpy as np

from albert.model.config import ModelConfig
from albert.model.initial import initial_value
from albert.model.parameters import ParameterSpec, parameter_specs, parameter_tree, specs_of
from albert.system.errors import UsageError, quoted

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_NEW_SEED = 12345


def absent_parts(config: ModelConfig, names: Iterable[str]) -> Dict[str, Dict[str, ParameterSpec]]:
    """The weights of pooler and pre-training heads of which a checkpoint has nothing, by part.

    Args:
      config: The model.
      names: What the checkpoint holds, by our names.
    """
    tree, there = parameter_tree(config), set(names)
    parts = {
        "pooler": tree.pooler,
        "masked-word head": tree.masked_lm,
        "sentence-order head": tree.sentence_order,
    }
    specs = {part: specs_of(leaves) for part, leaves in parts.items()}
    return {part: found for part, found in specs.items() if not there & set(found)}


def specs_there(config: ModelConfig, names: Iterable[str]) -> Dict[str, ParameterSpec]:
    """The weights that a checkpoint must have: all, but for parts of which it has nothing."""
    absent = absent_parts(config, names).values()
    left_out = {name for specs in absent for name in specs}
    return {name: spec for name, spec in parameter_specs(config).items() if name not in left_out}


def check_whole(config: ModelConfig, names: Iterable[str], prefix: str) -> None:
    """Refuses a checkpoint without pooler or heads.

    Raises:
      UsageError: One is not there.
    """
    absent = absent_parts(config, names)
    if absent:
        raise UsageError(
            "{} has no {}, so this cannot be done with it. Train it first: "
            "--init_checkpoint={}.".format(prefix, " and no ".join(absent), prefix)
        )


def new_parts(config: ModelConfig, names: Iterable[str]) -> Dict[str, np.ndarray]:
    """New weights, float32, for the parts of which a checkpoint has nothing."""
    return {
        name: initial_value(spec, config.initializer_range, _NEW_SEED)
        for specs in absent_parts(config, names).values()
        for name, spec in specs.items()
    }


def check_numbers(weights: Mapping[str, np.ndarray], source: str) -> None:
    """Refuses what cannot be weights.

    Raises:
      UsageError: One is not of floating-point numbers, or holds NaN or Inf; names the first.
    """
    for name, value in weights.items():
        if value.dtype.name not in _FLOATS:
            raise UsageError(
                "{}: {} is of type {}; weights are floating-point numbers. Convert the model to "
                "float32 where it was made.".format(source, quoted(name), value.dtype.name)
            )
    wrong: List[str] = []
    for name, value in weights.items():
        with np.errstate(over="ignore"):  # of float64
            bad = value.size - int(np.isfinite(value.astype(np.float32)).sum())
        if bad:
            wrong.append("{} ({:,} of {:,} numbers)".format(quoted(name), bad, value.size))
    if wrong:
        raise UsageError(
            "{}: {} weights hold NaN or Inf, first {}. Take a checkpoint from before the training "
            "went wrong.".format(source, len(wrong), wrong[0])
        )
