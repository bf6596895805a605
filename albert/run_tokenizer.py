"""Which SentencePiece model a run was trained with, and how its text was prepared."""

import glob
import json
import os
from typing import Iterator, NamedTuple, Optional

from absl import logging

from albert.data.records import read_manifest
from albert.model.config import ModelConfig
from albert.run_folder import read_flags
from albert.system.errors import UsageError
from albert.system.files import atomic_write, matching, read_json_object, sha256_file

TEXT_FILE = "text.json"  # in folders that have no records to ask


class TextOptions(NamedTuple):
    """How text is prepared before it is cut into pieces; the names are those of the flags."""

    do_lower_case: bool = False
    keep_accents: bool = True


class Tokenization(NamedTuple):
    """How text becomes ids.

    Attributes:
      model_file: The SentencePiece model.
      lower_case: Whether text is lower-cased before.
      keep_accents: Whether text keeps its combining marks.
      manifest: What the build of the records told about itself, if it was found.
    """

    model_file: str
    lower_case: bool
    keep_accents: bool
    manifest: Optional[dict]

    @property
    def text(self) -> TextOptions:
        """How text is prepared."""
        return TextOptions(self.lower_case, self.keep_accents)


def write_text_options(directory: str, options: TextOptions) -> None:
    """Writes `text.json`."""
    with atomic_write(os.path.join(directory, TEXT_FILE)) as handle:
        json.dump(options._asdict(), handle)
        handle.write("\n")


def read_text_options(directory: str) -> TextOptions:
    """What a folder's `text.json` says, or the defaults."""
    path = os.path.join(directory, TEXT_FILE)
    values = read_json_object(path) if os.path.isfile(path) else {}
    return TextOptions(**{k: bool(values[k]) for k in TextOptions._fields if k in values})


def find_tokenization(
    directory: str,
    spm_model_file: Optional[str] = None,
    lower_case: Optional[bool] = None,
    keep_accents: Optional[bool] = None,
) -> Tokenization:
    """The tokenization of a run: as asked for, else from its records, else from its folder.

    Args:
      directory: The run's.
      spm_model_file: The model, if the user names it.
      lower_case: None for what the records say, else `text.json`, else False.
      keep_accents: None for the same, else True.

    Raises:
      UsageError: There is no model, or several, or it is not the one of the records.
    """
    manifest = _find_manifest(directory)
    options = (manifest or {}).get("options") or read_text_options(directory)._asdict()
    path = spm_model_file or _of_records(manifest, directory) or _in_folder(directory)
    if not os.path.isfile(path):
        raise UsageError("--spm_model_file={} does not exist.".format(path))
    expected = (manifest or {}).get("model", {}).get("sha256")
    if expected and sha256_file(path) != expected:
        raise UsageError(
            "{} is not the tokenizer of this run's records ({} with SHA-256 {}). Pass that one "
            "with --spm_model_file.".format(path, manifest["model"].get("file"), expected)
        )
    logging.info("Tokenizer = %s", path)
    return Tokenization(
        path,
        options.get("do_lower_case", False) if lower_case is None else lower_case,
        options.get("keep_accents", True) if keep_accents is None else keep_accents,
        manifest,
    )


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


def _find_manifest(directory: str) -> Optional[dict]:
    names = read_flags(directory).get("input_file", "").split(",")
    for pattern in names if names[0] else []:
        for path in _places(pattern.strip(), directory):
            for found in matching(path)[:1]:
                return read_manifest(found)
    return None


def _of_records(manifest: Optional[dict], directory: str) -> Optional[str]:
    named = (manifest or {}).get("options", {}).get("spm_model_file")
    paths = _places(named, directory) if named else iter(())
    return next((path for path in paths if os.path.isfile(path)), None)


def _places(path: str, directory: str) -> Iterator[str]:
    # Relative paths were relative to where the run was started: here, or above its folder.
    yield path
    yield os.path.join(os.path.dirname(os.path.abspath(directory)), path)


def _in_folder(directory: str) -> str:
    found = sorted(glob.glob(os.path.join(glob.escape(directory), "*.model")))
    if len(found) == 1:
        return found[0]
    raise UsageError(
        "{} in {}, and the run's records were not found. Pass the SentencePiece model the records "
        "were made with: --spm_model_file=tokenizer.model.".format(
            "Several tokenizers ({})".format(", ".join(os.path.basename(f) for f in found))
            if found
            else "No tokenizer (*.model)",
            directory,
        )
    )
