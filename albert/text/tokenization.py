"""How text becomes ids: the SentencePiece model and what is done to text before it."""

import json
import os
from typing import NamedTuple, Optional

from absl import logging

from albert.model.config import ModelConfig
from albert.records.manifest import Manifest
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_as

TEXT_FILE = "text.json"  # in folders that have no records to ask


class TextOptions(NamedTuple):
    """How text is prepared before it is cut into pieces; the names are those of the flags."""

    do_lower_case: bool = False
    keep_accents: bool = True


class Tokenization(NamedTuple):
    """How text becomes ids.

    Attributes:
      model_file: The SentencePiece model.
      text: How text is prepared before.
      manifest: What the build of the records told about itself, if it was found.
    """

    model_file: str
    text: TextOptions = TextOptions()
    manifest: Optional[Manifest] = None


def write_text_options(directory: str, options: TextOptions) -> None:
    """Writes `text.json`."""
    with atomic_write(os.path.join(directory, TEXT_FILE)) as handle:
        json.dump(options._asdict(), handle)
        handle.write("\n")


def read_text_options(directory: str) -> TextOptions:
    """What a folder's `text.json` says, or the defaults."""
    path = os.path.join(directory, TEXT_FILE)
    return read_as(TextOptions, path, "text options") if os.path.isfile(path) else TextOptions()


def check_vocabulary(config: ModelConfig, pieces: int, path: str) -> None:
    """Checks that a model knows every piece of a tokenizer; says so if it knows more.

    Raises:
      UsageError: It knows fewer.
    """
    if pieces > config.vocab_size:
        raise UsageError(
            "{} has {} pieces, but the model knows {} (vocab_size): it was trained with another "
            "tokenizer. Name that one with --spm_model_file.".format(
                path, pieces, config.vocab_size
            )
        )
    if pieces < config.vocab_size:
        logging.warning("%s has %d pieces; vocab_size is %d", path, pieces, config.vocab_size)
