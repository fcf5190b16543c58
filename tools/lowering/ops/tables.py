"""Functions of one variable by tables: `Lookup`, mostly with a slope. The one mechanism that all of them use.

A large tensor gets one number per cell where that is accurate enough: about 12 ns an element. Others get a line per
cell, T + S * x: twice the time, a hundredth of the bytes, and as accurate as the grid. A curve that approaches lines
needs cells only between: the outermost two cells go on for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import inf, prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.cells import Curve, Plan, Segment, amplified, plan_numbers, plan_parts
from tools.lowering.ops.columns import added
from tools.lowering.ops.layout import reshaped
from tools.lowering.source import Node

ENTRIES_MAX: Final = 1 << 17
"""Beyond, a table leaves the core's cache, and a line per cell is as fast."""
ENTRIES_MIN: Final = 1 << 12
TABLE_FRAC_BITS_MAX: Final = 26


def tabulated(node: Node, b: Builder, x: Tensor, curve: Curve, frac_bits: int | None = None) -> Tensor:
    """curve(x) with the fractional bits that are wanted, or as many fewer as fit. What lies outside the curve's domain
    counts as its end. Refused where x may be so large that no table would do."""
    wanted = min(b.wanted_frac_bits(node.outputs[0]) if frac_bits is None else frac_bits, TABLE_FRAC_BITS_MAX)
    parts = _planned(node, x, curve, wanted, b.limit(node.outputs[0]))
    if parts[0][1].low > x.fact.low or parts[-1][1].high < x.fact.high:
        x = b.within_limit(x)
    flat = x if x.shape and x.shape[-1] > 1 else reshaped(b, x, (prod(x.shape),))
    found = [_looked_up(b, flat, part, plan) for part, plan in parts]
    return reshaped(b, replace(reduce(lambda y, z: added(node, b, y, z), found), limit=None), x.shape)


Parts = list[tuple[Curve, Plan]]


def _planned(node: Node, x: Tensor, curve: Curve, wanted: int, limit: float | None) -> Parts:
    """The first good plan: for x's interval, then for what calibration asks to keep of it, then for what it asks to
    keep of the result; else the best of them."""
    entries = min(ENTRIES_MAX, max(ENTRIES_MIN, 1 << (x.fact.elements.bit_length() - 1)))
    found: list[Parts] = []
    for low, high in _spans(x, curve, limit):
        plan = plan_numbers(curve, low, high, x.frac_bits, wanted, entries)
        parts = [(curve, plan)] if plan is not None else plan_parts(curve, low, high, x.frac_bits, wanted)
        if parts:
            found.append(parts)
            if all(part.is_good(inf if limit is None else limit) for _, part in parts):
                break
    if not found:
        least, most = (end * 2.0**-x.frac_bits for end in (x.fact.low, x.fact.high))
        raise node.refuse(f"its operand may be anything from {least:g} to {most:g}", CALIBRATE)
    return min(found, key=lambda parts: sum(plan.error for _, plan in parts))


def _spans(x: Tensor, curve: Curve, limit: float | None) -> Iterator[tuple[int, int]]:
    """Intervals of x's integers, each within the one before."""
    low, high = x.fact.low, x.fact.high
    yield low, high
    if x.limit is not None and x.limit < x.magnitude:
        most = int(np.ldexp(x.limit, x.frac_bits))
        low, high = max(low, min(-most, high)), min(high, max(most, low))
        yield low, high
    if limit is not None:
        middle = min(max(0, low), high)
        yield _within(curve, x, limit, middle, low), _within(curve, x, limit, middle, high)


def _within(curve: Curve, x: Tensor, limit: float, inner: int, outer: int) -> int:
    """The integer nearest to `outer`, from `inner` on, up to which the curve stays within the limit."""

    def fits(n: int) -> bool:
        return not abs(float(curve.of(np.array([np.ldexp(float(n), -x.frac_bits)]))[0])) > limit

    if fits(outer) or not fits(inner):
        return outer
    while abs(outer - inner) > 1:
        middle = (inner + outer) // 2
        inner, outer = (middle, outer) if fits(middle) else (inner, middle)
    return inner


def _looked_up(b: Builder, x: Tensor, curve: Curve, plan: Plan) -> Tensor:
    x = b.regrid(x, x.frac_bits - plan.drop)
    first, last = plan.first[0], plan.last[-1]
    low = x.fact.low if plan.has_below else int(np.ldexp(first, x.frac_bits))
    high = x.fact.high if plan.has_above else int(np.ldexp(last, x.frac_bits))
    if low > x.fact.low or high < x.fact.high:
        x = b.derive(x, ir.Clip(x=x.index, low=low, high=high))
    error = plan.error + amplified(curve, plan, x.error)
    cell = _cells(b, x, plan)
    values = b.derive(x, ir.Lookup(x=cell.index, table=b.store(plan.values)), frac_bits=plan.grid)
    if plan.slopes is not None:
        slope = b.derive(x, ir.Lookup(x=cell.index, table=b.store(plan.slopes)))
        along = b.derive(x, ir.Mul(a=slope.index, b=x.index, shift=0), frac_bits=plan.grid)
        values = b.derive(values, ir.Add(a=along.index, b=values.index))
    values = b.regrid(values, plan.frac_bits)
    if plan.least > values.fact.low or plan.most < values.fact.high:
        values = b.derive(values, ir.Clip(x=values.index, low=plan.least, high=plan.most))
    if plan.plus_relu:
        above = b.regrid(b.derive(x, ir.Relu(x=x.index)), plan.frac_bits)
        values = b.derive(values, ir.Add(a=above.index, b=values.index))
    return replace(values, error=error, limit=None)


def _cells(b: Builder, x: Tensor, plan: Plan) -> Tensor:
    """The number of the cell that each element lies in: the sum over the segments of how far into each it lies."""
    total: Tensor | None = None
    for place, segment in enumerate(plan.segments):
        most = segment.count - (place == 0 and not plan.has_below)
        most += plan.has_above and place == len(plan.segments) - 1
        steps = _steps(b, x, segment, place > 0 or plan.has_below, most)
        total = steps if total is None else b.derive(x, ir.Add(a=total.index, b=steps.index), frac_bits=0)
    assert total is not None
    return total


def _steps(b: Builder, x: Tensor, segment: Segment, counts_from_one: bool, most: int) -> Tensor:
    """rhe((x - start - half a cell) / cell), and 1 more if the first cell is number 1; between 0 and `most`."""
    half = 1 << segment.shift >> 1
    bias = -segment.start - half + (1 << segment.shift) * counts_from_one
    ones = (1,) * len(x.shape)
    offset = b.store(np.full(ones, bias))
    shifts = b.store(np.full(ones, segment.shift)) if segment.shift else None
    found = b.derive(x, ir.Affine(x=x.index, weights=None, bias=offset, shifts=shifts), frac_bits=0)
    if found.fact.low >= 0 and found.fact.high <= most:
        return found
    return b.derive(found, ir.Clip(x=found.index, low=0, high=most))
