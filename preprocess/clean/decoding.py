"""Bytes of unknown encoding to text."""

import codecs
import unicodedata
from typing import Any, Dict, NamedTuple, Optional, Tuple

_SAMPLE = 1 << 16


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


def decode(data: bytes) -> Decoded:
    """Finds the encoding: byte-order marks, UTF-8, UTF-16 even if damaged, then by statistics."""
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    elif data[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return _replacing(data, "utf-32")
    elif data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        little = data[:2] == codecs.BOM_UTF16_LE
        return _utf16(data[2:], "utf-16-le" if little else "utf-16-be")
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError:
        pass
    zeros = data[:_SAMPLE].count(0)
    if zeros > len(data[:_SAMPLE]) // 5:
        even = data[:_SAMPLE:2].count(0)
        return _utf16(data, "utf-16-be" if even > zeros - even else "utf-16-le")
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
