"""Questions on a text and their answers, from files in the form of SQuAD."""

from typing import Any, Dict, Iterator, List, Tuple

from absl import logging

from albert.system.errors import UsageError, quoted
from albert.system.files.side import parse_json
from albert.tasks.rows.examples import Question
from albert.tasks.rows.lines import ending_of, json_object, lines_of, not_empty

_FORM = (
    '{} is not in the form of SQuAD: it needs {}. A .json file has {{"data": [{{"paragraphs": '
    '[{{"context": ..., "qas": [{{"question": ..., "answers": [{{"text": ..., "answer_start": '
    '...}}]}}]}}]}}]}}, a .jsonl file a question a line: {{"question": ..., "context": ..., '
    '"answers": {{"text": [...], "answer_start": [...]}}}}.'
)


def read_questions(path: str) -> List[Question]:
    """Reads SQuAD 1.1 or 2.0 (.json), or a question a line (.jsonl), also .gz.

    A question of SQuAD 2.0 that is impossible has no answers. Answers that are not at their place
    in the context, as in many translations, are said; their place is then -1.

    Raises:
      UsageError: The file cannot be read, or is in another form.
    """
    if ending_of(path) == ".jsonl":
        found = [
            _question(json_object(line, path, number), "{} line {}".format(path, number))
            for number, line in enumerate(lines_of(path), 1)
            if line.strip()
        ]
    else:
        found = list(_squad(path))
    lost = [each for each in found if each.answers and each.start < 0]
    if lost:
        logging.warning(
            "%s: %d of %d questions have an answer that is not at its place in the context, first "
            "%s; nothing is learned from them",
            path,
            len(lost),
            len(found),
            quoted(lost[0].question),
        )
    return not_empty(found, path)


def _squad(path: str) -> Iterator[Question]:
    try:
        content = parse_json("".join(lines_of(path)))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("{} is not JSON: {}.".format(path, error)) from error
    for article in _list(content, "data", path):
        for paragraph in _list(article, "paragraphs", path):
            for asked in _list(paragraph, "qas", path):
                _check(isinstance(asked, dict), "objects in 'qas'", path)
                yield _question(dict(asked, context=paragraph.get("context")), path)


def _list(value: Any, key: str, path: str) -> List[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    _check(isinstance(found, list), "a list '{}'".format(key), path)
    return found  # type: ignore[return-value]


def _check(right: bool, what: str, where: str) -> None:
    if not right:
        raise UsageError(_FORM.format(where, what))


def _question(values: Dict[str, Any], where: str) -> Question:
    question: Any = values.get("question")
    context: Any = values.get("context")
    for name, text in (("question", question), ("context", context)):
        _check(isinstance(text, str) and bool(text.strip()), "a text '{}'".format(name), where)
    answers = [] if values.get("is_impossible") else _answers(values.get("answers"), where)
    texts = tuple(text for text, _ in answers if text.strip())
    placed = [(at, at + len(text)) for text, at in answers if text and _stands(context, text, at)]
    return Question(question, context, texts, *(placed + [(-1, -1)])[0])


def _stands(context: str, text: str, start: int) -> bool:
    return start >= 0 and context[start : start + len(text)] == text


def _answers(value: Any, where: str) -> List[Tuple[str, int]]:
    if isinstance(value, dict):  # columns, as the datasets library has them
        texts: Any = value.get("text")
        starts: Any = value.get("answer_start")
        _check(isinstance(texts, list) and isinstance(starts, list), "lists in 'answers'", where)
        value = [{"text": text, "answer_start": at} for text, at in zip(texts, starts)]
    _check(isinstance(value, list), "a list 'answers'", where)
    found = []
    for each in value:
        sound = isinstance(each, dict) and isinstance(each.get("text"), str)
        sound = sound and type(each.get("answer_start")) is int
        _check(sound, "'text' and 'answer_start' of each answer", where)
        found.append((each["text"], each["answer_start"]))
    return found
