"""Leaf computations: linear map, layer normalisation, activations, dropout."""

from __future__ import annotations

import math
from typing import Callable, List, Optional, Tuple, Union

from albert.compat import custom_gradient, fused, tf
from albert.model.parameters import Dense, Norm

LAYER_NORM_EPSILON = 1e-12  # of the originals
# What the originals add to the logit of a masked key: enough to vanish, finite in every dtype.
MASKED_LOGIT = -10000.0


def sizes(tensor: tf.Tensor) -> List[Union[int, tf.Tensor]]:
    """The shape, an int for each axis known while tracing; training knows all, a server few."""
    known = tensor.shape.as_list()
    if None not in known:
        return known
    running = tf.shape(tensor)
    return [running[axis] if size is None else size for axis, size in enumerate(known)]


def gather_positions(sequence: tf.Tensor, positions: Optional[tf.Tensor]) -> tf.Tensor:
    """Rows of a sequence at some positions: [B, S, X] and [B, P] -> [B, P, X]; None takes all."""
    if positions is None:
        return sequence
    batch, length, width = sizes(sequence)
    offsets = tf.range(batch)[:, tf.newaxis] * length
    flat = tf.reshape(sequence, [batch * length, width])
    gathered = tf.gather(flat, tf.reshape(positions + offsets, [-1]))
    return tf.reshape(gathered, sizes(positions) + [width])


def dense(inputs: tf.Tensor, parameters: Dense, transpose: bool = False) -> tf.Tensor:
    """Linear map of the last axis.

    Args:
      inputs: [..., inputs].
      parameters: Kernel [inputs, outputs] and bias [outputs] or None.
      transpose: Whether the kernel is [outputs, inputs].

    Returns:
      [..., outputs].
    """
    # One large matrix product: batched small ones are slower on every device.
    flat = tf.reshape(inputs, [-1, inputs.shape[-1]])
    outputs = tf.matmul(flat, parameters.kernel, transpose_b=transpose)
    if parameters.bias is not None:
        outputs = tf.nn.bias_add(outputs, parameters.bias)
    return tf.reshape(outputs, sizes(inputs)[:-1] + [outputs.shape[-1]])


def layer_norm(inputs: tf.Tensor, parameters: Norm) -> tf.Tensor:
    """Normalises the last axis to mean 0 and variance 1, then scales and shifts.

    Statistics are float32 whatever the input (Ba et al., 2016, https://arxiv.org/abs/1607.06450).
    Value and gradient are each two fused passes around the sums over an axis, which TensorFlow's
    own kernels do better than fused ones; only the input and two numbers a row are kept.
    """
    flat = tf.reshape(inputs, [-1, inputs.shape[-1]])
    return tf.reshape(_normalised(flat, parameters.gamma, parameters.beta), sizes(inputs))


@custom_gradient
def _normalised(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    width = inputs.shape.as_list()[-1]
    mean = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=-1, keepdims=True)
    variance = tf.reduce_mean(_squared_distance(inputs, mean), axis=-1, keepdims=True)
    rate = tf.math.rsqrt(variance + LAYER_NORM_EPSILON)

    def gradient(upstream: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        along = _times_normal(inputs, mean, rate, upstream)
        slope = tf.cast(gamma, tf.float32)[:, tf.newaxis] / width
        wide = tf.cast(upstream, tf.float32)
        inputs_gradient = _norm_gradient(
            inputs, mean, rate, gamma, upstream, tf.matmul(wide, slope), tf.matmul(along, slope)
        )
        gamma_gradient = tf.cast(tf.reduce_sum(along, axis=0), gamma.dtype)
        return inputs_gradient, gamma_gradient, tf.cast(tf.reduce_sum(wide, axis=0), beta.dtype)

    return _scaled_and_shifted(inputs, mean, rate, gamma, beta), gradient


def _normal(inputs: tf.Tensor, mean: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
    return (tf.cast(inputs, tf.float32) - mean) * rate


@fused
def _squared_distance(inputs: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    return tf.square(tf.cast(inputs, tf.float32) - mean)


@fused
def _scaled_and_shifted(
    inputs: tf.Tensor, mean: tf.Tensor, rate: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tf.Tensor:
    outputs = _normal(inputs, mean, rate) * tf.cast(gamma, tf.float32) + tf.cast(beta, tf.float32)
    return tf.cast(outputs, inputs.dtype)


@fused
def _times_normal(
    inputs: tf.Tensor, mean: tf.Tensor, rate: tf.Tensor, upstream: tf.Tensor
) -> tf.Tensor:
    return _normal(inputs, mean, rate) * tf.cast(upstream, tf.float32)


@fused
def _norm_gradient(
    inputs: tf.Tensor,
    mean: tf.Tensor,
    rate: tf.Tensor,
    gamma: tf.Tensor,
    upstream: tf.Tensor,
    upstream_mean: tf.Tensor,
    along_mean: tf.Tensor,
) -> tf.Tensor:
    scaled = tf.cast(upstream, tf.float32) * tf.cast(gamma, tf.float32)
    normal = _normal(inputs, mean, rate)
    return tf.cast((scaled - upstream_mean - normal * along_mean) * rate, inputs.dtype)


_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715


@fused
def _gelu_value(inputs: tf.Tensor) -> tf.Tensor:
    x = tf.cast(inputs, tf.float32)  # a pass in bfloat16 would round after each operation
    inner = _GELU_SCALE * (x + _GELU_CUBIC * x * x * x)
    return tf.cast(0.5 * x * (1.0 + tf.tanh(inner)), inputs.dtype)


@fused
def _gelu_gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    x = tf.cast(inputs, tf.float32)
    square = x * x
    tanh = tf.tanh(_GELU_SCALE * (x + _GELU_CUBIC * x * square))
    inner_slope = _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * square)
    slope = 0.5 * (1.0 + tanh + x * (1.0 - tanh * tanh) * inner_slope)
    return tf.cast(tf.cast(upstream, tf.float32) * slope, inputs.dtype)


@custom_gradient
def gelu(inputs: tf.Tensor) -> Tuple[tf.Tensor, Callable]:
    """Gaussian error linear unit in its tanh form, which both originals use ("gelu_new").

    Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415. A dozen elementwise operations
    on the widest activation would take as long as the matrix products around them, so value and
    gradient are one fused pass each, and only the input is kept for the gradient.
    """
    return _gelu_value(inputs), lambda upstream: _gelu_gradient(inputs, upstream)


ACTIVATIONS = {
    "gelu": gelu,
    "relu": lambda inputs: tf.nn.relu(inputs),
    "tanh": lambda inputs: tf.tanh(inputs),
    "linear": lambda inputs: inputs,
    "geglu": gelu,  # the gate is the feed-forward layer's; a head has none
}

DropoutFunction = Callable[["tf.Tensor", float], "tf.Tensor"]


def make_dropout(seed: Optional[tf.Tensor]) -> DropoutFunction:
    """A dropout whose masks are a function of the seed and of the place it is called from.

    Args:
      seed: int32 [2], different at each step and tower; None switches dropout off.

    Returns:
      A function (inputs, rate) -> inputs with a share `rate` of entries set to 0 and the others
      scaled by 1 / (1 - rate).
    """
    calls = [0]

    def dropout(inputs: tf.Tensor, rate: float) -> tf.Tensor:
        if seed is None or rate == 0.0:
            return inputs
        calls[0] += 1
        place = tf.stack([seed[0] + 1000003 * calls[0], seed[1]])
        uniform = tf.random.stateless_uniform(inputs.shape, seed=place)
        kept = tf.cast(uniform >= rate, inputs.dtype)
        return inputs * kept * (1.0 / (1.0 - rate))

    return dropout
