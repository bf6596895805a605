"""Scores, baselines, and runs side by side."""

import json
import os
import subprocess
import sys

import pytest
from test_tasks import entities, texts, write_examples

from albert.system.errors import UsageError
from albert.tasks.baselines import baselines, most_frequent_tag, verdict
from albert.tasks.rows.examples import Sentence, Text, labels_of
from albert.tasks.scores import score
from albert.tasks.task import Task
from benchmarks.comparison import Files, bar_plot, compare, table


def test_scores_are_those_of_their_definitions():
    # Label 0: precision 1/2, recall 1/1; label 1: 1/1 and 1/2; label 2: 1/1 and 1/1.
    found = score([0, 1, 1, 2], [0, 0, 1, 2])
    f1 = [2 / 3, 2 / 3, 1.0]
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx(sum(f1) / 3)
    assert found["weighted_f1"] == pytest.approx((f1[0] + 2 * f1[1] + f1[2]) / 4)


def scores_of(kind, train, test, name):
    task = Task(kind, tuple(labels_of(train)), 16, False, True)
    return baselines(task, train, test)[name]


def test_a_word_gets_its_commonest_tag():
    train = [Sentence(("a", "a", "a", "b", "c"), ("X", "X", "Y", "Y", "Y"))]
    test = [Sentence(("a", "b", "new", "a"), ("X", "Y", "Y", "Y"))]
    assert most_frequent_tag(train, test) == [("X", "Y", "Y", "X")]
    assert scores_of("tagging", train, test, "most frequent tag")["accuracy"] == 0.75
    assert scores_of("tagging", train, test, "majority")["accuracy"] == 0.75
    found = entities(50, 1), entities(20, 2)
    assert scores_of("entities", *found, "most frequent tag")["entity_f1"] == 1.0
    assert scores_of("entities", *found, "majority")["entity_f1"] == 0.0


def test_words_that_tell_the_label_are_found():
    name = "TF-IDF, logistic regression"
    assert scores_of("classification", texts(80, 1), texts(40, 2), name)["accuracy"] > 0.95
    unknown = [Text("?", "a"), Text("!", "b"), Text("!", "b")]
    assert scores_of("classification", unknown, unknown, name)["accuracy"] == pytest.approx(2 / 3)


def test_a_model_that_loses_to_a_baseline_is_told_so():
    task = Task("tagging", ("X", "Y"), 16, False, True)
    others = {"most frequent tag": {"accuracy": 0.8}, "majority": {"accuracy": 0.4}}
    assert "better than every" in verdict(task, {"accuracy": 0.9}, others)
    assert "no better by accuracy than: most frequent tag." in verdict(
        task, {"accuracy": 0.8}, others
    )


@pytest.fixture
def files(tmp_path):
    parts = ("train", "valid", "test")
    paths = [str(write_examples(tmp_path / (part + ".tsv"), texts(20, 1))) for part in parts]
    return Files(*paths)


def test_each_contender_runs_once_a_seed_and_never_again(files, tmp_path, monkeypatch):
    commands = []

    def run(command):
        commands.append(command)
        flags = dict(word[2:].split("=", 1) for word in command if "=" in word)
        os.makedirs(flags["output_dir"])
        value = 0.5 + 0.1 * int(flags["random_seed"]) + (0.2 if "--better" in command else 0.0)
        with open(os.path.join(flags["output_dir"], "report.json"), "w") as handle:
            json.dump({"accuracy": value, "macro_f1": value, "weighted_f1": value}, handle)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    contenders = {"one": [], "the other": ["--better"]}
    for _ in range(2):
        found = compare("classification", files, contenders, [1, 2], str(tmp_path / "runs"))
    assert len(commands) == 4
    assert found["one"]["accuracy"] == pytest.approx([0.6, 0.7])
    assert found["the other"]["macro_f1"] == pytest.approx([0.8, 0.9])
    lines = table(found)
    assert lines[0] == "| | accuracy | macro f1 | weighted f1 |"
    assert lines[3].startswith("| the other | 0.8500 (0.8000-0.9000) |")
    assert lines[4].startswith("| TF-IDF, logistic regression | 1.0000 |")
    path = str(tmp_path / "plot.png")
    bar_plot(path, found, "title")
    with open(path, "rb") as handle:
        assert handle.read(4) == b"\x89PNG"


def test_a_run_that_fails_ends_the_comparison(files, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UsageError, match="This run failed: -m albert finetune"):
        compare("classification", files, {"one": []}, [1], str(tmp_path / "runs"))
