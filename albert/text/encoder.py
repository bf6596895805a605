"""Text to piece ids, the same ids as in the records."""

import re
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from albert.model.config import ModelConfig
from albert.text.tokenization import Tokenization, check_vocabulary
from albert.text.vocabulary import WORD_MARK, load, normalize

MASK = "[MASK]"


class Encoded(NamedTuple):
    """One example as pieces.

    Attributes:
      ids: int32 [s], with [CLS] and [SEP].
      segments: int32 [s], 0 for the first text and 1 for the second.
      cut: Whether the end of a text is not in it.
    """

    ids: np.ndarray
    segments: np.ndarray
    cut: bool = False


class TextEncoder:
    """Encodes as the records of a model were encoded."""

    def __init__(self, tokenization: Tokenization, config: ModelConfig) -> None:
        """Loads the tokenizer.

        Raises:
          UsageError: It has more pieces than the model knows.
        """
        self.vocabulary = load(tokenization.model_file)
        self._text = tokenization.text
        check_vocabulary(config, len(self.vocabulary.pieces), tokenization.model_file)

    def pieces(self, text: str) -> List[int]:
        """The ids of a text, without special pieces."""
        line = normalize(text, *self._text)
        table = self.vocabulary.resplit
        return [
            part
            for piece in self.vocabulary.processor.EncodeAsIds(line)
            for part in table.get(piece, (piece,))
        ]

    def located_pieces(self, text: str) -> Tuple[List[int], List[Tuple[int, int]]]:
        """The same ids, and where in the text each piece begins and ends, in characters.

        Pieces of a word whose letters change when it is encoded stand where all of it does.
        """
        ids: List[int] = []
        spans: List[Tuple[int, int]] = []
        for word in re.finditer(r"\S+", text):
            pieces = self.pieces(word.group())
            spelled = [len(self.spell(piece)) for piece in pieces]
            ends = np.cumsum([word.start()] + spelled).tolist()
            if ends[-1] == word.end() and self.vocabulary.unk not in pieces:
                spans += zip(ends, ends[1:])
            else:
                spans += [word.span()] * len(pieces)
            ids += pieces
        return ids, spans

    def masked_pieces(self, text: str) -> List[int]:
        """The ids of a text in which "[MASK]" stands for the piece to fill in.

        Text that follows a mask without a space goes on with its word.
        """
        first, *others = text.split(MASK)
        ids = self.pieces(first)
        for part in others:
            ids.append(self.vocabulary.mask)
            following = self.pieces(part)
            if following and not part[:1].isspace():
                following = self._without_word_mark(following)
            ids += following
        return ids

    def _without_word_mark(self, ids: List[int]) -> List[int]:
        spelled = self.vocabulary.pieces[ids[0]]
        if spelled == WORD_MARK:
            return ids[1:]
        bare = self.vocabulary.processor.PieceToId(spelled[len(WORD_MARK) :])
        return ([bare] if bare != self.vocabulary.unk else ids[:1]) + ids[1:]

    def single(self, pieces: Sequence[int], max_length: int) -> Encoded:
        """[CLS] text [SEP], the text cut at its end where it is too long."""
        ids = [self.vocabulary.cls] + list(pieces[: max_length - 2]) + [self.vocabulary.sep]
        cut = len(pieces) > max_length - 2
        return Encoded(np.array(ids, np.int32), np.zeros(len(ids), np.int32), cut)

    def pair(self, first: Sequence[int], second: Sequence[int], max_length: int) -> Encoded:
        """[CLS] first [SEP] second [SEP]; the longer one is cut at its end until both fit."""
        first, second = list(first), list(second)
        cut = len(first) + len(second) > max_length - 3
        while len(first) + len(second) > max_length - 3:
            (first if len(first) > len(second) else second).pop()
        start = [self.vocabulary.cls] + first + [self.vocabulary.sep]
        end = second + [self.vocabulary.sep]
        segments = np.repeat(np.array([0, 1], np.int32), [len(start), len(end)])
        return Encoded(np.array(start + end, np.int32), segments, cut)

    def spell(self, piece: int) -> str:
        """A piece as it reads, its word mark as a space."""
        return self.vocabulary.pieces[piece].replace(WORD_MARK, " ").strip()


def marked(answer: Dict[str, Any], asked: Encoded) -> Dict[str, Any]:
    """An answer, with "truncated" where the model has not read all of what was asked."""
    return dict(answer, truncated=True) if asked.cut else answer


def padded_batch(examples: Sequence[Encoded], length: int) -> Dict[str, np.ndarray]:
    """input_ids, input_mask and segment_ids of some examples, int32 [B, length]."""
    shape = (len(examples), length)
    names = ("input_ids", "input_mask", "segment_ids")
    batch = {name: np.zeros(shape, np.int32) for name in names}
    for row, example in enumerate(examples):
        size = len(example.ids)
        batch["input_ids"][row, :size] = example.ids
        batch["input_mask"][row, :size] = 1
        batch["segment_ids"][row, :size] = example.segments
    return batch
