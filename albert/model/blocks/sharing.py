"""Weights that several blocks share: their gradient is one running sum, not one for each block.

A tape keeps the gradient of every use of a weight until it adds them all up: for ALBERT that is a
copy of the whole block for each layer. Here each use of a weight passes it on to the next, and in
the backward pass the sum so far comes back the same way, so that one sum and the gradients of one
block are alive.
"""

from __future__ import annotations

import collections
from typing import Callable, List, Sequence, Tuple

from albert.compat import tf
from albert.model.blocks.joined import JoinedBlock, weights_of


class SharedWeights:
    """Hands blocks their weights, in order of application."""

    def __init__(self, blocks: Sequence[JoinedBlock], dtype: tf.DType) -> None:
        """Casts every weight once.

        Args:
          blocks: Weights, float32; a shared one is the same tensor in each of its blocks.
          dtype: In which type blocks compute. Gradients add up in the type of the weights.
        """
        weights = [weight for block in blocks for weight in weights_of(block)]
        self._uses = collections.Counter(id(weight) for weight in weights)
        self._passed_on = {id(weight): weight for weight in weights}
        self._cast = {key: tf.cast(weight, dtype) for key, weight in self._passed_on.items()}

    def take(self, hidden: tf.Tensor, block: JoinedBlock) -> Tuple[tf.Tensor, List[tf.Tensor]]:
        """The weights of the next block.

        Args:
          hidden: What the block is about to be applied to.
          block: One of the blocks, each of which is taken once.

        Returns:
          `hidden` and the flat weights for the block to use. The gradient of `hidden` waits until
          those of the weights are added up, so that no block below begins its backward pass before.
        """
        keys = [id(weight) for weight in weights_of(block)]
        self._uses.subtract(keys)
        needed_later = [key for key in keys if self._uses[key]]
        count = len(keys)

        @tf.custom_gradient
        def fork(hidden: tf.Tensor, *weights: tf.Tensor) -> Tuple[List[tf.Tensor], Callable]:
            def gradient(upstream: tf.Tensor, *gradients: tf.Tensor) -> List[tf.Tensor]:
                later = dict(zip(needed_later, gradients[count:]))
                sums = []
                for key, weight, own in zip(keys, weights, gradients):
                    own = tf.cast(own, weight.dtype)
                    sums.append(later[key] + own if key in later else own)
                with tf.control_dependencies(sums):
                    return [tf.identity(upstream)] + sums

            passed_on = dict(zip(keys, weights))
            used = [self._cast[key] for key in keys]
            return [hidden] + used + [passed_on[key] for key in needed_later], gradient

        outputs = fork(hidden, *[self._passed_on[key] for key in keys])
        self._passed_on.update(zip(needed_later, outputs[1 + count :]))
        return outputs[0], outputs[1 : 1 + count]
