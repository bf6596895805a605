"""The eval block of the field: logged, written to `eval_results.txt`, read back."""

import os
from typing import Dict, Mapping, Optional

from absl import logging

from albert.system.files.atomic import atomic_write

RESULTS_FILE = "eval_results.txt"


def format_results(results: Mapping[str, float], global_step: int) -> str:
    """Sorted `key = value` lines; the sentence task under both names the field knows it by."""
    values: Dict[str, float] = dict(results, global_step=global_step)
    for name in list(values):
        if name.startswith("sentence_order_"):
            values[name.replace("sentence_order_", "next_sentence_")] = values[name]
    return "".join("{} = {}\n".format(name, values[name]) for name in sorted(values))


def log_results(results: Mapping[str, float], global_step: int) -> None:
    """Logs the results in the originals' form."""
    logging.debug("***** Eval results *****")
    for line in format_results(results, global_step).splitlines():
        logging.debug("  %s", line)


def write_results(results: Mapping[str, float], global_step: int, directory: str) -> None:
    """Writes `eval_results.txt`."""
    with atomic_write(os.path.join(directory, RESULTS_FILE)) as handle:
        handle.write(format_results(results, global_step))


def read_results(directory: str) -> Dict[str, float]:
    """All values of a directory's `eval_results.txt`; empty if it has none.

    What cannot be read of it is left out, which is said.
    """
    path = os.path.join(directory, RESULTS_FILE)
    values = {}
    if os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as handle:
            for line in handle:
                name, _, value = line.strip().partition(" = ")
                try:
                    values[name] = float(value)
                except ValueError:
                    logging.warning("%s: no number in the line %.100r; left out", path, line)
    return values


def read_result(directory: str, name: str) -> Optional[float]:
    """One value of a directory's `eval_results.txt`, or None."""
    return read_results(directory).get(name)
