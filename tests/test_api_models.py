"""The Python API of models: what `import albert` gives, `albert.load` and `albert.export`."""

import doctest
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest
from conftest import ROOT
from malay import model
from test_import_export import albert as command
from test_import_export import small_run

import albert
from albert.checkpoints.manager import write_tensors
from albert.tasks.folder import begin_folder
from albert.tasks.inference.fine_tuned import TaskModel
from albert.tasks.inference.pretrained import PretrainedModel
from albert.tasks.model import initial_weights
from albert.tasks.task import Task
from albert.text.tokenization import Tokenization

LABELS = ("gembira", "marah", "sedih")
REPORT = {"accuracy": 0.5, "macro_f1": 0.25}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with those of a run, "run", and of fine-tuned models, "emotion" and "tags"."""
    folder = tmp_path_factory.mktemp("made")
    config = small_run(folder / "run", "google")
    how = Tokenization(model())
    for name, kind in (("emotion", "classification"), ("tags", "tagging")):
        task = Task(kind, LABELS, 32, *how.text)
        (folder / name).mkdir()
        begin_folder(str(folder / name), config, task, how)
        weights = initial_weights(config, task, {}, 5)
        write_tensors(str(folder / name / "model.ckpt-3"), weights)
        (folder / name / "report.json").write_text(json.dumps(REPORT))
    return folder


@pytest.fixture
def folders(made, tmp_path, monkeypatch):
    """A copy of those folders, the current one."""
    for folder in made.iterdir():
        shutil.copytree(str(folder), str(tmp_path / folder.name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(folder):
    """What a training returns, as far as these functions look at it."""
    return types.SimpleNamespace(output_dir=str(folder))


def printed(capsys, *arguments):
    capsys.readouterr()
    assert command("predict", "--use_gpu=False", *arguments) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rounded(answers):
    return json.loads(json.dumps(answers), parse_float=lambda digits: round(float(digits), 4))


def test_the_package_loads_nothing_until_a_name_is_used():
    code = (
        "import sys, albert; print(albert.__version__)"
        "; assert set(albert.__all__) < set(dir(albert))"
        "; assert issubclass(albert.UsageError, ValueError)"
        "; assert not {'tensorflow', 'numpy', 'absl'} & set(sys.modules)"
        "; albert.load; print('numpy' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    assert done.stdout.split() == [albert.__version__, "True", "False"]


def test_the_package_has_its_names_and_no_others():
    assert sorted(albert._HOMES) == albert.__all__
    for name in ("load", "export", "UsageError"):
        module, attribute = albert._HOMES[name].split(":")
        assert getattr(albert, name) is getattr(importlib.import_module(module), attribute)
        assert getattr(albert, name).__doc__
    with pytest.raises(AttributeError, match="module 'albert' has no attribute 'lode'"):
        albert.lode()


@pytest.mark.parametrize("name", ["load", "export"])
def test_examples_of_the_documentation_run(folders, name):
    function = getattr(albert, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_a_run_answers_as_its_command_does(folders, capsys):
    texts = ["saya makan [MASK] di rumah", "ibu dan [MASK] pergi ke [MASK] ."]
    pair = ("saya makan nasi", "kami minum air")
    for folder in ("run", folders / "run", run_of("run")):
        loaded = albert.load(folder, use_gpu=False)
        assert isinstance(loaded, PretrainedModel)
    run = "--output_dir=run"
    expected = printed(capsys, run, "--task=fill-mask", "--top_k=2", *texts)
    assert loaded.fill_mask(texts, top_k=2) == expected
    assert len(loaded.fill_mask(iter(texts))[0]["masks"][0]) == 5
    expected = printed(capsys, run, "--task=sentence-order", "\t".join(pair))
    assert loaded.sentence_order([pair]) == loaded.sentence_order([list(pair)]) == expected
    for pooling in ("mean", "pooled"):
        expected = printed(capsys, run, "--task=embed", "--pooling=" + pooling, *texts)
        assert loaded.embed(texts, pooling=pooling) == expected
    assert loaded.embed(texts) == loaded.embed(texts, "mean")


@pytest.mark.parametrize("folder", ["emotion", "tags"])
def test_a_fine_tuned_model_answers_as_its_command_does(folders, folder, capsys):
    texts = ["gembira sekali", "hujan, panas"]
    loaded = albert.load(folder, use_gpu=False, batch_size=3)
    assert isinstance(loaded, TaskModel)
    expected = printed(capsys, "--output_dir=" + folder, *texts)
    assert rounded(loaded.predict(texts)) == rounded(expected)  # their batches differ
    assert loaded.report == REPORT and loaded.output_dir == folder
    assert albert.load(loaded).predict(texts) == loaded.predict(texts)


def test_another_checkpoint_can_be_named(folders):
    small_run(folders / "other", "google", step=9, initializer_range=0.5)
    for path in (folders / "other").glob("model.ckpt-9.*"):
        (folders / "run" / path.name).write_bytes(path.read_bytes())
    text = ["saya makan nasi"]
    named = albert.load("run", "model.ckpt-9").embed(text)
    assert named == albert.load("other").embed(text)
    assert named != albert.load("run", "model.ckpt-7").embed(text)
    assert named == albert.load(None, os.path.join("run", "model.ckpt-9")).embed(text)


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: albert.load(None), "Pass --output_dir, the folder of a run, or --checkpoint."),
        (lambda: albert.load(7), "Pass the folder of a run, .* Received 7"),
        (lambda: albert.load(run_of("run").__class__(output_dir=None)), "that has one: output_dir"),
        (lambda: albert.load("nothing"), "No checkpoint in nothing"),
        (lambda: albert.load("run", batch_size=0), "--batch_size must be at least 1. Received 0"),
        (lambda: albert.load("run", max_seq_length=7), "--max_seq_length must be at least 8"),
        (lambda: albert.load("emotion", "model.ckpt-3"), "leave out --checkpoint"),
        (
            lambda: albert.load("tags", keep_accents=False, max_seq_length=16),
            "leave out --keep_accents and --max_seq_length",
        ),
        (lambda: albert.load("run").fill_mask("saya [MASK]"), r"Pass a list.*\['saya \[MASK\]'\]"),
        (lambda: albert.load("run").fill_mask(["saya", None]), "must be of type str.*None"),
        (lambda: albert.load("run").fill_mask(["saya"]), r"No \[MASK\] among"),
        (
            lambda: albert.load("run", max_seq_length=8).fill_mask(["saya " * 9 + "[MASK]"]),
            r"No \[MASK\] among the first 6 pieces",
        ),
        (lambda: albert.load("run").fill_mask(["[MASK]"], top_k=0), "--top_k must be at least 1"),
        (lambda: albert.load("run").embed(["a"], pooling="max"), "--pooling must be one of: mean"),
        (lambda: albert.load("run").embed("saya"), "Received one text"),
        (lambda: albert.load("run").sentence_order(["saya\tkami"]), "needs pairs of two texts"),
        (lambda: albert.load("run").sentence_order([("saya", " ")]), "needs pairs of two texts"),
        (lambda: albert.load("run").sentence_order([("saya", 1)]), "must be of type str. .* 1"),
        (lambda: albert.load("emotion").predict("saya"), "Received one text"),
        (lambda: albert.export("run", "out", format="npz"), "--format must be one of: hf, saved"),
        (lambda: albert.export("run", "run"), "--export_dir=run is not empty"),
        (lambda: albert.export("emotion", "out", format="tf1"), "holds bare weights already"),
        (lambda: albert.export("emotion", "out", spm_model_file="x"), "leave out --spm_model_file"),
    ],
)
def test_a_mistake_is_a_usage_error(folders, call, told):
    with pytest.raises(albert.UsageError, match=told):
        call()


@pytest.mark.parametrize(
    "folder, format",
    [
        ("run", "hf"),
        ("run", "savedmodel"),
        ("run", "tf1"),
        ("emotion", "hf"),
        ("tags", "savedmodel"),
    ],
)
def test_an_export_is_that_of_the_command(folders, folder, format):
    os.makedirs("a")
    found = albert.export(run_of(folder), pathlib.Path("a", "same"), format=format)
    assert found == os.path.join("a", "same")
    arguments = ["--output_dir=" + folder, "--export_dir=b/same", "--format=" + format]
    assert command("export", *arguments) == 0
    files = [path for path in pathlib.Path("b").rglob("*") if path.is_file()]
    assert files
    for path in files:
        ours = pathlib.Path("a", *path.parts[1:])
        if path.suffix != ".pb":  # TensorFlow numbers its functions
            assert ours.read_bytes() == path.read_bytes()
        assert ours.is_file()
