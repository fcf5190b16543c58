"""Operators on integers. Most are the floating point ones: a grid of 0 fractional bits, on which nothing is rounded,
and what leaves the type wraps around. Div, Mod and BitShift are their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.ops.casts import affine, wrapped
from tools.lowering.ops.columns import regridded
from tools.lowering.ops.elementwise import div as real_div
from tools.lowering.ops.elementwise import pair
from tools.lowering.ops.indexing import typed_constant
from tools.lowering.ops.piecewise import absolute
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]
EXACT_BITS: Final = 51
_FLOAT: Final = np.dtype(np.float64)


def or_integers(handler: Handler) -> Handler:
    """The handler of floating point, for integers too: it reads them as numbers that are known exactly, and its result
    is taken as an integer where it is known within less than a half. Integers that a rounded number decided about, and
    may be others in the float model, make a result of which that is true too."""

    def handle(node: Node, b: Builder) -> None:
        names = [name for name in dict.fromkeys(node.inputs) if name and not b.is_constant(name)]
        given = {name: b.finished(name) for name in names}
        dtypes = {x.dtype for x in given.values()}
        if len(dtypes) != 1 or next(iter(dtypes)).kind not in "iub" or any(x.classes for x in given.values()):
            handler(node, b)
            return
        for name, x in given.items():
            b.reread(name, replace(x, dtype=_FLOAT, error=0.0))
        try:
            handler(node, b)
        finally:
            for name, x in given.items():
                b.reread(name, x)
        _as_integers(node, b, next(iter(dtypes)), inf if any(x.error for x in given.values()) else 0.0)

    return handle


def _as_integers(node: Node, b: Builder, dtype: np.dtype[Any], error: float) -> None:
    for position, name in enumerate(node.outputs):
        if not b.is_bound(name) or b.finished(name).dtype != _FLOAT:
            continue
        x = b.finished(name)
        if x.error >= 0.5:
            raise node.refuse(f"on {dtype} it would be rounded; only floating point has an exact form here")
        whole = replace(b.regrid(x, 0), dtype=dtype, error=error)
        b.rebind(node, whole if dtype.kind == "b" else wrapped(node, b, whole), position)


def div(node: Node, b: Builder) -> None:
    """Of integers towards zero; where the float model would fail, at a divisor of 0, the divisor is 1."""
    if not _integers(node, b):
        real_div(node, b)
        return
    x, y = _operands(node, b)
    b.bind(node, wrapped(node, b, _towards_zero(node, b, x, y)))


def mod(node: Node, b: Builder) -> None:
    """What is left of a division: fmod 1 has the dividend's sign, fmod 0 the divisor's."""
    x, y = _operands(node, b)
    quotient = _towards_zero(node, b, x, y)
    multiple = b.derive(x, ir.Mul(a=quotient.index, b=y.index, shift=0), error=0.0)
    rest = b.derive(x, ir.Sub(a=x.index, b=multiple.index), error=x.error + y.error, limit=None)
    most = y.fact.magnitude - 1
    rest = b.derive(rest, ir.Clip(x=rest.index, low=-most if x.fact.low < 0 else 0, high=most))
    if not node.flag("fmod") and not (x.fact.low >= 0 and y.fact.low >= 0):
        apart = b.derive(x, ir.Mul(a=_sign(b, rest).index, b=_sign(b, y).index, shift=0), frac_bits=0)
        apart = b.derive(apart, ir.Relu(x=affine(b, apart, -1, 0).index))
        missing = b.derive(rest, ir.Mul(a=apart.index, b=y.index, shift=0))
        rest = b.derive(rest, ir.Add(a=rest.index, b=missing.index))
    error = 0.0 if x.error == y.error == 0 else float("inf")
    b.bind(node, replace(rest, error=error))


def _integers(node: Node, b: Builder) -> bool:
    computed = [b.finished(name) for name in node.inputs if not b.is_constant(name)]
    return all(x.dtype.kind in "iu" for x in computed)


def _operands(node: Node, b: Builder) -> tuple[Tensor, Tensor]:
    """Both on one grid; the second is not 0."""
    like = next(b.tensor(node, place) for place in (0, 1) if not b.is_constant(node.inputs[place]))
    x, y = (
        _constant(node, b, place, like) if b.is_constant(node.inputs[place]) else b.tensor(node, place)
        for place in (0, 1)
    )
    x, y = pair(node, x, y)
    if x.frac_bits != y.frac_bits:
        x, y = regridded(node, b, (x, y), max(x.frac_bits, y.frac_bits))
    return x, y


def _constant(node: Node, b: Builder, place: int, like: Tensor) -> Tensor:
    values = b.constant(node, place, "the other operand")
    rank = len(like.shape)
    rows = values.reshape((1,) * (rank + 1 - values.ndim) + values.shape)
    if rows.ndim != rank + 1 or rows.shape[0] != 1 or not rows.size:
        raise node.refuse(f"a constant of shape {list(values.shape)} is not the same in every row")
    return typed_constant(node, b, rows[0], like)


def _sign(b: Builder, x: Tensor) -> Tensor:
    return b.derive(x, ir.Clip(x=x.index, low=-1, high=1), frac_bits=0, error=0.0, limit=None)


def _towards_zero(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """x / y of integers without the fraction. floor(p / q) is the rounding of (2 p - q + 1) / (2 q): never a tie, and
    further from one than the quotient's own rounding, since p * 2 < 2**53."""
    if max(x.fact.magnitude, y.fact.magnitude) >= 1 << EXACT_BITS - 1:
        raise node.refuse("its integers are too large to be divided exactly")
    p, q = absolute(b, x), absolute(b, y)
    q = b.derive(q, ir.Clip(x=q.index, low=1, high=max(1, q.fact.high))) if q.fact.low < 1 else q
    above = b.derive(p, ir.Sub(a=affine(b, p, 2, 1).index, b=q.index), limit=None)
    quotient = b.derive(p, ir.Div(a=above.index, b=affine(b, q, 2, 0).index, shift=0), frac_bits=0, limit=None)
    for sign in (x, y):
        if sign.fact.low < 0:
            quotient = b.derive(quotient, ir.Mul(a=quotient.index, b=_sign(b, sign).index, shift=0))
    return replace(quotient, error=0.0 if x.error == y.error == 0 else float("inf"))


def bit_shift(node: Node, b: Builder) -> None:
    """Unsigned integers times or through a power of two; what leaves the type is cut off."""
    x, by = _operands(node, b)
    bits = 8 * x.dtype.itemsize
    if x.dtype.kind != "u" or by.fact.low < 0:
        raise node.refuse(f"it shifts {x.dtype}; unsigned integers are shifted")
    most = min(bits, by.fact.high)
    by = b.derive(by, ir.Clip(x=by.index, low=0, high=most))
    powers = np.array([1 << number for number in range(most + 1)]).reshape(-1, 1)
    if most >= EXACT_BITS:
        raise node.refuse("it may shift too far to be exact", "pass calibration rows like those the model will see")
    power = b.derive(by, ir.Lookup(x=by.index, table=b.store(powers)))
    power = b.derive(power, ir.Reshape(x=power.index, shape=by.shape))
    if node.text("direction", "") == "RIGHT":
        b.bind(node, _towards_zero(node, b, x, power))
    elif x.fact.magnitude << most > 1 << EXACT_BITS - 1:
        raise node.refuse("it may shift too far to be exact", "pass calibration rows like those the model will see")
    else:
        b.bind(node, wrapped(node, b, b.derive(x, ir.Mul(a=x.index, b=power.index, shift=0), limit=None)))


INTEGERS: Final[dict[str, Handler]] = {"BitShift": bit_shift, "Div": div, "Mod": mod}
