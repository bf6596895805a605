"""What a pre-training says of itself: lines, metrics, findings, curves, the end on a plateau."""

import functools
import math
import time
from typing import Dict, List, Mapping, Optional

from absl import logging

from albert.checkpoints.folder import LOG_FILE, read_flags
from albert.checkpoints.state import TrainState
from albert.system.errors import UsageError
from albert.system.screen import console
from albert.training.diagnosis.facts import LEFT_PLATEAU
from albert.training.diagnosis.watch import Watch
from albert.training.evaluation import HeldOut
from albert.training.feeds import Feeds
from albert.training.log.interval import Interval, pretraining_flops
from albert.training.log.metrics import CURVES_FILE, MetricsLog, draw_curves, format_line
from albert.training.log.report import REPORT_FILE, write_report
from albert.training.log.summary import best_evaluation, in_words, summary
from albert.training.log.trackers import Place, Tracker, open_trackers
from albert.training.loop.loop import Follower
from albert.training.options import TrainingOptions

PLATEAU_EXIT_CODE = 3


class Helper(Follower):
    """What hosts beside the first do between updates: their share of the evaluations."""

    def __init__(self, held_out: Optional[HeldOut]) -> None:
        """Takes the held-out records of the run, if it has any."""
        self._held_out = held_out
        self.interval = Interval()

    def line(self, step: int, undone: int) -> None:
        """The first host reports for all."""
        self.interval.restart()

    def evaluate(self, step: int) -> None:
        """Evaluates a share of the held-out records."""
        if self._held_out:
            self._held_out.evaluate(step)

    def resumed(self, step: int) -> None:
        """Evaluates what the first host says was not evaluated."""
        if self._held_out and self._held_out.agreed(False):
            self.evaluate(step)

    def go_back(self, step: int) -> None:
        """Nothing was reported here."""
        self.interval.restart()


class Reports(Follower):
    """The reports and evaluations of one pre-training."""

    def __init__(
        self,
        options: TrainingOptions,
        feeds: Feeds,
        state: TrainState,
        held_out: Optional[HeldOut],
        peak: float,
        progress: bool,
        hosts: int = 1,
    ) -> None:
        """Opens the run's files and starts the clock.

        Args:
          options: The run.
          feeds: Its training records.
          state: Where it stands.
          held_out: Its held-out records, if it has any.
          peak: FLOP/s of the devices of this host together.
          progress: Whether there is a bar, which takes the place of the lines.
          hosts: Which share each batch.
        """
        self._say = logging.debug if progress else logging.info
        self._status: Dict[str, str] = {}
        self._options, self._state, self._held_out = options, state, held_out
        self._feeds = feeds
        self._directory = options.saving.output_dir
        flops = functools.partial(pretraining_flops, options.model)
        self.interval = Interval(hosts, flops, peak)
        self._log = MetricsLog(
            self._directory, int(state.global_step.numpy()), self._opened_trackers()
        )
        self._watch = Watch(options, feeds.main.data, state)
        self._started = time.perf_counter()
        self._stuck = self._exhausted = False

    def _opened_trackers(self) -> List[Tracker]:
        directory, saving = self._directory, self._options.saving
        if not directory:
            return []
        place = Place(directory, read_flags(directory), saving.tensorboard_dir)
        return open_trackers(saving.tracker, place)

    def line(self, step: int, undone: int) -> None:
        """Logs and keeps the interval; finds out whether the run sits on the plateau."""
        total = self._options.schedule.num_train_steps
        values = self.interval.values()
        left = self.interval.seconds_per_step() * (total - step)
        values["skipped_steps"] = int(self._state.skipped_steps.numpy()) - undone
        if self._options.data.skip_corrupt:
            values["skipped_records"] = len(self._feeds.damaged)
        self._say("%s", format_line(step, total, values, left))
        self._status["loss"] = "{:.3f}".format(values.get("loss", math.nan))
        values.update(self._watch.trust())
        self._record("train", step, values)
        self.interval.restart()
        self._stuck = self._is_stuck(step)

    def evaluate(self, step: int) -> None:
        """Evaluates the held-out records and keeps the best checkpoint."""
        if self._held_out:
            results = self._held_out.evaluate(step)
            logging.info("step %d, held out: %s", step, in_words(results))
            if "masked_lm_accuracy" in results:
                share = "{:.1%}".format(results["masked_lm_accuracy"])
                self._status["held-out words right"] = share
            self._record("eval", step, results)
            self._report()
            self._exhausted = self._is_exhausted(step)

    def resumed(self, step: int) -> None:
        """Evaluates a step that was saved but not evaluated before a break."""
        last = step == self._options.schedule.num_train_steps
        due = last or step % self._options.evaluation.eval_steps == 0
        missing = bool(step and due and not self._watch.evaluated(step))
        if self._held_out and self._held_out.agreed(missing):
            self.evaluate(step)
        else:
            self._exhausted = self._is_exhausted(step)

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Keeps the values of a step; logs what is newly wrong."""
        self._log.write(kind, step, dict(values, **self._watch.floor))
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

    def _is_exhausted(self, step: int) -> bool:
        """Whether --patience evaluations have brought nothing better; logs that."""
        patience, (best, since) = self._options.guards.patience, best_evaluation(self._watch.lines)
        if not 0 < patience <= since or step >= self._options.schedule.num_train_steps:
            return False
        logging.info(
            "Stopped at step %d: %s gave no better loss than %.3f nats of step %d (--patience).",
            step,
            console.plural(since, "evaluation"),
            best.get("loss", math.nan),
            best["step"],
        )
        return True

    def exit_code(self) -> Optional[int]:
        """That of a run on the plateau; 0 where evaluations get no better."""
        return PLATEAU_EXIT_CODE if self._stuck else 0 if self._exhausted else None

    def go_back(self, step: int) -> None:
        """Takes back the metrics, the findings and the best checkpoint beyond a step."""
        self._exhausted = False
        self._log.go_back(step)
        self._watch.go_back(step)
        self.interval.restart()
        if self._held_out:
            self._held_out.forget_best_beyond(step)

    def status(self) -> str:
        """Loss, and how many held-out words are right."""
        return ", ".join("{} {}".format(*item) for item in self._status.items())

    def finish(self) -> None:
        """Draws the curves of the whole run, and says how it ended."""
        if self._directory:
            draw_curves(self._directory)
        self._report()
        rows = summary(self._watch.lines, self._watch.floor)
        if rows:
            logging.info("\n%s\n", console.table(rows))
        if self._directory:
            files = (LOG_FILE, CURVES_FILE, REPORT_FILE, self._directory)
            logging.info("Checkpoints, %s, %s and %s are in %s", *files)

    def _report(self) -> None:
        """Writes the page of the run, for which no training ends."""
        try:
            if self._directory:
                write_report(self._directory)
        except (OSError, UsageError) as error:
            logging.warning("%s was not written: %s", REPORT_FILE, error)

    def close(self) -> None:
        """Flushes the files."""
        self._log.close()
