"""A transformers folder as a whole: written from a checkpoint, read back as one."""

import json
import os
import shutil
from typing import Any, Mapping

import numpy as np

from albert.checkpoints.folder import Checkpoint
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece, tokenizer
from albert.formats.huggingface.card import model_card
from albert.formats.huggingface.weights import WEIGHTS_FILE
from albert.system.files.atomic import atomic_write
from albert.text.tokenization import Tokenization, check_vocabulary

MODEL_CONFIG_FILE = "config.json"
SPIECE_FILE = "spiece.model"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
# What transformers calls our tasks, the end of a class's name; what is read is the first of them,
# or the one of a `problem_type`.
TASK_CLASSES = {
    "classification": "SequenceClassification",
    "tagging": "TokenClassification",
    "entities": "TokenClassification",
    "regression": "SequenceClassification",
    "multi-label": "SequenceClassification",
}
PROBLEM_TYPES = {"regression": "regression", "multi-label": "multi_label_classification"}
_REMOTE_CODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "remote_code")


def write_folder(
    directory: str, checkpoint: Checkpoint, tokenization: Tokenization, flags: Mapping[str, str]
) -> None:
    """Writes weights, config, tokenizer, model card and, for brightmart's layout, the class.

    Args:
      directory: An existing folder.
      checkpoint: The model.
      tokenization: Its tokenizer.
      flags: Of the training run, for the card.

    Raises:
      UsageError: Tokenizer and model differ in size, or transformers has no equal of either.
    """
    config = checkpoint.config
    pieces = spiece.read(tokenization.model_file)
    check_vocabulary(config, len(pieces.pieces), tokenization.model_file)
    write_model(
        directory,
        config_json.to_huggingface(config, pieces.special_ids),
        names.to_huggingface(config, checkpoint.weights),
    )
    write_tokenizer(directory, pieces, tokenization, config.max_position_embeddings)
    with atomic_write(os.path.join(directory, "README.md")) as handle:
        name = os.path.basename(os.path.abspath(directory))
        handle.write(model_card(checkpoint, tokenization, flags, name))


def write_model(
    directory: str, values: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Writes `config.json` and `model.safetensors`, and the class if transformers has none."""
    from safetensors.numpy import save

    if values["model_type"] == config_json.BRIGHTMART_TYPE:
        name = config_json.REMOTE_CODE_FILE
        shutil.copyfile(os.path.join(_REMOTE_CODE, name), os.path.join(directory, name))
    _write_json(directory, MODEL_CONFIG_FILE, values)
    with atomic_write(os.path.join(directory, WEIGHTS_FILE), "wb") as handle:
        handle.write(save(dict(tensors), metadata={"format": "pt"}))


def write_tokenizer(
    directory: str, pieces: spiece.SentencePiece, tokenization: Tokenization, longest: int
) -> None:
    """Writes `spiece.model`, `tokenizer.json` and `tokenizer_config.json`."""
    shutil.copyfile(tokenization.model_file, os.path.join(directory, SPIECE_FILE))
    how = (pieces, *tokenization.text)
    _write_json(directory, "tokenizer.json", tokenizer.tokenizer_json(*how))
    _write_json(directory, TOKENIZER_CONFIG_FILE, tokenizer.tokenizer_config(*how, longest))


def _write_json(directory: str, name: str, values: Mapping[str, Any]) -> None:
    with atomic_write(os.path.join(directory, name)) as handle:
        json.dump(values, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
