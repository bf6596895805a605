"""A run as one page: curves, findings and settings, opened from the disk by any browser."""

import html
import json
import math
import os
import string
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from absl import logging

from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_json_lines
from albert.training.diagnosis.watch import FINDINGS_FILE
from albert.training.log.comparison import Run, progress, read_run
from albert.training.log.metrics import FLOORS, PRETRAINING_PANELS, SCORE_PANELS

REPORT_FILE = "report.html"
_MOST_POINTS = 600  # of a curve; more is not seen
_CHANCE = {"sentence_order_accuracy": 0.5}
_STEP_PANELS = (
    ("learning_rate", "learning rate"),
    ("gradient_norm", "gradient norm"),
    ("tokens_per_second", "tokens a second"),
)
_AXES = ["updates", "tokens", "minutes of updates"]

Line = Mapping[str, Any]


def write_report(directory: str) -> str:
    """Writes `report.html` into the folder of a run, and returns its path.

    Raises:
      UsageError: The folder is not that of a run, or nothing was measured in it.
      OSError: It cannot be written.
    """
    run = read_run(directory)
    path = os.path.join(directory, REPORT_FILE)
    with atomic_write(path) as handle:
        handle.write(page(run, _findings(directory)))
    logging.debug("Report: %s", path)
    return path


def page(run: Run, findings: Sequence[str]) -> str:
    """The page of a run; names and values from outside are text in it, never markup.

    Args:
      run: What is known of it.
      findings: Sentences about what is wrong with it.
    """
    with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as handle:
        template = string.Template(handle.read())
    spent = progress(run.lines, run.settings)
    axes = _AXES if spent else _AXES[:1]
    data = json.dumps({"axes": axes, "panels": _panels(run, spent)})
    escaped = [html.escape(finding) for finding in findings]
    rows = [[html.escape(name), html.escape(value)] for name, value in sorted(run.settings.items())]
    return template.substitute(
        name=html.escape(run.name),
        summary=html.escape(_summary(run)),
        findings="".join('<p class="bad">{}</p>'.format(finding) for finding in escaped)
        or "<p>Nothing wrong was found.</p>",
        settings="".join("<tr><td>{}</td><td>{}</td></tr>".format(*row) for row in rows),
        data=data.replace("<", "\\u003c"),  # no end of the script in it
    )


def _findings(directory: str) -> List[str]:
    """What has appeared and not gone again."""
    path = os.path.join(directory, FINDINGS_FILE)
    types = {"name": str, "sentence": str, "state": str, "step": int}
    last: Dict[str, Line] = {line["name"]: line for line in read_json_lines(path, types)}
    return [line["sentence"] for line in last.values() if line["state"] == "appeared"]


def _summary(run: Run) -> str:
    parts = ["{:,} updates".format(run.updates)]
    if run.tokens and run.seconds:
        parts.append("{:,.0f} tokens in {:,.1f} minutes".format(run.tokens, run.seconds / 60))
    for name, title in (*PRETRAINING_PANELS, *SCORE_PANELS):
        if name in run.last:
            shape = "{} {:.1%}" if "loss" not in name and "f1" not in name else "{} {:.3f}"
            parts.append(shape.format(title, run.last[name]))
    return "; ".join(parts) + (" (held out)" if run.last else "")


def _panels(run: Run, spent: Sequence[Tuple[float, float]]) -> List[Dict[str, Any]]:
    """Title, floor and the points [updates, tokens, minutes, value] of each plot."""
    pairs = list(zip(run.lines, spent or [(0.0, 0.0)] * len(run.lines)))
    panels = []
    for name, title in (*PRETRAINING_PANELS, *_STEP_PANELS, *SCORE_PANELS):
        points = {kind: _points(pairs, kind, name) for kind in ("train", "eval")}
        if points["train"] or points["eval"]:
            floor = run.lines[-1].get(FLOORS.get(name, ""), _CHANCE.get(name))
            panels.append(dict(points, title=title, floor=floor))
    return panels


def _points(
    pairs: Sequence[Tuple[Line, Tuple[float, float]]], kind: str, name: str
) -> List[List[float]]:
    found = [
        [line["step"], tokens, seconds / 60, line[name]]
        for line, (seconds, tokens) in pairs
        if line["kind"] == kind and math.isfinite(line.get(name, math.nan))
    ]
    size = -(-len(found) // _MOST_POINTS)
    return [
        [sum(column) / len(column) for column in zip(*found[begin : begin + size])]
        for begin in range(0, len(found), max(size, 1))
    ]
