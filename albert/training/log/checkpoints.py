"""Checkpoints of one run side by side, on the same records."""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from absl import logging

from albert.system.files.atomic import atomic_write
from albert.system.screen import console
from albert.system.screen.pictures import save_figure
from albert.training.log.metrics import Metrics, curves_figure
from albert.training.log.summary import percent

VALIDATION_FILE, VALIDATION_CURVES = "validation.jsonl", "validation_curves.png"
_TASKS = {"masked_lm": "masked words", "sentence_order": "sentence order"}


class Validated(NamedTuple):
    """What one checkpoint is worth.

    Attributes:
      prefix: Its path without ending.
      step: Updates that made it.
      results: Losses in nats, accuracies.
    """

    prefix: str
    step: int
    results: Dict[str, float]


def compare(done: Sequence[Validated], directory: Optional[str]) -> None:
    """Logs checkpoints as a table; keeps them as lines and a curve.

    Args:
      done: Two or more.
      directory: Where to; None writes nothing.
    """
    logging.info("\n%s\n", console.table(_table(done)))
    best = min(done, key=lambda one: one.results["loss"])
    logging.info("The lowest loss, %.3f nats, is that of %s", best.results["loss"], best.prefix)
    if not directory:
        return
    lines: List[Dict[str, Any]] = [
        dict(one.results, kind="eval", step=one.step, checkpoint=one.prefix)
        for one in sorted(done, key=lambda one: one.step)
    ]
    with atomic_write(os.path.join(directory, VALIDATION_FILE)) as handle:
        handle.write("".join(json.dumps(line) + "\n" for line in lines))
    save_figure(curves_figure(Metrics(lines)), os.path.join(directory, VALIDATION_CURVES))
    logging.info("%s and %s are in %s", VALIDATION_FILE, VALIDATION_CURVES, directory)


def _table(done: Sequence[Validated]) -> List[List[str]]:
    tasks = [task for task in _TASKS if task + "_loss" in done[0].results]
    head = ["", "step", "loss"]
    rows = [head + [text for task in tasks for text in (_TASKS[task] + " right", "nats")]]
    for one in done:
        row = [one.prefix, "{:,}".format(one.step), "{:.3f}".format(one.results["loss"])]
        for task in tasks:
            row.append(percent(one.results[task + "_accuracy"]))
            row.append("{:.3f}".format(one.results[task + "_loss"]))
        rows.append(row)
    return rows
