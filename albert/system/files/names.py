"""Which files a name, a list, a glob or a number of shards stands for."""

import glob
import os
import re
from typing import Callable, List, Optional, Sequence, Set, Tuple, Union

from albert.system.errors import UsageError, check_utf8, quoted

Path = Union[str, "os.PathLike[str]"]
Files = Union[Path, Sequence[Path]]  # a path or glob, a comma list of them, or a list

WORK_SUFFIX = ".work"  # of the folder of an unfinished build


def file_state(path: str) -> Tuple[int, ...]:
    """Size, time and number of a file, which tell whether it was changed; () if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ino


def matching(pattern: str) -> List[str]:
    """Paths that a glob matches, sorted; the name of a file is that file, also with brackets."""
    return [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern, recursive=True))


def files_below(folder: str) -> List[str]:
    """All files in a folder and below, sorted; not the hidden ones, nor an unfinished build."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if not n.startswith(".") and not n.endswith(WORK_SUFFIX)]
        found += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def expand_files(
    patterns: str,
    flag: str,
    left_out: Tuple[str, ...] = (),
    once: bool = True,
    fits: Optional[Callable[[str], bool]] = None,
) -> List[str]:
    """The files that a comma list of names, globs and folders stands for, sorted within each.

    A folder stands for all files in it and below, but for hidden ones. A glob finds no folders.

    Args:
      patterns: The list.
      flag: Where it comes from, for messages.
      left_out: Endings of files that a glob or a folder leaves out; a name never does.
      once: Whether a file that is there already is left out.
      fits: Which files of a folder it stands for; all, if None.

    Raises:
      UsageError: An item matches no file, or there is none.
    """
    files: List[str] = []
    known: Set[str] = set()
    for pattern in (item.strip() for item in patterns.split(",")):
        if not pattern:
            continue
        if os.path.isdir(pattern):
            found = [path for path in files_below(pattern) if fits is None or fits(path)]
        else:
            found = [path for path in matching(pattern) if not os.path.isdir(path)]
        found = [path for path in found if path == pattern or not path.endswith(left_out)]
        if not found:
            raise _matches_nothing(pattern, flag)
        for path in found:
            check_utf8(path)
        files.extend(path for path in found if not once or path not in known)
        known.update(found)
    if not files:
        raise UsageError("--{} is empty; name at least one file.".format(flag))
    return files


def comma_list(files: Files, flag: str) -> str:
    """Files as the flags take them.

    Raises:
      UsageError: It is no path and no list of paths, or a path in the list holds a comma.
    """
    try:
        if isinstance(files, (str, os.PathLike)):
            return os.fspath(files)
        names = [os.fspath(name) for name in files]
        joined = ",".join(names)
    except TypeError as error:
        raise UsageError(
            "--{} must be a path, a glob, or a list of them. Received {}.".format(
                flag, quoted(files)
            )
        ) from error
    for name in names:
        if "," in name:
            raise UsageError(
                "--{}: a comma stands between names, so {} cannot be one. Rename the file.".format(
                    flag, quoted(name)
                )
            )
    return joined


def _matches_nothing(pattern: str, flag: str) -> UsageError:
    if os.path.isdir(pattern):
        return UsageError("--{}={} is a folder without such files.".format(flag, pattern))
    return UsageError(
        "--{}={} matches no file. Looked in {}. Check the path, and quote the pattern if it holds "
        "a *.".format(flag, pattern, os.path.abspath(os.path.dirname(pattern)))
    )


def shard_names(name: str, count: int) -> List[str]:
    """The names of the files that share what `name` stands for; one has the name itself.

    >>> shard_names("train.txt", 2)
    ['train.txt-00000-of-00002', 'train.txt-00001-of-00002']
    """
    if count == 1:
        return [name]
    return ["{}-{:05d}-of-{:05d}".format(name, shard, count) for shard in range(count)]


def unsharded(name: str) -> str:
    """What the shard of this name is one of; another name is its own."""
    return re.sub(r"-\d{5,}-of-\d{5,}$", "", name)
