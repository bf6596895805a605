"""Waiting until all hosts of a run have come.

TensorFlow waits, too, but in silence and deaf to signals; it is called when everybody is there.
"""

import contextlib
import socket
import time
from typing import Callable, Dict, Optional

from absl import logging

from albert.hosts.cluster import Cluster

_SAYING = 5.0  # seconds between two lines about who is missing
_TURN = 0.5  # seconds of one look
_ALL_HERE = "*"


class NotAllCame(Exception):
    """Somebody is missing; the message names them."""


def meet(cluster: Cluster, patience: float) -> None:
    """Returns on all hosts when all have come, saying meanwhile which are missing.

    The others tell the first host their number and hear from it who is missing.

    Raises:
      NotAllCame: After `patience` seconds.
      OSError: The first host cannot listen at its port.
    """
    start = time.monotonic()
    said = start

    def say(missing: str) -> None:
        nonlocal said
        now = time.monotonic()
        if now - start > patience:
            raise NotAllCame(missing)
        if now - said > _SAYING:
            said = now
            logging.info("Waiting for %s", missing)

    (_gather if cluster.index == 0 else _report)(cluster, say)


def _gather(cluster: Cluster, say: Callable[[str], None]) -> None:
    come: Dict[int, socket.socket] = {}
    port = int(cluster.addresses[0].rpartition(":")[2])
    with contextlib.ExitStack() as open_, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.listen(len(cluster.addresses))
        server.settimeout(_TURN)
        while len(come) < len(cluster.addresses) - 1:
            with contextlib.suppress(socket.timeout):
                guest = open_.enter_context(server.accept()[0])
                guest.settimeout(_TURN)
                number = _heard(guest) or ""
                if number.isdigit() and 0 < int(number) < len(cluster.addresses):
                    come[int(number)] = guest
            missing = ", ".join(
                address
                for place, address in enumerate(cluster.addresses)
                if place and place not in come
            )
            if missing:
                come = {place: guest for place, guest in come.items() if _told(guest, missing)}
                say(missing)
        for guest in come.values():
            _told(guest, _ALL_HERE)


def _report(cluster: Cluster, say: Callable[[str], None]) -> None:
    name, _, port = cluster.addresses[0].rpartition(":")
    while True:
        try:
            with socket.create_connection((name, int(port)), timeout=_TURN) as first:
                first.settimeout(10 * _TURN)
                _told(first, str(cluster.index))
                heard = _heard(first)
                while heard:
                    if heard.endswith(_ALL_HERE):
                        return
                    say(heard.rpartition(";")[2] or cluster.addresses[0])
                    heard = _heard(first)
        except OSError:
            pass
        say(cluster.addresses[0])
        time.sleep(_TURN)


def _told(other: socket.socket, text: str) -> bool:
    try:
        other.sendall((text + ";").encode())
        return True
    except OSError:
        return False


def _heard(other: socket.socket) -> Optional[str]:
    """What the other has said since; None if it is gone or silent."""
    try:
        return other.recv(1 << 16).decode().rstrip(";") or None
    except OSError:
        return None
