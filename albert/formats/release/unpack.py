"""A release in a file or at an address, as a folder: fetched, checked and extracted."""

import contextlib
import os
import re
import tempfile
from typing import Iterator, Optional

from absl import logging

from albert.formats.release.checksums import check_sums
from albert.formats.release.extract import extract
from albert.system.errors import UsageError
from albert.system.files.atomic import (
    atomic_directory,
    check_holds_nothing,
    nearest_directory,
    work_directory,
)
from albert.system.files.fetch import check_sha256, fetch, is_url


def is_archive(source: str) -> bool:
    """Whether a source is an address or a `.tar.gz` file, to be unpacked before it is read."""
    packed = re.search(r"\.(tar\.gz|tgz)$", source) is not None
    return is_url(source) or packed and os.path.isfile(source)


def unpack(source: str, sha256: Optional[str], directory: str, progress: bool) -> Optional[int]:
    """Extracts an archive into a new folder, without the archive's own top folder.

    Args:
      source: Path or http(s) address.
      sha256: Of the archive, if it is known; checked before anything is read from it.
      directory: The folder; it appears when everything in it is complete and checked. A download
        waits beside it, so that a broken one can go on.
      progress: Whether to show a bar.

    Returns:
      How many files `SHA256SUMS` vouches for; None if there is none.

    Raises:
      UsageError: The archive cannot be had, is not the one of `sha256`, or is refused.
    """
    check_holds_nothing(directory, "--output_dir")  # before a long download
    with _local(source, sha256, directory, progress) as archive:
        return _extract_checked(archive, directory, source)


@contextlib.contextmanager
def unpacked(
    source: str, sha256: Optional[str], beside: Optional[str], progress: bool
) -> Iterator[str]:
    """An archive as a folder for as long as the block lasts.

    Args:
      source: As of `unpack`.
      sha256: As of `unpack`.
      beside: Where what is made of it goes; the folder and a download are beside it. None for the
        system's place for temporary files, not with an address.
      progress: Whether to show a bar.

    Raises:
      UsageError: As `unpack`.
    """
    place = nearest_directory(beside) if beside else os.path.realpath(tempfile.gettempdir())
    name = os.path.basename(os.path.realpath(beside or source)) + ".unpacked"
    with _local(source, sha256, beside, progress) as archive:
        with work_directory(place, name) as aside:
            folder = os.path.join(aside, "release")
            _extract_checked(archive, folder, source)
            with _told_of(folder, source):
                yield folder


def _extract_checked(archive: str, directory: str, source: str) -> Optional[int]:
    with atomic_directory(directory, "--output_dir") as folder:
        with _told_of(folder, source), _told_of(archive, source):
            extract(archive, folder)
            _without_top_folder(folder)
            return check_sums(folder)


@contextlib.contextmanager
def _told_of(path: str, source: str) -> Iterator[None]:
    """Puts the user's own name for it into a message about a temporary path."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace(path, source)) from error


@contextlib.contextmanager
def _local(
    source: str, sha256: Optional[str], beside: Optional[str], progress: bool
) -> Iterator[str]:
    if not is_url(source):
        if sha256:
            check_sha256(source, sha256)
        yield source
        return
    assert beside is not None  # an address is never unpacked to the place for temporary files
    name = os.path.basename(os.path.realpath(beside)) + ".download"
    path = os.path.join(nearest_directory(beside), name)
    fetch(source, path, sha256, progress)
    try:
        yield path
    finally:
        os.remove(path)


def _without_top_folder(folder: str) -> None:
    names = os.listdir(folder)
    if len(names) == 1 and os.path.isdir(os.path.join(folder, names[0])):
        top = folder + ".top"
        os.rename(os.path.join(folder, names[0]), top)
        os.rmdir(folder)
        os.rename(top, folder)
        logging.info("Unpacked the archive's folder %s", names[0])
