"""Which files a source of text stands for; what is piped becomes one of them."""

import atexit
import contextlib
import os
import re
from typing import Any, Dict, List

from absl import logging

from albert.records.tfrecord import MANIFEST_SUFFIX
from albert.system.errors import UsageError
from albert.system.files.atomic import work_directory
from albert.system.files.names import expand_files
from albert.system.files.piped import STANDARD_INPUT, Copy, copied, is_pipe
from albert.system.files.side import read_json

REPORT_SUFFIX = ".report.txt"  # of what `clean` has written
# A saved dataset of Hugging Face is a folder with one of these, and tables.
_DATASET, _DATASETS = ("dataset_info.json", "state.json"), "dataset_dict.json"


_TABLE = re.compile(r"(?!cache-).*\.arrow$")

_copies: Dict[str, Copy] = {}
_folders = contextlib.ExitStack()
atexit.register(_folders.close)


def find(patterns: str, flag: str, beside: str) -> List[str]:
    """The files that a comma list of names, globs, folders, pipes and "-" stands for.

    What comes through a pipe can be read once, and a text is read more than once: it is copied into
    a file, which goes at the end of the process.

    Args:
      patterns: The list.
      flag: Where it comes from, for messages.
      beside: The folder in which a copy is made.

    Raises:
      UsageError: An item matches no file, nothing is piped in, or there is no room for it.
    """
    paths: List[str] = []
    for item in patterns.split(","):
        if is_pipe(item.strip()):
            paths.append(_copied(item.strip(), flag, beside))
        elif item.strip():
            paths.extend(expand_files(item, flag))
    # An empty list is told what it is.
    return _of_content(list(dict.fromkeys(paths)) or expand_files(patterns, flag))


def identity(path: str) -> List[Any]:
    """What tells a file from another one, or from what it was."""
    for name, copy in _copies.items():
        if copy.path == path:
            return [name, copy.size, copy.sha256]
    found = os.stat(path)
    return [path, found.st_size, found.st_mtime_ns]


def _copied(name: str, flag: str, beside: str) -> str:
    if name not in _copies:
        try:
            folder = _folders.enter_context(work_directory(beside or ".", ".piped"))
        except OSError as error:
            raise UsageError("Cannot write into {} ({}).".format(beside, error.strerror)) from error
        shown = "standard-input" if name == STANDARD_INPUT else "pipe-{}".format(len(_copies))
        _copies[name] = copied(name, flag, os.path.join(folder, shown))
    return _copies[name].path


def _of_content(paths: List[str]) -> List[str]:
    """Without what tells about other files: manifests and reports of ours, states of datasets."""
    ours = [path[: -len(MANIFEST_SUFFIX)] for path in paths if path.endswith(MANIFEST_SUFFIX)]
    beside = {name + suffix for name in ours for suffix in (MANIFEST_SUFFIX, REPORT_SUFFIX)}
    saved = _saved_datasets(paths)
    kept = []
    for path in paths:
        folder, name = os.path.split(path)
        in_dataset = folder in saved and path not in saved[folder]
        if name == _DATASETS:
            logging.info("%s is a dataset with splits; all of them are read", folder)
        if len(paths) == 1 or not (path in beside or name == _DATASETS or in_dataset):
            kept.append(path)
    return kept


def _saved_datasets(paths: List[str]) -> Dict[str, List[str]]:
    """Folders of saved datasets, and the tables of each."""
    found: Dict[str, List[str]] = {}
    for folder in {os.path.dirname(p) for p in paths if os.path.basename(p) in _DATASET}:
        there = [path for path in paths if os.path.dirname(path) == folder]
        tables = [path for path in there if _TABLE.match(os.path.basename(path))]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            named = read_json(os.path.join(folder, _DATASET[1]))["_data_files"]
            listed = [os.path.join(folder, entry["filename"]) for entry in named]
            tables = [path for path in tables if path in listed]
        if tables:
            found[folder] = tables
    return found
