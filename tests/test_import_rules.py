"""Who may import whom."""

import ast
import glob
import os

import pytest
from conftest import ROOT


def sources(*patterns):
    found = []
    for pattern in patterns:
        found += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    return sorted(os.path.relpath(path, ROOT) for path in found)


def imports(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        tree = ast.parse(handle.read())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names.update("{}.{}".format(node.module, alias.name) for alias in node.names)
    return names


PRODUCT = sources("albert/**/*.py", "preprocess/**/*.py", "*.py")
# What the record builder may use of the trainer: nothing that loads TensorFlow.
SHARED = (
    "albert",
    "albert.system.command_line",
    "albert.system.errors",
    "albert.system.files",
    "albert.system.command_line",
    "albert.system.processes",
    "albert.text.vocabulary",
)
SHARED_DATA = ("albert.data", "albert.data.records", "albert.data.masking")


def within(name, modules):
    return any(name == module or name.startswith(module + ".") for module in modules)


@pytest.mark.parametrize("path", PRODUCT)
def test_only_compat_imports_tensorflow_and_nobody_keras(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"keras", "tf_keras"}
    assert "tensorflow" not in roots or path == os.path.join("albert", "compat.py")


@pytest.mark.parametrize("path", sources("preprocess/**/*.py", "albert/data/records.py"))
def test_preprocessing_uses_nothing_that_loads_tensorflow(path):
    for name in imports(path):
        if name.split(".")[0] == "albert":
            allowed = (
                SHARED + SHARED_DATA + ("albert.data.example_proto", "albert.data.counter_rng")
            )
            assert name == "albert" or within(name, allowed[1:]) or name in allowed, name


@pytest.mark.parametrize("path", sources("albert/**/*.py"))
def test_albert_does_not_import_preprocess_or_scripts(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"preprocess", "multigpu_pretraining", "validation"}


LAYERS = (
    (
        "compat",
        "config",
        "errors",
        "fetch",
        "files",
        "flags_parsing",
        "pictures",
        "processes",
        "results",
        "vocabulary",
    ),
    ("model", "optim", "losses", "data", "runtime"),
    ("checkpoints", "training", "diagnosis", "evaluation"),
    ("validation", "flags", "quickstart", "saved_model", "batching"),
    ("run_folder", "run_tokenizer", "original_folder", "huggingface", "text_encoder"),
    ("bundle", "tasks", "predict"),
)
# The trainer reads checkpoints, and a checkpoint fills the trainer's state: one room, two doors.


@pytest.mark.parametrize("path", sources("albert/**/*.py"))
def test_imports_go_down_only(path):
    module = path.split(os.sep)[1].replace(".py", "")
    rank = {name: n for n, layer in enumerate(LAYERS) for name in layer}
    if module not in rank:
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "albert" and len(parts) > 1 and parts[1] in rank:
            assert rank[parts[1]] <= rank[module], "{} imports {}".format(path, name)
