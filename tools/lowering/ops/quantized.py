"""QuantizeLinear, DequantizeLinear, QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger, DynamicQuantizeLinear: what
is integers already. Products are exact, and each rounding is one to the nearest, a tie to the even one.

A multiplier is taken as the float32 that onnxruntime makes of the scales: its 24 bits times an accumulator's are exact
mostly, so integers differ from onnxruntime's only where its own float32 product falls on a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import SINGLE_EXACT_MAX
from tools.lowering.builder import Builder, Tensor
from tools.lowering.errors import AloneNeeded
from tools.lowering.grids import SUM_BITS, Floats, Ints
from tools.lowering.ops.axes import row_axis, window
from tools.lowering.ops.columns import floating, floats, scaled
from tools.lowering.ops.layout import reshaped
from tools.lowering.protobuf import dtype_of
from tools.lowering.source import Array, Node

REAL_BITS: Final = 30
"""Of what integers times a scale become; products with weights drop what they have no room for."""
DIVISOR_BITS: Final = 40
MULTIPLIER_BITS: Final = 24
SNAP_FRAC_BITS: Final = 18
INT32: Final = np.dtype(np.int32)
BYTES: Final = (np.dtype(np.int8), np.dtype(np.uint8))


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _quantized(node: Node, x: Tensor) -> Tensor:
    if x.dtype.kind not in "iu":
        raise node.refuse(f"it reads {x.dtype} where integers are needed")
    return x


def _along(node: Node, x: Tensor, values: Array, what: str) -> Array:
    """A scale or zero point in a shape of x's rank: one for all, one per place of the axis, or one per block of it."""
    rank = len(x.shape)
    if values.size == 1:
        return values.reshape((1,) * rank)
    if values.ndim == 1:
        axis = row_axis(node, node.integer("axis", 1), x.shape)
        if len(values) != x.shape[axis]:
            raise node.refuse(f"{len(values)} numbers of {what} do not fit a dimension of {x.shape[axis]}")
        return values.reshape([-1 if dim == axis else 1 for dim in range(rank)])
    axis, block = row_axis(node, node.integer("axis", 1), x.shape), node.integer("block_size", 0)
    if values.ndim != rank + 1 or values.shape[0] != 1 or block < 1:
        raise node.refuse(f"{what} of shape {list(values.shape)} does not fit rows of shape {list(x.shape)}")
    wide = np.repeat(values[0], block, axis)[tuple(slice(size) for size in x.shape)]
    if wide.shape != x.shape:
        raise node.refuse(f"blocks of {block} with {what} of shape {list(values.shape)} do not fit {list(x.shape)}")
    return wide


def _scale(node: Node, b: Builder, position: int, what: str) -> Floats:
    """Positive numbers as float64, of the node's own float type."""
    found = floats(b.constant(node, position, what))
    if not found.size or not (found > 0).all() or not np.isfinite(found).all():
        raise node.refuse(f"{what} must be positive, it is {float(found.min()) if found.size else 'empty'}")
    return found


def _zero(node: Node, b: Builder, position: int, what: str) -> Ints:
    if not node.has_input(position):
        return np.zeros((), np.int64)
    found = b.constant(node, position, what)
    if found.dtype.kind not in "iu":
        raise node.refuse(f"{what} is {found.dtype}, only integers are supported")
    return found.astype(np.int64)


def _plus(b: Builder, x: Tensor, addend: Ints) -> Tensor:
    """x + addend of its rank, exact."""
    if not addend.any():
        return x
    if not x.shape:
        return reshaped(b, _plus(b, reshaped(b, x, (1,)), addend.reshape(1)), ())
    return b.derive(x, ir.Affine(x=x.index, weights=None, bias=b.store(addend), shifts=None), limit=None)


def _within(b: Builder, x: Tensor, zero: Ints, dtype: np.dtype[Any]) -> Tensor:
    """x + zero, cut to the type. A zero point for all is added after one Clip; several need one before and after."""
    low, high = _limits(dtype)
    x = _plus(b, x, zero)
    if low <= x.fact.low and x.fact.high <= high:
        return replace(x, dtype=dtype)
    return b.derive(x, ir.Clip(x=x.index, low=low, high=high), dtype=dtype)


# ---- QuantizeLinear, DequantizeLinear


def quantize_linear(node: Node, b: Builder) -> None:
    """x / scale, rounded, plus the zero point, cut to the type: the quotient is a correctly rounded one."""
    x = b.tensor(node, 0)
    given = node.integer("output_dtype", 0)
    dtype = np.dtype(np.uint8) if not given else dtype_of(given, node.where)
    if node.has_input(2):
        dtype = b.constant(node, 2, "y_zero_point").dtype
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise node.refuse(f"it quantises to {dtype}; 8 and 16 bit integers are supported")
    scale = _along(node, x, _scale(node, b, 1, "y_scale"), "y_scale")
    zero = _along(node, x, _zero(node, b, 2, "y_zero_point"), "y_zero_point")
    b.bind(node, _within(b, _divided(node, b, x, scale), zero, dtype))


def _divided(node: Node, b: Builder, x: Tensor, scale: Floats) -> Tensor:
    """rhe(x / scale). The scale's bits are a whole number m * 2**-k; x is cut to what its quotients need."""
    if not x.shape:
        return reshaped(b, _divided(node, b, reshaped(b, x, (1,)), scale.reshape(1)), ())
    k = DIVISOR_BITS - int(np.frexp(scale.max())[1])
    divisors = np.rint(np.ldexp(scale, k)).astype(np.int64)
    if divisors.min() < 1:
        raise node.refuse(f"its scales reach from {scale.min():g} to {scale.max():g}, too far apart")
    shift = x.frac_bits - k
    if abs(shift) > 100:
        raise node.refuse(f"its scale {scale.max():g} is out of range")
    x = b.within_limit(x)
    most = int(min(2.0**52, float(np.ldexp(np.ldexp(1.0, 20) * scale.max(), x.frac_bits))))
    if x.fact.magnitude > most:
        x = b.derive(x, ir.Clip(x=x.index, low=-max(1, most), high=max(1, most)))
    one = replace(x, dtype=np.dtype(np.float32), frac_bits=0)
    by = _constant(node, b, one, divisors)
    error = 0.0 if not x.error else x.error / float(scale.min()) + 1.0
    return replace(_rounded_quotient(b, x, by, shift), error=error)


def _rounded_quotient(b: Builder, x: Tensor, by: Tensor, shift: int) -> Tensor:
    """rhe(x / by * 2**-shift), first rounded to about what float32 has: what is a tie there, is one here."""
    snapped = b.derive(x, ir.Div(a=x.index, b=by.index, shift=shift - SNAP_FRAC_BITS), frac_bits=0, limit=None)
    return b.derive(snapped, ir.Rescale(x=snapped.index, shift=SNAP_FRAC_BITS))


def _constant(node: Node, b: Builder, like: Tensor, values: Ints) -> Tensor:
    """Integers as a tensor that is the same in every row."""
    x = like if like.shape else reshaped(b, like, (1,))
    rank = len(x.shape)
    one = b.derive(x, ir.Slice(x=x.index, starts=(0,) * rank, counts=(1,) * rank, steps=(1,) * rank))
    zero = b.derive(one, ir.Affine(x=one.index, weights=b.store(np.zeros((1,) * rank, int)), bias=None, shifts=None))
    zero = reshaped(b, zero, (1,) * values.ndim)
    if values.size > 1:
        after = tuple(size - 1 for size in values.shape)
        zero = b.derive(zero, ir.Pad(x=zero.index, before=(0,) * values.ndim, after=after, value=0))
    emitted = ir.Affine(x=zero.index, weights=None, bias=b.store(values), shifts=None)
    return b.derive(zero, emitted, frac_bits=0, error=0.0, limit=None)


def dequantize_linear(node: Node, b: Builder) -> None:
    """(x - zero point) * scale."""
    x = _quantized(node, b.tensor(node, 0))
    dtype = b.constant(node, 1, "x_scale").dtype
    scale = _along(node, x, _scale(node, b, 1, "x_scale"), "x_scale")
    zero = _along(node, x, _zero(node, b, 2, "x_zero_point"), "x_zero_point")
    apart = replace(_plus(b, x, -zero), dtype=dtype)
    halves, exponents = np.frexp(scale)
    if (halves == 0.5).all():
        wanted = max(0, 1 - int(exponents.min()))  # exact
    else:
        largest = apart.magnitude * float(scale.max())
        wanted = max(b.wanted_frac_bits(node.outputs[0]), REAL_BITS - int(np.frexp(largest)[1]))
    b.bind(node, replace(scaled(node, b, apart, scale, None, wanted), limit=None))


# ---- sums of products


def _centred(node: Node, b: Builder, x: Tensor, position: int, what: str) -> Tensor:
    """x minus its zero point, one for all: a constant, or computed as by DynamicQuantizeLinear."""
    x = replace(_quantized(node, x), dtype=INT32)
    if not node.has_input(position):
        return x
    if b.is_constant(node.inputs[position]):
        zero = _zero(node, b, position, what)
        if zero.size != 1:
            raise node.refuse(f"{what} has {zero.size} numbers, one is supported")
        return _plus(b, x, -zero.reshape((1,) * len(x.shape)))
    zero_point = _quantized(node, b.tensor(node, position))
    if zero_point.fact.elements != 1 or not b.source.whole:
        raise node.refuse(f"{what} is computed for all rows together", "export with a fixed batch of 1")
    zero_point = reshaped(b, zero_point, (1,) * len(x.shape))
    error = x.error + zero_point.error
    return b.derive(x, ir.Sub(a=x.index, b=zero_point.index), error=error, limit=None)


def _columns(node: Node, b: Builder, position: int, zero_position: int, axis: int) -> Ints:
    """Constant weights minus their zero point, which is one for all or one per place of `axis`."""
    weights = b.constant(node, position, "the weights")
    zero = _zero(node, b, zero_position, "the weights' zero point")
    if weights.dtype.kind not in "iu" or weights.ndim < 2:
        raise node.refuse(f"its weights are {weights.dtype} of shape {list(weights.shape)}")
    if zero.size not in (1, weights.shape[axis]):
        raise node.refuse(f"{zero.size} zero points do not fit weights of shape {list(weights.shape)}")
    shape = [-1 if dim == axis % weights.ndim else 1 for dim in range(weights.ndim)]
    return weights.astype(np.int64) - (zero.reshape(shape) if zero.size > 1 else zero.reshape(()))


def _summed(b: Builder, x: Tensor, emitted: ir.Node, sums: int) -> Tensor:
    """The accumulator: exact. sums: the largest sum of weights, by which an error of x grows."""
    return b.derive(x, emitted, frac_bits=0, dtype=INT32, error=x.error * sums, limit=None)


def _convolved(node: Node, b: Builder, x: Tensor, weights: Ints, bias: Ints | None) -> Tensor:
    groups = node.integer("group", 1)
    if len(x.shape) < 2 or weights.ndim != len(x.shape) + 1:
        raise node.refuse(f"weights of shape {list(weights.shape)} do not fit rows of shape {list(x.shape)}")
    if groups < 1 or weights.shape[1] * groups != x.shape[0] or weights.shape[0] % groups:
        raise node.refuse(f"{groups} groups do not fit weights {list(weights.shape)} and rows {list(x.shape)}")
    if (node.integers("kernel_shape") or weights.shape[2:]) != weights.shape[2:]:
        raise node.refuse("kernel_shape differs from the shape of the weights")
    view = window(node, x.shape[1:], weights.shape[2:])
    sums = int(np.abs(weights).reshape(len(weights), -1).sum(axis=1).max())
    single = max(sums, 1) * max(x.fact.magnitude, 1) <= SINGLE_EXACT_MAX
    emitted = ir.Conv(
        x=x.index,
        weights=b.store(weights),
        bias=None if bias is None or not bias.any() else b.store(bias),
        shifts=None,
        strides=view.strides,
        pads_begin=view.pads_begin,
        pads_end=view.pads_end,
        dilations=view.dilations,
        groups=groups,
        form=ir.ConvForm.SINGLE if single else ir.ConvForm.DOUBLE,
    )
    return _summed(b, x, emitted, sums)


def _multiplied(node: Node, b: Builder, a: Tensor, position: int, zero_position: int) -> Tensor:
    """a @ B, of a constant matrix or of a computed tensor as long as a's rank."""
    if not a.shape:
        raise node.refuse("its input has one dimension, the batch; rows would be summed")
    rank = b.constant(node, position, "B").ndim if b.is_constant(node.inputs[position]) else 0
    if rank == 1 and len(a.shape) > 1:
        column = b.hold(f"{node.outputs[0]}/column", b.constant(node, position, "B")[:, np.newaxis])
        inputs = tuple(column if place == position else name for place, name in enumerate(node.inputs))
        found = _multiplied(replace(node, inputs=inputs), b, a, position, zero_position)
        return reshaped(b, found, found.shape[:-1])
    if rank == 2:
        weights = _columns(node, b, position, zero_position, 1)
        if weights.shape[0] != a.shape[-1]:
            raise node.refuse(f"{weights.shape[0]} weights per column do not fit rows of shape {list(a.shape)}")
        emitted: ir.Node = ir.Gemm(x=a.index, weights=b.store(weights.T), bias=None, shifts=None)
        return _summed(b, a, emitted, int(np.abs(weights).sum(axis=0).max()))
    if b.is_constant(node.inputs[position]):
        values = _columns(node, b, position, zero_position, -1)
        values = values[0] if values.ndim == len(a.shape) + 1 and len(values) == 1 else values
        other = _constant(node, b, a, values)
    else:
        other = _centred(node, b, b.tensor(node, position), zero_position, "B's zero point")
    if len(other.shape) != len(a.shape) or len(a.shape) < 2:
        raise node.refuse(f"rows of shape {list(a.shape)} and {list(other.shape)} are no pair of matrices")
    error = (a.error * other.magnitude + other.error * (a.magnitude + a.error)) * a.shape[-1]
    emitted = ir.MatMul(a=a.index, b=other.index, shift=0)
    return b.derive(a, emitted, frac_bits=0, dtype=INT32, error=error, limit=None)


def conv_integer(node: Node, b: Builder) -> None:
    """As int32, exact."""
    x = _centred(node, b, b.tensor(node, 0), 2, "x's zero point")
    b.bind(node, _fitting(node, _convolved(node, b, x, _columns(node, b, 1, 3, 0), None)))


def matmul_integer(node: Node, b: Builder) -> None:
    """As int32, exact."""
    a = _centred(node, b, b.tensor(node, 0), 2, "A's zero point")
    b.bind(node, _fitting(node, _multiplied(node, b, a, 1, 3)))


def _fitting(node: Node, x: Tensor) -> Tensor:
    low, high = _limits(INT32)
    if x.fact.low < low or x.fact.high > high:
        raise node.refuse(f"its sums may reach {x.fact.magnitude}, which overflows int32")
    return x


def qlinear_conv(node: Node, b: Builder) -> None:
    """Inputs x, its scale, its zero point, the same of w and y, and int32 biases."""
    x = _centred(node, b, b.tensor(node, 0), 2, "x's zero point")
    weights = _columns(node, b, 3, 5, 0)
    bias = b.constant(node, 8, "B").astype(np.int64) if node.has_input(8) else None
    if bias is not None and bias.shape != weights.shape[:1]:
        raise node.refuse(f"a bias of shape {list(bias.shape)} does not fit {weights.shape[0]} channels")
    sums = _convolved(node, b, x, weights, bias)
    b.bind(node, _requantized(node, b, sums, (1, 4, 6), 7, channel=0))


def qlinear_matmul(node: Node, b: Builder) -> None:
    """Inputs a, its scale, its zero point, the same of b and y."""
    a = _centred(node, b, b.tensor(node, 0), 2, "a's zero point")
    b.bind(node, _requantized(node, b, _multiplied(node, b, a, 3, 5), (1, 4, 6), 7, channel=-1))


def _requantized(
    node: Node, b: Builder, sums: Tensor, scales: Sequence[int], zero_position: int, *, channel: int
) -> Tensor:
    """The sums times scale x * scale w / scale y, rounded, plus the zero point, cut to its type."""
    first, second, third = (
        b.constant(node, place, "a scale").astype(np.float32).reshape(-1)
        for place in scales
        if _scale(node, b, place, "a scale").size
    )
    zero, dtype = (
        _zero(node, b, zero_position, "y's zero point"),
        b.constant(node, zero_position, "y's zero point").dtype,
    )
    if first.size != 1 or third.size != 1 or zero.size != 1 or dtype not in BYTES:
        raise node.refuse("scales and zero points of x and y must be one number each, of 8 bit integers")
    multipliers = floats(first * second / third)
    rank = len(sums.shape)
    if multipliers.size not in (1, sums.shape[channel]):
        raise node.refuse(f"{multipliers.size} scales of weights do not fit {sums.shape[channel]} channels")
    shape = [-1 if dim == channel % rank else 1 for dim in range(rank)]
    return _within(b, _times(node, b, sums, multipliers.reshape(shape)), zero.reshape((1,) * rank), dtype)


def _times(node: Node, b: Builder, sums: Tensor, multipliers: Floats) -> Tensor:
    """rhe(sums * multipliers), each with as many of its 24 bits as fit."""
    bits = min(MULTIPLIER_BITS, SUM_BITS - sums.fact.magnitude.bit_length())
    shifts = np.clip(bits - np.frexp(multipliers)[1].astype(np.int64), 0, 127)
    weights = np.rint(np.ldexp(multipliers, shifts)).astype(np.int64)
    if bits < 8 or int(np.abs(weights).max()) * max(1, sums.fact.magnitude) > 1 << (SUM_BITS + 1):
        raise node.refuse("its sums are too large to be scaled exactly")
    emitted = ir.Affine(x=sums.index, weights=b.store(weights), bias=None, shifts=b.store(shifts))
    error = sums.error * float(multipliers.max()) + 1.0 if sums.error else 0.0
    return b.derive(sums, emitted, error=error, limit=None)


# ---- DynamicQuantizeLinear


def dynamic_quantize_linear(node: Node, b: Builder) -> None:
    """uint8 over the range of x itself, 0 included: y, its scale and its zero point. Only where a row of the graph is
    a whole run of the model, since the range is of all rows."""
    if not b.source.whole:
        mend = "fix the batch at 1 (--shape INPUT=1,...), so that a row is one run, or quantise statically"
        reason = "it scales all rows by the range of all, so they would influence each other"
        raise AloneNeeded(node.op, node.where, reason, mend)
    x = b.within_limit(floating(node, b.tensor(node, 0)))
    flat = reshaped(b, x, (x.fact.elements,))
    high = _extent(b, flat, x, 1)
    low = _extent(b, flat, x, -1)
    span = b.derive(x, ir.Add(a=high.index, b=low.index), limit=None)
    scale = _range_scale(node, b, span)
    shift = x.frac_bits - scale.frac_bits
    unknown = 255.0 if x.error else 0.0
    zero = replace(_typed(b, _rounded_quotient(b, low, scale, shift), 0, 255), error=unknown)
    if b.is_read(node, 0):
        each = _typed(b, _rounded_quotient(b, flat, scale, shift), -255, 255)
        y = b.derive(each, ir.Add(a=each.index, b=zero.index), error=unknown)
        b.bind(node, _typed(b, reshaped(b, y, x.shape), 0, 255), 0)
    if b.is_read(node, 1):
        b.bind(node, reshaped(b, scale, ()), 1)
    if b.is_read(node, 2):
        b.bind(node, reshaped(b, zero, ()), 2)


def _range_scale(node: Node, b: Builder, span: Tensor) -> Tensor:
    """span / 255, at least one step of its grid: the one that float32 has for numbers like those of the calibration, so
    that quotients on a tie fall to the same side."""
    limit = b.limit(node.outputs[1])
    expected = span.magnitude / 255 if limit is None else limit / 4
    frac_bits = MULTIPLIER_BITS - int(np.frexp(expected)[1])
    by = _constant(node, b, span, np.full(1, 255))
    divided = ir.Div(a=span.index, b=by.index, shift=span.frac_bits - frac_bits)
    scale = b.derive(span, divided, frac_bits=frac_bits, error=2 * span.error / 255 + 2.0**-frac_bits, limit=None)
    return b.derive(scale, ir.Clip(x=scale.index, low=1, high=max(1, scale.fact.high)))


def _extent(b: Builder, flat: Tensor, x: Tensor, sign: int) -> Tensor:
    """The largest of sign * x and 0, [1]."""
    if sign < 0:
        minus = b.store(np.full(1, -1))
        flat = b.derive(flat, ir.Affine(x=flat.index, weights=minus, bias=None, shifts=None))
    most = b.derive(flat, ir.ReduceMax(x=flat.index, axes=(0,)))
    return b.derive(most, ir.Relu(x=most.index))


def _typed(b: Builder, x: Tensor, low: int, high: int) -> Tensor:
    return b.derive(x, ir.Clip(x=x.index, low=low, high=high), dtype=np.dtype(np.uint8))


QUANTIZED: Final = {
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
}
