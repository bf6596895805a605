"""Waiting until all hosts of a run have come.

TensorFlow waits, too, but in silence and deaf to signals; it is called when everybody is there.
"""

import contextlib
import socket
import time
from typing import Dict, Iterable, Optional, Sequence, Set

from absl import logging

from albert.hosts.cluster import Cluster

_SAYING = 5.0  # seconds between two lines about who is missing
_TURN = 0.5  # seconds of one look
_ALL_HERE = "*"


class NotAllCame(Exception):
    """Somebody has not come, or has come and is silent; the message names them."""


def meet(cluster: Cluster, timeout: float, patience: float) -> None:
    """Returns on all hosts when all are there, saying meanwhile which are missing.

    The others tell the first host their number, hear from it who is missing, and answer.

    Args:
      cluster: Who they are.
      timeout: Seconds after which a host that has come and is silent counts as lost.
      patience: Seconds to wait for those that have not come.

    Raises:
      NotAllCame: One of these times is over.
      OSError: The first host cannot listen at its port.
    """
    wait = _Wait(cluster.addresses, timeout, patience)
    (_gather if cluster.index == 0 else _report)(cluster, wait)


class _Wait:
    """When was heard of whom."""

    def __init__(self, addresses: Sequence[str], timeout: float, patience: float) -> None:
        self._addresses, self._timeout, self._patience = addresses, timeout, patience
        self._start = self._said = time.monotonic()
        self._heard: Dict[int, float] = {}

    def heard(self, places: Iterable[int]) -> None:
        self._heard.update(dict.fromkeys(places, time.monotonic()))

    def go_on(self, missing: str) -> None:
        """Says who is missing, now and then, or ends the wait."""
        now = time.monotonic()
        # A turn takes up to two looks, and a process a moment to end.
        silent = [n for n, last in self._heard.items() if now - last > self._timeout - 3 * _TURN]
        if silent:
            names = ", ".join(self._addresses[place] for place in sorted(silent))
            raise NotAllCame("{} came, but is not heard of any more.".format(names))
        if now - self._start > self._patience:
            raise NotAllCame(
                "{} did not come within {:.0f} s. Start the hosts together, or give them longer "
                "with --host_timeout.".format(missing, self._patience)
            )
        if now - self._said > _SAYING:
            self._said = now
            logging.info("Waiting for %s", missing)


def _gather(cluster: Cluster, wait: _Wait) -> None:
    others = set(range(1, len(cluster.addresses)))
    here: Dict[int, socket.socket] = {}
    answered: Set[int] = set()

    def named(places: Set[int]) -> str:
        return ", ".join(cluster.addresses[place] for place in sorted(places))

    with contextlib.ExitStack() as open_, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", int(cluster.addresses[0].rpartition(":")[2])))
        server.listen(len(cluster.addresses))
        server.settimeout(_TURN)
        while answered != others:
            wait.go_on(named(others - set(here)) or named(others - answered))
            with contextlib.suppress(socket.timeout):
                guest = open_.enter_context(server.accept()[0])
                guest.settimeout(_TURN)
                number = _heard(guest) or ""
                if number.isdigit() and int(number) in others:
                    here[int(number)] = guest
                    wait.heard({int(number)})
            missing = named(others - set(here))
            here = {place: guest for place, guest in here.items() if _told(guest, missing)}
            answered = {place for place, guest in here.items() if _heard(guest) is not None}
            wait.heard(answered)
        for guest in here.values():
            _told(guest, _ALL_HERE)


def _report(cluster: Cluster, wait: _Wait) -> None:
    name, _, port = cluster.addresses[0].rpartition(":")
    while True:
        with contextlib.suppress(OSError), socket.create_connection(
            (name, int(port)), timeout=_TURN
        ) as first:
            first.settimeout(_TURN)
            while _told(first, str(cluster.index)):
                heard = _heard(first)
                if heard == _ALL_HERE:
                    return
                wait.heard({0} if heard is not None else ())
                wait.go_on(heard or cluster.addresses[0])
        wait.go_on(cluster.addresses[0])
        time.sleep(_TURN)


def _told(other: socket.socket, text: str) -> bool:
    try:
        other.sendall((text + ";").encode())
        return True
    except OSError:
        return False


def _heard(other: socket.socket) -> Optional[str]:
    """The last that the other has said since; None if it is gone or silent."""
    try:
        said = other.recv(1 << 16).decode("utf-8", "replace")
    except OSError:
        return None
    return said[:-1].rpartition(";")[2] if said else None
