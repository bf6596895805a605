"""Small files that lie beside the large ones: nothing in them is taken for granted.

Programs write them, people edit them, disks damage them, strangers send them.
"""

import json
import os
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence

from absl import logging

from albert.system.errors import UsageError

_MOST_CHARACTERS = 1 << 26
_MOST_DIGITS = 300  # of a whole number; beyond it no float comes near


def parse_json(text: str, halves: bool = False) -> Any:
    """The value of a JSON text.

    Args:
      text: The text.
      halves: Whether it may have halves of characters, which nothing can print or write.

    Raises:
      ValueError: It is none, nested too deeply, or has a whole number out of all bounds or half a
        character.
    """
    try:
        value = json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not halves and "\\ud" in text.lower():  # the halves of a character beyond the first plane
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("it has a number of {} digits".format(len(digits)))
    return int(digits)


def read_json(path: str) -> Any:
    """The value of a JSON file.

    Raises:
      OSError: It cannot be read.
      ValueError: It is too large for a side file, not UTF-8, or no JSON.
    """
    with open(path, encoding="utf-8") as handle:
        text = handle.read(_MOST_CHARACTERS + 1)
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("it has more than {:,} characters".format(_MOST_CHARACTERS))
    return parse_json(text)


def read_json_object(path: str) -> Dict[str, Any]:
    """The keys of a config file.

    Raises:
      UsageError: It cannot be read, or is not a JSON object.
    """
    return read_as(dict, path, "config")


def read_as(kind: Callable, path: str, what: str) -> Any:
    """A JSON file as a dataclass or a NamedTuple whose fields it has.

    Raises:
      UsageError: It cannot be read, or a field is missing or of another type.
    """
    try:
        return typed(kind, read_json(path), "content")
    except (OSError, ValueError) as error:
        raise UsageError("Cannot read {} {}: {}.".format(what, path, error)) from error


def typed(kind: Any, value: Any, name: str) -> Any:
    """A JSON value as what a field of this name is declared to hold.

    What a class does not know is left out, as newer versions may add some.

    Raises:
      ValueError: It does not fit, or a field that must be there is missing.
    """
    if hasattr(kind, "__annotations__"):
        return kind(**_fields(kind, typed(dict, value, name)))
    plain: Any = getattr(kind, "__origin__", None) or kind
    inner: Sequence[Any] = getattr(kind, "__args__", ())
    if type(None) in inner:  # Optional
        return None if value is None else typed(inner[0], value, name)
    accepted: Any = {float: (int, float), tuple: list}.get(plain, plain)
    if not isinstance(value, accepted) or isinstance(value, bool) and plain is not bool:
        raise ValueError("its {} is {}".format(name, type(value).__name__))
    if kind == plain:
        return value
    if plain is dict:
        return {key: typed(inner[1], item, name) for key, item in value.items()}
    return plain(typed(inner[0], item, name) for item in value)


def _fields(kind: Any, values: Dict[str, Any]) -> Dict[str, Any]:
    found = {}
    for name, declared in kind.__annotations__.items():
        if name in values:
            found[name] = typed(declared, values[name], name)
        elif name not in _defaults(kind):
            raise ValueError("it has no {}".format(name))
    return found


def _defaults(kind: Any) -> List[str]:
    fields = getattr(kind, "__dataclass_fields__", {}).values()
    with_default = [f.name for f in fields if f.default is not f.default_factory]  # not MISSING
    return with_default + list(getattr(kind, "_field_defaults", ()))


class _Line(NamedTuple):
    text: bytes
    value: Dict[str, Any]  # empty where the text cannot be read


def read_json_lines(
    path: str, types: Mapping[str, Any], others: Any = None
) -> List[Dict[str, Any]]:
    """The lines of a file of JSON objects, none where there is no file.

    A line that cannot be read is left out, which is said; one cut off by a crash at the end is
    left out in silence.

    Args:
      path: The file.
      types: What each line must have, by key.
      others: What all else in a line must be; None for anything.

    Raises:
      UsageError: The file cannot be read.
    """
    lines = list(_lines(path, types, others))
    bad = sum(not line.value for line in lines)
    if bad:
        logging.warning("%s: %d of %d lines cannot be read; left out", path, bad, len(lines))
    return [line.value for line in lines if line.value]


def kept_json_lines(
    path: str, types: Mapping[str, Any], keep: Callable[[Dict[str, Any]], bool]
) -> List[bytes]:
    """The lines of such a file that are to be kept, as they are; those that cannot be read, too."""
    return [line.text for line in _lines(path, types) if not line.value or keep(line.value)]


def _lines(path: str, types: Mapping[str, Any], others: Any = None) -> Iterator[_Line]:
    if not os.path.isfile(path):
        return
    try:
        with open(path, "rb") as handle:
            for line in handle:
                if line.endswith(b"\n"):
                    yield _Line(line, _checked(line, types, others))
    except OSError as error:
        raise UsageError("Cannot read {}: {}.".format(path, error)) from error


def _checked(line: bytes, types: Mapping[str, Any], others: Any) -> Dict[str, Any]:
    try:
        value = typed(dict, parse_json(line.decode("utf-8")), "content")
        for name in [*types, *value]:
            if name in types or others:
                typed(types.get(name, others), value.get(name), name)
    except ValueError:
        return {}
    return value
