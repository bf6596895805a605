"""Runs side by side: where their settings differ, and how far each of them came."""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from albert.checkpoints.folder import CONFIG_FILE, read_flags
from albert.system.errors import UsageError
from albert.system.files.side import read_json_object
from albert.system.screen.pictures import new_figure
from albert.training.log.metrics import METRICS_FILE, PRETRAINING_PANELS, read_metrics

_SCORES = (
    ("masked_lm_loss", "nats"),
    ("masked_lm_accuracy", "words right"),
    ("sentence_order_accuracy", "order right"),
)
# Where a run lies says nothing about how it trains.
_PLACES = ("output_dir", "flagfile")
_LINES = ("-", "--", ":", "-.")  # beyond ten runs, colours come again in another line


class Run(NamedTuple):
    """One run folder; None for what it has not measured."""

    name: str
    settings: Mapping[str, str]
    lines: Sequence[Mapping[str, Any]]  # of metrics.jsonl
    updates: int
    seconds: Optional[float]  # of its updates, without evaluations and pauses
    tokens: Optional[float]
    last: Mapping[str, Any]  # held-out lines, empty if there are none
    best: Mapping[str, Any]  # the one of the lowest loss


def read_run(directory: str) -> Run:
    """Reads what a run wrote down; its records and checkpoints are not needed.

    Raises:
      UsageError: The folder is not that of a run, or nothing was measured in it.
    """
    if not os.path.isfile(os.path.join(directory, METRICS_FILE)):
        raise UsageError(
            "{}: no run, as it has no {}. Pass folders that were an --output_dir.".format(
                directory, METRICS_FILE
            )
        )
    lines = read_metrics(directory)
    if not lines:
        raise UsageError("{}: a run without a measured step.".format(directory))
    settings = _settings(directory)
    held_out = [line for line in lines if line["kind"] == "eval"]
    measured = [line for line in held_out if "loss" in line]
    spent = progress(lines, settings)
    seconds, tokens = spent[-1] if spent else (None, None)
    return Run(
        "".join(c if c.isprintable() else "?" for c in os.path.normpath(directory)),
        settings,
        lines,
        max(line["step"] for line in lines),
        seconds,
        tokens,
        held_out[-1] if held_out else {},
        min(measured, key=lambda line: line["loss"]) if measured else {},
    )


def _settings(directory: str) -> Dict[str, str]:
    settings = read_flags(directory)
    path = os.path.join(directory, CONFIG_FILE)
    if os.path.isfile(path):
        settings.update({key: str(value) for key, value in read_json_object(path).items()})
    return {name: value for name, value in settings.items() if name not in _PLACES}


def progress(
    lines: Sequence[Mapping[str, Any]], settings: Mapping[str, str]
) -> List[Tuple[float, float]]:
    """Seconds and tokens of all updates up to each line, without evaluations and pauses.

    They come from the rates of the intervals; empty where the settings do not tell the batch.
    """
    try:
        batch = int(settings["train_batch_size"])
        first = int(settings.get("first_steps") or 0)
        first_batch = int(settings.get("first_train_batch_size") or batch)
    except (KeyError, ValueError):
        return []
    found, step = [(0.0, 0.0)], 0
    for line in lines:
        seconds, tokens = found[-1]
        rate = line.get("sequences_per_second")
        if line["kind"] == "train" and rate and "tokens_per_second" in line:
            size = first_batch if line["step"] <= first else batch
            passed = (line["step"] - step) * size / rate
            seconds, tokens = seconds + passed, tokens + passed * line["tokens_per_second"]
            step = line["step"]
        found.append((seconds, tokens))
    return found[1:] if step else []


def differing(runs: Sequence[Run]) -> List[str]:
    """The settings that are not the same in all runs, in order of their names."""
    names = sorted({name for run in runs for name in run.settings})
    return [name for name in names if len({run.settings.get(name) for run in runs}) > 1]


def as_json(run: Run, names: Sequence[str]) -> Dict[str, Any]:
    """A run as one JSON object with the settings of these names."""
    values = run._asdict()
    del values["lines"]
    return dict(values, settings={name: run.settings.get(name) for name in names})


def rows(runs: Sequence[Run]) -> List[List[str]]:
    """A table, the head first: a run in each column, as settings that differ may be many."""
    names = differing(runs)
    scores = [item for item in _SCORES if any(item[0] in run.last for run in runs)]
    head = ["", *names, "updates", "minutes", "million tokens"]
    head += ["{} {}".format(which, title) for which in ("last", "best") for _, title in scores]
    table = [head + ["best at"]]
    for run in runs:
        row = [run.name] + [run.settings.get(name, "") for name in names]
        row.append("{:,}".format(run.updates))
        row.append("" if run.seconds is None else "{:.1f}".format(run.seconds / 60))
        row.append("" if run.tokens is None else "{:.2f}".format(run.tokens / 1e6))
        row += [_score(line, name) for line in (run.last, run.best) for name, _ in scores]
        table.append(row + ["{:,}".format(run.best["step"]) if run.best else ""])
    return [list(row) for row in zip(*table)]


def _score(line: Mapping[str, Any], name: str) -> str:
    if name not in line:
        return ""
    form = "{:.1%}" if name.endswith("accuracy") else "{:.3f}"
    return form.format(line[name])


def overlay(runs: Sequence[Run]) -> Any:
    """The learning curves of all runs as a matplotlib figure; a run has one colour in all panels.

    Pale lines are training, marks are held out.
    """
    names_height = 0.25 * len(runs)
    figure = new_figure(14.0, 4.5 + names_height)
    grid = figure.add_gridspec(2, len(PRETRAINING_PANELS), height_ratios=(4.5, names_height))
    handles = []
    for column, (name, title) in enumerate(PRETRAINING_PANELS):
        axes = figure.add_subplot(grid[0, column])
        for number, run in enumerate(runs):
            look: Dict[str, Any] = {
                "color": "C{}".format(number % 10),
                "linestyle": _LINES[number // 10 % len(_LINES)],
            }
            for kind, style in (("train", {"alpha": 0.5}), ("eval", {"marker": "o"})):
                lines = [line for line in run.lines if line["kind"] == kind and name in line]
                steps, values = [line["step"] for line in lines], [line[name] for line in lines]
                drawn = axes.plot(steps, values, markersize=4, **look, **style)
            if not column:
                handles += drawn
        axes.set_title(title)
        axes.set_xlabel("updates")
    names = [run.name.replace("$", r"\$") for run in runs]
    labels = ["./" + name if name.startswith("_") else name for name in names]  # else left out
    below = figure.add_subplot(grid[1, :])
    below.axis("off")
    below.legend(handles, labels, loc="upper left", fontsize="small")
    return figure
