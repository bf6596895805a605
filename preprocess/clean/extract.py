"""Files of several formats to documents: lists of paragraphs."""

import csv
import io
import re
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from albert.system.errors import UsageError
from albert.system.files.side import parse_json
from preprocess import inputs

FORMATS = ("auto", "txt", "csv", "json", "jsonl", "html", "srt", "ttml")
DOCUMENT_UNITS = ("blank_line", "line", "file")

_CUE_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d)?[,.]\d+\s*-->")
_CUE_NUMBER = re.compile(r"\d+\s*$")
# None holds another: what is not closed ends where the next begins.
_TTML_PARAGRAPH = re.compile(
    r"<(?:\w+:)?p\b[^<>]*>((?:(?!<(?:\w+:)?p\b).)*?)</(?:\w+:)?p>", re.DOTALL
)
_BREAK = re.compile(r"<(?:\w+:)?br\s*/?>")
_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*$")
_SOUND = re.compile(r"^[\[(\u266a#].*[\])\u266a#]$")

Document = List[str]


class Layout(NamedTuple):
    """How documents are found in files.

    Attributes:
      format: One of `FORMATS`.
      documents: For plain text: what ends a document, one of `DOCUMENT_UNITS`.
      json_field: Path of the text in each JSON value, keys joined by dots; lists are entered. Of a
        table, its column. "" takes the field that holds most text.
      html_select: "tag", ".class" or "tag.class" of the elements that are documents; "" takes
        the whole page for one.
    """

    format: str = "auto"
    documents: str = "blank_line"
    json_field: str = ""
    html_select: str = ""


def guess_format(path: str, head: str) -> str:
    """The format of a file, by its name and else by its beginning."""
    begin = head.lstrip("\ufeff \t\r\n")
    if re.match(r"<\?xml", begin) and re.search(r"<(?:\w+:)?tt\b", begin[:2000]):
        return "ttml"
    if _CUE_TIME.search(head[:400]):
        return "srt"
    promised = inputs.structure_of(path)
    if promised != "txt":
        return promised
    if re.match(r"<!doctype html|<html", begin, re.IGNORECASE):
        return "html"
    return "txt"


def documents(text: str, kind: str, layout: Layout) -> Iterator[Document]:
    """The documents of one decoded file.

    Args:
      text: The file, or a part of it that ends between documents.
      kind: A format other than "auto".
      layout: How documents are found.

    Raises:
      UsageError: The text is not in that format, or has no such field or element.
    """
    readers = {
        "txt": _plain,
        "csv": _table,
        "json": _json,
        "jsonl": _json_lines,
        "html": _html,
        "srt": _subtitles,
        "ttml": _timed_text,
    }
    return (paragraphs for paragraphs in readers[kind](text, layout) if paragraphs)


def _plain(text: str, layout: Layout) -> Iterator[Document]:
    lines = [line.strip() for line in text.splitlines()]
    if layout.documents == "file":
        yield [line for line in lines if line]
    elif layout.documents == "line":
        for line in lines:
            yield [line] if line else []
    else:
        paragraphs: Document = []
        for line in lines + [""]:
            if line:
                paragraphs.append(line)
            elif paragraphs:
                yield paragraphs
                paragraphs = []


def _table(text: str, layout: Layout) -> Iterator[Document]:
    """Tables with a comma, semicolon, tab or bar between cells, with or without a header."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    csv.field_size_limit(1 << 30)  # a cell may hold a whole document
    try:
        stream = io.StringIO(text, newline="")
        rows = [row for row in csv.reader(stream, delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise UsageError("It is no table of comma-separated values ({}).".format(error)) from error
    if not rows:
        return iter(())
    named = layout.json_field or not _text_sizes([rows[0]])
    header = rows.pop(0) if named else [str(number) for number in range(1, len(rows[0]) + 1)]
    return _json_values([dict(zip(header, row)) for row in rows], layout)


def _json(text: str, layout: Layout) -> Iterator[Document]:
    try:
        value = parse_json(text, halves=True)  # cleaning takes them out
    except ValueError as first:
        try:
            values = [parse_json(line, halves=True) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise UsageError("It is not valid JSON ({}).".format(first)) from first
        return _json_values(values, layout)
    return _json_values(value if isinstance(value, list) else [value], layout)


def guess_field(text: str) -> str:
    """The path in JSON lines under which most running text stands.

    Raises:
      UsageError: A line is not JSON, or there is no running text.
    """
    return ".".join(_richest_field(_parsed_lines(text)))


def _json_lines(text: str, layout: Layout) -> Iterator[Document]:
    return _json_values(_parsed_lines(text), layout)


def _parsed_lines(text: str) -> List[Any]:
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values.append(parse_json(line, halves=True))
        except ValueError as error:
            raise UsageError("Line {} is not valid JSON ({}).".format(number, error)) from error
    return values


def _json_values(values: List[Any], layout: Layout) -> Iterator[Document]:
    path = layout.json_field.split(".") if layout.json_field else _richest_field(values)
    found = 0
    for value in values:
        for text in _at(value, path):
            found += 1
            yield [line.strip() for line in text.splitlines() if line.strip()]
    if values and not found:
        raise UsageError(
            "No text at --json_field={}; fields with text: {}.".format(
                ".".join(path), ", ".join(sorted(".".join(p) for p in _text_sizes(values))[:12])
            )
        )


def _at(value: object, path: List[str]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            for text in _at(item, path):
                yield text
    elif isinstance(value, dict) and path and path[0]:
        for text in _at(value.get(path[0]), path[1:]):
            yield text
    elif isinstance(value, str) and not [key for key in path if key]:
        yield value


def _text_sizes(values: Iterable[object]) -> Dict[Tuple[str, ...], int]:
    """Characters of running text under every path of keys; addresses and tags do not count."""
    sizes: Dict[Tuple[str, ...], int] = {}

    def visit(value: object, path: Tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, path + (str(key),))
        elif isinstance(value, list):
            for item in value:
                visit(item, path)
        elif isinstance(value, str) and value.count(" ") * 20 > len(value):
            sizes[path] = sizes.get(path, 0) + len(value)

    for value in values:
        visit(value, ())
    return sizes


def _richest_field(values: List[Any]) -> List[str]:
    sizes = _text_sizes(values[:1000])
    if not sizes:
        raise UsageError("It holds no running text; name the field with --json_field.")
    largest = max(sorted(sizes), key=sizes.__getitem__)
    return list(largest)


def _html(text: str, layout: Layout) -> Iterator[Document]:
    from preprocess.clean.html_text import extract

    found = extract(text, layout.html_select)
    if layout.html_select and not found:
        raise UsageError("No element matches --html_select={}.".format(layout.html_select))
    return iter(found)


def _subtitles(text: str, unused_layout: Layout) -> Iterator[Document]:
    cues: List[Document] = []
    cue: Document = []
    for line in text.splitlines():
        line = line.strip()
        if _CUE_TIME.search(line):
            # The number above the time belongs to this cue, not to the text before.
            if cue and _CUE_NUMBER.match(cue[-1]):
                cue.pop()
            cues.append(cue)
            cue = []
        elif line and not line.startswith(("WEBVTT", "NOTE")):
            cue.append(line)
    cues.append(cue)
    yield _joined_cues(cues)


def _timed_text(text: str, unused_layout: Layout) -> Iterator[Document]:
    paragraphs = _TTML_PARAGRAPH.findall(text)
    if not paragraphs:
        raise UsageError("It holds no timed text paragraphs (<p>).")
    yield _joined_cues([_BREAK.sub("\n", p).splitlines() for p in paragraphs])


def _joined_cues(cues: List[Document]) -> Document:
    """One film: cues joined until a sentence ends, without sounds and speaker dashes."""
    paragraphs: Document = []
    open_lines: Document = []
    for cue in cues:
        for line in cue:
            line = re.sub(r"<[^<>]*>|\{\\[^{}]*\}", "", line).strip()
            if not line or _SOUND.match(line):
                continue
            if line[0] in "-\u2013" and open_lines:
                paragraphs.append(" ".join(open_lines))
                open_lines = []
            open_lines.append(line.lstrip("-\u2013 "))
            if _SENTENCE_END.search(line):
                paragraphs.append(" ".join(open_lines))
                open_lines = []
    return paragraphs + ([" ".join(open_lines)] if open_lines else [])
