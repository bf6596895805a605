"""Paragraphs to sentences."""

import re
from typing import Callable, List, Pattern

from albert.system.errors import UsageError, check_one_of

SPLITTERS = ("auto", "sentencex", "rules")

# Malay, Indonesian and English abbreviations that a capital may follow. "dll." and "dsb." often
# end a sentence, so they are left out.
_ABBREVIATIONS = frozenset(
    """
    al bhd bil bt co corp dr dra drs dt dto en fig gen gov hj hjh hon inc ir jl jln jr kapt kep kg
    km kol kpt lt ltd mej messrs mr mrs ms mt no nos op.cit pn pt prof pvt rev rm sdn sdr sdri sgt
    sr st tel tkt tn ts u.p vol vs ybhg yth
    """.split()
)
# The end of a sentence: stops and closing marks, white space, then something that can begin one.
_BOUNDARY = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019\u00bb)\]]*(\s+)"
    r"(?=[\"'\u201c\u2018\u00ab(\[\-\u2013\u2014]*\s?[^\W_a-z])"
)
# Scripts that write no space after a full stop.
_FULL_WIDTH = re.compile(r"(?<=[\u3002\uff01\uff1f\u0964\u06d4])[\u300d\u300f\u201d)]*")


def _split_by_rules(paragraph: str) -> List[str]:
    sentences, begin = [], 0
    for match in _BOUNDARY.finditer(paragraph):
        if _ends_in_abbreviation(paragraph, begin, match.start(1)):
            continue
        sentences.append(paragraph[begin : match.start(1)])
        begin = match.end(1)
    sentences.append(paragraph[begin:])
    ends = [_cut_after(_FULL_WIDTH, sentence) for sentence in sentences]
    return [part.strip() for parts in ends for part in parts if part.strip()]


def _cut_after(pattern: Pattern[str], text: str) -> List[str]:
    limits = [match.end() for match in pattern.finditer(text)]
    return [text[a:b] for a, b in zip([0] + limits, limits + [len(text)])]


def _ends_in_abbreviation(text: str, begin: int, end: int) -> bool:
    """Whether the stop before `end` belongs to an abbreviation, an initial or a list number.

    Looks at the last word alone, however long what is before it: a search by a regular expression
    would begin at every character of it.
    """
    stop = end - 1
    if stop < begin or text[stop] != ".":
        return False
    start = stop
    while start > begin and (text[start - 1].isalnum() or text[start - 1] in "._"):
        start -= 1
    word = text[start:stop].lower()
    if word in _ABBREVIATIONS or re.fullmatch(r"(?:[^\W\d_]\.)*[^\W\d_]", word):
        return True
    return word.isdigit() and start == begin and len(word) <= 3


def splitter(name: str = "auto", language: str = "ms") -> Callable[[str], List[str]]:
    """A function from a paragraph to its sentences.

    Args:
      name: "sentencex" (rules for many languages, current Python only), "rules" (small, made for
        Malay and Indonesian), or "auto": rules for those two and sentencex for the others, as far
        as it is installed.
      language: ISO 639-1 code, for sentencex.

    Raises:
      UsageError: sentencex is asked for and not installed, or the name is not known.
    """
    check_one_of("splitter", name, SPLITTERS)
    if name == "rules" or name == "auto" and language in ("ms", "id"):
        return _split_by_rules
    try:
        import sentencex
    except ImportError as error:
        if name == "auto":
            return _split_by_rules
        raise UsageError(
            "--splitter=sentencex needs `pip install sentencex` (Python 3.10 or newer); "
            "--splitter=rules works everywhere."
        ) from error

    def split(paragraph: str) -> List[str]:
        found = (sentence.strip() for sentence in sentencex.segment(language, paragraph))
        return [sentence for sentence in found if sentence]

    return split
