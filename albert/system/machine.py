"""What a process may use: cores, and memory of the machine, its container or its GPUs."""

import itertools
import os
import platform
import subprocess
from typing import Dict, List, Optional, Sequence, Tuple

_CGROUPS = (  # where a container's limit is: version 2, version 1
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """What the CPU calls itself, for reports."""
    try:
        with open("/proc/cpuinfo") as handle:
            names = [line.split(":", 1)[1].strip() for line in handle if "model name" in line]
    except OSError:
        names = []
    return (names or [platform.processor() or "unknown CPU"])[0]


def available_bytes(devices: Sequence[str]) -> Optional[int]:
    """Bytes that the towers on one device may take, with what this program has already.

    Towers on the CPU share one memory. Of several GPUs the fullest counts.

    Returns:
      None where nothing tells.
    """
    if "GPU" in devices[0]:
        return _free_on_gpus(len(devices))
    free = [value for value in (_free_in_machine(), _free_in_container()) if value is not None]
    return min(free) + resident_bytes(os.getpid()) if free else None


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in use now; 0 if it has ended or the system does not tell."""
    return _kilobytes("/proc/{}/status".format(pid)).get("VmRSS", 0)


def _free_in_machine() -> Optional[int]:
    return _kilobytes("/proc/meminfo").get("MemAvailable")


def _kilobytes(path: str) -> Dict[str, int]:
    """The lines "Name:  123 kB" of a file of /proc, in bytes."""
    found = {}
    try:
        with open(path) as handle:
            for line in handle:
                fields = line.split()
                if len(fields) == 3 and fields[2] == "kB":
                    found[fields[0].rstrip(":")] = 1024 * int(fields[1])
    except OSError:
        pass
    return found


def _free_in_container(
    cgroups: Sequence[Tuple[str, str, str, str]] = _CGROUPS,
) -> Optional[int]:
    for directory, limit_file, usage_file, reclaimable in cgroups:
        try:
            limit = int(_text(directory, limit_file))  # "max" where there is none
            used = int(_text(directory, usage_file))
            stat = dict(line.split() for line in _text(directory, "memory.stat").splitlines())
        except (OSError, ValueError):
            continue
        return limit - used + int(stat.get(reclaimable, 0))
    return None


def _text(directory: str, name: str) -> str:
    with open(os.path.join(directory, name)) as handle:
        return handle.read().strip()


def visible_gpus() -> List[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return _asked_of_gpus("index")
    names = [name.strip() for name in chosen.split(",")]
    return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))


def _free_on_gpus(count: int) -> Optional[int]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _asked_of_gpus("memory.free", *(["--id=" + visible] if visible else []))
    try:
        return min(int(line) for line in found[:count]) * 2**20
    except ValueError:
        return None


def _asked_of_gpus(what: str, *more: str) -> List[str]:
    """A line for each GPU; none where there is no driver to ask."""
    command = ["nvidia-smi", "--query-gpu=" + what, "--format=csv,noheader,nounits", *more]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return [line.strip() for line in done.stdout.splitlines()]
