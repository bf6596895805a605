"""Which SentencePiece model a run was trained with, and how its text was prepared."""

import glob
import os
from typing import Iterator, Optional

from absl import logging

from albert.checkpoints.folder import read_flags
from albert.records.manifest import Manifest, read_manifest
from albert.system.errors import UsageError
from albert.system.files.atomic import sha256_file
from albert.system.files.names import matching
from albert.text.tokenization import TextOptions, Tokenization, read_text_options


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
    text = read_text_options(directory)
    if manifest:
        text = TextOptions(manifest.options.do_lower_case, manifest.options.keep_accents)
    if lower_case is not None:
        text = text._replace(do_lower_case=lower_case)
    if keep_accents is not None:
        text = text._replace(keep_accents=keep_accents)
    path = spm_model_file or _of_records(manifest, directory) or _in_folder(directory)
    if not os.path.isfile(path):
        raise UsageError("--spm_model_file={} does not exist.".format(path))
    if manifest and sha256_file(path) != manifest.model.sha256:
        raise UsageError(
            "{} is not the tokenizer of this run's records ({} with SHA-256 {}). Pass that one "
            "with --spm_model_file.".format(path, manifest.model.file, manifest.model.sha256)
        )
    logging.debug("Tokenizer = %s", path)
    return Tokenization(path, text, manifest)


def _find_manifest(directory: str) -> Optional[Manifest]:
    names = read_flags(directory).get("input_file", "").split(",")
    for pattern in names if names[0] else []:
        for path in _places(pattern.strip(), directory):
            for found in matching(path)[:1]:
                return read_manifest(found)
    return None


def _of_records(manifest: Optional[Manifest], directory: str) -> Optional[str]:
    paths = _places(manifest.options.spm_model_file, directory) if manifest else iter(())
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
