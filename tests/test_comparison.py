"""Scores, baselines, and runs side by side."""

import json
import os
import subprocess
import sys

import pytest
from test_tasks import sentences, texts, write_examples

from albert.system.errors import UsageError
from albert.tasks.rows.examples import Sentence
from albert.tasks.scores import score
from benchmarks.baselines import most_frequent_tag, tfidf_logistic_regression
from benchmarks.comparison import Files, bar_plot, compare, table


def test_scores_are_those_of_their_definitions():
    # Label 0: precision 1/2, recall 1/1; label 1: 1/1 and 1/2; label 2: 1/1 and 1/1.
    found = score([0, 1, 1, 2], [0, 0, 1, 2])
    f1 = [2 / 3, 2 / 3, 1.0]
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx(sum(f1) / 3)
    assert found["weighted_f1"] == pytest.approx((f1[0] + 2 * f1[1] + f1[2]) / 4)


def test_a_word_gets_its_commonest_tag():
    train = [Sentence(("a", "a", "a", "b", "c"), ("X", "X", "Y", "Y", "Y"))]
    test = [Sentence(("a", "b", "new", "a"), ("X", "Y", "Y", "Y"))]
    assert most_frequent_tag(train, test)["accuracy"] == 0.75
    assert most_frequent_tag(sentences(50, 1), sentences(20, 2))["accuracy"] == 1.0


def test_words_that_tell_the_label_are_found():
    assert tfidf_logistic_regression(texts(80, 1), texts(40, 2))["accuracy"] > 0.95


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
