"""Gemm, MatMul, Conv: sums of products with constants along a dimension."""

from __future__ import annotations

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import SINGLE_EXACT_MAX
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.axes import constant_shape, window
from tools.lowering.ops.columns import dense, finished, floating, floats, grid_of, prepared, tail
from tools.lowering.source import Node, Shape


def gemm(node: Node, b: Builder) -> None:
    """alpha * x @ B + beta * C with constant B and C."""
    x = floating(node, b.tensor(node, 0))
    if node.flag("transA"):
        raise node.refuse("transA would mix rows")
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    weights = floats(b.constant(node, 1, "B")) * node.number("alpha", 1.0)
    columns = weights if node.flag("transB") else weights.T
    bias = None
    if node.has_input(2):
        bias = floats(b.constant(node, 2, "C")) * node.number("beta", 1.0)
        constant_shape(node, bias.shape, (columns.shape[0],))
        bias = np.broadcast_to(bias.reshape(-1), (columns.shape[0],))
    b.bind(node, dense(node, b, x, columns, bias))


def matmul(node: Node, b: Builder) -> None:
    """x @ B with a constant matrix or vector B; `fuse` may have added a bias as a third input. A constant matrix on the
    left is one on the right of what is transposed."""
    if b.is_constant(node.inputs[0]):
        b.bind(node, _from_left(node, b, floating(node, b.tensor(node, 1))))
        return
    x = floating(node, b.tensor(node, 0))
    weights = floats(b.constant(node, 1, "the right operand"))
    if weights.ndim not in (1, 2):
        raise node.refuse(f"its weights have shape {list(weights.shape)}; one matrix or vector is supported")
    if not x.shape:
        raise node.refuse("its input has one dimension, the batch; rows would be summed")
    bias = floats(b.constant(node, 2, "bias")) if node.has_input(2) else None
    if weights.ndim == 2:
        b.bind(node, dense(node, b, x, weights.T, bias))
        return
    result = dense(node, b, x, weights.reshape(1, -1), bias)
    b.bind(node, b.derive(result, ir.Reshape(x=result.index, shape=result.shape[:-1])))


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
    x = prepared(b, x, columns)
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
