"""The report of a fine-tuned model: a file, lines for people, a confusion matrix as a picture."""

import json
import os
from typing import Any, Dict, List, Sequence

import numpy as np

from albert.system.files.atomic import atomic_write
from albert.system.screen.pictures import new_figure, save_figure
from albert.tasks.scores import Judgement, format_scores
from albert.tasks.task import Task

REPORT_FILE = "report.json"
CONFUSION_FILE = "confusion_matrix.png"


def write_report(directory: str, task: Task, judgement: Judgement, **facts: Any) -> Dict[str, Any]:
    """Writes `report.json`, and `confusion_matrix.png` where one label is chosen.

    Args:
      directory: Where.
      task: Its labels.
      judgement: How well it was done.
      **facts: What else the report tells.

    Returns:
      The report.
    """
    report = dict(facts, **judgement.scores)
    if judgement.labels:
        report["labels"] = judgement.labels
    if judgement.confusion is not None:
        report["confusion"] = judgement.confusion.tolist()
        _draw_confusion(os.path.join(directory, CONFUSION_FILE), task.labels, judgement.confusion)
    with atomic_write(os.path.join(directory, REPORT_FILE)) as handle:
        json.dump(report, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
    return report


def format_report(task: Task, report: Dict[str, Any]) -> List[str]:
    """Lines for people: one a label, where there are any, then the totals."""
    labels = report.get("labels", {})
    width = max([len(label) for label in labels] + [0])
    lines = ["{:{}}  precision  recall      f1   count".format("", width)] if labels else []
    for label, row in labels.items():
        lines.append(
            "{:{}}  {:9.4f}  {:6.4f}  {:6.4f}  {:6d}".format(
                label, width, row["precision"], row["recall"], row["f1"], row["count"]
            )
        )
    return lines + [format_scores(task, report)]


def _draw_confusion(path: str, labels: Sequence[str], matrix: np.ndarray) -> None:
    side = 2.5 + 0.45 * len(labels)
    figure = new_figure(side + 1.0, side)
    axes = figure.add_subplot()
    # Shares of each row: labels differ in number.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for row in range(len(labels)):
        for column in range(len(labels)):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = str(matrix[row, column]) if matrix[row, column] else ""
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(labels)))
    axes.set_xticklabels(labels, rotation=90)
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels(labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("expected")
    save_figure(figure, path)
