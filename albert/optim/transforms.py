"""Gradient transformations: optimizers as chains of pure functions over named tensors.

After optax. A state is a flat dictionary whose keys are checkpoint names (`<variable>/adam_m`), so
saving an optimizer needs no further table. The step is an argument instead of a hidden counter:
there is one counter, and it counts updates.

A transformation is elementwise but for the norms it scales by. Elementwise arithmetic of a chain is
one pass over the weights; norms are TensorFlow's own sums, which a fused pass does at a quarter of
their speed on a CPU.
"""

from typing import AbstractSet, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from albert.compat import fused, tf
from albert.optim.schedules import Schedule

Tensors = Dict[str, tf.Tensor]
Slots = Callable[[Mapping[str, object]], Dict[str, str]]

FIRST_MOMENT = "/adam_m"
SECOND_MOMENT = "/adam_v"


class GradientTransformation(NamedTuple):
    """A link of a chain.

    Attributes:
      slots: From parameter names to the names of the state tensors, each shaped like its
        parameter and zero at first: {slot name: parameter name}.
      update: (updates, state, parameters, step, scales) -> (updates, state), elementwise. `step` is
        the number of updates done before this one.
      scales: (updates, parameters, gradient norm) -> what `update` takes, [] tensors by any names;
        None where it takes none.
    """

    slots: Slots
    update: Callable[[Tensors, Tensors, Tensors, tf.Tensor, Tensors], Tuple[Tensors, Tensors]]
    scales: Optional[Callable[[Tensors, Tensors, tf.Tensor], Tensors]] = None


class Optimizer(NamedTuple):
    """A rule that turns gradients into updates.

    Attributes:
      slots: As of a `GradientTransformation`.
      update: (gradients, state, parameters, step, norm of all gradients) -> (updates, state).
    """

    slots: Slots
    update: Callable[[Tensors, Tensors, Tensors, tf.Tensor, tf.Tensor], Tuple[Tensors, Tensors]]


def _stateless(rule: Callable[..., Tensors], scales=None) -> GradientTransformation:
    def update(updates, state, parameters, step, scales):
        return rule(updates, parameters, step, scales), state

    return GradientTransformation(lambda parameters: {}, update, scales)


def chain(*transformations: GradientTransformation) -> Optimizer:
    """Applies transformations in turn; their slots are joined."""
    groups: List[List[GradientTransformation]] = []
    for transformation in transformations:
        if transformation.scales or not groups:  # norms of updates: they must be there
            groups.append([])
        groups[-1].append(transformation)
    passes = [_fused_pass(group) for group in groups]

    def update(updates, state, parameters, step, norm):
        state = dict(state)
        for run in passes:
            scales = run.scales(updates, parameters, norm) if run.scales else {}
            # What a pass does not change it would copy.
            own = {name: state[name] for name in run.slots(parameters)}
            updates, own = run.update(updates, own, parameters, step, scales)
            state.update(own)
        return updates, state

    return Optimizer(_joined_slots(transformations), update)


def _fused_pass(links: Sequence[GradientTransformation]) -> GradientTransformation:
    """Several links as one, of which only the first may scale."""

    def update(updates, state, parameters, step, scales):
        for link in links:
            updates, state = link.update(updates, state, parameters, step, scales)
        return updates, state

    return GradientTransformation(_joined_slots(links), fused(update), links[0].scales)


def _joined_slots(links: Sequence[GradientTransformation]) -> Slots:
    return lambda parameters: {
        slot: name for link in links for slot, name in link.slots(parameters).items()
    }


def global_norm(tensors: Tensors) -> tf.Tensor:
    """Euclidean norm of all tensors taken as one vector: []."""
    return _norm(*tensors.values())


def _norm(*tensors: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(tensor) for tensor in tensors]))


def clip_by_global_norm(max_norm: float) -> GradientTransformation:
    """Scales all gradients down together when their global norm exceeds `max_norm`."""

    def scales(updates, parameters, norm):
        return {"all": max_norm / tf.maximum(norm, max_norm)}

    def rule(updates, parameters, step, scales):
        return {name: value * scales["all"] for name, value in updates.items()}

    return _stateless(rule, scales)


def moment_scale(decay: float, count: tf.Tensor, bias_correction: bool):
    """What a moment of `count` gradients is multiplied by."""
    return 1.0 / (1.0 - tf.pow(decay, count)) if bias_correction else 1.0


def adam_direction(m: tf.Tensor, v: tf.Tensor, epsilon: float, m_scale, v_scale) -> tf.Tensor:
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

    def slots(parameters):
        return {name + slot: name for name in parameters for slot in (FIRST_MOMENT, SECOND_MOMENT)}

    def update(updates, state, parameters, step, scales):
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


def add_decayed_weights(rate: float, decayed: AbstractSet[str]) -> GradientTransformation:
    """Adds `rate` times the weight to the update of the named parameters.

    Decoupled decay (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1711.05101); the learning
    rate multiplies it later, as in BERT.
    """

    def rule(updates, parameters, step, scales):
        return {
            name: value + rate * parameters[name] if name in decayed else value
            for name, value in updates.items()
        }

    return _stateless(rule)


def scale_by_trust_ratio(adapted: AbstractSet[str]) -> GradientTransformation:
    """Scales each named parameter's update to the norm of the parameter.

    LAMB (You et al., 2019, https://arxiv.org/abs/1904.00962). A parameter or update of norm 0 is
    left alone, as in both originals.
    """

    def scales(updates, parameters, norm):
        return {
            name: trust_ratio(parameters[name], value)
            for name, value in updates.items()
            if name in adapted
        }

    def rule(updates, parameters, step, scales):
        return {
            name: value * scales[name] if name in scales else value
            for name, value in updates.items()
        }

    return _stateless(rule, scales)


def trust_ratio(parameter: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
    """Norm of a parameter over that of its update, 1 where one of them is 0: []."""
    parameter_norm, update_norm = _norm(parameter), _norm(update)
    usable = tf.logical_and(parameter_norm > 0.0, update_norm > 0.0)
    # The inner where keeps the branch that is not taken free of a division by 0.
    return tf.where(usable, parameter_norm / tf.where(usable, update_norm, 1.0), 1.0)


def scale_by_schedule(schedule: Schedule) -> GradientTransformation:
    """Multiplies by minus the learning rate: the result is added to the parameters."""

    def rule(updates, parameters, step, scales):
        rate = schedule(step)
        return {name: -rate * value for name, value in updates.items()}

    return _stateless(rule)
