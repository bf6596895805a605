"""The notebooks, executed from their first cell to their last on what they make themselves."""

import ast
import glob
import json
import os
import sys

import pytest
from conftest import ROOT

import albert
import preprocess

if sys.version_info < (3, 10):
    pytest.skip("papermill runs on current Python only", allow_module_level=True)
papermill = pytest.importorskip("papermill")

TINY = {"steps": 30, "epochs": 1, "seeds": [1], "batch_size": 64}
PUBLIC = {"albert": set(albert.__all__), "preprocess": set(preprocess.__all__)}
NOTEBOOKS = sorted(glob.glob(os.path.join(ROOT, "notebooks", "*.ipynb")))


def cells_of(path):
    with open(path, encoding="utf-8") as handle:
        return json.load(handle)["cells"]


def named(nodes):
    """What code takes of this project: (package or module, name)."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in PUBLIC:
                yield node.value.id, node.attr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=os.path.basename)
def test_a_notebook_uses_public_names_and_keeps_no_output(path):
    code = [cell for cell in cells_of(path) if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]]
    used = set(named(ast.walk(ast.parse("\n".join("".join(c["source"]) for c in code)))))
    ours = {(home, name) for home, name in used if home.split(".")[0] in (*PUBLIC, "quickstart")}
    assert ("albert", None) in ours
    assert not {(home, name) for home, name in ours if name not in PUBLIC.get(home, ()) and name}
    assert {home for home, _ in ours} <= set(PUBLIC)


def test_base_and_large_differ_by_their_names():
    """So that it is enough to run one."""
    base, large = [
        json.dumps(cells_of(path))
        for path in NOTEBOOKS
        if path.endswith(("base.ipynb", "large.ipynb"))
    ]
    assert base != large and base.replace("base", "large") == large.replace("base", "large")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


def execute(folder, name, **parameters):
    out = str(folder / (name + ".ipynb"))
    path = os.path.join(ROOT, "notebooks", name + ".ipynb")
    parameters["output_dir"] = str(folder / name)
    papermill.execute_notebook(
        path,
        out,
        parameters,
        cwd=os.path.dirname(path),  # as Jupyter does
        kernel_name="python3",
        progress_bar=False,
    )
    with open(out, encoding="utf-8") as handle:
        return handle.read()


def transfer(folder, name, **parameters):
    shown = execute(folder, name, **dict(TINY, **parameters))
    for contender in ("pre-trained", "from scratch"):
        assert "| {} | 0.".format(contender) in shown
    with open(parameters.get("plot") or str(folder / name / "bars.png"), "rb") as handle:
        assert handle.read(4) == b"\x89PNG"
    return shown


@pytest.fixture(scope="module")
def emotion(folder):
    """The notebook that makes a text and trains the model from which the others start."""
    return transfer(folder, "transfer-learning-emotion-base")


@pytest.fixture
def trained(folder, emotion):
    run = folder / "transfer-learning-emotion-base" / "pretraining"
    return {
        "init_checkpoint": str(run / "model"),
        "spm_model_file": str(run / "tokenizer.model"),
    }


def test_emotion_from_nothing_to_its_plot(emotion):
    assert "TF-IDF, logistic regression" in emotion and "probabilities" in emotion


def test_parts_of_speech(folder, trained):
    shown = transfer(folder, "transfer-learning-pos", plot=str(folder / "pos.png"), **trained)
    assert "most frequent tag" in shown


def test_quickstart(folder, emotion):
    text = folder / "transfer-learning-emotion-base" / "text.txt"
    shown = execute(folder, "quickstart", text=str(text), steps=20)
    assert "masked_lm_accuracy" in shown and "image/png" in shown
    log = (folder / "quickstart" / "model" / "log.txt").read_text()
    assert "sentence order right" in log  # the table at the end is a message there, too
