"""Text in structured values: JSON, JSON lines and tables, as (path, string) pairs.

A path has the keys that lead to a string, joined by dots; lists are entered and have none.
"""

import csv
import io
import itertools
from typing import Dict, Iterable, Iterator, List, Tuple

from albert.system.errors import UsageError
from albert.system.files.side import parse_json
from preprocess.sources import cutting

Leaf = Tuple[str, str]

# What the field with most text is chosen by.
_LOOKED_AT = 5000
_SHOWN_FIELDS = 12
# A line may be longer than a document, as JSON writes it; what is longer still is no line.
LONGEST_LINE = 16 * cutting.LONGEST_DOCUMENT


def lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of a text that comes in runs, with their ends."""
    rest = ""
    for text in texts:
        whole, rest = rest + text, ""
        for line in io.StringIO(whole, newline=""):
            if line[-1] in "\r\n" or len(line) > LONGEST_LINE:
                yield line
            else:
                rest = line  # the last
    if rest:
        yield rest


def leaves(value: object, path: str = "") -> Iterator[Leaf]:
    """The strings in a value, in their order."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, path + "." + str(key) if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)


def strings_at(found: Iterable[Leaf], field: str) -> Iterator[str]:
    """The strings at one path: the given one, or that under which most running text stands.

    Raises:
      UsageError: There is none.
    """
    found = iter(found)
    begin = list(itertools.islice(found, _LOOKED_AT))
    if not field and begin:
        field = _richest(_text_sizes(begin))
    count = 0
    for path, text in itertools.chain(begin, found):
        if path == field:
            count += 1
            yield text
    if begin and not count:
        raise UsageError(
            "No text at --text_field={}; fields with text: {}.".format(
                field, ", ".join(sorted(_text_sizes(begin))[:_SHOWN_FIELDS]) or "none"
            )
        )


def richest_field(found: Iterable[Leaf]) -> str:
    """The path under which most running text stands.

    Raises:
      UsageError: There is no running text.
    """
    return _richest(_text_sizes(itertools.islice(found, _LOOKED_AT)))


def _richest(sizes: Dict[str, int]) -> str:
    if not sizes:
        raise UsageError("It holds no running text; name the field with --text_field.")
    return max(sorted(sizes), key=sizes.__getitem__)


def _text_sizes(found: Iterable[Leaf]) -> Dict[str, int]:
    """Characters of running text under every path; addresses and tags do not count."""
    sizes: Dict[str, int] = {}
    for path, text in found:
        if text.count(" ") * 20 > len(text):
            sizes[path] = sizes.get(path, 0) + len(text)
    return sizes


def table(texts: Iterable[str], field: str) -> Iterator[Leaf]:
    """The cells of a table, with a comma, semicolon, tab or bar between, with a header or none.

    Without a header, columns are called 1, 2 and so on.

    Raises:
      UsageError: It is no table.
    """
    rest = lines(texts)
    first = next(rest, "")
    csv.field_size_limit(cutting.LONGEST_DOCUMENT)  # a cell may hold a whole document
    rows = csv.reader(itertools.chain([first], rest), delimiter=max(",;\t|", key=first.count))
    names: List[str] = []
    try:
        for row in rows:
            if not any(row):
                continue
            if not names:
                names = row
                if field not in row and _text_sizes(zip(row, row)):
                    names = [str(number) for number in range(1, len(row) + 1)]
                else:
                    continue
            yield from zip(names, row)
    except csv.Error as error:
        raise UsageError("It is no table of comma-separated values ({}).".format(error)) from error


def json_lines(texts: Iterable[str]) -> Iterator[Leaf]:
    """The strings in JSON values, of which each has a line.

    Raises:
      UsageError: A line is not JSON.
    """
    for number, line in enumerate(lines(texts), 1):
        if line.strip():
            try:
                value = parse_json(line, halves=True)  # cleaning takes them out
            except ValueError as error:
                raise UsageError("Line {} is not valid JSON ({}).".format(number, error)) from error
            yield from leaves(value)
