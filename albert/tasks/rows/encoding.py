"""Labelled examples as rows: pieces, and the label of the text or of each word's first piece."""

from typing import Iterator, List, Sequence, Tuple

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

    A text that is too long loses its end, of two the longer one; a sentence becomes several rows
    that overlap, and so does the text of a question. Each word of a sentence has its tag in one of
    them, with words before and after it.

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
    # A word that spells nothing the tokenizer knows still needs a place for its tag.
    pieces = [(encoder.pieces(w) or [encoder.vocabulary.unk])[:room] for w in sentence.words]
    for first, begin, end, last in _windows([len(word) for word in pieces], room):
        labels = []
        for number in range(first, last):
            tag = tags[number] if begin <= number < end else NO_LABEL
            labels += [tag] + [NO_LABEL] * (len(pieces[number]) - 1)
        ids = [piece for word in pieces[first:last] for piece in word]
        marked = np.array([NO_LABEL] + labels + [NO_LABEL], np.int32)
        yield Features(encoder.single(ids, task.max_seq_length), marked, at)


def _windows(sizes: Sequence[int], room: int) -> Iterator[Tuple[int, int, int, int]]:
    """Words first to last of each row and, among them, begin to end: those that are tagged there.

    What is tagged has about a quarter of the room before and after it, in words of the text.
    """
    if not sizes:
        yield 0, 0, 0, 0
    begin, margin = 0, room // 4
    while begin < len(sizes):
        first, used = begin, sizes[begin]
        while first > 0 and used + sizes[first - 1] <= min(room, margin + sizes[begin]):
            first -= 1
            used += sizes[first]
        last = begin + 1
        while last < len(sizes) and used + sizes[last] <= room:
            used += sizes[last]
            last += 1
        end, after = last, 0
        while last < len(sizes) and end - 1 > begin and after + sizes[end - 1] <= margin:
            end -= 1
            after += sizes[end]
        yield first, begin, end, last
        begin = end
