"""Rotary position embedding: query and key are turned by their position.

Su et al., 2021, https://arxiv.org/abs/2104.09864: the logit of two tokens then depends on how far
they are apart, and there is no table of positions to learn.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from albert.compat import tf
from albert.model.layers import gather_positions, sizes

_BASE = 10000.0


def rotation(positions: tf.Tensor, head_size: int) -> tf.Tensor:
    """Cosines and sines of what each position turns by: [B or 1, S] -> float32 [B or 1, S, H]."""
    speeds = _BASE ** (-2.0 * np.arange(head_size // 2) / head_size)
    angles = tf.cast(positions, tf.float32)[:, :, tf.newaxis] * speeds.astype(np.float32)
    return tf.concat([tf.cos(angles), tf.sin(angles)], axis=-1)


def rotated(
    heads: tf.Tensor, rotation: tf.Tensor, positions: Optional[tf.Tensor] = None
) -> tf.Tensor:
    """Turns each pair of numbers (h, h + H / 2) of query or key.

    Args:
      heads: [B, N, S, H], or [B, N, P, H] at `positions`.
      rotation: As `rotation` returns.
      positions: int32 [B, P]; None for everywhere.
    """
    if positions is not None:
        batch, count = sizes(positions)
        shape = [batch] + sizes(rotation)[1:]
        rotation = gather_positions(tf.broadcast_to(rotation, shape), positions)
    cosines, sines = tf.split(tf.cast(rotation, heads.dtype)[:, tf.newaxis], 2, axis=-1)
    first, second = tf.split(heads, 2, axis=-1)
    turned = [first * cosines - second * sines, second * cosines + first * sines]
    return tf.concat(turned, axis=-1)
