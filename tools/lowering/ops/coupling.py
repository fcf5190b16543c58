"""The probabilities of k classes from those of their pairs (Wu, Lin, Weng, Probability Estimates for Multi-class
Classification by Pairwise Coupling, JMLR 5, 2004, section 4; what libsvm and onnxruntime compute by iterations).

With r[i, j] how likely i is where one of i and j is, p minimises sum_{i<j} (r[j, i] p[i] - r[i, j] p[j])**2 under
sum p = 1. So p is x / sum x, where Q x = 1: Q[t, t] = sum_j r[j, t]**2, Q[t, j] = -r[j, t] r[t, j]. Q is symmetric,
positive semidefinite and nowhere positive off its diagonal, and so is what remains after each step of an elimination
without pivoting of A = Q / 2**s + EPSILON, with 2**s >= k. Hence, K the classes that are eliminated and i, j others:

- what remains lies between -1 and 1, and its diagonal between EPSILON (A's least eigenvalue) and 1;
- with c on the right-hand side of each class, what stands there lies between c and c (1 + sqrt(k / EPSILON)), because
  |A_iK| A_KK**-1 e <= sqrt(A_iK A_KK**-1 A_Ki) sqrt(e A_KK**-1 e) (Cauchy, Schwarz);
- a quotient |A_ij| / A_ii is at most sqrt(A_jj / A_ii) <= EPSILON**-1/2;
- x is at most c sqrt(k) / EPSILON, and its sum at least c k**2 / (e A e) >= c, as e Q e <= k (k - 1) / 2.

Each is stated by a Clip, which changes a value by no more than the roundings before it did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import inf
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import SUM_BITS
from tools.lowering.ops.layout import joined, reshaped

EPSILON_BITS: Final = 17
"""EPSILON = 2**-17: it moves a probability by 2**s as much at most, roundings by less than 2**-10."""
MATRIX_BITS: Final = 26
"""So that a product of two is exact."""
PAIR_BITS: Final = 22
QUOTIENT_BITS: Final = 14
STEEPEST_BITS: Final = (EPSILON_BITS + 1) // 2
CLASSES_MAX: Final = 32
"""The system takes k**3 weights."""


@dataclass(frozen=True)
class _Step:
    """What the elimination of a class leaves for finding its x. pivot [1, 1]; row [1, others after it, and the
    right-hand side], negative."""

    pivot: Tensor
    row: Tensor


def coupled(b: Builder, pairs: Tensor, classes: int, frac_bits: int) -> Tensor:
    """[classes], between 0 and 1. pairs [classes * (classes - 1) / 2]: r[i, j] in the order of combinations, i < j."""
    steps, system = [], _system(b, b.regrid(pairs, PAIR_BITS), classes)
    for _ in range(classes - 1):
        step, system = _eliminated(b, system)
        steps.append(step)
    steps.append(_Step(_pivot(b, system), _part(b, system, 0, 1, 1, 1)))
    x = _solution(b, steps, classes)
    total = b.derive(x, ir.ReduceSum(x=x.index, axes=(1,)))
    total = _clipped(b, total, 1 << x.frac_bits - _lift(classes), total.fact.high)
    found = _quotient(b, x, total, frac_bits)
    return replace(_clipped(b, reshaped(b, found, (classes,)), 0, 1 << frac_bits), error=inf)


def _system(b: Builder, r: Tensor, classes: int) -> Tensor:
    """[classes, classes + 1]: A, and -c. Both are linear in r and r**2, as r[j, i] = 1 - r[i, j]."""
    names = list(combinations(range(classes), 2))
    scale = (classes - 1).bit_length()
    columns = np.zeros((classes, classes + 1, 2, len(names)), np.int64)  # of r, of r**2
    offsets = np.zeros((classes, classes + 1), np.int64)
    own = np.arange(classes)
    for place, (i, j) in enumerate(names):
        columns[j, j, 1, place] = columns[i, i, 1, place] = 1
        columns[i, i, 0, place] = -2
        offsets[i, i] += 1 << 2 * PAIR_BITS
        for t, other in ((i, j), (j, i)):
            columns[t, other, :, place] = -1, 1
    offsets[own, own] += 1 << 2 * PAIR_BITS + scale - EPSILON_BITS
    offsets[:, classes] = -(1 << 2 * PAIR_BITS + scale - _lift(classes))
    square = b.derive(r, ir.Mul(a=r.index, b=r.index, shift=0), frac_bits=2 * PAIR_BITS)
    both = joined(b, [b.regrid(r, 2 * PAIR_BITS), square], 0)
    weights, bias = columns.reshape(-1, 2 * len(names)), offsets.reshape(-1)
    shifts = np.full(bias.shape, 2 * PAIR_BITS + scale - MATRIX_BITS)
    emitted = ir.Gemm(x=both.index, weights=b.store(weights), bias=b.store(bias), shifts=b.store(shifts))
    found = b.derive(both, emitted, frac_bits=MATRIX_BITS, limit=None)
    return _signed(b, reshaped(b, found, (classes, classes + 1)))


def _lift(classes: int) -> int:
    """c = 2**-this: as large as the right-hand side may be to stay below 1."""
    return (EPSILON_BITS + classes.bit_length()) // 2 + 1


def _eliminated(b: Builder, system: Tensor) -> tuple[_Step, Tensor]:
    """The first class's step, and the system [m - 1, m] of the others that remains of [m, m + 1]."""
    count = system.shape[0]
    pivot = _pivot(b, system)
    row, column = _part(b, system, 0, 1, 1, count), _part(b, system, 1, 0, count - 1, 1)
    product = b.derive(row, ir.Mul(a=column.index, b=row.index, shift=0))
    change = b.derive(product, ir.Div(a=product.index, b=pivot.index, shift=0))
    rest = _part(b, system, 1, 1, count - 1, count)
    return _Step(pivot, row), _signed(b, b.derive(rest, ir.Sub(a=rest.index, b=change.index)))


def _solution(b: Builder, steps: list[_Step], classes: int) -> Tensor:
    """x [1, classes], from the last class to the first: x_i = c_i / A_ii + sum_j |A_ij| / A_ii x_j."""
    most = EPSILON_BITS - _lift(classes) + (classes.bit_length() + 1) // 2  # of x, as a power of two
    frac_bits = SUM_BITS - most - QUOTIENT_BITS - STEEPEST_BITS
    found: Tensor | None = None
    for step in reversed(steps):
        others = step.row.shape[1] - 1
        x = _quotient(b, _part(b, step.row, 0, others, 1, 1), step.pivot, frac_bits)
        if found is not None:
            ratio = _quotient(b, _part(b, step.row, 0, 0, 1, others), step.pivot, QUOTIENT_BITS)
            ratio = _clipped(b, ratio, -(1 << QUOTIENT_BITS + STEEPEST_BITS), 0)
            along = b.derive(found, ir.Mul(a=ratio.index, b=found.index, shift=QUOTIENT_BITS))
            total = b.derive(along, ir.ReduceSum(x=along.index, axes=(1,)))
            x = b.derive(x, ir.Add(a=x.index, b=total.index))
        minus = b.store(np.full((1, 1), -1))
        x = b.derive(x, ir.Affine(x=x.index, weights=minus, bias=None, shifts=None))
        x = _clipped(b, x, 0, 1 << frac_bits + most)
        found = x if found is None else joined(b, [x, found], 1)
    assert found is not None
    return found


def _quotient(b: Builder, x: Tensor, y: Tensor, frac_bits: int) -> Tensor:
    return b.derive(x, ir.Div(a=x.index, b=y.index, shift=-frac_bits), frac_bits=frac_bits)


def _pivot(b: Builder, system: Tensor) -> Tensor:
    return _clipped(b, _part(b, system, 0, 0, 1, 1), 1 << MATRIX_BITS - EPSILON_BITS, 1 << MATRIX_BITS)


def _signed(b: Builder, system: Tensor) -> Tensor:
    return _clipped(b, system, -(1 << MATRIX_BITS), 1 << MATRIX_BITS)


def _clipped(b: Builder, x: Tensor, low: int, high: int) -> Tensor:
    return b.derive(x, ir.Clip(x=x.index, low=low, high=max(low, high)))


def _part(b: Builder, x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return b.derive(x, ir.Slice(x=x.index, starts=(top, left), counts=(height, width), steps=(1, 1)))
