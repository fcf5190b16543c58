"""ReduceSum and Normalizer: sums along a row, and rows divided by theirs."""

from __future__ import annotations

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import floating
from tools.lowering.ops.layout import reshaped
from tools.lowering.source import Node


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
