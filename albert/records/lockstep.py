"""Many `tf.train.Example`s read at once, as whole arrays."""

from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np

from albert.records.example_proto import DELIMITED, FLOAT_LIST, INT64_LIST, decode_varints


class Ragged(NamedTuple):
    """One feature of many examples.

    Attributes:
      values: [t], of all examples one after another.
      offsets: [n + 1], where each example begins.
    """

    values: np.ndarray
    offsets: np.ndarray


def decode_examples(payloads: Sequence[bytes]) -> Optional[Dict[str, Ragged]]:
    """Reads many serialised `tf.train.Example`s at once, if they are all alike.

    Alike are examples with the same features in the same order, integers or floats in packed lists:
    what `encode_example` and TensorFlow write. Their bytes are parsed in lockstep, whole arrays at
    a time.

    Returns:
      Every feature by name, as `decode_example` has it of each; None where they are not alike, or
      one of them is damaged.
    """
    octets = np.frombuffer(b"".join(payloads) + bytes(_LONGEST_VARINT), np.uint8)
    ends = np.cumsum([len(payload) for payload in payloads])
    try:
        return _features(_Lockstep(octets, ends))
    except (_NotAlike, ValueError):
        return None


_LONGEST_VARINT = 10
_KINDS = {kind << 3 | DELIMITED: kind for kind in (FLOAT_LIST, INT64_LIST)}


class _NotAlike(Exception):
    """Messages that cannot be read in lockstep."""


class _Lockstep:
    """Reads the same fields of many messages at once; `at` is where it stands in each."""

    def __init__(self, octets: np.ndarray, ends: np.ndarray) -> None:
        self.octets, self.ends = octets, ends
        self.at = np.concatenate([[0], ends[:-1]])

    def tag(self) -> int:
        """The next byte, the same in all."""
        found = self.octets[self.at]
        if (found != found[0]).any():
            raise _NotAlike
        self.at = self.at + 1
        return int(found[0])

    def size(self, within: np.ndarray) -> np.ndarray:
        """A length; returns where what has that length ends, which must not be beyond `within`."""
        value = np.zeros(len(self.at), np.int64)
        active = np.ones(len(self.at), bool)
        for k in range(_LONGEST_VARINT // 2):  # of any size that memory holds
            octet = np.where(active, self.octets[self.at], 0)
            value |= (octet & 127).astype(np.int64) << 7 * k
            self.at = self.at + active
            active = octet > 127
            if not active.any():
                break
        else:
            raise _NotAlike
        end = self.at + value
        if (end > within).any():
            raise _NotAlike
        return end

    def field(self, number: int, within: np.ndarray) -> np.ndarray:
        """The head of a delimited field that all have next; returns where it ends."""
        if (self.at >= within).any() or self.tag() != number << 3 | DELIMITED:
            raise _NotAlike
        return self.size(within)

    def text(self, end: np.ndarray) -> bytes:
        """The bytes up to `end`, the same in all."""
        size = int(end[0] - self.at[0])
        found = self.octets[self.at[:, None] + np.arange(size)]
        if (end - self.at != size).any() or (found != found[0]).any():
            raise _NotAlike
        self.at = end
        return found[0].tobytes()


def _features(messages: _Lockstep) -> Dict[str, Ragged]:
    if (messages.field(1, messages.ends) != messages.ends).any():
        raise _NotAlike
    found = {}
    while (messages.at < messages.ends).any():
        end = messages.field(1, messages.ends)
        name = messages.text(messages.field(1, end)).decode("utf-8", "strict")
        if (messages.field(2, end) != end).any():
            raise _NotAlike
        kind = _KINDS.get(messages.tag())
        if kind is None or (messages.size(end) != end).any():
            raise _NotAlike
        if (messages.at < end).any() and (messages.field(1, end) != end).any():
            raise _NotAlike
        found[name] = _values(messages.octets, messages.at, end, kind)
        messages.at = end
    return found


def _values(octets: np.ndarray, begin: np.ndarray, end: np.ndarray, kind: int) -> Ragged:
    chosen = np.concatenate([octets[a:b] for a, b in zip(begin, end)])
    offsets = np.concatenate([[0], np.cumsum(end - begin)])
    if kind == FLOAT_LIST:
        if (offsets % 4).any():
            raise _NotAlike
        return Ragged(chosen.view("<f4").astype(np.float32), offsets // 4)
    if len(chosen) and (chosen[offsets[1:] - 1] > 127).any():
        raise _NotAlike
    values, last = decode_varints(chosen)
    return Ragged(values, np.searchsorted(last, offsets))
