"""Which SentencePiece model a run was trained with, and how its text was prepared."""

import glob
import os
import shutil
from typing import Iterator, List, NoReturn, Optional

from absl import logging

from albert.checkpoints.folder import read_flags
from albert.records.manifest import Manifest, ModelFile, read_manifest
from albert.records.tfrecord import split_weight
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.names import matching
from albert.system.files.sums import sha256_file
from albert.text.tokenization import (
    TextOptions,
    Tokenization,
    read_text_options,
    write_text_options,
)
from albert.text.vocabulary import count_pieces, model_in


def find_tokenization(
    directory: str,
    spm_model_file: Optional[str] = None,
    lower_case: Optional[bool] = None,
    keep_accents: Optional[bool] = None,
) -> Tokenization:
    """The tokenization of a run: as asked for, else from its folder, else from its records.

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
    path = (
        (model_in(spm_model_file) if spm_model_file else None)
        or _kept(directory)
        or _of_records(manifest, directory)
        or _no_tokenizer(directory)
    )
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
    for item in read_flags(directory).get("input_file", "").split(","):
        for path in _places(split_weight(item.strip())[0], directory) if item else ():
            for found in matching(path)[:1]:
                return read_manifest(found)
    return None


def keep_tokenizer(directory: str, records: str, given: Optional[str] = None) -> None:
    """Copies the tokenizer of some records into the folder of a run, which then needs no other.

    Args:
      directory: The run's.
      records: A record file, whose manifest says which tokenizer it is and where it was.
      given: The tokenizer or its folder, if the user names it.

    Raises:
      UsageError: The run or the user has another tokenizer.
    """
    manifest = read_manifest(records)
    given = model_in(given) if given else None
    if given:
        _check_given(given, manifest)
        if manifest is None and not _models(directory):
            copy_tokenizer(given, directory, os.path.splitext(os.path.basename(given))[0])
    if manifest is None:
        return
    wanted, name = manifest.model.sha256, os.path.basename(manifest.options.spm_model_file)
    there = _models(directory)
    if any(sha256_file(path) == wanted for path in there):
        return
    if there:
        raise UsageError(
            "The records of --input_file were built with {} (sha256 {:.12}...), and the run in {} "
            "has another tokenizer, {}. Use records of that one, or another --output_dir.".format(
                name, wanted, directory, os.path.basename(there[0])
            )
        )
    places = [given] if given else []
    places += _places(manifest.options.spm_model_file, directory)
    places.append(os.path.join(os.path.dirname(records), name))
    for path in places:
        if os.path.isfile(path) and sha256_file(path) == wanted:
            count_pieces(path)
            options = manifest.options  # first: a tokenizer without them would be taken for whole
            write_text_options(directory, TextOptions(options.do_lower_case, options.keep_accents))
            copy_tokenizer(path, directory, os.path.splitext(name)[0])
            return
    logging.info(
        "The tokenizer of the records, %s, is not here; put it into %s, or pass --spm_model_file "
        "to what uses the model",
        manifest.options.spm_model_file,
        directory,
    )


def _check_given(path: str, manifest: Optional[Manifest]) -> None:
    count_pieces(path)
    if manifest and sha256_file(path) != manifest.model.sha256:
        raise UsageError(
            "{} is not the tokenizer of the records of --input_file ({} with SHA-256 {}). Pass "
            "that one, or leave out --spm_model_file.".format(
                path, manifest.model.file, manifest.model.sha256
            )
        )


def check_tokenizer_of_run(directory: str, records: Optional[ModelFile], flag: str) -> None:
    """Refuses records whose numbers mean other pieces than those of a run.

    Args:
      directory: The run's; one that does not tell its tokenizer is left alone.
      records: The model they were built with; None where no manifest says it.
      flag: Which names them, for messages.

    Raises:
      UsageError: The run has another tokenizer.
    """
    there = {sha256_file(path): os.path.basename(path) for path in _models(directory)}
    manifest = None if there or records is None else _find_manifest(directory)
    if manifest:
        there = {manifest.model.sha256: manifest.model.file}
    if records and there and records.sha256 not in there:
        sha256, name = sorted(there.items())[0]
        raise UsageError(
            "--{} was built with another SentencePiece model, {} (sha256 {:.12}...), than the run "
            "in {}, {} ({:.12}...). Build it with that one.".format(
                flag, records.file, records.sha256, directory, name, sha256
            )
        )


def copy_tokenizer(model_file: str, directory: str, name: str) -> None:
    """Copies a `.model` and the `.vocab` beside it under the name `name`.

    Raises:
      UsageError: The file is no SentencePiece model: nothing else is copied out of where it lies.
    """
    count_pieces(model_file)
    stem = os.path.splitext(model_file)[0]
    for source, ending in ((model_file, ".model"), (stem + ".vocab", ".vocab")):
        if os.path.isfile(source):
            with atomic_write(os.path.join(directory, name + ending), "wb") as copy:
                with open(source, "rb") as handle:
                    shutil.copyfileobj(handle, copy)


def _models(directory: str) -> List[str]:
    return sorted(glob.glob(os.path.join(glob.escape(directory), "*.model")))


def _kept(directory: str) -> Optional[str]:
    found = _models(directory)
    return found[0] if len(found) == 1 else None


def _of_records(manifest: Optional[Manifest], directory: str) -> Optional[str]:
    paths = _places(manifest.options.spm_model_file, directory) if manifest else iter(())
    return next((path for path in paths if os.path.isfile(path)), None)


def _places(path: str, directory: str) -> Iterator[str]:
    # Relative paths were relative to where the run was started: here, or above its folder.
    yield path
    yield os.path.join(os.path.dirname(os.path.abspath(directory)), path)


def _no_tokenizer(directory: str) -> NoReturn:
    found = _models(directory)
    raise UsageError(
        "{} in {}, and the run's records were not found. Pass the SentencePiece model the records "
        "were made with: --spm_model_file=tokenizer.model.".format(
            "Several tokenizers ({})".format(", ".join(os.path.basename(f) for f in found))
            if found
            else "No tokenizer (*.model)",
            directory,
        )
    )
