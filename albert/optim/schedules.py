"""Learning rate as a pure function of the number of updates done."""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Optional, Union

from albert.compat import tf
from albert.system.errors import UsageError, check_above_0, check_not_negative, check_one_of, quoted

Schedule = Callable[["tf.Tensor"], "tf.Tensor"]

SCHEDULES = ("linear", "cosine", "wsd", "constant")
_WARMUP_SHARE = 0.1
_WSD_DECAY_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate over a run.

    Attributes:
      num_train_steps: Updates in the whole run.
      learning_rate: Peak rate, or "auto" for the one that suits the run (`optim.rates`).
      schedule: What follows warm-up: "linear" to 0, or of another `poly_power`; "cosine" to 0;
        "wsd", the peak until the last `num_decay_steps`; "constant".
      num_warmup_steps: Updates of warm-up; None for a tenth of all.
      start_warmup_step: Update at which warm-up begins.
      poly_power: Power of the polynomial decay.
      num_decay_steps: Updates of the decay of "wsd"; None for a fifth of all.
    """

    num_train_steps: int = 100000
    learning_rate: Union[float, str] = "auto"
    schedule: str = "linear"
    num_warmup_steps: Optional[int] = None
    start_warmup_step: int = 0
    poly_power: float = 1.0
    num_decay_steps: Optional[int] = None

    def __post_init__(self) -> None:
        check_above_0("num_train_steps", self.num_train_steps)
        check_not_negative("start_warmup_step", self.start_warmup_step)
        check_one_of("schedule", self.schedule, SCHEDULES)
        if self.learning_rate != "auto":
            if isinstance(self.learning_rate, str):
                raise UsageError(
                    "--learning_rate must be a number or auto. Received {}.".format(
                        quoted(self.learning_rate)
                    )
                )
            check_not_negative("learning_rate", self.learning_rate)
        if not 0 <= self.warmup_steps <= self.num_train_steps:
            raise UsageError(
                "num_warmup_steps must be between 0 and num_train_steps={}. Received {}.".format(
                    self.num_train_steps, self.num_warmup_steps
                )
            )
        for flag, value, default, owner in (
            ("num_decay_steps", self.num_decay_steps, None, "wsd"),
            ("poly_power", self.poly_power, 1.0, "linear"),
        ):
            if value != default and self.schedule != owner:
                raise UsageError(
                    "--{}={} is of --schedule={}. Received --schedule={}.".format(
                        flag, value, owner, self.schedule
                    )
                )
        if not 0 <= self.decay_steps <= self.num_train_steps - self.warmup_steps:
            raise UsageError(
                "num_decay_steps must be between 0 and what warm-up leaves of num_train_steps, {}. "
                "Received {}.".format(self.num_train_steps - self.warmup_steps, self.decay_steps)
            )

    @property
    def warmup_steps(self) -> int:
        """Updates of warm-up, as asked for or by default."""
        if self.num_warmup_steps is None:
            return int(_WARMUP_SHARE * self.num_train_steps)
        return self.num_warmup_steps

    @property
    def decay_steps(self) -> int:
        """Updates of the decay of "wsd", as asked for or by default; 0 of other schedules."""
        if self.schedule != "wsd":
            return 0
        if self.num_decay_steps is None:
            after_warmup = self.num_train_steps - self.warmup_steps
            return min(int(_WSD_DECAY_SHARE * self.num_train_steps), after_warmup)
        return self.num_decay_steps

    def with_peak(self, peak: float) -> Schedule:
        """The rate of each update, for the peak rate it stands for."""
        if self.schedule == "linear":
            return polynomial_with_warmup(
                peak,
                self.num_train_steps,
                self.warmup_steps,
                self.poly_power,
                self.start_warmup_step,
            )
        share: Schedule = tf.ones_like
        if self.schedule == "cosine":
            share = cosine_decay(self.start_warmup_step + self.warmup_steps, self.num_train_steps)
        elif self.schedule == "wsd":
            share = late_decay(self.num_train_steps - self.decay_steps, self.num_train_steps)
        return with_warmup(peak, self.warmup_steps, self.start_warmup_step, share)


def with_warmup(
    learning_rate: float, num_warmup_steps: int, start_warmup_step: int, share: Schedule
) -> Schedule:
    """A rate that rises linearly from 0 for some updates and is then a share of its peak.

    Args:
      learning_rate: The peak.
      num_warmup_steps: Updates of the rise.
      start_warmup_step: Update at which it begins; earlier ones have rate 0.
      share: From the number of updates done, float32 [], to the share of the peak.
    """

    def schedule(step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32)
        decayed = learning_rate * share(done)
        if num_warmup_steps == 0:
            return decayed
        warmed = done - float(start_warmup_step)
        warming = learning_rate * tf.maximum(warmed, 0.0) / float(num_warmup_steps)
        return tf.where(warmed < float(num_warmup_steps), warming, decayed)

    return schedule


def cosine_decay(begin: int, end: int) -> Schedule:
    """From 1 to 0 along half a cosine (Loshchilov and Hutter, 2016, arxiv.org/abs/1608.03983)."""
    return lambda done: 0.5 + 0.5 * tf.cos(math.pi * _progress(done, begin, end))


def late_decay(begin: int, end: int) -> Schedule:
    """1 until `begin`, then 1 less the root of progress (Hagele et al., 2024, 2405.18392).

    Nothing before `begin` depends on `end`: a run is prolonged from there, or ended early.
    """
    return lambda done: 1.0 - tf.sqrt(_progress(done, begin, end))


def _progress(done: tf.Tensor, begin: int, end: int) -> tf.Tensor:
    return tf.clip_by_value((done - float(begin)) / float(max(1, end - begin)), 0.0, 1.0)


def polynomial_with_warmup(
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int = 0,
    power: float = 1.0,
    start_warmup_step: int = 0,
) -> Schedule:
    """The schedule of both originals.

    The rate is `learning_rate * (1 - step / num_train_steps) ** power`, counted from step 0. While
    `step - start_warmup_step < num_warmup_steps` it is
    `learning_rate * (step - start_warmup_step) / num_warmup_steps` instead, so it drops a little
    when warm-up ends.

    Args:
      learning_rate: Peak rate.
      num_train_steps: Updates until the rate is 0.
      num_warmup_steps: Updates of linear warm-up.
      power: 1.0 decays linearly.
      start_warmup_step: Update at which warm-up begins; earlier ones have rate 0.

    Returns:
      A function from an integer step tensor [] to a float32 rate [].

    Raises:
      UsageError: A number is out of range.
    """
    if learning_rate < 0.0:
        raise UsageError("learning_rate must not be negative. Received {}.".format(learning_rate))
    if num_train_steps < 1:
        raise UsageError("num_train_steps must be at least 1. Received {}.".format(num_train_steps))
    if not 0 <= num_warmup_steps <= num_train_steps:
        raise UsageError(
            "num_warmup_steps must be between 0 and num_train_steps={}. Received {}.".format(
                num_train_steps, num_warmup_steps
            )
        )

    def share(done: tf.Tensor) -> tf.Tensor:
        return tf.pow(tf.maximum(1.0 - done / float(num_train_steps), 0.0), power)

    return with_warmup(learning_rate, num_warmup_steps, start_warmup_step, share)
