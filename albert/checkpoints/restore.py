"""From a checkpoint's tensors to a run's state: exact resume, or weights only."""

import dataclasses
import re
from typing import Dict, List, Mapping, NamedTuple, Tuple

import numpy as np
from absl import logging

from albert.checkpoints.manager import read_tensors, tensor_names
from albert.checkpoints.names import check_layout, find_slot, is_slot
from albert.checkpoints.state import GLOBAL_STEP, SKIPPED_STEPS, TrainState
from albert.compat import tf
from albert.model.config import ModelConfig
from albert.model.parameters import FINAL_NORM, parameter_specs
from albert.system.errors import UsageError


class Comparison(NamedTuple):
    """How the weights of a checkpoint fit a model."""

    missing: List[str]  # the model's, not in the checkpoint
    unused: List[str]  # the checkpoint's, not in the model
    mismatched: List[str]  # "name: checkpoint shape, model shape"


def compare(config: ModelConfig, tensors: Mapping[str, np.ndarray]) -> Comparison:
    """Compares a checkpoint's weights with a model's; slots and counters are left out."""
    return _compare({name: spec.shape for name, spec in parameter_specs(config).items()}, tensors)


def _compare(
    shapes: Mapping[str, Tuple[int, ...]], tensors: Mapping[str, np.ndarray]
) -> Comparison:
    counters = (GLOBAL_STEP, SKIPPED_STEPS, "loss_scale", "loss_scale_good_steps")
    return Comparison(
        [name for name in shapes if name not in tensors],
        sorted(n for n in tensors if n not in shapes and n not in counters and not is_slot(n)),
        [
            "{}: {} in the checkpoint, {} in the config".format(
                name, list(tensors[name].shape), list(shape)
            )
            for name, shape in shapes.items()
            if name in tensors and tuple(tensors[name].shape) != shape
        ],
    )


class SavedModel(NamedTuple):
    """What evaluation needs of a checkpoint."""

    weights: Dict[str, np.ndarray]  # float32
    global_step: int  # 0 where the checkpoint does not say


def load_model(config: ModelConfig, prefix: str) -> SavedModel:
    """All weights of a model and its step, for evaluation.

    Raises:
      UsageError: The checkpoint is of another layout, or a weight is missing or has another shape.
    """
    tensors = read_tensors(prefix)
    _check_complete(config, compare(config, tensors), tensors, prefix)
    weights = {name: tensors[name].astype(np.float32) for name in parameter_specs(config)}
    return SavedModel(weights, int(tensors.get(GLOBAL_STEP, 0)))


def resume(config: ModelConfig, state: TrainState, prefix: str) -> None:
    """Puts weights, slots and counters of a checkpoint into the state.

    Raises:
      UsageError: The checkpoint is of another model, or lacks the optimizer's slots.
    """
    tensors = read_tensors(prefix)
    shapes = {name: tuple(value.shape.as_list()) for name, value in state.parameters.items()}
    _check_complete(config, _compare(shapes, tensors), tensors, prefix)
    for name, variable in state.parameters.items():
        variable.assign(tensors[name])
    for slot, variable in state.slots.items():
        found = find_slot(slot, tensors)
        if found is None:
            raise UsageError(
                "{} has weights but no optimizer slots ({} is missing), so it cannot be resumed. "
                "Start from it with --init_checkpoint={} and another --output_dir.".format(
                    prefix, slot, prefix
                )
            )
        variable.assign(tensors[found])
    state.global_step.assign(np.int64(tensors.get(GLOBAL_STEP, 0)))
    # Absent in checkpoints of the original systems.
    state.skipped_steps.assign(np.int64(tensors.get(SKIPPED_STEPS, 0)))
    for name, variable in state.loss_scale.items():
        variable.assign(tensors.get(name, variable.numpy()))


def initialise_from(
    config: ModelConfig,
    parameters: Dict[str, tf.Variable],
    prefix: str,
    from_group_0: bool = False,
) -> List[str]:
    """Loads weights only, and reports missing and unused names; slots and counters stay new.

    Args:
      config: The model.
      parameters: The variables to fill.
      prefix: Of the checkpoint.
      from_group_0: Whether groups that the checkpoint lacks start as copies of its group 0.

    Returns:
      The names that were loaded.

    Raises:
      UsageError: The checkpoint is of another layout, or weights have another shape.
    """
    tensors = read_tensors(prefix)
    check_layout(config, tensors, prefix)
    if from_group_0:
        for name in parameter_specs(config):
            source = re.sub(r"/group_\d+/", "/group_0/", name)
            if name not in tensors and source in tensors:
                tensors[name] = tensors[source]
    found = compare(config, tensors)
    if found.mismatched:
        raise UsageError(_mismatch(prefix, found))
    loaded = [name for name in parameters if name in tensors]
    for name in loaded:
        parameters[name].assign(tensors[name])
    logging.info("Initialised %d of %d weights from %s", len(loaded), len(parameters), prefix)
    for name in found.missing:
        logging.warning("  missing in the checkpoint, new here: %s", name)
    for name in found.unused:
        logging.warning("  unused from the checkpoint: %s", name)
    return loaded


def without_absent_final_norm(config: ModelConfig, prefix: str) -> ModelConfig:
    """The config for going on from a checkpoint that may be older than `final_layer_norm`.

    A norm that its weights were not trained with would change what every layer's output means.
    """
    if not config.final_layer_norm or FINAL_NORM + "/gamma" in tensor_names(prefix):
        return config
    logging.info("%s has no final layer norm, so this run has none either", prefix)
    return dataclasses.replace(config, final_layer_norm=False)


def _check_complete(
    config: ModelConfig, found: Comparison, tensors: Mapping[str, np.ndarray], prefix: str
) -> None:
    check_layout(config, tensors, prefix)
    if found.mismatched:
        raise UsageError(_mismatch(prefix, found))
    if found.missing:
        raise UsageError(
            "{} is of another model: it lacks {} of the config's weights, first {}. Use the "
            "config it was trained with, or another --output_dir.".format(
                prefix, len(found.missing), found.missing[0]
            )
        )


def _mismatch(prefix: str, found: Comparison) -> str:
    return (
        "{} is of another model: {} weights have another shape, first {}. Use the config it was "
        "trained with, or another --output_dir.".format(
            prefix, len(found.mismatched), found.mismatched[0]
        )
    )
