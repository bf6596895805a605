"""What hosts add up with one another: TensorFlow's collectives, and nothing else between sockets.

Sums of the same shapes in the same order on every host. A ring or NCCL gives every host the same
bits, so weights that were equal stay equal.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import sys
import traceback
import zlib
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple, Type

import numpy as np
from absl import logging

from albert.compat import compiled, join_hosts, tf
from albert.hosts.buffer import joined, parted
from albert.hosts.cluster import Cluster
from albert.hosts.meeting import NotAllCame, meet
from albert.system.errors import TryAgain, UsageError
from albert.system.screen import console

_START = 60.0  # seconds that a host has at least to come: a busy machine loads TensorFlow in 30
_GROUPS = {"CPU": 1, "GPU": 2}  # keys of the groups of devices that add up
_CPU = "/device:CPU:0"
# What a collective raises on the others when one is lost, of `tf.errors`.
_LOST = (
    "UnavailableError",
    "DeadlineExceededError",
    "AbortedError",
    "CancelledError",
    "InternalError",
    "FailedPreconditionError",
)
_TASK = re.compile(r"/job:worker/replica:0/task:(\d+)")
_WATCH = "CoordinationService"  # on the first host; the others tell it that they are there

_JOINED: List[Hosts] = []  # TensorFlow joins a process once


def _lost() -> Tuple[Type[Exception], ...]:
    return tuple(getattr(tf.errors, name) for name in _LOST)


class HostLost(TryAgain):
    """A host is not there any more."""


class Summed(NamedTuple):
    """Tensors added up over all hosts.

    Attributes:
      values: In the order they were given.
      seconds: Spent on it, waiting for the slowest host included, [].
    """

    values: List[tf.Tensor]
    seconds: tf.Tensor


class Hosts:
    """The hosts of a run as this one sees them.

    Attributes:
      addresses: Of each host.
      index: Of this one.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Takes who they are; `join` comes before the first sum."""
        self.addresses, self.index = list(cluster.addresses), cluster.index
        self._device = _CPU

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.addresses)

    @property
    def first(self) -> bool:
        """Whether this host keeps the folder of the run."""
        return self.index == 0

    def join(self, timeout: float) -> None:
        """Waits for the other hosts, saying which are missing.

        Args:
          timeout: Seconds after which a host that is not heard of counts as lost; one that has not
            come yet has a minute at least.

        Raises:
          UsageError: A name is unknown, the port is in use, or this TensorFlow stays on one host.
          HostLost: Somebody has not come.
        """
        self._check_names()
        try:
            meet(Cluster(self.addresses, self.index), timeout, max(timeout, _START))
            join_hosts(self.addresses, self.index, timeout)
        except NotAllCame as error:
            raise HostLost(str(error)) from error
        except (NotImplementedError, OSError, tf.errors.OpError) as error:
            self._explain(error)
        _JOINED.append(self)

    def _check_names(self) -> None:
        for address in self.addresses:
            name, _, port = address.rpartition(":")
            try:
                socket.getaddrinfo(name, port)
            except OSError as error:
                raise UsageError(
                    "No host is known by the name {}: {}. Correct it in the list of hosts.".format(
                        name, error.strerror
                    )
                ) from error

    def _missing(self) -> List[str]:
        missing = []
        for address in self.addresses:
            name, _, port = address.rpartition(":")
            try:
                socket.create_connection((name, int(port)), timeout=1.0).close()
            except OSError:
                missing.append(address)
        return missing

    def _explain(self, error: BaseException) -> None:
        own = self.addresses[self.index]
        if isinstance(error, NotImplementedError):
            raise UsageError(
                "TensorFlow 1.15 trains on one host. Use the current TensorFlow, or start the "
                "command without the other hosts."
            )
        if isinstance(error, (OSError, tf.errors.UnknownError)):
            raise UsageError(
                "Cannot listen at {}: its port is in use on this host, or the name is another "
                "host's. Choose another port, or check --host_index.".format(own)
            )
        raise HostLost("{} cannot reach the others: {}".format(own, _first_line(error))) from error

    def use(self, device: str) -> None:
        """Lets sums of a step run where the first tower is: over NCCL on GPUs, else a ring."""
        self._device = device
        if self.count > 1:
            logging.info(
                "%s: this is number %d, %s; gradients are added up by %s",
                console.plural(self.count, "host"),
                self.index,
                self.addresses[self.index],
                "NCCL" if _kind(device) == "GPU" else "a ring",
            )

    def sum(self, tensors: Sequence[tf.Tensor], purpose: str) -> Summed:
        """Adds up tensors of one type over all hosts, in one buffer, within the graph of a step.

        Args:
          tensors: The same shapes on every host.
          purpose: Keeps the sums of a step apart.
        """
        if self.count == 1:
            return Summed(list(tensors), tf.zeros([], tf.float64))
        with tf.device(self._device):
            buffer = joined(tensors)
        with tf.device(_CPU), tf.control_dependencies([buffer]):
            begun = tf.timestamp()
        with tf.device(self._device), tf.control_dependencies([begun]):
            total = self._reduce(buffer, purpose, self._device)
        with tf.device(_CPU), tf.control_dependencies([total]):
            seconds = tf.timestamp() - begun
        # What follows waits for the clock to be read, or a busy thread would read it late.
        with tf.device(self._device), tf.control_dependencies([seconds]):
            return Summed(parted(total, tensors), seconds)

    def _reduce(self, buffer: tf.Tensor, purpose: str, device: str) -> tf.Tensor:
        # A number of its own for each kind of sum, the same on every host and in every trace.
        key = "{} {} {}".format(purpose, buffer.dtype.name, buffer.shape.as_list())
        return tf.raw_ops.CollectiveReduceV2(
            input=buffer,
            group_size=self.count,
            group_key=_GROUPS[_kind(device)],
            instance_key=zlib.crc32(key.encode()) & 0x7FFFFFFF,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint="nccl" if _kind(device) == "GPU" else "ring",
        )

    def total(self, values: Sequence[float], purpose: str) -> List[float]:
        """Adds up numbers in double precision."""
        if self.count == 1:
            return list(values)
        summed = self._sum_now(np.asarray(values, np.float64), purpose)
        return [float(value) for value in summed]

    def from_first(self, values: Sequence[Any], purpose: str) -> List[Any]:
        """The arrays of the first host, bit for bit; of the others only shapes and types count."""
        if self.count == 1:
            return list(values)
        found = []
        for number, value in enumerate(values):
            value = np.asarray(value)
            # As whole numbers: a sum with zeros keeps every bit of them.
            bits = np.frombuffer(value.tobytes(), np.uint8)
            padded = np.zeros(-(-len(bits) // 4) * 4, np.uint8)
            if self.first:
                padded[: len(bits)] = bits
            summed = self._sum_now(padded.view(np.int32), "{} {}".format(purpose, number))
            data = summed.tobytes()[: len(bits)]
            found.append(np.frombuffer(data, value.dtype).reshape(value.shape))
        return found

    def texts(self, text: str, purpose: str) -> List[str]:
        """What every host says, in their order."""
        if self.count == 1:
            return [text]
        data = text.encode("utf-8")
        sizes = np.zeros(self.count, np.int32)
        sizes[self.index] = len(data)
        sizes = self._sum_now(sizes, purpose + " sizes")
        table = np.zeros([self.count, max(1, int(sizes.max()))], np.int32)
        table[self.index, : len(data)] = np.frombuffer(data, np.uint8)
        table = self._sum_now(table, purpose)
        return [bytes(row[:n].astype(np.uint8)).decode() for row, n in zip(table, sizes)]

    def _sum_now(self, value: np.ndarray, purpose: str) -> np.ndarray:
        with tf.device(_CPU):
            run = compiled(functools.partial(self._reduce, purpose=purpose, device=_CPU))
            return run(tf.constant(value)).numpy()

    def part(self) -> None:
        """Comes before an end that all have agreed on.

        A host whose part of a sum is done may be gone before the others have theirs; here they
        have: what is lost of this sum matters to nobody.
        """
        if self.count > 1:
            with contextlib.suppress(*_lost()):
                self.total([0.0], "parting")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Says in one sentence who is lost, where a sum fails for want of a host; ends with `part`.

        Raises:
          HostLost: A host has ended, hangs or cannot be reached.
        """
        try:
            yield
        except _lost() as error:
            if self.count == 1:
                raise
            raise self._lost(error) from error
        self.part()

    def _lost(self, error: BaseException) -> HostLost:
        # A list of those that fell silent, then whoever was spoken to.
        silent, _, rest = str(error).partition("The tasks have crashed")
        found = _TASK.findall(silent.rpartition("unhealthy")[2] if rest else silent)
        gone = [int(n) for n in found if int(n) < self.count and int(n) != self.index]
        if not gone and _WATCH in silent and not self.first:
            gone = [0]
        if not gone:
            missing = [name for name in self._missing() if name != self.addresses[self.index]]
            gone = [self.addresses.index(name) for name in missing]
        names = sorted({self.addresses[n] for n in gone}) or ["Another host"]
        return HostLost(
            "{} {} not heard of any more. The same commands go on from the last checkpoint.".format(
                ", ".join(names), "is" if len(names) == 1 else "are"
            )
        )


ALONE = Hosts(Cluster([""], 0))


@contextlib.contextmanager
def left_at_once() -> Iterator[None]:
    """Ends a process that has joined others at once where it fails, for they would wait for it."""
    try:
        yield
    except BaseException as error:
        if not _JOINED:
            raise
        code = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _kind(device: str) -> str:
    return "GPU" if "GPU" in device else "CPU"


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]
