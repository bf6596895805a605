"""Which devices a run uses, and how fast they multiply."""

import time
from typing import List, Optional, Sequence

from absl import logging

from albert.compat import compiled, logical_devices, physical_gpus, runtime_name, tf
from albert.errors import UsageError

XLA_MODES = ("auto", "on", "off")

_PEAK_SIZE = {"CPU": 2048, "GPU": 8192}
_PEAK_REPEATS = 5


def choose_devices(use_gpu: Optional[bool], num_towers: int, command: Sequence[str]) -> List[str]:
    """One device for each tower.

    Args:
      use_gpu: True, False, or None for GPUs where there are any.
      num_towers: Towers; 0 means all GPUs, or one tower on the CPU.
      command: The command line, to be shown again with the flags that would work.

    Raises:
      UsageError: Fewer GPUs were found than towers were asked for.
    """
    gpus = physical_gpus()
    if num_towers < 0:
        raise UsageError("num_gpu_cores must not be negative. Received {}.".format(num_towers))
    if use_gpu is None:
        use_gpu = bool(gpus)
    if not use_gpu:
        devices = logical_devices("CPU", max(1, num_towers))
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
    devices = logical_devices("GPU", wanted)
    logging.info("%s: %d tower(s) on %s", runtime_name(), wanted, ", ".join(gpus[:wanted]))
    return devices


def _cpu_command(command: Sequence[str], towers: int) -> str:
    replaced = ("--use_gpu", "--num_gpu_cores", "--nouse_gpu")
    kept = [word for word in command if word.split("=")[0] not in replaced]
    flags = ["--use_gpu=False", "--num_gpu_cores={}".format(towers)]
    return " ".join(["python3"] + kept + flags)


def choose_xla(mode: str, devices: Sequence[str], precision: str) -> bool:
    """Whether XLA compiles the towers.

    On a GPU it fuses what would be bound by memory. On a CPU it does not use the bfloat16 units,
    and for float32 compiling costs more than it gains in a short run, so "auto" leaves it off.
    """
    chosen = "GPU" in devices[0] if mode == "auto" else mode == "on"
    logging.info(
        "XLA %s (--xla=%s, %s, %s)", "on" if chosen else "off", mode, precision, devices[0]
    )
    return chosen


def matmul_peak(devices: Sequence[str], dtype: tf.DType = tf.float32) -> float:
    """Measured matrix-product rate of the devices together, in FLOP/s.

    The denominator of model FLOP utilisation (MFU). Logical CPU devices are the same cores, so
    only one of them is measured; each GPU counts.
    """
    kind = "GPU" if "GPU" in devices[0] else "CPU"
    size = _PEAK_SIZE[kind]
    with tf.device(devices[0]):
        matrix = tf.ones([size, size], dtype)
        product = compiled(lambda a: tf.cast(tf.matmul(a, a)[0, 0], tf.float32))
        product(matrix)  # the first call traces
        times = []
        for _ in range(_PEAK_REPEATS):
            start = time.perf_counter()
            float(product(matrix))
            times.append(time.perf_counter() - start)
    rate = 2.0 * size**3 / min(times)  # the fastest: other programs only ever slow it down
    return rate * (len(devices) if kind == "GPU" else 1)
