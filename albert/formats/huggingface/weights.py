"""Weight files of transformers: safetensors or `.bin`, whole or in shards with an index."""

import os
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from albert.system.errors import UsageError, quoted
from albert.system.files.side import read_json_object

WEIGHTS_FILE = "model.safetensors"
TORCH_FILE = "pytorch_model.bin"
_INDEX = ".index.json"
_LFS = b"version https://git-lfs"
_TORCH = (b"PK", b"\x80")  # a zip archive; before torch 1.6 a pickle
# As safetensors calls types; NumPy has none for BF16.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

Tensors = Dict[str, np.ndarray]


def has_weights(directory: str) -> bool:
    """Whether a folder has a weight file, or the index of several."""
    return any(os.path.isfile(path) for path, _ in _places(directory))


def read_tensors(directory: str) -> Tensors:
    """All tensors of a folder by name; `.safetensors` if there are any, else `.bin`.

    Raises:
      UsageError: A file is missing or cannot be read, or holds more than tensors.
    """
    for path, read in _places(directory):
        if os.path.isfile(path):
            return _read_shards(path, read) if path.endswith(_INDEX) else read(path)
    raise UsageError("{} has neither {} nor {}.".format(directory, WEIGHTS_FILE, TORCH_FILE))


def _places(directory: str) -> List[Tuple[str, Callable[[str], Tensors]]]:
    return [
        (os.path.join(directory, name + ending), read)
        for name, read in ((WEIGHTS_FILE, _read_safetensors), (TORCH_FILE, _read_torch))
        for ending in ("", _INDEX)
    ]


def _read_shards(path: str, read: Callable[[str], Tensors]) -> Tensors:
    files = read_json_object(path).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise UsageError("{} has no weight_map.".format(path))
    shards: Dict[Any, Tensors] = {}
    tensors: Tensors = {}
    for key, name in files.items():
        if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", ".."):
            raise UsageError(
                "{} names {}, which is no file of its folder.".format(path, quoted(name))
            )
        if name not in shards:
            shard = os.path.join(os.path.dirname(path), name)
            if not os.path.isfile(shard):
                raise UsageError("{} names {}, which is not there.".format(path, quoted(name)))
            shards[name] = read(shard)
        if key not in shards[name]:
            raise UsageError(
                "{} looks for {} in {}, which does not hold it. Copy the folder again.".format(
                    path, quoted(key), name
                )
            )
        tensors[key] = shards[name][key]
    return tensors


def _head(path: str) -> bytes:
    """The first bytes of a file that holds weights.

    Raises:
      UsageError: It cannot be read, or stands for the file that was to be fetched.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(len(_LFS))
    except OSError as error:
        raise UsageError("Cannot read {} ({}).".format(path, error.strerror)) from error
    if head == _LFS:
        raise UsageError(
            "{} is a pointer of Git LFS, not the weights. Fetch them: git lfs pull.".format(path)
        )
    return head


def _read_safetensors(path: str) -> Tensors:
    from safetensors import SafetensorError, deserialize

    _head(path)
    try:
        with open(path, "rb") as handle:
            found = deserialize(handle.read())
        return {name: _array(name, tensor) for name, tensor in found}
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError("Cannot read {}: {}.".format(path, quoted(str(error)))) from error


def _array(name: str, tensor: Any) -> np.ndarray:
    kind = tensor["dtype"]
    if kind not in _TYPES:
        raise ValueError("{} is of type {}".format(name, kind))
    value = np.frombuffer(tensor["data"], _TYPES[kind]).reshape(tensor["shape"])
    if kind == "BF16":  # the upper half of a float32
        return (value.astype(np.uint32) << 16).view(np.float32)
    return value


def _read_torch(path: str) -> Tensors:
    if not _head(path).startswith(_TORCH):
        raise UsageError("{} is no file that torch.save wrote.".format(path))
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            "Reading {} needs `pip install torch`; a folder with {} does not.".format(
                path, WEIGHTS_FILE
            )
        ) from error
    # A pickle may run any code; weights_only unpickles nothing but tensors.
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for one broken or hostile file
        if "weights only" in str(error).lower() or "weights_only" in str(error):
            raise _no_weights_alone(path) from error
        raise UsageError("Cannot read {}: {}.".format(path, quoted(str(error)))) from error
    if not isinstance(found, dict) or not all(map(torch.is_tensor, found.values())):
        raise _no_weights_alone(path)
    return {
        str(name): (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        for name, tensor in found.items()
    }


def _no_weights_alone(path: str) -> UsageError:
    return UsageError(
        "{} holds more than weights by name: a pickled module or other Python objects, which could "
        "run any code and are not opened. Where it was made, save the weights alone: "
        "model.save_pretrained(FOLDER).".format(path)
    )
