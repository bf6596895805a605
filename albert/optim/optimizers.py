"""The optimizers of the field, each one expression, and the choice among them."""

from __future__ import annotations

import dataclasses
import re
from typing import AbstractSet, Dict, FrozenSet, Iterable, Mapping, NamedTuple, Sequence, Tuple

from albert.compat import tf
from albert.optim.chain import GradientTransformation, Optimizer, chain, divided
from albert.optim.schedules import Schedule
from albert.optim.transforms import (
    FIRST_MOMENT,
    SECOND_MOMENT,
    adam_direction,
    add_decayed_weights,
    average_weights,
    clip_by_global_norm,
    moment_scale,
    nesterov_momentum,
    orthogonalize,
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
      name: "lamb", "adamw" or "muon".
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
      muon_kernels: Muon: a regular expression; kernels whose name it is found in are trained by it,
        everything else by AdamW.
      muon_momentum: Muon: decay of the mean of gradients.
      ema: Decay of the mean of weights that evaluation and export use, 0.999 for instance; 0 for
        the weights themselves.

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
    muon_kernels: str = "bert/encoder/(transformer|layer)"
    muon_momentum: float = 0.95
    ema: float = 0.0

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
        for flag, decay in (
            ("adam_beta1", self.b1),
            ("adam_beta2", self.b2),
            ("muon_momentum", self.muon_momentum),
            ("ema", self.ema),
        ):
            if not 0 <= decay < 1:
                raise UsageError("--{} must be in 0 <= decay < 1. Received {}.".format(flag, decay))


def original_trust_ratio(layout: str) -> str:
    """Which parameters the layout's original rescales."""
    return "all" if layout == "brightmart" else "decayed"


class Groups(NamedTuple):
    """Names of parameters that a rule treats in its own way.

    Attributes:
      decayed: Have weight decay.
      adapted: LAMB: have a trust ratio.
      kernels: Muon: are trained by it.
    """

    decayed: AbstractSet[str]
    adapted: AbstractSet[str]
    kernels: AbstractSet[str]


def lamb(config: OptimizerConfig, schedule: Schedule, groups: Groups) -> Optimizer:
    """LAMB as ALBERT was trained with: Adam's direction plus decay, rescaled per parameter.

    With `bias_correction` it is the paper's algorithm (You et al., 2019,
    https://arxiv.org/abs/1904.00962), without it that of the ALBERT code.
    """
    return chain(
        clip_by_global_norm(config.clip_norm),
        scale_by_adam(config.b1, config.b2, config.epsilon, config.bias_correction),
        add_decayed_weights(config.weight_decay, groups.decayed),
        scale_by_trust_ratio(groups.adapted),
        scale_by_schedule(schedule),
        *_mean_of_weights(config),
    )


def adamw(config: OptimizerConfig, schedule: Schedule, groups: Groups) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017, arxiv.org/abs/1711.05101)."""
    return chain(
        clip_by_global_norm(config.clip_norm),
        scale_by_adam(config.b1, config.b2, config.epsilon, config.bias_correction),
        add_decayed_weights(config.weight_decay, groups.decayed),
        scale_by_schedule(schedule),
        *_mean_of_weights(config),
    )


def muon(config: OptimizerConfig, schedule: Schedule, groups: Groups) -> Optimizer:
    """Muon for the kernels of the encoder, AdamW for the rest, one rate for both.

    Jordan et al., 2024, https://kellerjordan.github.io/posts/muon, with the scale and the decay of
    Liu et al., 2025, https://arxiv.org/abs/2502.16982. An ALBERT that shares its layers has six
    such kernels, so that their products cost little beside a step.
    """
    adam = scale_by_adam(config.b1, config.b2, config.epsilon, config.bias_correction)
    return chain(
        clip_by_global_norm(config.clip_norm),
        divided(groups.kernels, nesterov_momentum(config.muon_momentum), adam),
        orthogonalize(groups.kernels),
        add_decayed_weights(config.weight_decay, groups.decayed),
        scale_by_schedule(schedule),
        *_mean_of_weights(config),
    )


def _mean_of_weights(config: OptimizerConfig) -> Tuple[GradientTransformation, ...]:
    return (average_weights(config.ema),) if config.ema else ()


OPTIMIZERS = {"lamb": lamb, "adamw": adamw, "muon": muon}


def _found(names: Iterable[str], pattern: str, flag: str) -> Tuple[str, ...]:
    """The names in which a pattern is found.

    Raises:
      UsageError: It is not a regular expression or is found nowhere: a typo here costs a training
        run its accuracy without a sign.
    """
    names = list(names)
    try:
        found = tuple(name for name in names if re.search(pattern, name))
    except re.error as error:
        raise UsageError(
            "{} pattern '{}' is not a regular expression: {}.".format(flag, pattern, error)
        ) from error
    if not found:
        raise UsageError(
            "{} pattern '{}' matches no parameter. Names look like '{}'.".format(
                flag, pattern, names[-1]
            )
        )
    return found


def excluded_names(names: Iterable[str], patterns: Sequence[str]) -> Dict[str, Tuple[str, ...]]:
    """What each exclusion pattern matches.

    Raises:
      UsageError: A pattern is not a regular expression or matches no parameter.
    """
    names = list(names)
    return {p: _found(names, p, "exclude_from_weight_decay") for p in patterns}


def muon_names(config: OptimizerConfig, names: Iterable[str]) -> FrozenSet[str]:
    """The kernels that Muon trains.

    Raises:
      UsageError: The pattern is not a regular expression or matches no kernel.
    """
    kernels = [name for name in names if name.endswith("/kernel")]
    return frozenset(_found(kernels, config.muon_kernels, "muon_kernels"))


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
    kernels = muon_names(config, names) if config.name == "muon" else frozenset()
    return OPTIMIZERS[config.name](config, schedule, Groups(decayed, adapted, kernels))


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
    own = ""
    if config.name == "lamb":
        own = ", trust ratio on {} parameters".format(config.trust_ratio)
    elif config.name == "muon":
        own = ", momentum {} on {} kernels ('{}'), AdamW on the rest".format(
            config.muon_momentum, len(muon_names(config, names)), config.muon_kernels
        )
    if config.ema:
        own += ", mean of weights {}".format(config.ema)
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
            own,
        )
    )
