"""The TFRecord files of ALBERT pre-training: names and wire format, without TensorFlow.

A record file is a sequence of framed `tf.train.Example` messages. The feature names are those of
Google's and brightmart's scripts, so files move freely between those systems and this one. With
`L` = max_seq_length and `P` = max_predictions_per_seq (twice that with permutation):

| feature              | type    | shape | meaning                                              |
|----------------------|---------|-------|------------------------------------------------------|
| input_ids            | int64   | [L]   | piece ids after masking, padded with 0               |
| input_mask           | int64   | [L]   | 1 for a real token, 0 for padding                    |
| segment_ids          | int64   | [L]   | 0 for segment A, 1 for segment B, padded with 0      |
| token_boundary       | int64   | [L]   | 1 where a word starts (optional when reading)        |
| masked_lm_positions  | int64   | [P]   | positions to predict, padded with 0                  |
| masked_lm_ids        | int64   | [P]   | the original piece there, padded with 0              |
| masked_lm_weights    | float32 | [P]   | 1.0 for a prediction, 0.0 for padding                |
| next_sentence_labels | int64   | [1]   | 0 in order, 1 swapped or random, -1 no sentence task |

Unmasked records (masks are drawn while training) hold `input_ids`, `segment_ids` and
`token_boundary` of the real tokens only, and `next_sentence_labels`.
"""

import collections
import contextlib
import functools
import gzip
import io
import math
import os
import struct
import threading
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import google_crc32c

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED
from albert.system.files.names import expand_files

SEQUENCE_FEATURES = ("input_ids", "input_mask", "segment_ids")
PREDICTION_FEATURES = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
FLOAT_FEATURES = ("masked_lm_weights",)
KINDS = {"i": "integers", "f": "floats", "O": "bytes"}  # of lists, by the kind of their array
SENTENCE_LABEL = "next_sentence_labels"
TOKEN_BOUNDARY = "token_boundary"
# One-hot of -1 is zero in the original trainers, so they give such an example no sentence loss.
NO_SENTENCE_LABEL = -1
# Files that lie beside `train.tfrecord`, and so match a glob like `train*`.
MANIFEST_SUFFIX, INDEX_SUFFIX, PLAIN_SUFFIX = ".manifest.json", ".index.npy", ".plain"
BESIDE_RECORDS = (MANIFEST_SUFFIX, INDEX_SUFFIX, PLAIN_SUFFIX, ".index.npz")  # of version 0.1

HEAD = 12  # bytes before a payload: its length, and the checksum of that
LONGEST = 1 << 28  # bytes of a record; no example is nearly as long


class RecordError(UsageError):
    """A record file that is missing, cut off or damaged; the message names file and offset."""


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.lru_cache(maxsize=1 << 16)
def _frame_head(size: int) -> bytes:
    length = struct.pack("<Q", size)
    return length + struct.pack("<I", _masked_crc(length))


def frame(payload: bytes) -> bytes:
    """One TFRecord: length, its masked CRC-32C, payload, its masked CRC-32C."""
    return _frame_head(len(payload)) + payload + _masked_crc(payload).to_bytes(4, "little")


def frame_size(head: bytes) -> int:
    """Bytes of a record by its first `HEAD` bytes.

    Raises:
      ValueError: No record begins with these; the message says why.
    """
    if len(head) < HEAD:
        raise ValueError("the file ends inside a record header")
    (length,) = struct.unpack("<Q", head[:8])
    if _frame_head(length) != head:
        raise ValueError("the checksum of the record length does not match")
    if HEAD + length + 4 > LONGEST:
        raise ValueError("a record of {:,} bytes cannot be".format(length))
    return HEAD + length + 4


def _damaged(path: str, offset: int, what: str) -> RecordError:
    return RecordError(
        "{} is damaged at byte offset {}: {}. Build or copy the file again.".format(
            path, offset, what
        )
    )


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(
            "Cannot read the record file {} ({}).".format(path, error.strerror)
        ) from error


def _read_frames(stream: io.BufferedIOBase, path: str) -> Iterator[Tuple[int, bytes]]:
    offset = 0
    while True:
        try:
            head = stream.read(HEAD)
            if not head:
                return
            size = frame_size(head)
            body = stream.read(size - HEAD)
        except ValueError as error:
            what = str(error) if offset else "it does not begin with a record"
            raise _damaged(path, offset, what) from error
        except DAMAGED as error:
            raise _damaged(path, offset, str(error)) from error
        if len(body) < size - HEAD:
            raise _damaged(path, offset, "the file ends inside a record")
        yield offset, _checked(body, path, offset)
        offset += size


def _checked(body: bytes, path: str, offset: int) -> bytes:
    """A payload, without the checksum behind it when that is verified."""
    payload = body[:-4]
    if _masked_crc(payload).to_bytes(4, "little") != body[-4:]:
        raise _damaged(path, offset, "the checksum of the record does not match")
    return payload


def read_records(path: str) -> Iterator[Tuple[int, bytes]]:
    """Yields (offset, payload) of every record of a plain or gzip file, checksums verified.

    The offset counts uncompressed bytes from the start of the file to the record's frame.

    Raises:
      RecordError: The file cannot be opened, is cut off, or a checksum does not match.
    """
    with _opened(path) as stream:
        yield from _read_frames(stream, path)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    with _readable(path), open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield gzip.GzipFile(fileobj=raw) if zipped else raw


def frames(path: str) -> Iterator[int]:
    """Where the records of a plain file begin; only their lengths are read and verified.

    Raises:
      RecordError: The file cannot be read, is cut off, or a length does not match its checksum.
    """
    with _readable(path), open(path, "rb") as handle:
        offset, end = 0, os.path.getsize(path)
        while offset < end:
            handle.seek(offset)
            try:
                size = frame_size(handle.read(HEAD))
            except ValueError as error:
                raise _damaged(path, offset, str(error)) from error
            if offset + size > end:
                raise _damaged(path, offset, "the file ends inside a record")
            yield offset
            offset += size


class OpenFiles:
    """Files to read from at any place, of which some stay open."""

    def __init__(self, most: int = 256) -> None:
        """Opens nothing yet.

        Args:
          most: How many stay open; a process may have a thousand.
        """
        self._most = most
        self._files: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """`size` bytes from a place; fewer where the file ends.

        Raises:
          RecordError: It cannot be read.
        """
        with _readable(path), self._lock:
            handle = self._files.pop(path, None)
            if handle is None:
                handle = os.open(path, os.O_RDONLY)
            self._files[path] = handle
            if len(self._files) > self._most:
                os.close(self._files.popitem(last=False)[1])
            return os.pread(handle, size, offset)

    def __del__(self) -> None:
        for handle in self._files.values():
            os.close(handle)


def framed_payload(data: bytes, path: str, offset: int) -> bytes:
    """The payload of a record as its index has it, when both checksums are verified.

    Args:
      data: The record.
      path: Its file, for messages.
      offset: Its place there.

    Raises:
      RecordError: It is no whole record, or a checksum does not match.
    """
    try:
        if frame_size(data[:HEAD]) != len(data):
            raise ValueError("a record does not end where its index says")
    except ValueError as error:
        what = "{}; the file was changed, or its {} is not its own (delete that)"
        raise _damaged(path, offset, what.format(error, INDEX_SUFFIX)) from error
    return _checked(data[HEAD:], path, offset)


class WeightedFiles(NamedTuple):
    """Record files under the name they were given by, and how often their records come."""

    name: str
    files: List[str]
    weight: float


def record_files(patterns: str, flag: str) -> List[str]:
    """The files that names, globs and folders in a comma list stand for: those that hold records.

    A file that is named twice is read twice. Of a folder those are taken that begin with a record.

    Raises:
      UsageError: An item matches no file, a folder has no records, or there is none.
    """
    return expand_files(patterns, flag, BESIDE_RECORDS, once=False, fits=begins_with_record)


def begins_with_record(path: str) -> bool:
    """Whether a file, plain or gzip, begins as a file of records does."""
    try:
        with _opened(path) as stream:
            frame_size(stream.read(HEAD))
    except (ValueError, UsageError) + DAMAGED:
        return False
    return True


def weighted_record_files(patterns: str, flag: str) -> List[WeightedFiles]:
    """The same, where each item may end in `=WEIGHT`: as many lists as there are weights.

    Args:
      patterns: As in `record_files`, or "a*.tfrecord=0.7,b*.tfrecord=0.3".
      flag: Where it comes from, for messages.

    Raises:
      UsageError: As `record_files`; or a weight is not above 0, or some items have none.
    """
    items = [item.strip() for item in patterns.split(",") if item.strip()]
    pairs = [_weighted(item, flag) for item in items]
    bare = [name for name, weight in pairs if weight is None]
    if len(bare) == len(pairs):
        return [WeightedFiles(patterns, record_files(patterns, flag), 1.0)]
    if bare:
        raise UsageError(
            "--{} gives weights to some of its files; {} has none. Write {}=WEIGHT, or leave all "
            "of them out.".format(flag, bare[0], bare[0])
        )
    return [WeightedFiles(name, record_files(name, flag), weight or 0.0) for name, weight in pairs]


def split_weight(item: str) -> Tuple[str, Optional[float]]:
    """The name or glob of an item, and its weight if it has one.

    >>> split_weight("news*.tfrecord=0.7")
    ('news*.tfrecord', 0.7)
    """
    name, equals, text = item.rpartition("=")
    if equals and not os.path.exists(item):  # a file may be called "lang=1"
        try:
            return name, float(text)
        except ValueError:
            pass
    return item, None


def _weighted(item: str, flag: str) -> Tuple[str, Optional[float]]:
    name, weight = split_weight(item)
    if weight is not None and not 0 < weight < math.inf:
        raise UsageError(
            "--{}: the weight of {} must be above 0. Received {}.".format(flag, name, weight)
        )
    return name, weight
