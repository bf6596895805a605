"""The model against the originals' recorded values and the NumPy oracle."""

import dataclasses
import functools

import numpy as np
import pytest
from conftest import PREDICTIONS, SEQUENCE, SIZES, encoded, random_batch
from oracles import goldens, kernels
from oracles import model as oracle
from oracles import training as oracle_training

from albert.compat import compiled, tf
from albert.model import layers
from albert.model.albert import pretraining_output
from albert.model.blocks.attention import padding_bias, softmax_attention
from albert.model.config import ModelConfig
from albert.model.flops import training_flops
from albert.model.initial import initial_values
from albert.model.losses import MASKED_LM_EPSILON, cross_entropy, pretraining_sums
from albert.model.parameters import (
    Dense,
    Norm,
    bind,
    parameter_specs,
    parameter_tree,
)
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.towers import tower_gradients

VARIANTS = [
    {"layout": "google"},
    {"layout": "google", "num_hidden_groups": 2, "num_hidden_layers": 5},
    {"layout": "google", "inner_group_num": 2},
    {"layout": "google", "embedding_size": SIZES["hidden_size"]},
    {"layout": "brightmart"},
    {"layout": "brightmart", "ln_type": "postln"},
    {"layout": "brightmart", "final_layer_norm": True},
    {"layout": "brightmart", "shared_type": "attention"},
    {"layout": "brightmart", "shared_type": "ffn"},
    {"layout": "brightmart", "shared_type": "none"},
]
EVEN = {"hidden_size": 18}  # a head of an even size
# What no published ALBERT has; the oracle has no gradients of these, see test_variants.py.
BEYOND = [
    {"layout": "google", "hidden_act": "geglu"},
    {"layout": "google", "use_bias": False},
    {"layout": "google", "position_embedding_type": "rotary", **EVEN},
    {"layout": "brightmart", "residual_scale": 0.25, "final_layer_norm": True},
    {
        "layout": "brightmart",
        "shared_type": "none",
        "hidden_act": "geglu",
        "use_bias": False,
        "position_embedding_type": "rotary",
        "residual_scale": 0.5,
        **EVEN,
    },
]


def as_tensors(values):
    return {name: tf.constant(value) for name, value in values.items()}


def for_oracle(batch):
    batch = dict(batch)
    batch["next_sentence_labels"] = batch.pop("sentence_order_labels")[:, np.newaxis]
    return batch


def from_record(batch):
    batch = dict(batch)
    batch["sentence_order_labels"] = batch.pop("next_sentence_labels")[:, 0]
    return as_tensors(batch)


@pytest.fixture(params=goldens.LAYOUTS)
def golden(request):
    return goldens.load(request.param)


def test_names_and_shapes_are_the_originals(golden):
    specs = parameter_specs(ModelConfig.from_dict(golden.config))
    assert {n: s.shape for n, s in specs.items()} == {
        n: v.shape for n, v in golden.parameters.items()
    }


def test_forward_and_losses_equal_the_original(golden):
    batch = from_record(golden.batch)
    config = ModelConfig.from_dict(golden.config)
    output = pretraining_output(config, as_tensors(golden.parameters), batch)
    recorded = golden.forward
    close = dict(rtol=0, atol=1e-5)
    everywhere = encoded(config, golden.parameters, batch)
    np.testing.assert_allclose(everywhere.sequence, recorded["sequence_output"], **close)
    np.testing.assert_allclose(everywhere.pooled, recorded["pooled_output"], **close)
    log_probs = tf.nn.log_softmax(output.masked_lm_logits).numpy().reshape([-1, config.vocab_size])
    np.testing.assert_allclose(log_probs, recorded["masked_lm_log_probs"], **close)
    order = tf.nn.log_softmax(output.sentence_order_logits)
    np.testing.assert_allclose(order, recorded["sentence_order_log_probs"], **close)
    sums = pretraining_sums(output, batch)
    words, sentences = sums["masked_lm_loss"], sums["sentence_order_loss"]
    loss = float(words.total) / (float(words.weight) + MASKED_LM_EPSILON)
    assert loss == pytest.approx(recorded["masked_lm_loss"], abs=1e-5)
    mean = float(sentences.total) / float(sentences.weight)
    assert mean == pytest.approx(recorded["sentence_order_loss"], abs=1e-5)


def test_gradients_equal_the_original(golden):
    batch = from_record(golden.batch)
    gradients, _ = tower_gradients(
        pretraining(ModelConfig.from_dict(golden.config)),
        as_tensors(golden.parameters),
        batch,
        loss_denominators(batch),
        None,
    )
    for name, recorded in golden.gradients.items():
        error = np.abs(gradients[name].numpy() - recorded)
        # Each entry within 1e-5 of the variable's largest, or 1e-7.
        assert error.max() <= max(1e-5 * np.abs(recorded).max(), 1e-7), name


@pytest.mark.parametrize("variant", VARIANTS + BEYOND, ids=str)
def test_every_variant_equals_the_oracle(variant):
    config = ModelConfig.from_dict(dict(SIZES, **variant))
    values = initial_values(config, seed=3)
    batch = random_batch(7)
    output = pretraining_output(config, as_tensors(values), as_tensors(batch))
    keys = dict(SIZES, num_hidden_groups=1, inner_group_num=1, ln_type="preln", shared_type="all")
    expected = oracle.forward(dict(keys, **variant), values, for_oracle(batch))
    np.testing.assert_allclose(
        encoded(config, values, batch).sequence, expected["sequence_output"], rtol=0, atol=2e-5
    )
    log_probs = tf.nn.log_softmax(output.masked_lm_logits).numpy().reshape([-1, config.vocab_size])
    np.testing.assert_allclose(log_probs, expected["masked_lm_log_probs"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradients_of_every_variant_equal_the_oracle(variant):
    config = ModelConfig.from_dict(dict(SIZES, **variant))
    values, batch = initial_values(config, seed=4), random_batch(7)
    batch["sentence_order_labels"] = np.abs(batch["sentence_order_labels"])
    tensors = as_tensors(batch)
    gradients, _ = tower_gradients(
        pretraining(config), as_tensors(values), tensors, loss_denominators(tensors), None
    )
    keys = dict(SIZES, num_hidden_groups=1, inner_group_num=1, ln_type="preln", shared_type="all")
    expected = oracle_training.gradients(dict(keys, **variant), values, for_oracle(batch))
    for name, value in expected.items():
        error = np.abs(gradients[name].numpy() - value).max()
        assert error <= max(3e-5 * np.abs(value).max(), 1e-6), name


@pytest.mark.parametrize("variant", VARIANTS + BEYOND, ids=str)
def test_the_last_block_runs_only_where_its_output_is_read(variant):
    config = ModelConfig.from_dict(dict(SIZES, **variant))
    values, batch = initial_values(config, seed=3), random_batch(7)
    positions = np.random.RandomState(0).randint(0, SEQUENCE, [7, PREDICTIONS])  # repeats, unsorted
    everywhere = encoded(config, values, batch)
    there = encoded(config, values, batch, tf.constant(positions, tf.int32))
    expected = everywhere.sequence.numpy()[np.arange(7)[:, np.newaxis], positions]
    np.testing.assert_allclose(there.sequence, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(there.pooled, everywhere.pooled, rtol=0, atol=1e-5)
    run = compiled(lambda batch: pretraining_output(config, as_tensors(values), batch))
    operations = run.get_concrete_function(as_tensors(batch)).graph.get_operations()
    rows = [
        op.outputs[0].shape.as_list()[0]
        for op in operations
        if op.type == "MatMul" and op.outputs[0].shape.as_list()[1] == config.intermediate_size
    ]
    whole, last = 7 * SEQUENCE, 7 * (PREDICTIONS + 1)
    products = [last] + [whole] * (len(parameter_tree(config).blocks) - 1)
    assert sorted(rows) == sorted(products * (2 if config.gated else 1))


def test_sharing_keeps_the_number_of_weights():
    def count(**variant):
        return len(parameter_specs(ModelConfig.from_dict(dict(SIZES, **variant))))

    assert count(layout="google") == count(layout="google", num_hidden_layers=11)
    assert count(layout="brightmart", num_hidden_layers=11) == count(layout="brightmart")
    one = count(layout="google", num_hidden_groups=2) - count(layout="google")
    assert one == 16  # a block: six dense layers and two norms
    none = count(layout="brightmart", num_hidden_layers=3, shared_type="none")
    assert none - count(layout="brightmart") == 2 * one


def test_layer_norm_equals_the_oracle():
    random = np.random.RandomState(0)
    x, gamma, beta = random.randn(3, 5, 7), random.randn(7), random.randn(7)
    ours = layers.layer_norm(
        tf.constant(x, tf.float32),
        Norm(tf.constant(beta, tf.float32), tf.constant(gamma, tf.float32)),
    )
    np.testing.assert_allclose(ours, kernels.layer_norm(x, gamma, beta), rtol=0, atol=1e-5)


def test_gelu_and_dense_equal_the_oracle():
    random = np.random.RandomState(1)
    x, kernel, bias = 3 * random.randn(3, 5, 7), random.randn(7, 11), random.randn(11)
    single = [tf.constant(v, tf.float32) for v in (x, kernel, bias)]
    np.testing.assert_allclose(layers.gelu(single[0]), kernels.gelu(x), rtol=0, atol=1e-5)
    ours = layers.dense(single[0], Dense(*single[1:]))
    np.testing.assert_allclose(ours, kernels.dense(x, kernel, bias), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype,close", [("float32", 1e-5), ("bfloat16", 4e-3)])
def test_cross_entropy_and_its_gradient(dtype, close):
    random = np.random.RandomState(3)
    logits = tf.cast(tf.constant(20 * random.randn(2, 3, 7), tf.float32), dtype)
    logits = tf.concat([logits, tf.cast(tf.constant([[[9.0] + [0.0] * 6] * 3]), dtype)], axis=0)
    labels, weights = random.randint(0, 7, [3, 3]), random.rand(3, 3).astype(np.float32)
    labels[2] = 0  # all but certain
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = cross_entropy(logits, tf.constant(labels, tf.int32))
        total = tf.reduce_sum(losses * weights)
    wide = tf.cast(logits, tf.float64).numpy()
    shares = np.exp(wide - wide.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    of_label = np.take_along_axis(shares, labels[..., np.newaxis], -1)[..., 0]
    np.testing.assert_allclose(losses, -np.log(of_label), rtol=1e-5, atol=1e-6)
    expected = (shares - np.eye(7)[labels]) * weights[..., np.newaxis]
    found = tape.gradient(total, logits)
    assert found.dtype == dtype and losses.dtype == tf.float32
    found = tf.cast(found, tf.float64).numpy()
    # p - 1 is as exact as float32 near 1, in bfloat16 too.
    np.testing.assert_allclose(found, expected, rtol=close, atol=3e-7)


def test_the_loss_of_softmaxs_sum_is_that_of_its_definition():
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    tensors, batch = as_tensors(initial_values(config, 6)), as_tensors(random_batch(3))
    whole = loss_denominators(batch)
    objective = pretraining(config, z_loss=0.5)
    sums = objective.sums(tensors, batch)
    assert set(objective.sum_names) == set(sums)
    output = pretraining_output(config, tensors, batch)
    logits, weights = output.masked_lm_logits.numpy(), batch["masked_lm_weights"].numpy()
    squares = np.log(np.exp(logits.astype(np.float64)).sum(-1)) ** 2 * weights
    assert float(sums["masked_lm_z"].total) == pytest.approx(squares.sum(), rel=1e-5)
    without = pretraining(config)
    assert "masked_lm_z" not in without.sums(tensors, batch)
    more = objective.loss(sums, whole) - without.loss(sums, whole)
    assert float(more) == pytest.approx(0.5 * squares.sum() / weights.sum(), rel=1e-4)


def test_attention_equals_the_oracle_under_a_ragged_mask():
    random = np.random.RandomState(2)
    query, key, value = (random.randn(2, 3, n, 7) for n in (5, 11, 11))
    mask = np.array([[1] * 11, [1] * 4 + [0] * 7])
    ours = softmax_attention(
        *[tf.constant(x, tf.float32) for x in (query / np.sqrt(7), key, value)],
        bias=padding_bias(tf.constant(mask)),
        dropout=layers.make_dropout(None),
    )
    expected = kernels.attention(query, key, value, mask)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_padding_and_batch_mates_do_not_change_an_example(small_config):
    tensors = as_tensors(initial_values(small_config, seed=5))
    batch = random_batch(5)
    together = pretraining_output(small_config, tensors, as_tensors(batch))
    other = {name: value.copy() for name, value in batch.items()}
    padding = other["input_mask"] == 0
    other["input_ids"][padding] = 77  # what stands in padding must not matter
    alone = pretraining_output(
        small_config, tensors, as_tensors({name: value[2:3] for name, value in other.items()})
    )
    np.testing.assert_allclose(
        alone.masked_lm_logits[0], together.masked_lm_logits[2], rtol=0, atol=1e-5
    )


def test_dropout_is_a_function_of_its_seed(small_config):
    config = ModelConfig.from_dict(dict(SIZES, layout=small_config.layout, hidden_dropout_prob=0.3))
    tensors, batch = as_tensors(initial_values(config, 6)), as_tensors(random_batch(3))

    def run(seed):
        seed = None if seed is None else tf.constant(seed)
        return pretraining_output(config, tensors, batch, seed).masked_lm_logits.numpy()

    np.testing.assert_array_equal(run([1, 2]), run([1, 2]))
    assert np.abs(run([1, 2]) - run([1, 3])).max() > 0.01
    assert np.abs(run([1, 2]) - run(None)).max() > 0.01


def test_dropout_keeps_the_mean():
    ones = tf.ones([200, 500])
    dropped = layers.make_dropout(tf.constant([1, 1]))(ones, 0.2).numpy()
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)


def test_missing_weights_are_all_named(small_config):
    values = initial_values(small_config, 0)
    del values["bert/pooler/dense/bias"], values["cls/predictions/output_bias"]
    with pytest.raises(KeyError, match="pooler/dense/bias, cls/predictions/output_bias"):
        bind(parameter_tree(small_config), values)


def test_flops_count_shared_layers_as_often_as_they_run():
    base = ModelConfig.from_json_file("base")
    # Counted by hand from the sizes: ALBERT-base, 8 x 128, 20 predictions, about 540 GFLOP.
    assert training_flops(base, 8, 128, 20) / 1e9 == pytest.approx(541, abs=2)


@pytest.mark.parametrize("layout", ["google", "brightmart"])
def test_flops_are_those_of_the_products_in_a_step(layout):
    config = ModelConfig(101, hidden_size=192, num_attention_heads=3, intermediate_size=768)
    config = dataclasses.replace(config, layout=layout)
    batch = as_tensors(random_batch(3))
    tower = compiled(functools.partial(tower_gradients, pretraining(config)))
    tensors = as_tensors(initial_values(config, seed=0))
    graph = tower.get_concrete_function(tensors, batch, loss_denominators(batch)).graph
    total = 0
    for op in graph.get_operations():
        if "MatMul" in op.type:
            turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            inner = op.inputs[0].shape.as_list()[-2 if turned else -1]
            total += 2 * inner * int(np.prod(op.outputs[0].shape.as_list()))
    expected = training_flops(config, 3, SEQUENCE, PREDICTIONS, last_block=PREDICTIONS + 1)
    assert expected < 0.96 * training_flops(config, 3, SEQUENCE, PREDICTIONS)
    assert total == pytest.approx(expected, rel=0.01)
