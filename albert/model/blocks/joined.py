"""Blocks as they are computed: query, key and value as one linear map."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from albert.compat import tf
from albert.model.parameters import Block, Dense, Norm


class JoinedBlock(NamedTuple):
    """A block as it is computed: query, key and value are one linear map, the query scaled."""

    projections: Dense  # [D, 3 * D]
    attention_output: Dense
    attention_norm: Norm
    intermediate: Dense
    output: Dense
    output_norm: Norm
    gate: Optional[Dense]
    convolution: Optional[Any]

    def with_weights(self, weights: Sequence[tf.Tensor]) -> JoinedBlock:
        """The same block of other `weights`."""
        left = iter(weights)
        flat = [None if weight is None else next(left) for weight in tf.nest.flatten(self)]
        return tf.nest.pack_sequence_as(self, flat)


def weights_of(block: Any) -> List[tf.Tensor]:
    """The weights that a block has, in the order of its fields."""
    return [weight for weight in tf.nest.flatten(block) if weight is not None]


def join_projections(blocks: Sequence[Block], num_heads: int) -> List[JoinedBlock]:
    """Joins query, key and value of each block, once where blocks share them.

    The query is divided by the root of the head size here, once a step, rather than the logits of
    every layer.
    """
    made: Dict[int, Dense] = {}
    for block in blocks:
        if id(block.query.kernel) not in made:
            scale = 1.0 / math.sqrt(block.query.kernel.shape[-1] // num_heads)
            parts = (block.query, block.key, block.value)
            kernels, biases = [part.kernel for part in parts], [part.bias for part in parts]
            kernel = tf.concat([kernels[0] * scale] + kernels[1:], axis=1)
            bias = None
            if block.query.bias is not None:
                bias = tf.concat([biases[0] * scale] + biases[1:], axis=0)
            made[id(block.query.kernel)] = Dense(kernel, bias)
    return [JoinedBlock(made[id(block.query.kernel)], *block[3:]) for block in blocks]
