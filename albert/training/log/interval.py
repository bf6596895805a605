"""Averages and rates between two log lines."""

import time
from typing import Any, Callable, Dict, Optional

from albert.data.dataset import Batch
from albert.model.config import ModelConfig
from albert.model.flops import training_flops
from albert.training.step.step import StepResult
from albert.training.step.totals import Totals


def pretraining_flops(config: ModelConfig, batch: Batch) -> float:
    """Floating-point operations of a step on a batch, as laid out in rows."""
    rows, length = batch["input_ids"].shape
    predictions = batch["masked_lm_positions"].shape[1]
    examples = batch["example_positions"].shape[1] if "example_positions" in batch else 1
    return training_flops(config, rows, length, predictions, predictions + examples)


class Interval:
    """What happened since the last log line.

    Time spent saving and evaluating is left out of the rates by `pause`.

    Attributes:
      waited: Seconds that steps waited for their batches.
      network: Seconds that they spent adding up with other hosts.
    """

    def __init__(
        self,
        hosts: int = 1,
        flops: Optional[Callable[[Batch], float]] = None,
        peak: Optional[float] = None,
    ) -> None:
        """Starts the clock.

        Args:
          hosts: Which share a step's batch in equal parts.
          flops: Operations of a step on a batch; None leaves MFU out.
          peak: FLOP/s of the devices together.
        """
        self._hosts, self._flops_of, self._peak = hosts, flops, peak
        self.restart()

    def restart(self) -> None:
        """Forgets everything and starts the clock again."""
        self._totals = Totals()
        self._start = time.perf_counter()
        self._paused = 0.0
        self.waited = self.network = 0.0
        self._steps = self._examples = 0
        self._flops = 0.0
        self._tokens = 0.0
        self._last: Any = None

    def add(self, batch: Batch, result: StepResult, timed: bool = True) -> None:
        """Counts one step; one whose time was paused counts for the means only."""
        self._totals.add(result.sums)
        self._last = result
        if not timed:
            return
        self._steps += 1
        # An example's number in its row, whether it has the row to itself or not.
        self._examples += self._hosts * int(batch["input_mask"].max(axis=1).sum())
        if self._flops_of:
            self._flops += self._flops_of(batch)
        self._tokens += float(result.tokens)
        self.network += float(result.network)

    def pause(self, seconds: float) -> None:
        """Leaves time out of the rates."""
        self._paused += seconds

    def seconds_per_step(self) -> float:
        """Mean duration of a step."""
        return self._elapsed() / max(1, self._steps)

    def values(self) -> Dict[str, float]:
        """Means over the interval, rates (tokens without padding), and the last step's norm."""
        elapsed = self._elapsed()
        values = self._totals.means()
        values.update(
            learning_rate=float(self._last.learning_rate),
            gradient_norm=float(self._last.gradient_norm),
            sequences_per_second=self._examples / elapsed,
            tokens_per_second=self._tokens / elapsed,
            input_wait=self.waited / elapsed,
        )
        if self.network:
            values["network_wait"] = self.network / elapsed
        if self._peak:
            values["mfu"] = self._flops / elapsed / self._peak
        return values

    def _elapsed(self) -> float:
        return max(1e-9, time.perf_counter() - self._start - self._paused)
