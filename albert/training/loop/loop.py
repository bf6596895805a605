"""The loop of every training: updates, one after the other, with what is due between them."""

import collections
import time
from typing import Any, Callable, Deque, Iterator, NamedTuple, Optional, Set, Tuple

import numpy as np
from absl import logging

from albert.checkpoints.manager import CheckpointManager
from albert.compat import tf
from albert.data.batches import prefetch
from albert.data.dataset import Batch
from albert.hosts.agreement import check_equal
from albert.system.errors import UsageError
from albert.system.screen.progress import progress_bar
from albert.training.log.interval import Interval
from albert.training.loop.learner import Learner
from albert.training.loop.rollback import Rollbacks
from albert.training.loop.signals import SIGNALLED, StopRequest, stop_on_signal
from albert.training.step.step import StepResult

_MAX_SKIPPED_IN_A_ROW = 20


class Due(NamedTuple):
    """After how many updates something is due.

    Attributes:
      end: The end of the run.
      line: A line of the log.
      save: A checkpoint.
      evaluation: An evaluation; also due at the end.
    """

    end: int
    line: int
    save: int
    evaluation: int


class Follower:
    """What goes along with a run: its reports, its evaluations, its reasons to end early.

    Attributes:
      interval: Averages and rates since the last line.
    """

    interval: Interval

    def line(self, step: int, undone: int) -> None:
        """Reports the interval that ends at a step, and begins another.

        Args:
          step: Updates done.
          undone: Updates lost to rollbacks, which `skipped_steps` counts too.
        """
        raise NotImplementedError

    def evaluate(self, step: int) -> None:
        """Evaluates the weights of a step."""

    def resumed(self, step: int) -> None:
        """The run goes on from a step; makes up for what a break has kept from it."""

    def exit_code(self) -> Optional[int]:
        """What the run should end with now; None to go on."""
        return None

    def go_back(self, step: int) -> None:
        """Takes back what was reported beyond a step: the run has gone back there."""
        raise NotImplementedError

    def finish(self) -> None:
        """The run has come to its end, not to a signal."""

    def close(self) -> None:
        """Flushes what is open; called in any case."""

    def status(self) -> str:
        """What the bar shows beside the steps."""
        return ""


class _Running(NamedTuple):
    """A step that was started; `timed` unless it was built, whose time means nothing."""

    batch: Batch
    result: StepResult
    timed: bool


class Loop:
    """One run in progress."""

    def __init__(
        self,
        learner: Learner,
        batches: Callable[[int], Iterator[Batch]],
        due: Due,
        follower: Follower,
        manager: Optional[CheckpointManager],
        rollbacks: Rollbacks,
        progress: bool,
        programs: int = 1,
    ) -> None:
        """Puts a run together; nothing is computed yet.

        Args:
          learner: Where the run stands, and the step.
          batches: The batches of the run from a number on.
          due: When to do what.
          follower: What goes along.
          manager: Where checkpoints go; None saves nothing. Of several hosts the first has one.
          rollbacks: How often the run has gone back.
          progress: Whether to show a bar.
          programs: How many shapes batches have, as far as that is known; each is built once.
        """
        self._learner, self._batches, self._due = learner, batches, due
        self._follower, self._manager, self._rollbacks = follower, manager, rollbacks
        self._progress, self._programs = progress, programs
        saved = manager is not None and manager.latest() is not None
        (anywhere,) = learner.hosts.from_first([np.bool_(saved)], "saved")
        self._saved_step: Optional[int] = learner.global_step if anywhere else None
        self._shapes_seen: Set[Tuple[int, ...]] = set()
        self._skipped = 0  # updates in a row

    def go(self) -> int:
        """Runs to the end, to a signal or to where the follower ends it.

        Returns:
          The exit code: 0 when done, 128 + signal when a signal ended the run after saving, or
          what the follower says.

        Raises:
          UsageError: Gradients stay without a finite value.
        """
        learner, due = self._learner, self._due
        batches = prefetch(self._batches(learner.state.next_batch()))
        bar = progress_bar(
            total=due.end, initial=learner.global_step, unit="step", disable=not self._progress
        )
        try:
            with stop_on_signal() as stop, bar:
                if self._saved_step is not None:
                    self._follower.resumed(self._saved_step)
                code = self._run(batches, bar, stop) or 0
            self._save(learner.global_step)
            if code > SIGNALLED:
                logging.info(
                    "Stopped by signal %d at step %d%s",
                    code - SIGNALLED,
                    learner.global_step,
                    "; the same command goes on" if self._manager else "",
                )
                return code
            self._follower.finish()
            return code
        finally:
            batches.close()
            self._follower.close()

    def _run(self, batches: Iterator[Batch], bar: Any, stop: StopRequest) -> Optional[int]:
        """Goes on until the end, or to where somebody wants to end; returns the exit code then."""
        step, end = self._learner.global_step, self._due.end
        if step >= end:
            logging.info("Already at step %d of %d", step, end)
        wish = self._agreed(self._wish(stop))
        # A device computes while the result before is read: a GPU does not wait for Python. What
        # is due at a step needs its weights, so that step is waited for.
        running: Deque[_Running] = collections.deque()
        while step < end and wish is None:
            waiting = time.perf_counter()
            batch = self._next(batches)
            self._follower.interval.waited += time.perf_counter() - waiting
            running.append(self._compute(batch, self._wish(stop)))
            while len(running) > 1 or running and self._is_awaited(step + 1):
                one = running.popleft()
                step = self._finish(one, step, bar)
                wish = _said(one.result)
            if self._learner.hosts.count == 1:
                wish = self._wish(stop)
        for one in running:
            self._finish(one, step, bar)
        return wish

    def _next(self, batches: Iterator[Batch]) -> Batch:
        try:
            return next(batches)
        except UsageError:  # damaged records: what was learned stays
            if self._learner.hosts.count == 1:
                self._save(self._learner.global_step)
            raise

    def _is_awaited(self, step: int) -> bool:
        """Whether the next step starts only when the result of this one is known."""
        due = self._due
        is_due = step == due.end or not all(step % n for n in (due.line, due.save, due.evaluation))
        return is_due or self._skipped > 0

    def _finish(self, one: "_Running", step: int, bar: Any) -> int:
        """Reads a result and does what is due; returns how many updates are done then."""
        if not bool(one.result.applied):
            bar.n = self._skip(step)
            return bar.n
        step, self._skipped = step + 1, 0
        bar.update()
        self._follower.interval.add(one.batch, one.result, one.timed)
        self._do_what_is_due(step)
        bar.set_postfix_str(self._follower.status(), refresh=False)
        return step

    def _wish(self, stop: StopRequest) -> Optional[int]:
        """The exit code with which this host would end now; None to go on."""
        return self._follower.exit_code() if stop.signal is None else stop.exit_code

    def _agreed(self, wish: Optional[int]) -> Optional[int]:
        """What the first host wishes before the first step; later ones carry the wishes of all."""
        (said,) = self._learner.hosts.from_first([np.int64(-1 if wish is None else wish)], "wish")
        return None if said < 0 else int(said)

    def _compute(self, batch: Batch, wish: Optional[int]) -> "_Running":
        """Starts the step."""
        shape = batch["input_ids"].shape
        said = tf.constant(0.0 if wish is None else 1.0 + wish)
        if shape in self._shapes_seen:
            return _Running(batch, self._learner.step(batch, said), timed=True)
        self._shapes_seen.add(shape)
        number = len(self._shapes_seen)
        several = 1 < self._programs >= number
        logging.info(
            "Building the step for %d rows of %d pieces%s; this takes longer",
            *shape,
            " ({} of about {} sizes)".format(number, self._programs) if several else "",
        )
        start = time.perf_counter()
        result = self._learner.step(batch, said)
        seconds = time.perf_counter() - start
        self._follower.interval.pause(seconds)
        logging.debug("  Built after %.1f s; %d program(s) so far", seconds, len(self._shapes_seen))
        return _Running(batch, result, timed=False)

    def _skip(self, step: int) -> int:
        """Counts an update that was not made, or goes back; returns how many are done then."""
        self._skipped += 1
        logging.warning(
            "Gradient not finite: step skipped on all towers (%d in a row)", self._skipped
        )
        if self._skipped < _MAX_SKIPPED_IN_A_ROW:
            return step
        self._rollbacks.take(self._learner)
        step = self._learner.global_step
        self._follower.go_back(step)
        self._saved_step = None  # the same weights again, with the batches that are left behind
        self._save(step)
        self._shapes_seen = set()
        self._learner.lower_rate(self._rollbacks.rate_share())
        self._skipped = 0
        return step

    def _do_what_is_due(self, step: int) -> None:
        due = self._due
        last = step == due.end
        if step % due.line == 0 or last:
            self._follower.line(step, self._rollbacks.undone)
        start = time.perf_counter()
        if step % due.save == 0:
            self._save(step)
        if step % due.evaluation == 0 or last:
            self._follower.evaluate(step)
        self._follower.interval.pause(time.perf_counter() - start)

    def _save(self, step: int) -> None:
        if self._saved_step == step:
            return
        variables = self._learner.state.variables()
        check_equal(self._learner.hosts, variables, step)
        self._saved_step = step
        if self._manager:
            logging.debug("Saved %s", self._manager.save(variables, step))


def _said(result: StepResult) -> Optional[int]:
    """The exit code that some host wished for before the step; None if nobody did.

    All hosts read it from the same sum, and so end after the same update.
    """
    wish = int(max(result.wishes.numpy()))
    return wish - 1 if wish else None
