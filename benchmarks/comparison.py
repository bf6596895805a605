"""Several fine-tunings side by side: what pre-training gives over nothing and over a baseline."""

import os
import subprocess
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from albert.system.errors import UsageError
from albert.system.files.side import read_json_object
from albert.system.screen.pictures import new_figure, save_figure
from albert.tasks.baselines import baselines
from albert.tasks.report import REPORT_FILE
from albert.tasks.rows.examples import labels_of
from albert.tasks.rows.sentences import read_sentences
from albert.tasks.rows.tables import read_texts
from albert.tasks.task import Task

MEASURES = ("accuracy", "macro_f1", "weighted_f1")
Results = Dict[str, Dict[str, List[float]]]


class Files(NamedTuple):
    """Examples to train on, to choose the epoch by, and to report on."""

    train: str
    held_out: str
    test: str


def compare(
    kind: str,
    files: Files,
    contenders: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    directory: str,
) -> Results:
    """Fine-tunes each contender once a seed, all with the same budget, and adds the baseline.

    Args:
      kind: "classification" or "tagging".
      files: The examples.
      contenders: Flags of `python -m albert finetune` by contender.
      seeds: Of new weights, order and dropout.
      directory: Where the folders of the runs go; one that is complete is not made again.

    Returns:
      By contender, by measure: one value a seed.

    Raises:
      UsageError: A run failed; it has said why.
    """
    results: Results = {}
    for name, more in contenders.items():
        reports = []
        for seed in seeds:
            folder = os.path.join(directory, "{}-{}".format(name.replace(" ", "-"), seed))
            report = os.path.join(folder, REPORT_FILE)
            if not os.path.isfile(report):
                command = _command(kind, files, folder, seed) + list(more)
                if subprocess.run([sys.executable] + command).returncode:
                    raise UsageError("This run failed: {}".format(" ".join(command)))
            reports.append(read_json_object(report))
        results[name] = {key: [report[key] for report in reports] for key in MEASURES}
    read: Any = read_sentences if kind == "tagging" else read_texts
    train, test = map(read, files[::2])
    task = Task(kind, tuple(labels_of(train + test)), 128, False, True)
    for name, scores in baselines(task, train, test).items():
        results[name] = {key: [scores[key]] for key in MEASURES}
    return results


def _command(kind: str, files: Files, folder: str, seed: int) -> List[str]:
    named = {
        "task": kind,
        "train_file": files.train,
        "eval_file": files.held_out,
        "test_file": files.test,
        "output_dir": folder,
        "random_seed": seed,
    }
    flags = ["--{}={}".format(name, value) for name, value in named.items()]
    return ["-m", "albert", "finetune", "--tqdm_off"] + flags


def table(results: Results) -> List[str]:
    """Lines of a Markdown table: mean, and range where there are several runs."""
    lines = [
        "| | {} |".format(" | ".join(measure.replace("_", " ") for measure in MEASURES)),
        "|---|{}".format("---|" * len(MEASURES)),
    ]
    for name, measures in results.items():
        cells = [_cell(measures[measure]) for measure in MEASURES]
        lines.append("| {} | {} |".format(name, " | ".join(cells)))
    return lines


def _cell(values: Sequence[float]) -> str:
    mean = "{:.4f}".format(np.mean(values))
    return mean if len(values) == 1 else "{} ({:.4f}-{:.4f})".format(mean, min(values), max(values))


def bar_plot(
    path: str, results: Mapping[str, Mapping[str, Sequence[float]]], title: Optional[str] = None
) -> None:
    """Draws groups of bars: a group for each measure, a bar for each contender.

    Args:
      path: The PNG.
      results: By contender, by measure: one value a run; bars are means, whiskers the range.
      title: Above the picture.
    """
    figure = new_figure(7.0, 4.0)
    axes = figure.add_subplot()
    measures = list(next(iter(results.values())))
    width = 0.8 / len(results)
    for place, (contender, values) in enumerate(results.items()):
        runs = [np.asarray(values[measure], float) for measure in measures]
        means = np.array([run.mean() for run in runs])
        spread = [
            means - np.array([run.min() for run in runs]),
            np.array([run.max() for run in runs]) - means,
        ]
        at = np.arange(len(measures)) + (place - (len(results) - 1) / 2.0) * width
        bars = axes.bar(at, means, width, yerr=spread, capsize=3, label=contender)
        for bar, mean in zip(bars, means):
            label = "{:.3f}".format(mean)
            place_of_label = (bar.get_x() + width / 2.0, 0.02)
            axes.text(*place_of_label, label, ha="center", fontsize=8, rotation=90, color="white")
    axes.set_xticks(range(len(measures)))
    axes.set_xticklabels([measure.replace("_", " ") for measure in measures])
    axes.set_ylim(0.0, 1.0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if title:
        axes.set_title(title)
    save_figure(figure, path)
