"""Gather, GatherElements, GatherND, ScatterElements, ScatterND, OneHot, TopK, Compress, ReverseSequence, Trilu.

Elements are found by their place. Places that are constant are slices, or one Take by a constant index. Computed places
are proven to lie inside: where they are an input's elements, the input is declared so, and a row that points outside is
refused before it runs, as the float model would refuse it; others are cut to what exists. A computed index into a
constant table is a Lookup: token embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, prod
from typing import Final

import numpy as np

from runtime.inference import graph as ir
from tools.lowering.builder import Builder, Tensor
from tools.lowering.grids import Ints
from tools.lowering.ops.axes import row_axis
from tools.lowering.ops.columns import filled, floats
from tools.lowering.ops.elementwise import product
from tools.lowering.ops.layout import gathered, joined, reshaped
from tools.lowering.ops.pieces import piece
from tools.lowering.ops.piecewise import larger, smaller
from tools.lowering.ops.scatter import put_at
from tools.lowering.source import Array, Node, Shape

INT64: Final = np.dtype(np.int64)
TABLE_BITS: Final = 51
DEPTH_MAX: Final = 4096
ROUNDS_MAX: Final = 64
"""How many updates of one place are applied one after another."""


# ---- places


def places(node: Node, b: Builder, index: Tensor, size: int, *, only_it: bool = True) -> Tensor:
    """The index with 0 <= it < size; ONNX counts negative ones from the end. One that lies outside, where the float
    model fails, is the nearest place. `only_it`: nothing else is read from the same elements."""
    if index.dtype.kind not in "iu" or index.frac_bits:
        raise node.refuse(f"its indices are {index.dtype} values that were rounded", "use integers as indices")
    if only_it:
        index = b.confine(index, -size, size - 1)
    if index.fact.low < -size or index.fact.high >= size:
        index = b.derive(index, ir.Clip(x=index.index, low=-size if index.fact.low < 0 else 0, high=size - 1))
    if index.fact.low >= 0:
        return index
    minus = _affine(b, index, -1, 0)
    below = b.derive(minus, ir.Clip(x=minus.index, low=0, high=1))
    moved = b.derive(index, ir.Add(a=index.index, b=_affine(b, below, size, 0).index))
    return b.derive(moved, ir.Clip(x=moved.index, low=0, high=size - 1))  # changes nothing, but is proven


def _affine(b: Builder, x: Tensor, factor: int, addend: int) -> Tensor:
    """factor * x + addend, of integers."""
    if not x.shape:
        return reshaped(b, _affine(b, reshaped(b, x, (1,)), factor, addend), ())
    ones = (1,) * len(x.shape)
    weights, bias = b.store(np.full(ones, factor)), b.store(np.full(ones, addend))
    return b.derive(x, ir.Affine(x=x.index, weights=weights, bias=bias, shifts=None), limit=None)


def constant_index(node: Node, b: Builder, like: Tensor, values: Ints) -> Tensor:
    """Whole numbers of row shape `values.shape` as a tensor that is the same in every row."""
    made = filled(node, b, replace(like, dtype=np.dtype(np.float32)), values.astype(np.float64))
    return replace(b.regrid(made, 0), dtype=INT64, error=0.0, limit=None, classes=None)


def inside(node: Node, values: Array, size: int) -> Ints:
    """Constant indices from the front on; refused where they lie outside."""
    if values.dtype.kind not in "iu":
        raise node.refuse(f"its indices are {values.dtype}, integers are needed")
    index = values.astype(np.int64)
    if not index.size or index.min() < -size or index.max() >= size:
        raise node.refuse(f"its indices {index.reshape(-1)[:8].tolist()} do not lie in a dimension of {size}")
    return np.where(index < 0, index + size, index)


def one_whole(node: Node, b: Builder, position: int, what: str) -> int:
    """A constant operand that is one whole number."""
    found = b.constant(node, position, what).reshape(-1)
    if found.size != 1 or not np.isfinite(found[0]) or found[0] != np.rint(found[0]):
        raise node.refuse(f"{what} is {found[:4].tolist()}, one whole number is needed")
    return int(found[0])


def taken(b: Builder, x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The elements of x along an axis that the index, of x's rank, names."""
    error = inf if index.error else x.error
    return b.derive(x, ir.Take(x=x.index, index=index.index, axis=axis), error=error)


# ---- Gather and its kin


def gather(node: Node, b: Builder) -> None:
    """Constant places of computed rows, or computed places of a constant table along its first dimension."""
    axis = node.integer("axis", 0)
    if b.is_constant(node.inputs[0]):
        table = b.constant(node, 0, "the table")
        if axis not in (0, -table.ndim):
            raise node.refuse(f"along dimension {axis} of a table the batch would not come first")
        b.bind(node, looked_up(node, b, table, b.tensor(node, 1, merged=True)))
        return
    x = b.tensor(node, 0, classes=True, anywhere=True)
    along = axis if axis >= 0 else axis + len(x.shape) + 1
    axis = row_axis(node, axis, x.shape, x.batch_axis)
    values = b.constant(node, 1, "the indices")
    index = inside(node, values, x.shape[axis]) if values.size else values
    if not values.size:
        raise node.refuse("it takes nothing")
    found = gathered(b, x, index.reshape(-1).tolist(), axis)
    found = reshaped(b, found, (*x.shape[:axis], *values.shape, *x.shape[axis + 1 :]))
    moved = values.ndim - 1 if along < x.batch_axis else 0
    b.bind(node, replace(found, batch_axis=x.batch_axis + moved))


def looked_up(node: Node, b: Builder, table: Array, index: Tensor) -> Tensor:
    """Rows of a constant table, on the finest grid that is wanted and holds them."""
    if not table.size or not table.ndim:
        raise node.refuse(f"its table has shape {list(table.shape)}, there is nothing to look up")
    index = places(node, b, index, len(table))
    values, largest = floats(table), float(np.abs(table.astype(np.float64)).max())
    frac_bits = 0
    if table.dtype.kind == "f":
        frac_bits = min(b.wanted_frac_bits(node.outputs[0]), TABLE_BITS - int(np.frexp(largest)[1]))
    if frac_bits < 0 or largest > 2.0**TABLE_BITS:
        raise node.refuse(f"its table reaches {largest:g}, too large to be exact")
    rows = max(1, prod(table.shape[1:]))
    integers = np.rint(np.ldexp(values, frac_bits)).astype(np.int64).reshape(len(table), rows)
    emitted = ir.Lookup(x=index.index, table=b.store(integers))
    error = inf if index.error else 0.0 if table.dtype.kind != "f" else 2.0**-frac_bits / 2
    found = b.derive(index, emitted, frac_bits=frac_bits, dtype=table.dtype, error=error, limit=None)
    return reshaped(b, found, (*index.shape, *table.shape[1:]))


def gather_elements(node: Node, b: Builder) -> None:
    """Along one dimension, an index for each element. `repeated` (no file has it): an index of size 1 is for all."""
    index_given = b.is_constant(node.inputs[1])
    if b.is_constant(node.inputs[0]):
        index = b.tensor(node, 1)
        x = _constant_row(node, b, 0, index)
    else:
        x = b.tensor(node, 0, classes=True)
        index = b.tensor(node, 1) if not index_given else x
    axis = row_axis(node, node.integer("axis", 0), x.shape)
    if index_given:
        values = _row(node, b.constant(node, 1, "the indices"), len(x.shape))
        index = constant_index(node, b, x, inside(node, values, x.shape[axis]))
    if len(index.shape) != len(x.shape):
        raise node.refuse(f"rows of shape {list(x.shape)} and indices {list(index.shape)} do not fit each other")
    for place, size in enumerate(() if node.flag("repeated") else index.shape):
        if place != axis and size > x.shape[place]:
            raise node.refuse(f"rows of shape {list(x.shape)} and indices {list(index.shape)} do not fit each other")
        x = x if place == axis else piece(b, x, place, 0, size)
    b.bind(node, taken(b, x, places(node, b, index, x.shape[axis]), axis))


def _row(node: Node, values: Array, rank: int) -> Array:
    """A constant without its leading 1; refused where it has rows of its own."""
    if values.ndim != rank + 1 or values.shape[0] != 1 or not values.size:
        raise node.refuse(f"a constant of shape {list(values.shape)} is not the same in every row")
    row: Array = values[0]
    return row


def _constant_row(node: Node, b: Builder, position: int, like: Tensor) -> Tensor:
    """A constant operand with a leading 1 as a tensor of its own type."""
    constant = b.constant(node, position, "an operand")
    if constant.ndim < 1 or constant.shape[0] != 1 or not constant.size:
        raise node.refuse(f"a constant of shape {list(constant.shape)} is not the same in every row")
    return typed_constant(node, b, constant[0], like)


def typed_constant(node: Node, b: Builder, values: Array, like: Tensor) -> Tensor:
    """Constant values of any number type as a tensor that is the same in every row."""
    if values.dtype.kind != "f":
        return replace(constant_index(node, b, like, values.astype(np.int64)), dtype=values.dtype)
    made = filled(node, b, replace(like, dtype=np.dtype(np.float32)), floats(values))
    return replace(made, dtype=values.dtype, classes=None)


def gather_nd(node: Node, b: Builder) -> None:
    """Indices that name several dimensions at once: one number for all of them, then as Gather."""
    shared = node.integer("batch_dims", 0)
    if b.is_constant(node.inputs[0]) and shared == 0:
        table, index = b.constant(node, 0, "the table"), b.tensor(node, 1)
        many = index.shape[-1] if index.shape else 0
        if not 1 <= many <= table.ndim:
            raise node.refuse(f"indices of shape {list(index.shape)} do not fit a table of shape {list(table.shape)}")
        flat = table.reshape(prod(table.shape[:many]), *table.shape[many:])
        b.bind(node, looked_up(node, b, flat, _linear(node, b, index, table.shape[:many])))
        return
    if shared == 0 and b.is_constant(node.inputs[1]) and b.source.constants[node.inputs[1]].shape[-1:] == (1,):
        places = b.hold(f"{node.outputs[0]}/places", b.source.constants[node.inputs[1]][..., 0])
        gather(replace(node, op="Gather", inputs=(node.inputs[0], places), attributes={}), b)
        return
    x = b.tensor(node, 0, classes=True)
    if shared < 1:
        raise node.refuse("its indices speak of the batch", "give it batch_dims of 1 or more")
    common = x.shape[: shared - 1]
    if b.is_constant(node.inputs[1]):
        values = b.constant(node, 1, "the indices")
        if values.ndim < 2 or values.shape[0] != 1 or not values.size or values.dtype.kind not in "iu":
            raise node.refuse(f"a constant {values.dtype} of shape {list(values.shape)} is no index alike in every row")
        index = constant_index(node, b, x, values[0].astype(np.int64))
    else:
        index = b.tensor(node, 1)
    many = index.shape[-1] if len(index.shape) >= shared else 0
    if not 1 <= many <= len(x.shape) - len(common) or index.shape[: shared - 1] != common:
        raise node.refuse(f"indices of shape {list(index.shape)} do not fit rows of shape {list(x.shape)}")
    named, rest = x.shape[len(common) : len(common) + many], x.shape[len(common) + many :]
    where = _linear(node, b, index, named)
    middle = where.shape[len(common) :]
    merged = reshaped(b, x, (*common, prod(named), prod(rest)))
    found = taken(b, merged, reshaped(b, where, (*common, prod(middle), 1)), len(common))
    b.bind(node, reshaped(b, found, (*common, *middle, *rest)))


def _linear(node: Node, b: Builder, index: Tensor, shape: Shape) -> Tensor:
    """Row-major places in `shape`, of indices whose last dimension names all of its dimensions."""
    total, last = None, len(index.shape) - 1
    index = b.confine(index, -max(shape), max(shape) - 1)
    for number, size in enumerate(shape):
        part = reshaped(b, piece(b, index, last, number, 1), index.shape[:-1])
        part = _affine(b, places(node, b, part, size, only_it=False), prod(shape[number + 1 :]), 0)
        total = part if total is None else b.derive(total, ir.Add(a=total.index, b=part.index))
    if total is None:
        raise node.refuse("its indices name no dimension")
    return total


# ---- Scatter


def scatter_elements(node: Node, b: Builder) -> None:
    """Updates along one dimension, at constant places or, without a reduction, at computed ones."""
    data, updates = _operands(node, b)
    axis = row_axis(node, node.integer("axis", 0), data.shape)
    if b.is_bound(node.inputs[1]) and node.text("reduction", "none") == "none":
        index = b.tensor(node, 1)
        rest = [place for place in range(len(data.shape)) if place != axis]
        if index.shape != updates.shape or any(index.shape[place] != data.shape[place] for place in rest):
            shapes = f"indices {list(index.shape)} and updates {list(updates.shape)}"
            raise node.refuse(f"{shapes} do not fit rows of shape {list(data.shape)}")
        b.bind(node, put_at(node, b, data, places(node, b, index, data.shape[axis]), updates, axis))
        return
    values = inside(node, _row(node, b.constant(node, 1, "the indices"), len(data.shape)), data.shape[axis])
    if values.shape != updates.shape or any(
        size > full for place, (size, full) in enumerate(zip(values.shape, data.shape, strict=True)) if place != axis
    ):
        raise node.refuse(f"indices {list(values.shape)} and updates {list(updates.shape)} do not fit each other")
    grid = np.indices(values.shape)
    grid[axis] = values
    target = np.ravel_multi_index(tuple(grid), data.shape).reshape(-1)
    b.bind(node, _scattered(node, b, data, updates, target))


def scatter_nd(node: Node, b: Builder) -> None:
    """Updates of parts of a row at constant places; its first index is the row's own number in every row, all rows are
    one, or the batch stands behind what the indices name: nodes of a graph whose edges are constant."""
    given = b.constant(node, 1, "the indices")
    if given.dtype.kind not in "iu":
        raise node.refuse(f"its indices are {given.dtype}, integers are needed")
    index = given.astype(np.int64)
    many = index.shape[-1] if index.ndim else 0
    data, updates = _operands(node, b, anywhere=True)
    behind = data.batch_axis - many
    if updates.batch_axis != (index.ndim - 1 + behind if data.batch_axis else 0) or (data.batch_axis and behind < 0):
        raise node.refuse("its updates do not have the batch where its rows have it")
    if not data.batch_axis and node.integer("batch_dims", 0) != 1:
        raise node.refuse("its indices speak of the batch", "write it as Where with a constant mask")
    named = data.shape[:many]
    if not 1 <= many <= len(data.shape) or not index.size or updates.shape != (*index.shape[:-1], *data.shape[many:]):
        raise node.refuse(f"indices {list(index.shape)} and updates {list(updates.shape)} do not fit each other")
    parts = [inside(node, index[..., number], size) for number, size in enumerate(named)]
    first = np.ravel_multi_index(tuple(parts), named).reshape(-1, 1) * prod(data.shape[many:])
    target = (first + np.arange(prod(data.shape[many:]))).reshape(-1)
    b.bind(node, _scattered(node, b, data, updates, target))


def _operands(node: Node, b: Builder, *, anywhere: bool = False) -> tuple[Tensor, Tensor]:
    """Data and updates on one grid; the batch may stand `anywhere` where both are computed."""
    anywhere = anywhere and not any(b.is_constant(node.inputs[place]) for place in (0, 2))
    computed = [place for place in (0, 2) if not b.is_constant(node.inputs[place])]
    if not computed:
        raise node.needs_constant(1, "the indices")
    like = b.tensor(node, computed[0], anywhere=anywhere)
    data, updates = (
        _constant_row(node, b, place, like)
        if b.is_constant(node.inputs[place])
        else b.tensor(node, place, anywhere=anywhere)
        for place in (0, 2)
    )
    if data.dtype != updates.dtype:
        raise node.refuse(f"it puts {updates.dtype} into {data.dtype}")
    frac_bits = max(data.frac_bits, updates.frac_bits)
    return b.regrid(data, frac_bits), b.regrid(updates, frac_bits)


def _sum(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    return b.derive(x, ir.Add(a=x.index, b=y.index), error=x.error + y.error, limit=None)


def _times(node: Node, b: Builder, x: Tensor, y: Tensor) -> Tensor:
    return b.regrid(product(node, b, x, y), x.frac_bits)


_REDUCTIONS: Final[dict[str, Callable[[Node, Builder, Tensor, Tensor], Tensor]]] = {
    "none": lambda node, b, x, y: y,
    "add": _sum,
    "mul": _times,
    "max": larger,
    "min": smaller,
}


def _scattered(node: Node, b: Builder, data: Tensor, updates: Tensor, target: Ints) -> Tensor:
    """updates[i] goes to data[target[i]], both flat; of several for one place one after another."""
    kind = node.text("reduction", "none")
    if kind not in _REDUCTIONS:
        raise node.refuse(f"reduction {kind!r} is unknown")
    shape, flat = data.shape, reshaped(b, data, (prod(data.shape),))
    values = reshaped(b, updates, (prod(updates.shape),))
    waiting = list(enumerate(target.tolist()))
    if kind == "none":
        waiting = [(number, place) for place, number in {place: number for number, place in waiting}.items()]
    for _ in range(ROUNDS_MAX):
        now = {place: number for number, place in reversed(waiting)}
        waiting = [(number, place) for number, place in waiting if now[place] != number]
        found = _at(node, b, values, list(now.values()))
        frac_bits = flat.frac_bits
        result = _REDUCTIONS[kind](node, b, _at(node, b, flat, list(now)), found)
        flat, result = (b.regrid(x, min(result.frac_bits, frac_bits)) for x in (flat, result))
        order = np.arange(prod(shape))
        order[list(now)] = prod(shape) + np.arange(len(now))
        flat = _at(node, b, joined(b, [flat, result], 0), order.tolist())
        if not waiting:
            return reshaped(b, replace(flat, limit=None), shape)
    raise node.refuse(f"more than {ROUNDS_MAX} updates are for one place")


def _at(node: Node, b: Builder, x: Tensor, order: Sequence[int]) -> Tensor:
    return gathered(b, x, order, 0)


# ---- the rest


def one_hot(node: Node, b: Builder) -> None:
    """A table of `values` by index: what is no index, in neither way of counting, is off everywhere."""
    index = b.tensor(node, 0)
    depth = one_whole(node, b, 1, "the depth")
    values = b.constant(node, 2, "the values").reshape(-1)
    if index.dtype.kind == "f":  # whole numbers, which a grid's rounding may have moved
        index = replace(b.regrid(index, 0), dtype=INT64, error=0.0)
    if not 1 <= depth <= DEPTH_MAX or len(values) != 2:
        raise node.refuse(f"a depth of {depth} with {len(values)} values is not supported, 1 to {DEPTH_MAX} with 2 are")
    low = 0 if index.fact.low >= 0 else -depth - 1
    clipped = b.derive(index, ir.Clip(x=index.index, low=low, high=depth), dtype=INT64)
    table = np.full((depth + 1 - low, depth), values[0])
    for number in range(-depth if low else 0, depth):
        table[number - low, number % depth] = values[1]
    found = looked_up(node, b, table, _affine(b, clipped, 1, -low))
    rank = len(index.shape) + 2
    axis = node.integer("axis", -1)
    if not -rank <= axis < rank or axis % rank == 0:
        raise node.refuse(f"axis {axis} would put a dimension before the batch")
    order = [*range(rank - 2)]
    order.insert(axis % rank - 1, rank - 2)
    b.bind(node, _ordered(b, found, tuple(order)))


def _ordered(b: Builder, x: Tensor, order: Shape) -> Tensor:
    return x if order == tuple(range(len(order))) else b.derive(x, ir.Transpose(x=x.index, permutation=order))


def top_k(node: Node, b: Builder) -> None:
    """The k largest or smallest of a constant k, in order; of equal ones the first comes first."""
    x = b.tensor(node, 0)
    k = one_whole(node, b, 1, "k") if node.has_input(1) else node.integer("k", 0)
    axis = row_axis(node, node.integer("axis", -1), x.shape)
    if not 1 <= k <= x.shape[axis]:
        raise node.refuse(f"it takes {k} of {x.shape[axis]} elements")
    emitted = ir.TopK(x=x.index, axis=axis, k=k, largest=node.flag("largest", True))
    index = b.derive(x, emitted, frac_bits=0, dtype=INT64, error=0.0, limit=None)
    if b.is_read(node, 0):
        b.bind(node, taken(b, x, index, axis), 0)
    if b.is_read(node, 1):
        b.bind(node, index, 1)


def compress(node: Node, b: Builder) -> None:
    """The places along an axis where a constant says so."""
    x = b.tensor(node, 0, classes=True)
    if "axis" not in node.attributes:
        raise node.refuse("without an axis it works along the batch")
    place = row_axis(node, node.integer("axis", 0), x.shape)
    kept = np.flatnonzero(b.constant(node, 1, "the condition"))
    if not kept.size or kept.max() >= x.shape[place]:
        raise node.refuse(f"places {kept[:8].tolist()} do not lie in a dimension of {x.shape[place]}, or are none")
    b.bind(node, gathered(b, x, kept.tolist(), place))


def trilu(node: Node, b: Builder) -> None:
    """The upper or lower triangle of the last two dimensions; zeros elsewhere."""
    x = b.tensor(node, 0)
    if len(x.shape) < 2:
        raise node.refuse(f"rows of shape {list(x.shape)} are no matrices")
    k = one_whole(node, b, 1, "k") if node.has_input(1) else 0
    k = max(-x.shape[-2] - 1, min(k, x.shape[-1] + 1))
    ones = np.ones(x.shape[-2:], np.int64)
    mask = np.triu(ones, k) if node.flag("upper", True) else np.tril(ones, k)
    weights = b.store(mask.reshape((1,) * (len(x.shape) - 2) + mask.shape))
    b.bind(node, b.derive(x, ir.Affine(x=x.index, weights=weights, bias=None, shifts=None)))


def reverse_sequence(node: Node, b: Builder) -> None:
    """The first so many places of each part the other way round; how many is constant."""
    x = b.tensor(node, 0)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    place, other = row_axis(node, time, x.shape), row_axis(node, batch, x.shape)
    given = b.constant(node, 1, "the lengths").reshape(-1)
    lengths = given.astype(np.int64) if given.dtype.kind in "iu" else np.array([-1])
    if place == other or len(lengths) != x.shape[other] or lengths.min() < 0 or lengths.max() > x.shape[place]:
        raise node.refuse(f"lengths {given[:8].tolist()} do not fit rows of shape {list(x.shape)}")
    steps = np.arange(x.shape[place])
    index = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    index = index if other < place else index.T
    shape = tuple(size if axis in (place, other) else 1 for axis, size in enumerate(x.shape))
    b.bind(node, taken(b, x, constant_index(node, b, x, index.reshape(shape)), place))


def fill(node: Node, b: Builder) -> None:
    """A constant that is computed with, or an output, the same in every row: our own operator, no file has it. `axis`:
    where the batch is, `before` and `after`: whether it is merged with a dimension."""
    value = b.constant(node, 0, "the value")
    if not value.size or not b.source.inputs:
        reason = "an output of no elements, or of a model without inputs, has no exact form"
        raise node.refuse(reason, "drop it from the outputs")
    made = typed_constant(node, b, value, b.finished(b.source.inputs[0].name))
    merged = (node.integer("before", 0), node.integer("after", 0))
    b.bind(node, replace(made, batch_axis=node.integer("axis", 0), merged=merged))


INDEXING: Final[dict[str, Callable[[Node, Builder], None]]] = {
    "Compress": compress, "Fill": fill, "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd,
    "OneHot": one_hot, "ReverseSequence": reverse_sequence, "Scatter": scatter_elements,
    "ScatterElements": scatter_elements, "ScatterND": scatter_nd, "TopK": top_k, "Trilu": trilu,
}  # fmt: skip
