"""Facts about a run from its folder alone."""

import os
from typing import Optional

from absl import logging

from albert.checkpoints.folder import CONFIG_FILE
from albert.checkpoints.manager import PREFIX, saved_steps
from albert.checkpoints.restore import load_model
from albert.compat import tf
from albert.data.source import Data, open_data
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.system.files.side import read_as
from albert.training.diagnosis.data import data_facts
from albert.training.diagnosis.facts import Facts, state_of
from albert.training.diagnosis.probe import EXAMPLES, movement, output_facts
from albert.training.diagnosis.watch import SETTINGS_FILE, Kept
from albert.training.log.metrics import read_metrics


def read_facts(directory: str) -> Facts:
    """Reads metrics, the last two checkpoints, and the records if they are still there.

    Raises:
      UsageError: The folder is not that of a training run.
    """
    kept = _read_kept(directory)
    if kept is None:
        raise UsageError(
            "No {}: not the folder of a run of multigpu_pretraining.py. Pass its "
            "--output_dir.".format(os.path.join(directory, SETTINGS_FILE))
        )
    config = ModelConfig.from_json_file(os.path.join(directory, CONFIG_FILE))
    data = _records(kept.input_file, config)
    steps = saved_steps(directory)[-2:]
    prefixes = [os.path.join(directory, PREFIX + str(step)) for step in steps]
    weights = [load_model(config, prefix).weights for prefix in prefixes]
    outputs = None
    if weights and data:
        tensors = {name: tf.constant(value) for name, value in weights[-1].items()}
        outputs = output_facts(config, tensors, data.rows(min(EXAMPLES, data.dataset.size)))
    return Facts(
        kept.settings,
        data_facts(data) if data else kept.data,
        read_metrics(directory),
        outputs,
        movement(weights[0], weights[1], steps[1] - steps[0]) if len(steps) == 2 else None,
    )


def learned_nothing(directory: str) -> bool:
    """Whether the folder is that of a run that its metrics show on the plateau, or diverged."""
    try:
        kept = _read_kept(directory)
    except UsageError as error:  # weights are of use without it
        logging.warning("Not known whether the run in %s learned: %s", directory, error)
        return False
    if kept is None:
        return False
    facts = Facts(kept.settings, kept.data, read_metrics(directory), None, None)
    return state_of(facts) in ("plateau", "diverged")


def warn_unless_learned(directory: str) -> bool:
    """Warns of a run that `learned_nothing`; returns whether it is one."""
    found = learned_nothing(directory)
    if found:
        logging.warning(
            "The run in %s predicts words no better than their frequencies do, so its "
            "weights may be worth no more than new ones: python -m albert diagnose %s "
            "says why.",
            directory,
            directory,
        )
    return found


def _read_kept(directory: str) -> Optional[Kept]:
    path = os.path.join(directory, SETTINGS_FILE)
    kept: Optional[Kept] = read_as(Kept, path, "settings") if os.path.isfile(path) else None
    return kept


def _records(patterns: str, config: ModelConfig) -> Optional[Data]:
    try:
        return open_data(patterns, "input_file", config, None, None, progress=False)
    except UsageError as error:
        logging.warning("Diagnosed with what the run knew of its records: %s", error)
        return None
