"""Files and folders are whole or absent, whatever happens while they are written."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import ROOT

from albert.system.errors import UsageError
from albert.system.files.atomic import (
    atomic_directory,
    atomic_write,
    ensure_writable_file,
    held,
    work_directory,
)
from albert.system.files.names import expand_files

# A process that is killed while it writes what its argument says.
KILLED = """
import os, signal, sys
from albert.system.files.atomic import atomic_directory, atomic_write
kind, path = sys.argv[1:]
if kind == "file":
    with atomic_write(path) as handle:
        handle.write("half")
        handle.flush()
        os.kill(os.getpid(), signal.SIGKILL)
with atomic_directory(path, "--export_dir") as folder:
    open(os.path.join(folder, "half"), "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_process_leaves_nothing_that_lasts(tmp_path, kind):
    path = str(tmp_path / "made")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, kind, path], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL
        assert not os.path.exists(path)
        assert len(os.listdir(str(tmp_path))) == 1  # what the last one left, not the one before
    living = work_directory(str(tmp_path), "made.of-another")
    beside = "{}.{}-{}.tmp".format(path, socket.gethostname(), os.getppid())
    os.mkdir(beside)  # of a process that lives
    with living:
        if kind == "file":
            with atomic_write(path) as handle:
                handle.write("whole")
        else:
            with atomic_directory(path, "--export_dir") as folder:
                open(os.path.join(folder, "whole"), "w").close()
        assert len(os.listdir(str(tmp_path))) == 3
    assert sorted(os.listdir(str(tmp_path))) == sorted(["made", os.path.basename(beside)])


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyError):
        with atomic_write(str(path)) as handle:
            handle.write("new")
            raise KeyError
    with pytest.raises(KeyError):
        with atomic_directory(str(tmp_path / "b"), "--export_dir"):
            raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["a"]


def test_what_is_no_file_is_never_replaced(tmp_path):
    """As /dev/null would be, by whoever may."""
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(UsageError, match="--archive=.*pipe is a device or a pipe; name a file"):
        ensure_writable_file(str(tmp_path / "pipe"), "--archive")


def test_names_that_no_manifest_could_hold_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with open(os.path.join(os.fsencode(str(tmp_path)), b"\xff.txt"), "wb"):
        pass
    with pytest.raises(UsageError, match="udcff.txt' is not UTF-8. Rename"):
        expand_files(str(tmp_path / "*.txt"), "input_file")


def test_no_link_is_followed(tmp_path):
    """A stranger's folder may hold links to files of ours."""
    ours = tmp_path / "ours"
    ours.write_text("precious")
    for name in (".lock", "x.{}-{}.tmp".format(socket.gethostname(), os.getpid())):
        os.symlink(str(ours), str(tmp_path / name))
    with pytest.raises(UsageError, match="Cannot write to --output_dir"):
        with held(str(tmp_path), "--output_dir"):
            pass
    with atomic_write(str(tmp_path / "x")) as handle:
        handle.write("new")
    assert ours.read_text() == "precious"
    assert (tmp_path / "x").read_text() == "new" and not os.path.islink(str(tmp_path / "x"))


def test_a_folder_that_holds_something_is_kept(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="Choose a new folder"):
            with atomic_directory(str(path), "--export_dir"):
                pass
    (tmp_path / "empty").mkdir()
    with atomic_directory(str(tmp_path / "empty"), "--export_dir") as folder:
        open(os.path.join(folder, "a"), "w").close()
    assert os.listdir(str(tmp_path / "empty")) == ["a"]
