"""The memory of a step: estimated, compared with what there is, and found by trying."""

import json
import os
import re
import stat

import numpy as np
import pytest
from absl.testing import flagsaver
from conftest import PREDICTIONS, SEQUENCE, SIZES, write_record_file

from albert.commands import pretrain
from albert.model.config import ModelConfig
from albert.system import machine
from albert.training.memory.check import divisors
from albert.training.memory.estimate import _UPDATE_COPIES, StepShape, estimate_memory, step_shape
from albert.training.memory.find_batch_size import search
from albert.training.step.step import StepOptions

TINY = ModelConfig(
    vocab_size=11,
    embedding_size=3,
    hidden_size=6,
    num_hidden_layers=5,
    num_attention_heads=2,
    intermediate_size=7,
    max_position_embeddings=13,
)
SHAPE = StepShape(rows=2, length=4, predictions=1)


def estimate(config=TINY, shape=SHAPE, towers=1, on_gpu=True, **options):
    return estimate_memory(config, shape, StepOptions(**options), towers, on_gpu)


def test_the_estimate_is_what_one_counts_by_hand():
    table = 11 * 3 + 2 * 3 + 13 * 3 + 2 * 3 + (3 * 6 + 6)
    block = 4 * (6 * 6 + 6) + 2 * 6 + (6 * 7 + 7) + (7 * 6 + 6) + 2 * 6
    heads = (6 * 6 + 6) + (6 * 3 + 3) + 2 * 3 + 11 + (2 * 6 + 2)
    weights = 4 * (table + block + heads)
    found = estimate()
    assert found.state == 3 * weights
    assert found.update == _UPDATE_COPIES * weights
    assert found.gradients == weights + 4 * block  # the sum, and those of one use
    tokens = 2 * 4
    kept_of_a_block = 9 * 6 + 2 * 7 + 2 * 4  # vectors, feed-forward, attention weights
    kept_of_the_last = 3 * 6 + (kept_of_a_block - 3 * 6) // 2  # half of the positions are read
    embedded = 4 * 3 + 6
    working = max(3 * 2 * 4, 4 * 6 + 2 * 7)
    assert working * tokens > 2 * 2 * 11  # more than the scores over the vocabulary
    kept = 4 * kept_of_a_block + kept_of_the_last
    assert found.activations == 4 * tokens * (kept + embedded + working)
    assert found.total == found.state + found.gradients + found.activations + found.update
    again = estimate(recompute=True)
    assert again.activations == 4 * tokens * (kept_of_a_block + 5 * 6 + embedded + working)
    assert estimate(accumulation=2).gradients == found.gradients + 2 * weights
    assert estimate(on_gpu=False).total == found.total + estimate(on_gpu=False).program


def test_the_estimate_grows_with_what_costs_memory():
    base = ModelConfig.from_json_file("base")
    shape = StepShape(8, 128, 20)
    usual = estimate(base, shape).total
    for more in (
        estimate(base, shape._replace(rows=9)),
        estimate(base, shape._replace(length=160)),
        estimate(base, shape, towers=2),
        estimate(ModelConfig.from_json_file("large"), shape),
        estimate(ModelConfig.from_json_file("base"), shape, accumulation=2),
    ):
        assert more.total > usual
    for less in (
        estimate(base, shape, recompute=True),
        estimate(base, shape, precision="mixed_bfloat16"),
    ):
        assert less.total < usual
    many_words = StepShape(8, 128, 120)
    assert estimate(base, many_words).activations > estimate(base, shape).activations
    packed = shape._replace(length=512, packed=True)
    assert estimate(base, packed).total > estimate(base, packed._replace(packed=False)).total


def test_the_shape_of_a_micro_batch():
    batch = {"input_ids": np.zeros([12, 17]), "masked_lm_ids": np.zeros([12, 5])}
    assert step_shape(batch, 4) == StepShape(3, 17, 5, False)
    batch["position_ids"] = batch["input_ids"]
    assert step_shape(batch, 5) == StepShape(3, 17, 5, True)


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_the_search_finds_the_largest_that_fits(most):
    for limit in range(most + 2):
        for start in {1, most // 3 + 1, most}:
            tried = []

            def fits(number, limit=limit, tried=tried):
                tried.append(number)
                return number <= limit

            assert search(fits, start, most) == min(limit, most)
            assert len(set(tried)) == len(tried) <= 14
            assert 1 <= min(tried) and max(tried) <= most


def test_the_search_doubles_and_then_bisects():
    tried = []
    search(lambda number: tried.append(number) or number <= 11, 2, 64)
    assert tried == [2, 4, 8, 16, 12, 10, 11]


def test_divisors():
    assert divisors(1) == [1] and divisors(20) == [1, 2, 4, 5, 10, 20]


def test_the_limit_of_a_container_counts(tmp_path):
    for name, text in (
        ("memory.max", "1000\n"),
        ("memory.current", "700\n"),
        ("memory.stat", "anon 500\ninactive_file 150\n"),
    ):
        (tmp_path / name).write_text(text)
    names = ("memory.max", "memory.current", "inactive_file")
    cgroups = (("/nowhere",) + names, (str(tmp_path),) + names)
    assert machine._free_in_container(cgroups) == 1000 - 700 + 150
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._free_in_container(cgroups) is None


def test_free_memory_of_gpus_is_that_of_the_fullest(tmp_path, monkeypatch):
    devices = ["/device:GPU:0", "/device:GPU:1"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.available_bytes(devices) is None  # no nvidia-smi
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 900\necho 700\necho 5\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert machine.available_bytes(devices) == 700 * 2**20


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="only Linux has /proc")
def test_memory_of_the_machine_and_of_a_process():
    assert machine.resident_bytes(os.getpid()) > 50e6
    assert machine.available_bytes(["/device:CPU:0"]) > 50e6
    assert machine.resident_bytes(2**22 + 1) == 0  # no such process


def flags(tmp_path, **more):
    write_record_file(tmp_path / "train.tfrecord", 90, seed=1)
    (tmp_path / "small.json").write_text(json.dumps(dict(SIZES, layout="google")))
    values = {
        "input_file": tmp_path / "train.tfrecord",
        "output_dir": tmp_path / "out",
        "bert_config_file": tmp_path / "small.json",
        "train_batch_size": 24,
        "num_train_steps": 40,
        "use_gpu": False,
        "num_gpu_cores": 2,
        "padding": "none",
    }
    values.update(more)
    return ["multigpu_pretraining.py"] + ["--{}={}".format(*item) for item in values.items()]


def run(arguments):
    with flagsaver.flagsaver():
        return pretrain.main(arguments)


# Deep enough for recomputation to save memory even of one example.
DEEP = dict(SIZES, layout="google", num_hidden_layers=48)


def limit_for(rows, towers=2, **options):
    """GB that are enough for some rows by the estimate, on towers of the CPU."""
    config = ModelConfig.from_dict(DEEP)
    shape = StepShape(rows, SEQUENCE, PREDICTIONS)
    return estimate(config, shape, towers=towers, on_gpu=False, **options).total / 1e9


@pytest.fixture
def no_margin(monkeypatch):
    """Tiny steps differ by less than the tolerance of the check."""
    monkeypatch.setattr("albert.training.memory.check._REFUSED_ABOVE", 1.0)
    monkeypatch.setattr("albert.training.memory.check._WARNED_ABOVE", 1.0)


@pytest.mark.parametrize(
    "limit, advice",
    [
        (
            limit_for(4, accumulation=3),
            r"Pass --gradient_accumulation_steps=3 \(micro-batches of 4\)",
        ),
        (
            limit_for(1, accumulation=12, recompute=True),
            r"=12 \(micro-batches of 1\) and --recompute",
        ),
        (
            limit_for(1, towers=1, accumulation=24, recompute=True),
            r"Pass --num_gpu_cores=1 and .*=24 \(micro-batches of 1\) and --recompute",
        ),
        (0.01, "use a smaller --model, shorter records"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_flag_to_change(
    tmp_path, capsys, no_margin, limit, advice
):
    arguments = flags(tmp_path, memory_limit_gb=limit + 1e-6)
    (tmp_path / "small.json").write_text(json.dumps(DEEP))
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    (error,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("ERROR: ")]
    assert "A step of this run takes about" in error
    assert re.search(advice, error), error
    assert not (tmp_path / "out").exists()


def test_the_largest_micro_batch_is_found_by_trying(tmp_path, capfd):
    assert run(flags(tmp_path, find_batch_size=True, train_batch_size=8)) == 0
    lines = capfd.readouterr().out.splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == ["4"]  # the estimate is the whole share, and it fits
    assert rows[0][1].strip() == "yes" and float(rows[0][3]) > 0
    assert lines[-1] == "--train_batch_size=8 --gradient_accumulation_steps=1"
    assert not (tmp_path / "out").exists()


def test_a_micro_batch_over_the_limit_does_not_take_the_program_along(tmp_path, capfd):
    arguments = flags(tmp_path, find_batch_size=True, train_batch_size=2, memory_limit_gb=0.1)
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    output = capfd.readouterr()
    assert "| 1 | no |" in output.out
    assert "Not even one example at a time fits into memory. Pass --recompute." in output.err


def test_a_mistake_is_found_before_anything_is_tried(tmp_path):
    with pytest.raises(SystemExit) as ended:
        run(flags(tmp_path, find_batch_size=True, train_batch_size=7))
    assert ended.value.code == 2
