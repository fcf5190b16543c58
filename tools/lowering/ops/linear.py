"""Gemm, MatMul, Conv: sums of products along a dimension."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, prod

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import SINGLE_EXACT_MAX
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS, WEIGHT_BITS, Floats, least_frac_bits
from tools.lowering.ops.axes import constant_shape, window
from tools.lowering.ops.columns import (
    added,
    dense,
    filled,
    finished,
    floating,
    floats,
    grid_of,
    prepared,
    prepared_and_grid,
    scaled,
    tail,
)
from tools.lowering.precision import FRAC_BITS
from tools.lowering.source import Node, Shape


def gemm(node: Node, b: Builder) -> None:
    """alpha * x @ B + beta * C with constant B; C may be constant or computed."""
    x = floating(node, b.tensor(node, 0))
    if node.flag("transA"):
        raise node.refuse("transA would mix rows")
    rank = b.finished(node.inputs[0]).file_rank
    if rank != 2:
        raise node.refuse(f"its input has {rank} dimensions, two are needed")
    weights = floats(b.constant(node, 1, "B")) * node.number("alpha", 1.0)
    if weights.ndim != 2:
        raise node.refuse(f"B has shape {list(weights.shape)}, a matrix is needed")
    columns = weights if node.flag("transB") else weights.T
    bias, beta = None, node.number("beta", 1.0)
    if node.has_input(2) and b.is_constant(node.inputs[2]):
        bias = floats(b.constant(node, 2, "C")) * beta
        constant_shape(node, bias.shape, (columns.shape[0],))
        bias = np.broadcast_to(bias.reshape(-1), (columns.shape[0],))
    result = dense(node, b, x, columns, bias)
    if node.has_input(2) and bias is None:
        c = floating(node, b.tensor(node, 2))
        if c.shape not in ((1,), result.shape):
            raise node.refuse(
                f"C with rows of shape {list(c.shape)} does not fit results of shape {list(result.shape)}"
            )
        c = c if beta == 1 else scaled(node, b, c, np.full((1,), beta), None)
        result = added(node, b, result, c)
    b.bind(node, result)


def matmul(node: Node, b: Builder) -> None:
    """x @ B with a constant matrix or vector B; `fuse` may have added a bias as a third input. A constant matrix on the
    left is one on the right of what is transposed. Else two tensors, or one and a constant list of matrices."""
    given = [b.is_constant(name) for name in node.inputs[:2]]
    ranks = [b.constant(node, place, "an operand").ndim if given[place] else None for place in (0, 1)]
    if 0 in ranks:
        raise node.refuse("one of its operands is a number; a matrix or vector is needed")
    if ranks[1] in (1, 2):
        _with_constant(node, b)
    elif ranks[0] in (1, 2):
        b.bind(node, _from_left(node, b, floating(node, b.tensor(node, 1))))
    else:
        like = floating(node, b.tensor(node, 1 if given[0] else 0))
        x, y = (
            _matrices(node, b, place, like) if given[place] else floating(node, b.tensor(node, place))
            for place in (0, 1)
        )
        b.bind(node, multiplied(node, b, x, y, b.wanted_frac_bits(node.outputs[0])))


def _with_constant(node: Node, b: Builder) -> None:
    x = floating(node, b.tensor(node, 0))
    weights = floats(b.constant(node, 1, "the right operand"))
    if not x.shape:
        raise node.refuse("its input has one dimension, the batch; rows would be summed")
    bias = floats(b.constant(node, 2, "bias")) if node.has_input(2) else None
    if weights.ndim == 2:
        b.bind(node, dense(node, b, x, weights.T, bias))
        return
    result = dense(node, b, x, weights.reshape(1, -1), bias)
    b.bind(node, b.derive(result, ir.Reshape(x=result.index, shape=result.shape[:-1])))


def _matrices(node: Node, b: Builder, place: int, beside: Tensor) -> Tensor:
    """A constant operand of more than two dimensions as a tensor of the other one's rank, the same in every row."""
    values, rank = floats(b.constant(node, place, "an operand")), len(beside.shape)
    if values.ndim == rank + 1 and values.shape[0] == 1:
        values = values[0]
    if values.ndim > rank:
        raise node.refuse(f"a constant of shape {list(values.shape)} does not fit rows of shape {list(beside.shape)}")
    return weights_of(node, b, beside, values.reshape((1,) * (rank - values.ndim) + values.shape))


def weights_of(node: Node, b: Builder, like: Tensor, values: Floats) -> Tensor:
    """Constant weights as a tensor, the largest with WEIGHT_BITS. `like`: any tensor of floats."""
    power = WEIGHT_BITS - FRAC_BITS - int(np.frexp(np.abs(values).max())[1])
    made = b.regrid(filled(node, b, like, np.ldexp(values, power)), FRAC_BITS)
    return replace(made, frac_bits=made.frac_bits + power, error=made.error * 2.0**-power)


def multiplied(node: Node, b: Builder, x: Tensor, y: Tensor, wanted: int) -> Tensor:
    """[..., M, K] @ [..., K, N], both computed, with that many fractional bits or as many as the products have."""
    if len(x.shape) != len(y.shape) or len(x.shape) < 2:
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)}: matrices of one rank are needed")
    lead = zip(x.shape[:-2], y.shape[:-2], strict=True)
    if x.shape[-1] != y.shape[-2] or any(p != q and 1 not in (p, q) for p, q in lead):
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)}: matrices that fit are needed")
    width = x.shape[-1]
    x, y = _within_sums(node, b, x, y, width)
    fine = x.frac_bits + y.frac_bits
    if fine < least_frac_bits(node.op):
        raise node.refuse(
            "its values are so large that no precision is left", "pass calibration rows, or scale the model"
        )
    frac_bits = min(fine, max(0, wanted))
    known = isfinite(x.error + y.error)
    error = x.magnitude * y.error + y.magnitude * x.error + x.error * y.error if known else float("inf")
    error = width * error + (2.0**-frac_bits / 2 if fine > frac_bits else 0.0)
    emitted = ir.MatMul(a=x.index, b=y.index, shift=fine - frac_bits)
    return b.derive(x, emitted, frac_bits=frac_bits, error=error, limit=None)


def _within_sums(node: Node, b: Builder, x: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The two, clipped and coarsened until a sum of `width` products fits. An error of a low bit of one counts as much
    as the other is large: both end with equally many bits, unless one has fewer from the start."""

    def fits(p: int, q: int) -> bool:
        return p * q * width <= 1 << SUM_BITS

    if not fits(x.fact.magnitude, y.fact.magnitude):
        x = b.within_limit(x)
    if not fits(x.fact.magnitude, y.fact.magnitude):
        y = b.within_limit(y)
    p, q, drops = x.fact.magnitude, y.fact.magnitude, [0, 0]
    while not fits(p, q):
        spare = [drops[0] < x.frac_bits, drops[1] < y.frac_bits]
        if not any(spare):
            raise node.refuse("its values are too large for sums of their products to be exact", CALIBRATE)
        if spare[0] and (p >= q or not spare[1]):
            p, drops[0] = (p + 1) // 2, drops[0] + 1
        else:
            q, drops[1] = (q + 1) // 2, drops[1] + 1
    return (x if not drops[0] else b.drop(x, drops[0])), (y if not drops[1] else b.drop(y, drops[1]))


def _from_left(node: Node, b: Builder, x: Tensor) -> Tensor:
    weights, rank = floats(b.constant(node, 0, "the left operand")), len(x.shape)
    if weights.ndim != 2 or rank < 2:
        shapes = f"weights of shape {list(weights.shape)} on the left of rows of shape {list(x.shape)}"
        raise node.refuse(f"{shapes}: one matrix beside at least two dimensions of a row is supported")
    turned = (*range(rank - 2), rank - 1, rank - 2)
    x = dense(node, b, b.derive(x, ir.Transpose(x=x.index, permutation=turned)), weights, None)
    return b.derive(x, ir.Transpose(x=x.index, permutation=turned))


def conv(node: Node, b: Builder) -> None:
    """In one to three spatial dimensions, with constant weights."""
    x = floating(node, b.tensor(node, 0))
    weights = floats(b.constant(node, 1, "W"))
    groups = node.integer("group", 1)
    if len(x.shape) < 2 or weights.ndim != len(x.shape) + 1:
        raise node.refuse(f"weights of shape {list(weights.shape)} do not fit rows of shape {list(x.shape)}")
    if groups < 1 or weights.shape[1] * groups != x.shape[0] or weights.shape[0] % groups:
        raise node.refuse(f"{groups} groups do not fit weights {list(weights.shape)} and rows {list(x.shape)}")
    kernel = weights.shape[2:]
    if (node.integers("kernel_shape") or kernel) != kernel:
        raise node.refuse("kernel_shape differs from the shape of the weights")
    view = window(node, x.shape[1:], kernel)
    bias = floats(b.constant(node, 2, "B")) if node.has_input(2) else None
    if bias is not None and bias.shape != weights.shape[:1]:
        raise node.refuse(f"a bias of shape {list(bias.shape)} does not fit {weights.shape[0]} channels")
    at = (view.strides, view.pads_begin, view.pads_end, view.dilations)
    b.bind(node, convolved(node, b, x, weights, bias, *at, groups))


def convolved(
    node: Node,
    b: Builder,
    x: Tensor,
    weights: Floats,
    bias: Floats | None,
    strides: Shape,
    pads_begin: Shape,
    pads_end: Shape,
    dilations: Shape,
    groups: int,
) -> Tensor:
    """x under real weights [O, C / groups, kernel...]; form SINGLE where the integers fit into its 24 bits."""
    columns = weights.reshape(weights.shape[0], -1)
    sizes = zip(x.shape[1:], pads_begin, pads_end, dilations, weights.shape[2:], strides, strict=True)
    made = len(columns) * prod((s + p + q - d * (k - 1) - 1) // by + 1 for s, p, q, d, k, by in sizes)
    if groups == 1:
        x, grid = prepared_and_grid(node, b, x, columns, bias, made)
    else:
        x = prepared(node, b, x, columns)
        grid = grid_of(node, b, x, columns, bias)
    sums = int(np.abs(grid.weights).sum(axis=1).max())
    single = max(sums, 1) * max(x.fact.magnitude, 1) <= SINGLE_EXACT_MAX
    emitted = ir.Conv(
        x=x.index,
        weights=b.store(grid.weights.reshape(weights.shape)),
        **tail(b, grid),
        strides=strides,
        pads_begin=pads_begin,
        pads_end=pads_end,
        dilations=dilations,
        groups=groups,
        form=ir.ConvForm.SINGLE if single else ir.ConvForm.DOUBLE,
    )
    return finished(b, x, grid, emitted)
