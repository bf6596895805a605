"""Back to the last good checkpoint, or the start, with a lower rate when gradients go bad."""

import json
import os

from absl import logging

from albert.checkpoints.state import TrainState
from albert.system.errors import UsageError
from albert.system.files import atomic_write
from albert.training.options import TrainingOptions
from albert.training.setup import go_back

_FILE = "rollbacks.json"
_SHARE = 0.5  # of the rate that is left after each


class Rollbacks:
    """How often a run has gone back; kept in its directory, so that a resume goes on from there."""

    def __init__(self, options: TrainingOptions) -> None:
        """Reads the count of the run, which another learning rate starts anew."""
        self._options = options
        self._path = os.path.join(options.output_dir, _FILE) if options.output_dir else None
        self._count, self.undone = 0, 0
        if self._path and os.path.isfile(self._path):
            with open(self._path, encoding="utf-8") as handle:
                kept = json.load(handle)
            self.undone = kept["undone"]
            if kept["learning_rate"] == options.learning_rate:
                self._count = kept["count"]
                logging.info("After %d rollbacks the rate is %.3g", self._count, self._now())

    def rate_factor(self) -> float:
        """What the learning rate is multiplied by from now on."""
        return _SHARE**self._count

    def _now(self) -> float:
        return self._options.learning_rate * self.rate_factor()

    def take(self, state: TrainState) -> None:
        """Goes back; the batches since then are not read again.

        `undone` then counts the updates that were good and are lost; `skipped_steps` has them too,
        because the number of the next batch is its sum with `global_step`.

        Args:
          state: To be put back.

        Raises:
          UsageError: It was done too often.
        """
        most = self._options.max_rollbacks
        if self._count >= most:
            raise UsageError(
                "The gradient stays without a finite value at a rate of {:.3g}, after {} rollbacks "
                "(--max_rollbacks). Lower --learning_rate, or give more --num_warmup_steps, and "
                "start again.".format(self._now(), self._count)
            )
        position, step = state.next_batch(), int(state.global_step.numpy())
        where = go_back(self._options, state)
        restored = int(state.global_step.numpy())
        state.skipped_steps.assign(position - restored)
        self.undone += step - restored
        self._count += 1
        if self._path:
            rate = self._options.learning_rate
            kept = {"count": self._count, "undone": self.undone, "learning_rate": rate}
            with atomic_write(self._path) as handle:
                handle.write(json.dumps(kept) + "\n")
        logging.warning(
            "Rolled back to %s; the rate is %.3g from now on (rollback %d of %d)",
            where,
            self._now(),
            self._count,
            most,
        )
