"""Who may import whom."""

import ast
import gc
import glob
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from albert import compat


def sources(*patterns):
    found = []
    for pattern in patterns:
        found += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    return sorted(os.path.relpath(path, ROOT) for path in found)


def module_of(path):
    module = path[: -len(".py")].replace(os.sep, ".")
    return module[: -len(".__init__")] if module.endswith(".__init__") else module


PRODUCT = sources("albert/**/*.py", "preprocess/**/*.py", "quickstart/*.py", "*.py")
MODULES = {module_of(path): path for path in PRODUCT if "remote_code" not in path}


def nodes_that_run(node):
    """A tree without what only a checker of types reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield from nodes_that_run(child)


def imports(path):
    """Every module a file imports, and every name it takes from one, inside functions too."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        tree = ast.parse(handle.read())
    names = set()
    for node in nodes_that_run(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names.update("{}.{}".format(node.module, alias.name) for alias in node.names)
    return names


def imported_modules(path):
    """The modules of this project that a file imports."""
    return {name for name in imports(path) if name in MODULES and name != module_of(path)}


# Rooms from the ground up; a module belongs to the longest name that it begins with.
FLOORS = (
    ("albert",),
    ("albert.compat", "albert.system"),
    ("albert.records",),  # what the record builder shares with the trainer
    ("albert.model", "albert.hosts", "preprocess.sources", "preprocess.workspace"),
    ("albert.optim", "albert.text", "preprocess.engines", "preprocess.progress"),
    (
        "albert.checkpoints",
        "albert.data",
        "albert.tasks.task",
        "preprocess",
        "preprocess.clean",
        "preprocess.inspection",
        "preprocess.records",
        "preprocess.tokenizer",
    ),
    ("albert.formats",),
    ("albert.training",),
    ("albert.tasks", "albert.formats.release.verify"),
    ("albert.recipe",),
    ("albert.commands", "preprocess.commands"),
    (
        "albert.__main__",
        "albert.create_pretraining_data",
        "albert.run_pretraining",
        "preprocess.__main__",
        "quickstart",
    ),
    ("calbert", "create-pretraining-data", "multigpu_pretraining", "validation"),
)
RANKS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module):
    # A package's own name stands for its empty face, not for modules nobody has ranked.
    faces = ("albert", "preprocess")
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        room = ".".join(parts[:end])
        if room in RANKS and (room == module or room not in faces):
            return room
    pytest.fail("{} is in no room of FLOORS".format(module))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module):
    for name in imported_modules(MODULES[module]):
        if name.startswith(module + "."):
            continue  # a face hands on what is in its room
        assert RANKS[room_of(name)] <= RANKS[room_of(module)], "imports {}".format(name)


def test_modules_do_not_import_each_other_in_circles():
    graph = {module: imported_modules(path) for module, path in MODULES.items()}
    while graph:
        free = {module for module, needed in graph.items() if not needed & set(graph)}
        assert free, "a circle among {}".format(sorted(graph))
        graph = {module: needed for module, needed in graph.items() if module not in free}


@pytest.mark.parametrize("path", PRODUCT)
def test_only_compat_imports_tensorflow_and_nobody_keras(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"keras", "tf_keras"}
    assert "tensorflow" not in roots or path == os.path.join("albert", "compat.py")


@pytest.mark.parametrize("path", sources("albert/**/*.py"))
def test_albert_does_not_import_preprocess_or_scripts(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"preprocess", "quickstart", "multigpu_pretraining", "validation"}


def test_nothing_loads_tensorflow_before_it_computes():
    """It takes seconds, for which no help and no wrong flag should wait; preprocess never does."""
    folders = ("__main__", "__init__", "remote_code")
    lines = ["import importlib, sys"]
    for name in MODULES:
        if not any(part in name for part in folders):
            lines.append("importlib.import_module({!r})".format(name))
    lines.append("print('tensorflow' in sys.modules)")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.decode().strip() == "False"


def test_tensorflow_does_not_bring_keras(monkeypatch):
    """Which takes as long to load as all the rest, and is not used."""
    for name in ("keras", "tf_keras"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name):
        with pytest.raises(ImportError):
            __import__("keras")
        assert not gc.isenabled()
        return name

    monkeypatch.setattr(compat.importlib, "import_module", load)
    assert compat._tensorflow.__wrapped__() == "tensorflow"
    assert not {"keras", "tf_keras"} & set(sys.modules)  # for who wants it later
    assert gc.isenabled()


@pytest.mark.parametrize("path", PRODUCT)
def test_only_commands_read_flags(path):
    """What a function does follows from its arguments, so that it can be called from Python."""
    names = imports(path)
    allowed = ("albert/commands/", "preprocess/commands/", "albert/system/command_line.py")
    # Which flags there are, and nothing of their values.
    allowed += ("albert/recipe/keys.py", "albert/system/help.py")
    if not path.replace(os.sep, "/").startswith(allowed):
        assert not {name for name in names if name.startswith("absl.flags")}, path


def test_one_module_reads_json():
    calls = re.compile(r"\bjson\.loads?\(|JSONDecoder\(")
    readers = []
    for path in PRODUCT:
        with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
            readers += [path] if calls.search(handle.read()) else []
    ours = os.path.join("albert", "system", "files", "side.py")
    of_any_size = os.path.join("preprocess", "sources", "json_values.py")  # text, as it is read
    assert readers == [ours, of_any_size]
