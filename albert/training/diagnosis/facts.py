"""What a diagnosis is made of: facts, findings, and the state a run is in."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from albert.training.diagnosis.data import DataFacts
from albert.training.diagnosis.probe import Movement, OutputFacts

# Nats below the unigram entropy at which a model uses context beyond doubt; and how near to it the
# loss is called a plateau.
LEFT_PLATEAU = 0.3
_PLATEAU_MARGIN = 0.15
_DIVERGED = 1.0
# A plateau is where every run begins: it counts once half of the run or this many updates are done.
_PATIENCE = 2000


class Settings(NamedTuple):
    """What a run was told to do, as far as it decides whether it learns."""

    optimizer: str
    learning_rate: float
    suggested_rate: float
    num_train_steps: int
    num_warmup_steps: int
    post_norm: bool
    decayed_norms: int
    weight_decay: float


class Facts(NamedTuple):
    """Everything known about a run; None for what was not looked at."""

    settings: Settings
    data: DataFacts
    lines: Sequence[Mapping[str, Any]]  # of metrics.jsonl
    outputs: Optional[OutputFacts]
    movement: Optional[Movement]


class Finding(NamedTuple):
    """One thing that is wrong."""

    name: str
    sentence: str
    evidence: Dict[str, float]


def losses(lines: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The lines that have a masked-LM loss; where nothing is masked none does."""
    return [line for line in lines if "masked_lm_loss" in line]


def judged_line(lines: Sequence[Mapping[str, Any]]) -> Optional[Mapping[str, Any]]:
    """The line a run is judged by: its last held-out one, else its last."""
    lines = losses(lines)
    judged = [line for line in lines if line["kind"] == "eval"] or lines
    return judged[-1] if judged else None


def state_of(facts: Facts) -> str:
    """One of "young", "plateau", "diverged" and "learning"."""
    lines, judged = losses(facts.lines), judged_line(facts.lines)
    if not judged:
        return "young"
    loss, step = judged["masked_lm_loss"], lines[-1]["step"]
    settings, entropy = facts.settings, facts.data.unigram_entropy
    patience = _PATIENCE + min(_PATIENCE, settings.num_warmup_steps)
    patience = min(settings.num_train_steps // 2, patience)
    if loss < entropy - _PLATEAU_MARGIN:
        return "learning"
    if step < patience:
        return "young"
    lowest = min(line["masked_lm_loss"] for line in lines)
    return "diverged" if loss > max(entropy, lowest) + _DIVERGED else "plateau"
