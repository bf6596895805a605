"""Parts to output files: appended in order, finished, renamed."""

import os
import struct
from typing import IO, List, Tuple

import google_crc32c
import numpy as np
from absl import logging

from albert.records.index import INDEX_ENTRY, index_ends, index_head
from albert.records.manifest import RecordFile
from albert.records.tfrecord import INDEX_SUFFIX
from albert.system.errors import TryAgain
from albert.system.files.atomic import sync_directory
from preprocess.records import crc, jobs
from preprocess.workspace import Workspace

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_LAST_BLOCK = b"\x03\x00"


class Shards:
    """The growing output files of a build and their indexes; parts must come in order.

    A part is deleted once it is appended, so an interrupted build finds in the folder which parts
    its shards hold. Compressed files get no index: they are unpacked before they are read.
    """

    def __init__(
        self, workspace: Workspace, files: List[str], examples: int, *, compressed: bool
    ) -> None:
        """Begins at the first part.

        Args:
          workspace: The folder of the build.
          files: The final names.
          examples: Number of records in all of them; file i has numbers i, i + n, i + 2n, ...
          compressed: Whether they are GZIP.
        """
        self._workspace, self._files = workspace, files
        self._head = _GZIP_HEAD if compressed else b""
        self._compressed = compressed
        self._index_heads = [
            index_head((examples - shard + len(files) - 1) // len(files))
            for shard in range(len(files))
        ]
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
        return all(
            _cut(self._workspace.shard(shard), len(self._head) + total.size)
            and (self._compressed or _cut(*self._grown_index(shard, total)))
            for shard, total in enumerate(self._totals)
        )

    def _grown_index(self, shard: int, total: jobs.Slice) -> Tuple[str, int]:
        """The index of a file that has grown to this, and its size."""
        size = len(self._index_heads[shard]) + INDEX_ENTRY * total.examples
        return self._workspace.shard_index(shard), size

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
            if not self._compressed:
                with open(self._workspace.shard_index(shard), "wb") as handle:
                    handle.write(self._index_heads[shard])

    def _count(self, number: int) -> List[jobs.Slice]:
        slices = jobs.part_slices(self._workspace, number)
        self._totals = [_joined(a, b) for a, b in zip(self._totals, slices)]
        self._next = number + 1
        return slices

    def append_ready(self) -> None:
        """Appends every part that is finished and next in order.

        Raises:
          TryAgain: A part is not as long as it was written.
        """
        while os.path.exists(self._workspace.part_summary(self._next)):
            number, grown = self._next, self._totals
            self._append(number, self._count(number), grown)

    def _append(self, number: int, pieces: List[jobs.Slice], grown: List[jobs.Slice]) -> None:
        path, sizes = self._workspace.part(number), jobs.part_sizes(self._workspace, number)
        size, first = sum(piece.size for piece in pieces), 0
        if os.path.getsize(path) != size:
            os.remove(self._workspace.part_summary(number))
            raise TryAgain(
                "{} has {:,} bytes where {:,} were written; is the disk damaged? The same command "
                "makes that part again.".format(path, os.path.getsize(path), size)
            )
        with open(path, "rb") as source:
            for shard, piece in enumerate(pieces):
                with open(self._workspace.shard(shard), "ab") as target:
                    _copy(source, target, piece.size)
                ends = grown[shard].raw_size + np.cumsum(sizes[first : first + piece.examples])
                first += piece.examples
                if not self._compressed:
                    with open(self._workspace.shard_index(shard), "ab") as target:
                        target.write(index_ends(ends))
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
            if not self._compressed:
                with open(self._workspace.shard_index(shard), "rb") as index:
                    os.fsync(index.fileno())
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
    """Gives finished shards and indexes their names; may be repeated after an interruption."""
    for shard, path in enumerate(files):
        for made, name in (
            (workspace.shard(shard), path),
            (workspace.shard_index(shard), path + INDEX_SUFFIX),
        ):
            if os.path.exists(made):
                os.replace(made, name)
                sync_directory(os.path.dirname(name))


def _cut(path: str, size: int) -> bool:
    """Takes away what a file has beyond `size`; False if it is not that long."""
    if not os.path.exists(path) or os.path.getsize(path) < size:
        return False
    os.truncate(path, size)
    return True


def _joined(first: jobs.Slice, second: jobs.Slice) -> jobs.Slice:
    return jobs.Slice(
        first.examples + second.examples,
        first.size + second.size,
        crc.combine(first.crc32c, second.crc32c, second.size, crc.CRC32C),
        first.raw_size + second.raw_size,
        crc.combine(first.raw_crc32, second.raw_crc32, second.raw_size, crc.CRC32),
    )


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    for begin in range(0, size, 1 << 20):
        target.write(source.read(min(size - begin, 1 << 20)))
