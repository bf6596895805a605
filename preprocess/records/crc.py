"""Checksums of concatenations from the checksums of the pieces.

Parts of a file are written by different processes; the checksum of the whole follows without
reading it again. Reference: `crc32_combine` of zlib (Mark Adler): appending n bytes multiplies a
CRC by x^(8n) modulo the polynomial, in arithmetic without carries.
"""

import functools
from typing import List

CRC32 = 0xEDB88320  # gzip's polynomial, bit-reversed
CRC32C = 0x82F63B78  # Castagnoli's, of TFRecords

_ONE = 1 << 31


def _times(a: int, b: int, polynomial: int) -> int:
    product, bit = 0, _ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = b >> 1 ^ polynomial if b & 1 else b >> 1
    return product


@functools.lru_cache(maxsize=None)
def _squares(polynomial: int) -> List[int]:
    """x^(8 * 2**k) for k = 0..63."""
    power, powers = 1 << 30, []  # x
    for k in range(67):
        if k >= 3:
            powers.append(power)
        power = _times(power, power, polynomial)
    return powers


def combine(first: int, second: int, second_size: int, polynomial: int) -> int:
    """The CRC of two strings one after the other.

    Args:
      first: CRC of the first string.
      second: CRC of the second string.
      second_size: Bytes in the second string.
      polynomial: `CRC32` or `CRC32C`.
    """
    shift = _ONE
    for k, power in enumerate(_squares(polynomial)):
        if second_size >> k & 1:
            shift = _times(power, shift, polynomial)
    return _times(shift, first, polynomial) ^ second
