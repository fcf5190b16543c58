"""Flatten, Reshape, Squeeze, Unsqueeze, Transpose, Concat, Slice, Identity: the same numbers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from runtime.inference.limits import OPERANDS_MAX
from tools.lowering.builder import BATCH_FIRST, Builder, Tensor
from tools.lowering.ops import missing
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import filled, regridded
from tools.lowering.protobuf import TEXT
from tools.lowering.source import Node, Shape

RUNS_MAX: Final = 8
"""Slices that are put together; more cost more than an index."""


def reshaped(b: Builder, x: Tensor, shape: Shape) -> Tensor:
    """x under another row shape; x itself where it has that already."""
    return x if x.shape == shape else b.derive(x, ir.Reshape(x=x.index, shape=shape))


def identity(node: Node, b: Builder) -> None:
    """Dropout too, which changes nothing once a model is trained."""
    if any(b.is_read(node, position) for position in range(1, len(node.outputs))):
        raise node.refuse("its mask is read", "export for inference (model.eval())")
    if node.has_input(2) and b.constant(node, 2, "training_mode").any():
        raise node.refuse("it is in training mode", "export for inference (model.eval())")
    b.bind(node, b.tensor(node, 0, classes=True, merged=True, missing=True))


def flatten(node: Node, b: Builder) -> None:
    """To one dimension of a row; where `axis` takes the batch into the other, they are merged."""
    x = b.tensor(node, 0, classes=True, merged=True)
    rank = x.file_rank
    axis = node.integer("axis", 1)
    if x.place != BATCH_FIRST:
        _flatten_around(node, b, x, axis)
        return
    if axis == rank:
        before, after = prod(x.shape), 1
    else:
        cut = row_axis(node, axis, x.shape)
        before, after = prod(x.shape[:cut]), prod(x.shape[cut:])
    merged = (before, after) if before != 1 else (after,)
    b.bind(node, replace(reshaped(b, x, merged), merged=(0, int(before != 1))))


def _flatten_around(node: Node, b: Builder, x: Tensor, axis: int) -> None:
    """Where the batch is not first, or merged: as the Reshape that it is."""
    if not -x.file_rank <= axis <= x.file_rank:
        raise node.refuse(f"axis {axis} does not lie in its {x.file_rank} dimensions")
    cut, own = axis + (x.file_rank if axis < 0 else 0), x.batch_axis + sum(x.merged)
    behind = [-1, prod(x.shape[own + cut - x.batch_axis - 1 :])]
    target = behind if cut > x.batch_axis else [prod(x.shape[:cut]), -1]
    _reshape_around(node, b, x, target, keeps_zero=False)


def reshape(node: Node, b: Builder) -> None:
    """To a constant shape whose first dimension is the batch: 0, -1, or the number at which the file fixes the
    batch."""
    x = b.tensor(node, 0, classes=True, merged=True)
    target = [int(size) for size in b.constant(node, 1, "the shape").reshape(-1)]
    keeps_zero = not node.flag("allowzero")
    if not target:
        raise node.refuse("an empty shape leaves no batch")
    if x.place != BATCH_FIRST or _joins_batch(x, target):
        _reshape_around(node, b, x, target, keeps_zero=keeps_zero)
        return
    rest = [_copied(node, x, axis, size, keeps_zero) for axis, size in enumerate(target)][1:]
    if rest.count(-1) > 1 or any(size < -1 or size == 0 for size in rest):
        raise node.refuse(f"shape {target} is not supported")
    if -1 in rest:
        known = prod(size for size in rest if size != -1)
        rest[rest.index(-1)] = prod(x.shape) // known
    leads = (target[0] == 0 and keeps_zero) or target[0] == -1 or (target[0] == b.source.fixed_rows)
    ones = target.index(-1) if -1 in target else 0
    if not leads and set(target[:ones]) == {1} and prod(target[ones + 1 :]) == prod(x.shape):
        b.bind(node, replace(reshaped(b, x, (*target[:ones], *target[ones + 1 :])), batch_axis=ones))
        return
    if not leads or prod(rest) != prod(x.shape):
        mend = "keep the batch first: reshape to (0, ...) or (-1, ...) with all of a row's elements after it"
        raise node.refuse(f"shape {target} would mix rows of shape {list(x.shape)} with the batch", mend)
    b.bind(node, reshaped(b, x, tuple(rest)))


def _joins_batch(x: Tensor, target: list[int]) -> bool:
    """Whether the batch and what is behind it become one: [N, heads, L, d] to [-1, L, d], [N, h, w, 4, 4, C] to [-1,
    16, C]."""
    rest, elements = prod(target[1:]), prod(x.shape)
    return target[0] == -1 and min(target[1:], default=1) > 0 and rest < elements and elements % rest == 0


def _reshape_around(node: Node, b: Builder, x: Tensor, target: list[int], *, keeps_zero: bool) -> None:
    """Where the batch is not first, or merged: it stays between the same elements, alone or merged with neighbours."""
    before, after = (prod(part) for part in x.around)
    place = _place_of_batch(b, x, sizes := _sizes(b, x, target, keeps_zero), before, after)
    if place is None:
        reason = f"shape {target} would mix rows of shape {list(x.shape)} with the batch, dimension {x.batch_axis}"
        raise node.refuse(reason, "transpose before, so that the batch is dimension 0")
    lead, rest = tuple(sizes[:place]), tuple(sizes[place + 1 :])
    outer, inner = before // prod(lead), after // prod(rest)
    own = tuple(size for size in (outer, inner) if size != 1)
    shaped = reshaped(b, x, (*lead, *own, *rest))
    b.bind(node, replace(shaped, batch_axis=place, merged=(int(outer != 1), int(inner != 1))))


def _sizes(b: Builder, x: Tensor, target: list[int], keeps_zero: bool) -> list[int]:
    """The target with -1 for the batch alone; all numbers where the file fixes the batch."""
    fixed, (axis, many) = b.source.fixed_rows, (x.batch_axis, sum(x.merged))
    own = prod(x.shape[axis : axis + many])
    full = [*x.shape[:axis], own * fixed if fixed else -1, *x.shape[axis + many :]]
    sizes = [
        full[place] if size == 0 and keeps_zero and place < len(full) else size for place, size in enumerate(target)
    ]
    known = prod(size for size in sizes if size != -1)
    if fixed and sizes.count(-1) == 1 and known:
        sizes[sizes.index(-1)] = prod(x.shape) * fixed // known
    if sizes.count(-1) == 2 and keeps_zero and target[axis : axis + 1] == [0] and known:
        rest = next(place for place, size in enumerate(sizes) if size == -1 and place != axis)
        sizes[rest] = prod(x.shape) // (known * own)
    return sizes


def _place_of_batch(b: Builder, x: Tensor, sizes: list[int], before: int, after: int) -> int | None:
    """Which of the sizes holds the batch, between so many elements of a row. Where the file fixes it at 1, several may:
    preferably one that holds nothing else, then one with what is behind it, such as heads, but not the last."""
    found = []
    for place, size in enumerate(sizes):
        lead, rest = prod(sizes[:place]), prod(sizes[place + 1 :])
        if lead < 1 or rest < 1 or before % lead or after % rest:
            continue
        outer, inner = before // lead, after // rest
        if size in (-1, outer * (b.source.fixed_rows or 0) * inner):
            found.append((outer * inner != 1, place == len(sizes) - 1, outer != 1, place))
    return min(found)[-1] if found else None


def _copied(node: Node, x: Tensor, axis: int, size: int, keeps_zero: bool) -> int:
    """A 0 copies x's dimension; the batch stays 0."""
    if size != 0 or not keeps_zero or axis == 0:
        return size
    if axis > len(x.shape):
        raise node.refuse(f"its shape copies dimension {axis}, which the input does not have")
    return x.shape[axis - 1]


def concat(node: Node, b: Builder) -> None:
    """Tensors side by side on the coarsest of their grids that holds them all; constants are repeated in each row."""
    axis = node.integer("axis", 0)
    held = tuple(n for n in node.inputs if not b.is_constant(n) or b.source.constants[n].size)
    node = replace(node, inputs=held)
    like = next(_moved(node, b, place) for place, name in enumerate(node.inputs) if not b.is_constant(name))
    parts = [_part(node, b, place, like) for place in range(len(node.inputs))]
    if len({part.classes for part in parts}) > 1:
        raise node.refuse("it joins names of different classes")
    first = axis in (0, -len(like.shape) - 1) and not any(b.is_constant(name) for name in node.inputs)
    if first and all(part.place == BATCH_FIRST for part in parts):
        _stack_batches(node, b, parts)
        return
    rank = len(parts[0].shape)
    place = row_axis(node, axis, parts[0].shape, like.batch_axis)
    for part in parts:
        rest = [part.shape[dim] == parts[0].shape[dim] for dim in range(rank) if dim != place and dim < len(part.shape)]
        if len(part.shape) != rank or not all(rest):
            raise node.refuse(f"rows of shape {list(parts[0].shape)} and {list(part.shape)} do not fit each other")
        if part.dtype != parts[0].dtype:
            raise node.refuse(f"it joins {parts[0].dtype} and {part.dtype}")
        if part.batch_axis != like.batch_axis:
            raise node.refuse(f"it joins tensors with the batch as dimension {like.batch_axis} and {part.batch_axis}")
    finest = max(part.frac_bits for part in parts)
    lacking = any(part.missing is not None for part in parts)
    found = regridded(node, b, parts, finest)
    b.bind(node, joined(b, missing.alike(b, found, parts) if lacking else found, place))


def _stack_batches(node: Node, b: Builder, parts: list[Tensor]) -> None:
    """The batches one after another: a dimension of the row that is merged with the batch behind it."""
    if len({part.shape for part in parts}) > 1 or len({part.dtype for part in parts}) > 1:
        raise node.refuse("its batches of unlike rows would become one")
    apart = [reshaped(b, part, (1, *part.shape)) for part in parts]
    stacked = joined(b, regridded(node, b, apart, max(part.frac_bits for part in apart)), 0)
    b.bind(node, replace(stacked, merged=(int(len(parts) > 1), 0)))


def _moved(node: Node, b: Builder, place: int) -> Tensor:
    """An operand that is put elsewhere as it is: texts are classes of one list, other classes become their numbers."""
    texts = b.is_bound(node.inputs[place]) and b.finished(node.inputs[place]).dtype == TEXT
    return b.tensor(node, place, classes=texts, anywhere=True, missing=True)


def _part(node: Node, b: Builder, place: int, like: Tensor) -> Tensor:
    """An operand; a constant one with a leading 1 is the same in every row."""
    if not b.is_constant(node.inputs[place]):
        return _moved(node, b, place)
    values = b.constant(node, place, "an operand")
    if values.ndim != len(like.shape) + 1 or values.shape[0] != 1 or like.dtype.kind not in "fiub":
        reason = f"its constant operand of shape {list(values.shape)} would not be the same in every row"
        raise node.refuse(reason, "give it a leading dimension of 1")
    if like.dtype.kind == "f":
        return filled(node, b, like, values[0])
    if values.dtype != like.dtype:
        raise node.refuse(f"it joins {like.dtype} and {values.dtype}")
    made = filled(node, b, replace(like, dtype=np.dtype(np.float32)), values[0].astype(np.float64))
    return replace(b.regrid(made, 0), dtype=like.dtype, error=0.0, limit=None, classes=None)


def joined(b: Builder, parts: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors on one grid one after another; a long list nests."""
    level = list(parts)
    error = max(part.error for part in parts)
    while len(level) > 1:
        groups = [level[start : start + OPERANDS_MAX] for start in range(0, len(level), OPERANDS_MAX)]
        level = [group[0] if len(group) == 1 else _concat(b, group, axis) for group in groups]
    return replace(level[0], error=error)


def _concat(b: Builder, group: Sequence[Tensor], axis: int) -> Tensor:
    return b.derive(group[0], ir.Concat(tensors=tuple(part.index for part in group), axis=axis), limit=None)


def gathered(b: Builder, x: Tensor, places: Sequence[int], axis: int) -> Tensor:
    """x's elements at these places of one dimension: slices, one after another; many are one Take."""
    if list(places) == list(range(x.shape[axis])):
        return x
    runs = _runs(places)
    if len(runs) > RUNS_MAX:
        return b.derive(x, ir.Take(x=x.index, index=_index(b, x, places, axis), axis=axis))
    parts = []
    for start, count, step in runs:
        starts, counts, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
        starts[axis], counts[axis], steps[axis] = start, count, step
        emitted = ir.Slice(x=x.index, starts=tuple(starts), counts=tuple(counts), steps=tuple(steps))
        parts.append(b.derive(x, emitted))
    return joined(b, parts, axis)


def _index(b: Builder, x: Tensor, places: Sequence[int], axis: int) -> int:
    """The number of a tensor that holds the places along one dimension, the same in every row."""
    rank = len(x.shape)
    one = b.derive(x, ir.Slice(x=x.index, starts=(0,) * rank, counts=(1,) * rank, steps=(1,) * rank))
    zero = b.derive(one, ir.Affine(x=one.index, weights=b.store(np.zeros((1,) * rank, int)), bias=None, shifts=None))
    after = tuple(len(places) - 1 if dim == axis else 0 for dim in range(rank))
    zeros = b.derive(zero, ir.Pad(x=zero.index, before=(0,) * rank, after=after, value=0))
    bias = b.store(np.array(places).reshape([-1 if dim == axis else 1 for dim in range(rank)]))
    return b.derive(zeros, ir.Affine(x=zeros.index, weights=None, bias=bias, shifts=None)).index


def _runs(places: Sequence[int]) -> list[tuple[int, int, int]]:
    """The places as (start, count, step) of evenly spaced runs, greedily from the first on."""
    runs: list[tuple[int, int, int]] = []
    place = 0
    while place < len(places):
        end = place + 1
        step = places[end] - places[place] if end < len(places) else 1
        while step and end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        runs.append((places[place], end - place, step or 1))
        place = end
    return runs


def transpose(node: Node, b: Builder) -> None:
    """Any permutation; the batch may be elsewhere than first after it, which only some operators read."""
    x = b.tensor(node, 0, classes=True, merged=True)
    rank, many = x.file_rank, sum(x.merged)
    order = node.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise node.refuse(f"perm {list(order)} is no permutation of {rank} dimensions")
    here = range(x.batch_axis, x.batch_axis + many)
    groups = [here if axis == x.batch_axis else (axis + (many - 1) * (axis > x.batch_axis),) for axis in order]
    rows = tuple(place for group in groups for place in group)
    moved = x if rows == tuple(range(len(x.shape))) else b.derive(x, ir.Transpose(x=x.index, permutation=rows))
    b.bind(node, replace(moved, batch_axis=order.index(x.batch_axis)))


def slice_(node: Node, b: Builder) -> None:
    """Constant starts, ends, axes and steps: attributes before opset 10, inputs since. Not along the batch."""
    x = b.tensor(node, 0, classes=True, anywhere=True)
    rank = len(x.shape)
    starts, ends = (numbers(node, b, place, name) for place, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:
        raise node.refuse("its starts or ends are missing")
    axes = numbers(node, b, 3, "axes") or tuple(range(len(starts)))
    steps = numbers(node, b, 4, "steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.refuse("its starts, ends, axes and steps do not fit each other")
    begin, count, step = [0] * rank, list(x.shape), [1] * rank
    for first, last, axis, by in zip(starts, ends, axes, steps, strict=True):
        place = row_axis(node, axis, x.shape, x.batch_axis)
        reach = range(x.shape[place])[slice(first, last, by)]
        if not reach:
            raise node.refuse(f"nothing is left of dimension {axis}")
        begin[place], count[place], step[place] = reach[0], len(reach), by
    emitted = ir.Slice(x=x.index, starts=tuple(begin), counts=tuple(count), steps=tuple(step))
    b.bind(node, x if tuple(count) == x.shape and set(step) <= {1} else b.derive(x, emitted))


def numbers(node: Node, b: Builder, position: int, name: str) -> tuple[int, ...] | None:
    """A list of integers that older opsets have as an attribute and newer ones as a constant input."""
    if node.has_input(position):
        return tuple(int(value) for value in b.constant(node, position, name).reshape(-1))
    return node.integers(name)


def squeeze(node: Node, b: Builder) -> None:
    """Drops dimensions of size 1: all of a row's where none is named. (A batch of one row would then go too in the
    file; rows have no such case.)"""
    x = b.tensor(node, 0, classes=True, anywhere=True)
    axes = numbers(node, b, 1, "axes")
    if not axes and b.source.fixed_rows == 1:
        raise node.refuse("it names no axes, so it drops the batch, which the file fixes at one row")
    if not axes:
        places = {place for place, size in enumerate(x.shape) if size == 1}
    else:
        places = {row_axis(node, axis, x.shape, x.batch_axis) for axis in axes}
    if any(x.shape[place] != 1 for place in places):
        raise node.refuse(f"axes {list(axes or ())} of rows of shape {list(x.shape)} are not all of size 1")
    found = reshaped(b, x, tuple(size for place, size in enumerate(x.shape) if place not in places))
    b.bind(node, replace(found, batch_axis=x.batch_axis - sum(place < x.batch_axis for place in places)))


def unsqueeze(node: Node, b: Builder) -> None:
    """Adds dimensions of size 1: behind the batch, or before it, which is then not the first."""
    x = b.tensor(node, 0, classes=True, anywhere=True)
    axes = numbers(node, b, 1, "axes") or ()
    rank = len(x.shape) + 1 + len(axes)
    places = sorted(axis % rank for axis in axes if -rank <= axis < rank)
    full = list(range(len(x.shape)))
    full.insert(x.batch_axis, -1)
    for place in places:
        full.insert(place, len(x.shape))
    if not axes or len(set(places)) != len(axes):
        raise node.refuse(f"axes {list(axes)} would add no dimension, or one twice")
    sizes = (*x.shape, 1)
    shape = tuple(sizes[place] for place in full if place != -1)
    b.bind(node, replace(reshaped(b, x, shape), batch_axis=full.index(-1)))
