"""Models as functions for other runtimes: SavedModels, ONNX and TensorFlow Lite files."""

import os
import shutil
from typing import Callable, Dict, Mapping, NamedTuple

import numpy as np
from absl import logging

from albert.formats.conversion.check import check_converted
from albert.formats.conversion.converted import check_fits
from albert.formats.conversion.onnx import check_onnx, write_onnx
from albert.formats.conversion.tflite import check_tflite, write_tflite
from albert.formats.saved_model import Signature, write_saved_model

_CHECKS = {"onnx": check_onnx, "tflite": check_tflite}
_WRITERS = {"onnx": write_onnx, "tflite": write_tflite}
FUNCTION_FORMATS = ("savedmodel",) + tuple(_WRITERS)


class Served(NamedTuple):
    """What a runtime needs of a model.

    Attributes:
      signatures: Its functions by name.
      weights: By name.
      files: To put beside them: name there to path.
      rows: Every input of every signature, to hold what was converted to TensorFlow.
    """

    signatures: Dict[str, Signature]
    weights: Mapping[str, np.ndarray]
    files: Dict[str, str]
    rows: Callable[[], Dict[str, np.ndarray]]


def check_can_write(format: str) -> None:
    """Refuses a format for which something is not installed.

    Raises:
      UsageError: The message says what.
    """
    _CHECKS.get(format, lambda: None)()


def write_served(directory: str, model: Served, format: str) -> None:
    """Writes the functions, runs them where they were converted, and logs what that showed.

    Args:
      directory: An existing folder.
      model: What to write.
      format: One of `FUNCTION_FORMATS`.

    Raises:
      UsageError: A converted function does not give what TensorFlow gives.
    """
    if format == "savedmodel":
        write_saved_model(directory, model.weights, model.signatures, model.files)
        return
    check_fits(model.weights)
    rows = model.rows()
    logging.info("Converting %s; this takes a while", ", ".join(model.signatures))
    converted = _WRITERS[format](directory, model.weights, model.signatures)
    for name, path in model.files.items():
        shutil.copyfile(path, os.path.join(directory, name))
    shown = check_converted(directory, converted, model.weights, model.signatures, rows)
    logging.info(
        "Held to TensorFlow on the CPU, %d rows at once:\n%s", len(rows["input_ids"]), shown
    )
