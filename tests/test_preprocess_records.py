"""Builds of records, whole: bytes, manifests, interruptions, mistakes."""

import glob
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import preprocess_corpus as corpus
import pytest
import sentencepiece

from albert.compat import tf
from albert.records import tfrecord
from albert.records.example_proto import decode_example, encode_example
from albert.records.index import load_index
from albert.records.manifest import SpecialIds, manifest_path, read_manifest
from albert.records.options import RecordOptions
from albert.system.errors import TryAgain, UsageError
from albert.system.files.names import expand_files
from albert.text import vocabulary
from preprocess.engines import Execution
from preprocess.records import crc, jobs, shards, spill, steps
from preprocess.records.build import write_records
from preprocess.records.instances import encoding, segments, serialize
from preprocess.records.instances.examples import select
from preprocess.sources import cutting
from preprocess.sources.blocks import TextBlock, read_blocks

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, "create-pretraining-data.py")


@pytest.fixture(name="text", scope="module")
def text_file(tmp_path_factory):
    return corpus.write_text(tmp_path_factory.mktemp("text") / "a.txt", corpus.documents())


def options(text, output, **changes):
    settings = dict(
        input_file=text,
        output_file=str(output),
        spm_model_file=corpus.model(),
        max_seq_length=64,
        dupe_factor=2,
    )
    settings.update(changes)
    return RecordOptions(**settings)


def build(text, output, workers=1, **changes):
    return write_records(options(text, output, **changes), Execution(workers, tqdm_off=True))


def digest(*paths):
    """A hash of each record file and of the index that a plain one has."""
    found = []
    for path in paths:
        data, index = open(str(path), "rb").read(), str(path) + tfrecord.INDEX_SUFFIX
        if data[:2] != b"\x1f\x8b":
            data += open(index, "rb").read()
        found.append(hashlib.sha256(data).hexdigest())
    return found


def decoded(path):
    return [decode_example(payload) for _, payload in tfrecord.read_records(str(path))]


def command(*arguments, **settings):
    return subprocess.run(
        [sys.executable] + list(arguments),
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=ROOT),
        **settings,
    )


def test_records_are_what_the_manifest_says(text, tmp_path):
    path = tmp_path / "a.tfrecord"
    manifest = build(text, path).manifest
    assert manifest == read_manifest(str(path))
    examples = decoded(path)
    real = sum(int(e["input_mask"].sum()) for e in examples)
    predicted = np.concatenate([e["masked_lm_ids"][e["masked_lm_weights"] > 0] for e in examples])
    labels = [int(e["next_sentence_labels"][0]) for e in examples]
    share = np.unique(predicted, return_counts=True)[1] / len(predicted)
    assert manifest.examples == len(examples) == manifest.files[0].examples
    assert manifest.documents == 300
    assert manifest.tokens == real and manifest.masked_tokens == len(predicted)
    assert manifest.sentence_labels == {str(n): labels.count(n) for n in (0, 1, -1)}
    assert manifest.unigram_entropy == pytest.approx(-(share * np.log(share)).sum())
    assert manifest.top_piece_share == pytest.approx(share.max())
    assert manifest.max_predictions_per_seq == 10 == len(examples[0]["masked_lm_ids"])
    assert manifest.special_ids == SpecialIds(cls=2, sep=3, mask=4, pad=0, unk=1)
    assert manifest.files[0].bytes == path.stat().st_size
    assert not glob.glob(str(tmp_path / "*.work"))


def test_tensorflow_parses_the_records(text, tmp_path):
    path = tmp_path / "a.tfrecord"
    build(text, path)
    schema = {name: tf.io.FixedLenFeature([64], tf.int64) for name in tfrecord.SEQUENCE_FEATURES}
    schema["token_boundary"] = tf.io.FixedLenFeature([64], tf.int64)
    for name in tfrecord.PREDICTION_FEATURES:
        kind = tf.float32 if name in tfrecord.FLOAT_FEATURES else tf.int64
        schema[name] = tf.io.FixedLenFeature([10], kind)
    schema[tfrecord.SENTENCE_LABEL] = tf.io.FixedLenFeature([1], tf.int64)
    for ours, payload in zip(decoded(path), tf.data.TFRecordDataset(str(path))):
        theirs = tf.io.parse_single_example(payload, schema)
        assert sorted(ours) == sorted(schema)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, theirs[name].numpy())


def test_text_comes_back(text, tmp_path):
    """Restored and decoded, every example is a run of words of one document."""
    path = tmp_path / "a.tfrecord"
    build(text, path)
    words = vocabulary.load(corpus.model())
    whole = " ".join(open(text, encoding="utf-8").read().split())
    for example in decoded(path)[:200]:
        ids = example["input_ids"].copy()
        used = example["masked_lm_weights"] > 0
        ids[example["masked_lm_positions"][used]] = example["masked_lm_ids"][used]
        real = int(example["input_mask"].sum())
        for segment in (0, 1):
            pieces = ids[:real][example["segment_ids"][:real] == segment].tolist()
            assert words.processor.DecodeIds(pieces).strip() in whole


@pytest.mark.parametrize("task", ["sop", "nsp"])
def test_bytes_do_not_depend_on_workers_or_blocks(text, tmp_path, task, monkeypatch):
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 20000)
    hashes = []
    for workers in (1, 2):
        path = tmp_path / "{}.tfrecord".format(workers)
        build(text, path, workers, sentence_task=task)
        hashes += digest(path)
    assert hashes[0] == hashes[1]


def test_seed_changes_masks_and_order(text, tmp_path):
    for seed in (1, 2):
        build(text, tmp_path / str(seed), random_seed=seed)
    build(text, tmp_path / "again", random_seed=1)
    first, second, again = digest(*(tmp_path / name for name in ("1", "2", "again")))
    assert first == again != second


def test_order_is_a_global_shuffle(tmp_path):
    """Words of the first and the last document are spread evenly over the file."""
    docs = [["satu dua tiga empat lima."] * 2] * 500 + [["enam tujuh lapan sembilan."] * 2] * 500
    text = corpus.write_text(tmp_path / "t.txt", docs)
    build(text, tmp_path / "a", dupe_factor=1, max_seq_length=32)
    late = [int(e["input_mask"].sum()) for e in decoded(tmp_path / "a")]
    half = np.array(late) == max(late)
    assert half[: len(half) // 4].mean() == pytest.approx(half.mean(), abs=0.12)


def test_shards_and_comma_lists_deal_the_same_examples(text, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    whole = [p for _, p in tfrecord.read_records(build_path(text, tmp_path / "one"))]
    build(text, tmp_path / "s", num_shards=3)
    names = sorted(glob.glob(str(tmp_path / "s-*-of-00003")))
    assert [os.path.basename(name) for name in names][1] == "s-00001-of-00003"
    for shard, name in enumerate(names):
        assert [p for _, p in tfrecord.read_records(name)] == whole[shard::3]
        assert read_manifest(name).files[shard].examples == len(whole[shard::3])
        written = digest(name)
        os.remove(name + tfrecord.INDEX_SUFFIX)
        load_index(name)  # by a pass over the file
        assert digest(name) == written
    build(text, "{0}/x,{0}/y".format(tmp_path))
    assert [p for _, p in tfrecord.read_records(str(tmp_path / "y"))] == whole[1::2]


def build_path(text, path, **changes):
    build(text, path, **changes)
    return str(path)


def test_gzip_holds_the_same_bytes_in_one_stream(text, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    build(text, tmp_path / "plain")
    manifest = build(text, tmp_path / "packed", compression="gzip").manifest
    packed, plain = (open(str(tmp_path / n), "rb").read() for n in ("packed", "plain"))
    assert gzip.decompress(packed) == plain and len(packed) < len(plain) / 3
    import google_crc32c

    for name, data in (("packed", packed), ("plain", plain)):
        entry = read_manifest(str(tmp_path / name)).files[0]
        assert entry.crc32c == "{:08x}".format(google_crc32c.value(data))
        assert entry.bytes == len(data)
    theirs = tf.data.TFRecordDataset(str(tmp_path / "packed"), compression_type="GZIP")
    assert sum(1 for _ in theirs) == manifest.examples


def test_dynamic_records_are_unmasked_unpadded_and_small(text, tmp_path):
    build(text, tmp_path / "static", dupe_factor=1)
    manifest = build(text, tmp_path / "dynamic", masking="dynamic", dupe_factor=5).manifest
    static, dynamic = decoded(tmp_path / "static"), decoded(tmp_path / "dynamic")
    assert len(static) == len(dynamic) == manifest.examples
    for masked, plain in zip(static, dynamic):
        used = masked["masked_lm_weights"] > 0
        real = int(masked["input_mask"].sum())
        ids = masked["input_ids"][:real].copy()
        ids[masked["masked_lm_positions"][used]] = masked["masked_lm_ids"][used]
        assert plain["input_ids"].tolist() == ids.tolist()
        for name in ("segment_ids", "token_boundary"):
            assert plain[name].tolist() == masked[name][:real].tolist()
        assert plain["next_sentence_labels"] == masked["next_sentence_labels"]
    assert manifest.masked_tokens == 0 and manifest.unigram_entropy > 3


def test_fast_serialisation_equals_the_plain_one():
    rng = np.random.RandomState(0)
    lengths = rng.randint(3, 40, 30)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = serialize.Tokens(
        rng.choice([0, 5, 127, 128, 16383, 16384, 70000], offsets[-1]).astype(np.int32),
        rng.randint(0, 2, offsets[-1]).astype(np.uint8),
        offsets,
        np.array([rng.randint(1, n + 1) for n in lengths]),
        rng.randint(-1, 2, 30),
    )
    counts = np.minimum(lengths, rng.randint(0, 7, 30))
    masked = serialize.Masked(
        tokens.ids,
        np.concatenate([np.arange(n) * 150 % 301 for n in counts]),
        rng.randint(0, 40000, counts.sum()),
        np.concatenate([[0], np.cumsum(counts)]),
        counts,
    )
    static = serialize.static_records(tokens, masked, 40, 8)
    dynamic = serialize.unmasked_records(tokens)
    for i, (begin, end) in enumerate(zip(offsets[:-1], offsets[1:])):
        segments = np.arange(end - begin) >= tokens.first[i]
        label = {tfrecord.SENTENCE_LABEL: tokens.labels[i : i + 1]}
        plain = dict(
            label,
            input_ids=tokens.ids[begin:end],
            segment_ids=segments,
            token_boundary=tokens.boundary[begin:end],
        )
        assert dynamic[i] == tfrecord.frame(encode_example(plain))
        at = slice(masked.offsets[i], masked.offsets[i + 1])
        padded = {name: np.resize(np.append(v, 0), 40) for name, v in plain.items()}
        for name, values in plain.items():
            padded[name] = np.append(values, np.zeros(40 - len(values), np.int64))
        padded.update(
            label,
            input_mask=(np.arange(40) < end - begin).astype(np.int64),
            masked_lm_positions=np.append(masked.positions[at], np.zeros(8 - counts[i], int)),
            masked_lm_ids=np.append(masked.labels[at], np.zeros(8 - counts[i], int)),
            masked_lm_weights=(np.arange(8) < counts[i]).astype(np.float32),
        )
        assert static[i] == tfrecord.frame(encode_example(padded))


def test_an_explicit_cap_that_bites_is_reported(text, tmp_path, caplog):
    manifest = build(text, tmp_path / "a", max_predictions_per_seq=4).manifest
    assert manifest.predictions_lost_to_cap > 0
    assert options(text, "x", max_seq_length=512).predictions == 77
    assert options(text, "x", max_seq_length=100).predictions == 15
    assert options(text, "x", max_seq_length=128).predictions == 20


@pytest.mark.parametrize("stops", [True, False])
def test_a_document_in_one_line_keeps_its_pieces(tmp_path, caplog, stops):
    caplog.set_level("INFO")
    lines = [line for document in corpus.documents(40) for line in document]
    giant = " ".join(line if stops else line.replace(".", "") for line in lines)
    path = tmp_path / "one.txt"
    path.write_text(giant + "\n")
    settings = dict(dupe_factor=1, short_seq_prob=0.0, masking="dynamic")
    manifest = build(str(path), tmp_path / "r", **settings).manifest
    pieces = len(vocabulary.load(corpus.model()).processor.EncodeAsIds(giant))
    kept = manifest.tokens - 3 * manifest.examples
    assert kept > (0.7 if stops else 0.85) * pieces
    assert abs(kept + manifest.cut_pieces - pieces) < 0.1 * pieces
    share = "{:,} pieces ({:.1%}) are in no example".format(manifest.cut_pieces, manifest.cut_share)
    assert share in caplog.text


def test_long_lines_are_cut_between_words_and_short_ones_stay():
    words = vocabulary.load(corpus.model())
    line = " ".join(corpus.documents(5)[0]).replace(".", "")
    text = "Satu ayat.\n\n{}\n{}".format(line, "x" * 400).encode()
    settings = dict(lower=False, keep_accents=True, seed=1)
    block = TextBlock(0, 0, "x", 0, text, 0)
    whole = encoding.encode_block(block, words, longest=10**6, **settings)
    found = encoding.encode_block(block, words, longest=20, **settings)
    assert (whole.ids == found.ids).all() and (whole.keys == found.keys).all()
    assert np.diff(found.sentence_offsets)[1:].max() <= 20 // 8
    assert set(whole.sentence_offsets) <= set(found.sentence_offsets)
    assert np.diff(found.document_offsets)[0] == 1 and len(found.keys) == 2


def test_one_sentence_documents_do_not_leak(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(80, longest=2))
    build(text, tmp_path / "a")
    for example in decoded(tmp_path / "a"):
        paired = example["segment_ids"].any()
        assert (example["next_sentence_labels"][0] >= 0) == paired


def test_killed_build_continues_to_the_same_bytes(tmp_path):
    text = corpus.write_text(tmp_path / "t.txt", corpus.documents(1500, longest=40))
    arguments = [
        SCRIPT,
        "--input_file=" + text,
        "--spm_model_file=" + corpus.model(),
        "--max_seq_length=64",
        "--num_workers=2",
        "--num_shards=2",
    ]
    names = ["-00000-of-00002", "-00001-of-00002"]
    assert command(*(arguments + ["--output_file={}/whole".format(tmp_path)])).returncode == 0
    whole = digest(*(str(tmp_path / "whole") + name for name in names))
    killed = arguments + ["--output_file={}/killed".format(tmp_path)]
    for delay in (0.5, 0.9, 1.2):
        process = subprocess.Popen(
            [sys.executable] + killed,
            env=dict(os.environ, PYTHONPATH=ROOT),
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command(*killed).returncode == 0
    assert digest(*(str(tmp_path / "killed") + name for name in names)) == whole
    assert not glob.glob(str(tmp_path / "*.work"))


@pytest.mark.parametrize(
    "stage, compression",
    [
        ("encode", "gzip"),
        ("segment", "none"),
        ("mask", "none"),
        ("append", "gzip"),
        ("append", "none"),
        ("index", "none"),
        ("rename", "none"),
        ("manifest", "gzip"),
    ],
)
def test_interruption_at_every_stage(text, tmp_path, monkeypatch, stage, compression):
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 20000)
    changes = dict(output_file="{0}/a,{0}/b".format(tmp_path), compression=compression)
    names = [tmp_path / "a", tmp_path / "b"]
    write_records(options(text, "", **changes), Execution(1, tqdm_off=True))
    whole = digest(*names)
    for path in glob.glob(str(tmp_path / "[ab]*")):
        os.remove(path)
    module, name = {
        "encode": (jobs, "encode"),
        "segment": (jobs, "segment"),
        "mask": (jobs, "mask"),
        "append": (shards, "_copy"),
        "index": (shards, "index_ends"),
        "rename": (steps, "rename_all"),
        "manifest": (steps, "write_manifest"),
    }[stage]
    original, calls = getattr(module, name), []

    def interrupted(*arguments):
        calls.append(name)
        if len(calls) == (1 if stage in ("rename", "manifest") else 3):
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_records(options(text, "", **changes), Execution(1, tqdm_off=True))
    assert not os.path.exists(manifest_path(str(names[0])))
    monkeypatch.setattr(module, name, original)
    write_records(options(text, "", **changes), Execution(1, tqdm_off=True))
    assert digest(*names) == whole


@pytest.mark.parametrize("state", ["{", "[]", '{"blocks": "3"}', "[" * 100000])
def test_a_damaged_state_begins_the_build_again(text, tmp_path, monkeypatch, state):
    whole = digest(build_path(text, tmp_path / "whole"))
    monkeypatch.setattr(jobs, "mask", None)
    with pytest.raises(TypeError):
        build(text, tmp_path / "a")
    monkeypatch.undo()
    (tmp_path / "a.work" / "state.json").write_text(state)
    assert digest(build_path(text, tmp_path / "a")) == whole


def test_lost_work_files_are_made_again(text, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PART_PIECES", 4000)
    whole = digest(build_path(text, tmp_path / "whole"))
    original, calls = jobs.mask, []

    def interrupted(job):
        calls.append(job)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(job)

    monkeypatch.setattr(jobs, "mask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(text, tmp_path / "a")
    os.truncate(str(tmp_path / "a.work" / "shard-000000"), 10)
    monkeypatch.setattr(jobs, "mask", original)
    assert digest(build_path(text, tmp_path / "a")) == whole


def test_a_part_that_was_cut_is_made_again(text, tmp_path, monkeypatch):
    whole = digest(build_path(text, tmp_path / "whole"))

    def cut(job):
        part = jobs_mask(job)
        path = str(tmp_path / "a.work" / "part-000000")
        os.truncate(path, os.path.getsize(path) - 1)
        return part

    jobs_mask = jobs.mask
    monkeypatch.setattr(jobs, "mask", cut)
    with pytest.raises(TryAgain, match="part-000000 has .* bytes where .* were written"):
        build(text, tmp_path / "a")
    monkeypatch.undo()
    assert digest(build_path(text, tmp_path / "a")) == whole


def test_other_options_start_over(text, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "mask", None)
    with pytest.raises(TypeError):
        build(text, tmp_path / "a", random_seed=7)
    monkeypatch.undo()
    build(text, tmp_path / "b")
    assert digest(build_path(text, tmp_path / "a")) == digest(tmp_path / "b")


def test_compressed_and_split_input_is_read(text, tmp_path):
    whole = open(text, "rb").read()
    packed = str(tmp_path / "t.txt.gz")
    with gzip.open(packed, "wb") as handle:
        handle.write(whole)
    assert digest(build_path(text, tmp_path / "a")) == digest(build_path(packed, tmp_path / "b"))
    shutil.copy(text, str(tmp_path / "u.txt"))
    both = build("{0}/t.txt.gz, {0}/u.*".format(tmp_path), tmp_path / "c").manifest
    assert both.documents == 600


def test_blocks_hold_whole_documents(tmp_path):
    docs = corpus.documents(200)
    path = corpus.write_text(tmp_path / "t.txt", docs)
    blocks = list(read_blocks([path], block_bytes=3000))
    assert len(blocks) > 10
    assert b"".join(block.data for block in blocks) == open(path, "rb").read()
    for block in blocks[:-1]:
        assert block.data.endswith(b"\n\n")
    words = vocabulary.load(corpus.model())
    settings = dict(lower=False, keep_accents=True, seed=1, longest=62)
    count = sum(len(encoding.encode_block(b, words, **settings).keys) for b in blocks)
    assert count == 200


def test_a_text_without_blank_lines_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(cutting, "LONGEST_DOCUMENT", 4000)
    path = tmp_path / "t.txt"
    path.write_text("satu dua tiga empat.\n" * 2000)
    blocks = list(read_blocks([str(path)], block_bytes=1000))
    assert max(len(block.data) for block in blocks) <= 5000
    path.write_text("satu " * 4000)
    blocks = list(read_blocks([str(path)], block_bytes=1000))
    assert max(len(block.data) for block in blocks) <= 5000
    assert b"".join(block.data for block in blocks) == path.read_bytes()


def test_checksums_combine():
    import zlib

    import google_crc32c

    rng = np.random.RandomState(0)
    for first, second in ((0, 5), (7, 0), (3, 1), (1000, 65536), (12345, 99999)):
        a, b = rng.bytes(first), rng.bytes(second)
        for value, kind in ((zlib.crc32, crc.CRC32), (google_crc32c.value, crc.CRC32C)):
            assert crc.combine(value(a), value(b), len(b), kind) == value(a + b)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(input_file="no-such-*.txt"), "matches no file"),
        (dict(spm_model_file=__file__), "not a SentencePiece model"),
        (dict(sentence_task="both"), "must be one of: sop, nsp, none"),
        (dict(masked_lm_prob=1.5), "between 0 and 1"),
        (dict(num_shards=2, output_file="a,b"), "exclude each other"),
        (dict(max_seq_length=4), "max_seq_length"),
        (dict(output_file="a,a"), "each once"),
        (dict(output_file=ROOT), "is a folder"),
    ],
)
def test_mistakes_are_explained(text, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        build(text, tmp_path / "a", **changes)
    assert not os.path.exists(str(tmp_path / "a"))


def test_bad_text_is_explained(text, tmp_path):
    bad = tmp_path / "bad.txt"
    for data, message in (
        (b"", "holds no text"),
        (b"\n \n", "holds no text"),
        (b"abc \xff def\n", "not UTF-8 at byte 4"),
        (b"a\n\nb\n", "gives no example"),
    ):
        bad.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            build(str(bad), tmp_path / "a")
    with gzip.open(str(bad), "wb") as handle:
        handle.write(open(text, "rb").read())
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(UsageError, match="damaged or cut off"):
        build(str(bad), tmp_path / "a")
    one = corpus.write_text(tmp_path / "one.txt", corpus.documents(1))
    with pytest.raises(UsageError, match="only one"):
        build(one, tmp_path / "a", sentence_task="nsp")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty is a folder without such files"):
        build(str(tmp_path / "empty"), tmp_path / "a")
    assert not glob.glob(str(tmp_path / "*.work"))


def test_a_full_disk_is_foreseen(text, tmp_path, monkeypatch):
    usage = shutil.disk_usage(str(tmp_path))._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(TryAgain, match="are free on the disk"):
        build(text, tmp_path / "a")
    assert os.path.exists(str(tmp_path / "a.work"))  # the same command goes on


def test_the_script_logs_as_the_original_did(text, tmp_path):
    result = command(
        SCRIPT,
        "--input_file=" + text,
        "--output_file={}/a".format(tmp_path),
        "--vocab_file=" + corpus.model().replace(".model", ".vocab"),
        "--max_seq_length=64",
        "--max_predictions_per_seq=3",
        "--random_next_sentence=False",
        "--num_tpu_cores=8",
        "--verbose",
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("*** Example ***") == 20
    assert "tokens: [CLS] " in result.stderr and "next_sentence_labels: " in result.stderr
    count = len(decoded(tmp_path / "a"))
    assert "Wrote {} total instances".format(count) in result.stderr
    assert "--num_tpu_cores of the original systems does nothing" in result.stderr
    typo = command(SCRIPT, "--input_file=" + text, "--dupe_facter=3")
    assert typo.returncode == 2 and "did you mean --dupe_factor?" in typo.stderr
    assert "masks 4.7% of a full sequence" in result.stderr
    manifest = json.load(open(str(tmp_path / "a.manifest.json")))
    assert manifest["options"]["dupe_factor"] == 5


def test_without_arguments_the_script_says_what_it_looked_for(tmp_path):
    result = command(SCRIPT, cwd=str(tmp_path))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "dumping-all.txt" in result.stderr and "sp10m.cased.v8.model" in result.stderr
    assert "--input_file=corpus.txt --output_file=train.tfrecord" in result.stderr


def test_help_is_quick_and_nothing_imports_tensorflow(text, tmp_path):
    times = []
    for _ in range(3):
        begin = time.time()
        result = command(SCRIPT, "--help")
        times.append(time.time() - begin)
    assert result.returncode == 0 and "--masked_lm_prob" in result.stdout
    assert min(times) < 0.5
    code = (
        "import sys, preprocess.records.build, preprocess.clean.clean, preprocess.tokenizer\n"
        "import preprocess.commands.inspect, preprocess.commands.records\n"
        "assert 'tensorflow' not in sys.modules"
    )
    assert command("-c", code).returncode == 0


@pytest.mark.parametrize("vocab_size", [1000, 70000])
def test_spilled_examples_come_back_by_key_range(tmp_path, vocab_size):
    rng = np.random.RandomState(0)
    keys = np.sort(rng.randint(0, 2**63, 500).astype(np.uint64) * np.uint64(2))
    first, second = rng.randint(1, 9, 500), rng.randint(0, 9, 500)
    ids = rng.randint(0, vocab_size, (first + second).sum())
    whole = segments.Instances(keys, first, second, rng.randint(-1, 2, 500), ids)
    paths = []
    for part in range(3):
        rows = np.arange(part, 500, 3)
        paths.append(str(tmp_path / str(part)))
        with open(paths[-1], "wb") as handle:
            spill.write(
                handle,
                select(whole, rows),
                vocab_size=vocab_size,
                documents=7,
                dropped=part,
                cut=part + 1,
            )
        summary = spill.summarize(paths[-1])
        assert (summary.documents, summary.dropped, summary.cut) == (7, part, part + 1)
        assert summary.cells.sum() == len(rows)
    both = [spill.read(paths, *cells) for cells in ((0, 1700), (1700, spill.CELLS))]
    assert 0 < len(both[0].keys) < 500
    for name, values in whole._asdict().items():
        joined = np.concatenate([getattr(half, name) for half in both])
        np.testing.assert_array_equal(joined, values)


def test_lines_are_normalised_as_asked():
    line = "  Caf\u00e9\u00a0 \u0915\u093e\tA "
    assert vocabulary.normalize(line, False, True) == "Caf\u00e9 \u0915\u093e A"
    assert vocabulary.normalize(line, True, False).startswith("cafe ")


def test_word_starts_in_any_script():
    for piece in ("\u2581kata", "\u2581", ",", "-", "\u201d", "\u4e2d", "\u0e01\u0e32", "..."):
        assert vocabulary.starts_word(piece), piece
    for piece in ("kan", "\u0434\u0430", "\u0915\u093e", "1999", "a", "\u00e9t\u00e9", "'s"):
        assert not vocabulary.starts_word(piece), piece


def test_characters_that_are_only_bytes_are_words_in_scripts_without_spaces(tmp_path):
    random = np.random.RandomState(0)
    lines = ["".join(chr(0x9000 + c) for c in random.randint(0, 800, 12)) for _ in range(60)]
    (tmp_path / "a.txt").write_text("\n".join(lines[:30]) + "\n\n" + "\n".join(lines[30:]))
    (tmp_path / "common.txt").write_text("\u7684\u3002\n" * 2000)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "common.txt"),
        model_prefix=str(tmp_path / "sp"),
        vocab_size=264,
        byte_fallback=True,
        model_type="bpe",
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        minloglevel=2,
    )
    path = build_path(
        str(tmp_path / "a.txt"), tmp_path / "a.tfrecord", spm_model_file=str(tmp_path / "sp.model")
    )
    made = read_manifest(path)
    assert made.tokens > 3 * 60 * 12
    assert 0.12 < made.masked_tokens / made.tokens < 0.16


def test_words_too_long_to_be_masked_end_the_build(tmp_path):
    (tmp_path / "a.txt").write_text(("ab" * 60 + "\n") * 20)
    told = r"only \d+ could be masked: .* --do_whole_word_mask=False"
    with pytest.raises(UsageError, match=told):
        build(str(tmp_path / "a.txt"), tmp_path / "a.tfrecord")
    assert not (tmp_path / "a.tfrecord").exists()
    path = build_path(str(tmp_path / "a.txt"), tmp_path / "a.tfrecord", do_whole_word_mask=False)
    assert read_manifest(path).masked_tokens > 0


def test_text_files_are_found_in_folders_below_and_each_once(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    names = [tmp_path / "a" / "b" / "t.txt", tmp_path / "a" / "u.txt"]
    for name in names:
        name.write_text("Satu.")
    found = expand_files("{0}/**/*,{0}/a/u.txt,".format(tmp_path), "input_file")
    assert found == [str(name) for name in names]
