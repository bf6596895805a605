"""From dirty text to verified pre-training records. Never imports TensorFlow.

The commands are `python -m preprocess`; this is the same for a script or a notebook:

    import preprocess

    model = preprocess.train_tokenizer("train.txt", "tokenizer", vocab_size=8000)
    train = preprocess.build_records("train.txt", "train.tfrecord", model, max_seq_length=128)
    train.files, train.manifest.examples

Arguments are named as the flags, and what the commands would refuse raises `UsageError`.
"""

import importlib
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from albert.system.errors import UsageError
    from preprocess.engines import Execution
    from preprocess.records.build import Build, build_records
    from preprocess.tokenizer import train_tokenizer

__all__ = ["Build", "Execution", "UsageError", "build_records", "train_tokenizer"]

# Loaded when they are first asked for, so that the import takes no time.
_HOMES = {
    "Build": "preprocess.records.build",
    "Execution": "preprocess.engines",
    "UsageError": "albert.system.errors",
    "build_records": "preprocess.records.build",
    "train_tokenizer": "preprocess.tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError("module {!r} has no attribute {!r}".format(__name__, name))
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted(set(globals()) | set(__all__))
