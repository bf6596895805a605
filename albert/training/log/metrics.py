"""What a run reports while it goes: a log line, `metrics.jsonl`, learning curves."""

import datetime
import html
import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from absl import logging

from albert.system.files.side import read_json_lines
from albert.system.screen.pictures import new_figure, save_figure
from albert.training.log.step_lines import append_line, cut_lines
from albert.training.log.trackers import Place, Tracker, open_trackers

Panels = Sequence[Tuple[str, str]]

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "learning_curves.png"
PRETRAINING_PANELS = (
    ("masked_lm_loss", "masked-LM loss (nats)"),
    ("masked_lm_accuracy", "masked-LM accuracy"),
    ("sentence_order_accuracy", "sentence-order accuracy"),
)
# Of fine-tuned models, each of its task.
SCORE_PANELS = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro F1"),
    ("entity_f1", "entity F1"),
    ("micro_f1", "micro F1"),
    ("f1", "F1"),
    ("spearman", "Spearman correlation"),
)
# What a table shows of a line.
_COLUMNS = (
    "step",
    "kind",
    "loss",
    "masked_lm_loss",
    "masked_lm_accuracy",
    "sentence_order_accuracy",
    *(name for name, _ in SCORE_PANELS),
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
)
FLOORS = {"masked_lm_loss": "unigram_entropy", "masked_lm_accuracy": "top_piece_share"}


class MetricsLog:
    """Appends metrics to the files of a run directory; without one, writes nothing."""

    def __init__(
        self,
        directory: Optional[str],
        first_step: int,
        trackers: Optional[Sequence[Tracker]] = None,
    ) -> None:
        """Opens the files.

        Args:
          directory: The run's; None writes nothing.
          first_step: Step the run begins or goes on at. Lines beyond it, left by a run that was
            cut off after its last checkpoint, are dropped.
          trackers: What else gets the values; None for TensorBoard's files in the directory.
        """
        self._path = os.path.join(directory, METRICS_FILE) if directory else None
        if trackers is None:
            trackers = open_trackers("tensorboard", Place(directory)) if directory else []
        self._trackers = trackers
        self.go_back(first_step)

    def go_back(self, step: int) -> None:
        """Drops what was written beyond a step: those steps are undone."""
        if self._path is None:
            return
        cut_lines(self._path, step)
        for tracker in self._trackers:
            tracker.go_back(step)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Appends one line, and hands it to the trackers.

        The line is {"kind": "train" | "eval", "step": ..., "wall_time": seconds since 1970, ...}.
        """
        if self._path is None:
            return
        append_line(self._path, dict(values, kind=kind, step=step, wall_time=time.time()))
        for tracker in self._trackers:
            tracker.write(kind, step, values)

    def close(self) -> None:
        """Flushes what trackers have."""
        for tracker in self._trackers:
            tracker.close()


class Metrics(List[Dict[str, Any]]):
    """The lines of a run, as a table where they are shown."""

    def _rows(self) -> List[List[str]]:
        columns = [name for name in _COLUMNS if any(name in line for line in self)]
        rows = [[name.replace("_", " ") for name in columns]]
        for line in self:
            rows.append([_cell(line.get(name)) for name in columns])
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows
        )

    def _repr_html_(self) -> str:
        """For notebooks."""
        head, *body = [[html.escape(cell) for cell in row] for row in self._rows()]
        lines = ["<tr><th>{}</th></tr>".format("</th><th>".join(head))]
        lines += ["<tr><td>{}</td></tr>".format("</td><td>".join(row)) for row in body]
        return "<table>{}</table>".format("".join(lines))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return "{:.4g}".format(value) if isinstance(value, float) else str(value)


def read_metrics(directory: str) -> Metrics:
    """The lines of a run's `metrics.jsonl`."""
    path, types = os.path.join(directory, METRICS_FILE), {"kind": str, "step": int}
    return Metrics(read_json_lines(path, types, others=float))


def format_line(step: int, total: int, values: Dict[str, float], seconds_left: float) -> str:
    """One log line: step, losses with accuracies, rate, gradient norm, speed, time left."""
    parts: List[str] = ["step {}/{}".format(step, total), "loss {:.4f}".format(values["loss"])]
    for task, label in (("masked_lm", "mlm"), ("sentence_order", "sop")):
        if task + "_loss" in values:
            parts.append(
                "{} {:.4f} ({:.4f})".format(
                    label, values[task + "_loss"], values[task + "_accuracy"]
                )
            )
    parts += [
        "rate {:.3g}".format(values["learning_rate"]),
        "|g| {:.3g}".format(values["gradient_norm"]),
        "{:.1f} seq/s".format(values["sequences_per_second"]),
        "{:.0f} tok/s".format(values["tokens_per_second"]),
        "MFU {:.2f}".format(values["mfu"]),
        "wait {:.0%}".format(values["input_wait"]),
    ]
    if "network_wait" in values:
        parts.append("net {:.0%}".format(values["network_wait"]))
    parts.append("ETA {}".format(datetime.timedelta(seconds=int(seconds_left))))
    if values["skipped_steps"]:
        parts.append("skipped {}".format(values["skipped_steps"]))
    return "  ".join(parts)


def draw_curves(directory: str, panels: Panels = PRETRAINING_PANELS) -> Optional[str]:
    """Draws losses and accuracies of a run as a PNG.

    Args:
      directory: The run's, with `metrics.jsonl`.
      panels: A value of the lines and its title, for each plot.

    Returns:
      The path of the picture, or None when there is nothing to draw.
    """
    figure = curves_figure(read_metrics(directory), panels)
    if figure is None:
        return None
    path = os.path.join(directory, CURVES_FILE)
    save_figure(figure, path)
    logging.debug("Learning curves: %s", path)
    return path


def curves_figure(lines: Metrics, panels: Panels = PRETRAINING_PANELS) -> Any:
    """Losses and accuracies as a matplotlib figure; None when there is nothing to draw.

    What word frequencies alone reach is drawn as a line where the run has measured it.
    """
    if not lines:
        return None
    figure = new_figure(12.0, 4.5)
    for column, (name, title) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), column + 1)
        for kind, style in (("train", {"alpha": 0.6}), ("eval", {"marker": "o", "markersize": 4})):
            points = [
                (line["step"], line[name])
                for line in lines
                if line["kind"] == kind and name in line
            ]
            if points:
                axes.plot(*zip(*points), label=kind, **style)
        floor = FLOORS.get(name, "")
        if floor in lines[-1]:
            label = floor.replace("_", " ")
            axes.axhline(lines[-1][floor], color="grey", linestyle="--", label=label)
        axes.set_title(title)
        axes.set_xlabel("updates")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    return figure
