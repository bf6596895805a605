"""What the build of some records tells about them, in `NAME.manifest.json` beside them."""

import dataclasses
import json
import os
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from albert.records.options import RecordOptions
from albert.records.tfrecord import MANIFEST_SUFFIX, RecordError
from albert.system.files.atomic import atomic_write
from albert.system.files.names import unsharded
from albert.system.files.side import read_json, typed

VERSION = 1


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """Ids of the special pieces."""

    cls: int
    sep: int
    mask: int
    pad: int
    unk: int


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """The SentencePiece model of a build: its name, its SHA-256 and the version that encoded.

    Versions break ties between segmentations differently.
    """

    file: str
    sha256: str
    sentencepiece: str = ""


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """One of the files: its name without folder, its examples, its bytes and their CRC-32C."""

    name: str
    examples: int
    bytes: int
    crc32c: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A finished build.

    Attributes:
      version: Of this format.
      options: What the records were built from.
      model: The SentencePiece model.
      vocab_size: Its pieces.
      special_ids: Ids of its special pieces.
      sentence_task: As in the options.
      masking: As in the options.
      max_seq_length: As in the options; S of the batches.
      max_predictions_per_seq: P of the batches.
      documents: Documents of the text.
      examples: Records.
      dropped_short_examples: Examples of a single segment that were too short to keep.
      tokens: Real tokens, special pieces included.
      masked_tokens: Predictions.
      examples_without_masks: Examples in which nothing could be masked.
      predictions_lost_to_cap: Further predictions that only the cap forbade.
      sentence_labels: Examples by label: "0", "1" and "-1".
      unigram_entropy: Of the pieces to predict, in nats; see `unigram_entropy`.
      top_piece: The commonest of them.
      top_piece_share: Its share.
      files: The record files.
      reserved_ids: Pieces that never replace another at random.
      cut_pieces: Pieces of the text that are in no example, counted once a duplicate.
    """

    version: int
    options: RecordOptions
    model: ModelFile
    vocab_size: int
    special_ids: SpecialIds
    sentence_task: str
    masking: str
    max_seq_length: int
    max_predictions_per_seq: int
    documents: int
    examples: int
    dropped_short_examples: int
    tokens: int
    masked_tokens: int
    examples_without_masks: int
    predictions_lost_to_cap: int
    sentence_labels: Dict[str, int]
    unigram_entropy: float
    top_piece: str
    top_piece_share: float
    files: List[RecordFile]
    reserved_ids: List[int] = dataclasses.field(default_factory=list)
    cut_pieces: int = 0

    @property
    def cut_share(self) -> float:
        """Of all pieces of the text, special ones aside, the share that is in no example."""
        paired = self.sentence_labels.get("0", 0) + self.sentence_labels.get("1", 0)
        kept = self.tokens - 2 * self.examples - paired
        return self.cut_pieces / max(self.cut_pieces + kept, 1)


def unigram_entropy(counts: np.ndarray) -> float:
    """-sum p ln p in nats: the loss of a model that knows how frequent each piece is, no more."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log(share)).sum())


def manifest_path(output_file: str) -> str:
    """Where the manifest of `--output_file` lies.

    A comma list has one manifest, named after its first file; the shards of `name` share
    `name.manifest.json`.

    >>> manifest_path("data/train.tfrecord-00003-of-00008")
    'data/train.tfrecord.manifest.json'
    """
    return unsharded(output_file.split(",")[0].strip()) + MANIFEST_SUFFIX


def write_manifest(path: str, manifest: Manifest) -> None:
    """Writes a manifest, whole or not at all."""
    with atomic_write(path) as handle:
        values = dataclasses.asdict(manifest)
        text = json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True)
        handle.write(text + "\n")


def read_manifest(record_file: str) -> Optional[Manifest]:
    """The manifest that describes a record file, or None if none lies beside it.

    It has the name of the file or, where several files share one, lists it.

    Raises:
      RecordError: It is damaged, or something else has its name.
    """
    beside = manifest_path(record_file)
    if os.path.isfile(beside):
        return _manifest(_values(beside), beside)
    folder, own = os.path.split(record_file)
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    for name in names:
        if name.endswith(MANIFEST_SUFFIX):
            path = os.path.join(folder, name)
            values = _values(path)
            if _lists(values, own):
                return _manifest(values, path)
    return None


def check_builds(files: Sequence[str], examples: Sequence[int]) -> Optional[ModelFile]:
    """Holds record files to their manifests, and these to one another.

    Args:
      files: Record files; those without a manifest are left alone.
      examples: Records found in each.

    Returns:
      The SentencePiece model that all of them were built with; None where no manifest says it.

    Raises:
      RecordError: A file has other records than its manifest says, a shard is missing, or the files
        are of builds that do not go together.
    """
    manifests: Dict[str, Optional[Manifest]] = {}  # the shards of a build share one
    described = []
    for path, count in zip(files, examples):
        build = manifest_path(path)
        if build not in manifests:
            manifests[build] = read_manifest(path)
            _check_shards(manifests[build], path)
        manifest = manifests[build]
        if manifest is not None:
            _check_file(manifest, path, count)
            described.append((path, manifest))
    for path, manifest in described[1:]:
        _check_alike(*described[0], path, manifest)
    return described[0][1].model if described else None


def _check_shards(manifest: Optional[Manifest], path: str) -> None:
    folder, own = os.path.split(path)
    for entry in manifest.files if manifest else []:
        beside = os.path.join(folder, entry.name)
        # Files of a comma list may lie in folders of their own.
        if unsharded(entry.name) == unsharded(own) and not os.path.isfile(beside):
            raise RecordError(
                "{} is missing, a file of the same build as {}. Copy it here, or build the records "
                "again.".format(beside, path)
            )


def _check_file(manifest: Manifest, path: str, count: int) -> None:
    for entry in manifest.files:
        size = os.path.getsize(path)
        if entry.name == os.path.basename(path) and (entry.examples, entry.bytes) != (count, size):
            raise RecordError(
                "{} has {:,} records in {:,} bytes, but its manifest says {:,} in {:,}. Copy or "
                "build it again; if it is meant to be what it is, remove its manifest.".format(
                    path, count, size, entry.examples, entry.bytes
                )
            )


def _check_alike(path: str, one: Manifest, other_path: str, other: Manifest) -> None:
    for what, mine, theirs in (
        ("SentencePiece model", one.model.sha256, other.model.sha256),
        ("--masking", one.masking, other.masking),
        ("--max_seq_length", one.max_seq_length, other.max_seq_length),
        ("--max_predictions_per_seq", one.max_predictions_per_seq, other.max_predictions_per_seq),
    ):
        if mine != theirs:
            raise RecordError(
                "The records {} and {} do not go together: {} of their builds is {} and {}. Build "
                "them with the same settings.".format(path, other_path, what, mine, theirs)
            )


def _values(path: str) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error


def _lists(values: Any, name: str) -> bool:
    """Whether a manifest, of whatever kind, is about a file."""
    files = values.get("files") if isinstance(values, dict) else None
    entries = files if isinstance(files, list) else []
    return any(isinstance(entry, dict) and entry.get("name") == name for entry in entries)


def _manifest(values: Any, path: str) -> Manifest:
    try:
        manifest = typed(Manifest, values, "content")
        if manifest.version != VERSION:
            raise ValueError("its version is {}, not {}".format(manifest.version, VERSION))
        return manifest
    except ValueError as error:
        raise _refused(path, error) from error


def _refused(path: str, error: Exception) -> RecordError:
    return RecordError(
        "{} is damaged, or no manifest of records: {}. Build the records again.".format(path, error)
    )
