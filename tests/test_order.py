"""The order of records: a function of seed and number, at any size, mixed by weight."""

import pickle
import tracemalloc

import numpy as np
import pytest
from conftest import order_of, write_record_file

from albert.data.order import SHUFFLED, BatchOrder, Source, permuted
from albert.records.tfrecord import weighted_record_files
from albert.system.errors import UsageError

KINDS = pytest.mark.parametrize("options", [{}, {"kind": SHUFFLED}], ids=["keyed", "shuffled"])


@KINDS
def test_order_is_a_function_of_seed_and_number(options):
    order, again = (order_of(10, 4, seed=3, **options) for _ in range(2))
    batches = order.numbers(np.arange(5))
    for number in (4, 0, 2):  # in any sequence of calls
        np.testing.assert_array_equal(again.numbers([number])[0], batches[number])
    stream = batches.ravel()
    for epoch in (stream[:10], stream[10:]):
        assert sorted(epoch) == list(range(10))
    assert list(stream[:10]) != list(stream[10:])
    assert list(order_of(10, 4, seed=4, **options).numbers([0])[0]) != list(batches[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(order)).numbers([2])[0], batches[2])


def test_orders_are_frozen():
    """Resuming must see the same batches for ever: these numbers may never change."""
    assert order_of(20, 5, 12345, kind=SHUFFLED).numbers([1])[0].tolist() == [8, 11, 15, 7, 12]
    assert order_of(20, 5, 12345).numbers([1])[0].tolist() == FROZEN
    assert order_of(10**10, 2, 7).numbers([3])[0].tolist() == FROZEN_AT_SIZE


FROZEN = [7, 9, 14, 18, 10]
FROZEN_AT_SIZE = [3962279411, 3057549109]


@KINDS
def test_part_of_the_records(options):
    order = order_of(100, 10, seed=0, fraction=0.2, **options)
    assert order.sizes == [20]
    seen = order.numbers(np.arange(6))
    assert len(np.unique(seen)) == 20
    assert order_of(100, 10, seed=0, fraction=1e-9, **options).sizes == [1]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 1000, 4099])
def test_permutations_of_every_size(size):
    keys = np.repeat(np.arange(20, dtype=np.uint64), size)
    sent = permuted(np.tile(np.arange(size), 20), size, keys).reshape(20, size)
    assert (np.sort(sent) == np.arange(size)).all()


def test_every_record_comes_at_every_place_equally_often():
    epochs = order_of(7, 7, seed=1).numbers(np.arange(20000))
    counts = np.stack([np.bincount(column, minlength=7) for column in epochs.T])
    # 36 degrees of freedom: a fair one exceeds 70 once in 1,800 seeds.
    assert ((counts - 20000 / 7) ** 2 / (20000 / 7)).sum() < 70
    followers = np.bincount(epochs[:, 0] * 7 + epochs[:, 1], minlength=49).reshape(7, 7)
    pairs = followers[~np.eye(7, dtype=bool)]
    assert ((pairs - 20000 / 42) ** 2 / (20000 / 42)).sum() < 80


def test_ten_billion_records_need_no_memory():
    tracemalloc.start()
    order = order_of(10**10, 64, seed=0)
    numbers = order.numbers(np.array([0, 10**12]))  # in epoch 0, and far on
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert len(np.unique(numbers)) == 128
    assert numbers.min() >= 0 and 9e9 < numbers.max() < 10**10


def test_sources_come_by_their_weights():
    sources = [Source("a", 700, 0.7), Source("b", 90, 0.2), Source("c", 5, 0.1)]
    order = BatchOrder(sources, 100, seed=1)
    stream = order.numbers(np.arange(100)).ravel()
    ends = ((0, 700), (700, 790), (790, 795))
    for (begin, end), share in zip(ends, (0.7, 0.2, 0.1)):
        ours = (stream >= begin) & (stream < end)
        drawn = np.cumsum(ours)
        assert np.abs(drawn - share * np.arange(1, 10001)).max() < 2  # never ahead or behind
        epochs = stream[ours][: (end - begin) * (ours.sum() // (end - begin))]
        for epoch in epochs.reshape(-1, end - begin):
            assert sorted(epoch) == list(range(begin, end))
    np.testing.assert_array_equal(order.numbers([37])[0], stream[3700:3800])
    far = order.numbers(np.array([10**13]))[0]  # known without a walk from the start
    assert np.sum(far < 700) in (69, 70, 71)


def test_an_order_of_a_newer_version_is_refused():
    with pytest.raises(UsageError, match="newer"):
        order_of(10, 2, 0, kind=9)


def test_weights_of_files(tmp_path):
    one, other = (write_record_file(tmp_path / name, 1) for name in ("a=1", "b.tfrecord"))
    assert weighted_record_files(one, "input_file")[0].files == [one]  # a name, not a weight
    both = weighted_record_files("{}=3,{}/b*=0.5".format(one, tmp_path), "input_file")
    assert [(source.files, source.weight) for source in both] == [([one], 3), ([other], 0.5)]
    for wrong, words in (
        ("{}=1,{}".format(one, other), "has none"),
        ("{}=0".format(other), "above 0"),
        ("{}=nan".format(other), "above 0"),
        ("{}=much".format(other), "matches no file"),
    ):
        with pytest.raises(UsageError, match=words):
            weighted_record_files(wrong, "input_file")
