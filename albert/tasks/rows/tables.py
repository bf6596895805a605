"""Texts and labels from tables: TSV and CSV with or without a header, JSON lines."""

import csv
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from albert.system.errors import UsageError
from albert.tasks.rows.examples import Text
from albert.tasks.rows.labels import Parse, one_label
from albert.tasks.rows.lines import (
    ending_of,
    json_object,
    lines_of,
    names_of,
    not_empty,
)

_LONGEST_FIELD = 1 << 24
_Row = Tuple[int, Dict[str, Any]]


def read_texts(
    path: str,
    text_column: str = "text",
    label_column: str = "label",
    text_b_column: Optional[str] = None,
    parse: Parse = one_label,
) -> List[Text]:
    """Reads .tsv, .csv or .jsonl, also .gz.

    Args:
      path: The file.
      text_column: Name of the texts' column; in a table without a header its number, from "1".
      label_column: Likewise that of the labels.
      text_b_column: Likewise that of second texts; "" for none, None for "text_b" if there is one.
      parse: From a cell to a label.

    Raises:
      UsageError: The file cannot be read, lacks a column, or a row lacks text or label.
    """
    parsers = {"text": _text, "label": parse, "text_b": _text}
    columns = {"text": text_column, "label": label_column, "text_b": text_b_column}
    examples = []
    for row, values in _rows(path, [column for column in columns.values() if column]):
        if columns["text_b"] is None:
            columns["text_b"] = "text_b" if "text_b" in values else ""
        found = {
            what: _value(values, column, parsers[what], "{} row {}".format(path, row))
            for what, column in columns.items()
            if column
        }
        examples.append(Text(**found))
    return not_empty(examples, path)


def _text(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    if not text:
        raise ValueError("no text")
    return text


def _value(values: Dict[str, Any], column: str, parse: Parse, where: str) -> Any:
    if column not in values:
        raise UsageError(
            "{} has no column '{}'; it has: {}. Name the columns with --text_column and "
            "--label_column (second texts with --text_b_column); in a table without a header "
            "number them: --text_column=1 --label_column=2.".format(where, column, names_of(values))
        )
    try:
        return parse(values[column])
    except ValueError as error:
        raise UsageError(
            "{} has {} (column {}). Give it one, or take the row out.".format(where, error, column)
        ) from error


def _rows(path: str, columns: Sequence[str]) -> Iterator[_Row]:
    """Number and values by name of each row."""
    kind = ending_of(path)
    if kind == ".jsonl":
        for number, line in enumerate(lines_of(path), 1):
            if line.strip():
                yield number, json_object(line, path, number)
    elif kind in (".tsv", ".csv"):
        csv.field_size_limit(_LONGEST_FIELD)
        how: Any = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}
        try:
            yield from _table(csv.reader(lines_of(path), **how), columns)
        except csv.Error as error:
            raise UsageError("{} is not a table: {}.".format(path, error)) from error
    else:
        raise UsageError(
            "{} must end in .tsv, .csv or .jsonl (also .gz), so that it is known how to read "
            "it.".format(path)
        )


def _table(reader: Iterator[List[str]], columns: Sequence[str]) -> Iterator[_Row]:
    numbered = all(column.isdigit() for column in columns)
    header: Sequence[str] = ()
    for number, fields in enumerate(reader, 1):
        if not fields:
            continue
        if not header and not (numbered and set(columns) - set(fields)):
            header = fields
            continue
        # A row that is too short lacks its last values, whose column exists.
        names = header or [str(n) for n in range(1, len(fields) + 1)]
        yield number, dict(zip(names, list(fields) + [""] * (len(names) - len(fields))))
