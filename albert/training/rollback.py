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

    def __init__(self, directory: Optional[str], most: int, learning_rate: float) -> None:
        """Reads the count, which another learning rate starts anew.

        Args:
          directory: The run's; without one there is nothing to go back to.
          most: Rollbacks allowed.
          learning_rate: The peak rate the run was told to take.
        """
        self._directory, self._most, self._rate = directory, most, learning_rate
        self._count, self.undone = 0, 0
        path = os.path.join(directory or "", _FILE)
        if directory and os.path.isfile(path):
            with open(path, encoding="utf-8") as handle:
                kept = json.load(handle)
            self.undone = kept["undone"]
            if kept["learning_rate"] == learning_rate:
                self._count = kept["count"]
                logging.info("After %d rollbacks the rate is %.3g", self._count, self._now())

    def rate_factor(self) -> float:
        """What the learning rate is multiplied by from now on."""
        return _SHARE**self._count

    def _now(self) -> float:
        return self._rate * self.rate_factor()

    def take(self, config: ModelConfig, state: TrainState) -> None:
        """Restores the last checkpoint; the batches since then are not read again.

        `undone` then counts the updates that were good and are lost; `skipped_steps` has them too,
        because the number of the next batch is its sum with `global_step`.

        Args:
          config: The model.
          state: To be restored.

        Raises:
          UsageError: There is no checkpoint to go back to, or it was done too often.
        """
        prefix = latest_checkpoint(self._directory) if self._directory else None
        if prefix is None or self._count >= self._most:
            raise UsageError(
                "The gradient stays without a finite value at a rate of {:.3g}, {}. Lower "
                "--learning_rate, or give more --num_warmup_steps, and start again.".format(
                    self._now(),
                    "after {} rollbacks (--max_rollbacks)".format(self._count)
                    if prefix
                    else "and there is no checkpoint to go back to",
                )
            )
        position, step = state.next_batch(), int(state.global_step.numpy())
        resume(config, state, prefix)
        restored = int(state.global_step.numpy())
        state.skipped_steps.assign(position - restored)
        self.undone += step - restored
        self._count += 1
        kept = {"count": self._count, "undone": self.undone, "learning_rate": self._rate}
        with atomic_write(os.path.join(self._directory, _FILE)) as handle:
            handle.write(json.dumps(kept) + "\n")
        logging.warning(
            "Rolled back to %s; the rate is %.3g from now on (rollback %d of %d)",
            prefix,
            self._now(),
            self._count,
            self._most,
        )
