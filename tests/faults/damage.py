"""Damaged and hostile versions of a file, the same for the same seed."""

import json
import random

_NUMBERS = (0, -1, 1, 2**31, 2**63, 10**25, 10**400, -(10**18), 0.5, 1e308, float("nan"), True)
_TEXTS = ("", "x", "\0", "../../x", "/etc/passwd", "\ud800", "\x1b[31m", "a" * 5000, "ا" * 50)


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _without_a_part(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data) + 1)
    return data[:begin] + data[begin + chance.randrange(1, 64) :]


def _repeated(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data) + 1)
    part = data[begin : begin + chance.randrange(1, 64)]
    return data[:begin] + part * chance.choice((2, 100)) + data[begin:]


def _foreign(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data) + 1)
    noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 64)))
    return data[:begin] + noise + data[begin + len(noise) :]


def _whole(data: bytes, chance: random.Random) -> bytes:
    """Something else altogether."""
    return chance.choice(
        (
            b"",
            b"\0" * 100,
            b"[" * 100000,
            b"{}",
            b"[]",
            b"null",
            b"3",
            b'"x"',
            b"\xff\xfe{}",
            b"{\n",
        )
        + (b'{"a":' * 50000, b"1" * 5000, b"<html><body>404</body></html>", b"\xef\xbb\xbf" + data)
    )


def _value(value, chance: random.Random):
    """A JSON value with one place changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        changed = dict(value)
        fate = chance.random()
        if fate < 0.15:
            del changed[key]
        elif fate < 0.25:
            changed[chance.choice((key + "x", "layout", "__class__", ""))] = changed.pop(key)
        else:
            changed[key] = _value(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.7:
        place = chance.randrange(len(value))
        return value[:place] + [_value(value[place], chance)] + value[place + 1 :]
    return chance.choice(_NUMBERS + _TEXTS + (None, [], {}, [[]], [None], {"a": {}}))


def _json(data: bytes, chance: random.Random) -> bytes:
    """Well-formed JSON, or JSON lines, with a value that does not belong there."""
    try:
        return json.dumps(_value(json.loads(data), chance)).encode("utf-8", "surrogatepass")
    except ValueError:
        pass
    lines = data.splitlines()
    try:
        place = chance.randrange(len(lines))
        line = json.dumps(_value(json.loads(lines[place]), chance))
    except (ValueError, IndexError):
        return _flip(data, chance)
    lines[place] = line.encode("utf-8", "surrogatepass")
    return b"\n".join(lines) + b"\n"


_BINARY = (_flip, _flip, _cut, _without_a_part, _repeated, _foreign, _whole)


def damaged(data: bytes, seed: int, as_json: bool = False) -> bytes:
    """One damaged version of a file.

    Args:
      data: Its bytes.
      seed: Which version.
      as_json: Whether half of the versions stay JSON.
    """
    chance = random.Random(seed)
    if as_json and chance.random() < 0.5:
        return _json(data, chance)
    return chance.choice(_BINARY)(data, chance)
