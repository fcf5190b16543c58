"""Divides an interval into cells, on each of which a curve is a straight line or a number. No graph here: integers.

A cell is an interval between integers of x's grid. On it y = (T + S * n) * 2**-(x's fractional bits + q), S and T being
integers of the cell. The error is bounded, not guessed: at nine places of a cell the distance is computed from the
very integers of the tables, and between two neighbours a function whose second derivative is within M leaves its chord
by no more than M * distance**2 / 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import inf, isfinite
from typing import Final

import numpy as np

from runtime.inference.arithmetic import rhe_shift
from tools.lowering.grids import Floats, Ints

CELLS: Final = 4096
CELLS_PER_SEGMENT: Final = 1024
"""Segments of a curve are joined while it stays within CELLS, or where one fewer costs no more cells than that: joining
saves passes over the elements, cells cost bytes."""
CELLS_MAX: Final = 1 << 17
SEGMENTS_MAX: Final = 8
BLOCKS_MAX: Final = 128
EXTENT: Final = 64.0
"""Where a curve approaches a line, it has done so this far from 0."""
PROBES: Final = 8
PARTS_DEPTH: Final = 3
OCTAVES_MIN: Final = 4
PRODUCT_BITS: Final = 51
"""Of T and of S * n, so that their sum is within 52 bits."""
SLOPE_BITS: Final = (-22, -18, -14, -10, -6, -2, 2, 6, 10, 14, 18, 22, 26)
DROPS: Final = (0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30)
CURVE_ERROR: Final = 2.0**-46
"""Relative, of what functions.py computes."""


@dataclass(frozen=True)
class Line:
    """slope * x + offset."""

    slope: float
    offset: float


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of one variable.

    of: its values. bend: a bound of the second derivative's magnitude between a and b, element by element; infinite
    where there is none. domain: where it is defined; the ends may be infinite or give infinity. below, above: lines
    that it approaches towards minus and plus infinity, ever closer. poles: where cells must be small. jumps: whether
    it passes infinity at a pole, so that it may be anything around.
    """

    of: Callable[[Floats], Floats]
    bend: Callable[[Floats, Floats], Floats]
    domain: tuple[float, float] = (-inf, inf)
    below: Line | None = None
    above: Line | None = None
    poles: tuple[float, ...] = ()
    jumps: bool = False


@dataclass(frozen=True)
class Segment:
    """`count` cells of width 2**shift from the integer `start` on."""

    start: int
    shift: int
    count: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How a curve is computed from integers n on the grid 2**-frac_bits_in, those between `low` and `high`.

    drop: bits that n loses first; segments and tables are for what is left. has_below, has_above: whether one more
    cell stands before the first and behind the last. slopes: S per cell, or None where all are 0. values: T. `grid`:
    the fractional bits of T; frac_bits: of the result, which lies between least and most. first, last: ends of the
    cells, in real numbers. error: of the result, if n has none, `drop`
    included. size: the curve's largest magnitude. plus_relu: whether max(x, 0) is to be added.
    """

    low: int
    high: int
    drop: int
    segments: tuple[Segment, ...]
    has_below: bool
    has_above: bool
    slopes: Ints | None
    values: Ints
    grid: int
    frac_bits: int
    least: int
    most: int
    first: Floats
    last: Floats
    error: float
    size: float
    plus_relu: bool = False

    def is_good(self, limit: float = inf) -> bool:
        """Whether the error is about what the tolerance asks for, beside the largest value that is to be expected."""
        return self.error <= 8 * tolerance(self.frac_bits) * max(1.0, min(self.size, limit))


def tolerance(frac_bits: int) -> float:
    """What a result with so many fractional bits may be wrong by before it is rounded: half of what rounding adds."""
    return 2.0 ** -(frac_bits + 2)


@lru_cache(maxsize=256)
def plan_lines(curve: Curve, low: int, high: int, frac_bits_in: int, frac_bits: int) -> Plan | None:
    """The plan for n from low to high, which drops as few of n's bits as make products fit; None where none fits."""
    best: Plan | None = None
    for drop in DROPS:
        if drop > frac_bits_in:
            break
        found = _lines(curve, low, high, frac_bits_in, drop, frac_bits)
        if found is not None and (best is None or found.error < best.error):
            best = found
        if best is not None and best.is_good():
            break
    return best


def plan_parts(
    curve: Curve, low: int, high: int, frac_bits_in: int, frac_bits: int, depth: int = PARTS_DEPTH
) -> list[tuple[Curve, Plan]]:
    """Curves whose sum is the curve, with their plans; none where it cannot be planned. One, if that is good; else
    near a pole and farther from it, where n has fewer bits: f(x) = f(min(x, m)) + (f(max(x, m)) - f(m))."""
    plan = plan_lines(curve, low, high, frac_bits_in, frac_bits)
    whole = [] if plan is None else [(curve, plan)]
    if depth == 0 or (plan is not None and plan.is_good()) or len(curve.poles) != 1 or curve.above is not None:
        return whole
    pole = int(np.rint(np.ldexp(curve.poles[0], frac_bits_in)))
    nearest, farthest = max(low - pole, 1).bit_length(), (high - pole).bit_length()
    if pole > low or farthest - nearest < 2 * OCTAVES_MIN:
        nearest = 1
    if pole + 1 >= high or farthest - nearest < 2 * OCTAVES_MIN:
        return whole
    middle = pole + (1 << (nearest + farthest) // 2)
    offset = float(curve.of(np.array([np.ldexp(middle, -frac_bits_in)]))[0])
    parts = plan_parts(curve, low, middle, frac_bits_in, frac_bits, depth - 1)
    parts += plan_parts(_lowered(curve, offset), middle, high, frac_bits_in, frac_bits, depth - 1)
    return parts if sum(part.error for _, part in parts) < (plan.error if plan is not None else inf) else whole


@lru_cache(maxsize=64)
def _lowered(curve: Curve, offset: float) -> Curve:
    return replace(curve, of=lambda x: curve.of(x) - offset)


def _lines(curve: Curve, low: int, high: int, frac_bits_in: int, drop: int, frac_bits: int) -> Plan | None:
    grid_in = frac_bits_in - drop
    wide = rhe_shift(low, drop), rhe_shift(high, drop)
    region = _region(curve, *wide, grid_in, frac_bits)
    if region is None:
        return None
    start, end, has_below, has_above = region
    wide = wide[0] if has_below else start, wide[1] if has_above else end
    segments = _segments(curve, start, end, has_above, grid_in, frac_bits)
    if segments is None:
        return None
    first, last = _ends(segments, end if not has_above else None)
    unit = 2.0**-grid_in
    a, b = first * unit, last * unit
    values, slopes = _fitted(curve, a, b)
    if not np.isfinite(values).all():
        return None
    tails = [curve.below] * has_below, [curve.above] * has_above
    slopes = np.concatenate(
        [[line.slope for line in tails[0] if line], slopes, [line.slope for line in tails[1] if line]]
    )
    largest = max(abs(wide[0]), abs(wide[1]), 1)
    places = np.array([a + (b - a) * (place / PROBES) for place in range(PROBES + 1)])
    probes = places, curve.of(places)
    fine = frac_bits + int(np.frexp(float((b - a).max()))[1]) - 1  # a slope's rounding is then within the tolerance
    best: Plan | None = None
    for bits in SLOPE_BITS if slopes.any() else (0,):
        s = np.rint(np.ldexp(slopes, bits))
        if float(np.abs(s).max()) * largest > 2.0**PRODUCT_BITS:
            break
        inner = s[has_below : len(s) - has_above]
        t = np.rint(np.ldexp(values - np.ldexp(inner, -bits) * (a + b) / 2, grid_in + bits))
        outer = [np.rint(np.ldexp(np.array([line.offset for line in part if line]), grid_in + bits)) for part in tails]
        t = np.concatenate([outer[0], t, outer[1]])
        if float(np.abs(t).max()) > 2.0**PRODUCT_BITS:
            break
        found = _judged(
            curve, probes, s, t, bits, grid_in, frac_bits, wide, has_below, has_above, segments, drop, low, high
        )
        if found is None:
            continue
        if best is None or found.error < 0.9 * best.error or bits < fine + 4:
            best = found
    if best is None or not drop:
        return best
    return replace(best, error=best.error + amplified(curve, best, 2.0**-grid_in / 2))


def _judged(
    curve: Curve, probes: tuple[Floats, Floats], s: Floats, t: Floats, bits: int, grid_in: int, frac_bits: int,
    wide: tuple[int, int], has_below: bool, has_above: bool, segments: tuple[Segment, ...], drop: int, low: int,
    high: int,
) -> Plan | None:  # fmt: skip
    """The plan of these integers, with its error and the interval of its results; None where these are too large."""
    grid = grid_in + bits
    inner = slice(int(has_below), len(s) - int(has_above))
    places, sizes = probes
    a, b = places[0], places[-1]
    lines = np.ldexp(t[inner] + s[inner] * np.ldexp(places, grid_in), -grid)
    error = float((np.abs(sizes - lines).max(axis=0) + _sag(curve, a, b, PROBES)).max())
    edges = [(curve.below, 0, float(np.ldexp(wide[0], -grid_in)), a[0])] if has_below else []
    edges += [(curve.above, -1, float(np.ldexp(wide[1], -grid_in)), b[-1])] if has_above else []
    for asymptote, cell, outermost, edge in edges:
        if asymptote is None:
            continue
        gap = abs(float(curve.of(np.array([edge]))[0]) - asymptote.slope * edge - asymptote.offset)
        for x in (edge, outermost):
            line_here = float(np.ldexp(t[cell] + s[cell] * np.ldexp(x, grid_in), -grid))
            error = max(error, gap + abs(asymptote.slope * x + asymptote.offset - line_here))
    frac_bits = max(0, min(frac_bits, grid))
    error += float(np.abs(np.ldexp(t, -grid)).max()) * CURVE_ERROR
    error += 2.0**-frac_bits / 2 if frac_bits < grid else 0.0
    starts = np.rint(np.ldexp(a, grid_in)), np.rint(np.ldexp(b, grid_in))
    firsts = np.concatenate([[wide[0]] * has_below, starts[0], starts[1][-1:] if has_above else []])
    lasts = np.concatenate([starts[0][:1] if has_below else [], starts[1], [wide[1]] * has_above])
    ends = np.concatenate([t + s * firsts, t + s * lasts])
    slopes = s.astype(np.int64)
    least, most = (rhe_shift(int(end), grid - frac_bits) for end in (ends.min(), ends.max()))
    if max(-least, most) > 1 << PRODUCT_BITS:
        return None
    return Plan(
        low, high, drop, segments, has_below, has_above, slopes if slopes.any() else None, t.astype(np.int64), grid,
        frac_bits, least, most, a, b, error,
        float(np.abs(sizes).max()),
    )  # fmt: skip


@lru_cache(maxsize=64)
def plan_numbers(curve: Curve, low: int, high: int, frac_bits_in: int, frac_bits: int, entries: int) -> Plan | None:
    """One number per cell, within so many entries; None where that is not a few times as good as a line."""
    above = curve.above
    plus_relu = above is not None and above.slope != 0.0
    if above is None or curve.below is None or curve.below.slope != 0.0 or above.slope not in (0.0, 1.0):
        return None
    region = _region(curve, low, high, frac_bits_in, frac_bits)
    if region is None:
        return None
    start, end, has_below, has_above = region
    shift = max(0, -(-(end - start) // entries) - 1).bit_length()
    start = start >> shift << shift  # so that 0, where max(x, 0) has its corner, is between two cells
    count = _count(start, end, shift)
    if count > entries + 1:
        return None
    segments = (Segment(start, shift, count),)
    first, last = _ends(segments, None)
    a, b = first * 2.0**-frac_bits_in, last * 2.0**-frac_bits_in
    sizes = [curve.of(x) - (np.maximum(x, 0) if plus_relu else 0.0) for x in (a, b)]
    middle = (sizes[0] + sizes[1]) / 2
    error = float((np.abs(sizes[1] - sizes[0]) / 2 + _sag(curve, a, b, 1)).max())
    tails = [curve.below.offset] * has_below, [above.offset] * has_above
    for tail, size in ((tails[0], sizes[0][0]), (tails[1], sizes[1][-1])):
        error = max([error, *(abs(float(size) - offset) for offset in tail)])
    rounding = 2.0**-frac_bits / 2
    if error > 4 * rounding:
        return None
    error += rounding + float(np.abs(middle).max()) * CURVE_ERROR
    error += rounding if plus_relu and frac_bits_in > frac_bits else 0.0
    t = np.rint(np.ldexp(np.concatenate([tails[0], middle, tails[1]]), frac_bits)).astype(np.int64)
    return Plan(
        low, high, 0, segments, has_below, has_above, None, t, frac_bits, frac_bits, int(t.min()), int(t.max()), a, b,
        error, 1.0, plus_relu,
    )  # fmt: skip


def amplified(curve: Curve, plan: Plan, error: float) -> float:
    """How much the result moves where x is wrong by `error`: over each cell, widened by so much."""
    if error == 0.0:
        return 0.0
    if not isfinite(error):
        return error
    a, b = (np.clip(x, *curve.domain) for x in (plan.first - error, plan.last + error))
    sides = (a, np.minimum(b, 0)), (np.maximum(a, 0), b)  # a curve may have a corner at 0
    slopes = [line.slope for line in (curve.below, curve.above) if line is not None]
    return max(
        *(_moved(curve, low, high, error) for low, high in sides), *(abs(slope) * error for slope in slopes), 0.0
    )


def _moved(curve: Curve, a: Floats, b: Floats, error: float) -> float:
    """The most that the curve moves within [a, b], element by element, over a way of `error`."""
    a, b = a[b > a], b[b > a]
    if not len(a):
        return 0.0
    across, bend = np.abs(curve.of(b) - curve.of(a)), curve.bend(a, b)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = error * (across / (b - a) + bend * (b - a))
        steep = np.where(np.isfinite(across) & (not curve.jumps), across, inf)
        return float(np.where(np.isfinite(bend), moved, steep).max())


def _sag(curve: Curve, a: Floats, b: Floats, parts: int) -> Floats:
    """How far the curve leaves its chords over so many parts of each cell. A cell of one integer has no inside."""
    inside = b > a
    bends = np.where(inside, curve.bend(a, b), 0.0)
    return np.where(inside, bends * ((b - a) / parts) ** 2 / 8, 0.0)


def _region(curve: Curve, low: int, high: int, grid: int, frac_bits: int) -> tuple[int, int, bool, bool] | None:
    """(first, last, whether a line takes over below, and above): the integers for which cells are needed."""
    unit = 2.0**-grid
    start, end = low, high
    if curve.domain[0] > low * unit:
        start = int(np.ceil(np.ldexp(curve.domain[0], grid)))
    if curve.domain[1] < high * unit:
        end = int(np.floor(np.ldexp(curve.domain[1], grid)))
    start += not np.isfinite(curve.of(np.array([start * unit])))[0]
    end -= not np.isfinite(curve.of(np.array([end * unit])))[0]
    below = _cut(curve, curve.below, -1.0, frac_bits)
    above = _cut(curve, curve.above, 1.0, frac_bits)
    least, most = int(np.floor(np.ldexp(below, grid))), int(np.ceil(np.ldexp(above, grid)))
    has_below, has_above = least > start, most < end
    start, end = max(start, least), min(end, most)
    if has_below and start > end:
        end = start + 1
    if has_above and start > end:
        start = end - 1
    return (start, end, has_below, has_above) if start <= end else None


@lru_cache(maxsize=256)
def _cut(curve: Curve, line: Line | None, sign: float, frac_bits: int) -> float:
    """Where the curve comes as close to the line as matters, in steps of a quarter from EXTENT inwards to 0."""
    if line is None:
        return sign * 2.0**62
    x = sign * np.arange(0.0, EXTENT + 0.25, 0.25)
    apart = np.abs(curve.of(x) - line.slope * x - line.offset) > tolerance(frac_bits)
    places = np.flatnonzero(apart)
    if not len(places):
        return 0.0
    return sign * 2.0**62 if places[-1] == len(x) - 1 else float(x[places[-1] + 1])


def _segments(
    curve: Curve, start: int, end: int, has_above: bool, grid: int, frac_bits: int
) -> tuple[Segment, ...] | None:
    """Segments from start to end, each with the widest cells that are good enough, joined to as few as may be. Where a
    line follows, cells end exactly at `end`."""
    bounds = {start, end}
    for pole in curve.poles:
        middle = int(np.rint(np.ldexp(pole, grid)))
        for power in range(53):
            bounds.update(place for place in (middle - (1 << power), middle + (1 << power)) if start < place < end)
        bounds.update({middle} if start < middle < end else ())
    ones = range(start >> grid, (end >> grid) + 1)
    if len(ones) <= BLOCKS_MAX:
        bounds.update(place << grid for place in ones if start < place << grid < end)
    edges = sorted(bounds)
    if len(edges) == 1:
        return (Segment(start, 0, 1),)
    lows, highs = np.array(edges[:-1], np.float64), np.array(edges[1:], np.float64)
    shifts = _shifts(curve, lows * 2.0**-grid, highs * 2.0**-grid, grid, frac_bits)
    parts = [(int(low), int(high), int(shift)) for low, high, shift in zip(lows, highs, shifts, strict=True)]
    cells = sum(_count(*part) for part in parts)
    while len(parts) > 1:
        joined = [(p[0], q[1], min(p[2], q[2])) for p, q in pairwise(parts)]
        added = [_count(*j) - _count(*p) - _count(*q) for j, (p, q) in zip(joined, pairwise(parts), strict=True)]
        place = added.index(min(added))
        few = len(parts) <= SEGMENTS_MAX
        if cells + added[place] > (CELLS if few else CELLS_MAX) and (not few or added[place] > CELLS_PER_SEGMENT):
            break
        cells += added[place]
        parts[place : place + 2] = [joined[place]]
    if len(parts) > SEGMENTS_MAX or cells > CELLS_MAX:
        return None
    if has_above:
        parts[-1] = _aligned(*parts[-1], len(parts) == 1 and curve.domain[0] == -inf)
    return tuple(Segment(low, shift, _count(low, high, shift)) for low, high, shift in parts)


def _aligned(low: int, high: int, shift: int, may_begin_before: bool) -> tuple[int, int, int]:
    """The part, begun earlier or cut into narrower cells, so that whole cells fill it."""
    if may_begin_before:
        return low - (low - high) % (1 << shift), high, shift
    while (high - low) % (1 << shift):
        shift -= 1
    return low, high, shift


def _count(low: int, high: int, shift: int) -> int:
    return -(-(high - low) // (1 << shift)) if shift else high - low + 1


def _shifts(curve: Curve, a: Floats, b: Floats, grid: int, frac_bits: int) -> Ints:
    """Per part, the widest cells on which the best line is within the tolerance, absolute or relative to the curve: the
    best line's error is a 16th of bend * width**2."""
    sizes = np.minimum(np.abs(curve.of(a)), np.abs(curve.of(b)))
    wanted = tolerance(frac_bits) * np.maximum(1.0, np.where(np.isfinite(sizes), sizes, 1.0))
    with np.errstate(divide="ignore"):
        widths = np.sqrt(16 * wanted / np.maximum(curve.bend(a, b), 2.0**-60))
    powers = np.frexp(np.minimum(widths, b - a))[1] - 1 + grid
    spans = np.frexp(np.ldexp(b - a, grid))[1]
    return np.clip(np.where(widths >= b - a, spans, powers), 0, spans).astype(np.int64)


def _ends(segments: tuple[Segment, ...], end: int | None) -> tuple[Floats, Floats]:
    """The first and last integer of each cell; neighbours share one. `end`: the last of all, where nothing follows."""
    firsts, lasts = [], []
    for place, segment in enumerate(segments):
        starts = segment.start + (np.arange(segment.count, dtype=np.int64) << segment.shift)
        stops = starts + ((1 << segment.shift) if segment.shift else 0)
        limit = segments[place + 1].start if place + 1 < len(segments) else end
        firsts.append(starts)
        lasts.append(stops if limit is None else np.minimum(stops, max(limit, segment.start)))
    return np.concatenate(firsts).astype(np.float64), np.concatenate(lasts).astype(np.float64)


def _fitted(curve: Curve, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Per cell the line that is as far above the curve as below it: (its value in the middle, its slope)."""
    fa, fb, middle = curve.of(a), curve.of(b), curve.of((a + b) / 2)
    width = b - a
    slopes = np.where(width > 0, (fb - fa) / np.where(width > 0, width, 1.0), 0.0)
    return (middle + (fa + fb) / 2) / 2, slopes
