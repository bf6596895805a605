"""Answers to questions on a text: found in what a model says, and compared with the right ones."""

import collections
import re
import string
import unicodedata
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from albert.tasks.rows.examples import Question
from albert.tasks.rows.features import Features

_LONGEST = 30  # pieces of an answer, as in run_squad.py of BERT and ALBERT
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


class Answer(NamedTuple):
    """An answer.

    Attributes:
      text: As it stands in the context; empty where there is none.
      start: Its first character there.
      end: The one after its last.
      probability: That it begins and ends there; that there is none, if it is empty.
    """

    text: str
    start: int
    end: int
    probability: float


def best_answer(windows: Sequence[Tuple[Features, np.ndarray]], impossible: bool) -> Answer:
    """The likeliest answer in the windows of one question.

    Args:
      windows: Rows, and for each [2, S], of each piece the probability that the answer begins, and
        ends, at it; at [CLS] that this window has none.
      impossible: Whether there may be none: it is likelier than every answer in every window.
    """
    best = Answer("", 0, 0, -1.0)
    none = 1.0
    for row, (starts, ends) in windows:
        assert row.window is not None, "rows of questions are windows"
        places = row.window.places
        inside = places[:, 0] >= 0
        size = len(places)
        both = np.outer(starts[:size] * inside, ends[:size] * inside)
        both = np.triu(both) - np.triu(both, _LONGEST)
        first, last = np.unravel_index(both.argmax(), both.shape)
        none = min(none, float(starts[0] * ends[0]))
        if inside[first] and both[first, last] > best.probability:
            start, end = int(places[first, 0]), int(places[last, 1])
            text = row.window.asked.context[start:end]
            start += len(text) - len(text.lstrip())
            best = Answer(text.strip(), start, start + len(text.strip()), float(both[first, last]))
    if best.probability < 0.0 or (impossible and none > best.probability):
        return Answer("", 0, 0, none)
    return best


def normalized(text: str) -> str:
    """A text as SQuAD compares it: lower case, no punctuation, one space between words.

    The original also drops "a", "an" and "the", which are articles in English alone.
    """
    kept = (
        c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P"
    )
    return " ".join("".join(kept).split())


def answer_scores(expected: Sequence[Sequence[str]], predicted: Sequence[str]) -> Dict[str, float]:
    """f1 (of words) and exact_match, means of the best over the right answers of each question.

    Args:
      expected: Right answers of each question; none of an impossible one.
      predicted: One answer each; empty for none.
    """
    f1, exact = [], []
    for right, found in zip(expected, predicted):
        wanted = [normalized(text) for text in right] or [""]
        f1.append(max(_f1(text, normalized(found)) for text in wanted))
        exact.append(float(normalized(found) in wanted))
    return {"f1": float(np.mean(f1)), "exact_match": float(np.mean(exact))}


def _f1(wanted: str, found: str) -> float:
    if not wanted or not found:
        return float(wanted == found)
    both = collections.Counter(wanted.split()) & collections.Counter(found.split())
    return 2.0 * sum(both.values()) / (len(wanted.split()) + len(found.split()))


def similar_sentences(train: Sequence[Question], test: Sequence[Question]) -> List[str]:
    """To each question the sentence of its context that is most similar to it by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True)
    try:
        words.fit([text for asked in train for text in (asked.question, asked.context)])
    except ValueError:  # no word that it knows how to part
        return no_answers(train, test)
    found = []
    for asked in test:
        sentences = [each.strip() for each in _SENTENCE.findall(asked.context)] or [asked.context]
        alike: Any = words.transform(sentences) @ words.transform([asked.question]).T
        found.append(sentences[int(alike.toarray().argmax())])
    return found


def no_answers(train: Sequence[Question], test: Sequence[Question]) -> List[str]:
    """That every question is impossible."""
    return [""] * len(test)
