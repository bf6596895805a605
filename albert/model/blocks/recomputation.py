"""Activations computed again in the backward pass instead of kept in memory.

Chen et al., 2016, https://arxiv.org/abs/1604.06174.
"""

from __future__ import annotations

from typing import Callable, List, Tuple

from albert.compat import tf
from albert.model.blocks.attention import Surroundings


def recomputed(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Makes a function keep its arguments only.

    Unlike `tf.recompute_grad` it copies none of the weights to compute with them again.

    Args:
      function: Of (hidden, surroundings, *weights).

    Returns:
      The same function, differentiable by `hidden` and the weights.
    """

    def run(hidden: tf.Tensor, around: Surroundings, *weights: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def differentiable(*sources: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
            def gradient(upstream: tf.Tensor) -> List[tf.Tensor]:
                with tf.control_dependencies([upstream]), tf.GradientTape() as tape:
                    again = [sources[0] + _zero_after(upstream, hidden.dtype), *sources[1:]]
                    tape.watch(again)
                    outputs = function(again[0], around, *again[1:])
                return tape.gradient(outputs, again, upstream)

            return function(sources[0], around, *sources[1:]), gradient

        return differentiable(hidden, *weights)

    return run


def _zero_after(upstream: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """A zero that no compiler knows to be one, computed from the gradient that must come first.

    XLA heeds no control dependencies, and would take the values of the forward pass.
    """
    known = tf.cast(tf.reshape(upstream, [-1])[0], tf.bool)
    return tf.cast(tf.where(tf.equal(known, known), 0.0, float("nan")), dtype)
