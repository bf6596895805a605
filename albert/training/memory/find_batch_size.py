"""Finds the largest micro-batch that fits into memory, by running real steps."""

import dataclasses
from typing import Callable, Optional, Sequence

from albert.checkpoints.manager import SavingOptions
from albert.data.source import Data
from albert.system.errors import UsageError
from albert.training.memory.check import Machine, Work, divisors, estimate_of, machine_of
from albert.training.memory.trial import Trial, try_out
from albert.training.options import StartOptions, TrainingOptions
from albert.training.step.towers import check_batch_size


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
    options = options.on(devices)
    towers = len(devices)
    check_batch_size(options.train_batch_size, towers, "train_batch_size")
    share = options.train_batch_size // towers
    machine = machine_of(devices, options.memory_limit_gb)
    data = options.data.open("input_file", options.model, progress=False)
    start = _first_guess(options, data, machine)
    print("Micro-batches of at most {} examples a tower, from {}".format(share, start))
    print("| micro-batch | fits | peak, GB | examples/s |\n|---|---|---|---|", flush=True)

    def fits(size: int) -> bool:
        trial = try_out(_with_micro_batch(options, size, towers), machine)
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


def _with_micro_batch(options: TrainingOptions, size: int, towers: int) -> TrainingOptions:
    """A run of new weights with micro-batches of a size: two of them where the run needs more."""
    count = 1 if size * towers >= options.train_batch_size else 2
    return dataclasses.replace(
        options,
        train_batch_size=size * towers * count,
        step=options.step._replace(accumulation=count),
        saving=SavingOptions(),
        start=StartOptions(),
    )


def _first_guess(options: TrainingOptions, data: Data, machine: Machine) -> int:
    """The largest share, halved as often as it takes to fit by the estimate."""
    share = options.train_batch_size // machine.towers
    layout = data.layout(options.data.padding, options.train_batch_size, machine.towers)
    batch = layout(data.rows(options.train_batch_size))
    size = share
    while size > 1 and machine.available is not None:
        step = options.step._replace(accumulation=-(-share // size))
        tried = Work(options.model, step, options.train_batch_size, batch)
        if estimate_of(tried, machine).total <= machine.available:
            break
        size //= 2
    return size
