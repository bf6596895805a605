"""What the weights of a new model are."""

import zlib
from typing import Dict, Tuple

import numpy as np

from albert.model.config import ModelConfig
from albert.model.parameters import ParameterSpec, parameter_specs


def initial_values(config: ModelConfig, seed: int) -> Dict[str, np.ndarray]:
    """New float32 weights of the whole model, each a function of (seed, its name) alone."""
    specs = parameter_specs(config).items()
    return {name: initial_value(spec, config.initializer_range, seed) for name, spec in specs}


def initial_value(spec: ParameterSpec, deviation: float, seed: int) -> np.ndarray:
    """A new float32 weight.

    Drawn with NumPy's frozen `RandomState`, so both TensorFlow versions start from the same bits.
    """
    if spec.initial != "normal":
        return np.full(spec.shape, 1.0 if spec.initial == "ones" else 0.0, np.float32)
    random = np.random.RandomState([seed & 0x7FFFFFFF, zlib.crc32(spec.name.encode())])
    value = (spec.deviation or deviation) * _truncated_normal(random, spec.shape)
    return value.astype(np.float32)


def _truncated_normal(random: np.random.RandomState, shape: Tuple[int, ...]) -> np.ndarray:
    """Standard normal values redrawn until within two deviations, as the originals initialise."""
    values = random.standard_normal(shape)
    outside = np.abs(values) > 2.0
    while outside.any():
        values[outside] = random.standard_normal(int(outside.sum()))
        outside = np.abs(values) > 2.0
    return values
