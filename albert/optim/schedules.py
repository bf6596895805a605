"""Learning rate as a pure function of the number of updates done."""

from typing import Callable

from albert.compat import tf
from albert.system.errors import UsageError

Schedule = Callable[[tf.Tensor], tf.Tensor]


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
