"""Checkpoints: whole or absent, readable by name, resumed exactly, refused when they do not fit."""

import dataclasses
import errno
import os
import subprocess

import numpy as np
import pytest
from conftest import SIZES
from oracles import goldens

from albert.checkpoints import manager as manager_module
from albert.checkpoints import restore
from albert.checkpoints.manager import (
    CheckpointManager,
    latest_checkpoint,
    read_tensors,
    saved_steps,
    write_tensors,
)
from albert.checkpoints.names import find_slot, is_slot, layout_of
from albert.checkpoints.restore import (
    differences,
    initialise_from,
    load_model,
    resume,
    without_absent_final_norm,
)
from albert.checkpoints.state import create_state
from albert.compat import tf
from albert.data.order import KEYED, SHUFFLED
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.model.parameters import POSITIONS, parameter_specs
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.optim.transforms import AVERAGE
from albert.system.errors import UsageError


def new_state(config, seed=0, ema=0.0):
    values = initial_values(config, seed)
    optimizer = make_optimizer(OptimizerConfig(ema=ema), polynomial_with_warmup(1.0, 9), values)
    return create_state(values, optimizer, "/device:CPU:0")


def fill(state):
    random = np.random.RandomState(1)
    for variable in list(state.parameters.values()) + list(state.slots.values()):
        variable.assign(random.randn(*variable.shape.as_list()).astype(np.float32))
    state.global_step.assign(7)
    state.skipped_steps.assign(2)


def test_state_survives_bit_for_bit(small_config, tmp_path):
    state, other = new_state(small_config), new_state(small_config, seed=5)
    fill(state)
    path = CheckpointManager(str(tmp_path), keep=3).save(state.variables(), 7)
    resume(small_config, other, path)
    for name, variable in state.variables().items():
        np.testing.assert_array_equal(other.variables()[name].numpy(), variable.numpy())
    assert other.next_batch() == 9


def saved_twice(folder):
    manager = CheckpointManager(str(folder), keep=3)
    for step in (5, 10):
        manager.save({"x": tf.Variable(np.full(1000, step, np.float32))}, step)
    return str(folder / "model.ckpt-5"), str(folder / "model.ckpt-10")


def flip(path, at):
    with open(path, "r+b") as handle:
        handle.seek(at)
        octet = handle.read(1)[0]
        handle.seek(at)
        handle.write(bytes([octet ^ 16]))


DATA, INDEX = ".data-00000-of-00001", ".index"
DAMAGES = {
    "flipped data": lambda prefix: flip(prefix + DATA, 1234),
    "flipped index": lambda prefix: flip(prefix + INDEX, 20),
    "cut data": lambda prefix: os.truncate(prefix + DATA, 100),
    "cut index": lambda prefix: os.truncate(prefix + INDEX, 30),
    "no data": lambda prefix: os.remove(prefix + DATA),
    "no index": lambda prefix: os.remove(prefix + INDEX),
    "cut sums": lambda prefix: os.truncate(prefix + ".sha256", 30),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_the_one_before_a_damaged_checkpoint_is_used(tmp_path, damage):
    before, newest = saved_twice(tmp_path)
    assert latest_checkpoint(str(tmp_path)) == newest
    DAMAGES[damage](newest)
    assert latest_checkpoint(str(tmp_path)) == before
    assert (read_tensors(before)["x"] == 5).all()
    with pytest.raises(UsageError, match="model.ckpt-10 is damaged.*Copy it again"):
        read_tensors(newest)  # named by itself it is refused
    DAMAGES[damage](before)
    with pytest.raises(UsageError, match="no other checkpoint in .* that is whole"):
        latest_checkpoint(str(tmp_path))


@pytest.mark.parametrize("damage", sorted(set(DAMAGES) - {"cut sums"}))
def test_damage_without_sums_is_one_sentence(tmp_path, damage):
    _, newest = saved_twice(tmp_path)
    os.remove(newest + ".sha256")  # as the originals' checkpoints are
    DAMAGES[damage](newest)
    with pytest.raises(UsageError, match="model.ckpt-10"):
        read_tensors(newest)


def test_sums_are_what_sha256sum_reads(tmp_path):
    saved_twice(tmp_path)
    check = ["sha256sum", "--check", "--quiet", "model.ckpt-10.sha256"]
    subprocess.run(check, cwd=str(tmp_path), check=True)


def test_the_current_checkpoint_lies_in_its_folder(tmp_path):
    """A path of another machine, or into another folder, is its last name."""
    _, newest = saved_twice(tmp_path / "run")
    saved_twice(tmp_path)
    for named in (newest, "/elsewhere/model.ckpt-10", "../model.ckpt-10", "../model.ckpt-7"):
        (tmp_path / "run" / "checkpoint").write_text('model_checkpoint_path: "%s"' % named)
        assert latest_checkpoint(str(tmp_path / "run")) == newest


def test_runs_go_on_with_the_order_they_began_with(small_config, tmp_path):
    state, other = new_state(small_config), new_state(small_config, seed=5)
    assert int(state.batch_order.numpy()) == KEYED
    old = {name: value for name, value in state.variables().items() if name != "batch_order"}
    write_tensors(str(tmp_path / "model.ckpt-7"), old)  # as version 0.1 wrote them
    resume(small_config, other, str(tmp_path / "model.ckpt-7"))
    assert int(other.batch_order.numpy()) == SHUFFLED
    path = CheckpointManager(str(tmp_path), keep=3).save(other.variables(), 8)
    resume(small_config, state, path)
    assert int(state.batch_order.numpy()) == SHUFFLED


def test_file_is_what_the_originals_read(small_config, tmp_path):
    state = new_state(small_config)
    path = CheckpointManager(str(tmp_path), keep=3).save(state.variables(), 0)
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    for name, spec in parameter_specs(small_config).items():
        for key in (name, name + "/adam_m", name + "/adam_v"):
            assert tuple(shapes.pop(key)) == spec.shape
    assert shapes == {"global_step": [], "skipped_steps": [], "batch_order": []}
    assert reader.get_variable_to_dtype_map()["global_step"] == tf.int64
    # TensorFlow's own way to find it.
    assert tf.train.latest_checkpoint(str(tmp_path)) == path == latest_checkpoint(str(tmp_path))


@pytest.mark.parametrize("layout", goldens.LAYOUTS)
def test_checkpoints_of_the_originals_load(layout):
    golden = goldens.load(layout)
    config = ModelConfig.from_dict(golden.config)
    weights = load_model(config, golden.checkpoint).weights
    assert set(weights) == set(golden.parameters)
    for name, value in golden.parameters.items():
        np.testing.assert_array_equal(weights[name], value)
    assert layout_of(weights) == layout


def test_only_the_newest_are_kept(tmp_path):
    manager = CheckpointManager(str(tmp_path), keep=2)
    for step in (5, 10, 15):
        manager.save({"x": tf.Variable(float(step))}, step)
    assert saved_steps(str(tmp_path)) == [10, 15]
    assert sorted(os.listdir(str(tmp_path))) == [
        "checkpoint",
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-10.index",
        "model.ckpt-10.sha256",
        "model.ckpt-15.data-00000-of-00001",
        "model.ckpt-15.index",
        "model.ckpt-15.sha256",
    ]
    assert read_tensors(latest_checkpoint(str(tmp_path)))["x"] == 15.0


def test_a_crash_while_writing_leaves_the_last_one_current(tmp_path, monkeypatch):
    manager = CheckpointManager(str(tmp_path), keep=2)
    manager.save({"x": tf.Variable(1.0)}, 1)

    def crash(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(manager_module.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        manager.save({"x": tf.Variable(2.0)}, 2)
    monkeypatch.undo()
    assert read_tensors(latest_checkpoint(str(tmp_path)))["x"] == 1.0
    manager.save({"x": tf.Variable(3.0)}, 3)
    assert read_tensors(latest_checkpoint(str(tmp_path)))["x"] == 3.0


@pytest.mark.parametrize(
    "kind,code", [("ResourceExhaustedError", errno.ENOSPC), ("UnknownError", errno.EIO)]
)
def test_a_disk_that_fails_keeps_what_there_is(kind, code, tmp_path, monkeypatch):
    manager = CheckpointManager(str(tmp_path), 3)
    manager.save({"x": tf.Variable(1.0)}, 1)

    def full(prefix, **values):
        with open(prefix + ".data-00000-of-00001.tempstate1", "w") as handle:
            handle.write("a part")
        raise getattr(tf.errors, kind)(None, None, os.strerror(code))

    monkeypatch.setattr(tf.raw_ops, "SaveV2", full)
    with pytest.raises(OSError, match=os.strerror(code) + ".*model.ckpt-2") as caught:
        manager.save({"x": tf.Variable(2.0)}, 2)
    assert caught.value.errno == code
    monkeypatch.undo()
    assert read_tensors(latest_checkpoint(str(tmp_path)))["x"] == 1.0
    assert not list(tmp_path.glob("**/*tempstate*"))
    manager.save({"x": tf.Variable(3.0)}, 3)
    assert read_tensors(latest_checkpoint(str(tmp_path)))["x"] == 3.0


def test_slot_names_of_every_system_are_understood():
    names = {
        "a",
        "a/adam_m",
        "b/AdamWeightDecayOptimizer",
        "b/AdamWeightDecayOptimizer_1",
        "c/lamb_v",
        "d/muon_m",
    }
    assert find_slot("a/adam_m", names) == "a/adam_m"
    assert find_slot("a/adam_v", names) is None
    assert find_slot("b/adam_m", names) == "b/AdamWeightDecayOptimizer"
    assert find_slot("b/adam_v", names) == "b/AdamWeightDecayOptimizer_1"
    assert find_slot("c/adam_v", names) == "c/lamb_v"
    assert find_slot("d/muon_m", names) == "d/muon_m"
    assert sum(is_slot(name) for name in names) == 5


def test_resuming_a_run_of_the_malay_system(small_config, tmp_path):
    state, other = new_state(small_config), new_state(small_config, seed=5)
    fill(state)
    renamed = {
        name.replace("/adam_m", "/AdamWeightDecayOptimizer").replace(
            "/adam_v", "/AdamWeightDecayOptimizer_1"
        ): variable
        for name, variable in state.variables().items()
        if name not in ("skipped_steps", "batch_order")
    }
    write_tensors(str(tmp_path / "model.ckpt-7"), renamed)
    resume(small_config, other, str(tmp_path / "model.ckpt-7"))
    for name, variable in state.slots.items():
        np.testing.assert_array_equal(other.slots[name].numpy(), variable.numpy())
    assert other.next_batch() == 7
    assert int(other.batch_order.numpy()) == KEYED


def test_weights_alone_cannot_be_resumed(small_config, tmp_path):
    write_tensors(str(tmp_path / "model.ckpt-1"), new_state(small_config).parameters)
    with pytest.raises(UsageError, match="no slots of this optimizer.*--init_checkpoint="):
        resume(small_config, new_state(small_config), str(tmp_path / "model.ckpt-1"))


def other_layout(config):
    return {"google": "brightmart", "brightmart": "google"}[config.layout]


def test_checkpoint_of_another_model_is_refused(small_config, tmp_path):
    prefix = str(tmp_path / "model.ckpt-1")
    write_tensors(prefix, new_state(small_config).variables())
    layout = {"layout": small_config.layout}
    wider = ModelConfig.from_dict(dict(SIZES, vocab_size=103, **layout))
    with pytest.raises(
        UsageError, match=r"word_embeddings: \[101, 13\] in the checkpoint, \[103, 13\]"
    ):
        load_model(wider, prefix)
    with pytest.raises(
        UsageError, match="holds a model of the {} layout".format(small_config.layout)
    ):
        load_model(ModelConfig.from_dict(dict(SIZES, layout=other_layout(small_config))), prefix)
    write_tensors(str(tmp_path / "model.ckpt-2"), {"w": tf.Variable(1.0)})
    with pytest.raises(UsageError, match="is not an ALBERT checkpoint"):
        load_model(small_config, str(tmp_path / "model.ckpt-2"))
    with pytest.raises(UsageError, match="Cannot read checkpoint .*model.ckpt-9"):
        read_tensors(str(tmp_path / "model.ckpt-9"))


def test_initialising_loads_weights_and_reports_the_rest(small_config, tmp_path, caplog):
    state, other = new_state(small_config), new_state(small_config, seed=5)
    fill(state)
    tensors = dict(state.parameters, extra=tf.Variable(1.0))
    del tensors["cls/predictions/output_bias"]
    write_tensors(str(tmp_path / "model.ckpt-1"), tensors)
    found = differences(parameter_specs(small_config), read_tensors(str(tmp_path / "model.ckpt-1")))
    assert (found.missing, found.unused) == (["cls/predictions/output_bias"], ["extra"])
    loaded = initialise_from(small_config, other.parameters, str(tmp_path / "model.ckpt-1"))
    assert len(loaded) == len(other.parameters) - 1
    name = "bert/pooler/dense/kernel"
    np.testing.assert_array_equal(other.parameters[name].numpy(), state.parameters[name].numpy())
    assert int(other.global_step.numpy()) == 0


def test_positions_are_repeated_for_a_model_of_longer_sequences(small_config, tmp_path, caplog):
    short = new_state(small_config)
    write_tensors(str(tmp_path / "model.ckpt-1"), short.parameters)
    longer = dataclasses.replace(small_config, max_position_embeddings=100)
    state = new_state(longer, seed=5)
    with caplog.at_level("INFO"):
        initialise_from(longer, state.parameters, str(tmp_path / "model.ckpt-1"))
    assert "Positions: 41 of the checkpoint, repeated up to 100" in caplog.text
    table = short.parameters[POSITIONS].numpy()
    expected = np.concatenate([table, table, table[:18]])
    np.testing.assert_array_equal(state.parameters[POSITIONS].numpy(), expected)
    write_tensors(str(tmp_path / "model.ckpt-2"), state.parameters)
    with pytest.raises(UsageError, match="position_embeddings: .100, .* in the checkpoint, .41"):
        initialise_from(small_config, short.parameters, str(tmp_path / "model.ckpt-2"))


def test_what_a_run_is_judged_by_is_the_mean_of_its_weights(small_config, tmp_path):
    with_mean, without = new_state(small_config, ema=0.9), new_state(small_config)
    manager = CheckpointManager(str(tmp_path), 2)
    fresh = manager.save(with_mean.variables(), 0)
    name = "bert/pooler/dense/kernel"
    before = load_model(small_config, fresh).weights[name]  # there is no mean yet
    np.testing.assert_array_equal(before, with_mean.parameters[name].numpy())
    fill(with_mean)
    prefix = manager.save(with_mean.variables(), 7)
    mean = with_mean.slots[name + AVERAGE].numpy()
    assert with_mean.judged[name] is with_mean.slots[name + AVERAGE]
    np.testing.assert_array_equal(load_model(small_config, prefix).weights[name], mean)
    initialise_from(small_config, without.parameters, prefix)
    np.testing.assert_array_equal(without.parameters[name].numpy(), mean)
    resume(small_config, without, prefix)  # what training goes on with is another thing
    own = with_mean.parameters[name].numpy()
    np.testing.assert_array_equal(without.parameters[name].numpy(), own)
    later = new_state(small_config, ema=0.9)
    resume(small_config, later, manager.save(without.variables(), 8))  # the mean begins here
    np.testing.assert_array_equal(later.judged[name].numpy(), own)


def test_new_groups_can_start_as_group_0(tmp_path):
    one = ModelConfig.from_dict(dict(SIZES, layout="google"))
    two = ModelConfig.from_dict(dict(SIZES, layout="google", num_hidden_groups=2))
    state, other = new_state(one), new_state(two, seed=5)
    prefix = str(tmp_path / "model.ckpt-1")
    write_tensors(prefix, state.parameters)
    initialise_from(two, other.parameters, prefix, from_group_0=True)
    name = "bert/encoder/transformer/group_{}/inner_group_0/attention_1/self/query/kernel"
    np.testing.assert_array_equal(
        other.parameters[name.format(1)].numpy(), state.parameters[name.format(0)].numpy()
    )


def test_a_checkpoint_without_final_norm_is_gone_on_from_without_one(tmp_path, monkeypatch):
    monkeypatch.setattr(restore, "read_tensors", None)  # what it holds is not read for that
    wanted = ModelConfig.from_dict(dict(SIZES, layout="brightmart", final_layer_norm=True))
    for has_one in (False, True):
        config = dataclasses.replace(wanted, final_layer_norm=has_one)
        values = {n: tf.Variable(v) for n, v in initial_values(config, 1).items()}
        prefix = CheckpointManager(str(tmp_path / str(has_one)), 1).save(values, 1)
        assert without_absent_final_norm(wanted, prefix) == config
