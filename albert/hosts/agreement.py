"""What hosts make sure of together: that all can start, on the same run, with the same weights."""

from __future__ import annotations

import hashlib
import json
from typing import Callable, Dict, List, Mapping, TypeVar

import numpy as np

from albert.compat import tf
from albert.hosts.group import HostLost, Hosts
from albert.system.errors import UsageError
from albert.system.files.side import parse_json

T = TypeVar("T")


def agree(hosts: Hosts, prepare: Callable[[], T], facts_of: Callable[[T], Mapping[str, str]]) -> T:
    """Prepares a run on every host, and goes on only if all can and mean the same one.

    Args:
      hosts: The hosts.
      prepare: Returns what was prepared.
      facts_of: What of it must be equal everywhere, by name; not asked for where there is one host.

    Raises:
      UsageError: On every host: that of the first one that cannot start, or the first fact that
        differs, with both values and both hosts.
    """
    if hosts.count == 1:
        return prepare()
    prepared: List[T] = []
    try:
        prepared.append(prepare())
        said: Dict[str, str] = dict(facts_of(prepared[0]))
    except UsageError as error:
        said = {"error": str(error)}
    everybody = [parse_json(text) for text in hosts.texts(json.dumps(said), "facts")]
    for address, theirs in zip(hosts.addresses, everybody):
        if "error" in theirs:
            hosts.part()
            own = address == hosts.addresses[hosts.index]
            raise UsageError(theirs["error"] if own else "{}: {}".format(address, theirs["error"]))
    for address, theirs in zip(hosts.addresses, everybody):
        for name in sorted(set(everybody[0]) | set(theirs)):
            here, there = everybody[0].get(name), theirs.get(name)
            if here != there:
                hosts.part()
                raise UsageError(
                    "The hosts are not of one mind: {} is {} on {} and {} on {}. Start all of "
                    "them with the same flags, files and package.".format(
                        name, here, hosts.addresses[0], there, address
                    )
                )
    return prepared[0]


def take_from_first(hosts: Hosts, variables: Mapping[str, tf.Variable]) -> None:
    """Gives every host the values of the first one, bit for bit."""
    if hosts.count == 1:
        return
    for name, variable in variables.items():
        (value,) = hosts.from_first([variable.numpy()], "variable " + name)
        if not hosts.first:
            variable.assign(value)


def check_equal(hosts: Hosts, variables: Mapping[str, tf.Variable], step: int) -> None:
    """Compares all values over the hosts.

    Raises:
      HostLost: One of them computes something else.
    """
    if hosts.count == 1:
        return
    found = hosts.texts(_digest(variables), "digest")
    usual = max(found, key=found.count)
    wrong = [address for address, digest in zip(hosts.addresses, found) if digest != usual]
    if wrong:
        hosts.part()
        raise HostLost(
            "At step {} {} has other weights than the others; nothing of this step was "
            "saved.".format(step, ", ".join(wrong))
        )


def _digest(variables: Mapping[str, tf.Variable]) -> str:
    total = hashlib.sha256()
    for name in sorted(variables):
        total.update(np.ascontiguousarray(variables[name].numpy()).tobytes())
    return total.hexdigest()
