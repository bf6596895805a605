"""The file of a recipe, and what a command line changes of it."""

import os
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from albert.system.errors import UsageError, or_nearest, quoted
from albert.system.files.piped import STANDARD_INPUT
from albert.system.files.side import parse_json

# The steps in their order; `model` says what is trained.
SECTIONS = ("text", "tokenizer", "records", "model", "train", "evaluate", "finetune", "export")
OUTPUT_DIR = "output_dir"
_MOST_CHARACTERS = 1 << 20

Recipe = Dict[str, Any]


def read_recipe(path: str, changes: Sequence[str] = ()) -> Recipe:
    """Reads a recipe, YAML or JSON.

    The flat form of the guide, flags beside an `albert_config`, is taken too: what stands outside
    of a section is kept for every step that knows it.

    Args:
      path: The file.
      changes: Such as "train.learning_rate=1e-3"; the value is YAML.

    Returns:
      The sections by name, each a dictionary; `output_dir`; and other keys as they are.

    Raises:
      UsageError: The file cannot be read or is no recipe, or a change names no section.
    """
    recipe = _parsed(path)
    for change in changes:
        place, sign, value = change.partition("=")
        section, dot, key = place.partition(".")
        if not sign or not (dot and key or place == OUTPUT_DIR):
            raise UsageError(
                "A change of a recipe is SECTION.KEY=VALUE, like train.learning_rate=1e-3. "
                "Received {}.".format(quoted(change))
            )
        if not dot:
            recipe[OUTPUT_DIR] = value
            continue
        if section not in SECTIONS:
            raise UsageError(_unknown(section, "section"))
        recipe[section] = dict(as_section(recipe.get(section), section), **{key: _value(value)})
    for name in SECTIONS:
        if name in recipe:
            recipe[name] = as_section(recipe[name], name)
    return recipe


def as_section(value: Any, name: str) -> Dict[str, Any]:
    """A section as a dictionary: none is an empty one, a model may be a name alone."""
    if value is None:
        return {}
    if name == "model" and isinstance(value, str):
        return {"preset": value}
    if not isinstance(value, dict):
        raise UsageError(
            "The section {} of a recipe has keys and values. Received {}.".format(
                name, quoted(value)
            )
        )
    return value


def _unknown(name: str, what: str, known: Iterable[str] = SECTIONS) -> str:
    end = "{} It has {}.".format(or_nearest(name, known), ", ".join(known))
    return "A recipe has no {} {}{}".format(what, quoted(name), end)


def check_keys(place: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Refuses a key that a step does not know.

    Raises:
      UsageError: With the nearest name.
    """
    for key in given:
        if key not in known:
            raise UsageError(
                "The recipe has the key {} ({}), which no flag is called{} Keys are the flags of "
                "the section's command.".format(key, place, or_nearest(str(key), known))
            )


def _parsed(path: str) -> Recipe:
    try:
        with open(path, encoding="utf-8") as handle:
            text = handle.read(_MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError("Cannot read the recipe {}: {}.".format(path, reason)) from error
    if len(text) > _MOST_CHARACTERS:
        raise UsageError("{} is too large for a recipe.".format(path))
    value = _loaded(text, os.path.splitext(path)[1] == ".json", path)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError("{} is no recipe: it has no sections ({}).".format(path, SECTIONS[0]))
    return value


def _loaded(text: str, is_json: bool, what: str) -> Any:
    import yaml

    try:
        return parse_json(text) if is_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        where = " ".join(str(error).split())
        raise UsageError("Cannot read {}: {}".format(what, quoted(where))) from error


def _value(text: str) -> Any:
    return _loaded(text, False, "the value {}".format(quoted(text)))


def words_of(values: Dict[str, Any]) -> List[str]:
    """The keys of a section as flags; `flagfile` comes first, so that the others win."""

    def last(item: Tuple[str, Any]) -> bool:
        return item[0] != "flagfile"

    return [
        "--{}={}".format(key, text_of(value))
        for key, value in sorted(values.items(), key=last)
        if value is not None
    ]


def text_of(value: Any) -> str:
    """A value as a flag has it: a list is one with commas."""
    if value == [None]:
        return STANDARD_INPUT  # as YAML reads a dash alone
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
