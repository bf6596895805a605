"""How well labels were predicted: numbers, a table, a confusion matrix as a picture."""

import json
import os
from typing import Any, Dict, List, Sequence, Union

import numpy as np

from albert.system.files.atomic import atomic_write
from albert.system.screen.pictures import new_figure, save_figure
from albert.tasks.task import Task

REPORT_FILE = "report.json"
CONFUSION_FILE = "confusion_matrix.png"
SCORES = ("accuracy", "macro_f1", "weighted_f1")

Labels = Union[np.ndarray, Sequence[int]]  # a number for each text or word


def score(expected: Labels, predicted: Labels) -> Dict[str, float]:
    """SCORES over the labels that occur."""
    from sklearn.metrics import f1_score

    same = np.asarray(expected) == np.asarray(predicted)
    found = {"accuracy": float(same.mean())}
    for average in ("macro", "weighted"):
        value = f1_score(expected, predicted, average=average, zero_division=0)
        found[average + "_f1"] = float(value)
    return found


def write_report(
    directory: str, task: Task, expected: Labels, predicted: Labels, **facts: Any
) -> Dict[str, Any]:
    """Writes `report.json` and `confusion_matrix.png`.

    Args:
      directory: Where.
      task: Its labels.
      expected: Number of the right label of each text or word.
      predicted: Number of the predicted one.
      **facts: What else the report tells.

    Returns:
      The report.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    numbers = list(range(len(task.labels)))
    each = precision_recall_fscore_support(expected, predicted, labels=numbers, zero_division=0)
    matrix = confusion_matrix(expected, predicted, labels=numbers)
    report = dict(facts, **score(expected, predicted))
    report["labels"] = {
        label: {
            "precision": float(each[0][i]),
            "recall": float(each[1][i]),
            "f1": float(each[2][i]),
            "count": int(each[3][i]),
        }
        for i, label in enumerate(task.labels)
    }
    report["confusion"] = matrix.tolist()
    with atomic_write(os.path.join(directory, REPORT_FILE)) as handle:
        json.dump(report, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
    _draw_confusion(os.path.join(directory, CONFUSION_FILE), task.labels, matrix)
    return report


def format_report(report: Dict[str, Any]) -> List[str]:
    """Lines for people: one a label, then the totals."""
    width = max(len(label) for label in report["labels"])
    lines = ["{:{}}  precision  recall      f1   count".format("", width)]
    for label, row in report["labels"].items():
        lines.append(
            "{:{}}  {:9.4f}  {:6.4f}  {:6.4f}  {:6d}".format(
                label, width, row["precision"], row["recall"], row["f1"], row["count"]
            )
        )
    lines.append(
        "accuracy {accuracy:.4f}  macro F1 {macro_f1:.4f}  weighted F1 {weighted_f1:.4f}".format(
            **report
        )
    )
    return lines


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
