"""Evaluation: sums over a whole file, divided once."""

from typing import Callable, Dict, Iterable, Mapping

from albert.model.albert import Batch
from albert.model.losses import WeightedSum


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
        """Each total over its weight; a task without any label is left out.

        `loss`, where there is no such sum, is that of both pre-training tasks.
        """
        means = {
            name: total / self._weights[name]
            for name, total in self._totals.items()
            if self._weights[name] > 0.0
        }
        both = means.get("masked_lm_loss", 0.0) + means.get("sentence_order_loss", 0.0)
        means.setdefault("loss", both)
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
