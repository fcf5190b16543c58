"""Rules of Add, Sub, Mul, Clip, Relu, Softmax, Div and Sqrt.

An operation on integers whose exact result is within 2**53 returns it (IEEE 754-2019 section 5.1: the correctly
rounded result of an exact value that is representable is that value). Comparisons and selections are exact always.
"""

from __future__ import annotations

from runtime.inference.arithmetic import Double, divide, rhe_shift, square_root, to_integer
from runtime.inference.facts import Dims, Fact, Place, Proof, Work, repeated, span
from runtime.inference.graph import Add, Clip, Div, Mul, Relu, Softmax, Sqrt, Sub
from runtime.inference.limits import (
    DOUBLE_EXACT_MAX,
    FRAC_BITS_MAX,
    SHIFT_BITS_MAX,
    SOFTMAX_CLASSES_MAX,
    SOFTMAX_FRAC_BITS_MAX,
)


def _exact(place: Place, shape: Dims, low: int, high: int) -> Fact:
    worst = max(abs(low), abs(high))
    place.demand(
        worst <= DOUBLE_EXACT_MAX, "the result is exact: within 2**53", magnitude=worst, limit=DOUBLE_EXACT_MAX
    )
    return Fact(shape, low, high)


def _pass(place: Place, a: Fact, b: Fact, made: Fact) -> Work:
    """One kernel over two operands; repeating one of them costs about ten elements' time per span."""
    spans = 0 if a.shape == b.shape else made.elements // span(place.laid(a.shape), place.laid(b.shape))
    return Work(kernels=1, streamed=2 * made.elements, strided=10 * spans)


def add(node: Add, place: Place) -> Proof:
    """Interval ends add; exact where both are within 2**53."""
    a, b = place.fact(node.a), place.fact(node.b)
    fact = _exact(place, repeated(place, a.shape, b.shape), a.low + b.low, a.high + b.high)
    return Proof(fact, _pass(place, a, b, fact))


def sub(node: Sub, place: Place) -> Proof:
    """[a.low - b.high, a.high - b.low]; exact where both ends are within 2**53."""
    a, b = place.fact(node.a), place.fact(node.b)
    fact = _exact(place, repeated(place, a.shape, b.shape), a.low - b.high, a.high - b.low)
    return Proof(fact, _pass(place, a, b, fact))


def mul(node: Mul, place: Place) -> Proof:
    """The product is exact, its scaling by a power of two too; then one rounding to an integer."""
    a, b = place.fact(node.a), place.fact(node.b)
    place.demand(node.shift <= SHIFT_BITS_MAX, "a shift is 0 to 127", shift=node.shift)
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low, high = min(corners), max(corners)
    if node.a == node.b:
        low = 0 if a.low <= 0 <= a.high else min(a.low**2, a.high**2)
    fact = _exact(place, repeated(place, a.shape, b.shape), low, high)
    rounded = Fact(fact.shape, rhe_shift(low, node.shift), rhe_shift(high, node.shift))
    more = Work(kernels=1, streamed=fact.elements, scratch=2 * fact.elements)
    return Proof(rounded, _pass(place, a, b, fact) + place.numbers(fact, 1) + more)


def clip(node: Clip, place: Place) -> Proof:
    """A selection: interval ends are clipped as values are."""
    x = place.fact(node.x)
    place.demand(
        -DOUBLE_EXACT_MAX <= node.low <= node.high <= DOUBLE_EXACT_MAX,
        "clip bounds are ordered and within 2**53",
        low=node.low,
        high=node.high,
    )
    low, high = (min(max(end, node.low), node.high) for end in (x.low, x.high))
    return Proof(
        Fact(x.shape, low, high), Work(kernels=1, streamed=x.elements, numbers=place.given(node.low, node.high))
    )


def relu(node: Relu, place: Place) -> Proof:
    """A selection: max(x, 0)."""
    x = place.fact(node.x)
    return Proof(Fact(x.shape, max(x.low, 0), max(x.high, 0)), Work(kernels=1, streamed=x.elements))


def softmax(node: Softmax, place: Place) -> Proof:
    """The steps stand in graph.Softmax. Each is exact or one correctly rounded operation, alone in its kernel (so no
    fused multiply-add), on values that are 0 or normal and finite:

    - d is within 2**53 by the demand below. t is a multiple of 2**-(frac_bits_in + 8) in [-3/32, 0]: exact, and 0 or
      at least 2**-70 in magnitude; so are its products with numbers in [1/24, 1]: at least 2**-75.
    - Rounding is monotonic, so from t in [-3/32, 0]: t/24 + 1/6 in [5/32, 11/64], then 1/2 + t*y in [15/32, 1/2], then
      1 + t*y in [15/16, 1], then in [9/10, 1]; squared eight times: at least 0.9**256 > 2**-39, at most 1. So
      0 <= e <= 2**30.
    - For an element that equals the maximum, d = 0, t = -0 or +0, every y is 1, and e = 2**30. Hence the sum S of at
      most 2**23 such integers is exact, in [2**30, 2**53], and never 0.
    - e / S is correctly rounded, in [0, 1], and 0 or at least 2**-53; scaled by a power of two and rounded it is an
      integer in [0, 2**frac_bits_out].
    """
    x = place.fact(node.x)
    place.demand(node.axis < len(x.shape), "the axis exists", axis=node.axis, rank=len(x.shape))
    place.demand(node.frac_bits_in <= FRAC_BITS_MAX, "frac_bits_in is 0 to 62", frac_bits_in=node.frac_bits_in)
    place.demand(
        node.frac_bits_out <= SOFTMAX_FRAC_BITS_MAX, "frac_bits_out is 0 to 30", frac_bits_out=node.frac_bits_out
    )
    classes = x.shape[node.axis]
    place.demand(
        classes <= SOFTMAX_CLASSES_MAX, "the sum is exact: at most 2**23 elements along the axis", elements=classes
    )
    _exact(place, x.shape, 0, x.high - x.low)
    n = x.elements
    lines = tuple(1 if axis == node.axis else size for axis, size in enumerate(x.shape))
    repeats = n // span(place.laid(x.shape), place.laid(lines))  # of the maximum, and of the sum
    more = Work(kernels=18, streamed=13 * n, strided=2 * n + 60 * repeats, scratch=4 * n)
    return Proof(
        Fact(x.shape, 0, 1 << node.frac_bits_out),
        place.numbers(x, 9) + place.sums_along(x.shape, (node.axis,)) + more,
    )


def _rounded_fact(place: Place, shape: Dims, ends: list[Double], shift: int) -> Fact:
    """The interval of rhe(v * 2**-shift) for v between the ends: scaling by a power of two is exact while nothing is
    subnormal, and rounding is monotonic."""
    place.demand(abs(shift) <= SHIFT_BITS_MAX, "a shift is -127 to 127", shift=shift)
    rounded = [to_integer(end, shift) for end in ends]
    return _exact(place, shape, min(rounded), max(rounded))


def div(node: Div, place: Place) -> Proof:
    """One correctly rounded operation (IEEE 754-2019 section 5.4.1) on two integers within 2**53. b is at least 1, so
    the quotient is finite, and 0 or at least 2**-53 in magnitude; scaled, at least 2**-180. It is monotonic in each
    operand, and so is its rounding: the ends are among the corners. Whether a zero is -0 shows in no integer.
    """
    a, b = place.fact(node.a), place.fact(node.b)
    place.demand(b.low >= 1, "the divisor is positive", low=b.low)
    corners = [divide(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    fact = _rounded_fact(place, repeated(place, a.shape, b.shape), corners, node.shift)
    more = Work(strided=fact.elements, scratch=2 * fact.elements)
    return Proof(fact, _pass(place, a, b, fact) + place.numbers(fact, 2) + more)


def sqrt(node: Sqrt, place: Place) -> Proof:
    """One correctly rounded operation (IEEE 754-2019 section 5.4.1) on an integer of 0 to 2**53: 0 or at least 1, and
    monotonic. sqrt(-0) is -0, which shows in no integer."""
    x = place.fact(node.x)
    place.demand(x.low >= 0, "what a root is taken of is not negative", low=x.low)
    fact = _rounded_fact(place, x.shape, [square_root(x.low), square_root(x.high)], node.shift)
    more = Work(kernels=1, streamed=x.elements, strided=2 * x.elements, scratch=2 * x.elements)
    return Proof(fact, place.numbers(x, 2) + more)
