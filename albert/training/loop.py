"""The training run: steps, one after the other, with what is due between them."""

import sys
import time
from typing import Optional, Sequence, Set, Tuple

from absl import logging
from tqdm import tqdm

from albert.checkpoints.manager import CheckpointManager, latest_checkpoint
from albert.data.batches import BatchOrder, prefetch, training_batches
from albert.data.dataset import Batch
from albert.data.packing import Layout
from albert.data.source import Data, log_features
from albert.model.precision import policy
from albert.system.devices import matmul_peak
from albert.training.evaluation import HeldOut, forget_best_beyond
from albert.training.memory.check import check_memory, machine_of
from albert.training.options import TrainingOptions
from albert.training.reports import Reports
from albert.training.rollback import Rollbacks
from albert.training.setup import build_step, claimed, open_records, prepare_state
from albert.training.signals import stop_on_signal
from albert.training.step import StepResult
from albert.training.towers import check_batch_size

PLATEAU_EXIT_CODE = 3
_MAX_SKIPPED_IN_A_ROW = 20


def train(options: TrainingOptions, devices: Sequence[str], flags_text: str) -> int:
    """Trains until `num_train_steps`, resuming what `output_dir` holds.

    Args:
      options: The run.
      devices: One tower runs on each.
      flags_text: The flags of the run, kept in its directory.

    Returns:
      The exit code: 0 when done, 128 + signal when a signal ended the run after saving, 3 when
      --stop_on_plateau did.

    Raises:
      UsageError: The run cannot be done as asked; the message says why.
    """
    micro_batches = len(devices) * options.step.accumulation
    check_batch_size(options.train_batch_size, micro_batches, "train_batch_size")
    check_batch_size(options.eval_batch_size, len(devices), "eval_batch_size")
    options.schedule()  # refuses impossible numbers before anything is read
    progress = not options.tqdm_off and sys.stderr.isatty()
    data = open_records(options, "input_file", progress)
    held_out = open_records(options, "eval_file", progress) if options.eval_file else None
    layout = data.layout(options.padding, options.train_batch_size, micro_batches)
    batch = layout(data.rows(options.train_batch_size))
    check_memory(options, batch, machine_of(devices, options.memory_limit_gb))
    with claimed(options.output_dir, options.model, flags_text):
        log_features(data.shapes, options.train_batch_size)
        return _Run(options, devices, data, layout, held_out, progress).go()


class _Run:
    """One run in progress: its state, its checkpoints and the step that moves it on."""

    def __init__(
        self,
        options: TrainingOptions,
        devices: Sequence[str],
        data: Data,
        layout: Layout,
        held_out: Optional[Data],
        progress: bool,
    ) -> None:
        self._options, self._devices, self._progress = options, devices, progress
        self._data, self._layout = data, layout
        self._state = state = prepare_state(options, devices[0])
        self._rollbacks = Rollbacks(options)
        self._build_step()
        self._held_out = HeldOut(options, held_out, state, devices) if held_out else None
        self._order = BatchOrder(
            data.dataset.size, options.train_batch_size, options.random_seed, options.small
        )
        self._manager = (
            CheckpointManager(options.output_dir, options.keep_checkpoint_max)
            if options.output_dir
            else None
        )
        resumed = options.output_dir and latest_checkpoint(options.output_dir)
        self._saved_step: Optional[int] = self._global_step() if resumed else None
        peak = matmul_peak(devices, policy(options.step.precision).compute_dtype)
        self._reports = Reports(options, data, state, peak)
        self._stuck = False
        self._announce(peak)

    def _build_step(self) -> None:
        factor = self._rollbacks.rate_factor()
        self._step = build_step(self._options, self._state, self._devices, factor)
        self._shapes_seen: Set[Tuple[int, ...]] = set()

    def _announce(self, peak: float) -> None:
        options, examples = self._options, self._order.epoch_size
        logging.info("***** Running training *****")
        logging.info("  Batch size = %d", options.train_batch_size)
        logging.info("  Num steps = %d", options.num_train_steps)
        logging.info(
            "  Examples = %d: %.1f updates an epoch, %.2f epochs in all",
            examples,
            examples / options.train_batch_size,
            options.num_train_steps * options.train_batch_size / examples,
        )
        logging.info(
            "  Precision = %s; matrix products run at %.0f GFLOP/s here",
            options.step.precision,
            peak / 1e9,
        )

    def _global_step(self) -> int:
        return int(self._state.global_step.numpy())

    def go(self) -> int:
        """Runs to the end or to a signal; returns the exit code."""
        batches = prefetch(
            training_batches(
                self._data.dataset,
                self._order,
                self._data.shapes,
                self._layout,
                self._state.next_batch(),
            )
        )
        total = self._options.num_train_steps
        bar = tqdm(
            total=total, initial=self._global_step(), unit="step", disable=not self._progress
        )
        try:
            with stop_on_signal() as stop, bar:
                self._loop(batches, bar, stop)
            self._save(self._global_step())
            if stop.signal is not None:
                logging.info("Stopped by signal %d at step %d", stop.signal, self._global_step())
                return stop.exit_code
            self._reports.draw()
            return PLATEAU_EXIT_CODE if self._stuck else 0
        finally:
            batches.close()
            self._reports.close()

    def _loop(self, batches, bar, stop) -> None:
        options = self._options
        step = self._global_step()
        if step >= options.num_train_steps:
            logging.info("Already at step %d of %d", step, options.num_train_steps)
        skipped = 0
        while step < options.num_train_steps and stop.signal is None and not self._stuck:
            waiting = time.perf_counter()
            batch = next(batches)
            self._reports.interval.waited += time.perf_counter() - waiting
            result, timed = self._compute(batch)
            if not bool(result.applied):
                skipped = self._skipped(skipped + 1)
                bar.n = step = self._global_step()  # a rollback went back
                continue
            step, skipped = step + 1, 0
            bar.update()
            self._reports.interval.add(batch, result, timed)
            self._report_due(step)

    def _compute(self, batch: Batch) -> Tuple[StepResult, bool]:
        """Runs the step; also says whether its time means anything: building one does not."""
        shape = batch["input_ids"].shape
        if shape in self._shapes_seen:
            return self._step(batch), True
        self._shapes_seen.add(shape)
        logging.info("Building the step for %d rows of %d tokens; this takes longer", *shape)
        start = time.perf_counter()
        result = self._step(batch)
        seconds = time.perf_counter() - start
        self._reports.interval.pause(seconds)
        logging.info("  Built after %.1f s; %d program(s) so far", seconds, len(self._shapes_seen))
        return result, False

    def _skipped(self, in_a_row: int) -> int:
        logging.warning(
            "Gradient not finite: step skipped on all towers (%d in all)",
            int(self._state.skipped_steps.numpy()),
        )
        if in_a_row < _MAX_SKIPPED_IN_A_ROW:
            return in_a_row
        self._rollbacks.take(self._state)
        self._reports.go_back(self._global_step())
        forget_best_beyond(self._options, self._global_step())
        self._saved_step = None  # the same weights again, with the batches that are left behind
        self._save(self._global_step())
        self._build_step()
        return 0

    def _report_due(self, step: int) -> None:
        options = self._options
        last = step == options.num_train_steps
        if step % options.log_steps == 0 or last:
            self._reports.line(step, self._rollbacks.undone)
            self._stuck = self._reports.stuck(step)
        start = time.perf_counter()
        if step % options.save_checkpoints_steps == 0:
            self._save(step)
        if self._held_out and (step % options.eval_steps == 0 or last):
            self._reports.record("eval", step, self._held_out.evaluate(step))
        self._reports.interval.pause(time.perf_counter() - start)

    def _save(self, step: int) -> None:
        if self._manager and self._saved_step != step:
            path = self._manager.save(self._state.variables(), step)
            self._saved_step = step
            logging.info("Saved %s", path)
