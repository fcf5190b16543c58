"""Rules of the ops that sum products: Gemm, Affine and Rescale with constant weights, MatMul of two tensors.

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
from math import prod

import numpy as np

from runtime.inference.arithmetic import Int64Array, rhe_shift, rhe_shift_array
from runtime.inference.facts import PRODUCT_UNITS, Dims, Fact, Place, Proof, Work, repeated, span
from runtime.inference.graph import Affine, Conv, Gemm, MatMul, Rescale
from runtime.inference.limbs import Limbs, limbs_of
from runtime.inference.limits import DOUBLE_EXACT_MAX, SHIFT_BITS_MAX

SUM_RULE = "every partial sum of a column is exact: within 2**53"


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


def weighted(place: Place, node: Gemm | Conv, x: Fact, shape: Dims) -> Fact:
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
    fact = weighted(place, node, x, (*x.shape[:-1], weights[0]))
    return Proof(fact, Work(kernels=2) + product_work(place, node, x, fact))


def limbs_for(place: Place, node: Gemm | Conv, x: Fact, made: Fact) -> Limbs | None:
    """As emission decides."""
    return limbs_of(x.low, x.high, place.weights_of(node.weights), x.elements, made.elements)


def product_work(place: Place, node: Gemm | Conv, x: Fact, made: Fact) -> Work:
    """Of x by constant weights [O, K], for a row; counts what the engine keeps of them."""
    weights, limbs = place.shape_of(node.weights), limbs_for(place, node, x, made)
    key, macs, rounds = (type(node), node.weights), made.elements * prod(weights[1:]), node.shifts is not None
    if limbs is None:
        place.expand(prod(weights), "product", *key, node.shifts)
        if node.bias is not None:
            place.expand(weights[0], "bias", node.bias, node.shifts)
        streamed = x.elements + (1 + rounds) * made.elements
        return Work(
            kernels=2, macs_double=macs, weights=prod(weights), streamed=streamed, scratch=made.elements, numbers=2
        )
    packed = -(-prod(weights) * limbs.weights // 8)
    place.expand(packed, "limbs", *key, goes_through=prod(weights))
    place.expand(2 * weights[0], "scales", *key, node.bias, node.shifts, limbs.offset)
    added = node.bias is not None or limbs.offset != 0
    joined = limbs.x * limbs.weights + limbs.x + 2 * rounds + added  # passes of eight bytes; sums, of four, in place
    return Work(
        kernels=4 + limbs.x * (2 * limbs.weights + 3),
        macs_byte=macs * limbs.x * limbs.weights,
        weights=-(-packed // 2),  # read in order, while bytes are multiplied
        streamed=x.elements * (1 + limbs.x) + made.elements * joined,
        scratch=x.elements * 2 + made.elements * (limbs.x + 1),
        numbers=10,
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
        place.expand(prod(shape), "affine", index, node.shifts, place.last)
    passes = len(present)
    return Proof(
        _rounded(place, x, found, shifts, x.shape),
        Work(
            kernels=passes,
            streamed=2 * passes * x.elements,
            strided=10 * (x.elements // span(place.laid(x.shape), place.laid(shape))) * passes,
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
    return Proof(Fact(x.shape, low, high), place.numbers(x, 1) + more)


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
        + place.numbers(min(a, b, fact, key=lambda found: found.elements), 1),
    )
