"""What every op with constant weights does: real columns [O, K] and offsets [O] in, integers on a grid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import FRAC_BITS_MAX
from tools.lowering.builder import CALIBRATE, Builder, Tensor
from tools.lowering.errors import LoweringError
from tools.lowering.grids import Floats, Grid, Ints, bits_to_drop, choose, is_tight, least_frac_bits
from tools.lowering.ops.by_bytes import coarsened
from tools.lowering.precision import FEATURE_BITS, sizes_of
from tools.lowering.source import Array, Node, Shape

SUMMAND_BITS: Final = 51  # so that a sum of two is within 52
RESOLVED_BITS: Final = 8
HEADROOM: Final = 16.0
"""How many times as large as calibration shows it a feature may become before it is clipped."""


def floats(array: Array) -> Floats:
    """The same numbers as float64, in one piece."""
    return np.ascontiguousarray(array, np.float64)


def floating(node: Node, x: Tensor) -> Tensor:
    """x, refused where the source model computes with integers there."""
    if x.dtype.kind != "f":
        raise node.refuse(f"it works on {x.dtype} tensors; only floating point has an exact form here")
    return x


def as_floating(x: Tensor) -> Tensor:
    """x as the operators of ai.onnx.ml read it, integers too: their results are float32."""
    return x if x.dtype.kind == "f" else replace(x, dtype=np.dtype(np.float32))


def prepared_and_grid(
    node: Node,
    b: Builder,
    x: Tensor,
    columns: Floats,
    offsets: Floats | None,
    made: int,
    frac_bits: int | None = None,
) -> tuple[Tensor, Grid]:
    """x and the integers of an op that makes `made` elements of a row; `frac_bits` as in `grid_of`."""
    coarse = coarsened(node, b, x, columns, made)
    x = prepared(node, b, x, columns) if coarse is None else coarse
    return x, grid_of(node, b, x, columns, offsets, frac_bits, by_bytes=coarse is not None)


def prepared(node: Node, b: Builder, x: Tensor, columns: Floats) -> Tensor:
    """x clipped and coarsened as far as the columns' precision asks for; untouched where there is room."""
    if not is_tight(columns, x.fact.magnitude, x.frac_bits):
        return x
    x = b.within_limit(x)
    return b.drop(x, bits_to_drop(columns, x.fact.magnitude, x.frac_bits, least_frac_bits(node.op)))


def grid_of(
    node: Node,
    b: Builder,
    x: Tensor,
    columns: Floats,
    offsets: Floats | None,
    frac_bits: int | None = None,
    by_bytes: bool = False,
) -> Grid:
    """The integers for x, `by_bytes` as in `choose`; refused where no precision would be left. `frac_bits`: wanted of
    the result, where it is not
    the node's own."""
    wanted = b.wanted_frac_bits(node.outputs[0]) if frac_bits is None else frac_bits
    try:
        least = least_frac_bits(node.op)
        grid = choose(columns, offsets, x.fact.magnitude, x.frac_bits, wanted, by_bytes, least)
    except LoweringError as error:
        raise node.refuse(error.reason, error.mend) from error
    b.note_weight_bits(grid.bits)
    return grid


def tail(b: Builder, grid: Grid, shape: Shape | None = None) -> dict[str, int | None]:
    """The numbers of bias and shifts, None where they are zero."""
    parts = {"bias": grid.bias, "shifts": grid.shifts}
    return {
        key: None if values is None else b.store(values if shape is None else values.reshape(shape))
        for key, values in parts.items()
    }


def finished(b: Builder, x: Tensor, grid: Grid, emitted: ir.Node) -> Tensor:
    """The tensor that `emitted` makes of x with the grid's integers: their fractional bits and error."""
    return b.derive(x, emitted, frac_bits=grid.frac_bits, error=grid.error(x.magnitude, x.error), limit=None)


def dense(
    node: Node, b: Builder, x: Tensor, columns: Floats, offsets: Floats | None, frac_bits: int | None = None
) -> Tensor:
    """x @ columns.T + offsets along x's last dimension; `frac_bits` as in `grid_of`."""
    if x.shape[-1:] != columns.shape[1:]:
        raise node.refuse(f"{columns.shape[1]} weights per column do not fit rows of shape {list(x.shape)}")
    ends = b.ends(node.inputs[0])
    if ends is not None and ends[0].shape == x.shape and x.fact.magnitude > 1 << FEATURE_BITS:
        x, shifts = _cut(b, x, HEADROOM * sizes_of(ends))
        columns = np.ldexp(columns, shifts)
    made = x.fact.elements // columns.shape[1] * columns.shape[0]
    x, grid = prepared_and_grid(node, b, x, columns, offsets, made, frac_bits)
    return finished(b, x, grid, ir.Gemm(x=x.index, weights=b.store(grid.weights), **tail(b, grid)))


def scaled(
    node: Node, b: Builder, x: Tensor, scale: Floats, offset: Floats | None, frac_bits: int | None = None
) -> Tensor:
    """x * scale + offset element by element; both have one shape, of x's rank, each dimension x's or 1. `frac_bits` as
    in `grid_of`."""
    if not x.shape:
        flat = _with_dimension(b, x)
        return _without_dimension(b, scaled(node, b, flat, scale.reshape(1), _flat(offset), frac_bits))
    x, scale = _by_feature(b, x, scale, offset, b.limit(node.outputs[0]) if frac_bits is None else None)
    columns = scale.reshape(-1, 1)
    x = prepared(node, b, x, columns)
    grid = grid_of(node, b, x, columns, _flat(offset), frac_bits)
    emitted = ir.Affine(x=x.index, weights=b.store(grid.weights.reshape(scale.shape)), **tail(b, grid, scale.shape))
    return finished(b, x, grid, emitted)


def _by_feature(
    b: Builder, x: Tensor, scale: Floats, offset: Floats | None, limit: float | None
) -> tuple[Tensor, Floats]:
    """(z, scale * 2**s) for z = x * 2**-s: each feature of a wide x is cut to the FEATURE_BITS that it needs, element
    by element. `limit`: what calibration asks to keep of x * scale + offset."""
    if limit is None or x.fact.magnitude <= 1 << FEATURE_BITS:
        return x, scale
    added = np.zeros(1) if offset is None else np.abs(offset)
    smallest = 2.0**-126
    z, shifts = _cut(b, x, (limit + added) / np.maximum(np.abs(scale), smallest))
    return z, np.ldexp(np.broadcast_to(scale, shifts.shape), shifts)


def _cut(b: Builder, x: Tensor, needed: Floats) -> tuple[Tensor, Ints]:
    """(x * 2**-shifts, shifts): of each feature the FEATURE_BITS that it has where it is as large as needed."""
    needed = np.minimum(needed, x.magnitude)
    shifts = np.maximum(np.frexp(needed)[1].astype(np.int64) + x.frac_bits - FEATURE_BITS, 0)
    ones, by = b.store(np.ones(shifts.shape, np.int64)), b.store(shifts)
    emitted = ir.Affine(x=x.index, weights=ones, bias=None, shifts=by)
    kept = float(np.ldexp(1.0, FEATURE_BITS - x.frac_bits))
    error = float(np.ldexp(x.error, -int(shifts.min()))) + 2.0**-x.frac_bits / 2
    z = b.derive(x, emitted, error=error, limit=kept)
    return b.within_limit(z), shifts


def _flat(offset: Floats | None) -> Floats | None:
    return None if offset is None else offset.reshape(-1)


def shifted(node: Node, b: Builder, x: Tensor, offset: Floats, sign: int = 1) -> Tensor:
    """sign * x + offset on x's own grid, or the finest that holds the offset too; exact but for the roundings to it.
    offset: as in `scaled`."""
    if not x.shape:
        return _without_dimension(b, shifted(node, b, _with_dimension(b, x), offset.reshape(1), sign))
    x = b.regrid(x, min(x.frac_bits, _grid_of_constant(node, offset)))
    bias = b.store(np.rint(np.ldexp(offset, x.frac_bits)).astype(np.int64))
    weights = None if sign == 1 else b.store(np.full(offset.shape, sign, np.int64))
    emitted = ir.Affine(x=x.index, weights=weights, bias=bias, shifts=None)
    rounding = float(np.abs(np.ldexp(np.rint(np.ldexp(offset, x.frac_bits)), -x.frac_bits) - offset).max())
    return b.derive(x, emitted, error=x.error + rounding, limit=None)


def _grid_of_constant(node: Node, values: Array) -> int:
    """The finest on which it is a summand."""
    largest = float(np.abs(values).max())
    frac_bits = SUMMAND_BITS - 1 - int(np.frexp(largest)[1])
    if frac_bits < least_frac_bits(node.op):
        raise node.refuse(f"its constant reaches {largest:g}, too large to be exact")
    return frac_bits


def _with_dimension(b: Builder, x: Tensor) -> Tensor:
    return b.derive(x, ir.Reshape(x=x.index, shape=(1,)))


def _without_dimension(b: Builder, x: Tensor) -> Tensor:
    return replace(b.derive(x, ir.Reshape(x=x.index, shape=())), limit=None)


def negated(b: Builder, x: Tensor) -> Tensor:
    """-x, exact."""
    if not x.shape:
        return replace(_without_dimension(b, negated(b, _with_dimension(b, x))), limit=x.limit)
    minus = b.store(np.full((1,) * len(x.shape), -1))
    return b.derive(x, ir.Affine(x=x.index, weights=minus, bias=None, shifts=None))


def filled(node: Node, b: Builder, like: Tensor, values: Array) -> Tensor:
    """A constant of row shape `values.shape` as a tensor: the same in every row. `like`: any tensor of floats."""
    wanted = values.shape or (1,)
    frac_bits = max(b.wanted_frac_bits(node.outputs[0]), like.frac_bits)
    frac_bits = min(frac_bits, _grid_of_constant(node, values))
    x = like if like.shape else _with_dimension(b, like)
    rank = len(x.shape)
    one = b.derive(x, ir.Slice(x=x.index, starts=(0,) * rank, counts=(1,) * rank, steps=(1,) * rank))
    zero = b.derive(one, ir.Affine(x=one.index, weights=b.store(np.zeros((1,) * rank, int)), bias=None, shifts=None))
    if rank != len(wanted):
        zero = b.derive(zero, ir.Reshape(x=zero.index, shape=(1,) * len(wanted)))
    if any(size > 1 for size in wanted):
        after = tuple(size - 1 for size in wanted)
        zero = b.derive(zero, ir.Pad(x=zero.index, before=(0,) * len(wanted), after=after, value=0))
    integers = np.rint(np.ldexp(floats(values), frac_bits)).astype(np.int64).reshape(wanted)
    error = float(np.abs(np.ldexp(integers.astype(np.float64), -frac_bits) - values.reshape(wanted)).max())
    emitted = ir.Affine(x=zero.index, weights=None, bias=b.store(integers), shifts=None)
    result = b.derive(zero, emitted, frac_bits=frac_bits, error=error, limit=None)
    return result if values.shape else _without_dimension(b, result)


def added(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """x + y on their finer grid, or as fine as both fit."""
    x, y = regridded(node, b, (x, y), max(x.frac_bits, y.frac_bits))
    return b.derive(x, ir.Add(a=x.index, b=y.index), error=x.error + y.error, limit=None)


def _finest(x: Tensor) -> int:
    """The most fractional bits with which x can be one of two summands."""
    return x.frac_bits + SUMMAND_BITS - x.fact.magnitude.bit_length()


def with_room(b: Builder, x: Tensor, frac_bits: int) -> Tensor:
    """x, clipped to calibration's limit if only so it can be a summand with that many fractional bits."""
    return x if _finest(x) >= frac_bits else b.within_limit(x)


def resolving(b: Builder, x: Tensor, values: Floats) -> Tensor:
    """x on a grid on which the least of the values, but 0, has RESOLVED_BITS, as far as there is room: an epsilon that
    divisors are kept above."""
    sizes = np.abs(values[values != 0])
    if not sizes.size:
        return x
    wanted = RESOLVED_BITS - int(np.frexp(sizes.min())[1])
    frac_bits = min(wanted, _finest(with_room(b, x, wanted)), FRAC_BITS_MAX)
    return b.regrid(with_room(b, x, frac_bits), frac_bits) if frac_bits > x.frac_bits else x


def common_grid(node: Node, wanted: int, *tensors: Tensor) -> int:
    """The finest grid, up to `wanted`, on which each of the tensors can be a summand."""
    frac_bits = min(wanted, *(_finest(x) for x in tensors))
    if frac_bits < least_frac_bits(node.op):
        raise node.refuse("its values are too large to be added exactly", CALIBRATE)
    return frac_bits


def regridded(node: Node, b: Builder, tensors: Sequence[Tensor], wanted: int) -> list[Tensor]:
    """The tensors on one grid, as fine as they allow."""
    roomy = [with_room(b, x, wanted) for x in tensors]
    frac_bits = common_grid(node, wanted, *roomy, *roomy[:1])
    return [b.regrid(x, frac_bits) for x in roomy]
