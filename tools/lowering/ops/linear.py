"""Gemm, MatMul, Conv, BatchNormalization, Add: sums of products with constants.

Each turns its weights into real columns [O, K] and lets grids.py choose the integers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import SINGLE_EXACT_MAX
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.errors import LoweringError
from tools.lowering.fuse import batch_normalization
from tools.lowering.grids import Floats, Grid, bits_to_drop, choose, is_tight
from tools.lowering.ops.axes import constant_shape, window
from tools.lowering.source import Array, Node, Shape

SUMMAND_BITS: Final = 51  # so that a sum of two is within 52


def _floats(array: Array) -> Floats:
    return np.ascontiguousarray(array, np.float64)


def floating(node: Node, x: Tensor) -> Tensor:
    """x, refused where the source model computes with integers there."""
    if x.dtype.kind != "f":
        raise node.refuse(f"it works on {x.dtype} tensors; only floating point has an exact form here")
    return x


def _prepared(b: Builder, x: Tensor, columns: Floats) -> Tensor:
    """x clipped and coarsened as far as the columns' precision asks for; untouched where there is room."""
    if not is_tight(columns, x.fact.magnitude):
        return x
    x = b.within_limit(x)
    return b.drop(x, bits_to_drop(columns, x.fact.magnitude, x.frac_bits))


def _grid(node: Node, b: Builder, x: Tensor, columns: Floats, bias: Floats | None) -> Grid:
    try:
        grid = choose(columns, bias, x.fact.magnitude, x.frac_bits, b.wanted_frac_bits(node.outputs[0]))
    except LoweringError as error:
        raise node.refuse(error.reason, error.mend) from error
    b.note_weight_bits(grid.bits)
    return grid


def _finished(b: Builder, x: Tensor, grid: Grid, emitted: ir.Node) -> Tensor:
    return b.derive(x, emitted, frac_bits=grid.frac_bits, error=grid.error(x.magnitude, x.error), limit=None)


def gemm(node: Node, b: Builder) -> None:
    """alpha * x @ B + beta * C with constant B and C."""
    x = floating(node, b.tensor(node, 0))
    if node.integer("transA", 0):
        raise node.refuse("transA would mix rows")
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    weights = _floats(b.constant(node, 1, "B")) * node.number("alpha", 1.0)
    columns = weights if node.integer("transB", 0) else weights.T
    bias = None
    if node.has_input(2):
        bias = _floats(b.constant(node, 2, "C")) * node.number("beta", 1.0)
        constant_shape(node, bias.shape, (columns.shape[0],))
        bias = np.broadcast_to(bias.reshape(-1), (columns.shape[0],))
    _matrix(node, b, x, columns, bias)


def matmul(node: Node, b: Builder) -> None:
    """x @ B with a constant matrix or vector B; `fuse` may have added a bias as a third input."""
    x = floating(node, b.tensor(node, 0))
    weights = _floats(b.constant(node, 1, "the right operand"))
    if weights.ndim not in (1, 2):
        raise node.refuse(f"its weights have shape {list(weights.shape)}; one matrix or vector is supported")
    if not x.shape:
        raise node.refuse("its input has one dimension, the batch; rows would be summed")
    bias = _floats(b.constant(node, 2, "bias")) if node.has_input(2) else None
    if weights.ndim == 2:
        _matrix(node, b, x, weights.T, bias)
        return
    _matrix(node, b, x, weights.reshape(1, -1), bias, drop_last=True)


def _matrix(node: Node, b: Builder, x: Tensor, columns: Floats, bias: Floats | None, drop_last: bool = False) -> None:
    if columns.shape[1] != x.shape[-1]:
        raise node.refuse(f"{columns.shape[1]} weights per column do not fit rows of shape {list(x.shape)}")
    x = _prepared(b, x, columns)
    grid = _grid(node, b, x, columns, bias)
    result = _finished(b, x, grid, ir.Gemm(x=x.index, weights=b.store(grid.weights), **_tail(b, grid)))
    if drop_last:
        result = b.derive(result, ir.Reshape(x=result.index, shape=result.shape[:-1]))
    b.bind(node, result)


def _tail(b: Builder, grid: Grid, shape: Shape | None = None) -> dict[str, int | None]:
    """The numbers of bias and shifts, None where they are zero."""
    parts = {"bias": grid.bias, "shifts": grid.shifts}
    return {
        key: None if values is None else b.store(values if shape is None else values.reshape(shape))
        for key, values in parts.items()
    }


def conv(node: Node, b: Builder) -> None:
    """In one to three spatial dimensions; form SINGLE where the chosen integers happen to fit into its 24 bits."""
    x = floating(node, b.tensor(node, 0))
    weights = _floats(b.constant(node, 1, "W"))
    groups = node.integer("group", 1)
    if len(x.shape) < 2 or weights.ndim != len(x.shape) + 1:
        raise node.refuse(f"weights of shape {list(weights.shape)} do not fit rows of shape {list(x.shape)}")
    if groups < 1 or weights.shape[1] * groups != x.shape[0] or weights.shape[0] % groups:
        raise node.refuse(f"{groups} groups do not fit weights {list(weights.shape)} and rows {list(x.shape)}")
    kernel = weights.shape[2:]
    if (node.integers("kernel_shape") or kernel) != kernel:
        raise node.refuse("kernel_shape differs from the shape of the weights")
    view = window(node, x.shape[1:], kernel)
    bias = _floats(b.constant(node, 2, "B")) if node.has_input(2) else None
    if bias is not None and bias.shape != weights.shape[:1]:
        raise node.refuse(f"a bias of shape {list(bias.shape)} does not fit {weights.shape[0]} channels")
    columns = weights.reshape(weights.shape[0], -1)
    x = _prepared(b, x, columns)
    grid = _grid(node, b, x, columns, bias)
    sums = int(np.abs(grid.weights).sum(axis=1).max())
    single = max(sums, 1) * max(x.fact.magnitude, 1) <= SINGLE_EXACT_MAX
    emitted = ir.Conv(
        x=x.index,
        weights=b.store(grid.weights.reshape(weights.shape)),
        **_tail(b, grid),
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
        groups=groups,
        form=ir.ConvForm.SINGLE if single else ir.ConvForm.DOUBLE,
    )
    b.bind(node, _finished(b, x, grid, emitted))


def batch_norm(node: Node, b: Builder) -> None:
    """One scale and offset per channel, where no linear op before it took them in."""
    x = floating(node, b.tensor(node, 0))
    if node.integer("training_mode", 0) or any(node.outputs[1:]):
        raise node.refuse("it is in training mode", "export for inference (model.eval())")
    for position, what in enumerate(("scale", "B", "mean", "var"), start=1):
        b.constant(node, position, what)
    parameters = batch_normalization(node, dict(b.source.constants))
    if parameters is None or not x.shape or parameters[0].shape != x.shape[:1]:
        raise node.refuse(f"its parameters do not fit rows of shape {list(x.shape)}")
    scale, offset = parameters
    columns = scale.reshape(-1, 1)
    x = _prepared(b, x, columns)
    grid = _grid(node, b, x, columns, offset)
    shape = (len(scale), *[1] * (len(x.shape) - 1))
    emitted = ir.Affine(x=x.index, weights=b.store(grid.weights.reshape(shape)), **_tail(b, grid, shape))
    b.bind(node, _finished(b, x, grid, emitted))


def add(node: Node, b: Builder) -> None:
    """Two tensors on their finer grid (at most the wanted one), or a tensor and a constant on the tensor's."""
    if any(b.is_constant(name) for name in node.inputs):
        _add_constant(node, b)
        return
    x, y = (floating(node, b.tensor(node, position)) for position in (0, 1))
    if len(x.shape) != len(y.shape):
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)} would align against the batch")
    if any(p != q and 1 not in (p, q) for p, q in zip(x.shape, y.shape, strict=True)):
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)} do not fit each other")
    wanted = max(x.frac_bits, y.frac_bits)
    x, y = (_with_room(b, t, wanted) for t in (x, y))
    frac_bits = _common_grid(node, wanted, x, y)
    x, y = b.regrid(x, frac_bits), b.regrid(y, frac_bits)
    total = b.derive(x, ir.Add(a=x.index, b=y.index), error=x.error + y.error, limit=None)
    b.bind(node, total)


def _finest(x: Tensor) -> int:
    """The most fractional bits with which x can be one of two summands."""
    return x.frac_bits + SUMMAND_BITS - x.fact.magnitude.bit_length()


def _with_room(b: Builder, x: Tensor, frac_bits: int) -> Tensor:
    return x if _finest(x) >= frac_bits else b.within_limit(x)


def _common_grid(node: Node, wanted: int, *summands: Tensor) -> int:
    frac_bits = min(wanted, *(_finest(x) for x in summands))
    if frac_bits < 0:
        raise node.refuse("its values are too large to be added exactly", CALIBRATE)
    return frac_bits


def _add_constant(node: Node, b: Builder) -> None:
    position = 0 if b.is_constant(node.inputs[1]) else 1
    x = floating(node, b.tensor(node, position))
    constant = _floats(b.constant(node, 1 - position, "the other operand"))
    shape = constant_shape(node, constant.shape, x.shape)
    wanted = max(x.frac_bits, b.wanted_frac_bits(node.outputs[0]))
    x = _with_room(b, x, wanted)
    x = b.regrid(x, _common_grid(node, wanted, x, x))
    if not x.shape:
        x = b.derive(x, ir.Reshape(x=x.index, shape=(1,)))
    scaled = np.rint(np.ldexp(constant, x.frac_bits))
    if np.abs(scaled).max() > 2.0**SUMMAND_BITS:
        raise node.refuse(f"its constant reaches {np.abs(constant).max():g}, too large to be added exactly")
    bias = b.store(scaled.astype(np.int64).reshape(shape or (1,)))
    emitted = ir.Affine(x=x.index, weights=None, bias=bias, shifts=None)
    result = b.derive(x, emitted, error=x.error + 2.0**-x.frac_bits / 2, limit=None)
    if not shape and x.shape == (1,):
        result = b.derive(result, ir.Reshape(x=result.index, shape=()))
    b.bind(node, replace(result, limit=None))
