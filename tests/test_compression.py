"""Compressed files: read whole, and one sentence about a damaged one wherever it is read."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys

import numpy as np
import preprocess_corpus as corpus
import pytest
from conftest import ROOT, write_record_file

from albert.records.index import load_index
from albert.records.options import RecordOptions
from albert.records.tfrecord import RecordError, read_records
from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED, decompressed, opened
from albert.tasks.rows.tables import read_texts
from preprocess import tokenizer
from preprocess.clean import clean
from preprocess.clean.clean import CleanOptions
from preprocess.clean.text import CleaningRules
from preprocess.engines import Execution
from preprocess.records.build import write_records

KINDS = ["gz", "bz2", "xz", "zst"]
DAMAGES = ["cut", "flipped", "foreign"]


def compressed(kind, data):
    if kind == "zst":
        zstandard = pytest.importorskip("zstandard")
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](data)


def damaged(kind, data, damage):
    """The compressed data cut off, with a byte flipped, or with something else after its head."""
    packed = compressed(kind, data)
    middle = len(packed) // 2
    return {
        "cut": packed[:middle],
        "flipped": packed[:middle] + bytes([packed[middle] ^ 0x55]) + packed[middle + 1 :],
        "foreign": packed[:10] + b"\xff" * 1000,
    }[damage]


@pytest.fixture(name="text", scope="module")
def some_text():
    return "\n\n".join("\n".join(doc) for doc in corpus.documents(400)).encode()


def open_binary(path):
    return decompressed(opened(path), path)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_one_after_the_other_are_read_to_the_end(tmp_path, text, kind):
    path = tmp_path / "a"
    path.write_bytes(compressed(kind, text) + compressed(kind, b"") + compressed(kind, b"more"))
    with open_binary(str(path)) as stream:
        assert stream.read() == text + b"more"
    with open_binary(str(path)) as stream:
        assert stream.read(10) + stream.read() == text + b"more"


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_and_flip_raises_what_is_expected(tmp_path, kind):
    packed, path = compressed(kind, b"satu dua tiga" * 9), tmp_path / "a"
    for at in range(6, len(packed)):
        path.write_bytes(packed[:at])
        with pytest.raises(DAMAGED), open_binary(str(path)) as stream:
            stream.read()
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :])
        try:
            with open_binary(str(path)) as stream:
                assert stream.read() == b"satu dua tiga" * 9  # a byte that says nothing
        except DAMAGED:
            pass


def test_a_missing_zstandard_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd rest")
    with pytest.raises(UsageError, match="a.txt.zst is compressed with Zstandard; install it"):
        open_binary(str(path))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streamed", [False, True])
def test_cleaning_counts_a_damaged_file_and_goes_on(
    tmp_path, text, kind, damage, streamed, monkeypatch, caplog
):
    if streamed:
        monkeypatch.setattr("preprocess.sources.cutting.BLOCK_BYTES", 30000)
    bad = tmp_path / ("a.txt." + kind)
    bad.write_bytes(damaged(kind, text, damage))
    (tmp_path / "b.txt").write_bytes(b"Satu dua tiga.\n")
    options = CleanOptions(
        str(tmp_path / "*.*"),
        str(tmp_path / "out" / "clean.txt"),
        cleaning=CleaningRules(fix_mojibake=False),
    )
    manifest = clean.clean(options, Execution(1, tqdm_off=True))
    assert manifest["unreadable_files"] == 1
    assert manifest["inputs"][str(bad)]["error"]
    assert not manifest["inputs"][str(tmp_path / "b.txt")]["error"]
    assert "Cannot use {}".format(bad) in caplog.text
    assert (tmp_path / "out" / "clean.txt").read_bytes().endswith(b"Satu dua tiga.\n\n")


def test_the_report_of_clean_names_the_damaged_file(tmp_path, text):
    (tmp_path / "a.txt.gz").write_bytes(damaged("gz", text, "flipped"))
    (tmp_path / "b.txt").write_bytes(b"Satu dua tiga.\n")
    command = [sys.executable, "-m", "preprocess", "clean", "--num_workers=1", "--nofix_mojibake"]
    command += ["--input_file={}/*.*".format(tmp_path), "--output_file=" + str(tmp_path / "c")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1  unreadable files" in done.stdout
    assert "UNREADABLE {}".format(tmp_path / "a.txt.gz") in (tmp_path / "c.report.txt").read_text()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_builders_give_one_sentence(tmp_path, text, kind, damage):
    bad, message = str(tmp_path / ("a.txt." + kind)), "a.txt.{} is damaged or cut off".format(kind)
    with open(bad, "wb") as handle:
        handle.write(damaged(kind, text, damage))
    with pytest.raises(UsageError, match=message):
        tokenizer.train_tokenizer(bad, str(tmp_path / "m"), 300)
    with pytest.raises(UsageError, match=message):
        write_records(RecordOptions(bad, str(tmp_path / "r"), corpus.model()), Execution(1))


@pytest.mark.parametrize("damage", DAMAGES)
def test_record_files_give_one_sentence(tmp_path, damage):
    whole = write_record_file(tmp_path / "whole", 30)
    with open(whole, "rb") as handle:
        data = damaged("gz", handle.read(), damage)
    bad = tmp_path / "a.tfrecord.gz"
    bad.write_bytes(data)
    with pytest.raises(RecordError, match="a.tfrecord.gz is damaged at byte offset"):
        list(read_records(str(bad)))
    with pytest.raises(UsageError, match="Cannot unpack .*a.tfrecord.gz"):
        load_index(str(bad))
    assert sorted(os.listdir(str(tmp_path))) == ["a.tfrecord.gz", "whole"]


def test_a_damaged_index_is_built_again(tmp_path):
    path = write_record_file(tmp_path / "a.tfrecord", 3)
    expected = load_index(path).bounds
    kept = tmp_path / "a.tfrecord.index.npy"
    good = kept.read_bytes()
    for at in range(0, len(good), 3):
        for bad in (good[:at], good[:at] + bytes([good[at] ^ 9]) + good[at + 1 :]):
            kept.write_bytes(bad)
            np.testing.assert_array_equal(load_index(path).bounds, expected)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name, head, line",
    [
        ("a.tsv.gz", "text\tlabel\n", "{}\tx\n"),
        ("a.csv.gz", "text,label\n", "{},x\n"),
        ("a.jsonl.gz", "", '{{"text": "{}", "label": "x"}}\n'),
    ],
)
def test_task_files_give_one_sentence(tmp_path, name, head, line, damage):
    path = tmp_path / name
    words = np.random.RandomState(0).randint(0, 1 << 30, 50000)
    content = head + "".join(line.format(word) for word in words)
    path.write_bytes(damaged("gz", content.encode(), damage))
    # What a flipped byte makes of a line may be noticed before the checksum is.
    with pytest.raises(UsageError, match=name if damage == "flipped" else "Cannot read .*" + name):
        read_texts(str(path))
