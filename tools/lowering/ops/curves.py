"""Functions of one variable that have no op in the graph, as curves for `tables`: what each is, how much it bends,
where it is defined and which lines it approaches.

The bounds of second derivatives are worked out by hand; a test holds each against differences of the function itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Final

import numpy as np

from tools.lowering import functions, preparations
from tools.lowering.cells import Curve, Line
from tools.lowering.grids import Floats

Bend = Callable[[Floats, Floats], Floats]
NONE: Final = Line(0.0, 0.0)
SAME: Final = Line(1.0, 0.0)
_HALF_PI: Final = functions.PI / 2
_SQRT_2: Final = 2 * functions.SQRT_HALF
_TANH_SCALE: Final = 2 * functions.SQRT_HALF / functions.SQRT_PI  # sqrt(2 / pi)


def at_most(bend: float) -> Bend:
    """One bound everywhere."""
    return lambda a, b: np.full_like(a, bend)


def _farther(a: Floats, b: Floats) -> Floats:
    return np.maximum(np.abs(a), np.abs(b))


def _nearer(a: Floats, b: Floats) -> Floats:
    """The least magnitude between a and b."""
    return np.where((a <= 0) & (b >= 0), 0.0, np.minimum(np.abs(a), np.abs(b)))


def _of_farther(bend: Callable[[Floats], Floats]) -> Bend:
    """Where the second derivative's magnitude grows with |x|; infinite at a pole."""

    def bound(a: Floats, b: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(np.nan_to_num(bend(_farther(a, b)), nan=inf, posinf=inf))

    return bound


def _of_nearer(bend: Callable[[Floats], Floats]) -> Bend:
    """As `_of_farther`, where it falls with |x|."""

    def bound(a: Floats, b: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(np.nan_to_num(bend(_nearer(a, b)), nan=inf, posinf=inf))

    return bound


def _normal(x: Floats) -> Floats:
    """The normal distribution function."""
    return (1 + functions.erf(x / _SQRT_2)) / 2


def _tan_bend(x: Floats) -> Floats:
    t = functions.tan(x)
    return np.where(x < _HALF_PI, 2 * t * (1 + t * t), inf)


def _probit(x: Floats) -> Floats:
    """sqrt(2) erf**-1(x), by Winitzki's approximation (2008) with the constants that onnxruntime has: within 0.003."""
    a, b = 2 / (3.14159 * 0.147), 1 / 0.147
    log = functions.log(np.maximum((1 - x) * (1 + x), 2.0**-1000))
    u = a + log / 2
    return _SQRT_2 * np.sign(x) * np.sqrt(-b * log / (np.sqrt(u * u - b * log) + u))


def _probit_bend(x: Floats) -> Floats:
    """Of the quantile q itself it is q' q' q with q' = sqrt(pi / 2) e**(q**2 / 2); twice that for the approximation."""
    q = _probit(x)
    return np.asarray(functions.PI * q * functions.exp(q * q) + 0.1)


SIGMOID: Final = Curve(functions.sigmoid, at_most(0.0963), below=NONE, above=Line(0.0, 1.0))
TANH: Final = Curve(functions.tanh, at_most(0.77), below=Line(0.0, -1.0), above=Line(0.0, 1.0))
ERF: Final = Curve(functions.erf, at_most(0.97), below=Line(0.0, -1.0), above=Line(0.0, 1.0))
SOFTPLUS: Final = Curve(functions.softplus, at_most(0.25), below=NONE, above=SAME)
MISH: Final = Curve(lambda x: x * functions.tanh(functions.softplus(x)), at_most(0.7), below=NONE, above=SAME)
GELU: Final = Curve(lambda x: x * _normal(x), at_most(0.8), below=NONE, above=SAME)
GELU_TANH: Final = Curve(
    lambda x: x * (1 + functions.tanh(_TANH_SCALE * (x + 0.044715 * x * x * x))) / 2, at_most(0.82), below=NONE,
    above=SAME,
)  # fmt: skip
EXP: Final = Curve(functions.exp, lambda a, b: functions.exp(b), below=NONE)
LOG: Final = Curve(functions.log, _of_nearer(lambda x: 1 / (x * x)), (0.0, inf), poles=(0.0,))
SIN: Final = Curve(functions.sin, at_most(1.0))
COS: Final = Curve(functions.cos, at_most(1.0))
TAN: Final = Curve(functions.tan, _of_farther(_tan_bend), poles=(-_HALF_PI, _HALF_PI), jumps=True)
"""From -pi/2 to pi/2."""
ASIN: Final = Curve(functions.asin, _of_farther(lambda x: x / (1 - x * x) ** 1.5), (-1.0, 1.0), poles=(-1.0, 1.0))
ACOS: Final = Curve(functions.acos, _of_farther(lambda x: x / (1 - x * x) ** 1.5), (-1.0, 1.0), poles=(-1.0, 1.0))
ATAN: Final = Curve(functions.atan, _of_nearer(lambda x: np.minimum(0.65, 2 / (x * x * x))), poles=(0.0,))
PROBIT: Final = Curve(_probit, _of_farther(_probit_bend), (-1.0, 1.0), poles=(-1.0, 1.0))
"""Of 2p - 1."""
SINH: Final = Curve(functions.sinh, _of_farther(functions.sinh))
COSH: Final = Curve(functions.cosh, _of_farther(functions.cosh))
ASINH: Final = Curve(functions.asinh, _of_nearer(lambda x: np.minimum(0.385, 1 / (x * x))), poles=(0.0,))
ACOSH: Final = Curve(functions.acosh, _of_nearer(lambda x: x / (x * x - 1) ** 1.5), (1.0, inf), poles=(1.0,))
ATANH: Final = Curve(functions.atanh, _of_farther(lambda x: 2 * x / (1 - x * x) ** 2), (-1.0, 1.0), poles=(-1.0, 1.0))


@lru_cache(maxsize=64)
def elu(alpha: float, scale: float = 1.0) -> Curve:
    """scale * x above 0, scale * alpha * (e**x - 1) below."""

    def of(x: Floats) -> Floats:
        return scale * np.where(x < 0, alpha * (functions.exp(np.minimum(x, 0)) - 1), x)

    def bend(a: Floats, b: Floats) -> Floats:
        return abs(scale * alpha) * functions.exp(np.minimum(b, 0))

    return Curve(of, bend, below=Line(0.0, -scale * alpha), above=Line(scale, 0.0))


@lru_cache(maxsize=64)
def celu(alpha: float) -> Curve:
    """x above 0, alpha * (e**(x / alpha) - 1) below, for a positive alpha."""

    def of(x: Floats) -> Floats:
        return np.where(x < 0, alpha * (functions.exp(np.minimum(x, 0) / alpha) - 1), x)

    def bend(a: Floats, b: Floats) -> Floats:
        return functions.exp(np.minimum(b, 0) / alpha) / alpha

    return Curve(of, bend, below=Line(0.0, -alpha), above=SAME)


@lru_cache(maxsize=64)
def swish(alpha: float) -> Curve:
    """x * sigmoid(alpha * x), for an alpha that is not 0."""
    ends = (NONE, SAME) if alpha > 0 else (SAME, NONE)
    return Curve(lambda x: x * functions.sigmoid(alpha * x), at_most(0.5 * abs(alpha)), below=ends[0], above=ends[1])


@lru_cache(maxsize=64)
def power(exponent: float) -> Curve:
    """x**exponent for x from 0 on, for an exponent that is not 0."""

    def bend(a: Floats, b: Floats) -> Floats:
        factor = abs(exponent * (exponent - 1))
        x = b if exponent > 2 else a
        found = factor * functions.power(np.maximum(x, 0), exponent - 2) if exponent != 2 else np.full_like(a, factor)
        return np.asarray(np.nan_to_num(found, posinf=inf))

    return Curve(lambda x: functions.power(x, exponent), bend, (0.0, inf), poles=(0.0,))


@lru_cache(maxsize=1024)
def box_cox(exponent: float, offset: float = 0.0, scale: float = 1.0) -> Curve:
    """scale * ((x**exponent - 1) / exponent - offset) for x above 0; the logarithm where the exponent is 0."""

    def of(x: Floats) -> Floats:
        with np.errstate(divide="ignore", over="ignore"):
            return scale * (preparations.box_cox(x, exponent) - offset)

    def bend(a: Floats, b: Floats) -> Floats:
        return abs(scale) * _power_bend(exponent, np.maximum(a, 0), np.maximum(b, 0))

    return Curve(of, bend, (0.0, inf), poles=(0.0,))


@lru_cache(maxsize=1024)
def yeo_johnson(exponent: float, offset: float = 0.0, scale: float = 1.0) -> Curve:
    """scale * (Yeo and Johnson's power of x - offset)."""

    def of(x: Floats) -> Floats:
        return scale * (preparations.yeo_johnson(x, exponent) - offset)

    def bend(a: Floats, b: Floats) -> Floats:
        above = _power_bend(exponent, 1 + np.maximum(a, 0), 1 + np.maximum(b, 0))
        below = _power_bend(2 - exponent, 1 + np.maximum(-b, 0), 1 + np.maximum(-a, 0))
        return abs(scale) * np.maximum(np.where(b > 0, above, 0), np.where(a < 0, below, 0))

    return Curve(of, bend)


def _power_bend(exponent: float, a: Floats, b: Floats) -> Floats:
    """Of (x**exponent - 1) / exponent between a and b, both from 0 on."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        found = abs(exponent - 1) * functions.power(b if exponent > 2 else a, exponent - 2)
    return np.asarray(np.nan_to_num(found, nan=inf, posinf=inf))
