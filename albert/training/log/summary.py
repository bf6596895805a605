"""Results as people read them."""

import math
from typing import Any, List, Mapping, Sequence, Tuple

_TASKS = ("masked_lm", "sentence_order")


def in_words(results: Mapping[str, float]) -> str:
    """Losses and accuracies as a phrase.

    >>> in_words({"masked_lm_loss": 5.4552, "masked_lm_accuracy": 0.1648})
    'masked words 16.5 % right, 5.455 nats'
    """
    parts = []
    for task, name in zip(_TASKS, ("masked words", "sentence order")):
        if task + "_loss" in results:
            parts.append(
                "{} {} right, {:.3f} nats".format(
                    name, percent(results[task + "_accuracy"]), results[task + "_loss"]
                )
            )
    return "; ".join(parts) or "no labels"


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.1648)
    '16.5 %'
    """
    return "{:.1f} %".format(100 * share)


def best_evaluation(lines: Sequence[Mapping[str, Any]]) -> Tuple[Mapping[str, Any], int]:
    """The first evaluation with the lowest loss, and how many came after it.

    >>> best_evaluation([{"kind": "eval", "loss": 5.1}, {"kind": "eval", "loss": 5.2}])
    ({'kind': 'eval', 'loss': 5.1}, 1)

    Args:
      lines: Of metrics.jsonl; those of evaluations count. A loss that is no number is not better.

    Returns:
      Its line, empty if there is none.
    """
    losses = [
        (line["loss"] if line.get("loss", math.nan) < math.inf else math.inf, number, line)
        for number, line in enumerate(line for line in lines if line["kind"] == "eval")
    ]
    if not losses:
        return {}, 0
    _, number, best = min(losses, key=lambda one: one[:2])
    return best, len(losses) - 1 - number


def summary(lines: Sequence[Mapping[str, Any]], floor: Mapping[str, float]) -> List[List[str]]:
    """A table of where a run stands: its last and its best lines beside word frequencies.

    Args:
      lines: Of metrics.jsonl.
      floor: unigram_entropy and top_piece_share.

    Returns:
      The head and the rows; empty if nothing was measured.
    """
    masked = [line for line in lines if "masked_lm_loss" in line]
    kinds = {kind: [line for line in masked if line["kind"] == kind] for kind in ("train", "eval")}
    rows: List[Tuple[str, Mapping[str, Any]]] = []
    if kinds["train"]:
        rows.append(("training", kinds["train"][-1]))
    if kinds["eval"]:
        rows.append(("held out", kinds["eval"][-1]))
        rows.append(("held out, best", best_evaluation(kinds["eval"])[0]))
    if not rows:
        return []
    head = ["", "step", "masked words right", "nats", "sentence order right"]
    frequencies = [percent(floor["top_piece_share"]), "{:.3f}".format(floor["unigram_entropy"])]
    return [head, ["word frequencies alone", "", *frequencies, ""]] + [
        [
            name,
            "{:,}".format(line["step"]),
            percent(line.get("masked_lm_accuracy", math.nan)),
            "{:.3f}".format(line["masked_lm_loss"]),
            percent(line["sentence_order_accuracy"]) if "sentence_order_accuracy" in line else "",
        ]
        for name, line in rows
    ]
