"""Pre-training: records opened, memory checked, and the loop with what belongs to it."""

import functools
from typing import Sequence

import numpy as np
from absl import logging

from albert.checkpoints.manager import CheckpointManager
from albert.data.batches import BatchOrder, training_batches
from albert.data.source import Data, log_features
from albert.model.parameters import parameter_specs
from albert.model.precision import policy
from albert.system import console
from albert.system.devices import matmul_peak
from albert.system.progress import bars_are_seen
from albert.training.evaluation import HeldOut
from albert.training.loop import Due, Loop
from albert.training.memory.check import Work, check_memory, machine_of
from albert.training.options import TrainingOptions
from albert.training.reports import Reports
from albert.training.rollback import Rollbacks
from albert.training.setup import claimed, go_back, make_learner
from albert.training.towers import check_batch_size


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
    options = options.on(devices)
    size, micro_batches = options.train_batch_size, len(devices) * options.step.accumulation
    check_batch_size(size, micro_batches, "train_batch_size")
    check_batch_size(options.evaluation.batch_size(len(devices)), len(devices), "eval_batch_size")
    options.log_rate()
    progress = not options.tqdm_off and bars_are_seen()
    data = options.data.open("input_file", options.model, progress)
    held_out = None
    if options.data.eval_file:
        held_out = options.data.open("eval_file", options.model, progress)
    layout = data.layout(options.data.padding, size, micro_batches)
    work = Work(options.model, options.step, size, layout(data.rows(size)))
    check_memory(work, machine_of(devices, options.memory_limit_gb))
    directory, saving = options.saving.output_dir, options.saving
    with claimed(directory, options.model, flags_text):
        log_features(data.shapes, size)
        rollbacks = Rollbacks(
            options.guards.max_rollbacks,
            options.learning_rate,
            directory,
            functools.partial(go_back, options),
        )
        learner = make_learner(options, devices, rollbacks.rate_share())
        evaluation = HeldOut(options, held_out, learner.state, devices) if held_out else None
        order = BatchOrder(data.dataset.size, size, options.random_seed, options.data.small)
        peak = matmul_peak(devices, policy(options.step.precision).compute_dtype)
        _announce(options, data, order.epoch_size, peak)
        reports = Reports(options, data, learner.state, evaluation, peak, progress)
        loop = Loop(
            learner,
            functools.partial(training_batches, data.dataset, order, data.shapes, layout),
            Due(
                options.schedule.num_train_steps,
                options.log_steps,
                saving.save_checkpoints_steps,
                options.evaluation.eval_steps,
            ),
            reports,
            CheckpointManager(directory, saving.keep_checkpoint_max) if directory else None,
            rollbacks,
            progress,
        )
        return loop.go()


def _announce(options: TrainingOptions, data: Data, examples: int, peak: float) -> None:
    updates, size = options.schedule.num_train_steps, options.train_batch_size
    weights = sum(int(np.prod(spec.shape)) for spec in parameter_specs(options.model).values())
    logging.info(
        "Model: %s layout, %d layers of width %d, %s weights",
        options.model.layout,
        options.model.num_hidden_layers,
        options.model.hidden_size,
        "{:,}".format(weights),
    )
    logging.info(
        "Training: %s updates of %d examples, %.1f times through %s of %d pieces; %s, peak rate "
        "%.3g, %s",
        "{:,}".format(updates),
        size,
        updates * size / examples,
        console.plural(examples, "example"),
        data.shapes.sequence_length,
        options.optimizer.name,
        options.learning_rate,
        options.step.precision,
    )
    # The originals' lines.
    logging.debug("***** Running training *****")
    logging.debug("  Batch size = %d", size)
    logging.debug("  Num steps = %d", updates)
    logging.debug(
        "  Examples = %d: %.1f updates an epoch, %.2f epochs in all",
        examples,
        examples / size,
        updates * size / examples,
    )
    logging.debug("  Matrix products run at %.0f GFLOP/s here", peak / 1e9)
