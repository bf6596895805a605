"""What all tests share: the import path, four CPU devices, small models and record files."""

import contextlib
import logging
import os
import sys

import numpy as np
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.compat import logical_devices, plain_operations, tf  # noqa: E402
from albert.data.order import BatchOrder, Source  # noqa: E402
from albert.model.albert import bound, encoder_output  # noqa: E402
from albert.model.config import ModelConfig  # noqa: E402
from albert.model.parameters import parameter_tree  # noqa: E402
from albert.records.example_proto import encode_example  # noqa: E402
from albert.records.tfrecord import frame  # noqa: E402
from albert.training.step.step import StepResult  # noqa: E402

DEVICES = logical_devices("CPU", 4)

# Distinct primes where the model allows them, so that a transposed axis changes a shape.
SIZES = {
    "vocab_size": 101,
    "embedding_size": 13,
    "hidden_size": 21,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "max_position_embeddings": 41,
    "hidden_act": "gelu",
    "initializer_range": 0.1,
}
SEQUENCE, PREDICTIONS = 17, 5


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Traces updates without XLA, in half the time, but in tests marked `fused`.

    Commands that tests start as processes have it, too.
    """
    fused = item.get_closest_marker("fused")
    with contextlib.nullcontext() if fused else plain_operations():
        yield


@pytest.fixture(scope="session", autouse=True)
def one_core():
    """Commands under test have one tower unless they ask for more, whatever the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("albert.system.devices.usable_cores", lambda: 1)
        yield


@pytest.fixture
def caplog(caplog):
    """Sees our messages after a test has started the console, too, which keeps them from others."""
    logger = logging.getLogger("absl")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def devices():
    """Names of four logical CPU devices."""
    return DEVICES


@pytest.fixture(params=["google", "brightmart"])
def small_config(request) -> ModelConfig:
    """A small model of each layout."""
    return ModelConfig.from_dict(dict(SIZES, layout=request.param))


def random_example(random: np.random.RandomState, sequence=SEQUENCE, predictions=PREDICTIONS):
    """One record's features with a ragged length and a ragged number of masks."""
    length = random.randint(7, sequence + 1)
    masked = random.randint(1, min(predictions, length - 3) + 1)
    ids = np.zeros(sequence, np.int64)
    ids[:length] = 5 + random.zipf(1.5, length) % (SIZES["vocab_size"] - 5)
    positions = np.zeros(predictions, np.int64)
    positions[:masked] = np.sort(random.choice(np.arange(1, length - 1), masked, replace=False))
    labels = np.zeros(predictions, np.int64)
    labels[:masked] = ids[positions[:masked]]
    ids[positions[:masked]] = 4
    return {
        "input_ids": ids,
        "input_mask": (np.arange(sequence) < length).astype(np.int64),
        "segment_ids": (
            (np.arange(sequence) > length // 2) & (np.arange(sequence) < length)
        ).astype(np.int64),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": (np.arange(predictions) < masked).astype(np.float32),
        "next_sentence_labels": np.array([random.randint(-1, 2)], np.int64),
    }


def random_batch(size: int, seed: int = 0):
    """A batch as the pipeline yields it, in NumPy."""
    random = np.random.RandomState(seed)
    examples = [random_example(random) for _ in range(size)]
    batch = {}
    for name in examples[0]:
        value = np.stack([example[name] for example in examples])
        batch[name] = value if value.dtype == np.float32 else value.astype(np.int32)
    batch["sentence_order_labels"] = batch.pop("next_sentence_labels")[:, 0]
    return batch


def not_applied() -> StepResult:
    """What a step reports whose gradient is no number."""
    zero = tf.zeros([])
    return StepResult({}, zero / zero, zero, tf.constant(False), zero, tf.zeros([1]), zero)


def encoded(config, weights, batch, positions=None):
    """The encoder's output of a pre-training model, everywhere or at some positions."""
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    parameters = bound(parameter_tree(config), weights)
    return encoder_output(config, parameters, inputs, positions=positions)


def write_record_file(path, count: int, seed: int = 0, opener=open, **lengths) -> str:
    """Writes random records and returns the path."""
    random = np.random.RandomState(seed)
    return write_examples(path, [random_example(random, **lengths) for _ in range(count)], opener)


def order_of(size: int, *args, **options) -> BatchOrder:
    """The order of batches of `size` records."""
    return BatchOrder([Source("records", size)], *args, **options)


def write_examples(path, examples, opener=open) -> str:
    """Writes records of these features and returns the path."""
    with opener(str(path), "wb") as handle:
        for example in examples:
            handle.write(frame(encode_example(example)))
    return str(path)


@contextlib.contextmanager
def standard_input(data):
    """Pipes some bytes into this process."""
    ours, theirs = os.pipe()
    os.write(theirs, data)
    os.close(theirs)
    kept = os.dup(0)
    os.dup2(ours, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(ours)
