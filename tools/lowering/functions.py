"""Elementary functions of float64 arrays that give the same bits on every machine.

libm's last bits differ between machines, and with them an entry of a table that lies near a tie. What is here uses
only +, -, *, /, square roots, roundings to integers and scaling by powers of two, each of which IEEE 754-2019 rounds
correctly (sections 5.3.1, 5.4.1), in a fixed order, one numpy operation at a time, so that none is fused. Errors are a
few units in the last place: far below the 2**-30 or so of any grid. What lies outside a domain is NaN or infinite.
"""

from __future__ import annotations

from math import factorial
from typing import Final

import numpy as np

from tools.lowering.grids import Floats

# Constants in two parts: the first has few bits, so that its product with a small integer is exact.
LN2: Final = (float.fromhex("0x1.62e42fefap-1"), float.fromhex("0x1.cf79abc9e3b39p-40"))
HALF_PI: Final = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a6p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
PI: Final = float.fromhex("0x1.921fb54442d18p+1")
SQRT_HALF: Final = float.fromhex("0x1.6a09e667f3bcdp-1")
SQRT_PI: Final = float.fromhex("0x1.c5bf891b4ef6bp+0")
_EXPONENT_MAX: Final = 700.0
_EXP_TERMS: Final = tuple(1 / factorial(n) for n in range(14))
_LOG_TERMS: Final = tuple(2 / (2 * n + 1) for n in range(12))
_SIN_TERMS: Final = tuple((-1) ** n / factorial(2 * n + 1) for n in range(10))
_COS_TERMS: Final = tuple((-1) ** n / factorial(2 * n) for n in range(10))
_ATAN_TERMS: Final = tuple((-1) ** n / (2 * n + 1) for n in range(13))
_ERF_TERMS: Final = 120
_ERF_END: Final = 6.0  # beyond, erf is 1 within 2e-17


def _horner(x: Floats, terms: tuple[float, ...]) -> Floats:
    """The sum of terms[n] * x**n."""
    result = np.full_like(x, terms[-1])
    for term in terms[-2::-1]:
        result = result * x + term
    return result


def exp(x: Floats) -> Floats:
    """e**x, for exponents cut at +-700."""
    x = np.minimum(np.maximum(x, -_EXPONENT_MAX), _EXPONENT_MAX)
    n = np.rint(x / (LN2[0] + LN2[1]))
    r = (x - n * LN2[0]) - n * LN2[1]
    return np.ldexp(_horner(r, _EXP_TERMS), n.astype(np.int64))


def log(x: Floats) -> Floats:
    """The natural logarithm; -infinity at 0, NaN below."""
    with np.errstate(invalid="ignore", divide="ignore"):
        m, e = np.frexp(x)
        small = m < SQRT_HALF
        m, e = np.where(small, 2 * m, m), (e - small).astype(np.float64)
        s = (m - 1) / (m + 1)
        result = s * _horner(s * s, _LOG_TERMS) + e * LN2[1] + e * LN2[0]
        return np.where(x > 0, result, np.where(x == 0, -np.inf, np.nan))


def _turns(x: Floats) -> tuple[Floats, Floats]:
    """(quarter turns, the angle that is left, within +-pi/4)."""
    n = np.rint(x / HALF_PI[0])
    return n % 4, ((x - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2]


def _sine(quarters: Floats, r: Floats) -> Floats:
    odd = quarters % 2 == 1
    found = np.where(odd, _horner(r * r, _COS_TERMS), r * _horner(r * r, _SIN_TERMS))
    return np.where(quarters >= 2, -found, found)


def sin(x: Floats) -> Floats:
    """Of radians, |x| up to a million."""
    return _sine(*_turns(x))


def cos(x: Floats) -> Floats:
    """As `sin`."""
    quarters, r = _turns(x)
    return _sine((quarters + 1) % 4, r)


def tan(x: Floats) -> Floats:
    """As `sin`."""
    return sin(x) / cos(x)


def atan(x: Floats) -> Floats:
    """In radians."""
    size = np.abs(x)
    with np.errstate(divide="ignore"):
        t = np.where(size > 1, 1 / size, size)
    for _ in range(2):
        t = t / (1 + np.sqrt(1 + t * t))
    angle = 4 * (t * _horner(t * t, _ATAN_TERMS))
    angle = np.where(size > 1, (HALF_PI[0] - angle) + HALF_PI[1], angle)
    return np.where(x < 0, -angle, angle)


def asin(x: Floats) -> Floats:
    """NaN outside -1 to 1."""
    with np.errstate(invalid="ignore"):
        return 2 * atan(x / (1 + np.sqrt((1 - x) * (1 + x))))


def acos(x: Floats) -> Floats:
    """NaN outside -1 to 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * atan(np.sqrt((1 - x) / (1 + x)))


def sinh(x: Floats) -> Floats:
    """As `exp`."""
    e = exp(x)
    return (e - 1 / e) / 2


def cosh(x: Floats) -> Floats:
    """As `exp`."""
    e = exp(x)
    return (e + 1 / e) / 2


def tanh(x: Floats) -> Floats:
    """Between -1 and 1."""
    e = exp(2 * x)
    return 1 - 2 / (e + 1)


def asinh(x: Floats) -> Floats:
    """Odd."""
    size = np.abs(x)
    found = log(size + np.sqrt(size * size + 1))
    return np.where(x < 0, -found, found)


def acosh(x: Floats) -> Floats:
    """NaN below 1."""
    with np.errstate(invalid="ignore"):
        return log(x + np.sqrt((x - 1) * (x + 1)))


def atanh(x: Floats) -> Floats:
    """NaN outside -1 to 1, infinite there."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return log((1 + x) / (1 - x)) / 2


def erf(x: Floats) -> Floats:
    """By the series 2/sqrt(pi) exp(-x**2) sum of 2**n x**(2n+1) / (1 * 3 * ... (2n+1)), whose terms have one sign."""
    inside = np.minimum(np.maximum(x, -_ERF_END), _ERF_END)
    term, twice = inside, 2 * inside * inside
    total = term
    for n in range(1, _ERF_TERMS):
        term = term * twice / (2 * n + 1)
        total = total + term
    return np.minimum(np.maximum(2 / SQRT_PI * exp(-inside * inside) * total, -1.0), 1.0)


def sigmoid(x: Floats) -> Floats:
    """Between 0 and 1."""
    return 1 / (1 + exp(-x))


def softplus(x: Floats) -> Floats:
    """log(1 + e**x)."""
    return np.maximum(x, 0) + log(1 + exp(-np.abs(x)))


def power(x: Floats, exponent: float) -> Floats:
    """x**exponent for x above 0; at 0 the limit."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at_zero = 0.0 if exponent > 0 else np.inf
        return np.where(x > 0, exp(exponent * log(np.where(x > 0, x, 1.0))), np.where(x == 0, at_zero, np.nan))
