"""What no published ALBERT has: gates, rotary positions, no biases, scaled residuals."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import SIZES, random_batch
from oracles import model as oracle
from test_model import BEYOND, as_tensors, for_oracle
from test_packing import LIMITS, gradients, wide_batch

from albert.compat import tf
from albert.data.packing import pack
from albert.formats.huggingface.config import to_huggingface
from albert.model.config import ModelConfig
from albert.model.flops import training_flops
from albert.model.initial import initial_values
from albert.system.errors import UsageError
from albert.training.memory.estimate import StepShape, estimate_memory
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.step import StepOptions
from albert.training.step.towers import tower_gradients

IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
KEYS = dict(SIZES, num_hidden_groups=1, inner_group_num=1, ln_type="preln", shared_type="all")


def config_of(variant):
    return ModelConfig.from_dict(dict(SIZES, **variant))


def oracle_loss(variant, values, batch):
    found = oracle.forward(dict(KEYS, **variant), values, for_oracle(batch))
    return found["masked_lm_loss"] + found["sentence_order_loss"]


@pytest.mark.parametrize("variant", BEYOND, ids=str)
def test_the_gradient_is_the_slope_of_the_oracles_loss(variant):
    config, batch = config_of(variant), random_batch(7)
    values, random = initial_values(config, seed=4), np.random.RandomState(0)
    tensors = as_tensors(batch)
    found, _ = tower_gradients(
        pretraining(config), as_tensors(values), tensors, loss_denominators(tensors), None
    )
    for name in values:  # along one direction of each weight
        direction, small = random.randn(*values[name].shape), 1e-5
        sides = []
        for step in (small, -small):
            moved = dict(values, **{name: values[name].astype(np.float64) + step * direction})
            sides.append(oracle_loss(variant, moved, batch))
        slope = (sides[0] - sides[1]) / (2 * small)
        size = np.linalg.norm(found[name]) + 1e-3
        assert abs(np.vdot(found[name], direction) - slope) < 2e-4 * size, name


@pytest.mark.parametrize("variant", BEYOND, ids=str)
def test_packed_rows_and_recomputation_give_the_same_gradient(variant):
    config, padded = config_of(variant), wide_batch(13)
    expected, _ = gradients(config, padded)
    packed, _ = gradients(config, pack(padded, LIMITS))
    tensors = as_tensors(padded)
    again, _ = tower_gradients(
        pretraining(config),
        as_tensors(initial_values(config, seed=1)),
        tensors,
        loss_denominators(tensors),
        recompute=True,
    )
    for name, value in expected.items():
        np.testing.assert_allclose(packed[name], value, rtol=0, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(again[name], value, rtol=0, atol=1e-6, err_msg=name)


def test_rotary_logits_depend_on_the_distance_alone():
    from albert.model.blocks.rotary import rotated, rotation

    random = np.random.RandomState(0)
    query, key = [tf.constant(random.randn(1, 2, 1, 6), tf.float32) for _ in range(2)]

    def logit(at, other):
        turned = [
            rotated(head, rotation(tf.constant([[place]]), 6))
            for head, place in ((query, at), (key, other))
        ]
        return tf.matmul(turned[0], turned[1], transpose_b=True).numpy()

    np.testing.assert_allclose(logit(3, 1), logit(40, 38), rtol=1e-4)
    assert np.abs(logit(3, 1) - logit(1, 3)).max() > 1e-2


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_a_file_of_a_published_model_has_none_of_the_new_keys(layout):
    keys = set(json.loads(config_of({"layout": layout}).to_json()))
    assert not keys & {"use_bias", "residual_scale", "attention", "position_embedding_type"}
    variant = dict(SIZES, layout=layout, use_bias=False, hidden_act="geglu")
    config = ModelConfig.from_dict(variant)
    assert ModelConfig.from_dict(json.loads(config.to_json())) == config
    assert config.variants == ["hidden_act=geglu", "use_bias=False"]


def test_other_systems_get_no_model_that_they_would_compute_differently():
    config = config_of({"layout": "google", "hidden_act": "geglu", "use_bias": False})
    with pytest.raises(UsageError, match="transformers has no ALBERT with hidden_act=geglu, use_b"):
        to_huggingface(config, IDS)
    nystrom = config_of({"layout": "brightmart", "attention": "nystrom", "use_bias": False})
    with pytest.raises(UsageError, match="has no ALBERT with attention=nystrom, so"):
        to_huggingface(nystrom, IDS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"residual_scale": 0.5}, "residual_scale is for the brightmart layout"),
        ({"layout": "brightmart", "residual_scale": 0.0}, "must be above 0 and at most 1"),
        ({"position_embedding_type": "rotary"}, "must be even. Received 7"),
        ({"position_embedding_type": "alibi"}, "one of absolute, rotary. Received 'alibi'"),
        ({"use_bias": 1}, "use_bias must be of type bool"),
        ({"attention": "nystrom", "conv_kernel_size": 4}, "must be odd.*Received 4"),
        ({"num_landmarks": 32}, "num_landmarks=32 is of attention=nystrom. Received attention=sof"),
        ({"attention": "nystrom", "attention_probs_dropout_prob": 0.1}, "none can be dropped"),
    ],
)
def test_what_does_not_go_together_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        config_of(dict({"layout": "google"}, **change))


def test_a_gate_costs_what_it_computes():
    plain = config_of({"layout": "google"})
    gated = dataclasses.replace(plain, hidden_act="geglu")
    more = training_flops(gated, 2, 17, 5) - training_flops(plain, 2, 17, 5)
    size = plain.hidden_size * plain.intermediate_size
    assert more == 3 * 2 * 17 * plain.num_hidden_layers * 2 * size
    shape = StepShape(4, 512, 20)
    base = ModelConfig(vocab_size=30000)
    one, other = [
        estimate_memory(model, shape, StepOptions(), 1, on_gpu=True).activations
        for model in (base, dataclasses.replace(base, hidden_act="geglu"))
    ]
    assert other - one > 11 * 4 * 512 * 2 * 3072 * 4
