"""What a fine-tuned model does: its labels, and how its text is encoded. Saved as `task.json`."""

import json
import os
from typing import NamedTuple, Optional, Tuple

from albert.checkpoints.folder import TASK_FILE
from albert.system.errors import UsageError
from albert.system.files.atomic import atomic_write
from albert.system.files.side import read_as

KINDS = ("classification", "multi-label", "regression", "tagging", "entities")


class Task(NamedTuple):
    """A task.

    Attributes:
      kind: One of `KINDS`.
      labels: Of texts or words; their places are the numbers the model predicts. One name for the
        number that regression predicts.
      max_seq_length: Most pieces of an example, special ones included.
      lower_case: Whether text is lower-cased before it is encoded.
      keep_accents: Whether text keeps its combining marks.
      pairs: Whether an example is two texts.
      mean: Of the numbers to predict, which the model computes from their mean in deviations.
      deviation: Their standard deviation.
    """

    kind: str
    labels: Tuple[str, ...]
    max_seq_length: int
    lower_case: bool
    keep_accents: bool
    pairs: bool = False
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def tags_words(self) -> bool:
        """Whether every word has a label, not the text as a whole."""
        return self.kind in ("tagging", "entities")

    @property
    def chooses_label(self) -> bool:
        """Whether one of the labels is chosen, for the text or for each word."""
        return self.tags_words or self.kind == "classification"


def write_task(directory: str, task: Task) -> None:
    """Writes `task.json`."""
    with atomic_write(os.path.join(directory, TASK_FILE)) as handle:
        json.dump(task._asdict(), handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def read_task(directory: str) -> Optional[Task]:
    """The task of a fine-tuned model's folder; None of a pre-trained one's.

    Raises:
      UsageError: The file is damaged.
    """
    path = os.path.join(directory, TASK_FILE)
    if not os.path.isfile(path):
        return None
    task: Task = read_as(Task, path, "task")
    sound = task.labels and task.deviation > 0 and 2 < task.max_seq_length < 1 << 20
    if task.kind not in KINDS or not sound:
        raise UsageError("{} is not what `finetune` writes.".format(path))
    return task
