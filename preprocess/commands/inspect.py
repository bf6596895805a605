"""The command that validates record files and shows samples."""

import itertools
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence

import google_crc32c
import numpy as np
from absl import flags

from albert.records import tfrecord
from albert.records.example_proto import decode_example
from albert.records.manifest import Manifest, read_manifest
from albert.records.options import SENTENCE_TASKS, RecordOptions
from albert.system import command_line
from albert.system.errors import UsageError
from albert.text.vocabulary import Vocabulary, load, resolve_model
from preprocess.inspection.rows import Expected
from preprocess.inspection.statistics import Inspection
from preprocess.progress import Progress

Features = Dict[str, np.ndarray]
_FRAME = tfrecord.HEAD + 4  # bytes around a record
_AT_ONCE = 1024  # records, looked at as one array

USAGE = """Validates record files, shows samples as text, exits with 1 if something is off.

  python -m preprocess inspect train.tfrecord
"""


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("spm_model_file", None, "SentencePiece model; default: the manifest's.")
    flags.DEFINE_string("vocab_file", None, "Accepted; the .model of the same name is used.")
    flags.DEFINE_integer("samples", 3, "Examples to show.", lower_bound=0)
    flags.DEFINE_enum("sentence_task", None, SENTENCE_TASKS, "Default: the manifest's, else sop.")
    flags.DEFINE_float("masked_lm_prob", None, "Default: the manifest's, else 0.15.")
    flags.DEFINE_integer("dupe_factor", None, "Default: the manifest's, else 5.")
    flags.DEFINE_bool("tqdm_off", False, "Log lines instead of a progress bar.")


def _expected(manifest: Optional[Manifest], words: Vocabulary) -> Expected:
    # The attributes of the class are its defaults.
    options = manifest.options if manifest else RecordOptions

    def choose(name: str) -> Any:
        given = flags.FLAGS[name].value
        return getattr(options, name) if given is None else given

    return Expected(
        vocab_size=len(words.pieces),
        cls=words.cls,
        sep=words.sep,
        mask=words.mask,
        unk=words.unk,
        sentence_task=choose("sentence_task"),
        masked_lm_prob=choose("masked_lm_prob"),
        duplicates=1 if options.masking == "dynamic" else choose("dupe_factor"),
        permuted=options.do_permutation,
    )


def show(features: Features, words: Vocabulary) -> str:
    """An example as text; predicted pieces stand in brackets as original>input."""
    ids = features["input_ids"].tolist()
    real = int(features["input_mask"].sum()) if "input_mask" in features else len(ids)
    original = {}
    if "masked_lm_ids" in features:
        used = features["masked_lm_weights"] > 0
        positions = features["masked_lm_positions"][used].tolist()
        original = dict(zip(positions, features["masked_lm_ids"][used].tolist()))
    out = []
    for position, piece in enumerate(ids[:real]):
        text = words.pieces[piece]
        if position in original:
            right = original[position]
            text = "{{{}>{}}}".format(words.pieces[right], "same" if piece == right else text)
        out.append(text)
    label = int(features["next_sentence_labels"][0])
    return "label {}: {}".format(label, " ".join(out))


def _plain_size(path: str) -> int:
    """Bytes of a record file without compression, for the progress."""
    with open(path, "rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    # Gzip leaves about a tenth of padded records.
    return os.path.getsize(path) * (10 if zipped else 1)


def _read(
    paths: List[str], inspection: Inspection, shown: List[Features], bar: bool
) -> Iterator[str]:
    """Feeds all records to the inspection; yields what makes a file unreadable."""
    total = sum(_plain_size(path) for path in paths)
    with Progress("Inspecting", total, "B", bar) as progress:
        for path in paths:
            try:
                _read_file(path, inspection, shown, progress)
            except tfrecord.RecordError as error:
                yield str(error)


def _read_file(
    path: str, inspection: Inspection, shown: List[Features], progress: Progress
) -> None:
    found = tfrecord.read_records(path)
    for records in iter(lambda: list(itertools.islice(found, _AT_ONCE)), []):
        sound = inspection.add(path, *zip(*records))
        right = itertools.compress((payload for _, payload in records), sound)
        wanted = flags.FLAGS.samples - len(shown)
        shown += map(decode_example, itertools.islice(right, wanted))
        progress.update(sum(len(payload) + _FRAME for _, payload in records))


def _changed(paths: List[str], manifest: Optional[Manifest]) -> Iterator[str]:
    """Files that are not what their manifest says."""
    entries = {entry.name: entry for entry in manifest.files} if manifest else {}
    for path in paths:
        entry = entries.get(os.path.basename(path))
        if entry is None:
            continue
        checksum = google_crc32c.Checksum()
        with open(path, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                checksum.update(block)
        if checksum.hexdigest().decode() != entry.crc32c:
            yield "{} is not the file its manifest describes (checksum {}, not {}).".format(
                path, checksum.hexdigest().decode(), entry.crc32c
            )


def main(positional: List[str]) -> int:
    """Inspects the files named on the command line."""
    f = flags.FLAGS
    if not positional:
        raise UsageError(
            "Name record files, for example: python -m preprocess inspect train.tfrecord "
            "--spm_model_file=tokenizer.model"
        )
    paths = tfrecord.record_files(",".join(positional), "input_file")
    manifest = read_manifest(paths[0])
    model = f.spm_model_file or ""
    if manifest and not model and not f.vocab_file:
        model = manifest.options.spm_model_file
    words = load(resolve_model(model, f.vocab_file or ""))
    inspection = Inspection(_expected(manifest, words))
    shown: List[Features] = []
    reasons = list(_read(paths, inspection, shown, not f.tqdm_off))
    for features in shown:
        print(show(features, words))
    for name, value in inspection.statistics().items():
        shape = "{:>32}: {:,}" if isinstance(value, int) else "{:>32}: {:.4f}"
        print(shape.format(name, value))
    if manifest:
        print("{:>32}: {:.4f}".format("pieces of the text left out", manifest.cut_share))
    reasons += inspection.reasons() + list(_changed(paths, manifest))
    for reason in reasons:
        print("WRONG: {}".format(reason))
    print("{} {}".format(", ".join(paths), "is not in order" if reasons else "is in order"))
    return 1 if reasons else 0


def run(argv: Sequence[str]) -> None:
    """The whole command, from arguments to exit code."""
    command_line.run(argv, USAGE, define_flags, main)
