"""A transformers folder, read as a model of ours."""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from absl import logging

from albert.checkpoints.restore import some_of
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names
from albert.formats.huggingface.folder import (
    MODEL_CONFIG_FILE,
    PROBLEM_TYPES,
    SPIECE_FILE,
    TASK_CLASSES,
    TOKENIZER_CONFIG_FILE,
)
from albert.formats.huggingface.unigram import TOKENIZER_FILE, read_unigram
from albert.formats.huggingface.weights import has_weights, read_tensors
from albert.model.config import ModelConfig
from albert.system.errors import UsageError, quoted
from albert.system.files.side import read_as, read_json_object
from albert.tasks.task import Task
from albert.text.tokenization import TextOptions
from albert.text.vocabulary import count_pieces

_SHORTEST = 8  # pieces, as of --max_seq_length


class Folder(NamedTuple):
    """What a transformers folder holds, in our terms.

    Attributes:
      config: The model.
      weights: By our names, float32; pooler and heads may be absent.
      spm_model: The content of its SentencePiece model; empty if it has none.
      text: How text must be prepared.
      task: What it was fine-tuned for; None of a pre-trained model.
    """

    config: ModelConfig
    weights: Dict[str, np.ndarray]
    spm_model: bytes
    text: TextOptions
    task: Optional[Task]


class _TokenizerConfig(NamedTuple):
    tokenizer_class: Optional[str] = None
    do_lower_case: Optional[bool] = None
    keep_accents: Optional[bool] = None
    model_max_length: Optional[float] = None


def is_folder(directory: str) -> bool:
    """Whether a directory is a model folder of transformers."""
    return os.path.isfile(os.path.join(directory, MODEL_CONFIG_FILE)) and has_weights(directory)


def read_folder(directory: str) -> Folder:
    """Reads config, weights and tokenizer.

    Raises:
      UsageError: The files cannot be read, or hold a model that has no equal here.
    """
    path = os.path.join(directory, MODEL_CONFIG_FILE)
    values = read_json_object(path)
    config = config_json.from_huggingface(values, path)
    kind, labels = _labels(values, path)
    tensors = read_tensors(directory)
    weights = names.from_huggingface(config, tensors, directory, len(labels))
    unused = names.unused_keys(config, tensors, len(labels))
    if unused:
        logging.warning(
            "%s: %d tensors have no use here: %s", directory, len(unused), some_of(unused)
        )
    settings = _TokenizerConfig()
    tokenizer_config = os.path.join(directory, TOKENIZER_CONFIG_FILE)
    if os.path.isfile(tokenizer_config):
        settings = read_as(_TokenizerConfig, tokenizer_config, "tokenizer config")
    spm, text = _tokenizer(directory, settings, required=bool(labels))
    longest = config.max_position_embeddings
    told = settings.model_max_length or 0
    length = int(told) if _SHORTEST <= told < longest else longest  # "no limit" is 1e30
    task = Task(kind, labels, length, *text) if labels else None
    return Folder(config, weights, spm, text, task)


def _labels(values: Mapping[str, Any], path: str) -> Tuple[str, Tuple[str, ...]]:
    """The kind of a fine-tuned model and its labels; no labels of a pre-trained one."""
    classes: List[Any] = values.get("architectures") or [""]
    name = str(classes[0]) if isinstance(classes, list) else ""
    kinds = [kind for kind, ending in TASK_CLASSES.items() if name.endswith("For" + ending)]
    if not kinds:
        return "", ()
    named = values.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # as transformers has it
    labels = [named.get(str(n)) for n in range(len(named))] if isinstance(named, dict) else []
    kind = _kind(kinds[0], values.get("problem_type"), len(labels), path)
    fewest = 2 if kind == kinds[0] else 1
    if len(labels) < fewest or len(set(map(str, labels))) < len(labels) or None in labels:
        raise UsageError(
            "{} has id2label={}; two or more labels with the numbers from 0 on are needed.".format(
                path, quoted(named)
            )
        )
    return kind, ("score",) if kind == "regression" else tuple(map(str, labels))


def _kind(kind: str, problem: Any, labels: int, path: str) -> str:
    """The kind of a model of texts by its problem type; one label alone is a number's."""
    if kind != "classification" or problem == "single_label_classification":
        return kind
    if problem is None:
        return "regression" if labels == 1 else kind
    found = [ours for ours, theirs in PROBLEM_TYPES.items() if theirs == problem]
    if not found or (found[0] == "regression" and labels != 1):
        raise UsageError(
            "{} has problem_type={} and {} labels; of fine-tuned models those can be imported that "
            "choose labels or give one number.".format(path, quoted(problem), labels)
        )
    return found[0]


def _tokenizer(
    directory: str, settings: _TokenizerConfig, required: bool
) -> Tuple[bytes, TextOptions]:
    """The SentencePiece model, and how text is prepared for it."""
    spm = os.path.join(directory, SPIECE_FILE)
    if os.path.isfile(spm):
        count_pieces(spm)
        with open(spm, "rb") as handle:
            return handle.read(), _text_options(settings)
    path = os.path.join(directory, TOKENIZER_FILE)
    try:
        if os.path.isfile(path):
            return tuple(read_unigram(path))  # type: ignore[return-value]
        if required:
            raise UsageError(
                "{} has no {} and no {}.".format(directory, SPIECE_FILE, TOKENIZER_FILE)
            )
    except UsageError as error:
        if required:
            raise
        logging.warning("%s", error)
    return b"", _text_options(settings)


def _text_options(settings: _TokenizerConfig) -> TextOptions:
    # Older folders leave them out where they are as in transformers' AlbertTokenizer.
    missing = (settings.tokenizer_class or "").startswith("AlbertTokenizer")
    lower, accents = settings.do_lower_case, settings.keep_accents
    return TextOptions(
        missing if lower is None else lower, not missing if accents is None else accents
    )
