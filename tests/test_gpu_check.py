"""The check of a machine: every part runs, on the CPU where there is no GPU."""

import json

import pytest
from conftest import write_record_file
from test_import_export import albert

from albert.compat import physical_gpus, runtime_name
from albert.training.gpu_check.equality import Equality
from albert.training.gpu_check.learning import Learning
from albert.training.gpu_check.report import Report


@pytest.mark.skipif(
    runtime_name().startswith("TensorFlow 1."), reason="the check is for current TensorFlow"
)
def test_a_rehearsal_runs_every_part(tmp_path, capsys):
    records = write_record_file(tmp_path / "a.tfrecord", 40)
    out = tmp_path / "out"
    words = ["--rehearse", "--input_file=" + records, "--minutes=0.01"]
    assert albert("check-gpu", *words, "--output_dir={}".format(out)) == 0
    printed = capsys.readouterr().out
    assert printed == (out / "gpu_check.md").read_text()
    assert "(a rehearsal)" in printed and printed.endswith("Everything is as it should be.\n")
    found = json.loads((out / "gpu_check.json").read_text())
    variants = {one["variant"] for one in found["equalities"] if one["layout"] == "google"}
    assert {"two towers", "packed rows", "XLA", "bfloat16", "two towers, Muon"} <= variants
    assert found["passed"] and all(one["passed"] for one in found["equalities"])
    assert [speed["precision"] for speed in found["speeds"]] == ["float32", "mixed_bfloat16"]
    assert all(speed["sequences"] > 0 and speed["mfu"] > 0 for speed in found["speeds"])
    assert sorted(found["tokens"]) == ["0", "1", "2"] and min(found["tokens"].values()) > 0
    assert found["learning"]["went_on_to"] > found["learning"]["killed_after"] > 0


def report(difference=0.0, state="learning", went_on_to=9, rehearsal=False):
    equality = Equality("google", "two towers", difference, 1e-4)
    learning = Learning(5, went_on_to, 5.0, 0.1, 6.0, state, 1.0)
    return Report(rehearsal, ["/device:GPU:0"], [equality], [], [], {}, learning)


def test_what_is_not_as_it_should_be():
    assert report().passed
    assert not report(difference=2e-4).passed
    assert not report(difference=float("nan")).passed
    assert not report(state="plateau").passed
    assert not report(went_on_to=5).passed
    assert report(state="young", rehearsal=True).passed


@pytest.mark.parametrize(
    "words, told",
    [
        (["--rehearse", "--models=nano,bse", "--lengths=8x"], "Received '8x'"),
        (["--models=bse"], "bse"),
        (["--eval_file=a"], "--eval_file=a needs --input_file"),
        (["here"], "takes flags only. Received here"),
        (["--rehearse", "--input_file=missing.tfrecord"], "missing.tfrecord"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert albert("check-gpu", *words) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(bool(physical_gpus()), reason="there is a GPU")
def test_a_machine_without_gpu_is_told(capsys, tmp_path):
    assert albert("check-gpu", "--output_dir={}".format(tmp_path / "out")) == 2
    assert "asks for 1 GPUs" in capsys.readouterr().err
