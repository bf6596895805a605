"""Parts to output files: appended in order, finished, renamed."""

import os
import struct
from typing import IO, List

import google_crc32c
from absl import logging

from albert.records.manifest import RecordFile
from albert.system.files.atomic import sync_directory
from preprocess.records import crc, jobs
from preprocess.records.workspace import Workspace

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_LAST_BLOCK = b"\x03\x00"


class Shards:
    """The growing output files of a build; parts must come in order.

    A part is deleted once it is appended, so an interrupted build finds in the folder which parts
    its shards hold.
    """

    def __init__(self, workspace: Workspace, files: List[str], *, compressed: bool) -> None:
        """Begins at the first part; `files` are the final names."""
        self._workspace, self._files = workspace, files
        self._head = _GZIP_HEAD if compressed else b""
        self._compressed = compressed
        self._next = 0
        self._totals = [jobs.Slice(0, 0, 0, 0, 0) for _ in files]

    def restore(self, parts: int) -> bool:
        """Takes up where a killed build stood; True if its shards can be trusted."""
        for number in range(parts):
            summary = self._workspace.part_summary(number)
            if os.path.exists(self._workspace.part(number)) or not os.path.exists(summary):
                break
            self._count(number)
        if not self._next:
            self._clear()
            return True
        for shard, total in enumerate(self._totals):
            path = self._workspace.shard(shard)
            expected = len(self._head) + total.size
            if not os.path.exists(path) or os.path.getsize(path) < expected:
                return False
            os.truncate(path, expected)
        return True

    def reset(self, parts: int) -> None:
        """Throws all parts and shards away."""
        logging.info("The shards of the unfinished build are incomplete; writing them again")
        self._next = 0
        self._totals = [jobs.Slice(0, 0, 0, 0, 0) for _ in self._files]
        for number in range(parts):
            for path in (self._workspace.part(number), self._workspace.part_summary(number)):
                if os.path.exists(path):
                    os.remove(path)
        self._clear()

    def _clear(self) -> None:
        for shard in range(len(self._files)):
            with open(self._workspace.shard(shard), "wb") as handle:
                handle.write(self._head)

    def _count(self, number: int) -> List[jobs.Slice]:
        slices = jobs.part_slices(self._workspace, number)
        self._totals = [_joined(a, b) for a, b in zip(self._totals, slices)]
        self._next = number + 1
        return slices

    def append_ready(self) -> None:
        """Appends every part that is finished and next in order."""
        while os.path.exists(self._workspace.part_summary(self._next)):
            path = self._workspace.part(self._next)
            with open(path, "rb") as source:
                for shard, piece in enumerate(self._count(self._next)):
                    with open(self._workspace.shard(shard), "ab") as target:
                        _copy(source, target, piece.size)
            os.remove(path)

    def finish(self) -> List[RecordFile]:
        """Ends and syncs the shards; returns their entries for the manifest."""
        entries = []
        for shard, total in enumerate(self._totals):
            tail = _gzip_tail(total) if self._compressed else b""
            with open(self._workspace.shard(shard), "ab") as handle:
                handle.write(tail)
                handle.flush()
                os.fsync(handle.fileno())
            begun = crc.combine(
                google_crc32c.value(self._head), total.crc32c, total.size, crc.CRC32C
            )
            size = len(self._head) + total.size + len(tail)
            checksum = crc.combine(begun, google_crc32c.value(tail), len(tail), crc.CRC32C)
            entries.append(
                RecordFile(
                    os.path.basename(self._files[shard]),
                    total.examples,
                    size,
                    "{:08x}".format(checksum),
                )
            )
        return entries


def _gzip_tail(total: jobs.Slice) -> bytes:
    return _GZIP_LAST_BLOCK + struct.pack("<II", total.raw_crc32, total.raw_size & 0xFFFFFFFF)


def rename_all(workspace: Workspace, files: List[str]) -> None:
    """Gives finished shards their names; may be repeated after an interruption."""
    for shard, path in enumerate(files):
        if os.path.exists(workspace.shard(shard)):
            os.replace(workspace.shard(shard), path)
            sync_directory(os.path.dirname(path))


def _joined(first: jobs.Slice, second: jobs.Slice) -> jobs.Slice:
    return jobs.Slice(
        first.examples + second.examples,
        first.size + second.size,
        crc.combine(first.crc32c, second.crc32c, second.size, crc.CRC32C),
        first.raw_size + second.raw_size,
        crc.combine(first.raw_crc32, second.raw_crc32, second.raw_size, crc.CRC32),
    )


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size:
        data = source.read(min(size, 1 << 20))
        target.write(data)
        size -= len(data)
