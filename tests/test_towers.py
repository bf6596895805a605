"""N towers are one tower: same losses, same weights, same counter."""

import numpy as np
import pytest
from conftest import random_batch

from albert.checkpoints.state import create_state
from albert.compat import tf
from albert.model.initial import initial_values
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.system import devices as runtime
from albert.system.devices import choose_devices, cpu_towers
from albert.system.errors import UsageError
from albert.system.machine import usable_cores
from albert.training.step import towers
from albert.training.step.objective import loss_denominators, pretraining
from albert.training.step.step import choose_reduction, make_eval_step, make_train_step

STEPS = 20


class Trainer:
    """A model with its step, as a run builds them."""

    def __init__(self, config, optimizer, devices, z_loss=0.0):
        self.schedule = polynomial_with_warmup(1e-3, 100, 5)
        values = initial_values(config, seed=1)
        how = OptimizerConfig(name=optimizer, ema=0.99 if z_loss else 0.0)
        rule = make_optimizer(how, self.schedule, values)
        self.state = create_state(values, rule, devices[0])
        self.step = make_train_step(
            pretraining(config, z_loss), self.state, rule, self.schedule, devices, seed=2
        )

    def weights(self):
        return {name: variable.numpy() for name, variable in self.state.judged.items()}


def tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


def uneven_batch(seed):
    """Twelve examples, most of the masks and labels in the first tower's share."""
    batch = random_batch(12, seed)
    batch["masked_lm_weights"][6:, 1:] = 0.0
    batch["sentence_order_labels"][7:] = -1
    return tensors(batch)


@pytest.mark.parametrize(
    "optimizer, z_loss", [("lamb", 0.0), ("adamw", 0.0), ("muon", 0.0), ("muon", 1e-2)]
)
def test_any_number_of_towers_trains_the_same_model(small_config, optimizer, z_loss, devices):
    runs = {}
    for count in (1, 3, 4):
        trainer = Trainer(small_config, optimizer, devices[:count], z_loss)
        losses = []
        for number in range(STEPS):
            sums = trainer.step(uneven_batch(number)).sums
            losses.append(
                [
                    float(sums[k].total / sums[k].weight)
                    for k in ("masked_lm_loss", "sentence_order_loss")
                ]
            )
        assert int(trainer.state.global_step.numpy()) == STEPS  # updates, not updates x towers
        runs[count] = (np.array(losses), trainer.weights())
    for count in (3, 4):
        np.testing.assert_allclose(runs[count][0], runs[1][0], rtol=1e-6)
        for name, value in runs[1][1].items():
            np.testing.assert_allclose(runs[count][1][name], value, rtol=0, atol=1e-5, err_msg=name)


def test_gradient_of_towers_is_that_of_the_undivided_batch(small_config):
    weights = tensors(initial_values(small_config, seed=3))
    batch = uneven_batch(5)
    whole, _ = towers.tower_gradients(
        pretraining(small_config), weights, batch, loss_denominators(batch), None
    )
    parts = [
        towers.tower_gradients(
            pretraining(small_config), weights, shard, loss_denominators(batch), None
        )[0]
        for shard in towers.split_batch(batch, 3)
    ]
    summed = towers.sum_gradients(parts, "/device:CPU:0")
    for name, value in whole.items():
        np.testing.assert_allclose(summed[name], value, rtol=0, atol=1e-6, err_msg=name)


def test_one_bad_tower_skips_the_step_everywhere(small_config, devices):
    trainer = Trainer(small_config, "lamb", devices[:3])
    trainer.step(uneven_batch(0))
    before = trainer.weights()
    slots = {name: variable.numpy() for name, variable in trainer.state.slots.items()}
    bad = dict(uneven_batch(1))
    weights = bad["masked_lm_weights"].numpy()
    weights[5, 0] = np.nan  # in the share of the second tower
    bad["masked_lm_weights"] = tf.constant(weights)
    result = trainer.step(bad)
    assert not bool(result.applied)
    for name, value in trainer.weights().items():
        np.testing.assert_array_equal(value, before[name])
    for name, variable in trainer.state.slots.items():
        np.testing.assert_array_equal(variable.numpy(), slots[name])
    assert int(trainer.state.global_step.numpy()) == 1
    assert int(trainer.state.skipped_steps.numpy()) == 1
    assert trainer.state.next_batch() == 2
    assert bool(trainer.step(uneven_batch(2)).applied)


def test_a_step_is_traced_once_and_reads_each_weight_once_a_tower(small_config, devices):
    count = 2
    trainer = Trainer(small_config, "adamw", devices[:count])
    for number in range(3):
        trainer.step(uneven_batch(number))
    concrete = trainer.step.get_concrete_function(uneven_batch(0))
    reads = [op for op in concrete.graph.get_operations() if op.type == "ReadVariableOp"]
    towers_reads = [op for op in reads if "tower_" in op.name]
    assert len(towers_reads) == count * len(trainer.state.parameters)


def test_evaluation_does_not_depend_on_towers(small_config, devices):
    variables = {n: tf.Variable(v) for n, v in initial_values(small_config, seed=4).items()}
    batch = uneven_batch(9)
    one = make_eval_step(pretraining(small_config), variables, devices[:1])(batch)
    three = make_eval_step(pretraining(small_config), variables, devices[:3])(batch)
    for name in one:
        assert float(three[name].total) == pytest.approx(float(one[name].total), rel=1e-5)
        assert float(three[name].weight) == float(one[name].weight)


def test_a_batch_without_masks_or_labels_changes_little_and_stays_finite(small_config, devices):
    trainer = Trainer(small_config, "adamw", devices[:2])
    batch = dict(uneven_batch(0))
    batch["masked_lm_weights"] = tf.zeros_like(batch["masked_lm_weights"])
    batch["sentence_order_labels"] = -tf.ones_like(batch["sentence_order_labels"])
    assert float(trainer.step(batch).gradient_norm) == 0.0


@pytest.mark.parametrize("batch,count,suggestion", [(100, 3, 99), (101, 3, 102), (1, 4, 4)])
def test_an_indivisible_batch_suggests_one_that_works(batch, count, suggestion):
    with pytest.raises(
        UsageError,
        match="Found {} towers with a batch size of {}; try --train_batch_size={} instead".format(
            count, batch, suggestion
        ),
    ):
        towers.check_batch_size(batch, count, "train_batch_size")
    towers.check_batch_size(suggestion, count, "train_batch_size")


@pytest.mark.parametrize(
    "batch_sizes, count",
    [([], 6), ([24], 6), ([20], 5), ([16], 4), ([24, 16], 4), ([7], 1), ([3], 1)],
)
def test_a_cpu_has_as_many_towers_as_its_cores_and_the_batches_allow(
    monkeypatch, batch_sizes, count
):
    monkeypatch.setattr("albert.system.devices.usable_cores", lambda: 6)
    assert cpu_towers(batch_sizes) == count


def test_a_cpu_has_one_tower_where_xla_compiles_it(monkeypatch):
    monkeypatch.setattr("albert.system.devices.usable_cores", lambda: 3)
    assert len(choose_devices(False, 0, [], [12], xla="auto")) == 3
    assert len(choose_devices(False, 0, [], [12], xla="on")) == 1
    assert len(choose_devices(False, 2, [], [12], xla="on")) == 2


def test_towers_on_a_cpu_have_threads_of_their_own(devices):
    threads = tf.config.threading
    cores = usable_cores()
    assert threads.get_intra_op_parallelism_threads() == max(1, cores // len(devices))
    assert threads.get_inter_op_parallelism_threads() == min(cores, len(devices))


def test_the_matmul_peak_is_that_of_all_towers(devices, monkeypatch):
    """Each makes a product of its own in the same second."""
    monkeypatch.setitem(runtime._PEAK_SIZE, "CPU", 512)
    ticks = iter(range(100))
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: next(ticks))
    assert runtime.matmul_peak(devices[:3]) == 3 * 2.0 * 512**3


def test_tree_sum_adds_everything_in_pairs():
    values = [tf.constant(float(2**n)) for n in range(7)]
    assert [float(towers.tree_sum(values[:n])) for n in range(1, 8)] == [1, 3, 7, 15, 31, 63, 127]


def test_nccl_needs_a_gpu_for_each_tower(devices):
    with pytest.raises(UsageError, match="needs a GPU of its own for each tower.*reduction=tree"):
        choose_reduction("nccl", devices[:2])
    with pytest.raises(UsageError, match="Unknown reduction 'ring'; must be one of: auto, tree"):
        choose_reduction("ring", devices)


def test_several_gpus_add_up_by_nccl_and_all_else_as_a_tree():
    gpus = ["/device:GPU:0", "/device:GPU:1"]
    assert choose_reduction("nccl", gpus) == choose_reduction("auto", gpus) == "nccl"
    for devices in (gpus[:1], gpus[:1] * 2, ["/device:CPU:0", "/device:CPU:1"]):
        assert choose_reduction("auto", devices) == "tree"
    assert choose_reduction("tree", gpus) == "tree"
