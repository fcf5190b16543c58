"""Handlers of functions of one variable by tables: Sigmoid, Tanh, Gelu, Elu, Exp, Log, Sin and their like.

Which curve an operator is, and what is done before its table: periods are taken off, attributes checked. Nothing here
knows how a table works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.cells import Curve
from tools.lowering.functions import PI
from tools.lowering.grids import SUM_BITS
from tools.lowering.ops import curves
from tools.lowering.ops.columns import floating
from tools.lowering.ops.layout import reshaped
from tools.lowering.ops.tables import tabulated
from tools.lowering.source import Node

Handler = Callable[[Node, Builder], None]
TURN_BITS: Final = 26
"""Fractional bits of x while periods are taken off, if they fit."""
GATE_BITS: Final = 18
"""Of Sigmoid and Tanh: what they add to the error of their operand's grid is then small beside it."""
FACTOR_BITS_MIN: Final = 12
FACTOR_MAX: Final = 1024.0


def curved(curve: Curve, frac_bits: int = 0) -> Handler:
    """The handler of an op that is this curve; frac_bits: that the result has at least."""

    def handler(node: Node, b: Builder) -> None:
        wanted = max(frac_bits, b.wanted_frac_bits(node.outputs[0]))
        b.bind(node, tabulated(node, b, floating(node, b.tensor(node, 0)), curve, wanted))

    return handler


def elu(node: Node, b: Builder) -> None:
    """gamma * x above 0, gamma * alpha * (e**x - 1) below; Elu has no gamma, and Selu's defaults are the standard's."""
    alpha, gamma = node.number("alpha", 1.0), 1.0
    if node.op == "Selu":
        alpha, gamma = node.number("alpha", 1.67326319217681884765625), node.number("gamma", 1.05070102214813232421875)
    if max(abs(alpha), abs(gamma)) > FACTOR_MAX:
        raise node.refuse(f"alpha {alpha:g} and gamma {gamma:g}: magnitudes up to {FACTOR_MAX:g} are supported")
    b.bind(node, tabulated(node, b, floating(node, b.tensor(node, 0)), curves.elu(alpha, gamma)))


def celu(node: Node, b: Builder) -> None:
    """x above 0, alpha * (e**(x / alpha) - 1) below."""
    alpha = node.number("alpha", 1.0)
    if not 2.0**-10 <= alpha <= 2.0**10:
        raise node.refuse(f"alpha is {alpha:g}; a positive number between 1/1024 and 1024 is supported")
    b.bind(node, tabulated(node, b, floating(node, b.tensor(node, 0)), curves.celu(alpha)))


def gelu(node: Node, b: Builder) -> None:
    """x times the normal distribution function, or its approximation by tanh."""
    way = node.text("approximate", "none")
    if way not in ("none", "tanh"):
        raise node.refuse(f"approximate {way!r} is unknown")
    curve = curves.GELU if way == "none" else curves.GELU_TANH
    b.bind(node, tabulated(node, b, floating(node, b.tensor(node, 0)), curve))


def swish(node: Node, b: Builder) -> None:
    """x * sigmoid(alpha * x)."""
    x, alpha = floating(node, b.tensor(node, 0)), node.number("alpha", 1.0)
    if not 2.0**-10 <= abs(alpha) <= 2.0**10:
        raise node.refuse(f"alpha is {alpha:g}; a magnitude between 1/1024 and 1024 is supported")
    b.bind(node, tabulated(node, b, x, curves.swish(alpha)))


def periodic(curve: Curve, period: float) -> Handler:
    """The handler of a curve that repeats itself: x, less the nearest multiple of the period."""

    def handler(node: Node, b: Builder) -> None:
        x = floating(node, b.tensor(node, 0))
        b.bind(node, tabulated(node, b, _without_periods(node, b, x, period), curve))

    return handler


def _without_periods(node: Node, b: Builder, x: Tensor, period: float) -> Tensor:
    """x - k * period for the nearest whole k. The period is an integer of a finer grid: k times its rounding is all
    that is lost."""
    if x.magnitude <= period / 2:
        return x
    shape, x = x.shape, reshaped(b, x, x.shape or (1,))
    room = SUM_BITS - 1 - x.fact.magnitude.bit_length()
    if room < FACTOR_BITS_MIN:
        raise node.refuse(f"its operand may be as large as {x.magnitude:g}", CALIBRATE)
    turns = _multiplied(b, x, int(np.rint(np.ldexp(1 / period, room))), room + x.frac_bits, 0)
    x = b.regrid(x, max(x.frac_bits, min(TURN_BITS, x.frac_bits + room)))
    length = int(np.rint(np.ldexp(period, x.frac_bits)))
    whole = _multiplied(b, turns, length, 0, x.frac_bits)
    left = b.derive(x, ir.Sub(a=x.index, b=whole.index))
    lost = turns.fact.magnitude * 2.0**-x.frac_bits / 2
    most = int(length * (0.5 + x.magnitude * 2.0 ** -(room + 1))) + 2 + turns.fact.magnitude
    if most < left.fact.magnitude:
        left = b.derive(left, ir.Clip(x=left.index, low=-most, high=most))
    return reshaped(b, replace(left, error=x.error + lost, limit=None), shape)


def _multiplied(b: Builder, x: Tensor, factor: int, shift: int, frac_bits: int) -> Tensor:
    """Of integers: factor * x, shifted right."""
    ones = (1,) * len(x.shape)
    shifts = b.store(np.full(ones, shift)) if shift else None
    emitted = ir.Affine(x=x.index, weights=b.store(np.full(ones, factor)), bias=None, shifts=shifts)
    return b.derive(x, emitted, frac_bits=frac_bits, limit=None)


CURVED: Final[dict[str, Handler]] = {
    "Acos": curved(curves.ACOS), "Acosh": curved(curves.ACOSH), "Asin": curved(curves.ASIN),
    "Asinh": curved(curves.ASINH), "Atan": curved(curves.ATAN), "Atanh": curved(curves.ATANH), "Celu": celu,
    "Cos": periodic(curves.COS, 2 * PI), "Cosh": curved(curves.COSH), "Elu": elu, "Erf": curved(curves.ERF),
    "Exp": curved(curves.EXP), "Gelu": gelu, "Log": curved(curves.LOG), "Mish": curved(curves.MISH), "Selu": elu,
    "Sigmoid": curved(curves.SIGMOID, GATE_BITS), "Sin": periodic(curves.SIN, 2 * PI), "Sinh": curved(curves.SINH),
    "Softplus": curved(curves.SOFTPLUS), "Swish": swish, "Tan": periodic(curves.TAN, PI),
    "Tanh": curved(curves.TANH, GATE_BITS),
}  # fmt: skip
