"""Checks of record files: structure of every record, statistics of all together.

What a single record cannot show, all of them do. Of the predicted pieces a tenth stay as they
are, so labels that do not belong to their positions hardly ever equal the input there. A text
that occurs in several duplicates, once in order and once swapped, says which order is right, so
wrong sentence labels contradict each other.
"""

import collections
import hashlib
import math
from typing import Counter, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.records import tfrecord
from albert.records.tfrecord import NO_SENTENCE_LABEL

# A statistic is off if it misses its value by this many standard deviations and this much.
DEVIATIONS, SLACK = 6.0, 0.01
MAX_UNK_RATE = 0.05
MAX_REPEATED = 0.05
MAX_CONTRADICTIONS = 0.01
_REASONS_OF_A_KIND = 3

Features = Dict[str, np.ndarray]
Problem = Tuple[str, str]  # of which kind, and what is said

_UNMASKED_FEATURES = ("input_ids", "segment_ids")


class Expected(NamedTuple):
    """What the records should be like.

    Attributes:
      vocab_size: Ids are below this.
      cls, sep, mask, unk: Ids of special pieces.
      sentence_task: "sop", "nsp" or "none".
      masked_lm_prob: Share of pieces to predict.
      duplicates: How often each text may occur.
      permuted: Whether pieces are permuted too, so that 80/10/10 does not hold.
    """

    vocab_size: int
    cls: int
    sep: int
    mask: int
    unk: int
    sentence_task: str = "sop"
    masked_lm_prob: float = 0.15
    duplicates: int = 5
    permuted: bool = False


class Inspection:
    """Collects what is wrong, and the counts, record by record."""

    def __init__(self, expected: Expected) -> None:
        """Starts with nothing seen."""
        self.expected = expected
        self.counts: Counter[str] = collections.Counter()
        self._reasons: Dict[str, List[str]] = collections.OrderedDict()
        self._texts: Counter[bytes] = collections.Counter()
        self._reversed: List[bytes] = []
        self._shape: Optional[Tuple[int, int]] = None

    def add(self, path: str, offset: int, features: Features) -> bool:
        """Checks one record; whether its form is right."""
        self.counts["examples"] += 1
        problem = self._structure(features)
        if problem:
            self._reasons.setdefault(problem[0], []).append(
                "{} at byte offset {}: {}".format(path, offset, problem[1])
            )
            return False
        ids, segments = features["input_ids"], features["segment_ids"]
        if "input_mask" in features:
            real = int(features["input_mask"].sum())
            ids, segments = ids[:real].copy(), segments[:real]
            self._count_predictions(ids, features)
        self.counts["tokens"] += len(ids)
        self.counts["unknown"] += int((ids == self.expected.unk).sum())
        label = int(features[tfrecord.SENTENCE_LABEL][0])
        self.counts["label {}".format(label)] += 1
        self._remember(ids, segments, label)
        return True

    def _structure(self, features: Features) -> Optional[Problem]:
        """The first thing wrong with the form of a record, if any."""
        static = "input_mask" in features
        masked = tfrecord.SEQUENCE_FEATURES + tfrecord.PREDICTION_FEATURES
        needed = (masked if static else _UNMASKED_FEATURES) + (tfrecord.SENTENCE_LABEL,)
        missing = [name for name in needed if name not in features]
        if missing:
            return "missing", "there is no feature {}".format(", ".join(missing))
        ids, segments = features["input_ids"], features["segment_ids"]
        if len(features[tfrecord.SENTENCE_LABEL]) != 1 or len(ids) != len(segments) or len(ids) < 3:
            return "length", "features have the lengths {}".format(
                {name: len(values) for name, values in features.items()}
            )
        if ids.min() < 0 or ids.max() >= self.expected.vocab_size:
            return "range", "an id is {}, the vocabulary has {} pieces".format(
                int(ids.min() if ids.min() < 0 else ids.max()), self.expected.vocab_size
            )
        real = len(ids)
        if static:
            mask = features["input_mask"]
            real = int(mask.sum())
            problem = self._static_structure(features, real)
            if problem:
                return problem
        return self._segments(ids[:real], segments, int(features[tfrecord.SENTENCE_LABEL][0]))

    def _static_structure(self, features: Features, real: int) -> Optional[Problem]:
        mask, ids = features["input_mask"], features["input_ids"]
        positions, labels, weights = (features[name] for name in tfrecord.PREDICTION_FEATURES)
        shape = (len(ids), len(positions))
        self._shape = self._shape or shape
        if shape != self._shape or len(mask) != len(ids):
            return "length", "it has {} tokens and {} predictions, others have {} and {}".format(
                *(shape + self._shape)
            )
        if not len(positions) == len(labels) == len(weights):
            return "length", "masked_lm features have {}, {} and {} values".format(
                len(positions), len(labels), len(weights)
            )
        if mask.min() < 0 or mask.max() > 1 or np.any(np.diff(mask) > 0) or ids[real:].any():
            return "padding", "input_mask is not ones and then zeros, or padding is not 0"
        used = int((weights > 0).sum())
        if np.any(weights[:used] != 1) or weights[used:].any() or positions[used:].any():
            return "padding", "masked_lm_weights are not ones and then zeros, with 0 positions"
        at = positions[:used]
        if used and (at[0] < 1 or at[-1] >= real or np.any(np.diff(at) <= 0)):
            return "positions", "masked_lm_positions are not ascending inside the text"
        if labels.min() < 0 or labels.max() >= self.expected.vocab_size:
            return "range", "a label is {}, the vocabulary has {} pieces".format(
                int(labels.max()), self.expected.vocab_size
            )
        if np.isin(labels[:used], (self.expected.cls, self.expected.sep)).any():
            return "positions", "a special piece is to be predicted"
        return None

    def _segments(self, ids: np.ndarray, segments: np.ndarray, label: int) -> Optional[Problem]:
        second = segments[: len(ids)]
        if segments[len(ids) :].any() or np.any(np.diff(second) < 0) or second.max() > 1:
            return "segments", "segment_ids are not zeros, then ones, then padding"
        if ids[0] != self.expected.cls or ids[-1] != self.expected.sep:
            return "segments", "the text does not begin and end with the special pieces"
        paired = bool(second[-1])
        if paired and ids[int(np.argmax(second)) - 1] != self.expected.sep:
            return "segments", "no separator stands between the segments"
        allowed = (0, 1) if paired else (NO_SENTENCE_LABEL,)
        if self.expected.sentence_task == "none":
            allowed = (NO_SENTENCE_LABEL,)
        if label not in allowed:
            return "sentence labels", "the sentence label is {} for {}".format(
                label, "two segments" if paired else "one segment"
            )
        return None

    def _count_predictions(self, ids: np.ndarray, features: Features) -> None:
        """Counts what became of the predicted pieces, and restores them in `ids`."""
        positions, labels, weights = (features[name] for name in tfrecord.PREDICTION_FEATURES)
        used = int((weights > 0).sum())
        at, labels = positions[:used], labels[:used]
        rate, cap = self.expected.masked_lm_prob, len(weights)
        if rate:
            cap = cap // 2 if self.expected.permuted else cap
            wanted = min(cap, max(1, int(round(len(ids) * rate))))
            self.counts["wanted"] += wanted * (2 if self.expected.permuted else 1)
        self.counts["predicted"] += used
        self.counts["hidden"] += int((ids[at] == self.expected.mask).sum())
        self.counts["kept"] += int((ids[at] == labels).sum())
        ids[at] = labels
        self.counts["unpredicted masks"] += int((ids == self.expected.mask).sum())

    def _remember(self, ids: np.ndarray, segments: np.ndarray, label: int) -> None:
        cut = int(np.argmax(segments)) if segments[len(ids) - 1] else len(ids)
        first, second = ids[1 : cut - 1].tobytes(), ids[cut:-1].tobytes()
        swapped = label == 1 and self.expected.sentence_task == "sop"
        text, other = (
            (second + first, first + second)
            if swapped
            else (
                first + second,
                second + first,
            )
        )
        self._texts[_digest(text)] += 1
        if label != NO_SENTENCE_LABEL and first != second:
            self._reversed.append(_digest(other))

    def statistics(self) -> Dict[str, float]:
        """Shares and rates of everything seen."""
        c = self.counts
        predicted, pairs = max(c["predicted"], 1), max(c["label 0"] + c["label 1"], 1)
        repeated = sum(max(0, n - self.expected.duplicates) for n in self._texts.values())
        return {
            "examples": c["examples"],
            "tokens per example": c["tokens"] / max(c["examples"], 1),
            "predictions per token": c["predicted"] / max(c["tokens"], 1),
            "predictions of those due": c["predicted"] / max(c["wanted"], 1),
            "hidden by the mask piece": c["hidden"] / predicted,
            "kept": c["kept"] / predicted,
            "replaced": 1 - (c["hidden"] + c["kept"]) / predicted if c["predicted"] else 0.0,
            "unknown pieces": c["unknown"] / max(c["tokens"], 1),
            "examples with two segments": (c["label 0"] + c["label 1"]) / max(c["examples"], 1),
            "swapped or random of those": c["label 1"] / pairs,
            "texts repeated too often": repeated / max(c["examples"], 1),
            "contradicting sentence labels": self._contradictions() / pairs,
        }

    def _contradictions(self) -> int:
        if self.expected.sentence_task != "sop":
            return 0
        return sum(digest in self._texts for digest in self._reversed)

    def reasons(self) -> List[str]:
        """Everything that is off, in sentences; empty if nothing is."""
        out = []
        for kind, messages in self._reasons.items():
            out += messages[:_REASONS_OF_A_KIND]
            more = len(messages) - _REASONS_OF_A_KIND
            if more > 0:
                out.append("{} more records with wrong {}".format(more, kind))
        if not self.counts["examples"]:
            return ["There is no record."]
        return out + self._wrong_predictions() + self._wrong_texts()

    def _wrong_predictions(self) -> List[str]:
        s, count = self.statistics(), self.counts["predicted"]
        out: List[str] = []
        if not count and self.counts["wanted"]:
            return [
                "No piece is to be predicted, where {:,} are due.".format(self.counts["wanted"])
            ]
        if not count or self.expected.permuted:
            return out
        if not 0.8 <= s["predictions of those due"] <= 1.0:
            out.append(
                "Of the predictions due at masked_lm_prob={:g}, {:.1%} are there.".format(
                    self.expected.masked_lm_prob, s["predictions of those due"]
                )
            )
        for name, share in (
            ("hidden by the mask piece", 0.8),
            ("kept", 0.1),
            ("replaced", 0.1),
        ):
            if _is_off(s[name], share, count):
                out.append(
                    "Of {} predicted pieces {:.1%} are {}; it should be {:.0%}.{}".format(
                        count, s[name], name, share, _HINTS.get(name, "")
                    )
                )
        if self.counts["unpredicted masks"]:
            out.append(
                "{} mask pieces are not to be predicted.".format(self.counts["unpredicted masks"])
            )
        return out

    def _wrong_texts(self) -> List[str]:
        s = self.statistics()
        out: List[str] = []
        pairs = self.counts["label 0"] + self.counts["label 1"]
        if self.expected.sentence_task == "sop" and pairs:
            if _is_off(s["swapped or random of those"], 0.5, pairs):
                out.append(
                    "Of {} pairs {:.1%} are swapped; it should be half.".format(
                        pairs, s["swapped or random of those"]
                    )
                )
        limits = (
            ("unknown pieces", MAX_UNK_RATE, "Is it the right SentencePiece model?"),
            ("texts repeated too often", MAX_REPEATED, "Clean with --dedup=exact or near."),
            ("contradicting sentence labels", MAX_CONTRADICTIONS, "Labels are mixed up."),
        )
        for name, limit, hint in limits:
            if s[name] > limit:
                out.append("{}: {:.1%}, above {:.0%}. {}".format(name, s[name], limit, hint))
        return out


_HINTS = {"kept": " Do the labels belong to their positions?"}


def _is_off(share: float, expected: float, count: int) -> bool:
    deviation = math.sqrt(expected * (1 - expected) / count)
    return abs(share - expected) > DEVIATIONS * deviation + SLACK


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
