"""What --help shows: the flags of a command in groups, each with what it takes and its default."""

import re
import shutil
import textwrap
from typing import Any, Container, Dict, List, Optional, Tuple

from absl import flags

NOTHING = "Does nothing here."  # what such flags say; they are listed by their names alone
_OURS = ("albert.", "preprocess.")  # absl and TensorFlow have flags of their own
_FIRST = "Flags"
_MARGIN = 28  # where the words on a flag begin
_WIDTHS = (60, 100)
_EVERYWHERE = (
    ("--flagfile=FILE", "Flags from a file, a line each, or from a recipe."),
    ("--version, --help", "And --helpfull, which shows the flags of the logging, too."),
    ("", "In [brackets] stands the default."),
)
_ALIASES: Dict[str, str] = {}
_GROUP = "albert_group"  # an attribute of absl's flags, so that it goes with them


def group(title: str) -> None:
    """Puts the flags that are defined from here on under a title."""
    _close_group()
    _current[0] = title


_current = [_FIRST]


def _close_group() -> None:
    for name in flags.FLAGS:
        if not hasattr(flags.FLAGS[name], _GROUP):
            setattr(flags.FLAGS[name], _GROUP, _current[0])
    _current[0] = _FIRST


def note_alias(name: str, original: str) -> None:
    """Shows another name of a flag beside it, not as one more flag."""
    _ALIASES[name] = original


def is_alias(name: str) -> bool:
    """Whether `note_alias` was told of it."""
    return name in _ALIASES


def page(usage: str, shown: Optional[Container[str]] = None) -> str:
    """Usage and flags, those without words on them as one list of names.

    Args:
      usage: What comes first.
      shown: The names of the flags that mean something to this command; None for all of ours.
    """
    _close_group()
    found: Dict[str, List[Any]] = {}
    for name in flags.FLAGS:
        module = flags.FLAGS.find_module_defining_flag(name) or ""
        ours = module.startswith(_OURS) and not is_alias(name) and name != "verbose"
        if ours and (shown is None or name in shown):
            found.setdefault(getattr(flags.FLAGS[name], _GROUP), []).append(flags.FLAGS[name])
    width = min(max(shutil.get_terminal_size((100, 24)).columns, _WIDTHS[0]), _WIDTHS[1])
    parts = [usage.strip()]
    for title, members in found.items():
        lines = [
            line for flag in members if flag.help != NOTHING for line in _told(*_words(flag), width)
        ]
        silent = ", ".join("--" + flag.name for flag in members if flag.help == NOTHING)
        lines += textwrap.wrap(silent, width, initial_indent="  ", subsequent_indent="  ")
        parts.append("\n".join([title + ":", *lines]))
    general = [_words(flags.FLAGS["verbose"])] if "verbose" in flags.FLAGS else []
    lines = [line for one in (*general, *_EVERYWHERE) for line in _told(*one, width)]
    return "\n\n".join(parts + ["\n".join(["Everywhere:", *lines])])


def _words(flag: Any) -> Tuple[str, str]:
    """How a flag is written, and what it does."""
    name, parser = flag.name, flag.parser
    if flag.boolean:
        written = "--[no]" + name
    elif isinstance(parser, flags.EnumParser):
        written = "--{}={}".format(name, "|".join(parser.enum_values))
    else:
        written = "--{}={}".format(name, _value(name, parser))
    others = ["--" + other for other, original in _ALIASES.items() if original == name]
    also = " Also {}.".format(", ".join(sorted(others))) if others else ""
    told = "default" in flag.help.lower() or flag.default is None or flag.default in ("", [])
    default = flag.default
    if isinstance(default, (list, tuple)):
        default = ",".join(map(str, default))
    # Without what absl adds: the values of an enum, that a flag may be repeated.
    what = re.sub(r"^<[^>]*>: |;\s+repeat this option.*", "", flag.help)
    return written, what + ("" if told else " [{}]".format(default)) + also


def _value(name: str, parser: Any) -> str:
    if isinstance(parser, flags.IntegerParser):
        return "N"
    if isinstance(parser, flags.FloatParser):
        return "X"
    if isinstance(parser, flags.ListParser):
        return "A,B,..."
    kinds = [kind for kind in ("file", "dir") if name.endswith("_" + kind)]
    return kinds[0].upper() if kinds else "VALUE"


def _told(written: str, what: str, width: int) -> List[str]:
    margin = " " * _MARGIN
    start = "  {:{}}".format(written, _MARGIN - 2)
    above = []
    if not start.endswith("  "):
        above, start = ["  " + written], margin
    return above + textwrap.wrap(
        what, width, initial_indent=start, subsequent_indent=margin, break_on_hyphens=False
    )
