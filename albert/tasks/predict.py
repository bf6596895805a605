"""Models at work on text: masked words, sentence order, vectors, labels and tags."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from albert.compat import compiled, tf
from albert.formats.saved_model import pretraining_signatures
from albert.model.config import ModelConfig
from albert.system.errors import UsageError
from albert.tasks.batching import bucket, each_row
from albert.tasks.examples import Sentence, Text
from albert.tasks.features import features_of
from albert.tasks.folder import FineTuned
from albert.tasks.predictor import Predictor
from albert.text.encoder import MASK, Encoded, TextEncoder, padded, split_words
from albert.text.tokenization import Tokenization

_POSITIONS = "masked_lm_positions"


class PretrainedModel:
    """The heads of pre-training, and the encoder alone."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, np.ndarray],
        tokenization: Tokenization,
        device: str,
        batch_size: int,
        max_length: int,
    ) -> None:
        """Puts the weights on the device; texts beyond `max_length` pieces lose their end."""
        self._encoder = TextEncoder(tokenization, config)
        self._batch_size, self._max_length = batch_size, max_length
        with tf.device(device):
            self._weights = {name: tf.constant(value) for name, value in weights.items()}
        self._functions = {
            name: compiled(signature.function)
            for name, signature in pretraining_signatures(config).items()
        }

    def fill_mask(self, texts: Sequence[str], top_k: int) -> List[Dict[str, Any]]:
        """The `top_k` likeliest pieces at each mask, with probabilities.

        Raises:
          UsageError: A text has no mask among the pieces that are kept.
        """
        encoder = self._encoder
        rows = [encoder.single(encoder.masked_pieces(text), self._max_length) for text in texts]
        places = [np.flatnonzero(row.ids == encoder.vocabulary.mask) for row in rows]
        for text, found in zip(texts, places):
            if not len(found):
                raise UsageError(
                    "No {} among the first {} pieces of {!r}. Write {} where a piece is "
                    "missing.".format(MASK, self._max_length - 2, text[:80], MASK)
                )
        # The head scores as many places in every row as the row with most masks has.
        most = max(map(len, places), default=0)
        asked = np.zeros((len(rows), most), np.int32)
        for row, found in enumerate(places):
            asked[row, : len(found)] = found
        logits = self._run("fill_mask", "logits", rows, {_POSITIONS: asked})
        answers = []
        for text, found, row in zip(texts, places, logits):
            masks = [self._likeliest(scores, top_k) for scores in row[: len(found)]]
            answers.append({"text": text, "masks": masks})
        return answers

    def _likeliest(self, logits: np.ndarray, top_k: int) -> List[Dict[str, Any]]:
        exponents = np.exp(logits - logits.max())
        probabilities = exponents / exponents.sum()
        vocabulary = self._encoder.vocabulary
        allowed = vocabulary.replacements  # never a special piece
        best = allowed[np.argsort(-probabilities[allowed], kind="stable")[:top_k]].tolist()
        return [
            {
                "piece": vocabulary.pieces[i],
                "text": self._encoder.spell(i),
                "probability": round(float(probabilities[i]), 6),
            }
            for i in best
        ]

    def sentence_order(self, texts: Sequence[str]) -> List[Dict[str, Any]]:
        """Whether the two texts of each line stand in order.

        Raises:
          UsageError: A line does not hold two texts with a tab between them.
        """
        rows, parts = [], []
        for text in texts:
            pair = text.split("\t")
            if len(pair) != 2 or not all(part.strip() for part in pair):
                raise UsageError(
                    "Sentence order needs two texts with a tab between them. Received {!r}.".format(
                        text[:80]
                    )
                )
            parts.append(pair)
            pieces = [self._encoder.pieces(part) for part in pair]
            rows.append(self._encoder.pair(pieces[0], pieces[1], self._max_length))
        answers = []
        for (first, second), logits in zip(parts, self._run("sentence_order", "logits", rows)):
            swapped = 1.0 / (1.0 + np.exp(float(logits[0]) - float(logits[1])))
            answers.append({"first": first, "second": second, "in_order": round(1.0 - swapped, 6)})
        return answers

    def embed(self, texts: Sequence[str], pooling: str) -> List[Dict[str, Any]]:
        """A vector of width D for each text: the mean of its tokens, or the pooler's output."""
        encoder = self._encoder
        rows = [encoder.single(encoder.pieces(text), self._max_length) for text in texts]
        if pooling == "pooled":
            vectors = self._run("encode", "pooled_output", rows)
        else:
            hidden = self._run("encode", "sequence_output", rows)
            vectors = [states[: len(row.ids)].mean(axis=0) for row, states in zip(rows, hidden)]
        return [
            {"text": text, "embedding": [round(float(value), 6) for value in vector]}
            for text, vector in zip(texts, vectors)
        ]

    def _run(
        self,
        function: str,
        output: str,
        rows: Sequence[Encoded],
        more: Optional[Mapping[str, np.ndarray]] = None,
    ) -> List[np.ndarray]:
        def run(numbers: Sequence[Any]) -> np.ndarray:
            # Empty rows repeat the first: their output is not used.
            numbers = [numbers[0] if n is None else n for n in numbers]
            chosen = [rows[n] for n in numbers]
            length = bucket(max(len(row.ids) for row in chosen), self._max_length)
            batch = padded(chosen, length)
            batch.update({name: value[numbers] for name, value in (more or {}).items()})
            return self._functions[function](self._weights, batch)[output].numpy()

        return each_row(run, [len(row.ids) for row in rows], self._batch_size)


class TaskModel:
    """A fine-tuned model."""

    def __init__(self, model: FineTuned, device: str, batch_size: int) -> None:
        """Loads the tokenizer."""
        self._task = model.task
        self._encoder = TextEncoder(model.tokenization, model.config)
        self._predictor = Predictor(
            model.config, model.task, model.weights, device, batch_size=batch_size
        )

    def predict(self, texts: Sequence[str]) -> List[Dict[str, Any]]:
        """The label of each text with all probabilities, or each of its words with its tag."""
        if self._task.tags_words:
            return self._tag(texts)
        examples = [Text(text, "") for text in texts]
        rows = features_of(self._task, self._encoder, examples, labelled=False)
        answers = []
        for text, shares in zip(texts, self._predictor.probabilities(rows)):
            by_label = {name: round(float(p), 6) for name, p in zip(self._task.labels, shares)}
            answers.append(
                {
                    "text": text,
                    "label": self._task.labels[int(shares.argmax())],
                    "probabilities": by_label,
                }
            )
        return answers

    def _tag(self, texts: Sequence[str]) -> List[Dict[str, Any]]:
        words = [tuple(split_words(text)) for text in texts]
        sentences = [Sentence(found, ("",) * len(found)) for found in words]
        rows = features_of(self._task, self._encoder, sentences, labelled=False)
        tags: List[List[str]] = [[] for _ in texts]
        for row, numbers in zip(rows, self._predictor.labels(rows)):
            tags[row.example] += [self._task.labels[number] for number in numbers]
        return [
            {"text": text, "words": list(found), "tags": named}
            for text, found, named in zip(texts, words, tags)
        ]
