"""Leaf computations: linear map, layer normalisation, activations, dropout."""

import math
from typing import Callable, List, Optional, Union

from albert.compat import fused, tf
from albert.model.parameters import Dense, Norm

LAYER_NORM_EPSILON = 1e-12  # of the originals


def sizes(tensor: tf.Tensor) -> List[Union[int, tf.Tensor]]:
    """The shape, an int for each axis known while tracing; training knows all, a server few."""
    known = tensor.shape.as_list()
    if None not in known:
        return known
    running = tf.shape(tensor)
    return [running[axis] if size is None else size for axis, size in enumerate(known)]


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
    """
    values = tf.cast(inputs, tf.float32)
    centered = values - tf.reduce_mean(values, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    normal = centered * tf.math.rsqrt(variance + LAYER_NORM_EPSILON)
    gamma, beta = tf.cast(parameters.gamma, tf.float32), tf.cast(parameters.beta, tf.float32)
    return tf.cast(normal * gamma + beta, inputs.dtype)


_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715


def _gelu_value(inputs: tf.Tensor) -> tf.Tensor:
    inner = _GELU_SCALE * (inputs + _GELU_CUBIC * inputs * inputs * inputs)
    return 0.5 * inputs * (1.0 + tf.tanh(inner))


def _gelu_gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    square = inputs * inputs
    tanh = tf.tanh(_GELU_SCALE * (inputs + _GELU_CUBIC * inputs * square))
    inner_slope = _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * square)
    return upstream * 0.5 * (1.0 + tanh + inputs * (1.0 - tanh * tanh) * inner_slope)


_fused_gelu_value = fused(_gelu_value)
_fused_gelu_gradient = fused(_gelu_gradient)


@tf.custom_gradient
def gelu(inputs: tf.Tensor):
    """Gaussian error linear unit in its tanh form, which both originals use ("gelu_new").

    Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415. A dozen elementwise operations
    on the widest activation would take as long as the matrix products around them, so value and
    gradient are one fused pass each, and only the input is kept for the gradient.
    """
    return _fused_gelu_value(inputs), lambda upstream: _fused_gelu_gradient(inputs, upstream)


ACTIVATIONS = {"gelu": gelu, "relu": tf.nn.relu, "tanh": tf.tanh, "linear": tf.identity}

DropoutFunction = Callable[[tf.Tensor, float], tf.Tensor]


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
