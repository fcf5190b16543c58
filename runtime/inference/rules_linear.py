"""Rules of the ops that sum products: Gemm, Conv, Affine and Rescale with constant weights, MatMul of two tensors.

Why they are exact. Say every x is an integer and every weight and bias one too. A dot product is computed as some tree
of additions of products (any order, any blocking, any threads, with or without fused multiply-add, started from 0 or
from the bias). Each intermediate is the sum of a subset of the terms. A term w*x lies between its positive and its
negative extreme, so every subset's sum lies in
    [-(P * max(-low, 0) + M * max(high, 0)) + min(b, 0),  P * max(high, 0) + M * max(-low, 0) + max(b, 0)]
with P, M the sums of the positive weights and of the magnitudes of the negative ones. If both ends are within 2**53,
every intermediate is an integer that float64 represents, so every operation is exact and the order cannot matter.
The engine stores w * 2**-s and b * 2**-s: scaling by a power of two changes no significand (IEEE 754-2019 section 3.3)
and stays normal, since s <= 127. One roundToIntegralTiesToEven (section 5.9) then gives rhe((sum + b) * 2**-s).
In a MatMul each of K terms lies in the interval of a product, so a subset's sum lies in K times that interval and 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

import numpy as np

from runtime.inference.arithmetic import Int64Array, rhe_shift, rhe_shift_array
from runtime.inference.facts import Dims, Fact, Place, Proof, Work, repeated, span, with_numbers
from runtime.inference.graph import Affine, Conv, ConvForm, Gemm, MatMul, Rescale
from runtime.inference.limbs import Limbs, limbs_of
from runtime.inference.limits import DOUBLE_EXACT_MAX, SHIFT_BITS_MAX, SINGLE_EXACT_MAX, SPATIAL_RANK_MAX

SUM_RULE = "every partial sum of a column is exact: within 2**53"


class ConvWay(Enum):
    """How the engine computes a Conv in double precision. Exactness makes the choice free; it decides the cost."""

    GATHERED = "windows gathered channels last, one matrix product for all rows"
    BY_CHANNEL = "shifted tensors times one number per channel, summed"
    BY_GROUP = "windows side by side, one matrix product for each group and row"


def conv_way(node: Conv, weights: Dims) -> ConvWay:
    """By the groups: one, as many as input and output channels, or others. weights: [O, C / groups, kernel...]."""
    if node.groups == 1:
        return ConvWay.GATHERED
    return ConvWay.BY_CHANNEL if node.groups == weights[0] and weights[1] == 1 else ConvWay.BY_GROUP


GATHERED_RUN_UNITS = 2
"""Of each element of a window: a run of all channels, copied by itself."""
PRODUCT_UNITS = 180
"""Of each matrix product of a MatMul: it is set up anew."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Per output column, for x in [low, high]: the extremes of any partial sum, and of the whole one."""

    partial_low: Int64Array
    partial_high: Int64Array
    low: Int64Array
    high: Int64Array


def columns(positive: Int64Array, negative: Int64Array, bias: Int64Array | None, low: int, high: int) -> Columns:
    """The formula above. `positive`, `negative`: signed sums of weights. The caller has checked `fits_columns`."""
    zero = np.int64(0)
    b = zero if bias is None else bias
    above, below = max(high, 0), min(low, 0)
    return Columns(
        partial_low=positive * below + negative * above + np.minimum(b, zero),
        partial_high=positive * above + negative * below + np.maximum(b, zero),
        low=positive * low + negative * high + b,
        high=positive * high + negative * low + b,
    )


def _check_magnitudes(
    place: Place, positive: Int64Array, negative: Int64Array, bias: Int64Array | None, x: Fact
) -> None:
    """Each part alone within 2**53, in Python integers: then four of them cannot leave int64."""
    weight = max(int(positive.max()), -int(negative.min()))
    worst = weight * max(x.magnitude, 1)
    place.demand(worst <= DOUBLE_EXACT_MAX, SUM_RULE, sum=worst, limit=DOUBLE_EXACT_MAX)
    if bias is not None:
        top = max(int(bias.max()), -int(bias.min()))
        place.demand(top <= DOUBLE_EXACT_MAX, "a bias is exact: within 2**53", bias=top, limit=DOUBLE_EXACT_MAX)


def _check_partial_sums(place: Place, found: Columns) -> None:
    highs, lows = found.partial_high, found.partial_low
    worst = max(int(highs.max()), -int(lows.min()))
    if worst > DOUBLE_EXACT_MAX:
        column = int(np.argmax(np.maximum(highs, -lows)))
        raise place.refuse(SUM_RULE, {"column": column, "sum": worst, "limit": DOUBLE_EXACT_MAX})


def _rounded(place: Place, x: Fact, found: Columns, shifts: Int64Array | None, shape: Dims) -> Fact:
    low, high = found.low, found.high
    if shifts is not None:
        low, high = rhe_shift_array(low, shifts), rhe_shift_array(high, shifts)
    return Fact(shape, int(low.min()), int(high.max()))


def _shifts(place: Place, index: int | None, shape: Dims) -> Int64Array | None:
    if index is None:
        return None
    found = place.shape_of(index)
    place.demand(found == shape, "shifts have one number per column", shape=found, expected=shape)
    shifts = place.values_of(index)
    low, high = int(shifts.min()), int(shifts.max())
    place.demand(low >= 0 and high <= SHIFT_BITS_MAX, "shifts are 0 to 127", lowest=low, highest=high)
    return shifts


def _bias(place: Place, index: int | None, shape: Dims) -> Int64Array | None:
    if index is None:
        return None
    found = place.shape_of(index)
    place.demand(found == shape, "a bias has one number per column", shape=found, expected=shape)
    return place.values_of(index)


def _linear(place: Place, node: Gemm | Conv, x: Fact, shape: Dims) -> Fact:
    """The common part: x's interval already includes 0 where the op pads."""
    sums = place.sums(node.weights)
    width = (sums.positive.shape[0],)
    bias, shifts = _bias(place, node.bias, width), _shifts(place, node.shifts, width)
    _check_magnitudes(place, sums.positive, sums.negative, bias, x)
    found = columns(sums.positive, sums.negative, bias, x.low, x.high)
    _check_partial_sums(place, found)
    return _rounded(place, x, found, shifts, shape)


def gemm(node: Gemm, place: Place) -> Proof:
    """x [..., inputs], weights [outputs, inputs], bias [outputs] -> [..., outputs], in float64."""
    x = place.fact(node.x)
    weights = place.shape_of(node.weights)
    place.demand(len(weights) == 2, "weights of a Gemm are [outputs, inputs]", shape=weights)
    place.demand(
        len(x.shape) >= 1 and x.shape[-1] == weights[1],
        "x's last dimension is the weights' second",
        x=x.shape,
        weights=weights,
    )
    fact = _linear(place, node, x, (*x.shape[:-1], weights[0]))
    return Proof(fact, Work(kernels=2) + _product(place, node, x, fact))


def _limbs(place: Place, node: Gemm | Conv, x: Fact, made: Fact) -> Limbs | None:
    """As emission decides."""
    return limbs_of(x.low, x.high, place.weights_of(node.weights), x.elements, made.elements)


def _product(place: Place, node: Gemm | Conv, x: Fact, made: Fact) -> Work:
    """Of x by constant weights [O, K], for a row; counts what the engine keeps of them."""
    weights, limbs = place.shape_of(node.weights), _limbs(place, node, x, made)
    key, macs, rounds = (type(node), node.weights), made.elements * prod(weights[1:]), node.shifts is not None
    if limbs is None:
        place.expand(prod(weights), "product", *key, node.shifts)
        if node.bias is not None:
            place.expand(weights[0], "bias", node.bias, node.shifts)
        streamed = x.elements + (1 + rounds) * made.elements
        return Work(kernels=2, macs_double=macs, weights=prod(weights), streamed=streamed, scratch=made.elements)
    packed = -(-prod(weights) * limbs.weights // 8)
    place.expand(packed, "limbs", *key, goes_through=prod(weights))
    place.expand(2 * weights[0], "scales", *key, node.bias, node.shifts)
    joined = limbs.x * limbs.weights + limbs.x + 3  # passes of eight bytes: sums have four, and are joined in place
    return Work(
        kernels=4 + limbs.x * (2 * limbs.weights + 3),
        macs_byte=macs * limbs.x * limbs.weights,
        weights=-(-packed // 2),  # read in order, while bytes are multiplied
        streamed=x.elements * (1 + limbs.x) + made.elements * joined,
        scratch=x.elements * 2 + made.elements * (limbs.x + 1),
    )


def out_sizes(place: Place, shape: Dims, kernel: Dims, strides: Dims, begin: Dims, end: Dims, dilations: Dims) -> Dims:
    """Positions of a window along each spatial dimension, each at least 1."""
    dims = len(shape)
    place.demand(1 <= dims <= SPATIAL_RANK_MAX, "there are 1 to 3 spatial dimensions", spatial=dims)
    for name, values in (
        ("kernel", kernel),
        ("strides", strides),
        ("pads_begin", begin),
        ("pads_end", end),
        ("dilations", dilations),
    ):
        place.demand(
            len(values) == dims, f"{name} has one number per spatial dimension", found=len(values), spatial=dims
        )
    place.demand(
        min(*kernel, *strides, *dilations) >= 1,
        "kernel, strides and dilations are at least 1",
        kernel=kernel,
        strides=strides,
        dilations=dilations,
    )
    sizes = []
    for axis in range(dims):
        room = shape[axis] + begin[axis] + end[axis] - dilations[axis] * (kernel[axis] - 1) - 1
        place.demand(room >= 0, "the window fits into the padded input", axis=axis, missing=-room)
        sizes.append(room // strides[axis] + 1)
    return tuple(sizes)


def conv(node: Conv, place: Place) -> Proof:
    """x [channels, spatial...], weights [outputs, channels / groups, kernel...]. Padding puts 0 into x's interval.
    Form SINGLE runs in float32: all partial sums within 2**24."""
    x = place.fact(node.x)
    weights = place.shape_of(node.weights)
    groups = node.groups
    place.demand(
        len(x.shape) >= 2 and len(weights) == len(x.shape) + 1,
        "x is [channels, spatial...], weights [outputs, channels / groups, kernel...]",
        x=x.shape,
        weights=weights,
    )
    place.demand(
        groups >= 1 and weights[1] * groups == x.shape[0] and weights[0] % groups == 0,
        "groups divide input and output channels",
        groups=groups,
        x=x.shape,
        weights=weights,
    )
    kernel = weights[2:]
    spatial = out_sizes(place, x.shape[1:], kernel, node.strides, node.pads_begin, node.pads_end, node.dilations)
    padded = any(node.pads_begin) or any(node.pads_end)
    reach = Fact(x.shape, min(x.low, 0), max(x.high, 0)) if padded else x
    fact = _linear(place, node, reach, (weights[0], *spatial))
    if node.form == ConvForm.SINGLE:
        _check_single(place, node, reach)
    if node.form == ConvForm.DOUBLE and conv_way(node, weights) == ConvWay.GATHERED:
        return Proof(fact, _gathered(place, node, x, fact))
    place.expand(prod(weights), "conv", node.form, node.weights, None if node.form else node.shifts, groups)
    if node.bias is not None:
        place.expand(weights[0], "bias", node.bias, node.shifts)
    return Proof(fact, _conv_work(node, x, fact, weights, padded))


def _check_single(place: Place, node: Conv, x: Fact) -> None:
    """Form SINGLE: float32's 24 bits for the sums; bias, shift and rounding follow in float64."""
    sums = place.sums(node.weights)
    found = columns(sums.positive, sums.negative, None, x.low, x.high)
    worst = max(int(found.partial_high.max()), -int(found.partial_low.min()))
    largest = max(worst, x.magnitude, int(sums.positive.max()), -int(sums.negative.min()))
    place.demand(
        largest <= SINGLE_EXACT_MAX,
        "every partial sum of a single-precision Conv is exact: within 2**24",
        sum=largest,
        limit=SINGLE_EXACT_MAX,
    )


def _gathered(place: Place, node: Conv, x: Fact, fact: Fact) -> Work:
    """Channels last: x is turned and padded, windows are gathered, one product of all rows; the result may be turned
    back."""
    kernel, spatial = place.shape_of(node.weights)[2:], fact.shape[1:]
    sizes = tuple(s + b + e for s, b, e in zip(x.shape[1:], node.pads_begin, node.pads_end, strict=True))
    taps, positions, source = prod(kernel), prod(spatial), x.shape[0] * prod(sizes)
    place.expand(positions * taps, "windows", sizes, spatial, kernel, node.strides, node.dilations)
    gathered, turned, limbs = taps * x.shape[0] * positions, x.elements + fact.elements, _limbs(place, node, x, fact)
    if limbs is not None:
        gathered = -(-gathered * limbs.x // 8)
    return _product(place, node, x, fact) + Work(
        kernels=10,
        strided=GATHERED_RUN_UNITS * taps * positions * (limbs.x if limbs else 1),
        streamed=gathered + 2 * turned + source,
        weights=taps * positions,
        scratch=gathered + source + turned,
    )


def _conv_work(node: Conv, x: Fact, fact: Fact, weights: Dims, padded: bool) -> Work:
    taps, positions = prod(weights[2:]), prod(fact.shape[1:])
    source = x.shape[0] * prod(s + b + e for s, b, e in zip(x.shape[1:], node.pads_begin, node.pads_end, strict=True))
    macs = fact.elements * prod(weights[1:])
    tail = 1 + (node.bias is not None) + (node.shifts is not None)
    if node.form == ConvForm.SINGLE:
        tail += 2
        return Work(
            kernels=6,
            macs_single=macs,
            strided=60 * node.groups,
            streamed=x.elements + tail * fact.elements + taps * x.shape[0] * positions,
            weights=prod(weights),
            scratch=x.elements + 2 * fact.elements + taps * x.shape[0] * positions,
        )
    gathered = taps * x.shape[0] * positions
    turned = x.elements + fact.elements  # from and to the other layout, where what is beside asks for it
    moved = turned + (source if padded else 0)
    if conv_way(node, weights) == ConvWay.BY_CHANNEL:
        return Work(
            kernels=3 * taps + 5,
            strided=moved + gathered,
            streamed=2 * gathered + tail * fact.elements,
            weights=prod(weights),
            scratch=source + turned + 2 * fact.elements,
        )
    return Work(
        kernels=2 * taps + 6,
        macs_double=macs,
        strided=gathered + (source if padded else 0) + 130 * node.groups,
        streamed=gathered + tail * fact.elements,
        weights=prod(weights),
        scratch=2 * gathered + fact.elements + (source if padded else 0),
    )


def affine(node: Affine, place: Place) -> Proof:
    """One multiplication, one addition: within 2**53 each is exact, by the same argument with one term."""
    x = place.fact(node.x)
    present = [index for index in (node.weights, node.bias, node.shifts) if index is not None]
    place.demand(node.weights is not None or node.bias is not None, "an Affine has weights or a bias")
    shape = place.shape_of(present[0])
    place.demand(
        len(shape) == len(x.shape) and all(size in (1, full) for size, full in zip(shape, x.shape, strict=True)),
        "constants of an Affine have x's rank, each dimension x's or 1",
        x=x.shape,
        constant=shape,
    )
    for index in present[1:]:
        place.demand(
            place.shape_of(index) == shape,
            "constants of an Affine have one shape",
            shape=place.shape_of(index),
            expected=shape,
        )
    weights = np.ones(shape, np.int64) if node.weights is None else place.values_of(node.weights)
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    bias, shifts = _bias(place, node.bias, shape), _shifts(place, node.shifts, shape)
    _check_magnitudes(place, positive, negative, bias, x)
    found = columns(positive, negative, bias, x.low, x.high)
    _check_partial_sums(place, found)
    for index in present[:2]:
        place.expand(prod(shape), "affine", index, node.shifts)
    passes = len(present)
    return Proof(
        _rounded(place, x, found, shifts, x.shape),
        Work(
            kernels=passes,
            streamed=2 * passes * x.elements,
            strided=10 * (x.elements // span(x.shape, shape)) * passes,
            scratch=x.elements,
            weights=passes * prod(shape),
        ),
    )


def rescale(node: Rescale, place: Place) -> Proof:
    """A multiplication by a power of two is exact; a rounding to an integer follows if it may have left the grid."""
    x = place.fact(node.x)
    place.demand(abs(node.shift) <= SHIFT_BITS_MAX, "a shift is -127 to 127", shift=node.shift)
    low, high = rhe_shift(x.low, node.shift), rhe_shift(x.high, node.shift)
    worst = max(abs(low), abs(high))
    place.demand(
        worst <= DOUBLE_EXACT_MAX,
        "a rescaled value is exact: within 2**53",
        magnitude_bits=worst.bit_length(),
        limit=DOUBLE_EXACT_MAX,
    )
    more = Work(kernels=1, streamed=x.elements, scratch=x.elements)
    return Proof(Fact(x.shape, low, high), with_numbers(x, 1) + more)


def matmul(node: MatMul, place: Place) -> Proof:
    """a [..., M, K], b [..., K, N], both computed. The shift scales an operand or the sum: both are exact."""
    a, b = place.fact(node.a), place.fact(node.b)
    place.demand(node.shift <= SHIFT_BITS_MAX, "a shift is 0 to 127", shift=node.shift)
    place.demand(
        len(a.shape) == len(b.shape) >= 2 and a.shape[-1] == b.shape[-2],
        "operands are [..., M, K] and [..., K, N] of one rank",
        a=a.shape,
        b=b.shape,
    )
    lead = repeated(place, a.shape[:-2], b.shape[:-2])
    (rows, width), columns = a.shape[-2:], b.shape[-1]
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low, high = width * min(corners), width * max(corners)
    worst = max(abs(low), abs(high))
    place.demand(worst <= DOUBLE_EXACT_MAX, SUM_RULE, sum=worst, limit=DOUBLE_EXACT_MAX)
    fact = Fact((*lead, rows, columns), rhe_shift(low, node.shift), rhe_shift(high, node.shift))
    products = prod(lead)
    read = products * (rows + columns) * width
    return Proof(
        fact,
        Work(
            kernels=3,
            macs_double=fact.elements * width,
            streamed=2 * read + 3 * fact.elements,
            strided=PRODUCT_UNITS * products,
            scratch=2 * fact.elements + min(a.elements, b.elements),
        )
        + with_numbers(min(a, b, fact, key=lambda found: found.elements), 1),
    )
