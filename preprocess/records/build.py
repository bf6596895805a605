"""Text files to record files: the whole build, in flat memory, continued where it was killed."""

import dataclasses
import os
from typing import Any, Dict, List, NamedTuple

from absl import logging

from albert.records.manifest import Manifest, ModelFile, manifest_path
from albert.records.options import RecordOptions
from albert.records.tfrecord import MANIFEST_SUFFIX
from albert.system.files.atomic import ensure_writable_file
from albert.system.files.names import WORK_SUFFIX, Files, Path, comma_list
from albert.system.files.sums import sha256_file
from albert.system.keywords import checked_keywords
from albert.text import vocabulary
from preprocess import engines, workspace
from preprocess.engines import LOCAL, Execution
from preprocess.progress import duration
from preprocess.records import jobs, report, steps
from preprocess.sources import documents, found
from preprocess.sources.documents import Layout


class Build(NamedTuple):
    """A finished build.

    Attributes:
      files: The record files.
      manifest: As written beside the records.
      seconds: Time of each step, start-up of the engine excluded.

    >>> build = build_records("text.txt", "a.tfrecord", "tokenizer.model")  # doctest: +SKIP
    >>> build.files, build.manifest.examples  # doctest: +SKIP
    """

    files: List[str]
    manifest: Manifest
    seconds: Dict[str, float]


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
      input_file: Text of any kind that `preprocess.sources` reads: a path, glob or folder, or a
        list of them. Plain text is UTF-8, a sentence a line and a blank line between documents.
      output_file: The record file, or a list of them that the examples are dealt out to.
      tokenizer: The SentencePiece model, for example from `train_tokenizer`.
      execution: Where the work is done and by how many processes; changes no byte.
      **options: The flags of the command by name, such as `max_seq_length`, `dupe_factor`,
        `masking`; all of them are attributes of `RecordOptions`.

    Returns:
      The files, what their manifest says, and the time it took.

    Raises:
      UsageError: An argument is not known or does not do, or the text or the model cannot be read.
      TryAgain: The disk has too little room, or a worker process was killed.

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
      UsageError: Something in the options, the inputs or the model does not do.
      TryAgain: The disk has too little room, or a worker process was killed.
    """
    layout = Layout(options.text_format, text_field=options.text_field)
    documents.check(layout)
    words = vocabulary.load(options.spm_model_file)
    files = options.output_files
    for path in files:
        ensure_writable_file(path, "--output_file")
    paths = found.find(options.input_file, "input_file", os.path.dirname(files[0]))
    report.warn_if_capped(options)
    report.log_files(paths, files)
    base = manifest_path(options.output_file)
    model = ModelFile(
        os.path.basename(options.spm_model_file),
        sha256_file(options.spm_model_file),
        vocabulary.sentencepiece_version(),
    )
    identity = {
        "options": dataclasses.asdict(options),
        "inputs": [found.identity(path) for path in paths],
        "model": dataclasses.asdict(model),
        "index": 2,  # unfinished builds of earlier versions have another or none
    }
    folder = base[: -len(MANIFEST_SUFFIX)] + WORK_SUFFIX
    with workspace.opened(folder, identity) as work:
        context = jobs.Context(work.path, options, os.path.abspath(options.spm_model_file))
        with engines.start(execution) as run:
            seconds = steps.take(context, work, run, paths, layout, not execution.tqdm_off)
            result = steps.finish(context, work, base, words, model)
    report.log_examples(files, words)
    report.log_summary(result)
    logging.info(
        "Records in %s (%s), manifest in %s",
        ", ".join(files[:3]) + (" ..." if len(files) > 3 else ""),
        duration(sum(seconds.values())),
        base,
    )
    return Build(files, result, seconds)
