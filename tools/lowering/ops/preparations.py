"""PowerTransform and QuantileTransform, our own operators (tools/lowering/preparations.py): a function of each feature,
by lines between knots.

A tree finds the two knots that a feature lies between, a quotient how far it is from one to the other. Each feature has
knots of its own, over what calibration or the file says of it alone: features of one row may differ by any factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.cells import Curve
from tools.lowering.grids import Floats, Ints
from tools.lowering.ops import curves
from tools.lowering.ops.columns import floating
from tools.lowering.ops.layout import joined, reshaped
from tools.lowering.ops.pieces import piece
from tools.lowering.preparations import steps
from tools.lowering.source import Node

SHARE_BITS: Final = 20
"""Of how far a value is from one knot to the next."""
DISTANCE_BITS: Final = 31
"""Of a distance between knots, so that quotients of SHARE_BITS are exact integers."""
RESULT_BITS: Final = 30
RESULT_FRAC_BITS_MAX: Final = 26
CURVE_BITS: Final = 18
"""A curve may be wrong by so many bits less than what it covers."""
KNOTS_MAX: Final = 2048
PLACES: Final = 2048
OCTAVES: Final = 40
"""Where a curve's second derivative is looked at: evenly, and ever nearer to 0 and to where it begins."""
BISECTIONS: Final = 60
VALUE_MAX: Final = 2.0**20
"""Of a transformed feature, where calibration does not say."""


def quantile_transform(node: Node, b: Builder) -> None:
    """Each feature's place among its quantiles."""
    x = _row(node, b)
    knots, references = (_table(node, name, x.shape[0]) for name in ("knots", "references"))
    pieces = [_Pieces(x.frac_bits, steps(*pair)) for pair in zip(knots, references, strict=True)]
    _interpolate(node, b, x, pieces, inf if x.error else 2.0**-SHARE_BITS)


def power_transform(node: Node, b: Builder) -> None:
    """Box and Cox's or Yeo and Johnson's power of each feature, less an offset and scaled."""
    x = _row(node, b)
    powers = node.numbers("powers") or ()
    if len(powers) != x.shape[0]:
        raise node.refuse(f"{len(powers)} powers do not fit {x.shape[0]} features")
    of = curves.yeo_johnson if node.text("method", "") == "yeo-johnson" else curves.box_cox
    usual = (("offset", 0.0), ("scale", 1.0))
    offsets, scales = ([*(node.numbers(name) or (value,) * len(powers))] for name, value in usual)
    read, made = (_ends(b, name, len(powers)) for name in (node.inputs[0], node.outputs[0]))
    pieces, error = [], 0.0
    for place, curve in enumerate(map(of, powers, offsets, scales)):
        low, high = _covered(node, x, curve, read[place], made[place])
        knots, wrong = _knots(curve, low, high)
        places = np.unique(np.rint(np.ldexp(knots, x.frac_bits))) * 2.0**-x.frac_bits
        values = curve.of(places)
        pieces.append(_Pieces(x.frac_bits, (places, values, values, values)))
        steepest = float(np.max(np.abs(np.diff(values)) / np.diff(places), initial=0.0))
        error = max(error, wrong + steepest * x.error)
    _interpolate(node, b, x, pieces, error)


def _row(node: Node, b: Builder) -> Tensor:
    x = floating(node, b.tensor(node, 0))
    if len(x.shape) != 1:
        raise node.refuse(f"its input has {len(x.shape) + 1} dimensions, two are needed")
    return x


def _table(node: Node, name: str, width: int) -> Floats:
    value: Any = node.attributes[name]
    table: Floats = np.asarray(value, np.float64)
    if len(table) != width:
        raise node.refuse(f"{name} of {len(table)} features do not fit {width}")
    return table


# ---- where a curve needs knots


def _ends(b: Builder, name: str, count: int) -> list[tuple[float, float]]:
    """What calibration asks to keep of each number of a row; infinite where it shows none."""
    found = b.ends(name)
    return [(-inf, inf)] * count if found is None else list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def _covered(
    node: Node, x: Tensor, curve: Curve, read: tuple[float, float], made: tuple[float, float]
) -> tuple[float, float]:
    """The ends between which the curve, which rises or falls throughout, is followed: x's own, as far as calibration
    asks to keep what is made there."""
    step = 2.0**-x.frac_bits
    low, high = max(x.fact.low * step, curve.domain[0] + step), x.fact.high * step

    def fits(place: float) -> bool:
        value = float(curve.of(np.array([place]))[0])
        return max(made[0], -VALUE_MAX) <= value <= min(made[1], VALUE_MAX)

    middle = (max(low, read[0]) + min(high, read[1])) / 2
    if not low < high or not fits(middle):
        raise node.refuse(f"its feature may be anything from {low:g} to {high:g}", CALIBRATE)
    return _last(fits, middle, low), _last(fits, middle, high)


def _last(fits: Callable[[float], bool], inner: float, outer: float) -> float:
    """The place nearest to `outer`, from `inner` on, that fits."""
    if fits(outer):
        return outer
    for _ in range(BISECTIONS):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if fits(middle) else (inner, middle)
    return inner


def _knots(curve: Curve, low: float, high: float) -> tuple[Floats, float]:
    """(knots from low to high, how far lines between them are from the curve): a function whose second derivative is
    within M leaves its chord by no more than M * width**2 / 8, so knots are as dense as the root of M is large."""
    span = high - low
    near = span * 2.0 ** -np.linspace(0, OCTAVES, PLACES)
    places = np.concatenate([np.linspace(low, high, PLACES), low + near, near, -near, [high]])
    places = np.unique(places[(low <= places) & (places <= high)])
    ends = curve.of(np.array([low, high]))
    wrong = max(float(np.abs(ends[1] - ends[0])), 2.0**-CURVE_BITS) * 2.0**-CURVE_BITS
    density = np.sqrt(curve.bend(places[:-1], places[1:]))
    total = np.concatenate([[0.0], np.cumsum(density * np.diff(places))])
    count = int(np.clip(np.ceil(total[-1] / (8 * wrong) ** 0.5), 1, KNOTS_MAX))
    knots = np.interp(np.linspace(0, total[-1], count + 1), total, places)
    knots[0], knots[-1] = low, high
    knots = np.unique(knots)
    return knots, float((curve.bend(knots[:-1], knots[1:]) * np.diff(knots) ** 2 / 8).max())


# ---- lines between knots


def _interpolate(node: Node, b: Builder, x: Tensor, pieces: Sequence[_Pieces], error: float) -> None:
    frac_bits = min(piece.frac_bits for piece in pieces)
    columns, found, shifts, extents = [], [], [], []
    for place, one in enumerate(pieces):
        column = _clipped(b, piece(b, x, 0, place, 1), one.ends[0] - 1, one.ends[1] + 1)
        rows = one.rows(frac_bits)
        columns.append(column)
        found.append(b.derive(column, one.tree(b, column, rows), frac_bits=0, error=0.0, limit=None))
        shifts.append(one.shift)
        extents.append([(min(side), max(side)) for side in zip(*rows, strict=True)])
    row, parts = joined(b, columns, 0), reshaped(b, joined(b, found, 0), (x.shape[0], 4))
    start, width, low, rise = (
        _clipped(b, reshaped(b, piece(b, parts, 1, place, 1), x.shape), min(lows), max(highs))
        for place, (lows, highs) in enumerate(_sides(extents))
    )
    apart = b.derive(row, ir.Sub(a=row.index, b=start.index))
    if any(shifts):
        ones, by = b.store(np.ones(x.shape, np.int64)), b.store(np.array(shifts))
        apart = b.derive(apart, ir.Affine(x=apart.index, weights=ones, bias=None, shifts=by))
    apart = _clipped(b, apart, 0, width.fact.high)
    share = b.derive(apart, ir.Div(a=apart.index, b=width.index, shift=-SHARE_BITS))
    share = b.derive(share, ir.Clip(x=share.index, low=0, high=1 << SHARE_BITS))
    more = b.derive(share, ir.Mul(a=share.index, b=rise.index, shift=SHARE_BITS))
    rounding = 2.0**-SHARE_BITS * rise.fact.magnitude * 2.0**-frac_bits + 2.0**-frac_bits
    y = b.derive(x, ir.Add(a=more.index, b=low.index), frac_bits=frac_bits, error=error + rounding, limit=None)
    b.bind(node, y)


def _sides(extents: list[list[tuple[int, int]]]) -> list[tuple[list[int], list[int]]]:
    """Of each number of a piece: the least and the greatest of each feature."""
    return [([low for low, _ in side], [high for _, high in side]) for side in zip(*extents, strict=True)]


def _clipped(b: Builder, x: Tensor, low: int, high: int) -> Tensor:
    low = min(max(low, x.fact.low), x.fact.high)
    high = max(min(high, x.fact.high), low)
    if (low, high) == (x.fact.low, x.fact.high):
        return x
    return b.derive(x, ir.Clip(x=x.index, low=low, high=high), limit=None)


class _Pieces:
    """Of one feature: knots as integers of its grid; values left of each, at it and right of it (`steps`). frac_bits:
    that its values may have."""

    def __init__(self, frac_bits: int, found: tuple[Floats, Floats, Floats, Floats]) -> None:
        places, *self._sides = found
        self._knots = [int(place) for place in np.rint(np.ldexp(places, frac_bits))]
        self.ends = self._knots[0], self._knots[-1]
        self.shift = max(0, (self.ends[1] - self.ends[0] + 2).bit_length() - DISTANCE_BITS)
        largest = max(float(np.abs(side).max()) for side in self._sides)
        self.frac_bits = min(RESULT_FRAC_BITS_MAX, RESULT_BITS - int(np.frexp(largest)[1]))
        self._bounds: list[int] = []

    def rows(self, frac_bits: int) -> list[tuple[int, int, int, int]]:
        """For each piece the knot that it begins at, its width >> shift, what is there, how much it rises to the next.
        Knots that are one on the grid leave the last one's piece."""
        left, at, right = ([int(np.rint(np.ldexp(y, frac_bits))) for y in side] for side in self._sides)
        self._bounds, rows = [], [(self.ends[0], 1, left[0], 0)]

        def begin(bound: int) -> None:
            if self._bounds and self._bounds[-1] >= bound:
                rows.pop()
            else:
                self._bounds.append(bound)

        for number, knot in enumerate(self._knots):
            begin(knot - 1)
            if not left[number] == at[number] == right[number]:
                rows.append((knot, 1, at[number], 0))
                begin(knot)
            last = number == len(self._knots) - 1
            width = 1 if last else max(1, int(np.rint(np.ldexp(self._knots[number + 1] - knot, -self.shift))))
            rows.append((knot, width, right[number], 0 if last else left[number + 1] - right[number]))
        return rows

    def tree(self, b: Builder, x: Tensor, rows: list[tuple[int, int, int, int]]) -> ir.Trees:
        """A balanced tree over the bounds whose leaves are the rows."""
        features: list[int] = []
        bounds: list[int] = []
        waiting = [(0, len(self._bounds))]
        while waiting:
            first, last = waiting.pop()
            features.append(-1 if first == last else 0)
            if first < last:
                middle = (first + last) // 2
                bounds.append(min(max(self._bounds[middle], x.fact.low - 1), x.fact.high))
                waiting += [(middle + 1, last), (first, middle)]
        leaves: Ints = np.array(rows, np.int64)
        return ir.Trees(
            x=x.index,
            features=b.store(np.array(features)),
            thresholds=b.store(np.array(bounds)),
            leaves=b.store(leaves),
        )


PREPARATIONS: Final = {"PowerTransform": power_transform, "QuantileTransform": quantile_transform}
