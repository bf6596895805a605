"""Ragged masked examples to framed TFRecords, many at once.

Most of a record is constant or one byte a number, so only the ids and positions are encoded; the
rest is cut from prepared strings. The bytes equal `frame(encode_example(features))`.
"""

import functools
from typing import List, NamedTuple, Tuple

import numpy as np

from albert.records.example_proto import (
    FLOAT_LIST,
    INT64_LIST,
    encode_varints,
    example_prefix,
    feature_prefix,
)
from albert.records.masking import Masked
from albert.records.tfrecord import (
    PREDICTION_FEATURES,
    SENTENCE_LABEL,
    SEQUENCE_FEATURES,
    TOKEN_BOUNDARY,
    frame,
)

_INPUT_IDS, _INPUT_MASK, _SEGMENT_IDS = SEQUENCE_FEATURES
_POSITIONS, _LABELS, _WEIGHTS = PREDICTION_FEATURES
_ONE = np.ones(1, "<f4").tobytes()


class Tokens(NamedTuple):
    """n examples with their special pieces, flat.

    Attributes:
      ids: [t] piece ids.
      boundary: [t] uint8, 1 where a word starts.
      offsets: [n + 1] where each example begins.
      first: [n] tokens that carry segment id 0.
      labels: [n] sentence label.
    """

    ids: np.ndarray
    boundary: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    labels: np.ndarray


@functools.lru_cache(maxsize=None)
def _prefix(name: str, size: int) -> bytes:
    return feature_prefix(name, FLOAT_LIST if name == _WEIGHTS else INT64_LIST, size)


@functools.lru_cache(maxsize=None)
def _label(value: int) -> bytes:
    data = encode_varints(np.array([value]))[0].tobytes()
    return _prefix(SENTENCE_LABEL, len(data)) + data


@functools.lru_cache(maxsize=None)
def _input_mask(real: int, length: int) -> bytes:
    return _prefix(_INPUT_MASK, length) + b"\x01" * real + bytes(length - real)


@functools.lru_cache(maxsize=None)
def _weights(real: int, width: int) -> bytes:
    return _prefix(_WEIGHTS, 4 * width) + _ONE * real + bytes(4 * (width - real))


def _ragged_varints(values: np.ndarray, offsets: np.ndarray) -> Tuple[bytes, List[int]]:
    """All values as varints in one string, and where each row begins in it."""
    data, ends = encode_varints(values)
    limits = np.concatenate([[0], ends])[offsets]
    return data.tobytes(), limits.tolist()


def static_records(tokens: Tokens, masked: Masked, length: int, width: int) -> List[bytes]:
    """Framed records with masks.

    Args:
      tokens: The examples before masking.
      masked: What `mask_tokens` made of them.
      length: L, what sequences are padded to.
      width: P, what predictions are padded to.
    """
    ids, id_at = _ragged_varints(masked.input_ids, tokens.offsets)
    labels, label_at = _ragged_varints(masked.labels, masked.offsets)
    positions, position_at = _ragged_varints(masked.positions, masked.offsets)
    boundary = tokens.boundary.tobytes()
    at, predicted = tokens.offsets.tolist(), np.diff(masked.offsets).tolist()
    zeros, ones = bytes(max(length, width)), b"\x01" * length
    out = []
    for i, (first, sentence) in enumerate(zip(tokens.first.tolist(), tokens.labels.tolist())):
        real = at[i + 1] - at[i]
        pad, blank = zeros[: length - real], zeros[: width - predicted[i]]
        some_ids = ids[id_at[i] : id_at[i + 1]] + pad
        some_labels = labels[label_at[i] : label_at[i + 1]] + blank
        some_positions = positions[position_at[i] : position_at[i + 1]] + blank
        body = b"".join(
            (
                _prefix(_INPUT_IDS, len(some_ids)),
                some_ids,
                _input_mask(real, length),
                _prefix(_LABELS, len(some_labels)),
                some_labels,
                _prefix(_POSITIONS, len(some_positions)),
                some_positions,
                _weights(predicted[i], width),
                _label(sentence),
                _prefix(_SEGMENT_IDS, length),
                zeros[:first],
                ones[: real - first],
                pad,
                _prefix(TOKEN_BOUNDARY, length),
                boundary[at[i] : at[i + 1]],
                pad,
            )
        )
        out.append(frame(example_prefix(len(body)) + body))
    return out


def unmasked_records(tokens: Tokens) -> List[bytes]:
    """Framed records of the real tokens only, for masks drawn while training."""
    ids, id_at = _ragged_varints(tokens.ids, tokens.offsets)
    boundary, at = tokens.boundary.tobytes(), tokens.offsets.tolist()
    longest = int(np.diff(tokens.offsets).max()) if len(at) > 1 else 0
    zeros, ones = bytes(longest), b"\x01" * longest
    out = []
    for i, (first, sentence) in enumerate(zip(tokens.first.tolist(), tokens.labels.tolist())):
        real = at[i + 1] - at[i]
        some_ids = ids[id_at[i] : id_at[i + 1]]
        body = b"".join(
            (
                _prefix(_INPUT_IDS, len(some_ids)),
                some_ids,
                _label(sentence),
                _prefix(_SEGMENT_IDS, real),
                zeros[:first],
                ones[: real - first],
                _prefix(TOKEN_BOUNDARY, real),
                boundary[at[i] : at[i + 1]],
            )
        )
        out.append(frame(example_prefix(len(body)) + body))
    return out
