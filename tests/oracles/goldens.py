"""Reads the values in `tests/goldens` that were recorded from the two original systems."""

import json
import os
from typing import Any, Dict, NamedTuple

import numpy as np

from .model import Arrays

LAYOUTS = ("google", "brightmart")
OPTIMIZERS = ("lamb", "adamw")
STEPS = (1, 2, 6)

_ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "goldens")
_COMPLETE_UP_TO = 64
_STRIDE = 13  # A prime, so the kept entries visit every row and column.


class Golden(NamedTuple):
    """Everything recorded of one layout but the optimizer runs; see the README there."""

    config: Dict[str, Any]
    optimizer: Dict[str, Any]
    batch: Arrays
    parameters: Arrays
    forward: Arrays
    gradients: Arrays
    checkpoint: str  # Prefix of the TensorFlow 1 checkpoint.


def load(layout: str) -> Golden:
    """Reads the recorded values of "google" or "brightmart"."""
    return Golden(
        config=_json(layout, "config"),
        optimizer=_json(layout, "optimizer"),
        batch=_npz(layout, "batch"),
        parameters=_npz(layout, "parameters"),
        forward=_npz(layout, "forward"),
        gradients=_npz(layout, "gradients"),
        checkpoint=os.path.join(_ROOT, layout, "model.ckpt-0"),
    )


def load_steps(layout: str, optimizer: str) -> Arrays:
    """Reads `losses` [6] and `step_K/<variable>`, the `sample` of the weights after K updates."""
    return _npz(layout, optimizer)


def sample(array: np.ndarray) -> np.ndarray:
    """The entries of an array that the optimizer runs keep.

    Args:
      array: Any shape.

    Returns:
      Small arrays as they are; of one with more than 64 entries, every 13th in row order.
    """
    return array if array.size <= _COMPLETE_UP_TO else array.reshape(-1)[::_STRIDE]


def _json(layout: str, name: str) -> Dict[str, Any]:
    with open(os.path.join(_ROOT, layout, name + ".json")) as file:
        return json.load(file)


def _npz(layout: str, name: str) -> Arrays:
    with np.load(os.path.join(_ROOT, layout, name + ".npz")) as archive:
        return {key: archive[key] for key in archive.files}
