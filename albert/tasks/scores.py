"""How well labels were predicted: numbers, a table, a confusion matrix as a picture."""

import json
import os
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from albert.system.files.atomic import atomic_write
from albert.system.screen.pictures import new_figure, save_figure
from albert.tasks.entities import entity_scores
from albert.tasks.task import Task

REPORT_FILE = "report.json"
CONFUSION_FILE = "confusion_matrix.png"
_OF_LABELS = ("accuracy", "macro_f1", "weighted_f1")
_OF_ENTITIES = ("entity_f1", "entity_precision", "entity_recall", "accuracy")
_MAIN = {"classification": "macro_f1", "tagging": "accuracy", "entities": "entity_f1"}

Labels = Union[np.ndarray, Sequence[int]]  # a number for each text or word


class Judgement(NamedTuple):
    """How well a task was done.

    Attributes:
      scores: By name, those of `score_names`.
      labels: precision, recall, f1 and count of each label, or of each kind of entity.
      confusion: [expected, predicted], how often.
    """

    scores: Dict[str, float]
    labels: Dict[str, Dict[str, Any]]
    confusion: np.ndarray


def score_names(task: Task) -> Tuple[str, ...]:
    """The scores of a task, in the order in which people read them."""
    return _OF_ENTITIES if task.kind == "entities" else _OF_LABELS


def main_score(task: Task, scores: Mapping[str, float]) -> float:
    """What the best epoch has most of: macro F1 of texts, accuracy of tags, F1 of entities."""
    return scores[main_name(task)]


def main_name(task: Task) -> str:
    """The name of that score."""
    return _MAIN[task.kind]


def format_scores(task: Task, scores: Mapping[str, float]) -> str:
    """A task's scores on one line."""
    named = [(name, name.replace("_", " ").replace("f1", "F1")) for name in score_names(task)]
    return "  ".join("{} {:.4f}".format(spelled, scores[name]) for name, spelled in named)


def score(expected: Labels, predicted: Labels) -> Dict[str, float]:
    """accuracy, macro_f1 and weighted_f1 over the labels that occur."""
    from sklearn.metrics import f1_score

    same = np.asarray(expected) == np.asarray(predicted)
    found = {"accuracy": float(same.mean())}
    for average in ("macro", "weighted"):
        value = f1_score(expected, predicted, average=average, zero_division=0)
        found[average + "_f1"] = float(value)
    return found


def judge(task: Task, expected: Sequence[np.ndarray], predicted: Sequence[np.ndarray]) -> Judgement:
    """Compares what was predicted with what is right.

    Args:
      task: Its labels.
      expected: Number of the right label, or of that of each word, of each example.
      predicted: Likewise.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    flat = np.concatenate(expected), np.concatenate(predicted)
    numbers = list(range(len(task.labels)))
    matrix = confusion_matrix(*flat, labels=numbers)
    scores = score(*flat)
    if task.kind == "entities":
        found = entity_scores(*[_spelled(task, part) for part in (expected, predicted)])
        return Judgement(dict(found.scores, accuracy=scores["accuracy"]), found.labels, matrix)
    each = precision_recall_fscore_support(*flat, labels=numbers, zero_division=0)
    labels = {
        label: {
            "precision": float(each[0][i]),
            "recall": float(each[1][i]),
            "f1": float(each[2][i]),
            "count": int(each[3][i]),
        }
        for i, label in enumerate(task.labels)
    }
    return Judgement(scores, labels, matrix)


def _spelled(task: Task, sentences: Sequence[np.ndarray]) -> List[List[str]]:
    return [[task.labels[number] for number in numbers] for numbers in sentences]


def write_report(directory: str, task: Task, judgement: Judgement, **facts: Any) -> Dict[str, Any]:
    """Writes `report.json` and `confusion_matrix.png`.

    Args:
      directory: Where.
      task: Its labels.
      judgement: How well it was done.
      **facts: What else the report tells.

    Returns:
      The report.
    """
    report = dict(facts, **judgement.scores)
    report["labels"] = judgement.labels
    report["confusion"] = judgement.confusion.tolist()
    with atomic_write(os.path.join(directory, REPORT_FILE)) as handle:
        json.dump(report, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
    _draw_confusion(os.path.join(directory, CONFUSION_FILE), task.labels, judgement.confusion)
    return report


def format_report(task: Task, report: Dict[str, Any]) -> List[str]:
    """Lines for people: one a label, then the totals."""
    width = max([len(label) for label in report["labels"]] + [0])
    lines = ["{:{}}  precision  recall      f1   count".format("", width)]
    for label, row in report["labels"].items():
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
