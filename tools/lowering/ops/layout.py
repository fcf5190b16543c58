"""Flatten, Reshape, Identity, Cast: the same numbers under another shape, name or type."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.protobuf import dtype_of
from tools.lowering.source import Node, Shape


def reshaped(b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """x under another row shape; x itself where it has that already."""
    return x if x.shape == shape else b.derive(x, ir.Reshape(x=x.index, shape=shape))


def identity(node: Node, b: Builder) -> None:
    b.bind(node, b.tensor(node, 0))


def cast(node: Node, b: Builder) -> None:
    """Between floating point types (one grid serves all), from integers to those, and to wider integers."""
    x = b.tensor(node, 0)
    to = dtype_of(node.integer("to", 0), node.where)
    if to.kind == "f" or (x.dtype.kind != "f" and to.kind in "iu" and _holds(to.itemsize, to.kind, x)):
        b.bind(node, replace(x, dtype=to))
        return
    raise node.refuse(f"from {x.dtype} to {to} it would cut values; only casts that keep them are supported")


def _holds(size: int, kind: str, x: Tensor) -> bool:
    low, high = (0, (1 << 8 * size) - 1) if kind == "u" else (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)
    return low <= x.fact.low and x.fact.high <= high


def flatten(node: Node, b: Builder) -> None:
    x = b.tensor(node, 0)
    rank = len(x.shape) + 1
    axis = node.integer("axis", 1)
    if axis == rank:
        before, after = prod(x.shape), 1
    else:
        cut = row_axis(node, axis, x.shape)
        before, after = prod(x.shape[:cut]), prod(x.shape[cut:])
    if before != 1:
        raise node.refuse(f"axis {axis} would merge the batch with other dimensions")
    b.bind(node, reshaped(b, x, (after,)))


def reshape(node: Node, b: Builder) -> None:
    """To a constant shape whose first dimension is the batch: 0, -1, or 1 where the file fixes the batch at 1."""
    x = b.tensor(node, 0)
    target = [int(size) for size in b.constant(node, 1, "the shape").reshape(-1)]
    keeps_zero = not node.integer("allowzero", 0)
    if not target:
        raise node.refuse("an empty shape leaves no batch")
    rest = [_copied(node, x, axis, size, keeps_zero) for axis, size in enumerate(target)][1:]
    if rest.count(-1) > 1 or any(size < -1 or size == 0 for size in rest):
        raise node.refuse(f"shape {target} is not supported")
    if -1 in rest:
        known = prod(size for size in rest if size != -1)
        rest[rest.index(-1)] = prod(x.shape) // known
    leads = (target[0] == 0 and keeps_zero) or target[0] == -1 or (target[0] == 1 and b.source.one_is_batch)
    if not leads or prod(rest) != prod(x.shape):
        mend = "keep the batch first: reshape to (0, ...) or (-1, ...) with all of a row's elements after it"
        raise node.refuse(f"shape {target} would mix rows of shape {list(x.shape)} with the batch", mend)
    b.bind(node, reshaped(b, x, tuple(rest)))


def _copied(node: Node, x: Tensor, axis: int, size: int, keeps_zero: bool) -> int:
    """A 0 copies x's dimension; the batch stays 0."""
    if size != 0 or not keeps_zero or axis == 0:
        return size
    if axis > len(x.shape):
        raise node.refuse(f"its shape copies dimension {axis}, which the input does not have")
    return x.shape[axis - 1]
