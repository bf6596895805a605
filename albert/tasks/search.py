"""A fine-tuning as a whole: one training or a small search, then the report of the best."""

import dataclasses
import json
import os
import shutil
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.results import write_results
from albert.model.config import ModelConfig
from albert.optim.rates import finetuning_rate
from albert.tasks.features import Features
from albert.tasks.finetune import (
    FinetuneOptions,
    Outcome,
    finetune,
    main_score,
    with_dropout,
)
from albert.tasks.folder import begin_folder
from albert.tasks.predictor import Predictor, expected_and_predicted
from albert.tasks.scores import format_report, write_report
from albert.tasks.task import Task
from albert.text.tokenization import Tokenization

TRIALS_FILE = "trials.jsonl"
_RATE_RANGE = 4.0  # the default is tried first; rates up to this many times lower and higher
_DROPOUTS = (0.0, 0.1, 0.2)


class Start(NamedTuple):
    """What a fine-tuning starts from.

    Attributes:
      config: The model.
      weights: Pre-trained weights by name; empty to start from nothing.
      tokenization: How text becomes ids.
    """

    config: ModelConfig
    weights: Mapping[str, np.ndarray]
    tokenization: Tokenization


class Data(NamedTuple):
    """Rows of a task; `test` is None where the held-out rows stand in for it."""

    train: Sequence[Features]
    held_out: Sequence[Features]
    test: Optional[Sequence[Features]]


def run_trials(
    start: Start,
    task: Task,
    data: Data,
    options: FinetuneOptions,
    devices: Sequence[str],
    directory: str,
    count: int,
) -> Dict[str, Any]:
    """Trains with one or several settings and makes `directory` the best one's.

    The first setting is `options`; others draw the rate within four times of it, and the dropout.

    Args:
      start: Model and tokenizer.
      task: Its labels.
      data: Rows to train on, to choose by, and to report on.
      options: How to train.
      devices: One tower runs on each.
      directory: Where to write; exists.
      count: Settings to try.

    Returns:
      The report, as written to `report.json`.
    """
    rate = options.learning_rate or finetuning_rate(start.config)
    settings = _settings(dataclasses.replace(options, learning_rate=rate), count)
    best, chosen = None, settings[0]
    for number, setting in enumerate(settings):
        folder = directory if count == 1 else os.path.join(directory, "trial-{}".format(number))
        os.makedirs(folder, exist_ok=True)
        config = with_dropout(start.config, setting.dropout)
        outcome = finetune(
            config, task, start.weights, data.train, data.held_out, setting, devices, folder
        )
        better = best is None or main_score(task, outcome.scores) > main_score(task, best.scores)
        if better:
            best, chosen = outcome, setting
        if count > 1:
            _note_trial(directory, number, setting, outcome)
            _keep(folder, directory, better)
    config = with_dropout(start.config, chosen.dropout)
    begin_folder(directory, config, task, start.tokenization)
    return _report(config, task, data, best, chosen, devices[0], directory)


def _settings(first: FinetuneOptions, count: int) -> List[FinetuneOptions]:
    random = np.random.RandomState(first.random_seed)
    settings = [first]
    while len(settings) < count:
        factor = _RATE_RANGE ** random.uniform(-1.0, 1.0)
        dropout = _DROPOUTS[random.randint(len(_DROPOUTS))]
        settings.append(
            dataclasses.replace(first, learning_rate=first.learning_rate * factor, dropout=dropout)
        )
    return settings


def _note_trial(directory: str, number: int, setting: FinetuneOptions, outcome: Outcome) -> None:
    line = dict(outcome.scores, trial=number, epoch=outcome.epoch)
    line.update(learning_rate=setting.learning_rate, dropout=setting.dropout)
    with open(os.path.join(directory, TRIALS_FILE), "a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")
    logging.info(
        "Trial %d: learning rate %.3g, dropout %.1f: accuracy %.4f, macro F1 %.4f",
        number,
        setting.learning_rate,
        setting.dropout,
        outcome.scores["accuracy"],
        outcome.scores["macro_f1"],
    )


def _keep(folder: str, directory: str, better: bool) -> None:
    """Moves a trial's files up if it is the best so far; the folder goes in any case."""
    if better:
        for name in os.listdir(directory):
            if name.startswith("model.ckpt-"):
                os.remove(os.path.join(directory, name))
        for name in sorted(os.listdir(folder)):
            os.replace(os.path.join(folder, name), os.path.join(directory, name))
    shutil.rmtree(folder)


def _report(
    config: ModelConfig,
    task: Task,
    data: Data,
    best: Outcome,
    setting: FinetuneOptions,
    device: str,
    directory: str,
) -> Dict[str, Any]:
    predictor = Predictor(config, task, best.weights, device, setting.step.precision)
    rows = data.held_out if data.test is None else data.test
    expected, predicted = expected_and_predicted(rows, predictor.labels(rows))
    report = write_report(
        directory,
        task,
        expected,
        predicted,
        examples="test" if data.test else "evaluation",
        epoch=best.epoch,
        updates=best.step,
        learning_rate=setting.learning_rate,
        dropout=setting.dropout,
    )
    names = ("accuracy", "macro_f1", "weighted_f1")
    write_results({name: report[name] for name in names}, best.step, directory)
    for line in format_report(report):
        logging.info(line)
    logging.info("Wrote %s", directory)
    return report
