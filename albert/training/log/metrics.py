"""What a run reports while it goes: a log line, `metrics.jsonl`, TensorBoard, learning curves."""

import datetime
import os
import time
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from absl import logging

from albert.system.pictures import new_figure, save_figure
from albert.training.log.step_lines import append_line, cut_lines, read_lines

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "learning_curves.png"
PRETRAINING_PANELS = (
    ("masked_lm_loss", "masked-LM loss (nats)"),
    ("masked_lm_accuracy", "masked-LM accuracy"),
    ("sentence_order_accuracy", "sentence-order accuracy"),
)
_FLOORS = {"masked_lm_loss": "unigram_entropy", "masked_lm_accuracy": "top_piece_share"}


class MetricsLog:
    """Appends metrics to the files of a run directory; without one, writes nothing."""

    def __init__(self, directory: Optional[str], first_step: int) -> None:
        """Opens the files.

        Args:
          directory: The run's; None writes nothing.
          first_step: Step the run begins or goes on at. Lines beyond it, left by a run that was
            cut off after its last checkpoint, are dropped.
        """
        self._path = os.path.join(directory, METRICS_FILE) if directory else None
        self._events = _event_writer(directory) if directory else None
        self.go_back(first_step)

    def go_back(self, step: int) -> None:
        """Drops what was written beyond a step: those steps are undone."""
        if self._path is None:
            return
        cut_lines(self._path, step)
        _add_restart(self._events, step + 1)

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Appends one line and TensorBoard scalars.

        The line is {"kind": "train" | "eval", "step": ..., "wall_time": seconds since 1970, ...}.
        """
        if self._path is None:
            return
        append_line(self._path, dict(values, kind=kind, step=step, wall_time=time.time()))
        _add_scalars(self._events, kind, step, values)

    def close(self) -> None:
        """Flushes TensorBoard's file."""
        if self._events is not None:
            self._events.close()


def read_metrics(directory: str) -> List[Dict]:
    """The lines of a run's `metrics.jsonl`."""
    return read_lines(os.path.join(directory, METRICS_FILE))


def _event_writer(directory: str):
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    return EventFileWriter(directory)


def _add_restart(writer, step: int) -> None:
    """Makes TensorBoard leave out what it has of a step and those after it."""
    from tensorboard.compat.proto import event_pb2

    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, session_log=start))


def _add_scalars(writer, kind: str, step: int, values: Mapping[str, float]) -> None:
    from tensorboard.compat.proto import event_pb2, summary_pb2

    scalars = [
        summary_pb2.Summary.Value(tag="{}/{}".format(kind, name), simple_value=float(value))
        for name, value in values.items()
    ]
    summary = summary_pb2.Summary(value=scalars)
    writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))


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
        "ETA {}".format(datetime.timedelta(seconds=int(seconds_left))),
    ]
    if values["skipped_steps"]:
        parts.append("skipped {}".format(values["skipped_steps"]))
    return "  ".join(parts)


def draw_curves(
    directory: str,
    panels: Sequence[Tuple[str, str]] = PRETRAINING_PANELS,
    floor: Optional[Mapping[str, float]] = None,
) -> Optional[str]:
    """Draws losses and accuracies of a run as a PNG.

    Args:
      directory: The run's, with `metrics.jsonl`.
      panels: A value of the lines and its title, for each plot.
      floor: unigram_entropy and top_piece_share, drawn as the lines that word frequencies alone
        reach.

    Returns:
      The path of the picture, or None when there is nothing to draw.
    """
    lines = read_metrics(directory)
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
        if name in _FLOORS and floor:
            key = _FLOORS[name]
            axes.axhline(floor[key], color="grey", linestyle="--", label=key.replace("_", " "))
        axes.set_title(title)
        axes.set_xlabel("updates")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    path = os.path.join(directory, CURVES_FILE)
    save_figure(figure, path)
    logging.info("Learning curves: %s", path)
    return path
