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

from runtime.inference.limbs import limbs_sum_max
from tools.lowering.errors import LoweringError

WEIGHT_BITS: Final = 22
LIMBS_BITS: Final = 13
"""Of the largest weight of a column of which products are computed byte by byte."""
SUM_BITS: Final = 52
EXPONENT_MAX: Final = 64
WEIGHT_BITS_MIN: Final = 4
CONSTANT_MAX: Final = 2.0**128  # float32's range: nothing below overflows on the way to integers
COARSE_WEIGHT_BITS: Final = 14
"""What weights need so much that x is put on a grid coarser than that of whole numbers: a small feature beside a huge
one is lost there."""
FRAC_BITS_MIN: Final = -112
"""The coarsest grid: float32's largest numbers have 16 bits on it."""
ON_ANY_GRID: Final = (
    "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "Div", "Dropout", "Flatten", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MatMul", "MaxPool", "Mean", "Mul", "Neg",
    "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Sum",
    "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators that compute on grids coarser than that of whole numbers too."""
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
        kept = self.weights * _powers(-exponents)
        total = np.abs(kept).sum(axis=1) * x_error
        total += np.abs(self.columns - kept).sum(axis=1) * (x_magnitude + x_error)
        if self.bias is not None and self.offsets is not None:
            total += np.abs(self.offsets - np.ldexp(self.bias.astype(np.float64), -(shifts + self.frac_bits)))
        return float(total.max()) + (2.0**-self.frac_bits / 2 if shifts.any() else 0.0)


def _exponent(values: Floats) -> Ints:
    """Per row the least e with every |value| < 2**e; 0 for zeros."""
    largest = np.maximum(values.max(axis=1), -values.min(axis=1))
    exponents: Ints = np.frexp(largest)[1].astype(np.int64)
    return exponents


def limb_exponents(columns: Floats) -> Ints:
    """Per column the most e with which weights at 2**-e have two limbs, and their sums 32 bits."""
    exponents = np.minimum(LIMBS_BITS - _exponent(columns), EXPONENT_MAX)
    while True:
        over = np.abs(quantised(columns, exponents)).sum(axis=1) > limbs_sum_max(columns.shape[1])
        if not over.any():
            return exponents
        exponents = exponents - over


def _powers(exponents: Ints) -> Floats:
    """2**e beside the numbers of each row: to multiply is exact, and faster than to ldexp each of them."""
    powers: Floats = np.ldexp(1.0, exponents)[:, np.newaxis]
    return powers


def quantised(columns: Floats, exponents: Ints) -> Ints:
    """The integers of each row at 2**-exponent."""
    scaled = columns * _powers(exponents)
    return np.rint(scaled, out=scaled).astype(np.int64)


def _full_exponents(columns: Floats, x_frac_bits: int) -> Ints:
    """Those with which each column's largest weight has WEIGHT_BITS; finer than EXPONENT_MAX only where x is coarse."""
    return np.minimum(WEIGHT_BITS - _exponent(columns), EXPONENT_MAX - min(0, x_frac_bits))


def _largest_sum(columns: Floats, x_frac_bits: int) -> int:
    """The largest sum of a column's weights at WEIGHT_BITS."""
    full = quantised(columns, _full_exponents(columns, x_frac_bits))
    return int(np.abs(full).sum(axis=1).max())


def least_frac_bits(op: str) -> int:
    """Of what the operator reads and makes: below 0 a grid is coarser than that of whole numbers."""
    return FRAC_BITS_MIN if op in ON_ANY_GRID else 0


def bits_to_drop(columns: Floats, magnitude: int, frac_bits: int, frac_bits_min: int = 0) -> int:
    """How many of x's low bits to give up so that x and the weights lose about equally; below the grid of whole numbers
    no more than COARSE_WEIGHT_BITS ask for.

    With a bits in x, w in the weights and c for the width of the column, a + w + c <= SUM_BITS.
    """
    total = _largest_sum(columns, frac_bits)
    if total * magnitude <= 1 << SUM_BITS:
        return 0
    width = max(0, total.bit_length() - WEIGHT_BITS)
    x_bits = magnitude.bit_length()
    weight_bits = SUM_BITS - width - x_bits
    drop = 0
    while drop < frac_bits and weight_bits + drop < WEIGHT_BITS and x_bits - drop > weight_bits + drop + HEADROOM_BITS:
        drop += 1
    if drop < frac_bits:
        return drop
    return max(drop, min(COARSE_WEIGHT_BITS - weight_bits, frac_bits - frac_bits_min))


def is_tight(columns: Floats, magnitude: int, frac_bits: int) -> bool:
    """Whether a bound of x costs weights some of their WEIGHT_BITS."""
    return _largest_sum(columns, frac_bits) * magnitude > 1 << SUM_BITS


def choose(
    columns: Floats,
    bias: Floats | None,
    magnitude: int,
    x_frac_bits: int,
    frac_bits_wanted: int,
    by_bytes: bool = False,
    frac_bits_min: int = 0,
) -> Grid:
    """The best grid within the bound. `columns` [O, K], `bias` [O] are real; x's integers are within `magnitude`.
    `by_bytes`: the weights are to have two limbs, and their sums 32 bits (runtime/inference/limbs.py).

    Raises LoweringError where so little precision is left that the result would be noise.
    """
    largest = max(float(np.abs(columns).max()), 0.0 if bias is None else float(np.abs(bias).max()))
    if largest > CONSTANT_MAX:
        raise LoweringError("grid", f"its constants reach {largest:g}", "scale the model")
    first = limb_exponents(columns) if by_bytes else _full_exponents(columns, x_frac_bits)
    exponents, weights = first, quantised(columns, first)
    while True:
        biases = _biases(bias, exponents + x_frac_bits)
        over = _excess_bits(weights, biases, magnitude)
        if not over.any():
            break
        exponents = exponents - over
        changed = over > 0
        weights[changed] = quantised(columns[changed], exponents[changed])
    kept = np.array([int(top).bit_length() for top in np.abs(weights).max(axis=1)])
    used = np.abs(columns).max(axis=1) > 0
    lost = used & (exponents < first)
    grid_bits = exponents + x_frac_bits
    frac_bits = min(frac_bits_wanted, int(grid_bits.min()))
    if frac_bits < frac_bits_min or (lost.any() and int(kept[lost].min()) < WEIGHT_BITS_MIN):
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
