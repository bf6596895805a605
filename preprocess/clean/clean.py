"""Dirty files to clean documents: read, repair, split, deduplicate, hold out, write."""

import collections
import contextlib
import json
import math
import os
import pickle
from typing import IO, Any, Counter, Dict, Iterator, List, Optional, Set, Tuple

from absl import logging

from albert.records.manifest import manifest_path
from albert.records.options import MAX_SHARDS
from albert.system.errors import UsageError, check_between, check_one_of
from albert.system.files.atomic import atomic_write, ensure_writable_file
from albert.system.files.names import WORK_SUFFIX
from preprocess import engines, workspace
from preprocess.clean import dedup, sentences, text
from preprocess.clean.pieces import units
from preprocess.clean.units import Cleaned, CleanOptions, Outcome, clean_unit
from preprocess.engines import LOCAL, Execution
from preprocess.progress import Progress
from preprocess.sources import documents, found

_SOME = 4  # documents on either side where this many are expected: all but certainly one
FileReport = Dict[str, Any]  # what the manifest tells of an input file


def clean(options: CleanOptions, execution: Execution = LOCAL) -> Dict[str, Any]:
    """Cleans files into documents; returns the manifest that is written beside them.

    A job that was interrupted goes on where it stood when it is asked for again.

    Raises:
      UsageError: The options do not do, or no document is left.
    """
    _check(options)
    beside = os.path.dirname(options.output_file)
    paths = found.find(options.input_file, "input_file", beside)
    _check_apart(paths, options)
    counts: Counter[str] = collections.Counter()
    files: Dict[str, FileReport] = collections.OrderedDict()
    total = sum(os.path.getsize(path) for path in paths)
    identity = {"options": _plain(options), "inputs": [found.identity(path) for path in paths]}
    with workspace.opened(options.output_file + WORK_SUFFIX, dict(identity, version=1)) as work:
        with engines.start(execution) as run, _Writer(options) as writer:
            jobs = ((work.path, unit, options) for unit in units(paths, options.layout))
            with Progress("Cleaning", total, "B", not execution.tqdm_off) as progress:
                for size, outcomes in _in_order(run(clean_unit, jobs), work):
                    for outcome in outcomes:
                        _note_file(files, outcome)
                        writer.add(outcome.documents, counts)
                        counts["empty_documents"] += outcome.empty
                        counts["replaced_characters"] += outcome.piece.replaced
                    progress.update(size)
            _check_enough(options, counts, files)
    return _write_manifest(options, counts, files)


def _check(options: CleanOptions) -> None:
    check_one_of("dedup", options.dedup, dedup.DEDUPS)
    documents.check(options.layout)
    check_between("num_files", options.num_files, 1, MAX_SHARDS)
    if not 0 <= options.valid_fraction < 1:
        raise UsageError(
            "--valid_fraction must be between 0 and 1. Received {}.".format(options.valid_fraction)
        )
    text.require_ftfy(options.cleaning)
    if options.dedup == "near":
        dedup.require_datasketch()
    sentences.splitter(options.splitter, options.language)
    for path in options.output_files:
        ensure_writable_file(path, "--output_file")
    if options.valid_fraction > 0:
        ensure_writable_file(options.held_out_file, "--valid_file")
        if options.held_out_file in options.output_files:
            raise UsageError(
                "--valid_file={} is --output_file too; choose another name.".format(
                    options.valid_file
                )
            )


def _check_apart(paths: List[str], options: CleanOptions) -> None:
    """Refuses to read what is to be written."""
    inputs = {os.path.realpath(path) for path in paths}
    for path in options.written_files:
        if os.path.realpath(path) in inputs:
            raise UsageError(
                "{} is to be written, and --input_file={} has it. Write to another folder, or "
                "remove it.".format(path, options.input_file)
            )


def _in_order(
    paths: Iterator[str], work: workspace.Workspace
) -> Iterator[Tuple[int, List[Outcome]]]:
    """Reads size and outcomes of units in the order of these, whenever they come."""
    waiting: Set[str] = set()
    following = 0
    for path in paths:
        waiting.add(path)
        while work.cleaned(following) in waiting:
            with open(work.cleaned(following), "rb") as handle:
                outcome = pickle.load(handle)
            waiting.remove(work.cleaned(following))
            following += 1
            yield outcome


class _Writer:
    """The output files; each is whole or absent."""

    def __init__(self, options: CleanOptions) -> None:
        self._options = options
        self._seen = dedup.Seen(options.dedup)
        self._stack = contextlib.ExitStack()
        self._files: Dict[str, List[IO[str]]] = {}

    def __enter__(self) -> "_Writer":
        held_out = [self._options.held_out_file] if self._options.valid_fraction > 0 else []
        for side, paths in (("train", self._options.output_files), ("valid", held_out)):
            self._files[side] = [self._stack.enter_context(atomic_write(p)) for p in paths]
        return self

    def __exit__(self, *error: Any) -> Optional[bool]:
        return self._stack.__exit__(*error)

    def add(self, documents: List[Cleaned], counts: Counter[str]) -> None:
        for document in documents:
            counts["documents"] += 1
            duplicate = self._seen.duplicate(document.digest, document.sketch)
            if duplicate:
                counts[duplicate + "_duplicates"] += 1
                continue
            side = "valid" if document.held_out else "train"
            files = self._files[side]
            # By the document, not by turns, so that files change little when input is added.
            place = int.from_bytes(document.digest[8:], "big") % len(files)
            files[place].write(document.text + "\n\n")
            counts[side + "_documents"] += 1
            counts[side + "_sentences"] += document.text.count("\n") + 1
            counts[side + "_words"] += len(document.text.split())
            counts[side + "_bytes"] += len(document.text.encode("utf-8")) + 2


def _note_file(files: Dict[str, FileReport], outcome: Outcome) -> None:
    piece = outcome.piece
    entry = files.setdefault(
        piece.name, {"format": piece.kind, "documents": 0, "replaced_characters": 0, "error": ""}
    )
    if piece.error:
        logging.warning("Cannot use %s: %s", piece.name, piece.error)
        entry["error"] = piece.error
    else:
        entry["encoding"] = piece.encoding
    entry["documents"] += len(outcome.documents)
    entry["replaced_characters"] += piece.replaced


def _check_enough(
    options: CleanOptions, counts: Counter[str], files: Dict[str, FileReport]
) -> None:
    """Refuses to write nothing, or to hold nothing out."""
    kept, held_out = counts["train_documents"], counts["valid_documents"]
    if not kept + held_out:
        raise UsageError(
            "--input_file={} gives no document. {}".format(options.input_file, _first_error(files))
        )
    fraction = options.valid_fraction
    if fraction and not (kept and held_out):
        raise UsageError(
            "--input_file={} gives {:,} documents, too few for --valid_fraction={:g}: {} is held "
            "out. It needs about {:,}, separated by blank lines (--documents).".format(
                options.input_file,
                kept + held_out,
                fraction,
                "none" if kept else "every one",
                math.ceil(_SOME / min(fraction, 1 - fraction)),
            )
        )


def _first_error(files: Dict[str, FileReport]) -> str:
    errors = ["{}: {}".format(path, f["error"]) for path, f in files.items() if f["error"]]
    return errors[0] if errors else "Is there text in it?"


def _plain(options: CleanOptions) -> Dict[str, Any]:
    return dict(
        options._asdict(), layout=options.layout._asdict(), cleaning=options.cleaning._asdict()
    )


def _write_manifest(
    options: CleanOptions, counts: Counter[str], files: Dict[str, FileReport]
) -> Dict[str, Any]:
    names = (
        "documents empty_documents exact_duplicates near_duplicates replaced_characters "
        "train_documents train_sentences train_words train_bytes valid_documents "
        "valid_sentences valid_words valid_bytes"
    )
    manifest = {
        "version": 1,
        "options": _plain(options),
        "counts": {name: counts[name] for name in names.split()},
        "unreadable_files": sum(bool(entry["error"]) for entry in files.values()),
        "inputs": files,
        "outputs": options.written_files,
    }
    with atomic_write(manifest_path(options.output_file)) as handle:
        json.dump(manifest, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
    return manifest
