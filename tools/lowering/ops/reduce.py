"""ReduceSum, -Mean, -Max, -Min, -L1, -L2, -SumSquare, -Prod, global pools: one number for some of a row's dimensions.
CumSum: one for each part of a dimension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS, least_frac_bits
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import floating, negated, scaled
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.pieces import piece
from tools.lowering.ops.piecewise import absolute
from tools.lowering.ops.powers import multiplication, root
from tools.lowering.ops.steps import back, last
from tools.lowering.source import Node, Shape

FACTORS_MAX: Final = 64
CUMULATED_MAX: Final = 4096
Reduction = Callable[[Node, Builder, Tensor, Shape], Tensor]


def reduction(reduced: Reduction) -> Callable[[Node, Builder], None]:
    """The handler of an op that reduces over constant axes: an attribute once, an input since. Not over the batch."""

    def handler(node: Node, b: Builder) -> None:
        x = floating(node, b.tensor(node, 0))
        found = node.integers("axes") or ()
        if node.has_input(1):
            found = tuple(int(axis) for axis in b.constant(node, 1, "axes").reshape(-1))
        if not found and not node.flag("noop_with_empty_axes"):
            mend = "name the axes, for example all but the first"
            raise node.refuse("it names no axes, so it would reduce over the batch", mend)
        axes = tuple(sorted({row_axis(node, axis, x.shape) for axis in found}))
        result = reduced(node, b, x, axes)
        if not node.flag("keepdims", True):
            kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
            result = reshaped(b, result, kept)
        b.bind(node, result)

    return handler


def global_pool(reduced: Reduction) -> Callable[[Node, Builder], None]:
    """The handler of an op that reduces all spatial dimensions to size 1."""

    def handler(node: Node, b: Builder) -> None:
        x = floating(node, b.tensor(node, 0))
        if len(x.shape) < 2:
            raise node.refuse(f"rows of shape {list(x.shape)} have no spatial dimensions")
        b.bind(node, reduced(node, b, x, tuple(range(1, len(x.shape)))))

    return handler


def _count(x: Tensor, axes: Shape) -> int:
    return prod(x.shape[axis] for axis in axes)


def summable(node: Node, b: Builder, x: Tensor, count: int) -> Tensor:
    """x, clipped and coarsened as far as needed for so many of its elements to be added exactly."""
    if x.fact.magnitude * count > 1 << SUM_BITS:
        x = b.within_limit(x)
    excess = (x.fact.magnitude * count).bit_length() - SUM_BITS
    if excess > x.frac_bits - least_frac_bits(node.op):
        raise node.refuse("its values are too large to be added exactly", CALIBRATE)
    return b.drop(x, max(0, excess))


def summed(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The sum over a row's axes, which stay with size 1."""
    count = _count(x, axes)
    if count == 1:
        return x
    x = summable(node, b, x, count)
    return b.derive(x, ir.ReduceSum(x=x.index, axes=axes), error=x.error * count, limit=None)


def averaged(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The mean, rounded once."""
    count = _count(x, axes)
    if count == 1:
        return x
    return scaled(node, b, summed(node, b, x, axes), np.full((1,) * len(x.shape), 1 / count), None)


def largest(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The largest along a row's axes, which stay with size 1. Exact."""
    return x if _count(x, axes) == 1 else b.derive(x, ir.ReduceMax(x=x.index, axes=axes))


def least(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """As `largest`: the negative of the largest negative."""
    return x if _count(x, axes) == 1 else negated(b, largest(node, b, negated(b, x), axes))


def magnitudes(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The sum of absolute values, as `summed`."""
    return summed(node, b, absolute(b, x), axes)


def coarse_for_squares(b: Builder, x: Tensor, count: int) -> Tensor:
    """x with as many bits as squares may have of which so many are added."""
    x = b.within_limit(x)
    bits = (SUM_BITS - (count - 1).bit_length()) // 2
    return b.drop(x, min(x.frac_bits, max(0, x.fact.magnitude.bit_length() - bits)))


def squares(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The sum of squares. Each is exact before the sum is cut to the bits that fit."""
    x = coarse_for_squares(b, x, _count(x, axes))
    error = x.error * (2 * x.magnitude + x.error)
    each = b.derive(x, ir.Mul(a=x.index, b=x.index, shift=0), frac_bits=2 * x.frac_bits, error=error, limit=None)
    return summed(node, b, each, axes)


def length(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The root of the sum of squares: it moves by no more than x does, whatever x is."""
    total = squares(node, b, x, axes)
    found = root(node, b, total, b.wanted_frac_bits(node.outputs[0]))
    coarse = 2.0 ** -(total.frac_bits // 2) / 2
    error = (x.error + coarse) * _count(x, axes) ** 0.5 + 2.0**-found.frac_bits / 2
    return replace(found, error=error)


def multiplied(node: Node, b: Builder, x: Tensor, axes: Shape) -> Tensor:
    """The product, of a few elements: halves with halves."""
    if not axes:
        return x
    others = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    if _count(x, axes) > FACTORS_MAX:
        raise node.refuse(f"it multiplies {_count(x, axes)} elements, at most {FACTORS_MAX} are supported")
    x = b.derive(x, ir.Transpose(x=x.index, permutation=(*others, *axes)))
    x = reshaped(b, x, (prod(x.shape[: len(others)]), prod(x.shape[len(others) :])))
    whole: list[Tensor] = []
    while x.shape[1] > 1:
        half, odd = divmod(x.shape[1], 2)
        if odd:
            whole.append(piece(b, x, 1, 2 * half, 1))
        x = multiplication(node, b, piece(b, x, 1, 0, half), piece(b, x, 1, half, half))
    for rest in whole:
        x = multiplication(node, b, x, rest)
    return reshaped(b, x, kept)


def cumulative(node: Node, b: Builder) -> None:
    """CumSum: a product with a triangle of ones. Attributes: exclusive leaves out the element itself, reverse begins
    at the end."""
    x = floating(node, b.tensor(node, 0))
    found = b.constant(node, 1, "the axis").reshape(-1)
    if found.size != 1:
        raise node.refuse(f"its axis has {found.size} elements, one is needed")
    axis = row_axis(node, int(found[0]), x.shape)
    size = x.shape[axis]
    if size > CUMULATED_MAX:
        raise node.refuse(f"its axis has {size} places, at most {CUMULATED_MAX} are supported")
    ones = np.tri(size, k=-1 if node.flag("exclusive") else 0, dtype=np.int64)
    y = last(b, summable(node, b, x, size), axis)
    if node.flag("reverse"):
        ones = ones.T
    emitted = ir.Gemm(x=y.index, weights=b.store(ones), bias=None, shifts=None)
    b.bind(node, back(b, b.derive(y, emitted, error=y.error * size, limit=None), axis))
