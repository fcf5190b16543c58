"""ReduceSum and Normalizer: sums along a row, and rows divided by theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import as_floating, floating
from tools.lowering.ops.elementwise import ratio
from tools.lowering.ops.layout import reshaped
from tools.lowering.source import Node

NORM_BITS: Final = 50
"""Of a sum of squares: x gets half of them."""
NORM_FRAC_BITS: Final = 24


def reduce_sum(node: Node, b: Builder) -> None:
    """Over constant axes: an attribute before opset 13, an input since. Not over the batch."""
    x = floating(node, b.tensor(node, 0))
    found = node.integers("axes")
    if node.has_input(1):
        found = tuple(int(axis) for axis in b.constant(node, 1, "axes").reshape(-1))
    if not found:
        raise node.refuse("it names no axes, so it would sum over the batch")
    axes = tuple(sorted({row_axis(node, axis, x.shape) for axis in found}))
    total = summed(node, b, x, axes)
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    b.bind(node, total if node.integer("keepdims", 1) else reshaped(b, total, kept))


def summed(node: Node, b: Builder, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The sum over a row's axes, which stay with size 1."""
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    if x.fact.magnitude * count > 1 << SUM_BITS:
        x = b.within_limit(x)
    excess = (x.fact.magnitude * count).bit_length() - SUM_BITS
    if excess > x.frac_bits:
        raise node.refuse("its values are too large to be added exactly", CALIBRATE)
    x = b.drop(x, max(0, excess))
    return b.derive(x, ir.ReduceSum(x=x.index, axes=axes), error=x.error * count, limit=None)


def normalizer(node: Node, b: Builder) -> None:
    """Each row divided by the sum of its magnitudes (L1) or by its length (L2); a row of zeros
    stays. By the maximum (MAX) a row may turn its signs: refused."""
    x = as_floating(b.tensor(node, 0))
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    norms = {"L1": _sum_of_magnitudes, "L2": _length}
    kind = node.text("norm", "MAX")
    if kind not in norms:
        raise node.refuse(f"norm {kind} is not supported", "normalise by L1 or L2")
    x = b.within_limit(x)
    spread = max(0, x.shape[0] - 1).bit_length()
    x = b.drop(x, min(x.frac_bits, max(0, x.fact.magnitude.bit_length() - (NORM_BITS - spread) // 2)))
    result = ratio(node, b, x, norms[kind](node, b, x), NORM_FRAC_BITS)
    one = 1 << result.frac_bits
    b.bind(node, replace(b.derive(result, ir.Clip(x=result.index, low=-one, high=one)), error=min(result.error, 2.0)))


def _sum_of_magnitudes(node: Node, b: Builder, x: Tensor) -> Tensor:
    if x.fact.low < 0:
        below = b.derive(x, ir.Affine(x=x.index, weights=b.store(np.array([-1])), bias=None, shifts=None))
        above, below = (b.derive(part, ir.Relu(x=part.index)) for part in (x, below))
        x = b.derive(above, ir.Add(a=above.index, b=below.index))
    return summed(node, b, x, (0,))


def _length(node: Node, b: Builder, x: Tensor) -> Tensor:
    """The root of the sum of squares, on x's grid with two bits more."""
    squares = b.derive(x, ir.Mul(a=x.index, b=x.index, shift=0), frac_bits=2 * x.frac_bits)
    total = b.derive(squares, ir.ReduceSum(x=squares.index, axes=(0,)))
    root = ir.Sqrt(x=total.index, shift=-2)
    return b.derive(total, root, frac_bits=x.frac_bits + 2, error=x.error * x.shape[0] ** 0.5 + 2.0**-x.frac_bits / 8)
