"""Back to the last good checkpoint, or the start, with a lower rate when gradients go bad."""

import dataclasses
import json
import os
from typing import Callable, Optional

import numpy as np
from absl import logging

from albert.hosts.group import Hosts
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_as
from albert.training.loop.learner import Learner

_FILE = "rollbacks.json"
_SHARE = 0.5  # of the rate that is left after each
_MOST_COUNTED = 1000


@dataclasses.dataclass(frozen=True)
class _Kept:
    count: int
    undone: int
    learning_rate: float


class Rollbacks:
    """How often a run has gone back; kept in its directory, so that a resume goes on from there.

    Attributes:
      undone: Updates that were good and are lost. `skipped_steps` counts them, too, because the
        number of the next batch is its sum with `global_step`.
    """

    def __init__(
        self,
        most: int,
        learning_rate: float,
        directory: Optional[str],
        go_back: Callable[[Learner], str],
    ) -> None:
        """Reads the count of the run, which another learning rate starts anew.

        Args:
          most: How often a run may go back.
          learning_rate: The peak rate that was asked for.
          directory: The run's; None keeps nothing.
          go_back: Puts a learner back and returns where that is, for messages.
        """
        self._most, self._rate, self._go_back = most, learning_rate, go_back
        self._path = os.path.join(directory, _FILE) if directory else None
        self._count, self.undone = 0, 0
        if self._path and os.path.isfile(self._path):
            kept: _Kept = read_as(_Kept, self._path, "rollbacks")
            if not 0 <= kept.count <= _MOST_COUNTED or kept.undone < 0:
                raise UsageError("{} is damaged. Remove it and start again.".format(self._path))
            self.undone = kept.undone
            if kept.learning_rate == learning_rate:
                self._count = kept.count
                logging.info("After %d rollbacks the rate is %.3g", self._count, self._now())

    def take_from_first(self, hosts: Hosts) -> None:
        """Goes by what the first of several hosts has read, which alone has the directory."""
        counts = hosts.from_first([np.int64(self._count), np.int64(self.undone)], "rollbacks")
        self._count, self.undone = (int(count) for count in counts)

    def rate_share(self) -> float:
        """Share of the learning rate that is left."""
        return _SHARE**self._count

    def _now(self) -> float:
        return self._rate * self.rate_share()

    def take(self, learner: Learner) -> None:
        """Goes back; the batches since then are not read again.

        Args:
          learner: To be put back.

        Raises:
          UsageError: It was done too often.
        """
        if self._count >= self._most:
            raise UsageError(
                "The gradient stays without a finite value at a rate of {:.3g}, after {} rollbacks "
                "(--max_rollbacks). Lower --learning_rate, or give more --num_warmup_steps, and "
                "start again.".format(self._now(), self._count)
            )
        position, step = learner.state.next_batch(), learner.global_step
        where = self._go_back(learner)
        restored = learner.global_step
        learner.state.skipped_steps.assign(position - restored)
        self.undone += step - restored
        self._count += 1
        if self._path:
            kept = _Kept(self._count, self.undone, self._rate)
            with atomic_write(self._path) as handle:
                handle.write(json.dumps(dataclasses.asdict(kept)) + "\n")
        logging.warning(
            "Rolled back to %s; the rate is %.3g from now on (rollback %d of %d)",
            where,
            self._now(),
            self._count,
            self._most,
        )
