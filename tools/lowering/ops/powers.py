"""Sqrt, Reciprocal, Pow with constant exponents: products, one correctly rounded root, one such quotient; a table."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import inf
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering import functions
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import SUM_BITS, Floats
from tools.lowering.ops import curves
from tools.lowering.ops.columns import added, filled, floating, regridded, scaled
from tools.lowering.ops.elementwise import beside, product, ratio
from tools.lowering.ops.layout import joined
from tools.lowering.ops.pieces import piece
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

EXPONENT_MAX: Final = 16
COLUMNS_MAX: Final = 256
"""How many places of a dimension may have exponents of their own; up to +-COLUMN_EXPONENT_MAX."""
COLUMN_EXPONENT_MAX: Final = 4
EXPONENTS_MAX: Final = 8
BASE_MAX: Final = 2.0**20


def sqrt(node: Node, b: Builder) -> None:
    """Where the float model would make NaN of a negative number, 0."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, root(node, b, x, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits)))


def root(node: Node, b: Builder, x: Tensor, frac_bits: int) -> Tensor:
    """The square root with that many fractional bits, or as many fewer as fit."""
    if x.fact.high < 0:
        raise node.refuse("its operand is always negative")
    if x.frac_bits % 2:
        finer = x.fact.magnitude < 1 << SUM_BITS
        x = b.regrid(x, x.frac_bits + (1 if finer else -1))
    if x.fact.low < 0:
        x = b.derive(x, ir.Clip(x=x.index, low=0, high=x.fact.high))
    frac_bits = min(frac_bits, SUM_BITS - (x.fact.high.bit_length() + 1) // 2 + x.frac_bits // 2)
    least = max(0.0, x.fact.low * 2.0**-x.frac_bits - x.error)
    moved = min(x.error**0.5, x.error / (2 * least**0.5) if least else inf)
    emitted = ir.Sqrt(x=x.index, shift=x.frac_bits // 2 - frac_bits)
    limit = None if x.limit is None else x.limit**0.5
    return b.derive(x, emitted, frac_bits=frac_bits, error=moved + 2.0**-frac_bits / 2, limit=limit)


def reciprocal(node: Node, b: Builder) -> None:
    """As `inverse`, of what stays as far from 0 as calibration saw it."""
    b.bind(node, inverse(node, b, b.kept_away(floating(node, b.tensor(node, 0)))))


def inverse(node: Node, b: Builder, x: Tensor) -> Tensor:
    """1 / x, for an x that is proven to be of one sign."""
    one = replace(filled(node, b, x, np.ones((1,) * len(x.shape))), limit=None)
    return ratio(node, b, one, x, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits))


def power(node: Node, b: Builder) -> None:
    """To constant exponents, of a few sorts. A constant to the power of x is e**(x log c)."""
    if b.is_constant(node.inputs[0]):
        x = floating(node, b.tensor(node, 1))
        bases = beside(node, b, 0, x)
        if not ((bases > 0) & (bases < BASE_MAX)).all():
            raise node.refuse(f"its base is {bases.min():g} to {bases.max():g}, positive numbers are needed")
        exponent = scaled(node, b, x, functions.log(bases), None)
        b.bind(node, tabulated(node, b, replace(exponent, limit=None), curves.EXP))
        return
    x = floating(node, b.tensor(node, 0))
    exponents = beside(node, b, 1, x)
    sorts = np.unique(exponents)
    alone = EXPONENTS_MAX < len(sorts) <= exponents.size == exponents.shape[-1] <= COLUMNS_MAX
    if alone and np.abs(sorts).max() <= COLUMN_EXPONENT_MAX:
        b.bind(node, _by_column(node, b, b.kept_away(x), exponents.reshape(-1)))
        return
    if len(sorts) > EXPONENTS_MAX or not (np.abs(sorts) <= EXPONENT_MAX).all():
        found = ", ".join(f"{value:g}" for value in sorts[:4])
        reason = f"exponents {found}; at most {EXPONENTS_MAX} different ones up to +-{EXPONENT_MAX} are supported"
        raise node.refuse(reason, "write other powers as products and roots")
    x = b.kept_away(x) if sorts.min() < 0 else x
    parts = [raised(node, b, x, float(exponent)) for exponent in sorts]
    if len(parts) > 1:
        chosen = [(exponents == exponent).astype(np.float64) for exponent in sorts]
        parts = [scaled(node, b, part, mask, None) for part, mask in zip(parts, chosen, strict=True)]
    b.bind(node, reduce(lambda y, z: added(node, b, y, z), parts))


def _by_column(node: Node, b: Builder, x: Tensor, exponents: Floats) -> Tensor:
    """Each place of the last dimension to a power of its own."""
    axis = len(x.shape) - 1
    columns = [b.within_limit(piece(b, x, axis, place, 1)) for place in range(len(exponents))]
    parts = [raised(node, b, column, float(power)) for column, power in zip(columns, exponents, strict=True)]
    return joined(b, regridded(node, b, parts, max(part.frac_bits for part in parts)), axis)


def raised(node: Node, b: Builder, x: Tensor, exponent: float) -> Tensor:
    """By products and roots where it is whole or a half; else by a table, where the float model has numbers too."""
    if exponent == 0:
        return filled(node, b, x, np.ones(x.shape))
    if (2 * exponent) % 1:
        return tabulated(node, b, x, curves.power(exponent))
    if exponent % 1:
        x = root(node, b, x, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits))
        exponent *= 2
    result = _repeated(node, b, x, int(abs(exponent)))
    return inverse(node, b, result) if exponent < 0 else result


def _repeated(node: Node, b: Builder, x: Tensor, exponent: int) -> Tensor:
    """By squaring, from the highest bit of the exponent on."""
    result = x
    for bit in bin(exponent)[3:]:
        result = multiplication(node, b, result, result)
        if bit == "1":
            result = multiplication(node, b, result, x)
    return result


def multiplication(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """A product that is as large as calibration's limits of its factors say."""
    known = None if x.limit is None or y.limit is None else x.limit * y.limit
    return replace(product(node, b, x, y), limit=known)
