"""ONNX files by tf2onnx, one a function, with weights as float32 and as bytes."""

import logging
import os
from importlib.util import find_spec
from typing import Any, Dict, List, Mapping

import numpy as np

from albert.compat import plain_operations
from albert.formats.conversion.converted import Arrays, Converted
from albert.formats.saved_model import Signature, quiet, served, weights_module
from albert.system.errors import UsageError

_OPSET = 17  # onnxruntime 1.12 and newer run it


def check_onnx() -> None:
    """Refuses where the libraries are missing.

    Raises:
      UsageError: The extra is not installed.
    """
    missing = [name for name in ("tf2onnx", "onnxruntime") if not find_spec(name)]
    if missing:
        raise UsageError(
            "--format=onnx needs {}, an extra for Python 3.10 or newer: pip install "
            "'albert-pretraining[onnx]'.".format(" and ".join(missing))
        )


def write_onnx(
    directory: str, weights: Mapping[str, np.ndarray], signatures: Mapping[str, Signature]
) -> List[Converted]:
    """Writes NAME.onnx and NAME-int8.onnx for each signature.

    In the second, kernels are bytes and activations are quantised while they are computed
    (dynamic quantisation). Without a sign: products of signed kernels overflow their 16 bits on
    processors without VNNI, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.

    Args:
      directory: An existing folder.
      weights: By name; each file holds those it uses.
      signatures: By name.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from tf2onnx import convert

    module, found = weights_module(weights), []
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    for name, signature in signatures.items():
        files = [name + ".onnx", name + "-int8.onnx"]
        paths = [os.path.join(directory, file) for file in files]
        with plain_operations(), quiet():
            function = served(module, signature)
            convert.from_function(
                function,
                input_signature=function.input_signature,
                opset=_OPSET,
                output_path=paths[0],
            )
            quantize_dynamic(*paths, weight_type=QuantType.QUInt8)
        for file, path in zip(files, paths):
            found.append(Converted(file, name, file != files[0], _Session(path)))
    return found


class _Session:
    def __init__(self, path: str) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Arrays) -> Dict[str, Any]:
        return dict(zip(self._outputs, self._session.run(None, dict(inputs))))
