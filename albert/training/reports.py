"""What a pre-training says of itself: lines, metrics, findings, curves, the end on a plateau."""

import functools
import sys
import time
from typing import Mapping, Optional

from absl import logging
from tqdm import tqdm

from albert.checkpoints.state import TrainState
from albert.data.source import Data
from albert.training.diagnosis.facts import LEFT_PLATEAU
from albert.training.diagnosis.watch import Watch
from albert.training.evaluation import HeldOut
from albert.training.log.interval import Interval, pretraining_flops
from albert.training.log.metrics import MetricsLog, draw_curves, format_line
from albert.training.loop import Follower
from albert.training.options import TrainingOptions

PLATEAU_EXIT_CODE = 3


class Reports(Follower):
    """The reports and evaluations of one pre-training."""

    def __init__(
        self,
        options: TrainingOptions,
        data: Data,
        state: TrainState,
        held_out: Optional[HeldOut],
        peak: float,
    ) -> None:
        """Opens the run's files and starts the clock.

        Args:
          options: The run.
          data: Its training records.
          state: Where it stands.
          held_out: Its held-out records, if it has any.
          peak: FLOP/s of the devices together.
        """
        self._options, self._state, self._held_out = options, state, held_out
        self._directory = options.saving.output_dir
        flops = functools.partial(pretraining_flops, options.model)
        self.interval = Interval(options.train_batch_size, flops, peak)
        self._log = MetricsLog(self._directory, int(state.global_step.numpy()))
        self._watch = Watch(options, data, state)
        self._started = time.perf_counter()
        self._stuck = False

    def line(self, step: int, undone: int) -> None:
        """Logs and keeps the interval; finds out whether the run sits on the plateau."""
        total = self._options.schedule.num_train_steps
        values = self.interval.values()
        left = self.interval.seconds_per_step() * (total - step)
        values["skipped_steps"] = int(self._state.skipped_steps.numpy()) - undone
        with tqdm.external_write_mode(file=sys.stderr):
            logging.info("%s", format_line(step, total, values, left))
        values.update(self._watch.trust())
        self._record("train", step, values)
        self.interval.restart()
        self._stuck = self._is_stuck(step)

    def evaluate(self, step: int) -> None:
        """Evaluates the held-out records and keeps the best checkpoint."""
        if self._held_out:
            self._record("eval", step, self._held_out.evaluate(step))

    def resumed(self, step: int) -> None:
        """Evaluates a step that was saved but not evaluated before a break."""
        last = step == self._options.schedule.num_train_steps
        due = last or step % self._options.evaluation.eval_steps == 0
        if step and due and not self._watch.evaluated(step):
            self.evaluate(step)

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Keeps the values of a step; logs what is newly wrong."""
        self._log.write(kind, step, dict(values, **self._watch.floor))
        with tqdm.external_write_mode(file=sys.stderr):
            self._watch.look(dict(values, kind=kind, step=step))

    def _is_stuck(self, step: int) -> bool:
        """Whether the run has sat on the plateau for --stop_on_plateau minutes; logs that."""
        minutes = (time.perf_counter() - self._started) / 60
        patience = self._options.guards.stop_on_plateau
        if not 0 < patience <= minutes or self._watch.left_plateau():
            return False
        logging.error(
            "Stopped at step %d: after %.0f minutes the loss is no %.1f nats below what word "
            "frequencies give (--stop_on_plateau). python -m albert diagnose %s says why.",
            step,
            minutes,
            LEFT_PLATEAU,
            self._directory or "OUTPUT_DIR",
        )
        return True

    def exit_code(self) -> Optional[int]:
        """That of a run on the plateau."""
        return PLATEAU_EXIT_CODE if self._stuck else None

    def go_back(self, step: int) -> None:
        """Takes back the metrics, the findings and the best checkpoint beyond a step."""
        self._log.go_back(step)
        self._watch.go_back(step)
        self.interval.restart()
        if self._held_out:
            self._held_out.forget_best_beyond(step)

    def finish(self) -> None:
        """Draws the curves of the whole run."""
        if self._directory:
            draw_curves(self._directory)

    def close(self) -> None:
        """Flushes the files."""
        self._log.close()
