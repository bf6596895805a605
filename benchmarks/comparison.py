"""Several fine-tunings side by side: what pre-training gives over nothing and over a baseline."""

import os
from typing import Dict, List, Mapping, NamedTuple, Sequence

import numpy as np

from albert.system.errors import UsageError
from albert.system.files import read_json_object
from albert.system.processes import run_python
from albert.tasks.baselines import most_frequent_tag, tfidf_logistic_regression
from albert.tasks.examples import read_sentences, read_texts
from albert.tasks.scores import REPORT_FILE

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
                if run_python(*command):
                    raise UsageError("This run failed: {}".format(" ".join(command)))
            reports.append(read_json_object(report))
        results[name] = {key: [report[key] for report in reports] for key in MEASURES}
    if kind == "tagging":
        name, scores = "most frequent tag", most_frequent_tag(*map(read_sentences, files[::2]))
    else:
        name = "TF-IDF, logistic regression"
        scores = tfidf_logistic_regression(*map(read_texts, files[::2]))
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
