"""Sqrt, Reciprocal, Pow with a constant exponent: products, one correctly rounded root, one such quotient."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import SUM_BITS
from tools.lowering.ops.columns import filled, floating, floats
from tools.lowering.ops.elementwise import product, ratio
from tools.lowering.source import Node

EXPONENT_MAX: Final = 16


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
    """As `inverse`."""
    b.bind(node, inverse(node, b, floating(node, b.tensor(node, 0))))


def inverse(node: Node, b: Builder, x: Tensor) -> Tensor:
    """1 / x, for an x that is proven to be of one sign."""
    one = replace(filled(node, b, x, np.ones((1,) * len(x.shape))), limit=None)
    return ratio(node, b, one, x, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits))


def power(node: Node, b: Builder) -> None:
    """To one constant exponent for all elements: a whole number, or a half."""
    x = floating(node, b.tensor(node, 0))
    exponents = np.unique(floats(b.constant(node, 1, "the exponent")))
    exponent = float(exponents[0]) if len(exponents) else 0.0
    if len(exponents) != 1 or (2 * exponent) % 1 or not 0 < abs(exponent) <= EXPONENT_MAX:
        found = ", ".join(f"{value:g}" for value in exponents[:4])
        reason = (
            f"exponent {found}; one whole number or half of +-0.5 to +-{EXPONENT_MAX} for all elements is supported"
        )
        raise node.refuse(reason, "write other powers as products and roots")
    if exponent % 1:
        x = root(node, b, x, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits))
        exponent *= 2
    result = _repeated(node, b, x, int(abs(exponent)))
    b.bind(node, inverse(node, b, result) if exponent < 0 else result)


def _repeated(node: Node, b: Builder, x: Tensor, exponent: int) -> Tensor:
    """By squaring, from the highest bit of the exponent on."""
    result = x
    for bit in bin(exponent)[3:]:
        result = _times(node, b, result, result)
        if bit == "1":
            result = _times(node, b, result, x)
    return result


def _times(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """A product that is as large as calibration's limits of its factors say."""
    known = None if x.limit is None or y.limit is None else x.limit * y.limit
    return replace(product(node, b, x, y), limit=known)
