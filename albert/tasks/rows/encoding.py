"""Labelled examples as rows: pieces, and the label of the text or of each word's first piece."""

from typing import Iterator, List, Sequence

import numpy as np

from albert.system.errors import UsageError, quoted
from albert.tasks.rows.examples import Example, Question, Sentence, Text
from albert.tasks.rows.features import NO_LABEL, Features, no_label
from albert.tasks.rows.lines import names_of
from albert.tasks.rows.windows import windows_of
from albert.tasks.task import Task
from albert.text.encoder import Encoded, TextEncoder


def features_of(
    task: Task, encoder: TextEncoder, examples: Sequence[Example], labelled: bool = True
) -> List[Features]:
    """Encodes examples.

    A text that is too long loses its end, of two the longer one; a sentence is cut between words
    into several rows, so that each of its words is tagged, and the text of a question into windows.

    Args:
      task: What to predict.
      encoder: Of the model.
      examples: Sentences for tagging, questions to be answered, else texts.
      labelled: Whether the examples have labels; without, words get label 0.

    Raises:
      UsageError: A label is none of the task's.
    """
    numbers = {label: number for number, label in enumerate(task.labels)}

    def number(label: str) -> int:
        if not labelled:
            return 0
        if label not in numbers:
            raise UsageError(
                "Label {} does not occur in the training examples, whose labels are: {}.".format(
                    quoted(label), names_of(task.labels)
                )
            )
        return numbers[label]

    rows: List[Features] = []
    for at, example in enumerate(examples):
        if isinstance(example, Question):
            rows += windows_of(task, encoder, example, at)
        elif isinstance(example, Sentence):
            rows += _sentence(task, encoder, example, [number(tag) for tag in example.tags], at)
        else:
            encoded = _encoded(task, encoder, example)
            if not labelled:
                labels = np.zeros_like(no_label(task))
            elif task.kind == "regression":
                labels = np.array([(example.label - task.mean) / task.deviation], np.float32)
            elif task.kind == "multi-label":
                labels = np.zeros(len(task.labels), np.int32)
                labels[[number(label) for label in example.label]] = 1
            else:
                labels = np.array([number(example.label)], np.int32)
            rows.append(Features(encoded, labels, at))
    return rows


def _encoded(task: Task, encoder: TextEncoder, example: Text) -> Encoded:
    pieces = encoder.pieces(example.text)
    if not task.pairs:
        return encoder.single(pieces, task.max_seq_length)
    return encoder.pair(pieces, encoder.pieces(example.text_b), task.max_seq_length)


def _sentence(
    task: Task, encoder: TextEncoder, sentence: Sentence, tags: Sequence[int], at: int
) -> Iterator[Features]:
    room = task.max_seq_length - 2
    ids: List[int] = []
    labels: List[int] = []
    for spelled, tag in zip(sentence.words, tags):
        # A word that spells nothing the tokenizer knows still needs a place for its tag.
        pieces = (encoder.pieces(spelled) or [encoder.vocabulary.unk])[:room]
        if len(ids) + len(pieces) > room:
            yield _row(task, encoder, ids, labels, at)
            ids, labels = [], []
        ids = ids + pieces
        labels = labels + [tag] + [NO_LABEL] * (len(pieces) - 1)
    yield _row(task, encoder, ids, labels, at)


def _row(
    task: Task, encoder: TextEncoder, ids: Sequence[int], labels: Sequence[int], at: int
) -> Features:
    marked = np.array([NO_LABEL] + list(labels) + [NO_LABEL], np.int32)
    return Features(encoder.single(ids, task.max_seq_length), marked, at)
