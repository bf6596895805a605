"""Which name in a checkpoint holds which tensor: the slot names of every ALBERT system."""

from typing import Iterable, Mapping, Optional

from albert.model.config import ModelConfig
from albert.optim.transforms import AVERAGE, FIRST_MOMENT, MOMENTUM, SECOND_MOMENT
from albert.system.errors import UsageError

# Optimizer slots: ours, of which the moments' names are Google's, and what they are called by the
# multi-GPU Malay system and by albert_zh's LAMB.
_SLOT_NAMES = {
    FIRST_MOMENT: ("/AdamWeightDecayOptimizer", "/lamb_m"),
    SECOND_MOMENT: ("/AdamWeightDecayOptimizer_1", "/lamb_v"),
    MOMENTUM: (),
    AVERAGE: (),
}
# A variable that only one of the layouts has.
_MARKS = {
    "google": "bert/encoder/transformer/group_0/inner_group_0/",
    "brightmart": "bert/embeddings/word_embeddings_2",
}


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
            "{} is not an ALBERT checkpoint: it has neither layout's variables.".format(path)
        )
    if found != config.layout:
        raise UsageError(
            "{} holds a model of the {} layout, but the config is of the {} layout. Use the "
            "config the checkpoint was trained with.".format(path, found, config.layout)
        )
