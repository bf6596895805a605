"""Files that come with the package, found by their bare names: model configs and recipes."""

import os
from typing import List, Sequence

import albert
from albert.system.errors import UsageError

CONFIG_DIRECTORY = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(albert.__file__))), "albert_config"
)
_FLAGFILE = ("--flagfile", "-flagfile")


def find_config(path: str) -> str:
    """The path of a model config named with or without its folder and ending.

    Raises:
      UsageError: There is none, neither at that path nor with the package.
    """
    return _find(path, "config", "", ".json", "Presets")


def find_recipe(path: str) -> str:
    """The path of a file of flags named with or without its folder and ending.

    Raises:
      UsageError: There is none, neither at that path nor with the package.
    """
    return _find(os.path.expanduser(path), "file of flags", "recipes", ".flags", "Recipes")


def with_recipes(words: Sequence[str]) -> List[str]:
    """A command line in which every --flagfile has the path of its file.

    Raises:
      UsageError: There is no such file.
    """
    found: List[str] = []
    for word in words:
        name, sign, path = word.partition("=")
        if found and found[-1] in _FLAGFILE:
            found.append(find_recipe(word))
        elif name in _FLAGFILE and sign:
            found.append("{}={}".format(name, find_recipe(path)))
        else:
            found.append(word)
    return found


def _find(path: str, what: str, room: str, ending: str, plural: str) -> str:
    folder = os.path.join(CONFIG_DIRECTORY, room)
    name = os.path.basename(path)
    for candidate in (path, os.path.join(folder, name), os.path.join(folder, name + ending)):
        if os.path.exists(candidate) and not os.path.isdir(candidate):
            return candidate
    known = sorted(n[: -len(ending)] for n in os.listdir(folder) if n.endswith(ending))
    place = os.path.join("albert_config", room, "")
    raise UsageError(
        "No {} '{}', neither at that path nor in {}. {}: {}.".format(
            what, path, place, plural, ", ".join(known)
        )
    )
