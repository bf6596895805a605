"""What is to be done for a recipe: commands in their order, each with what it makes."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from albert.model.config import ModelConfig
from albert.recipe.reading import Recipe, words_of
from albert.system.errors import UsageError
from albert.system.files.names import file_state, files_below, matching
from albert.system.files.shipped import find_config
from albert.system.files.side import read_json_object

PRETRAINED, FINE_TUNED, EXPORTED = "model", "finetuned", "export"
MODEL_FILE = "model.json"  # made of the section `model`
_MADE = ("output_file", "valid_file")
# Held-out records have each document once, with the same masks for every model.
_HELD_OUT = {"masking": "static", "dupe_factor": 1}


class Step(NamedTuple):
    """One command.

    Attributes:
      name: Of its section; held-out records have one of their own.
      command: The words after `python -m`.
      makes: What is there when it is done.
      after: Names of the steps whose results it reads.
      prolongs: Flags whose change lets it go on with what it has made.
    """

    name: str
    command: List[str]
    makes: str
    after: Tuple[str, ...] = ()
    prolongs: Tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether it makes a folder, which must not be one of other settings."""
        return not os.path.splitext(self.makes)[1]

    def inputs(self) -> List[Tuple[str, Tuple[int, ...]]]:
        """The files it reads, with size and time; those made by steps before are among them."""
        words = [word[2:].partition("=") for word in self.command if word.startswith("--")]
        named = [value for name, _, value in words if name.endswith("_file") and name not in _MADE]
        parts = [part for value in named for part in value.split(",")]
        paths = {path for part in parts for path in files_below(part) or matching(part)}
        own = [path for path in paths if os.path.basename(path) != MODEL_FILE]
        return [(path, file_state(path)) for path in sorted(own) if os.path.isfile(path)]


def plan(recipe: Recipe, folder: str, later: Optional[Dict[str, str]] = None) -> List[Step]:
    """The steps of a recipe whose sections are there.

    Args:
      recipe: As `keys.resolved` gives it.
      folder: Where everything goes.
      later: Folders of steps that have one of their own, by name.

    Raises:
      UsageError: A section needs another one.
    """
    return _Planner(recipe, folder, later or {}).steps()


class _Planner:
    def __init__(self, recipe: Recipe, folder: str, later: Dict[str, str]) -> None:
        self._recipe, self._folder, self._later = recipe, folder, later
        self._steps: List[Step] = []

    def steps(self) -> List[Step]:
        self._text()
        self._records()
        self._train()
        self._use()
        if not self._steps:
            raise UsageError("The recipe has no step. Give it a section: text, records, train.")
        return self._steps

    def _at(self, section: str, name: str) -> str:
        return os.path.join(self._later.get(section, self._folder), name)

    def _add(
        self,
        name: str,
        program: List[str],
        ours: Dict[str, Any],
        makes: str,
        after: Tuple[str, ...] = (),
        prolongs: Tuple[str, ...] = (),
    ) -> None:
        section = name.split(" ")[0]
        given = dict(self._recipe[section], **(_HELD_OUT if name != section else {}))
        known = {step.name for step in self._steps}
        words = words_of(dict(ours, **given))
        there = tuple(other for other in after if other in known)
        self._steps.append(Step(name, program + words, makes, there, prolongs))

    def _text(self) -> None:
        if "text" in self._recipe:
            cleaned = self._at("text", "train.txt")
            ours: Dict[str, Any] = {
                "output_file": cleaned,
                "valid_file": self._at("text", "valid.txt"),
                "valid_fraction": 0.05,
            }
            self._add("text", ["preprocess", "clean"], ours, cleaned)
        if "tokenizer" in self._recipe:
            prefix = self._at("tokenizer", "tokenizer")
            ours = {"input_file": self._cleaned("train"), "model_prefix": prefix}
            command = ["preprocess", "tokenizer"]
            self._add("tokenizer", command, ours, prefix + ".model", ("text",))

    def _cleaned(self, part: str) -> Optional[str]:
        return self._at("text", part + ".txt") if "text" in self._recipe else None

    def _records(self) -> None:
        if "records" not in self._recipe:
            return
        parts = ["train", "valid"] if "text" in self._recipe else ["train"]
        for part in parts:
            made = self._at("records", part + ".tfrecord")
            ours = {"input_file": self._cleaned(part), "output_file": made}
            if "tokenizer" in self._recipe:
                ours["spm_model_file"] = self._at("tokenizer", "tokenizer.model")
            name = "records" if part == "train" else "records held out"
            self._add(name, ["preprocess", "records"], ours, made, ("text", "tokenizer"))

    def _recorded(self, part: str) -> Optional[str]:
        there = "records" in self._recipe and (part == "train" or "text" in self._recipe)
        return self._at("records", part + ".tfrecord") if there else None

    def _train(self) -> None:
        if "train" not in self._recipe:
            return
        folder = self._at("train", PRETRAINED)
        ours = dict(
            model_flags(self._recipe.get("model", {}), self._at("train", MODEL_FILE)),
            input_file=self._recorded("train"),
            eval_file=self._recorded("valid"),
            output_dir=folder,
        )
        after = ("records", "records held out")
        self._add(
            "train", ["albert", "pretrain"], ours, folder, after, ("num_train_steps", "patience")
        )
        if "evaluate" in self._recipe:
            ours = {"output_dir": folder, "input_file": self._recorded("valid")}
            results = os.path.join(folder, "eval_results.txt")
            self._add("evaluate", ["albert", "validate"], ours, results, ("train",))

    def _use(self) -> None:
        model = self._at("train", PRETRAINED) if "train" in self._recipe else None
        if "finetune" in self._recipe:
            tuned = self._at("finetune", FINE_TUNED)
            ours: Dict[str, Any] = {"init_checkpoint": model, "output_dir": tuned}
            self._add("finetune", ["albert", "finetune"], ours, tuned, ("train",))
            model = tuned
        if "export" in self._recipe:
            exported = self._at("export", EXPORTED)
            ours = {"output_dir": model, "export_dir": exported}
            self._add("export", ["albert", "export"], ours, exported, ("train", "finetune"))


def model_flags(section: Dict[str, Any], path: str) -> Dict[str, Any]:
    """The flags that name the model of a recipe: a preset, or a config made of its section."""
    preset = section.get("preset")
    if set(section) <= {"preset"}:
        is_file = preset is not None and os.path.isfile(preset)
        return {"albert_config_file" if is_file else "model": preset}
    return {"albert_config_file": path}


def model_config(section: Dict[str, Any], vocab_size: Optional[int]) -> ModelConfig:
    """The model that a section describes.

    Args:
      section: Keys of a config, and `preset`, whose keys are those that are not given.
      vocab_size: As of the records, where they tell it.

    Raises:
      UsageError: A key is not known, or no model is of such sizes.
    """
    values = dict(section)
    preset = values.pop("preset", None)
    if preset:
        values = dict(read_json_object(find_config(preset)), **values)
    if vocab_size:
        values["vocab_size"] = vocab_size
    return ModelConfig.from_dict(values)
