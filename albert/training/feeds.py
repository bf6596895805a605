"""What feeds a run: its records, and those of its first updates where they are others."""

import dataclasses
import functools
from typing import Callable, Dict, Generator, List, Optional, Sequence, Set

from absl import logging

from albert.data.batches import Share, in_turn, told_of_changes, training_batches
from albert.data.dataset import Batch
from albert.data.order import BatchOrder
from albert.data.packing import RowLayout
from albert.data.skipping import within_bounds
from albert.data.source import Data, check_same_tokenizer
from albert.data.workers import from_workers
from albert.hosts.group import Hosts
from albert.system.screen import console
from albert.training.memory.check import Work, check_memory, machine_of
from albert.training.options import TrainingOptions

Batches = Callable[..., Generator[Batch, None, None]]


@dataclasses.dataclass(frozen=True)
class Feed:
    """Records with the batches they come in.

    Attributes:
      flag: That names the records.
      data: The records.
      batch_size: B, over all hosts.
      layout: Of this host's share of a batch.
    """

    flag: str
    data: Data
    batch_size: int
    layout: RowLayout

    def order(self, options: TrainingOptions, kind: int) -> BatchOrder:
        """Which records make up batch k."""
        return self.data.order(self.batch_size, options.random_seed, options.data.small, kind)

    def batches(self, order: BatchOrder, share: Share, skip: bool) -> Batches:
        """The batches of an order from a number on; see `training_batches`."""
        data = self.data
        return functools.partial(
            training_batches,
            data.dataset,
            order,
            data.shapes,
            self.layout,
            share=share,
            skip=skip,
        )


class Feeds:
    """All that a run reads to learn from.

    Attributes:
      main: What it reads after its first updates, or all the time.
      damaged: What was wrong with records that this process has skipped.
    """

    def __init__(
        self, options: TrainingOptions, devices: Sequence[str], hosts: Hosts, progress: bool
    ) -> None:
        """Opens the records, and checks that their batches fit into memory.

        Args:
          options: The run.
          devices: One tower runs on each.
          hosts: Which share the batches.
          progress: Whether to show bars.

        Raises:
          UsageError: Records cannot be used, or a batch does not fit.
        """
        self._options, self._devices, self._hosts = options, devices, hosts
        self.main = self._open("input_file", options.train_batch_size, progress)
        self.damaged: Set[str] = set()
        self._earlier: Optional[Feed] = None
        if options.first.first_steps:
            flag = "first_input_file" if options.first.first_input_file else "input_file"
            size = options.first.first_train_batch_size or options.train_batch_size
            self._earlier = self._open(flag, size, progress)
            check_same_tokenizer(self.main.data, self._earlier.data, flag)

    def _open(self, flag: str, batch_size: int, progress: bool) -> Feed:
        options, devices = self._options, self._devices
        patterns = options.first.first_input_file if flag == "first_input_file" else None
        updates = options.schedule.num_train_steps
        data = options.data.open(flag, options.model, progress, updates, patterns)
        share = batch_size // self._hosts.count
        divisor = len(devices) * options.step.accumulation
        layout = data.layout(options.data.padding, share, divisor, updates)
        work = Work(options.model, options.step, share, layout(data.rows(share)))
        check_memory(work, machine_of(devices, options.memory_limit_gb))
        return Feed(flag, data, batch_size, layout)

    @property
    def _all(self) -> List[Feed]:
        return ([self._earlier] if self._earlier else []) + [self.main]

    @property
    def programs(self) -> int:
        """How many shapes batches have, but for rare ones."""
        return sum(feed.layout.programs for feed in self._all)

    @property
    def facts(self) -> Dict[str, str]:
        """What must be the same on every host."""
        return {"--" + feed.flag: feed.data.dataset.digest() for feed in self._all}

    def orders(self, kind: int) -> List[BatchOrder]:
        """How the records are drawn, those of the first updates first; see `data.order`."""
        return [feed.order(self._options, kind) for feed in self._all]

    def batches(self, orders: Sequence[BatchOrder]) -> Batches:
        """This host's share of the batches of the run, from a number on."""
        share = Share(self._hosts.index, self._hosts.count)
        most = self._options.data.skip_corrupt
        made = [feed.batches(order, share, most > 0) for feed, order in zip(self._all, orders)]
        batches = made[-1]
        if self._earlier:
            batches = functools.partial(in_turn, made[0], batches, self._options.first.first_steps)
        workers = self._options.data.workers(self._devices)
        if workers:
            logging.debug("Batches are made by %s", console.plural(workers, "worker"))
            batches = functools.partial(from_workers, batches, workers)
        datasets = [feed.data.dataset for feed in self._all]
        epoch = max(1, sum(orders[-1].sizes) // self.main.batch_size)
        return lambda first: told_of_changes(
            within_bounds(batches(first), self.damaged, most), datasets, epoch
        )

    def announce(self, orders: Sequence[BatchOrder]) -> None:
        """Says what the run reads."""
        options = self._options
        first, updates = options.first.first_steps, options.schedule.num_train_steps
        counts = [first, updates - first] if self._earlier else [updates]
        how = "{}, peak rate {:.3g}, {}".format(
            options.optimizer.name, options.learning_rate, options.step.precision
        )
        if self._earlier:
            logging.info("Training: {:,} updates; {}".format(updates, how))
        for feed, order, count in zip(self._all, orders, counts):
            what = "{:,} updates of {} examples, {:.1f} times through {} of {} pieces".format(
                count,
                feed.batch_size,
                count * feed.batch_size / sum(order.sizes),
                console.plural(sum(order.sizes), "example"),
                feed.data.shapes.sequence_length,
            )
            if not self._earlier:
                logging.info("Training: %s; %s", what, how)
            else:
                logging.info("  %s %s", "then" if feed is self.main else "first", what)
            _announce_sources(order, count * feed.batch_size)


def _announce_sources(order: BatchOrder, examples: int) -> None:
    for source, kept, share in zip(order.sources, order.sizes, order.shares):
        if len(order.sources) > 1:
            logging.info(
                "  %s: %.1f %% of the examples, %.1f times through %s",
                source.name,
                100 * share,
                examples * share / kept,
                console.plural(kept, "example"),
            )
