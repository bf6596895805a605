"""A disk that fails at its n-th change, and what a power cut leaves of one.

Both stand between a folder and the file functions of Python. What TensorFlow writes by itself is
not failed, but a power cut takes it, too, until Python syncs it.
"""

import builtins
import contextlib
import errno
import os
from unittest import mock

_CHANGES = ("fsync", "replace", "rename", "mkdir", "truncate", "remove", "unlink", "rmdir")
_CLEANING = ("remove", "unlink", "rmdir")  # a full disk can do these
_OPEN = builtins.open  # as it is while the disk is watched


def _path(target, dir_fd=None):
    if isinstance(target, int):
        return os.readlink("/proc/self/fd/{}".format(target))
    return os.path.join(_path(dir_fd) if dir_fd is not None else os.getcwd(), os.fspath(target))


class _Writer:
    """An open file that asks before each write; half of the one that fails is written."""

    def __init__(self, handle, ask):
        self._handle, self._ask = handle, ask

    def write(self, data):
        try:
            self._ask("write")
        except OSError:
            self._handle.write(bytes(data)[: len(data) // 2] if _binary(data) else data[:1])
            raise
        return self._handle.write(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._handle.close()

    def __iter__(self):
        return iter(self._handle)

    def __getattr__(self, name):
        return getattr(self._handle, name)


def _binary(data):
    return not isinstance(data, str)


@contextlib.contextmanager
def watched(folder, before, after=lambda name, path: None):
    """Calls `before(name, path)` ahead of each change below a folder, `after` behind it."""
    root = os.path.join(os.path.realpath(str(folder)), "")

    def watch(name, function):
        def call(target, *rest, **named):
            path = _path(target, named.get("dir_fd"))
            if not os.path.join(path, "").startswith(root):
                return function(target, *rest, **named)
            before(name, path)
            result = function(target, *rest, **named)
            after(name, path)
            return result

        return call

    def opened(file, mode="r", *rest, **named):
        ours = isinstance(file, (str, os.PathLike)) and set(mode) & set("wxa+")
        if not ours or not os.path.abspath(os.fspath(file)).startswith(root):
            return _OPEN(file, mode, *rest, **named)
        path = os.path.abspath(os.fspath(file))
        before("open", path)
        handle = _OPEN(file, mode, *rest, **named)
        return _Writer(handle, lambda name: before(name, path))

    with contextlib.ExitStack() as stack:
        for name in _CHANGES:
            stack.enter_context(mock.patch.object(os, name, watch(name, getattr(os, name))))
        stack.enter_context(mock.patch.object(builtins, "open", opened))
        yield


class Failing:
    """Fails the n-th open, write, sync or rename: once (EIO), or from then on (ENOSPC).

    Attributes:
      count: How many there were.
    """

    def __init__(self, number, error):
        self.count, self._number, self._error = 0, number, error

    def before(self, name, path):
        if name in _CLEANING:
            return
        self.count += 1
        if self.count == self._number or self.count > self._number and self._error == errno.ENOSPC:
            raise OSError(self._error, os.strerror(self._error), path)


class PowerCuts:
    """What is on the disk if the power goes at each change.

    A file is what it was when it was last synced, and may have a part of what was written since;
    names are those that their folder had when it was last synced, or as they are.
    """

    def __init__(self, folder):
        self._folder = os.path.realpath(str(folder))
        self._data = {}  # by inode, as last synced
        self._names = {}  # of folders, {name: inode}, as last synced
        self._open = {}  # descriptors by inode, which nobody else gets meanwhile
        self._states = {}
        for folder, _, files in os.walk(self._folder):
            self.after("fsync", folder)
            for name in files:
                self.after("fsync", os.path.join(folder, name))

    @property
    def states(self):
        """Different ones: path below the folder to bytes, None for a folder."""
        return list(self._states.values())

    def before(self, name, path):
        if name not in ("open", "write"):
            self.note()

    def after(self, name, path):
        if name != "fsync":
            return
        number = self._hold(path)
        if not os.path.isdir(path):
            self._data[number] = self._content(number)
            return
        now = {entry.name: self._hold(entry.path) for entry in os.scandir(path)}
        for names in self._names.values():  # a rename is seen at one place
            for name in [name for name in names if names[name] in now.values()]:
                del names[name]
        self._names[number] = now

    def note(self):
        """Adds what may be left now; returns it."""
        whole, root = (self._nothing, self._half, self._all), os.stat(self._folder).st_ino
        now = [self._as_it_is(self._folder, dropped) for dropped in whole]
        now += [self._as_synced(root, "", dropped) for dropped in whole[:2]]
        for state in now:
            self._states.setdefault(tuple(sorted(state.items())), state)
        return now

    def close(self):
        for descriptor in self._open.values():
            os.close(descriptor)

    def _hold(self, path):
        number = os.stat(path).st_ino
        if number not in self._open:
            self._open[number] = os.open(path, os.O_RDONLY)
        return number

    def _content(self, number):
        size = os.fstat(self._open[number]).st_size
        return os.pread(self._open[number], size, 0)

    def _nothing(self, number):
        return self._data.get(number, b"")

    def _half(self, number):
        synced, now = self._nothing(number), self._content(number)
        same = len(synced) if now.startswith(synced) else 0
        return now[: same + (len(now) - same) // 2]

    def _all(self, number):
        return self._content(number)

    def _as_it_is(self, folder, content):
        found = {}
        for place, folders, files in os.walk(folder):
            below = os.path.relpath(place, folder)
            for name in folders:
                self._hold(os.path.join(place, name))
                found[os.path.normpath(os.path.join(below, name))] = None
            for name in files:
                number = self._hold(os.path.join(place, name))
                found[os.path.normpath(os.path.join(below, name))] = content(number)
        return found

    def _as_synced(self, folder, below, content):
        found = {}
        for name, number in self._names.get(folder, {}).items():
            path = os.path.join(below, name)
            if os.path.isdir("/proc/self/fd/{}".format(self._open[number])):
                found[path] = None
                found.update(self._as_synced(number, path, content))
            else:
                found[path] = content(number)
        return found


def restore(state, folder):
    """Makes a folder what a state says."""
    os.makedirs(str(folder))
    for path in sorted(state):
        place = os.path.join(str(folder), path)
        if state[path] is None:
            os.makedirs(place, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with _OPEN(place, "wb") as handle:
                handle.write(state[path])


def contents(folder):
    """All that is in a folder, by path; None for folders."""
    found = {}
    for place, folders, files in os.walk(str(folder)):
        for name in folders + files:
            path = os.path.join(place, name)
            content = None
            if name in files:
                with _OPEN(path, "rb") as handle:
                    content = handle.read()
            found[os.path.relpath(path, str(folder))] = content
    return found
