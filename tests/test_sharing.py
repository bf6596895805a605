"""Gradients of shared weights add up block by block."""

import functools

import pytest
from conftest import SIZES, random_batch

from albert.compat import compiled, tf
from albert.model.blocks.joined import join_projections, weights_of
from albert.model.blocks.sharing import SharedWeights
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.parameters import bind, parameter_tree
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.towers import tower_gradients


@pytest.mark.parametrize("in_graph", [False, True])
def test_the_sum_is_float32_where_blocks_compute_in_less(in_graph):
    factors = [1.0, 1.0, 1.0, 256.0]  # in bfloat16, 256 + 1 = 256

    def gradients(weight, hidden):
        with tf.GradientTape() as tape:
            tape.watch([weight, hidden])
            blocks = [[weight]] * len(factors)  # any structure will do
            shared, outputs = SharedWeights(blocks, tf.bfloat16), hidden
            for factor, block in zip(factors, blocks):
                outputs, (own,) = shared.take(outputs, block)
                assert own.dtype == tf.bfloat16
                outputs += tf.cast(own, tf.float32) * factor
        return tape.gradient(outputs, [weight, hidden])

    run = compiled(gradients) if in_graph else gradients
    found, through = run(tf.constant([0.5]), tf.constant([2.0]))
    assert found.dtype == tf.float32 and found.numpy() == [259.0]
    assert through.numpy() == [1.0]


@pytest.mark.parametrize("recompute", [False, True])
def test_no_gradients_of_blocks_wait_for_each_other(recompute):
    config = ModelConfig.from_dict(dict(SIZES, layout="google", num_hidden_layers=3))
    batch = random_batch(2)
    tower = compiled(functools.partial(tower_gradients, pretraining(config), recompute=recompute))
    tensors = {n: tf.constant(v) for n, v in initial_values(config, seed=1).items()}
    graph = tower.get_concrete_function(tensors, batch, loss_denominators(batch)).graph
    block = join_projections(
        bind(parameter_tree(config), tensors).blocks, config.num_attention_heads
    )[0]
    shapes = [tuple(weight.shape.as_list()) for weight in weights_of(block)]
    sums = [op for op in graph.get_operations() if op.type in ("AddN", "AddV2", "Add")]
    added = [op for op in sums if tuple(op.outputs[0].shape.as_list() or ()) in shapes]
    assert len(added) >= len(shapes) * (config.num_hidden_layers - 1)
    for op in added:
        assert op.type != "AddN" or len(op.inputs) <= 2, op.name
