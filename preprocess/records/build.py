"""Text files to record files: the whole build, in flat memory, continued where it was killed."""

import dataclasses
import os
import shutil
import time
from typing import Any, Dict, List, NamedTuple

import numpy as np
from absl import logging

from albert.data.manifest import (
    Manifest,
    ModelFile,
    RecordFile,
    manifest_path,
    write_manifest,
)
from albert.data.record_options import RecordOptions
from albert.data.records import MANIFEST_SUFFIX
from albert.system.errors import UsageError
from albert.system.file_names import Files, Path, comma_list, expand_files
from albert.system.files import ensure_writable_file, sha256_file
from albert.system.keywords import checked_keywords
from albert.text import vocabulary
from preprocess import engines, inputs
from preprocess.engines import LOCAL, Execution, Map
from preprocess.progress import Progress, duration
from preprocess.records import examples, jobs, report, spill, workspace
from preprocess.records.shards import Shards, rename_all
from preprocess.records.workspace import Workspace

# Pieces that one job masks; with the arrays made from them about 150 MB.
PART_PIECES = 3 << 20


class Build(NamedTuple):
    """A finished build.

    Attributes:
      files: The record files.
      manifest: As written beside the records.
      seconds: Time of each step, start-up of the engine excluded.
    """

    files: List[str]
    manifest: Manifest
    seconds: Dict[str, float]


class _Segmented(NamedTuple):
    """What the first two steps have left."""

    blocks: List[int]
    cells: np.ndarray
    documents: int
    pieces: int
    dropped: int

    @property
    def examples(self) -> int:
        return int(self.cells.sum())


@checked_keywords(RecordOptions, "input_file", "output_file", "spm_model_file")
def build_records(
    input_file: Files,
    output_file: Files,
    tokenizer: Path,
    *,
    execution: Execution = LOCAL,
    **options: Any,
) -> Build:
    """Builds pre-training records from text, as `python -m preprocess records` does.

    A build that was interrupted goes on where it stood when it is asked for again.

    Args:
      input_file: UTF-8 text, a sentence a line and a blank line between documents, also
        compressed: a path or glob, or a list of them.
      output_file: The record file, or a list of them that the examples are dealt out to.
      tokenizer: The SentencePiece model, for example from `train_tokenizer`.
      execution: Where the work is done and by how many processes; changes no byte.
      **options: The flags of the command by name, such as `max_seq_length`, `dupe_factor`,
        `masking`; all of them are attributes of `RecordOptions`.

    Returns:
      The files, what their manifest says, and the time it took.

    Raises:
      UsageError: An argument is not known or does not do, the text or the model cannot be read,
        or the disk is full.

    Example:
      >>> import preprocess
      >>> with open("text.txt", "w") as text:
      ...     for number in range(500):
      ...         print("Sentence {} is short.".format(number), file=text)
      ...         print("Another one follows, then an empty line.", file=text)
      ...         print(file=text)
      >>> model = preprocess.train_tokenizer("text.txt", "tokenizer", vocab_size=60)
      >>> train = preprocess.build_records("text.txt", "train.tfrecord", model, max_seq_length=64)
      >>> train.files, train.manifest.documents
      (['train.tfrecord'], 500)
    """
    return write_records(
        RecordOptions(
            comma_list(input_file, "input_file"),
            comma_list(output_file, "output_file"),
            vocabulary.resolve_model(os.fspath(tokenizer), ""),
            **options,
        ),
        execution,
    )


def write_records(options: RecordOptions, execution: Execution = LOCAL) -> Build:
    """Builds the record files that the options describe, and their manifest.

    Equal options and inputs give equal bytes, however the work is carried out and however often
    it was interrupted.

    Raises:
      UsageError: Something in the options, the inputs, the model or the disk does not do.
    """
    paths = expand_files(options.input_file, "input_file")
    words = vocabulary.load(options.spm_model_file)
    files = options.output_files
    for path in files:
        ensure_writable_file(path, "--output_file")
    report.warn_if_capped(options)
    logging.info("*** Reading from input files ***")
    for path in paths:
        logging.info("  %s", path)
    logging.info("*** Writing to output files ***")
    for path in files:
        logging.info("  %s", path)
    base = manifest_path(options.output_file)
    model = ModelFile(
        os.path.basename(options.spm_model_file),
        sha256_file(options.spm_model_file),
        vocabulary.sentencepiece_version(),
    )
    identity = {
        "options": dataclasses.asdict(options),
        "inputs": [[path, os.stat(path).st_size, os.stat(path).st_mtime_ns] for path in paths],
        "model": dataclasses.asdict(model),
    }
    folder = base[: -len(MANIFEST_SUFFIX)] + ".work"
    with workspace.opened(folder, identity) as work:
        context = jobs.Context(work.path, options, os.path.abspath(options.spm_model_file))
        with engines.start(execution) as run:
            if not work.state().get("complete"):
                seconds = _build(context, work, run, paths, not execution.tqdm_off)
            else:
                seconds = {}
            result = _finish(context, work, base, words, model)
    report.log_examples(files, words)
    report.log_summary(result)
    logging.info(
        "Records in %s (%s), manifest in %s",
        ", ".join(files[:3]) + (" ..." if len(files) > 3 else ""),
        duration(sum(seconds.values())),
        base,
    )
    return Build(files, result, seconds)


def _build(
    context: jobs.Context, work: Workspace, run: Map, paths: List[str], bar: bool
) -> Dict[str, float]:
    clock = [time.time()]
    _encode(context, work, run, paths, bar)
    clock.append(time.time())
    _segment(context, work, run, bar)
    clock.append(time.time())
    _mask(context, work, run, bar)
    clock.append(time.time())
    return dict(zip(("encode", "segment", "mask"), np.diff(clock).tolist()))


def _encode(context: jobs.Context, work: Workspace, run: Map, paths: List[str], bar: bool) -> None:
    if "blocks" in work.state():
        return
    count = 0
    sizes = [os.path.getsize(path) for path in paths]
    at = [0] * len(paths)
    with Progress("Tokenising", sum(sizes), "B", bar) as progress:
        stream = ((context, block) for block in inputs.read_blocks(paths))
        for block in run(jobs.encode, stream):
            count = max(count, block.number + 1)
            progress.update(max(0, block.progress - at[block.file_index]))
            at[block.file_index] = max(at[block.file_index], block.progress)
    work.note(blocks=count)


def _segment(context: jobs.Context, work: Workspace, run: Map, bar: bool) -> None:
    if work.state().get("segmented"):
        return
    blocks = work.state()["blocks"]
    with Progress("Segmenting", blocks, "blocks", bar) as progress:
        for _ in run(jobs.segment, ((context, block, blocks) for block in range(blocks))):
            progress.update(1)
    work.note(segmented=True)


def _segmented(work: Workspace) -> _Segmented:
    blocks = list(range(work.state()["blocks"]))
    cells = np.zeros(spill.CELLS, np.int64)
    documents = pieces = dropped = 0
    for block in blocks:
        summary = spill.summarize(work.spill(block))
        cells += summary.cells
        documents += summary.documents
        pieces += summary.pieces
        dropped += summary.dropped
    return _Segmented(blocks, cells, documents, pieces, dropped)


def plan_parts(cells: np.ndarray, pieces: int, part_pieces: int) -> List[jobs.Part]:
    """Cuts the key ranges into parts of about equal numbers of examples.

    Args:
      cells: Examples in each cell of keys.
      pieces: Pieces in all examples.
      part_pieces: Pieces that a part should hold.
    """
    count = int(cells.sum())
    number = min(len(cells), max(1, -(-pieces // part_pieces)))
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
    shards = Shards(work, options.output_files, compressed=options.compression == "gzip")
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
    work.note(
        complete=True, files=[dataclasses.asdict(entry) for entry in entries], parts=len(parts)
    )


def _check_disk(options: RecordOptions, found: _Segmented, folder: str) -> None:
    expected = report.estimate_bytes(options, found.examples, found.pieces)
    free = shutil.disk_usage(folder).free
    logging.info(
        "%d documents give %d examples, about %.1f MB on disk (%.1f MB free)",
        found.documents,
        found.examples,
        expected / 1e6,
        free / 1e6,
    )
    if expected > free:
        raise UsageError(
            "The records need about {:.1f} GB and {:.1f} GB are free on the disk of {}. Use "
            "--masking=dynamic, --compression=gzip, a lower --dupe_factor or another disk.".format(
                expected / 1e9, free / 1e9, folder
            )
        )


def _finish(
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
    for number in range(state["parts"]):
        counts = counts.plus(jobs.part_counts(work, number))
    if os.path.exists(base):
        os.remove(base)
    rename_all(work, context.options.output_files)
    entries = [RecordFile(**entry) for entry in state["files"]]
    result = report.describe(
        context.options, words, model, found.documents, found.dropped, counts, entries
    )
    write_manifest(base, result)
    return result
