"""LogSoftmax, ReduceLogSumExp, ReduceLogSum: logarithms of sums.

The largest of the probabilities softmax(x) is 1 / sum(e**(x - max x)), so log(sum(e**x)) = max x - log(max p): one
logarithm for each sum, of a number that lies between 1 / the number of summands and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Final

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops import curves
from tools.lowering.ops.activations import SOFTMAX_INPUT_BITS_MAX, softmax_shape
from tools.lowering.ops.columns import added, negated
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.reduce import reduction, summed
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node, Shape

Handler = Callable[[Node, Builder], None]
PROBABILITY_BITS: Final = 30
SUMMAND_ERROR: Final = 2.0**-29
"""Of an exponential beside the largest, and of the quotient."""


def log_softmax(node: Node, b: Builder) -> None:
    """x - max x + log(max p); before opset 13 along all axes from `axis` on, as one."""
    x, axis = softmax_shape(node, b)
    shape = b.tensor(node, 0).shape
    x, top = _top(b, x, axis)
    below = b.derive(x, ir.Sub(a=x.index, b=top.index), error=2 * x.error, limit=None)
    if below.fact.high > 0:
        below = b.derive(below, ir.Clip(x=below.index, low=below.fact.low, high=0))
    result = added(node, b, below, _log_of_largest(node, b, x, axis))
    b.bind(node, reshaped(b, result, shape))


def log_sum_exp(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """max x - log(max p) over the axes. It moves by no more than x does."""
    if not axes:
        return x
    others = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    if others and max(others) > min(axes):
        x = b.derive(x, ir.Transpose(x=x.index, permutation=(*others, *axes)))
        x = reshaped(b, x, (*x.shape[: len(others)], prod(x.shape[len(others) :])))
    else:
        x = reshaped(b, x, (*(x.shape[axis] for axis in others), prod(x.shape[axis] for axis in axes)))
    axis = len(x.shape) - 1
    x, top = _top(b, x, axis)
    return reshaped(b, added(node, b, top, negated(b, _log_of_largest(node, b, x, axis))), kept)


def log_sum(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The logarithm of what ReduceSum makes, of a positive sum."""
    total = summed(node, b, x, axes) if axes else x
    return tabulated(node, b, total, curves.LOG)


def _top(b: Builder, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """(x within a softmax's bounds, its maximum)."""
    if (x.fact.high - x.fact.low).bit_length() > SOFTMAX_INPUT_BITS_MAX:
        x = b.within_limit(x)
    return x, b.derive(x, ir.ReduceMax(x=x.index, axes=(axis,)))


def _log_of_largest(node: Node, b: Builder, x: Tensor, axis: int) -> Tensor:
    """log(max p), as if x were exact."""
    count = x.shape[axis]
    emitted = ir.Softmax(x=x.index, axis=axis, frac_bits_in=x.frac_bits, frac_bits_out=PROBABILITY_BITS)
    p = b.derive(x, emitted, frac_bits=PROBABILITY_BITS, error=0.0, limit=None)
    largest = b.derive(p, ir.ReduceMax(x=p.index, axes=(axis,)))
    least = (1 << PROBABILITY_BITS) // count - 1  # one below, for the exponentials' roundings
    least = max(1, least - (least >> 20))
    largest = b.derive(largest, ir.Clip(x=largest.index, low=least, high=1 << PROBABILITY_BITS))
    found = tabulated(node, b, largest, curves.LOG)
    return replace(found, error=found.error + count * SUMMAND_ERROR)


LOGARITHMS: Final[dict[str, Handler]] = {
    "LogSoftmax": log_softmax, "ReduceLogSum": reduction(log_sum), "ReduceLogSumExp": reduction(log_sum_exp),
}  # fmt: skip
