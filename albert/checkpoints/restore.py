"""From a checkpoint's tensors to a run's state: exact resume, or weights only."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.manager import read_tensors, tensor_names
from albert.checkpoints.names import check_layout, find_slot, is_slot
from albert.checkpoints.parts import check_whole
from albert.checkpoints.state import BATCH_ORDER, GLOBAL_STEP, SKIPPED_STEPS, TrainState
from albert.compat import tf
from albert.data.order import KEYED, SHUFFLED
from albert.model.config import ModelConfig
from albert.model.parameters import FINAL_NORM, POSITIONS, parameter_specs
from albert.optim.transforms import AVERAGE
from albert.system.errors import UsageError

_ANOTHER = " is of another model"
_SHOWN = 6
_OWN_CONFIG = "Use the config it was trained with, or another --output_dir."

Specs = Mapping[str, Any]  # what has a shape, a `ParameterSpec` or a variable


class Differences(NamedTuple):
    """How the weights of a checkpoint differ from those of a model."""

    missing: List[str]  # the model's, not in the checkpoint
    unused: List[str]  # the checkpoint's, not in the model
    mismatched: List[str]  # "name: checkpoint shape, model shape"


def differences(specs: Specs, tensors: Mapping[str, np.ndarray]) -> Differences:
    """Compares a checkpoint's weights with a model's; slots and counters are left out."""
    counters = (GLOBAL_STEP, SKIPPED_STEPS, BATCH_ORDER, "loss_scale", "loss_scale_good_steps")
    return Differences(
        [name for name in specs if name not in tensors],
        sorted(n for n in tensors if n not in specs and n not in counters and not is_slot(n)),
        [
            "{}: {} in the checkpoint, {} in the config".format(
                name, list(tensors[name].shape), list(spec.shape)
            )
            for name, spec in specs.items()
            if name in tensors and tuple(tensors[name].shape) != tuple(spec.shape)
        ],
    )


def weights_from(
    tensors: Mapping[str, np.ndarray], specs: Specs, wrong: str, fix: str, exact: bool = False
) -> Dict[str, np.ndarray]:
    """The weights of a model among the tensors of a checkpoint, float32.

    Args:
      tensors: What the checkpoint holds.
      specs: The weights that are wanted.
      wrong: How a message begins, "X does not fit Y".
      fix: How it ends: a sentence.
      exact: Whether the checkpoint may hold no other weights.

    Raises:
      UsageError: A weight is missing, has another shape or, with `exact`, is one too many.
    """
    found = differences(specs, tensors)
    told = found.mismatched + ["{}: only in the config".format(name) for name in found.missing]
    if exact:
        told += ["{}: only in the checkpoint".format(name) for name in found.unused]
    _refuse(told, wrong, fix)
    return {name: tensors[name].astype(np.float32) for name in specs}


def _refuse(told: Sequence[str], wrong: str, fix: str) -> None:
    if told:
        raise UsageError(
            "{}: {} weights differ, first {}. {}".format(wrong, len(told), told[0], fix)
        )


def step_of(tensors: Mapping[str, np.ndarray]) -> int:
    """The updates that made a checkpoint; 0 where it does not say."""
    return int(tensors.get(GLOBAL_STEP, 0))


def read_judged(prefix: str) -> Dict[str, np.ndarray]:
    """A checkpoint as its run evaluates it: each weight is its mean where one was kept.

    Raises:
      UsageError: As `read_tensors`.
    """
    tensors = read_tensors(prefix)
    if step_of(tensors):  # before the first update there is no mean
        means = [name for name in tensors if name.endswith(AVERAGE)]
        tensors.update({name[: -len(AVERAGE)]: tensors[name] for name in means})
    return tensors


class LoadedModel(NamedTuple):
    """A checkpoint without its optimizer.

    Attributes:
      weights: Every weight, float32, by name.
      step: Updates that made them.
    """

    weights: Dict[str, np.ndarray]
    step: int


def load_model(config: ModelConfig, prefix: str) -> LoadedModel:
    """All weights of a model and its step.

    Raises:
      UsageError: The checkpoint is of another layout, or a weight is missing or has another shape.
    """
    tensors = read_judged(prefix)
    return LoadedModel(_weights_of_run(config, tensors, prefix), step_of(tensors))


def resume(config: ModelConfig, state: TrainState, prefix: str) -> None:
    """Puts weights, slots and counters of a checkpoint into the state.

    Raises:
      UsageError: The checkpoint is of another model, or lacks the optimizer's slots.
    """
    tensors = read_tensors(prefix)
    check_layout(config, tensors, prefix)
    weights = weights_from(tensors, state.parameters, prefix + _ANOTHER, _OWN_CONFIG)
    for name, weight in weights.items():
        state.parameters[name].assign(weight)
    for slot, variable in state.slots.items():
        found = find_slot(slot, tensors)
        if found is None and slot.endswith(AVERAGE):
            found = slot[: -len(AVERAGE)]  # the mean begins here
        if found is None:
            raise UsageError(
                "{} has weights but no slots of this optimizer ({} is missing), so it cannot be "
                "resumed. Pass the optimizer it was trained with, or start from it with "
                "--init_checkpoint={} and another --output_dir.".format(prefix, slot, prefix)
            )
        variable.assign(tensors[found])
    state.global_step.assign(np.int64(step_of(tensors)))
    # Absent in checkpoints of the original systems, whose batches nothing can repeat.
    state.skipped_steps.assign(np.int64(tensors.get(SKIPPED_STEPS, 0)))
    older = SHUFFLED if SKIPPED_STEPS in tensors else KEYED  # version 0.1 did not say it
    state.batch_order.assign(np.int64(tensors.get(BATCH_ORDER, older)))
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
    tensors = read_judged(prefix)
    check_layout(config, tensors, prefix)
    specs = parameter_specs(config)
    if from_group_0:
        for name in specs:
            source = re.sub(r"/group_\d+/", "/group_0/", name)
            if name not in tensors and source in tensors:
                tensors[name] = tensors[source]
    _stretch_positions(specs, tensors)
    found = differences(specs, tensors)
    _refuse(found.mismatched, prefix + _ANOTHER, _OWN_CONFIG)
    loaded = [name for name in parameters if name in tensors]
    for name in loaded:
        parameters[name].assign(tensors[name])
    logging.info("Initialised %d of %d weights from %s", len(loaded), len(parameters), prefix)
    for names, what in (
        (found.missing, "missing in the checkpoint, new here"),
        (found.unused, "unused from the checkpoint"),
    ):
        if names:
            logging.warning("  %s: %d weights, %s", what, len(names), some_of(names))
    return loaded


def some_of(names: Sequence[str]) -> str:
    """The first of some names, for a line."""
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:_SHOWN]) + more


def _stretch_positions(specs: Specs, tensors: Dict[str, np.ndarray]) -> None:
    """Repeats a table of positions to the length of a model that takes longer sequences.

    As Longformer began (Beltagy et al., 2020, https://arxiv.org/abs/2004.05150): neighbours keep
    what they know of each other everywhere but at the seams.
    """
    if POSITIONS not in specs or POSITIONS not in tensors:
        return
    table, (length, width) = tensors[POSITIONS], specs[POSITIONS].shape
    if len(table) < length and table.shape[1:] == (width,):
        tensors[POSITIONS] = np.resize(table, [length, width])
        logging.info("Positions: %d of the checkpoint, repeated up to %d", len(table), length)


def without_absent_final_norm(config: ModelConfig, prefix: str) -> ModelConfig:
    """The config for going on from a checkpoint that may be older than `final_layer_norm`.

    A norm that its weights were not trained with would change what every layer's output means.
    """
    if not config.final_layer_norm or FINAL_NORM + "/gamma" in tensor_names(prefix):
        return config
    logging.info("%s has no final layer norm, so this run has none either", prefix)
    return dataclasses.replace(config, final_layer_norm=False)


def _weights_of_run(
    config: ModelConfig, tensors: Mapping[str, np.ndarray], prefix: str
) -> Dict[str, np.ndarray]:
    check_layout(config, tensors, prefix)
    check_whole(config, tensors, prefix)
    return weights_from(tensors, parameter_specs(config), prefix + _ANOTHER, _OWN_CONFIG)
