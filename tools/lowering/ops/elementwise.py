"""Add, Sub, Mul, Div, Neg of two tensors or of a tensor and a constant; Scaler and BatchNormalization."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.fuse import batch_normalization
from tools.lowering.grids import SUM_BITS, Floats, least_frac_bits
from tools.lowering.ops.axes import constant_shape
from tools.lowering.ops.columns import (
    as_floating,
    common_grid,
    filled,
    floating,
    floats,
    negated,
    regridded,
    scaled,
    shifted,
    with_room,
)
from tools.lowering.ops.pieces import repeated
from tools.lowering.source import Node

LIMIT_MIN: Final = 2.0**-126


def add(node: Node, b: Builder) -> None:
    """Two tensors on their finer grid (at most the wanted one), or a tensor and a constant on the tensor's."""
    _sum(node, b, ir.Add, (1, 1))


def sub(node: Node, b: Builder) -> None:
    """As `add`; a constant may be on either side."""
    _sum(node, b, ir.Sub, (1, -1))


def neg(node: Node, b: Builder) -> None:
    """Exact."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, negated(b, x))


def _sum(node: Node, b: Builder, op: type[ir.Add | ir.Sub], signs: tuple[int, int]) -> None:
    constant = _constant_place(node, b)
    if constant is not None:
        x = floating(node, b.tensor(node, 1 - constant))
        x, offset = widened(node, b, constant, x)
        offset = signs[constant] * offset
        room = max(x.frac_bits, b.wanted_frac_bits(node.outputs[0]))
        x = with_room(b, x, room)
        x = b.regrid(x, common_grid(node, room, x, x))
        b.bind(node, shifted(node, b, x, offset, signs[1 - constant]))
        return
    x, y = pair(node, *(floating(node, b.tensor(node, position)) for position in (0, 1)))
    x, y = regridded(node, b, (x, y), max(x.frac_bits, y.frac_bits))
    b.bind(node, b.derive(x, op(a=x.index, b=y.index), error=x.error + y.error, limit=None))


def _constant_place(node: Node, b: Builder) -> int | None:
    return next((place for place in (0, 1) if b.is_constant(node.inputs[place])), None)


def beside(node: Node, b: Builder, place: int, x: Tensor) -> Floats:
    """The constant operand in a shape of x's rank."""
    constant = floats(b.constant(node, place, "the other operand"))
    return constant.reshape(constant_shape(node, constant.shape, x.shape))


def widened(node: Node, b: Builder, place: int, x: Tensor) -> tuple[Tensor, Floats]:
    """(x repeated where it has size 1 and the constant operand more, the operand in a shape of x's rank)."""
    constant = floats(b.constant(node, place, "the other operand"))
    shape = constant_shape(node, constant.shape, x.shape, widens=True)
    wide = tuple(max(sizes) for sizes in zip(shape, x.shape, strict=True))
    return repeated(node, b, x, wide), constant.reshape(shape)


def pair(node: Node, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The two, refused unless their shapes fit each other row by row."""
    if len(x.shape) != len(y.shape):
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)} would align against the batch")
    if any(p != q and 1 not in (p, q) for p, q in zip(x.shape, y.shape, strict=True)):
        raise node.refuse(f"rows of shape {list(x.shape)} and {list(y.shape)} do not fit each other")
    return x, y


def mul(node: Node, b: Builder) -> None:
    """A tensor and a constant, with a bias as a third input from `fuse`; or two tensors, rounded once."""
    constant = _constant_place(node, b)
    if constant is not None:
        x = floating(node, b.tensor(node, 1 - constant))
        (x, scale), offset = widened(node, b, constant, x), None
        if node.has_input(2):
            x, offset = widened(node, b, 2, x)
            shape = np.broadcast_shapes(scale.shape, offset.shape)
            scale, offset = np.broadcast_to(scale, shape), np.broadcast_to(offset, shape)
        b.bind(node, scaled(node, b, x, scale, offset))
        return
    x, y = pair(node, *(floating(node, b.tensor(node, position)) for position in (0, 1)))
    b.bind(node, product(node, b, x, y))


def product(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """x * y; where the exact product does not fit, both are clipped and the finer one is coarsened."""
    if x.fact.magnitude * y.fact.magnitude > 1 << SUM_BITS:
        same = x.index == y.index
        x = b.within_limit(x)
        y = x if same else b.within_limit(y)
    x, y = _multipliable(node, b, x, y)
    fine = x.frac_bits + y.frac_bits
    frac_bits = min(fine, b.wanted_frac_bits(node.outputs[0]))
    known = isfinite(x.error + y.error)
    error = x.magnitude * y.error + y.magnitude * x.error + x.error * y.error if known else float("inf")
    error += 2.0**-frac_bits / 2 if fine > frac_bits else 0.0
    emitted = ir.Mul(a=x.index, b=y.index, shift=fine - frac_bits)
    return b.derive(x, emitted, frac_bits=frac_bits, error=error, limit=None)


def _multipliable(node: Node, b: Builder, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The two, coarsened until their product fits: bit by bit of the finer one, of both where they are one."""
    p, q, drops = x.fact.magnitude, y.fact.magnitude, [0, 0]
    while p * q > 1 << SUM_BITS:
        bits = x.frac_bits - drops[0], y.frac_bits - drops[1]
        if max(bits) <= least_frac_bits(node.op):
            raise node.refuse("its values are too large to be multiplied exactly", CALIBRATE)
        if x.index == y.index or bits[0] >= bits[1]:
            p, drops[0] = (p + 1) // 2, drops[0] + 1
        if x.index == y.index or bits[0] < bits[1]:
            q, drops[1] = (q + 1) // 2, drops[1] + 1
    coarse = b.drop(x, drops[0]) if drops[0] else x
    return coarse, coarse if x.index == y.index else b.drop(y, drops[1]) if drops[1] else y


def div(node: Node, b: Builder) -> None:
    """By a constant without zeros: times its reciprocal. By a computed tensor that keeps its sign: rounded twice;
    where the float model would divide by 0, by the least number of the divisor's grid instead."""
    if not b.is_constant(node.inputs[1]):
        y = floating(node, b.tensor(node, 1))
        given = b.is_constant(node.inputs[0])
        x = filled(node, b, y, beside(node, b, 0, y)) if given else floating(node, b.tensor(node, 0))
        x, y = pair(node, x, y)
        limit = b.limit(node.outputs[0])
        b.bind(node, ratio(node, b, x, y, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits), limit))
        return
    x = floating(node, b.tensor(node, 0))
    x, constant = widened(node, b, 1, x)
    if not constant.all():
        raise node.refuse("its divisor holds 0")
    b.bind(node, scaled(node, b, x, 1 / constant, None))


def ratio(node: Node, b: Builder, x: Tensor, divisor: Tensor, frac_bits: int, limit: float | None = None) -> Tensor:
    """x / divisor with that many fractional bits, or as many fewer as keep it within SUM_BITS. `limit`: what
    calibration asks to keep of it."""
    if divisor.fact.low < 0:
        divisor = b.kept_away(divisor)
    if divisor.fact.high < 0:
        x, divisor = negated(b, x), negated(b, divisor)
    if divisor.fact.low < 0 or divisor.fact.high < 1:
        low, high = (end * 2.0**-divisor.frac_bits for end in (divisor.fact.low, divisor.fact.high))
        mend = "divide by what is proven to keep its sign: a sum of probabilities, a Clip or an Abs plus a constant"
        raise node.refuse(f"its divisor may be anything from {low:g} to {high:g}", mend)
    x = b.within_limit(x)
    x, least = (x, divisor.fact.low) if not limit else _kept_apart(b, x, divisor, frac_bits, max(limit, LIMIT_MIN))
    if divisor.fact.low < max(least, 1):
        divisor = b.derive(divisor, ir.Clip(x=divisor.index, low=max(least, 1), high=divisor.fact.high))
    bits = (x.fact.magnitude // divisor.fact.low).bit_length()
    frac_bits = min(frac_bits, SUM_BITS - bits + x.frac_bits - divisor.frac_bits)
    if frac_bits < 0:
        raise node.refuse("its quotients may be too large to be exact", CALIBRATE)
    shift = x.frac_bits - divisor.frac_bits - frac_bits
    emitted = ir.Div(a=x.index, b=divisor.index, shift=shift)
    smallest = least * 2.0**-divisor.frac_bits - divisor.error
    result = b.derive(x, emitted, frac_bits=frac_bits, error=float("inf"), limit=None)
    if smallest <= 0:
        return result
    error = (x.error + result.magnitude * divisor.error) / smallest + 2.0**-frac_bits / 2
    return replace(result, error=error)


def _kept_apart(b: Builder, x: Tensor, divisor: Tensor, frac_bits: int, limit: float) -> tuple[Tensor, int]:
    """(x, the least divisor) for quotients up to the limit: a divisor so small that one step of x's grid would be more
    meets an x of 0. So an epsilon that keeps a divisor from 0 costs no bits, if x's grid is no finer than it has to."""
    smallest = max(divisor.fact.low, 1) * 2.0**-divisor.frac_bits
    room = SUM_BITS - int(np.frexp(x.magnitude * limit)[1])
    frac_bits = min(frac_bits, room // 2)
    if np.frexp(x.magnitude / smallest)[1] > SUM_BITS - frac_bits and frac_bits >= 0:
        x = b.regrid(x, min(x.frac_bits, room - frac_bits))
    step = int(np.ldexp(1 / limit, divisor.frac_bits - x.frac_bits))
    return x, max(divisor.fact.low, min(step, divisor.fact.high))


def batch_norm(node: Node, b: Builder) -> None:
    """One scale and offset per channel, where no linear op before it took them in."""
    x = floating(node, b.tensor(node, 0))
    if node.flag("training_mode") or any(node.outputs[1:]):
        raise node.refuse("it is in training mode", "export for inference (model.eval())")
    for position, what in enumerate(("scale", "B", "mean", "var"), start=1):
        b.constant(node, position, what)
    parameters = batch_normalization(node, dict(b.source.constants))
    if parameters is None or not x.shape or parameters[0].shape != x.shape[:1]:
        raise node.refuse(f"its parameters do not fit rows of shape {list(x.shape)}")
    shape = (x.shape[0], *[1] * (len(x.shape) - 1))
    scale, offset = (floats(array).reshape(shape) for array in parameters)
    b.bind(node, scaled(node, b, x, scale, offset))


def scaler(node: Node, b: Builder) -> None:
    """(x - offset) * scale, for each feature or with one number for all."""
    x = b.tensor(node, 0)
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    offset, scale = (_per_feature(node, name, x.shape[0]) for name in ("offset", "scale"))
    scale = np.ones(x.shape) if scale is None else scale
    x = as_floating(x)
    b.bind(node, scaled(node, b, x, scale, None if offset is None else -offset * scale))


def _per_feature(node: Node, name: str, width: int) -> Floats | None:
    found = node.numbers(name)
    if not found:
        return None
    if len(found) not in (1, width):
        raise node.refuse(f"{len(found)} numbers of {name} do not fit {width} features")
    return np.broadcast_to(np.array(found), (width,)).copy()
