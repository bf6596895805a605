"""Which keys a section may have: the flags of its command, looked at before anything runs."""

import importlib
import json
import subprocess
import sys
from typing import Any, Dict

from absl import flags

from albert.recipe.commands import with_package
from albert.recipe.reading import OUTPUT_DIR, SECTIONS, Recipe, check_keys, text_of
from albert.system.errors import UsageError, quoted
from albert.system.files.shipped import find_recipe
from albert.system.files.side import parse_json

# What a flat recipe calls the config of its model.
_FLAT_MODEL = "albert_config"
_SHARED = "albert.commands.flags"  # of training and validation, defined at import
MODULES = {
    "text": "preprocess.commands.clean",
    "tokenizer": "preprocess.commands.tokenizer",
    "records": "preprocess.commands.records",
    "finetune": "albert.commands.finetune",
    "export": "albert.commands.export",
    "train": _SHARED,
    "evaluate": _SHARED,
}


_FLAGFILE = "flagfile"  # absl's own, in every command


def resolved(recipe: Recipe) -> Recipe:
    """A recipe in which every key stands in its section, and can be read by its command.

    Raises:
      UsageError: A key is not known, or its value is of another type than the flag's.
    """
    # All commands define their flags on the way, so in a process of its own.
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(recipe, default=str).encode(),
        capture_output=True,
        env=with_package(),
    )
    if done.returncode:
        raise UsageError(done.stderr.decode("utf-8", "replace").strip())
    return parse_json(done.stdout.decode())


def _resolved(recipe: Recipe) -> Recipe:
    known = {section: _flags_of(module) for section, module in MODULES.items()}
    names = {section: [*defined, _FLAGFILE] for section, defined in known.items()}
    flat = {k: v for k, v in recipe.items() if k not in (*SECTIONS, OUTPUT_DIR)}
    found = {k: recipe[k] for k in recipe if k not in flat}
    if _FLAT_MODEL in flat:
        found["model"] = dict(flat.pop(_FLAT_MODEL), **found.get("model", {}))
    everywhere = {name for one in known.values() for name in one}
    check_keys("in no section", flat, [*SECTIONS, *sorted(everywhere)])
    for section, defined in known.items():
        shared = {k: v for k, v in flat.items() if k in defined}
        if section not in found and not (shared and section in ("records", "train")):
            continue
        found[section] = dict(shared, **found.get(section, {}))
        check_keys("in " + section, found[section], names[section])
        for key, value in found[section].items():
            if key == _FLAGFILE:
                find_recipe(str(value))
            elif value is not None:
                _check(section, key, text_of(value), defined[key])
    return found


def _flags_of(module: str) -> Dict[str, Any]:
    """The flags of a command by name; only those of training stay defined."""
    defined = flags.FLAGS
    if module == _SHARED:
        importlib.import_module(module)
        return {flag.name: flag for flag in defined.flags_by_module_dict()[module]}
    before = set(defined)
    importlib.import_module(module).define_flags()
    new = {name: defined[name] for name in set(defined) - before}
    for name in new:
        delattr(defined, name)
    return new


def _check(section: str, key: str, text: str, flag: Any) -> None:
    try:
        flag.parse(text)
    except flags.Error as error:
        raise UsageError(
            "{}.{} of the recipe is {}: {}.".format(section, key, quoted(text), error)
        ) from error


if __name__ == "__main__":
    try:
        print(json.dumps(_resolved(parse_json(sys.stdin.read()))))
    except UsageError as error:
        sys.exit(str(error))
