"""Options as dataclasses, made of flat values under the names of flags.

The same for a command line and for keyword arguments.
"""

import dataclasses
import numbers
import typing
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Type,
    TypeVar,
)

from albert.system.errors import UsageError, quoted

T = TypeVar("T")
# By class, the flag of each field that has another name; None of one that is computed.
Flags = Mapping[Type, Mapping[str, Optional[str]]]


class _Kind(NamedTuple):
    base: type  # whose instances are taken, NumPy's among them
    spoken: str


_KINDS = {
    bool: _Kind(bool, "True or False"),
    int: _Kind(numbers.Integral, "a whole number"),
    float: _Kind(numbers.Real, "a number"),
    str: _Kind(str, "text"),
}


def field_names(kind: Type) -> List[str]:
    """The fields of a dataclass or NamedTuple, in order."""
    return list(getattr(kind, "_fields", None) or kind.__dataclass_fields__)


def options_of(kind: Type[T], values: Mapping[str, Any], flags: Flags = {}) -> T:  # noqa: B006
    """Makes an options object of those values that are its fields; the others are left alone.

    A field that is itself an options object is made of the same values.

    Args:
      kind: A dataclass or NamedTuple.
      values: By name of the flag; a field without a value keeps its default.
      flags: Fields whose flags have other names.

    Raises:
      UsageError: A value is of the wrong type, or refused by the class.
    """
    renamed = flags.get(kind, {})
    types = typing.get_type_hints(kind)
    chosen: Dict[str, Any] = {}
    for name in field_names(kind):
        flag = renamed.get(name, name)
        if flag is None:
            continue
        if _is_options(types[name]) and not isinstance(values.get(flag), types[name]):
            chosen[name] = options_of(types[name], values, flags)
        elif flag in values:
            chosen[name] = typed(values[flag], types[name], flag)
    return kind(**chosen)


class Field(NamedTuple):
    """What one flag takes."""

    kind: Any  # a type, or Optional of one
    default: Any


def fields_of(kind: Type, flags: Flags = {}) -> Dict[str, Field]:  # noqa: B006
    """What `options_of` takes, by flag; fields without a default are left out."""
    renamed, types = flags.get(kind, {}), typing.get_type_hints(kind)
    found: Dict[str, Field] = {}
    for name, default in _defaults(kind).items():
        if _is_options(types[name]):
            found.update(fields_of(types[name], flags))
        else:
            flag = renamed.get(name, name)
            if flag is not None:
                found[flag] = Field(types[name], default)
    return found


def _defaults(kind: Type) -> Dict[str, Any]:
    if hasattr(kind, "_field_defaults"):
        return dict(kind._field_defaults)
    fields = dataclasses.fields(kind)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def _is_options(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")


def typed(value: Any, kind: Any, flag: str) -> Any:
    """The value as a field of type `kind` holds it; kinds that no flag has are left alone.

    >>> typed(1, float, "clip_norm")
    1.0

    Raises:
      UsageError: It is of another type.
    """
    allowed = alternatives(kind)
    if type(None) in allowed and value is None:
        return None
    spoken = [_KINDS[one] for one in allowed if one in _KINDS]
    for one in allowed:
        if one not in _KINDS and one is not type(None):
            return tuple(value) if isinstance(value, list) else value
        if one in _KINDS and isinstance(value, _KINDS[one].base):
            if one is bool or not isinstance(value, bool):
                return one(value)
    words = " or ".join(kind.spoken for kind in spoken)
    raise UsageError("--{} must be {}. Received {}.".format(flag, words, quoted(value)))


def alternatives(kind: Any) -> Sequence[Any]:
    """The types that a Union or Optional allows; the type itself of others."""
    if getattr(kind, "__origin__", None) is typing.Union:
        return kind.__args__
    return (kind,)


def flag_lines(values: Dict[str, Any]) -> str:
    """Values as `--name=value` lines in order of names, readable again by `--flagfile`.

    >>> print(flag_lines({"small": 0.5, "recompute": False, "eval_file": None}), end="")
    --norecompute
    --small=0.5
    """
    lines = []
    for name, value in sorted(values.items()):
        if isinstance(value, bool):
            lines.append("--{}{}".format("" if value else "no", name))
        elif isinstance(value, (list, tuple)):
            lines.append("--{}={}".format(name, ",".join(map(str, value))))
        elif value is not None:
            lines.append("--{}={}".format(name, value))
    return "".join(line + "\n" for line in lines)
