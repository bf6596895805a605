"""The readable text of HTML pages."""

from html.parser import HTMLParser
from typing import Iterable, Iterator, List, Optional, Tuple

from albert.system.errors import UsageError, quoted
from preprocess.sources import cutting

_SKIPPED = frozenset(
    "script style noscript template svg head nav footer form button select option iframe".split()
)
_INLINE = frozenset(
    """
    a abbr acronym b bdi bdo big cite code data dfn em font i ins kbd mark q s samp small span
    strike strong sub sup time tt u var wbr
    """.split()
)
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())


class _Reader(HTMLParser):
    """Collects paragraphs; inside selected elements only, if there is a selector."""

    def __init__(self, select: str) -> None:
        super().__init__(convert_charrefs=True)
        self._tag, _, self._class = select.partition(".")
        self._everything = not select
        self._open: List[Tuple[str, bool, bool]] = []  # tag, selected, skipped
        self._words: List[str] = []
        self._paragraphs: List[str] = []
        self._size = 0
        self._documents: List[cutting.Document] = []

    def _selected(self) -> bool:
        return self._everything or any(chosen for _, chosen, _ in self._open)

    def _skipped(self) -> bool:
        return any(skipped for _, _, skipped in self._open)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag not in _INLINE:
            self._end_paragraph()
        if tag in _VOID:
            return
        classes = (dict(attrs).get("class") or "").split()
        chosen = (
            not self._everything
            and self._tag in ("", tag)
            and (not self._class or self._class in classes)
        )
        self._open.append((tag, chosen, tag in _SKIPPED))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _INLINE:
            self._end_paragraph()
        # Pages leave elements open: close up to the nearest that fits, if there is one.
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at][0] == tag:
                closed, self._open = self._open[at:], self._open[:at]
                if any(chosen for _, chosen, _ in closed) and not self._selected():
                    self._end_document()
                return

    def handle_data(self, data: str) -> None:
        if self._selected() and not self._skipped():
            self._words.append(data)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Skips `<![ ... >` to its end where the base class raises: at words it does not know."""
        try:
            return super().parse_marked_section(i, report)
        except (AssertionError, NotImplementedError):  # by the version of Python
            return self.parse_bogus_comment(i, report)

    def _end_paragraph(self) -> None:
        paragraph = " ".join("".join(self._words).split())
        self._words = []
        if paragraph:
            self._paragraphs.append(paragraph)
            self._size += len(paragraph)
            if self._size > cutting.LONGEST_DOCUMENT:
                self._end_document()

    def _end_document(self) -> None:
        self._end_paragraph()
        if self._paragraphs:
            self._documents.append(self._paragraphs)
        self._paragraphs, self._size = [], 0

    def close(self) -> None:
        super().close()
        self._end_document()

    def ended(self) -> List[cutting.Document]:
        """The documents that have ended since the last call."""
        if len(self.rawdata) > 2 * cutting.LONGEST_DOCUMENT:
            raise UsageError(
                "It has a mark that does not end: {}.".format(quoted(self.rawdata[:40]))
            )
        found, self._documents = self._documents, []
        return found


def documents(texts: Iterable[str], select: str = "") -> Iterator[cutting.Document]:
    """The paragraphs of a page, or of each element that matches "tag", ".class" or "tag.class"."""
    reader = _Reader(select)
    found = False
    for text in texts:
        reader.feed(text)
        for document in reader.ended():
            found = True
            yield document
    reader.close()
    for document in reader.ended():
        found = True
        yield document
    if select and not found:
        raise UsageError("No element matches --html_select={}.".format(select))
