"""What the documents name exists: files, functions, rooms, commands."""

import ast
import glob
import json
import os
import re

import numpy as np
import pytest
from conftest import ROOT
from test_import_rules import RANKS, room_of

from albert.__main__ import COMMANDS as ALBERT
from albert.checkpoints.manager import write_tensors
from benchmarks import equal
from preprocess.__main__ import COMMANDS as PREPROCESS

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")
# Where a name alone belongs to a file of the same paragraph; the README also has words of users.
EXPLAINING = DOCUMENTS[1:]
FOLDERS = r"albert|albert_config|benchmarks|docs|notebooks|preprocess|quickstart|tests|\.ci"
PATH = re.compile(r"(?<![\w./-])(?:{})/[\w./*-]*".format(FOLDERS))
SCRIPT = re.compile(r"(?<![\w./*-])[\w-]+\.py\b")
LINK = re.compile(r"\]\(([^):#]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:\d+\.|-|\|) ?)")
NAME = re.compile(r"[A-Za-z_][\w.]*$")
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)
COMMAND = re.compile(r"python3? -m (albert|preprocess) ([a-z-]+)")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        return handle.read()


def defined_in(path):
    """Names of functions, classes, their methods and constants of a file."""
    found = set()
    for node in ast.parse(read(path)).body:
        found.update(names_of(node))
        for inner in getattr(node, "body", []):
            found.update("{}.{}".format(getattr(node, "name", ""), n) for n in names_of(inner))
    return found


def names_of(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return [target.id for target in targets if isinstance(target, ast.Name)]


def exists(path):
    return bool(glob.glob(os.path.join(ROOT, path)))


def stale_files(text, folder):
    found = [path.rstrip(".,") for path in PATH.findall(text) + SCRIPT.findall(text)]
    found += [os.path.join(folder, link) for link in LINK.findall(text)]
    return ["there is no {}".format(path) for path in sorted(set(found)) if not exists(path)]


def stale_names(text, explaining):
    """What is said of names: `path/file.py: name`, and `name` beside files that are named."""
    stale = []
    for paragraph in PARAGRAPH.split(FENCE.sub("", text)):
        words = [" ".join(word.split()) for word in CODE.findall(paragraph)]
        pairs = [word.split(": ") for word in words if ".py: " in word]
        files = [word.split(": ")[0] for word in words if re.search(r"\.py(: |$)", word)]
        known = {path: defined_in(path) for path in files if os.path.isfile(path)}
        for path, name in pairs:
            if path in known and name not in known[path]:
                stale.append("{} has no {}".format(path, name))
        alone = [word for word in words if NAME.match(word) and word not in files] * explaining
        for name in alone:
            if not any(name in names for names in known.values()):
                stale.append("no file named beside it has {}".format(name))
    return stale


def stale_commands(text):
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    code = "\n".join(FENCE.findall(text)) + "".join(re.findall(r"`[^`]+`", FENCE.sub("", text)))
    stale = ["make has no {}".format(t) for t in TARGET.findall(code) if t not in targets]
    for program, command in COMMAND.findall(text):
        if command not in {"albert": ALBERT, "preprocess": PREPROCESS}[program]:
            stale.append("{} has no command {}".format(program, command))
    return stale


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_exists(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = read(document)
    stale = stale_files(text, os.path.dirname(document))
    stale += stale_names(text, document in EXPLAINING) + stale_commands(text)
    assert not stale, "{}: {}".format(document, "; ".join(stale))


def test_stale_names_are_found(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = """See albert/gone.py, [this](docs/gone.md) and `gone.py`.

1. `albert/training/step/step.py: make_train_step` calls `StepOptions`, `gone`,
   and `albert/training/step/step.py:
   gone`.
2. `StepOptions` is of another paragraph; `tests/*.py` is not a file; `benchmarks/`, too.

`make gone`, or

```bash
make test
python -m albert gone
```
"""
    assert stale_files(text, "") == [
        "there is no albert/gone.py",
        "there is no docs/gone.md",
        "there is no gone.py",
    ]
    assert stale_names(text, True) == [
        "albert/training/step/step.py has no gone",
        "no file named beside it has gone",
        "no file named beside it has StepOptions",
    ]
    assert stale_names(text, False) == ["albert/training/step/step.py has no gone"]
    assert stale_commands(text) == ["make has no gone", "albert has no command gone"]


def picture():
    """The lines of the picture that name rooms, from the roof down, as modules."""
    drawn = FENCE.search(read("docs/architecture.md")).group()
    lines = []
    for line in drawn.splitlines():
        paths = PATH.findall(line) + SCRIPT.findall(PATH.sub("", line))
        if paths:
            lines.append([re.sub(r"\.py$", "", p.rstrip("/")).replace("/", ".") for p in paths])
    return lines


def test_the_picture_has_the_floors_of_the_import_rules():
    floors = [[RANKS[room_of(module)] for module in line] for line in picture()]
    for above, below in zip(floors, floors[1:]):
        assert min(above) > max(below), "{} is not above {}".format(above, below)


def test_every_room_is_in_the_table():
    rooms = set(re.findall(r"`([a-z_/]+/)`", read("docs/architecture.md")))
    packages = glob.glob(os.path.join(ROOT, "albert", "**", "__init__.py"), recursive=True)
    packages += glob.glob(os.path.join(ROOT, "preprocess", "*", "__init__.py"))
    paths = {os.path.relpath(os.path.dirname(path), ROOT) + "/" for path in packages}
    assert paths - {"albert/"} <= rooms, "missing: {}".format(paths - {"albert/"} - rooms)


def finished_run(folder, loss=5.0, weight=1.0, seconds=1.0):
    """A run of one step, as far as the proof of equal losses looks at it."""
    folder.mkdir()
    line = {"kind": "train", "step": 1, "loss": loss, "wall_time": seconds, "mfu": seconds}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    weights = {"kernel": np.full([2, 3], weight, np.float32)}
    write_tensors(str(folder / "model.ckpt-1"), weights)
    return str(folder)


@pytest.mark.parametrize(
    "change,said",
    [
        ({"seconds": 2.0}, "Equal: "),
        ({"loss": 5.0000001}, "train line of step 1: loss was 5.0 and is 5.0000001"),
        ({"weight": 1.0000001}, "latest checkpoint: kernel differs"),
    ],
    ids=["times", "loss", "weight"],
)
def test_the_proof_of_equal_losses_finds_any_difference(tmp_path, capsys, change, said):
    before = finished_run(tmp_path / "before")
    after = finished_run(tmp_path / "after", **change)
    assert equal.main([before, after]) == int(not said.startswith("Equal"))
    assert capsys.readouterr().out.startswith(said)


def test_the_proof_of_equal_losses_needs_two_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        equal.main([finished_run(tmp_path / "before"), str(tmp_path)])
    assert ended.value.code == 2
    assert "has no metrics.jsonl" in capsys.readouterr().err
