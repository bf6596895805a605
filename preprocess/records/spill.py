"""Unmasked examples on disk between the two halves of a build, ordered for the global shuffle.

Every block of text leaves one file of examples sorted by key. Keys are uniform random numbers,
so "all examples ordered by key" is a uniform shuffle of the whole corpus, and a range of keys is
a slice of every file: memory holds one range at a time, and no decision depends on who wrote
what when. Key ranges are counted in `CELLS` equal cells, whose limits each file's header lists.
"""

import os
from typing import IO, List, NamedTuple, Tuple

import numpy as np

from preprocess.records.instances.segments import Instances, take_ranges

CELLS = 4096
_CELL_SHIFT = np.uint64(64 - 12)
_HEADER = np.dtype(
    [
        ("begin", "<u4", (CELLS + 1,)),
        ("width", "<u4"),
        ("documents", "<u8"),
        ("pieces", "<u8"),
        ("dropped", "<u8"),
        ("cut", "<u8"),
    ]
)
_ROW = np.dtype(
    [("key", "<u8"), ("at", "<u4"), ("first", "<u2"), ("second", "<u2"), ("label", "i1")]
)


class Summary(NamedTuple):
    """What the header of a file tells.

    Attributes:
      cells: [CELLS] examples in each key range.
      documents: Documents the examples were made from.
      pieces: Pieces in the examples.
      dropped: Examples that were too short to keep.
      cut: Pieces that are in no example.
    """

    cells: np.ndarray
    documents: int
    pieces: int
    dropped: int
    cut: int


def write(
    handle: IO[bytes],
    instances: Instances,
    *,
    vocab_size: int,
    documents: int,
    dropped: int,
    cut: int,
) -> None:
    """Writes examples that are sorted by key, and the counts of a `Summary`."""
    header = np.zeros((), _HEADER)
    header["documents"], header["dropped"], header["cut"] = documents, dropped, cut
    header["pieces"] = len(instances.ids)
    cells = (instances.keys >> _CELL_SHIFT).astype(np.int64)
    header["begin"] = np.searchsorted(cells, np.arange(CELLS + 1))
    header["width"] = 2 if vocab_size <= 1 << 16 else 4
    rows = np.zeros(len(instances.keys), _ROW)
    lengths = instances.first + instances.second
    rows["key"], rows["label"] = instances.keys, instances.labels
    rows["first"], rows["second"] = instances.first, instances.second
    rows["at"] = np.cumsum(lengths) - lengths
    handle.write(header.tobytes())
    handle.write(rows.tobytes())
    handle.write(instances.ids.astype(_id_type(int(header["width"]))).tobytes())


def _id_type(width: int) -> str:
    return "<u2" if width == 2 else "<u4"


def summarize(path: str) -> Summary:
    """Reads the header of one file."""
    with open(path, "rb") as handle:
        header = _header(handle)
    return Summary(
        np.diff(header["begin"].astype(np.int64)),
        *(int(header[name]) for name in ("documents", "pieces", "dropped", "cut")),
    )


def _header(handle: IO[bytes]) -> np.ndarray:
    return np.frombuffer(handle.read(_HEADER.itemsize), _HEADER)[0]


def read(paths: List[str], first_cell: int, end_cell: int) -> Instances:
    """The examples of all files whose keys lie in a range of cells, ordered by key."""
    parts = []
    for path in paths:
        with open(path, "rb") as handle:
            parts.append(_slice(handle, first_cell, end_cell))
    rows = np.concatenate([rows for rows, _ in parts])
    ids = np.concatenate([ids for _, ids in parts])
    lengths = rows["first"].astype(np.int64) + rows["second"]
    begins = np.cumsum(lengths) - lengths
    order = np.argsort(rows["key"], kind="stable")
    rows = rows[order]
    return Instances(
        rows["key"].copy(),
        rows["first"].astype(np.int64),
        rows["second"].astype(np.int64),
        rows["label"].astype(np.int64),
        take_ranges(ids, begins[order], lengths[order]),
    )


def _slice(handle: IO[bytes], first_cell: int, end_cell: int) -> Tuple[np.ndarray, np.ndarray]:
    header = _header(handle)
    total = int(header["begin"][-1])
    begin, end = int(header["begin"][first_cell]), int(header["begin"][end_cell])
    handle.seek(begin * _ROW.itemsize, os.SEEK_CUR)
    rows = np.frombuffer(handle.read((end - begin) * _ROW.itemsize), _ROW)
    width = int(header["width"])
    if begin == end:
        return rows, np.zeros(0, np.int32)
    last = rows[-1]
    stop = int(last["at"]) + int(last["first"]) + int(last["second"])
    start = int(rows[0]["at"])
    handle.seek(_HEADER.itemsize + total * _ROW.itemsize + start * width)
    data = handle.read((stop - start) * width)
    return rows, np.frombuffer(data, _id_type(width)).astype(np.int32)
