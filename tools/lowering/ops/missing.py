"""Values that may be missing: NaN in the float model, here one integer below all others.

What lives here: which are missing, and tensors with one such integer. Who takes them: Imputer, trees, IsNaN, and what
moves tensors about; `Builder.tensor` refuses them to all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor

BOOL = np.dtype(np.bool_)


def is_missing(b: Builder, x: Tensor) -> Tensor:
    """1 where the value is missing, else 0."""
    flat = x if x.shape else b.derive(x, ir.Reshape(x=x.index, shape=(1,)))
    ones = np.ones((1,) * len(flat.shape), np.int64)
    lowest = flat.fact.low if x.missing is None else x.missing
    from_it = b.store(ones * (-lowest + (x.missing is None)))
    above = b.derive(flat, ir.Affine(x=flat.index, weights=None, bias=from_it, shifts=None))
    there = b.derive(above, ir.Clip(x=above.index, low=0, high=1), frac_bits=0, dtype=BOOL, error=0.0)
    answer = ir.Affine(x=there.index, weights=b.store(-ones), bias=b.store(ones), shifts=None)
    found = b.derive(there, answer, missing=None, limit=None)
    return found if x.shape else b.derive(found, ir.Reshape(x=found.index, shape=()))


def with_missing(b: Builder, x: Tensor, lacks: Tensor, by: int) -> Tensor:
    """x, moved by so much where it `lacks` a value."""
    up = b.store(np.full((1,) * len(x.shape), by))
    moved = b.derive(x, ir.Affine(x=lacks.index, weights=up, bias=None, shifts=None), limit=None)
    return b.derive(x, ir.Add(a=x.index, b=moved.index), limit=None)


def alike(b: Builder, found: Sequence[Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """The parts, as `found` on one grid, with one integer for what is missing in any."""
    least = min(x.fact.low for x in found) - 1
    made = []
    for x, part in zip(found, parts, strict=True):
        if part.missing is not None:
            x = with_missing(b, x, is_missing(b, part), least - x.fact.low)
        made.append(replace(x, missing=least))
    return made
