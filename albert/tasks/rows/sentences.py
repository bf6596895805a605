"""Tagged words from files: CoNLL-U, CoNLL columns, JSON lines."""

import itertools
from typing import Iterator, List, Sequence, Tuple

from albert.system.errors import UsageError, quoted
from albert.tasks.rows.examples import Sentence
from albert.tasks.rows.lines import (
    ending_of,
    json_object,
    lines_of,
    names_of,
    not_empty,
)

CONLLU_COLUMNS = {"upos": 3, "xpos": 4}
_CONLLU_WIDTH = 10
_FORM = 1
_DOCUMENT = "-DOCSTART-"  # a line of CoNLL-2003 between documents
_Tagged = Tuple[str, str]


def check_tag_column(tag_column: str) -> None:
    """Raises a UsageError for what is neither a name of CoNLL-U's columns, "last", nor a number."""
    number = tag_column.isdigit() and int(tag_column) >= 2
    if tag_column not in ("",) + tuple(CONLLU_COLUMNS) + ("last",) and not number:
        raise UsageError(
            "--tag_column must be one of: {}, last, or the number of a column (2, 3, ...). "
            "Received {}.".format(", ".join(CONLLU_COLUMNS), quoted(tag_column))
        )


def read_sentences(
    path: str, tag_column: str = "", text_column: str = "words", label_column: str = "tags"
) -> List[Sentence]:
    """Reads tagged words, also .gz.

    A file that ends in .jsonl has a sentence a line: a list of words and one of their tags. One
    that ends in .conllu, or has ten columns of which the first is a number, is CoNLL-U: word ranges
    (1-2) and empty nodes (1.1) are left out. Any other has the word in the first column, its tag in
    another, tabs or spaces between them, and an empty line after each sentence.

    Args:
      path: The file.
      tag_column: A key of `CONLLU_COLUMNS`, "last", or a number from "2"; "" for upos of CoNLL-U
        and the last column elsewhere.
      text_column: Name of the words in JSON.
      label_column: Name of the tags in JSON.

    Raises:
      UsageError: The file cannot be read, or a line is not of its format.
    """
    if ending_of(path) == ".jsonl":
        found = _json_sentences(path, text_column, label_column)
    else:
        lines = list(lines_of(path))
        conllu = ending_of(path) == ".conllu" or _is_conllu(lines)
        tagged = _conllu_lines if conllu else _column_lines
        if not conllu and tag_column in CONLLU_COLUMNS:
            raise UsageError(
                "{} is not CoNLL-U, so it has no column {}: pass --tag_column=last, or the number "
                "of the tags' column.".format(path, tag_column)
            )
        found = _sentences(tagged(lines, path, tag_column))
    return not_empty(list(found), path)


def _is_conllu(lines: Sequence[str]) -> bool:
    for line in lines:
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            return len(fields) == _CONLLU_WIDTH and fields[0][:1].isdigit()
    return False


def _sentences(tagged: Iterator[_Tagged]) -> Iterator[Sentence]:
    """Sentences from words and tags; an empty word ends one."""
    for ended, group in itertools.groupby(tagged, lambda pair: not pair[0]):
        if not ended:
            words, tags = zip(*group)
            yield Sentence(words, tags)


def _conllu_lines(lines: Sequence[str], path: str, tag_column: str) -> Iterator[_Tagged]:
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        fields = line.split("\t")
        if not line.strip():
            yield "", ""
        elif not line.startswith("#"):
            column = _conllu_column(tag_column, len(fields))
            if not _FORM < column < len(fields) or not fields[0][:1].isdigit():
                raise UsageError(
                    "{} line {} is not CoNLL-U: expected ten columns with tabs between them, "
                    "received {}. A file of words and tags alone must not end in .conllu.".format(
                        path, number, quoted(line)
                    )
                )
            if fields[0].isdigit():
                _check_filled(fields[_FORM], fields[column], path, number)
                yield fields[_FORM], fields[column]


def _conllu_column(tag_column: str, width: int) -> int:
    if tag_column.isdigit():
        return int(tag_column) - 1
    return width - 1 if tag_column == "last" else CONLLU_COLUMNS[tag_column or "upos"]


def _column_lines(lines: Sequence[str], path: str, tag_column: str) -> Iterator[_Tagged]:
    separator, width = None, 0
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not width and line.strip() and not line.startswith("# "):
            separator = "\t" if "\t" in line else None
        fields = line.split(separator)
        if not line.strip() or fields[0] == _DOCUMENT:
            yield "", ""
            continue
        if line.startswith("# ") and len(fields) != width:
            continue  # a comment, not the word "#"
        width = width or len(fields)
        column = int(tag_column) if tag_column.isdigit() else width
        if len(fields) != width or not 2 <= column <= width:
            raise UsageError(
                "{} line {} has {} columns where a word and its tag in column {} of {} are "
                "expected: {}. Put tabs or spaces between them and an empty line after each "
                "sentence, or choose another --tag_column.".format(
                    path, number, len(fields), max(column, 2), max(width, 2), quoted(line)
                )
            )
        _check_filled(fields[0], fields[column - 1], path, number)
        yield fields[0], fields[column - 1]


def _check_filled(word: str, tag: str, path: str, number: int) -> None:
    if not word or tag in ("", "_"):
        raise UsageError(
            "{} line {} has no {}. Give it one, or choose another column with --tag_column.".format(
                path, number, "tag" if word else "word"
            )
        )


def _json_sentences(path: str, text_column: str, label_column: str) -> Iterator[Sentence]:
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        values = json_object(line, path, number)
        for column in (text_column, label_column):
            if column not in values:
                raise UsageError(
                    "{} line {} has no '{}'; it has: {}. Name words and tags with --text_column "
                    "and --label_column.".format(path, number, column, names_of(values))
                )
        words, tags = values[text_column], values[label_column]
        if not (_strings(words) and isinstance(tags, list) and len(words) == len(tags)):
            raise UsageError(
                "{} line {} needs a list of words and one as long of their tags; received "
                "{}.".format(path, number, quoted(line.strip()))
            )
        if words:
            yield Sentence(tuple(words), tuple(str(tag) for tag in tags))


def _strings(values: Sequence[object]) -> bool:
    return isinstance(values, list) and all(isinstance(word, str) and word for word in values)
