"""Arguments of the Python API: named as the flags, and refused with the flags' sentences."""

import dataclasses
import difflib
import functools
import inspect
import numbers
from typing import Any, Callable, Optional, Tuple, TypeVar, cast

from albert.system.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_KINDS = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
}


def checked_keywords(fields: Optional[type] = None, *given: str) -> Callable[[F], F]:
    """Makes a function refuse unknown arguments and such of a wrong type with a `UsageError`.

    Args:
      fields: A dataclass whose fields the function takes as `**options`; its signature then
        shows them one by one.
      given: Fields that come from other arguments.
    """

    def decorated(function: F) -> F:
        signature = inspect.signature(function)
        if fields is not None:
            signature = _with_fields(signature, fields, given)

        @functools.wraps(function)
        def checked(*arguments: Any, **keywords: Any) -> Any:
            for name in keywords:
                if name not in signature.parameters:
                    raise _unknown(name, function.__name__, signature)
            bound = signature.bind(*arguments, **keywords)
            for name, value in bound.arguments.items():
                bound.arguments[name] = _fitting(name, value, signature.parameters[name].annotation)
            return function(*bound.args, **bound.kwargs)

        cast(Any, checked).__signature__ = signature
        return cast(F, checked)

    return decorated


def _with_fields(
    signature: inspect.Signature, fields: Any, given: Tuple[str, ...]
) -> inspect.Signature:
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in dataclasses.fields(fields)
        if field.name not in given
    ]
    return signature.replace(parameters=own + shown)


def _unknown(name: str, function: str, signature: inspect.Signature) -> UsageError:
    nearest = difflib.get_close_matches(name, list(signature.parameters), n=1, cutoff=0.5)
    hint = " Did you mean {}?".format(nearest[0]) if nearest else ""
    return UsageError("{} takes no argument {}.{}".format(function, name, hint))


def _fitting(name: str, value: Any, annotation: Any) -> Any:
    """The value in the type of its annotation, as far as that is a number, a switch or text."""
    for kind, (base, what) in _KINDS.items():
        if annotation is kind or (annotation == Optional[kind] and value is not None):
            if not isinstance(value, base) or (isinstance(value, bool) and kind is not bool):
                raise UsageError("--{} must be {}. Received {!r}.".format(name, what, value))
            return kind(value)
    return value
