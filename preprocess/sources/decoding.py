"""Bytes of unknown encoding to text."""

import codecs
import unicodedata
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from albert.system.errors import UsageError
from albert.system.files.compression import head_of
from preprocess.sources import cutting

_SAMPLE = 1 << 16
_RUN_BYTES = 1 << 20
_WIDE_MARKS = (  # the longer first, which begin like the shorter
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Decoded(NamedTuple):
    """A decoded text.

    Attributes:
      text: The text.
      encoding: What it was taken for; tells of repairs.
      replaced: Characters that could not be decoded.
    """

    text: str
    encoding: str
    replaced: int


class Texts:
    """The text of a stream, in runs that end at line ends.

    Attributes:
      encoding: What it was taken for so far.
      replaced: Characters that could not be decoded so far.
    """

    def __init__(self, stream: Any, name: str, strict: bool = False) -> None:
        """Reads nothing yet.

        Args:
          stream: The bytes, with `peek`.
          name: For messages.
          strict: Whether anything but UTF-8 is refused.
        """
        self._stream, self._name, self._strict = stream, name, strict
        self.encoding, self.replaced = "utf-8", 0

    def __iter__(self) -> Iterator[str]:
        wide = wide_encoding(head_of(self._stream))
        mark = "\n".encode(wide or "utf-8")

        def after_lines(data: bytes) -> int:
            place = data.rfind(mark)
            if wide and place < 0 and len(data) >= cutting.LONGEST_DOCUMENT:
                return len(data) - len(data) % len(mark)  # between characters, not within one
            return place + len(mark) if place >= 0 else 0

        for offset, data in cutting.cut(self._stream, self._name, _RUN_BYTES, after_lines):
            if self._strict:
                yield strict_utf8(data, self._name, offset)
                continue
            decoded = decode(data, wide)
            if not offset or self.encoding == "utf-8":
                self.encoding = decoded.encoding
            self.replaced += decoded.replaced
            yield decoded.text


def strict_utf8(data: bytes, name: str, offset: int) -> str:
    """The text of a part of a file.

    Raises:
      UsageError: The bytes are not UTF-8; the message names the offset.
    """
    if offset == 0 and data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(name, offset + error.start) from error


def not_utf8(name: str, offset: int) -> UsageError:
    """What a file of another encoding is answered with, and from which byte on it is."""
    return UsageError(
        "{} is not UTF-8 at byte {}. Convert it first: python -m preprocess clean "
        "--input_file={} --output_file=clean.txt".format(name, offset, name)
    )


def wide_encoding(head: bytes) -> str:
    """The UTF-16 or UTF-32 that bytes begin in; "" where they are of another encoding."""
    for mark, encoding in _WIDE_MARKS:
        if head.startswith(mark):
            return encoding
    zeros = head[:_SAMPLE].count(0)
    if zeros > len(head[:_SAMPLE]) // 5:
        even = head[:_SAMPLE:2].count(0)
        return "utf-16-be" if even > zeros - even else "utf-16-le"
    return ""


def decode(data: bytes, wide: str = "") -> Decoded:
    """Finds the encoding: byte-order marks, UTF-16 and UTF-8 even if damaged, then by statistics.

    Args:
      data: The bytes.
      wide: The `wide_encoding` of the file that they are a part of.
    """
    wide = wide or wide_encoding(data)
    if wide:
        mark = next(mark for mark, encoding in _WIDE_MARKS if encoding == wide)
        data = data[len(mark) :] if data.startswith(mark) else data
        return _replacing(data, wide) if wide.startswith("utf-32") else _utf16(data, wide)
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError:
        pass
    guess = _statistical_guess(data)
    # Mostly UTF-8 with a few bad bytes is a damaged UTF-8 file, not another encoding.
    damaged = _replacing(data, "utf-8")
    high = sum(byte > 127 for byte in data[:_SAMPLE])
    if damaged.replaced * 10 < high * max(1, len(data) // _SAMPLE) or guess is None:
        return damaged
    return _replacing(data, guess)


def _replacing(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    return Decoded(text, encoding, text.count("\ufffd"))


def _statistical_guess(data: bytes) -> Optional[str]:
    try:
        import charset_normalizer
    except ImportError:
        return "cp1252"
    matches = list(charset_normalizer.from_bytes(data[:_SAMPLE]))
    ties = [m.encoding for m in matches if _score(m) == _score(matches[0])]
    # Where nothing tells them apart, the commonest of the Latin encodings.
    return "cp1252" if "cp1252" in ties else ties[0] if ties else None


def _score(match: Any) -> Tuple[float, float]:
    return match.chaos, match.coherence


def _utf16(data: bytes, encoding: str) -> Decoded:
    """Decodes UTF-16, trying the repairs of files whose line ends were rewritten as bytes.

    A program that took the file for single bytes turned the byte 0A into 0D 0A, or dropped the
    zero beside it; from there on every pair is read across two characters.
    """
    zero_after = b"\n\x00" if encoding == "utf-16-le" else b"\x00\n"
    candidates = [
        ("", data),
        (", line ends repaired", data.replace(b"\r\n", b"\n")),
        (", line ends repaired", data.replace(zero_after, b"\n").replace(b"\n", zero_after)),
    ]
    texts = [
        Decoded(text, encoding + note, text.count("\ufffd"))
        for note, text in ((note, raw.decode(encoding, "replace")) for note, raw in candidates)
    ]
    return max(texts, key=lambda decoded: _plausibility(decoded.text))


def _plausibility(text: str) -> float:
    """Share of a sample that one would expect in prose of one script."""
    step = max(1, len(text) // 20000)
    sample = text[::step]
    if not sample:
        return 0.0
    blocks: Dict[int, int] = {}
    for character in sample:
        blocks[ord(character) >> 8] = blocks.get(ord(character) >> 8, 0) + 1
    common = sum(sorted(blocks.values())[-3:])
    bad = sum(unicodedata.category(c)[0] == "C" and c not in "\r\n\t" for c in sample)
    return (common - bad) / len(sample)
