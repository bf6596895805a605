"""The optimizers of the field, each one expression, and the choice among them."""

import dataclasses
import re
from typing import AbstractSet, Dict, FrozenSet, Iterable, Mapping, Sequence, Tuple

from albert.compat import tf
from albert.optim.chain import Optimizer, chain
from albert.optim.schedules import Schedule
from albert.optim.transforms import (
    FIRST_MOMENT,
    SECOND_MOMENT,
    adam_direction,
    add_decayed_weights,
    clip_by_global_norm,
    moment_scale,
    scale_by_adam,
    scale_by_schedule,
    scale_by_trust_ratio,
    trust_ratio,
)
from albert.system.errors import UsageError, check_above_0, check_not_negative

TRUST_RATIOS = ("all", "decayed")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Hyper-parameters of an optimizer; defaults are those both originals hard-coded.

    Attributes:
      name: "lamb" or "adamw".
      weight_decay: Decoupled decay.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      epsilon: Added to the root of the second moment.
      clip_norm: Largest global norm of the gradient of the whole batch.
      bias_correction: Adam's correction of young moments.
      exclude_from_weight_decay: Regular expressions; a parameter whose name one of them is found
        in has no weight decay.
      trust_ratio: LAMB: "all" parameters are rescaled (brightmart), or only "decayed" ones
        (google).

    Raises:
      UsageError: The optimizer or trust ratio is unknown, or a number is out of range.
    """

    name: str = "lamb"
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-6
    clip_norm: float = 1.0
    bias_correction: bool = False
    exclude_from_weight_decay: Tuple[str, ...] = ("LayerNorm", "bias")
    trust_ratio: str = "decayed"

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("optimizer", self.name, OPTIMIZERS),
            ("trust_ratio", self.trust_ratio, TRUST_RATIOS),
        ):
            if value not in known:
                raise UsageError(
                    "Unknown {} '{}'; must be one of: {}.".format(
                        kind, value, ", ".join(sorted(known))
                    )
                )
        check_above_0("clip_norm", self.clip_norm)
        check_not_negative("adam_epsilon", self.epsilon)
        check_not_negative("weight_decay", self.weight_decay)
        for flag, decay in (("adam_beta1", self.b1), ("adam_beta2", self.b2)):
            if not 0 <= decay < 1:
                raise UsageError("--{} must be in 0 <= decay < 1. Received {}.".format(flag, decay))


def original_trust_ratio(layout: str) -> str:
    """Which parameters the layout's original rescales."""
    return "all" if layout == "brightmart" else "decayed"


def lamb(
    config: OptimizerConfig,
    schedule: Schedule,
    decayed: AbstractSet[str],
    adapted: AbstractSet[str],
) -> Optimizer:
    """LAMB as ALBERT was trained with: Adam's direction plus decay, rescaled per parameter.

    With `bias_correction` it is the paper's algorithm (You et al., 2019,
    https://arxiv.org/abs/1904.00962), without it that of the ALBERT code.
    """
    return chain(
        clip_by_global_norm(config.clip_norm),
        scale_by_adam(config.b1, config.b2, config.epsilon, config.bias_correction),
        add_decayed_weights(config.weight_decay, decayed),
        scale_by_trust_ratio(adapted),
        scale_by_schedule(schedule),
    )


def adamw(
    config: OptimizerConfig,
    schedule: Schedule,
    decayed: AbstractSet[str],
    adapted: AbstractSet[str],
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017, arxiv.org/abs/1711.05101)."""
    del adapted  # it has no trust ratio
    return chain(
        clip_by_global_norm(config.clip_norm),
        scale_by_adam(config.b1, config.b2, config.epsilon, config.bias_correction),
        add_decayed_weights(config.weight_decay, decayed),
        scale_by_schedule(schedule),
    )


OPTIMIZERS = {"lamb": lamb, "adamw": adamw}


def excluded_names(names: Iterable[str], patterns: Sequence[str]) -> Dict[str, Tuple[str, ...]]:
    """What each exclusion pattern matches.

    Raises:
      UsageError: A pattern is not a regular expression or matches no parameter: a typo here costs
        a training run its accuracy without a sign.
    """
    names = list(names)
    matches = {}
    for pattern in patterns:
        try:
            found = tuple(name for name in names if re.search(pattern, name))
        except re.error as error:
            raise UsageError(
                "exclude_from_weight_decay pattern '{}' is not a regular expression: {}.".format(
                    pattern, error
                )
            ) from error
        if not found:
            raise UsageError(
                "exclude_from_weight_decay pattern '{}' matches no parameter. Names look like "
                "'{}'.".format(pattern, names[-1])
            )
        matches[pattern] = found
    return matches


def decayed_names(names: Iterable[str], patterns: Sequence[str]) -> FrozenSet[str]:
    """The parameters that no exclusion pattern matches."""
    names = list(names)
    excluded = excluded_names(names, patterns)
    return frozenset(names).difference(*excluded.values())


def make_optimizer(config: OptimizerConfig, schedule: Schedule, names: Iterable[str]) -> Optimizer:
    """Builds the optimizer that was asked for, and no other.

    Raises:
      UsageError: An exclusion matches nothing.
    """
    names = list(names)
    decayed = decayed_names(names, config.exclude_from_weight_decay)
    adapted = frozenset(names) if config.trust_ratio == "all" else decayed
    return OPTIMIZERS[config.name](config, schedule, decayed, adapted)


def trust_ratios(
    config: OptimizerConfig,
    parameters: Mapping[str, tf.Tensor],
    slots: Mapping[str, tf.Tensor],
    step: tf.Tensor,
) -> Dict[str, tf.Tensor]:
    """The trust ratios of LAMB's last update, read from what it left.

    Args:
      config: Of the optimizer.
      parameters: Weights by name; those before the update give its very ratios, those after it
        differ by the update.
      slots: State by name, after the update.
      step: Updates done with this one, [].

    Returns:
      One [] for each table and kernel, by name: biases and norms start at 0 and 1, which says
      nothing about a run.
    """
    count = tf.cast(step, tf.float32)
    scales = [moment_scale(b, count, config.bias_correction) for b in (config.b1, config.b2)]
    decayed = decayed_names(parameters, config.exclude_from_weight_decay)
    ratios = {}
    for name, value in parameters.items():
        if len(value.shape) < 2 or not (name in decayed or config.trust_ratio == "all"):
            continue
        m, v = slots[name + FIRST_MOMENT], slots[name + SECOND_MOMENT]
        update = adam_direction(m, v, config.epsilon, *scales)
        if name in decayed:
            update += config.weight_decay * value
        ratios[name] = trust_ratio(value, update)
    return ratios


def describe(config: OptimizerConfig, names: Iterable[str]) -> str:
    """Which optimizer runs and what its exclusions matched, for the log."""
    names = list(names)
    excluded = excluded_names(names, config.exclude_from_weight_decay)
    groups = ", ".join("'{}' {}".format(p, len(found)) for p, found in excluded.items())
    trust = ""
    if config.name == "lamb":
        trust = ", trust ratio on {} parameters".format(config.trust_ratio)
    return (
        "Optimizer {}: b1 {}, b2 {}, epsilon {}, bias correction {}, clip norm {}, weight decay {} "
        "on {} of {} parameters (excluded: {}){}".format(
            config.name,
            config.b1,
            config.b2,
            config.epsilon,
            "on" if config.bias_correction else "off",
            config.clip_norm,
            config.weight_decay,
            len(decayed_names(names, config.exclude_from_weight_decay)),
            len(names),
            groups or "none",
            trust,
        )
    )
