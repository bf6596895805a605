"""Weighted sums of many batches, divided once."""

from typing import Dict, Mapping

from albert.hosts.group import Hosts
from albert.model.losses import WeightedSum


class Totals:
    """Adds up weighted sums in double precision."""

    def __init__(self) -> None:
        """Starts empty."""
        self._totals: Dict[str, float] = {}
        self._weights: Dict[str, float] = {}

    def add(self, sums: Mapping[str, WeightedSum]) -> None:
        """Adds the sums of one batch."""
        for name, (total, weight) in sums.items():
            self._totals[name] = self._totals.get(name, 0.0) + float(total)
            self._weights[name] = self._weights.get(name, 0.0) + float(weight)

    def over(self, hosts: Hosts) -> "Totals":
        """The totals of all hosts, which have added up the same sums."""
        names, both = list(self._totals), Totals()
        values = [part[name] for part in (self._totals, self._weights) for name in names]
        summed = hosts.total(values, "totals")
        both._totals = dict(zip(names, summed))
        both._weights = dict(zip(names, summed[len(names) :]))
        return both

    def means(self) -> Dict[str, float]:
        """Each total over its weight; a task without any label is left out.

        `loss`, where there is no such sum, is that of the pre-training tasks that have labels;
        where nothing has, there is none.
        """
        means = {
            name: total / self._weights[name]
            for name, total in self._totals.items()
            if self._weights[name] > 0.0
        }
        tasks = [means[n] for n in ("masked_lm_loss", "sentence_order_loss") if n in means]
        if tasks:
            means.setdefault("loss", sum(tasks))
        return means
