"""TensorFlow Lite files of all functions, with weights as float32 and as int8."""

import os
import tempfile
import warnings
from typing import Any, Dict, List, Mapping

import numpy as np

from albert.compat import tf
from albert.formats.conversion.converted import Arrays, Converted
from albert.formats.saved_model import Signature, quiet, write_saved_model
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.machine import usable_cores

_FILES = {"model.tflite": False, "model-int8.tflite": True}


def check_tflite() -> None:
    """Refuses a TensorFlow whose converter has no signatures.

    Raises:
      UsageError: It is too old.
    """
    if not hasattr(tf.lite.Interpreter, "get_signature_runner"):
        raise UsageError(
            "--format=tflite needs TensorFlow 2.21, Python 3.10 or newer. Export there: "
            "checkpoints are the same."
        )


def write_tflite(
    directory: str, weights: Mapping[str, np.ndarray], signatures: Mapping[str, Signature]
) -> List[Converted]:
    """Writes model.tflite and model-int8.tflite, each with all signatures, by built-in operations.

    In the second, kernels are int8 and activations are quantised while they are computed
    (dynamic range quantisation).

    Args:
      directory: An existing folder.
      weights: By name; stored once a file.
      signatures: By name.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix=".saved_model-", dir=directory) as saved, quiet():
        write_saved_model(saved, weights, signatures, {})
        for file, int8 in _FILES.items():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                saved, signature_keys=list(signatures)
            )
            if int8:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            with atomic_write(os.path.join(directory, file), "wb") as handle:
                handle.write(converter.convert())
    for file, int8 in _FILES.items():
        interpreter = _interpreter(os.path.join(directory, file))
        for name in signatures:
            found.append(Converted(file, name, int8, _runner(interpreter, name)))
    return found


def _interpreter(path: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it moves to a package of its own after 2.21
        return tf.lite.Interpreter(path, num_threads=usable_cores())


def _runner(interpreter: Any, name: str) -> Any:
    runner = interpreter.get_signature_runner(name)

    def run(inputs: Arrays) -> Dict[str, np.ndarray]:
        outputs: Dict[str, np.ndarray] = runner(**inputs)
        return outputs

    return run
