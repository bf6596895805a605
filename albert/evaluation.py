"""Evaluation: sums over a whole file, divided once."""

import os
from typing import Callable, Dict, Iterable, Mapping, Optional

from absl import logging

from albert.files import atomic_write
from albert.losses import WeightedSum
from albert.model.albert import Batch

RESULTS_FILE = "eval_results.txt"


class Totals:
    """Adds up weighted sums in double precision."""

    def __init__(self) -> None:
        """Starts empty."""
        self._totals = {}  # type: Dict[str, float]
        self._weights = {}  # type: Dict[str, float]

    def add(self, sums: Mapping[str, WeightedSum]) -> None:
        """Adds the sums of one batch."""
        for name, (total, weight) in sums.items():
            self._totals[name] = self._totals.get(name, 0.0) + float(total)
            self._weights[name] = self._weights.get(name, 0.0) + float(weight)

    def means(self) -> Dict[str, float]:
        """Each total over its weight, and `loss`; a task without any label is left out."""
        means = {
            name: total / self._weights[name]
            for name, total in self._totals.items()
            if self._weights[name] > 0.0
        }
        means["loss"] = means.get("masked_lm_loss", 0.0) + means.get("sentence_order_loss", 0.0)
        return means


def evaluate(
    step: Callable[[Batch], Mapping[str, WeightedSum]], batches: Iterable[Batch]
) -> Dict[str, float]:
    """Losses (nats) and accuracies over all batches, however they are cut.

    Args:
      step: As `training.step.make_eval_step` returns.
      batches: As `data.pipeline.evaluation_batches` yields.
    """
    totals = Totals()
    for batch in batches:
        totals.add(step(batch))
    return totals.means()


def format_results(results: Mapping[str, float], global_step: int) -> str:
    """Sorted `key = value` lines; the sentence task under both names the field knows it by."""
    values = dict(results, global_step=global_step)  # type: Dict[str, float]
    for name in list(values):
        if name.startswith("sentence_order_"):
            values[name.replace("sentence_order_", "next_sentence_")] = values[name]
    return "".join("{} = {}\n".format(name, values[name]) for name in sorted(values))


def log_results(results: Mapping[str, float], global_step: int) -> None:
    """Logs the results in the originals' form."""
    logging.info("***** Eval results *****")
    for line in format_results(results, global_step).splitlines():
        logging.info("  %s", line)


def write_results(results: Mapping[str, float], global_step: int, directory: str) -> None:
    """Writes `eval_results.txt`."""
    with atomic_write(os.path.join(directory, RESULTS_FILE)) as handle:
        handle.write(format_results(results, global_step))


def read_result(directory: str, name: str) -> Optional[float]:
    """One value of a directory's `eval_results.txt`, or None."""
    path = os.path.join(directory, RESULTS_FILE)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as handle:
        pairs = dict(line.strip().split(" = ", 1) for line in handle if " = " in line)
    return float(pairs[name]) if name in pairs else None
