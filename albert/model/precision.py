"""In which type a tower computes. Weights, slots, sums and the update are always float32.

After jmp. Layer normalisation statistics, attention's softmax and the losses are float32 islands
in any precision; they are in the files that compute them.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple

from albert.compat import tf
from albert.system.errors import UsageError

Tensors = Dict[str, "tf.Tensor"]

_INITIAL_SCALE = 2.0**15
_MAX_SCALE = 2.0**24
_GROWTH_INTERVAL = 1000


class Policy(NamedTuple):
    """A compute type by name, and whether its gradients need a loss scale to stay in range."""

    compute_dtype: str
    needs_loss_scale: bool

    def cast(self, tensors: Mapping[str, tf.Tensor]) -> Tensors:
        """Casts weights for computing."""
        return {name: tf.cast(value, self.compute_dtype) for name, value in tensors.items()}


POLICIES = {
    "float32": Policy("float32", False),
    "mixed_bfloat16": Policy("bfloat16", False),
    "mixed_float16": Policy("float16", True),
}


def policy(name: str) -> Policy:
    """The policy of a name.

    Raises:
      UsageError: There is no such policy.
    """
    if name not in POLICIES:
        raise UsageError(
            "Unknown precision '{}'; must be one of: {}.".format(name, ", ".join(sorted(POLICIES)))
        )
    return POLICIES[name]


class LossScale(NamedTuple):
    """Dynamic loss scale (Micikevicius et al., 2017, https://arxiv.org/abs/1710.03740).

    Halved when a gradient is not finite, doubled after a thousand updates without one.

    Attributes:
      scale: What the loss is multiplied by, float32 [].
      good_steps: Updates since it last changed, float32 [].
    """

    scale: tf.Tensor
    good_steps: tf.Tensor

    def after(self, applied: bool) -> LossScale:
        """The scale after an update (`applied`) or a skipped step."""
        if not applied:
            return LossScale(tf.maximum(self.scale / 2.0, 1.0), tf.zeros_like(self.good_steps))
        due = self.good_steps + 1.0 >= _GROWTH_INTERVAL
        grown = tf.minimum(self.scale * 2.0, _MAX_SCALE)
        return LossScale(
            tf.where(due, grown, self.scale), tf.where(due, 0.0, self.good_steps + 1.0)
        )


def initial_loss_scale(name: str) -> Dict[str, float]:
    """Start values of the loss-scale variables of a precision, by checkpoint name."""
    if not policy(name).needs_loss_scale:
        return {}
    return {"loss_scale": _INITIAL_SCALE, "loss_scale_good_steps": 0.0}
