"""Index, order and batches: the same for any restart, and clear about damaged files."""

import gzip
import itertools
import os
import threading

import numpy as np
import pytest
from conftest import (
    PREDICTIONS,
    SEQUENCE,
    SIZES,
    order_of,
    random_example,
    write_examples,
    write_record_file,
)

from albert.data.batches import (
    Share,
    evaluation_batches,
    prefetch,
    told_of_changes,
    training_batches,
)
from albert.data.dataset import RecordDataset, Shapes
from albert.data.packing import row_layout
from albert.data.skipping import read_whole_ones, within_bounds
from albert.data.source import open_data
from albert.model.config import ModelConfig
from albert.records import index as index_module
from albert.records.example_proto import encode_example
from albert.records.index import index_ends, index_head, load_index
from albert.records.tfrecord import (
    OpenFiles,
    RecordError,
    frame,
    read_records,
    record_files,
)
from albert.system.errors import UsageError
from albert.system.machine import resident_bytes

SHAPES = Shapes(SEQUENCE, PREDICTIONS, SIZES["vocab_size"], 2)
CONFIG = ModelConfig.from_dict(dict(SIZES, layout="google"))
AS_IS = row_layout("none", 5, 1, {})


def test_batch_holds_the_records_whatever_the_file(tmp_path):
    plain = write_record_file(tmp_path / "a.tfrecord", 11, seed=1)
    zipped = write_record_file(tmp_path / "b.tfrecord.gz", 7, seed=2, opener=gzip.open)
    dataset = RecordDataset([plain, zipped])
    assert dataset.size == 18
    random = np.random.RandomState(2)
    expected = [random_example(random) for _ in range(7)]
    batch = dataset.read([11, 17, 0], SHAPES)
    for row, example in ((0, expected[0]), (1, expected[6])):
        for name in ("input_ids", "segment_ids", "masked_lm_ids", "masked_lm_weights"):
            np.testing.assert_array_equal(batch[name][row], example[name])
        assert int(batch["sentence_order_labels"][row]) == int(example["next_sentence_labels"][0])
    assert batch["input_ids"].dtype == np.int32


def test_index_is_kept_and_rebuilt_when_the_file_changes(tmp_path, monkeypatch):
    path = write_record_file(tmp_path / "a.tfrecord", 5)
    first = load_index(path)
    monkeypatch.setattr(index_module, "_bounds", None)  # a second pass would fail
    os.utime(path, (1, 1))  # as copying does
    np.testing.assert_array_equal(load_index(path).bounds, first.bounds)
    monkeypatch.undo()
    write_record_file(tmp_path / "a.tfrecord", 9)
    assert load_index(path).size == 9
    with open(path + index_module.INDEX_SUFFIX, "wb") as handle:
        handle.write(b"not an index")
    assert load_index(path).size == 9


def test_index_of_another_file_of_the_same_size_is_not_used(tmp_path):
    path = tmp_path / "a.tfrecord"
    for payloads in ((b"x", b"yyy"), (b"yyy", b"x")):
        path.write_bytes(b"".join(frame(payload) for payload in payloads))
        sizes = [16 + len(payload) for payload in payloads]
        np.testing.assert_array_equal(np.diff(load_index(str(path)).bounds), sizes)


def test_index_knows_every_record(tmp_path):
    path = write_record_file(tmp_path / "a.tfrecord", 6)
    bounds = load_index(path).bounds
    assert [offset for offset, _ in read_records(path)] == bounds[:-1].tolist()
    assert bounds[-1] == os.path.getsize(path)


def test_every_flip_in_an_index_is_told(tmp_path):
    path = write_record_file(tmp_path / "a.tfrecord", 6)
    expected = RecordDataset([path]).read(range(6), SHAPES)
    kept = tmp_path / "a.tfrecord.index.npy"
    good = kept.read_bytes()
    told = 0
    for bit in range(0, 8 * len(good), 5):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        kept.write_bytes(bytes(flipped))
        try:
            batch = RecordDataset([path]).read(range(6), SHAPES)
        except RecordError as error:
            assert "its .index.npy is not its own" in str(error)
            told += 1
            continue
        for name, value in expected.items():
            np.testing.assert_array_equal(batch[name], value)
    assert told


def test_ten_thousand_shards_open_in_little_memory(tmp_path):
    """1 TB of records, of which only the ends are on the disk."""
    size, count = 100 << 20, 100_000
    payload = encode_example(random_example(np.random.RandomState(0)))
    record = frame(payload)
    first = tmp_path / "part-00000"
    with open(str(first), "wb") as handle:
        handle.write(record)
        handle.seek(size - len(record))
        handle.write(record)
    with open(str(first) + ".index.npy", "wb") as handle:
        handle.write(index_head(count) + index_ends(np.array([len(record)])))
        handle.seek((count - 3) * 8, os.SEEK_CUR)
        handle.write(index_ends(np.array([size - len(record), size])))
    paths = [str(first)]
    for number in range(1, 10_000):
        paths.append(str(tmp_path / "part-{:05d}".format(number)))
        os.link(str(first), paths[-1])
        os.link(str(first) + ".index.npy", paths[-1] + ".index.npy")
    before = resident_bytes(os.getpid())
    dataset = RecordDataset(paths)
    assert dataset.size == 10**9
    batch = dataset.read([0, 10**9 - 1], SHAPES)
    assert (batch["input_ids"][0] == batch["input_ids"][1]).all()
    assert resident_bytes(os.getpid()) - before < 100e6


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing"])
def test_damaged_files_are_named(tmp_path, damage):
    path = write_record_file(tmp_path / "a.tfrecord", 5)
    with open(path, "rb") as handle:
        data = bytearray(handle.read())
    if damage == "truncated":
        data = data[:-7]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    elif damage == "empty":
        data = b""
    with open(path, "wb") as handle:
        handle.write(data)
    if damage == "missing":
        os.remove(path)
    words = {
        "truncated": "offset",
        "flipped": "offset",
        "empty": "no records",
        "missing": "No record",
    }
    with pytest.raises(RecordError, match="a.tfrecord") as caught:
        load_index(path)
    assert words[damage] in str(caught.value)


def damaged_behind_its_index(path, change):
    """Damages a record file, whose index then still counts as fresh."""
    load_index(path)
    status = os.stat(path)
    with open(path, "r+b") as handle:
        change(handle)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def with_damaged_records(path, numbers):
    """Twelve records of which some have a flipped bit; returns where those begin."""
    path = write_record_file(path, 12)
    offsets = [int(load_index(path).bounds[number]) for number in numbers]

    def flip(handle):
        for offset in offsets:
            handle.seek(offset + 52)
            octet = handle.read(1)[0]
            handle.seek(offset + 52)
            handle.write(bytes([octet ^ 2]))

    damaged_behind_its_index(path, flip)
    return offsets


def test_a_damaged_record_is_told_when_its_batch_comes(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    (offset,) = with_damaged_records(path, [7])
    dataset = RecordDataset([path])
    order = order_of(dataset.size, 2, 5)
    good = next(k for k in range(6) if 7 in order.numbers([k])[0])
    batches = training_batches(dataset, order, SHAPES, AS_IS, 0)
    assert len([next(batches) for _ in range(good)]) == good
    with pytest.raises(
        RecordError, match=r"a.tfrecord is damaged at byte offset {}".format(offset)
    ):
        next(batches)


@pytest.mark.parametrize("layout", ["none", "pack"])
def test_a_run_goes_on_without_as_many_damaged_records_as_it_may(layout, tmp_path, caplog):
    path, whole = str(tmp_path / "a.tfrecord"), write_record_file(tmp_path / "b.tfrecord", 12)
    with_damaged_records(path, [3, 7])
    order = order_of(12, 4, 5)
    sample = RecordDataset([whole]).read(range(12), SHAPES)
    layout = row_layout(layout, 4, 1, sample)
    streams = []
    for name in (whole, path):
        found = set()
        dataset = RecordDataset([name])
        batches = training_batches(dataset, order, SHAPES, layout, 0, skip=True)
        streams.append(within_bounds(batches, found, most=2))
    examples, met = [], 0
    for k in range(6):  # two epochs
        numbers = set(order.numbers([k])[0])
        batch, without = [next(stream) for stream in streams]
        assert set(batch) == set(without)
        lost = len(numbers & {3, 7})
        count = [int(b["input_mask"].max(axis=1).sum()) for b in (batch, without)]
        assert count == [4, 4 - lost]
        weights = [b["masked_lm_weights"].sum() for b in (batch, without)]
        of_lost = sample["masked_lm_weights"][sorted(numbers & {3, 7})].sum()
        assert weights[1] == weights[0] - of_lost
        examples.append(count[1])
        met = max(met, len(found))
    assert sum(examples) == 20 and met == 2
    told = sorted({record.getMessage() for record in caplog.records})
    assert [line.split(path)[0] for line in told] == [
        "Skipped, 1 of at most 2: ",
        "Skipped, 2 of at most 2: ",
    ]
    batches = training_batches(RecordDataset([path]), order, SHAPES, layout, 0, skip=True)
    with pytest.raises(RecordError, match="is damaged .* It is one more than --skip_corrupt=1."):
        list(itertools.islice(within_bounds(batches, set(), most=1), 6))


@pytest.mark.parametrize("at", [2, 60], ids=["length", "content"])
def test_the_first_record_may_be_the_damaged_one(tmp_path, at):
    path = write_record_file(tmp_path / "a.tfrecord", 12)

    def flip(handle):
        handle.seek(at)
        octet = handle.read(1)[0]
        handle.seek(at)
        handle.write(bytes([octet ^ 2]))

    damaged_behind_its_index(path, flip)
    named = (path, "input_file", CONFIG, None, None, False)
    with pytest.raises(RecordError, match="a.tfrecord is damaged at byte offset 0"):
        open_data(*named)
    assert load_index(path, verify=False).size == 12
    data = open_data(*named, skip=True)
    assert data.shapes == SHAPES and len(data.sample["input_ids"]) == 11
    (wrong,) = read_whole_ones(data.dataset, np.arange(12), data.shapes)[1]
    assert "a.tfrecord is damaged at byte offset 0" in wrong


def test_a_file_that_was_cut_while_it_was_read_is_told(tmp_path):
    path = write_record_file(tmp_path / "a.tfrecord", 12)
    dataset = RecordDataset([path])
    os.truncate(path, os.path.getsize(path) - 9)
    assert dataset.read([0, 10], SHAPES)
    with pytest.raises(RecordError, match="the file was changed"):
        dataset.read([0, 11], SHAPES)


def test_files_that_change_while_they_are_read_are_told_once_an_epoch(tmp_path, caplog):
    paths = [write_record_file(tmp_path / name, 4) for name in ("a.tfrecord", "b.tfrecord")]
    dataset = RecordDataset(paths)
    order = order_of(dataset.size, 4, 5)
    batches = told_of_changes(training_batches(dataset, order, SHAPES, AS_IS, 0), [dataset], 2)
    told = []
    for number in range(6):
        next(batches)
        if number == 1:
            os.utime(paths[1], ns=(1, 1))
        told.append({record.args[0] for record in caplog.records})
        caplog.clear()
    assert told == [set(), set(), {paths[1]}, set(), set(), set()]


@pytest.mark.parametrize(
    "change, told",
    [
        ({"input_ids": np.ones(SEQUENCE, np.float32)}, "input_ids is a list of floats, must be"),
        ({"masked_lm_weights": np.array([b"x"], object)}, "weights is a list of bytes, must be"),
        ({"segment_ids": None}, r"\(record 1\) has no feature segment_ids"),
    ],
    ids=str,
)
def test_features_that_cannot_be_used_are_told(tmp_path, change, told):
    random = np.random.RandomState(0)
    examples = [random_example(random) for _ in range(2)]
    examples[1] = {k: v for k, v in {**examples[1], **change}.items() if v is not None}
    path = write_examples(tmp_path / "a.tfrecord", examples)
    with pytest.raises(RecordError, match=told):
        RecordDataset([path]).read([1], SHAPES)


def test_more_files_than_may_be_open(tmp_path):
    paths = [write_record_file(tmp_path / "{}.tfrecord".format(n), 2, n) for n in range(5)]
    whole = RecordDataset(paths).read(np.arange(10), SHAPES)
    dataset = RecordDataset(paths)
    dataset._open = OpenFiles(2)
    again = dataset.read(np.arange(10), SHAPES)
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value)


def test_wrong_length_names_file_feature_got_and_wanted(tmp_path):
    path = write_record_file(tmp_path / "long.tfrecord", 3, sequence=23)
    with pytest.raises(
        RecordError,
        match=r"long.tfrecord \(record 0\): feature input_ids has length 23, wanted 17. Pass "
        "--max_seq_length=23",
    ):
        RecordDataset([path]).read([0, 1], SHAPES)
    path = write_record_file(tmp_path / "wide.tfrecord", 3, predictions=4)
    with pytest.raises(RecordError, match="masked_lm_positions has length 4, wanted 5"):
        RecordDataset([path]).read([2], SHAPES)


def test_vocabulary_larger_than_the_configs_is_refused(tmp_path):
    path = write_record_file(tmp_path / "a.tfrecord", 3)
    small = SHAPES._replace(vocab_size=6)
    with pytest.raises(RecordError, match="input_ids holds .*vocab_size is 6"):
        RecordDataset([path]).read([0], small)


def test_an_unknown_sentence_label_is_refused(tmp_path):
    example = random_example(np.random.RandomState(0))
    example["next_sentence_labels"] = np.array([2])
    path = write_examples(tmp_path / "a.tfrecord", [example])
    with pytest.raises(RecordError, match="a.tfrecord.*: next_sentence_labels is 2, but must be 0"):
        RecordDataset([path]).read([0], SHAPES)


def test_files_are_found_by_list_and_glob(tmp_path):
    names = [write_record_file(tmp_path / "{}.tfrecord".format(n), 1) for n in ("b", "a", "c")]
    found = record_files("{0}/[ab].tfrecord, {0}/c.tfrecord".format(tmp_path), "eval_file")
    assert found == sorted(names)
    (tmp_path / "empty").mkdir()
    (tmp_path / "tokenizer.model").write_bytes(b"no records")
    assert record_files(str(tmp_path), "eval_file") == sorted(names)
    twice = record_files("{0}/?.tfrecord,{0}/c.tfrecord".format(tmp_path), "eval_file")
    assert twice == sorted(names) + sorted(names)[-1:]
    for wrong, message in (
        ("x*", "--eval_file=.*/x\\* matches no file. Looked in {}".format(tmp_path)),
        ("empty", "--eval_file=.*/empty is a folder without such files"),
    ):
        with pytest.raises(UsageError, match=message):
            record_files("{}/{}".format(tmp_path, wrong), "eval_file")
    with pytest.raises(UsageError, match="--eval_file is empty"):
        record_files(" , ", "eval_file")


def test_a_glob_leaves_out_what_lies_beside_records(tmp_path):
    folder = tmp_path / "set [1]"  # which as a glob is another name
    folder.mkdir()
    name = write_record_file(folder / "a.tfrecord", 1)
    RecordDataset(record_files(name, "input_file"))  # leaves its index
    (folder / "a.tfrecord.manifest.json").write_text("{}")
    assert len(list(folder.iterdir())) == 3
    assert record_files("{}/set*/a*".format(tmp_path), "input_file") == [name]


def test_training_batches_resume_where_asked(tmp_path):
    dataset = RecordDataset([write_record_file(tmp_path / "a.tfrecord", 13)])
    order = order_of(dataset.size, 4, seed=0)
    stream = training_batches(dataset, order, SHAPES, AS_IS, first=0)
    batches = [next(stream) for _ in range(6)]
    resumed = next(training_batches(dataset, order, SHAPES, AS_IS, first=5))
    np.testing.assert_array_equal(resumed["input_ids"], batches[5]["input_ids"])


def test_evaluation_reads_every_record_once_and_fills_up(tmp_path):
    dataset = RecordDataset([write_record_file(tmp_path / "a.tfrecord", 13)])
    batches = list(evaluation_batches(dataset, SHAPES, AS_IS, 5))
    assert [int(b["input_ids"].shape[0]) for b in batches] == [5, 5, 5]
    last = batches[-1]
    assert last["masked_lm_weights"][3:].sum() == 0
    assert list(last["sentence_order_labels"][3:]) == [-1, -1]
    weights = sum(float(b["masked_lm_weights"].sum()) for b in batches)
    whole = dataset.read(range(13), SHAPES)
    assert weights == float(whole["masked_lm_weights"].sum())
    assert len(list(evaluation_batches(dataset, SHAPES, AS_IS, 5, max_batches=2))) == 2


@pytest.mark.parametrize("count", [2, 4])
def test_shares_of_batches_are_the_batches(tmp_path, count):
    dataset = RecordDataset([write_record_file(tmp_path / "a.tfrecord", 9)])
    order = order_of(dataset.size, 4, seed=0)
    shares = [Share(index, count) for index in range(count)]
    whole = next(training_batches(dataset, order, SHAPES, AS_IS, first=2))
    parts = [next(training_batches(dataset, order, SHAPES, AS_IS, 2, share)) for share in shares]
    for name, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), value)
    wholes = list(evaluation_batches(dataset, SHAPES, AS_IS, 4))
    streams = [list(evaluation_batches(dataset, SHAPES, AS_IS, 4, None, s)) for s in shares]
    for number, whole in enumerate(wholes):  # the last one holds one record
        for name, value in whole.items():
            together = np.concatenate([stream[number][name] for stream in streams])
            np.testing.assert_array_equal(together, value)


def test_prefetch_keeps_order_and_hands_over_errors():
    def items():
        yield from range(5)
        raise UsageError("broken file")

    received = []
    with pytest.raises(UsageError, match="broken file"):
        for item in prefetch(items()):
            received.append(item)
    assert received == list(range(5))


def test_prefetch_stops_its_thread_when_closed():
    def endless():
        while True:
            yield 0

    before = threading.active_count()
    stream = prefetch(endless())
    next(stream)
    assert threading.active_count() == before + 1
    stream.close()
    assert threading.active_count() == before
