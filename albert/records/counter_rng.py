"""Random numbers that are functions of what they are for, not of who drew before.

Every draw is a hash of a 64-bit key, the name of the decision and a counter. Nothing depends on
the order of calls, on batches or on processes, so any number of workers makes the same data.
The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom
Number Generators", 2014), which numpy evaluates on whole arrays and which cannot change with a
library version.
"""

import zlib
from typing import Union

import numpy as np

Integers = Union[int, np.ndarray]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _scrambled(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def _as_uint64(values: Integers) -> np.ndarray:
    if isinstance(values, int):
        return np.array([values & _MASK], np.uint64)
    return values.astype(np.uint64, copy=False)


def combine(key: Integers, *parts: Integers) -> np.ndarray:
    """Hashes a key with further numbers, in order, to new keys.

    Args:
      key: An integer or an array of them.
      *parts: Integers or arrays that broadcast with `key`.

    Returns:
      uint64 keys of the broadcast shape, at least rank 1.
    """
    out = _as_uint64(key)
    for part in parts:
        out = _scrambled(out * np.uint64(_GOLDEN) + _as_uint64(part) + np.uint64(_GOLDEN >> 1))
    return out


def bits(keys: Integers, purpose: str, counter: Integers = 0) -> np.ndarray:
    """64 random bits for each key; `purpose` names the decision and separates the streams."""
    return combine(keys, zlib.crc32(purpose.encode()), counter)


def uniform(keys: Integers, purpose: str, counter: Integers = 0) -> np.ndarray:
    """A float64 in [0, 1) for each key, 53 bits of it random."""
    return (bits(keys, purpose, counter) >> np.uint64(11)) * (1.0 / (1 << 53))


def below(limits: Integers, keys: Integers, purpose: str, counter: Integers = 0) -> np.ndarray:
    """An integer in [0, limit) for each key; `limits` are below 2**32 and above 0."""
    high = bits(keys, purpose, counter) >> np.uint64(32)
    return ((high * _as_uint64(limits)) >> np.uint64(32)).astype(np.int64)


def coin_flips(counts: np.ndarray, keys: np.ndarray, purpose: str) -> np.ndarray:
    """How many of `counts` fair coins show heads: a draw of Binomial(count, 1/2) for each key.

    Args:
      counts: [n] numbers of coins, 0 or more.
      keys: [n] uint64.
      purpose: Name of the decision.

    Returns:
      [n] int64.
    """
    heads = np.zeros(counts.shape, np.int64)
    left = counts.astype(np.int64)
    word = 0
    while True:
        active = np.flatnonzero(left > 0)
        if not active.size:
            return heads
        coins = np.minimum(left[active], 64).astype(np.uint64)
        random = bits(keys[active], purpose, word) >> (np.uint64(64) - coins)
        heads[active] += _POPCOUNT[random.view(np.uint8).reshape(-1, 8)].sum(axis=1)
        left[active] -= 64
        word += 1


_POPCOUNT = np.array([bin(octet).count("1") for octet in range(256)], np.int64)
