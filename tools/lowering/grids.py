"""Chooses the integers of a linear op: weights, bias and shifts per output column, and how much of x to keep.

A column computes sum_k x_k * w_k + b. With x on the grid 2**-f and the weights at 2**-e (one e per column) every
product is an integer at 2**-(f+e), and the verifier accepts it while magnitude * sum|w_int| + |b_int| <= 2**53. We
stay one bit below. More exponent is more accurate, up to WEIGHT_BITS for the column's largest weight.

All choices use integers and powers of two only, so one model gives one graph on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.lowering.errors import LoweringError

WEIGHT_BITS: Final = 22
SUM_BITS: Final = 52
EXPONENT_MAX: Final = 64
WEIGHT_BITS_MIN: Final = 4
CONSTANT_MAX: Final = 2.0**128  # float32's range: nothing below overflows on the way to integers
HEADROOM_BITS: Final = 4
"""A bound of x is that much above its usual size, so x gets that many bits more than the weights when both shrink."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """weights [O, K], bias [O], shifts [O]; the output's fractional bits; `bits`: the fewest and the most that a
    column's largest weight has; `error_of` what quantising adds, given magnitudes as real numbers."""

    weights: Ints
    bias: Ints | None
    shifts: Ints | None
    frac_bits: int
    bits: tuple[int, int]
    columns: Floats
    offsets: Floats | None
    x_frac_bits: int

    def error(self, x_magnitude: float, x_error: float) -> float:
        """A bound of |real output - exact output|, for |x| <= x_magnitude and x known within x_error."""
        if not np.isfinite(x_error):
            return x_error
        shifts = np.zeros(len(self.weights), np.int64) if self.shifts is None else self.shifts
        exponents = shifts + self.frac_bits - self.x_frac_bits
        kept = np.ldexp(self.weights.astype(np.float64), -exponents[:, None])
        total = np.abs(kept).sum(axis=1) * x_error
        total += np.abs(self.columns - kept).sum(axis=1) * (x_magnitude + x_error)
        if self.bias is not None and self.offsets is not None:
            total += np.abs(self.offsets - np.ldexp(self.bias.astype(np.float64), -(shifts + self.frac_bits)))
        return float(total.max()) + (2.0**-self.frac_bits / 2 if shifts.any() else 0.0)


def _exponent(values: Floats) -> Ints:
    """Per row the least e with every |value| < 2**e; 0 for zeros."""
    exponents: Ints = np.frexp(np.abs(values).max(axis=1))[1].astype(np.int64)
    return exponents


def _quantised(columns: Floats, exponents: Ints) -> Ints:
    return np.rint(np.ldexp(columns, exponents[:, None])).astype(np.int64)


def _largest_sum(columns: Floats) -> int:
    """The largest sum of a column's weights at WEIGHT_BITS."""
    full = _quantised(columns, np.minimum(WEIGHT_BITS - _exponent(columns), EXPONENT_MAX))
    return int(np.abs(full).sum(axis=1).max())


def bits_to_drop(columns: Floats, magnitude: int, frac_bits: int) -> int:
    """How many of x's low bits to give up so that x and the weights lose about equally.

    With a bits in x, w in the weights and c for the width of the column, a + w + c <= SUM_BITS.
    """
    total = _largest_sum(columns)
    if total * magnitude <= 1 << SUM_BITS:
        return 0
    width = max(0, total.bit_length() - WEIGHT_BITS)
    x_bits = magnitude.bit_length()
    weight_bits = SUM_BITS - width - x_bits
    drop = 0
    while drop < frac_bits and weight_bits + drop < WEIGHT_BITS and x_bits - drop > weight_bits + drop + HEADROOM_BITS:
        drop += 1
    return drop


def is_tight(columns: Floats, magnitude: int) -> bool:
    """Whether a bound of x costs weights some of their WEIGHT_BITS."""
    return _largest_sum(columns) * magnitude > 1 << SUM_BITS


def choose(columns: Floats, bias: Floats | None, magnitude: int, x_frac_bits: int, frac_bits_wanted: int) -> Grid:
    """The best grid within the bound. `columns` [O, K], `bias` [O] are real; x's integers are within `magnitude`.

    Raises LoweringError where so little precision is left that the result would be noise.
    """
    largest = max(float(np.abs(columns).max()), 0.0 if bias is None else float(np.abs(bias).max()))
    if largest > CONSTANT_MAX:
        raise LoweringError("grid", f"its constants reach {largest:g}", "scale the model")
    first = np.minimum(WEIGHT_BITS - _exponent(columns), EXPONENT_MAX)
    exponents, weights = first, _quantised(columns, first)
    while True:
        biases = _biases(bias, exponents + x_frac_bits)
        over = _excess_bits(weights, biases, magnitude)
        if not over.any():
            break
        exponents = exponents - over
        changed = over > 0
        weights[changed] = _quantised(columns[changed], exponents[changed])
    kept = np.array([int(top).bit_length() for top in np.abs(weights).max(axis=1)])
    used = np.abs(columns).max(axis=1) > 0
    lost = used & (exponents < first)
    grid_bits = exponents + x_frac_bits
    frac_bits = min(frac_bits_wanted, int(grid_bits.min()))
    if frac_bits < 0 or (lost.any() and int(kept[lost].min()) < WEIGHT_BITS_MIN):
        reason = "its values are so large that no precision is left for the weights"
        raise LoweringError("grid", reason, "pass calibration rows, or scale the model")
    shifts = grid_bits - frac_bits
    bits = (int(kept[used].min()), int(kept[used].max())) if used.any() else (0, 0)
    return Grid(
        weights=weights,
        bias=_nonzero(None if biases is None else np.array(biases, np.int64)),
        shifts=_nonzero(shifts),
        frac_bits=frac_bits,
        bits=bits,
        columns=columns,
        offsets=bias,
        x_frac_bits=x_frac_bits,
    )


def _nonzero(values: Ints | None) -> Ints | None:
    return values if values is not None and values.any() else None


def _biases(bias: Floats | None, grid_bits: Ints) -> list[int] | None:
    """Each bias at its column's grid, as Python integers: before the bound is checked they may be huge."""
    if bias is None:
        return None
    scaled = np.rint(np.ldexp(bias, grid_bits))
    return [int(value) for value in scaled]


def _excess_bits(weights: Ints, biases: list[int] | None, magnitude: int) -> Ints:
    """Per column, how many bits its worst sum lies above SUM_BITS."""
    sums = np.abs(weights).sum(axis=1).tolist()
    bits: list[Any] = []
    for column, total in enumerate(sums):
        worst = total * max(magnitude, 1) + (abs(biases[column]) if biases else 0)
        bits.append(max(0, worst.bit_length() - SUM_BITS) if worst > 1 << SUM_BITS else 0)
    return np.array(bits, np.int64)
