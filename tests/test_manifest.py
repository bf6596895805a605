"""Manifests: found beside their records, whole, and one sentence about any other."""

import dataclasses
import json
import os

import numpy as np
import pytest
from manifests import manifest

from albert.data.manifest import manifest_path, read_manifest, unigram_entropy, write_manifest
from albert.data.records import RecordError
from albert.system.file_names import shard_names, unsharded


def test_names_of_shards():
    assert shard_names("a", 1) == ["a"]
    assert shard_names("a-b", 12)[11] == "a-b-00011-of-00012"
    assert {unsharded(name) for name in shard_names("a-b", 12)} == {"a-b"}
    assert unsharded("a-1-of-2") == "a-1-of-2"


def test_a_manifest_is_found_for_single_names_lists_and_shards(tmp_path):
    base = str(tmp_path / "a.tfrecord")
    assert manifest_path(base) == base + ".manifest.json"
    assert manifest_path(base + "," + base + "2") == base + ".manifest.json"
    assert manifest_path(base + "-00001-of-00008") == base + ".manifest.json"
    assert read_manifest(base) is None
    made = manifest("a.tfrecord", "b.tfrecord")
    write_manifest(manifest_path(base), made)
    for name in ("a.tfrecord", "b.tfrecord", "a.tfrecord-00001-of-00008"):
        assert read_manifest(str(tmp_path / name)) == made
    assert read_manifest(str(tmp_path / "other.tfrecord")) is None
    assert read_manifest(str(tmp_path / "no-folder" / "other.tfrecord")) is None


def test_a_manifest_in_this_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = manifest("a.tfrecord", "b.tfrecord")
    write_manifest("a.tfrecord.manifest.json", made)
    assert read_manifest("b.tfrecord") == made


def test_manifests_of_other_things_in_the_folder_are_passed_over(tmp_path):
    for number, other in enumerate(([1], {"files": 3}, {"files": [1]}, {"inputs": {}}, None)):
        (tmp_path / "{}.txt.manifest.json".format(number)).write_text(json.dumps(other))
    made = manifest("a.tfrecord", "b.tfrecord")
    write_manifest(str(tmp_path / "a.tfrecord.manifest.json"), made)
    assert read_manifest(str(tmp_path / "b.tfrecord")) == made


def test_what_newer_and_older_builds_write_is_read(tmp_path):
    path = tmp_path / "a.manifest.json"
    values = dataclasses.asdict(manifest("a"))
    del values["reserved_ids"], values["model"]["sentencepiece"], values["options"]["ngram"]
    values.update(new=1)
    values["options"].update(new=[2])
    path.write_text(json.dumps(values))
    found = read_manifest(str(tmp_path / "a"))
    assert found == dataclasses.replace(manifest("a"), reserved_ids=[])


def without(name):
    return lambda values: values.pop(name)


@pytest.mark.parametrize(
    "change, message",
    [
        (without("vocab_size"), "it has no vocab_size"),
        (without("version"), "it has no version"),
        (lambda values: values.update(version=2), "its version is 2, not 1"),
        (lambda values: values.update(vocab_size="many"), "its vocab_size is str"),
        (lambda values: values.update(options=[]), "its options is list"),
        (lambda values: values["options"].pop("input_file"), "it has no input_file"),
        (lambda values: values["options"].update(masking="both"), "--masking must be one of"),
        (lambda values: values.update(files=["a"]), "its files is str"),
        (lambda values: values["files"][0].pop("bytes"), "it has no bytes"),
        (lambda values: values["special_ids"].update(mask=None), "its mask is NoneType"),
        (lambda values: values.update(reserved_ids=[0.5]), "its reserved_ids is float"),
        (lambda values: values.update(sentence_labels={"0": "x"}), "its sentence_labels is str"),
        (lambda values: values.clear(), "it has no version"),
    ],
)
def test_a_foreign_manifest_is_one_sentence(tmp_path, change, message):
    values = dataclasses.asdict(manifest("a"))
    change(values)
    (tmp_path / "a.manifest.json").write_text(json.dumps(values))
    with pytest.raises(RecordError, match="a.manifest.json is damaged, or no manifest.*" + message):
        read_manifest(str(tmp_path / "a"))


def test_a_damaged_manifest_is_one_sentence(tmp_path):
    path = str(tmp_path / "a.manifest.json")
    write_manifest(path, manifest("a"))
    with open(path, "rb") as handle:
        whole = handle.read().rstrip()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], b"\xff" + whole, b"[" * 100000):
        with open(path, "wb") as handle:
            handle.write(damaged)
        for name in ("a", "b"):  # its own, and one that looks for itself in it
            with pytest.raises(RecordError, match="a.manifest.json is damaged, or no manifest"):
                read_manifest(str(tmp_path / name))
    assert os.listdir(str(tmp_path)) == ["a.manifest.json"]


def test_unigram_entropy():
    assert unigram_entropy(np.array([2, 0, 2])) == pytest.approx(np.log(2))
    assert unigram_entropy(np.array([0, 7])) == 0 == unigram_entropy(np.zeros(3))
