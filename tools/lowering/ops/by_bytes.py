"""Coarsens what a large linear op reads, so that the engine can multiply byte by byte (runtime/inference/limbs.py).

Sixteen bits of x and fourteen of each weight are enough where the noise of their rounding is far below what the op
makes. It is estimated, not bounded: independent errors add up like sqrt(K). Where it would show, all bits are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limbs import X_BITS_MAX, Limbs, is_cheaper
from runtime.inference.limits import SHIFT_BITS_MAX
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats, limb_exponents, quantised
from tools.lowering.source import Node

FULL: Final = Limbs(0, 2, 2)
OF_ANOTHER_SCALE: Final = frozenset({"LinearClassifier", "SVMClassifier", "SVMRegressor"})
"""Their first output, a class or a sum of kernels, says nothing of what their products come to."""
NOISE_MAX: Final = 2.0**-10
"""Of the largest magnitude of the op's result, estimated for x of a quarter of its bound."""


def coarsened(node: Node, b: Builder, x: Tensor, columns: Floats, made: int) -> Tensor | None:
    """x clipped and rounded to sixteen bits; None where products byte by byte would cost more, where calibration does
    not say how large x is, where the result would show it, or where the caller asked for all bits. made: elements of
    the result of a row."""
    largest = None if node.op in OF_ANOTHER_SCALE else b.limit(node.outputs[0])
    if b.source.precise or largest is None or not is_cheaper(FULL, columns.shape[1], x.fact.elements, made):
        return None
    drop = _bits_over(x)
    if drop > x.frac_bits or _noise_squared(x, columns, drop) > (NOISE_MAX * largest) ** 2:
        return None
    clipped = b.within_limit(x)
    if not drop:
        return clipped
    is_alone = b.source.sole_maker(node.inputs[0], ("Relu", "Clip")) in ("Conv", "Gemm", "MatMul")
    return (_made_coarser(b, clipped, drop) if is_alone else None) or b.drop(clipped, drop)


def _made_coarser(b: Builder, x: Tensor, drop: int) -> Tensor | None:
    """x with so many bits fewer, by what makes it: it is rounded once, at no cost. None for what does not round."""
    after: list[ir.Relu | ir.Clip] = []
    made = b.maker(x)
    while isinstance(made, ir.Relu | ir.Clip):
        after.append(made)
        made = b.maker(replace(x, index=made.x))
    if not isinstance(made, ir.Conv | ir.Gemm) or made.shifts is None:
        return None
    shifts = b.stored(made.shifts) + drop
    if int(shifts.max()) > SHIFT_BITS_MAX:
        return None
    b.note_dropped(drop)
    frac_bits = x.frac_bits - drop
    emitted = msgspec.structs.replace(made, shifts=b.store(shifts))
    y = b.derive(x, emitted, frac_bits=frac_bits, error=x.error + 2.0**-frac_bits / 2)
    for step in reversed(after):
        if isinstance(step, ir.Clip):
            step = msgspec.structs.replace(step, low=step.low >> drop, high=step.high >> drop)
        y = b.derive(y, msgspec.structs.replace(step, x=y.index))
    return y


def _bits_over(x: Tensor) -> int:
    """How many low bits do not fit into X_BITS_MAX, once x is clipped to calibration's limit."""
    low, high = x.fact.low, x.fact.high
    if x.limit is not None:
        most = int(np.ldexp(x.limit, x.frac_bits))
        low, high = max(low, -most), min(high, most)
    span, drop = max(high, 0) - min(low, 0), 0
    while (span >> drop) + 2 >= 1 << X_BITS_MAX:
        drop += 1
    return drop


def _noise_squared(x: Tensor, columns: Floats, drop: int) -> float:
    """Of the worst column: mean squares of what rounding x and the weights does. Sums are of integers: any order gives
    the same."""
    exponents = limb_exponents(columns)
    step = 2.0 ** (drop - x.frac_bits) if drop else 0.0
    usual = min(x.magnitude, x.limit or x.magnitude) / 4
    squares = np.square(quantised(columns, exponents)).sum(axis=1)
    of_column = usual**2 * columns.shape[1] + step**2 * squares.astype(np.float64)
    return float(np.ldexp(of_column, -2 * exponents).max() / 12)
