"""Cleaning of single paragraphs."""

import html
import re
import unicodedata
from typing import NamedTuple

from albert.system.errors import UsageError

_TAG = re.compile(r"<\\?/?[a-zA-Z][^<>]{0,300}>")
# Left by JSON that was pasted as text.
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_URL = re.compile(r"(?:https?://|www\.)\S+|\b\w+\.(?:com|net|org|my|co)/\S*", re.IGNORECASE)
# A mailbox has 64 characters at most, RFC 5321; without a limit every word of "a.a.a.a" would be
# looked at to its end.
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]+\.[\w.-]+\b")
_HANDLE = re.compile(r"(?<![\w@])@\w+")
# Category C: control, format (zero width), surrogate, private use, unassigned.
_KEPT_FORMAT = frozenset("\u200c\u200d")  # joiners that Indic and Persian spelling needs
_SPACED_JOINER = re.compile("(?<![^\\W\\d_])[\u200c\u200d]+|[\u200c\u200d]+(?!\\w)")


class CleaningRules(NamedTuple):
    """What cleaning does besides Unicode and white space.

    Attributes:
      fix_mojibake: Repair wrongly decoded text with ftfy.
      remove_urls: Drop web and mail addresses.
      remove_handles: Drop @names.
      lower_case: Lower-case the text.
    """

    fix_mojibake: bool = True
    remove_urls: bool = True
    remove_handles: bool = True
    lower_case: bool = False


DEFAULTS = CleaningRules()


def require_ftfy(options: CleaningRules) -> None:
    """Checks early that the repair asked for is installed.

    Raises:
      UsageError: It is not.
    """
    if not options.fix_mojibake:
        return
    try:
        import ftfy  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Repairing mojibake needs `pip install ftfy` (Python 3.8 or newer); to go without, "
            "use --nofix_mojibake."
        ) from error


def clean(paragraph: str, options: CleaningRules = DEFAULTS) -> str:
    """A paragraph in NFC without markup, control and zero-width characters, single-spaced."""
    if options.fix_mojibake and not _is_ascii(paragraph):
        import ftfy

        paragraph = ftfy.fix_text(paragraph, uncurl_quotes=False, normalization=None)
    if "\\u" in paragraph:
        paragraph = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), paragraph)
    if "<" in paragraph or "&" in paragraph:
        paragraph = html.unescape(_TAG.sub(" ", paragraph))
    paragraph = unicodedata.normalize("NFC", paragraph)
    if not paragraph.isprintable():
        paragraph = "".join(_printable(character) for character in paragraph)
        paragraph = _SPACED_JOINER.sub("", paragraph)
    if options.remove_urls:
        paragraph = _EMAIL.sub(" ", _URL.sub(" ", paragraph))
    if options.remove_handles and "@" in paragraph:
        paragraph = _HANDLE.sub(" ", paragraph)
    if options.lower_case:
        paragraph = paragraph.lower()
    return " ".join(paragraph.split())


def _is_ascii(text: str) -> bool:
    return len(text) == len(text.encode("utf-8", "surrogatepass"))


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    if character in _KEPT_FORMAT or unicodedata.category(character)[0] != "C":
        return character
    return ""
