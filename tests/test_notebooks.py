"""The notebooks, executed from their first cell to their last on what they make themselves."""

import os
import sys

import pytest
from conftest import ROOT

if sys.version_info < (3, 10):
    pytest.skip("papermill runs on current Python only", allow_module_level=True)
papermill = pytest.importorskip("papermill")

TINY = {"steps": 30, "epochs": 1, "seeds": [1], "batch_size": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


def execute(folder, name, **parameters):
    out = str(folder / (name + ".ipynb"))
    path = os.path.join(ROOT, "notebooks", name + ".ipynb")
    parameters["output_dir"] = str(folder / name)
    papermill.execute_notebook(
        path, out, parameters, cwd=ROOT, kernel_name="python3", progress_bar=False
    )
    with open(out, encoding="utf-8") as handle:
        return handle.read()


def transfer(folder, name, **parameters):
    plot = str(folder / (name + ".png"))
    shown = execute(folder, name, plot=plot, **dict(TINY, **parameters))
    for contender in ("pre-trained", "from scratch"):
        assert "| {} | 0.".format(contender) in shown
    with open(plot, "rb") as handle:
        assert handle.read(4) == b"\x89PNG"
    return shown


def test_emotion_from_nothing_to_its_plot(folder):
    shown = transfer(folder, "transfer-learning-emotion-base")
    assert "TF-IDF, logistic regression" in shown and "probabilities" in shown


# The others start from the model that the first one trained.


def trained(folder):
    run = folder / "transfer-learning-emotion-base" / "pretraining"
    model, tokenizer = str(run / "model"), str(run / "tokenizer.model")
    if not os.path.isdir(model):
        pytest.skip("the notebook that trains the model did not run")
    return {"init_checkpoint": model, "spm_model_file": tokenizer}


def test_large_is_the_same_with_another_model(folder):
    transfer(folder, "transfer-learning-emotion-large", **trained(folder))


def test_parts_of_speech(folder):
    shown = transfer(folder, "transfer-learning-pos", **trained(folder))
    assert "most frequent tag" in shown


def test_quickstart(folder):
    text = folder / "transfer-learning-emotion-base" / "text.txt"
    if not text.exists():
        pytest.skip("the notebook that writes the text did not run")
    shown = execute(folder, "quickstart", text=str(text), steps=20)
    assert "masked_lm_accuracy" in shown and "image/png" in shown
