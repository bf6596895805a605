"""A fine-tuned model at work on text: labels and tags."""

import os
from typing import Any, Dict, Iterable, List, Sequence

from albert.system.files.side import read_json_object
from albert.tasks.entities import entities_in
from albert.tasks.folder import FineTuned
from albert.tasks.inference.predictor import Predictor
from albert.tasks.rows.examples import Sentence, Text, checked_texts, checked_words
from albert.tasks.rows.features import features_of
from albert.tasks.scores import REPORT_FILE
from albert.text.encoder import TextEncoder, marked
from albert.text.words import Words


class TaskModel:
    """A model that labels texts or tags words; `albert.load` makes one of its folder.

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
        """How good it is: accuracy, F1, the numbers of each label, the confusion matrix.

        Raises:
          UsageError: The folder has no `report.json`.
        """
        return read_json_object(os.path.join(self.output_dir, REPORT_FILE))

    def predict(self, texts: Iterable[Any]) -> List[Dict[str, Any]]:
        """Labels texts, or tags their words.

        Args:
          texts: Each a text, or {"text": ...}; of a tagger also {"words": [...]}, whose text is
            the words with a space between them.

        Returns:
          For each text, in order, {"text": ..., "label": ..., "probabilities": by label}, with
          "truncated": True where the text is longer than the model's longest example and its end
          was not read; of a tagger {"text": ..., "words": [...], "tags": [...]}; of entities
          {"text": ..., "entities": [{"entity": ..., "text": ..., "start": ..., "end": ...}]},
          places in characters. Taggers read a text of any length.

        Raises:
          UsageError: It is no list of texts.
        """
        if self.task.tags_words:
            return self._tag(checked_words(texts))
        return self._label(checked_texts(texts))

    def _label(self, texts: Sequence[str]) -> List[Dict[str, Any]]:
        examples = [Text(text, "") for text in texts]
        rows = features_of(self.task, self._encoder, examples, labelled=False)
        answers = []
        for text, row, shares in zip(texts, rows, self._predictor.probabilities(rows)):
            by_label = {name: round(float(p), 6) for name, p in zip(self.task.labels, shares)}
            likeliest = self.task.labels[int(shares.argmax())]
            answer = {"text": text, "label": likeliest, "probabilities": by_label}
            answers.append(marked(answer, row.encoded))
        return answers

    def _tag(self, texts: Sequence[Words]) -> List[Dict[str, Any]]:
        sentences = [Sentence(tuple(t.words), ("",) * len(t.words)) for t in texts]
        rows = features_of(self.task, self._encoder, sentences, labelled=False)
        tags: List[List[str]] = [[] for _ in texts]
        for row, numbers in zip(rows, self._predictor.labels(rows)):
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
