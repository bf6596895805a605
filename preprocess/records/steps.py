"""The steps of a build, one after the other, each continued where it was killed."""

import os
import shutil
import time
from typing import Dict, List, NamedTuple

import numpy as np
from absl import logging

from albert.records.manifest import Manifest, ModelFile, write_manifest
from albert.records.options import RecordOptions
from albert.system.errors import TryAgain
from albert.text import vocabulary
from preprocess.engines import Map
from preprocess.progress import Progress
from preprocess.records import jobs, report, spill
from preprocess.records.instances import examples
from preprocess.records.shards import Shards, rename_all
from preprocess.sources.blocks import read_blocks
from preprocess.sources.documents import Layout
from preprocess.workspace import Workspace

# Pieces that one job masks; with the arrays made from them about 150 MB.
PART_PIECES = 3 << 20
# A small text is cut into so many, of so many pieces at least, that no core waits for another.
_PARTS, _SMALL_PART = 8, 1 << 17


class _Segmented(NamedTuple):
    """What the first two steps have left."""

    blocks: List[int]
    cells: np.ndarray
    documents: int
    pieces: int
    dropped: int
    cut: int

    @property
    def examples(self) -> int:
        return int(self.cells.sum())


def take(
    context: jobs.Context,
    work: Workspace,
    run: Map,
    paths: List[str],
    layout: Layout,
    bar: bool,
) -> Dict[str, float]:
    """Does what is not done yet of the three steps; the seconds that each took."""
    if work.state().parts:
        return {}
    clock = [time.time()]
    _encode(context, work, run, paths, layout, bar)
    clock.append(time.time())
    _segment(context, work, run, bar)
    clock.append(time.time())
    _mask(context, work, run, bar)
    clock.append(time.time())
    return dict(zip(("encode", "segment", "mask"), np.diff(clock).tolist()))


def _encode(
    context: jobs.Context,
    work: Workspace,
    run: Map,
    paths: List[str],
    layout: Layout,
    bar: bool,
) -> None:
    if work.state().blocks:
        return
    count = 0
    sizes = [os.path.getsize(path) for path in paths]
    at = [0] * len(paths)
    with Progress("Tokenising", sum(sizes), "B", bar) as progress:
        stream = ((context, block) for block in read_blocks(paths, layout))
        for block in run(jobs.encode, stream):
            count = max(count, block.number + 1)
            progress.update(max(0, block.progress - at[block.file_index]))
            at[block.file_index] = max(at[block.file_index], block.progress)
    work.note(blocks=count)


def _segment(context: jobs.Context, work: Workspace, run: Map, bar: bool) -> None:
    if work.state().segmented:
        return
    blocks = work.state().blocks
    with Progress("Segmenting", blocks, "blocks", bar) as progress:
        for _ in run(jobs.segment, ((context, block, blocks) for block in range(blocks))):
            progress.update(1)
    work.note(segmented=True)


def _segmented(work: Workspace) -> _Segmented:
    blocks = list(range(work.state().blocks))
    cells = np.zeros(spill.CELLS, np.int64)
    documents = pieces = dropped = cut = 0
    for block in blocks:
        summary = spill.summarize(work.spill(block))
        cells += summary.cells
        documents += summary.documents
        pieces += summary.pieces
        dropped += summary.dropped
        cut += summary.cut
    return _Segmented(blocks, cells, documents, pieces, dropped, cut)


def plan_parts(cells: np.ndarray, pieces: int, part_pieces: int) -> List[jobs.Part]:
    """Cuts the key ranges into parts of about equal numbers of examples.

    Args:
      cells: Examples in each cell of keys.
      pieces: Pieces in all examples.
      part_pieces: Pieces that a part should hold at most.
    """
    count = int(cells.sum())
    number = max(-(-pieces // part_pieces), min(_PARTS, pieces // _SMALL_PART), 1)
    number = min(len(cells), number)
    ranks = np.concatenate([[0], np.cumsum(cells)])
    wanted = np.searchsorted(ranks, np.arange(1, number) * count // number)
    limits = [0] + sorted(set(wanted.tolist()) - {0, len(cells)}) + [len(cells)]
    return [
        jobs.Part(i, begin, end, int(ranks[begin]))
        for i, (begin, end) in enumerate(zip(limits[:-1], limits[1:]))
    ]


def _mask(context: jobs.Context, work: Workspace, run: Map, bar: bool) -> None:
    found = _segmented(work)
    for block in found.blocks:
        if os.path.exists(work.encoded(block)):
            os.remove(work.encoded(block))
    options = context.options
    report.check_not_empty(found.documents, found.examples, options)
    parts = plan_parts(found.cells, found.pieces, PART_PIECES)
    compressed = options.compression == "gzip"
    shards = Shards(work, options.output_files, found.examples, compressed=compressed)
    if not shards.restore(len(parts)):
        shards.reset(len(parts))
    _check_disk(options, found, work.path)
    left = [part for part in parts if not os.path.exists(work.part_summary(part.number))]
    with Progress("Writing examples", found.examples, "examples", bar) as progress:
        shards.append_ready()
        limits = [part.rank for part in parts] + [found.examples]
        progress.update(found.examples - sum(limits[p.number + 1] - p.rank for p in left))
        for part in run(jobs.mask, ((context, found.blocks, part) for part in left)):
            progress.update(limits[part.number + 1] - part.rank)
            shards.append_ready()
    entries = shards.finish()
    work.note(files=entries, parts=len(parts))


def _check_disk(options: RecordOptions, found: _Segmented, folder: str) -> None:
    expected = report.estimate_bytes(options, found.examples, found.pieces)
    free = shutil.disk_usage(folder).free
    logging.debug(
        "%d documents give %d examples, about %.1f MB on disk (%.1f MB free)",
        found.documents,
        found.examples,
        expected / 1e6,
        free / 1e6,
    )
    if expected > free:
        raise TryAgain(
            "The records need about {:.1f} GB and {:.1f} GB are free on the disk of {}. Use "
            "--masking=dynamic, --compression=gzip, a lower --dupe_factor or another disk; once "
            "there is room, the same command goes on.".format(expected / 1e9, free / 1e9, folder)
        )


def finish(
    context: jobs.Context,
    work: Workspace,
    base: str,
    words: vocabulary.Vocabulary,
    model: ModelFile,
) -> Manifest:
    """Renames the shards and writes the manifest, last, so that it never describes others."""
    state = work.state()
    found = _segmented(work)
    counts = examples.Counts.zero(len(words.pieces))
    for number in range(state.parts):
        counts = counts.plus(jobs.part_counts(work, number))
    report.check_masked(context.options, counts)
    if os.path.exists(base):
        os.remove(base)
    rename_all(work, context.options.output_files)
    result = report.describe(
        context.options,
        words,
        model,
        found.documents,
        found.dropped,
        found.cut,
        counts,
        list(state.files),
    )
    write_manifest(base, result)
    return result
