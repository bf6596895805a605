"""Finds the largest micro-batch that fits into memory, by running real steps."""

import dataclasses
import multiprocessing
import signal
import time
from typing import Callable, NamedTuple, Optional, Sequence

from absl import logging

from albert.compat import logical_devices, peak_bytes, tf
from albert.data.pipeline import BatchOrder, training_batches
from albert.data.source import Data, open_data
from albert.errors import UsageError
from albert.training.free_memory import resident_bytes
from albert.training.memory_check import Machine, divisors, estimate_of, machine_of
from albert.training.options import TrainingOptions
from albert.training.setup import build_step, prepare_state
from albert.training.towers import check_batch_size

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


def search(fits: Callable[[int], bool], start: int, most: int) -> int:
    """The largest number that fits, by doubling or halving and then by bisection.

    Args:
      fits: Whether a number from 1 to `most` fits; where one does, all smaller ones do.
      start: Number to begin with.
      most: Largest number of interest.

    Returns:
      0 if not even 1 fits.
    """
    good, bad, number = 0, most + 1, start
    while good + 1 < bad:
        if fits(number):
            good = number
            number = min(2 * good, most)
        else:
            bad = number
            number = bad // 2
        if bad <= most and good:
            number = (good + bad) // 2
    return good


def find_batch_size(options: TrainingOptions, devices: Sequence[str]) -> int:
    """Prints a table of micro-batches tried, and the flags for the largest that fits.

    Each is tried in a process of its own, which may run out of memory without harm. Nothing is
    trained or saved.

    Returns:
      The exit code.

    Raises:
      UsageError: Not even one example fits, or the run cannot be done as asked.
    """
    towers = len(devices)
    check_batch_size(options.train_batch_size, towers, "train_batch_size")
    share = options.train_batch_size // towers
    machine = machine_of(devices, options.memory_limit_gb)
    start = _first_guess(options, _open(options), machine)
    print("Micro-batches of at most {} examples a tower, from {}".format(share, start))
    print("| micro-batch | fits | peak, GB | examples/s |\n|---|---|---|---|", flush=True)

    def fits(size: int) -> bool:
        trial = _try_out(_with_micro_batch(options, size, towers), machine)
        line = "| {} | no |  |  |" if trial is None else "| {} | yes | {} | {:.3g} |"
        print(line.format(size, *_cells(trial)), flush=True)
        return trial is not None

    largest = search(fits, start, share)
    if not largest:
        raise UsageError(
            "Not even one example at a time fits into memory. {}".format(
                "Use a smaller --model or shorter records."
                if options.step.recompute
                else "Pass --recompute."
            )
        )
    micro_batch = max(size for size in divisors(share) if size <= largest)
    print(
        "The largest micro-batch that fits is {}. For batches of {}, micro-batches of {}:\n"
        "--train_batch_size={} --gradient_accumulation_steps={}".format(
            largest,
            options.train_batch_size,
            micro_batch,
            options.train_batch_size,
            share // micro_batch,
        )
    )
    return 0


def _cells(trial: Optional[Trial]) -> Sequence:
    if trial is None:
        return ()
    return "" if trial.peak is None else "{:.2f}".format(trial.peak / 1e9), trial.rate


def _open(options: TrainingOptions) -> Data:
    return open_data(
        options.input_file,
        "input_file",
        options.model,
        options.max_seq_length,
        options.max_predictions_per_seq,
        progress=False,
    )


def _with_micro_batch(options: TrainingOptions, size: int, towers: int) -> TrainingOptions:
    """A run of new weights with micro-batches of a size: two of them where the run needs more."""
    count = 1 if size * towers >= options.train_batch_size else 2
    return dataclasses.replace(
        options,
        train_batch_size=size * towers * count,
        step=options.step._replace(accumulation=count),
        output_dir=None,
        init_checkpoint=None,
    )


def _first_guess(options: TrainingOptions, data: Data, machine: Machine) -> int:
    """The largest share, halved as often as it takes to fit by the estimate."""
    share = options.train_batch_size // machine.towers
    layout = data.layout(options.padding, options.train_batch_size, machine.towers)
    batch = layout(data.sample(options.train_batch_size))
    size = share
    while size > 1 and machine.available is not None:
        step = options.step._replace(accumulation=-(-share // size))
        tried = dataclasses.replace(options, step=step)
        if estimate_of(tried, batch, machine).total <= machine.available:
            break
        size //= 2
    return size


def _try_out(options: TrainingOptions, machine: Machine) -> Optional[Trial]:
    """Runs some steps in a process of its own; None if memory does not suffice."""
    spawn = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    receiver, sender = spawn.Pipe(duplex=False)
    arguments = (options, machine, sender)
    child = spawn.Process(target=_run_steps, args=arguments, daemon=True)
    child.start()
    sender.close()
    peak = 0
    while child.is_alive():
        peak = max(peak, resident_bytes(child.pid))
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


def _run_steps(options: TrainingOptions, machine: Machine, sender) -> None:
    logging.set_verbosity(logging.ERROR)
    try:
        devices = logical_devices("GPU" if machine.on_gpu else "CPU", machine.towers)
        sender.send(_measured(options, devices, machine))
    except (tf.errors.ResourceExhaustedError, MemoryError):
        sender.send(None)
    except UsageError as error:
        sender.send(error)


def _measured(
    options: TrainingOptions, devices: Sequence[str], machine: Machine
) -> Optional[Trial]:
    data = _open(options)
    size = options.train_batch_size
    order = BatchOrder(data.dataset.size, size, options.random_seed, options.small)
    layout = data.layout(options.padding, size, len(devices) * options.step.accumulation)
    batches = training_batches(data.dataset, order, data.shapes, layout, 0)
    seen = [next(batches) for _ in range(_BATCHES_SEEN)]
    batch = max(seen, key=lambda batch: batch["input_ids"].size)
    step = build_step(options, prepare_state(options, devices[0]), devices)
    float(step(batch).gradient_norm)  # builds it
    start = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        float(step(batch).gradient_norm)
    rate = _TIMED_STEPS * size / (time.perf_counter() - start)
    peak = peak_bytes(devices[0])
    if machine.available is not None and peak is not None and peak > machine.available:
        return None
    return Trial(peak, rate)
