"""JSON of any size: the strings in it, as it is read."""

import json
import re
from typing import Any, Iterable, Iterator, List, Tuple

from albert.system.errors import UsageError
from preprocess.sources.values import Leaf, leaves

# Values up to about this long are read whole, by the standard library; larger lists and objects
# are entered.
_WHOLE = 1 << 20
_NUMBER_TAIL = 3
_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder(parse_int=lambda digits: 0).raw_decode  # only strings are wanted


def json_values(texts: Iterable[str]) -> Iterator[Leaf]:
    """The strings in JSON, one value or several; of a large one, a part of it is held at a time.

    Raises:
      UsageError: It is not JSON.
    """
    reader = _Json(texts)
    entered: List[Tuple[str, str]] = []  # what closes a list or object, and its path
    separated = True
    while True:
        mark = reader.peek()
        if not mark and not entered:
            return
        if entered and mark == entered[-1][0]:
            reader.take()
            entered.pop()
            separated = False
        elif entered and mark == "," and not separated:
            reader.take()
            separated = True
        elif separated or not entered:
            path = entered[-1][1] if entered else ""
            if entered and entered[-1][0] == "}":
                path = "{}.{}".format(path, reader.key()) if path else reader.key()
            whole, value = reader.value()
            if whole:
                yield from leaves(value, path)
            else:
                entered.append(("]" if reader.take() == "[" else "}", path))
            separated = not whole
        else:
            raise reader.wrong("a comma is missing")


class _Json:
    """A text that is JSON, with a place in it; what lies before is forgotten."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self._text, self._at, self._before = "", 0, 0

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self) -> str:
        """The same, and goes beyond it."""
        mark = self.peek()
        self._at += 1
        return mark

    def key(self) -> str:
        """The key of an object and the colon behind it."""
        if self.peek() != '"':
            raise self.wrong("a key is missing")
        _, name = self.value()
        if self.take() != ":":
            raise self.wrong("a colon is missing")
        return name

    def value(self) -> Tuple[bool, Any]:
        """(True, value) of the next value, or (False, None) where it is to be entered."""
        mark = self.peek()
        while True:
            left = len(self._text) - self._at
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if left > _WHOLE and mark in ("[", "{"):
                    return False, None
                if not self._more():
                    self._at = error.pos
                    raise self.wrong(error.msg) from error
                continue
            # A number may go on in the next run: "1.5e+" ends behind 1.5.
            if len(self._text) - end < _NUMBER_TAIL and self._more():
                continue
            self._at = end
            return True, value

    def wrong(self, what: str) -> UsageError:
        return UsageError(
            "It is not valid JSON ({} at character {:,}).".format(what, self._before + self._at + 1)
        )

    def _more(self) -> bool:
        """Reads as much again as is left, so that a long value is not looked at too often."""
        left, fresh, size = self._text[self._at :], [], 0
        for text in self._texts:
            fresh.append(text)
            size += len(text)
            if size >= max(1, len(left)):
                break
        if not size:
            return False
        self._before, self._at = self._before + self._at, 0
        self._text = left + "".join(fresh)
        return True
