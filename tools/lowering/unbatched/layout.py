"""Ops that lay elements out anew, cut or join them: target shapes begin with 0, which keeps N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from tools.lowering.source import Node
from tools.lowering.unbatched.axes import leading_one, moved, of_rank
from tools.lowering.unbatched.rows import Rows


def reshape(node: Node, rows: Rows) -> None:
    """Zeros and -1 are read of the file's shape: the new one begins with N."""
    shape = rows.shape(node.inputs[0])
    target = [int(size) for size in rows.constant(node, 1, "the shape").reshape(-1)]
    if not node.flag("allowzero"):
        if any(size == 0 and place >= len(shape) for place, size in enumerate(target)):
            raise node.refuse(f"its shape {target} copies a dimension that the input does not have")
        target = [shape[place] if size == 0 else size for place, size in enumerate(target)]
    known = prod(size for size in target if size != -1)
    if target.count(-1) > 1 or min(target, default=1) < -1 or known == 0 or prod(shape) % known:
        raise node.refuse(f"rows of shape {list(shape)} do not fit shape {target}")
    _into(node, rows, [prod(shape) // known if size == -1 else size for size in target])


def _into(node: Node, rows: Rows, shape: Sequence[int]) -> None:
    rows.finish(node, "Reshape", [node.inputs[0], rows.store(node, [0, *shape])])


def flatten(node: Node, rows: Rows) -> None:
    """What is before the axis is one dimension, what is after it another."""
    shape = rows.shape(node.inputs[0])
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.refuse(f"axis {axis} lies outside a tensor of {len(shape)} dimensions")
    axis = axis if axis >= 0 else axis + len(shape)
    _into(node, rows, [prod(shape[:axis]), prod(shape[axis:])])


def squeeze(node: Node, rows: Rows) -> None:
    """Dropped are the axes that it names, or all of size 1."""
    shape = rows.shape(node.inputs[0])
    axes = rows.integers(node, 1, "axes")
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    places = _places(node, axes, len(shape))
    if any(shape[place] != 1 for place in places):
        raise node.refuse(f"axes {list(axes)} of shape {list(shape)} are not all of size 1")
    _into(node, rows, [size for place, size in enumerate(shape) if place not in places])


def unsqueeze(node: Node, rows: Rows) -> None:
    """Axes are those of the result."""
    shape = list(rows.shape(node.inputs[0]))
    for place in sorted(_places(node, rows.integers(node, 1, "axes") or (), None, len(shape))):
        shape.insert(place, 1)
    _into(node, rows, shape)


def _places(node: Node, axes: Sequence[int], rank: int | None, before: int = 0) -> set[int]:
    """Axes from the front on; refused where they lie outside or repeat."""
    rank = before + len(axes) if rank is None else rank
    places = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(places) != len(axes):
        raise node.refuse(f"axes {list(axes)} lie outside a tensor of {rank} dimensions, or repeat")
    return places


def transpose(node: Node, rows: Rows) -> None:
    """N stays where it is."""
    rank = len(rows.shape(node.inputs[0]))
    order = node.integers("perm") or tuple(reversed(range(rank)))
    rows.finish(node, "Transpose", node.inputs, perm=(0, *(axis + 1 for axis in order)))


def expand(node: Node, rows: Rows) -> None:
    """The target gets ones in front, N's among them."""
    target = [int(size) for size in rows.constant(node, 1, "the shape").reshape(-1)]
    shape = rows.shape(node.inputs[0])
    rank = max(len(target), len(shape))
    x = of_rank(node, rows, node.inputs[0], rank)
    rows.finish(node, "Expand", [x, rows.store(node, [*[1] * (rank - len(target) + 1), *target])])


def tile(node: Node, rows: Rows) -> None:
    """A row is not repeated."""
    times = [int(count) for count in rows.constant(node, 1, "repeats").reshape(-1)]
    rows.finish(node, "Tile", [node.inputs[0], rows.store(node, [1, *times])])


def concat(node: Node, rows: Rows) -> None:
    """Constants are the same in each row."""
    inputs = [leading_one(node, rows, name) for name in node.inputs]
    rows.finish(node, "Concat", inputs, axis=moved(node.integer("axis", 0)))


def _split(node: Node, rows: Rows) -> None:
    """Parts of no elements are constants."""
    axis = moved(node.integer("axis", 0))
    parts = rows.integers(node, 1, "split")
    if parts is None or 0 not in parts or len(parts) != len(node.outputs):
        rows.add(replace(node, attributes={**node.attributes, "axis": axis}))
        return
    x = rows.builder.finished(node.inputs[0])
    shape = list(x.shape)
    shape[axis - 1 if axis > 0 else axis] = 0
    rows.constants.update(
        {name: np.zeros(shape, x.dtype) for name, size in zip(node.outputs, parts, strict=True) if not size}
    )
    outputs = tuple(name for name, size in zip(node.outputs, parts, strict=True) if size)
    sizes = rows.store(node, [size for size in parts if size])
    rows.add(replace(node, inputs=(node.inputs[0], sizes), outputs=outputs, attributes={"axis": axis}))


def pad(node: Node, rows: Rows) -> None:
    """All axes are named."""
    rank = len(rows.shape(node.inputs[0]))
    pads = rows.integers(node, 1, "pads") or ()
    axes = rows.integers(node, 3, "axes")
    axes = tuple(range(rank)) if axes is None else axes
    value = node.inputs[2] if node.has_input(2) else ""
    places = rows.store(node, [moved(axis) for axis in axes])
    attributes = {name: found for name, found in node.attributes.items() if name in ("mode", "value")}
    rows.finish(node, "Pad", [node.inputs[0], rows.store(node, list(pads)), value, places], **attributes)
