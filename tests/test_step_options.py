"""Accumulation, recomputation, XLA and precision change how a step is computed, not what."""

import functools

import numpy as np
import pytest
from conftest import SIZES, random_batch

from albert.checkpoints.state import create_state
from albert.compat import compiled, tf
from albert.data.packing import row_layout
from albert.model.blocks import attention
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.precision import LossScale, policy
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.system.errors import UsageError
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.step import StepOptions, make_train_step
from albert.training.step.towers import tower_gradients

STEPS = 5


def uneven_batch(seed):
    batch = random_batch(12, seed)
    batch["masked_lm_weights"][5:, 1:] = 0.0
    batch["sentence_order_labels"][7:] = -1
    return batch


def train(config, devices, **options):
    schedule = polynomial_with_warmup(1e-3, 100)
    values = initial_values(config, seed=1)
    optimizer = make_optimizer(OptimizerConfig(), schedule, values)
    precision = options.get("precision", "float32")
    state = create_state(values, optimizer, devices[0], precision)
    step = make_train_step(
        pretraining(config),
        state,
        optimizer,
        schedule,
        devices,
        seed=2,
        options=StepOptions(**options),
    )
    losses = []
    for number in range(STEPS):
        sums = step(uneven_batch(number)).sums
        losses.append(float(sums["masked_lm_loss"].total / sums["masked_lm_loss"].weight))
    return np.array(losses), state


@functools.lru_cache(maxsize=None)
def plainly_trained(layout, devices):
    return train(ModelConfig.from_dict(dict(SIZES, layout=layout)), devices)


@pytest.mark.parametrize(
    "layout, towers, options",
    [
        ("google", 2, {"accumulation": 3}),
        ("google", 2, {"recompute": True}),
        ("brightmart", 2, {"recompute": True}),
        ("google", 1, {"xla": True}),
        ("brightmart", 1, {"accumulation": 2, "recompute": True, "xla": True}),
    ],
    ids=str,
)
def test_the_same_model_comes_out(layout, towers, options, devices):
    losses, state = plainly_trained(layout, tuple(devices[:2]))
    config = ModelConfig.from_dict(dict(SIZES, layout=layout))
    other_losses, other = train(config, devices[:towers], **options)
    np.testing.assert_allclose(other_losses, losses, rtol=2e-6)
    for name, variable in state.parameters.items():
        np.testing.assert_allclose(
            other.parameters[name].numpy(), variable.numpy(), rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    "layout, padding, options",
    [
        ("google", "none", {}),
        ("brightmart", "pack", {}),
        ("google", "pack", {"recompute": True}),
        ("brightmart", "none", {"xla": True}),
    ],
    ids=str,
)
def test_blockwise_attention_is_attention(layout, padding, options, devices, monkeypatch):
    config = ModelConfig.from_dict(dict(SIZES, layout=layout))
    batch = row_layout(padding, 12, 1, uneven_batch(0))(uneven_batch(0))
    results = []
    for block in (1000, 5):  # 17 tokens: three blocks and a rest
        monkeypatch.setattr(attention, "QUERY_BLOCK", block)
        values = initial_values(config, seed=1)
        denominators = loss_denominators(batch)
        function = functools.partial(
            tower_gradients, pretraining(config), recompute=options.get("recompute", False)
        )
        tower = compiled(function, options.get("xla", False))
        with tf.device(devices[0]):
            tensors = {name: tf.constant(value) for name, value in values.items()}
            results.append(tower(tensors, batch, denominators)[0])
    for name, gradient in results[0].items():
        scale = max(1e-2, float(tf.reduce_max(tf.abs(gradient))))
        np.testing.assert_allclose(
            results[1][name].numpy(), gradient.numpy(), rtol=0, atol=2e-6 * scale, err_msg=name
        )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_follows_float32(small_config, devices, precision):
    losses, _ = train(small_config, devices[:1])
    other_losses, state = train(small_config, devices[:1], precision=precision)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-2)
    assert int(state.global_step.numpy()) == STEPS
    for variable in state.variables().values():
        assert variable.dtype in (tf.float32, tf.int64)


def test_dropout_differs_between_micro_batches(devices):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", hidden_dropout_prob=0.5))
    schedule = polynomial_with_warmup(0.0, 100)
    values = initial_values(config, seed=1)
    optimizer = make_optimizer(OptimizerConfig(), schedule, values)
    half = {name: value[:1] for name, value in random_batch(2).items()}
    twice = {name: np.concatenate([value, value]) for name, value in half.items()}
    losses = []
    for batch, accumulation in ((half, 1), (twice, 2)):
        state = create_state(values, optimizer, devices[0])
        step = make_train_step(
            pretraining(config),
            state,
            optimizer,
            schedule,
            devices[:1],
            0,
            StepOptions(accumulation=accumulation),
        )
        loss = step(batch).sums["masked_lm_loss"]
        losses.append(float(loss.total / loss.weight))
    assert abs(losses[0] - losses[1]) > 1e-4  # equal masks would give equal means


def test_loss_scale_grows_and_shrinks():
    scale = LossScale(tf.constant(8.0), tf.constant(998.0))
    once = scale.after(True)
    assert (float(once.scale), float(once.good_steps)) == (8.0, 999.0)
    assert [float(v) for v in once.after(True)] == [16.0, 0.0]
    assert [float(v) for v in once.after(False)] == [4.0, 0.0]
    assert float(LossScale(tf.constant(1.0), tf.constant(0.0)).after(False).scale) == 1.0


def test_an_overflow_of_float16_lowers_the_scale_and_changes_nothing(small_config, devices):
    schedule = polynomial_with_warmup(1e-3, 100)
    values = initial_values(small_config, seed=1)
    optimizer = make_optimizer(OptimizerConfig(), schedule, values)
    state = create_state(values, optimizer, devices[0], "mixed_float16")
    state.loss_scale["loss_scale"].assign(2.0**40)
    step = make_train_step(
        pretraining(small_config),
        state,
        optimizer,
        schedule,
        devices[:1],
        0,
        StepOptions(precision="mixed_float16"),
    )
    assert not bool(step(uneven_batch(0)).applied)
    assert float(state.loss_scale["loss_scale"].numpy()) == 2.0**39
    name = "bert/pooler/dense/kernel"
    np.testing.assert_array_equal(state.parameters[name].numpy(), values[name])


def test_unknown_precision_is_refused():
    with pytest.raises(UsageError, match="must be one of: float32, mixed_bfloat16, mixed_float16"):
        policy("bf16")
