"""Which records make up batch k: a function of the files, the seed and k, without memory."""

from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple, Type, Union

import numpy as np

from albert.records import counter_rng
from albert.system.errors import UsageError

# How the places of an epoch become records, as checkpoints say it: a run keeps its own.
SHUFFLED, KEYED = 0, 1  # by arrays as long as the epoch, in version 0.1; by a keyed permutation

_ROUNDS = 12
_CHOSEN = -1  # the epoch whose order chooses the records of --small
_WEIGHT_UNITS = 1 << 20


class Source(NamedTuple):
    """Some of the records of a run, and how often they come.

    Attributes:
      name: Of it, for messages.
      size: Number of records, which follow those of the sources before.
      weight: Share of the examples of the run, of the sum of all weights.
    """

    name: str
    size: int
    weight: float = 1.0


def permuted(values: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Where permutations of range(size) send some values.

    A Feistel network on a grid of about sqrt(size) by sqrt(size), whose few cells beyond `size`
    are sent on until they are inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
    2002). It needs no memory, and 1e10 records take no longer than ten.

    Args:
      values: int64 [n] below `size`.
      size: Of what is permuted.
      keys: uint64 [n], the permutation each value goes through.

    Returns:
      int64 [n].
    """
    high = int(np.ceil(np.sqrt(size)))
    low = -(-size // high)
    values, outside = values.copy(), np.arange(len(values))
    while outside.size:
        left, right = np.divmod(values[outside], low)
        for number in range(0, _ROUNDS, 2):
            key = keys[outside]
            left = (left + counter_rng.below(high, key, "left", right * _ROUNDS + number)) % high
            right = (right + counter_rng.below(low, key, "right", left * _ROUNDS + number)) % low
        values[outside] = left * low + right
        outside = outside[values[outside] >= size]
    return values


class _Keyed:
    """Every epoch in the order of a permutation of its own; see `permuted`."""

    def __init__(self, size: int, seed: int, kept: int) -> None:
        self._size, self._seed, self._kept = size, seed, kept

    def records(self, epochs: np.ndarray, within: np.ndarray) -> np.ndarray:
        inside = permuted(within, self._kept, counter_rng.combine(self._seed, epochs))
        if self._kept == self._size:
            return inside
        chosen = counter_rng.combine(self._seed, np.full(len(within), _CHOSEN))
        return permuted(inside, self._size, chosen)


class _Shuffled:
    """Every epoch in the order of an array shuffled by NumPy: what runs of version 0.1 began with.

    NumPy freezes RandomState's streams, so they go on with the same batches.
    """

    def __init__(self, size: int, seed: int, kept: int) -> None:
        self._seed = seed
        self._records = np.sort(np.random.RandomState([seed, 0xA1BE]).permutation(size)[:kept])
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def records(self, epochs: np.ndarray, within: np.ndarray) -> np.ndarray:
        numbers = np.empty(len(within), np.int64)
        for epoch in np.unique(epochs):
            if epoch != self._epoch:
                random = np.random.RandomState([self._seed, int(epoch)])
                self._order = self._records[random.permutation(len(self._records))]
                self._epoch = epoch
            here = epochs == epoch
            numbers[here] = self._order[within[here]]
        return numbers


_ORDERS: Mapping[int, Type[Union[_Shuffled, _Keyed]]] = {SHUFFLED: _Shuffled, KEYED: _Keyed}


class BatchOrder:
    """Which records make up batch k of a run: epochs of each source, mixed by weight.

    Attributes:
      batch_size: Global batch, B.
      sources: What the records come from.
      sizes: Records of each source in one of its epochs.
      shares: Of the examples of the run, one for each source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        batch_size: int,
        seed: int,
        fraction: float = 1.0,
        kind: int = KEYED,
    ) -> None:
        """Fixes the order.

        Args:
          sources: Of the records; their weights become whole parts of 2**20.
          batch_size: B.
          seed: Of the permutations.
          fraction: Share of each source in use, at least one record.
          kind: `KEYED` or `SHUFFLED`.

        Raises:
          UsageError: The order was made by a newer version.
        """
        if kind not in _ORDERS:
            raise UsageError(
                "The checkpoint draws its batches in a way ({}) that this version does not know. "
                "Go on with the version it was made by, or a newer one.".format(kind)
            )
        self._made_of = (tuple(sources), batch_size, seed, fraction, kind)
        self.batch_size, self.sources = batch_size, tuple(sources)
        self.sizes = [max(1, int(round(source.size * fraction))) for source in sources]
        self._units = _whole_parts([source.weight for source in sources])
        self.shares = [part / _WEIGHT_UNITS for part in self._units]
        self._starts = np.cumsum([0] + [source.size for source in sources])
        self._orders = [
            _ORDERS[kind](source.size, (seed + number) % (1 << 32), kept)
            for number, (source, kept) in enumerate(zip(sources, self.sizes))
        ]

    def __reduce__(self) -> Tuple[Any, ...]:
        return BatchOrder, self._made_of

    def numbers(self, batches: np.ndarray) -> np.ndarray:
        """Record numbers of some batches, int64 [n, B]; the end of an epoch joins the next."""
        places = np.asarray(batches)[:, None] * self.batch_size + np.arange(self.batch_size)
        return self._records(places.ravel()).reshape(places.shape)

    def _records(self, places: np.ndarray) -> np.ndarray:
        numbers = np.empty(len(places), np.int64)
        todo = np.arange(len(places))
        left = _WEIGHT_UNITS
        for source, (order, size, part) in enumerate(zip(self._orders, self.sizes, self._units)):
            # Of the first n places that the sources before have left, n * part // left are this
            # one's: as even as whole numbers can be, and known without a walk from the start.
            before = _share(places, part, left)
            here = _share(places + 1, part, left) > before
            epochs, within = np.divmod(before[here], size)
            numbers[todo[here]] = self._starts[source] + order.records(epochs, within)
            todo, places, left = todo[~here], (places - before)[~here], left - part
        return numbers


def _share(count: np.ndarray, part: int, whole: int) -> np.ndarray:
    """Floor of count * part / whole without overflow."""
    times, rest = np.divmod(count, whole)
    return times * part + rest * part // whole


def _whole_parts(weights: Sequence[float]) -> List[int]:
    """Parts of `_WEIGHT_UNITS` in the proportion of the weights, at least one each."""
    ends = np.cumsum(weights) / np.sum(weights) * _WEIGHT_UNITS
    parts = np.maximum(1, np.diff(np.concatenate([[0], np.rint(ends)])).astype(np.int64))
    parts[np.argmax(parts)] += _WEIGHT_UNITS - parts.sum()
    return [int(part) for part in parts]
