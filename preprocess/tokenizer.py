"""Training a SentencePiece model for ALBERT, and a report on how well it fits."""

import io
import itertools
import os
import re
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from absl import logging

from albert.records import counter_rng
from albert.system.errors import UsageError, check_between, check_one_of
from albert.system.files.atomic import atomic_write, ensure_writable_directory
from albert.system.files.names import Files, Path, comma_list
from albert.system.keywords import checked_keywords
from albert.text import vocabulary
from preprocess import engines
from preprocess.sources import documents, found
from preprocess.sources.blocks import AS_THEY_ARE, decode_utf8, read_blocks
from preprocess.sources.documents import Layout

CONTROL_SYMBOLS = ("[CLS]", "[SEP]", "[MASK]")
# Both seeds train with these; they differ in the size of the sample and of the vocabulary.
_COMMON = {
    "model_type": "unigram",
    "character_coverage": 0.99995,
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "pad_piece": "<pad>",
    "control_symbols": list(CONTROL_SYMBOLS),
    "user_defined_symbols": ["(", ")", "\u201d", "-", ".", "\u2013", "\u00a3", "\u20ac"],
}


_LARGEST = (1 << 31) - 1  # SentencePiece counts so far
_BYTES_PER_PIECE = 400  # text this long keeps a piece in use
_FEWEST_PIECES, _MOST_PIECES = 200, 4000


class Preset(NamedTuple):
    """Options in which the presets differ.

    Attributes:
      vocab_size: Pieces, special pieces included.
      input_sentence_size: Sentences in the shuffled sample.
    """

    vocab_size: int
    input_sentence_size: int


PRESETS = {
    "guide": Preset(25000, 10000000),  # the ALBERT guide: small vocabulary, large sample
    "malaya": Preset(32000, 1000000),  # the Malay project: 32,000 pieces
}


def sentences(paths: List[str], layout: Layout = AS_THEY_ARE) -> Iterator[str]:
    """The non-empty lines of the documents of files."""
    for block in read_blocks(paths, layout):
        for line in decode_utf8(block).split("\n"):
            line = line.strip()
            if line:
                yield line


def _sample(paths: List[str], layout: Layout, size: int, seed: int) -> Iterator[str]:
    """About `size` sentences, drawn evenly from all; all of them if there are no more.

    SentencePiece could sample too, but its generator cannot be seeded.
    """
    total = sum(1 for _ in sentences(paths, layout))
    chunk = 1 << 16
    chosen = np.ones(chunk, bool)
    for number, line in enumerate(sentences(paths, layout)):
        if number % chunk == 0 and total > size:
            numbers = np.arange(number, number + chunk)
            chosen = counter_rng.uniform(seed, "tokenizer sample", numbers) < size / total
        if chosen[number % chunk]:
            yield line


def vocab_size_for(text_bytes: int) -> int:
    """Pieces that a small text keeps in use, between 200 and 4,000.

    >>> vocab_size_for(1000000)
    2500
    """
    return min(max(text_bytes // _BYTES_PER_PIECE, _FEWEST_PIECES), _MOST_PIECES)


@checked_keywords()
def train_tokenizer(
    input_file: Files,
    model_prefix: Path,
    vocab_size: Optional[int] = None,
    preset: str = "malaya",
    *,
    input_sentence_size: Optional[int] = None,
    character_coverage: float = 0.99995,
    do_lower_case: bool = False,
    random_seed: int = 12345,
    text_format: str = "auto",
    text_field: str = "",
    show_progress: bool = False,
) -> str:
    """Trains a SentencePiece model for ALBERT on a shuffled sample of bounded size.

    Args:
      input_file: Text of any kind that `preprocess.sources` reads: a path, glob or folder, or a
        list of them. Plain text is UTF-8, a sentence a line.
      model_prefix: `.model` and `.vocab` are written under this name, whole or not at all.
      vocab_size: Pieces in all; the preset's if None or 0.
      preset: A key of `PRESETS`.
      input_sentence_size: Sentences in the sample; the preset's if None or 0.
      character_coverage: Share of the characters that get pieces.
      do_lower_case: Train on lower-cased text.
      random_seed: Seed of the sample; equal text and seed give an equal model.
      text_format: Of the files; "auto" knows it by its bytes and the names of the files.
      text_field: Path of the text in JSON or a table; "" takes the field with most text.
      show_progress: Let SentencePiece tell on stderr what it is doing.

    Returns:
      Path of the `.model` file.

    Raises:
      UsageError: An argument is not known or does not do, there is no text, or the vocabulary is
        too large for it; the message tells the largest that works.

    Example:
      >>> import preprocess
      >>> with open("text.txt", "w") as text:
      ...     for number in range(500):
      ...         print("This is sentence {} of a text.".format(number), file=text)
      >>> preprocess.train_tokenizer("text.txt", "tokenizer", vocab_size=60)
      'tokenizer.model'
    """
    check_one_of("preset", preset, list(PRESETS))
    check_between("vocab_size", vocab_size or 0, 0, _LARGEST)
    check_between("input_sentence_size", input_sentence_size or 0, 0, _LARGEST)
    check_between("character_coverage", character_coverage, 0, 1)
    input_file, model_prefix = comma_list(input_file, "input_file"), os.fspath(model_prefix)
    layout = Layout(text_format, text_field=text_field)
    documents.check(layout)
    folder = os.path.dirname(model_prefix) or "."
    ensure_writable_directory(folder, "--model_prefix")
    paths = found.find(input_file, "input_file", folder)
    vocab_size = vocab_size or PRESETS[preset].vocab_size
    options = dict(
        _COMMON,
        vocab_size=vocab_size,
        character_coverage=character_coverage,
        minloglevel=0 if show_progress else 2,
    )
    size = input_sentence_size or PRESETS[preset].input_sentence_size
    logging.info("Training a vocabulary of %d pieces on %d files", vocab_size, len(paths))
    try:
        model = engines.apart(_train, (paths, layout, size, random_seed, do_lower_case, options))
    except RuntimeError as error:
        raise _explained(str(error), vocab_size, input_file) from error
    _write(model, model_prefix)
    return model_prefix + ".model"


def _train(job: Tuple[List[str], Layout, int, int, bool, Dict[str, Any]]) -> bytes:
    """Trains in this process, which should be one of its own.

    SentencePiece's trainer crashes where TensorFlow 1.15 is loaded: that exports its own, other
    protocol buffers. Besides, the memory of the training goes back at its end.
    """
    import sentencepiece

    paths, layout, size, random_seed, lower_case, options = job
    failed: List[UsageError] = []

    def stream() -> Iterator[str]:
        # An exception must not pass through the trainer, which would hide it.
        try:
            for line in _sample(paths, layout, size, random_seed):
                yield line.lower() if lower_case else line
        except UsageError as error:
            failed.append(error)

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=stream(), model_writer=model, **options
        )
    finally:
        if failed:
            raise failed[0]
    return model.getvalue()


def _explained(message: str, vocab_size: int, input_file: str) -> UsageError:
    high = re.search(r"Vocabulary size too high.*?<= (\d+)", message)
    low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    if high:
        return UsageError(
            "--vocab_size={} is too large for the text in {}: that takes about {:,} kB of text. Of "
            "this text the largest that works is {}.".format(
                vocab_size, input_file, vocab_size * _BYTES_PER_PIECE // 1000, high.group(1)
            )
        )
    if low:
        return UsageError(
            "--vocab_size={} is too small for the characters in {}; give at least {}, or a lower "
            "--character_coverage.".format(vocab_size, input_file, low.group(1))
        )
    if "sentences_.empty()" in message:
        return UsageError("--input_file={} holds no text.".format(input_file))
    return UsageError("SentencePiece could not train on {}: {}".format(input_file, message))


def _write(model: bytes, model_prefix: str) -> None:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    with atomic_write(model_prefix + ".vocab") as handle:
        for i in range(processor.GetPieceSize()):
            handle.write("{}\t{:g}\n".format(processor.IdToPiece(i), processor.GetScore(i)))
    with atomic_write(model_prefix + ".model", "wb") as handle:
        handle.write(model)


class Report(NamedTuple):
    """How a model fits a text.

    Attributes:
      sentences: Sentences looked at.
      words: White-space separated words in them.
      pieces: Pieces they became.
      pieces_per_word: The ratio.
      characters_covered: Share of the characters that are not part of an unknown piece.
      unk_rate: Share of the pieces that are unknown.
      unused: Ordinary pieces of the vocabulary that never occurred.
      vocab_size: Pieces in the vocabulary.
    """

    sentences: int
    words: int
    pieces: int
    pieces_per_word: float
    characters_covered: float
    unk_rate: float
    unused: int
    vocab_size: int


def report(model_file: str, lines: Iterable[str], limit: int = 200000) -> Report:
    """Measures a model on (best: held-out) sentences, at most `limit` of them."""
    words = vocabulary.load(model_file)
    used = np.zeros(len(words.pieces), np.int64)
    seen = count = characters = lost = 0
    for batch in _batches(itertools.islice(lines, limit), 1000):
        seen += len(batch)
        count += sum(len(line.split()) for line in batch)
        characters += sum(len("".join(line.split())) for line in batch)
        for line, ids in zip(batch, words.processor.EncodeAsIds(batch)):
            used += np.bincount(ids, minlength=len(used))
            if words.unk in ids:
                lost += _unknown_characters(words, line)
    pieces = int(used.sum())
    return Report(
        seen,
        count,
        pieces,
        pieces / max(count, 1),
        1.0 - lost / max(characters, 1),
        int(used[words.unk]) / max(pieces, 1),
        int((used[words.replacements] == 0).sum()),
        len(words.pieces),
    )


def _unknown_characters(words: vocabulary.Vocabulary, line: str) -> int:
    pieces = words.processor.EncodeAsPieces(line)
    known = set(words.pieces)
    return sum(
        len(piece.replace(vocabulary.WORD_MARK, "")) for piece in pieces if piece not in known
    )


def _batches(items: Iterable[str], size: int) -> Iterator[List[str]]:
    iterator = iter(items)
    while True:
        batch = list(itertools.islice(iterator, size))
        if not batch:
            return
        yield batch
