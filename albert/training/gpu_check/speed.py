"""How fast steps of real sizes are, beside the matrix products of the same devices."""

import statistics
import time
from typing import Callable, List, NamedTuple, Optional, Sequence

from absl import logging

from albert.compat import peak_bytes, reset_peak, tf
from albert.model.config import ModelConfig
from albert.model.flops import training_flops
from albert.model.precision import policy
from albert.optim.optimizers import OptimizerConfig
from albert.optim.schedules import ScheduleOptions
from albert.system.devices import choose_xla, matmul_peak
from albert.training.gpu_check.equality import random_batch
from albert.training.memory.check import Machine, Work, estimate_of, machine_of
from albert.training.options import TrainingOptions
from albert.training.setup import make_learner
from albert.training.step.step import StepOptions

LARGEST = 128  # examples of a tower
_FILLED = 0.7  # share of the memory that a step may take by its estimate
_UPDATES = 5
MASKED = 0.15  # share of a length that is predicted


class Speed(NamedTuple):
    """A step of one size.

    Attributes:
      model: Its name.
      length: S.
      precision: In which towers compute.
      batch: Examples over all towers.
      sequences: A second.
      mfu: Operations of the model over those of matrix products on the same devices.
      peak: Bytes of one device in use at most; None where TensorFlow does not count.
      estimate: What `estimate_memory` says.
      building: Seconds of the first step.
    """

    model: str
    length: int
    precision: str
    batch: int
    sequences: float
    mfu: float
    peak: Optional[int]
    estimate: int
    building: float


def measure_steps(
    models: Sequence[str], lengths: Sequence[int], devices: Sequence[str], largest: int = LARGEST
) -> List[Speed]:
    """Times steps of full examples in float32 and bfloat16, each of a batch that fits.

    Args:
      models: Names of presets.
      lengths: S.
      devices: A tower on each.
      largest: Examples of a tower at most.
    """
    found = []
    machine = machine_of(devices, None)
    for precision in ("float32", "mixed_bfloat16"):
        peak = matmul_peak(devices, policy(precision).compute_dtype)
        for model in models:
            for length in lengths:
                speed = _measured(model, length, precision, devices, machine, peak, largest)
                if speed:
                    found.append(speed)
    return found


def median_seconds(step: Callable[[], object]) -> float:
    """What a step takes, of several."""
    times = []
    for _ in range(_UPDATES):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _measured(
    model: str,
    length: int,
    precision: str,
    devices: Sequence[str],
    machine: Machine,
    peak: float,
    largest: int,
) -> Optional[Speed]:
    config = ModelConfig.from_json_file(model)
    predictions = int(MASKED * length)
    step = StepOptions(precision, choose_xla("auto", devices, precision))
    share = largest
    while share:
        size = share * len(devices)
        batch = random_batch(config, size, length, predictions, shortest=1.0)
        estimate = estimate_of(Work(config, step, size, batch), machine).total
        if machine.available is None or estimate <= _FILLED * machine.available:
            break
        share //= 2
    else:
        logging.info("%s at length %d does not fit", model, length)
        return None
    options = TrainingOptions(
        config,
        schedule=ScheduleOptions(100, 1e-4),
        optimizer=OptimizerConfig("adamw"),
        step=step,
        train_batch_size=size,
    )
    reset_peak(devices[0])
    try:
        learner = make_learner(options, devices)
        start = time.perf_counter()
        float(learner.step(batch).gradient_norm)
        building = time.perf_counter() - start
        seconds = median_seconds(lambda: float(learner.step(batch).gradient_norm))
    except tf.errors.ResourceExhaustedError:
        logging.info("%s at length %d ran out of memory with %d examples", model, length, size)
        return None
    rate = size / seconds
    operations = training_flops(config, 1, length, predictions)
    logging.info("%s, length %d, %s: %.1f sequences/s", model, length, precision, rate)
    return Speed(
        model,
        length,
        precision,
        size,
        rate,
        rate * operations / peak,
        peak_bytes(devices[0]),
        estimate,
        building,
    )
