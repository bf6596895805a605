"""Activations computed again in the backward pass instead of kept in memory.

Chen et al., 2016, https://arxiv.org/abs/1604.06174.
"""

from typing import Callable, List, Optional, Tuple

from albert.compat import tf


def recomputed(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Makes a function keep its arguments only.

    Unlike `tf.recompute_grad` it copies none of the weights to compute with them again.

    Args:
      function: Of (hidden, bias, *weights); a constant bias.

    Returns:
      The same function, differentiable by `hidden` and the weights.
    """

    @tf.custom_gradient
    def run(hidden: tf.Tensor, bias: tf.Tensor, *weights: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> List[Optional[tf.Tensor]]:
            with tf.control_dependencies([upstream]), tf.GradientTape() as tape:
                again = hidden + _zero_after(upstream, hidden.dtype)
                sources = [again] + list(weights)
                tape.watch(sources)
                outputs = function(again, bias, *weights)
            gradients = tape.gradient(outputs, sources, upstream)
            return [gradients[0], None] + gradients[1:]

        return function(hidden, bias, *weights), gradient

    return run


def _zero_after(upstream: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """A zero that no compiler knows to be one, computed from the gradient that must come first.

    XLA heeds no control dependencies, and would take the values of the forward pass.
    """
    known = tf.cast(tf.reshape(upstream, [-1])[0], tf.bool)
    return tf.cast(tf.where(tf.equal(known, known), 0.0, float("nan")), dtype)
