"""A fine-tuned model at work on text: labels, numbers and tags."""

import os
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from albert.system.files.side import read_json_object
from albert.tasks.answers import best_answer
from albert.tasks.entities import entities_in
from albert.tasks.folder import FineTuned
from albert.tasks.inference.predictor import Predictor, answers_of, rows_of_examples
from albert.tasks.report import REPORT_FILE
from albert.tasks.rows.encoding import features_of
from albert.tasks.rows.examples import (
    Question,
    Sentence,
    Text,
    checked_pairs,
    checked_texts,
    checked_words,
)
from albert.text.encoder import TextEncoder, marked
from albert.text.words import Words


class TaskModel:
    """A model that labels or scores texts, or tags words; `albert.load` makes one of its folder.

    Attributes:
      output_dir: The folder that `finetune` wrote.
      task: Its kind and labels.
    """

    def __init__(self, model: FineTuned, device: str, batch_size: int) -> None:
        """Loads the tokenizer."""
        self.output_dir = model.directory
        self.task = model.task
        self._encoder = TextEncoder(model.tokenization, model.config)
        self._predictor = Predictor(
            model.config, model.task, model.weights, device, batch_size=batch_size
        )

    @property
    def report(self) -> Dict[str, Any]:
        """How good it is: the scores of its task, the numbers of each label, baselines.

        Raises:
          UsageError: The folder has no `report.json`.
        """
        return read_json_object(os.path.join(self.output_dir, REPORT_FILE))

    def predict(self, texts: Iterable[Any]) -> List[Dict[str, Any]]:
        """Labels texts, or tags their words.

        Args:
          texts: Each a text, or {"text": ...}; pairs of texts, where the model has learned from
            pairs; pairs of a question and a text to answer it from; of a tagger also
            {"words": [...]}, whose text is the words with a space between.

        Returns:
          For each, in order, {"text": ...}, "text_b" of a pair, and what the task is for:
            classification: "label" and "probabilities" by label.
            multi-label: "labels", those above one half, and "probabilities".
            regression: "score".
            tagging: "words" and their "tags".
            question-answering: instead of "text" the "question", its "answer" with "start" and
              "end" (characters of the text), and "probability". The answer is empty, and without
              a place, where the model has learned that there may be none and finds none.
            entities: "entities", each with "entity", "text", "start" and "end" (characters).
          Taggers and answers to questions read texts of any length; other answers have "truncated":
          True where the end of a text was not read.

        Raises:
          UsageError: It is no list of texts, or of pairs.
        """
        if self.task.tags_words:
            return self._tag(checked_words(texts))
        if self.task.kind == "question-answering":
            return self._answer(checked_pairs("A model that answers questions", texts))
        if self.task.pairs:
            pairs = checked_pairs("A model that has learned from pairs", texts)
            return self._label([Text(first, "", second) for first, second in pairs])
        return self._label([Text(text, "") for text in checked_texts(texts)])

    def _label(self, examples: Sequence[Text]) -> List[Dict[str, Any]]:
        rows = features_of(self.task, self._encoder, examples, labelled=False)
        answers = []
        for example, row, output in zip(examples, rows, self._predictor.outputs(rows)):
            texts = {"text": example.text, "text_b": example.text_b}
            asked = {name: text for name, text in texts.items() if text or name == "text"}
            answers.append(marked(dict(asked, **self._labelled(output)), row.encoded))
        return answers

    def _labelled(self, output: np.ndarray) -> Dict[str, Any]:
        numbers = [round(float(number), 6) for number in output]
        if self.task.kind == "regression":
            return dict(zip(self.task.labels, numbers))
        by_label = dict(zip(self.task.labels, numbers))
        if self.task.kind == "multi-label":
            likely = [label for label, share in zip(self.task.labels, output) if share > 0.5]
            return {"labels": likely, "probabilities": by_label}
        return {"label": self.task.labels[int(output.argmax())], "probabilities": by_label}

    def _answer(self, pairs: Sequence[Tuple[str, str]]) -> List[Dict[str, Any]]:
        asked = [Question(question, context) for question, context in pairs]
        rows = features_of(self.task, self._encoder, asked, labelled=False)
        answers: List[Dict[str, Any]] = []
        for parts in rows_of_examples(rows, self._predictor.outputs(rows)):
            found = best_answer(parts, self.task.impossible)
            place = {"start": found.start, "end": found.end} if found.text else {}
            named = {"question": asked[len(answers)].question, "answer": found.text}
            answers.append(dict(named, **place, probability=round(found.probability, 6)))
        return answers

    def _tag(self, texts: Sequence[Words]) -> List[Dict[str, Any]]:
        sentences = [Sentence(tuple(t.words), ("",) * len(t.words)) for t in texts]
        rows = features_of(self.task, self._encoder, sentences, labelled=False)
        tags: List[List[str]] = [[] for _ in texts]
        for row, output in zip(rows, self._predictor.outputs(rows)):
            numbers = answers_of(self.task, row, output)
            tags[row.example] += [self.task.labels[number] for number in numbers]
        if self.task.kind == "entities":
            return [
                {"text": text, "entities": entities_in(text, spans, named)}
                for (text, _, spans), named in zip(texts, tags)
            ]
        return [
            {"text": text, "words": words, "tags": named}
            for (text, words, _), named in zip(texts, tags)
        ]
