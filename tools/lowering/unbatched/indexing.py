"""Ops that pick elements by place: of a constant table the places are the table's own, else N stands in front."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from tools.lowering.source import Node
from tools.lowering.unbatched.axes import leading_one, moved
from tools.lowering.unbatched.rows import Rows


def gather(node: Node, rows: Rows) -> None:
    """Of a constant table the axis is the table's own."""
    if rows.is_constant(node.inputs[0]):
        _look_up(node, rows)
    elif rows.is_constant(node.inputs[1]):
        rows.finish(node, "Gather", node.inputs, axis=moved(node.integer("axis", 0)))
    else:
        _gather_computed(node, rows)


def _look_up(node: Node, rows: Rows) -> None:
    """The table's dimension goes first, and the result's back."""
    table, index = rows.constants[node.inputs[0]], rows.shape(node.inputs[1])
    axis = node.integer("axis", 0)
    if not -table.ndim <= axis < table.ndim:
        raise node.refuse(f"axis {axis} lies outside a table of {table.ndim} dimensions")
    axis %= table.ndim
    turned = rows.store(node, np.ascontiguousarray(np.moveaxis(table, axis, 0)))
    if axis == 0:
        rows.finish(node, "Gather", [turned, node.inputs[1]], axis=0)
        return
    found = rows.helper(node, "Gather", [turned, node.inputs[1]], axis=0)
    before, after = range(len(index), len(index) + axis), range(len(index) + axis, len(index) + table.ndim - 1)
    order = (*before, *range(len(index)), *after)
    rows.finish(node, "Transpose", [found], perm=(0, *(place + 1 for place in order)))


def _gather_computed(node: Node, rows: Rows) -> None:
    """GatherElements: the places in one dimension, the same for all elements of the others."""
    x, index = (rows.shape(name) for name in node.inputs)
    axis = node.integer("axis", 0)
    if not -len(x) <= axis < len(x):
        raise node.refuse(f"axis {axis} lies outside a tensor of {len(x)} dimensions")
    axis %= len(x)
    alone = tuple(prod(index) if place == axis else 1 for place in range(len(x)))
    index_alone = rows.shaped(node, node.inputs[1], alone)
    found = rows.helper(node, "GatherElements", [node.inputs[0], index_alone], axis=axis + 1, repeated=1)
    rows.finish(node, "Reshape", [found, rows.store(node, [0, *x[:axis], *index, *x[axis + 1 :]])])


def elements(node: Node, rows: Rows) -> None:
    """GatherElements, ScatterElements: all operands alike in their dimensions."""
    inputs = [leading_one(node, rows, name) for name in node.inputs]
    axis = moved(node.integer("axis", 0))
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "axis": axis}))


def gather_nd(node: Node, rows: Rows) -> None:
    """Rows are one batch dimension more."""
    inputs = [leading_one(node, rows, name) for name in node.inputs]
    rows.finish(node, "GatherND", inputs, batch_dims=node.integer("batch_dims", 0) + 1)


def scatter_nd(node: Node, rows: Rows) -> None:
    """A row is all that its constant indices speak of."""
    inputs = [leading_one(node, rows, node.inputs[0]), node.inputs[1], leading_one(node, rows, node.inputs[2])]
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "batch_dims": 1}))


def compress(node: Node, rows: Rows) -> None:
    """Without an axis all dimensions are one."""
    x, axis = node.inputs[0], 1
    if "axis" in node.attributes:
        axis = moved(node.integer("axis", 0))
    else:
        x = rows.shaped(node, x, (prod(rows.shape(x)),))
    rows.finish(node, "Compress", [x, node.inputs[1]], axis=axis)


def slice_(node: Node, rows: Rows) -> None:
    """All axes are named, in lists of one length."""
    starts, ends, axes, steps = (
        rows.integers(node, place, name) for place, name in enumerate(("starts", "ends", "axes", "steps"), start=1)
    )
    axes = tuple(range(len(starts or ()))) if axes is None else axes
    steps = (1,) * len(starts or ()) if steps is None else steps
    lists = (starts or (), ends or (), tuple(moved(axis) for axis in axes), steps)
    rows.finish(node, "Slice", [node.inputs[0], *(rows.store(node, list(numbers)) for numbers in lists)])


def one_hot(node: Node, rows: Rows) -> None:
    """The axis of the new dimension."""
    rows.add(replace(node, attributes={"axis": moved(node.integer("axis", -1))}))
