"""Functions that are linear in pieces: LeakyRelu, PRelu, HardSigmoid, HardSwish, Abs, Sign, Max, Min, Sum, Mean; and
Softsign, a quotient of such.

Each is put together from Relu, Clip and sums, which are exact; only a slope rounds, once. max(x, y) is y + relu(x - y).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Floats
from tools.lowering.ops.columns import added, filled, floating, negated, regridded, resolving, scaled, shifted
from tools.lowering.ops.elementwise import beside, pair, product, ratio
from tools.lowering.source import Node


def leaky_relu(node: Node, b: Builder) -> None:
    """Attribute alpha: the slope below 0, 0.01 where it is left out."""
    x = floating(node, b.tensor(node, 0))
    b.bind(node, leaky(node, b, x, np.full((1,) * len(x.shape), node.number("alpha", 0.01))))


def prelu(node: Node, b: Builder) -> None:
    """A slope for each channel or element, or one for all; constant or computed."""
    x = floating(node, b.tensor(node, 0))
    if b.is_constant(node.inputs[1]):
        b.bind(node, leaky(node, b, x, beside(node, b, 1, x)))
        return
    x, slope = pair(node, x, floating(node, b.tensor(node, 1)))
    if any(size > own for size, own in zip(slope.shape, x.shape, strict=True)):
        raise node.refuse(f"slopes of shape {list(slope.shape)} are more than rows of shape {list(x.shape)} have")
    above = b.derive(x, ir.Relu(x=x.index))
    below = b.derive(x, ir.Clip(x=x.index, low=min(x.fact.low, 0), high=0))
    b.bind(node, added(node, b, above, product(node, b, below, slope)))


def softsign(node: Node, b: Builder) -> None:
    """x / (1 + |x|). It moves by no more than x does."""
    x = b.within_limit(floating(node, b.tensor(node, 0)))
    divisor = shifted(node, b, absolute(b, x), np.ones((1,) * len(x.shape)))
    found = ratio(node, b, x, divisor, max(b.wanted_frac_bits(node.outputs[0]), x.frac_bits))
    b.bind(node, replace(found, error=x.error + 2.0**-found.frac_bits))


def leaky(node: Node, b: Builder, x: Tensor, slope: Floats) -> Tensor:
    """max(x, 0) + slope * min(x, 0): what is positive stays as it is."""
    if x.fact.low >= 0:
        return x
    above = b.derive(x, ir.Relu(x=x.index))
    below = x if x.fact.high <= 0 else b.derive(x, ir.Clip(x=x.index, low=x.fact.low, high=0))
    return added(node, b, above, scaled(node, b, below, slope, None))


def hard_sigmoid(node: Node, b: Builder) -> None:
    """alpha * x + beta between 0 and 1."""
    x = floating(node, b.tensor(node, 0))
    ones = (1,) * len(x.shape)
    scale, offset = np.full(ones, node.number("alpha", 0.2)), np.full(ones, node.number("beta", 0.5))
    b.bind(node, within(b, scaled(node, b, x, scale, offset), 0.0, 1.0))


def hard_swish(node: Node, b: Builder) -> None:
    """x * min(max(x + 3, 0), 6) / 6: 3 and 6 lie on every grid, so the product comes before the division."""
    x = floating(node, b.tensor(node, 0))
    ones = (1,) * len(x.shape)
    gate = within(b, shifted(node, b, b.within_limit(x), np.full(ones, 3.0)), 0.0, 6.0)
    b.bind(node, scaled(node, b, product(node, b, x, gate), np.full(ones, 1 / 6), None))


def within(b: Builder, x: Tensor, low: float, high: float) -> Tensor:
    """x between two numbers of its grid."""
    least, most = (int(np.ldexp(bound, x.frac_bits)) for bound in (low, high))
    if least <= x.fact.low and x.fact.high <= most:
        return x
    return b.derive(x, ir.Clip(x=x.index, low=least, high=most), error=min(x.error, high - low))


def abs_(node: Node, b: Builder) -> None:
    """As `absolute`."""
    b.bind(node, absolute(b, floating(node, b.tensor(node, 0))))


def absolute(b: Builder, x: Tensor) -> Tensor:
    """|x| = 2 max(x, 0) - x, exact; the Clip changes nothing but says how large it is."""
    if x.fact.low >= 0:
        return x
    if x.fact.high <= 0:
        return negated(b, x)
    twice = b.derive(x, ir.Rescale(x=b.derive(x, ir.Relu(x=x.index)).index, shift=-1))
    result = b.derive(x, ir.Sub(a=twice.index, b=x.index))
    return b.derive(result, ir.Clip(x=result.index, low=0, high=x.fact.magnitude))


def sign(node: Node, b: Builder) -> None:
    """An integer's sign is itself between -1 and 1. A number that is not known exactly may lie on the other side."""
    x = floating(node, b.tensor(node, 0))
    error = 2.0 if x.error else 0.0
    b.bind(node, b.derive(x, ir.Clip(x=x.index, low=-1, high=1), frac_bits=0, limit=None, error=error))


def max_(node: Node, b: Builder) -> None:
    """Of any number of operands, computed or constant, that broadcast."""
    _extreme(node, b, larger, np.maximum)


def min_(node: Node, b: Builder) -> None:
    """As `max_`."""
    _extreme(node, b, smaller, np.minimum)


def larger(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """The greater of two, element by element: y + relu(x - y)."""
    x, y = regridded(node, b, pair(node, x, y), max(x.frac_bits, y.frac_bits))
    above = b.derive(x, ir.Sub(a=x.index, b=y.index))
    above = b.derive(above, ir.Relu(x=above.index))
    result = b.derive(x, ir.Add(a=above.index, b=y.index), error=max(x.error, y.error), limit=None)
    return _between(b, result, max(x.fact.low, y.fact.low), max(x.fact.high, y.fact.high))


def smaller(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """The lesser of two, element by element: y - relu(y - x)."""
    x, y = regridded(node, b, pair(node, x, y), max(x.frac_bits, y.frac_bits))
    below = b.derive(x, ir.Sub(a=y.index, b=x.index))
    below = b.derive(below, ir.Relu(x=below.index))
    result = b.derive(x, ir.Sub(a=y.index, b=below.index), error=max(x.error, y.error), limit=None)
    return _between(b, result, min(x.fact.low, y.fact.low), min(x.fact.high, y.fact.high))


def _between(b: Builder, x: Tensor, low: int, high: int) -> Tensor:
    """x, which is within these integers anyway, and is now proven to be."""
    if low <= x.fact.low and x.fact.high <= high:
        return x
    return b.derive(x, ir.Clip(x=x.index, low=low, high=high))


Pairwise = Callable[[Node, Builder, Tensor, Tensor], Tensor]


def _extreme(node: Node, b: Builder, of_two: Pairwise, of_constants: np.ufunc) -> None:
    result = reduce(lambda x, y: of_two(node, b, x, y), _computed(node, b))
    constants = _constants(node, b, result)
    if constants:
        values = reduce(of_constants, constants)
        result = resolving(b, result, values)
        result = of_two(node, b, result, filled(node, b, result, values))
    b.bind(node, result)


def _computed(node: Node, b: Builder) -> list[Tensor]:
    places = [place for place, name in enumerate(node.inputs) if not b.is_constant(name)]
    return [floating(node, b.tensor(node, place)) for place in places]


def _constants(node: Node, b: Builder, x: Tensor) -> list[Floats]:
    """The constant operands in shapes of x's rank."""
    return [beside(node, b, place, x) for place, name in enumerate(node.inputs) if b.is_constant(name)]


def sum_(node: Node, b: Builder) -> None:
    """Of any number of operands, computed or constant, that broadcast."""
    b.bind(node, _total(node, b))


def mean(node: Node, b: Builder) -> None:
    """As `sum_`, then divided by how many there are, rounded once."""
    total = _total(node, b)
    b.bind(node, scaled(node, b, total, np.full((1,) * len(total.shape), 1 / len(node.inputs)), None))


def _total(node: Node, b: Builder) -> Tensor:
    total = reduce(lambda x, y: added(node, b, *pair(node, x, y)), _computed(node, b))
    constants = _constants(node, b, total)
    return shifted(node, b, total, reduce(np.add, constants)) if constants else total
