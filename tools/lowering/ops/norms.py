"""Layer-, Instance-, Group-, MeanVariance-, RMS- and LpNormalization, LRN: rows over roots of sums of squares.

All but LRN are u = d / sqrt(sum d**2 + c) with |u| <= 1, times a constant: sums of squares are exact up to one rounding
each, the root and the quotient are one correctly rounded operation each. For a mean over K elements d = K x - sum x,
an integer without rounding; then (x - mean) / sqrt(variance + epsilon) = sqrt(K) d / sqrt(sum d**2 + K**3 epsilon).
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.grids import SUM_BITS, Floats
from tools.lowering.ops.axes import constant_shape, row_axis
from tools.lowering.ops.columns import floating, floats, scaled
from tools.lowering.ops.elementwise import product, ratio
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.linear import convolved
from tools.lowering.ops.normalize import shares
from tools.lowering.ops.powers import root
from tools.lowering.ops.reduce import magnitudes, summed
from tools.lowering.source import Node, Shape

UNIT_BITS: Final = 28
"""Fractional bits of u, which lies within +-1."""
FACTOR_BITS: Final = 26
"""A factor of a square: the product is within 2**52."""
MEAN_VARIANCE_EPSILON: Final = 1e-9
"""The standard's, of MeanVarianceNormalization."""
ROOT_BITS: Final = 26
"""A root of 2**52 at most is within 2**26, and gets so many bits more."""


def layer_norm(node: Node, b: Builder) -> None:
    """Over all dimensions from `axis` on, then a constant scale and bias."""
    x = floating(node, b.tensor(node, 0))
    _only_first_output(node, b)
    axes = tuple(range(row_axis(node, node.integer("axis", -1), x.shape), len(x.shape)))
    scale, bias = (_parameter(node, b, x, position) for position in (1, 2))
    b.bind(node, centred(node, b, x, axes, _epsilon(node), scale, bias))


def mean_variance_norm(node: Node, b: Builder) -> None:
    """(x - mean) / sqrt(variance + 1e-9) over axes that leave the batch alone."""
    x = floating(node, b.tensor(node, 0))
    found = node.integers("axes")
    axes = tuple(sorted({row_axis(node, axis, x.shape) for axis in ((0, 2, 3) if found is None else found)}))
    if not axes:
        raise node.refuse("it names no axes")
    b.bind(node, centred(node, b, x, axes, MEAN_VARIANCE_EPSILON, None, None))


def rms_norm(node: Node, b: Builder) -> None:
    """x / sqrt(mean of x**2 + epsilon), times a constant scale."""
    x = floating(node, b.tensor(node, 0))
    axes = tuple(range(row_axis(node, node.integer("axis", -1), x.shape), len(x.shape)))
    count = prod(x.shape[axis] for axis in axes)
    u = unit(node, b, x, axes, count * _epsilon(node))
    scale = _parameter(node, b, x, 1)
    b.bind(node, scaled(node, b, u, (np.ones((1,) * len(x.shape)) if scale is None else scale) * count**0.5, None))


def instance_norm(node: Node, b: Builder) -> None:
    """Over the spatial dimensions of each channel."""
    x = floating(node, b.tensor(node, 0))
    if len(x.shape) < 2:
        raise node.refuse(f"rows of shape {list(x.shape)} have no spatial dimensions")
    scale, bias = (_per_channel(node, b, x, position) for position in (1, 2))
    axes = tuple(range(1, len(x.shape)))
    b.bind(node, centred(node, b, x, axes, _epsilon(node), scale, bias))


def group_norm(node: Node, b: Builder) -> None:
    """Over groups of channels and all spatial dimensions."""
    x = floating(node, b.tensor(node, 0))
    groups = node.integer("num_groups", 0)
    if len(x.shape) < 2 or groups < 1 or x.shape[0] % groups:
        raise node.refuse(f"{groups} groups do not fit rows of shape {list(x.shape)}")
    scale, bias = (_per_channel(node, b, x, position) for position in (1, 2))
    parts = reshaped(b, x, (groups, x.fact.elements // groups))
    d, count = _deviations(node, b, parts, (1,))
    u = reshaped(b, unit(node, b, d, (1,), count**3 * _epsilon(node)), x.shape)
    b.bind(node, scaled(node, b, u, scale * count**0.5, bias))


def lp_norm(node: Node, b: Builder) -> None:
    """Along one axis, by the root of the sum of squares or by the sum of magnitudes; where the float model would divide
    0 by 0, 0."""
    x = floating(node, b.tensor(node, 0))
    p, axis = node.integer("p", 2), row_axis(node, node.integer("axis", -1), x.shape)
    if p not in (1, 2):
        raise node.refuse(f"p is {p}, 1 and 2 are supported")
    b.bind(node, unit(node, b, x, (axis,), 0.0) if p == 2 else shares(node, b, x, axis, magnitudes))


def lrn(node: Node, b: Builder) -> None:
    """x / (bias + alpha / size * the sum of squares over nearby channels) ** beta, for a beta of so many quarters."""
    x = floating(node, b.tensor(node, 0))
    size, quarters = node.integer("size", 1), 4 * node.number("beta", 0.75)
    base, alpha = node.number("bias", 1.0), node.number("alpha", 1e-4)
    if not x.shape or not 1 <= size <= 2 * x.shape[0] or quarters not in (1, 2, 3, 4):
        reason = f"size {size} and beta {quarters / 4:g} for rows of shape {list(x.shape)}"
        raise node.refuse(f"{reason}: a beta of 0.25, 0.5, 0.75 or 1 over some of the channels is supported")
    if base <= 0 or alpha < 0:
        raise node.refuse(f"bias {base:g} must be positive, alpha {alpha:g} not negative")
    flat = reshaped(b, x, (1, x.shape[0], x.fact.elements // x.shape[0]))
    weights, before = np.full((1, 1, size, 1), alpha / size), (size - 1) // 2
    pads = (before, 0), (size - 1 - before, 0)
    spread = convolved(node, b, product(node, b, flat, flat), weights, np.array([base]), (1, 1), *pads, (1, 1), 1)
    half = spread if quarters == 4 else root(node, b, spread, UNIT_BITS)
    quarter = root(node, b, half, UNIT_BITS) if quarters in (1, 3) else half
    divisor = product(node, b, half, quarter) if quarters == 3 else quarter
    wanted = max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits)
    b.bind(node, reshaped(b, ratio(node, b, flat, divisor, wanted), x.shape))


def centred(
    node: Node, b: Builder, x: Tensor, axes: Shape, epsilon: float, scale: Floats | None, bias: Floats | None
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, the mean and variance being over these axes."""
    d, count = _deviations(node, b, x, axes)
    u = unit(node, b, d, axes, count**3 * epsilon)
    ones = np.ones((1,) * len(x.shape))
    along = np.broadcast_arrays(ones if scale is None else scale, ones if bias is None else bias)
    return scaled(node, b, u, floats(along[0]) * count**0.5, None if bias is None else floats(along[1]))


def _deviations(node: Node, b: Builder, x: Tensor, axes: Shape) -> tuple[Tensor, int]:
    """(K x - sum x, K) for the K elements along the axes."""
    count = prod(x.shape[axis] for axis in axes)
    x = b.within_limit(x)
    excess = (2 * count * x.fact.magnitude).bit_length() - SUM_BITS
    if excess > x.frac_bits:
        raise node.refuse("its values are too large for their deviations to be exact", CALIBRATE)
    x = b.drop(x, max(0, excess))
    total = summed(node, b, x, axes)
    weights = b.store(np.full((1,) * len(x.shape), count))
    times = b.derive(x, ir.Affine(x=x.index, weights=weights, bias=None, shifts=None))
    d = ir.Sub(a=times.index, b=total.index)
    limit = None if x.limit is None else 2 * count * x.limit
    return b.derive(x, d, error=2 * count * x.error, limit=limit), count


def unit(node: Node, b: Builder, d: Tensor, axes: Shape, constant: float) -> Tensor:
    """d / sqrt(sum of d**2 over the axes + constant). A vector that is wrong by e gives a u that is wrong by no more
    than e over the root, and never by more than 2."""
    count = prod(d.shape[axis] for axis in axes)
    d = b.within_limit(d)
    coarse = max(0, d.fact.magnitude.bit_length() - FACTOR_BITS)
    s = b.regrid(d, d.frac_bits - coarse)
    shift = max(0, 2 * s.fact.magnitude.bit_length() + (count - 1).bit_length() - (SUM_BITS - 1))
    shift += shift % 2  # so that the root has a grid too
    square = b.derive(s, ir.Mul(a=s.index, b=s.index, shift=shift))
    total = b.derive(square, ir.ReduceSum(x=square.index, axes=axes))
    grid = 2 * s.frac_bits - shift
    added = max(1, round(float(np.ldexp(constant, grid))))
    if added > 1 << SUM_BITS:
        raise node.refuse("its epsilon is far larger than its values")
    bias = b.store(np.full((1,) * len(d.shape), added))
    total = b.derive(total, ir.Affine(x=total.index, weights=None, bias=bias, shifts=None))
    root = b.derive(total, ir.Sqrt(x=total.index, shift=-ROOT_BITS))
    root_bits = grid // 2 + ROOT_BITS
    least = float(np.ldexp(float(root.fact.low), -root_bits))
    room = SUM_BITS - 1 - int(np.frexp(d.magnitude / least)[1])
    bits = min(UNIT_BITS, room)
    if bits < 0:
        raise node.refuse("its epsilon is too small beside its values", CALIBRATE)
    u = b.derive(d, ir.Div(a=d.index, b=root.index, shift=d.frac_bits - root_bits - bits), frac_bits=bits, limit=1.0)
    one = 1 << bits
    if u.fact.magnitude > one:
        u = b.derive(u, ir.Clip(x=u.index, low=-one, high=one))
    moved = (d.error + 2.0**-s.frac_bits) * count**0.5 / least if isfinite(d.error) else 2.0
    return replace(u, error=min(2.0, moved + 2.0**-bits))


def _epsilon(node: Node) -> float:
    found = node.number("epsilon", 1e-5)
    if found < 0:
        raise node.refuse(f"epsilon is {found:g}")
    return found


def _only_first_output(node: Node, b: Builder) -> None:
    if any(b.is_read(node, position) for position in range(1, len(node.outputs))):
        raise node.refuse("its outputs Mean and InvStdDev are not supported", "read its first output only")


def _parameter(node: Node, b: Builder, x: Tensor, position: int) -> Floats | None:
    if not node.has_input(position):
        return None
    found = floats(b.constant(node, position, "scale" if position == 1 else "bias"))
    return found.reshape(constant_shape(node, found.shape, x.shape))


def _per_channel(node: Node, b: Builder, x: Tensor, position: int) -> Floats:
    found = floats(b.constant(node, position, "scale" if position == 1 else "bias"))
    if found.shape != x.shape[:1]:
        raise node.refuse(f"parameters of shape {list(found.shape)} are not one for each of {x.shape[0]} channels")
    return found.reshape(-1, *[1] * (len(x.shape) - 1))
