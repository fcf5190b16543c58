"""What numpy computes of constants, as ONNX defines it: arithmetic, comparisons, reductions, moves. For `fold` alone.

Results are at most as large as a broadcast of the operands or checked before they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Final

import numpy as np

from runtime.inference.limits import ELEMENTS_MAX
from tools.lowering import functions
from tools.lowering.grids import Floats
from tools.lowering.source import Array, Node

PRODUCTS_MAX: Final = 1 << 32
"""Multiplications of one product of constants: some ten seconds."""
WHOLE_MAX: Final = 64

Folder = Callable[[Node, list[Array]], Array]


def _bounded(node: Node, elements: int) -> None:
    if elements > ELEMENTS_MAX:
        raise node.refuse("its constant value is too large")


def _unary(function: Callable[[Array], Any]) -> Folder:
    return lambda node, inputs: np.asarray(function(inputs[0])).astype(inputs[0].dtype)


def _curve(function: Callable[[Floats], Floats]) -> Folder:
    """In float64 and with the same bits on every machine, then in the operand's own type."""
    return _unary(lambda x: function(x.astype(np.float64)))


def _many(function: Callable[[Array, Array], Any], *, truth: bool = False) -> Folder:
    """Of any number of operands, two by two. `truth`: the result is of booleans."""

    def folder(node: Node, inputs: list[Array]) -> Array:
        _bounded(node, prod(np.broadcast_shapes(*(array.shape for array in inputs))))
        result = inputs[0]
        for array in inputs[1:]:
            result = np.asarray(function(result, array))
        return result if truth else result.astype(inputs[0].dtype)

    return folder


def _mod(node: Node, inputs: list[Array]) -> Array:
    if inputs[0].dtype.kind != "f" and not np.all(inputs[1]):
        raise ValueError("division by zero")
    function = np.fmod if node.flag("fmod") else np.mod
    return _many(function)(node, inputs)


def _power(node: Node, inputs: list[Array]) -> Array:
    """Whole powers by multiplication, others by exp and log: the same bits on every machine."""
    _bounded(node, prod(np.broadcast_shapes(*(array.shape for array in inputs))))
    base, exponent = np.broadcast_arrays(*(array.astype(np.float64) for array in inputs))
    if (exponent == np.rint(exponent)).all() and (np.abs(exponent) <= WHOLE_MAX).all():
        result, size = np.ones(base.shape), np.abs(exponent).astype(np.int64)
        for bit in reversed(range(WHOLE_MAX.bit_length())):
            result = result * result * np.where(size >> bit & 1, base, 1.0)
        result = np.where(exponent < 0, 1 / result, result)
    else:
        result = np.where(base == 0, np.where(exponent > 0, 0.0, np.inf), functions.exp(exponent * functions.log(base)))
    return np.asarray(result).astype(inputs[0].dtype)


def _clip(node: Node, inputs: list[Array]) -> Array:
    x = inputs[0]
    low = inputs[1] if len(inputs) > 1 else node.attributes.get("min")
    high = inputs[2] if len(inputs) > 2 else node.attributes.get("max")
    if low is not None:
        x = np.maximum(x, np.asarray(low).astype(x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high).astype(x.dtype))


def _reduced(function: Callable[..., Any]) -> Folder:
    def folder(node: Node, inputs: list[Array]) -> Array:
        axes = tuple(int(axis) for axis in inputs[1]) if len(inputs) > 1 else node.integers("axes") or ()
        if not axes and node.flag("noop_with_empty_axes"):
            return inputs[0]
        keep = node.flag("keepdims", True)
        return np.asarray(function(inputs[0], axis=axes or None, keepdims=keep)).astype(inputs[0].dtype)

    return folder


def _magnitudes(x: Array, **over: Any) -> Array:
    return np.asarray(np.sum(np.abs(x), **over))


def _squares(x: Array, **over: Any) -> Array:
    return np.asarray(np.sum(x * x, **over))


def _arg(function: Callable[..., Any]) -> Folder:
    def folder(node: Node, inputs: list[Array]) -> Array:
        if node.flag("select_last_index"):
            raise ValueError("the last of equal ones is not supported")
        axis, keep = node.integer("axis", 0), node.flag("keepdims", True)
        return np.asarray(function(inputs[0], axis=axis, keepdims=keep)).astype(np.int64)

    return folder


def _tile(node: Node, inputs: list[Array]) -> Array:
    repeats = [int(count) for count in inputs[1]]
    _bounded(node, inputs[0].size * prod(max(0, count) for count in repeats))
    return np.tile(inputs[0], repeats)


def _trilu(node: Node, inputs: list[Array]) -> Array:
    k = int(inputs[1].reshape(-1)[0]) if len(inputs) > 1 else 0
    return (np.triu if node.flag("upper", True) else np.tril)(inputs[0], k)


def _cumulated(node: Node, inputs: list[Array]) -> Array:
    if node.flag("exclusive") or node.flag("reverse"):
        raise ValueError("exclusive and reverse are not supported")
    return np.cumsum(inputs[0], axis=int(inputs[1].reshape(-1)[0])).astype(inputs[0].dtype)


def _product(node: Node, inputs: list[Array]) -> Array:
    """MatMul, with a bias from `fuse`: as large as a product of shapes can be, so both are checked first."""
    a, b, *bias = inputs
    rows, columns = a.size // max(1, a.shape[-1]), b.size // max(1, b.shape[-2] if b.ndim > 1 else b.shape[-1])
    _bounded(node, max(rows, 1) * max(columns, 1))
    if a.size * columns > (PRODUCTS_MAX if a.dtype.kind == "f" else PRODUCTS_MAX >> 6):
        raise node.refuse("its constant value takes too many multiplications")
    product = _in_order(a, b).astype(a.dtype) if a.dtype.kind == "f" else np.matmul(a, b)
    return np.asarray(sum(bias, product))


def _in_order(a: Array, b: Array) -> Floats:
    """a @ b in float64, each sum from its first term on: libraries add in an order of their own, and a row alone in
    another than among others."""
    left = np.atleast_2d(a).astype(np.float64)
    right = (b[:, np.newaxis] if b.ndim == 1 else b).astype(np.float64)
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"shapes {a.shape} and {b.shape} do not fit each other")
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    total = np.zeros((*shape, left.shape[-2], right.shape[-1]))
    for k in range(left.shape[-1]):
        total += left[..., :, k, np.newaxis] * right[..., np.newaxis, k, :]
    total = total[..., 0] if b.ndim == 1 else total
    return total[..., 0] if a.ndim == 1 and b.ndim == 1 else total[..., 0, :] if a.ndim == 1 else total


def _cast_like(node: Node, inputs: list[Array]) -> Array:
    return inputs[0].astype(inputs[1].dtype)


NUMERIC: Final[dict[str, Folder]] = {
    "Abs": _unary(np.abs),
    "Acos": _curve(functions.acos),
    "And": _many(np.logical_and, truth=True),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "Asin": _curve(functions.asin),
    "Atan": _curve(functions.atan),
    "CastLike": _cast_like,
    "Ceil": _unary(np.ceil),
    "Clip": _clip,
    "Cos": _curve(functions.cos),
    "CumSum": _cumulated,
    "Erf": _curve(functions.erf),
    "Exp": _curve(functions.exp),
    "Floor": _unary(np.floor),
    "Greater": _many(np.greater, truth=True),
    "GreaterOrEqual": _many(np.greater_equal, truth=True),
    "Less": _many(np.less, truth=True),
    "LessOrEqual": _many(np.less_equal, truth=True),
    "Log": _curve(functions.log),
    "MatMul": _product,
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Mod": _mod,
    "Not": _unary(np.logical_not),
    "Or": _many(np.logical_or, truth=True),
    "Pow": _power,
    "Reciprocal": _unary(np.reciprocal),
    "ReduceL1": _reduced(_magnitudes),
    "ReduceL2": _reduced(lambda x, **over: np.sqrt(_squares(x, **over))),
    "ReduceMax": _reduced(np.max),
    "ReduceMean": _reduced(np.mean),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceSumSquare": _reduced(_squares),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "Round": _unary(np.rint),
    "Sigmoid": _curve(functions.sigmoid),
    "Sign": _unary(np.sign),
    "Sin": _curve(functions.sin),
    "Softplus": _curve(functions.softplus),
    "Sum": _many(np.add),
    "Tan": _curve(functions.tan),
    "Tanh": _curve(functions.tanh),
    "Tile": _tile,
    "Trilu": _trilu,
    "Xor": _many(np.logical_xor, truth=True),
}
