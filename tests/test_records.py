"""The record format against TensorFlow's own reader and writer, and against damage."""

import gzip
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.compat import tf
from albert.records import tfrecord
from albert.records.example_proto import decode_example, encode_example
from albert.records.lockstep import decode_examples

NAMES = st.text("abcdefgh_/Ü", min_size=1, max_size=8)
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=70).map(
    lambda values: np.array(values, np.int64)
)
FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=40).map(
    lambda values: np.array(values, np.float32)
)
EXAMPLES = st.dictionaries(NAMES, INTEGERS | FLOATS, max_size=6)


def write(path, payloads, opener=open):
    with opener(str(path), "wb") as handle:
        for payload in payloads:
            handle.write(tfrecord.frame(payload))
    return str(path)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def delimited(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensorflow_example(features):
    message = tf.train.Example()
    for name, values in features.items():
        if values.dtype.kind == "f":
            message.features.feature[name].float_list.value.extend(values.tolist())
        else:
            message.features.feature[name].int64_list.value.extend(values.tolist())
    return message


@settings(max_examples=60, deadline=None)
@given(EXAMPLES)
def test_round_trip(features):
    decoded = decode_example(encode_example(features))
    assert sorted(decoded) == sorted(features)
    for name, values in features.items():
        if values.size:
            assert decoded[name].dtype == values.dtype
        np.testing.assert_array_equal(decoded[name], values)


@settings(max_examples=60, deadline=None)
@given(EXAMPLES)
def test_tensorflow_reads_what_we_write_and_the_reverse(features):
    message = tf.train.Example()
    message.ParseFromString(encode_example(features))
    assert sorted(message.features.feature) == sorted(features)
    for name, values in features.items():
        feature = message.features.feature[name]
        theirs = feature.float_list if values.dtype.kind == "f" else feature.int64_list
        np.testing.assert_array_equal(np.array(theirs.value, values.dtype), values)
    ours = decode_example(tensorflow_example(features).SerializeToString())
    for name, values in features.items():
        np.testing.assert_array_equal(ours[name], values)


def test_bytes_equal_those_of_tensorflow_when_it_sorts_too():
    features = {"b": np.array([1, 300, -1]), "a": np.array([0.5, 1.0], np.float32)}
    theirs = tensorflow_example(features).SerializeToString(deterministic=True)
    assert encode_example(features) == theirs


def test_unpacked_lists_and_bytes_features_are_read():
    integers = b"".join(varint(1 << 3) + varint(value) for value in (5, 300))
    floats = varint(1 << 3 | 5) + np.array([1.5], "<f4").tobytes()
    entries = [
        delimited(1, b"i") + delimited(2, delimited(3, integers)),
        delimited(1, b"f") + delimited(2, delimited(2, floats)),
        delimited(1, b"s") + delimited(2, delimited(1, delimited(1, b"x") + delimited(1, b"yz"))),
    ]
    payload = delimited(1, b"".join(delimited(1, entry) for entry in entries))
    decoded = decode_example(payload)
    assert decoded["i"].tolist() == [5, 300]
    assert decoded["f"].tolist() == [1.5]
    assert decoded["s"].tolist() == [b"x", b"yz"]
    assert decode_example(encode_example(decoded))["s"].tolist() == [b"x", b"yz"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_decode_or_raise_value_error(payload):
    try:
        decode_example(payload)
    except ValueError:
        pass


@pytest.mark.parametrize("opener", [open, gzip.open])
def test_framing_is_tensorflows(tmp_path, opener):
    payloads = [b"", b"one", b"x" * 5000]
    path = write(tmp_path / "ours.tfrecord", payloads, opener)
    kind = "GZIP" if opener is gzip.open else ""
    options = tf.io.TFRecordOptions(compression_type=kind)
    theirs = str(tmp_path / "theirs.tfrecord")
    with tf.io.TFRecordWriter(theirs, options) as writer:
        for payload in payloads:
            writer.write(payload)
    assert [payload for _, payload in tfrecord.read_records(theirs)] == payloads
    dataset = tf.data.TFRecordDataset(path, compression_type=kind)
    assert [bytes(item.numpy()) for item in dataset] == payloads
    assert [offset for offset, _ in tfrecord.read_records(path)] == [0, 16, 35]


def test_every_flipped_byte_is_noticed_with_its_record(tmp_path):
    good = b"".join(tfrecord.frame(payload) for payload in (b"first", b"second"))
    for at in range(len(good)):
        path = tmp_path / "flipped.tfrecord"
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        offset = 0 if at < 21 else 21
        with pytest.raises(tfrecord.RecordError, match="byte offset {}:".format(offset)) as caught:
            list(tfrecord.read_records(str(path)))
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("opener", [open, gzip.open])
def test_every_truncation_is_noticed(tmp_path, opener):
    whole = write(tmp_path / "whole.tfrecord", [b"first", b"second"], opener)
    data = open(whole, "rb").read()
    for size in range(1, len(data)):
        if opener is open and size == 21:
            continue  # the end of the first record: a shorter, whole file
        path = tmp_path / "short.tfrecord"
        path.write_bytes(data[:size])
        if opener is gzip.open and size < 2:
            continue  # too short to be recognised as gzip
        with pytest.raises(tfrecord.RecordError, match="byte offset"):
            list(tfrecord.read_records(str(path)))


@pytest.mark.parametrize(
    "read",
    [
        lambda path: list(tfrecord.read_records(path)),
        lambda path: list(tfrecord.frames(path)),
        lambda path: tfrecord.OpenFiles().read(path, 0, 12),
    ],
    ids=["records", "frames", "one"],
)
def test_a_disk_that_fails_is_one_sentence(read, monkeypatch):
    path = "/proc/self/mem"  # it opens, and no byte of its beginning can be read
    if not os.path.exists(path):
        pytest.skip("only Linux has such a file")
    monkeypatch.setattr(os.path, "getsize", lambda path: 100)
    with pytest.raises(tfrecord.RecordError, match="Cannot read .*mem .Input/output error"):
        read(path)


def test_missing_file_is_named():
    with pytest.raises(tfrecord.RecordError, match="no-such.tfrecord"):
        list(tfrecord.read_records("no-such.tfrecord"))


def assert_read_alike(payloads):
    """Reading examples together gives what reading each gives, or nothing."""
    found = decode_examples(payloads)
    try:
        examples = [decode_example(payload) for payload in payloads]
    except ValueError:
        assert found is None
        return None
    if found is not None:
        assert [sorted(example) for example in examples] == [sorted(found)] * len(examples)
        for name, (values, offsets) in found.items():
            for place, example in enumerate(examples):
                part = values[offsets[place] : offsets[place + 1]]
                assert part.dtype == example[name].dtype
                np.testing.assert_array_equal(part, example[name])
    return found


integers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(integers, integers, st.lists(st.floats(width=32))), min_size=1))
def test_many_examples_are_read_at_once(examples):
    payloads = [
        encode_example(
            {"a": np.array(a), "bc": np.array(b), "w": np.array([0.5, *floats], np.float32)}
        )
        for a, b, floats in examples
    ]
    assert assert_read_alike(payloads) is not None


def test_examples_that_are_not_alike_are_not_read_at_once():
    one = {"a": np.array([1, 300])}
    for other in (
        {"b": np.array([1])},
        {"a": np.array([0.5])},
        {},
        {"a": np.array([b"x"], object)},
    ):
        payloads = [encode_example(features) for features in (one, other)]
        assert decode_examples(payloads) is None
    empty = [encode_example({"a": np.array([], np.int64)})] * 2
    assert assert_read_alike(empty) is not None


def test_damage_to_one_of_many_examples_is_never_read_differently():
    random = np.random.RandomState(0)
    whole = [
        encode_example({"a": random.randint(0, 500, 9), "w": np.ones(3, np.float32)})
        for _ in range(4)
    ]
    for _ in range(600):
        payloads = [bytearray(payload) for payload in whole]
        damaged = payloads[random.randint(4)]
        damaged[random.randint(len(damaged))] ^= 1 << random.randint(8)
        if random.randint(3) == 0:
            del damaged[random.randint(len(damaged)) :]
        assert_read_alike([bytes(payload) for payload in payloads])
