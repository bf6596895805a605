"""Which name in a checkpoint holds which tensor: the slot names of every ALBERT system."""

import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional

from albert.model.config import ModelConfig
from albert.optim.transforms import AVERAGE, FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from albert.system.errors import UsageError, quoted

# Optimizer slots: ours, of which the moments' names are Google's, and what they are called by the
# multi-GPU Malay system, by albert_zh's LAMB and by TensorFlow's Adam.
_SLOT_NAMES = {
    FIRST_MOMENT: ("/AdamWeightDecayOptimizer", "/lamb_m", "/Adam"),
    SECOND_MOMENT: ("/AdamWeightDecayOptimizer_1", "/lamb_v", "/Adam_1"),
    MOMENTUM: (),
    AVERAGE: (),
}
# A variable that only one of the layouts has.
_MARKS = {
    "google": "bert/encoder/transformer/group_0/inner_group_0/",
    "brightmart": "bert/embeddings/word_embeddings_2",
}
# By this one every ALBERT is known, whatever its names begin with.
_WORDS = "bert/embeddings/word_embeddings"
_REPLICA = re.compile(r"(^|/)(replica|tower)_[1-9]\d*(/|$)")
_POWERS = re.compile(r"(^|/)beta[12]_power(_\d+)?$")  # of TensorFlow's Adam: the step tells them


class PlainNames(NamedTuple):
    """What a checkpoint's names say without what the program that wrote it put around them.

    Attributes:
      found: Its own names, by plain name.
      notes: A sentence for each kind of name that was changed or left out.
    """

    found: Dict[str, str]
    notes: List[str]


def plain_names(names: Iterable[str]) -> PlainNames:
    """The variables of a checkpoint under the names that the original systems gave them.

    Outputs (`:0`), a scope around the one model (`module/`) and the copies of further replicas are
    left out; moving averages without the weights beside them are taken as the weights.

    >>> plain_names(["module/bert/embeddings/word_embeddings:0", "beta1_power"]).found
    {'bert/embeddings/word_embeddings': 'module/bert/embeddings/word_embeddings:0'}
    """
    found = {re.sub(r":\d+$", "", name): name for name in sorted(names)}
    replicas = {name for name in found if _REPLICA.search(name)}
    scopes = [n[: -len(_WORDS)] for n in found if n.endswith(_WORDS) and n not in replicas]
    scope = scopes[0] if len(scopes) == 1 else ""  # which of several models is meant, nobody knows
    begin = {n: len(scope) if n.startswith(scope) else 0 for n in found if n not in replicas}
    found = {n[begin[n] :]: found[n] for n in begin}
    alone = [n for n in found if n.endswith(AVERAGE) and n[: -len(AVERAGE)] not in found]
    found.update({n[: -len(AVERAGE)]: found.pop(n) for n in alone})
    notes = (
        (scope, "its names begin with {}, which is left out".format(quoted(scope))),
        (replicas, "copies of {} replicated variables are left out".format(len(replicas))),
        (alone, "{} moving averages are taken as the weights".format(len(alone))),
    )
    kept = {name: own for name, own in found.items() if not _POWERS.search(name)}
    return PlainNames(kept, [text for is_so, text in notes if is_so])


def is_slot(name: str) -> bool:
    """Whether a checkpoint name is optimizer state."""
    return any(name.endswith((ours, *others)) for ours, others in _SLOT_NAMES.items())


def find_slot(slot: str, available: Iterable[str]) -> Optional[str]:
    """The name under which a checkpoint holds one of our slots, if it does.

    >>> find_slot("x/adam_v", {"x", "x/AdamWeightDecayOptimizer_1"})
    'x/AdamWeightDecayOptimizer_1'
    """
    available = set(available)
    for ours, others in _SLOT_NAMES.items():
        if slot.endswith(ours):
            parameter = slot[: -len(ours)]
            for ending in (ours, *others):
                if parameter + ending in available:
                    return parameter + ending
    return None


def layout_of(tensors: Mapping[str, object]) -> Optional[str]:
    """The layout whose variables a checkpoint has, or None if it is of neither."""
    for layout, mark in _MARKS.items():
        if any(name.startswith(mark) for name in tensors):
            return layout
    return None


def check_layout(config: ModelConfig, tensors: Mapping[str, object], path: str) -> None:
    """Refuses a checkpoint of the other layout.

    Raises:
      UsageError: The config and the checkpoint disagree, or it holds no ALBERT.
    """
    found = layout_of(tensors)
    if found is None:
        raise UsageError(
            "{} is not an ALBERT checkpoint: it has neither layout's variables{}.".format(
                path, ", but for example " + quoted(min(tensors)) if tensors else ""
            )
        )
    if found != config.layout:
        raise UsageError(
            "{} holds a model of the {} layout, but the config is of the {} layout. Use the "
            "config the checkpoint was trained with.".format(path, found, config.layout)
        )
