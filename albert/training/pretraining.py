"""Pre-training: records opened, memory checked, and the loop with what belongs to it."""

import contextlib
import dataclasses
import functools
from typing import Callable, Dict, Generator, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

import albert
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.tokenizer import keep_tokenizer
from albert.compat import compute_repeatably
from albert.data.batches import Share, told_of_changes, training_batches
from albert.data.dataset import Batch
from albert.data.order import BatchOrder
from albert.data.packing import RowLayout
from albert.data.source import Data, check_same_tokenizer, log_features
from albert.data.workers import from_workers
from albert.hosts.agreement import agree, take_from_first
from albert.hosts.group import ALONE, Hosts
from albert.model.parameters import parameter_specs
from albert.model.precision import policy
from albert.system.devices import matmul_peak
from albert.system.screen import console
from albert.system.screen.progress import bars_are_seen
from albert.training.evaluation import HeldOut
from albert.training.loop.learner import Learner
from albert.training.loop.loop import Due, Follower, Loop
from albert.training.loop.reports import Helper, Reports
from albert.training.loop.rollback import Rollbacks
from albert.training.memory.check import Work, check_memory, machine_of
from albert.training.options import TrainingOptions
from albert.training.setup import claimed, go_back, make_learner
from albert.training.step.towers import check_batch_size


class _Begun(NamedTuple):
    """A run that can begin.

    Attributes:
      data: Its records.
      held_out: Its held-out records, if it has any.
      layout: Of this host's share of a batch.
      rollbacks: How often it has gone back.
      learner: Where it stands.
    """

    data: Data
    held_out: Optional[Data]
    layout: RowLayout
    rollbacks: Rollbacks
    learner: Learner


def train(
    options: TrainingOptions, devices: Sequence[str], flags_text: str, hosts: Hosts = ALONE
) -> int:
    """Trains until `num_train_steps`, resuming what `output_dir` holds.

    Args:
      options: The run.
      devices: One tower runs on each.
      flags_text: The flags of the run, kept in its directory.
      hosts: Which train it together; the directory is the first one's.

    Returns:
      The exit code: 0 when done, 128 + signal when a signal ended the run after saving, 3 when
      --stop_on_plateau did.

    Raises:
      UsageError: The run cannot be done as asked; the message says why.
      HostLost: Another host is gone.
    """
    options = options.on(devices)
    if options.deterministic:
        compute_repeatably()
    if not hosts.first:
        elsewhere = dataclasses.replace(options.saving, output_dir=None)
        options = dataclasses.replace(options, saving=elsewhere, tqdm_off=True)
    with hosts.watched(), contextlib.ExitStack() as held:
        begun = agree(
            hosts,
            lambda: _begin(options, devices, flags_text, hosts, held),
            lambda begun: _facts(options, begun, len(devices), flags_text),
        )
        begun.rollbacks.take_from_first(hosts)
        if not hosts.first:  # its step was built before it knew of rollbacks
            begun.learner.lower_rate(begun.rollbacks.rate_share())
        take_from_first(hosts, begun.learner.state.variables())
        return _loop(options, begun, devices).go()


def _begin(
    options: TrainingOptions,
    devices: Sequence[str],
    flags_text: str,
    hosts: Hosts,
    held: contextlib.ExitStack,
) -> _Begun:
    """Opens the records, claims the directory until `held` ends, and loads or makes weights."""
    size, micro_batches = options.train_batch_size, len(devices) * options.step.accumulation
    towers = hosts.count * len(devices)
    check_batch_size(size, hosts.count * micro_batches, "train_batch_size")
    check_batch_size(options.evaluation.batch_size(towers), towers, "eval_batch_size")
    if hosts.first:
        options.log_rate()
    updates = options.schedule.num_train_steps
    data = options.data.open("input_file", options.model, _shows_bars(options), updates)
    held_out = None
    if options.data.eval_file:
        held_out = options.data.open("eval_file", options.model, _shows_bars(options))
        check_same_tokenizer(data, held_out)
    share = size // hosts.count
    layout = data.layout(options.data.padding, share, micro_batches)
    work = Work(options.model, options.step, share, layout(data.rows(share)))
    check_memory(work, machine_of(devices, options.memory_limit_gb))
    if hosts.first:
        held.enter_context(claimed(options.saving.output_dir, options.model, flags_text))
        if options.saving.output_dir:
            keep_tokenizer(options.saving.output_dir, data.dataset.files[0])
    log_features(data.shapes, size)
    rollbacks = Rollbacks(
        options.guards.max_rollbacks,
        options.learning_rate,
        options.saving.output_dir,
        functools.partial(go_back, options),
    )
    learner = make_learner(options, devices, rollbacks.rate_share(), hosts)
    return _Begun(data, held_out, layout, rollbacks, learner)


def _facts(options: TrainingOptions, begun: _Begun, towers: int, flags_text: str) -> Dict[str, str]:
    """What must be the same on every host, by the name it has in a message."""
    facts = dict(line.partition("=")[::2] for line in flags_text.splitlines())
    facts.pop("--output_dir", None)  # the first host's alone; without one, a name by the time
    facts["the version of albert"] = albert.__version__
    facts["the model"] = options.model.to_json()
    facts["the number of towers"] = str(towers)
    facts["--input_file"] = begun.data.dataset.digest()
    if begun.held_out:
        facts["--eval_file"] = begun.held_out.dataset.digest()
    return facts


def _loop(options: TrainingOptions, begun: _Begun, devices: Sequence[str]) -> Loop:
    learner, data = begun.learner, begun.data
    hosts = learner.hosts
    evaluation = None
    if begun.held_out:
        evaluation = HeldOut(options, begun.held_out, learner.state, devices, hosts)
    order = data.order(
        options.train_batch_size,
        options.random_seed,
        options.data.small,
        int(learner.state.batch_order.numpy()),
    )
    peak = matmul_peak(devices, policy(options.step.precision).compute_dtype)
    follower: Follower = Helper(options, evaluation)
    if hosts.first:
        _announce(options, data, order, peak)
        shown = _shows_bars(options)
        follower = Reports(options, data, learner.state, evaluation, peak, shown)
    directory, saving = options.saving.output_dir, options.saving
    batches: Callable[..., Generator[Batch, None, None]] = functools.partial(
        training_batches,
        data.dataset,
        order,
        data.shapes,
        begun.layout,
        share=Share(hosts.index, hosts.count),
    )
    workers = options.data.workers(devices)
    if workers:
        logging.debug("Batches are made by %s", console.plural(workers, "worker"))
        batches = functools.partial(from_workers, batches, workers)
    epoch = max(1, sum(order.sizes) // options.train_batch_size)
    return Loop(
        learner,
        lambda first: told_of_changes(batches(first), data.dataset, epoch),
        Due(
            options.schedule.num_train_steps,
            options.log_steps,
            saving.save_checkpoints_steps,
            options.evaluation.eval_steps,
        ),
        follower,
        CheckpointManager(directory, saving.keep_checkpoint_max) if directory else None,
        begun.rollbacks,
        _shows_bars(options),
        begun.layout.programs,
    )


def _shows_bars(options: TrainingOptions) -> bool:
    return not options.tqdm_off and bars_are_seen()


def _announce(options: TrainingOptions, data: Data, order: BatchOrder, peak: float) -> None:
    updates, size = options.schedule.num_train_steps, options.train_batch_size
    examples = sum(order.sizes)
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
    for source, kept, share in zip(order.sources, order.sizes, order.shares):
        if len(order.sources) > 1:
            logging.info(
                "  %s: %.1f %% of the examples, %.1f times through %s",
                source.name,
                100 * share,
                updates * size * share / kept,
                console.plural(kept, "example"),
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
