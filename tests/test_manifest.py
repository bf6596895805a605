"""Manifests: found beside their records, whole, and one sentence about any other."""

import dataclasses
import json
import os

import numpy as np
import pytest
from conftest import write_record_file
from manifests import manifest

from albert.data.source import Data, check_same_tokenizer
from albert.records.manifest import (
    RecordFile,
    check_builds,
    manifest_path,
    read_manifest,
    unigram_entropy,
    write_manifest,
)
from albert.records.tfrecord import RecordError
from albert.system.errors import UsageError
from albert.system.files.names import shard_names, unsharded


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


@pytest.fixture
def shards(tmp_path):
    """Two record files of one build, with what their manifest says of them."""
    paths = [
        write_record_file(tmp_path / name, 5 + n) for n, name in enumerate(shard_names("a", 2))
    ]
    files = [
        RecordFile(os.path.basename(path), 5 + n, os.path.getsize(path), "00000000")
        for n, path in enumerate(paths)
    ]
    write_manifest(manifest_path(paths[0]), dataclasses.replace(manifest(), files=files))
    return paths


def test_records_that_are_what_their_manifest_says(shards, tmp_path):
    other = write_record_file(tmp_path / "b", 3)  # of somebody without manifests
    assert check_builds([*shards, other], [5, 6, 3]) == manifest().model
    assert check_builds(shards[1:], [6]) == manifest().model  # a part is left out on purpose
    assert check_builds([other], [3]) is None


def test_records_that_are_not_what_their_manifest_says(shards):
    with pytest.raises(RecordError, match=r"a-00001-of-00002 has 7 records in [\d,]+ bytes, but"):
        check_builds(shards, [5, 7])
    os.remove(shards[1])
    with pytest.raises(RecordError, match="a-00001-of-00002 is missing, a file of the same build"):
        check_builds(shards[:1], [5])


@pytest.mark.parametrize(
    "change, told",
    [
        (dict(sha256="1" * 64), "SentencePiece model of their builds is 0000"),
        (dict(masking="dynamic"), "--masking of their builds is static and dynamic"),
        (dict(max_seq_length=9), "--max_seq_length of their builds is 512 and 9"),
    ],
    ids=str,
)
def test_records_of_builds_that_do_not_go_together(tmp_path, change, told):
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    for path, options in zip(paths, ({}, change)):
        write_record_file(path, 2)
        made = manifest(**options)
        files = [RecordFile(os.path.basename(path), 2, os.path.getsize(path), "00000000")]
        write_manifest(manifest_path(path), dataclasses.replace(made, files=files))
    with pytest.raises(RecordError, match=told):
        check_builds(paths, [2, 2])


def test_held_out_records_of_another_tokenizer_are_refused():
    one, other = (Data(None, None, [], manifest(sha256=digit * 64).model) for digit in "12")
    check_same_tokenizer(one, one, "eval_file")
    check_same_tokenizer(one, Data(None, None, []), "eval_file")
    with pytest.raises(UsageError, match=r"different SentencePiece models, sp.model \(sha256 1111"):
        check_same_tokenizer(one, other, "eval_file")


def test_unigram_entropy():
    assert unigram_entropy(np.array([2, 0, 2])) == pytest.approx(np.log(2))
    assert unigram_entropy(np.array([0, 7])) == 0 == unigram_entropy(np.zeros(3))
