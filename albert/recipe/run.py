"""Takes the steps of a recipe: what is done already is left alone, what was cut off goes on."""

import hashlib
import json
import os
import shlex
from typing import Any, Dict, List, NamedTuple, Sequence

from absl import logging

from albert.recipe.commands import call
from albert.recipe.keys import resolved
from albert.recipe.piped import with_pipes_kept
from albert.recipe.plan import Step, model_config, model_flags, plan
from albert.recipe.reading import OUTPUT_DIR, SECTIONS, Recipe, read_recipe
from albert.records.manifest import read_manifest
from albert.system.files.atomic import atomic_write, ensure_writable_directory, held
from albert.system.files.side import read_json_object

STATE_FILE, RECIPE_FILE = "steps.json", "recipe.json"
_DONE, _GOES_ON, _AGAIN, _NEW = "done", "goes on", "again, settings or inputs differ", "to do"


class Failed(Exception):
    """A step has ended with an exit code, and has said why."""

    def __init__(self, step: str, code: int) -> None:
        """Keeps both."""
        super().__init__("The step {} ended with exit code {}.".format(step, code))
        self.code = code


class Stage(NamedTuple):
    """A step, how it stands and by what it is known.

    Attributes:
      step: Which one.
      standing: Done, goes on, again or to do.
      identity: Of its settings, its inputs and the steps before it.
      begun: The same without what may change while it goes on.
    """

    step: Step
    standing: str
    identity: str
    begun: str


def run_recipe(
    recipe: str, *changes: str, sweep: Sequence[str] = (), dry_run: bool = False
) -> List[str]:
    """Does what a recipe says, from text to an exported model.

    A step whose settings and inputs are as they were when it was done is not done again; one that
    was cut off goes on.

    >>> import albert
    >>> albert.run_recipe("malay.yaml", "train.num_train_steps=2000")  # doctest: +SKIP
    ['runs/malay']

    Args:
      recipe: The file, YAML or JSON.
      *changes: Such as "train.learning_rate=1e-3".
      sweep: Such as "train.learning_rate=1e-3,2e-3": a run for each value (or for each choice of
        several values), which share the steps before.
      dry_run: Only says what would be done.

    Returns:
      The folder of each run.

    Raises:
      UsageError: The recipe cannot be read, or a key or value is not known.
      Failed: A step has ended with an error, which it has told.
    """
    wanted = [read_recipe(recipe, [*changes, *choice]) for choice in _choices(sweep)]
    folder = str(wanted[0].get(OUTPUT_DIR) or "runs/" + _name(recipe))
    folders = []
    for choice, one in zip(_choices(sweep), wanted):
        found = resolved(one)
        if found.get("model"):
            model_config(found["model"], found["model"].get("vocab_size", 32000))
        own = os.path.join(folder, ",".join(choice)) if choice else folder
        found = with_pipes_kept(found, folder, read=not dry_run)
        later = _from_first_changed(choice, own)
        _take(found, plan(found, folder, later), folder, own, dry_run)
        folders.append(own)
    return folders


def _choices(sweep: Sequence[str]) -> List[List[str]]:
    choices: List[List[str]] = [[]]
    for axis in sweep:
        place, _, values = axis.partition("=")
        choices = [[*c, "{}={}".format(place, v)] for c in choices for v in values.split(",")]
    return choices


def _name(recipe: str) -> str:
    return os.path.splitext(os.path.basename(recipe))[0]


def _from_first_changed(choice: Sequence[str], folder: str) -> Dict[str, str]:
    """The folder of every section from the first that a choice changes."""
    if not choice:
        return {}
    sections = list(SECTIONS)
    first = min(sections.index(change.partition(".")[0]) for change in choice)
    return dict.fromkeys(
        sections[first:] + (["train"] if sections[first] == "model" else []), folder
    )


def _take(recipe: Recipe, steps: List[Step], folder: str, own: str, dry_run: bool) -> None:
    if dry_run:
        _show(_staged(recipe, steps, _read_state(folder), own))
        return
    for place in sorted({folder, own}):
        ensure_writable_directory(place, "the recipe's output_dir")
    with held(folder, "the recipe's output_dir"):
        with atomic_write(os.path.join(own, RECIPE_FILE)) as handle:
            json.dump(dict(recipe, **{OUTPUT_DIR: folder}), handle, indent=2)
        for number in range(len(steps)):
            state = _read_state(folder)
            stage = _staged(recipe, steps, state, own)[number]
            _do(stage, recipe, state, folder, own)


def _do(stage: Stage, recipe: Recipe, state: Dict[str, Any], folder: str, own: str) -> None:
    step = stage.step
    print("\n=== {}: {}\n$ {}".format(step.name, stage.standing, _line(step)), flush=True)
    if stage.standing == _DONE:
        return
    if stage.standing == _AGAIN and step.is_folder and os.path.exists(step.makes):
        _put_aside(step.makes)
    if step.name == "train":
        _write_model(recipe, step, own)
    state[_key(step)] = {"begun": stage.begun, "done": None}
    _write_state(folder, state)
    code = call(step.command)
    if code:
        raise Failed(step.name, code)
    state[_key(step)]["done"] = stage.identity
    _write_state(folder, state)


def _staged(recipe: Recipe, steps: List[Step], state: Dict[str, Any], own: str) -> List[Stage]:
    stages: List[Stage] = []
    for step in steps:
        before = [stage.identity for stage in stages if stage.step.name in step.after]
        also = recipe.get("model") if step.name == "train" else None
        kept = [w for w in step.command if w[2:].partition("=")[0] not in step.prolongs]
        facts = [also, step.inputs(), before]
        identity, begun = (_digest([words, *facts]) for words in (step.command, kept))
        was = state.get(_key(step), {})
        there = os.path.exists(step.makes)
        if there and was.get("done") == identity:
            standing = _DONE
        elif was.get("begun") == begun:
            standing = _GOES_ON
        else:
            standing = _AGAIN if was else _NEW
        stages.append(Stage(step, standing, identity, begun))
    return stages


def _key(step: Step) -> str:
    return "{}: {}".format(step.name, step.makes)


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _read_state(folder: str) -> Dict[str, Any]:
    path = os.path.join(folder, STATE_FILE)
    if not os.path.exists(path):
        return {}
    state = read_json_object(path)
    return {name: value for name, value in state.items() if isinstance(value, dict)}


def _write_state(folder: str, state: Dict[str, Any]) -> None:
    with atomic_write(os.path.join(folder, STATE_FILE)) as handle:
        json.dump(state, handle, indent=2)


def _put_aside(folder: str) -> None:
    number = 1
    while os.path.exists("{}.before-{}".format(folder, number)):
        number += 1
    aside = "{}.before-{}".format(folder, number)
    os.rename(folder, aside)
    logging.warning("What other settings had made is kept as %s", aside)


def _write_model(recipe: Recipe, step: Step, own: str) -> None:
    """Writes the config of a model that is no preset, with the pieces of the records."""
    section = recipe.get("model", {})
    path = model_flags(section, "").get("albert_config_file")
    if path != "":
        return
    path = next(w.partition("=")[2] for w in step.command if w.startswith("--albert_config_file="))
    records = next(w.partition("=")[2] for w in step.command if w.startswith("--input_file="))
    manifest = read_manifest(records)
    config = model_config(section, manifest.vocab_size if manifest else None)
    with atomic_write(path) as handle:
        handle.write(config.to_json())


def _show(stages: Sequence[Stage]) -> None:
    for stage in stages:
        sizes = [state[0] for _, state in stage.step.inputs()]
        size = "  ({:,.1f} MB of input)".format(sum(sizes) / 1e6) if sizes else ""
        name = stage.step.name
        print("{:18} {}{}\n  $ {}".format(name, stage.standing, size, _line(stage.step)))


def _line(step: Step) -> str:
    """What a person types to take a step alone."""
    return " ".join(shlex.quote(word) for word in ["python3", "-m", *step.command])
