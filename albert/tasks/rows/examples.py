"""Labelled examples: texts and their labels, words and their tags."""

import collections
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from albert.system.errors import UsageError, check_seed, quoted
from albert.text.words import Words, spaced, split


class Text(NamedTuple):
    """A text, or a pair of them, and its label.

    The label is a number in regression, and all labels of the text in multi-label.
    `text_b` is empty where there is one text.
    """

    text: str
    label: Any
    text_b: str = ""


class Sentence(NamedTuple):
    """Words and the tag of each."""

    words: Tuple[str, ...]
    tags: Tuple[str, ...]


class Question(NamedTuple):
    """A question on a text.

    Attributes:
      question: What is asked.
      context: The text.
      answers: All right answers; none where the text does not say.
      start: First character, in the context, of the one to learn; -1 where it is not known.
      end: The character after its last.
    """

    question: str
    context: str
    answers: Tuple[str, ...] = ()
    start: int = -1
    end: int = -1


Example = Union[Text, Sentence, Question]


def checked_texts(texts: Iterable[Any]) -> List[str]:
    """What a caller passes as texts, each itself or as {"text": ...}, as a list.

    Raises:
      UsageError: It is one text alone, or not all of them are text.
    """
    if isinstance(texts, str):
        raise UsageError("Pass a list of texts: [{}]. Received one text.".format(quoted(texts)))
    return [_checked_text(text) for text in texts]


def _checked_text(asked: Any) -> str:
    text = asked.get("text") if isinstance(asked, dict) else asked
    if not isinstance(text, str):
        raise UsageError(
            'Texts must be of type str, or {{"text": ...}}. Received {}.'.format(quoted(asked))
        )
    return text


def checked_words(texts: Iterable[Any]) -> List[Words]:
    """The words of what a caller passes as texts or, parted already, as {"words": [...]}.

    Raises:
      UsageError: As `checked_texts`, or the words are no list of words.
    """
    if isinstance(texts, str):
        checked_texts(texts)
    return [_words_of(asked) for asked in texts]


def _words_of(asked: Any) -> Words:
    words = asked.get("words") if isinstance(asked, dict) else None
    if words is None:
        return split(_checked_text(asked))
    if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() for w in words):
        raise UsageError(
            'Give words as a list, {{"words": ["Saya", "makan"]}}, none of them empty. Received '
            "{}.".format(quoted(asked))
        )
    return spaced(words)


def checked_pairs(what: str, pairs: Iterable[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """What a caller passes as pairs of texts, as a list.

    Raises:
      UsageError: Something is no pair of two texts that are not empty; `what` needs them.
    """
    found = []
    for pair in [pairs] if isinstance(pairs, str) else pairs:
        two = isinstance(pair, (list, tuple)) and len(pair) == 2
        texts = checked_texts(pair) if two else []
        if not (texts and all(text.strip() for text in texts)):
            raise UsageError("{} needs pairs of two texts. Received {}.".format(what, quoted(pair)))
        found.append((texts[0], texts[1]))
    return found


def labels_in(example: Example) -> Tuple[Any, ...]:
    """What is right: tags of words, labels of a text, its one label or number, answers."""
    if isinstance(example, Sentence):
        return example.tags
    if isinstance(example, Question):
        return example.answers
    return example.label if isinstance(example.label, tuple) else (example.label,)


def labels_of(examples: Sequence[Example]) -> Dict[str, int]:
    """How often each label or tag occurs, sorted by name."""
    counts: collections.Counter = collections.Counter()
    for example in examples:
        counts.update(labels_in(example))
    return {label: counts[label] for label in sorted(counts)}


def are_pairs(examples: Sequence[Example]) -> bool:
    """Whether the examples of a file, all of one kind, are two texts each."""
    return isinstance(examples[0], Text) and bool(examples[0].text_b)


def held_out(
    examples: Sequence[Example], share: float, seed: int
) -> Tuple[List[Example], List[Example]]:
    """Splits off a random share, at least one example: (the rest, the share).

    Raises:
      UsageError: There is only one example, or the seed has more than 32 bits.
    """
    check_seed(seed)
    if len(examples) < 2:
        raise UsageError(
            "One example cannot be split into training and evaluation; pass --eval_file."
        )
    order = np.random.RandomState(seed).permutation(len(examples))
    size = max(1, int(round(len(examples) * share)))
    return [examples[i] for i in sorted(order[size:])], [examples[i] for i in sorted(order[:size])]
