"""Arguments of the Python API: named as the flags, and refused with the flags' sentences."""

import dataclasses
import functools
import inspect
from typing import Any, Callable, Iterable, Optional, Sequence, Tuple, TypeVar, cast

from albert.system.errors import UsageError, or_nearest
from albert.system.options import typed

F = TypeVar("F", bound=Callable[..., Any])


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
            check_known(function.__name__, keywords, list(signature.parameters))
            bound = signature.bind(*arguments, **keywords)
            for name, value in bound.arguments.items():
                bound.arguments[name] = typed(value, signature.parameters[name].annotation, name)
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


def check_known(function: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Refuses arguments that a function does not take.

    Raises:
      UsageError: With the nearest name.
    """
    for name in given:
        if name not in known:
            end = or_nearest(name, known)
            raise UsageError("{} takes no argument {}{}".format(function, name, end))
