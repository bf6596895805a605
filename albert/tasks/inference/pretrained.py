"""A pre-trained model at work on text: masked words, sentence order, vectors."""

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from albert.checkpoints.parts import absent_parts, new_parts
from albert.compat import compiled, tf
from albert.formats.saved_model import pretraining_signatures
from albert.model.config import ModelConfig
from albert.system.errors import UsageError, check_at_least, check_one_of, quoted
from albert.tasks import POOLINGS
from albert.tasks.rows.batching import bucket, each_row
from albert.tasks.rows.examples import checked_pairs, checked_texts
from albert.text.encoder import MASK, Encoded, TextEncoder, marked, padded_batch
from albert.text.tokenization import Tokenization

_POSITIONS = "masked_lm_positions"


class PretrainedModel:
    """The heads of pre-training, and the encoder alone; `albert.load` makes one of a run.

    Every method takes a list and returns a list of as many answers, in order. Each has
    "truncated": True where the text is too long and its end was not read.

    Attributes:
      config: Its sizes.
    """

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
        self.config = config
        self._encoder = TextEncoder(tokenization, config)
        self._batch_size, self._max_length = batch_size, max_length
        self._absent = absent_parts(config, weights)
        weights = dict(new_parts(config, weights), **weights)  # what is absent is not asked
        with tf.device(device):
            self._weights = {name: tf.constant(value) for name, value in weights.items()}
        self._functions = {
            name: compiled(signature.function)
            for name, signature in pretraining_signatures(config).items()
        }

    def fill_mask(self, texts: Iterable[Any], top_k: int = 5) -> List[Dict[str, Any]]:
        """The likeliest pieces at each `[MASK]`.

        Args:
          texts: Each a text, or {"text": ...}, with one or several masks.
          top_k: Pieces to name at each mask.

        Returns:
          For each text {"text": ..., "masks": [...]}; for each mask the `top_k` likeliest pieces
          as {"piece": as in the vocabulary, "text": as it reads, "probability": ...}.

        Raises:
          UsageError: A text has no mask among the pieces that are kept.
        """
        self._check_there("masked-word head")
        check_at_least("top_k", top_k, 1)
        texts, encoder = checked_texts(texts), self._encoder
        rows = [encoder.single(encoder.masked_pieces(text), self._max_length) for text in texts]
        places = [np.flatnonzero(row.ids == encoder.vocabulary.mask) for row in rows]
        for text, found in zip(texts, places):
            if not len(found):
                raise UsageError(
                    "No {} among the first {} pieces of {}. Write {} where a piece is "
                    "missing.".format(MASK, self._max_length - 2, quoted(text), MASK)
                )
        # The head scores as many places in every row as the row with most masks has.
        asked = np.zeros((len(rows), max(map(len, places), default=0)), np.int32)
        for number, found in enumerate(places):
            asked[number, : len(found)] = found
        logits = self._run("fill_mask", "logits", rows, {_POSITIONS: asked})
        answers = []
        for text, row, found, scores in zip(texts, rows, places, logits):
            masks = [self._likeliest(at_mask, top_k) for at_mask in scores[: len(found)]]
            answers.append(marked({"text": text, "masks": masks}, row))
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

    def sentence_order(self, pairs: Iterable[Tuple[str, str]]) -> List[Dict[str, Any]]:
        """Whether two texts stand in order.

        Args:
          pairs: Two texts each, none of them empty.

        Returns:
          For each pair {"first": ..., "second": ..., "in_order": the probability}.

        Raises:
          UsageError: Something is no such pair.
        """
        self._check_there("pooler")
        self._check_there("sentence-order head")
        pairs, encoder = checked_pairs("Sentence order", pairs), self._encoder
        rows = []
        for first, second in pairs:
            spelled = encoder.pieces(first), encoder.pieces(second)
            rows.append(encoder.pair(*spelled, self._max_length))
        answers = []
        found = self._run("sentence_order", "logits", rows)
        for (left, right), row, logits in zip(pairs, rows, found):
            swapped = 1.0 / (1.0 + np.exp(float(logits[0]) - float(logits[1])))
            answer = {"first": left, "second": right, "in_order": round(1.0 - swapped, 6)}
            answers.append(marked(answer, row))
        return answers

    def embed(
        self, texts: Iterable[Any], pooling: str = "mean", as_arrays: bool = False
    ) -> List[Dict[str, Any]]:
        """A vector for each text.

        Args:
          texts: Each a text, or {"text": ...}.
          pooling: "mean" of the tokens' last hidden states, or "pooled", the pooler's output.
          as_arrays: Whether vectors are float32 [D], else lists of numbers of six decimals.

        Returns:
          For each text {"text": ..., "embedding": D numbers}.

        Raises:
          UsageError: The pooling is unknown.
        """
        check_one_of("pooling", pooling, POOLINGS)
        texts, encoder = checked_texts(texts), self._encoder
        rows = [encoder.single(encoder.pieces(text), self._max_length) for text in texts]
        if pooling == "pooled":
            self._check_there("pooler")
            vectors = self._run("encode", "pooled_output", rows)
        else:
            hidden = self._run("encode", "sequence_output", rows)
            vectors = [states[: len(row.ids)].mean(axis=0) for row, states in zip(rows, hidden)]

        def shown(vector: np.ndarray) -> Any:
            return vector if as_arrays else [round(float(number), 6) for number in vector]

        return [
            marked({"text": text, "embedding": shown(vector)}, row)
            for text, row, vector in zip(texts, rows, vectors)
        ]

    def _check_there(self, part: str) -> None:
        if part in self._absent:
            raise UsageError(
                "This model came without a {}, so it cannot do that: `embed` by the mean, and "
                "fine-tuning, need none.".format(part)
            )

    def _run(
        self,
        function: str,
        output: str,
        rows: Sequence[Encoded],
        more: Optional[Mapping[str, np.ndarray]] = None,
    ) -> List[np.ndarray]:
        def run(numbers: Sequence[Optional[int]]) -> np.ndarray:
            asked = [number for number in numbers if number is not None]
            # Empty rows repeat the first: their output is not used.
            filled = asked + asked[:1] * (len(numbers) - len(asked))
            chosen = [rows[number] for number in filled]
            length = bucket(max(len(row.ids) for row in chosen), self._max_length)
            batch = padded_batch(chosen, length)
            batch.update({name: value[filled] for name, value in (more or {}).items()})
            return self._functions[function](self._weights, batch)[output].numpy()

        return each_row(run, [len(row.ids) for row in rows], self._batch_size)
