"""Whether converted functions give what TensorFlow gives, and how fast."""

from __future__ import annotations

import os
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from albert.compat import compiled, tf
from albert.formats.conversion.converted import Arrays, Converted
from albert.formats.saved_model import Signature
from albert.system.errors import UsageError
from albert.system.screen import console

# Largest difference of an output, in units of its largest value or of 1 if that is less.
_LIMITS = {False: 1e-3, True: 0.25}
_REPEATS = 3
_HEAD = ["", "MB", "ms a row", "TensorFlow", "largest difference", "same first choice"]


def check_converted(
    directory: str,
    converted: Sequence[Converted],
    weights: Mapping[str, np.ndarray],
    signatures: Mapping[str, Signature],
    batch: Arrays,
) -> str:
    """Runs every function on the rows of a batch and on its first row alone.

    Args:
      directory: Where the files are.
      converted: What to check.
      weights: By name.
      signatures: What they were made of.
      batch: Every input of every signature, int32 [B, ...].

    Returns:
      A table: size, time for a row of the batch there and in TensorFlow on the CPU, and the
      differences.

    Raises:
      UsageError: A function differs by more than its format explains.
    """
    rows = [_HEAD]
    expected: Dict[str, Tuple[List[Tuple[Arrays, Arrays]], float]] = {}
    for name, signature in signatures.items():
        run = _by_tensorflow(weights, signature)
        inputs = {key: batch[key] for key in signature.inputs}
        expected[name] = [(part, run(part)) for part in _parts(inputs)], _milliseconds(run, inputs)
    for one in converted:
        pairs, milliseconds = expected[one.function]
        difference, same = _compared(one, pairs)
        rows.append(
            [
                "{} {}".format(one.file, one.function),
                "{:.1f}".format(os.path.getsize(os.path.join(directory, one.file)) / 1e6),
                "{:.2f}".format(_milliseconds(one.run, pairs[0][0])),
                "{:.2f}".format(milliseconds),
                "{:.1e}".format(difference),
                "{:.0f} %".format(100 * same) if same is not None else "",
            ]
        )
    return console.table(rows)


def _parts(inputs: Dict[str, np.ndarray]) -> List[Dict[str, np.ndarray]]:
    """The batch, and its first row without padding: no size was known when it was converted."""
    length = int(inputs["input_mask"][0].sum())
    return [inputs, {name: value[:1, :length] for name, value in inputs.items()}]


def _by_tensorflow(weights: Arrays, signature: Signature) -> Callable[[Arrays], Dict]:
    function = compiled(signature.function)
    with tf.device("/CPU:0"):
        tensors = {name: tf.constant(value) for name, value in weights.items()}

    def run(inputs: Arrays) -> Dict[str, np.ndarray]:
        with tf.device("/CPU:0"):
            outputs = function(tensors, {name: tf.constant(v) for name, v in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def _milliseconds(run: Callable[[Arrays], Dict], inputs: Arrays) -> float:
    """The best of some runs, after one that warms up, a row."""
    times = []
    for _ in range(1 + _REPEATS):
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / len(inputs["input_ids"])


def _compared(
    one: Converted, pairs: Sequence[Tuple[Arrays, Arrays]]
) -> Tuple[float, Optional[float]]:
    """Largest difference, and how often logits have the same maximum; None without logits."""
    differences, same = [], []
    for inputs, outputs in pairs:
        found = one.run(inputs)
        for name, value in outputs.items():
            difference = float(np.abs(found[name] - value).max())
            limit = _LIMITS[one.int8] * max(1.0, float(np.abs(value).max()))
            if not difference <= limit:  # NaN neither
                raise UsageError(
                    "{} differs from TensorFlow: {} of {} by {:.2g}, where {:.2g} is the most. "
                    "Nothing was exported; please report it with the versions of TensorFlow and "
                    "of the converter.".format(one.file, name, one.function, difference, limit)
                )
            differences.append(difference)
            if name == "logits":
                same.append(float(np.mean(found[name].argmax(-1) == value.argmax(-1))))
    return max(differences), same[0] if same else None
