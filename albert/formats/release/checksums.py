"""`SHA256SUMS`: what every file of a release must be, as `sha256sum -c` reads it."""

import os
from typing import List, Optional

from albert.system.errors import UsageError, quoted
from albert.system.files.sums import read_sha256_sums, sha256_file, write_sha256_sums

SUMS_FILE = "SHA256SUMS"


def write_sums(directory: str) -> None:
    """Writes the sums of all files of a folder into it."""
    write_sha256_sums(os.path.join(directory, SUMS_FILE), directory, _files(directory))


def check_sums(directory: str) -> Optional[int]:
    """Checks every file of a folder.

    Returns:
      How many there are; None if the folder has no `SHA256SUMS`.

    Raises:
      UsageError: A file differs, is missing, or is not listed.
    """
    path = os.path.join(directory, SUMS_FILE)
    if not os.path.isfile(path):
        return None
    try:
        listed = read_sha256_sums(path)
    except ValueError as error:
        raise UsageError("{} {}.".format(path, error)) from error
    found = _files(directory)
    problems = ["{} is missing".format(quoted(name)) for name in sorted(set(listed) - set(found))]
    problems += ["{} is not listed".format(quoted(name)) for name in found if name not in listed]
    for name in [] if problems else found:
        if sha256_file(os.path.join(directory, name)) != listed[name]:
            problems.append("{} has another checksum".format(quoted(name)))
    if problems:
        raise UsageError(
            "{} does not match the files: {}{}. Get the archive again from where it was "
            "published.".format(path, problems[0], _more(len(problems) - 1))
        )
    return len(found)


def _more(count: int) -> str:
    return ", and {} more".format(count) if count else ""


def _files(directory: str) -> List[str]:
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            relative = os.path.relpath(os.path.join(folder, name), directory)
            found.append(relative.replace(os.sep, "/"))
    return sorted(name for name in found if name != SUMS_FILE)
