"""Ops that speak of dimensions by number, or by broadcasting: axes move by one, operands of fewer dimensions get ones
behind N. What moves or picks elements is in layout.py and indexing.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tools.lowering.source import Node
from tools.lowering.unbatched.rows import Rows, Rule


def same(node: Node, rows: Rows) -> None:
    """Nothing of it speaks of the dimensions in front."""
    rows.add(node)


def pointwise(node: Node, rows: Rows) -> None:
    """Operands broadcast from the last dimension on: those of fewer dimensions get ones behind N, and one of them is
    repeated where a constant is larger."""
    rank = max(len(rows.shape(name)) for name in node.inputs if name)
    shapes = [rows.shape(name) for name in node.inputs if name and rows.is_constant(name)]
    constant = [max((shape[place] for shape in shapes if len(shape) >= -place), default=1) for place in range(-rank, 0)]
    inputs = list(node.inputs)
    for position, name in enumerate(inputs):
        if name and not rows.is_constant(name):
            inputs[position] = of_rank(node, rows, name, rank)
    computed = [rows.shape(name) for name in inputs if name and not rows.is_constant(name)]
    if computed and any(size > max(found) for size, found in zip(constant, zip(*computed, strict=True), strict=True)):
        position = next(p for p, name in enumerate(inputs) if name and not rows.is_constant(name))
        target = rows.store(
            node, [1, *(max(sizes) for sizes in zip(constant, rows.shape(inputs[position]), strict=True))]
        )
        inputs[position] = rows.helper(node, "Expand", [inputs[position], target])
    rows.add(replace(node, inputs=tuple(inputs)))


def of_rank(node: Node, rows: Rows, name: str, rank: int) -> str:
    """A computed tensor with ones put behind N, until it has so many dimensions."""
    shape = rows.shape(name)
    return rows.shaped(node, name, (1,) * (rank - len(shape)) + shape)


def moved(axis: int) -> int:
    """From the end on, dimensions keep their numbers."""
    return axis + 1 if axis >= 0 else axis


def along(default: int | None) -> Rule:
    """An attribute `axis`; constants among the operands have no N of their own, so they get a 1."""

    def rule(node: Node, rows: Rows) -> None:
        axis = node.integer("axis", default or 0)
        if node.op in ("Softmax", "LogSoftmax", "Hardmax") and rows.source.opset < 13 and "axis" not in node.attributes:
            axis = 1
        rows.add(replace(node, attributes={**node.attributes, "axis": moved(axis)}))

    return rule


def quantized(node: Node, rows: Rows) -> None:
    """Scales and zero points of blocks have all dimensions."""
    inputs = [
        leading_one(node, rows, name) if place and rows.is_constant(name) and rows.constants[name].ndim > 1 else name
        for place, name in enumerate(node.inputs)
    ]
    axis = moved(node.integer("axis", 1)) if rows.shape(node.inputs[0]) else 1
    rows.add(replace(node, inputs=tuple(inputs), attributes={**node.attributes, "axis": axis}))


def leading_one(node: Node, rows: Rows, name: str) -> str:
    """A constant with a dimension of 1 where others have N; a computed tensor as it is."""
    return rows.store(node, rows.constants[name][np.newaxis]) if rows.is_constant(name) else name


def sequences(node: Node, rows: Rows) -> None:
    """ReverseSequence: two axes."""
    time, batch = moved(node.integer("time_axis", 0)), moved(node.integer("batch_axis", 1))
    rows.add(replace(node, attributes={"time_axis": time, "batch_axis": batch}))


def reduced(node: Node, rows: Rows) -> None:
    """No axes mean all of the file's, or none."""
    axes = rows.integers(node, 1, "axes") or ()
    rank = len(rows.shape(node.inputs[0]))
    if not axes and (node.flag("noop_with_empty_axes") or not rank):
        rows.add(replace(node, inputs=node.inputs[:1], attributes={"noop_with_empty_axes": 1}))
        return
    axes = tuple(moved(axis) for axis in axes or range(rank))
    rows.finish(node, node.op, node.inputs[:1], axes=axes, keepdims=int(node.flag("keepdims", True)))


def normalized_axes(node: Node, rows: Rows) -> None:
    """MeanVarianceNormalization."""
    axes = node.integers("axes") or (0, 2, 3)
    rows.add(replace(node, attributes={**node.attributes, "axes": tuple(moved(axis) for axis in axes)}))


def axis_input(node: Node, rows: Rows) -> None:
    """CumSum: the axis is an operand."""
    axis = int(rows.constant(node, 1, "the axis").reshape(-1)[0])
    rows.add(replace(node, inputs=(node.inputs[0], rows.store(node, np.array(moved(axis), np.int64)))))
