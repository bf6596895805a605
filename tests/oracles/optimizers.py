"""LAMB, AdamW and the learning-rate schedule of the originals in NumPy float64; and Muon.

Both optimizers clip the gradients by their global norm first, correct no bias unless asked to,
add epsilon outside the root and decouple the weight decay from the moments.
"""

import re
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

Arrays = Dict[str, np.ndarray]

EXCLUDE = ("LayerNorm", "layer_norm", "bias")


class State(NamedTuple):
    """What an optimizer remembers between two updates."""

    count: int  # Updates made so far.
    mu: Arrays  # Running mean of the gradients.
    nu: Arrays  # Running mean of their squares.


def init(parameters: Arrays) -> State:
    """State before the first update: all moments zero."""
    zeros = {name: np.zeros_like(value, np.float64) for name, value in parameters.items()}
    return State(0, zeros, dict(zeros))


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether any pattern occurs somewhere in the name, as `re.search` sees it."""
    return any(re.search(pattern, name) for pattern in patterns)


def global_norm(gradients: Arrays) -> float:
    """Euclidean norm of all gradients taken as one vector."""
    return float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients.values())))


def clip_by_global_norm(gradients: Arrays, max_norm: float, norm: Optional[float] = None) -> Arrays:
    """Scales all gradients by one factor so that their global norm is at most `max_norm`.

    Args:
      gradients: Arrays by parameter name.
      max_norm: Gradients of a smaller norm stay as they are.
      norm: The global norm, where it is not that of `gradients`.

    Returns:
      The scaled gradients in float64.
    """
    norm = global_norm(gradients) if norm is None else norm
    factor = max_norm / max(norm, max_norm)
    return {name: np.asarray(g, np.float64) * factor for name, g in gradients.items()}


def trust_ratio(parameter: np.ndarray, update: np.ndarray) -> float:
    """Norm of the parameter over norm of the update; 1 where either norm is 0."""
    parameter_norm, update_norm = np.linalg.norm(parameter), np.linalg.norm(update)
    return float(parameter_norm / update_norm) if parameter_norm > 0 and update_norm > 0 else 1.0


def adamw(
    gradients: Arrays,
    state: State,
    parameters: Arrays,
    learning_rate: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    exclude: Sequence[str] = EXCLUDE,
    max_norm: float = 1.0,
    norm: Optional[float] = None,
    bias_correction: bool = False,
) -> Tuple[Arrays, State]:
    """One AdamW update.

    Args:
      gradients: Arrays by parameter name, not yet clipped.
      state: The result of `init` or of the previous update.
      parameters: Arrays by name, of the shapes of the gradients.
      learning_rate: The rate of this update.
      b1: Decay of the mean of the gradients.
      b2: Decay of the mean of their squares.
      epsilon: Added to the root of the second moment.
      weight_decay: Share of the parameter that is added to the direction.
      exclude: Patterns of the names without weight decay.
      max_norm: Global norm the gradients are clipped to.
      norm: Global norm to assume; measured where not given.
      bias_correction: Divide the moments by 1 - b ** count; the originals do not.

    Returns:
      The new parameters and the new state.
    """
    state = _moments(clip_by_global_norm(gradients, max_norm, norm), state, b1, b2)
    updates = _directions(
        state, parameters, b1, b2, epsilon, weight_decay, exclude, bias_correction
    )
    new = {name: parameters[name] - learning_rate * update for name, update in updates.items()}
    return new, state


def lamb(
    gradients: Arrays,
    state: State,
    parameters: Arrays,
    learning_rate: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    exclude: Sequence[str] = EXCLUDE,
    adapt_excluded: bool = False,
    max_norm: float = 1.0,
    norm: Optional[float] = None,
    bias_correction: bool = False,
) -> Tuple[Arrays, State]:
    """One LAMB update: the direction of AdamW, decay included, times the trust ratio.

    Args:
      gradients: As for `adamw`.
      state: As for `adamw`.
      parameters: As for `adamw`.
      learning_rate: As for `adamw`.
      b1: As for `adamw`.
      b2: As for `adamw`.
      epsilon: As for `adamw`.
      weight_decay: As for `adamw`.
      exclude: Patterns of the names without weight decay.
      adapt_excluded: Whether `exclude`d parameters get a trust ratio all the same; True is
        brightmart's rule, False is Google's.
      max_norm: As for `adamw`.
      norm: As for `adamw`.
      bias_correction: As for `adamw`.

    Returns:
      The new parameters and the new state.
    """
    state = _moments(clip_by_global_norm(gradients, max_norm, norm), state, b1, b2)
    updates = _directions(
        state, parameters, b1, b2, epsilon, weight_decay, exclude, bias_correction
    )
    new = {}
    for name, update in updates.items():
        adapted = adapt_excluded or not matches(name, exclude)
        ratio = trust_ratio(parameters[name], update) if adapted else 1.0
        new[name] = parameters[name] - learning_rate * ratio * update
    return new, state


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Muon's five rounds of Newton-Schulz: singular values near 1, vectors kept."""
    x = np.asarray(matrix, np.float64)
    x = x / np.linalg.norm(x)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * (x @ x.T @ x) + 2.0315 * (x @ x.T @ x @ x.T @ x)
    return x


def muon(
    gradients: Arrays,
    state: State,
    parameters: Arrays,
    learning_rate: float,
    *,
    kernels: str,
    momentum: float = 0.95,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    exclude: Sequence[str] = EXCLUDE,
    max_norm: float = 1.0,
    bias_correction: bool = False,
) -> Tuple[Arrays, State]:
    """One update: Muon for matrices whose name `kernels` is found in, AdamW for the rest.

    Args:
      gradients: As for `adamw`.
      state: As for `adamw`; the first mean of a matrix decays by `momentum`, its second is unused.
      parameters: As for `adamw`.
      learning_rate: As for `adamw`, of both rules.
      kernels: Pattern of names.
      momentum: Decay of the mean of the gradients of those.
      b1: As for `adamw`.
      b2: As for `adamw`.
      epsilon: As for `adamw`.
      weight_decay: As for `adamw`.
      exclude: As for `adamw`.
      max_norm: As for `adamw`.
      bias_correction: As for `adamw`.

    Returns:
      The new parameters and the new state.
    """
    gradients = clip_by_global_norm(gradients, max_norm)
    after = _moments(gradients, state, b1, b2)
    directions = _directions(
        after, parameters, b1, b2, epsilon, weight_decay, exclude, bias_correction
    )
    for name in parameters:
        if matches(name, [kernels]):
            mean = momentum * state.mu[name] + (1.0 - momentum) * gradients[name]
            after.mu[name] = mean
            ahead = momentum * mean + (1.0 - momentum) * gradients[name]
            decay = 0.0 if matches(name, exclude) else weight_decay
            scale = 0.2 * np.sqrt(max(ahead.shape))
            directions[name] = scale * orthogonal(ahead) + decay * parameters[name]
    new = {name: parameters[name] - learning_rate * d for name, d in directions.items()}
    return new, after


def polynomial_schedule(
    step: int,
    init: float,
    num_train_steps: int,
    num_warmup_steps: int,
    power: float = 1.0,
    start_warmup_step: int = 0,
) -> float:
    """Learning rate of the update that is made when `step` updates are done.

    While `step - start_warmup_step < num_warmup_steps` the rate is linear in that difference.
    After it the decay counts from step 0, so the rate jumps down where warm-up ends.
    """
    warmup = step - start_warmup_step
    if warmup < num_warmup_steps:
        return init * warmup / num_warmup_steps
    return init * (1.0 - min(step, num_train_steps) / num_train_steps) ** power


def _moments(gradients: Arrays, state: State, b1: float, b2: float) -> State:
    mu = {name: b1 * state.mu[name] + (1.0 - b1) * g for name, g in gradients.items()}
    nu = {name: b2 * state.nu[name] + (1.0 - b2) * g**2 for name, g in gradients.items()}
    return State(state.count + 1, mu, nu)


def _directions(
    state: State,
    parameters: Arrays,
    b1: float,
    b2: float,
    epsilon: float,
    weight_decay: float,
    exclude: Sequence[str],
    bias_correction: bool,
) -> Arrays:
    correct_mu = 1.0 - b1**state.count if bias_correction else 1.0
    correct_nu = 1.0 - b2**state.count if bias_correction else 1.0
    directions = {}
    for name, mu in state.mu.items():
        direction = mu / correct_mu / (np.sqrt(state.nu[name] / correct_nu) + epsilon)
        decay = 0.0 if matches(name, exclude) else weight_decay
        directions[name] = direction + decay * parameters[name]
    return directions
