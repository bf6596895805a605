"""Real steps of one size in a process of their own, which may run out of memory without harm."""

import multiprocessing
import signal
import time
from typing import Any, NamedTuple, Optional, Sequence

from absl import logging

from albert.compat import logical_devices, peak_bytes, tf
from albert.data.batches import training_batches
from albert.system.errors import UsageError
from albert.system.machine import resident_bytes
from albert.training.memory.check import Machine
from albert.training.options import TrainingOptions
from albert.training.setup import make_learner

_POLL_SECONDS = 0.02
_TIMED_STEPS = 2
_BATCHES_SEEN = 4  # packed batches differ in rows; the one with most is tried
_OUT_OF_MEMORY = (-signal.SIGKILL, -signal.SIGABRT)  # the system's killer, and a failed allocation


class Trial(NamedTuple):
    """What trying one size showed.

    Attributes:
      peak: Bytes of the device's memory in use at most; None if not known.
      rate: Examples a second on all towers.
    """

    peak: Optional[int]
    rate: float


def try_out(options: TrainingOptions, machine: Machine) -> Optional[Trial]:
    """Runs some steps in a process of its own; None if memory does not suffice."""
    spawn = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    receiver, sender = spawn.Pipe(duplex=False)
    arguments = (options, machine, sender)
    child = spawn.Process(target=_run_steps, args=arguments, daemon=True)
    child.start()
    sender.close()
    peak = 0
    while child.is_alive():
        peak = max(peak, resident_bytes(child.pid or 0))
        if not machine.on_gpu and machine.available is not None and peak > machine.available:
            child.kill()  # before the machine begins to swap
        child.join(_POLL_SECONDS)
    try:
        result = receiver.recv()
    except EOFError:
        if child.exitcode not in _OUT_OF_MEMORY:
            raise RuntimeError("A trial ended with exit code {}.".format(child.exitcode)) from None
        return None
    if isinstance(result, UsageError):
        raise result
    if result is None or machine.on_gpu:
        return result
    return result._replace(peak=peak or None)


def _run_steps(options: TrainingOptions, machine: Machine, sender: Any) -> None:
    logging.set_verbosity(logging.ERROR)
    try:
        kind = "GPU" if machine.on_gpu else "CPU"
        devices = logical_devices(kind, machine.towers, own_threads=not options.step.xla)
        sender.send(_measured(options, devices, machine))
    except (tf.errors.ResourceExhaustedError, MemoryError):
        sender.send(None)
    except UsageError as error:
        sender.send(error)


def _measured(
    options: TrainingOptions, devices: Sequence[str], machine: Machine
) -> Optional[Trial]:
    data = options.data.open("input_file", options.model, progress=False)
    size = options.train_batch_size
    order = data.order(size, options.random_seed, options.data.small)
    layout = data.layout(options.data.padding, size, len(devices) * options.step.accumulation)
    batches = training_batches(data.dataset, order, data.shapes, layout, 0)
    seen = [next(batches) for _ in range(_BATCHES_SEEN)]
    batch = max(seen, key=lambda batch: batch["input_ids"].size)
    step = make_learner(options, devices).step
    float(step(batch).gradient_norm)  # builds it
    start = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        float(step(batch).gradient_norm)
    rate = _TIMED_STEPS * size / (time.perf_counter() - start)
    peak = peak_bytes(devices[0])
    if machine.available is not None and peak is not None and peak > machine.available:
        return None
    return Trial(peak, rate)
