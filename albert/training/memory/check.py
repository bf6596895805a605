"""Refuses a run that will not fit into memory, with the flag that makes it fit."""

from typing import List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.system.machine import available_bytes
from albert.training.memory.estimate import Estimate, estimate_memory, step_shape
from albert.training.step.step import StepOptions

# The estimate is good to about a quarter, so only what is clearly too much is refused.
_REFUSED_ABOVE = 1.1
_WARNED_ABOVE = 0.8


class Machine(NamedTuple):
    """What towers run on.

    Attributes:
      towers: All of them.
      sharing: Towers that share the memory of one device: all on the CPU, one on a GPU.
      on_gpu: Whether they run on GPUs.
      available: Bytes of one such memory; None if not known.
    """

    towers: int
    sharing: int
    on_gpu: bool
    available: Optional[int]


def machine_of(devices: Sequence[str], limit_gb: Optional[float]) -> Machine:
    """The machine behind some devices, with the memory it has or the limit given for it."""
    on_gpu = "GPU" in devices[0]
    available = available_bytes(devices) if limit_gb is None else int(limit_gb * 1e9)
    return Machine(len(devices), 1 if on_gpu else len(devices), on_gpu, available)


class Work(NamedTuple):
    """What a step computes.

    Attributes:
      config: The model.
      step: How it is computed.
      batch_size: Examples of a batch, over all towers.
      batch: A batch, laid out as rows.
    """

    config: ModelConfig
    step: StepOptions
    batch_size: int
    batch: Mapping[str, np.ndarray]


def estimate_of(work: Work, machine: Machine) -> Estimate:
    """The estimate for a run whose batches look like the one of `work`."""
    shape = step_shape(work.batch, machine.towers * work.step.accumulation)
    return estimate_memory(work.config, shape, work.step, machine.sharing, machine.on_gpu)


def check_memory(work: Work, machine: Machine) -> None:
    """Logs the estimate of a run beside the memory there is.

    Args:
      work: What its steps compute.
      machine: What it runs on.

    Raises:
      UsageError: The run will not fit; names the flags with which it will.
    """
    estimate = estimate_of(work, machine)
    available = machine.available
    logging.debug(
        "Memory: a step takes about %.2f GB, %.0f %% of it activations; %s%s",
        estimate.total / 1e9,
        100 * estimate.activations / estimate.total,
        "how much there is cannot be told"
        if available is None
        else "there is {:.2f} GB".format(available / 1e9),
        " on each GPU" if machine.on_gpu else "",
    )
    if available is None or estimate.total <= _WARNED_ABOVE * available:
        return
    remedy = _remedy(work, machine, available)
    if estimate.total > _REFUSED_ABOVE * available:
        raise UsageError(
            "A step of this run takes about {:.2f} GB of memory, but there is {:.2f} GB. "
            "{}.".format(estimate.total / 1e9, available / 1e9, remedy)
        )
    logging.warning("Memory may not suffice. %s", remedy)


def _remedy(work: Work, machine: Machine, available: int) -> str:
    """The first change that fits by the estimate.

    More micro-batches, recomputation or both; then one tower on the CPU instead of several, each
    of which has gradients of its own.
    """
    machines = [machine]
    if machine.sharing > 1:
        machines.append(machine._replace(towers=1, sharing=1))
    least = None
    for place in machines:
        for step in _smaller_steps(work, place.towers, place is not machine):
            total = estimate_of(work._replace(step=step), place).total
            least = total if least is None else min(least, total)
            if total <= available:
                flags = [] if place is machine else ["--num_gpu_cores=1"]
                flags += _flags(step, work.step, work.batch_size // place.towers)
                return "Pass {}; a step then takes about {:.2f} GB".format(
                    " and ".join(flags), total / 1e9
                )
    needs = "" if least is None else ", which takes about {:.2f} GB".format(least / 1e9)
    return (
        "Even one example at a time with --recompute{} is too much: use a smaller --model, shorter "
        "records or --precision=mixed_bfloat16".format(needs)
    )


def _smaller_steps(work: Work, towers: int, as_it_is: bool) -> List[StepOptions]:
    now, share = work.step, work.batch_size // towers
    more = [now._replace(accumulation=n) for n in divisors(share) if n > now.accumulation]
    again = [] if now.recompute else [step._replace(recompute=True) for step in [now] + more]
    return ([now] if as_it_is else []) + more + again


def _flags(step: StepOptions, now: StepOptions, share: int) -> List[str]:
    flags = []
    if step.accumulation != now.accumulation:
        micro_batch = share // step.accumulation
        flags.append(
            "--gradient_accumulation_steps={} (micro-batches of {})".format(
                step.accumulation, micro_batch
            )
        )
    if step.recompute != now.recompute:
        flags.append("--recompute")
    return flags


def divisors(number: int) -> List[int]:
    """Ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [n for n in range(1, number + 1) if number % n == 0]
