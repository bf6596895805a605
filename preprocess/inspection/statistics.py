"""Statistics of all records together, which show what a single one cannot.

Of the predicted pieces a tenth stay as they are, so labels that do not belong to their positions
hardly ever equal the input there. A text that occurs in several duplicates, once in order and once
swapped, says which order is right, so wrong sentence labels contradict each other.
"""

import collections
import math
from typing import Counter, Dict, List, Mapping, Optional, Sequence

import numpy as np

from albert.records.example_proto import decode_example
from albert.records.lockstep import Ragged, decode_examples
from preprocess.inspection.form import rows_of
from preprocess.inspection.rows import Expected, Rows, Shape
from preprocess.inspection.texts import Texts

# A statistic is off if it misses its value by this many standard deviations and this much.
DEVIATIONS, SLACK = 6.0, 0.01
MAX_UNK_RATE = 0.05
MAX_REPEATED = 0.05
MAX_CONTRADICTIONS = 0.01
_REASONS_OF_A_KIND = 3


class Inspection:
    """Collects what is wrong, and the counts, some records at a time."""

    def __init__(self, expected: Expected) -> None:
        """Starts with nothing seen."""
        self.expected = expected
        self.counts: Counter[str] = collections.Counter()
        self._reasons: Dict[str, List[str]] = collections.OrderedDict()
        self._texts = Texts(expected.sentence_task == "sop")
        self._shape: Optional[Shape] = None

    def add(self, path: str, offsets: Sequence[int], payloads: Sequence[bytes]) -> List[bool]:
        """Checks some records of a file; whether the form of each is right.

        Args:
          path: The file.
          offsets: Where each of them begins in it.
          payloads: The records.
        """
        alike = decode_examples(payloads) if payloads else {}
        if alike is not None:
            return self._add(path, offsets, alike)
        sound = []
        for offset, payload in zip(offsets, payloads):
            try:
                features = decode_example(payload)
            except ValueError as error:
                self.counts["examples"] += 1
                self._reason("bytes", path, offset, str(error))
                sound.append(False)
                continue
            one = {n: Ragged(values, np.array([0, len(values)])) for n, values in features.items()}
            sound += self._add(path, [offset], one)
        return sound

    def _add(self, path: str, offsets: Sequence[int], features: Mapping[str, Ragged]) -> List[bool]:
        self.counts["examples"] += len(offsets)
        rows, problems = rows_of(features, self.expected, self._shape)
        for row, (kind, told) in sorted(problems.items()):
            self._reason(kind, path, offsets[row], told)
        if rows is not None:
            if rows.positions is not None:
                self._shape = self._shape or (rows.ids.shape[1], rows.positions.shape[1])
                self._count_predictions(rows)
            self.counts["tokens"] += int(rows.real.sum())
            self.counts["unknown"] += int(((rows.ids == self.expected.unk) & rows.inside).sum())
            for label in (0, 1):
                self.counts["label {}".format(label)] += int((rows.label == label).sum())
            self._texts.add(rows)
        return [row not in problems for row in range(len(offsets))]

    def _reason(self, kind: str, path: str, offset: int, told: str) -> None:
        said = "{} at byte offset {}: {}".format(path, offset, told)
        self._reasons.setdefault(kind, []).append(said)

    def _count_predictions(self, rows: Rows) -> None:
        """Counts what became of the predicted pieces, and restores them in `rows.ids`."""
        assert rows.positions is not None and rows.labels is not None and rows.used is not None
        rate, cap = self.expected.masked_lm_prob, rows.positions.shape[1]
        if rate:
            cap = cap // 2 if self.expected.permuted else cap
            wanted = np.minimum(cap, np.maximum(1, np.rint(rows.real * rate)))
            self.counts["wanted"] += int(wanted.sum()) * (2 if self.expected.permuted else 1)
        row, prediction = np.nonzero(rows.used)
        at, labels = rows.positions[row, prediction], rows.labels[row, prediction]
        given = rows.ids[row, at]
        self.counts["predicted"] += len(row)
        self.counts["hidden"] += int((given == self.expected.mask).sum())
        self.counts["kept"] += int((given == labels).sum())
        rows.ids[row, at] = labels
        left = (rows.ids == self.expected.mask) & rows.inside
        self.counts["unpredicted masks"] += int(left.sum())

    def statistics(self) -> Dict[str, float]:
        """Shares and rates of everything seen."""
        c = self.counts
        predicted, pairs = max(c["predicted"], 1), max(c["label 0"] + c["label 1"], 1)
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
            "texts repeated too often": self._texts.repeated(self.expected.duplicates)
            / max(c["examples"], 1),
            "contradicting sentence labels": self._texts.contradictions() / pairs,
        }

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
