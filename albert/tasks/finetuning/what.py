"""What is learned: a task, the files of its examples, and what they say of it."""

import dataclasses
from typing import Any, List, NamedTuple, Optional

import numpy as np

from albert.system.errors import UsageError, check_between, check_one_of, quoted
from albert.tasks.entities import check_tags
from albert.tasks.rows.examples import Example, are_pairs, held_out, labels_in, labels_of
from albert.tasks.rows.labels import number, one_label, several
from albert.tasks.rows.sentences import check_tag_column, read_sentences
from albert.tasks.rows.tables import read_texts
from albert.tasks.task import KINDS, Task
from albert.text.tokenization import TextOptions

_HELD_OUT_SHARE = 0.1
_NUMBER = ("score",)  # what stands for the labels of regression


class Examples(NamedTuple):
    """Labelled examples; `test` is None where the held-out ones stand in for it."""

    train: List[Example]
    held_out: List[Example]
    test: Optional[List[Example]]


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """What is learned, and from which files.

    Attributes:
      task: One of `KINDS`.
      train_file: Labelled examples to train on.
      eval_file: To choose the epoch by; None for a tenth of the others.
      test_file: For the report; None for the evaluation examples.
      text_column: Column of the texts, a name or a number; None for "text", or "words" in JSON.
      label_column: Column of the labels; None for "label", or "tags" in JSON.
      text_b_column: Column of the second texts of pairs; None for "text_b", if there is one.
      label_separator: Between the labels of a text that has several, in a table.
      tag_column: Column of the tags, as `sentences.read_sentences` takes it; None for the usual.
      max_seq_length: Most pieces of a text.
    """

    task: str
    train_file: str
    eval_file: Optional[str] = None
    test_file: Optional[str] = None
    text_column: Optional[str] = None
    label_column: Optional[str] = None
    text_b_column: Optional[str] = None
    label_separator: str = ","
    tag_column: Optional[str] = None
    max_seq_length: int = 128

    def __post_init__(self) -> None:
        check_one_of("task", self.task, KINDS)
        check_tag_column(self.tag_column or "")
        if not self.label_separator:
            raise UsageError("--label_separator must not be empty; pass --label_separator=, .")
        check_between("max_seq_length", self.max_seq_length, 8, 1 << 20)

    def examples(self, seed: int) -> Examples:
        """Reads the files; `seed` draws the evaluation examples where they have no file.

        Raises:
          UsageError: A file cannot be read.
        """
        train = self._read(self.train_file, self.text_b_column)
        text_b = (self.text_b_column or "text_b") if are_pairs(train) else ""
        test = self._read(self.test_file, text_b) if self.test_file else None
        if self.eval_file:
            return Examples(train, self._read(self.eval_file, text_b), test)
        return Examples(*held_out(train, _HELD_OUT_SHARE, seed), test)

    @property
    def _of_texts(self) -> bool:
        return self.task not in ("tagging", "entities")

    def _read(self, path: str, text_b_column: Optional[str]) -> List[Any]:
        if not self._of_texts:
            named = (self.text_column or "words", self.label_column or "tags")
            found = read_sentences(path, self.tag_column or "", *named)
            if self.task == "entities":
                check_tags(tuple(labels_of(found)), path)
            return found
        columns = (self.text_column or "text", self.label_column or "label", text_b_column)
        parsers = {"regression": number, "multi-label": several(self.label_separator)}
        return read_texts(path, *columns, parsers.get(self.task, one_label))

    def task_of(self, examples: Examples, length: int, text: TextOptions) -> Task:
        """The task that the examples of the training file show.

        Args:
          examples: Those of the files.
          length: Most pieces of a text that the model takes.
          text: How text is prepared.

        Raises:
          UsageError: All of them have the same label.
        """
        train: List[Any] = examples.train
        pairs = are_pairs(train)
        length = min(self.max_seq_length, length)
        # A label so rare that only examples held out of the file have it is a label, too.
        labels = tuple(labels_of(train if self.eval_file else train + examples.held_out))
        different = {labels_in(example) for example in train} if self._of_texts else labels
        if len(different) < 2:
            raise UsageError(
                "All training examples in {} have the one label {}, so there is nothing to learn. "
                "Pass examples of two labels at least, or the right column.".format(
                    self.train_file, quoted(labels[0] if len(labels) == 1 else labels)
                )
            )
        if self.task != "regression":
            return Task(self.task, labels, length, *text, pairs=pairs)
        numbers = np.array([example.label for example in train])
        mean, deviation = float(numbers.mean()), float(numbers.std())
        return Task(self.task, _NUMBER, length, *text, pairs, mean, deviation)
