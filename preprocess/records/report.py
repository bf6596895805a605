"""What a build of records tells about itself: the manifest, the log, the estimates."""

import math
from typing import List

import numpy as np
from absl import logging

from albert.records import tfrecord
from albert.records.example_proto import decode_example
from albert.records.manifest import (
    VERSION,
    Manifest,
    ModelFile,
    RecordFile,
    SpecialIds,
    unigram_entropy,
)
from albert.records.options import RecordOptions
from albert.system.errors import UsageError
from albert.text.vocabulary import Vocabulary
from preprocess.records.instances import examples

LOGGED_EXAMPLES = 20
# Share of the plain size that gzip leaves; measured 0.095 on Malay text at length 512.
_GZIP_SHARE = 0.1
_LEAST_MASKED = 0.5  # of the pieces that are to be predicted


def describe(
    options: RecordOptions,
    vocabulary: Vocabulary,
    model: ModelFile,
    documents: int,
    dropped: int,
    cut: int,
    counts: examples.Counts,
    files: List[RecordFile],
) -> Manifest:
    """The manifest of a finished build."""
    pieces = counts.label_pieces
    predicted = int(pieces.sum())
    top = int(pieces.argmax())
    return Manifest(
        version=VERSION,
        options=options,
        model=model,
        vocab_size=len(vocabulary.pieces),
        special_ids=SpecialIds(**vocabulary.special_ids),
        sentence_task=options.sentence_task,
        masking=options.masking,
        max_seq_length=options.max_seq_length,
        max_predictions_per_seq=examples.prediction_width(options),
        documents=documents,
        examples=counts.examples,
        dropped_short_examples=dropped,
        cut_pieces=cut,
        tokens=counts.tokens,
        masked_tokens=counts.masked,
        examples_without_masks=counts.unmasked,
        predictions_lost_to_cap=counts.capped,
        sentence_labels={
            str(label): int(counts.sentence_labels[label + 1]) for label in (0, 1, -1)
        },
        unigram_entropy=unigram_entropy(pieces),
        top_piece=vocabulary.pieces[top] if predicted else "",
        top_piece_share=float(pieces[top]) / max(predicted, 1),
        files=files,
        reserved_ids=sorted(
            set(range(len(vocabulary.pieces))) - set(vocabulary.replacements.tolist())
        ),
    )


def estimate_bytes(options: RecordOptions, count: int, pieces: int) -> int:
    """About how much the records will take on disk.

    Args:
      options: The options of the build.
      count: Examples.
      pieces: Pieces in them, without special pieces.
    """
    tokens = pieces + 3 * count
    if options.masking == "dynamic":
        size = 165 * count + 4 * tokens
    else:
        width = examples.prediction_width(options)
        size = (245 + 4 * options.max_seq_length + 6 * width) * count + tokens
    return int(size * (_GZIP_SHARE if options.compression == "gzip" else 1))


def warn_if_capped(options: RecordOptions) -> None:
    """Says before a build that an explicit cap lowers the share of masks in full sequences."""
    wanted = int(np.rint(options.masked_lm_prob * options.max_seq_length))
    if options.masking == "static" and options.predictions < wanted:
        logging.warning(
            "--max_predictions_per_seq=%d masks %.1f%% of a full sequence of %d pieces, not "
            "--masked_lm_prob=%g; leave the flag out (%d) to mask all.",
            options.predictions,
            100.0 * options.predictions / options.max_seq_length,
            options.max_seq_length,
            options.masked_lm_prob,
            math.ceil(round(options.masked_lm_prob * options.max_seq_length, 6)),
        )


def log_files(inputs: List[str], outputs: List[str]) -> None:
    """Logs what is read and written in the form of the original scripts."""
    for title, paths in (("Reading from input", inputs), ("Writing to output", outputs)):
        logging.debug("*** %s files ***", title)
        for path in paths:
            logging.debug("  %s", path)


def log_examples(files: List[str], vocabulary: Vocabulary) -> None:
    """Logs the first examples in the form of the original scripts."""
    streams = [tfrecord.read_records(path) for path in files]
    for number in range(LOGGED_EXAMPLES):
        record = next(streams[number % len(streams)], None)
        if record is None:
            return
        features = decode_example(record[1])
        logging.debug("*** Example ***")
        ids = features["input_ids"]
        if "input_mask" in features:
            ids = ids[features["input_mask"] > 0]
        logging.debug("tokens: %s", " ".join(vocabulary.pieces[i] for i in ids))
        for name, values in features.items():
            logging.debug("%s: %s", name, " ".join(str(value) for value in values))


def log_summary(manifest: Manifest) -> None:
    """Logs the totals of a finished build."""
    logging.debug("Wrote %d total instances", manifest.examples)
    if manifest.predictions_lost_to_cap:
        lost, made = manifest.predictions_lost_to_cap, manifest.masked_tokens
        logging.warning(
            "The cap of %d predictions cost %d of %d predictions (%.1f%%).",
            manifest.max_predictions_per_seq,
            lost,
            lost + made,
            100.0 * lost / (lost + made),
        )
    if manifest.cut_pieces:
        logging.info(
            "%s pieces (%.1f%%) are in no example: they did not fit beside the others, or their "
            "document was too short",
            "{:,}".format(manifest.cut_pieces),
            100 * manifest.cut_share,
        )
    logging.info(
        "%s examples of %s documents, %s tokens, %s masked; unigram entropy %.3f nats, commonest "
        "piece %s %.1f%%",
        "{:,}".format(manifest.examples),
        "{:,}".format(manifest.documents),
        "{:,}".format(manifest.tokens),
        "{:,}".format(manifest.masked_tokens),
        manifest.unigram_entropy,
        manifest.top_piece,
        100 * manifest.top_piece_share,
    )


def check_masked(options: RecordOptions, counts: examples.Counts) -> None:
    """Refuses records in which far fewer pieces are masked than was asked for.

    Raises:
      UsageError: Less than half of them are, and no cap forbade the others.
    """
    due = options.masked_lm_prob * counts.tokens
    if options.masking == "static" and counts.masked + counts.capped < _LEAST_MASKED * due:
        raise UsageError(
            "--masked_lm_prob={:g} of {:,} pieces are {:,}, and only {:,} could be masked: words "
            "are longer than that share of an example. Pass --do_whole_word_mask=False, a higher "
            "--max_seq_length, or a tokenizer with more pieces.".format(
                options.masked_lm_prob, counts.tokens, int(due), counts.masked
            )
        )


def check_not_empty(documents: int, count: int, options: RecordOptions) -> None:
    """Refuses to write records of nothing.

    Raises:
      UsageError: There is no text, or no example was long enough.
    """
    if not documents:
        raise UsageError(
            "--input_file={} holds no text. Give UTF-8 text, a sentence a line and a blank line "
            "between documents.".format(options.input_file)
        )
    if not count:
        raise UsageError(
            "--input_file={} gives no example: every document has a single sentence of fewer than "
            "{} pieces. Give longer documents.".format(options.input_file, options.min_pieces)
        )
