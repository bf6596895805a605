"""Which hosts a run has, and which of them this one is: from flags, TF_CONFIG or Slurm."""

import dataclasses
import os
import re
import subprocess
from typing import List, Mapping, NamedTuple, Optional, Sequence

from albert.system.errors import UsageError, quoted
from albert.system.files.side import parse_json

DEFAULT_PORT = 2222
_SLURM_PORTS = (20000, 10000)  # the first, and how many: a job has its own
_HOST_TIMEOUT = 60.0  # seconds
_SHORTEST = 3  # of it


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The hosts of a run, in order.

    Attributes:
      addresses: "name:port" of each.
      index: Of this one.
    """

    addresses: Sequence[str]
    index: int


class HostOptions(NamedTuple):
    """Which hosts train together, as the flags say it.

    Attributes:
      hosts: "name:port" of each, or None to look into TF_CONFIG and Slurm's variables.
      host_index: Which of them this one is, from 0, or None.
      host_timeout: Seconds after which a host that is not heard of counts as lost.
    """

    hosts: Optional[Sequence[str]] = None
    host_index: Optional[int] = None
    host_timeout: float = _HOST_TIMEOUT

    def cluster(self, environment: Mapping[str, str] = os.environ) -> Cluster:
        """The hosts: those of the flags, else of TF_CONFIG, else of the Slurm step.

        Returns:
          One host without an address where nothing names any.

        Raises:
          UsageError: What names them cannot be read.
        """
        if not self.host_timeout >= _SHORTEST:
            raise UsageError(
                "--host_timeout must be at least {} seconds, for hosts are looked after once in a "
                "second. Received {}.".format(_SHORTEST, self.host_timeout)
            )
        if self.hosts:
            return self._named()
        if self.host_index is not None:
            raise UsageError("--host_index={} needs --hosts=a,b,c.".format(self.host_index))
        if environment.get("TF_CONFIG"):
            return _of_tf_config(environment["TF_CONFIG"])
        if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            return _of_slurm(environment)
        return Cluster([""], 0)

    def _named(self) -> Cluster:
        addresses = [_with_port(name.strip()) for name in self.hosts or ()]
        for address in addresses:
            if addresses.count(address) > 1:
                raise UsageError("--hosts names {} twice. Each has its own port.".format(address))
        last = len(addresses) - 1
        if self.host_index is None and last:
            raise UsageError(
                "--hosts names {} hosts; say by --host_index=0 to {} which one this is.".format(
                    last + 1, last
                )
            )
        index = self.host_index or 0
        if not 0 <= index <= last:
            raise UsageError(
                "--host_index must be between 0 and {} for the hosts {}. Received {}.".format(
                    last, ", ".join(addresses), index
                )
            )
        return Cluster(addresses, index)


def check_alone(what: str) -> None:
    """Ends what several hosts cannot share.

    Raises:
      UsageError: TF_CONFIG or Slurm name several.
    """
    hosts = len(HostOptions().cluster().addresses)
    if hosts > 1:
        raise UsageError(
            "{} runs on one host, but TF_CONFIG or Slurm name {}. Start it once, without "
            "them.".format(what, hosts)
        )


def _with_port(name: str) -> str:
    host, colon, port = name.rpartition(":")
    if not colon:
        host, port = name, str(DEFAULT_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise UsageError(
            "--hosts takes names like a:2222,b:2222. Received {}.".format(quoted(name))
        )
    return "{}:{}".format(host, port)


def _of_tf_config(text: str) -> Cluster:
    """A chief, where there is one, and workers; TensorFlow's own format."""
    try:
        config = parse_json(text)
        jobs, task = config["cluster"], config["task"]
        addresses: List[str] = []
        for job in ("chief", "worker"):
            if job == task["type"]:
                index = len(addresses) + int(task["index"])
            addresses += jobs.get(job, [])
        return Cluster([_with_port(name) for name in addresses], range(len(addresses))[index])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, UnboundLocalError):
        raise UsageError(
            'TF_CONFIG must look like {{"cluster": {{"worker": ["a:2222", "b:2222"]}}, "task": '
            '{{"type": "worker", "index": 0}}}}. Received {}.'.format(quoted(text))
        ) from None


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    """The tasks of a step, which Slurm numbers node by node."""
    try:
        nodes = environment["SLURM_STEP_NODELIST"]
        tasks = environment["SLURM_STEP_TASKS_PER_NODE"]
        index, job = int(environment["SLURM_PROCID"]), int(environment["SLURM_JOB_ID"])
        listed = subprocess.run(
            ["scontrol", "show", "hostnames", nodes], stdout=subprocess.PIPE, check=True, text=True
        )
    except (KeyError, ValueError, OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            "Slurm says that {} tasks run, but not on which nodes: {}. Pass --hosts and "
            "--host_index.".format(environment["SLURM_STEP_NUM_TASKS"], error)
        ) from error
    counts: List[int] = []  # "2(x3),1" is 2, 2, 2, 1
    for count, _, times in re.findall(r"(\d+)(\(x(\d+)\))?", tasks):
        counts += [int(count)] * int(times or 1)
    first, most = _SLURM_PORTS
    port = first + job * 16 % most
    addresses = [
        "{}:{}".format(node, port + place)
        for node, count in zip(listed.stdout.split(), counts)
        for place in range(count)
    ]
    return Cluster(addresses, index)
