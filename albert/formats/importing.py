"""Models made elsewhere as folders of ours: for the command, and on the way into another one."""

import contextlib
import hashlib
import os
from typing import Dict, Iterator, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.checkpoints.manager import PREFIX
from albert.checkpoints.parts import absent_parts, new_parts
from albert.checkpoints.state import GLOBAL_STEP
from albert.checkpoints.tokenizer import copy_tokenizer
from albert.formats.huggingface.reading import is_folder, read_folder
from albert.formats.published import find_published, read_published, write_published
from albert.formats.release.unpack import is_archive, unpacked
from albert.model.config import ModelConfig
from albert.optim.transforms import FIRST_MOMENT, SECOND_MOMENT
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_directory, nearest_directory
from albert.system.files.fetch import is_url
from albert.system.files.names import file_state
from albert.tasks.task import Task, write_task
from albert.text.tokenization import TextOptions, read_text_options, write_text_options

TOKENIZER_FILE = "tokenizer.model"


class Imported(NamedTuple):
    """A model made elsewhere.

    Attributes:
      config: Its sizes.
      tensors: Weights and, if each has them, the optimizer's slots, float32, by our names.
      step: Its global step.
      text: How text must be prepared.
      spm_model_file: Its tokenizer, if it is a file.
      spm_model: The content of its tokenizer, if it is none.
      task: What it was fine-tuned for, or None.
    """

    config: ModelConfig
    tensors: Dict[str, np.ndarray]
    step: int
    text: TextOptions
    spm_model_file: Optional[str] = None
    spm_model: bytes = b""
    task: Optional[Task] = None

    @property
    def name(self) -> str:
        """What its checkpoint is called here."""
        return PREFIX + str(self.step)

    @property
    def has_slots(self) -> bool:
        """Whether it has the state of its optimizer."""
        return any(name.endswith(FIRST_MOMENT) for name in self.tensors)

    def completed(self) -> "Imported":
        """The same with new weights for the pooler and heads that it lacks, which is said."""
        absent = absent_parts(self.config, self.tensors) if self.task is None else {}
        if not absent:
            return self
        logging.warning("Not in the source, so new and untrained here: %s", ", ".join(absent))
        new = new_parts(self.config, self.tensors)
        moments = (FIRST_MOMENT, SECOND_MOMENT) if self.has_slots else ()
        slots = {n + end: np.zeros_like(value) for n, value in new.items() for end in moments}
        return self._replace(tensors=dict(self.tensors, **new, **slots))


def read_source(
    source: str, config_file: Optional[str] = None, ln_type: Optional[str] = None
) -> Imported:
    """Reads a folder of transformers, or a folder or checkpoint of the original systems.

    Raises:
      UsageError: It is none, or its parts do not fit each other.
    """
    _check_no_part(source)
    prefix = find_published(source)
    if prefix:
        config, tensors, step, spm = read_published(prefix, config_file, ln_type)
        return Imported(config, tensors, step, read_text_options(os.path.dirname(prefix)), spm)
    if not is_folder(source):
        raise UsageError(
            "{} is neither a checkpoint (PREFIX.index), nor a folder with one, nor a folder of "
            "transformers (config.json and model.safetensors).".format(source)
        )
    if config_file or ln_type:
        raise UsageError(
            "{} is a folder of transformers, whose config.json says all; leave out "
            "--albert_config_file and --ln_type.".format(source)
        )
    found = read_folder(source)
    return Imported(found.config, found.weights, 0, found.text, None, found.spm_model, found.task)


def write_imported(directory: str, found: Imported, flag: str = "--output_dir") -> None:
    """Writes a new folder of ours, as `finetune` does where the model is a fine-tuned one.

    Raises:
      UsageError: The folder holds something, or the tokenizer is no SentencePiece model.
    """
    counted = dict(found.tensors, **{GLOBAL_STEP: np.int64(found.step)})
    with atomic_directory(directory, flag) as folder:
        write_published(folder, found.config, counted, found.name)
        write_text_options(folder, found.text)
        if found.task:
            write_task(folder, found.task)
        if found.spm_model_file:
            copy_tokenizer(found.spm_model_file, folder, os.path.splitext(TOKENIZER_FILE)[0])
        elif found.spm_model:
            with open(os.path.join(folder, TOKENIZER_FILE), "xb") as handle:
                handle.write(found.spm_model)


def ours(source: str, beside: Optional[str] = None) -> str:
    """What a command names, as a folder or checkpoint of ours.

    A folder of transformers and an archive are imported once, into a folder whose name tells which
    files it was made of; anything else stays what it is.

    Args:
      source: What the user named.
      beside: The folder of the run, beside which the import is kept; None for beside the source.

    Raises:
      UsageError: It cannot be imported.
    """
    if is_url(source):
        raise UsageError(
            "{} is an address; fetch it first: python -m albert import {} "
            "--output_dir=imported.".format(source, source)
        )
    _check_no_part(source)
    if not is_archive(source) and not is_folder(source):
        return source
    kept = _kept_at(source, beside)
    if os.path.isdir(kept):
        logging.info("%s was imported before: %s", source, kept)
        return kept
    with _as_folder(source, kept) as folder:
        found = read_source(folder)
        try:
            write_imported(kept, found, "the import")
        except (UsageError, OSError):
            if not os.path.isdir(kept):  # else another process has just made it
                raise
    logging.info("Imported %s as %s", source, kept)
    return kept


def _check_no_part(source: str) -> None:
    folder = os.path.dirname(source)
    is_part = os.path.isfile(source) and not is_archive(source) and is_folder(folder)
    if is_part and not os.path.isfile(source + ".index"):
        raise UsageError(
            "{} is a part of a folder of transformers; name the folder: {}.".format(source, folder)
        )


@contextlib.contextmanager
def _as_folder(source: str, beside: str) -> Iterator[str]:
    if not is_archive(source):
        yield source
        return
    with unpacked(source, None, beside, False) as folder:
        yield folder


def _kept_at(source: str, beside: Optional[str]) -> str:
    """Where the import of a source is kept: files that changed make another one.

    Beside the run or the source; in the user's cache where that may not be written.
    """
    source = os.path.realpath(source)
    files = [source] if os.path.isfile(source) else sorted(os.scandir(source), key=lambda f: f.name)
    states = [(os.path.basename(path), file_state(os.fspath(path))) for path in files]
    digest = hashlib.sha256(repr((source, states)).encode("utf-8", "replace")).hexdigest()
    place = nearest_directory(beside or source)
    if not os.access(place, os.W_OK):
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        place = os.path.join(cache, "albert")
    return os.path.join(place, "{}.imported-{:.10}".format(os.path.basename(source), digest))
