"""Lines of text as they come, and an answer to each."""

import collections
import os
import re
import select
import stat
import time
from typing import Any, Callable, Deque, Iterator, List, NamedTuple, Sequence

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED, decompressed, head_of, opened, what_is
from albert.system.files.side import parse_json

_INSTANT = 0.02  # seconds in which lines are answered together
_PATIENCE = 1.0  # seconds that answers to many lines may take together
_MOST = 1024  # lines answered together; those of about equal length share batches
_BLOCK = 1 << 16  # bytes read at once
_OBJECT = re.compile(r'\s*\{\s*"')


class Unanswered(NamedTuple):
    """A line and why it has no answer."""

    text: str
    error: str


def lines_of_file(path: str, least: int) -> Iterator[List[bytes]]:
    """The lines of a file, which may be compressed, or of a named pipe; as `lines_of_pipe`.

    Raises:
      UsageError: It cannot be read, or what it holds is no text.
    """
    if not os.path.exists(path):
        raise UsageError("--input_file={} does not exist.".format(path))
    if not os.path.isfile(path) and not os.path.isdir(path):
        return lines_of_pipe(os.open(path, os.O_RDONLY), least)
    stream = decompressed(opened(path), path)
    what = what_is(head_of(stream))
    if what:
        raise UsageError("{} is {}.".format(path, what))

    def read() -> bytes:
        try:
            return stream.read(_BLOCK)
        except DAMAGED as error:
            raise UsageError("Cannot read {} ({}).".format(path, error)) from error

    return _together(read, lambda seconds: True, least)


def lines_of_pipe(file: int, least: int) -> Iterator[List[bytes]]:
    """The lines of a descriptor, those together that come within an instant.

    Who sends one line and waits gets its answer. Who sends many gets those of `least` lines
    first, then of more, as long as their answers take no more than a second.

    Args:
      file: The descriptor.
      least: Lines of a batch.
    """
    # A file, given as stdin, is never waited for; only some systems can wait for one at all.
    waits = not stat.S_ISREG(os.fstat(file).st_mode)
    return _together(
        lambda: os.read(file, _BLOCK),
        lambda seconds: not waits or bool(select.select([file], [], [], seconds)[0]),
        least,
    )


def _together(
    read: Callable[[], bytes], readable: Callable[[float], bool], least: int
) -> Iterator[List[bytes]]:
    waiting: Deque[bytearray] = collections.deque()
    rest, more, size = bytearray(), True, least
    while more or waiting:
        until = 0.0
        while more and len(waiting) < size:
            nothing = not waiting
            if not nothing and not readable(max(0.0, until - time.monotonic())):
                break
            block = read()
            more = bool(block)
            rest += block
            if b"\n" in block or not more:
                *whole, rest = rest.split(b"\n")
                waiting += whole if more or not rest else whole + [rest]
            if nothing:
                until = time.monotonic() + _INSTANT
        if waiting:
            began = time.monotonic()
            yield [bytes(waiting.popleft()) for _ in range(min(size, len(waiting)))]
            quick = time.monotonic() - began < _PATIENCE
            size = min(_MOST, 2 * size) if quick else max(least, size // 2)


def answers(predict: Callable[[List[Any]], Sequence[Any]], lines: Sequence[bytes]) -> List[Any]:
    """An answer to each line, in order: what `predict` returns for it, or `Unanswered`.

    Args:
      predict: Answers to texts, and to what JSON lines hold; raises a UsageError if it refuses
        one of them.
      lines: UTF-8, each a text or a JSON object.
    """
    try:
        return list(predict([parsed(line) for line in lines]))
    except UsageError as error:
        if len(lines) == 1:
            return [Unanswered(lines[0].decode("utf-8", "replace"), str(error))]
    middle = len(lines) // 2
    return answers(predict, lines[:middle]) + answers(predict, lines[middle:])


def parsed(line: bytes) -> Any:
    """What a line asks: its text, or the object that it holds.

    Raises:
      UsageError: It is not UTF-8, or only begins as an object.
    """
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise UsageError("This line is not UTF-8: {}.".format(error)) from error
    if not _OBJECT.match(text):
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        raise UsageError(
            'This line begins as a JSON object and is none ({}); write a text as {{"text": '
            "...}}.".format(error)
        ) from error
