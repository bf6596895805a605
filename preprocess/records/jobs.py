"""The three steps of a build as jobs: pure functions of a job and of files made before.

encode:  a block of text       -> tokenised documents
segment: tokenised documents   -> unmasked examples ordered by their random key
mask:    a range of those keys -> records, ready to be appended to the shards

Each job leaves one file, complete or not at all. A job whose file exists is not run again.
"""

import os
import zlib
from typing import IO, Any, List, NamedTuple, Tuple

import google_crc32c
import numpy as np

from albert.records import counter_rng
from albert.records.options import RecordOptions
from albert.system.errors import UsageError
from albert.system.files.atomic import published
from albert.text import vocabulary
from preprocess.records import spill
from preprocess.records.instances import encoding, examples, segments
from preprocess.sources.blocks import TextBlock
from preprocess.workspace import Workspace

# Next-sentence examples draw their random B from this many further blocks.
PARTNERS = 3


class Context(NamedTuple):
    """What all jobs of a build share."""

    folder: str
    options: RecordOptions
    model: str


class Part(NamedTuple):
    """A range of cells of keys, and the rank of its first example in the global order."""

    number: int
    first_cell: int
    end_cell: int
    rank: int


class Slice(NamedTuple):
    """The share of one part in one shard; the raw fields count before compression."""

    examples: int
    size: int
    crc32c: int
    raw_size: int
    raw_crc32: int


def encode(job: Tuple[Context, TextBlock]) -> TextBlock:
    """Tokenises a block; returns it without its data."""
    context, block = job
    target = Workspace(context.folder).encoded(block.number)
    if not os.path.exists(target):
        options = context.options
        documents = encoding.encode_block(
            block,
            vocabulary.load(context.model),
            lower=options.do_lower_case,
            keep_accents=options.keep_accents,
            seed=options.random_seed,
            longest=options.max_seq_length - 2,
        )
        with published(target) as handle:
            encoding.save(documents, handle)
    return block._replace(data=b"")


def segment(job: Tuple[Context, int, int]) -> int:
    """Cuts the documents of block `index` of `blocks` into examples."""
    context, index, blocks = job
    workspace = Workspace(context.folder)
    target = workspace.spill(index)
    if not os.path.exists(target):
        documents = encoding.load(workspace.encoded(index))
        pool = documents
        if context.options.sentence_task == "nsp":
            pool = _pool(workspace, documents, index, blocks, context.options.random_seed)
        instances, dropped, cut = segments.segment(documents, context.options, pool)
        with published(target) as handle:
            spill.write(
                handle,
                instances,
                vocab_size=len(vocabulary.load(context.model).pieces),
                documents=len(documents.keys),
                dropped=dropped,
                cut=cut,
            )
    return index


def _pool(
    workspace: Workspace, documents: encoding.Documents, index: int, blocks: int, seed: int
) -> encoding.Documents:
    others = set()
    if blocks > 1:
        key = counter_rng.combine(seed, index)
        drawn = counter_rng.below(blocks - 1, key, "partner", np.arange(PARTNERS))
        others = {int(other) + (other >= index) for other in drawn}
    pool = encoding.concatenate(
        [documents] + [encoding.load(workspace.encoded(other)) for other in sorted(others)]
    )
    if len(pool.keys) < 2:
        raise UsageError(
            "--sentence_task=nsp draws random sentences from other documents, but there is only "
            "one. Separate documents by blank lines, or use --sentence_task=sop."
        )
    return pool


def mask(job: Tuple[Context, List[int], Part]) -> Part:
    """Draws the masks of a part and writes its records, grouped by shard."""
    context, blocks, part = job
    workspace = Workspace(context.folder)
    if os.path.exists(workspace.part_summary(part.number)):
        return part
    options, words = context.options, vocabulary.load(context.model)
    paths = [workspace.spill(block) for block in blocks]
    instances = spill.read(paths, part.first_cell, part.end_cell)
    shards = len(options.output_files)
    shard_of = (part.rank + np.arange(len(instances.keys))) % shards
    slices: List[Slice] = []
    sizes: List[int] = []
    counts = examples.Counts.zero(len(words.pieces))
    with published(workspace.part(part.number)) as handle:
        for shard in range(shards):
            rows = np.flatnonzero(shard_of == shard)
            piece, more = _write_slice(handle, instances, rows, options, words, sizes)
            slices.append(piece)
            counts = counts.plus(more)
    with published(workspace.part_summary(part.number)) as handle:
        np.savez(
            handle,
            slices=np.array(slices, np.int64),
            sizes=np.array(sizes, np.int64),
            **counts._asdict(),
        )
    return part


def _write_slice(
    handle: IO[bytes],
    instances: segments.Instances,
    rows: np.ndarray,
    options: RecordOptions,
    words: vocabulary.Vocabulary,
    sizes: List[int],
) -> Tuple[Slice, examples.Counts]:
    """Writes the records of one shard; adds their bytes before compression to `sizes`."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15) if options.compression == "gzip" else None
    size = crc32c = raw_size = raw_crc32 = 0
    counts = examples.Counts.zero(len(words.pieces))
    for begin in range(0, len(rows), examples.BATCH):
        batch = examples.select(instances, rows[begin : begin + examples.BATCH])
        framed, more = examples.records(batch, options, words)
        counts = counts.plus(more)
        sizes.extend(len(record) for record in framed)
        data = b"".join(framed)
        raw_size += len(data)
        if packer is not None:
            raw_crc32 = zlib.crc32(data, raw_crc32)
            data = packer.compress(data)
            if begin + examples.BATCH >= len(rows):
                # Ends on a byte, so that the slices of a shard join to one gzip stream:
                # TensorFlow 1.15 reads no further than the first.
                data += packer.flush(zlib.Z_FULL_FLUSH)
        size, crc32c = size + len(data), google_crc32c.extend(crc32c, data)
        handle.write(data)
    return Slice(len(rows), size, crc32c, raw_size, raw_crc32), counts


def part_slices(workspace: Workspace, number: int) -> List[Slice]:
    """What a finished part has for each shard."""
    with np.load(workspace.part_summary(number)) as arrays:
        return [Slice(*(int(value) for value in row)) for row in arrays["slices"]]


def part_sizes(workspace: Workspace, number: int) -> np.ndarray:
    """Bytes of each record of a finished part before compression, shard after shard."""
    with np.load(workspace.part_summary(number)) as arrays:
        return arrays["sizes"]


def part_counts(workspace: Workspace, number: int) -> examples.Counts:
    """What is in a finished part."""
    with np.load(workspace.part_summary(number)) as arrays:
        fields = [arrays[name] for name in examples.Counts._fields]
    values: List[Any] = [int(field) if field.ndim == 0 else field for field in fields]
    return examples.Counts(*values)
