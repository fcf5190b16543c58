"""Integer arithmetic of the proofs and of the reference interpreter. No hardware float is used here.

A correctly rounded float64 is modelled as a pair (m, e) meaning m * 2**e with integers |m| <= 2**53: IEEE 754-2019
section 4.3.1, roundTiesToEven, with an unbounded exponent. The verifier proves that no value meets the real bounds.
"""

from __future__ import annotations

from math import isqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64Array: TypeAlias = npt.NDArray[np.int64]
Double: TypeAlias = tuple[int, int]

PRECISION_BITS = 53


def rhe_shift(value: int, shift: int) -> int:
    """value * 2**-shift rounded to the nearest integer, ties to even. A negative shift multiplies."""
    if shift <= 0:
        return value << -shift
    quotient = value >> shift
    rest = value - (quotient << shift)
    half = 1 << (shift - 1)
    return quotient + (rest > half or (rest == half and quotient & 1))


def rhe_shift_array(values: Int64Array, shifts: Int64Array) -> Int64Array:
    """`rhe_shift` of each element, for |values| < 2**60 and shifts of at least 0.

    A shift above 62 gives 0, as one of 62 does, since |values| is below half of 2**62.
    """
    shifts = np.minimum(shifts, 62)
    quotient = values >> shifts
    rest = values - (quotient << shifts)
    twice = 2 * rest - (np.int64(1) << shifts)  # sign of rest - half; for a shift of 0: -1
    rounded: Int64Array = quotient + ((twice > 0) | ((twice == 0) & ((quotient & 1) == 1)))
    return rounded


def round_double(mantissa: int, exponent: int) -> Double:
    """The float64 nearest to mantissa * 2**exponent."""
    excess = abs(mantissa).bit_length() - PRECISION_BITS
    if excess <= 0:
        return mantissa, exponent
    return rhe_shift(mantissa, excess), exponent + excess


def multiply(a: Double, b: Double) -> Double:
    """fl(a * b)."""
    return round_double(a[0] * b[0], a[1] + b[1])


def add(a: Double, b: Double) -> Double:
    """fl(a + b)."""
    exponent = min(a[1], b[1])
    return round_double((a[0] << (a[1] - exponent)) + (b[0] << (b[1] - exponent)), exponent)


def divide(numerator: int, denominator: int) -> Double:
    """fl(numerator / denominator), denominator > 0. One bit below the last place says whether anything was cut."""
    magnitude = abs(numerator)
    scale = max(0, PRECISION_BITS + 2 + denominator.bit_length() - magnitude.bit_length())
    quotient, rest = divmod(magnitude << scale, denominator)
    sticky = (quotient << 1) | (rest != 0)
    return round_double(sticky if numerator >= 0 else -sticky, -scale - 1)


def square_root(value: int) -> Double:
    """fl(sqrt(value)), value >= 0. As in `divide`, one bit below the last place says whether anything was cut."""
    scale = max(0, 2 * (PRECISION_BITS + 2) - value.bit_length())
    scale += scale & 1
    root = isqrt(value << scale)
    sticky = (root << 1) | (root * root != value << scale)
    return round_double(sticky, -scale // 2 - 1)


def to_integer(value: Double, shift: int = 0) -> int:
    """rhe(value * 2**-shift)."""
    return rhe_shift(value[0], shift - value[1])
