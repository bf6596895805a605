"""Attention by landmarks: what it equals, and what must not change it."""

import dataclasses

import numpy as np
import pytest
from conftest import SIZES, encoded, random_batch
from oracles import kernels
from test_model import as_tensors
from test_packing import gradients

from albert.compat import tf
from albert.data.packing import choose_padding, cut_to_longest
from albert.model.blocks.attention import padding_bias
from albert.model.blocks.nystrom import landmarks, nystrom_attention
from albert.model.config import ModelConfig
from albert.model.flops import training_flops
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.towers import tower_gradients

LENGTHS = [17, 11, 6, 2]
MASK = (np.arange(17) < np.array(LENGTHS)[:, np.newaxis]).astype(np.int32)
NO_FILTER = np.zeros([3, 3], np.float32)
NYSTROM = {"attention": "nystrom", "num_landmarks": 6, "conv_kernel_size": 3}


def random_heads(seed=0):
    random = np.random.RandomState(seed)
    return [random.randn(4, 3, 17, 4).astype(np.float32) for _ in range(3)]


def attend(heads, mask, most, iterations=6, filters=NO_FILTER):
    mask = tf.constant(mask)
    query, key, value = [tf.constant(x) for x in heads]
    return nystrom_attention(
        query, key, value, padding_bias(mask), landmarks(mask, most), iterations, filters
    ).numpy()


def published(query, key, value, most, iterations):
    """One example without padding, its length a multiple of `most`, in float64."""

    def means(x):
        return x.reshape(x.shape[0], most, -1, x.shape[-1]).mean(axis=2)

    def weights(a, b):
        return kernels.softmax(a @ b.transpose(0, 2, 1))

    middle = weights(means(query), means(key))
    bound = np.abs(middle).sum(-1).max(-1) * np.abs(middle).sum(-2).max(-1)
    inverse = middle.transpose(0, 2, 1) / bound[:, None, None]
    eye = np.eye(most)
    for _ in range(iterations):
        p = middle @ inverse
        inverse = inverse @ (13 * eye - p @ (15 * eye - p @ (7 * eye - p))) / 4
    return weights(query, means(key)) @ inverse @ (weights(means(query), key) @ value)


@pytest.mark.parametrize("iterations", [1, 6])
def test_without_padding_it_is_the_published_rule(iterations):
    heads = [x[:, :, :16].astype(np.float64) for x in random_heads()]
    expected = np.stack([published(*[x[n] for x in heads], 4, iterations) for n in range(4)])
    found = attend([x.astype(np.float32) for x in heads], MASK[:1, :16].repeat(4, 0), 4, iterations)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_as_many_landmarks_as_tokens_are_softmax_attention():
    query, key, value = random_heads()
    expected = kernels.attention(query * 2.0, key, value, MASK)  # it divides by the root of 4
    for most in (17, 40):
        found = attend([query, key, value], MASK, most)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    found = attend([query, key, value], MASK, 6)  # of the longer two it is another rule
    np.testing.assert_allclose(found[2:], expected[2:], rtol=0, atol=1e-5)
    assert np.abs(found[:2] - expected[:2]).max() > 1e-2


def test_each_landmark_is_the_mean_of_as_many_tokens_and_of_no_padding():
    shares = landmarks(tf.constant(MASK), 6).shares.numpy()
    counts = (shares > 0).sum(axis=2)
    assert counts.tolist() == [[3, 3, 3, 3, 3, 2], [2, 2, 2, 2, 2, 1], [1] * 6, [1, 1, 0, 0, 0, 0]]
    np.testing.assert_allclose(shares.sum(axis=2), (counts > 0).astype(np.float32), rtol=1e-6)
    assert not (shares * (MASK[:, np.newaxis] == 0)).any()


def test_neither_padding_nor_batch_mates_change_an_example():
    heads, filters = random_heads(), np.random.RandomState(5).randn(3, 3).astype(np.float32)
    together = attend(heads, MASK, 6, filters=filters)
    for number, length in enumerate(LENGTHS):
        alone = [x[number : number + 1, :, :length] for x in heads]
        found = attend(alone, np.ones([1, length], np.int32), 6, filters=filters)
        np.testing.assert_allclose(
            together[number : number + 1, :, :length], found, rtol=0, atol=2e-5
        )


def test_values_are_convolved_along_the_example_a_filter_a_head():
    heads, filters = random_heads(), np.random.RandomState(5).randn(3, 3).astype(np.float32)
    more = attend(heads, MASK, 6, filters=filters) - attend(heads, MASK, 6)
    value = np.pad(heads[2] * MASK[:, np.newaxis, :, np.newaxis], [(0, 0), (0, 0), (1, 1), (0, 0)])
    expected = sum(
        value[:, :, k : k + 17] * filters[k][np.newaxis, :, np.newaxis, np.newaxis]
        for k in range(3)
    )
    np.testing.assert_allclose(more, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_a_model_of_it_trains_as_any(layout):
    config = ModelConfig.from_dict(dict(SIZES, layout=layout, **NYSTROM))
    values, batch = initial_values(config, seed=1), random_batch(8)
    expected, sums = gradients(config, batch)
    assert all(np.abs(value).max() > 0 for value in expected.values())
    assert any("convolution" in name for name in expected)
    shorter, _ = gradients(config, cut_to_longest(batch))
    tensors = as_tensors(batch)
    whole = loss_denominators(tensors)
    again, _ = tower_gradients(
        pretraining(config), as_tensors(values), tensors, whole, recompute=True
    )
    halves = [
        tower_gradients(
            pretraining(config),
            as_tensors(values),
            {name: value[part] for name, value in tensors.items()},
            whole,
        )[0]
        for part in (slice(0, 3), slice(3, 8))
    ]
    for name, value in expected.items():
        close = dict(rtol=0, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(again[name], value, **close)
        np.testing.assert_allclose(shorter[name], value, **close)
        np.testing.assert_allclose(halves[0][name] + halves[1][name], value, **close)


def test_its_gradient_is_the_slope_of_its_loss():
    heads = random_heads()

    def loss(heads):
        return tf.reduce_sum(
            nystrom_attention(
                *heads, padding_bias(MASK), landmarks(tf.constant(MASK), 6), 6, NO_FILTER
            )[:, :, :2]
            ** 2
        )

    sources = [tf.constant(x) for x in heads]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        total = loss(sources)
    found = tape.gradient(total, sources)
    direction = random_heads(1)
    sides = [
        float(loss([tf.constant(x + small * d) for x, d in zip(heads, direction)]))
        for small in (1e-2, -1e-2)
    ]
    slope = sum(np.vdot(g, d) for g, d in zip(found, direction))
    assert slope == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=2e-2)


def test_the_last_block_runs_only_where_its_output_is_read():
    config = ModelConfig.from_dict(dict(SIZES, layout="google", **NYSTROM))
    values, batch = initial_values(config, seed=3), random_batch(7)
    positions = np.random.RandomState(0).randint(0, 17, [7, 5])
    expected = encoded(config, values, batch).sequence.numpy()
    found = encoded(config, values, batch, tf.constant(positions, tf.int32)).sequence
    expected = expected[np.arange(7)[:, np.newaxis], positions]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_rows_of_several_examples_are_refused():
    assert choose_padding("auto", 0.3, packable=False) == "bucket"
    with pytest.raises(UsageError, match="attention=nystrom takes one. Use --padding=bucket"):
        choose_padding("pack", 0.3, packable=False)


def test_its_arithmetic_grows_with_the_length():
    base = ModelConfig(vocab_size=30000, max_position_embeddings=8192)
    nystrom = dataclasses.replace(base, attention="nystrom")
    at = {n: training_flops(nystrom, 1, n, 0) for n in (2048, 8192)}
    assert 3.9 < at[8192] / at[2048] < 4.0
    assert training_flops(base, 1, 8192, 0) > 1.5 * at[8192]
