"""Seeds: every one of 32 bits works everywhere, others are refused with a sentence."""

import re

import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import SIZES, order_of, random_batch

from albert.checkpoints.state import create_state
from albert.commands import pretrain
from albert.model.config import ModelConfig
from albert.model.initial import initial_values
from albert.optim.optimizers import OptimizerConfig, make_optimizer
from albert.optim.schedules import polynomial_with_warmup
from albert.system.errors import UsageError
from albert.tasks.finetuning.finetune import FinetuneOptions
from albert.tasks.rows.examples import Text, held_out
from albert.training.step.objective import pretraining
from albert.training.step.step import make_train_step

LARGEST = 2**32 - 1
REFUSED = "--random_seed must be between 0 and 4294967295. Received "


def loss_of_a_step(seed, devices):
    sizes = dict(SIZES, layout="google", num_hidden_layers=1, hidden_dropout_prob=0.5)
    config = ModelConfig.from_dict(sizes)
    schedule = polynomial_with_warmup(1e-3, 10)
    values = initial_values(config, 1)
    optimizer = make_optimizer(OptimizerConfig(), schedule, values)
    state = create_state(values, optimizer, devices[0])
    step = make_train_step(pretraining(config), state, optimizer, schedule, devices, seed)
    total, weight = step(random_batch(6)).sums["masked_lm_loss"]
    return float(total / weight)


def test_every_seed_draws_a_dropout_of_its_own(devices):
    # The second tower's seed lies beyond 31 bits, then the first one's, then beyond 32.
    seeds = (2**31 - 1, 2**31 + 5, LARGEST)
    losses = {loss_of_a_step(seed, devices[:2]) for seed in seeds}
    assert len(losses) == len(seeds) and np.isfinite(list(losses)).all()


@pytest.mark.parametrize("seed", [0, 2**31, LARGEST])
def test_every_seed_makes_weights_and_orders(seed):
    config = ModelConfig.from_dict(dict(SIZES, layout="google"))
    assert all(np.isfinite(value).all() for value in initial_values(config, seed).values())
    assert sorted(order_of(9, 9, seed).numbers([0])[0]) == list(range(9))
    assert len(held_out([Text("a", "x"), Text("b", "y")], 0.5, seed)[0]) == 1
    assert FinetuneOptions(random_seed=seed).random_seed == seed


@pytest.mark.parametrize("seed", [-1, LARGEST + 1])
@pytest.mark.parametrize(
    "refuse", [lambda n: FinetuneOptions(random_seed=n), lambda n: held_out([], 1, n)]
)
def test_other_seeds_are_refused(seed, refuse):
    with pytest.raises(UsageError, match=REFUSED + str(seed)):
        refuse(seed)


def test_a_run_is_refused_before_it_begins(tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(ModelConfig.from_dict(dict(SIZES, layout="google")).to_json())
    flags = ["--albert_config_file={}".format(config), "--input_file=none", "--no_save"]
    flags += ["--use_gpu=False", "--num_gpu_cores=1", "--random_seed=4294967296"]
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        pretrain.main(["multigpu_pretraining.py"] + flags)
    assert ended.value.code == 2
    assert re.search("ERROR: " + REFUSED + "4294967296", capsys.readouterr().err)
