"""A question and its text as rows: windows over a text that is too long for one."""

from typing import Iterator

import numpy as np

from albert.tasks.rows.examples import Question
from albert.tasks.rows.features import Features, Window
from albert.tasks.task import Task
from albert.text.encoder import TextEncoder

_LONGEST_QUESTION = 64  # pieces, as in run_squad.py of BERT and ALBERT


def windows_of(task: Task, encoder: TextEncoder, asked: Question, at: int) -> Iterator[Features]:
    """[CLS] question [SEP] window [SEP], each window half of one further than the one before.

    Its labels are the first and the last piece of the answer; both are 0, [CLS], where a window
    does not hold all of it (Devlin et al., 2018, BERT, section 4.3).
    """
    most = min(_LONGEST_QUESTION, (task.max_seq_length - 3) // 2)
    question = encoder.pieces(asked.question)[:most]
    ids, spans = encoder.located_pieces(asked.context)
    room = task.max_seq_length - 3 - len(question)
    before = len(question) + 2
    start = 0
    while True:
        part, inside = ids[start : start + room], spans[start : start + room]
        encoded = encoder.pair(question, part, task.max_seq_length)
        places = np.full((len(encoded.ids), 2), -1, np.int32)
        if part:
            places[before : before + len(part)] = inside
        yield Features(encoded, _labels(asked, places), at, Window(asked, places))
        if start + room >= len(ids):
            return
        start += max(1, room // 2)


def _labels(asked: Question, places: np.ndarray) -> np.ndarray:
    first, last = places[:, 0], places[:, 1]
    touched = np.flatnonzero((first >= 0) & (last > asked.start) & (first < asked.end))
    whole = len(touched) and places[touched[0], 0] <= asked.start
    if not asked.answers or asked.start < 0 or not whole or last[touched[-1]] < asked.end:
        return np.zeros(2, np.int32)
    return touched[[0, -1]].astype(np.int32)
