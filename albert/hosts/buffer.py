"""Many tensors as one: what sends them pays for each it sends."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np

from albert.compat import tf


def joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The values of tensors of one type, one after the other, [sum of sizes]."""
    return tf.concat([tf.reshape(value, [-1]) for value in tensors], 0)


def parted(buffer: tf.Tensor, like: Sequence[tf.Tensor]) -> List[tf.Tensor]:
    """The tensors that were `joined`, in the shapes of `like`."""
    sizes = [int(np.prod(value.shape.as_list())) for value in like]
    return [tf.reshape(part, value.shape) for part, value in zip(tf.split(buffer, sizes), like)]
