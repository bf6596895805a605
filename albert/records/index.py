"""Where each record of a file begins, in a file beside it: a NumPy array that is mapped, not read.

With the index, any record can be read at any moment, so a batch is a function of its number and
no shuffle buffer is needed. The builder of records writes it with them; for other files it is made
in one pass. It says where records are and nothing about what is in them: their checksums are
verified as they are read.
"""

import gzip
import io
import os
import shutil
from typing import IO, List, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.records.tfrecord import (
    HEAD,
    INDEX_SUFFIX,
    PLAIN_SUFFIX,
    RecordError,
    frame_size,
    frames,
    read_records,
)
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.compression import DAMAGED
from albert.system.screen.progress import progress_bar

_TYPE = np.dtype("<i8")
INDEX_ENTRY = _TYPE.itemsize  # bytes for each record


class RecordIndex(NamedTuple):
    """The records of one file.

    Attributes:
      path: The plain file that holds them: the record file or, for GZIP, a copy.
      bounds: int64 [n + 1]; record i is the bytes from bounds[i] to bounds[i + 1].
    """

    path: str
    bounds: np.ndarray

    @property
    def size(self) -> int:
        """Number of records, n."""
        return len(self.bounds) - 1


def index_head(count: int) -> bytes:
    """How the index of `count` records begins; where each of them ends follows, as `_TYPE`."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": _TYPE.str, "fortran_order": False, "shape": (count + 1,)}
    )
    return head.getvalue() + bytes(_TYPE.itemsize)


def index_ends(ends: np.ndarray) -> bytes:
    """The ends of some records, as the index has them."""
    return ends.astype(_TYPE).tobytes()


def load_index(path: str, progress: bool = False, verify: bool = True) -> RecordIndex:
    """Maps the index beside `path`, or makes it by one pass that verifies every checksum.

    Args:
      path: A record file, plain or GZIP.
      progress: Whether to show a bar while it is made.
      verify: Whether damaged records are refused as it is made, or when they are read.

    Raises:
      RecordError: The file is missing, empty, cut off or damaged.
    """
    if not os.path.isfile(path):
        raise RecordError("No record file {}. Check --input_file.".format(path))
    packed = _is_gzip(path)
    plain = path + PLAIN_SUFFIX if packed else path
    bounds = None if packed and not _is_copy(plain, path) else _kept(path, plain, verify)
    if bounds is None:
        if packed:
            _unzip(path, plain)
        bounds = _bounds(plain, progress, verify)
        _keep(path, bounds)
    if len(bounds) < 2:
        raise RecordError("{} holds no records. Build it again from non-empty text.".format(path))
    return RecordIndex(plain, bounds)


def _is_gzip(path: str) -> bool:
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def _is_copy(plain: str, path: str) -> bool:
    """Whether `_unzip` made it, of this very file."""
    return os.path.isfile(plain) and os.stat(plain).st_mtime_ns == os.stat(path).st_mtime_ns


def _kept(path: str, plain: str, verify: bool) -> Optional[np.ndarray]:
    """The index beside a file, if it is of this file: the first and last record are where it says.

    Unless it is to `verify`, one of them will do: the other may be damaged.

    Times of files say nothing here: copying changes them.
    """
    try:
        bounds = np.asarray(np.load(path + INDEX_SUFFIX, mmap_mode="r"))  # still a map, but quicker
        if bounds.dtype != _TYPE or bounds.ndim != 1 or len(bounds) < 2 or bounds[0] != 0:
            return None
        if int(bounds[-1]) != os.path.getsize(plain):
            return None
        with open(plain, "rb") as handle:
            there = [_is_there(handle, bounds, number) for number in (0, len(bounds) - 2)]
        return bounds if all(there) or any(there) and not verify else None
    except Exception:
        # Absent, or damaged, which NumPy reports in a dozen ways: it is made again.
        return None


def _is_there(handle: IO[bytes], bounds: np.ndarray, number: int) -> bool:
    begin, end = int(bounds[number]), int(bounds[number + 1])
    handle.seek(begin)
    try:
        return frame_size(handle.read(HEAD)) == end - begin
    except ValueError:
        return False


def _keep(path: str, bounds: np.ndarray) -> None:
    try:
        with atomic_write(path + INDEX_SUFFIX, "wb") as handle:
            handle.write(index_head(len(bounds) - 1) + index_ends(bounds[1:]))
    except OSError as error:
        logging.warning("The index of %s is not kept (%s): %s", path, INDEX_SUFFIX, error)


def _unzip(path: str, plain: str) -> None:
    logging.info("Unpacking %s to %s: records must be readable in any order", path, plain)
    try:
        made = os.stat(path).st_mtime_ns
        with atomic_write(plain, "wb") as output, gzip.open(path) as stream:
            shutil.copyfileobj(stream, output, 1 << 20)
        os.utime(plain, ns=(made, made))
    except DAMAGED as error:
        raise UsageError(
            "Cannot unpack {} to {} ({}). Unpack it by hand and pass the plain file.".format(
                path, plain, error
            )
        ) from error


def _bounds(path: str, progress: bool, verify: bool) -> np.ndarray:
    begins: List[int] = []
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
        offsets = (offset for offset, _ in read_records(path)) if verify else frames(path)
        for offset in offsets:
            bar.update(offset - bar.n)
            begins.append(offset)
    return np.array(begins + [total] if begins else [], np.int64)
