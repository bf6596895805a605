"""The gradient transformations that optimizers are chains of."""

from __future__ import annotations

import collections
from typing import AbstractSet, DefaultDict, Dict, List, Mapping, Tuple, Union

from albert.compat import tf
from albert.optim.chain import GradientTransformation, Tensors, stateless
from albert.optim.schedules import Schedule

FloatLike = Union[float, "tf.Tensor"]

FIRST_MOMENT = "/adam_m"
SECOND_MOMENT = "/adam_v"
MOMENTUM = "/muon_m"
AVERAGE = "/ExponentialMovingAverage"

# Of x, x^3 and x^5: five rounds take singular values between 1e-3 and 1 to between 0.7 and 1.2.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_ROUNDS = 5
_ADAM_RMS = 0.2  # of the elements of an update by Adam

_AVERAGE_DELAY = 9.0  # updates; as in TensorFlow's own average of weights


def global_norm(tensors: Tensors) -> tf.Tensor:
    """Euclidean norm of all tensors taken as one vector: []."""
    return _norm(*tensors.values())


def _norm(*tensors: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(tensor) for tensor in tensors]))


def clip_by_global_norm(max_norm: float) -> GradientTransformation:
    """Scales all gradients down together when their global norm exceeds `max_norm`."""

    def scales(updates: Tensors, parameters: Tensors, norm: tf.Tensor) -> Tensors:
        return {"all": max_norm / tf.maximum(norm, max_norm)}

    def rule(updates: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors) -> Tensors:
        return {name: value * scales["all"] for name, value in updates.items()}

    return stateless(rule, scales)


def moment_scale(decay: float, count: tf.Tensor, bias_correction: bool) -> FloatLike:
    """What a moment of `count` gradients is multiplied by."""
    return 1.0 / (1.0 - tf.pow(decay, count)) if bias_correction else 1.0


def adam_direction(
    m: tf.Tensor, v: tf.Tensor, epsilon: float, m_scale: FloatLike, v_scale: FloatLike
) -> tf.Tensor:
    """The direction of two moments, each multiplied by its scale."""
    return m * m_scale / (tf.sqrt(v * v_scale) + epsilon)


def scale_by_adam(
    b1: float, b2: float, epsilon: float, bias_correction: bool = False
) -> GradientTransformation:
    """Adam's direction m / (sqrt(v) + epsilon) (Kingma and Ba, 2014, arxiv.org/abs/1412.6980).

    Args:
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      epsilon: Added outside the root.
      bias_correction: Whether to divide the moments by 1 - b ** t. BERT's and ALBERT's own
        optimizers do not.
    """

    def slots(parameters: Mapping[str, object]) -> Dict[str, str]:
        return {name + slot: name for name in parameters for slot in (FIRST_MOMENT, SECOND_MOMENT)}

    def update(
        updates: Tensors, state: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors
    ) -> Tuple[Tensors, Tensors]:
        count = tf.cast(step, tf.float32) + 1.0
        corrections = [moment_scale(b, count, bias_correction) for b in (b1, b2)]
        state = dict(state)
        directions = {}
        for name, gradient in updates.items():
            m = b1 * state[name + FIRST_MOMENT] + (1.0 - b1) * gradient
            v = b2 * state[name + SECOND_MOMENT] + (1.0 - b2) * tf.square(gradient)
            state[name + FIRST_MOMENT], state[name + SECOND_MOMENT] = m, v
            directions[name] = adam_direction(m, v, epsilon, *corrections)
        return directions, state

    return GradientTransformation(slots, update)


def nesterov_momentum(decay: float) -> GradientTransformation:
    """The mean of gradients as it will be after the next one (Nesterov).

    Args:
      decay: Of the mean.
    """

    def slots(parameters: Mapping[str, object]) -> Dict[str, str]:
        return {name + MOMENTUM: name for name in parameters}

    def update(
        updates: Tensors, state: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors
    ) -> Tuple[Tensors, Tensors]:
        state = dict(state)
        ahead = {}
        for name, gradient in updates.items():
            m = decay * state[name + MOMENTUM] + (1.0 - decay) * gradient
            state[name + MOMENTUM] = m
            ahead[name] = decay * m + (1.0 - decay) * gradient
        return ahead, state

    return GradientTransformation(slots, update)


def orthogonalize(kernels: AbstractSet[str]) -> GradientTransformation:
    """Replaces the update of each named matrix by the nearest one with equal singular values.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon). The result is scaled to
    the root mean square that updates by Adam have, so that their rates suit it (Liu et al., 2025,
    https://arxiv.org/abs/2502.16982).
    """

    def scales(updates: Tensors, parameters: Tensors, norm: tf.Tensor) -> Tensors:
        # Matrices of one shape are one product; a tall one is as good transposed.
        alike: DefaultDict[Tuple[int, int], List[str]] = collections.defaultdict(list)
        for name in sorted(kernels):
            rows, columns = updates[name].shape.as_list()
            alike[min(rows, columns), max(rows, columns)].append(name)
        found = {}
        for (_, larger), names in alike.items():
            wide = [_wide(updates[name]) for name in names]
            scale = _ADAM_RMS * larger**0.5
            for name, value in zip(names, tf.unstack(scale * _orthogonal(tf.stack(wide)))):
                same = updates[name].shape == value.shape
                found[name] = value if same else tf.transpose(value)
        return found

    def rule(updates: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors) -> Tensors:
        return {**updates, **scales}

    return stateless(rule, scales)


def _wide(matrix: tf.Tensor) -> tf.Tensor:
    rows, columns = matrix.shape.as_list()
    return matrix if rows <= columns else tf.transpose(matrix)


def _orthogonal(x: tf.Tensor) -> tf.Tensor:
    """Brings the singular values of each matrix near 1: [n, rows, columns], rows <= columns."""
    norm = tf.sqrt(tf.reduce_sum(tf.square(x), [1, 2], keepdims=True))
    x = x / tf.where(norm > 0.0, norm, tf.ones_like(norm))
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_NEWTON_SCHULZ_ROUNDS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return x


def add_decayed_weights(rate: float, decayed: AbstractSet[str]) -> GradientTransformation:
    """Adds `rate` times the weight to the update of the named parameters.

    Decoupled decay (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101); the learning
    rate multiplies it later, as in BERT.
    """

    def rule(updates: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors) -> Tensors:
        return {
            name: value + rate * parameters[name] if name in decayed else value
            for name, value in updates.items()
        }

    return stateless(rule)


def scale_by_trust_ratio(adapted: AbstractSet[str]) -> GradientTransformation:
    """Scales each named parameter's update to the norm of the parameter.

    LAMB (You et al., 2019, https://arxiv.org/abs/1904.00962). A parameter or update of norm 0 is
    left alone, as in both originals.
    """

    def scales(updates: Tensors, parameters: Tensors, norm: tf.Tensor) -> Tensors:
        return {
            name: trust_ratio(parameters[name], value)
            for name, value in updates.items()
            if name in adapted
        }

    def rule(updates: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors) -> Tensors:
        return {
            name: value * scales[name] if name in scales else value
            for name, value in updates.items()
        }

    return stateless(rule, scales)


def trust_ratio(parameter: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
    """Norm of a parameter over that of its update, 1 where one of them is 0: []."""
    parameter_norm, update_norm = _norm(parameter), _norm(update)
    usable = tf.logical_and(parameter_norm > 0.0, update_norm > 0.0)
    # The inner where keeps the branch that is not taken free of a division by 0.
    return tf.where(usable, parameter_norm / tf.where(usable, update_norm, 1.0), 1.0)


def scale_by_schedule(schedule: Schedule) -> GradientTransformation:
    """Multiplies by minus the learning rate: the result is added to the parameters."""

    def rule(updates: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors) -> Tensors:
        rate = schedule(step)
        return {name: -rate * value for name, value in updates.items()}

    return stateless(rule)


def average_weights(decay: float) -> GradientTransformation:
    """Keeps a mean of the weights that updates lead to; changes no update.

    Polyak and Juditsky, 1992, as exponential mean. The first updates count less, so that the mean
    is one of what was learned and not of what weights began as.

    Args:
      decay: Of the mean.
    """

    def slots(parameters: Mapping[str, object]) -> Dict[str, str]:
        return {name + AVERAGE: name for name in parameters}

    def update(
        updates: Tensors, state: Tensors, parameters: Tensors, step: tf.Tensor, scales: Tensors
    ) -> Tuple[Tensors, Tensors]:
        count = tf.cast(step, tf.float32)
        kept = tf.minimum(decay, count / (count + _AVERAGE_DELAY))  # 0 of what was there before
        state = dict(state)
        for name, change in updates.items():
            new = parameters[name] + change
            state[name + AVERAGE] = kept * state[name + AVERAGE] + (1.0 - kept) * new
        return updates, state

    return GradientTransformation(slots, update)
