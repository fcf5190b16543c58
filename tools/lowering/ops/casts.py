"""Cast, CastLike: the same numbers in another element type. Between floating point types nothing changes: one grid
serves all. To integers the fraction is cut off, and what does not fit wraps around, as two's complement does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Classes, Tensor
from tools.lowering.ops.logic import BOOL, is_true
from tools.lowering.protobuf import TEXT, dtype_of
from tools.lowering.source import Node

WRAP_BITS_MAX: Final = 32


def cast(node: Node, b: Builder) -> None:
    """To the type that attribute `to` names. Classes that are numbers stay classes."""
    to = dtype_of(node.integer("to", 0), node.where, text=True)
    x = b.tensor(node, 0, classes=True, anywhere=True, missing=True)
    if to.kind != "f":
        x = b.tensor(node, 0, classes=True, anywhere=True)
    b.bind(node, _as(node, b, x, to))


def cast_like(node: Node, b: Builder) -> None:
    """To the type of the second operand."""
    name = node.inputs[1]
    to = b.source.constants[name].dtype if b.is_constant(name) else b.finished(name).dtype
    b.bind(node, _as(node, b, b.tensor(node, 0, classes=True, anywhere=True), to))


def _as(node: Node, b: Builder, x: Tensor, to: np.dtype[Any]) -> Tensor:
    if x.classes is not None:
        if to != x.dtype and (TEXT in (to, x.dtype) or not _keeps(x.classes, to)):
            raise node.refuse(f"it would turn names of classes from {x.dtype} into {to}")
        return replace(x, dtype=to)
    if to == TEXT:
        raise node.refuse("numbers as texts have no exact form", "leave them numbers")
    if to == x.dtype or to.kind == "f":
        return replace(x, dtype=to)
    if to == BOOL:
        return is_true(b, x)
    x = replace(truncated(b, x), dtype=to)
    low, high = integer_range(to)
    return x if low <= x.fact.low and x.fact.high <= high else wrapped(node, b, x)


def _keeps(classes: Classes, to: np.dtype[Any]) -> bool:
    """Whether each number is one of the type too."""
    low, high = integer_range(to) if to.kind in "iu" else (-(1 << 24), 1 << 24)
    return (to.kind in "iu" or to.itemsize >= 4) and all(low <= int(number) <= high for number in classes)


def integer_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    bits = 8 * dtype.itemsize
    return (0, (1 << bits) - 1) if dtype.kind == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)


def affine(b: Builder, x: Tensor, factor: int, addend: int) -> Tensor:
    """factor * x + addend, of integers."""
    shape = x.shape or (1,)
    given = x if x.shape else b.derive(x, ir.Reshape(x=x.index, shape=(1,)))
    ones = (1,) * len(shape)
    weights = None if factor == 1 else b.store(np.full(ones, factor))
    emitted = ir.Affine(x=given.index, weights=weights, bias=b.store(np.full(ones, addend)), shifts=None)
    result = b.derive(given, emitted, limit=None)
    return result if x.shape else b.derive(result, ir.Reshape(x=result.index, shape=()))


def floored(b: Builder, x: Tensor, bits: int) -> Tensor:
    """floor(n / 2**bits) of integers n: rounding of (2 n - 2**bits + 1) / 2**(bits + 1), which is never a tie."""
    if bits == 0:
        return x
    odd = affine(b, x, 2, 1 - (1 << bits))
    return b.derive(odd, ir.Rescale(x=odd.index, shift=bits + 1), limit=None)


def truncated(b: Builder, x: Tensor) -> Tensor:
    """A real number without its fraction, as an integer. One that is not known exactly may be one off."""
    if x.frac_bits == 0:
        return replace(x, limit=None)
    above = floored(b, b.derive(x, ir.Relu(x=x.index)), x.frac_bits)
    if x.fact.low < 0:
        below = floored(b, b.derive(x, ir.Relu(x=affine(b, x, -1, 0).index)), x.frac_bits)
        above = b.derive(above, ir.Sub(a=above.index, b=below.index))
    return replace(above, frac_bits=0, error=x.error + 1.0 if x.error else 0.0, limit=None)


def wrapped(node: Node, b: Builder, x: Tensor) -> Tensor:
    """An integer modulo 2**bits of its type, within its type."""
    bits, (low, high) = 8 * x.dtype.itemsize, integer_range(x.dtype)
    if low <= x.fact.low and x.fact.high <= high:
        return x
    if bits > WRAP_BITS_MAX or x.fact.magnitude >= 1 << 50:
        raise node.refuse(f"its integers may leave {x.dtype}", "pass calibration rows like those the model will see")
    times = floored(b, affine(b, x, 1, -low), bits)
    result = b.derive(x, ir.Sub(a=x.index, b=affine(b, times, 1 << bits, 0).index), limit=None)
    return b.derive(result, ir.Clip(x=result.index, low=low, high=high))  # changes nothing, but is proven
