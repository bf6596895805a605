"""The words and punctuation marks of running text, as corpora of tagged words part them."""

import itertools
import re
from typing import List, NamedTuple, Sequence, Tuple

# Those with a dot that belongs to them, in the languages of the corpora here; some only before a
# number, because they are words as well.
_ABBREVIATIONS = (
    "Bhd Bros Co Corp Inc Ltd Sdn Dr Dra Drs Ir Jr Mr Mrs Ms Ph.D Prof Sr dkk dll dsb dst etc vs"
)
_BEFORE_NUMBERS = "hal hlm jl jln no pp tgl"
_WORD = re.compile(
    r"""
      (?i:{}) \.                                    # Ltd.
    | (?i:{}) \. (?=\s*\d)                          # No. 7
    | [^\W\d_] (?:\.[^\W\d_]{{1,3}})+ \.? (?!\w)    # K.L., S.Pd.
    | [A-Z]\. (?=\s+[A-Z])                          # J. Rowling
    | \w+ (?: (?:[-'’&] | (?<=\d)[.,:/](?=\d)) \w+ )*  # jalan-jalan, RM9.000, 6,3, P&G
    | \.{{2,}} | -{{2,}} | `` | ''
    | [^\w\s]
    """.format(*("|".join(map(re.escape, x.split())) for x in (_ABBREVIATIONS, _BEFORE_NUMBERS))),
    re.VERBOSE,
)


class Words(NamedTuple):
    """A text in words.

    Attributes:
      text: The text.
      words: Its words and punctuation marks.
      spans: Where each begins and ends in the text, in characters, the end excluded.
    """

    text: str
    words: List[str]
    spans: List[Tuple[int, int]]


def split_words(text: str) -> List[str]:
    """The words and punctuation marks of a text.

    >>> split_words("Acme Ltd. (K.L.) rugi 6,3%...")
    ['Acme', 'Ltd.', '(', 'K.L.', ')', 'rugi', '6,3', '%', '...']
    """
    return split(text).words


def split(text: str) -> Words:
    """A text, and the words in it."""
    spans = [match.span() for match in _WORD.finditer(text)]
    return Words(text, [text[start:end] for start, end in spans], spans)


def spaced(words: Sequence[str]) -> Words:
    """Words, and the text that they are with a space between them."""
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    spans = [(end - 1 - len(word), end - 1) for word, end in zip(words, ends)]
    return Words(" ".join(words), list(words), spans)
