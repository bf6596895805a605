"""A release: weights, config, tokenizer, results and checksums in one archive."""

import gzip
import os
import re
import tarfile
from typing import IO, Mapping

from albert.checkpoints.folder import Checkpoint
from albert.checkpoints.results import write_results
from albert.checkpoints.tokenizer import copy_tokenizer
from albert.formats.published import write_published
from albert.formats.release.checksums import write_sums
from albert.formats.release.names import safe_parts
from albert.formats.release.readme import readme
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write, ensure_writable_file, work_directory
from albert.text.tokenization import Tokenization, check_vocabulary, write_text_options
from albert.text.vocabulary import count_pieces

# Of every member: the same files are to give the same bytes. Some tools warn of dates before 1980.
_MODIFIED = 315532800


def release_name(archive: str) -> str:
    """The name of the archive's one folder: that of the file without its ending.

    Raises:
      UsageError: It is not a `.tar.gz`, or no name that every system can unpack.
    """
    match = re.fullmatch(r"(.+)\.(tar\.gz|tgz)", os.path.basename(archive))
    if not match:
        raise UsageError(
            "--archive={} must end in .tar.gz, as in --archive=my-albert.tar.gz.".format(archive)
        )
    safe_parts(match.group(1))
    return match.group(1)


def pack(
    archive: str, checkpoint: Checkpoint, tokenization: Tokenization, flags: Mapping[str, str]
) -> None:
    """Writes the archive; an older one of this name is replaced when the new one is complete.

    Args:
      archive: Path, `NAME.tar.gz`.
      checkpoint: The model.
      tokenization: Its tokenizer.
      flags: Of the training run, for the README.

    Raises:
      UsageError: The tokenizer has more pieces than the model, or the path cannot be written.
    """
    name = release_name(archive)
    spm = tokenization.model_file
    check_vocabulary(checkpoint.config, count_pieces(spm), spm)
    ensure_writable_file(archive, "--archive")
    with work_directory(os.path.dirname(os.path.abspath(archive)), name) as aside:
        folder = os.path.join(aside, name)
        os.mkdir(folder)
        _fill(folder, checkpoint, tokenization, flags)
        with atomic_write(archive, "wb") as handle:
            _write_archive(handle, folder, name)


def _fill(
    folder: str, checkpoint: Checkpoint, tokenization: Tokenization, flags: Mapping[str, str]
) -> None:
    write_published(folder, checkpoint.config, checkpoint.weights)
    spm = tokenization.model_file
    copy_tokenizer(spm, folder, os.path.splitext(os.path.basename(spm))[0])
    write_text_options(folder, tokenization.text)
    if checkpoint.results:
        write_results(checkpoint.results, checkpoint.step, folder)
    with atomic_write(os.path.join(folder, "README.md")) as handle:
        handle.write(readme(checkpoint, tokenization, flags, os.path.basename(folder)))
    write_sums(folder)


def _write_archive(handle: IO[bytes], folder: str, name: str) -> None:
    # An empty file name and no time, else they would stand in gzip's header.
    with gzip.GzipFile("", "wb", 6, handle, 0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o755))
            for file in sorted(os.listdir(folder)):
                safe_parts(file)
                path = os.path.join(folder, file)
                member = _member(name + "/" + file, tarfile.REGTYPE, 0o644)
                member.size = os.path.getsize(path)
                with open(path, "rb") as content:
                    tar.addfile(member, content)


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, _MODIFIED
    return member
