"""Where each record of a file begins: built once, kept beside the file, checked by size and time.

With the index, any record can be read at any moment, so a batch is a function of its number and
no shuffle buffer is needed.
"""

import gzip
import os
import shutil
from typing import List, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.records.tfrecord import INDEX_SUFFIX, PLAIN_SUFFIX, RecordError, read_records
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.compression import DAMAGED
from albert.system.screen.progress import progress_bar

_FRAME_HEAD = 12  # bytes before the payload: length and its checksum


class RecordIndex(NamedTuple):
    """Payload positions of one file.

    Attributes:
      path: The plain file that holds the payloads: the record file or, for GZIP, a copy.
      offsets: int64 [n], first byte of each payload.
      lengths: int64 [n], bytes of each payload.
    """

    path: str
    offsets: np.ndarray
    lengths: np.ndarray


def load_index(path: str, progress: bool = False) -> RecordIndex:
    """Reads the index beside `path`, or builds it by one pass that verifies every checksum.

    Args:
      path: A record file, plain or GZIP.
      progress: Whether to show a bar while building.

    Raises:
      RecordError: The file is missing, empty, cut off or damaged.
    """
    if not os.path.isfile(path):
        raise RecordError("No record file {}. Check --input_file.".format(path))
    stamp = _stamp(path)
    plain = path + PLAIN_SUFFIX if _is_gzip(path) else path
    index = _read_cached(path, plain, stamp)
    if index is None:
        if plain != path:
            _unzip(path, plain)
        index = _build(plain, progress)
        _write_cached(path, index, stamp)
    if not len(index.offsets):
        raise RecordError("{} holds no records. Build it again from non-empty text.".format(path))
    return index


def _stamp(path: str) -> np.ndarray:
    status = os.stat(path)
    return np.array([status.st_size, status.st_mtime_ns], np.int64)


def _is_gzip(path: str) -> bool:
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def _read_cached(path: str, plain: str, stamp: np.ndarray) -> Optional[RecordIndex]:
    try:
        with np.load(path + INDEX_SUFFIX) as cached:
            if np.array_equal(cached["stamp"], stamp) and os.path.isfile(plain):
                return RecordIndex(plain, cached["offsets"], cached["lengths"])
    except Exception:
        # Absent, or damaged, which NumPy and zipfile report in a dozen ways: it is built again.
        pass
    return None


def _write_cached(path: str, index: RecordIndex, stamp: np.ndarray) -> None:
    try:
        with atomic_write(path + INDEX_SUFFIX, "wb") as handle:
            np.savez(handle, stamp=stamp, offsets=index.offsets, lengths=index.lengths)
    except OSError as error:
        logging.warning("The index of %s is not kept (%s): %s", path, INDEX_SUFFIX, error)


def _unzip(path: str, plain: str) -> None:
    logging.info("Unpacking %s to %s: records must be readable in any order", path, plain)
    try:
        with atomic_write(plain, "wb") as output, gzip.open(path) as stream:
            shutil.copyfileobj(stream, output, 1 << 20)
    except DAMAGED as error:
        raise UsageError(
            "Cannot unpack {} to {} ({}). Unpack it by hand and pass the plain file.".format(
                path, plain, error
            )
        ) from error


def _build(path: str, progress: bool) -> RecordIndex:
    offsets: List[int] = []
    lengths: List[int] = []
    total = os.path.getsize(path)
    bar = progress_bar(
        total=total,
        unit="B",
        unit_scale=True,
        desc="index " + os.path.basename(path),
        disable=not progress,
        leave=False,
    )
    with bar:
        for offset, payload in read_records(path):
            offsets.append(offset + _FRAME_HEAD)
            lengths.append(len(payload))
            bar.update(len(payload) + _FRAME_HEAD + 4)
    return RecordIndex(path, np.array(offsets, np.int64), np.array(lengths, np.int64))
