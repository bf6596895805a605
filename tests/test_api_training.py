"""Training and evaluation from Python."""

import json
import os
import signal

import numpy as np
import pytest
from conftest import SIZES, write_record_file
from malay import model
from test_import_export import small_run
from test_tasks import interrupt_at, texts, write_examples

from albert.checkpoints.results import read_results
from albert.system.errors import UsageError
from albert.tasks.finetuning.training import finetune
from albert.training.api import Run, evaluate, pretrain
from albert.training.loop.signals import Interrupted


@pytest.fixture
def work(tmp_path):
    write_record_file(tmp_path / "train.tfrecord", 40, seed=1)
    write_record_file(tmp_path / "valid.tfrecord", 20, seed=2)
    (tmp_path / "small.json").write_text(json.dumps(dict(SIZES, layout="google")))
    return tmp_path


def train(work, **more):
    options = dict(
        model=str(work / "small.json"),
        output_dir=str(work / "run"),
        eval_file=[str(work / "valid.tfrecord")],
        num_train_steps=6,
        train_batch_size=4,
        log_steps=2,
        eval_steps=3,
        learning_rate=1e-3,
        use_gpu=False,
        towers=2,
    )
    return pretrain(str(work / "train.tfrecord"), **dict(options, **more))


def test_a_run_has_metrics_curves_and_an_evaluation(work):
    run = train(work)
    assert repr(run) == "Run({!r}, step 6)".format(str(work / "run"))
    kinds = [(line["kind"], line["step"]) for line in run.metrics]
    assert kinds == [
        ("train", 2),
        ("eval", 3),
        ("train", 4),
        ("train", 6),
        ("eval", 6),
    ]
    assert "masked lm loss" in repr(run.metrics) and "<td>eval</td>" in run.metrics._repr_html_()
    assert [axes.get_title() for axes in run.plot().axes][0] == "masked-LM loss (nats)"
    results = evaluate(run, str(work / "valid.tfrecord"), batch_size=5, towers=1)
    assert results["loss"] == pytest.approx(run.metrics[-1]["loss"], rel=1e-5)
    assert read_results(run.output_dir)["loss"] == pytest.approx(results["loss"])
    assert evaluate(Run(run.output_dir).output_dir, str(work / "valid.tfrecord")) == pytest.approx(
        results, rel=1e-5
    )


def test_flags_of_a_run_are_those_of_the_command(work):
    run = train(work, optimizer="adamw", adam_beta2=0.98, recompute=False)
    lines = open(os.path.join(run.output_dir, "flags.txt")).read().splitlines()
    assert "--optimizer=adamw" in lines and "--adam_beta2=0.98" in lines
    assert "--norecompute" in lines and "--num_gpu_cores=2" in lines
    assert (
        "--albert_config_file={}".format(os.path.join(run.output_dir, "albert_config.json"))
        in lines
    )


@pytest.mark.parametrize(
    "change,message",
    [
        (
            dict(lerning_rate=1e-3),
            "takes no argument lerning_rate; did you mean learning_rate?",
        ),
        (dict(num_train_steps="many"), "--num_train_steps must be a whole number. Received 'many'"),
        (dict(num_train_steps=True), "--num_train_steps must be a whole number. Received True"),
        (dict(train_batch_size=0), "--train_batch_size must be above 0. Received 0"),
        (dict(train_batch_size=5), "try --train_batch_size=6 instead"),
        (dict(precision="half"), "--precision must be one of: float32"),
        (dict(model="huge"), "No config 'huge'"),
        (dict(eval_file="none.tfrecord"), "No file matches|matches no file"),
    ],
)
def test_bad_arguments_are_the_sentences_of_the_command(work, change, message):
    with pytest.raises(UsageError, match=message):
        train(work, **change)
    assert not (work / "run").exists()


def test_an_interrupted_call_goes_on(work, monkeypatch):
    whole = train(work, output_dir=str(work / "whole"), towers=1)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(Interrupted) as stopped:
            train(work, towers=1)
    assert stopped.value.exit_code == 128 + signal.SIGINT
    run = train(work, towers=1)
    assert run.metrics[-1]["loss"] == whole.metrics[-1]["loss"]


def test_a_model_is_fine_tuned_and_used(tmp_path):
    small_run(tmp_path / "run", "google")
    path = str(write_examples(tmp_path / "train.tsv", texts(160, 1)))
    tuned = finetune(
        str(tmp_path / "run"),
        path,
        task="classification",
        output_dir=str(tmp_path / "tuned"),
        num_train_epochs=6,
        train_batch_size=8,
        learning_rate=5e-3,
        max_seq_length=16,
        use_gpu=False,
    )
    assert tuned.report["accuracy"] > 0.9
    examples = texts(30, 2)
    answers = tuned.predict([example.text for example in examples])
    assert np.mean([a["label"] == e.label for a, e in zip(answers, examples)]) > 0.9
    with pytest.raises(UsageError, match="no argument dropuot; did you mean dropout?"):
        finetune(None, path, task="classification", output_dir="x", dropuot=0.1)
    with pytest.raises(
        UsageError, match="--task must be one of: classification, multi-label, .*, entities"
    ):
        finetune(None, path, task="translation", output_dir="x", spm_model_file=model())
