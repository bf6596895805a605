"""Learning rate as a pure function of the number of updates done."""

import dataclasses
from typing import Callable, Optional, Union

from albert.compat import tf
from albert.system.errors import UsageError, check_above_0, check_not_negative

Schedule = Callable[[tf.Tensor], tf.Tensor]

_WARMUP_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate over a run.

    Attributes:
      num_train_steps: Updates in the whole run.
      learning_rate: Peak rate, or "auto" for the one that suits the run (`optim.rates`).
      num_warmup_steps: Updates of warm-up; None for a tenth of all.
      start_warmup_step: Update at which warm-up begins.
      poly_power: Power of the polynomial decay.
    """

    num_train_steps: int = 100000
    learning_rate: Union[float, str] = "auto"
    num_warmup_steps: Optional[int] = None
    start_warmup_step: int = 0
    poly_power: float = 1.0

    def __post_init__(self) -> None:
        check_above_0("num_train_steps", self.num_train_steps)
        check_not_negative("start_warmup_step", self.start_warmup_step)
        if self.learning_rate != "auto":
            if isinstance(self.learning_rate, str):
                raise UsageError(
                    "--learning_rate must be a number or auto. Received {!r}.".format(
                        self.learning_rate
                    )
                )
            check_not_negative("learning_rate", self.learning_rate)
        if not 0 <= self.warmup_steps <= self.num_train_steps:
            raise UsageError(
                "num_warmup_steps must be between 0 and num_train_steps={}. Received {}.".format(
                    self.num_train_steps, self.num_warmup_steps
                )
            )

    @property
    def warmup_steps(self) -> int:
        """Updates of warm-up, as asked for or by default."""
        if self.num_warmup_steps is None:
            return int(_WARMUP_SHARE * self.num_train_steps)
        return self.num_warmup_steps

    def schedule(self, peak: float) -> Schedule:
        """The schedule with the peak rate it stands for."""
        return polynomial_with_warmup(
            peak, self.num_train_steps, self.warmup_steps, self.poly_power, self.start_warmup_step
        )


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

    def schedule(step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32)
        remaining = tf.maximum(1.0 - done / float(num_train_steps), 0.0)
        decayed = learning_rate * tf.pow(remaining, power)
        if num_warmup_steps == 0:
            return decayed
        warmed = done - float(start_warmup_step)
        warming = learning_rate * tf.maximum(warmed, 0.0) / float(num_warmup_steps)
        return tf.where(warmed < float(num_warmup_steps), warming, decayed)

    return schedule
