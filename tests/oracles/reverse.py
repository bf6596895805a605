"""Exact gradients of NumPy code: reverse-mode differentiation in float64.

`Traced` is an array that remembers how it was computed. NumPy hands it its own functions through
`__array_ufunc__` and `__array_function__`, so the code that is differentiated stays plain NumPy.
"""

import itertools
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Arrays = Dict[str, np.ndarray]
Pullback = Callable[[np.ndarray], np.ndarray]

_ORDER = itertools.count()


class Traced(NDArrayOperatorsMixin):
    """A float64 array and the ways back to the arrays it was computed from.

    Attributes:
      value: The array.
      parents: Pairs of a `Traced` and a function from the gradient of this to its gradient.
      order: Grows with every instance, so descending order visits results before their inputs.
    """

    def __init__(self, value: np.ndarray, parents: Tuple[Tuple["Traced", Pullback], ...] = ()):
        """A leaf without `parents`, else the result of an operation on them."""
        self.value, self.parents, self.order = value, parents, next(_ORDER)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    T = property(lambda self: self.transpose(*reversed(range(self.value.ndim))))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> "Traced":
        """NumPy calls this for `np.tanh(traced)` and for operators."""
        if method != "__call__" or kwargs or ufunc not in _PULLBACKS:
            return NotImplemented
        values = [x.value if isinstance(x, Traced) else x for x in inputs]
        result = ufunc(*values)
        parents = []
        for x, pullback in zip(inputs, _PULLBACKS[ufunc]):
            if isinstance(x, Traced):
                parents.append((x, _bound(pullback, result, values, x.shape)))
        return Traced(result, tuple(parents))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy calls this for `np.sum(traced)` and the like."""
        if function is np.max:  # Only ever subtracted to keep `exp` small: a constant.
            return np.max(args[0].value, **kwargs)
        if function not in (np.sum, np.mean):
            return NotImplemented
        return _reduce(function, args[0], **kwargs)

    def __getitem__(self, index: Any) -> "Traced":
        """Any NumPy indexing; entries picked twice get both gradients."""

        def back(gradient: np.ndarray) -> np.ndarray:
            total = np.zeros(self.shape)
            np.add.at(total, index, gradient)
            return total

        return Traced(self.value[index], ((self, back),))

    def reshape(self, *shape: int) -> "Traced":
        """The same values in another shape."""
        return Traced(self.value.reshape(*shape), ((self, lambda g: g.reshape(self.shape)),))

    def transpose(self, *axes: int) -> "Traced":
        """The same values with permuted axes."""
        back = np.argsort(axes)
        return Traced(self.value.transpose(*axes), ((self, lambda g: g.transpose(*back)),))


def gradients(function: Callable[[Dict[str, Traced]], Traced], parameters: Arrays) -> Arrays:
    """Gradients of a scalar function at `parameters`.

    Args:
      function: Plain NumPy code from arrays by name to a scalar. It may use the ufuncs in the table
        below, `np.sum`, `np.mean`, `np.max` (as a constant), indexing, `reshape` and `transpose`.
      parameters: Arrays by name.

    Returns:
      Float64 arrays by name, zero where the function does not depend on the parameter.
    """
    inputs = {name: Traced(np.asarray(v, np.float64)) for name, v in parameters.items()}
    result = function(inputs)
    pending = {result.order: result}
    totals: Dict[int, np.ndarray] = {result.order: np.ones(())}
    while pending:
        node = pending.pop(max(pending))
        for parent, pullback in node.parents:
            pending[parent.order] = parent
            totals[parent.order] = totals.get(parent.order, 0.0) + pullback(totals[node.order])
    return {name: totals.get(x.order, np.zeros(x.shape)) for name, x in inputs.items()}


def _bound(
    pullback: Callable[..., np.ndarray], result: np.ndarray, values: List[Any], shape: Tuple
) -> Pullback:
    return lambda gradient: _unbroadcast(pullback(gradient, result, *values), shape)


def _unbroadcast(gradient: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    """Sums over the axes along which an array of `shape` was repeated."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(i for i, size in enumerate(shape) if size == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=repeated, keepdims=True)


def _reduce(function: Any, x: Traced, axis: Optional[int] = None, keepdims: bool = False) -> Traced:
    result = function(x.value, axis=axis, keepdims=keepdims)
    scale = np.size(result) / x.value.size if function is np.mean else 1.0

    def back(gradient: np.ndarray) -> np.ndarray:
        if axis is not None and not keepdims:
            gradient = np.expand_dims(gradient, axis)
        return np.broadcast_to(gradient * scale, x.shape)

    return Traced(result, ((x, back),))


def _swap(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


# For each input x, y of a function with result z: the gradient g of z to the gradient of the input.
_PULLBACKS: Dict[Any, Tuple[Callable[..., np.ndarray], ...]] = {
    np.add: (lambda g, z, x, y: g, lambda g, z, x, y: g),
    np.subtract: (lambda g, z, x, y: g, lambda g, z, x, y: -g),
    np.multiply: (lambda g, z, x, y: g * y, lambda g, z, x, y: g * x),
    np.true_divide: (lambda g, z, x, y: g / y, lambda g, z, x, y: -g * z / y),
    np.power: (lambda g, z, x, y: g * y * x ** (y - 1),),  # Of the base only.
    np.matmul: (lambda g, z, x, y: g @ _swap(y), lambda g, z, x, y: _swap(x) @ g),
    np.negative: (lambda g, z, x: -g,),
    np.tanh: (lambda g, z, x: g * (1.0 - z * z),),
    np.sqrt: (lambda g, z, x: g * 0.5 / z,),
    np.exp: (lambda g, z, x: g * z,),
    np.log: (lambda g, z, x: g / x,),
}
