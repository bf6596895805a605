"""Pre-training: records opened, memory checked, and the loop with what belongs to it."""

import contextlib
import dataclasses
import functools
from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

import albert
from albert.checkpoints.manager import CheckpointManager
from albert.checkpoints.tokenizer import keep_tokenizer
from albert.compat import compute_repeatably
from albert.data.order import BatchOrder
from albert.data.source import Data, check_same_tokenizer, log_features
from albert.hosts.agreement import agree, take_from_first
from albert.hosts.group import ALONE, Hosts
from albert.model.parameters import parameter_specs
from albert.model.precision import policy
from albert.system.devices import matmul_peak
from albert.system.screen.progress import bars_are_seen
from albert.training.evaluation import HeldOut
from albert.training.feeds import Feeds
from albert.training.loop.learner import Learner
from albert.training.loop.loop import Due, Follower, Loop
from albert.training.loop.reports import Helper, Reports
from albert.training.loop.rollback import Rollbacks
from albert.training.options import TrainingOptions
from albert.training.setup import claimed, go_back, make_learner
from albert.training.step.towers import check_batch_size


class _Begun(NamedTuple):
    """A run that can begin.

    Attributes:
      feeds: Its records.
      held_out: Its held-out records, if it has any.
      rollbacks: How often it has gone back.
      learner: Where it stands.
    """

    feeds: Feeds
    held_out: Optional[Data]
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
      The exit code: 0 when done or ended by --patience, 128 + signal when a signal ended the run
      after saving, 3 when --stop_on_plateau did.

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
    micro_batches = hosts.count * len(devices) * options.step.accumulation
    for flag, size in options.training_batches.items():
        check_batch_size(size, micro_batches, flag)
    towers = hosts.count * len(devices)
    check_batch_size(options.evaluation.batch_size(towers), towers, "eval_batch_size")
    if hosts.first:
        options.log_rate()
    feeds = Feeds(options, devices, hosts, _shows_bars(options))
    data, held_out = feeds.main.data, None
    if options.data.eval_file:
        held_out = options.data.open("eval_file", options.model, _shows_bars(options))
        check_same_tokenizer(data, held_out, "eval_file")
    if hosts.first:
        held.enter_context(claimed(options.saving.output_dir, options.model, flags_text))
        if options.saving.output_dir:
            tokenizer = options.data.spm_model_file
            keep_tokenizer(options.saving.output_dir, data.dataset.files[0], tokenizer)
    log_features(data.shapes, options.train_batch_size)
    rollbacks = Rollbacks(
        options.guards.max_rollbacks,
        options.learning_rate,
        options.saving.output_dir,
        functools.partial(go_back, options),
    )
    learner = make_learner(options, devices, rollbacks.rate_share(), hosts)
    return _Begun(feeds, held_out, rollbacks, learner)


def _facts(options: TrainingOptions, begun: _Begun, towers: int, flags_text: str) -> Dict[str, str]:
    """What must be the same on every host, by the name it has in a message."""
    facts = dict(line.partition("=")[::2] for line in flags_text.splitlines())
    facts.pop("--output_dir", None)  # the first host's alone; without one, a name by the time
    facts["the version of albert"] = albert.__version__
    facts["the model"] = options.model.to_json()
    facts["the number of towers"] = str(towers)
    facts.update(begun.feeds.facts)
    if begun.held_out:
        facts["--eval_file"] = begun.held_out.dataset.digest()
    return facts


def _loop(options: TrainingOptions, begun: _Begun, devices: Sequence[str]) -> Loop:
    learner, feeds = begun.learner, begun.feeds
    hosts = learner.hosts
    evaluation, shown = None, _shows_bars(options)
    if begun.held_out:
        evaluation = HeldOut(options, begun.held_out, learner.state, devices, hosts, shown)
    orders = feeds.orders(int(learner.state.batch_order.numpy()))
    peak = matmul_peak(devices, policy(options.step.precision).compute_dtype)
    follower: Follower = Helper(evaluation)
    if hosts.first:
        _announce(options, feeds, orders, peak)
        follower = Reports(options, feeds, learner.state, evaluation, peak, shown, hosts.count)
    directory, saving = options.saving.output_dir, options.saving
    return Loop(
        learner,
        feeds.batches(orders),
        Due(
            options.schedule.num_train_steps,
            options.log_steps,
            saving.save_checkpoints_steps,
            options.evaluation.eval_steps,
        ),
        follower,
        CheckpointManager(directory, saving.keep_checkpoint_max) if directory else None,
        begun.rollbacks,
        shown,
        feeds.programs,
    )


def _shows_bars(options: TrainingOptions) -> bool:
    return not options.tqdm_off and bars_are_seen()


def _announce(
    options: TrainingOptions, feeds: Feeds, orders: Sequence[BatchOrder], peak: float
) -> None:
    weights = sum(int(np.prod(spec.shape)) for spec in parameter_specs(options.model).values())
    logging.info(
        "Model: %s layout, %d layers of width %d, %s weights",
        options.model.layout,
        options.model.num_hidden_layers,
        options.model.hidden_size,
        "{:,}".format(weights),
    )
    feeds.announce(orders)
    # The originals' lines.
    logging.debug("***** Running training *****")
    logging.debug("  Batch size = %d", options.train_batch_size)
    logging.debug("  Num steps = %d", options.schedule.num_train_steps)
    logging.debug("  Matrix products run at %.0f GFLOP/s here", peak / 1e9)
