"""Which devices a run uses, and how fast they multiply."""

from __future__ import annotations

import time
from typing import Callable, List, Optional, Sequence

from absl import logging

from albert.compat import compiled, logical_devices, physical_gpus, runtime_name, tf
from albert.system.errors import UsageError, check_at_most
from albert.system.machine import usable_cores

XLA_MODES = ("auto", "on", "off")

_ROWS_OF_A_TOWER = 4
_MOST_TOWERS = 1024
_PEAK_SIZE = {"CPU": 2048, "GPU": 8192}
_PEAK_REPEATS = 3


def choose_devices(
    use_gpu: Optional[bool],
    num_towers: int,
    command: Sequence[str],
    batch_sizes: Sequence[int] = (),
    xla: str = "auto",
    join: Optional[Callable[[], None]] = None,
) -> List[str]:
    """One device for each tower.

    Args:
      use_gpu: True, False, or None for GPUs where there are any.
      num_towers: Towers; 0 means all GPUs, or what `cpu_towers` says.
      command: The command line, to be shown again with the flags that would work.
      batch_sizes: Of the batches that towers will divide.
      xla: One of XLA_MODES. Whole towers compiled by XLA compute on threads that all of them
        share, so a CPU has one such tower.
      join: Joins other hosts, at the one moment that TensorFlow has for it.

    Raises:
      UsageError: Fewer GPUs were found than towers were asked for.
    """
    gpus = physical_gpus()
    if num_towers < 0:
        raise UsageError("num_gpu_cores must not be negative. Received {}.".format(num_towers))
    check_at_most("num_gpu_cores", num_towers, _MOST_TOWERS)
    if use_gpu is None:
        use_gpu = bool(gpus)
    if not use_gpu:
        count = num_towers or (1 if xla == "on" else cpu_towers(batch_sizes))
        devices = logical_devices("CPU", count, own_threads=xla != "on", join=join)
        logging.info("%s: %d tower(s) on the CPU", runtime_name(), len(devices))
        return devices
    wanted = num_towers or max(1, len(gpus))
    if len(gpus) < wanted:
        raise UsageError(
            "--use_gpu=True --num_gpu_cores={} asks for {} GPUs, but {} found {}{}. To run the "
            "same towers on the CPU: {}".format(
                num_towers,
                wanted,
                runtime_name(),
                len(gpus),
                " ({})".format(", ".join(gpus)) if gpus else "",
                _cpu_command(command, wanted),
            )
        )
    devices = logical_devices("GPU", wanted, join=join)
    logging.info("%s: %d tower(s) on %s", runtime_name(), wanted, ", ".join(gpus[:wanted]))
    return devices


def choose_device(use_gpu: Optional[bool]) -> str:
    """The device of what needs one alone.

    Args:
      use_gpu: True, False, or None for a GPU where there is one.

    Raises:
      UsageError: A GPU was asked for, and there is none.
    """
    if use_gpu and not physical_gpus():
        raise UsageError(
            "--use_gpu=True asks for a GPU, but {} found none. To use the CPU: "
            "--use_gpu=False.".format(runtime_name())
        )
    return choose_devices(use_gpu, 1, ())[0]


def cpu_towers(batch_sizes: Sequence[int]) -> int:
    """Towers to run on the CPU: one a core, as far as every batch divides into rows enough.

    Each tower adds up gradients of its own, which costs as much for one row as for many.
    """
    return max(
        count
        for count in range(1, usable_cores() + 1)
        if count == 1 or all(b % count == 0 and b // count >= _ROWS_OF_A_TOWER for b in batch_sizes)
    )


def _cpu_command(command: Sequence[str], towers: int) -> str:
    replaced = ("--use_gpu", "--num_gpu_cores", "--nouse_gpu")
    kept = [word for word in command if word.split("=")[0] not in replaced]
    flags = ["--use_gpu=False", "--num_gpu_cores={}".format(towers)]
    # Scripts need an interpreter; `albert pretrain` and `python -m albert pretrain` name theirs.
    python = ["python3"] if "".join(command[:1]).endswith(("-m", ".py")) else []
    return " ".join(python + kept + flags)


def choose_xla(mode: str, devices: Sequence[str], precision: str) -> bool:
    """Whether XLA compiles the towers.

    On a GPU it fuses what would be bound by memory. On a CPU it does not use the bfloat16 units,
    and for float32 compiling costs more than it gains in a short run, so "auto" leaves it off.
    """
    chosen = "GPU" in devices[0] if mode == "auto" else mode == "on"
    logging.debug(
        "XLA %s (--xla=%s, %s, %s)", "on" if chosen else "off", mode, precision, devices[0]
    )
    return chosen


def matmul_peak(devices: Sequence[str], dtype: str = "float32") -> float:
    """Measured matrix-product rate of the devices together, in FLOP/s.

    The denominator of model FLOP utilisation (MFU). All devices multiply at the same time, because
    logical CPU devices share their cores.
    """
    size = _PEAK_SIZE["GPU" if "GPU" in devices[0] else "CPU"]

    matrices = []
    for device in devices:
        with tf.device(device):
            matrices.append(tf.ones([size, size], dtype))

    def products(*matrices: tf.Tensor) -> tf.Tensor:
        corners = []
        for device, matrix in zip(devices, matrices):
            with tf.device(device):
                corners.append(tf.cast(tf.matmul(matrix, matrix)[0, 0], tf.float32))
        return tf.add_n(corners)

    run = compiled(products)
    run(*matrices)  # the first call traces
    times = []
    for _ in range(_PEAK_REPEATS):
        start = time.perf_counter()
        float(run(*matrices))
        times.append(time.perf_counter() - start)
    # The fastest: other programs only ever slow it down.
    return len(devices) * 2.0 * size**3 / min(times)
