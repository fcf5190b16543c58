"""Functions that jump: Floor, Ceil, Round, ThresholdedRelu, Shrink, Hardmax, IsNaN, IsInf.

Each is exact on the tensor's grid. Where the tensor itself is not known exactly it may lie on the other side of a jump:
the error is then as large as a jump, or unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import added, floating
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.missing import is_missing
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]
BOOL: Final = np.dtype(np.bool_)
CLASSES_MAX: Final = 4096


def affine(b: Builder, x: Tensor, weight: int, bias: int, shift: int, **changes: object) -> Tensor:
    """rhe((weight * n + bias) * 2**-shift) of x's integers."""
    flat = x if x.shape else reshaped(b, x, (1,))
    ones = (1,) * len(flat.shape)
    shifts = b.store(np.full(ones, shift)) if shift else None
    weights, offset = b.store(np.full(ones, weight)), b.store(np.full(ones, bias)) if bias else None
    emitted = ir.Affine(x=flat.index, weights=weights, bias=offset, shifts=shifts)
    return reshaped(b, b.derive(flat, emitted, **changes), x.shape)


def round_(node: Node, b: Builder) -> None:
    """To the nearest whole number, of two to the even one."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, replace(b.regrid(x, 0), error=_jump(x)))


def floor(node: Node, b: Builder) -> None:
    """As `floored`."""
    b.bind(node, floored(b, floating(node, b.tensor(node, 0))))


def floored(b: Builder, x: Tensor) -> Tensor:
    """rhe((2n + 1 - 2**f) / 2**(f + 1)), which is never a tie: n * 2**-f rounded down."""
    return _towards(b, x, 2, 1 - (1 << x.frac_bits))


def ceil(node: Node, b: Builder) -> None:
    """As `floored`, up."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, _towards(b, x, 2, (1 << x.frac_bits) - 1))


def _towards(b: Builder, x: Tensor, weight: int, bias: int) -> Tensor:
    if x.frac_bits == 0:
        return x
    return affine(b, x, weight, bias, x.frac_bits + 1, frac_bits=0, error=_jump(x))


def _jump(x: Tensor) -> float:
    return 1.0 + x.error if x.error else 0.0


def thresholded_relu(node: Node, b: Builder) -> None:
    """x where it is above alpha, else 0."""
    x, alpha = floating(node, b.tensor(node, 0)), node.number("alpha", 1.0)
    b.bind(node, _where_above(node, b, x, alpha, 1, 0.0))


def shrink(node: Node, b: Builder) -> None:
    """x - bias where it is above lambd, x + bias where it is below -lambd, else 0."""
    x, bound, bias = floating(node, b.tensor(node, 0)), node.number("lambd", 0.5), node.number("bias", 0.0)
    if bound < 0:
        raise node.refuse(f"lambd is {bound:g}, it must not be negative")
    above = _where_above(node, b, x, bound, 1, -bias)
    b.bind(node, added(node, b, above, _where_above(node, b, x, bound, -1, bias)))


def _where_above(node: Node, b: Builder, x: Tensor, bound: float, sign: int, offset: float) -> Tensor:
    """x + offset where sign * x > bound, else 0."""
    limit = np.clip(np.floor(np.ldexp(bound, x.frac_bits)), -(2.0**51), 2.0**51)
    step = affine(b, x, sign, -int(limit), 0, frac_bits=0, limit=None)
    chosen = b.derive(step, ir.Clip(x=step.index, low=0, high=1))
    if not abs(offset) <= 2.0**30:
        raise node.refuse(f"its offset is {offset:g}, magnitudes up to 2**30 are supported")
    moved = affine(b, x, 1, int(np.rint(np.ldexp(offset, x.frac_bits))), 0, limit=None) if offset else x
    error = x.error + 2.0**-x.frac_bits / 2 if offset else x.error
    jump = max(abs(bound + sign * offset) + x.error, 0.0) if x.error else 0.0
    result = ir.Mul(a=moved.index, b=chosen.index, shift=0)
    return b.derive(moved, result, error=error + jump, limit=x.limit if not offset else None)


def hardmax(node: Node, b: Builder) -> None:
    """1 at the first maximum along an axis, 0 elsewhere; before opset 13 along all axes from `axis` on, as one."""
    x = floating(node, b.tensor(node, 0))
    shape, y = x.shape, x
    if b.source.opset >= 13:
        axis = row_axis(node, node.integer("axis", -1), shape)
        y = last(b, x, axis)
    else:
        axis = row_axis(node, node.integer("axis", 1), shape)
        y = reshaped(b, x, (*shape[:axis], prod(shape[axis:])))
    size = y.shape[-1]
    if size > CLASSES_MAX:
        raise node.refuse(f"its axis has {size} places, at most {CLASSES_MAX} are supported")
    place = b.derive(y, ir.ArgMax(x=y.index, axis=len(y.shape) - 1), frac_bits=0, limit=None)
    place = reshaped(b, place, y.shape[:-1])
    found = b.derive(place, ir.Lookup(x=place.index, table=b.store(np.eye(size, dtype=np.int64))))
    found = replace(found, error=1.0 if x.error else 0.0)
    b.bind(node, back(b, found, axis) if b.source.opset >= 13 else reshaped(b, found, shape))


def last(b: Builder, x: Tensor, axis: int) -> Tensor:
    """x with this axis moved behind all others."""
    if axis == len(x.shape) - 1:
        return x
    order = (*(place for place in range(len(x.shape)) if place != axis), axis)
    return b.derive(x, ir.Transpose(x=x.index, permutation=order))


def back(b: Builder, x: Tensor, axis: int) -> Tensor:
    """What `last` did, undone."""
    rank = len(x.shape)
    if axis == rank - 1:
        return x
    order = (*range(axis), rank - 1, *range(axis, rank - 1))
    return b.derive(x, ir.Transpose(x=x.index, permutation=order))


def never(node: Node, b: Builder) -> None:
    """IsNaN, IsInf: no number of a grid is. Missing values are NaN."""
    x = b.tensor(node, 0, missing=node.op == "IsNaN")
    if x.missing is not None:
        b.bind(node, is_missing(b, x))
        return
    b.bind(node, affine(b, x, 0, 0, 0, frac_bits=0, dtype=BOOL, limit=None, error=inf if x.error == inf else 0.0))


STEPS: Final[dict[str, Handler]] = {
    "Ceil": ceil, "Floor": floor, "Hardmax": hardmax, "IsInf": never, "IsNaN": never, "Round": round_,
    "Shrink": shrink, "ThresholdedRelu": thresholded_relu,
}  # fmt: skip
