"""CDist (com.microsoft, as skl2onnx writes it; `recognise` finds others): distances of a row from constant rows.

|x - v|**2 = |x|**2 - 2 x.v + |v|**2: one matrix product and one sum of squares for all v. Both are rounded to one grid
first, on which all of it is exact: what is near is not lost beside what is large, and equal rows have distance 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS, Floats
from tools.lowering.ops.columns import floating, floats
from tools.lowering.ops.powers import root
from tools.lowering.source import Node

DISTANCE_FRAC_BITS: Final = 24


def cdist(node: Node, b: Builder) -> None:
    """The distance of each row from each of the constant rows, or its square."""
    x = floating(node, b.tensor(node, 0))
    rows = floats(b.constant(node, 1, "the rows to compare with"))
    rows = rows[0] if rows.ndim == 3 and len(rows) == 1 else rows  # as `recognise` finds them
    metric = node.text("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise node.refuse(f"metric {metric} is not supported", "use euclidean, or export without optim='cdist'")
    if len(x.shape) != 1 or rows.ndim != 2 or rows.shape[1:] != x.shape:
        raise node.refuse(f"rows of shape {list(x.shape)} do not fit the constant ones of {list(rows.shape)}")
    squared = squared_distances(node, b, x, rows)
    wanted = max(DISTANCE_FRAC_BITS, b.wanted_frac_bits(node.outputs[0]))
    b.bind(node, root(node, b, squared, wanted) if metric == "euclidean" else squared)


def squared_distances(node: Node, b: Builder, x: Tensor, rows: Floats) -> Tensor:
    """[number of rows]: x's squared distance from each, exact but for what their grid rounds."""
    width, largest = x.shape[0], float(np.abs(rows).max())

    def excess(x: Tensor) -> int:
        """The bits that x has to lose for sums of squares to be exact."""
        reach = x.fact.magnitude + int(np.ceil(np.ldexp(largest, x.frac_bits)))
        return max(0, -(-((4 * width * reach * reach).bit_length() - SUM_BITS) // 2))

    x = b.within_limit(x) if excess(x) else x
    if excess(x) > x.frac_bits:
        raise node.refuse("its values are too large for distances to be exact", CALIBRATE)
    fine, x = x.frac_bits, b.drop(x, excess(x))
    integers = np.rint(np.ldexp(np.rint(np.ldexp(rows, fine)), x.frac_bits - fine)).astype(np.int64)  # twice, as x is
    lengths = (integers**2).sum(axis=1)
    emitted = ir.Gemm(x=x.index, weights=b.store(-2 * integers), bias=b.store(lengths), shifts=None)
    cross = b.derive(x, emitted, frac_bits=2 * x.frac_bits, limit=None)
    squares = b.derive(x, ir.Mul(a=x.index, b=x.index, shift=0), frac_bits=2 * x.frac_bits, limit=None)
    own = b.derive(squares, ir.ReduceSum(x=squares.index, axes=(0,)))
    total = b.derive(cross, ir.Add(a=cross.index, b=own.index))
    moved = x.error + 2.0**-x.frac_bits / 2
    error = width * moved * (2 * (x.magnitude + largest) + moved)
    return b.derive(total, ir.Clip(x=total.index, low=0, high=total.fact.high), error=error)
