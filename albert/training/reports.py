"""What a run says about itself: log lines, metrics, findings, curves, the end on a plateau."""

import sys
import time
from typing import Mapping

from absl import logging
from tqdm import tqdm

from albert.checkpoints.state import TrainState
from albert.data.source import Data
from albert.training.diagnosis.facts import LEFT_PLATEAU
from albert.training.diagnosis.watch import Watch
from albert.training.log.interval import Interval
from albert.training.log.metrics import MetricsLog, draw_curves, format_line
from albert.training.options import TrainingOptions


class Reports:
    """The reports of one run.

    Attributes:
      interval: What happened since the last log line.
    """

    def __init__(
        self, options: TrainingOptions, data: Data, state: TrainState, peak: float
    ) -> None:
        """Opens the run's files and starts the clock.

        Args:
          options: The run.
          data: Its training records.
          state: Where it stands.
          peak: FLOP/s of the devices together.
        """
        self._options, self._state = options, state
        self.interval = Interval(options.model, options.train_batch_size, peak)
        self._log = MetricsLog(options.output_dir, int(state.global_step.numpy()))
        self._watch = Watch(options, data, state)
        self._started = time.perf_counter()

    def line(self, step: int, undone: int) -> None:
        """Reports the interval since the last line, and begins another.

        Args:
          step: Updates done.
          undone: Updates lost to rollbacks, which `skipped_steps` counts too.
        """
        total = self._options.num_train_steps
        values = self.interval.values()
        left = self.interval.seconds_per_step() * (total - step)
        values["skipped_steps"] = int(self._state.skipped_steps.numpy()) - undone
        with tqdm.external_write_mode(file=sys.stderr):
            logging.info("%s", format_line(step, total, values, left))
        values.update(self._watch.trust())
        self.record("train", step, values)
        self.interval.restart()

    def record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Keeps the values of a step; logs what is newly wrong."""
        self._log.write(kind, step, dict(values, **self._watch.floor))
        with tqdm.external_write_mode(file=sys.stderr):
            self._watch.look(dict(values, kind=kind, step=step))

    def stuck(self, step: int) -> bool:
        """Whether the run has sat on the plateau for --stop_on_plateau minutes; logs that."""
        minutes = (time.perf_counter() - self._started) / 60
        if not 0 < self._options.stop_on_plateau <= minutes or self._watch.left_plateau():
            return False
        logging.error(
            "Stopped at step %d: after %.0f minutes the loss is no %.1f nats below what word "
            "frequencies give (--stop_on_plateau). python -m albert diagnose %s says why.",
            step,
            minutes,
            LEFT_PLATEAU,
            self._options.output_dir or "OUTPUT_DIR",
        )
        return True

    def go_back(self, step: int) -> None:
        """Takes back what was said beyond a step: the run has gone back there."""
        self._log.go_back(step)
        self._watch.go_back(step)
        self.interval.restart()

    def draw(self) -> None:
        """Draws the curves of the whole run."""
        if self._options.output_dir:
            draw_curves(self._options.output_dir, floor=self._watch.floor)

    def close(self) -> None:
        """Flushes the files."""
        self._log.close()
