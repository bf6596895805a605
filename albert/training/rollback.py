"""Back to the last good checkpoint with a lower rate, when gradients stop being finite."""

import json
import os
from typing import Optional

from absl import logging

from albert.checkpoints.manager import latest_checkpoint
from albert.checkpoints.restore import resume
from albert.config import ModelConfig
from albert.errors import UsageError
from albert.files import atomic_write
from albert.training.state import TrainState

_FILE = "rollbacks.json"
_SHARE = 0.5  # of the rate that is left after each


class Rollbacks:
    """How often a run has gone back; kept in its directory, so that a resume goes on from there."""

    def __init__(self, directory: Optional[str], most: int) -> None:
        """Reads the count.

        Args:
          directory: The run's; without one there is nothing to go back to.
          most: Rollbacks allowed.
        """
        self._directory, self._most, self.count = directory, most, 0
        path = os.path.join(directory or "", _FILE)
        if directory and os.path.isfile(path):
            with open(path, encoding="utf-8") as handle:
                self.count = json.load(handle)["count"]

    def rate_factor(self) -> float:
        """What the learning rate is multiplied by from now on."""
        return _SHARE**self.count

    def take(self, config: ModelConfig, state: TrainState, rate: float) -> None:
        """Restores the last checkpoint; the batches since then are not read again.

        Args:
          config: The model.
          state: To be restored.
          rate: The peak rate that failed, for the message.

        Raises:
          UsageError: There is no checkpoint to go back to, or it was done too often.
        """
        prefix = latest_checkpoint(self._directory) if self._directory else None
        if prefix is None or self.count >= self._most:
            raise UsageError(
                "The gradient stays without a finite value at a rate of {:.3g}, {}. Lower "
                "--learning_rate, or give more --num_warmup_steps, and start again.".format(
                    rate,
                    "after {} rollbacks (--max_rollbacks)".format(self.count)
                    if prefix
                    else "and there is no checkpoint to go back to",
                )
            )
        position = state.next_batch()
        resume(config, state, prefix)
        state.skipped_steps.assign(position - int(state.global_step.numpy()))
        self.count += 1
        with atomic_write(os.path.join(self._directory, _FILE)) as handle:
            handle.write(json.dumps({"count": self.count}) + "\n")
        logging.warning(
            "Rolled back to %s; the rate is %.3g from now on (rollback %d of %d)",
            prefix,
            rate * _SHARE,
            self.count,
            self._most,
        )
