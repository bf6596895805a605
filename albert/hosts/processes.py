"""Hosts that are processes of this machine."""

import contextlib
import ctypes
import functools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from absl import logging

from albert.system.errors import TRY_AGAIN_EXIT_CODE, UsageError
from albert.system.machine import visible_gpus

_TURN = 0.2  # seconds between two looks at the processes
_PATIENCE = 10.0  # seconds that the others have to end by themselves when one has failed
_READING = 5.0  # seconds for the last lines of a process that has ended
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class _Ended(NamedTuple):
    """How a group of hosts ended.

    Attributes:
      host: The one whose end explains the others', or 0.
      code: Of it, negative where a signal killed it.
    """

    host: int
    code: int


def run_here(command: Sequence[str], count: int, max_restarts: int) -> int:
    """Runs a command as several processes with a share of the GPUs, or of the cores, each.

    The screen is the first one's; what the others say follows their number. A signal goes to all
    of them.

    Args:
      command: The program and its arguments.
      count: Processes.
      max_restarts: How often all are started again after a failure.

    Returns:
      The exit code.

    Raises:
      UsageError: There are fewer GPUs than processes.
    """
    shares = _shares(count)
    processes: List[subprocess.Popen] = []
    with _signals_sent_to(processes) as sent:
        for left in range(max_restarts, -1, -1):
            processes[:] = _started(command, shares)
            ended = _wait(processes)
            if not left or sent or not is_worth_a_restart(ended.code):
                break
            logging.warning(
                "Host %d %s; all start again from the last checkpoint, restarts left: %d",
                ended.host,
                told(ended.code),
                left - 1,
            )
    return shell_code(ended.code)


def is_worth_a_restart(code: int) -> bool:
    """Whether a program was killed, crashed, or lost another host.

    The end, a signal it obeyed, and what a user can correct are final.
    """
    return code < 0 or code in (1, TRY_AGAIN_EXIT_CODE)


def shell_code(code: int) -> int:
    """The exit code a shell has for a program that ended with `code`, or by signal `-code`."""
    return 128 - code if code < 0 else code


def told(code: int) -> str:
    """What happened to a program, for a person."""
    return "was killed by signal {}".format(-code) if code < 0 else "ended with {}".format(code)


def tied_to_parent(cores: Optional[Sequence[int]] = None) -> None:
    """Makes a process that was just forked end when its parent does, and keep to some cores."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if cores:
        os.sched_setaffinity(0, cores)


class _Share(NamedTuple):
    gpus: Optional[str]  # for CUDA_VISIBLE_DEVICES; None where there are none
    cores: Optional[Sequence[int]]


def _shares(count: int) -> List[_Share]:
    gpus = visible_gpus()
    if 0 < len(gpus) < count:
        raise UsageError(
            "--hosts={} would leave some without a GPU: there are {}. Start fewer, or on the CPU: "
            "CUDA_VISIBLE_DEVICES= python -m albert launch ...".format(count, len(gpus))
        )
    cores: List[int] = []
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    return [
        _Share(",".join(_cut(gpus, place, count)) or None, _cut(cores, place, count))
        for place in range(count)
    ]


def _cut(things: Sequence[Any], place: int, count: int) -> Sequence[Any]:
    """The part of one of `count`; one thing of several owners where there are not enough."""
    begin, end = place * len(things) // count, (place + 1) * len(things) // count
    return things[begin : max(end, begin + 1)]


def _started(command: Sequence[str], shares: Sequence[_Share]) -> List[subprocess.Popen]:
    addresses = ["127.0.0.1:{}".format(port) for port in free_ports(len(shares))]
    processes = []
    for place, share in enumerate(shares):
        task = {"type": "worker", "index": place}
        environment: Dict[str, str] = dict(os.environ)
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        if share.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = share.gpus
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE if place else None,
                stderr=subprocess.STDOUT if place else None,
                # The terminal's Ctrl-C comes here alone and is passed on once.
                start_new_session=True,
                preexec_fn=functools.partial(tied_to_parent, share.cores),
            )
        )
    return processes


def free_ports(count: int) -> List[int]:
    """Ports of this machine that nobody uses now."""
    with contextlib.ExitStack() as open_:
        sockets = [open_.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


def repeat(place: int, line: bytes) -> None:
    """Shows a line that a host has said, with its number but for the first one's."""
    text = line.decode("utf-8", "replace").rstrip("\n")
    prefix = "host {}: ".format(place) if place else ""
    print(prefix + text, file=sys.stderr, flush=True)


def _repeat_all(output: IO[bytes], place: int) -> None:
    with output:
        for line in output:
            repeat(place, line)


@contextlib.contextmanager
def _signals_sent_to(processes: Sequence[subprocess.Popen]) -> Iterator[List[int]]:
    """Passes signals on, and tells which have come."""
    sent: List[int] = []

    def send(number: int, frame: Any) -> None:
        sent.append(number)
        for process in processes:
            process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)

    before = {number: signal.signal(number, send) for number in _SIGNALS}
    try:
        yield sent
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen]) -> _Ended:
    readers = [
        threading.Thread(target=_repeat_all, args=(process.stdout, place), daemon=True)
        for place, process in enumerate(processes)
        if process.stdout
    ]
    for reader in readers:
        reader.start()
    ended = _how_all_ended(processes)
    for reader in readers:
        reader.join(_READING)
    return ended


def _how_all_ended(processes: Sequence[subprocess.Popen]) -> _Ended:
    """Waits for all; when one is lost, the others have a while to say so and end."""
    failed: List[_Ended] = []
    deadline = math.inf
    while True:
        codes = [process.poll() for process in processes]
        if time.monotonic() < deadline:  # later ones end because they are killed here
            failed = [_Ended(host, code) for host, code in enumerate(codes) if code]
            failed.sort(key=_explains_little)
        if None not in codes:
            return failed[0] if failed else _Ended(0, 0)
        # One that has obeyed a signal or met its end leaves the first to write what there is.
        if failed and is_worth_a_restart(failed[0].code):
            deadline = min(deadline, time.monotonic() + _PATIENCE)
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(_TURN)


def _explains_little(ended: _Ended) -> Tuple[bool, bool]:
    """Orders what ended the hosts: that another one is gone says least."""
    return is_worth_a_restart(ended.code), ended.code == TRY_AGAIN_EXIT_CODE
