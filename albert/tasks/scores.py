"""How well a task was done, in numbers."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from albert.tasks.entities import entity_scores
from albert.tasks.task import Task

_OF_LABELS = ("accuracy", "macro_f1", "weighted_f1")
# The scores of each task, in the order in which people read them.
_NAMES = {
    "classification": _OF_LABELS,
    "multi-label": ("micro_f1", "macro_f1", "exact_match"),
    "tagging": _OF_LABELS,
    "entities": ("entity_f1", "entity_precision", "entity_recall", "accuracy"),
    "regression": ("spearman", "pearson", "mean_absolute_error"),
}
# What the best epoch has most of.
_MAIN = {
    "classification": "macro_f1",
    "multi-label": "micro_f1",
    "tagging": "accuracy",
    "entities": "entity_f1",
    "regression": "spearman",
}

Labels = Union[np.ndarray, Sequence[int]]  # a number for each text or word


class Judgement(NamedTuple):
    """How well a task was done.

    Attributes:
      scores: By name, those of `score_names`.
      labels: precision, recall, f1 and count of each label, or of each kind of entity, if any.
      confusion: [expected, predicted], how often; None where not one label is chosen.
    """

    scores: Dict[str, float]
    labels: Dict[str, Dict[str, Any]]
    confusion: Optional[np.ndarray] = None


def score_names(task: Task) -> Tuple[str, ...]:
    """The scores of a task, in the order in which people read them."""
    return _NAMES[task.kind]


def main_score(task: Task, scores: Mapping[str, float]) -> float:
    """What the best epoch has most of."""
    return scores[main_name(task)]


def main_name(task: Task) -> str:
    """The name of that score."""
    return _MAIN[task.kind]


def format_scores(task: Task, scores: Mapping[str, float]) -> str:
    """A task's scores on one line."""
    return "  ".join("{} {:.4f}".format(spelled(n), scores[n]) for n in score_names(task))


def spelled(name: str) -> str:
    """The name of a score as people read it."""
    return name.replace("_", " ").replace("f1", "F1")


def score(expected: Labels, predicted: Labels) -> Dict[str, float]:
    """accuracy, macro_f1 and weighted_f1 over the labels that occur."""
    from sklearn.metrics import f1_score

    same = np.asarray(expected) == np.asarray(predicted)
    found = {"accuracy": float(same.mean())}
    for average in ("macro", "weighted"):
        value = f1_score(expected, predicted, average=average, zero_division=0)
        found[average + "_f1"] = float(value)
    return found


def judge(task: Task, expected: Sequence[Any], predicted: Sequence[Any]) -> Judgement:
    """Compares what was predicted with what is right.

    Args:
      task: Its labels.
      expected: Of each example the right answer: the number of its label, or of that of each word;
        the right number; or 1 for each label it has, else 0.
      predicted: Likewise.
    """
    return _JUDGES.get(task.kind, _judge_labels)(task, expected, predicted)


def _judge_labels(
    task: Task, expected: Sequence[np.ndarray], predicted: Sequence[np.ndarray]
) -> Judgement:
    from sklearn.metrics import confusion_matrix

    flat = np.concatenate(expected), np.concatenate(predicted)
    numbers = list(range(len(task.labels)))
    return Judgement(
        score(*flat), _each_label(task, *flat), confusion_matrix(*flat, labels=numbers)
    )


def _each_label(task: Task, expected: Labels, predicted: Labels) -> Dict[str, Dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support

    numbers = list(range(len(task.labels)))
    each = precision_recall_fscore_support(expected, predicted, labels=numbers, zero_division=0)
    columns = (each[0].tolist(), each[1].tolist(), each[2].tolist(), each[3].tolist())
    names = ("precision", "recall", "f1", "count")
    return {label: dict(zip(names, row)) for label, row in zip(task.labels, zip(*columns))}


def _judge_several(
    task: Task, expected: Sequence[np.ndarray], predicted: Sequence[np.ndarray]
) -> Judgement:
    """F1 of all labels together, mean F1 of the labels, share of texts with just their labels."""
    from sklearn.metrics import f1_score

    both = np.stack(expected), np.stack(predicted)
    f1 = {
        average + "_f1": float(f1_score(*both, average=average, zero_division=0))
        for average in ("micro", "macro")
    }
    exact = float((both[0] == both[1]).all(axis=1).mean())
    return Judgement(dict(f1, exact_match=exact), _each_label(task, *both))


def _judge_entities(
    task: Task, expected: Sequence[np.ndarray], predicted: Sequence[np.ndarray]
) -> Judgement:
    words = _judge_labels(task, expected, predicted)
    found = entity_scores(*[_named(task, part) for part in (expected, predicted)])
    scores = dict(found.scores, accuracy=words.scores["accuracy"])
    return Judgement(scores, found.labels, words.confusion)


def _named(task: Task, sentences: Sequence[np.ndarray]) -> List[List[str]]:
    return [[task.labels[number] for number in numbers] for numbers in sentences]


def _judge_numbers(
    task: Task, expected: Sequence[np.ndarray], predicted: Sequence[np.ndarray]
) -> Judgement:
    """Correlations, 0 where one side is the same everywhere, and the mean distance."""
    from scipy.stats import pearsonr, spearmanr

    wanted = np.concatenate(expected).astype(np.float64)
    found = np.concatenate(predicted).astype(np.float64)
    scores = {"spearman": 0.0, "pearson": 0.0}
    if np.ptp(wanted) and np.ptp(found):
        scores = {
            "spearman": float(spearmanr(wanted, found)[0]),
            "pearson": float(pearsonr(wanted, found)[0]),
        }
    scores["mean_absolute_error"] = float(np.abs(wanted - found).mean())
    return Judgement(scores, {})


_JUDGES: Dict[str, Callable[..., Judgement]] = {
    "multi-label": _judge_several,
    "entities": _judge_entities,
    "regression": _judge_numbers,
}
