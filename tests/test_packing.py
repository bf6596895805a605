"""Packed and cut rows give the losses and gradients of the padded batch."""

import numpy as np
import pytest
from conftest import PREDICTIONS, SEQUENCE, SIZES, random_batch

from albert.compat import tf
from albert.data.batches import fill_batch
from albert.data.packing import (
    PackingLimits,
    assign_rows,
    choose_padding,
    cut_to_longest,
    pack,
    packing_limits,
    row_layout,
)
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.towers import tower_gradients

CAPACITY = 37
LIMITS = PackingLimits(rows=(2, 4, 6, 8), predictions=9, examples=5)


def wide_batch(size, seed=0):
    """Short examples padded to a long row, as real corpora are."""
    batch = random_batch(size, seed)
    for name in ("input_ids", "input_mask", "segment_ids"):
        batch[name] = np.pad(batch[name], [(0, 0), (0, CAPACITY - SEQUENCE)], mode="constant")
    return batch


def gradients(config, batch):
    tensors = {name: tf.constant(v) for name, v in initial_values(config, seed=1).items()}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    return tower_gradients(pretraining(config), tensors, batch, loss_denominators(batch))


@pytest.mark.parametrize("layout", ["pack", "bucket"])
def test_losses_and_gradients_equal_the_padded_batchs(small_config, layout):
    padded = wide_batch(13)
    laid_out = pack(padded, LIMITS) if layout == "pack" else cut_to_longest(padded)
    assert laid_out["input_ids"].size < 0.7 * padded["input_ids"].size
    expected, expected_sums = gradients(small_config, padded)
    got, sums = gradients(small_config, laid_out)
    for name in expected_sums:
        assert float(sums[name].total) == pytest.approx(float(expected_sums[name].total), rel=1e-5)
        assert float(sums[name].weight) == float(expected_sums[name].weight)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_every_example_is_in_one_row_as_it_was():
    padded = wide_batch(13)
    packed = pack(padded, LIMITS)
    found = []
    for row in range(len(packed["input_ids"])):
        for place in range(1, LIMITS.examples + 1):
            tokens = packed["input_mask"][row] == place
            if tokens.any():
                begin = int(np.argmax(tokens))
                assert packed["example_positions"][row, place - 1] == begin
                positions = packed["position_ids"][row, tokens]
                np.testing.assert_array_equal(positions, np.arange(tokens.sum()))
                found.append(tuple(packed["input_ids"][row, tokens]))
    lengths = padded["input_mask"].sum(axis=1)
    assert sorted(found) == sorted(tuple(i[:n]) for i, n in zip(padded["input_ids"], lengths))


def test_rows_keep_their_limits_and_are_nearly_full():
    random = np.random.RandomState(0)
    lengths = random.randint(5, 200, 500)
    limits = PackingLimits(rows=(500,), predictions=80, examples=16)
    rows = assign_rows(lengths, np.maximum(1, lengths * 15 // 100), 512, limits)
    assert sorted(example for row in rows for example in row) == list(range(500))
    assert all(lengths[row].sum() <= 512 and len(row) <= 16 for row in rows)
    assert lengths.sum() / (512 * len(rows)) > 0.95


def test_number_of_rows_divides_over_towers_and_takes_few_values():
    sample = wide_batch(500)
    for size, divisor in ((64, 6), (256, 2), (6, 6), (1, 1)):
        layout = row_layout("pack", size, divisor, sample)
        seen = [len(layout(wide_batch(size, seed))["input_ids"]) for seed in range(1, 60)]
        assert all(rows % divisor == 0 for rows in seen)
        assert len(set(seen)) <= layout.programs + 1 <= 4
        needed = packing_limits(size, PREDICTIONS, divisor, sample)
        filled = [len(assign_rows(*lengths_of(seed, size), CAPACITY, needed)) for seed in range(60)]
        assert np.mean(seen) < np.mean(filled) + divisor + 0.03 * size  # little stays empty


def test_few_batches_are_not_worth_many_programs():
    sample = wide_batch(500)
    found = {}
    for batches in (40, 1400, 10**6, None):
        layout = row_layout("pack", 64, 2, sample, batches)
        seen = {len(layout(wide_batch(64, seed))["input_ids"]) for seed in range(1, 60)}
        assert len(seen) <= layout.programs + 1  # a rare one may need more
        found[batches] = layout.programs
    assert found == {40: 1, 1400: 2, 10**6: 3, None: 3}


def lengths_of(seed, size):
    batch = wide_batch(size, seed)
    return batch["input_mask"].sum(axis=1), batch["masked_lm_weights"].astype(bool).sum(axis=1)


def test_a_batch_of_full_examples_has_its_row_for_each():
    full = {name: np.repeat(value[:1], 64, axis=0) for name, value in wide_batch(9).items()}
    full["input_mask"][:] = 1
    layout = row_layout("pack", 64, 2, wide_batch(500))
    assert len(layout(full)["input_ids"]) == 64


def test_empty_examples_take_no_room():
    padded = wide_batch(3)
    packed = pack(fill_batch(padded, 8), LIMITS)
    np.testing.assert_array_equal(packed["input_ids"], pack(padded, LIMITS)["input_ids"])
    nothing = pack({name: value * 0 for name, value in padded.items()}, LIMITS)
    assert nothing["input_ids"].shape == (LIMITS.rows[0], CAPACITY)


def test_auto_packs_where_much_is_padding():
    assert [choose_padding("auto", share) for share in (0.31, 0.95)] == ["pack", "none"]
    assert choose_padding("bucket", 0.31) == "bucket"


def test_unknown_padding_is_refused():
    with pytest.raises(UsageError, match="must be one of: auto, none, bucket, pack"):
        row_layout("some", 8, 1, wide_batch(8))


def test_dropout_and_recomputation_go_with_packed_rows():
    config = ModelConfig.from_dict(dict(SIZES, layout="google", hidden_dropout_prob=0.2))
    tensors = {name: tf.constant(v) for name, v in initial_values(config, seed=1).items()}
    batch = {name: tf.constant(v) for name, v in pack(wide_batch(9), LIMITS).items()}
    seed, denominators = tf.constant([3, 4]), loss_denominators(batch)
    kept, _ = tower_gradients(pretraining(config), tensors, batch, denominators, seed)
    again, _ = tower_gradients(
        pretraining(config), tensors, batch, denominators, seed, recompute=True
    )
    for name, value in kept.items():
        np.testing.assert_allclose(again[name], value, rtol=0, atol=1e-6, err_msg=name)
