"""The wire format of `tf.train.Example`, written and read without TensorFlow.

Reference: the protocol-buffer encoding guide and TensorFlow's `example.proto`, `feature.proto`:
an example is a map from names to lists of bytes (field 1), floats (2) or integers (3).
"""

import functools
from typing import Dict, Iterator, List, Tuple

import numpy as np

FLOAT_LIST = 2
INT64_LIST = 3
_BYTES_LIST = 1
_VARINT, _FIXED64, DELIMITED, _FIXED32 = 0, 1, 2, 5


def encode_varints(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Encodes integers as protocol-buffer varints, all at once.

    Args:
      values: [n] integers; negative ones take ten bytes, as in protocol buffers.

    Returns:
      The bytes of all values in order ([total] uint8), and the end of each value in them ([n]).
    """
    values = np.ascontiguousarray(values, np.int64).view(np.uint64)
    largest = int(values.max()) if values.size else 0
    width = max(1, -(-largest.bit_length() // 7))
    if width <= 4:
        values = values.astype(np.uint32)
    lengths = np.ones(values.shape, np.uint8)
    for extra in range(1, width):
        lengths += values >= values.dtype.type(1 << (7 * extra))
    ends = np.cumsum(lengths, dtype=np.int64)
    out = np.empty(int(ends[-1]) if ends.size else 0, np.uint8)
    where, left = ends - lengths, lengths
    for _ in range(width):
        more = left > 1
        # All but the last byte of a number carry the high bit.
        out[where] = (values & values.dtype.type(127)) | more.astype(np.uint8) << 7
        values, where, left = values[more] >> values.dtype.type(7), where[more] + 1, left[more] - 1
    return out, ends


def decode_varints(octets: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Decodes numbers that stand one after another, [bytes] uint8.

    Returns:
      The numbers, int64 [n], and the last byte of each, [n].
    """
    ends = np.flatnonzero(octets < 128)
    if len(ends) == len(octets):
        return octets.astype(np.int64), ends
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise ValueError("A packed integer list ends inside a number.")
    values = octets[ends].astype(np.int64)  # all there is of most numbers
    long = np.flatnonzero(octets[ends[1:] - 1] > 127) + 1
    if octets[0] > 127:
        long = np.concatenate([[0], long])
    before = np.where(long > 0, ends[long - 1], -1)
    sizes = ends[long] - before
    longest = int(sizes.max())
    if longest > 10:
        raise ValueError("A packed integer list holds a number of more than ten bytes.")
    found = (octets[before + 1] & 127).astype(np.uint64)
    for k in range(1, longest):
        has = np.flatnonzero(sizes > k)
        digit = (octets[before[has] + 1 + k] & 127).astype(np.uint64)
        found[has] |= digit << np.uint64(7 * k)
    values[long] = found.view(np.int64)
    return values, ends


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | DELIMITED]) + _varint(len(data)) + data


def feature_prefix(name: str, field: int, size: int) -> bytes:
    """Everything that stands before the packed values of one feature.

    Args:
      name: The feature.
      field: 2 for floats, 3 for integers: the list field of `tf.train.Feature`.
      size: Bytes of the packed values that will follow.
    """
    packed = b"\x0a" + _varint(size) if size else b""
    list_size = len(packed) + size
    list_head = bytes([field << 3 | DELIMITED]) + _varint(list_size)
    feature_size = len(list_head) + list_size
    key = _delimited(1, name.encode())
    value_head = b"\x12" + _varint(feature_size)
    entry_size = len(key) + len(value_head) + feature_size
    return b"\x0a" + _varint(entry_size) + key + value_head + list_head + packed


@functools.lru_cache(maxsize=1 << 16)
def example_prefix(size: int) -> bytes:
    """The bytes before the features of an example whose features take `size` bytes."""
    return b"\x0a" + _varint(size)


def encode_example(features: Dict[str, np.ndarray]) -> bytes:
    """Serialises one `tf.train.Example`; equal features give equal bytes.

    Args:
      features: Integer, float or bytes arrays of rank 1, by name. Integers become an
        `Int64List`, floats a `FloatList` of float32. Names are written in sorted order.
    """
    entries = []
    for name in sorted(features):
        values = np.asarray(features[name])
        if values.dtype.kind in "OS":
            items = b"".join(_delimited(1, bytes(item)) for item in values.ravel())
            feature = _delimited(2, _delimited(_BYTES_LIST, items))
            entries.append(_delimited(1, _delimited(1, name.encode()) + feature))
            continue
        if values.dtype.kind == "f":
            field, data = FLOAT_LIST, values.astype("<f4").tobytes()
        else:
            field, data = INT64_LIST, encode_varints(values.ravel())[0].tobytes()
        entries.append(feature_prefix(name, field, len(data)) + data)
    body = b"".join(entries)
    return example_prefix(len(body)) + body


def _read_varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("The message ends inside a number.")
        octet = data[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[Tuple[int, int, bytes]]:
    """Yields (field number, wire type, raw bytes) of one message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        begin = at
        if wire == _VARINT:
            _, at = _read_varint(data, at)
        elif wire == DELIMITED:
            size, begin = _read_varint(data, at)
            at = begin + size
        elif wire in (_FIXED32, _FIXED64):
            at = begin + (4 if wire == _FIXED32 else 8)
        else:
            raise ValueError("The message holds the unknown wire type {}.".format(wire))
        if at > len(data):
            raise ValueError("The message ends inside a field.")
        yield tag >> 3, wire, data[begin:at]


def _decode_feature(data: bytes) -> np.ndarray:
    kind = INT64_LIST
    chunks: List[bytes] = []
    for field, _, content in _fields(data):
        kind, chunks = field, [value for _, _, value in _fields(content)]
    if kind == _BYTES_LIST:
        out = np.empty(len(chunks), object)
        out[:] = chunks
        return out
    # Packed and unpacked lists carry the same digits, so their concatenation decodes both.
    joined = b"".join(chunks)
    if kind == FLOAT_LIST:
        if len(joined) % 4:
            raise ValueError("A float list has {} bytes.".format(len(joined)))
        return np.frombuffer(joined, "<f4").astype(np.float32)
    return decode_varints(np.frombuffer(joined, np.uint8))[0]


def decode_example(payload: bytes) -> Dict[str, np.ndarray]:
    """Reads one serialised `tf.train.Example`, with packed or unpacked lists.

    Returns:
      Every feature by name: int64 or float32 arrays of rank 1, object arrays of bytes.

    Raises:
      ValueError: The bytes are not such a message.
    """
    features = {}
    for field, wire, body in _fields(payload):
        if field != 1 or wire != DELIMITED:
            continue
        for _, _, entry in _fields(body):
            parts = {number: content for number, _, content in _fields(entry)}
            if 1 not in parts:
                raise ValueError("A feature has no name.")
            features[parts[1].decode("utf-8", "strict")] = _decode_feature(parts.get(2, b""))
    return features
