"""The text of films: subtitles (SRT, WebVTT) and timed text (TTML)."""

import re
from typing import Iterable, Iterator, List

from albert.system.errors import UsageError
from preprocess.sources import cutting

CUE_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d)?[,.]\d+\s*-->")
_CUE_NUMBER = re.compile(r"\d+\s*$")
# None holds another: what is not closed ends where the next begins.
_TTML_PARAGRAPH = re.compile(
    r"<(?:\w+:)?p\b[^<>]*>((?:(?!<(?:\w+:)?p\b).)*?)</(?:\w+:)?p>", re.DOTALL
)
_TTML_OPENS = re.compile(r"<(?:\w+:)?p\b")
_LONGEST_TAG = 64  # of a paragraph, as far as its name goes
_MOST_LINES = 1000  # of a cue or sentence; what has more is none
_BREAK = re.compile(r"<(?:\w+:)?br\s*/?>")
_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*$")
_SOUND = re.compile(r"^[\[(\u266a#].*[\])\u266a#]$")


def subtitles(lines: Iterable[str]) -> Iterator[str]:
    """The paragraphs of a film, of the lines of its file."""
    return _joined(_cues(lines))


def timed_text(texts: Iterable[str]) -> Iterator[str]:
    """The paragraphs of a film in TTML.

    Raises:
      UsageError: It has none.
    """
    return _joined(_BREAK.sub("\n", paragraph).splitlines() for paragraph in _timed(texts))


def _cues(lines: Iterable[str]) -> Iterator[List[str]]:
    cue: List[str] = []
    for line in lines:
        line = line.strip()
        if CUE_TIME.search(line):
            # The number above the time belongs to this cue, not to the text before.
            if cue and _CUE_NUMBER.match(cue[-1]):
                cue.pop()
            yield cue
            cue = []
        elif line and not line.startswith(("WEBVTT", "NOTE")):
            cue.append(line)
            if len(cue) > _MOST_LINES:
                yield cue
                cue = []
    yield cue


def _timed(texts: Iterable[str]) -> Iterator[str]:
    rest, found = "", False
    for text in texts:
        rest, end = rest + text, 0
        for match in _TTML_PARAGRAPH.finditer(rest):
            found, end = True, match.end()
            yield match.group(1)
        rest = rest[end:]
        begin = max(len(rest) - _LONGEST_TAG, 0)
        for match in _TTML_OPENS.finditer(rest):
            begin = match.start()
        rest = rest[begin:] if len(rest) - begin < cutting.LONGEST_DOCUMENT else ""
    if not found:
        raise UsageError("It holds no timed text paragraphs (<p>).")


def _joined(cues: Iterable[List[str]]) -> Iterator[str]:
    """Cues joined until a sentence ends, without sounds and speaker dashes."""
    waiting: List[str] = []
    for cue in cues:
        for line in cue:
            line = re.sub(r"<[^<>]*>|\{\\[^{}]*\}", "", line).strip()
            if not line or _SOUND.match(line):
                continue
            if line[0] in "-\u2013" and waiting:
                yield " ".join(waiting)
                waiting = []
            waiting.append(line.lstrip("-\u2013 "))
            if _SENTENCE_END.search(line) or len(waiting) > _MOST_LINES:
                yield " ".join(waiting)
                waiting = []
    if waiting:
        yield " ".join(waiting)
