"""Batches made by processes are those of the training's own thread; none is left behind."""

import contextlib
import functools
import glob
import itertools
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import PREDICTIONS, ROOT, SEQUENCE, SIZES, order_of, write_record_file

from albert.data.batches import Share, in_turn, prefetch, training_batches
from albert.data.dataset import RecordDataset, Shapes
from albert.data.packing import row_layout
from albert.data.source import DataOptions
from albert.data.workers import from_workers
from albert.records.index import load_index
from albert.records.tfrecord import RecordError
from albert.system.errors import TryAgain, UsageError

SHAPES = Shapes(SEQUENCE, PREDICTIONS, SIZES["vocab_size"], 2)

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self"), reason="only Linux has /proc")


@pytest.fixture
def make(tmp_path):
    """From the number of the first batch to all that follow: packed halves of batches of 6."""
    dataset = RecordDataset([write_record_file(tmp_path / "a.tfrecord", 31)])
    order = order_of(dataset.size, 6, seed=3, fraction=0.9)
    layout = row_layout("pack", 3, 1, dataset.read(range(dataset.size), SHAPES))
    share = Share(1, 2)
    return functools.partial(training_batches, dataset, order, SHAPES, layout, share=share)


def workers_of(parent):
    """The numbers of the processes that make batches for another one, as Linux lists them."""
    found = set()
    for status in glob.glob("/proc/[0-9]*/status"):
        with contextlib.suppress(OSError), open(status) as handle:
            lines = dict(line.split(":\t", 1) for line in handle if ":\t" in line)
            with open(os.path.join(os.path.dirname(status), "cmdline")) as command:
                if int(lines["PPid"]) == parent and "albert.data.workers" in command.read():
                    found.add(int(lines["Pid"]))
    return found


def wait_until_gone(numbers):
    def left():  # what has ended and nobody has asked for has no command any more
        return [n for n in numbers if command_of(n)]

    deadline = time.monotonic() + 20
    while left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left()


def command_of(number):
    try:
        with open("/proc/{}/cmdline".format(number)) as handle:
            return handle.read()
    except OSError:
        return ""


@pytest.fixture(params=["one kind", "two kinds"])
def batches(request, make, tmp_path):
    """Batches of `make`, or those of other records and of another size before number 7."""
    if request.param == "one kind":
        return make
    dataset = RecordDataset([write_record_file(tmp_path / "b.tfrecord", 15, seed=2)])
    layout = row_layout("none", 2, 1, dataset.read([0], SHAPES))
    earlier = functools.partial(
        training_batches, dataset, order_of(15, 4, seed=3), SHAPES, layout, share=Share(1, 2)
    )
    return functools.partial(in_turn, earlier, make, 7)


def test_the_later_kind_goes_on_with_the_numbers_of_the_earlier():
    kinds = [
        lambda number, stride=1, kind=kind: ((kind, k) for k in itertools.count(number, stride))
        for kind in ("earlier", "later")
    ]
    expected = [("earlier", k) for k in range(5)] + [("later", k) for k in range(5, 20)]
    for stride in (1, 2, 3):
        for begin in range(8):
            found = itertools.islice(in_turn(*kinds, 5, begin, stride=stride), 4)
            assert list(found) == expected[begin::stride][:4]


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_workers_makes_the_same_batches(batches, count):
    own, theirs = batches(4), from_workers(batches, count, 4)
    for _ in range(8):
        wanted, found = next(own), next(theirs)
        assert sorted(wanted) == sorted(found)
        for name, value in wanted.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)
    theirs.close()


@needs_proc
def test_closing_ends_the_workers(make):
    batches = prefetch(from_workers(make, 2, 0))
    next(batches)
    started = workers_of(os.getpid())
    assert len(started) == 2
    batches.close()
    wait_until_gone(started)


@needs_proc
def test_a_worker_that_is_killed_is_told(make):
    batches = from_workers(make, 1, 0)
    next(batches)
    for number in workers_of(os.getpid()):
        os.kill(number, signal.SIGKILL)
    with pytest.raises(TryAgain, match="was killed by signal 9. The same command .*--input_work"):
        for _ in range(100):  # what it has sent before is still read
            next(batches)


def test_what_a_worker_cannot_read_is_told_when_its_turn_comes(make, tmp_path):
    path = str(tmp_path / "a.tfrecord")
    index = load_index(path)
    status = os.stat(path)
    with open(path, "r+b") as handle:
        handle.seek(int(index.bounds[11]) + 20)
        handle.write(b"\x00\x01\x02\x03")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    order = order_of(31, 6, seed=3, fraction=0.9)
    good = next(k for k in range(9) if 11 in order.numbers([k])[0][3:])
    batches = from_workers(make, 2, 0)
    for _ in range(good):
        next(batches)
    with pytest.raises(RecordError, match="a.tfrecord is damaged at byte offset"):
        next(batches)


TRAINING = """
import pickle, sys
from albert.data.workers import from_workers
batches = from_workers(pickle.load(open(sys.argv[1], "rb")), 2, 0)
next(batches)
print("begun", flush=True)
while True:
    next(batches)
"""


@needs_proc
def test_a_training_that_is_killed_leaves_no_workers(make, tmp_path):
    (tmp_path / "make").write_bytes(pickle.dumps(make))
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(tmp_path / "make")], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert training.stdout.readline() == b"begun\n"
    started = workers_of(training.pid)
    assert len(started) == 2
    training.kill()
    training.communicate()
    wait_until_gone(started)


def test_each_gpu_has_a_worker_and_a_cpu_none(monkeypatch):
    monkeypatch.setattr("albert.data.source.usable_cores", lambda: 6)
    gpus = ["/device:GPU:{}".format(n) for n in range(8)]
    assert DataOptions().workers(gpus[:2]) == 2 and DataOptions().workers(gpus) == 5
    assert DataOptions().workers(["/device:CPU:0"]) == 0
    assert DataOptions(input_workers=3).workers(["/device:CPU:0"]) == 3
    with pytest.raises(UsageError, match="--input_workers must not be negative. Received -1"):
        DataOptions(input_workers=-1)
