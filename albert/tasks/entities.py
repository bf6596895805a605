"""Entities, from tags of words in BIO (IOB2) or BIOES and back to spans of text."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from albert.system.errors import UsageError, quoted

OUTSIDE = "O"
_BEGINNINGS = ("B-", "I-", "E-", "S-")


class EntityScores(NamedTuple):
    """How many entities were found whole and named right.

    Attributes:
      scores: entity_f1, entity_precision and entity_recall over all entities.
      labels: precision, recall, f1 and count of each kind of entity.
    """

    scores: Dict[str, float]
    labels: Dict[str, Dict[str, Any]]


def check_tags(tags: Sequence[str], path: str) -> None:
    """Refuses what is no tag of an entity.

    Raises:
      UsageError: A tag is neither "O" nor B-, I-, E- or S- and a name.
    """
    for tag in tags:
        if tag != OUTSIDE and not (tag.startswith(_BEGINNINGS) and len(tag) > 2):
            raise UsageError(
                "{} has the tag {}. Tags of entities are O, and B-, I- (BIO) or B-, I-, E-, S- "
                "(BIOES) before a name, as in B-PERSON; choose their column with --tag_column, "
                "or learn any other tags with --task=tagging.".format(path, quoted(tag))
            )


def entity_scores(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> EntityScores:
    """Scores by entity, as conlleval counts them (Tjong Kim Sang, 2003), through seqeval.

    Args:
      expected: Tags of the words of each sentence.
      predicted: Likewise.
    """
    from seqeval.metrics import classification_report

    names = {tag[2:] for tags in (expected, predicted) for each in tags for tag in each} - {""}
    if not names:
        return EntityScores(_three(dict.fromkeys(("precision", "recall", "f1-score"), 0.0)), {})
    found = classification_report(expected, predicted, output_dict=True, zero_division=0)
    labels = {
        name: {
            "precision": float(found[name]["precision"]),
            "recall": float(found[name]["recall"]),
            "f1": float(found[name]["f1-score"]),
            "count": int(found[name]["support"]),
        }
        for name in sorted(names)
    }
    return EntityScores(_three(found["micro avg"]), labels)


def _three(row: Dict[str, Any]) -> Dict[str, float]:
    return {
        "entity_f1": float(row["f1-score"]),
        "entity_precision": float(row["precision"]),
        "entity_recall": float(row["recall"]),
    }


def entities_in(
    text: str, spans: Sequence[Tuple[int, int]], tags: Sequence[str]
) -> List[Dict[str, Any]]:
    """The entities of a text: entity, text, and start and end in it (characters, end excluded).

    Args:
      text: The text.
      spans: Start and end of each of its words.
      tags: Of the words.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    found = []
    for name, first, last in get_entities(list(tags)):
        start, end = spans[first][0], spans[last][1]
        found.append({"entity": name, "text": text[start:end], "start": start, "end": end})
    return found
