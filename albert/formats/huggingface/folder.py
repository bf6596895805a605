"""A transformers folder as a whole: written from a checkpoint, read back as one."""

import json
import os
import shutil
from typing import Any, Dict, Mapping, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.checkpoints.folder import Checkpoint
from albert.formats.huggingface import config as config_json
from albert.formats.huggingface import names, spiece, tokenizer
from albert.formats.huggingface.card import model_card
from albert.formats.huggingface.weights import WEIGHTS_FILE, has_weights, read_tensors
from albert.model.config import ModelConfig
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_as, read_json_object
from albert.text.tokenization import TextOptions, Tokenization, check_vocabulary

MODEL_CONFIG_FILE = "config.json"
SPIECE_FILE = "spiece.model"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
_REMOTE_CODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "remote_code")


class Folder(NamedTuple):
    """What a transformers folder holds, in our terms.

    Attributes:
      config: The model.
      weights: By our names, float32; the heads may be absent.
      spm_model_file: The tokenizer, if it is there.
      text: How text must be prepared.
    """

    config: ModelConfig
    weights: Dict[str, np.ndarray]
    spm_model_file: Optional[str]
    text: TextOptions


class _TokenizerConfig(NamedTuple):
    tokenizer_class: Optional[str] = None
    do_lower_case: Optional[bool] = None
    keep_accents: Optional[bool] = None


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


def is_folder(directory: str) -> bool:
    """Whether a directory is a model folder of transformers."""
    return os.path.isfile(os.path.join(directory, MODEL_CONFIG_FILE)) and has_weights(directory)


def read_folder(directory: str) -> Folder:
    """Reads config and weights; `.safetensors` if there is one, else `.bin`.

    Raises:
      UsageError: The files cannot be read, or hold a model that has no equal here.
    """
    path = os.path.join(directory, MODEL_CONFIG_FILE)
    values = read_json_object(path)
    config = config_json.from_huggingface(values, path)
    tensors = read_tensors(directory)
    for key in names.unused_keys(config, tensors):
        logging.warning("  unused from %s: %r", directory, key)  # %r: a stranger's name
    spm = os.path.join(directory, SPIECE_FILE)
    return Folder(
        config,
        names.from_huggingface(config, tensors, directory),
        spm if os.path.isfile(spm) else None,
        _text_options(os.path.join(directory, TOKENIZER_CONFIG_FILE)),
    )


def _text_options(path: str) -> TextOptions:
    settings = _TokenizerConfig()
    if os.path.isfile(path):
        settings = read_as(_TokenizerConfig, path, "tokenizer config")
    # Older folders leave them out where they are as in transformers' AlbertTokenizer.
    missing = (settings.tokenizer_class or "").startswith("AlbertTokenizer")
    lower, accents = settings.do_lower_case, settings.keep_accents
    return TextOptions(
        missing if lower is None else lower, not missing if accents is None else accents
    )


def _write_json(directory: str, name: str, values: Mapping[str, Any]) -> None:
    with atomic_write(os.path.join(directory, name)) as handle:
        json.dump(values, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
