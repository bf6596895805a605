"""Optimizers and schedule against the recorded runs and the NumPy oracle."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from oracles import goldens, optimizers
from oracles import training as oracle_training

from albert.checkpoints.state import create_state
from albert.compat import tf
from albert.model.config import ModelConfig
from albert.optim import transforms
from albert.optim.chain import chain
from albert.optim.optimizers import (
    OptimizerConfig,
    describe,
    excluded_names,
    make_optimizer,
    trust_ratios,
)
from albert.optim.rates import finetuning_rate, rate_warning, suggested_rate
from albert.optim.schedules import ScheduleOptions, polynomial_with_warmup
from albert.system.errors import UsageError
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.step import make_train_step
from albert.training.step.towers import tower_gradients

pytestmark = pytest.mark.fused

NO_CLIP = 1e30
# What float32 leaves of the recorded weights: AdamW amplifies rounding, the float64 oracle itself
# ends 3e-5 from google's sixth update.
TOLERANCE = {("google", "adamw", 6): 6e-5}


def constant(rate):
    return polynomial_with_warmup(rate, 10**9)


def record_batch(golden):
    batch = dict(golden.batch)
    batch["sentence_order_labels"] = batch.pop("next_sentence_labels")[:, 0]
    return {name: tf.constant(value) for name, value in batch.items()}


def trust_ratio(layout):
    return {"google": "decayed", "brightmart": "all"}[layout]


def assert_recorded_weights(parameters, layout, rule, step):
    recorded = goldens.load_steps(layout, rule)
    for name, value in parameters.items():
        if rule == "lamb" and layout == "brightmart" and name.endswith("key/bias"):
            continue  # its gradient is 0 but for rounding, which the trust ratio blows up
        error = np.abs(goldens.sample(value.numpy()) - recorded["step_{}/{}".format(step, name)])
        assert error.max() <= TOLERANCE.get((layout, rule, step), 1e-5), (step, name)


@pytest.mark.parametrize("rule", goldens.OPTIMIZERS)
def test_brightmart_run_is_the_recorded_one(rule, devices):
    golden = goldens.load("brightmart")
    config = ModelConfig.from_dict(golden.config)
    schedule = constant(golden.optimizer["learning_rate"])
    optimizer = make_optimizer(
        OptimizerConfig(name=rule, trust_ratio="all"), schedule, golden.parameters
    )
    state = create_state(golden.parameters, optimizer, devices[0])
    step = make_train_step(pretraining(config), state, optimizer, schedule, devices[:1], seed=0)
    for done in range(1, 7):
        step(record_batch(golden))
        if done in goldens.STEPS:
            assert_recorded_weights(state.parameters, "brightmart", rule, done)


@pytest.mark.parametrize("rule", goldens.OPTIMIZERS)
def test_google_run_is_the_recorded_one_under_its_clip_norm(rule):
    """The recorded run clipped by a norm over rows of the segment table not yet added up.

    Ours clips by the norm of the summed gradient, so that any number of towers clips alike. Given
    the recorded norm, every weight is the recorded one.
    """
    golden = goldens.load("google")
    config = ModelConfig.from_dict(golden.config)
    optimizer = make_optimizer(
        OptimizerConfig(name=rule, clip_norm=NO_CLIP),
        constant(golden.optimizer["learning_rate"]),
        golden.parameters,
    )
    parameters = {name: tf.constant(value) for name, value in golden.parameters.items()}
    slots = {slot: tf.zeros_like(parameters[n]) for slot, n in optimizer.slots(parameters).items()}
    batch = record_batch(golden)
    for done in range(1, 7):
        gradients, _ = tower_gradients(
            pretraining(config), parameters, batch, loss_denominators(batch), None
        )
        norm = oracle_training.recorded_norm(
            golden.config, {n: v.numpy() for n, v in parameters.items()}, golden.batch
        )
        gradients = {name: value / max(norm, 1.0) for name, value in gradients.items()}
        updates, slots = optimizer.update(
            gradients, slots, parameters, tf.constant(done - 1), transforms.global_norm(gradients)
        )
        parameters = {name: parameters[name] + updates[name] for name in parameters}
        if done in goldens.STEPS:
            assert_recorded_weights(parameters, "google", rule, done)


def assert_follows(optimizer, oracle, values, random):
    """Makes 100 updates of random gradients, at a rate of 0.01, and compares each."""
    ours = {name: tf.constant(value) for name, value in values.items()}
    slots = {slot: tf.zeros_like(ours[name]) for slot, name in optimizer.slots(ours).items()}
    theirs = {name: value.astype(np.float64) for name, value in values.items()}
    state = optimizers.init(theirs)
    for step in range(100):
        gradients = {n: random.randn(*v.shape).astype(np.float32) for n, v in values.items()}
        tensors = {n: tf.constant(g) for n, g in gradients.items()}
        norm = transforms.global_norm(tensors)
        updates, slots = optimizer.update(tensors, slots, ours, tf.constant(step), norm)
        ours = {name: ours[name] + updates[name] for name in ours}
        theirs, state = oracle(gradients, state, theirs, 0.01)
        for name in values:
            error = np.abs(ours[name].numpy() - theirs[name]).max()
            assert error < 1e-5, "diverged at step {} in {}".format(step, name)


HYPER = list(
    itertools.product(("lamb", "adamw"), (0.0, 0.1), (0.9, 0.8), (False, True), ("all", "decayed"))
)


@pytest.mark.parametrize("rule,decay,b1,correction,trust", HYPER)
def test_optimizer_follows_the_oracle_for_100_steps(rule, decay, b1, correction, trust):
    random = np.random.RandomState(0)
    shapes = {"a/kernel": (3, 5), "a/bias": (5,), "a/LayerNorm/gamma": (7,)}
    values = {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}
    config = OptimizerConfig(
        name=rule, weight_decay=decay, b1=b1, bias_correction=correction, trust_ratio=trust
    )
    extra = {"adapt_excluded": trust == "all"} if rule == "lamb" else {}
    oracle = functools.partial(
        getattr(optimizers, rule),
        b1=b1,
        weight_decay=decay,
        bias_correction=correction,
        exclude=("LayerNorm", "bias"),
        **extra,
    )
    assert_follows(make_optimizer(config, constant(0.01), values), oracle, values, random)


ENCODER = "bert/encoder/layer_shared/"


@pytest.mark.parametrize("decay,momentum,correction", [(0.0, 0.95, False), (0.1, 0.8, True)])
def test_muon_follows_the_oracle_for_100_steps(decay, momentum, correction):
    random = np.random.RandomState(0)
    shapes = {
        ENCODER + "query/kernel": (5, 5),
        ENCODER + "key/kernel": (5, 5),
        ENCODER + "intermediate/dense/kernel": (5, 8),
        ENCODER + "output/dense/kernel": (8, 5),
        ENCODER + "output/dense/bias": (5,),
        "bert/pooler/dense/kernel": (5, 5),
    }
    values = {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}
    config = OptimizerConfig(
        name="muon", weight_decay=decay, muon_momentum=momentum, bias_correction=correction,
        exclude_from_weight_decay=("bias",),
    )  # fmt: skip
    optimizer = make_optimizer(config, constant(0.01), values)
    assert sorted(optimizer.slots(values)) == sorted(
        [name + "/muon_m" for name in shapes if "encoder" in name and "kernel" in name]
        + [name + moment for name in list(shapes)[-2:] for moment in ("/adam_m", "/adam_v")]
    )
    oracle = functools.partial(
        optimizers.muon, kernels="encoder.*kernel", momentum=momentum,
        weight_decay=decay, bias_correction=correction, exclude=("bias",),
    )  # fmt: skip
    assert_follows(optimizer, oracle, values, random)


@pytest.mark.parametrize("name", ["lamb", "adamw", "muon"])
def test_the_mean_of_weights_changes_no_update_and_forgets_what_they_began_as(name):
    random, kernel = np.random.RandomState(0), ENCODER + "query/kernel"
    start = {kernel: random.randn(5, 5).astype(np.float32), "a/bias": np.zeros(5, np.float32)}
    with_mean = OptimizerConfig(name=name, ema=0.9, exclude_from_weight_decay=("bias",))
    rules = [
        make_optimizer(config, constant(0.01), start)
        for config in (with_mean, dataclasses.replace(with_mean, ema=0.0))
    ]
    kept = [
        {slot: tf.zeros(start[of].shape) for slot, of in rule.slots(start).items()}
        for rule in rules
    ]
    weights = [{n: tf.constant(v) for n, v in start.items()} for _ in rules]
    mean = {n: np.zeros_like(v) for n, v in start.items()}
    for step in range(120):
        gradients = {n: tf.constant(random.randn(*v.shape), tf.float32) for n, v in start.items()}
        norm = transforms.global_norm(gradients)
        for at, rule in enumerate(rules):
            updates, kept[at] = rule.update(
                gradients, kept[at], weights[at], tf.constant(step), norm
            )
            weights[at] = {n: weights[at][n] + updates[n] for n in start}
        share = min(0.9, step / (step + 9))
        for n in start:
            np.testing.assert_array_equal(weights[0][n], weights[1][n])
            mean[n] = share * mean[n] + (1 - share) * weights[0][n].numpy()
            np.testing.assert_allclose(kept[0][n + transforms.AVERAGE], mean[n], atol=1e-5)


def test_the_update_of_a_matrix_has_equal_singular_values_at_the_size_of_adams():
    rule = chain(transforms.orthogonalize({"wide", "tall", "none"}))
    matrix = np.random.RandomState(0).randn(16, 48).astype(np.float32) * 1e-6
    updates = {"wide": matrix, "tall": matrix.T, "none": np.zeros([3, 3], np.float32), "other": 7.0}
    updates = {name: tf.constant(value) for name, value in updates.items()}
    found, slots = rule.update(updates, {}, updates, tf.constant(0), tf.constant(1.0))
    scale = 0.2 * np.sqrt(48)
    values = np.linalg.svd(found["wide"].numpy(), compute_uv=False) / scale
    assert values.min() > 0.65 and values.max() < 1.25 and not slots
    assert np.sqrt(np.mean(np.square(found["wide"]))) == pytest.approx(0.2, rel=0.2)
    np.testing.assert_allclose(found["tall"].numpy().T, found["wide"], rtol=1e-4, atol=1e-6)
    assert not found["none"].numpy().any() and float(found["other"]) == 7.0


@pytest.mark.parametrize("correction", [False, True])
def test_trust_ratios_are_those_of_the_last_update(correction):
    random = np.random.RandomState(0)
    rate, b1, b2, epsilon, decay = 0.01, 0.9, 0.99, 1e-6, 0.1
    shapes = {"a/kernel": (3, 5), "a/LayerNorm/kernel": (2, 3), "a/bias": (5,)}
    config = OptimizerConfig(
        b2=b2, weight_decay=decay, clip_norm=NO_CLIP, bias_correction=correction, trust_ratio="all"
    )
    weights = {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}
    optimizer = make_optimizer(config, constant(rate), weights)
    slots = {slot: tf.zeros(shapes[name]) for slot, name in optimizer.slots(weights).items()}
    m = v = 0.0
    for step in range(4):
        gradients = {n: random.randn(*s).astype(np.float32) for n, s in shapes.items()}
        m = b1 * m + (1 - b1) * gradients["a/kernel"].astype(np.float64)
        v = b2 * v + (1 - b2) * gradients["a/kernel"].astype(np.float64) ** 2
        before = weights
        tensors = {name: tf.constant(value) for name, value in before.items()}
        norm = transforms.global_norm(gradients)
        updates, slots = optimizer.update(gradients, slots, tensors, tf.constant(step), norm)
        weights = {name: before[name] + updates[name].numpy() for name in before}
    corrections = (1 - b1**4, 1 - b2**4) if correction else (1.0, 1.0)
    direction = m / corrections[0] / (np.sqrt(v / corrections[1]) + epsilon)
    direction += decay * before["a/kernel"]
    wanted = np.linalg.norm(before["a/kernel"]) / np.linalg.norm(direction)
    found = trust_ratios(config, tensors, slots, tf.constant(4))
    assert sorted(found) == ["a/LayerNorm/kernel", "a/kernel"]  # no biases
    assert float(found["a/kernel"]) == pytest.approx(wanted, rel=1e-5)
    moved = np.linalg.norm(weights["a/kernel"] - before["a/kernel"])
    assert moved == pytest.approx(rate * wanted * np.linalg.norm(direction), rel=1e-3)
    only_decayed = dataclasses.replace(config, trust_ratio="decayed")
    assert sorted(trust_ratios(only_decayed, tensors, slots, tf.constant(4))) == ["a/kernel"]


def test_every_step_of_a_ten_step_schedule():
    schedule = polynomial_with_warmup(1.0, 10, num_warmup_steps=4)
    rates = [float(schedule(tf.constant(step))) for step in range(12)]
    expected = [0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0]
    np.testing.assert_allclose(rates, expected, atol=1e-6)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("warmup", [0, 7])
def test_schedule_equals_the_oracle(power, warmup):
    schedule = polynomial_with_warmup(3e-4, 50, warmup, power)
    for step in range(60):
        expected = optimizers.polynomial_schedule(step, 3e-4, 50, warmup, power)
        assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(expected, rel=1e-5)


def test_warmup_can_start_later_and_is_never_negative():
    schedule = polynomial_with_warmup(1.0, 100, num_warmup_steps=10, start_warmup_step=20)
    assert [float(schedule(tf.constant(s))) for s in (0, 20, 25)] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    "options, expected",
    [
        (dict(schedule="constant"), [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (dict(schedule="wsd"), [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1 - 0.5**0.5, 0, 0]),
        (
            dict(schedule="wsd", num_decay_steps=4),
            [0, 0.5, 1, 1, 1, 1, 1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0, 0],
        ),
        (
            dict(schedule="cosine"),
            [0, 0.5] + [0.5 + 0.5 * np.cos(np.pi * n / 8) for n in range(9)] + [0],
        ),
        (dict(schedule="linear"), [0, 0.5, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0]),
    ],
    ids=str,
)
def test_every_step_of_each_schedule(options, expected):
    schedule = ScheduleOptions(10, num_warmup_steps=2, **options).with_peak(3.0)
    rates = [float(schedule(tf.constant(step))) / 3.0 for step in range(12)]
    np.testing.assert_allclose(rates, expected, atol=1e-6)


def test_a_longer_wsd_is_the_same_until_the_decay_of_the_shorter():
    shorter, longer = (
        ScheduleOptions(steps, schedule="wsd", num_warmup_steps=3).with_peak(1.0)
        for steps in (50, 100)
    )
    for step in range(41):
        assert float(shorter(tf.constant(step))) == float(longer(tf.constant(step)))


@pytest.mark.parametrize(
    "options, told",
    [
        (dict(schedule="cos"), "--schedule must be one of"),
        (dict(num_decay_steps=3), "is of --schedule=wsd. Received --schedule=linear"),
        (dict(schedule="wsd", poly_power=2.0), "--poly_power=2.0 is of --schedule=linear"),
        (dict(schedule="wsd", num_decay_steps=10), "warm-up leaves of num_train_steps, 9"),
    ],
    ids=str,
)
def test_schedules_that_cannot_be_meant_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        ScheduleOptions(10, **options)


@pytest.mark.parametrize("arguments", [(-1.0, 10), (1.0, 0), (1.0, 10, 11)])
def test_impossible_schedules_are_refused(arguments):
    with pytest.raises(UsageError, match="Received"):
        polynomial_with_warmup(*arguments)


def test_clip_keeps_small_gradients_and_gives_large_ones_the_norm():
    rule = chain(transforms.clip_by_global_norm(1.0))

    def clip(gradients):
        norm = transforms.global_norm(gradients)
        return rule.update(gradients, {}, gradients, tf.constant(0), norm)[0]

    small = {"a": tf.constant([0.3, 0.4])}
    large = {"a": tf.constant([3.0, 4.0]), "b": tf.constant([12.0])}
    np.testing.assert_array_equal(clip(small)["a"], small["a"])
    clipped = clip(large)
    assert float(transforms.global_norm(clipped)) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(clip(clipped)["b"], clipped["b"], rtol=1e-6)


def test_trust_ratio_leaves_zero_norms_alone():
    rule = chain(transforms.scale_by_trust_ratio({"a", "b"}))
    parameters = {"a": tf.zeros([2]), "b": tf.constant([3.0, 4.0])}
    updates = {"a": tf.constant([1.0, 2.0]), "b": tf.constant([0.6, 0.8])}
    norm = transforms.global_norm(updates)
    scaled, _ = rule.update(updates, {}, parameters, tf.constant(0), norm)
    np.testing.assert_allclose(scaled["a"], [1.0, 2.0])
    np.testing.assert_allclose(scaled["b"], [3.0, 4.0], rtol=1e-6)


NAMES = ["bert/pooler/dense/kernel", "bert/pooler/dense/bias", "bert/embeddings/LayerNorm/beta"]


def test_exclusions_report_what_they_match():
    assert excluded_names(NAMES, ["bias"]) == {"bias": (NAMES[1],)}
    text = describe(OptimizerConfig(), NAMES)
    assert "Optimizer lamb" in text and "on 1 of 3 parameters" in text and "'LayerNorm' 1" in text


@pytest.mark.parametrize(
    "change,message",
    [
        ({"exclude_from_weight_decay": ("layer_norm",)}, "'layer_norm' matches no parameter"),
        ({"exclude_from_weight_decay": ("(",)}, "is not a regular expression"),
        ({"name": "lamp"}, "Unknown optimizer 'lamp'; must be one of: adamw, lamb, muon"),
        ({"name": "muon", "muon_kernels": "enc0der"}, "muon_kernels pattern 'enc0der' matches no"),
        ({"name": "muon", "muon_momentum": 1.0}, "--muon_momentum must be in 0 <= decay < 1"),
        ({"trust_ratio": "some"}, "Unknown trust_ratio"),
        ({"ema": 1.0}, "--ema must be in 0 <= decay < 1. Received 1.0"),
    ],
)
def test_an_optimizer_that_cannot_be_meant_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        make_optimizer(OptimizerConfig(**change), constant(1.0), NAMES)


BASE = ModelConfig(vocab_size=30000)


def test_lamb_follows_the_root_of_the_batch_and_short_runs_go_faster():
    assert suggested_rate("lamb", BASE, 4096, 125000) == pytest.approx(1.76e-3)
    assert suggested_rate("lamb", BASE, 1024, 125000) == pytest.approx(0.88e-3)
    assert suggested_rate("lamb", BASE, 64, 2000) > 5 * suggested_rate("lamb", BASE, 64, 10**6)


def test_adamw_follows_width_depth_and_batch():
    base = suggested_rate("adamw", BASE, 256, 100000)
    assert 1e-4 <= base <= 3e-4  # the field's 1e-4 for post-LN encoders at this batch
    large = dataclasses.replace(BASE, hidden_size=1024, num_attention_heads=16)
    assert suggested_rate("adamw", large, 256, 100000) < base
    assert suggested_rate("adamw", BASE, 64, 100000) == pytest.approx(base / 2)


def test_the_rate_of_a_fine_tuning_falls_with_the_path_through_the_network():
    tiny = ModelConfig(vocab_size=9, hidden_size=312, num_hidden_layers=4)
    assert finetuning_rate(BASE) == 5e-5
    assert finetuning_rate(tiny) == pytest.approx(8e-4, rel=0.03)
    smallest = ModelConfig(vocab_size=9, hidden_size=12, num_hidden_layers=1)
    assert finetuning_rate(smallest) == 1e-3


def test_only_a_rate_far_from_the_suggested_one_is_warned_about():
    suggested = suggested_rate("lamb", BASE, 120, 10**6)
    seed = rate_warning(2e-5, suggested)  # the Malay project's published command
    assert "below the workable band" in seed and "stay on the plateau" in seed
    assert "{:.2g}".format(suggested) in seed
    assert "above the workable band" in rate_warning(suggested * 10, suggested)
    assert rate_warning(suggested * 2, suggested) is None
    assert rate_warning(suggested / 2, suggested) is None
