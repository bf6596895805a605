"""Parts of any format to documents: lists of paragraphs."""

import os
import re
from typing import Callable, Dict, Iterable, Iterator, NamedTuple

from albert.system.errors import UsageError, check_one_of
from albert.system.files.compression import head_of, what_is
from preprocess.sources import cutting, html_text, subtitles, tables, values
from preprocess.sources.cutting import Document, bounded
from preprocess.sources.decoding import wide_encoding
from preprocess.sources.json_values import json_values
from preprocess.sources.parts import Part

FORMATS = ("auto", "txt", "csv", "json", "jsonl", "html", "srt", "ttml", "parquet", "arrow")
TABLES = ("parquet", "arrow")
DOCUMENT_UNITS = ("blank_line", "line", "file")

# What is known by its name to be no plain text, without a suffix of compression.
STRUCTURED = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".srt": "srt",
    ".vtt": "srt",
    ".ttml": "ttml",
    ".dfxp": "ttml",
}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


class Layout(NamedTuple):
    """How documents are found in files.

    Attributes:
      format: One of `FORMATS`.
      documents: For plain text: what ends a document, one of `DOCUMENT_UNITS`.
      text_field: Path of the text in each JSON value, keys joined by dots; lists are entered. Of a
        table, its column. "" takes the field that holds most text.
      html_select: "tag", ".class" or "tag.class" of the elements that are documents; "" takes
        the whole page for one.
    """

    format: str = "auto"
    documents: str = "blank_line"
    text_field: str = ""
    html_select: str = ""


def check(layout: Layout) -> None:
    """Refuses a format or a unit that is not known.

    Raises:
      UsageError: With those that are.
    """
    check_one_of("text_format", layout.format, FORMATS)
    check_one_of("documents", layout.documents, DOCUMENT_UNITS)


def kind_of(part: Part, layout: Layout) -> str:
    """The format of a part: the given one, or by its bytes and its name.

    Raises:
      UsageError: It holds no text; the message says what it is.
    """
    head = head_of(part.stream)
    table = tables.kind_of_table(head)
    if table and layout.format in ("auto", table):
        return table
    what = what_is(head)
    if what or layout.format in TABLES:
        wanted = "no table of {}".format(layout.format.capitalize())
        raise UsageError("{} is {}.".format(part.name, what or wanted))
    if layout.format != "auto":
        return layout.format
    return guess_format(part.name, head.decode(wide_encoding(head) or "utf-8", "replace"))


def guess_format(path: str, head: str) -> str:
    """The format of a file of text, by its name and else by its beginning."""
    begin = head.lstrip("\ufeff \t\r\n")
    if re.match(r"<\?xml", begin) and re.search(r"<(?:\w+:)?tt\b", begin[:2000]):
        return "ttml"
    if subtitles.CUE_TIME.search(head[:400]):
        return "srt"
    name = path.lower()
    for suffix in _COMPRESSIONS:
        if name.endswith(suffix):
            name = name[: -len(suffix)]
    ending = os.path.splitext(name)[1]
    if ending in STRUCTURED:
        return STRUCTURED[ending]
    if re.match(r"<!doctype html|<html", begin, re.IGNORECASE):
        return "html"
    # What is piped has no ending.
    if not ending and re.match(r'\{\s*"|\[\s*[\[{"]', begin):
        return "json"
    return "txt"


def documents(part: Part, kind: str, layout: Layout, texts: Iterable[str]) -> Iterator[Document]:
    """The documents of a part.

    Args:
      part: The part.
      kind: Its `kind_of`.
      layout: How documents are found.
      texts: Its `Texts`, where it is no table.

    Raises:
      UsageError: It is not in that format, or has no such field or element.
    """
    if kind not in TABLES:
        return documents_of_text(texts, kind, layout)
    found = tables.rows(part.stream, part.name, kind, layout.text_field)
    return _of_strings(values.strings_at(found, layout.text_field))


def documents_of_text(texts: Iterable[str], kind: str, layout: Layout) -> Iterator[Document]:
    """The same of decoded text, which may come in runs."""
    found = _READERS[kind](texts, layout)
    return (paragraphs for paragraphs in found if paragraphs)


def _plain(texts: Iterable[str], layout: Layout) -> Iterator[Document]:
    lines = (part.strip() for line in values.lines(texts) for part in line.splitlines())
    if layout.documents == "file":
        yield from bounded(line for line in lines if line)
    elif layout.documents == "line":
        for line in lines:
            yield [line] if line else []
    else:
        paragraphs: Document = []
        size = 0
        for line in lines:
            if line:
                paragraphs.append(line)
                size += len(line)
            if paragraphs and (not line or size > cutting.LONGEST_DOCUMENT):
                yield paragraphs
                paragraphs, size = [], 0
        yield paragraphs


def _of_strings(texts: Iterable[str]) -> Iterator[Document]:
    for text in texts:
        document = [line.strip() for line in text.splitlines() if line.strip()]
        if document:
            yield document


_Reader = Callable[[Iterable[str], Layout], Iterator[Document]]
_READERS: Dict[str, _Reader] = {
    "txt": _plain,
    "csv": lambda texts, layout: _of_strings(
        values.strings_at(values.table(texts, layout.text_field), layout.text_field)
    ),
    "json": lambda texts, layout: _of_strings(
        values.strings_at(json_values(texts), layout.text_field)
    ),
    "jsonl": lambda texts, layout: _of_strings(
        values.strings_at(values.json_lines(texts), layout.text_field)
    ),
    "html": lambda texts, layout: html_text.documents(texts, layout.html_select),
    "srt": lambda texts, layout: bounded(subtitles.subtitles(values.lines(texts))),
    "ttml": lambda texts, layout: bounded(subtitles.timed_text(texts)),
}
