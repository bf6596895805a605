"""What was received of a file, and whether a server can continue it."""

import contextlib
import http.client
import json
import os
import urllib.error
from typing import NamedTuple, Optional, Union

from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_json

PART = ".part"
_NOTE = ".part.json"

# An answer of status 416 comes as an error that reads like a response.
Response = Union[http.client.HTTPResponse, urllib.error.HTTPError]


class Part(NamedTuple):
    """What was received of which version of a file; `header` and `value` name the version."""

    url: str
    header: str
    value: str
    size: int


def forget(path: str) -> None:
    """Removes the note of what was received."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path + _NOTE)


def without_lost_part(path: str, error: UsageError, most: int) -> UsageError:
    """Removes what no later call can continue, and does not promise that it will.

    Args:
      path: Of the file.
      error: What ended the call.
      most: Bytes that a file may have.

    Returns:
      The error to raise.
    """
    if os.path.exists(path + PART) and os.path.getsize(path + PART) > most:
        forget(path)
    if os.path.exists(path + _NOTE) or not os.path.exists(path + PART):
        return error
    os.remove(path + PART)
    return UsageError(
        str(error).replace("to continue", "to start over: the server cannot continue")
    )


def received_part(url: str, path: str) -> Optional[Part]:
    """What an earlier call has left, if it can be continued."""
    try:
        note = read_json(path + _NOTE)
        size = os.path.getsize(path + PART)
        part = Part(note["url"], note["header"], note["value"], size)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return part if part.url == url and size else None


def write_note(url: str, path: str, response: Response) -> None:
    """Writes which version of the file this is, if the server can continue it.

    A weak ETag does not tell the version.
    """
    whole = response.headers.get("Accept-Ranges") == "none"
    for header in () if whole else ("ETag", "Last-Modified"):
        value = response.headers.get(header)
        if value and not value.startswith("W/"):
            with atomic_write(path + _NOTE) as handle:
                json.dump({"url": url, "header": header, "value": value}, handle)
            return
    forget(path)


def continues(response: Response, part: Part) -> bool:
    """Whether an answer is the rest of a part.

    Some servers answer with a range of another version in spite of If-Range.
    """
    same = response.headers.get(part.header, part.value) == part.value
    span = response.headers.get("Content-Range", "")
    return same and span.startswith("bytes {}-".format(part.size))
