"""Where answers go: JSON lines, as they are known, or the vectors of all texts in one array."""

import contextlib
import json
import sys
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.tasks.inference.lines import Unanswered

FORMATS = ("json", "npy")


class Output(NamedTuple):
    """How answers are written.

    Attributes:
      convert: An answer of a model as it is written; raises a UsageError where it cannot be.
      write: Writes what `convert` returned, or an `Unanswered`.
      flush: Lets readers see it.
    """

    convert: Callable[[Dict[str, Any]], Any]
    write: Callable[[Any], None]
    flush: Callable[[], None]


def as_json(answer: Dict[str, Any], ascii_alone: bool = False) -> str:
    """A line of JSON that every reader takes.

    Raises:
      UsageError: There are numbers in it that JSON has not.
    """
    try:
        return json.dumps(answer, ensure_ascii=ascii_alone, allow_nan=False)
    except ValueError as error:
        raise _no_number() from error


def _no_number() -> UsageError:
    return UsageError("The model's answer is no number (NaN); take an earlier checkpoint.")


@contextlib.contextmanager
def json_lines(path: Optional[str]) -> Iterator[Output]:
    """A JSON object a line on stdout, or in a file that is whole or absent."""
    with contextlib.ExitStack() as opened:
        out: Any = opened.enter_context(atomic_write(path)) if path else sys.stdout
        ascii_alone = (out.encoding or "").lower().replace("-", "") != "utf8"

        def write(line: Any) -> None:
            if isinstance(line, Unanswered):
                line = as_json(line._asdict(), ascii_alone)
            out.write(line + "\n")

        yield Output(lambda answer: as_json(answer, ascii_alone), write, out.flush)


@contextlib.contextmanager
def vectors(path: str, width: int) -> Iterator[Output]:
    """Vectors in NumPy's .npy, float32 [texts, width], in a file that is whole or absent.

    A text without an answer has a row of NaN, and the reason is a warning.
    """
    rows = cut = 0
    with atomic_write(path, "wb") as out:
        _write_header(out, rows, width)

        def write(vector: Any) -> None:
            nonlocal rows
            rows += 1
            if isinstance(vector, Unanswered):
                logging.warning("Line %d: %s", rows, vector.error)
                vector = np.full(width, np.nan)
            out.write(vector.astype("<f4").tobytes())

        def convert(answer: Dict[str, Any]) -> np.ndarray:
            nonlocal cut
            if not np.isfinite(answer["embedding"]).all():
                raise _no_number()
            cut += "truncated" in answer
            return answer["embedding"]

        yield Output(convert, write, out.flush)
        out.seek(0)
        _write_header(out, rows, width)
    if cut:
        logging.warning("%d of %d texts were cut at --max_seq_length", cut, rows)
    logging.info("%s holds %d vectors of %d numbers", path, rows, width)


def _write_header(out: IO[bytes], rows: int, width: int) -> None:
    """NumPy pads it to 128 bytes whatever the number of rows."""
    facts = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(out, facts)
