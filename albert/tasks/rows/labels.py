"""Labels of texts, from the cell of a table or the value of a JSON line."""

import math
from typing import Any, Callable, Tuple

from albert.system.errors import quoted

Parse = Callable[[Any], Any]  # raises a ValueError that says what a row has instead


def one_label(value: Any) -> str:
    """A label, whatever its type in JSON.

    Raises:
      ValueError: It is empty.
    """
    label = "" if value is None else str(value).strip()
    if not label:
        raise ValueError("no label")
    return label


def several(separator: str) -> Callable[[Any], Tuple[str, ...]]:
    """A parser of several labels, none or one: a list in JSON, in a cell with a separator."""

    def parse(value: Any) -> Tuple[str, ...]:
        parts = value if isinstance(value, list) else str(value or "").split(separator)
        return tuple(sorted({str(part).strip() for part in parts} - {""}))

    return parse


def number(value: Any) -> float:
    """A number.

    Raises:
      ValueError: It is empty, or none that is finite.
    """
    text = one_label(value)
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("the label {}, which is no number".format(quoted(text)))
    return found
