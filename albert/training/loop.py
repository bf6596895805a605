"""The training run: the only function with side effects on files, clock and terminal."""

import os
import sys
import time
from typing import Dict, Optional, Sequence, Tuple

from absl import logging
from tqdm import tqdm

from albert.checkpoints.manager import CheckpointManager, latest_checkpoint
from albert.data.dataset import Batch
from albert.data.packing import Layout
from albert.data.pipeline import BatchOrder, evaluation_batches, training_batches
from albert.data.prefetch import prefetch
from albert.data.source import Data, log_features, open_data
from albert.diagnosis.facts import LEFT_PLATEAU
from albert.diagnosis.watch import Watch
from albert.evaluation import evaluate
from albert.precision import policy
from albert.results import log_results, read_result, write_results
from albert.runtime import matmul_peak
from albert.training.interval import Interval
from albert.training.memory_check import check_memory, machine_of
from albert.training.metrics_log import MetricsLog, draw_curves, format_line
from albert.training.objective import pretraining
from albert.training.options import TrainingOptions
from albert.training.rollback import Rollbacks
from albert.training.setup import build_step, claim_directory, prepare_state
from albert.training.signals import stop_on_signal
from albert.training.step import StepResult, make_eval_step
from albert.training.towers import check_batch_size

BEST_DIRECTORY = "best"
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
    data = _open(options, options.input_file, "input_file", progress)
    held_out = (
        _open(options, options.eval_file, "eval_file", progress) if options.eval_file else None
    )
    layout = data.layout(options.padding, options.train_batch_size, micro_batches)
    sample = layout(data.sample(options.train_batch_size))
    check_memory(options, sample, machine_of(devices, options.memory_limit_gb))
    if options.output_dir:
        claim_directory(options.output_dir, options.model, flags_text)
    else:
        logging.warning("--no_save: nothing of this run will be written")
    log_features(data.shapes, options.train_batch_size)
    return _Run(options, devices, data, layout, held_out, progress).go()


def _open(options: TrainingOptions, patterns: str, flag: str, progress: bool) -> Data:
    return open_data(
        patterns,
        flag,
        options.model,
        options.max_seq_length,
        options.max_predictions_per_seq,
        progress,
    )


class _Run:
    """One run in progress: its state, its files and its clock."""

    def __init__(
        self,
        options: TrainingOptions,
        devices: Sequence[str],
        data: Data,
        layout: Layout,
        held_out: Optional[Data],
        progress: bool,
    ) -> None:
        self._options = options
        self._data, self._layout, self._held_out = data, layout, held_out
        self._progress = progress
        self._state = prepare_state(options, devices[0])
        self._devices = devices
        self._rollbacks = Rollbacks(
            options.output_dir, options.max_rollbacks, options.learning_rate
        )
        self._build_step()
        self._eval_step = make_eval_step(
            pretraining(options.model),
            self._state.parameters,
            devices,
            options.step.precision,
            options.step.xla,
        )
        self._order = BatchOrder(
            data.dataset.size, options.train_batch_size, options.random_seed, options.small
        )
        self._managers = (
            {
                name: CheckpointManager(os.path.join(options.output_dir, name), keep)
                for name, keep in (("", options.keep_checkpoint_max), (BEST_DIRECTORY, 1))
            }
            if options.output_dir
            else {}
        )
        peak = matmul_peak(devices, policy(options.step.precision).compute_dtype)
        self._interval = Interval(options.model, options.train_batch_size, peak)
        if held_out:
            self._eval_layout = held_out.layout(
                options.padding, options.eval_batch_size, len(devices)
            )
        self._log = MetricsLog(options.output_dir, self._global_step())
        resumed = options.output_dir and latest_checkpoint(options.output_dir)
        self._saved_step = self._global_step() if resumed else None  # type: Optional[int]
        self._watch = Watch(options, data, self._state.parameters)
        self._started, self._on_plateau = time.perf_counter(), False
        self._announce(peak)

    def _build_step(self) -> None:
        factor = self._rollbacks.rate_factor()
        self._step = build_step(self._options, self._state, self._devices, factor)
        self._shapes_seen = set()  # type: Set[Tuple[int, ...]]

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
            self._finish(stop.signal is None)
            if stop.signal is not None:
                logging.info("Stopped by signal %d at step %d", stop.signal, self._global_step())
                return stop.exit_code
            return PLATEAU_EXIT_CODE if self._on_plateau else 0
        finally:
            batches.close()
            self._log.close()

    def _loop(self, batches, bar, stop) -> None:
        options = self._options
        step = self._global_step()
        if step >= options.num_train_steps:
            logging.info("Already at step %d of %d", step, options.num_train_steps)
        skipped = 0
        while step < options.num_train_steps and stop.signal is None and not self._on_plateau:
            waiting = time.perf_counter()
            batch = next(batches)
            self._interval.waited += time.perf_counter() - waiting
            result, timed = self._compute(batch)
            if not bool(result.applied):
                skipped = self._skipped(skipped + 1)
                bar.n = step = self._global_step()  # a rollback went back
                continue
            step, skipped = step + 1, 0
            bar.update()
            self._interval.add(batch, result, timed)
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
        self._interval.pause(seconds)
        logging.info("  Built after %.1f s; %d program(s) so far", seconds, len(self._shapes_seen))
        return result, False

    def _skipped(self, in_a_row: int) -> int:
        logging.warning(
            "Gradient not finite: step skipped on all towers (%d in all)",
            int(self._state.skipped_steps.numpy()),
        )
        if in_a_row < _MAX_SKIPPED_IN_A_ROW:
            return in_a_row
        self._rollbacks.take(self._options.model, self._state)
        self._saved_step = None  # the same weights again, with the batches that are left behind
        self._save(self._global_step())
        self._build_step()
        return 0

    def _report_due(self, step: int) -> None:
        options = self._options
        last = step == options.num_train_steps
        if step % options.log_steps == 0 or last:
            self._log_line(step)
        start = time.perf_counter()
        if step % options.save_checkpoints_steps == 0:
            self._save(step)
        if self._held_out and (step % options.eval_steps == 0 or last):
            self._evaluate(step)
        self._interval.pause(time.perf_counter() - start)

    def _log_line(self, step: int) -> None:
        values = self._interval.values()
        left = self._interval.seconds_per_step() * (self._options.num_train_steps - step)
        values["skipped_steps"] = int(self._state.skipped_steps.numpy()) - self._rollbacks.undone
        with tqdm.external_write_mode(file=sys.stderr):
            logging.info("%s", format_line(step, self._options.num_train_steps, values, left))
        self._record("train", step, values)
        self._interval.restart()
        minutes = (time.perf_counter() - self._started) / 60
        if 0 < self._options.stop_on_plateau <= minutes and not self._watch.left_plateau():
            self._on_plateau = True
            logging.error(
                "Stopped at step %d: after %.0f minutes the loss is no %.1f nats below what word "
                "frequencies give (--stop_on_plateau). python -m albert diagnose %s says why.",
                step,
                minutes,
                LEFT_PLATEAU,
                self._options.output_dir or "OUTPUT_DIR",
            )

    def _record(self, kind: str, step: int, values: Dict[str, float]) -> None:
        self._log.write(kind, step, dict(values, **self._watch.floor))
        with tqdm.external_write_mode(file=sys.stderr):
            self._watch.look(dict(values, kind=kind, step=step))

    def _save(self, step: int) -> None:
        if self._managers and self._saved_step != step:
            path = self._managers[""].save(self._state.variables(), step)
            self._saved_step = step
            logging.info("Saved %s", path)

    def _evaluate(self, step: int) -> None:
        options, held_out = self._options, self._held_out
        batches = evaluation_batches(
            held_out.dataset,
            held_out.shapes,
            self._eval_layout,
            options.eval_batch_size,
            options.max_eval_steps,
        )
        logging.info("***** Running evaluation *****")
        results = evaluate(self._eval_step, prefetch(batches))
        with tqdm.external_write_mode(file=sys.stderr):
            log_results(results, step)
        self._record("eval", step, results)
        if self._managers:
            self._keep_best(results, step)

    def _keep_best(self, results: Dict[str, float], step: int) -> None:
        directory = os.path.join(self._options.output_dir, BEST_DIRECTORY)
        best = read_result(directory, "loss")
        if best is not None and best <= results["loss"]:
            return
        os.makedirs(directory, exist_ok=True)
        path = self._managers[BEST_DIRECTORY].save(self._state.variables(), step)
        write_results(results, step, directory)
        logging.info("Best so far: %s", path)

    def _finish(self, completed: bool) -> None:
        step = self._global_step()
        self._save(step)
        if self._options.output_dir and completed:
            draw_curves(self._options.output_dir, self._watch.floor)
