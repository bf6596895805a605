"""Inspection passes good records and says what is wrong with others."""

import os
import subprocess
import sys

import numpy as np
import preprocess_corpus as corpus
import pytest

from albert.records import tfrecord
from albert.records.example_proto import decode_example, encode_example
from albert.records.options import RecordOptions
from preprocess.engines import Execution
from preprocess.records.build import write_records

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(name="good", scope="module")
def good_records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    text = corpus.write_text(folder / "t.txt", corpus.documents(250))
    path = str(folder / "good.tfrecord")
    options = RecordOptions(text, path, corpus.model(), max_seq_length=64, dupe_factor=3)
    write_records(options, Execution(1, tqdm_off=True))
    return path


def inspect(*paths):
    return subprocess.run(
        [sys.executable, "-m", "preprocess", "inspect", "--spm_model_file=" + corpus.model()]
        + ["--tqdm_off"]
        + list(paths),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def rewritten(good, path, change):
    """A copy of the records with every list of features changed by `change(number, features)`."""
    with open(str(path), "wb") as handle:
        for number, (_, payload) in enumerate(tfrecord.read_records(good)):
            features = decode_example(payload)
            change(number, features)
            handle.write(tfrecord.frame(encode_example(features)))
    return str(path)


def test_good_records_pass_and_samples_show_masks(good):
    result = inspect(good)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("label ") >= 3 and ">[MASK]}" in result.stdout
    assert "is in order" in result.stdout


def test_unmasked_records_pass(good, tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(250))
    path = str(tmp_path / "d.tfrecord")
    options = RecordOptions(text, path, corpus.model(), max_seq_length=64, masking="dynamic")
    write_records(options, Execution(1, tqdm_off=True))
    result = inspect(path)
    assert result.returncode == 0, result.stdout


def test_flipped_and_cut_bytes_name_file_and_offset(good, tmp_path):
    data = open(good, "rb").read()
    for name, damaged in (
        ("flipped", data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]),
        ("cut", data[:-3]),
    ):
        path = tmp_path / name
        path.write_bytes(damaged)
        result = inspect(str(path))
        assert result.returncode == 1
        assert "WRONG: {} is damaged at byte offset".format(path) in result.stdout


def test_a_changed_file_does_not_fit_its_manifest(good, tmp_path):
    path = tmp_path / "good.tfrecord"
    first = next(tfrecord.read_records(good))[1]
    path.write_bytes(open(good, "rb").read() + tfrecord.frame(first))
    (tmp_path / "good.tfrecord.manifest.json").write_bytes(
        open(good + ".manifest.json", "rb").read()
    )
    result = inspect(str(path))
    assert result.returncode == 1 and "not the file its manifest describes" in result.stdout


def shuffle_masked_labels(rng):
    def change(_, features):
        used = int(features["masked_lm_weights"].sum())
        labels = features["masked_lm_ids"].copy()
        labels[:used] = rng.permutation(labels[:used])
        features["masked_lm_ids"] = np.roll(labels[:used], 1) if used == 10 else labels
        features["masked_lm_ids"] = np.resize(features["masked_lm_ids"], len(labels))

    return change


def shuffle_sentence_labels(rng):
    def change(_, features):
        if features["next_sentence_labels"][0] >= 0:
            features["next_sentence_labels"] = rng.randint(0, 2, 1)

    return change


def only_masks(_, features):
    used = features["masked_lm_weights"] > 0
    features["input_ids"] = features["input_ids"].copy()
    features["input_ids"][features["masked_lm_positions"][used]] = 4


def set_value(name, at, value):
    def change(number, features):
        if number == 1:  # among those that are shown
            features[name] = features[name].copy()
            features[name][at] = value

    return change


def drop(name):
    def change(number, features):
        if number == 1:
            del features[name]

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (shuffle_masked_labels(np.random.RandomState(0)), "kept; it should be 10%"),
        (shuffle_sentence_labels(np.random.RandomState(0)), "contradicting sentence labels"),
        (only_masks, "hidden by the mask piece; it should be 80%"),
        (set_value("input_ids", 3, 300), "an id is 300, the vocabulary has 300 pieces"),
        (set_value("input_mask", 1, 0), "input_mask is not ones and then zeros"),
        (set_value("masked_lm_positions", 0, 63), "not ascending inside the text"),
        (set_value("segment_ids", 0, 1), "segment_ids are not zeros"),
        (set_value("input_ids", 0, 9), "does not begin and end with the special pieces"),
        (set_value("next_sentence_labels", 0, 2), "the sentence label is 2"),
        (drop("masked_lm_ids"), "there is no feature masked_lm_ids"),
    ],
)
def test_what_is_wrong_is_said(good, tmp_path, change, message):
    result = inspect(rewritten(good, tmp_path / "bad.tfrecord", change))
    assert result.returncode == 1, result.stdout
    assert message in result.stdout


def test_repeated_texts_are_noticed(good, tmp_path):
    path = str(tmp_path / "r.tfrecord")
    with open(path, "wb") as handle:
        for _ in range(2):
            handle.write(open(good, "rb").read())
    result = inspect("--dupe_factor=3", path)
    assert result.returncode == 1 and "texts repeated too often" in result.stdout


def test_mistakes_are_explained(good, tmp_path):
    missing = inspect(str(tmp_path / "no.tfrecord"))
    assert missing.returncode == 2 and "matches no file" in missing.stderr
    assert inspect().returncode == 2
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert "There is no record." in inspect(str(empty)).stdout
