"""Labelled examples from files: TSV, CSV and JSON lines of texts, CoNLL-U of tagged words."""

import collections
import csv
import gzip
import io
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, TypeVar, Union

import numpy as np

from albert.system.errors import UsageError, check_seed
from albert.system.files.compression import DAMAGED
from albert.system.files.side import parse_json

CONLLU_COLUMNS = {"upos": 3, "xpos": 4}
_FORM = 1
_LONGEST_FIELD = 1 << 24


class Text(NamedTuple):
    """A text and its label."""

    text: str
    label: str


class Sentence(NamedTuple):
    """Words and the tag of each."""

    words: Tuple[str, ...]
    tags: Tuple[str, ...]


Example = Union[Text, Sentence]
_Kind = TypeVar("_Kind", Text, Sentence)


def checked_texts(texts: Iterable[str]) -> List[str]:
    """What a caller passes as texts, as a list.

    Raises:
      UsageError: It is one text alone, or not all of them are text.
    """
    if isinstance(texts, str):
        raise UsageError("Pass a list of texts: [{!r}]. Received one text.".format(texts[:80]))
    found = list(texts)
    for text in found:
        if not isinstance(text, str):
            raise UsageError("Texts must be of type str. Received {!r}.".format(text))
    return found


def read_texts(path: str, text_column: str = "text", label_column: str = "label") -> List[Text]:
    """Reads .tsv, .csv (with a header) or .jsonl, also .gz.

    Raises:
      UsageError: The file cannot be read, lacks a column, or a row lacks text or label.
    """
    examples = []
    for row, values in _rows(path):
        for column in (text_column, label_column):
            if column not in values:
                raise UsageError(
                    "{} has no column '{}' (row {}); it has: {}. Name the columns with "
                    "--text_column and --label_column.".format(
                        path, column, row, ", ".join(str(name) for name in values) or "none"
                    )
                )
        text, label = str(values[text_column] or "").strip(), values[label_column]
        label = "" if label is None else str(label).strip()
        if not text or not label:
            raise UsageError(
                "{} row {} has no {}. Give it one, or take the row out.".format(
                    path, row, "label" if text else "text"
                )
            )
        examples.append(Text(text, label))
    return _not_empty(examples, path)


def _rows(path: str) -> Iterator[Tuple[int, Dict[str, object]]]:
    kind = path[: -len(".gz")] if path.endswith(".gz") else path
    lines = _lines(path)
    if kind.endswith(".jsonl"):
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json_object(line, path, number)
    elif kind.endswith((".tsv", ".csv")):
        tabs = kind.endswith(".tsv")
        csv.field_size_limit(_LONGEST_FIELD)
        how: Dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
        try:
            for number, values in enumerate(csv.DictReader(lines, **how), 2):
                yield number, values
        except csv.Error as error:
            raise UsageError("{} is not a table: {}.".format(path, error)) from error
    else:
        raise UsageError(
            "{} must end in .tsv, .csv or .jsonl (also .gz), so that it is known how to read "
            "it.".format(path)
        )


def _json_object(line: str, path: str, number: int) -> Dict[str, object]:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UsageError("{} line {} is not JSON: {}.".format(path, number, error)) from error
    if not isinstance(value, dict):
        raise UsageError("{} line {} is not a JSON object.".format(path, number))
    return value


def _lines(path: str) -> Iterator[str]:
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as handle:
            yield from io.TextIOWrapper(handle, encoding="utf-8-sig", newline=None)
    except DAMAGED + (UnicodeDecodeError,) as error:
        raise UsageError("Cannot read {}: {}.".format(path, error)) from error


def read_sentences(path: str, tag_column: str = "upos") -> List[Sentence]:
    """Reads CoNLL-U, also .gz; word ranges (1-2) and empty nodes (1.1) are left out.

    Args:
      path: The file.
      tag_column: A key of `CONLLU_COLUMNS`.

    Raises:
      UsageError: The file cannot be read, or a line is not of CoNLL-U.
    """
    column = CONLLU_COLUMNS[tag_column]
    sentences: List[Sentence] = []
    words: List[str] = []
    tags: List[str] = []
    for number, line in enumerate(_lines(path), 1):
        line = line.rstrip("\n")
        if not line.strip():
            if words:
                sentences.append(Sentence(tuple(words), tuple(tags)))
                words, tags = [], []
            continue
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) <= column or not fields[0][:1].isdigit():
            raise UsageError(
                "{} line {} is not CoNLL-U: expected ten columns with tabs between them, received "
                "{!r}.".format(path, number, line[:60])
            )
        if fields[0].isdigit():
            if fields[column] in ("", "_"):
                raise UsageError(
                    "{} line {} has no tag in column {}. Choose another with --tag_column.".format(
                        path, number, tag_column
                    )
                )
            words.append(fields[_FORM])
            tags.append(fields[column])
    if words:
        sentences.append(Sentence(tuple(words), tuple(tags)))
    return _not_empty(sentences, path)


def _not_empty(examples: List[_Kind], path: str) -> List[_Kind]:
    if not examples:
        raise UsageError("{} holds no examples.".format(path))
    return examples


def labels_of(examples: Sequence[Example]) -> Dict[str, int]:
    """How often each label or tag occurs, sorted by name."""
    counts: collections.Counter = collections.Counter()
    for example in examples:
        counts.update([example.label] if isinstance(example, Text) else example.tags)
    return {label: counts[label] for label in sorted(counts)}


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
