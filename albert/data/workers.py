"""Processes that make batches, for trainings that are faster than one thread can feed.

They share nothing but the numbers of batches: of n processes, process i makes every n-th batch from
number i on, and waits with it until it is taken.
"""

import os
import pickle
import signal
import struct
import subprocess
import sys
from typing import IO, Any, Callable, Generator, List

from albert.data.dataset import Batch
from albert.hosts.processes import told
from albert.system.errors import TryAgain

_HEAD = struct.Struct("<Q")  # bytes of the pickle that follows


def from_workers(
    make: Callable[..., Generator[Batch, None, None]], count: int, first: int
) -> Generator[Batch, None, None]:
    """Yields the batches of a run as processes make them; closing it ends them.

    Args:
      make: (first, stride=n) -> batches `first`, `first + n`, ...; can be pickled.
      count: Processes.
      first: Number of the first batch.

    Raises:
      UsageError: What `make` raises, at the batch it stands for.
      TryAgain: A process is gone.
    """
    workers: List[subprocess.Popen] = []
    try:
        for place in range(count):
            workers.append(_start())
            _put(workers[place].stdin, (make, first + place, count))
        while True:
            for worker in workers:
                yield _taken(worker)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start() -> subprocess.Popen:
    # Found as this process has found it; signals of the terminal are for the training alone.
    path = os.pathsep.join([name for name in sys.path if name])
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=path),
        start_new_session=True,
    )


def _put(pipe: Any, value: Any) -> None:
    data = pickle.dumps(value, protocol=4)
    pipe.write(_HEAD.pack(len(data)) + data)
    pipe.flush()


def _get(pipe: Any) -> Any:
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    return pickle.loads(pipe.read(_HEAD.unpack(head)[0]))


def _taken(worker: subprocess.Popen) -> Batch:
    try:
        found = _get(worker.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        raise TryAgain(
            "A process that makes batches {}. The same command goes on from the last checkpoint; "
            "if memory has run out, pass fewer --input_workers.".format(told(worker.wait()))
        ) from error
    if isinstance(found, Exception):
        raise found
    return found


def _work(source: IO[bytes], sink: IO[bytes]) -> None:
    # The training decides when this ends: it closes the pipe, or is gone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    make, first, stride = _get(source)
    try:
        try:
            for batch in make(first, stride=stride):
                _put(sink, batch)
        except BrokenPipeError:
            raise
        except Exception as error:
            _put(sink, error)
    except BrokenPipeError:
        os._exit(0)  # without flushing into the closed pipe


if __name__ == "__main__":
    _work(sys.stdin.buffer, sys.stdout.buffer)
