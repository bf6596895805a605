"""A fine-tuned model at work on text: labels and tags."""

import os
from typing import Any, Dict, Iterable, List, Sequence

from albert.system.files.side import read_json_object
from albert.tasks.entities import entities_in
from albert.tasks.folder import FineTuned
from albert.tasks.inference.predictor import Predictor
from albert.tasks.rows.examples import Sentence, Text, checked_pairs, checked_texts
from albert.tasks.rows.features import features_of
from albert.tasks.scores import REPORT_FILE
from albert.text.encoder import TextEncoder, split_words, word_spans


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
          texts: Any; pairs of texts, where the model has learned from pairs. A classifier does not
            read beyond its longest example.

        Returns:
          For each text, in order, {"text": ..., "label": ..., "probabilities": by label}, of a
          pair with "text_b"; of a tagger {"text": ..., "words": [...], "tags": [...]}; of
          entities {"text": ..., "entities": [{"entity": ..., "text": ..., "start": ...,
          "end": ...}]}, places in characters.

        Raises:
          UsageError: It is no list of texts, or of pairs.
        """
        if self.task.tags_words:
            return self._tag(checked_texts(texts))
        if self.task.pairs:
            pairs = checked_pairs("A model that has learned from pairs", texts)
            return self._label([Text(first, "", second) for first, second in pairs])
        return self._label([Text(text, "") for text in checked_texts(texts)])

    def _label(self, examples: Sequence[Text]) -> List[Dict[str, Any]]:
        rows = features_of(self.task, self._encoder, examples, labelled=False)
        answers = []
        for example, shares in zip(examples, self._predictor.probabilities(rows)):
            by_label = {name: round(float(p), 6) for name, p in zip(self.task.labels, shares)}
            likeliest = self.task.labels[int(shares.argmax())]
            texts = {"text": example.text, "text_b": example.text_b}
            asked = {name: text for name, text in texts.items() if text or name == "text"}
            answers.append(dict(asked, label=likeliest, probabilities=by_label))
        return answers

    def _tag(self, texts: Sequence[str]) -> List[Dict[str, Any]]:
        words = [tuple(split_words(text)) for text in texts]
        sentences = [Sentence(found, ("",) * len(found)) for found in words]
        rows = features_of(self.task, self._encoder, sentences, labelled=False)
        tags: List[List[str]] = [[] for _ in texts]
        for row, numbers in zip(rows, self._predictor.labels(rows)):
            tags[row.example] += [self.task.labels[number] for number in numbers]
        if self.task.kind == "entities":
            return [
                {"text": text, "entities": entities_in(text, word_spans(text), named)}
                for text, named in zip(texts, tags)
            ]
        return [
            {"text": text, "words": list(found), "tags": named}
            for text, found, named in zip(texts, words, tags)
        ]
