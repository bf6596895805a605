"""A SentencePiece model with what records and tasks need to know about it."""

import functools
import glob
import os
import re
import unicodedata
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.system.errors import UsageError

WORD_MARK = "\u2581"
# Spelled by this project's tokenizers and Google's; by the XLNet-style models of older releases.
SPECIAL_FAMILIES = (("[CLS]", "[SEP]", "[MASK]"), ("<cls>", "<sep>", "<mask>"))
_LOOKS_SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z]+\d*\]")
# Written without spaces, so the word mark says nothing there and every piece counts as a word.
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


class Vocabulary(NamedTuple):
    """A loaded model and tables by piece id.

    Attributes:
      processor: The `SentencePieceProcessor`.
      pieces: Spelling of every piece.
      cls, sep, mask, pad, unk: Ids of the special pieces.
      word_starts: [V] bool, the piece begins a word.
      replacements: [r] int64, the ordinary pieces.
      resplit: Pieces such as "1," and the ids they are cut into (see `_resplit_table`).
    """

    processor: Any  # sentencepiece tells no types
    pieces: List[str]
    cls: int
    sep: int
    mask: int
    pad: int
    unk: int
    word_starts: np.ndarray
    replacements: np.ndarray
    resplit: Dict[int, List[int]]

    @property
    def special_ids(self) -> Dict[str, int]:
        """Ids of the special pieces by role."""
        return {role: getattr(self, role) for role in ("cls", "sep", "mask", "pad", "unk")}


def normalize(line: str, lower: bool, keep_accents: bool) -> str:
    """White space to single spaces; optionally lower case and without combining marks."""
    line = " ".join(line.split())
    if not keep_accents:
        decomposed = unicodedata.normalize("NFKD", line)
        line = "".join(c for c in decomposed if not unicodedata.combining(c))
    return line.lower() if lower else line


def resolve_model(spm_model_file: str, vocab_file: str) -> str:
    """The SentencePiece model meant by the two flags.

    A `--vocab_file` alone, as in old commands, stands for the model of the same name.

    Raises:
      UsageError: Neither flag leads to a file.
    """
    candidates = [spm_model_file] if spm_model_file else []
    if vocab_file and not spm_model_file:
        candidates.append(os.path.splitext(vocab_file)[0] + ".model")
    for path in map(model_in, candidates):
        if os.path.isfile(path):
            return path
    raise UsageError(
        "No SentencePiece model: {}. Train one with `python -m preprocess tokenizer "
        "--input_file=corpus.txt --model_prefix=tokenizer`, then give "
        "--spm_model_file=tokenizer.model.".format(
            " and ".join("{} does not exist".format(path) for path in candidates)
            or "--spm_model_file is not set"
        )
    )


def model_in(path: str) -> str:
    """The SentencePiece model that a path means: the file itself, or the only one of a folder.

    Raises:
      UsageError: The folder has none, or several.
    """
    if not os.path.isdir(path):
        return path
    found = sorted(glob.glob(os.path.join(glob.escape(path), "*.model")))
    if len(found) != 1:
        raise UsageError(
            "The folder {} has {} instead of one SentencePiece model (*.model). Name the "
            "file.".format(path, ", ".join(map(os.path.basename, found)) or "nothing")
        )
    return found[0]


def sentencepiece_version() -> str:
    """The version that encodes here."""
    import sentencepiece

    return sentencepiece.__version__


def load(path: str) -> Vocabulary:
    """Loads a SentencePiece model; each process does so once, as long as the file is the same.

    Raises:
      UsageError: The file is not such a model, or has no special pieces.
    """
    status = os.stat(path) if os.path.exists(path) else None
    return _load(path, status and (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _load(path: str, unused_stamp: Optional[Tuple[int, int, int]]) -> Vocabulary:
    processor = _open(path)
    numbers = list(range(processor.GetPieceSize()))
    pieces = processor.IdToPiece(numbers)
    ids = dict(zip(pieces, numbers))
    cls, sep, mask = _special_pieces(ids, path)
    pad = next((ids[name] for name in ("<pad>", "[PAD]") if name in ids), 0)
    is_byte = processor.IsByte(numbers)
    kinds = (processor.IsControl, processor.IsUnknown, processor.IsUnused)
    odd = np.any([is_byte, *(kind(numbers) for kind in kinds)], axis=0)
    ordinary = [i for i in numbers if not odd[i] and not _LOOKS_SPECIAL.fullmatch(pieces[i])]
    starts = np.array(
        [
            _byte_starts_word(piece) if byte else starts_word(piece)
            for piece, byte in zip(pieces, is_byte)
        ]
    )
    starts[[cls, sep, mask, processor.unk_id()]] = True
    return Vocabulary(
        processor,
        pieces,
        cls,
        sep,
        mask,
        pad,
        processor.unk_id(),
        starts,
        np.array(ordinary, np.int64),
        _resplit_table(processor, pieces),
    )


def count_pieces(path: str) -> int:
    """The number of pieces of a SentencePiece model, also of one without special pieces.

    Raises:
      UsageError: The file is not such a model.
    """
    return _open(path).GetPieceSize()


def _open(path: str) -> Any:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(path)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            "{} is not a SentencePiece model ({}). Give the .model file, not the .vocab.".format(
                path, str(error).splitlines()[0]
            )
        ) from error
    return processor


def _special_pieces(ids: Dict[str, int], path: str) -> List[int]:
    for family in SPECIAL_FAMILIES:
        if all(name in ids for name in family):
            return [ids[name] for name in family]
    raise UsageError(
        "{} has no special pieces: looked for {}. Train it with "
        "--control_symbols=[CLS],[SEP],[MASK], as `python -m preprocess tokenizer` does.".format(
            path, " or ".join(", ".join(family) for family in SPECIAL_FAMILIES)
        )
    )


def starts_word(piece: str) -> bool:
    """Whether a piece begins a word, in any script.

    The SentencePiece mark decides; punctuation stands alone, as in Google's rule (which takes
    every piece outside a-z for a word of its own).
    """
    if piece.startswith(WORD_MARK):
        return True
    if all(unicodedata.category(character)[0] in "PS" for character in piece):
        return True
    return unicodedata.name(piece[0], "").startswith(_UNSPACED_SCRIPTS) if piece else True


def _byte_starts_word(piece: str) -> bool:
    """Whether a byte of byte fallback, "<0xE4>", begins a character of a script without spaces.

    They take three bytes or more in UTF-8 (as some that have spaces do, where a rare character
    then stands alone).
    """
    return int(piece[3:-1], 16) >= 0xE0


def is_glued(piece: str) -> bool:
    """Whether a piece is digits with a comma at the end."""
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()


def _resplit_table(processor: Any, pieces: List[str]) -> Dict[int, List[int]]:
    """Digits glued to a comma ("1999,") are cut apart, as ALBERT's and XLNet's encoders do.

    They encode the digits again, without the word mark, and add the comma. What comes out depends
    on the piece alone, so a table does it.
    """
    table = {}
    for piece_id, piece in enumerate(pieces):
        if not is_glued(piece):
            continue
        parts = processor.EncodeAsPieces(piece[:-1].replace(WORD_MARK, ""))
        if not piece.startswith(WORD_MARK) and parts[0].startswith(WORD_MARK):
            parts = ([parts[0][1:]] if len(parts[0]) > 1 else []) + parts[1:]
        table[piece_id] = [processor.PieceToId(part) for part in parts + [","]]
    return table
