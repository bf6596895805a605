"""A fine-tuning as a whole: one training or a small search, then the report of the best.

A folder is worked on until its report is written. Each setting trains in a folder of its own, from
which a broken run goes on; what is kept of it is copied before that folder goes.
"""

import contextlib
import dataclasses
import os
import shutil
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from absl import logging

from albert.checkpoints.folder import BEST_DIRECTORY, FLAGS_FILE, LOG_FILE
from albert.checkpoints.manager import PREFIX, read_tensors
from albert.checkpoints.results import write_results
from albert.checkpoints.state import GLOBAL_STEP
from albert.model.config import ModelConfig
from albert.optim.rates import finetuning_rate
from albert.system.errors import UsageError
from albert.system.files.atomic import (
    atomic_write,
    check_holds_nothing,
    ensure_writable_directory,
    held,
    make_directory,
)
from albert.system.files.side import read_json_lines
from albert.system.screen import console
from albert.tasks.baselines import Scores, verdict
from albert.tasks.finetuning.epochs import Outcome
from albert.tasks.finetuning.finetune import (
    FinetuneOptions,
    Rows,
    finetune_rows,
    with_dropout,
)
from albert.tasks.folder import begin_folder
from albert.tasks.inference.predictor import Predictor, expected_and_predicted
from albert.tasks.report import REPORT_FILE, format_report, write_report
from albert.tasks.scores import format_scores, judge, main_score, score_names
from albert.tasks.task import Task
from albert.text.tokenization import Tokenization
from albert.training.log.metrics import CURVES_FILE, METRICS_FILE
from albert.training.log.step_lines import append_line
from albert.training.log.trackers import TENSORBOARD_DIRECTORY

TRIALS_FILE = "trials.jsonl"
_RATE_RANGE = 4.0  # the default is tried first; rates up to this many times lower and higher
_DROPOUTS = (0.0, 0.1, 0.2)
# Flags that change nothing about the result.
_HOW = ("memory_limit_gb", "num_gpu_cores", "tqdm_off", "use_gpu")


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


@contextlib.contextmanager
def claimed(directory: str, flags_text: str) -> Iterator[None]:
    """Makes a folder ours that is new, or holds an unfinished fine-tuning of the same flags.

    Raises:
      UsageError: It holds something else, cannot be written, or another process is at work.
    """
    kept = os.path.join(directory, FLAGS_FILE)
    unfinished = not os.path.exists(os.path.join(directory, REPORT_FILE)) and os.path.isfile(kept)
    if not unfinished:
        check_holds_nothing(directory, "--output_dir")
    ensure_writable_directory(directory, "--output_dir")
    with held(directory, "--output_dir"):
        if unfinished:
            with open(kept, encoding="utf-8", errors="replace") as handle:
                _check_same_flags(directory, handle.read(), flags_text)
            logging.info("Going on with the unfinished fine-tuning in %s", directory)
        with atomic_write(kept) as handle:
            handle.write(flags_text)
        with console.log_file(os.path.join(directory, LOG_FILE)):
            yield


def _check_same_flags(directory: str, old: str, new: str) -> None:
    before, now = _telling(old), _telling(new)
    changed = sorted(before ^ now)
    if changed:
        raise UsageError(
            "--output_dir={} holds an unfinished fine-tuning with other flags ({}). Repeat its "
            "command to go on, or choose another folder.".format(directory, " ".join(changed))
        )


def _telling(text: str) -> set:
    names = tuple("--" + name for name in _HOW) + tuple("--no" + name for name in _HOW)
    return {line for line in text.splitlines() if line.split("=")[0] not in names}


def run_trials(
    start: Start,
    task: Task,
    rows: Rows,
    options: FinetuneOptions,
    devices: Sequence[str],
    directory: str,
    count: int,
    others: Mapping[str, Scores],
) -> Dict[str, Any]:
    """Trains with one or several settings and makes `directory` the best one's.

    The first setting is `options`; others draw the rate within four times of it, and the dropout.

    Args:
      start: Model and tokenizer.
      task: Its labels.
      rows: Rows to train on, to choose by, and to report on.
      options: How to train.
      devices: One tower runs on each.
      directory: Where to write; exists, and may hold the beginning of the same search.
      count: Settings to try.
      others: Scores of the baselines, by name.

    Returns:
      The report, as written to `report.json`.

    Raises:
      UsageError: It will not fit into memory, or gradients stay without a finite value.
      Interrupted: A signal ended it; the same call goes on.
    """
    rate = options.learning_rate or finetuning_rate(start.config)
    settings = _settings(options, rate, count)
    types = dict(dict.fromkeys(score_names(task), float), trial=int, epoch=int, step=int)
    trials = read_json_lines(os.path.join(directory, TRIALS_FILE), types)
    noted = {line["trial"]: line for line in trials}
    best: Optional[Outcome] = None
    chosen = settings[0]
    for number, setting in enumerate(settings):
        folder = os.path.join(directory, "trial-{}".format(number))
        config = with_dropout(start.config, setting.dropout)
        if number in noted:
            outcome = _noted_outcome(task, noted[number])
        else:
            make_directory(folder)
            outcome = finetune_rows(config, task, start.weights, rows, setting, devices, folder)
            _note_trial(directory, task, number, setting, outcome, count)
        if best is None or main_score(task, outcome.scores) > main_score(task, best.scores):
            best, chosen = outcome, setting
            _adopt(folder, directory, outcome.step)
        _discard(folder)
    config = with_dropout(start.config, chosen.dropout)
    begin_folder(directory, config, task, start.tokenization)
    assert best is not None, "there is at least one setting"
    return _report(config, task, rows, best, chosen, devices[0], directory, others)


def _settings(options: FinetuneOptions, rate: float, count: int) -> List[FinetuneOptions]:
    random = np.random.RandomState(options.random_seed)
    settings = [dataclasses.replace(options, learning_rate=rate)]
    while len(settings) < count:
        factor = _RATE_RANGE ** random.uniform(-1.0, 1.0)
        dropout = _DROPOUTS[random.randint(len(_DROPOUTS))]
        settings.append(dataclasses.replace(options, learning_rate=rate * factor, dropout=dropout))
    return settings


def _note_trial(
    directory: str, task: Task, number: int, setting: FinetuneOptions, outcome: Outcome, count: int
) -> None:
    line: Dict[str, Any] = dict(outcome.scores, trial=number, epoch=outcome.epoch)
    line.update(step=outcome.step, learning_rate=setting.learning_rate, dropout=setting.dropout)
    append_line(os.path.join(directory, TRIALS_FILE), line)
    if count > 1:
        logging.info(
            "Trial %d: learning rate %.3g, dropout %.1f: %s",
            number,
            setting.learning_rate,
            setting.dropout,
            format_scores(task, outcome.scores),
        )


def _noted_outcome(task: Task, line: Mapping[str, Any]) -> Outcome:
    return Outcome(line["epoch"], line["step"], {name: line[name] for name in score_names(task)})


def _adopt(folder: str, directory: str, step: int) -> None:
    """Copies what is kept of a trial that is the best so far; may be repeated after a break."""
    if not os.path.isdir(folder):
        return  # it was copied whole before its folder went
    for name in os.listdir(directory):
        if name.startswith(PREFIX) and not name.startswith("{}{}.".format(PREFIX, step)):
            os.remove(os.path.join(directory, name))
    best = os.path.join(folder, BEST_DIRECTORY)
    kept = [os.path.join(best, name) for name in sorted(os.listdir(best))]
    kept += [os.path.join(folder, name) for name in (METRICS_FILE, CURVES_FILE)]
    for path in filter(os.path.isfile, kept):
        with open(path, "rb") as source:
            with atomic_write(os.path.join(directory, os.path.basename(path)), "wb") as target:
                shutil.copyfileobj(source, target)
    _adopt_events(folder, directory)


def _adopt_events(folder: str, directory: str) -> None:
    events, kept = (os.path.join(d, TENSORBOARD_DIRECTORY) for d in (folder, directory))
    shutil.rmtree(kept, ignore_errors=True)
    if os.path.isdir(events):
        shutil.copytree(events, kept)


def _discard(folder: str) -> None:
    """Removes a trial's folder, which is either whole or gone under its name."""
    aside = folder + ".done"
    if os.path.isdir(folder):
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _report(
    config: ModelConfig,
    task: Task,
    rows: Rows,
    best: Outcome,
    setting: FinetuneOptions,
    device: str,
    directory: str,
    others: Mapping[str, Scores],
) -> Dict[str, Any]:
    prefix = os.path.join(directory, "{}{}".format(PREFIX, best.step))
    weights = {n: value for n, value in read_tensors(prefix).items() if n != GLOBAL_STEP}
    predictor = Predictor(config, task, weights, device, setting.step.precision)
    judged = rows.held_out if rows.test is None else rows.test
    judgement = judge(task, *expected_and_predicted(task, judged, predictor.outputs(judged)))
    write_results(judgement.scores, best.step, directory)
    report = write_report(  # the last file: with it a folder is finished
        directory,
        task,
        judgement,
        examples="test" if rows.test else "evaluation",
        epoch=best.epoch,
        updates=best.step,
        learning_rate=setting.learning_rate,
        dropout=setting.dropout,
        baselines=others,
    )
    for line in format_report(task, report):
        logging.info(line)
    for name, scores in others.items():
        logging.info("baseline, %s: %s", name, format_scores(task, scores))
    logging.info(verdict(task, judgement.scores, others))
    logging.info("Wrote %s", directory)
    return report
