"""Files of labelled examples, line by line, and how much of them a refusal quotes."""

import gzip
import io
import os
from typing import Any, Dict, Iterable, Iterator, List, TypeVar

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED
from albert.system.files.side import parse_json

_QUOTED = 100
_Kind = TypeVar("_Kind")


def names_of(found: Iterable[object]) -> str:
    """Names of columns as a refusal shows them: at most 100 characters of all."""
    text = ", ".join(str(name) for name in found) or "none"
    return text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "..."


def ending_of(path: str) -> str:
    """The ending that tells the format: that before .gz, where there is one."""
    return os.path.splitext(path[: -len(".gz")] if path.endswith(".gz") else path)[1].lower()


def lines_of(path: str) -> Iterator[str]:
    """The lines of a text file, also .gz.

    Raises:
      UsageError: It cannot be read, or is not UTF-8.
    """
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as handle:
            yield from io.TextIOWrapper(handle, encoding="utf-8-sig", newline=None)
    except DAMAGED + (UnicodeDecodeError,) as error:
        raise UsageError("Cannot read {}: {}.".format(path, error)) from error


def json_object(line: str, path: str, number: int) -> Dict[str, Any]:
    """The object of a line of JSON.

    Raises:
      UsageError: It is something else.
    """
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UsageError("{} line {} is not JSON: {}.".format(path, number, error)) from error
    if not isinstance(value, dict):
        raise UsageError("{} line {} is not a JSON object.".format(path, number))
    return value


def not_empty(examples: List[_Kind], path: str) -> List[_Kind]:
    """The examples of a file.

    Raises:
      UsageError: There are none.
    """
    if not examples:
        raise UsageError("{} holds no examples.".format(path))
    return examples
