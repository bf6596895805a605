"""Rows on which an exported model is held to TensorFlow: those of its run, if they are there."""

from typing import Any, Dict, List, Mapping

import numpy as np
from absl import logging

from albert.checkpoints.folder import Checkpoint, read_flags
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.tasks.folder import FineTuned
from albert.tasks.rows.examples import Example
from albert.text.encoder import TextEncoder

ROWS = 16
_IDS = ("input_ids", "input_mask", "segment_ids")
_POSITIONS = "masked_lm_positions"


def rows_of_run(found: Checkpoint) -> Dict[str, np.ndarray]:
    """Rows of the run's records, held-out ones where it has them; int32 [B, S] and [B, P]."""
    from albert.data.source import open_data

    flags = read_flags(found.directory)
    flag = "eval_file" if flags.get("eval_file") else "input_file"
    try:
        if not flags.get(flag):
            raise UsageError("{} does not say which records it is of.".format(found.directory))
        batch = open_data(flags[flag], flag, found.config, None, None, False).rows(ROWS)
    except UsageError as error:
        return _made_up(found.config, error)
    length = int(batch["input_mask"].sum(axis=1).max())
    rows = {name: batch[name][:, :length] for name in _IDS}
    return dict(rows, **{_POSITIONS: batch[_POSITIONS]})


def rows_of_fine_tuned(model: FineTuned) -> Dict[str, np.ndarray]:
    """Rows of the examples it was chosen by or trained with; int32 [B, S]."""
    from albert.tasks.rows.encoding import features_of
    from albert.tasks.rows.features import make_batch

    try:
        examples = _examples(model, read_flags(model.directory))
        encoder = TextEncoder(model.tokenization, model.config)
        rows = features_of(model.task, encoder, examples[:ROWS], labelled=False)[:ROWS]
    except UsageError as error:
        return _made_up(model.config, error)
    batch = make_batch(model.task, rows, model.task.max_seq_length)
    return {name: batch[name] for name in _IDS}


def _examples(model: FineTuned, flags: Mapping[str, str]) -> List[Example]:
    from albert.tasks.finetuning.what import TaskOptions

    path = flags.get("test_file") or flags.get("eval_file") or flags.get("train_file")
    if not path:
        raise UsageError("{} does not say which examples it is of.".format(model.directory))
    columns = ("text_column", "label_column", "text_b_column", "label_separator", "tag_column")
    named: Dict[str, Any] = {name: flags[name] for name in columns if name in flags}
    return TaskOptions(model.task.kind, path, **named).read(path)


def _made_up(config: ModelConfig, why: UsageError) -> Dict[str, np.ndarray]:
    logging.warning("Checked on rows of random pieces, because no real ones are there. %s", why)
    random = np.random.RandomState(0)
    shape = (ROWS, min(config.max_position_embeddings, 64))
    ids = random.randint(0, config.vocab_size, shape).astype(np.int32)
    lengths = random.randint(shape[1] // 2, shape[1] + 1, (ROWS, 1))
    mask = (np.arange(shape[1]) < lengths).astype(np.int32)
    segments = (np.arange(shape[1]) > lengths // 2).astype(np.int32) * mask
    positions = np.tile(np.arange(1, 4, dtype=np.int32), (ROWS, 1))
    return dict(zip(_IDS, (ids * mask, mask, segments)), **{_POSITIONS: positions})
