"""Whether a release is whole, fits together and computes."""

from __future__ import annotations

import glob
import math
import os
from typing import Dict, Iterator, Mapping

import numpy as np

from albert.checkpoints.folder import BEST_DIRECTORY
from albert.checkpoints.manager import PREFIX, saved_steps
from albert.checkpoints.names import is_slot
from albert.checkpoints.parts import absent_parts, new_parts
from albert.checkpoints.sums import damage, has_sums
from albert.compat import tf
from albert.formats.published import find_published, read_published
from albert.formats.release.checksums import SUMS_FILE, check_sums
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.text.tokenization import check_vocabulary
from albert.text.vocabulary import count_pieces
from albert.training.evaluation import evaluate
from albert.training.step.objective import pretraining
from albert.training.step.step import make_eval_step

_BATCH, _LENGTH = 4, 64
_PREDICTED = 0.15
_DEVICE = "/device:CPU:0"


def verify(folder: str) -> Iterator[str]:
    """Checks the files, loads the model and computes one batch.

    Yields:
      What it sees, a sentence each.

    Raises:
      UsageError: Something is missing, damaged, does not fit or is not a number.
    """
    checkpoints = list(_checkpoints(folder))
    yield from checkpoints
    checked = check_sums(folder)
    if checked is None and not checkpoints:
        yield "No {}: nothing tells whether the files are the published ones.".format(SUMS_FILE)
    elif checked is not None:
        yield "{}: {} files match.".format(SUMS_FILE, checked)
    prefix = find_published(folder)
    if prefix is None:
        raise UsageError("{} holds no checkpoint (*.index).".format(folder))
    found = read_published(prefix, None, None)
    config = found.config
    weights = {name: value for name, value in found.tensors.items() if not is_slot(name)}
    absent = absent_parts(config, weights)
    yield "{}: {} weights of {:,} numbers, all that the config ({} layout) asks for{}.".format(
        os.path.basename(prefix),
        len(weights),
        sum(value.size for value in weights.values()),
        config.layout,
        " but for " + ", ".join(absent) if absent else "",
    )
    weights.update(new_parts(config, weights))
    pieces = config.vocab_size
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.model"))):
        pieces = count_pieces(path)
        check_vocabulary(config, pieces, path)
        yield "{}: {:,} pieces; vocab_size is {:,}.".format(
            os.path.basename(path), pieces, config.vocab_size
        )
    yield _compute(config, weights, pieces)


def _checkpoints(folder: str) -> Iterator[str]:
    """Holds every checkpoint of a run to what was written."""
    wrong = []
    for place in (folder, os.path.join(folder, BEST_DIRECTORY)):
        for step in saved_steps(place):
            prefix = os.path.join(place, PREFIX + str(step))
            found = damage(prefix)
            if found:
                wrong.append(found)
            elif has_sums(prefix):
                yield "{}: as it was written.".format(prefix)
    if wrong:
        raise UsageError(
            "{}. Copy what is damaged again, or remove it: the run goes on from what is "
            "whole.".format("; ".join(wrong))
        )


def _compute(config: ModelConfig, weights: Mapping[str, np.ndarray], pieces: int) -> str:
    """Both heads and their losses on random pieces, as an evaluation computes them."""
    batch = _random_batch(config, pieces)
    with tf.device(_DEVICE):
        variables = {name: tf.Variable(value) for name, value in weights.items()}
    step = make_eval_step(pretraining(config), variables, [_DEVICE])
    results = evaluate(step, [{name: tf.constant(value) for name, value in batch.items()}])
    if not math.isfinite(results["loss"]):
        raise UsageError(
            "The loss of one batch is {}: the weights hold numbers that are none.".format(
                results["loss"]
            )
        )
    return (
        "One batch of {} x {} random pieces: masked-LM loss {:.3f}, sentence-order loss "
        "{:.3f}.".format(
            *batch["input_ids"].shape, results["masked_lm_loss"], results["sentence_order_loss"]
        )
    )


def _random_batch(config: ModelConfig, pieces: int) -> Dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    length = min(_LENGTH, config.max_position_embeddings)
    predictions = max(1, int(_PREDICTED * length))
    shape = (_BATCH, predictions)
    batch = {
        "input_ids": random.randint(pieces, size=(_BATCH, length)),
        "input_mask": np.ones((_BATCH, length)),
        "segment_ids": np.tile(np.arange(length) >= length // 2, (_BATCH, 1)),
        "masked_lm_positions": random.randint(length, size=shape),
        "masked_lm_ids": random.randint(pieces, size=shape),
        "sentence_order_labels": np.arange(_BATCH) % 2,
    }
    batch = {name: value.astype(np.int32) for name, value in batch.items()}
    return dict(batch, masked_lm_weights=np.ones(shape, np.float32))
