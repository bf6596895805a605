"""Files at http(s) addresses: with progress, continued after a break, checked before use."""

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from typing import IO, Any, Dict, Optional

from absl import logging
from tqdm import tqdm

from albert.system.errors import UsageError, quoted
from albert.system.files.part import (
    PART,
    Part,
    Response,
    continues,
    forget,
    received_part,
    without_lost_part,
    write_note,
)
from albert.system.files.sums import sha256_file

_TIMEOUT = 60.0  # seconds without a byte
_MOST = 8 << 30  # bytes; the largest ALBERT with its optimizer's state is 3 GB
_LEAST_RATE = 1000  # bytes a second, over any minute
_PIECE = 256 << 10


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Is sent on to http(s) addresses only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[urllib.request.Request]:
        """Refuses what Python would follow, too: ftp."""
        if not is_url(newurl):
            raise urllib.error.URLError("it sends on to {:.100}".format(newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(source: str) -> bool:
    """Whether it is an address that `fetch` takes."""
    return re.match(r"https?://", source, re.IGNORECASE) is not None


def check_sha256(path: str, sha256: Optional[str]) -> str:
    """Compares a file with what its publisher says of it.

    Returns:
      Its SHA-256.

    Raises:
      UsageError: The file is missing, differs, or `sha256` is none.
    """
    _check_digits(sha256)
    try:
        found = sha256_file(path)
    except OSError as error:
        raise UsageError("Cannot read {} ({}).".format(path, error.strerror)) from error
    if sha256 and found != sha256.lower():
        raise UsageError(
            "{} has SHA-256 {}, not the {} of --sha256: it is another file or was damaged.".format(
                path, found, sha256.lower()
            )
        )
    return found


def fetch(url: str, path: str, sha256: Optional[str] = None, progress: bool = False) -> None:
    """Downloads a file.

    While it is incomplete it is called `path.part`; the next call with the same path and address
    continues it if the server still has the same version of it, and otherwise starts over.

    Args:
      url: Its http or https address.
      path: Where it goes.
      sha256: What it must have; a file that has not is removed.
      progress: Whether to show a bar.

    Raises:
      UsageError: It cannot be had, or is not the one of `sha256`.
    """
    _check_digits(sha256)
    try:
        _download(url, path, progress)
    except UsageError as error:
        raise without_lost_part(path, error, _MOST) from error
    os.replace(path + PART, path)
    forget(path)
    try:
        found = check_sha256(path, sha256)
    except UsageError as error:
        os.remove(path)
        raise UsageError(str(error).replace(path, url) + " The download was removed.") from error
    logging.info("Fetched %s, SHA-256 %s%s", url, found, "" if sha256 else " (not checked)")


def _download(url: str, path: str, progress: bool) -> None:
    part = received_part(url, path)
    with contextlib.closing(_open_rest(url, part)) as response:
        begun = part.size if part and response.getcode() == 206 else 0
        if part and not begun:
            logging.info("Starting over: the server cannot continue %s", url)
        length = response.headers.get("Content-Length")
        total = begun + int(length) if length and length.isdigit() else None
        _check_size(url, total)
        bar = tqdm(
            total=total,
            initial=begun,
            unit="B",
            unit_scale=True,
            desc=url.rsplit("/", 1)[-1],
            disable=not progress,
        )
        with open(path + PART, "ab" if begun else "wb") as handle, bar:
            if not begun:
                write_note(url, path, response)  # now that the file of another version is empty
            _receive(response, url, handle, total, bar)


def _receive(
    response: Response, url: str, handle: IO[bytes], total: Optional[int], bar: Any
) -> None:
    """Appends what comes to the part, no slower than the least rate and no more than the most."""
    minute, begun = time.monotonic(), handle.tell()
    while handle.tell() != total:
        piece = _read(response, url, handle.tell(), total)
        if not piece:
            break
        handle.write(piece)
        bar.update(len(piece))
        _check_size(url, handle.tell())
        passed = time.monotonic() - minute
        if passed >= _TIMEOUT:
            if handle.tell() - begun < _LEAST_RATE * passed:
                raise _cut_off(url, handle.tell(), total, "given up, slower than 1 kB a second,")
            minute, begun = time.monotonic(), handle.tell()
    if total is not None and handle.tell() != total:
        raise _cut_off(url, handle.tell(), total)


def _check_size(url: str, size: Optional[int]) -> None:
    if size is not None and size > _MOST:
        raise UsageError("{} has more than {:,} bytes: that is no ALBERT.".format(url, _MOST))


def _open_rest(url: str, part: Optional[Part]) -> Response:
    """Asks for what is missing of a file, or for the whole if that cannot be had."""
    if part is None:
        return _open(url, {})
    headers = {"Range": "bytes={}-".format(part.size), "If-Range": part.value}
    response = _open(url, headers)
    if response.getcode() == 200 or (response.getcode() == 206 and continues(response, part)):
        return response
    response.close()
    return _open(url, {})


def _open(url: str, headers: Dict[str, str]) -> Response:
    """Opens an address; an unsatisfiable range is an answer of status 416, not an error."""
    try:
        opener = urllib.request.build_opener(_WebOnly)
        return opener.open(urllib.request.Request(url, headers=headers), None, _TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers:
            return error
        hint = "Check the address." if error.code < 500 else "Try again later."
        raise UsageError(
            "{} was answered with HTTP {} ({}). {}".format(url, error.code, error.reason, hint)
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UsageError(
            "Cannot reach {} ({}). Check the address and the network, and run the same command "
            "again.".format(url, getattr(error, "reason", None) or repr(error))
        ) from error


def _read(response: Response, url: str, received: int, total: Optional[int]) -> bytes:
    try:
        return response.read1(_PIECE)  # what is there, so that the rate can be seen
    except (OSError, http.client.HTTPException) as error:
        raise _cut_off(url, received, total) from error


def _cut_off(url: str, received: int, total: Optional[int], how: str = "cut off") -> UsageError:
    return UsageError(
        "The transfer of {} was {} after {:,} of {} bytes. Run the same command again to "
        "continue.".format(url, how, received, "{:,}".format(total) if total else "unknown")
    )


def _check_digits(sha256: Optional[str]) -> None:
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(
            "--sha256 must be 64 hexadecimal digits. Received {}.".format(quoted(sha256))
        )
